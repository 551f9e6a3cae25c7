"""Correlation between bins: found from realizations, kept in files, and what it does."""

from __future__ import annotations

import copy
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from helpers.resealed import changed  # noqa: E402
from pysoftcorr.emulator import Emulator, EmulatorData  # noqa: E402
from pysoftcorr.emulator.correlation import (  # noqa: E402
    BinCorrelation,
    fit_correlation,
    universe_moments,
)
from pysoftcorr.emulator.data import shipped_test_split  # noqa: E402
from pysoftcorr.inference import LogPosterior, Observation, sample_posterior  # noqa: E402
from pysoftcorr.mocks import HODModel, training_design  # noqa: E402

BINS = 4
EDGES = np.geomspace(0.5, 8, BINS + 1)


def toeplitz(correlation):
    return correlation ** np.abs(np.subtract.outer(np.arange(BINS), np.arange(BINS)))


def true_matrices(parameters):
    """Correlations that go from .8 to .1 by log Mmin for omega, are .6 for xi and none for eta."""
    part = 1 / (1 + np.exp(-6 * (parameters[:, 2] - 12)))[:, None, None]
    return {
        "xi": np.broadcast_to(toeplitz(0.6), (len(parameters), BINS, BINS)),
        "omega": (1 - part) * toeplitz(0.8) + part * toeplitz(0.1),
        "eta": np.broadcast_to(np.eye(BINS), (len(parameters), BINS, BINS)),
    }


class Mean:
    """Stands for an emulator: constant means and errors."""

    def mean_and_std(self, params):
        one = torch.ones(len(params), BINS, dtype=torch.float64)
        return {"xi": (5 * one, 0.5 * one), "omega": (0 * one, 0.1 * one), "eta": (one, one)}


def made(n, realizations, seed, *, offset=0.0):
    parameters = training_design(n, seed=seed, logMmin=(11.2, 13.0))
    rng = np.random.default_rng(seed)
    said = Mean().mean_and_std(torch.tensor(parameters))
    values = {}
    for name, matrices in true_matrices(parameters).items():
        lower = np.linalg.cholesky(matrices)
        z = np.einsum("nij,nrj->nri", lower, rng.normal(size=(n, realizations, BINS)))
        mean, std = (x.numpy()[:, None] for x in said[name])
        values[name] = mean + std * (z + offset)
    return EmulatorData(parameters=parameters, edges=EDGES, **values)


@pytest.mark.slow
@pytest.mark.parametrize("realizations", [1, 2, 8])
def test_known_correlations_are_found(realizations) -> None:
    n = 3200 // realizations
    # The emulator's error of the mean is no noise, where there are several realizations.
    offset = 0.5 if realizations > 1 else 0.0
    rows, check = (made(n, realizations, seed, offset=offset) for seed in (1, 2))
    found = fit_correlation(Mean(), rows, check, seed=1)
    parameters = training_design(64, seed=3, logMmin=(11.2, 13.0))
    wanted = true_matrices(parameters)
    points = torch.tensor(parameters)
    degrees = n * max(1, realizations - 1)
    for name in ("xi", "omega"):
        matrices = found.at(name, points).numpy()
        np.testing.assert_allclose(np.diagonal(matrices, axis1=1, axis2=2), 1, rtol=1e-12)
        assert np.linalg.eigvalsh(matrices).min() > 0
        differ = np.abs(matrices - wanted[name]).mean()
        # A correlation of n vectors is known to (1 - r^2)/sqrt(n); four matrices share them.
        assert differ < 3 * np.sqrt(4 / degrees)
    assert len(found.matrices["omega"]) == 4
    blurred = toeplitz(0.45)
    assert (
        np.abs(found.at("omega", points).numpy() - wanted["omega"]).mean()
        < 0.3 * np.abs(blurred - wanted["omega"]).mean()
    )
    if "eta" in found.matrices:  # no more than noise
        assert np.abs(found.at("eta", points).numpy() - np.eye(BINS)).max() < 0.15
    again = fit_correlation(Mean(), rows, check, seed=1)
    np.testing.assert_array_equal(again.matrices["omega"], found.matrices["omega"])


