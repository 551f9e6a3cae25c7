"""Assembly bias: the decorated HOD by hand and in draws, and tables that know of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pysoftcorr.mocks import HaloCatalog, HODModel, box_correlations, projected_correlations
from pysoftcorr.mocks.assembly import concentrated, decoration

BASE = HODModel(logMmin=12.3, sigma_logM=0.3, logM0=12.3, logM1=13.3, alpha=1.0, mu_cen=0.7,
                mu_sat=0.3)  # fmt: skip
POINT = [0.7, 0.3, 12.3, 0.3, 12.3, 13.3, 1.0]


@pytest.fixture(scope="module")
def halos() -> HaloCatalog:
    return HaloCatalog.simulate(50.0, 32, mmin=5e11, axis_alignment=0.8, seed=4)


# ---------------------------------------------------------------------- which halos
def test_halos_of_a_mass_are_parted_by_concentration():
    rng = np.random.default_rng(1)
    n = 4000
    mass = 10 ** (12 + rng.exponential(0.4, n))
    c = 9 * (mass / 1e12) ** -0.3 * np.exp(0.25 * rng.normal(size=n))
    for split in (0.5, 0.2, 0.9):
        upper = concentrated(mass, c, split)
        assert upper.mean() == pytest.approx(1 - split, abs=0.01)
        # At any mass, though concentrations fall with it; a handful of heavy halos too.
        for low, high in ((12, 12.1), (12.43, 12.9), (13.3, 16)):
            some = (mass > 10**low) & (mass < 10**high)
            assert upper[some].mean() == pytest.approx(1 - split, abs=2.5 / np.sqrt(some.sum()))
        best = np.exp(np.polyval(np.polyfit(np.log(mass), np.log(c), 1), np.log(mass)))
        assert np.median(c[upper] / best[upper]) > np.median(c[~upper] / best[~upper])
    order = rng.permutation(n)
    np.testing.assert_array_equal(concentrated(mass[order], c[order]), concentrated(mass, c)[order])


def test_concentrations_that_follow_from_mass_part_nothing(halos):
    smooth = replace_concentration(halos, 7 * (halos.mass / 1e13) ** -0.1)
    with pytest.raises(ValueError, match="concentration: follows from mass"):
        concentrated(smooth.mass, smooth.concentration)
    with pytest.raises(ValueError, match="leave assembly_cen and assembly_sat at 0"):
        BASE.with_parameters(assembly_cen=0.3).populate(smooth, seed=1)
    assert len(BASE.populate(smooth, seed=1))


def replace_concentration(halos, c):
    return HaloCatalog(
        halos.position, halos.mass, halos.radius, c, halos.axis, boxsize=halos.boxsize,
        cosmology=halos.cosmology, meta=halos.meta,
    )  # fmt: skip


# ---------------------------------------------------------------------- how many galaxies
@pytest.mark.parametrize(
    ("mean", "strength", "split", "most", "wanted"),
    [
        # By hand, after Hearin et al. 2016: (concentrated, others).
        (0.3, 1.0, 0.5, 1.0, (0.6, 0.0)),
        (0.3, 0.5, 0.5, 1.0, (0.45, 0.15)),
        (0.8, 1.0, 0.5, 1.0, (1.0, 0.6)),
        (0.8, -0.5, 0.5, 1.0, (0.7, 0.9)),
        (0.3, -1.0, 0.5, 1.0, (0.0, 0.6)),
        (2.0, 0.5, 0.5, np.inf, (3.0, 1.0)),
        (2.0, -1.0, 0.5, np.inf, (0.0, 4.0)),
        # A quarter is less concentrated: taking all of theirs adds a third.
        (0.3, 1.0, 0.25, 1.0, (0.4, 0.0)),
        (2.0, -1.0, 0.25, np.inf, (0.0, 8.0)),
        (0.9, -1.0, 0.25, 1.0, (0.9 - 0.1 / 3, 1.0)),
        (0.5, 0.0, 0.3, 1.0, (0.5, 0.5)),
    ],
)
def test_mean_numbers_by_hand(mean, strength, split, most, wanted):
    mean = np.full(2, mean)
    found = mean + decoration(mean, strength, np.array([True, False]), split, most)
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    assert (1 - split) * found[0] + split * found[1] == pytest.approx(mean[0], rel=1e-12)


def test_mean_numbers_of_halos(halos):
    plain = BASE.mean_numbers(halos)
    np.testing.assert_array_equal(plain[0], BASE.mean_ncen(halos.mass))
    np.testing.assert_array_equal(plain[1], BASE.mean_nsat(halos.mass))
    upper = concentrated(halos.mass, halos.concentration)
    for by_cen, by_sat in ((0.8, 0.0), (-0.4, 1.0), (1.0, -1.0)):
        biased = BASE.with_parameters(assembly_cen=by_cen, assembly_sat=by_sat)
        cen, sat = biased.mean_numbers(halos)
        assert ((cen >= 0) & (cen <= 1) & (sat >= 0)).all()
        # Satellites are those of a few heavy halos, of which not half the mass is concentrated.
        for one, other, strength, room in (
            (cen, plain[0], by_cen, 0.03),
            (sat, plain[1], by_sat, 0.3),
        ):
            some = other > 1e-6
            assert (np.sign(one - other)[some & upper] * np.sign(strength) >= 0).all()
            assert one.sum() == pytest.approx(other.sum(), rel=room)
            assert np.array_equal(one, other) == (strength == 0)


def test_galaxies_of_a_seed_without_assembly_bias_stay(halos):
    plain = BASE.populate(halos, seed=3)
    same = BASE.with_parameters(assembly_split=0.3).populate(halos, seed=3)
    np.testing.assert_array_equal(plain.position, same.position)
    biased = BASE.with_parameters(assembly_cen=1.0).populate(halos, seed=3)
    upper = concentrated(halos.mass, halos.concentration)
    parts = [upper[g.host[g.central]].mean() for g in (plain, biased)]
    assert parts[1] > parts[0] + 0.1
    assert plain.params["assembly_cen"] == 0
    assert HODModel(**biased.params) == BASE.with_parameters(assembly_cen=1.0)


@pytest.mark.parametrize("name", ["assembly_cen", "assembly_sat"])
def test_parameters_out_of_range_are_refused(name):
    for value in (1.01, -2.0, np.nan):
        with pytest.raises(ValueError, match=f"{name} = "):
            replace(BASE, **{name: value})
    for value in (0.0, 1.0, -0.1):
        with pytest.raises(ValueError, match="assembly_split = "):
            replace(BASE, assembly_split=value)


# ---------------------------------------------------------------------- tables
@pytest.fixture(scope="module")
def tables(halos):
    pytest.importorskip("torch")
    from pysoftcorr.mocks import HaloTables

    return HaloTables.tabulate(halos, bins="log:0.1:10:8", rp_bins="log:0.1:10:8", pi_max=14,
                               nodes=20, assembly_split=0.5, progress=False)  # fmt: skip


def drawn(halos, tables, model, number):
    """Deviations of draws from the means in errors of the draws, by statistic."""
    said = tables.predict(POINT, on_outside="ignore", assembly_cen=model.assembly_cen,
                          assembly_sat=model.assembly_sat)  # fmt: skip
    found = {name: [] for name in ("xi", "omega", "eta", "wp", "w_gp")}
    for seed in range(number):
        galaxies = model._populate(halos, seed)
        box = box_correlations(galaxies, bins=tables.edges)
        sky = projected_correlations(
            galaxies, rp_bins=tables.projection.edges, pi_max=14, pi_bins=1
        )
        for name, values in found.items():
            values.append(getattr(box if hasattr(box, name) else sky, name))
    out = {}
    for name, values in found.items():
        error = np.nanstd(values, axis=0, ddof=1) / np.sqrt(np.isfinite(values).sum(axis=0))
        out[name] = (np.nanmean(values, axis=0) - getattr(said, name).mean) / error
    return out


@pytest.mark.slow
@pytest.mark.parametrize(("by_cen", "by_sat"), [(0.9, -0.7), (-0.6, 1.0)])
def test_tables_of_drawn_galaxies(halos, tables, by_cen, by_sat):
    model = BASE.with_parameters(assembly_cen=by_cen, assembly_sat=by_sat)
    for name, z in drawn(halos, tables, model, 150).items():
        # Eight bins: the rms has a scatter of .25, more where bins are correlated.
        assert np.sqrt((z**2).mean()) < 1.75, (name, z)
        assert np.abs(z).max() < 4.5, (name, z)
    # Without assembly bias they are others.
    z = drawn(halos, tables, BASE, 30)["xi"]
    plain = tables.predict(POINT, on_outside="ignore").xi.mean
    biased = tables.predict(POINT, on_outside="ignore", assembly_cen=by_cen, assembly_sat=by_sat)
    assert np.abs(biased.xi.mean / plain - 1).max() > 0.05
    assert np.abs(z).max() < 4.5


def test_tables_without_assembly_bias_are_the_plain_ones(halos, tables):
    from pysoftcorr.mocks import HaloTables

    plain = HaloTables.tabulate(halos, bins="log:0.1:10:8", rp_bins="log:0.1:10:8", pi_max=14,
                                nodes=20, sites=0, progress=False)  # fmt: skip
    a, b = (t.predict(POINT, on_outside="ignore") for t in (plain, tables))
    # Each kind of halos has a projection to nodes, and a profile, of its own.
    for name in ("xi", "omega", "wp", "w_gp"):
        one, other = getattr(a, name).mean, getattr(b, name).mean
        np.testing.assert_allclose(other, one, rtol=0.03, atol=0.01 * np.abs(one).max())
    assert b.centrals == pytest.approx(a.centrals, rel=1e-4)
    assert tables.bounds == plain.bounds
    biased = tables.predict(POINT, on_outside="ignore", assembly_cen=0.5, assembly_sat=-0.5)
    model = BASE.with_parameters(assembly_cen=0.5, assembly_sat=-0.5)
    cen, sat = model.mean_numbers(halos)
    assert biased.centrals == pytest.approx(cen.sum(), rel=2e-4)
    assert biased.satellites == pytest.approx(sat.sum(), rel=2e-3)


def test_derivatives_by_assembly_bias(tables):
    torch = pytest.importorskip("torch")
    x = torch.tensor(POINT, dtype=torch.float64, requires_grad=True)
    strengths = torch.tensor([0.4, -0.3], dtype=torch.float64, requires_grad=True)

    def means(a):
        said = tables.predict(x, on_outside="ignore", assembly_cen=a[0], assembly_sat=a[1])
        return torch.cat([said.xi.mean, said.omega.mean, said.wp.mean, said.w_gp.mean])

    slopes = torch.autograd.functional.jacobian(means, strengths)
    h = 1e-5
    for k in range(2):
        step = h * torch.eye(2, dtype=torch.float64)[k]
        difference = (means(strengths + step) - means(strengths - step)) / (2 * h)
        scale = slopes[:, k].abs().max()
        assert scale > 0
        assert ((slopes[:, k] - difference.detach()).abs() <= 1e-7 * scale + 1e-9).all()
    (by_params,) = torch.autograd.grad(means(strengths)[:8].sum(), x)
    jacobian = tables.jacobian(POINT, on_outside="ignore", assembly_cen=0.4, assembly_sat=-0.3)
    assert jacobian["xi"].shape == (8, 7)
    np.testing.assert_allclose(jacobian["xi"].sum(axis=0), by_params, rtol=1e-8)


def test_tables_with_assembly_bias_in_files(tables, tmp_path):
    from pysoftcorr.mocks import HaloTables

    tables.write(tmp_path / "tables.h5")
    again = HaloTables.read(tmp_path / "tables.h5")
    assert again == tables
    assert again.assembly_split == 0.5
    rows = np.array([POINT, POINT])
    said = again.predict(rows, on_outside="ignore", assembly_cen=[0.0, 0.5])
    one = tables.predict(POINT, on_outside="ignore", assembly_cen=0.5)
    np.testing.assert_allclose(said.wp.mean[1], one.wp.mean, rtol=1e-12)


def test_what_is_refused(halos, tables):
    from pysoftcorr.mocks import HaloTables

    def refused(match, **options):
        with pytest.raises(ValueError, match=match):
            HaloTables.tabulate(halos, **{"bins": "log:1:8:2", "nodes": 5, "progress": False,
                                          "assembly_split": 0.5, **options})  # fmt: skip

    refused("assembly_split = 1", assembly_split=1.0)
    refused("assembly_split = -0.1", assembly_split=-0.1)
    refused("concentration_groups = 2: must be 1", concentration_groups=2)
    refused("subvolumes = 3: must be 0", subvolumes=3)
    for value in (1.5, np.nan):
        with pytest.raises(ValueError, match="assembly_cen"):
            tables.predict(POINT, assembly_cen=value)
    with pytest.raises(ValueError, match=r"assembly_sat: shape \(3,\)"):
        tables.predict(POINT, assembly_sat=[0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="tables with assembly_split have no covariance"):
        tables.covariance(POINT)
    assert not tables.knows("hod")
    plain = HaloTables.tabulate(halos, bins="log:1:8:2", nodes=5, sites=0, progress=False)
    with pytest.raises(ValueError, match=r"assembly_cen = 0\.3: these tables do not keep halos"):
        plain.predict(POINT, assembly_cen=0.3)
    with pytest.raises(ValueError, match=r"differ in nodes|differ in assembly_split"):
        HaloTables.merge([plain, tables])
