"""Resampling of objects: bootstrap, jackknife over patches, leave-out.

Each function says how often every object counts in every resample; the estimators of
`pysoftcorr.sky.correlation` take care of the rest. (The epistemic error samples the assignments
instead: `Clustering.assign`, and the option ``samples`` of the estimators.)
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.random import Seed, root_seed, stream
from pysoftcorr.sky.catalog import Catalog

__all__ = ["Resampling", "bootstrap", "jackknife", "leave_out", "patches"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Resampling:
    """How often each object counts in each of R resamples.

    Attributes
    ----------
    multiplicity : tuple of ndarray, each of shape (R, N) or (1, N)
        One array per catalog; (1, N) of ones for one that is not resampled.
    method : {"bootstrap", "jackknife", "leave-out"}
    factor : float
        The covariance is this times the sum of squares about the mean of the resamples.
    """

    multiplicity: tuple[FloatArray, ...]
    method: str
    factor: float

    @property
    def n(self) -> int:
        """Number of resamples."""
        return max(len(m) for m in self.multiplicity)


def bootstrap(*catalogs: Catalog, n: int = 100, seed: Seed = None) -> Resampling:
    """Objects drawn anew with replacement, each catalog by itself (Efron 1979).

    Of a shear correlation without any signal this overstates the variance threefold: a pair drawn
    ``m_i m_j`` times has the variance 3. Where ``sigma_shot`` comes near the error found here,
    ``sigma_shot`` is the better one.

    Parameters
    ----------
    *catalogs : Catalog
    n : int
        Number of resamples, at least 2.
    seed : int, numpy.random.Generator or None

    Returns
    -------
    Resampling

    Raises
    ------
    ValueError
        `n` is below 2.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr import Catalog
    >>> from pysoftcorr.sky.resampling import bootstrap
    >>> cat = Catalog(ra=np.linspace(0, 1, 50), dec=np.zeros(50))
    >>> draws = bootstrap(cat, n=10, seed=1)
    >>> draws.multiplicity[0].shape, bool((draws.multiplicity[0].sum(axis=1) == 50).all())
    ((10, 50), True)
    """
    _at_least_two("n", n)
    root = root_seed(seed)
    drawn = []
    for number, catalog in enumerate(catalogs):
        rng, size = stream(root, f"bootstrap {number}"), len(catalog)
        rows = [np.bincount(rng.integers(size, size=size), minlength=size) for _ in range(n)]
        drawn.append(np.array(rows, dtype=np.float64))
    return Resampling(tuple(drawn), "bootstrap", 1.0 / (n - 1))


def patches(catalog: Catalog, n: int, *, seed: Seed = None) -> IntArray:
    """Compact patches of about equal extent: k-means on the sphere with a k-means++ start.

    Parameters
    ----------
    catalog : Catalog
    n : int
        Number of patches, at least 2 and at most the number of objects.
    seed : int, numpy.random.Generator or None

    Returns
    -------
    ndarray of int64, shape (N,)
        Labels 0 to n - 1.

    Raises
    ------
    ValueError
        `n` is not possible.
    """
    from scipy.cluster.vq import kmeans2

    from pysoftcorr._julia import call

    _at_least_two("n", n)
    if n > len(catalog):
        raise ValueError(f"n = {n} patches: more than the {len(catalog)} objects")
    start = np.empty((3, n))
    draws = stream(root_seed(seed), "patches").random(n)
    call("seed_centers", catalog.xyz, 3, len(catalog), np.ones(len(catalog)), n, draws, start)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # an empty patch; closed up below
        _, labels = kmeans2(catalog.xyz, start.T, iter=50, minit="matrix")
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def jackknife(
    *catalogs: Catalog, n: int | None = None, labels: object = None, seed: Seed = None
) -> Resampling:
    """Every patch left out once, from all catalogs.

    A pair counts where both its objects are kept (``cross_patch_weight="simple"`` of TreeCorr). Of
    pure noise between patches the variance comes out twofold (Efron & Stein 1981).

    Parameters
    ----------
    *catalogs : Catalog
    n : int, optional
        Number of patches, made by `patches` from the first catalog; objects of the others
        belong to the patch whose mean direction is nearest.
    labels : array_like of int (N,), or a tuple of them, one per catalog, optional
        Patches of your own, instead of `n`.
    seed : int, numpy.random.Generator or None

    Returns
    -------
    Resampling
        Factor (n - 1)/n.

    Raises
    ------
    ValueError
        Neither or both of `n` and `labels`; labels of the wrong shape; fewer than 2 patches.
    """
    if (n is None) == (labels is None):
        raise ValueError("jackknife: give either n (number of patches) or labels (one per object)")
    if labels is None:
        first = patches(catalogs[0], int(n), seed=seed)  # type: ignore[arg-type]
        own = [first, *(_nearest(catalogs[0], first, other) for other in catalogs[1:])]
    else:
        own = [_labels(part) for part in (labels if isinstance(labels, tuple) else (labels,))]
    if len(own) != len(catalogs):
        raise ValueError(f"jackknife: {len(catalogs)} catalogs need as many arrays of labels")
    for number, (part, catalog) in enumerate(zip(own, catalogs, strict=True)):
        if part.shape != (len(catalog),):
            raise ValueError(
                f"jackknife: labels of catalog {number + 1} have shape {part.shape}, "
                f"the catalog {len(catalog)} objects"
            )
    names = np.unique(np.concatenate(own))
    _at_least_two("number of patches", len(names))
    kept = tuple((part != names[:, None]).astype(np.float64) for part in own)
    return Resampling(kept, "jackknife", (len(names) - 1) / len(names))


def leave_out(
    *catalogs: Catalog, fraction: float = 0.3, n: int = 100, seed: Seed = None
) -> Resampling:
    """A random fraction of the objects left out of each resample (Berman et al. 2025).

    The factor is that of the delete-d jackknife, kept/(left x n), so that the covariance is that
    of the whole catalog whatever the fraction f (Shao & Wu 1989); of pure noise in shears it
    comes out ``(2 - f)/(1 - f)`` times too large.

    Parameters
    ----------
    *catalogs : Catalog
    fraction : float
        Of the objects, left out; between 0 and 1.
    n : int
        Number of resamples, at least 2.
    seed : int, numpy.random.Generator or None

    Returns
    -------
    Resampling

    Raises
    ------
    ValueError
        A fraction that leaves out nothing or everything, or `n` below 2.
    """
    _at_least_two("n", n)
    if not 0 < fraction < 1:
        raise ValueError(f"fraction = {fraction}: must lie between 0 and 1")
    root = root_seed(seed)
    drawn, factors = [], []
    for number, catalog in enumerate(catalogs):
        size = len(catalog)
        left = round(fraction * size)
        if not 0 < left < size:
            raise ValueError(f"fraction = {fraction}: leaves out {left} of {size} objects")
        rng = stream(root, f"leave-out {number}")
        kept = np.ones((n, size))
        for row in kept:
            row[rng.choice(size, size=left, replace=False)] = 0.0
        drawn.append(kept)
        factors.append((size - left) / (left * n))
    return Resampling(tuple(drawn), "leave-out", float(np.mean(factors)))


def _labels(given: object) -> IntArray:
    labels = np.asarray(given)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"jackknife: labels must be integers, one per object, not {labels.dtype}")
    return labels.astype(np.int64)


def _nearest(catalog: Catalog, labels: IntArray, other: Catalog) -> IntArray:
    sums = np.zeros((labels.max() + 1, 3))
    np.add.at(sums, labels, catalog.xyz)
    return np.argmax(other.xyz @ (sums / np.linalg.norm(sums, axis=1, keepdims=True)).T, axis=1)


def _at_least_two(name: str, n: int) -> None:
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise TypeError(f"{name} = {n!r}: must be an integer")
    if n < 2:
        raise ValueError(f"{name} = {n}: an error needs at least 2 resamples")
