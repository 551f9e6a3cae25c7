"""Resampling of objects for the aleatoric error: bootstrap, jackknife over patches, leave-out.

Each class is a way to resample, given to the estimators as ``resampling=``; a text such as
"bootstrap:100" means the same. `Resamples` says how often every object counts in every resample.
(The epistemic error samples cluster assignments instead: `Clustering.assign`, and the option
``assignments`` of the estimators.)
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr._julia import call
from pysoftcorr.core.options import integer, number
from pysoftcorr.core.random import Seed, root_seed, stream
from pysoftcorr.sky.catalog import Catalog

__all__ = [
    "Bootstrap", "Jackknife", "LeaveOut", "Resamples", "Resampling", "as_resampling", "patches",
]  # fmt: skip

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
_FORMS = "'bootstrap:N', 'jackknife:N', 'leave-out:FRACTION' or 'leave-out:FRACTION:N'"


@dataclass(frozen=True, eq=False)
class Resamples:
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


@dataclass(frozen=True)
class Bootstrap:
    """Objects drawn with replacement, each catalog by itself (Efron 1979).

    For a shear correlation without any signal this overstates the variance threefold: a pair drawn
    ``m_i m_j`` times has the variance 3. Where ``sigma_shot`` comes near the error found here,
    ``sigma_shot`` is the better one.

    Parameters
    ----------
    n : int
        Number of resamples, at least 2.

    Raises
    ------
    TypeError, ValueError
        `n` is no whole number, or below 2.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr import Bootstrap, Catalog
    >>> cat = Catalog(ra=np.linspace(0, 1, 50), dec=np.zeros(50))
    >>> draws = Bootstrap(10).resample(cat, seed=1)
    >>> draws.multiplicity[0].shape, bool((draws.multiplicity[0].sum(axis=1) == 50).all())
    ((10, 50), True)
    """

    n: int = 100

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", _at_least_two("Bootstrap: n", self.n))

    def __str__(self) -> str:
        return f"bootstrap:{self.n}"

    def resample(
        self, *catalogs: Catalog, seed: Seed = None, fixed: Sequence[int] = ()
    ) -> Resamples:
        """How often each object counts; the catalogs numbered `fixed` are not resampled."""
        root = root_seed(seed)
        drawn: list[FloatArray] = []
        for catalog, name in _streams(catalogs, fixed):
            size = len(catalog)
            if name is None:
                drawn.append(np.ones((1, size)))
                continue
            rng = stream(root, f"bootstrap {name}")
            rows = [np.bincount(rng.integers(size, size=size), minlength=size)
                    for _ in range(self.n)]  # fmt: skip
            drawn.append(np.array(rows, dtype=np.float64))
        return Resamples(tuple(drawn), "bootstrap", 1.0 / (self.n - 1))


@dataclass(frozen=True, eq=False)
class Jackknife:
    """Every patch left out once, from all catalogs.

    A pair counts where both its objects are kept (``cross_patch_weight="simple"`` of TreeCorr). For
    pure noise between patches the variance comes out twofold (Efron & Stein 1981).

    Parameters
    ----------
    n : int, optional
        Number of patches, made by `patches` from the first catalog; objects of the others
        belong to the patch whose mean direction is nearest.
    patches : array_like of int (N,), or a tuple of them, one per catalog, optional
        Patches of your own, instead of `n`.

    Raises
    ------
    TypeError, ValueError
        Neither or both of `n` and `patches`; fewer than 2 patches; labels that are no integers.
    """

    n: int | None = None
    patches: Any = None

    def __post_init__(self) -> None:
        if (self.n is None) == (self.patches is None):
            raise ValueError(
                "Jackknife: give either n (number of patches) or patches (one label per object)"
            )
        if self.n is not None:
            object.__setattr__(self, "n", _at_least_two("Jackknife: n", self.n))
        else:
            given = self.patches if isinstance(self.patches, tuple) else (self.patches,)
            object.__setattr__(self, "patches", tuple(_labels(part) for part in given))

    def __str__(self) -> str:
        return "jackknife:patches" if self.n is None else f"jackknife:{self.n}"

    def resample(
        self, *catalogs: Catalog, seed: Seed = None, fixed: Sequence[int] = ()
    ) -> Resamples:
        """Which objects each resample keeps; patches are cut out of the `fixed` catalogs too.

        Raises
        ------
        ValueError
            Labels of another number or length than the catalogs; more patches than objects.
        """
        if self.n is not None:
            first = patches(catalogs[0], self.n, seed=seed)
            own = [first, *(_nearest(catalogs[0], first, other) for other in catalogs[1:])]
        else:
            own = list(self.patches)
        if len(own) != len(catalogs):
            raise ValueError(f"jackknife: {len(catalogs)} catalogs need as many arrays of labels")
        for place, (part, catalog) in enumerate(zip(own, catalogs, strict=True)):
            if part.shape != (len(catalog),):
                raise ValueError(
                    f"jackknife: labels of catalog {place + 1} have shape {part.shape}, "
                    f"the catalog {len(catalog)} objects"
                )
        names = np.unique(np.concatenate(own))
        _at_least_two("jackknife: number of patches", len(names))
        kept = tuple((part != names[:, None]).astype(np.float64) for part in own)
        return Resamples(kept, "jackknife", (len(names) - 1) / len(names))


@dataclass(frozen=True)
class LeaveOut:
    """A random fraction of the objects left out of each resample (Berman et al. 2025).

    The factor is that of the delete-d jackknife, kept/(left x n), so that the covariance is that
    of the whole catalog whatever the fraction f (Shao & Wu 1989); for pure noise in shears it
    comes out ``(2 - f)/(1 - f)`` times too large.

    Parameters
    ----------
    fraction : float
        Part of the objects that is left out; between 0 and 1.
    n : int
        Number of resamples, at least 2.

    Raises
    ------
    TypeError, ValueError
        A fraction that is not between 0 and 1, or `n` below 2.
    """

    fraction: float = 0.3
    n: int = 100

    def __post_init__(self) -> None:
        fraction = number("LeaveOut: fraction", self.fraction)
        if not 0 < fraction < 1:
            raise ValueError(f"LeaveOut: fraction = {self.fraction}: must lie between 0 and 1")
        object.__setattr__(self, "fraction", fraction)
        object.__setattr__(self, "n", _at_least_two("LeaveOut: n", self.n))

    def __str__(self) -> str:
        return f"leave-out:{self.fraction:g}:{self.n}"

    def resample(
        self, *catalogs: Catalog, seed: Seed = None, fixed: Sequence[int] = ()
    ) -> Resamples:
        """Which objects each resample keeps; all of the catalogs numbered `fixed`.

        Raises
        ------
        ValueError
            The fraction leaves out nothing or everything of a small catalog.
        """
        root = root_seed(seed)
        drawn, factors = [], []
        for catalog, name in _streams(catalogs, fixed):
            size = len(catalog)
            if name is None:
                drawn.append(np.ones((1, size)))
                continue
            left = round(self.fraction * size)
            if not 0 < left < size:
                raise ValueError(f"fraction = {self.fraction}: leaves out {left} of {size} objects")
            rng = stream(root, f"leave-out {name}")
            kept = np.ones((self.n, size))
            for row in kept:
                row[rng.choice(size, size=left, replace=False)] = 0.0
            drawn.append(kept)
            factors.append((size - left) / (left * self.n))
        return Resamples(tuple(drawn), "leave-out", float(np.mean(factors)))


Resampling = Bootstrap | Jackknife | LeaveOut


def as_resampling(given: Resampling | str | None) -> Resampling | None:
    """A way to resample, by itself or by its text; None and "none" for no resamples.

    Raises
    ------
    TypeError
        If it is neither.
    ValueError
        If the text is of none of the forms, or its numbers are not possible.

    Examples
    --------
    >>> from pysoftcorr.sky.resampling import as_resampling
    >>> as_resampling("leave-out:0.1:50")
    LeaveOut(fraction=0.1, n=50)
    """
    if given is None or isinstance(given, (Bootstrap, Jackknife, LeaveOut)):
        return given
    if not isinstance(given, str):
        raise TypeError(
            f"resampling = {given!r}: must be a Bootstrap, a Jackknife, a LeaveOut, or text such "
            "as 'bootstrap:100'"
        )
    method, *numbers = given.strip().lower().replace("_", "-").split(":")
    if method == "none" and not numbers:
        return None
    ways: dict[str, tuple[Any, tuple[int, ...]]] = {
        "bootstrap": (Bootstrap, (0, 1)),
        "jackknife": (Jackknife, (1,)),
        "leave-out": (LeaveOut, (0, 1, 2)),
    }
    way, lengths = ways.get(method, (None, ()))
    try:
        values = [int(text) if text.strip("+-").isdecimal() else float(text) for text in numbers]
        known = len(values) in lengths
    except ValueError:
        known = False
    if not known:
        raise ValueError(f"resampling = {given!r}: must be {_FORMS}, or 'none'")
    try:
        made: Resampling = way(*values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"resampling = {given!r}: {error}") from None
    return made


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

    _at_least_two("patches: n", n)
    if n > len(catalog):
        raise ValueError(f"n = {n} patches: more than the {len(catalog)} objects")
    start = np.empty((3, n))
    draws = stream(root_seed(seed), "patches").random(n)
    call("seed_centers", catalog.xyz, 3, len(catalog), np.ones(len(catalog)), n, draws, start)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # an empty patch; closed up below
        _, labels = kmeans2(catalog.xyz, start.T, iter=50, minit="matrix")
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def _streams(catalogs: Sequence[Catalog], fixed: Sequence[int]) -> list[tuple[Catalog, int | None]]:
    """Each catalog with the number of its random stream, None for a fixed one."""
    free = iter(range(len(catalogs)))
    return [(c, None if k in fixed else next(free)) for k, c in enumerate(catalogs)]


def _labels(given: object) -> IntArray:
    if isinstance(given, np.ma.MaskedArray) and np.ma.is_masked(given):
        missing = np.ma.getmaskarray(given)
        raise ValueError(
            f"Jackknife: patches are missing for {missing.sum()} of {missing.size} objects; leave "
            "these objects out, or give them a patch"
        )
    labels = np.asarray(given)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"Jackknife: patches must be integers, one per object, not {labels.dtype}")
    return labels.astype(np.int64)


def _nearest(catalog: Catalog, labels: IntArray, other: Catalog) -> IntArray:
    sums = np.zeros((labels.max() + 1, 3))
    np.add.at(sums, labels, catalog.xyz)
    return np.argmax(other.xyz @ (sums / np.linalg.norm(sums, axis=1, keepdims=True)).T, axis=1)


def _at_least_two(name: str, n: Any) -> int:
    count = integer(name, n)
    if count < 2:
        raise ValueError(f"{name} = {n}: an error needs at least 2 resamples")
    return count
