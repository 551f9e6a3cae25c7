"""wp, w_g+ and w_++ of tables of halos: against drawn galaxies, draws of pairs, closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.resealed import changed

torch = pytest.importorskip("torch")

from pysoftcorr.mocks import (  # noqa: E402
    HaloCatalog,
    HaloTables,
    HODModel,
    projected_correlations,
)
from pysoftcorr.mocks.alignment import order_parameter  # noqa: E402
from pysoftcorr.mocks.anisotropic import TURNED  # noqa: E402
from pysoftcorr.mocks.hod import PARAMETERS  # noqa: E402
from pysoftcorr.mocks.satellites import directions, nfw_radius  # noqa: E402
from pysoftcorr.mocks.tabulated.nfw import TERMS  # noqa: E402
from pysoftcorr.mocks.tabulated.projected import sky_one_halo  # noqa: E402
from pysoftcorr.mocks.tabulated.sky_kernels import pair_shells, sky_parts, sky_shells  # noqa: E402

RP = "log:0.1:12:10"
STATISTICS = ("wp", "w_gp", "w_pp")
POINTS = np.array([
    [0.7, 0.3, 12.3, 0.3, 12.3, 13.4, 1.0],
    [-0.5, 0.9, 12.0, 0.15, 11.8, 13.0, 1.1],
    [0.95, -0.9, 12.8, 0.6, 12.5, 13.6, 0.8],
])  # fmt: skip


def model(row) -> HODModel:
    return HODModel(**dict(zip(PARAMETERS, map(float, row), strict=True)))


@pytest.fixture(scope="module")
def halos() -> HaloCatalog:
    return HaloCatalog.simulate(50.0, 32, mmin=5e11, axis_alignment=0.8, seed=4)


@pytest.fixture(scope="module")
def tables(halos) -> HaloTables:
    return tabulated(halos, pi_max=14.0)


def tabulated(halos, **options) -> HaloTables:
    options = {"bins": "log:1:8:2", "rp_bins": RP, "nodes": 20, "sites": 0, **options}
    return HaloTables.tabulate(halos, progress=False, **options)


# ---------------------------------------------------------------------- against draws
def compared(halos, made, row, number):
    """Deviations of drawn galaxies from the means, in errors of the draws, by statistic."""
    fixed = made.projection
    said = made.predict(row, on_outside="ignore")
    found = [
        projected_correlations(
            model(row)._populate(halos, 7 + seed), rp_bins=fixed.edges, pi_max=fixed.pi_max,
            pi_bins=2, line_of_sight=fixed.line_of_sight,
        )
        for seed in range(number)
    ]  # fmt: skip
    out = {}
    for name in STATISTICS:
        values = np.array([getattr(one, name) for one in found])
        error = values.std(axis=0, ddof=1) / np.sqrt(number)
        out[name] = (values.mean(axis=0) - getattr(said, name).mean) / error
    return out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("row", "options"),
    [
        (POINTS[0], {"pi_max": 14.0}),
        (POINTS[1], {"pi_max": 25.0, "line_of_sight": "x"}),
        (POINTS[2], {"pi_max": 1.0, "line_of_sight": "y"}),
        (POINTS[0], {"pi_max": 23.0, "concentration_groups": 2}),
    ],
)
def test_means_of_drawn_galaxies(halos, row, options):
    for name, z in compared(halos, tabulated(halos, **options), row, 150).items():
        # Ten bins: the rms has a scatter of .22, more where bins are correlated.
        assert np.sqrt((z**2).mean()) < 1.7, (name, z)
        assert np.abs(z).max() < 4.5, (name, z)


def test_means_of_drawn_galaxies_quickly(halos, tables):
    for z in compared(halos, tables, POINTS[1], 60).values():
        assert np.abs(z).max() < 4.5


# ---------------------------------------------------------------------- closed forms
@pytest.mark.parametrize("sight", ["z", "x", "y"])
def test_centrals_of_every_halo_are_the_halos(halos, sight):
    # With every halo occupied and no satellites nothing is left to chance but the axes.
    few = halos[np.argsort(halos.mass)[-30:]]
    made = tabulated(few, pi_max=25.0, line_of_sight=sight, rp_bins="log:1:12:5")
    exact = projected_correlations(
        few.position, few.axis, boxsize=50.0, rp_bins="log:1:12:5", pi_max=25.0,
        line_of_sight=sight,
    )  # fmt: skip
    for mu in (1.0, 0.6, -0.3):
        said = made.predict([mu, 0.4, 9.0, 0.2, 17.0, 13.0, 1.0], on_outside="ignore")
        s = order_parameter(mu)
        np.testing.assert_allclose(said.wp.mean, exact.wp, rtol=1e-9)
        np.testing.assert_allclose(said.w_gp.mean, s * exact.w_gp, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(said.w_pp.mean, s * s * exact.w_pp, rtol=1e-9, atol=1e-9)
    assert np.abs(exact.w_gp).max() > 1


def test_halos_at_random_have_no_correlation():
    # Of uniform centers wp and w_g+ are 0 but for what so many pairs scatter by.
    rng = np.random.default_rng(8)
    n = 6000
    mass = 10 ** (12 - np.log10(rng.random(n)) / 2)
    random = HaloCatalog(
        rng.uniform(0, 60, (n, 3)), mass, 0.2 * (mass / 1e12) ** (1 / 3), np.full(n, 6.0),
        rng.normal(size=(n, 3)), boxsize=60.0,
    )  # fmt: skip
    made = tabulated(random, pi_max=20.0, rp_bins="linear:2:12:5")
    said = made.predict([1.0, 0.0, 9.0, 0.2, 17.0, 13.0, 1.0], on_outside="ignore")
    pairs = n * n / 2 * np.pi * np.diff(made.projection.edges**2) * 40 / 60**3
    # An ordered pair has <e_+^2> = 4/15 of random axes.
    for name, error in (
        ("wp", 40 / np.sqrt(pairs)),
        ("w_gp", 40 / np.sqrt(pairs) * np.sqrt(4 / 15 / 2)),
        ("w_pp", 40 / np.sqrt(pairs) * 4 / 15),
    ):
        z = getattr(said, name).mean / error
        assert np.abs(z).max() < 4, (name, z)
        assert np.sqrt((z**2).mean()) > 0.2
    # With satellites what is left are pairs within halos.
    row = [0.6, 0.7, 9.0, 0.2, 12.2, 13.2, 1.0]
    said = made.predict(row, on_outside="ignore")
    inner = tabulated(random, pi_max=20.0, rp_bins="linear:0.02:0.2:4")
    near = inner.predict(row, on_outside="ignore")
    assert (near.wp.mean > 20 * np.abs(said.wp.mean).max()).all()
    assert (near.w_gp.mean > 0).all()


def one_halo_catalog(c: float = 6.0) -> HaloCatalog:
    return HaloCatalog([[20.0, 20.0, 20.0]], [1e14], [0.97], [c], [[0.0, 0.6, 0.8]], boxsize=40.0)


def on_sky(vector, sight="z"):
    """Components on the sky as a complex number, and along the line of sight."""
    first, second, along = TURNED[sight]
    return vector[:, first] + 1j * vector[:, second], vector[:, along]


def plus(reference, separation):
    """e_+ of reference axes about separations."""
    axis, towards = (on_sky(vector)[0] for vector in (reference, separation))
    return (axis**2 * np.conj(towards) ** 2 / np.abs(towards) ** 2).real


def binned(separation, first, second, edges, pi_max):
    """Number in each bin (b, n), e_+ of the first and e_+ e_+' of both there."""
    across, along = on_sky(separation)
    rp = np.abs(across)
    inside = (rp > edges[:-1, None]) & (rp <= edges[1:, None]) & (np.abs(along) <= pi_max)
    e, f = plus(first, separation), plus(second, separation)
    return inside.astype(float), inside * e, inside * e * f


