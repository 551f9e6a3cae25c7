"""Resampling of objects for the aleatoric error: bootstrap, jackknife over patches, leave-out.

Each class is a way to resample, given to the estimators as ``resampling=``; a text such as
"bootstrap:100" means the same. `Resamples` says how often every object counts in every resample,
or, where they are made of patches, every pair.
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
from pysoftcorr.core.memory import refuse_beyond_memory
from pysoftcorr.core.options import MOST, choice, count, integer, number
from pysoftcorr.core.random import Seed, root_seed, stream
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.geometry import FLAT
from pysoftcorr.sky.patch_pairs import PairWeights

__all__ = [
    "Bootstrap", "Jackknife", "LeaveOut", "Resamples", "Resampling", "as_resampling", "patches",
]  # fmt: skip

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
_FORMS = (
    "'bootstrap:N', 'jackknife:N', 'leave-out:FRACTION', 'leave-out:FRACTION:N', "
    "'bootstrap:N:PATCHES' (and behind it ':mean' or ':geom'), 'jackknife:N:match' (or ':mean')"
)
#: Of a bootstrap; the relative error of an error is 1/sqrt(2 n).
_MOST_RESAMPLES = 1_000_000
_JACKKNIFE_WEIGHTS = ("simple", "mean", "match", "geom")
_BOOTSTRAP_WEIGHTS = ("simple", "mean", "geom")


@dataclass(frozen=True, eq=False)
class Resamples:
    """How often each object counts in each of R resamples.

    Attributes
    ----------
    method : {"bootstrap", "jackknife", "leave-out"}
    factor : float
        The covariance is this times the sum of squares about the mean of the resamples.
    drawn : tuple of ndarray, each of shape (R, N) or (1, N)
        How often each object counts; an array per catalog, (1, N) of ones for one that is not
        resampled. Empty where patches are resampled.
    pairs : PairWeights, optional
        How much each pair counts, by the patches of its objects.
    """

    method: str
    factor: float
    drawn: tuple[FloatArray, ...] = ()
    pairs: PairWeights | None = None

    @property
    def n(self) -> int:
        """Number of resamples."""
        return max(len(m) for m in self.drawn) if self.pairs is None else self.pairs.n

    @property
    def multiplicity(self) -> tuple[FloatArray, ...]:
        """How often each object counts, (R, N) or (1, N) per catalog; made anew for patches."""
        if self.pairs is None:
            return self.drawn
        return tuple(self.pairs.multiplicity(k) for k in range(len(self.pairs.labels)))


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Objects drawn with replacement, each catalog by itself (Efron 1979), or patches of them.

    Patches are drawn from all catalogs at once, randoms included. The pairs of a patch count as
    often as it is drawn (its copies make no pairs with each other), those of two patches by
    `cross_patch_weight`; TreeCorr's "bootstrap".

    For a shear correlation without any signal this overstates the variance threefold: a pair drawn
    ``m_i m_j`` times has the variance 3. Where ``sigma_shot`` comes near the error found here,
    ``sigma_shot`` is the better one.

    Parameters
    ----------
    n : int
        Number of resamples, at least 2.
    patches : int, array_like of int (N,), or a tuple of them, one per catalog, optional
        Number of patches to be made as for `Jackknife`, or patches of your own, drawn instead of
        objects.
    cross_patch_weight : {"simple", "mean", "geom"}
        How often a pair of two patches counts that are drawn a and b times: a b ("simple"),
        (a + b)/2 ("mean") or sqrt(a b) ("geom", by which Mohammad & Percival 2022 bring the error
        of pure noise down; that of a strong signal then comes out too small).

    Raises
    ------
    TypeError, ValueError
        `n` is no whole number, or below 2; `patches` or `cross_patch_weight` is not possible.

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
    patches: Any = None
    cross_patch_weight: str = "simple"

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", _at_least_two("Bootstrap: n", self.n))
        way = choice("Bootstrap: cross_patch_weight", self.cross_patch_weight, _BOOTSTRAP_WEIGHTS)
        if self.patches is not None:
            object.__setattr__(self, "patches", _given_patches("Bootstrap", self.patches))
        elif way != "simple":
            raise ValueError(
                f"Bootstrap: cross_patch_weight = {way!r}: is for patches; give patches too, "
                "their number or a label per object"
            )

    def __str__(self) -> str:
        if self.patches is None:
            return f"bootstrap:{self.n}"
        number = self.patches if isinstance(self.patches, int) else "patches"
        return f"bootstrap:{self.n}:{number}" + _tail(self.cross_patch_weight)

    def resample(
        self, *catalogs: Catalog, seed: Seed = None, fixed: Sequence[int] = ()
    ) -> Resamples:
        """How often each object counts; the catalogs numbered `fixed` are not resampled.

        Patches are drawn from all.

        Raises
        ------
        ValueError
            Labels of another number or length than the catalogs; more patches than objects.
        """
        root = root_seed(seed)
        if self.patches is not None:
            labels, n = _patch_labels("bootstrap", self.patches, catalogs, root)
            rng = stream(root, "bootstrap of patches")
            times = [np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(self.n)]
            pairs = PairWeights.bootstrap(
                labels, np.array(times, dtype=np.float64), self.cross_patch_weight
            )
            return Resamples("bootstrap", 1.0 / (self.n - 1), pairs=pairs)
        drawn: list[FloatArray] = []
        for catalog, name in _streams(catalogs, fixed):
            size = len(catalog)
            if name is None:
                drawn.append(np.ones((1, size)))
                continue
            rng = stream(root, f"bootstrap {name}")
            _refuse_beyond_memory("Bootstrap", self.n, size)
            rows = [np.bincount(rng.integers(size, size=size), minlength=size)
                    for _ in range(self.n)]  # fmt: skip
            drawn.append(np.array(rows, dtype=np.float64))
        return Resamples("bootstrap", 1.0 / (self.n - 1), tuple(drawn))


@dataclass(frozen=True, eq=False)
class Jackknife:
    """Every patch left out once, from all catalogs.

    A pair whose objects are both kept counts once, one of two objects that are left out does not.
    The weight w of a pair with one object of each is a choice (Mohammad & Percival 2022,
    arXiv:2109.07071; TreeCorr's option of the same name). With w = 0 the variance of a correlation
    whose error is of first order in the objects (a strong signal) is right and that of pure noise
    twofold (Efron & Stein 1981); with "match" that of pure noise is right and the other half as
    large as it should be. With clusters every cluster is split into what is kept and what is left
    out, and w is the weight of the pairs of one such part with one of the other kind.

    Parameters
    ----------
    n : int, optional
        Number of patches, made by `patches` from the first catalog; objects of the others
        belong to the patch whose mean place is nearest.
    patches : array_like of int (N,), or a tuple of them, one per catalog, optional
        Patches of your own, instead of `n`.
    cross_patch_weight : {"simple", "mean", "match", "geom"}
        w = 0 ("simple"; "geom", the geometric mean of 0 and 1, is the same), 1/2 ("mean"), or
        ``1 - n/(2 + sqrt(2) (n - 1))`` ("match"; eq. 27 there).

    Raises
    ------
    TypeError, ValueError
        Neither or both of `n` and `patches`; fewer than 2 patches; labels that are no integers;
        no such weight.

    Examples
    --------
    >>> from pysoftcorr import Jackknife
    >>> str(Jackknife(25, cross_patch_weight="match"))
    'jackknife:25:match'
    """

    n: int | None = None
    patches: Any = None
    cross_patch_weight: str = "simple"

    def __post_init__(self) -> None:
        if (self.n is None) == (self.patches is None):
            raise ValueError(
                "Jackknife: give either n (number of patches) or patches (one label per object)"
            )
        choice("Jackknife: cross_patch_weight", self.cross_patch_weight, _JACKKNIFE_WEIGHTS)
        if self.n is not None:
            object.__setattr__(self, "n", _at_least_two("Jackknife: n", self.n))
        else:
            object.__setattr__(self, "patches", _given_labels("Jackknife", self.patches))

    def __str__(self) -> str:
        return f"jackknife:{self.n or 'patches'}" + _tail(self.cross_patch_weight)

    def resample(
        self, *catalogs: Catalog, seed: Seed = None, fixed: Sequence[int] = ()
    ) -> Resamples:
        """Which objects each resample keeps; patches are cut out of the `fixed` catalogs too.

        Raises
        ------
        ValueError
            Labels of another number or length than the catalogs; more patches than objects.
        """
        given = self.patches if self.n is None else self.n
        labels, n = _patch_labels("jackknife", given, catalogs, seed)
        pairs = PairWeights.jackknife(labels, n, self.cross_patch_weight)
        return Resamples("jackknife", (n - 1) / n, pairs=pairs)


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
            _refuse_beyond_memory("LeaveOut", self.n, size)
            kept = np.ones((self.n, size))
            for row in kept:
                row[rng.choice(size, size=left, replace=False)] = 0.0
            drawn.append(kept)
            factors.append((size - left) / (left * self.n))
        return Resamples("leave-out", float(np.mean(factors)), tuple(drawn))


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
    method, *parts = given.strip().lower().replace("_", "-").split(":")
    if method == "none" and not parts:
        return None
    ways: dict[str, tuple[Any, tuple[int, ...], tuple[str, ...]]] = {
        "bootstrap": (Bootstrap, (0, 1, 2), _BOOTSTRAP_WEIGHTS),
        "jackknife": (Jackknife, (1,), _JACKKNIFE_WEIGHTS),
        "leave-out": (LeaveOut, (0, 1, 2), ()),
    }
    way, lengths, weights = ways.get(method, (None, (), ()))
    numbers, more = parts, {}
    if parts and parts[-1] in weights:
        numbers, more = parts[:-1], {"cross_patch_weight": parts[-1]}
    try:
        values = [int(text) if text.strip("+-").isdecimal() else float(text) for text in numbers]
        known = len(values) in lengths
    except ValueError:
        known = False
    if not known:
        raise ValueError(f"resampling = {given!r}: must be {_FORMS}, or 'none'")
    try:
        made: Resampling = way(*values, **more)
    except (TypeError, ValueError) as error:
        raise ValueError(f"resampling = {given!r}: {error}") from None
    return made


def patches(catalog: Catalog, n: int, *, seed: Seed = None) -> IntArray:
    """Compact patches of about equal extent: k-means with a k-means++ start.

    On the sphere, or in the plane of a flat catalog.

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

    n = _at_least_two("patches: n", n)
    if n > len(catalog):
        raise ValueError(
            f"n = {n} patches: more than the {len(catalog)} objects; the most is resampling = "
            f"'jackknife:{len(catalog)}'"
        )
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


def _given_labels(way: str, given: Any) -> tuple[IntArray, ...]:
    return tuple(_labels(way, part) for part in (given if isinstance(given, tuple) else (given,)))


def _given_patches(way: str, given: Any) -> int | tuple[IntArray, ...]:
    """Number of patches, or their labels."""
    if not isinstance(given, tuple) and np.ndim(given) == 0:
        return integer(f"{way}: patches", given, least=2)
    return _given_labels(way, given)


def _labels(way: str, given: object) -> IntArray:
    if isinstance(given, np.ma.MaskedArray) and np.ma.is_masked(given):
        missing = np.ma.getmaskarray(given)
        raise ValueError(
            f"{way}: patches are missing for {missing.sum()} of {missing.size} objects; leave "
            "these objects out, or give them a patch"
        )
    labels = np.asarray(given)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{way}: patches must be integers, one per object, not {labels.dtype}")
    return labels.astype(np.int64)


def _patch_labels(
    way: str, given: int | tuple[IntArray, ...], catalogs: Sequence[Catalog], seed: Seed
) -> tuple[tuple[IntArray, ...], int]:
    """Labels from 0 on for each catalog, and the number of patches."""
    if isinstance(given, int):
        first = patches(catalogs[0], given, seed=seed)
        own = [first, *(_nearest(catalogs[0], first, other) for other in catalogs[1:])]
    else:
        own = list(given)
    if len(own) != len(catalogs):
        raise ValueError(f"{way}: {len(catalogs)} catalogs need as many arrays of labels")
    for place, (part, catalog) in enumerate(zip(own, catalogs, strict=True)):
        if part.shape != (len(catalog),):
            raise ValueError(
                f"{way}: labels of catalog {place + 1} have shape {part.shape}, "
                f"the catalog {len(catalog)} objects"
            )
    names, numbers = np.unique(np.concatenate(own), return_inverse=True)
    _at_least_two(f"{way}: number of patches", len(names))
    cuts = np.cumsum([len(part) for part in own])[:-1]
    return tuple(part.astype(np.int64) for part in np.split(numbers, cuts)), len(names)


def _tail(cross_patch_weight: str) -> str:
    return "" if cross_patch_weight == "simple" else f":{cross_patch_weight}"


def _nearest(catalog: Catalog, labels: IntArray, other: Catalog) -> IntArray:
    sums = np.zeros((labels.max() + 1, 3))
    np.add.at(sums, labels, catalog.xyz)
    if catalog.geometry == FLAT:
        means = sums / np.bincount(labels)[:, None]
        middle = means.mean(axis=0)
        means -= middle
        return np.argmin((means**2).sum(axis=1) - 2 * (other.xyz - middle) @ means.T, axis=1)
    return np.argmax(other.xyz @ (sums / np.linalg.norm(sums, axis=1, keepdims=True)).T, axis=1)


def _refuse_beyond_memory(way: str, n: int, size: int) -> None:
    # How often each object counts, drawn and then stacked.
    refuse_beyond_memory(f"{way}: n = {n} for {size} objects", 24.0 * n * size)


def _at_least_two(name: str, n: Any) -> int:
    found = count(name, n, least=-MOST, most=_MOST_RESAMPLES)
    if found < 2:
        raise ValueError(f"{name} = {found}: an error needs at least 2 resamples")
    return found
