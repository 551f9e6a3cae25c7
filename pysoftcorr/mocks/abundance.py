"""Halo masses of a volume: drawn from a published mass function."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pysoftcorr.mocks.cosmology import Cosmology

FloatArray = npt.NDArray[np.float64]

#: More haloes than this in one box are refused rather than made.
MOST_HALOES = 50_000_000
_HIGHEST = 10.0**16.2  # Msun/h; no halo of a universe like ours is heavier


class Abundance:
    """The number density of haloes above a mass, and masses drawn from it.

    Parameters
    ----------
    cosmology : Cosmology
    mmin, mmax : float
        Lowest and highest mass in Msun/h; `mmax` = None for no highest.
    redshift : float
    mdef : str
        Mass definition.
    model : str
        Mass function, by colossus' name.

    Raises
    ------
    ValueError
        If a mass is impossible, or the mass function does not hold here.
    """

    def __init__(
        self,
        cosmology: Cosmology,
        *,
        mmin: float,
        mmax: float | None = None,
        redshift: float = 0.0,
        mdef: str = "vir",
        model: str = "tinker08",
    ) -> None:
        top = _HIGHEST if mmax is None else float(mmax)
        if not (1e6 <= mmin <= 1e16):
            hint = "; is it log10(M)?" if 6 <= mmin <= 16 else ""
            raise ValueError(f"mmin = {mmin:g}: must be a mass of 1e6 to 1e16 Msun/h{hint}")
        if not (mmin < top <= _HIGHEST):
            raise ValueError(f"mmax = {mmax}: must be above mmin = {mmin:g} and below 1e16 Msun/h")
        self._log_mass = np.linspace(np.log(mmin), np.log(top), 2048)
        density = cosmology.mass_function(
            np.exp(self._log_mass), redshift=redshift, mdef=mdef, model=model
        )
        if not (np.isfinite(density).all() and (density >= 0).all() and density[0] > 0):
            raise ValueError(
                f"mass_function = {model!r} has no answer between {mmin:.3g} and {top:.3g} Msun/h"
            )
        step = self._log_mass[1] - self._log_mass[0]
        pieces = 0.5 * step * (density[1:] + density[:-1])
        # n(>M), summed from the rare end so that its small values keep their digits.
        self._above = np.append(np.cumsum(pieces[::-1])[::-1], 0.0)

    @property
    def density(self) -> float:
        """Number of haloes per (Mpc/h)^3, comoving."""
        return float(self._above[0])

    def above(self, mass: FloatArray) -> FloatArray:
        """n(>M) in (Mpc/h)^-3, of those below `mmax`."""
        return np.interp(np.log(mass), self._log_mass, self._above, right=0.0)

    def draw(self, volume: float, rng: np.random.Generator) -> FloatArray:
        """Masses in Msun/h of a Poisson sample of `volume` (Mpc/h)^3, heaviest first."""
        expected = self.density * volume
        if expected > MOST_HALOES:
            raise ValueError(
                f"mmin = {np.exp(self._log_mass[0]):.3g}: about {expected:.3g} haloes would be "
                f"made, more than {MOST_HALOES:.0e}; raise mmin or make the box smaller"
            )
        number = int(rng.poisson(expected))
        if number == 0:
            raise ValueError(
                f"no halo above mmin = {np.exp(self._log_mass[0]):.3g} Msun/h in this box "
                f"({expected:.3g} expected); lower mmin or make the box larger"
            )
        level = rng.random(number) * self._above[0]
        log_mass = np.interp(level, self._above[::-1], self._log_mass[::-1])
        # Rounding must not put the lightest below mmin.
        return np.sort(np.maximum(np.exp(log_mass), np.exp(self._log_mass[0])))[::-1].copy()