def test_few_rows_are_no_correlation() -> None:
    found = fit_correlation(Mean(), made(4, 2, 1), made(4, 2, 2), seed=1)
    assert found.matrices == {}
    assert found.at("omega", torch.zeros(7)) is None
    one = fit_correlation(Mean(), made(10, 8, 1), made(10, 8, 2), seed=1)
    assert {len(matrices) for matrices in one.matrices.values()} <= {1}
    assert "4" not in one.record["log_likelihood"]["omega"]


# ---------------------------------------------------------------------- files
@pytest.fixture
def emulator():
    one = Emulator.untrained("response", bins=EDGES, seed=1, members=2, width=8)
    one.correlation = BinCorrelation(
        np.arange(5.0), np.eye(5), {"omega": np.array([toeplitz(0.5), toeplitz(0.2)])},
        {"omega": np.ones((2, 6))}, {"points": 3},
    )  # fmt: skip
    return one


def test_it_is_part_of_the_model_file(emulator, tmp_path) -> None:
    again = Emulator.read(emulator.write(tmp_path / "m.h5")).correlation
    for name in ("mean", "whiten"):
        np.testing.assert_array_equal(getattr(again, name), getattr(emulator.correlation, name))
    np.testing.assert_array_equal(again.matrices["omega"], emulator.correlation.matrices["omega"])
    assert list(again.matrices) == ["omega"]
    assert again.record == {"points": 3}
    emulator.correlation = None
    assert Emulator.read(emulator.write(tmp_path / "n.h5")).correlation is None


def change(name, value):
    def put(file):
        del file[f"correlation/{name}"]
        if value is not None:
            file[f"correlation/{name}"] = value

    return put


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (change("mean", None), "is damaged"),
        (change("omega/gates", None), "is damaged"),
        (change("omega/gates", np.ones((1, 6))), r"is damaged: gates of omega.*\(2, 6\)"),
        (change("omega/matrices", np.ones((2, 4, 4))), "must be correlation matrices"),
        (change("omega/matrices", np.full((2, 4, 4), np.nan)), "must be correlation matrices"),
        (change("omega/matrices", np.array([np.eye(3)] * 2)), "correlation of 3 bins of omega"),
    ],
)
def test_damaged(emulator, tmp_path, damage, text) -> None:
    path = shutil.copy(emulator.write(tmp_path / "m.h5"), tmp_path / "copy.h5")
    with changed(path) as file:
        damage(file)
    with pytest.raises(ValueError, match=text) as caught:
        Emulator.read(path)
    assert "copy.h5" in str(caught.value)
    with pytest.raises(ValueError, match="correlation of omega is of 4 bins; the network was made"):
        Emulator(Emulator.untrained(bins=[1, 2, 4], seed=1, members=2, width=8).network,
                 bins=[1, 2, 4], bounds=emulator.training_bounds,
                 correlation=emulator.correlation)  # fmt: skip


# ---------------------------------------------------------------------- the shipped model
@pytest.fixture(scope="module")
def shipped():
    """The model, and rows of universes that it has not seen."""
    return Emulator.read(), EmulatorData.read(shipped_test_split())


def test_the_shipped_model_knows_its_box_and_bins(shipped) -> None:
    emulator, _ = shipped
    assert emulator.box["boxsize"] == 250
    assert not {"redshift", "cosmology"} & set(emulator.box)  # they are parameters
    assert (emulator.box["mdef"], emulator.box["satellites"]) == ("vir", "triaxial")
    assert set(emulator.correlation.matrices) == {"xi", "omega", "eta"}


def test_sums_over_bins_scatter_as_the_shipped_model_says(shipped) -> None:
    """Variance of the sum over bins, of universes and of galaxies in them, over the predicted."""
    emulator, rows = shipped
    points = torch.tensor(rows.parameters[rows.chance_row])
    moments = universe_moments(emulator.double(), rows)
    # Sixteen universes know the variance of what is between them to sqrt(2/16).
    for k, (name, room) in enumerate({"xi": 0.7, "omega": 0.15, "eta": 0.1}.items()):
        wanted = emulator.correlation.at(name, points).numpy().sum((1, 2))
        ratio = (moments[:, k].sum((1, 2)) / wanted).mean()
        assert ratio == pytest.approx(1, abs=room), name
    # Bins of xi go up and down together.
    assert emulator.correlation.at("xi", points[0]).numpy().sum() > 4 * 20


