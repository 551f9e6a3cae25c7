"""Groups of the ArviZ file: az.loo, az.compare and az.plot_ppc run on what is written."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp

torch = pytest.importorskip("torch")
pytest.importorskip("pyro")
az = pytest.importorskip("arviz")
import matplotlib  # noqa: E402

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from helpers.analytic_emulator import HOD, AnalyticEmulator  # noqa: E402
from pysoftcorr.inference import (  # noqa: E402
    LogPosterior,
    Observation,
    Posterior,
    sample_posterior,
)

pytestmark = pytest.mark.filterwarnings("ignore:NUTS on")


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def measured(*, count=None, statistics=("omega", "eta"), truth=(0.4, -0.3), seed=2):
    emulator = AnalyticEmulator()
    params = torch.tensor([*truth, *HOD.values()], dtype=torch.float64)
    made = emulator.mean_and_std(params)
    n = 6 * len(statistics)
    rng = np.random.default_rng(seed)
    matrix = 4e-4 * 0.5 ** np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    mean = np.concatenate([made[name][0].numpy() for name in statistics])
    values = rng.multivariate_normal(mean, matrix).reshape(len(statistics), 6)
    return emulator, Observation(
        emulator.edges, **dict(zip(statistics, values, strict=True)), covariance=matrix,
        covariance_from=count, boxsize=50.0, box={"redshift": 0.0},
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Estimated shape parameter")
@pytest.mark.parametrize(
    ("count", "cuts"),
    [
        (None, {}),
        (40, {"r_min": 0.5, "r_max": 10}),
        (40, {"bins": "edges"}),
        pytest.param(40, {}, marks=pytest.mark.long),
        pytest.param(None, {"r_min": 0.5, "r_max": 10}, marks=pytest.mark.long),
        pytest.param(None, {"bins": "edges"}, marks=pytest.mark.long),
    ],
)
def test_loo_and_ppc_run_on_a_file(tmp_path, count, cuts) -> None:
    emulator, data = measured(count=count)
    if "bins" in cuts:
        cuts = {"bins": emulator.edges[2:5]}
    data = data.cut(**cuts)
    n = data.vector.size
    found = sample_posterior(emulator, data, fixed=HOD, chains=2, warmup=150, draws=150, seed=1)
    found.write(tmp_path / "p.nc")
    file = az.from_netcdf(str(tmp_path / "p.nc"), engine="h5netcdf")
    pointwise = file.log_likelihood["values"]
    assert pointwise.shape == (2, 150, n)
    density = LogPosterior(emulator, data, fixed=HOD)
    np.testing.assert_allclose(
        pointwise.values, density.log_likelihood_pointwise(found.draws), rtol=1e-10
    )
    loo = az.loo(file, pointwise=True)
    assert loo.n_data_points == n
    good = loo.pareto_k.values < 0.6
    assert good.sum() >= 0.7 * n  # of 300 draws
    # Exactly, on a grid: the posterior without a value is that with it over the value's density.
    axis = np.linspace(-0.99, 0.99, 100)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    joint = density.log_likelihood(grid)
    exact = logsumexp(joint) - logsumexp(
        joint[:, None] - density.log_likelihood_pointwise(grid), axis=0
    )
    np.testing.assert_allclose(loo.loo_i.values[good], exact[good], atol=0.15)
    predictive = file.posterior_predictive
    for name in data.statistics:
        assert predictive[name].shape == (2, 150, 6)
        assert predictive[name].dims == ("chain", "draw", "r")
        used = np.isfinite(file.observed_data[name].values)
        np.testing.assert_array_equal(np.isfinite(predictive[name].values), used[None, None] &
                                      np.ones((2, 150, 6), bool))  # fmt: skip
    axes = az.plot_ppc(file, num_pp_samples=20, random_seed=1)
    assert len(np.atleast_1d(axes).ravel()) == 2
    assert all(len(ax.lines) > 10 for ax in np.atleast_1d(axes).ravel())
    plt.gcf().savefig(tmp_path / "ppc.png")

    back = Posterior.read(tmp_path / "p.nc")
    assert back.to_dict() == found.to_dict()
    assert back.summary() == found.summary()
    np.testing.assert_array_equal(back.log_likelihood, found.log_likelihood)
    np.testing.assert_array_equal(back.predictive["eta"], found.predictive["eta"])
    seen = back.observation
    assert seen.describe() == data.on(emulator.edges).describe()
    np.testing.assert_array_equal(seen.rows, data.rows)
    np.testing.assert_array_equal(seen.vector, data.vector)
    np.testing.assert_array_equal(seen.covariance, data.covariance)
    np.testing.assert_array_equal(seen.values["omega"], data.values["omega"])  # cut ones too


def test_drawn_data_cover_the_observed() -> None:
    emulator, data = measured()
    found = sample_posterior(emulator, data, fixed=HOD, chains=2, warmup=150, draws=400, seed=1)
    drawn = np.concatenate([found.predictive[name] for name in data.statistics], axis=-1)
    rank = (drawn.reshape(-1, 12) < data.vector).mean(axis=0)
    assert ((rank > 1e-3) & (rank < 1 - 1e-3)).all()


def test_loo_prefers_the_model_that_made_the_data() -> None:
    emulator, data = measured(truth=(0.9, 0.8), seed=4)
    options = {"fixed": HOD, "chains": 2, "warmup": 150, "draws": 200, "seed": 1}
    right = sample_posterior(emulator, data, **options)
    wrong = sample_posterior(
        emulator, data, free="mu_cen", chains=2, warmup=150, draws=200, seed=1,
        fixed={**HOD, "mu_sat": -0.8},
    )  # fmt: skip
    table = az.compare({"right": right.to_inference_data(), "wrong": wrong.to_inference_data()})
    assert table.index[0] == "right"
    assert table.loc["wrong", "elpd_diff"] > 10


def test_the_summary_says_what_was_compared() -> None:
    emulator, data = measured(count=40)
    found = sample_posterior(
        emulator, data.cut(r_min=0.5), fixed=HOD, chains=1, warmup=5, draws=5, seed=1
    )
    line = found.summary().splitlines()[-1]
    assert line == (
        "data: omega, eta in 4 bins from 0.542884 to 16 Mpc/h (r_min = 0.5), 8 values; "
        "noise: data, covariance from 40: sellentin-heavens"
    )
    record = found.settings["data"]
    assert record["cuts"] == {"r_min": 0.5}
    assert record["box"] == {"boxsize": 50.0, "redshift": 0.0}
    assert record["values"] == 8
    np.testing.assert_allclose(np.array(record["edges"])[:, 0], emulator.edges[2:6])
