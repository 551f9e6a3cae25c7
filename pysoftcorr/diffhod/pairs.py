"""omega of points whose places and weights stay: a quadratic form in their axes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial import cKDTree

from pysoftcorr.core.checks import Origin
from pysoftcorr.core.options import integer
from pysoftcorr.core.torch import as_tensor, check_device, check_dtype, ordered_sum, steady
from pysoftcorr.mocks import checks
from pysoftcorr.mocks.box import radial_edges, shell_fraction
from pysoftcorr.mocks.checks import BoxSize
from pysoftcorr.sky.binning import Bins

__all__ = ["OrientationTensors", "WeightedCorrelations", "WeightedPairs"]


class OrientationTensors:
    """omega = sum_i e_i . T_i,bin . e_i - 1/3: the sum over partners done once.

    Made by `WeightedPairs.orientation`. An evaluation takes time as points, not as pairs, do.

    Parameters
    ----------
    pairs : WeightedPairs
    weight : Tensor, shape (P,)

    Attributes
    ----------
    form : Tensor, shape (nbins, 6 P)
        xx, yy, zz, xy, xz, yz of T by point, the last three doubled.
    empty : Tensor of bool, shape (nbins,)
        Bins without weight: omega is NaN there.
    """

    def __init__(self, pairs: WeightedPairs, weight: torch.Tensor) -> None:
        w, points, nbins = weight.detach(), len(pairs), len(pairs.edges) - 1
        sums = torch.zeros(6, nbins * points, dtype=torch.float64, device=pairs.device)
        total = torch.zeros(nbins, dtype=torch.float64, device=pairs.device)
        for i, j, b in pairs.parts():
            r = pairs.directions(i, j)
            ww = (w.index_select(0, i) * w.index_select(0, j)).double()
            total.index_add_(0, b.int(), ww)
            squares = [r[0] ** 2, r[1] ** 2, r[2] ** 2]
            squares += [2 * r[0] * r[1], 2 * r[0] * r[2], 2 * r[1] * r[2]]
            for k, square in enumerate(squares):
                value = 0.5 * ww * square.double()
                for point in (i, j):
                    sums[k].index_add_(0, b.long() * points + point, value)
        self.empty = total == 0
        sums = sums.view(6, nbins, points) / torch.where(self.empty, 1.0, total)[:, None]
        self.form = sums.permute(1, 0, 2).reshape(nbins, 6 * points).to(pairs.dtype)
        self._points = points

    def omega(self, axis: Any) -> torch.Tensor:
        """omega of these axes, shape (nbins,); differentiable.

        Parameters
        ----------
        axis : array_like or Tensor, shape (P, 3)
            Unit vectors.

        Raises
        ------
        ValueError
            If the shape is another.
        """
        e = as_tensor("axis", axis, self.form).to(self.form)
        if e.shape != (self._points, 3):
            raise ValueError(f"axis must have shape ({self._points}, 3), not {tuple(e.shape)}")

        def form(e: torch.Tensor) -> list[torch.Tensor]:
            x, y, z = e.unbind(1)
            return [self.form @ torch.cat([x * x, y * y, z * z, x * y, x * z, y * z])]

        return torch.where(self.empty, torch.nan, steady(form, e)[0] - 1 / 3)


FloatArray = npt.NDArray[np.float64]

#: Pairs handled at a time, and up to how many they are kept at all (9 bytes each).
_CHUNK, _STORED = 1 << 19, 100_000_000
#: Expected pairs of the points that are searched at a time.
_SEARCHED = 2_000_000


class WeightedCorrelations(NamedTuple):
    """Correlations in bins, each a Tensor of shape (nbins,).

    Where a bin has no weight xi is -1, and omega and eta are NaN.

    Attributes
    ----------
    xi, omega, eta : Tensor
        As those of `pysoftcorr.mocks.box_correlations`.
    """

    xi: torch.Tensor
    omega: torch.Tensor
    eta: torch.Tensor


class WeightedPairs:
    """The pairs of fixed points in a periodic box, by bin of separation.

    Parameters
    ----------
    position : array_like, shape (P, 3)
        Mpc/h, in [0, boxsize).
    boxsize : float, or three of these
        Side of the box in Mpc/h where it is a cube, or its sides along x, y and z.
    bins : Binning, str or array_like, optional
        Bins (lo, hi] in Mpc/h, as in `box_correlations`; by default "log:0.1:16:20".
    dtype : torch.dtype
        Type of weights, axes and results; sums over pairs are in float64.
    device : str or torch.device
    stored : int
        Up to this many pairs are kept; more are searched again in each call, in bounded memory.

    Attributes
    ----------
    edges : ndarray, shape (nbins + 1,)
    npairs : int
        Pairs in all bins, each counted once.

    Raises
    ------
    ValueError
        If positions lie outside the box or hold NaN, or the bins reach beyond half the box.
    TypeError
        If an argument is of the wrong kind.

    Examples
    --------
    >>> import torch
    >>> from pysoftcorr.diffhod import WeightedPairs
    >>> pairs = WeightedPairs([[1.0, 1, 0.5], [1, 1, 29.5], [1, 3, 29.5]], boxsize=30.0,
    ...                       bins=[0.5, 1.5, 2.5])
    >>> w = torch.tensor([1.0, 0.5, 1.0], dtype=torch.float64, requires_grad=True)
    >>> axes = [[0, 0, 1.0], [0.6, 0, 0.8], [0, 1.0, 0]]
    >>> found = pairs.correlations(w, axes)
    >>> found.omega.detach().numpy().round(4).tolist(), found.eta.detach().numpy().round(4).tolist()
    ([0.4867, 0.1667], [0.3067, -0.3333])
    >>> found.xi[0].backward()
    """

    def __init__(
        self,
        position: Any,
        *,
        boxsize: BoxSize,
        bins: Bins | None = None,
        dtype: Any = torch.float64,
        device: Any = "cpu",
        stored: int = _STORED,
    ) -> None:
        self.dtype, self.device = check_dtype(dtype), check_device(device)
        stored = integer("stored", stored, least=0)
        self.boxsize = checks.box_size(boxsize)
        self._sides = checks.box_sides(boxsize)
        self.edges = radial_edges(bins, self.boxsize)
        if isinstance(position, torch.Tensor):
            position = position.detach().to("cpu", torch.float64).numpy()
        place = checks.vectors("position", position)
        if not len(place):
            raise ValueError("position is empty: it has no rows")
        checks.finite({"position": place}, Origin())
        self.position = checks.boxed(place, self.boxsize, Origin())
        self._tree = cKDTree(self.position, boxsize=self.boxsize)
        # A margin, so that rounding in the tree loses no pair: bins are found by our own sums.
        self._reach = float(self.edges[-1]) * (1 + 1e-9)
        ordered = int(self._tree.count_neighbors(self._tree, self._reach))
        self._per_point = max(1.0, ordered / len(place))
        self._kept: list[tuple[torch.Tensor, ...]] | None = None
        if (ordered - len(place)) / 2 <= stored:
            # Put together again, so that all parts but the last have the size that is quickest.
            found = list(self._search())
            whole = [np.concatenate(column) for column in zip(*found, strict=True)]
            cuts = range(0, len(whole[0]), _CHUNK)
            self._kept = [self._tensors(*(c[s : s + _CHUNK] for c in whole)) for s in cuts]
            self.npairs = len(whole[0])
        else:
            self.npairs = sum(len(part[0]) for part in self._search())
        self._place = torch.as_tensor(self.position, device=self.device).T.contiguous()
        shell = shell_fraction(self.edges, self.boxsize, periodic=True)
        self._shell = torch.as_tensor(shell, device=self.device)

    def __len__(self) -> int:
        return len(self.position)

    def __repr__(self) -> str:
        return (
            f"<WeightedPairs: {self.npairs} pairs of {len(self)} points in "
            f"{checks.box_text(self.boxsize)} Mpc/h>"
        )

    def _search(self) -> Iterator[tuple[npt.NDArray[Any], ...]]:
        """First point, second point (the later one) and bin of each pair, in a fixed order."""
        step = max(1, int(_SEARCHED / self._per_point))
        squared = self.edges**2
        for start in range(0, len(self), step):
            some = self.position[start : start + step]
            near = cKDTree(some, boxsize=self.boxsize).sparse_distance_matrix(
                self._tree, self._reach, output_type="ndarray"
            )
            i, j = near["i"] + start, near["j"]
            later = j > i
            i, j = i[later], j[later]
            apart = self.position[i] - self.position[j]
            apart -= self._sides * np.round(apart / self._sides)
            bins = np.searchsorted(squared, (apart**2).sum(axis=1), side="left") - 1
            inside = np.flatnonzero((bins >= 0) & (bins < len(self.edges) - 1))
            order = inside[np.lexsort((j[inside], i[inside]))]
            yield i[order].astype(np.int32), j[order].astype(np.int32), bins[order].astype(np.int16)

    def _tensors(self, *columns: npt.NDArray[Any]) -> tuple[torch.Tensor, ...]:
        return tuple(torch.as_tensor(c, device=self.device) for c in columns)

    def parts(self) -> Iterator[tuple[torch.Tensor, ...]]:
        """Pairs in parts: first and second point, bin."""
        if self._kept is not None:
            yield from self._kept
            return
        for columns in self._search():
            for start in range(0, len(columns[0]), _CHUNK):
                yield self._tensors(*(c[start : start + _CHUNK] for c in columns))

    def directions(self, i: torch.Tensor, j: torch.Tensor) -> list[torch.Tensor]:
        """Components of the unit vector from j to i, at the nearest image."""
        apart = [p.index_select(0, i) - p.index_select(0, j) for p in self._place]
        sides = self._sides.tolist()
        apart = [d - side * torch.round(d / side) for d, side in zip(apart, sides, strict=True)]
        length = torch.sqrt(apart[0] ** 2 + apart[1] ** 2 + apart[2] ** 2)
        # Points in one place are in no bin, unless it begins below 0: never.
        return [(d / length).to(self.dtype) for d in apart]

    def _checked(self, weight: Any) -> torch.Tensor:
        w = as_tensor("weight", weight, self._place).to(self.device, self.dtype)
        if w.shape != (len(self),):
            raise ValueError(f"weight must have shape ({len(self)},), not {tuple(w.shape)}")
        bad = torch.nonzero(~(torch.isfinite(w.detach()) & (w.detach() >= 0)))[:, 0]
        if bad.numel():
            raise ValueError(
                f"weight must be finite and not negative; it is {w[bad[0]].item():g} in row "
                f"{bad[0].item()}"
            )
        return w

    def orientation(self, weight: Any) -> OrientationTensors:
        """Sums over partners at fixed weights: `omega` of any axes in the time of the points.

        Parameters
        ----------
        weight : array_like or Tensor, shape (P,)
            Not negative.

        Raises
        ------
        ValueError
            If the shape does not fit, or a weight is not finite or negative.

        Examples
        --------
        >>> import numpy as np
        >>> from pysoftcorr.diffhod import WeightedPairs
        >>> place = np.random.default_rng(1).uniform(0, 20, (50, 3))
        >>> axes = np.tile([0.0, 0.6, 0.8], (50, 1))
        >>> pairs = WeightedPairs(place, boxsize=20.0, bins=[1, 3, 6])
        >>> fast = pairs.orientation(np.ones(50)).omega(axes)
        >>> bool(abs(fast - pairs.correlations(np.ones(50), axes).omega).max() < 1e-12)
        True
        """
        return OrientationTensors(self, self._checked(weight))

    def correlations(self, weight: Any, axis: Any = None) -> WeightedCorrelations:
        """xi, omega and eta of the points with these weights and axes.

        Parameters
        ----------
        weight : array_like or Tensor, shape (P,)
            Not negative.
        axis : array_like or Tensor, shape (P, 3), optional
            Unit vectors, without head. Without them omega and eta are NaN.

        Returns
        -------
        WeightedCorrelations
            Differentiable in weights and axes, as often as one likes.

        Raises
        ------
        ValueError
            If shapes do not fit, a number is not finite or a weight negative, or an axis not of
            length 1.

        Notes
        -----
        xi = DD/RR - 1 with RR = (sum of w)^2 V_shell/V; omega and eta are means over pairs, of
        weight w_i w_j (Pandya et al. 2025, eq. 1 to 3).
        """
        w = self._checked(weight)
        e = None
        if axis is not None:
            e = as_tensor("axis", axis, self._place).to(self.device, self.dtype)
            if e.shape != (len(self), 3):
                raise ValueError(f"axis must have shape ({len(self)}, 3), not {tuple(e.shape)}")
            length = torch.linalg.vector_norm(e.detach(), dim=1)
            off = torch.nonzero(~((length - 1).abs() < 1e-5))[:, 0]
            if off.numel():
                raise ValueError(
                    f"axis must be of length 1; it is {length[off[0]].item():g} in row "
                    f"{off[0].item()}: divide by the length"
                )
        sums = _PairSums.apply(w, e, self)
        pairs = sums[:, 0]
        some = pairs.detach() > 0
        total = ordered_sum(w.double())
        xi = 2 * pairs / (total**2 * self._shell) - 1
        if e is None:
            empty = torch.full_like(xi, torch.nan)
            return WeightedCorrelations(xi.to(self.dtype), *(2 * [empty.to(self.dtype)]))
        mean = sums[:, 1:] / torch.where(some, pairs, 1.0)[:, None] - 1 / 3
        omega, eta = torch.where(some[:, None], mean, torch.nan).to(self.dtype).unbind(1)
        return WeightedCorrelations(xi.to(self.dtype), omega, eta)


class _PairSums(torch.autograd.Function):
    """Sums by bin of w_i w_j times 1, the mean of the two (e . r)^2, and (e_i . e_j)^2."""

    @staticmethod
    def forward(
        ctx: Any, weight: torch.Tensor, axis: torch.Tensor | None, pairs: WeightedPairs
    ) -> torch.Tensor:
        ctx.pairs = pairs
        ctx.save_for_backward(weight, axis)
        nbins = len(pairs.edges) - 1
        out = torch.zeros(3, nbins, dtype=torch.float64, device=weight.device)
        columns = None if axis is None else axis.T.contiguous()
        for i, j, b in pairs.parts():
            bins = b.int()
            ww = weight.index_select(0, i) * weight.index_select(0, j)
            out[0].index_add_(0, bins, ww.double())
            if columns is None:
                continue
            along_i, along_j, alike, *_ = _products(columns, i, j, pairs)
            squares = (along_i * along_i + along_j * along_j) * 0.5
            out[1].index_add_(0, bins, (ww * squares).double())
            out[2].index_add_(0, bins, (ww * alike * alike).double())
        return out.T.contiguous()

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        weight, axis = ctx.saved_tensors
        pairs: WeightedPairs = ctx.pairs
        by_bin = cotangent.to(weight.dtype).T.contiguous()
        # First and second points apart: sums are in the order of the pairs, whatever the parts.
        by_weight = torch.zeros(2, *weight.shape, dtype=weight.dtype, device=weight.device)
        columns = None if axis is None else axis.T.contiguous()
        by_axis = None
        if columns is not None and ctx.needs_input_grad[1]:
            by_axis = torch.zeros(2, *columns.shape, dtype=weight.dtype, device=weight.device)
        for i, j, b in pairs.parts():
            g = by_bin.index_select(1, b.int())
            wi, wj = weight.index_select(0, i), weight.index_select(0, j)
            value = g[0]
            if columns is not None:
                along_i, along_j, alike, r, ei, ej = _products(columns, i, j, pairs)
                squares = (along_i * along_i + along_j * along_j) * 0.5
                value = value + g[1] * squares + g[2] * alike * alike
                if by_axis is not None:
                    ww = wi * wj
                    p, q, s = ww * g[1] * along_i, ww * g[1] * along_j, 2 * ww * g[2] * alike
                    for k in range(3):
                        by_axis[0, k].index_add_(0, i, p * r[k] + s * ej[k])
                        by_axis[1, k].index_add_(0, j, q * r[k] + s * ei[k])
            if ctx.needs_input_grad[0]:
                by_weight[0].index_add_(0, i, wj * value)
                by_weight[1].index_add_(0, j, wi * value)
        return by_weight.sum(0), None if by_axis is None else by_axis.sum(0).T.contiguous(), None


def _products(
    columns: torch.Tensor, i: torch.Tensor, j: torch.Tensor, pairs: WeightedPairs
) -> tuple[Any, ...]:
    """e_i . r, e_j . r, e_i . e_j, and the components they are of."""
    r = pairs.directions(i, j)
    ei = [c.index_select(0, i) for c in columns]
    ej = [c.index_select(0, j) for c in columns]

    def dot(a: list[torch.Tensor], b: list[torch.Tensor]) -> torch.Tensor:
        return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]

    return dot(ei, r), dot(ej, r), dot(ei, ej), r, ei, ej
