"""Power spectrum of weighted points on a periodic mesh, and its derivative."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pysoftcorr.diffhod._torch import torch
from pysoftcorr.diffhod.cic import _Paint, check_mesh, check_points, check_side

__all__ = ["ModeBins", "PowerSpectrum", "k_bin_edges", "power_spectrum"]

FloatArray = npt.NDArray[np.float64]

WINDOWS = ("cic", None)
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
        Of a bin, in h/Mpc; the fundamental mode 2 pi/boxsize by default.

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
    fundamental = 2 * math.pi / boxsize
    nyquist = fundamental * mesh / 2
    step = fundamental if width is None else float(width)
    top = nyquist if k_max is None else float(k_max)
    if not (math.isfinite(step) and step > 0):
        raise ValueError(f"width = {width!r}: must be above 0 (h/Mpc)")
    if not 0 < top <= nyquist * (1 + 1e-12):
        raise ValueError(
            f"k_max = {top:g} h/Mpc: must be above 0 and at most the Nyquist frequency of the "
            f"mesh, {nyquist:.4g}; a mesh of {2 * math.ceil(top / fundamental)} reaches it"
        )
    number = int((top - fundamental / 2) / step + 1e-9)
    if number < 1:
        raise ValueError(
            f"no bin of width {step:.3g} h/Mpc fits between {fundamental / 2:.3g} and {top:.3g}"
        )
    return np.asarray(fundamental / 2 + step * np.arange(number + 1))


class ModeBins:
    """The Fourier modes of a mesh by bin of k, half of them, with their weights.

    Parameters
    ----------
    edges : array_like, shape (nk + 1,)
        Of the bins [lo, hi) in h/Mpc.
    boxsize : float
    mesh : int
    window : {"cic", None}
        Whether the power is divided by that of the cloud.
    shot_noise : {"subtract", "keep", "poisson"}
    dtype, device
        Of the sums.
    """

    def __init__(
        self,
        edges: npt.ArrayLike,
        *,
        boxsize: float,
        mesh: int,
        window: str | None = "cic",
        shot_noise: str = "subtract",
        dtype: torch.dtype = torch.float64,
        device: Any = "cpu",
    ) -> None:
        if window not in WINDOWS:
            raise ValueError(f"window = {window!r}: must be 'cic' or None")
        if shot_noise not in SHOT_NOISE:
            raise ValueError(f"shot_noise = {shot_noise!r}: must be one of {SHOT_NOISE}")
        self.edges = _check_edges(edges, boxsize, mesh)
        self.boxsize, self.mesh = boxsize, mesh
        self.window, self.shot_noise = window, shot_noise
        fundamental = 2 * math.pi / boxsize
        n = np.fft.fftfreq(mesh, 1 / mesh)
        half = np.arange(mesh // 2 + 1.0)
        k = fundamental * np.sqrt(
            n[:, None, None] ** 2 + n[None, :, None] ** 2 + half[None, None, :] ** 2
        )
        bins = np.searchsorted(self.edges, k.ravel(), side="right") - 1
        inside = np.flatnonzero((bins >= 0) & (bins < len(self.edges) - 1))
        bins = bins[inside]
        z = inside % half.size
        # The real transform leaves out the mirror images of all but the first and last planes.
        twice = np.where((z == 0) | (z == mesh // 2), 1.0, 2.0)
        count = np.bincount(bins, twice, minlength=len(self.edges) - 1)
        empty = np.flatnonzero(count == 0)
        if empty.size:
            b = int(empty[0])
            raise ValueError(
                f"bin {b} of k, {self.edges[b]:.4g} to {self.edges[b + 1]:.4g} h/Mpc, holds no "
                f"mode of the box: the fundamental mode is {fundamental:.4g}"
            )
        mean = np.bincount(bins, twice * k.ravel()[inside], minlength=count.size) / count
        x, y, z = np.unravel_index(inside, k.shape)
        phases = [np.pi * np.abs(m) / mesh for m in (n[x], n[y], half[z])]
        window2 = np.ones(inside.size)
        shot = np.ones(inside.size)
        for phase in phases:
            window2 *= np.sinc(phase / np.pi) ** 4
            shot *= 1 - 2 / 3 * np.sin(phase) ** 2  # of a cloud, its images summed (Jing 2005)
        divide = twice / count[bins] / (window2 if window == "cic" else 1.0)

        def tensor(values: Any, kind: torch.dtype = dtype) -> torch.Tensor:
            return torch.as_tensor(values, dtype=kind, device=device)

        self.k, self.modes = tensor(mean), tensor(count, torch.int64)
        self.index, self.bin = tensor(inside, torch.int64), tensor(bins, torch.int64)
        self.coefficient = tensor(divide)
        #: What white noise of power 1 gives in each bin; and what Poisson noise shall give.
        self.white = tensor(np.bincount(bins, divide * shot, minlength=count.size))
        if window == "cic":
            self.flat = torch.ones_like(self.white)
        else:
            self.flat = self.white

    def __len__(self) -> int:
        return len(self.edges) - 1

    def power(self, painted: torch.Tensor, weight2: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """P(k) of painted meshes (R, mesh, mesh, mesh) whose points have sum w^2 (R,), and V sum
        w^2/(sum w)^2."""
        total = painted.sum(dim=(-3, -2, -1))
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
        modes = torch.fft.rfftn(painted, dim=(-3, -2, -1)).flatten(1)[:, bins.index]
        ctx.save_for_backward(modes)
        ctx.bins, ctx.shape = bins, painted.shape
        part = (modes.real**2 + modes.imag**2) * bins.coefficient
        fields = len(painted)
        row = torch.arange(fields, device=painted.device)[:, None] * len(bins)
        out = torch.zeros(fields * len(bins), dtype=painted.dtype, device=painted.device)
        out.index_add_(0, (bins.bin + row).view(-1), part.view(-1))
        return out.view(fields, len(bins))

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor) -> tuple[torch.Tensor, None]:
        (modes,) = ctx.saved_tensors
        bins, shape = ctx.bins, ctx.shape
        mesh = bins.mesh
        flat = modes.new_zeros((shape[0], mesh * mesh * (mesh // 2 + 1)))
        # Modes that stand for their mirror images count twice in the coefficient already, and
        # the inverse transform counts them twice again.
        z = bins.index % (mesh // 2 + 1)
        once = torch.where((z == 0) | (z == mesh // 2), 2.0, 1.0).to(cotangent.dtype)
        flat[:, bins.index] = modes * (cotangent[:, bins.bin] * bins.coefficient * once)
        spectrum = flat.view(shape[0], mesh, mesh, mesh // 2 + 1)
        back = torch.fft.irfftn(spectrum, s=(mesh, mesh, mesh), dim=(-3, -2, -1), norm="forward")
        return back, None


def power_spectrum(
    position: Any,
    weight: Any = None,
    *,
    boxsize: float,
    mesh: int = 64,
    edges: npt.ArrayLike | None = None,
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
    edges : array_like, shape (nk + 1,), optional
        Of the bins [lo, hi) in h/Mpc; by default those of `k_bin_edges`.
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
    >>> p = power_spectrum(place, boxsize=100.0, mesh=32, edges=[0.1, 0.5, 1.0])
    >>> float(p.shot_noise), bool(abs(p.power).max() < 0.5)
    (10.0, True)
    """
    tensors = any(isinstance(x, torch.Tensor) for x in (position, weight))
    place, w = check_points(position, weight)
    n, side = check_mesh(mesh), check_side(boxsize)
    if edges is not None and k_max is not None:
        raise ValueError("edges and k_max are both given; k_max is of the default edges")
    bounds = k_bin_edges(side, n, k_max=k_max) if edges is None else edges
    bins = ModeBins(
        bounds, boxsize=side, mesh=n, window=window, shot_noise=shot_noise, dtype=place.dtype,
        device=place.device,
    )  # fmt: skip
    batch = place.ndim == 3
    if not batch:
        place, w = place[None], w[None]
    if bool((w.detach().sum(dim=1) == 0).any()):
        raise ValueError("weight sums to 0: there is nothing to take the power of")
    painted = torch.stack([_Paint.apply(p, v, n, side) for p, v in zip(place, w, strict=True)])
    power, shot = bins.power(painted, (w * w).sum(dim=1))
    if not batch:
        power, shot = power[0], shot[0]
    found = PowerSpectrum(bins.k, power, bins.modes, shot)
    return found if tensors else PowerSpectrum(*(np.asarray(x) for x in found))


def _check_edges(edges: npt.ArrayLike, boxsize: float, mesh: int) -> FloatArray:
    try:
        array = np.array(edges, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError("edges must be an array of numbers in h/Mpc") from None
    if array.ndim != 1 or array.size < 2:
        raise ValueError(f"edges must be at least two numbers, not of shape {array.shape}")
    if not np.isfinite(array).all() or array[0] <= 0 or (np.diff(array) <= 0).any():
        raise ValueError(f"edges must be above 0 and increase, got {array.tolist()}")
    nyquist = math.pi * mesh / boxsize
    if array[-1] > nyquist * 1.5:
        raise ValueError(
            f"edges reach to {array[-1]:g} h/Mpc, far beyond the Nyquist frequency of the mesh, "
            f"{nyquist:.4g}; take a finer mesh"
        )
    return array
