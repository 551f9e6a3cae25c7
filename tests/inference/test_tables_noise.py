"""Posteriors with the covariance of tables of halos."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("pyro")

from pysoftcorr.emulator import Emulator  # noqa: E402
from pysoftcorr.inference import LogPosterior, Observation, SimulatedModel  # noqa: E402
from pysoftcorr.mocks import HaloCatalog, HaloTables, HODModel  # noqa: E402
from tests.helpers.calibration import calibrate, universe  # noqa: E402

BINS = "log:0.15:10:8"
HOD = HODModel(logMmin=12.1, sigma_logM=0.2, logM0=12.1, logM1=13.0, alpha=1.0, mu_cen=0.6,
               mu_sat=0.3)  # fmt: skip
SIDE = 45.0
POINT = [0.6, 0.3, 12.1, 0.2, 12.1, 13.0, 1.0]


@pytest.fixture(scope="module")
def tables() -> HaloTables:
    boxes = [universe(SIDE, 5e11, 700 + k) for k in range(4)]
    return HaloTables.tabulate(boxes, bins=BINS, nodes=12, sites=400, progress=False)


def seen(tables, statistics=("omega", "eta"), boxsize=SIDE, **options) -> Observation:
    """Data that are the means of the tables."""
    said = tables.predict(POINT, on_outside="ignore")
    values = {name: getattr(said, name).mean for name in statistics}
    return Observation(tables.edges, **values, boxsize=boxsize, **options)


def density(tables, observation, **options) -> LogPosterior:
    return LogPosterior(tables, observation, fixed=HOD, on_outside="warn", **options)


def test_covariance_at_the_mode_for_the_volume_of_the_data(tables):
    for side, factor in ((SIDE, 1), ((SIDE, SIDE, 2 * SIDE), 2)):
        found = density(tables, seen(tables, boxsize=side))
        assert (found.noise, found.likelihood) == ("model", "gaussian")
        at = list(found.reference.values())
        wanted = tables.covariance(at, volume=factor * SIDE**3)[8:, 8:]
        np.testing.assert_allclose(found.constant_covariance, wanted, rtol=1e-12)
        # What the data were made with is where the density is highest, or nearly: priors are even.
        truth = found.log_likelihood([0.6, 0.3])
        assert found.log_likelihood(at[:2]) <= truth + 1e-9
        assert truth - found.log_likelihood(at[:2]) < 0.5
    assert found.closed_form
    drawn = found.draw_data([[0.6, 0.3]] * 4, seed=1)
    assert drawn["omega"].shape == (4, 8)
    assert np.isfinite(found.log_likelihood_pointwise([[0.6, 0.3]])).all()


def test_satellites_on_subhalos(monkeypatch):
    monkeypatch.setattr("pysoftcorr.mocks.tabulated.subhalo_sums._IN_ALL", 100_000)
    boxes = [
        HaloCatalog.simulate(30.0, 16, mmin=1e12, subhalos=True, subhalo_mmin=2e11, seed=k)
        for k in (1, 2)
    ]
    tables = HaloTables.tabulate(
        boxes, bins="log:0.3:6:5", nodes=6, sites=200, satellites="subhalos", progress=False
    )
    hod = replace(HOD, satellites="subhalos")
    said = tables.predict(POINT, on_outside="ignore")
    data = Observation(tables.edges, omega=said.omega.mean, boxsize=30.0,
                       box={"satellites": "subhalos"})  # fmt: skip
    found = LogPosterior(tables, data, fixed=hod, on_outside="ignore")
    assert found.noise == "model"
    wanted = tables.covariance(list(found.reference.values()), volume=30.0**3)[5:10, 5:10]
    np.testing.assert_allclose(found.constant_covariance, wanted, rtol=1e-12)
    assert found.log_likelihood([0.6, 0.3]) > found.log_likelihood([-0.6, 0.0])


def test_bins_and_statistics_that_are_used(tables):
    data = seen(tables, ("xi", "omega", "eta")).select(("omega", "xi")).cut(r_min=0.5, r_max=8.0)
    found = density(tables, data)
    every = tables.covariance(list(found.reference.values()), volume=SIDE**3)
    order = [("xi", "omega", "eta").index(name) for name in data.statistics]
    rows = np.concatenate([k * 8 + np.arange(8) for k in order])[data.rows]
    np.testing.assert_allclose(found.constant_covariance, every[np.ix_(rows, rows)], rtol=1e-12)


def test_occupation_may_be_free(tables):
    data = seen(tables, ("xi", "omega"))
    fixed = {"sigma_logM": 0.2, "logM0": 12.1, "alpha": 1.0}
    found = LogPosterior(
        tables, data, free=("mu_cen", "mu_sat", "logMmin", "logM1"), fixed=fixed, on_outside="warn",
        priors={"logMmin": "uniform:11.9:12.5", "logM1": "uniform:12.7:13.4"},
    )  # fmt: skip
    peak = np.array([found.reference[name] for name in found.names])
    # The peak of a normal density whose covariance follows the parameters, here by itself.
    rows = np.arange(16)

    def height(params):
        full = [found.reference[name] for name in tables.names]
        for name, value in zip(found.names, params, strict=True):
            full[tables.names.index(name)] = float(value)
        every = np.asarray(tables.covariance(full, volume=SIDE**3))[np.ix_(rows, rows)]
        said = tables.predict(full, on_outside="ignore")
        away = data.vector - np.concatenate([said.xi.mean, said.omega.mean])
        chi2 = away @ np.linalg.solve(every, away)
        # In the unbounded variables, where the priors are logistic.
        slope = np.log((params - found.priors.low) * (found.priors.high - params)).sum()
        return slope - 0.5 * (chi2 + np.linalg.slogdet(every)[1])

    for k in range(4):
        for step in (-0.03, 0.03):
            assert height(peak) > height(peak + step * np.eye(4)[k]) - 0.01
    assert height(peak) > height(np.array([0.6, 0.3, 12.1, 13.0]))
    x = torch.tensor([0.5, 0.2, 12.15, 13.05], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(found.torch_log_likelihood(x), x)
    for k in range(4):
        step = 1e-4 * np.eye(4)[k]
        at = x.detach().numpy()
        difference = (found.log_likelihood(at + step) - found.log_likelihood(at - step)) / 2e-4
        assert float(slope[k]) == pytest.approx(float(difference), rel=1e-4, abs=1e-3)


def test_sum_with_that_of_the_data(tables):
    own = np.diag(np.linspace(1, 2, 8) * 1e-4)
    said = tables.predict(POINT, on_outside="ignore")
    data = Observation(tables.edges, omega=said.omega.mean, covariance=own, boxsize=SIDE)
    assert density(tables, data).noise == "data"
    found = density(tables, data, noise="both")
    model = tables.covariance(list(found.reference.values()), volume=SIDE**3)[8:16, 8:16]
    np.testing.assert_allclose(found.constant_covariance, own + model, rtol=1e-12)
    alone = density(tables, data, noise="model")
    assert alone.log_likelihood([0.0, 0.0]) < alone.log_likelihood([0.6, 0.3])


def test_what_is_said(tables):
    data = seen(tables)
    with pytest.raises(ValueError, match="noise = 'emulator': HaloTables has the covariance of"):
        density(tables, data, noise="emulator")
    with pytest.raises(ValueError, match="noise = 'data': the data bring no covariance; take 'mod"):
        density(tables, data, noise="data")
    with pytest.raises(ValueError, match="likelihood = 'hartlap': the covariance is that of the m"):
        density(tables, data, likelihood="hartlap")
    one = HaloTables(tables.nodes, tables.edges, tables.boxes[:1], record=tables.record)
    with pytest.raises(ValueError, match=r"noise = 'model': these tables .* subvolumes = 3"):
        density(one, data)
    with pytest.warns(UserWarning, match="taken as that of one box of the tables, 45 Mpc"):
        without = density(tables, seen(tables, boxsize=None))
    np.testing.assert_allclose(
        without.constant_covariance, density(tables, data).constant_covariance, rtol=1e-9
    )
    emulator = Emulator.read(None)
    unaligned = Observation.unaligned(emulator.edges)
    preset = HODModel.preset("mstar10.5", satellites="triaxial")
    with pytest.raises(ValueError, match="noise = 'model': Emulator has standard deviations"):
        LogPosterior(emulator, unaligned, fixed=preset, noise="model")


def test_simulated_means_with_the_covariance_of_tables(tables):
    halos = universe(SIDE, 5e11, 720)
    twin = SimulatedModel.simulate(halos, HOD, noise=tables, realizations=2, seed=1)
    data = seen(tables, ("omega",))
    found = density(twin, data)
    assert found.noise == "model"
    wanted = tables.covariance(list(found.reference.values()), volume=SIDE**3)[8:16, 8:16]
    np.testing.assert_allclose(found.constant_covariance, wanted, rtol=1e-12)


@pytest.mark.slow
def test_strengths_of_fresh_universes_lie_where_posteriors_say():
    # The small version of benchmarks/calibrate_tables.py.
    known = [universe(SIDE, 5e11, 800 + k) for k in range(8)]
    tables = HaloTables.tabulate(known, bins=BINS, nodes=12, progress=False)
    number = 12
    found = calibrate(tables, HOD, [universe(SIDE, 5e11, k) for k in range(number)], seed=3)
    z = found.z
    # Four times the scatter of a standard deviation, 1/sqrt(2 N), and of a share, sqrt(.22/N).
    assert (np.abs(np.sqrt((z**2).mean(axis=0)) - 1) < 4 / np.sqrt(2 * number)).all(), z
    assert (np.abs(z.mean(axis=0)) < 4 / np.sqrt(number)).all(), z
    assert (np.abs(found.covered - 0.6827) < 4 * np.sqrt(0.22 / number)).all(), found.covered
    # It has teeth: of both the posterior knows more than its prior, whose sd is .58.
    assert (np.median(found.sd, axis=0) < [0.53, 0.3]).all(), np.median(found.sd, axis=0)