@pytest.mark.parametrize("c", [2.0, 6.0, 25.0])
@pytest.mark.parametrize("pi_max", [0.25, 1.1, 20.0])
def test_pairs_within_a_halo(c, pi_max):
    edges = np.geomspace(0.05, 3, 11)
    halo = one_halo_catalog(c)
    said = sky_one_halo(halo, np.zeros(1, dtype=np.int64), 1, edges, pi_max)[:, 0]
    rng = np.random.default_rng(1)
    n = 200_000
    d, e = (directions(*rng.random((2, n))) for _ in range(2))
    x = d * 0.97 * nfw_radius(rng.random(n), np.full(n, c))[:, None]
    y = e * 0.97 * nfw_radius(rng.random(n), np.full(n, c))[:, None]
    wanted = [*binned(x, d, d, edges, pi_max)[:2], *binned(y - x, d, e, edges, pi_max)]
    for k, values in enumerate(wanted):
        error = values.std(axis=1) / np.sqrt(n)
        assert (np.abs(said[k] - values.mean(axis=1)) <= 5 * error + 2e-5).all(), k


# Inside the limit, on either side of it, and where it is crossed at -pi_max too.
@pytest.mark.parametrize(
    ("across", "along", "pi_max", "room"),
    [(1.7, 3.0, 8.0, 8e-3), (0.6, 7.6, 8.0, 0.04), (1.2, 8.3, 8.0, 0.04), (0.9, 0.2, 0.5, 0.04),
     (0.6, 19.8, 19.7, 0.04)],
)  # fmt: skip
def test_pairs_of_two_halos(across, along, pi_max, room):
    # Every term of two halos, one of each node, against drawn satellites.
    a, b = np.array([0.6, 0.0, 0.8]), np.array([0.48, 0.6, 0.64])
    radius, c = (0.97, 0.45), (5.0, 9.0)
    s = np.array([0.6 * across, 0.8 * across, along])
    halos = HaloCatalog(
        np.mod([20.0 + s, [20.0, 20.0, 20.0]], 40.0), [1e14, 1e13], radius, c, [a, b],
        boxsize=40.0,
    )  # fmt: skip
    edges = np.geomspace(0.3, 5, 8)
    box = tabulated(halos, rp_bins=edges, pi_max=pi_max).boxes[0].projected
    said = {name: form[1, 0] for name, form in zip(TERMS, box.forms, strict=True)}  # heavy, light
    rng = np.random.default_rng(2)
    n = 300_000
    d, e = (directions(*rng.random((2, n))) for _ in range(2))
    x = s + d * radius[0] * nfw_radius(rng.random(n), np.full(n, c[0]))[:, None]
    y = e * radius[1] * nfw_radius(rng.random(n), np.full(n, c[1]))[:, None]
    at, aa, bb = (np.broadcast_to(v, x.shape) for v in (s, a, b))

    def of(separation, first, second):
        apart = separation.copy()
        apart[:, 2] -= 40 * np.rint(apart[:, 2] / 40)
        return binned(apart, first, second, edges, pi_max)

    wanted = {}
    wanted["n_cc"], wanted["a_cc"], wanted["h_cc"] = of(at[:1], aa[:1], bb[:1])
    wanted["n_cs"], wanted["ac_cs"], wanted["h_cs"] = of(at - y, aa, e)
    _, wanted["as_cs"], _ = of(y - at, e, aa)
    wanted["n_ss"], wanted["a_ss"], wanted["h_ss"] = of(x - y, d, e)
    if abs(along - pi_max) < 0.5:
        # The limit matters: it parts the pairs of these halos.
        assert 0.02 < wanted["n_ss"].mean(axis=1).sum() < 0.98
    scale = wanted["n_ss"].mean(axis=1).max()
    for name, values in wanted.items():
        error = values.std(axis=1) / np.sqrt(n)
        away = np.abs(said[name] - values.mean(axis=1))
        assert (away <= 5 * error + room * max(scale, 0.2)).all(), (name, away, error)


