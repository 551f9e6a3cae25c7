"""Halo occupation with intrinsic alignments: which galaxies a halo holds, and how they point."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import special

from pysoftcorr.core import options
from pysoftcorr.core.cautions import caution
from pysoftcorr.core.checks import Origin
from pysoftcorr.core.options import finite_numbers, numbers
from pysoftcorr.core.random import Seed, root_seed
from pysoftcorr.mocks import checks
from pysoftcorr.mocks.assembly import concentrated, decoration
from pysoftcorr.mocks.satellites import (
    SATELLITES,
    DrawnGalaxies,
    NoGalaxies,
    check_places,
    draw_galaxies,
)
from pysoftcorr.mocks.subhalo_places import caution_of_borrowed, part_without_subhalos
from pysoftcorr.mocks.velocities import galaxy_velocities, redshift_of

if TYPE_CHECKING:
    from pysoftcorr.mocks.galaxies import GalaxyCatalog

__all__ = ["HOD_PARAMETERS", "PARAMETERS", "HODModel", "check_halos"]

FloatArray = npt.NDArray[np.float64]

#: Slope of the mass function at its light end, and where the warning of lighter halos begins.
_SLOPE, _UNRESOLVED, FEW_HALOS = 0.9, 0.01, 10
#: Step of the masses of halos that are not there, dex.
_STEP = 0.005

#: Parameters of the occupation, and all seven in the order of a design and of the emulator.
HOD_PARAMETERS = ("logMmin", "sigma_logM", "logM0", "logM1", "alpha")
PARAMETERS = ("mu_cen", "mu_sat", *HOD_PARAMETERS)
#: Parameters of a universe at a redshift, and what they are where they are not given.
PLANCK18 = {"Omega_m": 0.3111, "sigma_8": 0.8102, "z": 0.0}
COSMOLOGY = tuple(PLANCK18)
WITH_COSMOLOGY = (*PARAMETERS, *COSMOLOGY)

#: What lies in [-1, 1].
_IN_ONE = ("mu_cen", "mu_sat", "assembly_cen", "assembly_sat")
#: `PARAMETERS` by the least stellar mass; the strengths are those fitted by P25, which gives none
#: for the last.
_PRESETS = {
    "mstar10.5": (0.78, 0.33, 12.54, 0.26, 12.68, 13.48, 1.0),
    "mstar10.0": (0.68, 0.14, 11.93, 0.26, 12.05, 12.85, 1.0),
    "mstar9.5": (0.55, 0.03, 11.61, 0.26, 11.80, 12.60, 1.0),
    "mstar9.0": (0.0, 0.0, 11.37, 0.26, 11.55, 12.35, 1.0),
}


def lighter_halos(least: float, near: int) -> tuple[FloatArray, FloatArray]:
    """Masses below the lightest halo, and how many halos per dex a full catalog has there.

    Parameters
    ----------
    least : float
        Mass of the lightest halo, Msun/h.
    near : int
        Halos up to twice that mass: those lighter follow by dn/dlogM ~ M^-0.9.

    Returns
    -------
    mass, halos : ndarray, shape (1201,)
        Downwards over 6 dex.
    """
    x = np.arange(1201) * _STEP
    first = near * _SLOPE * math.log(10) / (1 - 2.0**-_SLOPE)
    return np.asarray(least * 10.0**-x), np.asarray(first * 10.0 ** (_SLOPE * x))


@dataclass(frozen=True, kw_only=True)
class HODModel:
    """Zheng et al. (2007) occupation of halos with Dimroth-Watson alignments.

    Parameters
    ----------
    logMmin : float
        log10 of the mass (Msun/h) at which half of the halos hold a central galaxy.
    sigma_logM : float
        Width of that step, above 0.
    logM0, logM1 : float
        log10 of the cut-off and the scale of the satellites' power law (Msun/h).
    alpha : float
        Its slope.
    mu_cen, mu_sat : float
        Alignment strengths in [-1, 1]: of centrals with their halo's major axis, and of
        satellites with the direction from the central galaxy.
    modulate : bool
        Whether the mean number of satellites is multiplied by that of centrals (Hearin et al.
        2022, eq. 3); halotools by default does not.
    gamma : float
        Strength of satellites by radius: mu_sat (r/Rvir)^gamma, kept within [-1, 1].
    satellites : str
        Where satellites live: "nfw", in a spherical NFW profile; "triaxial", in one of the halo's
        ellipsoid, so that they lie along its major axis; "subhalos", on the subhalos of the halo,
        the heaviest first.
    assembly_cen, assembly_sat : float
        Assembly bias of centrals and satellites in [-1, 1]: more of them in the more concentrated
        halos of a mass if positive, fewer if negative, and as many in all.
    assembly_split : float
        Part of the halos of a mass that count as less concentrated.

    Raises
    ------
    TypeError
        If a parameter is no number, or `satellites` no text.
    ValueError
        If one is not finite or out of range; for masses also if the mass itself was given.

    Notes
    -----
    Zheng, Coil & Zehavi 2007, eq. 2, 3 and 5 (here as in halotools: the power law cuts at M0).
    Alignments as Van Alfen et al. 2024; "subhalos" is where Pandya et al. 2025 put satellites
    (halotools' SubhaloPhaseSpace). Assembly bias is the decorated HOD of Hearin et al. 2016
    (`pysoftcorr.mocks.assembly`), halotools' HeavisideAssembias. Whatever `satellites` is, their
    reference axis is the direction from the center of the halo, and their numbers are the same.

    Examples
    --------
    >>> from pysoftcorr.mocks import HODModel
    >>> model = HODModel.preset("mstar10.5").with_parameters(mu_sat=0.2)
    >>> model.mean_ncen(10**12.54), round(model.mean_nsat(1e14), 3)
    (0.5, 3.153)
    """

    logMmin: float
    sigma_logM: float
    logM0: float
    logM1: float
    alpha: float
    mu_cen: float = 0.0
    mu_sat: float = 0.0
    modulate: bool = False
    gamma: float = 0.0
    satellites: str = "nfw"
    assembly_cen: float = 0.0
    assembly_sat: float = 0.0
    assembly_split: float = 0.5

    def __post_init__(self) -> None:
        options.choice("satellites", self.satellites, SATELLITES)
        object.__setattr__(self, "modulate", options.flag("modulate", self.modulate))
        for name in (*PARAMETERS, "gamma", "assembly_cen", "assembly_sat"):
            limit = 1 if name in _IN_ONE else None
            least = None if limit is None else -limit
            value = options.number(name, getattr(self, name), least=least, most=limit)
            object.__setattr__(self, name, value)
        for name in ("logMmin", "logM0", "logM1"):
            value = getattr(self, name)
            if value > 100:
                raise ValueError(
                    f"{name} = {value:g}: the log10 of a mass is meant, {math.log10(value):.4g}"
                )
            if not -20 <= value <= 20:
                raise ValueError(f"{name} = {value:g}: must be the log10 of a mass in Msun/h")
        options.positive("sigma_logM", self.sigma_logM)
        split = options.number("assembly_split", self.assembly_split, above=0)
        if split >= 1:
            raise ValueError(f"assembly_split = {split:g}: must be a part of the halos, below 1")
        object.__setattr__(self, "assembly_split", split)

    @classmethod
    def preset(cls, name: str, *, satellites: str = "nfw") -> HODModel:
        """A fixed HOD: galaxies above a stellar mass, with the strengths fitted to them.

        Parameters
        ----------
        name : str
            "mstar10.5", "mstar10.0", "mstar9.5" or "mstar9.0" (log10 of the least stellar mass;
            the last has no fitted strengths: they are 0). `with_parameters` changes it.
        satellites : {"nfw", "triaxial", "subhalos"}
            Where satellites live, of which the fits say nothing.

        Raises
        ------
        ValueError
            If there is none of this name, or no such place.

        Examples
        --------
        >>> from pysoftcorr.mocks import HODModel
        >>> HODModel.preset("mstar10.0").logM1
        12.85
        """
        values = _PRESETS[options.choice("name", name, _PRESETS)]
        found: dict[str, Any] = dict(zip(PARAMETERS, values, strict=True))
        return cls(**found, satellites=satellites)

    def to_dict(self) -> dict[str, Any]:
        """The parameters by name; ``HODModel(**d)`` is the same model."""
        return asdict(self)

    # ------------------------------------------------------------------ occupation
    def mean_ncen(self, mass: npt.ArrayLike) -> Any:
        """Mean number of central galaxies of a halo of `mass` (Msun/h)."""
        log_mass = np.log10(_masses(mass))
        # erfc keeps its digits where the step is low.
        return _plain(0.5 * special.erfc((self.logMmin - log_mass) / self.sigma_logM))

    def mean_nsat(self, mass: npt.ArrayLike) -> Any:
        """Mean number of satellites of a halo of `mass` (Msun/h)."""
        m = _masses(mass)
        excess = np.maximum(m - 10.0**self.logM0, 0.0) / 10.0**self.logM1
        n = np.where(excess > 0, np.where(excess > 0, excess, 1.0) ** self.alpha, 0.0)
        if self.modulate:
            n = n * self.mean_ncen(m)
        return _plain(n)

    def mean_numbers(self, halos: Any) -> tuple[FloatArray, FloatArray]:
        """Mean numbers of centrals and satellites of each halo, assembly bias included.

        Parameters
        ----------
        halos : HaloCatalog
            Or anything with its ``mass`` and ``concentration``.

        Returns
        -------
        centrals, satellites : ndarray, shape (N,)

        Raises
        ------
        ValueError
            If there is assembly bias, and the concentrations follow from the masses.
        """
        mass = np.asarray(halos.mass, dtype=np.float64)
        centrals, satellites = np.asarray(self.mean_ncen(mass)), np.asarray(self.mean_nsat(mass))
        if self.assembly_cen == 0 and self.assembly_sat == 0:
            return centrals, satellites
        split = self.assembly_split
        upper = concentrated(mass, np.asarray(halos.concentration, dtype=np.float64), split)
        centrals = centrals + decoration(centrals, self.assembly_cen, upper, split, 1.0)
        satellites = satellites + decoration(satellites, self.assembly_sat, upper, split, np.inf)
        return np.clip(centrals, 0.0, 1.0), np.maximum(satellites, 0.0)

    # ------------------------------------------------------------------ galaxies
    def populate(self, halos: Any, *, seed: Seed = None) -> GalaxyCatalog:
        """Galaxies drawn for halos.

        A central galaxy lies at the center of its halo, or there is none (Bernoulli); the number
        of satellites is Poisson and independent of it. Where they lie, `satellites` says:

        - "nfw": an NFW profile of the halo's concentration out to its radius.
        - "triaxial": that profile stretched into an ellipsoid of the same volume, by `b_to_a`,
          `c_to_a` and `minor_axis` of the halos. Ratios that the catalog lacks are drawn by mass
          (`pysoftcorr.mocks.shapes.axis_ratios`), minor axes at right angles to the major ones;
          they follow from the seed and the row of the halo.
        - "subhalos": the j-th satellite on the j-th heaviest subhalo. Satellites beyond the number
          of subhalos are put where random subhalos of halos of like mass (0.1 dex) are, relative
          to the radius and the major axis of the halo.

        Where the halos have velocities, so have the galaxies (`pysoftcorr.mocks.velocities`).

        Parameters
        ----------
        halos : HaloCatalog
            Or anything with its ``position``, ``mass``, ``radius``, ``concentration``, ``axis``
            and ``boxsize``; for satellites other than "nfw", its optional columns and
            ``subhalos`` are used.
        seed : int or numpy.random.Generator, optional
            The random numbers of a galaxy follow from the seed, the row of its halo and its rank
            there alone: with one seed, parameters can be changed and what does not depend on
            them stays, bit for bit. A higher logM1 takes satellites away and moves none.

        Returns
        -------
        GalaxyCatalog
            Centrals first, then satellites, both in the order of the halos.

        Warns
        -----
        UserWarning
            If halos below the lightest one would hold more than 1 % of the galaxies (see
            `unresolved`); if ratios of axes are drawn for a cosmology or redshift that is not
            known; if for more than 10 % of the satellites halos have no subhalo left.

        Raises
        ------
        ValueError
            If satellites want subhalos and the halos have none, no galaxy is made
            (`NoGalaxies`), more than 50 million satellites would be (`TooManyGalaxies`), or a
            column of the halos has NaN or values that its unit does not allow.
        TypeError
            If `halos` lacks a column, or `seed` is of the wrong kind.

        Examples
        --------
        >>> from pysoftcorr.mocks import HaloCatalog, HODModel
        >>> import numpy as np
        >>> rng = np.random.default_rng(4)
        >>> halos = HaloCatalog(
        ...     rng.uniform(0, 50, (20, 3)), np.full(20, 1e14), np.full(20, 0.97),
        ...     np.full(20, 5.0), rng.normal(size=(20, 3)), boxsize=50.0)
        >>> galaxies = HODModel.preset("mstar10.5").populate(halos, seed=1)
        >>> len(galaxies), int(galaxies.central.sum())
        (78, 20)
        """
        check_halos(halos)
        check_places(halos, self.satellites)
        galaxies = self._populate(halos, root_seed(seed), moving=True)
        self._warn_of_light_halos(halos.mass)
        if self.satellites == "subhalos":
            caution_of_borrowed(part_without_subhalos(halos, self.mean_numbers(halos)[1]))
        return galaxies

    def _populate(self, halos: Any, root: int, *, moving: bool = False) -> GalaxyCatalog:
        """What `populate` gives, of halos that are in order and without a word.

        Velocities, which most correlations do without, only if `moving`.
        """
        from pysoftcorr.mocks.galaxies import GalaxyCatalog

        mass = halos.mass
        drawn = draw_galaxies(halos, *self.mean_numbers(halos), root, satellites=self.satellites)
        self._refuse_none(drawn, mass)
        centrals, host = drawn.centrals, drawn.host

        galaxies = GalaxyCatalog(
            position=drawn.position,
            reference=np.concatenate([halos.axis[centrals], drawn.direction]),
            axis=None,
            central=np.arange(centrals.size + host.size) < centrals.size,
            host=np.concatenate([centrals, host]),
            rank=np.concatenate([np.zeros(centrals.size, dtype=np.int64), drawn.rank]),
            scaled_radius=np.concatenate([np.zeros(centrals.size), drawn.scaled_radius]),
            velocity=(
                galaxy_velocities(halos, drawn, root, on_subhalos=self.satellites == "subhalos")
                if moving
                else None
            ),
            boxsize=halos.boxsize,
            params=self.to_dict(),
            seed=root,
            cosmology=getattr(halos, "cosmology", None),
            redshift=redshift_of(halos),
            mdef=getattr(halos, "meta", {}).get("mdef"),
        )
        return galaxies.realign(mu_cen=self.mu_cen, mu_sat=self.mu_sat, gamma=self.gamma, seed=root)

    def unresolved(self, mass: npt.ArrayLike) -> float:
        """Fraction of the galaxies that halos lighter than the lightest one would hold.

        Their number follows from that of the lightest halos, up to twice the least mass, by
        dn/dlogM ~ M^-0.9, the slope of mass functions below the knee.

        Parameters
        ----------
        mass : array_like, shape (N,)
            Masses of the halos, Msun/h.

        Returns
        -------
        float
            0 of fewer than ten halos up to twice the least mass, and where there are none above:
            such a catalog is not one of all halos above a mass.

        Examples
        --------
        >>> import numpy as np
        >>> from pysoftcorr.mocks import HODModel
        >>> mass = 1e12 * (1 - np.arange(1000) / 1000) ** (-1 / 0.9)
        >>> HODModel.preset("mstar10.5").unresolved(mass) < 0.01
        True
        >>> round(HODModel.preset("mstar9.5").unresolved(mass), 2) > 0.2
        True
        """
        return self._below(numbers("mass", mass))[0]

    def _below(self, mass: FloatArray) -> tuple[float, float]:
        """`unresolved`, and the least mass (Msun/h) that would bring it to 1 %."""
        least = float(mass.min())
        near = int(np.count_nonzero(mass < 2 * least))
        there = float(np.sum(self.mean_ncen(mass) + self.mean_nsat(mass)))
        return self.lighter(least, near, mass.size, there)

    def lighter(self, least: float, near: int, number: int, galaxies: float) -> tuple[float, float]:
        """`unresolved` of counts alone, and the least mass (Msun/h) that would bring it to 1 %.

        Parameters
        ----------
        least : float
            Mass of the lightest halo, Msun/h.
        near, number : int
            Halos up to twice that mass, and all.
        galaxies : float
            Mean number of galaxies in all.
        """
        if near < FEW_HALOS or near == number:
            return 0.0, least
        lighter, halos = lighter_halos(least, near)
        held = halos * (self.mean_ncen(lighter) + self.mean_nsat(lighter))
        # Beyond each mass, by the trapezoidal rule.
        beyond = np.append(np.cumsum(((held[1:] + held[:-1]) / 2 * _STEP)[::-1])[::-1], 0.0)
        every = galaxies + beyond[0]
        if every <= 0:
            return 0.0, least
        enough = int(np.argmax(beyond <= _UNRESOLVED * every))
        return float(beyond[0] / every), float(lighter[enough])

    def _warn_of_light_halos(self, mass: FloatArray) -> None:
        fraction, enough = self._below(mass)
        if fraction > _UNRESOLVED:
            caution(
                f"logMmin = {self.logMmin:g}: halos below {mass.min():.3g} Msun/h, the lightest of "
                f"the catalog, would hold about {100 * fraction:.2g} % of the galaxies of this "
                f"HOD; take halos down to {enough:.2g} Msun/h, or raise logMmin"
            )

    def with_parameters(
        self,
        *,
        logMmin: float | None = None,
        sigma_logM: float | None = None,
        logM0: float | None = None,
        logM1: float | None = None,
        alpha: float | None = None,
        mu_cen: float | None = None,
        mu_sat: float | None = None,
        modulate: bool | None = None,
        gamma: float | None = None,
        satellites: str | None = None,
        assembly_cen: float | None = None,
        assembly_sat: float | None = None,
        assembly_split: float | None = None,
    ) -> HODModel:
        """Another model with the given parameters, and those of this one where they are None."""
        given = {
            "logMmin": logMmin, "sigma_logM": sigma_logM, "logM0": logM0, "logM1": logM1,
            "alpha": alpha, "mu_cen": mu_cen, "mu_sat": mu_sat, "modulate": modulate,
            "gamma": gamma, "satellites": satellites, "assembly_cen": assembly_cen,
            "assembly_sat": assembly_sat, "assembly_split": assembly_split,
        }  # fmt: skip
        return replace(self, **{name: v for name, v in given.items() if v is not None})  # type: ignore[arg-type]

    def _refuse_none(self, drawn: DrawnGalaxies, mass: FloatArray) -> None:
        if len(drawn.position):
            return
        mean = self.mean_nsat(mass)
        raise NoGalaxies(
            f"this HOD makes no galaxies in {mass.size} halos of {mass.min():.3g} to "
            f"{mass.max():.3g} Msun/h",
            f"{self.mean_ncen(mass).sum():.3g} centrals and {mean.sum():.3g} satellites are "
            f"expected; lower logMmin = {self.logMmin:g} or logM1 = {self.logM1:g}, or take a "
            "larger box",
        )


def check_halos(halos: Any) -> None:
    """TypeError or ValueError where these are no halos that galaxies can be put into."""
    names = ("position", "mass", "radius", "concentration", "axis", "boxsize")
    for name in names:
        if not hasattr(halos, name):
            raise TypeError(
                f"halos must be a HaloCatalog, with {', '.join(names)}; "
                f"{type(halos).__name__} has no {name}"
            )
    origin = Origin()
    checks.finite({name: np.asarray(getattr(halos, name)) for name in names[:-1]}, origin)
    checks.masses(halos.mass, origin)
    checks.radii(halos.radius, halos.mass, origin)


def _masses(mass: npt.ArrayLike) -> FloatArray:
    """Masses of any shape, finite and above 0."""
    found = finite_numbers("mass", mass)
    if (found <= 0).any():
        raise ValueError(f"mass holds {found.min():g}: must be above 0 (Msun/h)")
    return found


def _plain(values: Any) -> Any:
    return float(values) if np.ndim(values) == 0 else values
