"""Boxes of three sides: pairs by brute force, known relations to cubes, RR, catalogs and files."""

from __future__ import annotations

import itertools
import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from helpers.box_twin import twin
from pysoftcorr.mocks import (
    BoxCorrelations,
    GalaxyCatalog,
    HaloCatalog,
    HODModel,
    box_correlations,
    checks,
    expected_correlations,
)
from pysoftcorr.mocks.box import radial_edges, shell_fraction
from pysoftcorr.mocks.campaign.run import _plan
from pysoftcorr.mocks.halo_statistics import mass_function
from pysoftcorr.mocks.subhalos import Subhalos

NAMES = ("weight", "r", "omega", "eta")
SIDES = [
    (33.0, 50.0, 75.0),
    (120.0, 40.0, 33.0),
    (32.0, 32.0, 90.0),
    (45.0, 200.0, 45.0),
    (32.5, 33.0, 34.0),
]


def close(a, b) -> None:
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def drawn(n: int, sides, seed: int, clump: float = 1.0):
    """Positions in clumps, unit axes, weights and hosts."""
    rng = np.random.default_rng(seed)
    host = rng.integers(0, n // 6, n)
    position = rng.uniform(0, 1, (n, 3))[host] * sides + clump * rng.normal(size=(n, 3))
    axis = rng.normal(size=(n, 3))
    axis /= np.linalg.norm(axis, axis=1)[:, None]
    return np.mod(position, sides), axis, rng.uniform(0.2, 2, n), host


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("sides", SIDES)
def test_pairs_against_the_twin(sides, periodic: bool) -> None:
    p, e, w, host = drawn(600, sides, 1)
    q, f, v, _ = drawn(400, sides, 2)
    edges = np.geomspace(0.1, 16, 12)
    own = box_correlations(p, e, boxsize=sides, bins=edges, weights=w, host=host, periodic=periodic)
    cross = box_correlations(
        p, e, boxsize=sides, bins=edges, weights=w, periodic=periodic,
        second=q, second_axis=f, second_weights=v,
    )  # fmt: skip
    for found, other, auto in ((own, (p, e, w), True), (cross, (q, f, v), False)):
        known = twin(p, e, w, *other, edges, sides, auto=auto, periodic=periodic)
        np.testing.assert_array_equal(found.npairs, known["npairs"])
        for name in NAMES:
            close(getattr(found, name), known[name])
        rr = w.sum() * other[2].sum() * shell_fraction(edges, sides, periodic=periodic)
        close(found.xi, np.where(found.npairs > 0, known["weight"] / rr, 0) - 1)
    one = twin(
        p, e, w, p, e, w, edges, sides, auto=True, periodic=periodic,
        mask=host[:, None] == host[None],
    )  # fmt: skip
    np.testing.assert_array_equal(own.npairs_1h, one["npairs"])


@pytest.mark.parametrize("sides", [(20.0, 33.0, 71.0), (50.0, 12.0, 31.0), (90.0, 40.0, 9.0)])
def test_bins_to_half_the_shortest_side(sides) -> None:
    for n in (60, 2000):
        p, e, w, _ = drawn(n, sides, 3)
        edges = np.linspace(0, min(sides) / 2, 6)
        found = box_correlations(p, e, boxsize=sides, bins=edges, weights=w)
        known = twin(p, e, w, p, e, w, edges, sides, auto=True)
        np.testing.assert_array_equal(found.npairs, known["npairs"])
        close(found.omega, known["omega"])
    with pytest.raises(ValueError, match=rf"half of the shortest side .* box, {min(sides) / 2:g} "):
        radial_edges([1, min(sides) / 2 + 0.01], sides)
    with pytest.raises(ValueError, match=r"below the shortest side of boxsize = \("):
        radial_edges([1, min(sides)], sides, periodic=False)


@pytest.mark.parametrize("periodic", [True, False])
def test_the_names_of_the_axes_do_not_matter(periodic: bool) -> None:
    sides = np.array([35.0, 52.0, 90.0])
    p, e, w, host = drawn(2000, sides, 4)
    base = box_correlations(p, e, boxsize=sides, weights=w, host=host, periodic=periodic)
    for turned in ([2, 0, 1], [1, 0, 2], [2, 1, 0]):
        other = box_correlations(
            p[:, turned], e[:, turned], boxsize=sides[turned], weights=w, host=host,
            periodic=periodic,
        )  # fmt: skip
        np.testing.assert_array_equal(other.npairs, base.npairs)
        for name in ("xi", *NAMES, "omega_1h", "eta_2h"):
            close(getattr(other, name), getattr(base, name))


def tiled(galaxies: GalaxyCatalog, times: tuple[int, int, int]) -> GalaxyCatalog:
    """Copies of a cube of galaxies side by side, each with halos of its own."""
    side = galaxies.boxsize
    shifts = np.array(list(np.ndindex(*times)), dtype=float) * side
    copies = len(shifts)
    position = (galaxies.position[None] + shifts[:, None]).reshape(-1, 3)
    number = galaxies.host.max() + 1
    columns = {
        name: np.concatenate([getattr(galaxies, name)] * copies)
        for name in ("axis", "reference", "central", "rank", "scaled_radius")
    }
    host = np.concatenate([galaxies.host + k * number for k in range(copies)])
    return GalaxyCatalog(
        position, **columns, host=host, boxsize=tuple(side * n for n in times),
        params=galaxies.params,
    )  # fmt: skip


@pytest.fixture(scope="module")
def galaxies() -> GalaxyCatalog:
    halos = HaloCatalog.simulate(40.0, 32, mmin=3e11, seed=1)
    return (
        HODModel.preset("mstar10.0").with_parameters(mu_cen=0.6, mu_sat=0.3).populate(halos, seed=2)
    )


@pytest.mark.parametrize("times", [(2, 1, 1), (1, 2, 1), (1, 1, 2), (1, 2, 3)])
def test_a_tiled_cube_has_the_correlations_of_the_cube(galaxies, times) -> None:
    bins = "log:0.2:18:8"
    base, more = (box_correlations(g, bins=bins) for g in (galaxies, tiled(galaxies, times)))
    np.testing.assert_array_equal(more.npairs, np.prod(times) * base.npairs)
    for name in ("xi", "omega", "eta", "r"):
        close(getattr(more, name), getattr(base, name))
    # Pairs of one halo that reach over the edge of the cube are of two halos once tiled.
    for gamma in (0.0, 0.5):
        one, other = (
            expected_correlations(g, 0.6, 0.3, gamma=gamma, bins=bins)
            for g in (galaxies, tiled(galaxies, times))
        )
        for name in ("xi", "omega", "eta", "domega_dmu_cen", "deta_dmu_sat"):
            close(getattr(other, name), getattr(one, name))


def test_equal_sides_are_a_cube_to_the_last_bit(galaxies) -> None:
    for periodic in (True, False):
        a, b = (
            box_correlations(
                galaxies.position, galaxies.axis, boxsize=size, bins="log:0.2:18:8",
                periodic=periodic,
            )
            for size in (40, (40, 40.0, 40))
        )  # fmt: skip
        assert a == b
    assert GalaxyCatalog([[1, 1, 1]], [[0, 0, 1]], boxsize=np.full(3, 9)).boxsize == 9.0


# ---------------------------------------------------------------------- RR
def fraction(r, sides, nodes: int = 40):
    """Part of a box in which a separation of length r fits, by quadrature over an octant."""
    x, weight = np.polynomial.legendre.leggauss(nodes)
    x, weight = (x + 1) / 2, weight / 2
    cosine, turn = x[:, None], x[None] * np.pi / 2
    sine = np.sqrt(1 - cosine**2)
    direction = sine * np.cos(turn), sine * np.sin(turn), cosine + 0 * turn
    inside = [
        1 - np.asarray(r)[:, None, None] * d / s for d, s in zip(direction, sides, strict=True)
    ]
    return np.einsum("rij,i,j->r", inside[0] * inside[1] * inside[2], weight, weight)


@pytest.mark.parametrize("sides", [*SIDES, (30.0, 30.0, 30.0), (5.0, 50.0, 500.0)])
def test_pairs_of_uniform_points_in_an_open_box(sides) -> None:
    edges = np.linspace(0, 0.999 * min(sides), 8)
    x, weight = np.polynomial.legendre.leggauss(20)
    known = []
    for low, high in itertools.pairwise(edges):
        r = (low + high) / 2 + (high - low) / 2 * x
        shell = 4 * np.pi * r**2 / np.prod(sides) * fraction(r, sides)
        known.append((high - low) / 2 * np.sum(weight * shell))
    # The quadrature over the polar angle meets a square root at the pole.
    np.testing.assert_allclose(shell_fraction(edges, sides, periodic=False), known, rtol=2e-5)
    ball = np.diff(edges**3) * 4 / 3 * np.pi / np.prod(sides)
    np.testing.assert_allclose(shell_fraction(edges, sides, periodic=True), ball, rtol=1e-12)


def test_rr_against_random_points() -> None:
    rng = np.random.default_rng(5)
    sides, number = np.array([40.0, 25.0, 60.0]), 2_000_000
    edges = np.linspace(0, 24.9, 9)
    apart = (rng.uniform(size=(number, 3)) - rng.uniform(size=(number, 3))) * sides
    for periodic in (False, True):
        if periodic:
            apart -= sides * np.round(apart / sides)
            edges = np.linspace(0, 12.5, 9)
        count = np.histogram(np.linalg.norm(apart, axis=1), edges)[0]
        mean = number * shell_fraction(edges, sides, periodic=periodic)
        assert (np.abs(count - mean) < 4.5 * np.sqrt(mean)).all()
        # Correlations of random points are none.
    p = rng.uniform(size=(40_000, 3)) * sides
    for periodic in (True, False):
        found = box_correlations(p, boxsize=sides, bins="linear:2:12:5", periodic=periodic)
        # Numbers beside the faces of an open box vary by a few per mille.
        assert (np.abs(found.xi) < 5 / np.sqrt(found.npairs) + (0 if periodic else 0.005)).all()


# ---------------------------------------------------------------------- catalogs
def halos_in(sides, n: int = 300) -> HaloCatalog:
    rng = np.random.default_rng(6)
    mass = 10 ** rng.uniform(12, 14, n)
    radius = 0.5 * (mass / 1e13) ** (1 / 3)
    place = rng.uniform(0, 1, (n, 3)) * sides
    place[mass > 3e13] *= 1e-3  # on the corner, for galaxies beyond each face
    return HaloCatalog(
        place,
        mass,
        radius,
        np.full(n, 6.0),
        rng.normal(size=(n, 3)),
        boxsize=sides,
        cosmology="planck18",
    )


@pytest.mark.parametrize("sides", SIDES)
def test_galaxies_are_wrapped_along_each_axis(sides) -> None:
    halos = halos_in(sides)
    assert halos.boxsize == tuple(sides)
    made = HODModel.preset("mstar10.5").populate(halos, seed=1)
    assert made.boxsize == tuple(sides)
    assert ((made.position >= 0) & (made.position < np.array(sides))).all()
    apart = made.position - halos.position[made.host]
    assert (np.abs(apart) > np.array(sides) / 2).any(axis=0).all()  # some are moved along each
    apart -= np.array(sides) * np.round(apart / np.array(sides))
    distance = np.linalg.norm(apart, axis=1)
    close(distance, made.scaled_radius * halos.radius[made.host])


def test_files_and_records(tmp_path: Path) -> None:
    sides = (33.0, 50.0, 75.5)
    halos = halos_in(sides)
    halos.write(tmp_path / "h.h5")
    again = HaloCatalog.read(tmp_path / "h.h5")
    assert (again, again.boxsize, again.fingerprint) == (halos, sides, halos.fingerprint)
    assert halos_in((33.0, 75.5, 50.0)) != halos
    assert halos[:5].boxsize == sides
    galaxies = HODModel.preset("mstar10.5").populate(halos, seed=1)
    for name in ("g.h5", "g.fits"):
        galaxies.write(tmp_path / name)
        read = GalaxyCatalog.read(tmp_path / name)
        assert (read, read.boxsize) == (galaxies, sides)
    result = box_correlations(galaxies, bins=[1, 4, 16])
    result.write(tmp_path / "r.ecsv")
    assert BoxCorrelations.read(tmp_path / "r.ecsv") == result
    assert json.loads(json.dumps(result.to_dict()))["settings"]["boxsize"] == list(sides)
    text = "(33, 50, 75.5) Mpc/h"
    assert text in repr(halos)
    assert text in repr(galaxies)
    assert f"{text} ({300 / np.prod(sides):.3g} per" in halos.summary()
    volume = mass_function(halos).count / mass_function(halos).density
    close(
        volume / np.diff(np.log10(mass_function(halos).edges)), np.full(len(volume), np.prod(sides))
    )
    # What a campaign keeps is the same once it is read again, or it could not be resumed.
    settings = _plan(halos, 1, 1, [1, 4, 16], None, False, "nfw", {})[1]
    assert json.loads(json.dumps(settings)) == settings


def test_subhalos_are_wrapped_along_each_axis() -> None:
    base = halos_in((33.0, 50.0, 75.0), 3)
    sub = Subhalos([[34.0, 51, 76], [-1, 49, 74], [1, 2, 3]], [1e11] * 3, [0, 1, 2])
    halos = HaloCatalog(
        base.position, base.mass, base.radius, base.concentration, base.axis,
        boxsize=base.boxsize, subhalos=sub,
    )  # fmt: skip
    assert halos.subhalos.position.tolist() == [[1, 1, 1], [32, 49, 74], [1, 2, 3]]


def test_a_cube_where_a_box_is_none_is_warned_of() -> None:
    rng = np.random.default_rng(1)
    position = rng.uniform(0, 1, (400, 3)) * (50, 50, 110)
    table = {"position": position, "axis": rng.normal(size=(400, 3))}
    with pytest.warns(UserWarning, match=r"400 galaxies lie within .* x .* x .* boxsize=\(Lx, Ly"):
        GalaxyCatalog.from_table(table, boxsize=110)
    with pytest.warns(UserWarning, match="400 galaxies lie within .* of 250 Mpc/h; is boxs"):
        GalaxyCatalog.from_table(table, boxsize=250)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert GalaxyCatalog.from_table(table, boxsize=(50, 50, 110)).boxsize == (50, 50, 110)


# ---------------------------------------------------------------------- what is no box
@pytest.mark.parametrize(
    ("boxsize", "error", "said"),
    [
        (
            (30, 40),
            ValueError,
            r"boxsize = \(30, 40\): must be the side of a cube in Mpc/h, or thr",
        ),
        ([[30, 40, 50]], ValueError, r"or three: \(Lx, Ly, Lz\)"),
        ((30, 40, -50), ValueError, r"boxsize = \(30, 40, -50\): must be finite and above 0"),
        ((30, np.nan, 50), ValueError, r"\(30, nan, 50\): must be finite"),
        ((30, 40, 50_000), ValueError, r"\(30, 40, 50000\) Mpc/h is larger than any.*kpc/h\?"),
        ("a box", TypeError, r"boxsize = 'a box': must be a number in Mpc/h, or three"),
        (None, ValueError, "boxsize must be given"),
    ],
)
def test_other_boxes_are_refused(boxsize, error, said) -> None:
    for made in (
        lambda: GalaxyCatalog([[1, 2, 3]], [[0, 0, 1]], boxsize=boxsize),
        lambda: box_correlations([[1, 2, 3]], boxsize=boxsize),
        lambda: checks.box_sides(boxsize),
        lambda: checks.volume(boxsize),
    ):
        with pytest.raises(error, match=said):
            made()


@pytest.mark.parametrize(
    ("move", "said"),
    [
        (
            lambda p, s: p + np.array([0, 0, 5]),
            r"z is outside \[0, 75\) Mpc/h .*boxsize right",
        ),
        (lambda p, s: p + np.array([0, 2, 0]), r"y is outside \[0, 50\) Mpc/h in row"),
        (lambda p, s: p - np.array(s) / 2, "centered on 0"),
        (lambda p, s: p * 1000, "kpc/h"),
        (lambda p, s: p * 1.45, "Mpc, not Mpc/h"),
        (lambda p, s: p[:, [2, 0, 1]], "sides of boxsize in the order x, y, z"),
    ],
)
def test_positions_outside_are_named_with_their_side(move, said) -> None:
    sides = (33.0, 50.0, 75.0)
    halos = halos_in(sides)
    columns = (halos.mass, halos.radius, halos.concentration, halos.axis)
    with pytest.raises(ValueError, match=said):
        HaloCatalog(move(halos.position, sides), *columns, boxsize=sides)
    moved = halos.position + np.array(sides) * np.random.default_rng(1).integers(-2, 3, (300, 3))
    back = HaloCatalog(moved, *columns, boxsize=sides, wrap=True)
    np.testing.assert_allclose(back.position, halos.position, atol=1e-12)


def test_what_is_of_cubes_alone_says_so() -> None:
    with pytest.raises(ValueError, match=r"boxsize = \(50, 50, 100\): must be the side of a cube"):
        HaloCatalog.simulate((50.0, 50.0, 100.0), 16)
    with pytest.raises(ValueError, match=r"boxsize = \(33, 50, 75\) differs from that of the gal"):
        box_correlations(
            GalaxyCatalog([[1, 2, 3]], [[0, 0, 1]], boxsize=(33, 75, 50)), boxsize=(33, 50, 75)
        )