def test_parts_of_shells():
    rng = np.random.default_rng(3)
    d = directions(*rng.random((2, 400_000)))
    shells = np.array([0.0, 0.3, 0.8, 1.0, 1.4])
    for q, beyond in ((1.1, None), (1.1, 0.0), (1.1, 0.5), (0.2, None), (0.2, 0.3)):
        rho, z = q * np.hypot(d[:, 0], d[:, 1]), q * d[:, 2]
        kept = np.ones(len(d), bool) if beyond is None else z > beyond
        for power, said in enumerate(sky_shells(np.array([q]), shells, beyond)):
            weight = kept * (rho / q) ** (2 * power)
            wanted = np.histogram(rho, shells, weights=weight)[0] / len(d)
            np.testing.assert_allclose(said[0], wanted, atol=4e-3)
    q, edges = np.array([[0.4, 2.0]]), np.array([0.0, 0.5, 1.5])
    for said in sky_parts(q, edges, 1.0):
        assert said.shape == (1, 2, 2)
    part = sky_parts(q, edges, 1.0)[0][0]
    np.testing.assert_allclose(part, [[1, 0], [0, 0]], atol=1e-12)  # 2 has rp > 1.7 within 1


def test_moments_of_two_satellites():
    rng = np.random.default_rng(4)
    d, e = (directions(*rng.random((2, 400_000))) for _ in range(2))
    for r, s, lo, hi in ((0.5, 1.0, 0.7, 1.1), (1.0, 0.2, 0.9, 3.0), (1.0, 1.0, 0.0, 0.3)):
        Q = r * d - s * e
        size = np.linalg.norm(Q, axis=1)
        inside = (size > lo) & (size <= hi)
        c, f = (np.einsum("ij,ij->i", v, Q) / size for v in (e, d))
        aside = np.einsum("ij,ij->i", d, e) - c * f
        near, far = 1.5 * c**2 - 0.5, 1.5 * f**2 - 0.5
        values = np.stack([np.ones(len(d)), near, near * far, c * f * aside, aside**2]) * inside
        said = np.array(pair_shells(*(np.array([v]) for v in (r, s, lo, hi))))[:, 0]
        assert (np.abs(said - values.mean(axis=1)) <= 5 * values.std(axis=1) / 600).all()


