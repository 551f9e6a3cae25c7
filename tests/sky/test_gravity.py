"""The gravity simulation: closed Kepler orbits, derivatives, geometry, reproducibility, errors."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import CartesianRepresentation, SphericalRepresentation

from pysoftcorr.sky import gravity
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.gravity import GravitySimulation


def kepler(x, v, gm, t):
    """Closed elliptic orbits after time t, (N, 3) each; `gm` may be complex for its derivative."""

    def dot(a, b):
        return np.sum(a * b, axis=1, keepdims=True)

    r = np.sqrt(dot(x, x))
    a = 1.0 / (2.0 / r - dot(v, v) / gm)
    n = np.sqrt(gm / a**3)
    sine, cosine = dot(x, v) / np.sqrt(gm * a), 1.0 - r / a
    mean = n * t

    def equation(d, mean, sine, cosine):
        return d - cosine * np.sin(d) + sine * (1.0 - np.cos(d)) - mean

    low, high = np.real(mean) - 2.0, np.real(mean) + 2.0
    for _ in range(60):
        mid = 0.5 * (low + high)
        above = equation(mid, np.real(mean), np.real(sine), np.real(cosine)) > 0.0
        low, high = np.where(above, low, mid), np.where(above, mid, high)
    d = 0.5 * (low + high) + 0.0 * mean
    for _ in range(4):
        d = d - equation(d, mean, sine, cosine) / (1.0 - cosine * np.cos(d) + sine * np.sin(d))
    xt = (1.0 - a / r * (1.0 - np.cos(d))) * x + (t - (d - np.sin(d)) / n) * v
    rt = np.sqrt(dot(xt, xt))
    return xt, -np.sqrt(gm * a) * np.sin(d) / (r * rt) * x + (1.0 - a / rt * (1.0 - np.cos(d))) * v


def semi_major(simulation):
    r = np.linalg.norm(simulation.positions, axis=1)
    gm = simulation.G * simulation.mass
    return 1.0 / (2.0 / r - np.sum(simulation.velocities**2, axis=1) / gm)


def eccentricities(simulation):
    x, v = simulation.positions, simulation.velocities
    gm = simulation.G * simulation.mass
    r = np.linalg.norm(x, axis=1, keepdims=True)
    return np.linalg.norm(np.cross(v, np.cross(x, v)) / gm - x / r, axis=1)


@pytest.mark.parametrize("e", [0.0, 0.5, 0.9, 0.99])
def test_agrees_with_closed_kepler_orbit_and_its_derivative(e):
    simulation = GravitySimulation(40, G=1.3, mass=0.8, seed=11, eccentricity=e, t_max=5.0)
    np.testing.assert_allclose(eccentricities(simulation), e, atol=1e-12)
    result = simulation.run()
    x, v = kepler(simulation.positions, simulation.velocities, 1.3 * 0.8, 5.0)
    a = semi_major(simulation)
    # The closed form itself loses digits where it starts deep in the well: a few orbits of up to
    # e = 0.99 are known to 1e-10 of the semi-major axis in double precision.
    assert np.max(np.linalg.norm(result.positions - x, axis=1) / a) < 1e-9
    assert np.max(np.linalg.norm(result.velocities - v, axis=1) / np.linalg.norm(v, axis=1)) < 1e-7
    h = 1e-30
    dx, dv = kepler(simulation.positions, simulation.velocities, (1.3 + 1j * h) * 0.8, 5.0)
    for ours, closed in ((result.dposition_dG, dx.imag / h), (result.dvelocity_dG, dv.imag / h)):
        size = np.linalg.norm(closed, axis=1)
        assert np.max(np.linalg.norm(ours - closed, axis=1) / size) < (1e-9 if e < 0.95 else 1e-7)


@pytest.mark.parametrize("observer", ["far", "center", (0.3, -2.0, 0.7)])
@pytest.mark.parametrize("e", [0.0, 0.6])
def test_derivative_agrees_with_richardson_differences(observer, e):
    simulation = GravitySimulation(30, seed=4, eccentricity=e, observer=observer)
    result = simulation.run()

    def central(h):
        plus = simulation.run(1.0 + h, derivative=False)
        minus = simulation.run(1.0 - h, derivative=False)
        turn = (plus.catalog.ra - minus.catalog.ra + 180.0) % 360.0 - 180.0
        return [
            q / (2.0 * h)
            for q in (
                turn,
                plus.catalog.dec - minus.catalog.dec,
                plus.positions - minus.positions,
                plus.velocities - minus.velocities,
            )
        ]

    coarse, middle, fine = central(4e-4), central(2e-4), central(1e-4)
    ours = (result.dra_dG, result.ddec_dG, result.dposition_dG, result.dvelocity_dG)
    for d, c, m, f in zip(ours, coarse, middle, fine, strict=True):
        first, second = (4 * m - c) / 3, (4 * f - m) / 3
        richardson = (16 * second - first) / 15
        assert np.max(np.abs(d - richardson)) < 1e-7 * np.max(np.abs(d))


def test_energy_and_angular_momentum_stay():
    simulation = GravitySimulation(50, seed=2, eccentricity=0.7, t_max=40.0)
    result = simulation.run(derivative=False)

    def constants(x, v):
        r = np.linalg.norm(x, axis=1)
        return 0.5 * np.sum(v * v, axis=1) - 1.0 / r, np.cross(x, v)

    energy, momentum = constants(simulation.positions, simulation.velocities)
    energy_now, momentum_now = constants(result.positions, result.velocities)
    np.testing.assert_allclose(energy_now, energy, rtol=1e-11)
    np.testing.assert_allclose(momentum_now, momentum, rtol=0, atol=1e-11)


def test_softened_field_conserves_its_energy_and_has_circles():
    eps = 0.4
    simulation = GravitySimulation(20, seed=2, softening=eps, r_max=0.9)
    result = simulation.run(derivative=False)
    radius = np.linalg.norm(simulation.positions, axis=1)
    np.testing.assert_allclose(np.linalg.norm(result.positions, axis=1), radius, rtol=1e-10)
    other = simulation.run(1.7, derivative=False)
    energy = [
        0.5 * np.sum(v * v, axis=1) - 1.7 / np.sqrt(np.sum(x * x, axis=1) + eps**2)
        for x, v in (
            (simulation.positions, simulation.velocities),
            (other.positions, other.velocities),
        )
    ]
    np.testing.assert_allclose(energy[1], energy[0], rtol=1e-10)


@pytest.mark.parametrize("observer", ["far", "center", (0.3, -2.0, 0.7)])
def test_sky_agrees_with_astropy(observer):
    simulation = GravitySimulation(200, seed=5, observer=observer)
    result = simulation.run(derivative=False)
    seen = CartesianRepresentation((result.positions - simulation.observer).T).represent_as(
        SphericalRepresentation
    )
    assert isinstance(result.catalog, Catalog)
    np.testing.assert_allclose(result.catalog.ra, seen.lon.wrap_at(360 * u.deg).deg, atol=1e-11)
    np.testing.assert_allclose(result.catalog.dec, seen.lat.deg, atol=1e-12)


def test_default_observer_sees_a_field_of_the_width_asked_for():
    for width in (2.0, 5.0):
        start = GravitySimulation(3000, seed=6, t_max=0.0, field_width=width)
        seen = start.run(derivative=False).catalog
        for angle in (seen.ra - 180.0, seen.dec):
            assert 0.45 * width < np.max(np.abs(angle)) < 0.52 * width
        np.testing.assert_array_equal(start.run().dra_dG, 0.0)


def test_default_time_is_one_circle_of_the_median_radius():
    simulation = GravitySimulation(101, G=2.0, mass=3.0, seed=8)
    radius = np.linalg.norm(simulation.positions, axis=1)
    middle = int(np.argsort(radius)[50])
    assert simulation.t_max == pytest.approx(2 * np.pi * np.sqrt(radius[middle] ** 3 / 6.0))
    result = simulation.run(derivative=False)
    moved = np.linalg.norm(result.positions - simulation.positions, axis=1)
    assert moved[middle] < 1e-10
    assert np.median(moved) > 0.1
    assert simulation.run(2.5, derivative=False).t_max == simulation.t_max


def test_draws_follow_their_distributions():
    n = 20_000
    simulation = GravitySimulation(n, seed=9, r_min=0.5, r_max=2.0, eccentricity=0.4)
    x, v = simulation.positions, simulation.velocities
    radius = np.linalg.norm(x, axis=1)
    assert radius.min() >= 0.5
    assert radius.max() <= 2.0
    # Uniform density: r^3 is uniform; isotropy: each direction cosine is uniform in (-1, 1).
    volume = (radius**3 - 0.125) / (8.0 - 0.125)
    cosines = (x / radius[:, None]).T
    momentum = np.cross(x, v)
    poles = (momentum / np.linalg.norm(momentum, axis=1, keepdims=True)).T
    for uniform in (volume, *(0.5 + 0.5 * cosines), *(0.5 + 0.5 * poles)):
        ranks = np.sort(uniform)
        distance = np.max(np.abs(ranks - (np.arange(n) + 0.5) / n))
        assert distance < 1.95 / np.sqrt(n)  # Kolmogorov-Smirnov, one in 1000
    # Phases uniform in time: the mean of r / a over an orbit is 1 + e^2 / 2.
    assert np.mean(radius / semi_major(simulation)) == pytest.approx(1.08, abs=0.01)


def test_shapes_are_drawn_once_and_cut():
    simulation = GravitySimulation(20_000, seed=9, shape_noise=0.25)
    size = np.hypot(simulation.g1, simulation.g2)
    assert size.max() < 1.0
    for g in (simulation.g1, simulation.g2):
        assert np.mean(g) == pytest.approx(0.0, abs=0.01)
        assert np.std(g) == pytest.approx(0.25, rel=0.03)
    wide = GravitySimulation(2000, seed=9, shape_noise=3.0)
    assert np.hypot(wide.g1, wide.g2).max() < 1.0
    round_ones = GravitySimulation(5, seed=9, shape_noise=0.0)
    np.testing.assert_array_equal(round_ones.g1, 0.0)
    small = GravitySimulation(30, seed=1)
    for value in (1.0, 1.2):
        seen = small.run(value, derivative=False).catalog
        np.testing.assert_array_equal(seen.g1, small.g1)
        np.testing.assert_array_equal(seen.g2, small.g2)


def test_seed_decides_and_streams_are_apart():
    first, again, other = (GravitySimulation(20, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.positions, again.positions)
    assert not np.array_equal(first.positions, other.positions)
    assert not np.array_equal(first.velocities, other.velocities)
    by_generator = GravitySimulation(20, seed=np.random.default_rng(1))
    np.testing.assert_array_equal(first.positions, by_generator.positions)
    # Giving the positions leaves velocities and shapes as they were.
    given = GravitySimulation(positions=first.positions, seed=1)
    np.testing.assert_array_equal(given.velocities, first.velocities)
    np.testing.assert_array_equal(given.g1, first.g1)


def test_given_particles_are_used_as_they_are():
    x, v = [[1, 0, 0], [0, 2, 0]], [[0, 1, 0], [0, 0, 0.5]]
    g = ([0.1, 0.2], [0.0, -0.1])
    simulation = GravitySimulation(positions=x, velocities=v, ellipticities=g, t_max=np.pi / 2)
    result = simulation.run()
    np.testing.assert_allclose(result.positions[0], [0, 1, 0], atol=1e-12)
    np.testing.assert_array_equal(result.catalog.g1, [0.1, 0.2])
    assert len(simulation) == len(result.catalog) == 2
    # The caller's arrays are copied, and what was checked cannot be changed afterward.
    mine = np.array(x, dtype=float)
    copied = GravitySimulation(positions=mine)
    mine[0] = 7.0
    np.testing.assert_array_equal(copied.positions[0], [1, 0, 0])
    with pytest.raises(ValueError, match="read-only"):
        copied.positions[0] = 7.0


def test_values_are_the_same_with_and_without_derivative():
    simulation = GravitySimulation(50, seed=3, eccentricity=0.5)
    full, plain = simulation.run(), simulation.run(derivative=False)
    np.testing.assert_allclose(full.positions, plain.positions, rtol=0, atol=1e-11)
    np.testing.assert_allclose(full.catalog.ra, plain.catalog.ra, rtol=0, atol=1e-10)
    assert plain.dra_dG is plain.ddec_dG is plain.dposition_dG is plain.dvelocity_dG is None
    assert full.n_steps.min() > 10


BITS = """
import hashlib
from pysoftcorr.sky.gravity import GravitySimulation
r = GravitySimulation(97, seed=3, eccentricity=0.8).run()
parts = (r.catalog.ra, r.catalog.dec, r.positions, r.dra_dG, r.ddec_dG, r.dvelocity_dG, r.n_steps)
print(hashlib.sha256(b"".join(p.tobytes() for p in parts)).hexdigest())
"""


@pytest.mark.slow
def test_same_bits_with_one_and_two_threads():
    digests = []
    for threads in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", BITS],
            env={**os.environ, "PYSOFTCORR_THREADS": threads},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        digests.append(done.stdout.strip())
    assert len(digests[0]) == hashlib.sha256().digest_size * 2
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n = .*: must be at least 1"),
        ({"G": 0.0}, "G = .*: must be finite and above 0"),
        ({"G": -1.0}, "G = .*: must be finite and above 0"),
        ({"G": float("nan")}, "G = .*: must be finite"),
        ({"mass": 0.0}, "mass = .*: must be finite and above 0"),
        ({"softening": -0.1}, "softening = .*: must be from 0"),
        ({"t_max": -1.0}, "t_max = .*: must be from 0"),
        ({"t_max": float("inf")}, "t_max = .*: must be finite"),
        ({"rtol": 0.0}, "rtol = .*: must be finite and above 0"),
        ({"max_steps": 0}, "max_steps = .*: must be at least 1"),
        ({"r_min": 0.0}, "r_min = .*: must be finite and above 0"),
        ({"r_min": 2.0, "r_max": 1.0}, "r_min = 2: must be at most r_max"),
        ({"eccentricity": 1.0}, r"eccentricity must lie in \[0, 1\), got 1.0 in rows 0, 1"),
        ({"eccentricity": [0.1, 0.2]}, r"eccentricity must have shape \(500,\), not \(2,\)"),
        ({"seed": -1}, "seed = -1: must not be negative"),
        ({"shape_noise": -1.0}, "shape_noise = .*: must be from 0"),
        ({"field_width": 180.0}, "field_width = .*: must be below 180"),
        ({"observer": "near"}, 'observer must be "far", "center" or a position, got \'near\''),
        ({"observer": [1.0, 2.0]}, r"observer must have shape \(3,\), not \(2,\)"),
        ({"observer": [1.0, 2.0, np.inf]}, "observer must be finite"),
        ({"positions": np.ones((3, 2))}, r"positions must have shape \(n, 3\), not \(3, 2\)"),
        ({"positions": np.empty((0, 3))}, "positions must have shape .*, not \\(0, 3\\)"),
        ({"positions": np.ones((2, 3)), "n": 5}, "n=5 but positions has 2 rows"),
        ({"positions": [[1, 0, 0], [0, np.nan, 1]]}, "positions must be finite"),
        ({"positions": [[1, 0, 0], [0, 0, 0]]}, "1 of 2 particles, row 1, start at the center"),
        ({"velocities": np.ones((2, 3))}, "velocities are given without positions"),
        (
            {"positions": np.ones((2, 3)), "velocities": np.ones((3, 3))},
            r"velocities must have shape \(2, 3\), not \(3, 3\)",
        ),
        (
            {"positions": np.eye(3), "observer": [0, 1, 0]},
            "1 of 3 particles, row 1, start at the observer",
        ),
        ({"n": 2, "ellipticities": ([0.1], [0.2])}, r"ellipticities\[0\] must have shape \(2,\)"),
    ],
)
def test_bad_values_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        GravitySimulation(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 2.5}, "n = .*: must be a whole number"),
        ({"G": "1"}, "G = .*: must be a number"),
        ({"G": True}, "G = .*: must be a number"),
        ({"seed": 1.5}, "seed = 1.5: must be an integer"),
        ({"positions": [["a", "b", "c"]]}, "positions = .*: must be an array of"),
        ({"ellipticities": 0.3}, "ellipticities must be a tuple"),
    ],
)
def test_wrong_kinds_are_named(arguments, message):
    with pytest.raises(TypeError, match=message):
        GravitySimulation(**arguments)


def test_lost_particles_are_named():
    x = np.array([[1.0, 0.0, 0.0], [0.0, 0.8, 0.0], [0.0, 0.0, 0.5]])
    v = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.1]])
    falling = GravitySimulation(positions=x, velocities=v)
    for derivative in (True, False):
        with pytest.raises(ValueError, match="2 of 3 particles, rows 1, 2, reach the center"):
            falling.run(derivative=derivative)
    softened = GravitySimulation(positions=x, velocities=v, softening=0.2)
    assert np.isfinite(softened.run().dposition_dG).all()
    # Before they arrive nothing is wrong.
    assert np.isfinite(GravitySimulation(positions=x, velocities=v, t_max=0.1).run().dra_dG).all()
    with pytest.raises(
        ValueError, match="3 of 3 particles, rows 0, 1, 2, need more than max_steps=4"
    ):
        GravitySimulation(3, max_steps=4).run()


def test_directions_that_do_not_exist_are_named():
    x, v = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    pole = GravitySimulation(positions=x, velocities=v, observer=[1.0, 0.0, -3.0], t_max=0.0)
    with pytest.raises(ValueError, match="1 of 2 particles, row 0, end at the pole"):
        pole.run()
    there = kepler(np.array(x), np.array(v), 1.0, 1.0)[0][1]
    met = GravitySimulation(positions=x, velocities=v, observer=there, t_max=1.0)
    with pytest.raises(ValueError, match="1 of 2 particles, row 1, end at the observer"):
        met.run()


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_run_refuses_a_bad_G(value):
    with pytest.raises(ValueError, match=r"G = .*: must be finite"):
        GravitySimulation(3).run(value)


def test_public_names():
    assert set(gravity.__all__) == {"GravitySimulation", "SimulationResult"}
    assert "3 particles" in repr(GravitySimulation(3))
