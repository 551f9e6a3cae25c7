"""Pair sums of sets of objects: what every hard-binned estimator is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from pysoftcorr._julia import call
from pysoftcorr.core.farm.blocks import Farm, batches
from pysoftcorr.sky import treecorr as _treecorr
from pysoftcorr.sky.binning import Binning
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.clustering import Clustering
from pysoftcorr.sky.device.hard import Versions, hard_pair_sums
from pysoftcorr.sky.geometry import FLAT, NUMBERS, SKY, plane_scale
from pysoftcorr.sky.patch_pairs import (
    PairWeights,
    Patches,
    both_orders,
    compact_parts,
    patch_sums,
)  # fmt: skip

FloatArray = npt.NDArray[np.float64]

#: Objects of a part of the work, and how many parts there are at least.
_OF_A_PART, _LEAST_PARTS = 50_000, 8
T = TypeVar("T", np.float64, np.complex128)

# Numbers of `KINDS` in julia/src/entries/pairs.jl, and how many sums each makes.
KINDS = {"nn": (1, 4), "ng": (2, 6), "gg": (3, 8), "rho": (4, 24), "psf": (5, 28), "tau": (6, 16)}


@dataclass(frozen=True)
class Objects:
    """R versions of a set of n objects, or one version with R sets of weights.

    Attributes
    ----------
    xyz : ndarray, shape (1 or R, n, 3)
        Unit vectors, or x, y and 0, as of a `Catalog`.
    w : ndarray, shape (R, n)
        Weights.
    fields : ndarray, shape (1 or R, n, 2K)
        g1 and g2 of each of K spin-2 fields, in turn.
    members : ndarray, shape (R,)
        Sum of the squared weights of the catalog's objects, whether clustered or not.
    pair_weights : PairWeights, optional
        Resamples of one version of objects (not clusters): how much each pair counts.
    place : int
        Number of the catalog among those of `pair_weights`.
    left : Objects, optional
        What a jackknife leaves out of each of R versions of clusters.
    cut : float
        Weight of the pairs with one of two parts among those left out.
    positions : Catalog, optional
        The catalog, where its pairs are to be counted by TreeCorr.
    geometry : {"sky", "flat"}
    device : str
        Where the pairs are summed: "cpu" or a CUDA device.
    farm : Farm, optional
        Workers that share the pairs.
    """

    xyz: FloatArray
    w: FloatArray
    fields: FloatArray
    members: FloatArray
    pair_weights: PairWeights | None = None
    place: int = 0
    left: Objects | None = None
    cut: float = 0.0
    positions: Catalog | None = None
    geometry: str = SKY
    device: str = "cpu"
    farm: Farm | None = None

    @property
    def versions(self) -> int:
        """R."""
        return max(len(self.xyz), len(self.w))

    @cached_property
    def by_patch(self) -> Patches:
        """The objects sorted by the patches of `pair_weights`."""
        assert self.pair_weights is not None
        return Patches(self, self.pair_weights.labels[self.place], self.pair_weights.n_patches)

    @cached_property
    def in_parts(self) -> Patches:
        """The objects of one version in compact parts, a function of their places alone."""
        n = self.w.shape[1]
        parts = min(max(_LEAST_PARTS, -(-n // _OF_A_PART)), n)
        return Patches(self, compact_parts(self.xyz[0], parts), parts)

    @cached_property
    def constant(self) -> Objects:
        """What all versions have in common; the rest empty."""
        kept: dict[str, Any] = {
            name: part if len(part) == 1 else part[:0] for name, part in self._parts()
        }
        return replace(self, pair_weights=None, left=None, positions=None, farm=None, **kept)

    def only(self, chosen: slice) -> dict[str, FloatArray]:
        """Some of the versions, without what `constant` has."""
        return {name: part[chosen] for name, part in self._parts() if len(part) > 1}

    def _parts(self) -> list[tuple[str, FloatArray]]:
        return [(name, getattr(self, name)) for name in ("xyz", "w", "fields", "members")]

    @property
    def total(self) -> FloatArray:
        """Sum of weights of each version, shape (R,)."""
        return self.w.sum(axis=1)

    @property
    def norm_auto(self) -> FloatArray:
        """Half the squared sum of weights less the pairs hidden within clusters, shape (R,).

        For objects by themselves this is what TreeCorr divides counts by: the sum of the weights
        of all unordered pairs, and half of each object's own square. Pairs across patches count
        with their weights.
        """
        if self.pair_weights is not None:
            return self.pair_weights.norm(self.of_patches)
        norm = 0.5 * (self.total**2 - (self.w**2).sum(axis=1) + self.members)
        if self.left is not None:
            hidden = (self.w * self.left.w).sum(axis=1)
            norm = norm + self.cut * (self.total * self.left.total - hidden)
        return norm

    @property
    def of_patches(self) -> FloatArray:
        """Sum of weights in each patch, shape (n_patches,)."""
        assert self.pair_weights is not None
        labels = self.pair_weights.labels[self.place]
        out = np.bincount(labels, self.w[0], minlength=self.pair_weights.n_patches)
        return out.astype(np.float64)

    def variance(self) -> FloatArray:
        """Shape noise of each field per component, of the first version, shape (K,).

        Sum of w^2 |g - mean g|^2 over sum of w, halved for the two components.
        """
        w = self.w[0]
        if w.sum() == 0:
            return np.full(self.fields.shape[2] // 2, np.nan)
        g = self.fields[0, :, 0::2] + 1j * self.fields[0, :, 1::2]
        residual = np.abs(g - np.average(g, axis=0, weights=w)) ** 2
        # Not a product of matrices, whose last bits depend on the number of BLAS's threads.
        noise = np.array([np.sum(w**2 * one) for one in residual.T])
        return noise / w.sum() / 2


@dataclass(frozen=True)
class Source:
    """A catalog as an estimator sees it: its objects, its fields, and perhaps its clusters."""

    catalog: Catalog
    fields: FloatArray
    clustering: Clustering | None = None
    method: str = "pairs"
    device: str = "cpu"
    farm: Farm | None = None

    @classmethod
    def of(
        cls,
        catalog: Catalog,
        fields: tuple[npt.NDArray[np.complex128], ...] = (),
        clustering: Clustering | None = None,
    ) -> Source:
        """From complex fields, each of shape (N,)."""
        parts = [part for field in fields for part in (field.real, field.imag)]
        stacked = np.stack(parts, axis=1) if parts else np.empty((len(catalog), 0))
        return cls(catalog, np.ascontiguousarray(stacked), clustering)

    def base(self, assignment: str, seed: int) -> Objects:
        """The objects themselves, or their clusters by one assignment."""
        w = self.catalog.w[None]
        if self.clustering is None:
            return self._plain(w)
        if assignment == "soft":
            return self._shared(w, self.clustering.assign("soft"))
        return self._labeled(w, self.clustering.assign(assignment, seed=seed)[None])

    def drawn(self, n: int, seed: int) -> Objects:
        """Clusters of n sampled assignments."""
        assert self.clustering is not None
        # Draws at once share the memberships, of which sparse clusterings make those beyond the
        # nearest centers anew: as many as fit, where nobody else takes a part.
        costs = [float(len(self.catalog))] * n
        cuts = batches(costs, blocks=1) if self.farm is None else batches(costs)
        uniforms = self.clustering.uniforms([cut.stop - cut.start for cut in cuts], seed)
        if self.farm is None:
            found = [_drawn(self, uniform) for uniform in uniforms]
        else:
            found = self.farm.map(
                _drawn, (self._bare,), list(uniforms), title="assignments", large=True
            )
        x, w, g = (np.concatenate([getattr(o, p) for o in found]) for p in ("xyz", "w", "fields"))
        return replace(found[0], xyz=x, w=w, fields=g, farm=self.farm)

    @cached_property
    def _bare(self) -> Source:
        """This source without its workers, which cannot be sent to one."""
        return replace(self, farm=None)

    def resampled(self, multiplicity: FloatArray) -> Objects:
        """The objects (or the clusters they fall into greedily) with resampled weights (R, N)."""
        w = np.ascontiguousarray(multiplicity * self.catalog.w)
        if self.clustering is None:
            return self._plain(w)
        return self._labeled(w, self.clustering.assign("greedy")[None])

    def by_patch(self, weights: PairWeights, place: int) -> Objects:
        """Resamples by patch of the objects, or of the clusters that they fall into greedily.

        A jackknife splits every cluster into what is kept and what is left out. The pairs of two
        kept parts count once, those of a kept part with one left out by the weight of pairs across
        patches, those of two parts left out not at all, nor do those within a cluster.
        """
        if self.clustering is None:
            whole = self._plain(self.catalog.w[None])
            return replace(whole, pair_weights=weights, place=place)
        kept = self.resampled(weights.multiplicity(place))
        if not weights.cut:
            return kept
        left = self.resampled(1.0 - weights.multiplicity(place))
        return replace(kept, left=left, cut=weights.cut)

    def _plain(self, w: FloatArray) -> Objects:
        positions = self.catalog if self.method == "treecorr" else None
        return Objects(
            self.catalog.xyz[None], w, self.fields[None], _squares(w), positions=positions,
            geometry=self.catalog.geometry, device=self.device, farm=self.farm,
        )  # fmt: skip

    @property
    def _number(self) -> int:
        return NUMBERS[self.catalog.geometry]

    def _outputs(self, r: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        assert self.clustering is not None
        c = self.clustering.n_clusters
        return np.empty((r, c, 3)), np.empty((r, c)), np.empty((r, c, self.fields.shape[1]))

    def _labeled(self, w: FloatArray, labels: npt.NDArray[np.int64]) -> Objects:
        assert self.clustering is not None
        r = max(len(w), len(labels))
        x, cw, g = self._outputs(r)
        call(
            "label_means", self._number, self.catalog.xyz, len(self.catalog), self.fields,
            self.fields.shape[1],
            np.ascontiguousarray(w), len(w), np.ascontiguousarray(labels + 1), len(labels),
            self.clustering.n_clusters, r, x, cw, g,
        )  # fmt: skip
        return Objects(
            x, cw, g, _squares(w), geometry=self.catalog.geometry, device=self.device,
            farm=self.farm,
        )  # fmt: skip

    def _shared(self, w: FloatArray, share: FloatArray) -> Objects:
        assert self.clustering is not None
        x, cw, g = self._outputs(len(w))
        call(
            "share_means", self._number, self.catalog.xyz, len(self.catalog), self.fields,
            self.fields.shape[1],
            np.ascontiguousarray(w), len(w), share, self.clustering.n_clusters, x, cw, g,
        )  # fmt: skip
        return Objects(
            x, cw, g, _squares(w), geometry=self.catalog.geometry, device=self.device,
            farm=self.farm,
        )  # fmt: skip


def _drawn(source: Source, uniform: FloatArray) -> Objects:
    """Clusters of the assignments that random numbers (R, N) draw."""
    assert source.clustering is not None
    return source._labeled(source.catalog.w[None], source.clustering.drawn_by(uniform))


def _squares(w: FloatArray) -> FloatArray:
    return np.asarray((w**2).sum(axis=1))


@dataclass(frozen=True)
class PairSums:
    """Sums over the pairs of R versions, each of shape (R, nbins).

    ``products`` is complex (R, nbins, n): tangential and cross shear, or xi+ and xi- of each
    combination of fields. ``logtheta`` is a sum over pairs that are apart, ``apart`` the weight of
    these. ``coincident``, (R,), counts the pairs at theta = 0 among the others.
    """

    npairs: FloatArray
    weight: FloatArray
    theta: FloatArray
    logtheta: FloatArray
    apart: FloatArray
    products: npt.NDArray[np.complex128]
    coincident: FloatArray

    @property
    def mean_theta(self) -> FloatArray:
        """Weighted mean separation."""
        return mean(self.theta, self.weight)

    @property
    def mean_logtheta(self) -> FloatArray:
        """Weighted mean of its logarithm, over the pairs that are apart."""
        return mean(self.logtheta, self.apart)


@dataclass(frozen=True)
class Pairs:
    """Sums over pairs with and without those of coincident objects.

    Two objects at one place, to rounding (a separation of 4e-15 rad, four units in the last place
    of 360 degrees), have the separation 0 and no direction from one to the other.
    """

    apart: PairSums
    every: PairSums

    def chosen(self, coincident: str) -> PairSums:
        """Sums that the option ``coincident="keep"`` or ``"drop"`` asks for."""
        return self.every if coincident == "keep" else self.apart


def pair_sums(
    kind: str, first: Objects, second: Objects | None, bins: Binning, progress: str | None = None
) -> Pairs:
    """Sums over the pairs of two sets, or over each unordered pair of one set.

    ``theta`` and ``logtheta`` are weighted sums, in the unit of `bins`.
    """
    other = first if second is None else second
    kernel = partial(_kernel, kind, bins=bins, progress=progress)
    if first.positions is not None or other.positions is not None:
        out = _treecorr.sums(kind, first, second, bins, partial(_by_patch, kind))
    elif first.pair_weights is not None:
        out = _by_patch(kind, first, second, bins, progress)
    elif first.left is not None or other.left is not None:
        out = _clusters_cut(kernel, first, second)
    else:
        out = kernel(first, second)
    # what rounding leaves of weights that cancel is no weight
    negative = any((o.w < 0).any() for o in (first, other))
    largest = np.abs(first.w).max() * np.abs(other.w).max() if negative else 0.0
    # radians per unit of the bins, or units of the plane
    edges = bins.edges_flat if first.geometry == FLAT else bins.edges_rad
    scale = edges[-1] / bins.edges[-1]
    own, met = out[:, : bins.nbins], out[:, bins.nbins :]
    apart = _pair_sums(own, own, scale, 1e-13 * largest, np.zeros(len(own)))
    if not met.size or not met[..., 0].any():
        return Pairs(apart, apart)
    every = own.copy()
    every[:, :1] += met
    return Pairs(apart, _pair_sums(every, own, scale, 1e-13 * largest, met[:, 0, 0]))


def _pair_sums(
    sums: FloatArray, apart: FloatArray, scale: float, tiny: float, coincident: FloatArray
) -> PairSums:
    """From sums (R, nbins, nsums) of pairs, and those of the pairs that are `apart`."""
    pairs, weight = sums[..., 0], sums[..., 1]
    if tiny:
        weight = np.where(np.abs(weight) <= tiny * pairs, 0.0, weight)
    logtheta = apart[..., 3] - apart[..., 1] * np.log(scale)
    products = sums[..., 4::2] + 1j * sums[..., 5::2]
    return PairSums(
        pairs, weight, sums[..., 2] / scale, logtheta, apart[..., 1], products, coincident
    )


def _kernel(
    kind: str,
    first: Objects,
    second: Objects | None,
    bins: Binning,
    progress: str | None = None,
) -> FloatArray:
    """Sums (R, nbins + 1, nsums) as the kernels give them: coincident pairs in the last bin."""
    other = first if second is None else second
    if first.farm is not None:
        return _by_workers(kind, first, second, bins, progress)
    flat = first.geometry == FLAT
    unit = plane_scale(first.xyz, other.xyz) if flat else 1.0
    sets = []
    for o in (first, other):
        fields = np.empty((len(o.xyz), o.xyz.shape[1], 0)) if kind == "nn" else o.fields
        if kind == "ng" and o is first:
            fields = np.empty((len(o.xyz), o.xyz.shape[1], 0))
        sets.append(
            Versions(
                np.ascontiguousarray(o.xyz / unit if flat else o.xyz), np.ascontiguousarray(o.w),
                np.ascontiguousarray(fields),
            )
        )  # fmt: skip
    edges = _edges_flat(bins, unit) if flat else _edges(bins)
    one, two = sets
    if first.device != "cpu":
        out = hard_pair_sums(
            kind, one, None if second is None else two, edges, flat=flat, device=first.device
        )
    else:
        number, nsums = KINDS[kind]
        r = max(len(part) for v in sets for part in (v.xyz, v.w))
        out = np.empty((r, bins.nbins + 1, nsums))
        args = [
            (v.xyz, v.w, v.fields, v.xyz.shape[1], len(v.xyz), len(v.w)) for v in sets
        ]  # fmt: skip
        call(
            "pair_sums_of", number, NUMBERS[first.geometry], int(second is None), r, *args[0],
            *args[1], edges, bins.nbins, out, progress=progress,
        )  # fmt: skip
    if unit != 1.0:
        out[..., 3] += out[..., 1] * np.log(unit)
        out[..., 2] *= unit
    return out


def _by_patch(
    kind: str,
    first: Objects,
    second: Objects | None,
    bins: Binning,
    progress: str | None = None,
) -> FloatArray:
    """Sums (R, nbins, nsums) of resamples by patch; R = 1 of objects without."""
    kernel = partial(_kernel, kind, bins=bins)
    if first.pair_weights is None:
        return kernel(first, second)
    return patch_sums(
        kernel, first.pair_weights, first.by_patch, None if second is None else second.by_patch,
        reach=_reach(first, bins), farm=first.farm, progress=progress,
    )  # fmt: skip


def _by_workers(
    kind: str,
    first: Objects,
    second: Objects | None,
    bins: Binning,
    progress: str | None = None,
) -> FloatArray:
    """Sums of `_kernel` by workers: of compact parts of one version, or of some versions each."""
    kernel, farm = partial(_kernel, kind, bins=bins), first.farm
    assert farm is not None
    r = max(first.versions, 1 if second is None else second.versions)
    if r == 1:
        one, two = first.in_parts, None if second is None else second.in_parts
        n = len(one.sizes) if two is None else max(len(one.sizes), len(two.sizes))
        return patch_sums(
            kernel, PairWeights.whole((), n), one, two, reach=_reach(first, bins), farm=farm,
            progress=progress,
        )  # fmt: skip
    cost = float(first.w.shape[1]) * (first if second is None else second).w.shape[1]
    blocks = [
        (kernel, first.only(cut), None if second is None else second.only(cut))
        for cut in batches([cost] * r)
    ]
    shared = first.constant, None if second is None else second.constant
    return np.concatenate(farm.map(_of_versions, shared, blocks, title=progress, large=True))


def _of_versions(
    first: Objects, second: Objects | None, block: tuple[Any, dict[str, Any], Any]
) -> FloatArray:
    """Sums over the pairs of some versions."""
    kernel, one, two = block
    out: FloatArray = kernel(
        replace(first, **one), None if second is None else replace(second, **two)
    )
    return out


def _reach(objects: Objects, bins: Binning) -> float:
    """A distance beyond which pairs are in no bin, in the unit of positions."""
    if objects.geometry == FLAT:
        return float(bins.edges_flat[-1] * (1 + 1e-9))
    if bins.edges_rad[-1] > np.pi * (1 - 1e-9):
        return np.inf
    return float(np.sqrt(bins.edges_chord2[-1]) * (1 + 1e-9) + 1e-12)


def _clusters_cut(
    kernel: Callable[..., FloatArray], first: Objects, second: Objects | None
) -> FloatArray:
    """Sums (R, nbins, nsums) where clusters are cut into parts kept and parts left out."""
    out = kernel(first, second)
    assert first.left is not None
    if second is not None:
        assert second.left is not None
        return out + first.cut * (kernel(first, second.left) + kernel(first.left, second))
    across = both_orders(kernel, first, first.left)
    # Both parts of one cluster make no pair, as its members make none.
    r, c = np.nonzero((first.w != 0) & (first.left.w != 0))
    for chunk in np.array_split(np.arange(r.size), max(1, -(-r.size // 4096))):
        if chunk.size:
            kept, left = (_each(o, r[chunk], c[chunk]) for o in (first, first.left))
            np.subtract.at(across, r[chunk], both_orders(kernel, kept, left))
    across[across[..., 0] == 0] = 0.0
    return out + first.cut * across


def _each(objects: Objects, r: npt.NDArray[np.int64], c: npt.NDArray[np.int64]) -> Objects:
    """Cluster c of version r, each as a version of one object: too little for a GPU."""
    return Objects(
        objects.xyz[r, c][:, None], objects.w[r, c][:, None], objects.fields[r, c][:, None],
        objects.members[r], geometry=objects.geometry,
    )  # fmt: skip


def _edges(bins: Binning) -> FloatArray:
    """Squared chords of the edges, with room for the rounding of degrees and unit vectors.

    A pair that lies on an edge but for the last digit of its coordinates (a lattice of mock
    objects) belongs to the bin above, as [lo, hi) says. Half a turn, the largest separation there
    is, belongs to the bin that ends there.
    """
    edges = bins.edges_chord2
    chord = np.sqrt(edges)
    edges = (chord - np.minimum(2e-15, 1e-9 * chord)) ** 2
    if bins.edges_rad[-1] > np.pi * (1 - 1e-15):
        edges[-1] = 5.0
    return edges


def _edges_flat(bins: Binning, unit: float) -> FloatArray:
    """Squares of the edges in `unit`, with the same room for rounding."""
    edges = bins.edges_flat / unit
    squared: FloatArray = (edges - np.minimum(2e-15, 1e-9 * edges)) ** 2
    return squared


def norm_cross(first: Objects, second: Objects) -> FloatArray:
    """Weights of all pairs of one object of each set, shape (R,)."""
    if first.pair_weights is not None:
        return first.pair_weights.norm(first.of_patches, second.of_patches)
    norm = first.total * second.total
    if first.left is not None:
        assert second.left is not None
        across = first.total * second.left.total + first.left.total * second.total
        norm = norm + first.cut * across
    return norm


def mean(total: npt.NDArray[T], weight: FloatArray) -> npt.NDArray[T]:
    """``total / weight``; NaN in bins without pairs, or whose weights sum to 0."""
    blank = complex(np.nan, np.nan) if np.iscomplexobj(total) else np.nan
    nothing = np.full(total.shape, blank, dtype=total.dtype)
    with np.errstate(invalid="ignore"):
        return np.divide(total, weight, out=nothing, where=weight != 0)
