"""omega of points whose places and weights stay: a quadratic form in their axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pysoftcorr.diffhod._torch import as_tensor, torch

if TYPE_CHECKING:
    from pysoftcorr.diffhod.pairs import WeightedPairs

__all__ = ["OrientationTensors"]


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
        x, y, z = e.unbind(1)
        value = self.form @ torch.cat([x * x, y * y, z * z, x * y, x * z, y * z])
        return torch.where(self.empty, torch.nan, value - 1 / 3)
