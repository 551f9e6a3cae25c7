"""Power spectrum of weighted points on a periodic mesh, and its derivative."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from pysoftcorr.core.options import choice, integer, numbers, positive, shown
from pysoftcorr.core.torch import as_tensor, differentiated, ordered_sum
from pysoftcorr.mocks.checks import cube_side
from pysoftcorr.sky.binning import BOX_UNIT, Binning

__all__ = [
    "CloudInCell",
    "ModeBins",
    "PowerSpectrum",
    "check_mesh",
    "k_bin_edges",
    "paint_cic",
    "power_spectrum",
]

#: Points whose cells are worked out at a time.
_CHUNK = 1 << 18


def check_mesh(mesh: Any) -> int:
    """Cells a side, an even whole number of 2 to 4096; TypeError or ValueError otherwise."""
    cells = integer("mesh", mesh, least=2, most=4096)
    if cells % 2:
        raise ValueError(f"mesh = {mesh}: must be an even number of cells a side")
    return cells


#: Squares of weights, and their sums, stay within the floats.
_LARGEST_WEIGHT = 1e100
#: Why P(k) is of cubes alone.
CUBES = "P(k) is of a cubic mesh"


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
        Mesh that each point belongs to; the first by default.
    store : bool
        Whether cells and parts are kept: 72 bytes a point, for twice the speed.

    Examples
    --------
    >>> import torch
    >>> from pysoftcorr.diffhod.power import CloudInCell
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
        return _GatherFixed.apply(cotangent, ctx.cells), None


class _GatherFixed(torch.autograd.Function):
    """The mesh where the points are: the transpose of painting."""

    @staticmethod
    def forward(ctx: Any, mesh: torch.Tensor, cells: CloudInCell) -> torch.Tensor:
        ctx.cells = cells
        flat = mesh.reshape(-1)
        out = torch.empty(cells._position.shape[0], dtype=flat.dtype, device=flat.device)
        for number, part in enumerate(cells._parts()):
            index, corner = cells._cells(number, part)
            there = flat.index_select(0, index.view(-1)).view_as(corner)
            torch.sum(there.mul_(corner), dim=1, out=out[part])
        return out

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor) -> tuple[torch.Tensor, None]:
        return _PaintFixed.apply(cotangent, ctx.cells), None


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
        Cells a side; even. Cell (i, j, k) has its center at (i, j, k) boxsize/mesh.
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
    cells, side = check_mesh(mesh), cube_side(boxsize, CUBES)
    if place.ndim == 3:
        painted = [_Paint.apply(p, v, cells, side) for p, v in zip(place, w, strict=True)]
        out = torch.stack(painted)
    else:
        out = _Paint.apply(place, w, cells, side)
    return out if tensors else out.numpy()


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


FloatArray = npt.NDArray[np.float64]

SHOT_NOISE = ("subtract", "keep", "poisson")


class PowerSpectrum(NamedTuple):
    """P(k) in bins.

    Attributes
    ----------
    k : Tensor or ndarray, shape (nk,)
        Mean wavenumber of the modes of each bin, h/Mpc.
    power : Tensor or ndarray, shape (nk,) or (R, nk)
        (Mpc/h)^3.
    modes : Tensor or ndarray of int, shape (nk,)
        Modes, those of both signs counted.
    shot_noise : Tensor or ndarray, shape () or (R,)
        sum w^2/(sum w)^2 V of the points, (Mpc/h)^3.
    """

    k: Any
    power: Any
    modes: Any
    shot_noise: Any


def k_bin_edges(
    boxsize: float, mesh: int, *, k_max: float | None = None, width: float | None = None
) -> FloatArray:
    """Edges of linear bins in k: from half the fundamental mode, in steps of it, up to `k_max`.

    Parameters
    ----------
    boxsize : float
    mesh : int
    k_max : float, optional
        h/Mpc; the last edge is the last not above it. The Nyquist frequency of the mesh by
        default, and at most.
    width : float, optional
        Width of a bin in h/Mpc; the fundamental mode 2 pi/boxsize by default.

    Raises
    ------
    ValueError
        If no bin fits.

    Examples
    --------
    >>> from pysoftcorr.diffhod.power import k_bin_edges
    >>> k_bin_edges(100.0, 64, k_max=0.25).round(4).tolist()
    [0.0314, 0.0942, 0.1571, 0.2199]
    """
    fundamental = 2 * math.pi / cube_side(boxsize, CUBES)
    nyquist = fundamental * mesh / 2
    step = fundamental if width is None else positive("width", width)
    top = nyquist if k_max is None else positive("k_max", k_max)
    if not (math.isfinite(nyquist) and nyquist > 0):
        raise ValueError(f"boxsize = {boxsize}: too small for a mesh")
    if not 0 < top <= nyquist * (1 + 1e-12):
        raise ValueError(
            f"k_max = {top:g} h/Mpc: must be above 0 and at most the Nyquist frequency of the "
            f"mesh, {nyquist:.4g}; a mesh of {2 * np.ceil(top / fundamental):.15g} reaches it"
        )
    number = int((top - fundamental / 2) / step + 1e-9)
    if number < 1:
        raise ValueError(
            f"k_max = {top:.3g}: no bin of width {step:.3g} h/Mpc fits between "
            f"{fundamental / 2:.3g} and {top:.3g}"
        )
    return np.asarray(fundamental / 2 + step * np.arange(number + 1))


class ModeBins:
    """The Fourier modes of a mesh by bin of k, half of them, with their weights.

    Parameters
    ----------
    bins : str or array_like, shape (nk + 1,)
        Bins [lo, hi) in h/Mpc: edges, or text such as "linear:0.05:1:19".
    boxsize : float
    mesh : int
    window : {"cic", None}
        Whether the power is divided by that of the cloud.
    shot_noise : {"subtract", "keep", "poisson"}
    dtype, device
        Type and device of the sums.
    """

    def __init__(
        self,
        bins: str | npt.ArrayLike,
        *,
        boxsize: float,
        mesh: int,
        window: str | None = "cic",
        shot_noise: str = "subtract",
        dtype: torch.dtype = torch.float64,
        device: Any = "cpu",
    ) -> None:
        if window is not None:
            choice("window", window, ("cic",))
        choice("shot_noise", shot_noise, SHOT_NOISE)
        boxsize = cube_side(boxsize, CUBES)
        self.edges = _k_edges(bins, boxsize, mesh)
        self.boxsize, self.mesh = boxsize, mesh
        self.window, self.shot_noise = window, shot_noise
        fundamental = 2 * math.pi / boxsize
        n = np.fft.fftfreq(mesh, 1 / mesh)
        half = np.arange(mesh // 2 + 1.0)
        k = fundamental * np.sqrt(
            n[:, None, None] ** 2 + n[None, :, None] ** 2 + half[None, None, :] ** 2
        )
        place = np.searchsorted(self.edges, k.ravel(), side="right") - 1
        inside = np.flatnonzero((place >= 0) & (place < len(self.edges) - 1))
        place = place[inside]
        z = inside % half.size
        # The real transform leaves out the mirror images of all but the first and last planes.
        twice = np.where((z == 0) | (z == mesh // 2), 1.0, 2.0)
        count = np.bincount(place, twice, minlength=len(self.edges) - 1)
        empty = np.flatnonzero(count == 0)
        if empty.size:
            b = int(empty[0])
            raise ValueError(
                f"bin {b} of k, {self.edges[b]:.4g} to {self.edges[b + 1]:.4g} h/Mpc, holds no "
                f"mode of the box: the fundamental mode is {fundamental:.4g}"
            )
        mean = np.bincount(place, twice * k.ravel()[inside], minlength=count.size) / count
        x, y, z = np.unravel_index(inside, k.shape)
        phases = [np.pi * np.abs(m) / mesh for m in (n[x], n[y], half[z])]
        window2 = np.ones(inside.size)
        shot = np.ones(inside.size)
        for phase in phases:
            window2 *= np.sinc(phase / np.pi) ** 4
            shot *= 1 - 2 / 3 * np.sin(phase) ** 2  # of a cloud, its images summed (Jing 2005)
        divide = twice / count[place] / (window2 if window == "cic" else 1.0)

        def tensor(values: Any, kind: torch.dtype = dtype) -> torch.Tensor:
            return torch.as_tensor(values, dtype=kind, device=device)

        self.k, self.modes = tensor(mean), tensor(count, torch.int64)
        self.index, self.bin = tensor(inside, torch.int64), tensor(place, torch.int64)
        self.coefficient = tensor(divide)
        #: What white noise of power 1 gives in each bin; and what Poisson noise shall give.
        self.white = tensor(np.bincount(place, divide * shot, minlength=count.size))
        if window == "cic":
            self.flat = torch.ones_like(self.white)
        else:
            self.flat = self.white

    def __len__(self) -> int:
        return len(self.edges) - 1

    def power(self, painted: torch.Tensor, weight2: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """P(k) and shot noise V sum w^2/(sum w)^2 of painted meshes, shape (R, mesh, mesh, mesh).

        `weight2`, shape (R,), is the sum of w^2 over the points of each.
        """
        total = ordered_sum(painted.flatten(1), -1)
        volume = self.boxsize**3
        raw: torch.Tensor = _BinnedPower.apply(painted, self)
        power = raw * (volume / total**2)[:, None]
        shot = volume * weight2 / total**2
        if self.shot_noise != "keep":
            power = power - shot[:, None] * self.white
        if self.shot_noise == "poisson":
            power = power + (volume / total)[:, None] * self.flat
        return power, shot


class _BinnedPower(torch.autograd.Function):
    """sum of c |FFT|^2 by bin; the derivative is one transform back."""

    @staticmethod
    def forward(ctx: Any, painted: torch.Tensor, bins: ModeBins) -> torch.Tensor:
        out, modes = _binned(painted, bins)
        ctx.save_for_backward(painted, modes)
        ctx.bins, ctx.shape = bins, painted.shape
        return out

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor) -> tuple[torch.Tensor | None, None]:
        painted, modes = ctx.saved_tensors
        bins, shape = ctx.bins, ctx.shape
        if torch.is_grad_enabled():
            (again,) = differentiated(lambda p: _binned(p, bins)[0], (painted,), cotangent)
            return again, None
        mesh = bins.mesh
        flat = modes.new_zeros((shape[0], mesh * mesh * (mesh // 2 + 1)))
        # Modes that stand for their mirror images count twice in the coefficient already, and
        # the inverse transform counts them twice again.
        z = bins.index % (mesh // 2 + 1)
        once = torch.where((z == 0) | (z == mesh // 2), 2.0, 1.0).to(cotangent.dtype)
        flat[:, bins.index] = modes * (cotangent[:, bins.bin] * bins.coefficient * once)
        spectrum = flat.view(shape[0], mesh, mesh, mesh // 2 + 1)
        for axis in (-3, -2):
            spectrum = torch.fft.ifft(spectrum, dim=axis, norm="forward")
        return torch.fft.irfft(spectrum, n=mesh, dim=-1, norm="forward"), None


def _binned(painted: torch.Tensor, bins: ModeBins) -> tuple[torch.Tensor, torch.Tensor]:
    """sum of c |FFT|^2 by bin, and the modes."""
    # Axis by axis: the last bits of one transform of three depend on the number of threads.
    whole = torch.fft.rfft(painted, dim=-1)
    for axis in (-2, -3):
        whole = torch.fft.fft(whole, dim=axis)
    modes = whole.flatten(1)[:, bins.index]
    part = (modes.real**2 + modes.imag**2) * bins.coefficient
    fields = len(painted)
    row = torch.arange(fields, device=painted.device)[:, None] * len(bins)
    out = torch.zeros(fields * len(bins), dtype=painted.dtype, device=painted.device)
    out.index_add_(0, (bins.bin + row).view(-1), part.view(-1))
    return out.view(fields, len(bins)), modes


def power_spectrum(
    position: Any,
    weight: Any = None,
    *,
    boxsize: float,
    mesh: int = 64,
    bins: str | npt.ArrayLike | None = None,
    k_max: float | None = None,
    window: str | None = "cic",
    shot_noise: str = "subtract",
) -> PowerSpectrum:
    """P(k) of weighted points in a periodic box, painted by cloud-in-cell.

    Parameters
    ----------
    position : array_like or Tensor, shape (P, 3) or (R, P, 3)
        Mpc/h, taken modulo the box.
    weight : array_like or Tensor, shape (P,) or (R, P), optional
        1 by default.
    boxsize : float
        Mpc/h.
    mesh : int
        Cells a side; even.
    bins : str or array_like, shape (nk + 1,), optional
        Bins [lo, hi) in h/Mpc: edges, or text such as "linear:0.05:1:19"; by default those of
        `k_bin_edges`.
    k_max : float, optional
        Where the default bins end; the Nyquist frequency by default.
    window : {"cic", None}
        Whether the power is divided by that of the cloud, sinc^4 in each direction.
    shot_noise : {"subtract", "keep", "poisson"}
        "subtract" takes away the noise of the points, V sum w^2/(sum w)^2, and leaves the pairs
        of different points; "keep" leaves it; "poisson" puts V/sum w in its place: what whole
        galaxies of the same number would add. For weights of 1 the last two are the same but for
        the images of the cloud, whose noise the first and last take away exactly (Jing 2005).

    Returns
    -------
    PowerSpectrum
        Tensors if one was given, differentiable in positions and weights; else arrays.

    Raises
    ------
    ValueError
        If shapes do not fit together, a number is not finite, the weights sum to 0, a bin holds
        no mode, or an option is not known.
    TypeError
        If an argument is of the wrong kind.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.diffhod import power_spectrum
    >>> place = np.random.default_rng(1).uniform(0, 100, (100_000, 3))
    >>> p = power_spectrum(place, boxsize=100.0, mesh=32, bins=[0.1, 0.5, 1.0])
    >>> float(p.shot_noise), bool(abs(p.power).max() < 0.5)
    (10.0, True)
    """
    tensors = any(isinstance(x, torch.Tensor) for x in (position, weight))
    place, w = check_points(position, weight)
    n, side = check_mesh(mesh), cube_side(boxsize, CUBES)
    if bins is not None and k_max is not None:
        raise ValueError("bins and k_max are both given; k_max is where the default bins end")
    if bins is None:
        bins = k_bin_edges(side, n, k_max=k_max)
    modes = ModeBins(
        bins, boxsize=side, mesh=n, window=window, shot_noise=shot_noise, dtype=place.dtype,
        device=place.device,
    )  # fmt: skip
    batch = place.ndim == 3
    if not batch:
        place, w = place[None], w[None]
    if bool((w.detach().abs() > _LARGEST_WEIGHT).any()):
        raise ValueError(f"weight must be at most {_LARGEST_WEIGHT:g}")
    if bool((w.detach().sum(dim=1) == 0).any()):
        raise ValueError("weight sums to 0: there is nothing to take the power of")
    painted = torch.stack([_Paint.apply(p, v, n, side) for p, v in zip(place, w, strict=True)])
    power, shot = modes.power(painted, ordered_sum(w * w, -1))
    if not batch:
        power, shot = power[0], shot[0]
    found = PowerSpectrum(modes.k, power, modes.modes, shot)
    return found if tensors else PowerSpectrum(*(np.asarray(x) for x in found))


def _k_edges(bins: str | npt.ArrayLike, boxsize: float, mesh: int) -> FloatArray:
    if isinstance(bins, str):
        # The unit plays no role: edges are taken as they are, in h/Mpc.
        bins = Binning.parse(bins, BOX_UNIT).edges
    try:
        array = np.array(numbers("bins", bins))
    except (TypeError, ValueError):
        raise TypeError(
            f"bins = {shown(bins)}: k_bins must be text, or an array of numbers in h/Mpc"
        ) from None
    if array.ndim != 1 or array.size < 2:
        raise ValueError(f"bins (k_bins) must have at least two edges, not the shape {array.shape}")
    if not np.isfinite(array).all() or array[0] <= 0 or (np.diff(array) <= 0).any():
        raise ValueError(f"bins (k_bins) must be above 0 and increase, got {array.tolist()}")
    nyquist = math.pi * mesh / boxsize
    if array[-1] > nyquist * 1.5:
        raise ValueError(
            f"bins reach to {array[-1]:g} h/Mpc, far beyond the Nyquist frequency of the mesh, "
            f"{nyquist:.4g}; take a finer mesh"
        )
    return array
