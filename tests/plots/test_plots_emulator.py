"""Figures of emulators: both errors seen, losses of either sign, colors explained."""

from __future__ import annotations

from dataclasses import fields
from types import SimpleNamespace

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
pytest.importorskip("torch")
import matplotlib.pyplot as plt  # noqa: E402

from helpers.figures import faults  # noqa: E402
from pysoftcorr import plots  # noqa: E402
from pysoftcorr.emulator import Predicted, Prediction  # noqa: E402
from pysoftcorr.mocks import BoxCorrelations  # noqa: E402

STATISTICS = ("xi", "omega", "eta")


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def prediction(n=8, *, mean=None, noise=0.1, doubt=0.004):
    edges = np.geomspace(0.1, 16, n + 1)
    r = np.sqrt(edges[:-1] * edges[1:])
    means = {"xi": 30 * r**-1.8, "omega": 0.03 * r**-0.5 - 0.012, "eta": 1e-3 * np.cos(3 * r)}
    made = {}
    for name, values in (means | (mean or {})).items():
        size = np.abs(means[name]) + 1e-6
        made[name] = Predicted(np.broadcast_to(values, r.shape), noise * size, doubt * size)
    return Prediction(
        **made, r=r, edges=edges, parameters=np.array([0.8, 12.0]), names=("mu_cen", "logMmin"),
        passes=50, seed=1,
    )  # fmt: skip


def box(said, **values):
    every = dict.fromkeys((f.name for f in fields(BoxCorrelations)), None)
    made = {name: np.array(getattr(said, name).mean, dtype=float) for name in STATISTICS}
    return BoxCorrelations(
        **{**every, **made, **values, "edges": said.edges, "settings": {}, "version": "0"}
    )


def lines(ax):
    return {str(line.get_label()): line for line in ax.lines}


# ---------------------------------------------------------------------- predictions
def test_errors_over_the_mean_stand_below():
    said = prediction()
    axes = np.reshape(plots.plot_prediction(said).axes, (2, 3))
    for lower, name in zip(axes[1], STATISTICS, strict=True):
        values = getattr(said, name)
        for kind in ("aleatoric", "epistemic"):
            drawn = lines(lower)[kind].get_ydata()
            np.testing.assert_allclose(drawn, getattr(values, kind) / np.abs(values.mean))
            low, high = lower.get_ylim()
            assert low < drawn.min()
            assert drawn.max() < high
        assert lower.get_yscale() == "log"
        assert lower.get_ylabel().startswith(r"$\sigma/|")
        assert lower.get_legend() is not None