@pytest.mark.slow
def test_posteriors_hold_what_they_say(shipped) -> None:
    """Strengths drawn from the prior, data of other universes: z-scores and 68 % intervals."""
    emulator, rows = shipped
    emulator = emulator.double()
    alone = copy.copy(emulator)
    alone.correlation = BinCorrelation(
        emulator.correlation.mean, emulator.correlation.whiten, {}, {}
    )
    number = 100
    chosen = np.linspace(0, len(rows) - 1, number).astype(int)
    found = {}
    for label, model in (("correlated", emulator), ("apart", alone)):
        found[label] = np.array([_against_the_truth(model, rows, row) for row in chosen])
    # Both strengths of a row: about independent. Errors: of a binomial, and of a mean square.
    binomial = np.sqrt(0.683 * 0.317 / (2 * number))
    square = np.sqrt(2 / (2 * number))
    z, rank = np.moveaxis(found["correlated"], 1, 0).reshape(2, -1)
    assert (np.abs(rank - 0.5) < 0.3413).mean() == pytest.approx(0.683, abs=3.5 * binomial)
    assert (z**2).mean() == pytest.approx(1, abs=3.5 * square)
    # Bins taken as independent.
    z, _ = np.moveaxis(found["apart"], 1, 0).reshape(2, -1)
    assert (z**2).mean() > 1 + 3.5 * square


@pytest.mark.slow
def test_no_chain_stays_in_a_corner_of_the_prior(shipped) -> None:
    """At the corners the predicted scatter is larger: a second, far lower peak of the density."""
    pytest.importorskip("pyro")
    emulator = shipped[0]
    data = Observation.unaligned(emulator.edges, statistics=("omega",), boxsize=250.0)
    hod = HODModel.preset("mstar10.0", satellites="triaxial")
    made = sample_posterior(
        emulator, data, fixed=hod, chains=6, warmup=150, draws=60, seed=1, progress=False
    )
    # Standard deviations of .21 and .023; along the diagonal a few tens of independent draws.
    assert (np.abs(made.draws[..., 1].mean(axis=1)) < 0.023).all()
    assert (np.abs(made.draws[..., 0].mean(axis=1)) < 0.2).all()


def _against_the_truth(model, rows, row, n=24):
    """z-score and rank of mu_cen and mu_sat in the posterior of one realization, on a grid."""
    truth = rows.parameters[row]
    # Rows that are shipped all have a covariance, in their order.
    lower = np.linalg.cholesky(rows.chance[row, 1])
    noise = lower @ np.random.default_rng(row).normal(size=20)
    data = Observation(rows.edges, omega=rows.omega[row, 0] + noise, boxsize=250.0)
    fixed = dict(zip(rows.names[2:], truth[2:], strict=True))
    density = LogPosterior(model, data, fixed=fixed, jitter=0.0, on_outside="ignore")
    low, high = np.full(2, -1.0), np.full(2, 1.0)
    for stage in range(3):
        step = (high - low) / n
        axes = [low[k] + step[k] * (np.arange(n) + 0.5) for k in range(2)]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
        log_p = density(points)
        p = np.exp(log_p - log_p.max())
        p /= p.sum()
        marginal = [p.sum(axis=1 - k) for k in range(2)]
        if stage == 2:
            break
        for k in range(2):  # closer to where the mass is
            kept = axes[k][marginal[k] > 1e-6 * marginal[k].max()]
            low[k] = max(-1, kept[0] - 1.5 * step[k])
            high[k] = min(1, kept[-1] + 1.5 * step[k])
    z, rank = [], []
    for k in range(2):
        mean = marginal[k] @ axes[k]
        z.append((truth[k] - mean) / np.sqrt(marginal[k] @ (axes[k] - mean) ** 2))
        edges = low[k] + step[k] * np.arange(n + 1)
        rank.append(np.interp(truth[k], edges, np.append(0, np.cumsum(marginal[k]))))
    return z, rank
