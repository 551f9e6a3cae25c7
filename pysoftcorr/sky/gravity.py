"""Test particles in the field of a point mass, and their derivative with respect to G.

The forward model of Berman et al. 2025 (arXiv:2504.06174), section 3.2: particles that do not
feel one another fall about a mass, an observer sees them on the sky, and a correlation function
of what is seen is differentiated with respect to the gravitational constant.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr._julia import call
from pysoftcorr.core.options import array, at_least_one, count, flag, number
from pysoftcorr.core.random import root_seed
from pysoftcorr.sky.catalog import Catalog

__all__ = ["GravitySimulation", "SimulationResult"]

FloatArray = npt.NDArray[np.float64]


def streams(seed: int | np.random.Generator | None, count: int) -> list[np.random.Generator]:
    """Independent generators, so that giving one of the inputs leaves the other draws alone."""
    parent = np.random.default_rng(seed)
    return [np.random.default_rng(parent.integers(2**63, size=4)) for _ in range(count)]


def directions(rng: np.random.Generator, n: int) -> FloatArray:
    """Isotropic unit vectors, shape (n, 3)."""
    z = rng.uniform(-1.0, 1.0, n)
    phi = rng.uniform(0.0, 2.0 * np.pi, n)
    s = np.sqrt(1.0 - z * z)
    return np.column_stack([s * np.cos(phi), s * np.sin(phi), z])


def shell(rng: np.random.Generator, n: int, r_min: float, r_max: float) -> FloatArray:
    """Points of uniform density between two radii, shape (n, 3)."""
    r = np.cbrt(rng.uniform(r_min**3, r_max**3, n))
    return directions(rng, n) * r[:, None]


def eccentric_anomaly(mean: FloatArray, e: FloatArray) -> FloatArray:
    """Solve E - e sin E = `mean` for `mean` in [0, 2 pi), by bisection and Newton steps."""
    low, high = mean - e, mean + e
    for _ in range(30):
        mid = 0.5 * (low + high)
        above = mid - e * np.sin(mid) > mean
        low, high = np.where(above, low, mid), np.where(above, mid, high)
    E = 0.5 * (low + high)
    for _ in range(3):
        E -= (E - e * np.sin(E) - mean) / (1.0 - e * np.cos(E))
    return E


def orbit_velocities(
    rng: np.random.Generator, positions: FloatArray, e: FloatArray, gm: float, softening: float
) -> FloatArray:
    """Velocities of orbits of eccentricity `e` that are now at `positions`, shape (N, 3).

    The plane of each orbit is drawn isotropically and its phase uniformly in time (mean anomaly).
    With a softening the speed is scaled by that of the softened circular orbit, so that e = 0 is
    a circle there too.
    """
    n = len(positions)
    r = np.linalg.norm(positions, axis=1)
    radial = positions / r[:, None]
    across = np.cross(radial, directions(rng, n))
    across /= np.linalg.norm(across, axis=1)[:, None]
    E = eccentric_anomaly(rng.uniform(0.0, 2.0 * np.pi, n), e)
    inner = 1.0 - e * np.cos(E)  # r / a
    circular = np.sqrt(gm * r * r / (r * r + softening**2) ** 1.5)
    v_radial = circular * e * np.sin(E) / np.sqrt(inner)
    v_across = circular * np.sqrt((1.0 - e) * (1.0 + e) / inner)
    out: FloatArray = radial * v_radial[:, None] + across * v_across[:, None]
    return out


def random_ellipticities(
    rng: np.random.Generator, n: int, sigma: float
) -> tuple[FloatArray, FloatArray]:
    """Gaussian g1, g2 of standard deviation `sigma` each, conditioned on |g| < 1."""
    angle = rng.uniform(0.0, 2.0 * np.pi, n)
    u = rng.uniform(0.0, 1.0, n)
    if sigma < 1e-100:  # its square would be 0
        return np.zeros(n), np.zeros(n)
    # Inverse of the Rayleigh distribution cut at 1.
    size = sigma * np.sqrt(-2.0 * np.log1p(u * np.expm1(-0.5 / sigma**2)))
    return size * np.cos(angle), size * np.sin(angle)


IntArray = npt.NDArray[np.int64]

#: Of masses, radii and G: their powers stay within the floats.
_RANGE = {"above": 0.0, "least": 1e-100, "most": 1e100}

# What the Julia side says of a lost particle.
_FATES = {
    1: "reach the center of the field, where the acceleration has no bound; give them angular "
    "momentum (eccentricity, velocities), a shorter t_max or a softening",
    2: "need more than max_steps={max_steps} steps, or steps too short to count; raise max_steps, "
    "loosen rtol or shorten t_max",
    3: "end at the pole of the observer's sky, where right ascension is not defined; move the "
    "observer",
    4: "end at the observer; move the observer",
}


@dataclass(frozen=True)
class SimulationResult:
    """What a run of :class:`GravitySimulation` gives.

    Attributes
    ----------
    catalog : Catalog
        What the observer sees: right ascension in [0, 360) and declination in degrees, and the
        particles' own ellipticities.
    positions, velocities : ndarray, shape (N, 3)
        At time `t_max`.
    dra_dG, ddec_dG : ndarray, shape (N,), or None
        Degrees per unit of G. ``dra_dG`` is that of the coordinate, with no cos(dec).
    dposition_dG, dvelocity_dG : ndarray, shape (N, 3), or None
    n_steps : ndarray of int, shape (N,)
        Steps that the integrator took.
    G, t_max : float
    """

    catalog: Catalog
    positions: FloatArray
    velocities: FloatArray
    dra_dG: FloatArray | None
    ddec_dG: FloatArray | None
    dposition_dG: FloatArray | None
    dvelocity_dG: FloatArray | None
    n_steps: IntArray
    G: float
    t_max: float


class GravitySimulation:
    """Independent test particles about a point mass at the origin, x' = v, v' = -G M x/|x|^3.

    Starting points, velocities and ellipticities are fixed when the simulation is made: `run`
    carries the same particles through fields of different G. Lengths, times and masses are in
    any units that fit together.

    Parameters
    ----------
    n : int
        Number of particles; taken from `positions` where those are given.
    G : float
        The gravitational constant at which velocities are drawn and `t_max` is chosen, and the
        one that `run` uses unless it is given another.
    mass : float
        The central mass M.
    seed : int or numpy.random.Generator
        Of all draws. Positions, velocities and ellipticities come from streams of their own, so
        giving one of them leaves the others as they were.
    r_min, r_max : float
        Particles start isotropically between these radii, at uniform density.
    eccentricity : float or array_like, shape (N,)
        In [0, 1). Each orbit has an isotropic plane and a phase uniform in time; 0 is a circle
        through the starting point.
    softening : float
        epsilon in v' = -G M x/(|x|^2 + epsilon^2)^(3/2).
    positions, velocities : array_like, shape (N, 3), optional
        Starting points and velocities, instead of drawn ones.
    ellipticities : tuple of two array_like, shape (N,), optional
        g1 and g2, instead of drawn ones.
    shape_noise : float
        Standard deviation per component of the ellipticities drawn, which are Gaussian and cut at
        \\|g\\| < 1.
    t_max : float, optional
        Time of the run. By default one circular orbit, 2 pi sqrt(r^3/(G M)), at the median
        starting radius r. One number for all particles: circular orbits that each ran for their
        own period would all be back where they started. It is held fixed when G varies, and d/dG
        is taken at fixed `t_max`.
    observer : {"far", "center"} or array_like, shape (3,)
        Where the sky is seen from, on axes parallel to those of the simulation. "far" stands on
        the positive x axis where the starting points span `field_width`, so that the field lies
        around RA 180, Dec 0, away from the seam and the poles; "center" is the paper's code.
    field_width : float
        Degrees, below 180; for ``observer="far"``.
    rtol : float
        Greatest estimated error of a step relative to position and velocity, and relative to each
        of their derivatives.
    max_steps : int
        Greatest number of steps of a particle.

    Attributes
    ----------
    positions, velocities : ndarray, shape (N, 3)
        Where the particles start.
    g1, g2 : ndarray, shape (N,)
    observer : ndarray, shape (3,)
    t_max, G, mass, softening, rtol : float

    Raises
    ------
    ValueError
        If a number is out of range, an array has the wrong shape or holds numbers that are not
        finite, or a particle starts at the center or at the observer.
    TypeError
        If an argument is of the wrong kind.

    Notes
    -----
    The integrator is the Runge-Kutta pair of order 8(5,3) of Dormand & Prince with steps of its
    own for every particle. At the default `rtol` positions agree with the closed Kepler orbit to
    1e-9 of the semi-major axis after one period up to an eccentricity of 0.99, and the
    derivatives, which are carried through the integrator in forward mode and under the same
    error control, to 1e-8. The bits of a result do not depend on the number of threads.

    Examples
    --------
    >>> from pysoftcorr.sky.gravity import GravitySimulation
    >>> simulation = GravitySimulation(100, seed=3)
    >>> result = simulation.run()
    >>> len(result.catalog), result.dra_dG.shape
    (100, (100,))
    >>> h = 1e-4
    >>> plus = simulation.run(1.0 + h, derivative=False).catalog.ra
    >>> minus = simulation.run(1.0 - h, derivative=False).catalog.ra
    >>> bool(abs((plus - minus) / (2 * h) - result.dra_dG).max() < 1e-4)
    True
    """

    def __init__(
        self,
        n: int | None = None,
        *,
        G: float = 1.0,
        mass: float = 1.0,
        seed: int | np.random.Generator = 1,
        r_min: float = 0.5,
        r_max: float = 1.0,
        eccentricity: float | npt.ArrayLike = 0.0,
        softening: float = 0.0,
        positions: npt.ArrayLike | None = None,
        velocities: npt.ArrayLike | None = None,
        ellipticities: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
        shape_noise: float = 0.25,
        t_max: float | None = None,
        observer: str | npt.ArrayLike = "far",
        field_width: float = 5.0,
        rtol: float = 1e-13,
        max_steps: int = 200_000,
    ) -> None:
        self.G = number("G", G, **_RANGE)
        self.mass = number("mass", mass, **_RANGE)
        self.softening = number("softening", softening, least=0.0, most=_RANGE["most"])
        self.rtol = number("rtol", rtol, above=0.0, below=1.0)
        self.max_steps = at_least_one("max_steps", max_steps)
        if velocities is not None and positions is None:
            raise ValueError("velocities are given without positions; give both, or positions only")
        rng = streams(_seed(seed), 3)

        if positions is None:
            number_of = count("n", 500 if n is None else n, each=400.0)
            inner, outer = number("r_min", r_min, **_RANGE), number("r_max", r_max, **_RANGE)
            if inner > outer:
                raise ValueError(f"r_min = {inner:g}: must be at most r_max = {outer:g}")
            self.positions = shell(rng[0], number_of, inner, outer)
        else:
            self.positions = _array("positions", positions, (None, 3))
            number_of = len(self.positions)
            if n is not None and at_least_one("n", n) != number_of:
                raise ValueError(f"n={n} but positions has {number_of} rows; leave n out")
        radius = np.linalg.norm(self.positions, axis=1)
        if self.softening == 0.0:
            _refuse_rows(radius == 0.0, "start at the center of the field; move them, or soften it")
        if velocities is None:
            e = np.asarray(eccentricity)
            e = _array("eccentricity", np.full(number_of, e) if e.ndim == 0 else e, (number_of,))
            bad = np.flatnonzero(~((e >= 0.0) & (e < 1.0)))
            if bad.size:
                raise ValueError(
                    f"eccentricity must lie in [0, 1), got {e[bad[0]]} in {_rows(bad)}; "
                    "unbound orbits can be given by positions and velocities"
                )
            _refuse_rows(radius == 0.0, "start at the center, where no velocity can be drawn")
            self.velocities = orbit_velocities(
                rng[1], self.positions, e, self.G * self.mass, self.softening
            )
        else:
            self.velocities = _array("velocities", velocities, (number_of, 3))

        if ellipticities is None:
            sigma = number("shape_noise", shape_noise, least=0.0, most=1e3)
            self.g1, self.g2 = random_ellipticities(rng[2], number_of, sigma)
        else:
            if not isinstance(ellipticities, (tuple, list)) or len(ellipticities) != 2:
                raise TypeError("ellipticities must be a tuple (g1, g2) of two arrays")
            self.g1 = _array("ellipticities[0]", ellipticities[0], (number_of,))
            self.g2 = _array("ellipticities[1]", ellipticities[1], (number_of,))

        middle = float(np.median(radius))
        if t_max is None:
            self.t_max = 2.0 * math.pi * math.sqrt(middle**3 / (self.G * self.mass))
        else:
            self.t_max = number("t_max", t_max, least=0.0, most=1e300)
        self.observer = _observer(observer, float(radius.max()), field_width)
        distance = np.linalg.norm(self.positions - self.observer, axis=1)
        scale = max(float(np.linalg.norm(self.observer)), middle)
        _refuse_rows(distance <= 1e-9 * scale, "start at the observer; move the observer")
        for values in (self.positions, self.velocities, self.g1, self.g2, self.observer):
            values.flags.writeable = False

    def __len__(self) -> int:
        return len(self.positions)

    def __repr__(self) -> str:
        return f"<GravitySimulation: {len(self)} particles, G = {self.G:g}, t_max = {self.t_max:g}>"

    def _refuse_endless(self, G: float) -> None:
        """ValueError where the run takes more orbits than steps are allowed."""
        r2 = (self.positions**2).sum(axis=1) + self.softening**2
        speed2 = (self.velocities**2).sum(axis=1)
        gm = G * self.mass
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            axis = 1.0 / (2.0 / np.sqrt(r2) - speed2 / gm)  # negative where not bound
            orbits = self.t_max * np.sqrt(gm) / (2.0 * np.pi * axis**1.5)
        bad = np.flatnonzero((axis > 0) & (orbits > self.max_steps))
        if bad.size:
            raise ValueError(
                f"G = {G:g}: {bad.size} of {len(self)} particles, {_rows(bad)}, run through up to "
                f"{orbits[bad].max():.3g} orbits within t_max = {self.t_max:g}, more than "
                f"max_steps = {self.max_steps}; shorten t_max"
            )

    def run(self, G: float | None = None, *, derivative: bool = True) -> SimulationResult:
        """Carry the particles to `t_max` and look at them.

        Parameters
        ----------
        G : float, optional
            Gravitational constant of this run; the simulation's own by default. Starting points,
            velocities and `t_max` stay as they are.
        derivative : bool
            Also d/dG of everything. Without it the derivatives are None and the run costs about
            half as much: enough for finite differences.

        Returns
        -------
        SimulationResult

        Raises
        ------
        ValueError
            If G is not positive and finite, or particles reach the center (come closer than 1e-8
            of their starting radius, without softening), need more than `max_steps` steps, or end
            at the observer or at a pole of the observer's sky; the message names the rows.
        KeyboardInterrupt
            If the run is interrupted.
        """
        value = self.G if G is None else number("G", G, **_RANGE)
        flag("derivative", derivative)
        self._refuse_endless(value)
        n = len(self)
        position, velocity = np.empty((n, 3)), np.empty((n, 3))
        sky = np.empty((2, n))
        rows = n if derivative else 0
        dposition, dvelocity, dsky = np.empty((rows, 3)), np.empty((rows, 3)), np.empty((2, rows))
        n_steps, fate = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
        call(
            "gravity_simulate",
            n,
            self.positions,
            self.velocities,
            value,
            self.mass,
            self.softening,
            self.t_max,
            self.rtol,
            self.max_steps,
            self.observer,
            int(derivative),
            position,
            velocity,
            sky,
            dposition,
            dvelocity,
            dsky,
            n_steps,
            fate,
        )
        for code, text in _FATES.items():
            _refuse_rows(fate == code, text.format(max_steps=self.max_steps))
        catalog = Catalog(
            ra=sky[0], dec=sky[1], g1=self.g1, g2=self.g2, name=f"gravity simulation, G = {value:g}"
        )
        return SimulationResult(
            catalog=catalog,
            positions=position,
            velocities=velocity,
            dra_dG=dsky[0] if derivative else None,
            ddec_dG=dsky[1] if derivative else None,
            dposition_dG=dposition if derivative else None,
            dvelocity_dG=dvelocity if derivative else None,
            n_steps=n_steps,
            G=value,
            t_max=self.t_max,
        )


def _rows(index: IntArray) -> str:
    shown = ", ".join(str(i) for i in index[:5])
    more = f" and {index.size - 5} more" if index.size > 5 else ""
    return f"row{'s' if index.size > 1 else ''} {shown}{more}"


def _refuse_rows(bad: npt.NDArray[np.bool_], text: str) -> None:
    index = np.flatnonzero(bad)
    if index.size:
        raise ValueError(f"{index.size} of {bad.size} particles, {_rows(index)}, {text}")


def _seed(seed: Any) -> int | np.random.Generator:
    """A Generator is drawn from where it stands; all else is a seed of its own."""
    return seed if isinstance(seed, np.random.Generator) else root_seed(seed)


def _array(name: str, value: Any, shape: tuple[int | None, ...]) -> FloatArray:
    values = array(name, value, shape)
    bad = ~np.isfinite(values)
    if bad.any():
        index = np.flatnonzero(bad.reshape(len(values), -1).any(axis=1))
        raise ValueError(
            f"{name} must be finite, got {values[bad][0]} in {_rows(index)}; leave those out"
        )
    if (np.abs(values) > _RANGE["most"]).any():
        raise ValueError(f"{name} holds {np.abs(values).max():g}: must be at most 1e100")
    return values


def _observer(observer: Any, extent: float, field_width: Any) -> FloatArray:
    if not isinstance(observer, str):
        return _array("observer", observer, (3,))
    if observer == "center":
        return np.zeros(3)
    if observer != "far":
        raise ValueError(f'observer must be "far", "center" or a position, got {observer!r}')
    width = number("field_width", field_width, least=1e-6, below=180.0)
    return np.array([extent / math.tan(math.radians(width) / 2.0), 0.0, 0.0])
