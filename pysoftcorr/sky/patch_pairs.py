"""Pairs weighted by the patches of their two objects: jackknife and bootstrap over patches.

A jackknife leaves out one patch at a time, a bootstrap of patches draws them with replacement. What
becomes of a pair whose objects lie in two patches is a choice of its own (Mohammad & Percival 2022,
arXiv:2109.07071, section 4), in TreeCorr the option ``cross_patch_weight``. Every such choice is
linear in the sums over the pairs of two patches, which are made once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from pysoftcorr.core.farm.blocks import Farm, batches
from pysoftcorr.core.progress import watched

if TYPE_CHECKING:
    from pysoftcorr.sky.pairs import Objects

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
# Sums (R, nbins, nsums) over the pairs of two sets of objects, or of one.
Kernel = Callable[[Any, Any], FloatArray]

#: Number of sums of counts alone, and of those with xi+ and xi- of one field.
_COUNTS, _ONE_FIELD = 4, 8


@dataclass(frozen=True, eq=False)
class PairWeights:
    """How much a pair counts in each of R resamples, by the patches of its objects.

    Attributes
    ----------
    labels : tuple of ndarray of int64, each of shape (N,)
        Patch of each object, 0 to n - 1; an array per catalog.
    times : ndarray, shape (R, n)
        How often each patch is there: 0 or 1 for the jackknife.
    own : ndarray, shape (R, n)
        Weight of the pairs within each patch.
    part : ndarray, shape (R, n)
        What each of two patches adds to the weight of the pairs between them; their weight is the
        sum of both parts, or with `product` the product.
    product : bool
    """

    labels: tuple[IntArray, ...]
    times: FloatArray
    own: FloatArray
    part: FloatArray
    product: bool = False

    @property
    def n(self) -> int:
        """Number of resamples."""
        return len(self.own)

    @property
    def n_patches(self) -> int:
        """Number of patches."""
        return self.own.shape[1]

    @classmethod
    def whole(cls, labels: tuple[IntArray, ...], n: int) -> PairWeights:
        """Every pair once, cut into n patches for the work alone."""
        return cls(labels, np.ones((1, n)), np.ones((1, n)), np.full((1, n), 0.5))

    @classmethod
    def jackknife(cls, labels: tuple[IntArray, ...], n: int, way: str) -> PairWeights:
        """Patch r left out of resample r; pairs with one object in it keep a part of their weight.

        The part is 0 ("simple", "geom"), 1/2 ("mean"), or ``1 - n/(2 + sqrt(2) (n - 1))``
        ("match"; Mohammad & Percival 2022, eq. 27).
        """
        kept = 1.0 - np.eye(n)
        cut = {"mean": 0.5, "match": 1 - n / (2 + np.sqrt(2) * (n - 1))}.get(way, 0.0)
        return cls(labels, kept, kept, np.where(kept > 0, 0.5, cut - 0.5))

    @classmethod
    def bootstrap(cls, labels: tuple[IntArray, ...], times: FloatArray, way: str) -> PairWeights:
        """Patches that count `times` (R, n) times.

        The pairs of each patch count as often as it does (copies of a patch make no pairs with each
        other), those between two as the product ("simple"), the geometric mean ("geom") or the mean
        ("mean") of both numbers.
        """
        if way == "mean":
            return cls(labels, times, times, times / 2)
        return cls(labels, times, times, times if way == "simple" else np.sqrt(times), product=True)

    def with_whole(self) -> PairWeights:
        """Weights of these resamples behind those of one in which every pair counts once."""
        first = np.ones((1, self.n_patches))
        return replace(
            self,
            times=np.vstack([first, self.times]),
            own=np.vstack([first, self.own]),
            part=np.vstack([first if self.product else first / 2, self.part]),
        )

    def multiplicity(self, catalog: int) -> FloatArray:
        """How often each object of a catalog is there, shape (R, N)."""
        return self.times[:, self.labels[catalog]]

    def between(self, p: int, q: int) -> FloatArray:
        """Weight of the pairs between two different patches, shape (R,)."""
        if self.product:
            return self.part[:, p] * self.part[:, q]
        return self.part[:, p] + self.part[:, q]

    @property
    def cut(self) -> float:
        """Weight of the pairs with one object in the patch that a jackknife leaves out."""
        return 0.0 if self.product else float(self.between(0, 1)[0])

    def norm(self, first: FloatArray, second: FloatArray | None = None) -> FloatArray:
        """Weights of all pairs, (R,), from the sums of weights (n,) of each patch.

        For one catalog half the square of the sum of weights where every pair counts once.
        """
        if second is None:
            within, other, half = first**2 / 2, first, 0.5
        else:
            within, other, half = first * second, second, 1.0
        # not by BLAS, whose bits depend on the number of threads
        if self.product:
            one, two = ((self.part * w).sum(axis=1) for w in (first, other))
            pairs = half * (one * two - (self.part**2 * first * other).sum(axis=1))
        else:
            touching = first * (other.sum() - other) + other * (first.sum() - first)
            pairs = half * (self.part * touching).sum(axis=1)
        return np.asarray((self.own * within).sum(axis=1) + pairs)


class Tally:
    """Sums of every resample, from the sums (nbins, nsums) over the pairs of two patches.

    Parameters
    ----------
    weights : PairWeights
    """

    def __init__(self, weights: PairWeights) -> None:
        self.weights = weights
        self._within: dict[int, FloatArray] = {}
        self._touching: dict[int, FloatArray] = {}
        self._between: FloatArray | float = 0.0

    def add(self, p: int, q: int, sums: FloatArray) -> None:
        """Pairs of an object in patch `p` and one in patch `q`."""
        if p == q:
            self._gather(self._within, p, sums)
        elif self.weights.product:
            self._between = self._between + self.weights.between(p, q)[:, None, None] * sums
        else:
            self._gather(self._touching, p, sums)
            self._gather(self._touching, q, sums)

    @staticmethod
    def _gather(into: dict[int, FloatArray], p: int, sums: FloatArray) -> None:
        into[p] = into[p] + sums if p in into else np.array(sums)

    def sums(self) -> FloatArray:
        """Shape (R, nbins, nsums); 0 throughout in a bin without pairs."""
        some = next(iter((self._within | self._touching).values()), None)
        shape = np.shape(self._between)[1:] if some is None else some.shape
        out = np.zeros((self.weights.n, *shape)) + self._between
        for coefficients, gathered in (
            (self.weights.own, self._within), (self.weights.part, self._touching),
        ):  # fmt: skip
            if gathered:
                chosen = np.array(sorted(gathered))
                stacked = np.array([gathered[p] for p in chosen])
                out += np.einsum("rp,pbs->rbs", coefficients[:, chosen], stacked)
        # Counts are exact, so that they tell where nothing but rounding is left.
        out[out[..., 0] == 0] = 0.0
        return out


def patch_sums(
    kernel: Kernel,
    weights: PairWeights,
    one: Patches,
    two: Patches | None,
    *,
    reach: float,
    farm: Farm | None = None,
    progress: str | None = None,
) -> FloatArray:
    """Sums (R, nbins, nsums) of every resample, from one pass over the pairs.

    Parameters
    ----------
    kernel : callable
        Sums (1, nbins, nsums) over the pairs of two sets, or of one where the second is None.
    weights : PairWeights
    one, two : Patches
        Of one version of objects; the pairs of the first alone where the second is None.
    reach : float
        Pairs that are farther apart count in no bin; in the unit of positions.
    farm : Farm, optional
        Workers that share the pairs of patches; the sums have the same bits.
    progress : str, optional
        Title of a progress bar, shown when standard error is a terminal.
    """
    tally = Tally(weights)
    pairs, costs = _within(one, one if two is None else two, two is None, reach)
    if farm is not None:
        cuts = batches(costs)
        found = farm.each(
            _sums_of, (one, two), [(kernel, pairs[cut]) for cut in cuts], title=progress
        )
        for cut, sums in zip(cuts, found, strict=True):
            for (p, q), each in zip(pairs[cut], sums, strict=True):
                tally.add(p, q, each)
        return tally.sums()
    hidden = progress is None or not watched()
    with tqdm(total=sum(costs), desc=progress, leave=False, disable=hidden, delay=0.5) as bar:
        for (p, q), cost in zip(pairs, costs, strict=True):
            tally.add(p, q, _sums_of(one, two, (kernel, [(p, q)]))[0])
            bar.update(cost)
    return tally.sums()


def _sums_of(
    one: Patches, two: Patches | None, block: tuple[Kernel, list[tuple[int, int]]]
) -> FloatArray:
    """Sums (n, nbins, nsums) over the pairs of n pairs of patches."""
    kernel, pairs = block
    out = []
    for p, q in pairs:
        a = one.inside(p)
        if two is not None:
            out.append(kernel(a, two.inside(q))[0])
        elif p == q:
            out.append(kernel(a, None)[0])
        else:
            out.append(both_orders(kernel, a, one.inside(q))[0])
    return np.array(out)


def _within(
    one: Patches, two: Patches, auto: bool, reach: float
) -> tuple[list[tuple[int, int]], list[float]]:
    """Pairs of patches, each once, that have objects within `reach`, and of how many pairs."""
    pairs = []
    for p in np.flatnonzero(one.sizes):
        apart = np.sqrt(((two.centers - one.centers[p]) ** 2).sum(axis=1))
        near = (apart - two.radii - one.radii[p] <= reach) & (two.sizes > 0)
        if auto:
            near[:p] = False
        pairs += [(int(p), int(q)) for q in np.flatnonzero(near)]
    if not pairs:  # one all the same, which says how many sums there are
        pairs = [(int(np.argmax(one.sizes)), int(np.argmax(two.sizes)))]
    return pairs, [float(one.sizes[p] * two.sizes[q]) for p, q in pairs]


def both_orders(kernel: Kernel, a: Objects, b: Objects) -> FloatArray:
    """Sums over the pairs of two parts of one set, whose products are the mean of both orders."""
    out = kernel(a, b)
    sums = out.shape[-1]
    if sums == _COUNTS:
        return out
    if sums == _ONE_FIELD:  # of xi+ the other order is the conjugate, and xi- has none
        out[..., _COUNTS + 1] = 0.0
        return out
    return (out + kernel(b, a)) / 2


class Patches:
    """Objects sorted by patch, so that those of each are a slice.

    Parameters
    ----------
    objects : Objects
        Of one version.
    labels : ndarray of int64, shape (N,)
        From 0 on.
    n : int
        Number of patches.
    """

    def __init__(self, objects: Objects, labels: IntArray, n: int) -> None:
        order = np.argsort(labels, kind="stable")
        self.starts = np.searchsorted(labels[order], np.arange(n + 1))
        self.objects = take(objects, order)
        self.sizes = np.diff(self.starts)
        self.centers, self.radii = np.zeros((n, 3)), np.zeros(n)
        for p in np.flatnonzero(self.sizes):
            places = self.objects.xyz[0, self.starts[p] : self.starts[p + 1]]
            self.centers[p] = places.mean(axis=0)
            self.radii[p] = np.sqrt(((places - self.centers[p]) ** 2).sum(axis=1).max())

    def inside(self, p: int) -> Objects:
        """The objects of a patch."""
        return take(self.objects, slice(self.starts[p], self.starts[p + 1]))


def compact_parts(xyz: FloatArray, n: int) -> IntArray:
    """Labels 0 to n - 1 of compact parts of about one size: halved along their longest side.

    Parameters
    ----------
    xyz : ndarray, shape (N, 3)
    n : int
        At most N.
    """
    labels = np.zeros(len(xyz), dtype=np.int64)
    waiting = [(np.arange(len(xyz)), 0, n)]
    while waiting:
        rows, first, parts = waiting.pop()
        if parts == 1:
            labels[rows] = first
            continue
        places = xyz[rows]
        axis = int(np.argmax(places.max(axis=0) - places.min(axis=0)))
        order = np.argsort(places[:, axis], kind="stable")
        low = parts // 2
        cut = len(rows) * low // parts
        waiting += [
            (rows[order[:cut]], first, low), (rows[order[cut:]], first + low, parts - low)
        ]  # fmt: skip
    return labels


def take(objects: Objects, chosen: Any) -> Objects:
    """Some of the objects, without what is said of their patches."""
    return replace(
        objects,
        xyz=np.ascontiguousarray(objects.xyz[:, chosen]),
        w=np.ascontiguousarray(objects.w[:, chosen]),
        fields=np.ascontiguousarray(objects.fields[:, chosen]),
        pair_weights=None,
        farm=None,
    )