CASES = {
    "ordinary": {},
    "one bin": {"n": 1},
    "no doubt": {"doubt": 0.0},
    "mean 0": {"mean": {"omega": 0.0, "eta": 0.0}},
    "noise beyond the mean": {"noise": 3.0},
    "xi below 0": {"mean": {"xi": np.linspace(5, -1, 8)}},
    "a bin unknown": {"mean": {"xi": np.r_[np.nan, np.linspace(50, 1, 7)]}},
    "over twenty decades": {"mean": {"xi": np.geomspace(1e10, 1e-10, 8)}},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("error::UserWarning", "error::RuntimeWarning")
def test_predictions_of_every_kind_are_seen(case):
    said = prediction(**CASES[case])
    figure = plots.plot_prediction(said, measured=box(said))
    found = faults(figure)
    if case == "over twenty decades":  # the axis has six
        assert all(": " in text for text in found)
    else:
        assert found == []
    upper, lower = np.reshape(figure.axes, (2, 3))
    assert (upper[0].get_yscale() == "log") == (case != "xi below 0")
    if case == "no doubt":
        assert "epistemic is 0" in lines(lower[0])
    if case == "mean 0":
        assert "mean is 0" in lower[1].get_ylabel()
        np.testing.assert_allclose(lines(lower[1])["aleatoric"].get_ydata(), said.omega.aleatoric)
    if case == "one bin":  # a band over the bin
        path = upper[1].collections[0].get_paths()[0]
        assert np.ptp(path.vertices[:, 0]) == pytest.approx(np.ptp(said.edges))


def test_measured_values_with_errors_and_below_zero():
    said = prediction()
    xi = np.array(said.xi.mean, dtype=float)
    xi[-2:] *= -1.3
    xi[0] = np.nan
    measured = box(said, xi=xi, npairs=np.ones(xi.size, dtype=int))
    errors = {name: 0.2 * np.abs(getattr(measured, name)) for name in STATISTICS}
    sigma = np.concatenate([errors[name] for name in measured.statistics])
    object.__setattr__(measured, "covariance", np.diag(sigma**2))
    ax = plots.plot_prediction(said, measured=measured).axes[0]
    bars = {c.get_label(): c for c in ax.containers}
    above, below = bars["one simulated box"], bars["one simulated box, negative"]
    np.testing.assert_allclose(above.lines[0].get_ydata(), xi[1:-2])
    np.testing.assert_allclose(below.lines[0].get_ydata(), -xi[-2:])
    assert below.lines[0].get_markerfacecolor() == "white"
    heights = [0.5 * np.ptp(np.array(s)[:, 1]) for s in above.lines[2][0].get_segments()]
    np.testing.assert_allclose(heights, errors["xi"][1:-2])
    low, high = ax.get_ylim()
    assert low < np.nanmin(np.abs(xi))
    assert np.nanmax(np.abs(xi)) < high
    assert {"one simulated box", "one simulated box, negative", "emulator"} <= {
        text.get_text() for text in ax.get_legend().get_texts()
    }


# ---------------------------------------------------------------------- learning curves
EPOCH = np.arange(60)


def record(best=40, epochs=60, **curves):
    made = {
        "loss": 50 * np.exp(-EPOCH / 4) + 1, "score": 40 * np.exp(-EPOCH / 4) + 0.9,
        "mse": np.exp(-EPOCH / 10) + 0.1, "nll": np.exp(-EPOCH / 10) - 0.6,
        "error_xi": 0.3 * np.exp(-EPOCH / 9) + 0.02,
        "error_omega": np.r_[[np.nan] * 5, np.full(55, 0.05)], "error_eta": np.full(60, 0.4),
    } | curves  # fmt: skip
    curves_ = {k: [None if x != x else x for x in v[:epochs]] for k, v in made.items()}
    return {"kind": "response", "epochs_run": epochs, "best_epoch": best, "curves": curves_}


def test_losses_are_logarithmic_where_they_can_be():
    figure = plots.plot_learning_curves(record())
    assert [ax.get_yscale() for ax in figure.axes] == ["log", "log", "linear", "log"]
    nll = lines(figure.axes[2])["validation"].get_ydata()
    assert nll.min() < 0
    low, high = figure.axes[2].get_ylim()
    assert low < nll.min() < nll.max() < high


@pytest.mark.parametrize("start", [1e3, 1e7])
def test_a_likelihood_that_falls_over_decades_and_below_zero(start):
    values = start * np.exp(-EPOCH) - 1.2
    figure = plots.plot_learning_curves(record(nll=values, loss=values, score=values))
    for ax in (figure.axes[0], figure.axes[2]):
        assert ax.get_yscale() == "symlog"
        # The end, where the epoch is chosen, is in the linear part.
        assert ax.yaxis.get_transform().linthresh > 1.2
    assert figure.axes[1].get_yscale() == "log"
    assert faults(figure) == []


@pytest.mark.parametrize("best", [1, 17, 60])
def test_the_epoch_that_was_kept_is_marked(best):
    made = record(best)
    figure = plots.plot_learning_curves(made)
    for ax, name in zip(figure.axes, ("loss", "mse", "nll", "error_xi"), strict=True):
        assert lines(ax)[f"kept: epoch {best}"].get_xdata()[0] == best
        dots = [line for line in ax.lines if line.get_marker() == "o"]
        assert float(dots[0].get_xdata()[0]) == best
        assert float(dots[0].get_ydata()[0]) == made["curves"][name][best - 1]


@pytest.mark.filterwarnings("error::UserWarning", "error::RuntimeWarning")
@pytest.mark.parametrize("epochs", [1, 2, 60])
def test_few_epochs_are_seen(epochs):
    figure = plots.plot_learning_curves(record(1, epochs))
    assert faults(figure) == []
    for ax in figure.axes:
        (line, *_) = ax.lines
        assert line.get_marker() == ("." if epochs < 30 else "None")


def test_training_without_curves_is_refused():
    for made in ({}, {"curves": {}}, {"curves": {"loss": [None, None]}}):
        with pytest.raises(ValueError, match="no learning curves"):
            plots.plot_learning_curves({**record(), **made, "curves": made.get("curves")})


# ---------------------------------------------------------------------- evaluation
def evaluation(*, doubt=0.3, xi_sign=1.0):
    """All that the figures look at of an evaluation."""
    rng = np.random.default_rng(1)
    r = np.geomspace(0.15, 10, 6)
    made = {}
    for name, scale in zip(STATISTICS, (10.0, 0.03, 0.004), strict=True):
        true = scale * (r**-0.7) * np.exp(0.4 * rng.normal(size=(80, 6)))
        if name == "xi":
            true[:3, -1] *= xi_sign
        spread = 0.1 * np.abs(true)
        per_bin = {
            key: np.linspace(0.6, 0.95, 6)
            for key in ("coverage_1", "coverage_2", "coverage_total_1", "coverage_total_2")
        }
        accuracy = SimpleNamespace(
            fractional=0.03, spearman=0.99, nrmse=0.1, per_bin={"fractional": np.full(6, 0.03)}
        )
        made[name] = SimpleNamespace(
            name=name, true=true, mean=true * (1 + 0.03 * rng.normal(size=true.shape)),
            counts=np.abs(true) > 0.01, empirical=spread * rng.uniform(0.8, 1.2, true.shape),
            sigma=spread, sigma_epistemic=doubt * spread, accuracy=accuracy,
            accuracy_expected=None,
            calibration=SimpleNamespace(dex=0.01, dex_scatter=0.1, per_bin=per_bin),
        )  # fmt: skip
    return SimpleNamespace(statistics=made, r=r, realizations=10, universes=0)


@pytest.mark.parametrize("options", [{}, {"doubt": 0.0}, {"xi_sign": -1.0}])
@pytest.mark.filterwarnings("error::UserWarning", "error::RuntimeWarning")
def test_figures_of_an_evaluation(options):
    found = evaluation(**options)
    figure = plots.plot_calibration(found)
    bars = [ax for ax in figure.axes if ax.get_label() == "<colorbar>"]
    assert [ax.get_ylabel() for ax in bars] == ["elements in a cell"] * 3
    assert faults(figure) == []
    figure = plots.plot_accuracy(found)
    assert faults(figure) == []
    assert figure.axes[0].get_xscale() == ("symlog" if "xi_sign" in options else "log")
    figure = plots.plot_uncertainties(found)
    assert faults(figure) == []
    said = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert ("epistemic is 0" in said) == ("doubt" in options)
