"""Random starting points, velocities and shapes of test particles about a point mass."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

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


def velocities(
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


def ellipticities(rng: np.random.Generator, n: int, sigma: float) -> tuple[FloatArray, FloatArray]:
    """Gaussian g1, g2 of standard deviation `sigma` each, conditioned on |g| < 1."""
    angle = rng.uniform(0.0, 2.0 * np.pi, n)
    u = rng.uniform(0.0, 1.0, n)
    if sigma == 0.0:
        return np.zeros(n), np.zeros(n)
    # Inverse of the Rayleigh distribution cut at 1.
    size = sigma * np.sqrt(-2.0 * np.log1p(u * np.expm1(-0.5 / sigma**2)))
    return size * np.cos(angle), size * np.sin(angle)
