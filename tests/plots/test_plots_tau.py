"""Figures of tau statistics and leakage hold the right data; how they look is judged by eye."""

from __future__ import annotations

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from helpers.leakage_mocks import BINS, drawn, noise  # noqa: E402
from pysoftcorr import fit_leakage, plots  # noqa: E402
from pysoftcorr.sky.result import CorrelationSet  # noqa: E402


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def result():
    return drawn(np.random.default_rng(1), [0.05, 1, 1], noise(60, 30))


def test_tau_times_separation_with_the_fit(result):
    found = fit_leakage(result, theta_min=2)
    axes = plots.plot_tau(found).axes
    assert [ax.get_title() for ax in axes] == [r"$\tau_0$", r"$\tau_2$", r"$\tau_5$"]
    for ax, name in zip(axes, ("tau0", "tau2", "tau5"), strict=True):
        assert ax.get_xscale() == "log"
        points = {c.get_label(): c.lines[0].get_xydata() for c in ax.containers}
        assert len(points["not fitted"]) == 1
        want = BINS.centers * result[name].value
        np.testing.assert_allclose(points["data"][:, 1], want[1:])
        lines = {line.get_label(): line.get_ydata() for line in ax.lines}
        np.testing.assert_allclose(lines["best fit"], BINS.centers * found.model()[name])
        parts = sum(y for label, y in lines.items() if label.endswith("part"))
        np.testing.assert_allclose(parts, lines["best fit"])


def test_tau_without_a_fit(result):
    axes = plots.plot_tau(result).axes
    assert len(axes) == 3
    assert not any(line.get_label() == "best fit" for ax in axes for line in ax.lines)
    bar = axes[1].containers[0].lines[2][0].get_segments()[2]
    want = BINS.centers[2] * result.tau2.sigma[2]
    np.testing.assert_allclose(0.5 * (bar[1][1] - bar[0][1]), want)
    with pytest.raises(TypeError, match="must be a CorrelationSet or a Leakage"):
        plots.plot_tau(3)
    with pytest.raises(ValueError, match="no tau statistics, but rho0"):
        plots.plot_tau(CorrelationSet([result.rho0]))


@pytest.mark.parametrize("terms", [("alpha",), ("alpha", "eta"), ("alpha", "beta", "eta")])
@pytest.mark.parametrize("n_samples", [0, 150])
def test_contours_of_the_parameters(result, terms, n_samples):
    pytest.importorskip("corner")
    found = fit_leakage(result, terms=terms, n_samples=n_samples, seed=1)
    figure = plots.plot_leakage(found, truth={"alpha": 0.05})
    k = len(terms)
    assert len(figure.axes) == k * k
    for place, (value, error) in enumerate(zip(found.values, found.errors, strict=True)):
        low, high = figure.axes[place * (k + 1)].get_xlim()
        assert low < value - error < value + error < high


def test_contamination_beside_xi(result):
    found = fit_leakage(result)
    ax = plots.plot_contamination(found, xip=result.rho0)
    assert ax.get_yscale() == "log"
    drawn_ = {c.get_label(): c.lines[0].get_ydata() for c in ax.containers}
    assert set(drawn_) >= {r"$\xi_+$", r"$\xi_+^\mathrm{sys}$"}
    positive = found.xi_sys > 0
    np.testing.assert_allclose(drawn_[r"$\xi_+^\mathrm{sys}$"], found.xi_sys[positive])
    assert found.plot_tau().axes
    assert found.plot().axes