# ---------------------------------------------------------------------- invariances
def test_another_line_of_sight_of_turned_halos(halos, tables):
    turn = [1, 2, 0]
    turned = HaloCatalog(
        halos.position[:, turn], halos.mass, halos.radius, halos.concentration,
        halos.axis[:, turn], boxsize=50.0, cosmology=halos.cosmology, meta=halos.meta,
    )  # fmt: skip
    other = tabulated(turned, pi_max=14.0, line_of_sight="y")
    for a, b in zip(tables.boxes, other.boxes, strict=True):
        np.testing.assert_allclose(
            a.projected.forms, b.projected.forms, atol=1e-9 * a.projected.forms.max()
        )
        np.testing.assert_array_equal(a.projected.one_halo, b.projected.one_halo)
    # And what does not know of it is as without.
    plain = HaloTables.tabulate(halos, bins="log:1:8:2", nodes=20, sites=0, progress=False)
    np.testing.assert_array_equal(plain.boxes[0].forms, tables.boxes[0].forms)
    assert plain.predict(POINTS[0]).wp is None
    assert plain.projection is None


# ---------------------------------------------------------------------- derivatives
@pytest.mark.parametrize("row", POINTS)
def test_derivatives_against_differences(tables, row):
    slopes = tables.jacobian(row, on_outside="ignore")
    assert tuple(slopes) == ("xi", "omega", "eta", *STATISTICS) == tables.statistics
    h = 1e-5
    at = [tables.predict(row + k * h * np.eye(7), on_outside="ignore") for k in (-2, -1, 1, 2)]
    for name in STATISTICS:
        a, b, c, d = (getattr(said, name).mean.T for said in at)
        differences = (8 * (c - b) - (d - a)) / (12 * h)
        scale = np.abs(slopes[name]).max(axis=0)
        assert (np.abs(slopes[name] - differences) <= 1e-6 * scale + 1e-9).all()
        assert (scale[2:] > 0).all()
    assert (slopes["wp"][:, :2] == 0).all()
    assert (np.abs(slopes["w_gp"]).max(axis=0) > 0).all()


def test_autograd_and_batches(tables):
    x = torch.tensor(POINTS, requires_grad=True)
    found, whole = tables.mean_and_std(x), tables.predict(POINTS, on_outside="ignore")
    slopes = tables.jacobian(POINTS, on_outside="ignore")
    for name in STATISTICS:
        mean, std = found[name]
        assert torch.isnan(std).all()
        assert std.shape == mean.shape == (3, 10)
        np.testing.assert_allclose(mean.detach(), getattr(whole, name).mean, rtol=1e-12)
        (gradient,) = torch.autograd.grad(mean.sum(), x, retain_graph=True)
        np.testing.assert_allclose(gradient, slopes[name].sum(axis=1), rtol=1e-9, atol=1e-7)
        tensor = getattr(tables.predict(x, on_outside="ignore"), name).mean
        assert tensor.requires_grad
    assert tables.means(x.float().reshape(3, 1, 7))["wp"].shape == (3, 1, 10)


