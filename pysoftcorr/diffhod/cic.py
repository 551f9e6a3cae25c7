"""Cloud-in-cell painting of weighted points on a periodic mesh, and its derivative."""

from __future__ import annotations

from typing import Any

import numpy as np

from pysoftcorr.diffhod._torch import as_tensor, torch

__all__ = ["CloudInCell", "check_mesh", "paint_cic"]

#: Points whose cells are worked out at a time.
_CHUNK = 1 << 18


def check_mesh(mesh: Any) -> int:
    """Cells a side, an even whole number of 2 to 4096; TypeError or ValueError otherwise."""
    if isinstance(mesh, (bool, np.bool_)) or not isinstance(mesh, (int, np.integer)):
        raise TypeError(f"mesh must be a whole number of cells a side, not {mesh!r}")
    if not 2 <= mesh <= 4096 or mesh % 2:
        raise ValueError(f"mesh = {mesh}: must be an even number of cells a side, 2 to 4096")
    return int(mesh)


def _corners(
    position: torch.Tensor, mesh: int, boxsize: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Flat cells (P, 8) of the corners, the part of each point at them, and its offset (P, 3)."""
    at = position * (mesh / boxsize)
    low = at.floor()
    offset = at - low
    cell = low.long().remainder(mesh)
    index = torch.stack([cell, (cell + 1).remainder(mesh)])  # (2, P, 3)
    part = torch.stack([1 - offset, offset])
    x, y, z = index.unbind(-1)
    flat = (x[:, None, None] * mesh + y[None, :, None]) * mesh + z[None, None, :]
    a, b, c = part.unbind(-1)
    weight = a[:, None, None] * b[None, :, None] * c[None, None, :]
    points = position.shape[0]
    return flat.reshape(8, points).T, weight.reshape(8, points).T, offset


class CloudInCell:
    """Cells of fixed points, found once; paints any weights of them.

    Parameters
    ----------
    position : Tensor, shape (P, 3)
        Mpc/h, taken modulo the box.
    mesh : int
        Cells a side.
    boxsize : float
    fields : int
        Meshes that the points are spread over.
    field : Tensor of int, shape (P,), optional
        Which mesh each point belongs to; the first by default.
    store : bool
        Whether cells and parts are kept: 72 bytes a point, for twice the speed.

    Examples
    --------
    >>> import torch
    >>> from pysoftcorr.diffhod.cic import CloudInCell
    >>> cells = CloudInCell(torch.tensor([[1.0, 2.0, 3.75]]), mesh=4, boxsize=4.0)
    >>> cells.paint(torch.tensor([2.0]))[0, 1, 2].tolist()
    [1.5, 0.0, 0.0, 0.5]
    """

    def __init__(
        self,
        position: torch.Tensor,
        *,
        mesh: int,
        boxsize: float,
        fields: int = 1,
        field: torch.Tensor | None = None,
        store: bool = True,
    ) -> None:
        self.mesh, self.boxsize, self.fields = mesh, boxsize, fields
        self._position, self._field = position, field
        self._kept: list[tuple[torch.Tensor, torch.Tensor]] | None = None
        if store:
            self._kept = [self._found(part) for part in self._parts()]

    def _parts(self) -> list[slice]:
        points = self._position.shape[0]
        return [slice(s, s + _CHUNK) for s in range(0, points, _CHUNK)]

    def _found(self, part: slice) -> tuple[torch.Tensor, torch.Tensor]:
        index, weight, _ = _corners(self._position[part], self.mesh, self.boxsize)
        if self._field is not None:
            index = index + self._field[part, None] * self.mesh**3
        small = self.fields * self.mesh**3 < 2**31
        return index.to(torch.int32 if small else torch.int64).contiguous(), weight.contiguous()

    def _cells(self, number: int, part: slice) -> tuple[torch.Tensor, torch.Tensor]:
        return self._found(part) if self._kept is None else self._kept[number]

    def paint(self, weight: torch.Tensor) -> torch.Tensor:
        """Sum of the weights in each cell, shape (fields, mesh, mesh, mesh); differentiable."""
        result: torch.Tensor = _PaintFixed.apply(weight, self)
        return result


class _PaintFixed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor, cells: CloudInCell) -> torch.Tensor:
        ctx.cells = cells
        out = torch.zeros(cells.fields * cells.mesh**3, dtype=weight.dtype, device=weight.device)
        for number, part in enumerate(cells._parts()):
            index, corner = cells._cells(number, part)
            # Point by point: sums in a cell are in the order of the points, whatever the parts.
            out.index_add_(0, index.view(-1), (corner * weight[part, None]).view(-1))
        return out.view(cells.fields, cells.mesh, cells.mesh, cells.mesh)

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor) -> tuple[torch.Tensor, None]:
        cells, flat = ctx.cells, cotangent.reshape(-1)
        out = torch.empty(cells._position.shape[0], dtype=flat.dtype, device=flat.device)
        for number, part in enumerate(cells._parts()):
            index, corner = cells._cells(number, part)
            there = flat.index_select(0, index.view(-1)).view_as(corner)
            torch.sum(there.mul_(corner), dim=1, out=out[part])
        return out, None


class _Paint(torch.autograd.Function):
    """Paint points that move: the derivative by position is the slope of the cloud."""

    @staticmethod
    def forward(
        ctx: Any, position: torch.Tensor, weight: torch.Tensor, mesh: int, boxsize: float
    ) -> torch.Tensor:
        ctx.save_for_backward(position, weight)
        ctx.mesh, ctx.boxsize = mesh, boxsize
        out = torch.zeros(mesh**3, dtype=weight.dtype, device=weight.device)
        for start in range(0, position.shape[0], _CHUNK):
            part = slice(start, start + _CHUNK)
            index, corner, _ = _corners(position[part], mesh, boxsize)
            out.index_add_(0, index.reshape(-1), (corner * weight[part, None]).reshape(-1))
        return out.view(mesh, mesh, mesh)

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        position, weight = ctx.saved_tensors
        mesh, flat = ctx.mesh, cotangent.reshape(-1)
        by_position, by_weight = torch.empty_like(position), torch.empty_like(weight)
        for start in range(0, position.shape[0], _CHUNK):
            part = slice(start, start + _CHUNK)
            index, corner, offset = _corners(position[part], mesh, ctx.boxsize)
            there = flat.index_select(0, index.reshape(-1)).view(-1, 8)
            by_weight[part] = (there * corner).sum(dim=1)
            cube = there.view(-1, 2, 2, 2)
            x, y, z = (torch.stack([1 - o, o], dim=1) for o in offset.unbind(1))
            slopes = [
                torch.einsum("pjk,pj,pk->p", cube[:, 1] - cube[:, 0], y, z),
                torch.einsum("pik,pi,pk->p", cube[:, :, 1] - cube[:, :, 0], x, z),
                torch.einsum("pij,pi,pj->p", cube[..., 1] - cube[..., 0], x, y),
            ]
            scale = weight[part] * (mesh / ctx.boxsize)
            by_position[part] = torch.stack(slopes, dim=1) * scale[:, None]
        return by_position, by_weight, None, None


def paint_cic(position: Any, weight: Any = None, *, mesh: int, boxsize: float) -> Any:
    """Paint weighted points on a periodic mesh by cloud-in-cell.

    Parameters
    ----------
    position : array_like or Tensor, shape (P, 3) or (R, P, 3)
        Mpc/h, taken modulo the box.
    weight : array_like or Tensor, shape (P,) or (R, P), optional
        1 by default.
    mesh : int
        Cells a side; even. Cell (i, j, k) has its centre at (i, j, k) boxsize/mesh.
    boxsize : float

    Returns
    -------
    Tensor or ndarray, shape (mesh, mesh, mesh) or (R, mesh, mesh, mesh)
        Sum of weights by cell; their total is that of the points. A Tensor if one was given,
        differentiable in positions and weights.

    Raises
    ------
    ValueError
        If shapes do not fit together, a number is not finite, or the mesh is no even number.
    TypeError
        If an argument is of the wrong kind.

    Examples
    --------
    >>> from pysoftcorr.diffhod import paint_cic
    >>> paint_cic([[9.5, 0.0, 2.0]], [1.0], mesh=10, boxsize=10.0)[[9, 0], 0, 2].tolist()
    [0.5, 0.5]
    """
    tensors = [x for x in (position, weight) if isinstance(x, torch.Tensor)]
    place, w = check_points(position, weight)
    cells, side = check_mesh(mesh), check_side(boxsize)
    if place.ndim == 3:
        painted = [_Paint.apply(p, v, cells, side) for p, v in zip(place, w, strict=True)]
        out = torch.stack(painted)
    else:
        out = _Paint.apply(place, w, cells, side)
    return out if tensors else out.numpy()


def check_side(boxsize: Any) -> float:
    """The side of the box; errors as `pysoftcorr.mocks` gives them."""
    from pysoftcorr.mocks.halo_checks import box_side

    return box_side(boxsize)


def check_points(position: Any, weight: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions (..., P, 3) and weights (..., P) of one type, finite."""
    like = next((x for x in (position, weight) if isinstance(x, torch.Tensor)), None)
    place = as_tensor("position", position, like)
    if place.ndim not in (2, 3) or place.shape[-1] != 3:
        raise ValueError(f"position must have shape (P, 3) or (R, P, 3), not {tuple(place.shape)}")
    w = torch.ones_like(place[..., 0]) if weight is None else as_tensor("weight", weight, place)
    if w.shape != place.shape[:-1]:
        raise ValueError(
            f"weight must have shape {tuple(place.shape[:-1])} as the positions have, not "
            f"{tuple(w.shape)}"
        )
    if not place.shape[-2]:
        raise ValueError("position is empty: it has no rows")
    for name, values in (("position", place), ("weight", w)):
        bad = ~torch.isfinite(values.detach())
        if bool(bad.any()):
            rows = torch.nonzero(bad)[:5].tolist()
            raise ValueError(f"{name} is NaN or infinite at {rows}: leave such points out")
    common = torch.promote_types(place.dtype, w.dtype)
    return place.to(common), w.to(place.device, common)
