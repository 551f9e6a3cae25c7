"""Cosmologies and halo relations (mass function, bias, radius, concentration) from colossus.

colossus keeps one cosmology for the whole process and files in the home folder; here it works
with a cosmology of its own for the time of a call, leaves the process's one as it was, and
neither reads nor writes a file.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.cosmology import FLRW, LambdaCDM, w0waCDM, wCDM
from colossus.cosmology import cosmology as _cosmology
from colossus.halo import concentration as _concentration
from colossus.halo import mass_so as _mass_so
from colossus.lss import bias as _bias
from colossus.lss import mass_function as _mass_function
from colossus.lss import peaks as _peaks
from colossus.utils import storage as _storage

from pysoftcorr.core.expressions import nearest

__all__ = ["Abundance", "Cosmology", "matter_correlation", "nonlinear_power"]

FloatArray = npt.NDArray[np.float64]

_PARAMETERS = ("flat", "H0", "Om0", "Ode0", "Ob0", "sigma8", "ns", "Tcmb0", "Neff", "relspecies")
_DARK_ENERGY = ("de_model", "w0", "wa")
_LOCK = threading.RLock()


class Cosmology:
    """A cosmology with a linear power spectrum and halo relations, from colossus.

    Parameters
    ----------
    cosmology : str, mapping, astropy cosmology, colossus cosmology or Cosmology
        A name colossus knows (``"planck18"``, ``"bolshoi"``, ...), its parameters by name
        (``H0``, ``Om0``, ``Ob0``, ``sigma8``, ``ns``, and those of `to_dict`), or an object.
        An astropy cosmology says nothing of the power spectrum: its ``meta`` must hold
        ``sigma8`` and ``n`` (as astropy's own Planck and WMAP ones do).

    Raises
    ------
    ValueError
        If the name is unknown, or a parameter is lacking or impossible.
    TypeError
        If `cosmology` is nothing of the above.

    Notes
    -----
    Massive neutrinos are not taken into account. The linear power spectrum is the fit of
    Eisenstein & Hu (1998, ApJ 496, 605), scaled to sigma8.

    Examples
    --------
    >>> from pysoftcorr.mocks.cosmology import Cosmology
    >>> planck = Cosmology("planck18")
    >>> planck.h, planck.to_dict()["Om0"]
    (0.6766, 0.3111)
    >>> planck.radius(1e14, redshift=0, mdef="vir").round(3)
    array([0.943])
    """

    def __init__(self, cosmology: Any) -> None:
        self.name, parameters = _parameters_of(cosmology)
        with _LOCK:
            try:
                self._colossus = _cosmology.Cosmology(name=self.name, persistence="", **parameters)
            except Exception as error:  # colossus raises bare Exception
                raise ValueError(f"cosmology {self.name!r}: {error}") from None

    def __repr__(self) -> str:
        return f"Cosmology({self.to_dict()!r})"

    @property
    def h(self) -> float:
        """Hubble constant in 100 km/s/Mpc."""
        return float(self._colossus.h)

    @property
    def mean_density(self) -> float:
        """Comoving mean density of matter, Msun/h per (Mpc/h)^3."""
        return float(self._colossus.rho_m(0.0)) * 1e9

    def to_dict(self) -> dict[str, Any]:
        """Name and parameters, as JSON can hold them; `Cosmology` takes it back."""
        found: dict[str, Any] = {"name": self.name}
        for key in (*_PARAMETERS, *_DARK_ENERGY):
            value = getattr(self._colossus, key)
            if value is not None:
                found[key] = value if isinstance(value, (str, bool)) else float(value)
        return found

    def matter_fraction(self, redshift: float) -> float:
        """Density of matter in units of the critical density."""
        return float(self._colossus.Om(redshift))

    def growth(self, redshift: float) -> float:
        """Linear growth factor, 1 today."""
        return float(self._colossus.growthFactor(redshift))

    def growth_rates(self, redshift: float) -> tuple[float, float]:
        """Logarithmic derivatives of the growth factors of first and second order by scale factor.

        The second-order factor is taken as D^2 Om^(-1/143) (Bouchet et al. 1995, A&A 296, 575).
        """
        # ln a changes by this to both sides.
        step = 0.01
        low, high = (float((1.0 + redshift) * np.exp(s) - 1.0) for s in (step, -step))
        first = float(np.log(self.growth(high) / self.growth(low)) / (2 * step))
        ratio = self.matter_fraction(high) / self.matter_fraction(low)
        return first, 2 * first - float(np.log(ratio) / (2 * step)) / 143.0

    def hubble(self, redshift: float) -> float:
        """Hubble rate in km/s per Mpc/h: 100 today."""
        return 100.0 * float(self._colossus.Ez(redshift))

    def power(self, k: FloatArray, redshift: float = 0.0) -> FloatArray:
        """Linear matter power spectrum in (Mpc/h)^3 at `k` in h/Mpc, of the shape of `k`."""
        power = self._colossus.matterPowerSpectrum
        return np.asarray(self._ask("linear power spectrum", power, np.asarray(k, float), redshift))

    def lagrangian_radius(self, mass: Any) -> FloatArray:
        """Comoving radius (Mpc/h) of the sphere of mean density that holds `mass` (Msun/h)."""
        return np.cbrt(3.0 * np.atleast_1d(mass).astype(float) / (4 * np.pi * self.mean_density))

    def nonlinear_mass(self, redshift: float = 0.0) -> float:
        """The mass M* (Msun/h) whose sphere has sigma(M*, z) = 1.686.

        Raises
        ------
        ValueError
            If no sphere down to the smallest known scales has.
        """
        return float(self._ask(f"M* at redshift {redshift:g}", _peaks.nonLinearMass, redshift))

    def radius(self, mass: Any, *, redshift: float = 0.0, mdef: str = "vir") -> FloatArray:
        """Comoving halo radius in Mpc/h for masses in Msun/h of the definition `mdef`."""
        mass = np.atleast_1d(np.asarray(mass, dtype=float))
        physical = self._ask(f"mdef = {mdef!r}", _mass_so.M_to_R, mass, redshift, mdef)
        return np.asarray(physical) * (1.0 + redshift) / 1000.0

    def mass_function(
        self, mass: Any, *, redshift: float = 0.0, mdef: str = "vir", model: str = "tinker08"
    ) -> FloatArray:
        """Comoving dn/dlnM in (Mpc/h)^-3 at masses in Msun/h."""
        _known("mass_function", model, _mass_function.models)
        what = f"mass_function = {model!r} with mdef = {mdef!r} at redshift {redshift:g}"
        mass = np.atleast_1d(np.asarray(mass, dtype=float))

        def values(definition: str) -> FloatArray:
            return self._ask(
                what, _mass_function.massFunction, mass, redshift, q_out="dndlnM",
                mdef=definition, model=model,
            )  # fmt: skip

        try:
            return values(mdef)
        except ValueError as error:
            for other in ("200m", "fof"):
                with suppress(ValueError):
                    values(other)
                    break
            else:
                raise
            raise ValueError(f"{error} Pass mdef={other!r} instead") from None

    def bias(
        self, mass: Any, *, redshift: float = 0.0, mdef: str = "vir", model: str = "tinker10"
    ) -> FloatArray:
        """Linear halo bias at masses in Msun/h."""
        _known("bias", model, _bias.models)
        return self._ask(
            f"bias = {model!r} with mdef = {mdef!r} at redshift {redshift:g}",
            _bias.haloBias,
            np.atleast_1d(np.asarray(mass, dtype=float)),
            redshift,
            mdef=mdef,
            model=model,
        )

    def concentration(
        self, mass: Any, *, redshift: float = 0.0, mdef: str = "vir", model: str = "diemer19"
    ) -> FloatArray:
        """Median concentration at masses in Msun/h; interpolated in ln M.

        Raises
        ------
        ValueError
            If the relation does not reach to these masses, redshift and definition.
        """
        _known("concentration", model, _concentration.models)
        mass = np.atleast_1d(np.asarray(mass, dtype=float))
        if not mass.size:
            return np.empty(0)
        # The relations are smooth, and some solve an equation for every mass.
        span = np.log(mass.min()), np.log(mass.max())
        grid = np.linspace(span[0], span[1], 2 + int(16 * (span[1] - span[0])))
        what = f"concentration = {model!r} with mdef = {mdef!r} at redshift {redshift:g}"
        found, valid = self._ask(
            what,
            _concentration.concentration,
            np.exp(grid),
            mdef,
            redshift,
            model=model,
            range_return=True,
        )
        found = np.asarray(found, dtype=float)
        if not (np.all(valid) and np.isfinite(found).all() and (found > 0).all()):
            raise ValueError(
                f"{what} does not cover the masses {mass.min():.3g} to {mass.max():.3g} Msun/h; "
                "choose another relation, such as 'diemer19'"
            )
        return np.exp(np.interp(np.log(mass), grid, np.log(found)))

    def _ask(self, what: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with _session(self._colossus):
            try:
                return function(*args, **kwargs)
            except Exception as error:  # colossus raises bare Exception
                said = str(error)
                if said.startswith("Invalid mass definition"):
                    said = (
                        "no mass definition: must be 'vir', or a number and c or m, such as '200c' "
                        "or '200m' (200 times the critical density, or the mean one)"
                    )
                raise ValueError(f"{what}: {said}") from None


@contextmanager
def _session(cosmology: Any) -> Iterator[None]:
    """colossus with `cosmology` as the current one and no files, then as it was."""
    with _LOCK:
        before = _cosmology.current_cosmo, _concentration.storageUser
        _cosmology.setCurrent(cosmology)
        _concentration.storageUser = _memory_only()
        try:
            yield
        finally:
            _cosmology.current_cosmo, _concentration.storageUser = before


_TABLES: list[Any] = []


def _memory_only() -> Any:
    """colossus' store of concentration tables, kept in memory for the life of the process."""
    if not _TABLES:
        label = "concentration"
        _TABLES.append(_storage.StorageUser("", "", lambda: label, lambda: label, None))
    return _TABLES[0]


def _known(argument: str, model: str, models: Mapping[str, Any]) -> None:
    if model not in models:
        raise ValueError(
            f"{argument} = {model!r}: no such relation{nearest(str(model), list(models))}"
        )


def _parameters_of(cosmology: Any) -> tuple[str, dict[str, Any]]:
    if isinstance(cosmology, Cosmology):
        cosmology = cosmology.to_dict()
    if isinstance(cosmology, _cosmology.Cosmology):
        keys = (*_PARAMETERS, *_DARK_ENERGY)
        return cosmology.name, {k: getattr(cosmology, k) for k in keys}
    if isinstance(cosmology, str):
        if cosmology not in _cosmology.cosmologies or cosmology == "powerlaw":
            names = [n for n in _cosmology.cosmologies if n != "powerlaw"]
            raise ValueError(f"cosmology = {cosmology!r}: no such name{nearest(cosmology, names)}")
        return cosmology, dict(_cosmology.cosmologies[cosmology])
    if isinstance(cosmology, Mapping):
        parameters = dict(cosmology)
        name = str(parameters.pop("name", "custom"))
        for key in parameters:
            if key not in (*_PARAMETERS, *_DARK_ENERGY):
                known = nearest(str(key), (*_PARAMETERS, *_DARK_ENERGY))
                raise ValueError(f"cosmology: no parameter {key!r}{known}")
        lacking = [k for k in ("H0", "Om0", "Ob0", "sigma8", "ns") if k not in parameters]
        if lacking:
            raise ValueError(f"cosmology: {', '.join(lacking)} must be given as well")
        return name, parameters
    if isinstance(cosmology, FLRW):
        return _from_astropy(cosmology)
    raise TypeError(
        "cosmology must be a name known to colossus, a mapping of parameters, an astropy or a "
        f"colossus cosmology, not {type(cosmology).__name__}"
    )


def _from_astropy(cosmology: FLRW) -> tuple[str, dict[str, Any]]:
    if isinstance(cosmology, w0waCDM):
        dark = {"de_model": "w0wa", "w0": float(cosmology.w0), "wa": float(cosmology.wa)}
    elif isinstance(cosmology, wCDM):
        dark = {"de_model": "w0", "w0": float(cosmology.w0)}
    elif isinstance(cosmology, LambdaCDM):
        dark = {}
    else:
        raise ValueError(f"cosmology: {type(cosmology).__name__} is not one colossus can take over")
    name = cosmology.name or "astropy"
    found = {"sigma8": cosmology.meta.get("sigma8"), "ns": cosmology.meta.get("n")}
    if None in found.values() or cosmology.Ob0 is None:
        raise ValueError(
            f"cosmology {name!r} does not say sigma8, n and Ob0, which the power spectrum needs: "
            "make it with Ob0=... and meta={'sigma8': ..., 'n': ...}"
        )
    flat = abs(float(cosmology.Ok0)) < 1e-12
    return name, {
        "flat": flat,
        "H0": float(cosmology.H0.value),
        # Massive neutrinos count as matter today; colossus has no massive ones of its own.
        "Om0": float(cosmology.Om0) + (float(cosmology.Onu0) if cosmology.has_massive_nu else 0.0),
        "Ob0": float(cosmology.Ob0),
        "Ode0": None if flat else float(cosmology.Ode0),
        "Tcmb0": float(cosmology.Tcmb0.value),
        "Neff": float(cosmology.Neff),
        "relspecies": bool(cosmology.Tcmb0.value > 0),
        **found,
        **dark,
    }


#: More halos than this in one box are refused rather than made.
MOST_HALOS = 50_000_000
_HIGHEST = 10.0**16.2  # Msun/h; no halo of a universe like ours is heavier


class Abundance:
    """The number density of halos above a mass, and masses drawn from it.

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
        """Number of halos per (Mpc/h)^3, comoving."""
        return float(self._above[0])

    def above(self, mass: FloatArray) -> FloatArray:
        """n(>M) in (Mpc/h)^-3, of those below `mmax`."""
        return np.interp(np.log(mass), self._log_mass, self._above, right=0.0)

    def draw(self, volume: float, rng: np.random.Generator) -> FloatArray:
        """Masses in Msun/h of a Poisson sample of `volume` (Mpc/h)^3, heaviest first."""
        expected = self.density * volume
        if expected > MOST_HALOS:
            raise ValueError(
                f"mmin = {np.exp(self._log_mass[0]):.3g}: about {expected:.3g} halos would be "
                f"made, more than {MOST_HALOS:.0e}; raise mmin or make the box smaller"
            )
        number = int(rng.poisson(expected))
        if number == 0:
            raise ValueError(
                f"no halo above mmin = {np.exp(self._log_mass[0]):.3g} Msun/h in a box of this "
                f"boxsize ({expected:.3g} expected); lower mmin or make the box larger"
            )
        level = rng.random(number) * self._above[0]
        log_mass = np.interp(level, self._above[::-1], self._log_mass[::-1])
        # Rounding must not put the lightest below mmin.
        return np.sort(np.maximum(np.exp(log_mass), np.exp(self._log_mass[0])))[::-1].copy()


# Wavenumbers of the integrals, h/Mpc.
_K_LEAST, _POINTS = 1e-4, 16384
# Waves of r/k much shorter than the separation are left out smoothly: they cancel.
_WAVES = 30.0


def nonlinear_power(k: FloatArray, cosmology: Cosmology, redshift: float = 0.0) -> FloatArray:
    """Power spectrum of matter in (Mpc/h)^3: HALOFIT with the parameters of Takahashi et al. 2012.

    Parameters
    ----------
    k : ndarray
        Wavenumbers in h/Mpc.
    cosmology : Cosmology
    redshift : float

    Notes
    -----
    Takahashi et al. 2012 (ApJ 761, 152), eq. A1 to A14, for a cosmological constant; within 5 %
    of their simulations at k < 1 h/Mpc, 10 % at k < 10 h/Mpc.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.mocks.cosmology import Cosmology
    >>> from pysoftcorr.mocks.cosmology import nonlinear_power
    >>> planck, k = Cosmology("planck18"), np.array([0.01, 1.0])
    >>> (nonlinear_power(k, planck) / planck.power(k)).round(1).tolist()
    [1.0, 6.0]
    """
    grid = np.geomspace(_K_LEAST, 1e3, 4096)
    step = np.log(grid[1] / grid[0])
    linear = grid**3 * cosmology.power(grid, redshift) / (2 * np.pi**2)

    def variance(log_radius: float) -> tuple[float, float, float]:
        """sigma^2 within a Gaussian, and its first two derivatives by ln R."""
        x = (grid * np.exp(log_radius)) ** 2
        part = linear * np.exp(-x) * step
        return (
            float(part.sum()),
            float((-2 * x * part).sum()),
            float(((4 * x - 4) * x * part).sum()),
        )

    low, high = np.log(1e-2), np.log(1e2)
    if variance(low)[0] < 1:  # matter is linear at every scale of a halo
        return cosmology.power(k, redshift)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if variance(middle)[0] > 1 else (low, middle)
    s, first, second = variance(low)
    n = -3 - first / s
    c = (first / s) ** 2 - second / s
    y = k * np.exp(low)

    om = cosmology.matter_fraction(redshift)
    a = 10 ** (1.5222 + 2.8553 * n + 2.3706 * n**2 + 0.9903 * n**3 + 0.2250 * n**4 - 0.6038 * c)
    b = 10 ** (-0.5642 + 0.5864 * n + 0.5716 * n**2 - 1.5474 * c)
    c_n = 10 ** (0.3698 + 2.0404 * n + 0.8161 * n**2 + 0.5869 * c)
    gamma = 0.1971 - 0.0843 * n + 0.8460 * c
    alpha = abs(6.0835 + 1.3373 * n - 0.1959 * n**2 - 5.5274 * c)
    beta = 2.0379 - 0.7354 * n + 0.3157 * n**2 + 1.2490 * n**3 + 0.3980 * n**4 - 0.1682 * c
    nu = 10 ** (5.2105 + 3.6902 * n)
    f1, f2, f3 = om**-0.0307, om**-0.0585, om**0.0743

    ours = k**3 * cosmology.power(k, redshift) / (2 * np.pi**2)
    quasi = ours * (1 + ours) ** beta / (1 + alpha * ours) * np.exp(-y / 4 - y**2 / 8)
    halo = a * y ** (3 * f1) / (1 + b * y**f2 + (c_n * f3 * y) ** (3 - gamma))
    halo = halo / (1 + nu / y**2)
    return np.asarray((quasi + halo) * 2 * np.pi**2 / k**3)


def matter_correlation(r: npt.ArrayLike, cosmology: Cosmology, redshift: float = 0.0) -> FloatArray:
    """xi of matter at separations `r` (comoving Mpc/h): the transform of `nonlinear_power`.

    Parameters
    ----------
    r : array_like
        Above 0, Mpc/h.
    cosmology : Cosmology
    redshift : float

    Raises
    ------
    ValueError
        If a separation is not above 0.

    Examples
    --------
    >>> from pysoftcorr.mocks.cosmology import Cosmology
    >>> from pysoftcorr.mocks.cosmology import matter_correlation
    >>> bool(0.9 < matter_correlation([5.0], Cosmology("planck18"))[0] < 1.0)
    True
    """
    separation = np.atleast_1d(np.asarray(r, dtype=np.float64))
    if not (np.isfinite(separation) & (separation > 0)).all():
        raise ValueError(f"r = {separation.tolist()}: must be above 0")
    highest = 4 * _WAVES / separation.min()
    k = np.geomspace(_K_LEAST, highest, _POINTS)
    contrast = k**3 * nonlinear_power(k, cosmology, redshift) / (2 * np.pi**2)
    step = np.log(k[1] / k[0])
    kr = k * separation[:, None]
    kernel = np.sinc(kr / np.pi) * np.exp(-((kr / _WAVES) ** 2))
    return np.asarray((contrast * kernel).sum(axis=1) * step)