# ---------------------------------------------------------------------- boxes and files
def test_boxes_add_up(halos, tables):
    other = HaloCatalog.simulate(60.0, 32, mmin=5e11, axis_alignment=0.8, seed=5)
    joint = tabulated([halos, other], pi_max=14.0)
    parts = [tabulated(h, pi_max=14.0, nodes=joint.nodes) for h in (halos, other)]
    row = POINTS[0]
    said = joint.predict(row, on_outside="ignore")
    # Steps of separation go with the largest radius of all that are tabulated together.
    merged = HaloTables.merge(parts).predict(row, on_outside="ignore")
    for name in STATISTICS:
        one, same = (getattr(p, name).mean for p in (said, merged))
        np.testing.assert_allclose(one, same, rtol=0.01, atol=0.01 * np.abs(one).max())
    each = [p.predict(row, on_outside="ignore") for p in parts]
    counts = np.array([p.centrals + p.satellites for p in each])
    volumes = np.array([50.0**3, 60.0**3])
    sums = [p.w_gp.mean * n * n / v for p, n, v in zip(each, counts, volumes, strict=True)]
    wanted = sum(sums) * volumes.sum() / counts.sum() ** 2
    np.testing.assert_allclose(said.w_gp.mean, wanted, atol=0.02 * np.abs(wanted).max())
    with pytest.raises(ValueError, match="differ in rp_bins, pi_max or line_of_sight"):
        HaloTables.merge([parts[0], tabulated(other, pi_max=13.0, nodes=joint.nodes)])


def test_written_and_read(tables, tmp_path):
    path = tmp_path / "tables.h5"
    tables.write(path)
    again = HaloTables.read(path)
    assert again == tables
    assert again.projection == tables.projection
    np.testing.assert_array_equal(
        again.predict(POINTS[0]).w_pp.mean, tables.predict(POINTS[0]).w_pp.mean
    )
    with changed(path) as file:
        file["box0/projected/forms"][0, 0, 0, 0] = np.inf
    with pytest.raises(ValueError, match="numbers of box0/projected are not finite"):
        HaloTables.read(path)
    with changed(path) as file:
        del file["box0/projected"]
    with pytest.raises(ValueError, match="some have projected sums"):
        HaloTables.read(path)


@pytest.mark.parametrize("bins", ["log:1:8:2", "log:1:8:10", "log:1:8:15"])
def test_prediction_as_table_and_text(halos, bins, tmp_path):
    made = tabulated(halos, bins=bins, pi_max=14.0)
    said = made.predict(POINTS[0], on_outside="ignore")
    table = said.to_table()
    assert table.colnames == ["r_lo", "r_hi", "r", "xi", "omega", "eta",
                              "rp_lo", "rp_hi", "rp", *STATISTICS]  # fmt: skip
    for name in ("omega", *STATISTICS):
        column = table[name]
        kept = column[~column.mask] if hasattr(column, "mask") else column
        np.testing.assert_array_equal(kept, getattr(said, name).mean)
    said.write(tmp_path / "said.ecsv")
    assert "|pi| <= 14 Mpc/h, line of sight z" in said.summary()
    assert said.to_dict()["w_gp"]["mean"] == said.w_gp.mean.tolist()
    assert said.to_dict()["pi_max"] == 14
    np.testing.assert_array_equal(said.rp_edges, made.projection.edges)
    assert said.rp.shape == (10,)
    assert "10 of rp 0.1 to 12 Mpc/h within |pi| of 14 along z" in repr(made)


# ---------------------------------------------------------------------- what is refused
def test_what_cannot_be_tabulated(halos):
    def refused(match, **options):
        with pytest.raises(ValueError, match=match):
            tabulated(halos, **{"pi_max": 14.0, **options})

    refused(r"rp_bins: pairs of halos are needed .* of the sky, 25 Mpc/h", rp_bins="log:1:24:3")
    refused("pi_max = 26: must be at most half of the side along", pi_max=26.0)
    refused("pi_max = 40: must be at most half", pi_max=None)
    refused("pi_max = -1", pi_max=-1.0)
    refused("pi_max = 14: must come with bins of wp", rp_bins=None)
    refused("line_of_sight = 'x': must come with", rp_bins=None, pi_max=None, line_of_sight="x")
    refused("line_of_sight = 'w'", line_of_sight="w")
    refused("rp_bins", rp_bins=[3.0, 2.0])
