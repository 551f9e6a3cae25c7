"""Tau statistics: galaxies against the fields of the point-spread function, beside its rho."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.options import choice, flag, positive
from pysoftcorr.core.random import Seed
from pysoftcorr.sky.binning import Binning, Bins
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.correlation import _measured
from pysoftcorr.sky.estimate import (
    COINCIDENT,
    Clusters,
    Measured,
    Options,
    check_catalogs,
    check_shears,
    run,
    warn_empty,
)  # fmt: skip
from pysoftcorr.sky.pairs import Objects, Source, pair_sums
from pysoftcorr.sky.resampling import Resampling
from pysoftcorr.sky.result import CorrelationSet
from pysoftcorr.sky.stars import StarCatalog

__all__ = ["RHO", "TAU", "tau_statistics"]

ComplexArray = npt.NDArray[np.complex128]

#: The two fields of each rho: p (0), q (1), w (2).
RHO = {
    "rho0": (0, 0), "rho1": (1, 1), "rho2": (1, 0), "rho3": (2, 2), "rho4": (2, 1), "rho5": (2, 0),
}  # fmt: skip
#: The field that the galaxies are correlated with in each tau.
TAU = {"tau0": 0, "tau2": 1, "tau5": 2}


def tau_statistics(
    galaxies: Catalog,
    stars: StarCatalog,
    bins: Bins,
    *,
    reference: str = "gatti",
    subtract_mean: bool = True,
    response: float = 1.0,
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
    """Tau statistics of galaxies and stars, with the rho statistics of the same fields.

    A linear model of what the point-spread function leaves in galaxy shapes is
    ``e_gal = gamma + alpha p + beta q + eta w``, with p the ellipticity of the PSF model,
    ``q = e_star - e_model`` and ``w = e_star (T_star - T_model)/T_star`` (Paulin-Henriksson et al.
    2008; Jarvis et al. 2016; Gatti et al. 2021, section 6). Its parameters follow, by
    `fit_leakage`, from tau0 = <e_gal p>, tau2 = <e_gal q>, tau5 = <e_gal w> and
    rho0 = <p p>, rho1 = <q q>, rho2 = <p q>, rho3 = <w w>, rho4 = <q w>, rho5 = <p w>, each the
    xi+ of the two fields. All nine are resampled together, so that `CorrelationSet.covariance` has
    the covariance between tau and rho.

    Parameters
    ----------
    galaxies : Catalog
        With g1 and g2.
    stars : StarCatalog
        Stars over the same part of the sky.
    bins : Binning, str or array_like
        Such as "log:1:100:10", or edges; in arcmin where no unit is named.
    reference : {"gatti", "star", "model"}
        Which fields p and w are: "gatti", e of the model and w of the star; "star" and
        "model", both of the one or the other (so in `rho_statistics`, whose default is "star").
    subtract_mean : bool
        Subtract from every field its weighted mean over the catalog, once, before all pairs and
        resamples. `rho_statistics` does not.
    response : float
        Mean response of the galaxies' shapes to shear, which g1 and g2 are divided by.
    clusters : int, SoftClustering, Clustering, tuple of Clustering, or None
        Number of soft clusters; 0 or None: all pairs of objects ("naive"). A number or settings:
        each catalog is clustered. A Clustering made before is used as it is (a tuple of them:
        galaxies, stars).
    assignment : {"greedy", "sampled", "soft"}
        How objects fall into clusters for the value itself.
    assignments : int
        Number of sampled cluster assignments for the epistemic error; needs clusters.
    resampling : Bootstrap, Jackknife, LeaveOut, str or None
        How the objects are resampled for the aleatoric error, as an object or as its text:
        "bootstrap:100", "jackknife:25", "leave-out:0.1:100", "none". The patches of the jackknife
        are cut out of galaxies and stars alike.
    coincident : {"keep", "drop"}
        Whether pairs of objects at one place count.
    seed : int, numpy.random.Generator or None
        Seed of everything random; the result is the same for any number of threads.
    method : {"pairs", "treecorr"}
        "treecorr": sums over pairs by TreeCorr, which approximates those of large catalogs; of
        all pairs of objects, with resamples of patches.
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
        "rho0" to "rho5", then "tau0", "tau2" and "tau5".

    Raises
    ------
    ValueError, TypeError
        Galaxies without shears, stars without a PSF model, a catalog with one object, or an
        option that is not possible.
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
    >>> from pysoftcorr import Catalog, demo_stars, tau_statistics
    >>> stars = demo_stars()
    >>> galaxies = Catalog(ra=stars.ra, dec=stars.dec + 1e-3,  # with the PSF's shape, in part
    ...                    g1=0.1 * stars.g1_model, g2=0.1 * stars.g2_model)
    >>> tau = tau_statistics(galaxies, stars, "linear:1:41:2")
    >>> (tau.tau0.value / tau.rho0.value).round(2)
    array([0.1, 0.1])
    """
    if not isinstance(stars, StarCatalog):
        swapped = "; galaxies come first" if isinstance(galaxies, StarCatalog) else ""
        raise TypeError(
            f"tau_statistics: stars must be a StarCatalog, not {type(stars).__name__}{swapped}"
        )
    edges = Binning.of(bins)
    check_catalogs("tau_statistics", edges, galaxies=galaxies, stars=stars)
    check_shears("tau_statistics", galaxies=galaxies)
    choice("coincident", coincident, COINCIDENT)
    options = Options(
        clusters=clusters, assignment=assignment, assignments=assignments,
        resampling=resampling, seed=seed, method=method, device=device, split=split,
        scheduler=scheduler, workers=workers,
    )  # fmt: skip
    shapes = galaxies.e / positive("response", response)
    fields = stars.fields(reference=reference)
    if flag("subtract_mean", subtract_mean):
        shapes = _centered(shapes, galaxies)
        fields = tuple(_centered(f, stars) for f in fields)  # type: ignore[assignment]
    # One set of fields for each product with p, q and w; the kernel pairs them off.
    sources = [Source.of(galaxies, (shapes, shapes, shapes)), Source.of(stars, fields)]
    settings = {
        "reference": reference, "subtract_mean": subtract_mean, "response": float(response),
        "method": method, "coincident": coincident,
    }  # fmt: skip
    measure = partial(_rho_and_tau, coincident)
    result = run("tau_statistics", sources, measure, edges, options, settings)
    # `run` looks at the first statistic alone, which is of pairs of stars.
    tau = result.tau0
    warn_empty("tau_statistics, galaxies with stars", edges, tau.npairs, tau.value)
    return result


def _centered(field: ComplexArray, catalog: Catalog) -> ComplexArray:
    return field - np.average(field, weights=catalog.w)


def _rho_and_tau(
    coincident: str, objects: Sequence[Objects], bins: Binning, progress: str | None
) -> dict[str, Measured]:
    galaxies, stars = objects
    own = pair_sums("psf", stars, None, bins, progress)
    cross = pair_sums("tau", galaxies, stars, bins, progress)
    rho, tau = own.chosen(coincident), cross.chosen(coincident)
    noise, shape = stars.variance(), galaxies.variance()[0]
    found = {
        name: _measured(
            rho, rho.products[..., 2 * k], 2 * noise[a] * noise[b], own, 1 if a == b else 2
        )
        for k, (name, (a, b)) in enumerate(RHO.items())
    }
    for k, (name, field) in enumerate(TAU.items()):
        product = tau.products[..., 2 * k]
        found[name] = _measured(tau, product, 2 * shape * noise[field], cross)
    return found
