"""xi, omega and eta of galaxies in a periodic box in soft bins, with their derivatives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy.special import erf

from pysoftcorr.core.options import choice
from pysoftcorr.mocks import checks
from pysoftcorr.mocks.box import box_set, radial_edges
from pysoftcorr.mocks.checks import BoxSize
from pysoftcorr.mocks.galaxies import GalaxyCatalog
from pysoftcorr.sky.binning import BOX_UNIT, Binning, Bins
from pysoftcorr.sky.soft_bins import WEIGHTINGS, soft_edges
from pysoftcorr.sky.soft_statistic import SoftStatistic
from pysoftcorr.sky.soft_statistic_kernels import Columns, FloatArray, Objects, Pairs

__all__ = ["SoftBoxCorrelations"]

_POSITION = ("x", "y", "z")
_AXIS = ("axis_x", "axis_y", "axis_z")
#: Most that a bin may weigh where pairs begin to have no nearest image.
_FAINT = 1e-10


class SoftBoxCorrelations(SoftStatistic):
    """xi, omega and eta in soft bins of separation in a periodic box, and their derivatives.

    The estimators of `box_correlations`, with the weights W_b of soft bins (Berman et al. 2025,
    arXiv:2504.06174, eqs. 22 and 23): xi_b = DD_b/RR_b - 1, with DD_b the sum of W_b w_i w_j over
    ordered pairs and RR_b = (sum w)^2/V times the integral of 4 pi r^2 W_b(r); omega_b and eta_b
    the means of (e_i . r_ij)^2/r_ij^2 - 1/3 and (e_i . e_j)^2 - 1/3 with weights W_b w_i w_j.
    Derivatives are by positions, axes and weights.

    Parameters
    ----------
    bins : Binning, str or array_like, optional
        In Mpc/h, as `radial_edges` takes them; by default "log:0.1:16:20".
    boxsize : float, or three of these
        Side of the cube in Mpc/h, or the sides of the box along x, y and z.
    weighting : {"sigmoid", "gaussian"}
        As of `SoftCorrelation`.
    sharpness : float or array_like, shape (nbins,), optional
        In h/Mpc ("sigmoid") or its square ("gaussian"), as of `SoftCorrelation`.

    Attributes
    ----------
    statistics : tuple of str
        "xi", "omega" and "eta", the rows of a value of shape (3, nbins).
    catalogs : tuple of str
        What methods take: ``galaxies``, a `GalaxyCatalog` of that box, or a mapping of "position"
        (N, 3) in Mpc/h, "axis" (N, 3) and perhaps "weights" (N,). Gradients are by these names.

    Raises
    ------
    ValueError, TypeError
        A setting that is not possible; bins that still weigh more than 1e-10 at half the shortest
        side.

    Notes
    -----
    Positions of a mapping may lie anywhere: the box repeats itself. Axes have any length but 0 and
    no head; their gradient is square to them. Galaxies at one place (to 4e-15 of the box) have no
    direction, and such pairs are left out of all three, as hard bins (lo, hi] leave them out. A bin
    without pairs has omega and eta NaN, gradients 0, and xi = -1.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.mocks import SoftBoxCorrelations
    >>> rng = np.random.default_rng(1)
    >>> galaxies = {"position": rng.uniform(0, 100, (200, 3)), "axis": rng.normal(size=(200, 3))}
    >>> box = SoftBoxCorrelations("linear:5:25:4", boxsize=100)
    >>> box.value(galaxies).shape
    (3, 4)
    >>> box.vjp(galaxies, cotangent=np.ones((3, 4)))["position"].shape
    (200, 3)
    """

    statistics = ("xi", "omega", "eta")
    catalogs = ("galaxies",)
    _vectors: ClassVar = {"position": _POSITION, "axis": _AXIS}
    _weights = "weights"
    _kind = 4

    def __init__(
        self,
        bins: Bins | None = None,
        *,
        boxsize: BoxSize,
        weighting: str = "sigmoid",
        sharpness: float | npt.ArrayLike | None = None,
    ) -> None:
        self.boxsize = checks.box_size(boxsize)
        self.weighting = choice("weighting", weighting, WEIGHTINGS)
        edges = radial_edges(bins, self.boxsize)
        self.bins = Binning.of(edges, BOX_UNIT)
        self._bins = soft_edges(edges, self.weighting, sharpness)
        half = float(checks.box_sides(self.boxsize).min()) / 2
        weights = self.bin_weights(half)
        worst = int(np.argmax(weights))
        if weights[worst] > _FAINT:
            raise ValueError(
                f"SoftBoxCorrelations: bin {worst} of {self.bins} still weighs "
                f"{weights[worst]:.1g} at half the shortest side, {half:g} Mpc/h, where pairs "
                f"begin to have no nearest image: must be at most {_FAINT:g}; end the bins "
                "lower, or make them sharper by sharpness="
            )

    def _columns(self, argument: str, flat: bool) -> tuple[str, ...]:
        return (*_POSITION, *_AXIS, "weights")

    def _catalog(self, argument: str, columns: Columns, **units: Any) -> dict[str, FloatArray]:
        if units:
            raise ValueError(f"{next(iter(units))} is of flat catalogs: leave it out")
        return self._joined(dict(columns))

    def _prepare(self, *catalogs: Any) -> Pairs:
        (galaxies,) = catalogs
        position, axis, weights = self._read(galaxies)
        # Checked where the box has moved them; what is summed knows of the box anyway.
        found = box_set(position, axis, weights, None, boxsize=self.boxsize, wrap=True)
        sides = checks.box_sides(self.boxsize)
        unit = 2.0 ** int(np.frexp(sides.max())[1])
        scale = 1 / float(found.weight.max())
        units = np.array([1 / unit] * 3 + [1.0] * 3 + [scale])
        columns = [*np.asarray(position, float).T, *np.asarray(axis, float).T, found.weight]
        rows = np.stack(columns) * units[:, None]
        power = 1 if self.weighting == "sigmoid" else 2
        bins = self._bins * np.array([[1 / unit], [1 / unit], [unit**power]])
        shells = soft_volumes(self._bins, self.weighting) / checks.volume(self.boxsize)
        return Pairs(
            (Objects("galaxies", self._columns("galaxies", False), rows, units),),
            bins,
            (1, WEIGHTINGS[self.weighting], 1, 0, 0),
            np.concatenate([sides / unit, shells]),
        )

    def _read(self, galaxies: Any) -> tuple[Any, Any, Any]:
        if isinstance(galaxies, GalaxyCatalog):
            if galaxies.boxsize != self.boxsize:
                raise ValueError(
                    f"SoftBoxCorrelations: boxsize = {checks.box_text(self.boxsize)}, but that of "
                    f"galaxies is {checks.box_text(galaxies.boxsize)} Mpc/h: give the same"
                )
            if galaxies.axis is None:
                raise ValueError("SoftBoxCorrelations: galaxies have no axes: give a mapping")
            return galaxies.position, galaxies.axis, None
        if not isinstance(galaxies, Mapping):
            raise TypeError(
                "SoftBoxCorrelations: galaxies must be a GalaxyCatalog or a mapping of position, "
                f"axis and weights, not {type(galaxies).__name__}"
            )
        names = ("position", "axis", "weights")
        unknown = [str(name) for name in galaxies if name not in names]
        lacking = [name for name in names[:2] if galaxies.get(name) is None]
        if unknown or lacking:
            what = f"there is no {unknown[0]}" if unknown else f"{lacking[0]} must be given"
            raise ValueError(f"SoftBoxCorrelations: galaxies: {what}: {', '.join(names)}")
        return galaxies["position"], galaxies["axis"], galaxies.get("weights")


def soft_volumes(bins: FloatArray, weighting: str) -> FloatArray:
    """Integral of 4 pi r^2 W_b(r) over all r of each bin.

    With sigmoid edges W = [f(r - a) - f(r - b)]/(1 - exp(-s (b - a))), f(x) = 1/(1 + exp(-s x)),
    whose moments are integrals of Fermi and Dirac: trilogarithms.

    Parameters
    ----------
    bins : ndarray, shape (3, nbins)
        Lower and upper edges and sharpness.
    weighting : {"sigmoid", "gaussian"}
    """
    lo, hi, s = bins
    if weighting == "gaussian":
        middle = (lo + hi) / 2
        y = s * middle**2
        bulk = np.sqrt(np.pi) / 4 * (1 + 2 * y) * (1 + erf(np.sqrt(y))) / s**1.5
        moment = bulk + middle * np.exp(-y) / (2 * s)
    else:
        moment = (_fermi(s * hi) - _fermi(s * lo)) / (s**3 * -np.expm1(-s * (hi - lo)))
    out: FloatArray = 4 * np.pi * moment
    return out


def _fermi(x: FloatArray) -> FloatArray:
    """Integral of t^2/(1 + exp(t - x)) over t > 0, for x >= 0: -2 Li3(-exp(x))."""
    # Li3 at -exp(-x), an alternating series, by the algorithm 1 of Cohen, Rodriguez Villegas and
    # Zagier (2000): 5.8^-25 is 1e-19.
    n = 25
    d = (3 + np.sqrt(8)) ** n
    d = (d + 1 / d) / 2
    b, c, total = -1.0, -d, np.zeros_like(x)
    for k in range(n):
        c = b - c
        total += c * np.exp(-x * (k + 1)) / (k + 1) ** 3
        b *= (k + n) * (k - n) / ((k + 0.5) * (k + 1))
    out: FloatArray = x**3 / 3 + np.pi**2 * x / 3 + 2 * total / d
    return out
