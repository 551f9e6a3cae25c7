"""Pair sums of sets of objects: what every hard-binned estimator is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from pysoftcorr._julia import call
from pysoftcorr.sky.binning import Binning
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.clustering import Clustering

FloatArray = npt.NDArray[np.float64]
T = TypeVar("T", np.float64, np.complex128)

# Numbers of `KINDS` in julia/src/entries/pairs.jl, and how many sums each makes.
KINDS = {"nn": (1, 4), "ng": (2, 6), "gg": (3, 8), "rho": (4, 24)}


@dataclass(frozen=True)
class Objects:
    """R versions of a set of n objects, or one version with R sets of weights.

    Attributes
    ----------
    xyz : ndarray, shape (1 or R, n, 3)
        Unit vectors.
    w : ndarray, shape (R, n)
        Weights.
    fields : ndarray, shape (1 or R, n, 2K)
        g1 and g2 of each of K spin-2 fields, in turn.
    members : ndarray, shape (R,)
        Sum of the squared weights of the catalog's objects, whether clustered or not.
    """

    xyz: FloatArray
    w: FloatArray
    fields: FloatArray
    members: FloatArray

    @property
    def total(self) -> FloatArray:
        """Sum of weights of each version, shape (R,)."""
        return self.w.sum(axis=1)

    @property
    def norm_auto(self) -> FloatArray:
        """Half the squared sum of weights less the pairs hidden within clusters, shape (R,).

        For objects by themselves this is what TreeCorr divides counts by: the sum of the weights
        of all unordered pairs, and half of each object's own square.
        """
        return 0.5 * (self.total**2 - (self.w**2).sum(axis=1) + self.members)

    def variance(self) -> FloatArray:
        """Shape noise of each field per component, of the first version, shape (K,).

        Sum of w^2 |g - mean g|^2 over sum of w, halved for the two components.
        """
        w = self.w[0]
        if not w.any():
            return np.full(self.fields.shape[2] // 2, np.nan)
        g = self.fields[0, :, 0::2] + 1j * self.fields[0, :, 1::2]
        residual = np.abs(g - np.average(g, axis=0, weights=w)) ** 2
        return (w**2 @ residual) / w.sum() / 2


@dataclass(frozen=True)
class Source:
    """A catalog as an estimator sees it: its objects, its fields, and perhaps its clusters."""

    catalog: Catalog
    fields: FloatArray
    clustering: Clustering | None = None

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
        return self._labeled(
            self.catalog.w[None], self.clustering.assign("sampled", n=n, seed=seed)
        )

    def resampled(self, multiplicity: FloatArray) -> Objects:
        """The objects (or the clusters they fall into greedily) with resampled weights (R, N)."""
        w = np.ascontiguousarray(multiplicity * self.catalog.w)
        if self.clustering is None:
            return self._plain(w)
        return self._labeled(w, self.clustering.assign("greedy")[None])

    def _plain(self, w: FloatArray) -> Objects:
        return Objects(self.catalog.xyz[None], w, self.fields[None], _squares(w))

    def _outputs(self, r: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        assert self.clustering is not None
        c = self.clustering.n_clusters
        return np.empty((r, c, 3)), np.empty((r, c)), np.empty((r, c, self.fields.shape[1]))

    def _labeled(self, w: FloatArray, labels: npt.NDArray[np.int64]) -> Objects:
        assert self.clustering is not None
        r = max(len(w), len(labels))
        x, cw, g = self._outputs(r)
        call(
            "label_means", 1, self.catalog.xyz, len(self.catalog), self.fields, self.fields.shape[1],
            np.ascontiguousarray(w), len(w), np.ascontiguousarray(labels + 1), len(labels),
            self.clustering.n_clusters, r, x, cw, g,
        )  # fmt: skip
        return Objects(x, cw, g, _squares(w))

    def _shared(self, w: FloatArray, share: FloatArray) -> Objects:
        assert self.clustering is not None
        x, cw, g = self._outputs(len(w))
        call(
            "share_means", 1, self.catalog.xyz, len(self.catalog), self.fields, self.fields.shape[1],
            np.ascontiguousarray(w), len(w), share, self.clustering.n_clusters, x, cw, g,
        )  # fmt: skip
        return Objects(x, cw, g, _squares(w))


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
        """Those of the option ``coincident="keep"`` or ``"drop"``."""
        return self.every if coincident == "keep" else self.apart


def pair_sums(
    kind: str, first: Objects, second: Objects | None, bins: Binning, progress: str | None = None
) -> Pairs:
    """Sums over the pairs of two sets, or over each unordered pair of one set.

    ``theta`` and ``logtheta`` are weighted sums, in the unit of `bins`.
    """
    number, nsums = KINDS[kind]
    other = first if second is None else second
    r = max(len(o.xyz) for o in (first, other))
    r = max(r, len(first.w), len(other.w))
    out = np.empty((r, bins.nbins + 1, nsums))
    args: list[object] = []
    for o in (first, other):
        fields = np.empty((len(o.xyz), o.xyz.shape[1], 0)) if kind == "nn" else o.fields
        if kind == "ng" and o is first:
            fields = np.empty((len(o.xyz), o.xyz.shape[1], 0))
        args += [
            np.ascontiguousarray(o.xyz), np.ascontiguousarray(o.w), np.ascontiguousarray(fields),
            o.xyz.shape[1], len(o.xyz), len(o.w),
        ]  # fmt: skip
    call(
        "pair_sums_of", number, 1, int(second is None), r, *args, _edges(bins), bins.nbins, out,
        progress=progress,
    )  # fmt: skip
    scale = bins.edges_rad[-1] / bins.edges[-1]  # rad per unit
    return _unpacked(out, scale)


def _unpacked(out: FloatArray, scale: float) -> Pairs:
    """The sums of `pair_sums_of`, whose last bin holds the coincident pairs of the first."""
    own, met = out[:, :-1], out[:, -1]
    weight = own[..., 1]
    logtheta = own[..., 3] - weight * np.log(scale)
    coincident = met[:, 0]
    apart = PairSums(
        own[..., 0], weight, own[..., 2] / scale, logtheta, weight, _complex(own),
        np.zeros_like(coincident),
    )  # fmt: skip
    if not coincident.any():
        return Pairs(apart, apart)
    every = own.copy()
    every[:, 0] += met
    return Pairs(
        apart,
        PairSums(
            every[..., 0], every[..., 1], every[..., 2] / scale, logtheta, weight,
            _complex(every), coincident,
        ),
    )  # fmt: skip


def _complex(sums: FloatArray) -> npt.NDArray[np.complex128]:
    return np.asarray(sums[..., 4::2] + 1j * sums[..., 5::2])


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


def mean(total: npt.NDArray[T], weight: FloatArray) -> npt.NDArray[T]:
    """``total / weight``; NaN in bins without pairs."""
    blank = complex(np.nan, np.nan) if np.iscomplexobj(total) else np.nan
    nothing = np.full(total.shape, blank, dtype=total.dtype)
    with np.errstate(invalid="ignore"):
        return np.divide(total, weight, out=nothing, where=weight > 0)
