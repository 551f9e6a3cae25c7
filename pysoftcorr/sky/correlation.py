"""Correlation functions on the sky or in a plane: xi+-, rho, w(theta), tangential shear.

All take the same options. Without clusters every pair of objects counts once ("naive"); with
clusters the objects are drawn into them first (Berman et al. 2025, Algorithm 1). The *epistemic*
error is the spread over sampled assignments, the *aleatoric* one that over resampled objects.

Resampling the objects of a field without any signal overstates the shot noise of its pairs: the
standard deviation by 1.7 (bootstrap) or 1.4 (jackknife); see `pysoftcorr.sky.resampling`.
``sigma_shot`` is right in that case.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from pysoftcorr.core.options import choice
from pysoftcorr.core.random import Seed
from pysoftcorr.sky.binning import Binning, Bins
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.estimate import (
    COINCIDENT,
    Clusters,
    Measured,
    Options,
    check_catalogs,
    check_positive,
    check_shears,
    run,
)  # fmt: skip
from pysoftcorr.sky.pairs import (
    Objects,
    Pairs,
    PairSums,
    Source,
    mean,
    norm_cross,
    pair_sums,
)  # fmt: skip
from pysoftcorr.sky.resampling import Resampling
from pysoftcorr.sky.result import CorrelationSet
from pysoftcorr.sky.stars import StarCatalog

__all__ = ["gamma_t", "landy_szalay", "rho_statistics", "xi_pm"]


def xi_pm(
    catalog: Catalog,
    bins: Bins,
    *,
    catalog2: Catalog | None = None,
    clusters: Clusters = None,
    assignment: str = "greedy",
    assignments: int = 0,
    resampling: Resampling | str | None = None,
    coincident: str = "keep",
    seed: Seed = None,
    method: str = "pairs",
    device: str = "cpu",
    split: float | None = None,
    scheduler: str | None = None,
    workers: int | None = None,
) -> CorrelationSet:
    """Shear-shear correlation functions xi+ and xi-.

    Both shears of a pair are turned to the great circle (in a plane, the line) that joins them;
    xi+ is the weighted mean of ``g1' conj(g2')``, xi- that of ``g1' g2'`` (Jarvis, Bernstein & Jain
    2004; Berman et al. 2025, eq. 8 is the real part of xi+). For one catalog xi+ is the mean of
    both orders of a pair, so that its imaginary part is zero.

    Parameters
    ----------
    catalog : Catalog
        With g1 and g2.
    bins : Binning, str or array_like
        Such as "log:0.5:50:20", or edges; in arcmin where no unit is named, as in
        "linear:0:2000:10:pixel" for flat catalogs of pixels.
    catalog2 : Catalog, optional
        Pairs of one object here and one there, instead of pairs within `catalog`.
    clusters : int, SoftClustering, Clustering, tuple of Clustering, or None
        Number of soft clusters; 0 or None: all pairs of objects ("naive"). A number or settings:
        each catalog is clustered. A Clustering made before is used as it is (a tuple of them, in
        order, for two catalogs).
    assignment : {"greedy", "sampled", "soft"}
        How objects fall into clusters for the value itself.
    assignments : int
        Number of sampled cluster assignments for the epistemic error; needs clusters.
    resampling : Bootstrap, Jackknife, LeaveOut, str or None
        How the objects are resampled for the aleatoric error, as an object or as its text:
        "bootstrap:100", "jackknife:25", "jackknife:25:match", "bootstrap:100:25" (25 patches),
        "leave-out:0.1:100", "none". With clusters, these are kept and filled greedily.
    coincident : {"keep", "drop"}
        Whether xi+ keeps pairs of objects at one place (to 4e-15 rad). They have no direction, so
        that xi- leaves them out in any case; one warning counts them.
    seed : int, numpy.random.Generator or None
        Seed of everything random; the result is the same for any number of threads.
    method : {"pairs", "treecorr"}
        "treecorr" hands the pairs of objects to TreeCorr, which approximates those of large
        catalogs; without clusters, and with resamples of patches alone.
    device : str
        Where pairs of objects or clusters are summed: "cpu", or a GPU such as "cuda", by Triton in
        float64. With a number of clusters, these are found there too.
    split : float, optional
        With clusters, a separation in the unit of the bins: those that begin below it are of all
        pairs of objects, which no assignment moves, those from there on of pairs of clusters.
    scheduler : str, optional
        Address of a running dask scheduler, whose workers have pysoftcorr and share the pairs;
        by default all is done in this process. The result is that of this process to rounding,
        and has the same bits for any workers.
    workers : int, optional
        Share the pairs among so many processes of this machine, started for the call. A script
        must be guarded by ``if __name__ == "__main__":``.

    Returns
    -------
    CorrelationSet
        "xip" and "xim".

    Raises
    ------
    ValueError, TypeError
        A catalog without shears, a single catalog of one object, or an option that is not
        possible.
    ImportError
        torch or Triton is not installed, and `device` is a GPU.
    ConnectionError
        The scheduler does not answer or goes away.

    Warns
    -----
    UserWarning
        Bins without pairs: their value is NaN. Pairs that xi- leaves out.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr import Catalog, xi_pm
    >>> rng = np.random.default_rng(1)
    >>> cat = Catalog(ra=rng.uniform(10, 11, 200), dec=rng.uniform(0, 1, 200),
    ...               g1=np.full(200, 0.1), g2=np.zeros(200))
    >>> xi_pm(cat, "linear:0:60:3").xip.value.round(4)
    array([0.01, 0.01, 0.01])
    """
    catalogs = {"catalog": catalog} | ({} if catalog2 is None else {"catalog2": catalog2})
    edges = Binning.of(bins)
    check_catalogs("xi_pm", edges, least=3 - len(catalogs), **catalogs)
    check_shears("xi_pm", **catalogs)
    choice("coincident", coincident, COINCIDENT)
    options = Options(
        clusters=clusters, assignment=assignment, assignments=assignments,
        resampling=resampling, seed=seed, method=method, device=device, split=split,
        scheduler=scheduler, workers=workers,
    )  # fmt: skip
    sources = [Source.of(c, (c.e,)) for c in catalogs.values()]
    settings = {"method": method, "coincident": coincident}
    return run("xi_pm", sources, partial(_shear_shear, coincident), edges, options, settings)


def rho_statistics(
    stars: StarCatalog,
    bins: Bins,
    *,
    reference: str = "star",
    clusters: Clusters = None,
    assignment: str = "greedy",
    assignments: int = 0,
    resampling: Resampling | str | None = None,
    coincident: str = "keep",
    seed: Seed = None,
    method: str = "pairs",
    device: str = "cpu",
    split: float | None = None,
    scheduler: str | None = None,
    workers: int | None = None,
) -> CorrelationSet:
    """The five rho statistics of a model of the point-spread function.

    With the star's ellipticity e, its residual de, and q = e dT/T: rho1 = <de* de>,
    rho2 = <e* de>, rho3 = <q* q>, rho4 = <de* q>, rho5 = <e* q>, each the xi+ of the two fields
    (Rowe 2010; Jarvis et al. 2021; Berman et al. 2025, eqs. 2 to 6). Pairs are of different
    stars; those of two different fields count in both orders.

    Parameters
    ----------
    stars : StarCatalog
    bins : Binning, str or array_like
        Such as "linear:0:45:8", or edges; in arcmin where no unit is named, as in
        "linear:0:2000:10:pixel" for flat catalogs of pixels.
    reference : {"star", "model", "gatti"}
        Whose ellipticity and size e and T are. With "gatti" e is the model's and q the star's, as
        for `tau_statistics`.
    clusters : int, SoftClustering, Clustering, tuple of Clustering, or None
        Number of soft clusters; 0 or None: all pairs of objects ("naive"). A number or settings:
        each catalog is clustered. A Clustering made before is used as it is (a tuple of them, in
        order, for two catalogs).
    assignment : {"greedy", "sampled", "soft"}
        How objects fall into clusters for the value itself.
    assignments : int
        Number of sampled cluster assignments for the epistemic error; needs clusters.
    resampling : Bootstrap, Jackknife, LeaveOut, str or None
        How the objects are resampled for the aleatoric error, as an object or as its text:
        "bootstrap:100", "jackknife:25", "jackknife:25:match", "bootstrap:100:25" (25 patches),
        "leave-out:0.1:100", "none". With clusters, these are kept and filled greedily.
    coincident : {"keep", "drop"}
        Whether pairs of stars at one place (to 4e-15 rad), such as one star in several exposures,
        count. They have no direction, but the rho statistics need none.
    seed : int, numpy.random.Generator or None
        Seed of everything random; the result is the same for any number of threads.
    method : {"pairs", "treecorr"}
        "treecorr" hands the pairs of objects to TreeCorr, which approximates those of large
        catalogs; without clusters, and with resamples of patches alone.
    device : str
        Where pairs of objects or clusters are summed: "cpu", or a GPU such as "cuda", by Triton in
        float64. With a number of clusters, these are found there too.
    split : float, optional
        With clusters, a separation in the unit of the bins: those that begin below it are of all
        pairs of objects, which no assignment moves, those from there on of pairs of clusters.
    scheduler : str, optional
        Address of a running dask scheduler, whose workers have pysoftcorr and share the pairs;
        by default all is done in this process. The result is that of this process to rounding,
        and has the same bits for any workers.
    workers : int, optional
        Share the pairs among so many processes of this machine, started for the call. A script
        must be guarded by ``if __name__ == "__main__":``.

    Returns
    -------
    CorrelationSet
        "rho1" to "rho5".

    Raises
    ------
    ValueError, TypeError
        A catalog with one star, or an option that is not possible.
    ImportError
        torch or Triton is not installed, and `device` is a GPU.
    ConnectionError
        The scheduler does not answer or goes away.

    Warns
    -----
    UserWarning
        Bins without pairs: their value is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr import StarCatalog, rho_statistics
    >>> rng = np.random.default_rng(1)
    >>> n = 150
    >>> stars = StarCatalog(ra=rng.uniform(150, 151, n), dec=rng.uniform(2, 3, n),
    ...     g1=np.full(n, 0.05), g2=np.zeros(n), sigma=np.ones(n),
    ...     g1_model=np.full(n, 0.04), g2_model=np.zeros(n), sigma_model=np.ones(n))
    >>> rho = rho_statistics(stars, "linear:0:40:2", clusters=20, assignments=10,
    ...                      resampling="bootstrap:10", seed=1)
    >>> rho.rho2.value.round(6)
    array([0.0005, 0.0005])
    """
    if not isinstance(stars, StarCatalog):
        raise TypeError(f"rho_statistics: stars must be a StarCatalog, not {type(stars).__name__}")
    edges = Binning.of(bins)
    check_catalogs("rho_statistics", edges, stars=stars)
    choice("coincident", coincident, COINCIDENT)
    options = Options(
        clusters=clusters, assignment=assignment, assignments=assignments,
        resampling=resampling, seed=seed, method=method, device=device, split=split,
        scheduler=scheduler, workers=workers,
    )  # fmt: skip
    fields = stars.fields(reference=reference)
    settings = {"reference": reference, "method": method, "coincident": coincident}
    measure = partial(_rho, coincident)
    return run("rho_statistics", [Source.of(stars, fields)], measure, edges, options, settings)


def landy_szalay(
    data: Catalog,
    randoms: Catalog,
    bins: Bins,
    *,
    clusters: Clusters = None,
    assignment: str = "greedy",
    assignments: int = 0,
    resampling: Resampling | str | None = None,
    seed: Seed = None,
    method: str = "pairs",
    device: str = "cpu",
    split: float | None = None,
    scheduler: str | None = None,
    workers: int | None = None,
) -> CorrelationSet:
    """Angular correlation function of positions, w(theta), by Landy & Szalay (1993).

    ``(DD/ndd - 2 DR/ndr + RR/nrr) / (RR/nrr)`` with weighted counts; ndd and nrr are half the
    squared sums of weights (so in TreeCorr; pairs of an object with itself make 1/N of that),
    less the pairs that lie within a cluster, and ndr is the product of both sums. The jackknife
    cuts its patches out of both catalogs; bootstrap and leave-out resample the data only.

    Parameters
    ----------
    data, randoms : Catalog
    bins : Binning, str or array_like
        Such as "log:0.5:50:20", or edges; in arcmin where no unit is named, as in
        "linear:0:2000:10:pixel" for flat catalogs of pixels.
    clusters : int, SoftClustering, Clustering, tuple of Clustering, or None
        Number of soft clusters; 0 or None: all pairs of objects ("naive"). A number or settings:
        each catalog is clustered. A Clustering made before is used as it is (a tuple of them, in
        order, for two catalogs).
    assignment : {"greedy", "sampled", "soft"}
        How objects fall into clusters for the value itself.
    assignments : int
        Number of sampled cluster assignments for the epistemic error; needs clusters.
    resampling : Bootstrap, Jackknife, LeaveOut, str or None
        How the objects are resampled for the aleatoric error, as an object or as its text:
        "bootstrap:100", "jackknife:25", "jackknife:25:match", "bootstrap:100:25" (25 patches),
        "leave-out:0.1:100", "none". With clusters, these are kept and filled greedily.
    seed : int, numpy.random.Generator or None
        Seed of everything random; the result is the same for any number of threads.
    method : {"pairs", "treecorr"}
        "treecorr" hands the pairs of objects to TreeCorr, which approximates those of large
        catalogs; without clusters, and with resamples of patches alone.
    device : str
        Where pairs of objects or clusters are summed: "cpu", or a GPU such as "cuda", by Triton in
        float64. With a number of clusters, these are found there too.
    split : float, optional
        With clusters, a separation in the unit of the bins: those that begin below it are of all
        pairs of objects, which no assignment moves, those from there on of pairs of clusters.
    scheduler : str, optional
        Address of a running dask scheduler, whose workers have pysoftcorr and share the pairs;
        by default all is done in this process. The result is that of this process to rounding,
        and has the same bits for any workers.
    workers : int, optional
        Share the pairs among so many processes of this machine, started for the call. A script
        must be guarded by ``if __name__ == "__main__":``.

    Returns
    -------
    CorrelationSet
        "w"; counts and mean separations are those of the data pairs, ``varshot`` the
        semi-empirical shot variance that TreeCorr gives.

    Raises
    ------
    ValueError, TypeError
        A catalog with one object, or an option that is not possible.
    ImportError
        torch or Triton is not installed, and `device` is a GPU.
    ConnectionError
        The scheduler does not answer or goes away.

    Warns
    -----
    UserWarning
        Bins without pairs of data; bins without pairs of randoms, where w is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr import Catalog, landy_szalay
    >>> rng = np.random.default_rng(1)
    >>> data, randoms = (Catalog(ra=rng.uniform(0, 1, n), dec=rng.uniform(0, 1, n))
    ...                  for n in (500, 2000))
    >>> bool(np.all(np.abs(landy_szalay(data, randoms, "linear:0:40:4").w.value) < 0.05))
    True
    """
    edges = Binning.of(bins)
    check_catalogs("landy_szalay", edges, data=data, randoms=randoms)
    check_positive("landy_szalay", data=data, randoms=randoms)
    options = Options(
        clusters=clusters, assignment=assignment, assignments=assignments,
        resampling=resampling, seed=seed, method=method, device=device, split=split,
        scheduler=scheduler, workers=workers,
    )  # fmt: skip
    sources = [Source.of(data), Source.of(randoms)]
    settings = {"method": method}
    return run("landy_szalay", sources, _landy_szalay, edges, options, settings, fixed=(1,))


def gamma_t(
    lenses: Catalog,
    sources: Catalog,
    bins: Bins,
    *,
    clusters: Clusters = None,
    assignment: str = "greedy",
    assignments: int = 0,
    resampling: Resampling | str | None = None,
    seed: Seed = None,
    method: str = "pairs",
    device: str = "cpu",
    split: float | None = None,
    scheduler: str | None = None,
    workers: int | None = None,
) -> CorrelationSet:
    """Mean tangential shear of sources around lenses.

    A source at the place of a lens (to 4e-15 rad) has no tangential direction: such pairs are left
    out, and one warning counts them.

    Parameters
    ----------
    lenses : Catalog
        Positions and weights.
    sources : Catalog
        With g1 and g2.
    bins : Binning, str or array_like
        Such as "log:0.5:50:20", or edges; in arcmin where no unit is named, as in
        "linear:0:2000:10:pixel" for flat catalogs of pixels.
    clusters : int, SoftClustering, Clustering, tuple of Clustering, or None
        Number of soft clusters; 0 or None: all pairs of objects ("naive"). A number or settings:
        each catalog is clustered. A Clustering made before is used as it is (a tuple of them, in
        order, for two catalogs).
    assignment : {"greedy", "sampled", "soft"}
        How objects fall into clusters for the value itself.
    assignments : int
        Number of sampled cluster assignments for the epistemic error; needs clusters.
    resampling : Bootstrap, Jackknife, LeaveOut, str or None
        How the objects are resampled for the aleatoric error, as an object or as its text:
        "bootstrap:100", "jackknife:25", "jackknife:25:match", "bootstrap:100:25" (25 patches),
        "leave-out:0.1:100", "none". With clusters, these are kept and filled greedily.
    seed : int, numpy.random.Generator or None
        Seed of everything random; the result is the same for any number of threads.
    method : {"pairs", "treecorr"}
        "treecorr" hands the pairs of objects to TreeCorr, which approximates those of large
        catalogs; without clusters, and with resamples of patches alone.
    device : str
        Where pairs of objects or clusters are summed: "cpu", or a GPU such as "cuda", by Triton in
        float64. With a number of clusters, these are found there too.
    split : float, optional
        With clusters, a separation in the unit of the bins: those that begin below it are of all
        pairs of objects, which no assignment moves, those from there on of pairs of clusters.
    scheduler : str, optional
        Address of a running dask scheduler, whose workers have pysoftcorr and share the pairs;
        by default all is done in this process. The result is that of this process to rounding,
        and has the same bits for any workers.
    workers : int, optional
        Share the pairs among so many processes of this machine, started for the call. A script
        must be guarded by ``if __name__ == "__main__":``.

    Returns
    -------
    CorrelationSet
        "gamma_t": its value is the tangential shear, its imaginary part the cross shear.

    Raises
    ------
    ValueError, TypeError
        Sources without shears, or an option that is not possible.
    ImportError
        torch or Triton is not installed, and `device` is a GPU.
    ConnectionError
        The scheduler does not answer or goes away.

    Warns
    -----
    UserWarning
        Bins without pairs: their value is NaN. Pairs that are left out.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr import Catalog, gamma_t
    >>> angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    >>> lens = Catalog(ra=[10.0], dec=[0.0])
    >>> ring = Catalog(ra=10 + 0.1 * np.cos(angle), dec=0.1 * np.sin(angle),
    ...                g1=-0.1 * np.cos(2 * angle), g2=0.1 * np.sin(2 * angle))
    >>> gamma_t(lens, ring, "linear:5:7:1").gamma_t.value.round(4)
    array([0.1])
    """
    edges = Binning.of(bins)
    check_catalogs("gamma_t", edges, least=1, lenses=lenses, sources=sources)
    check_shears("gamma_t", sources=sources)
    options = Options(
        clusters=clusters, assignment=assignment, assignments=assignments,
        resampling=resampling, seed=seed, method=method, device=device, split=split,
        scheduler=scheduler, workers=workers,
    )  # fmt: skip
    both = [Source.of(lenses, (np.zeros(len(lenses), complex),)), Source.of(sources, (sources.e,))]
    return run("gamma_t", both, _count_shear, edges, options, {"method": method})


# ---- what each estimator makes of the pair sums ------------------------------------------------


def _measured(
    sums: PairSums,
    product: Any,
    noise: Any,
    pairs: Pairs,
    orders: int = 1,
    *,
    undirected: bool = False,
) -> Measured:
    """The mean of one product; `noise` over the weight is its shot variance, where above 0."""
    weight = orders * sums.weight
    varshot = mean(np.broadcast_to(noise, weight.shape).astype(float), weight)
    return Measured(
        value=mean(product, sums.weight),
        npairs=orders * sums.npairs,
        weight=weight,
        theta=sums.mean_theta,
        logtheta=sums.mean_logtheta,
        varshot=np.where(varshot < 0, np.nan, varshot),
        coincident=pairs.every.coincident,
        undirected=undirected,
    )  # fmt: skip


def _shear_shear(
    coincident: str, objects: Sequence[Objects], bins: Binning, progress: str | None
) -> dict[str, Measured]:
    first, second = objects[0], objects[1] if len(objects) > 1 else None
    pairs = pair_sums("gg", first, second, bins, progress)
    noise = 2 * first.variance()[0] * (second or first).variance()[0]
    plus, minus = pairs.chosen(coincident), pairs.apart
    return {
        "xip": _measured(plus, plus.products[..., 0], noise, pairs),
        "xim": _measured(minus, minus.products[..., 1], noise, pairs, undirected=True),
    }


# fields e, de, q as numbers, in the order of `KINDS` in julia/src/entries/pairs.jl
_RHO = {"rho1": (1, 1), "rho2": (1, 0), "rho3": (2, 2), "rho4": (2, 1), "rho5": (2, 0)}


def _rho(
    coincident: str, objects: Sequence[Objects], bins: Binning, progress: str | None
) -> dict[str, Measured]:
    pairs = pair_sums("rho", objects[0], None, bins, progress)
    sums = pairs.chosen(coincident)
    variance = objects[0].variance()
    return {
        name: _measured(
            sums, sums.products[..., 2 * k], 2 * variance[e] * variance[f], pairs,
            1 if e == f else 2,
        )
        for k, (name, (e, f)) in enumerate(_RHO.items())
    }  # fmt: skip


def _count_shear(
    objects: Sequence[Objects], bins: Binning, progress: str | None
) -> dict[str, Measured]:
    pairs = pair_sums("ng", objects[0], objects[1], bins, progress)
    sums, noise = pairs.apart, objects[1].variance()[0]
    return {
        "gamma_t": _measured(sums, sums.products[..., 0], noise, pairs, undirected=True)
    }  # fmt: skip


def _landy_szalay(
    objects: Sequence[Objects], bins: Binning, progress: str | None
) -> dict[str, Measured]:
    data, randoms = objects
    dd = pair_sums("nn", data, None, bins, progress).every
    dr = pair_sums("nn", data, randoms, bins, progress).every
    rr = pair_sums("nn", randoms, None, bins, progress).every
    ndd, nrr = data.norm_auto[:, None], randoms.norm_auto[:, None]
    ndr = norm_cross(data, randoms)[:, None]
    expected = np.maximum(rr.weight, 0.0) / nrr
    w = mean(dd.weight / ndd - 2 * dr.weight / ndr + expected, expected)
    # Increase of the variance by finite randoms, as TreeCorr has it
    per_dd, per_dr, per_rr = (
        np.sum(s.weight, axis=1, keepdims=True)
        / np.maximum(np.sum(s.npairs, axis=1, keepdims=True), 1)
        for s in (dd, dr, rr)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        increase = 1 + 2 * ndd / ndr * per_dr / per_dd + ndd / nrr * per_rr / per_dd
        varshot = mean(per_dd * increase**2 + 0 * expected, ndd * expected)
    return {
        "w": Measured(
            value=w.astype(complex), npairs=dd.npairs, weight=dd.weight,
            theta=dd.mean_theta, logtheta=dd.mean_logtheta, varshot=varshot,
            coincident=dd.coincident,
        )
    }  # fmt: skip
