"""Every figure of ordinary, single, missing, negative and far-ranging values keeps to the rules.

The rules are those of `helpers.figures`: points lie within the limits, labels of ticks do not
overlap, colors that hold numbers have a color bar, axes have names.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

mpl = pytest.importorskip("matplotlib")
mpl.use("Agg")
pytest.importorskip("torch")
import matplotlib.pyplot as plt  # noqa: E402

from helpers.figures import faults, outside, overlaps, unexplained  # noqa: E402
from helpers.leakage_mocks import drawn, noise  # noqa: E402
from pysoftcorr import fit_leakage, plots  # noqa: E402
from pysoftcorr.diffhod.compare import PowerComparison  # noqa: E402
from pysoftcorr.sky.binning import Binning  # noqa: E402
from pysoftcorr.sky.catalog import Catalog  # noqa: E402
from pysoftcorr.sky.clustering import Clustering, SoftClustering  # noqa: E402
from pysoftcorr.sky.result import Correlation, CorrelationSet  # noqa: E402

HOD = (12.0, 0.3, 12.0, 13.0, 1.0)
LINEAR = Binning.linear(0, 60, 2)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def correlation(name="xip", bins=None, scale=1e-4, seed=1, sign=1.0):
    """A power law with both errors; beyond the middle of the bins of another sign."""
    bins = Binning.log(1, 100, 8) if bins is None else bins
    rng, n = np.random.default_rng(seed), bins.nbins
    value = scale / bins.centers * np.where(np.arange(n) < (n + 1) // 2, 1.0, sign)
    noise_ = 0.2 * np.abs(value) * rng.normal(size=(2, 30, n))
    return Correlation(
        name=name, bins=bins, theta=bins.centers, logtheta=np.log(bins.centers), value=value,
        imag=0 * value, npairs=np.ones(n), weight=np.ones(n), varshot=1e-3 * value**2,
        epistemic=value + noise_[0], aleatoric=value + noise_[1], aleatoric_method="bootstrap",
    )  # fmt: skip


def empty(name="xip"):
    item, n = correlation(name), 8
    return item.__class__(
        name=name, bins=item.bins, theta=np.full(n, np.nan), logtheta=np.full(n, np.nan),
        value=np.full(n, np.nan), imag=np.zeros(n), npairs=np.zeros(n), weight=np.zeros(n),
        varshot=np.full(n, np.nan),
    )  # fmt: skip


def clustering(start=0.0, n=30, c=4, seed=2):
    rng = np.random.default_rng(seed)
    shares = rng.random((n, c)) ** 4
    catalog = Catalog(
        ra=(start + rng.uniform(-0.5, 0.5, n)) % 360, dec=rng.uniform(-0.5, 0.5, n),
        g1=0.1 * rng.normal(size=n), g2=0.1 * rng.normal(size=n),
    )  # fmt: skip
    centers = Catalog(ra=(start + rng.uniform(-0.4, 0.4, c)) % 360, dec=rng.uniform(-0.4, 0.4, c))
    fit = Clustering(
        options=SoftClustering(n_clusters=c, seed=1), centers=centers.xyz, objective=np.ones(1),
        memberships=shares / shares.sum(axis=1, keepdims=True), change=np.zeros(1), converged=True,
    )  # fmt: skip
    return catalog, fit


def power(k, pull=0.0, rows=12):
    rng = np.random.default_rng(3)
    base = 1e4 * k**-1.5
    exact = base * (1 + 0.05 * rng.normal(size=(rows, k.size)))
    slopes = base * rng.normal(1, 0.1, size=(rows, 5, k.size))
    other = slopes + base * (0.02 * rng.normal(size=slopes.shape) + pull)
    return PowerComparison(k, exact, exact * (1 + 0.01 * rng.normal(size=exact.shape)), slopes,
                           other, 0.1)  # fmt: skip


def gradient(rows):
    catalog, _ = clustering(10.0)
    values = 1e-3 * np.random.default_rng(4).normal(size=(2, len(catalog)))
    values[0] *= rows
    return plots.plot_gradient_arrows(catalog, values, values[:, ::-1], LINEAR,
                                      centers=([10.2], [0.1]))  # fmt: skip


def leakage(draw):
    result = drawn(np.random.default_rng(1), [0.05, 1, 1], noise(60, 30))
    return draw(fit_leakage(result, theta_min=2, n_samples=300, seed=1), result)


def minimization(loss):
    steps = np.arange(loss.size)
    trace = np.stack([0.8 - np.exp(-steps / 20), 12 + np.exp(-steps / 30)], axis=1)
    return plots.plot_minimization(SimpleNamespace(
        names=("mu_cen", "logMmin"), trace=trace, loss=loss, settings={"objective": "chi2"}
    ))  # fmt: skip


K = np.geomspace(0.05, 1, 7)
G = np.linspace(0.9, 1.1, 9)
XI = np.stack([G**2, -G], axis=1)
FALL = np.exp(-np.arange(100) / 8)
ONE = Binning.log(1, 2, 1)
FIGURES = {
    "correlation": lambda: correlation().plot(),
    "one bin": lambda: correlation(bins=ONE).plot(),
    "no value": lambda: empty().plot(),
    "large values, from 0": lambda: correlation(bins=Binning.linear(0, 50, 5), scale=1e9).plot(),
    "eight decades of separation": lambda: correlation(bins=Binning.log(1e-4, 1e4, 9)).plot(),
    "narrow bins": lambda: correlation(bins=Binning.log(10, 10.5, 3)).plot(),
    "paper": lambda: correlation(sign=-1.0).plot(style="paper", requirement=1e-6),
    "paper, one bin": lambda: correlation(bins=ONE).plot(style="paper"),
    "paper, no value": lambda: empty().plot(style="paper"),
    "set, one without value": lambda: plots.plot_correlation_set(
        CorrelationSet([correlation("rho1"), empty("rho2"), correlation("rho3", scale=1e-9)])
    ),
    "covariance": lambda: correlation().plot_covariance(),
    "covariance over decades": lambda: plots.plot_covariance(
        CorrelationSet([correlation("rho1"), correlation("rho2", scale=1e-8)]), correlation=False
    ),
    "covariance of one bin": lambda: correlation(bins=ONE).plot_covariance(correlation=False),
    "centers": lambda: plots.plot_centers(*clustering()),
    "memberships": lambda: plots.plot_memberships(clustering()[1]),
    "histograms": lambda: plots.plot_membership_histograms(clustering()[1]),
    "crossing": lambda: plots.plot_pair_crossing(*clustering(), "linear:0:60:6"),
    "crossing, one bin": lambda: plots.plot_pair_crossing(*clustering(), "log:1:60:1"),
    "shapes": lambda: plots.plot_shapes(clustering()[0]),
    "one shape": lambda: plots.plot_shapes(Catalog(ra=[1.0], dec=[2.0], g1=[0.1], g2=[0.0])),
    "shapes in an arcsecond": lambda: plots.plot_shapes(
        Catalog(ra=[150.1234, 150.1236], dec=[2.0, 2.0002], g1=[0.1, 0.0], g2=[0.0, 0.1])
    ),
    "tau": lambda: leakage(lambda fit, _: plots.plot_tau(fit)),
    "leakage": lambda: leakage(lambda fit, _: plots.plot_leakage(fit, truth={"alpha": 0.05})),
    "contamination": lambda: leakage(lambda fit, x: plots.plot_contamination(fit, xip=x.rho0)),
    "bin weights": lambda: plots.plot_bin_weights(LINEAR),
    "xi of G": lambda: plots.plot_xi_of_G([("all", G, XI)], 1.0, XI[4], [2.0, -1.0], LINEAR),
    "xi of one G": lambda: plots.plot_xi_of_G(
        [("one", G[4:5], XI[4:5])], 1.0, XI[4], [2.0, -1.0], LINEAR
    ),
    "arrows": lambda: gradient(1.0),
    "arrows, a bin without": lambda: gradient(np.nan),
    "power": lambda: plots.plot_power_ratio(power(K)),
    "power, one k": lambda: plots.plot_power_ratio(power(K[:1])),
    "derivatives far apart": lambda: plots.plot_power_derivatives(power(K, pull=0.5)),
    "occupation": lambda: plots.plot_occupation(HOD),
    "eight temperatures": lambda: plots.plot_occupation(
        HOD, temperatures=np.linspace(0.1, 0.9, 8)
    ),
    "minimization": lambda: minimization(1e5 * FALL + 3),
    "minimization below 0": lambda: minimization(1e5 * FALL - 30),
    "minimization of one step": lambda: minimization(np.array([2.0])),
}  # fmt: skip


@pytest.mark.parametrize("case", FIGURES)
@pytest.mark.filterwarnings("error::UserWarning", "error::RuntimeWarning")
def test_rules(case):
    if case == "leakage":
        pytest.importorskip("corner")
    made = FIGURES[case]()
    assert faults(made if hasattr(made, "savefig") else made.figure) == []


# ---------------------------------------------------------------------- the rules themselves
def test_the_rules_find_what_breaks_them():
    figure, (left, right) = plt.subplots(1, 2)
    left.plot([1, 2, 30], [1, 2, 3], "o", label="far")
    left.set_xlim(0, 10)
    left.set_xticks([1, 1.01], ["one label", "another"])
    right.errorbar([1, 2], [-1, 2], yerr=0.1, label="negative")
    right.set_yscale("log")
    figure.canvas.draw()
    assert [text.split(":")[0] for text in outside(left)] == ["far"]
    assert "logarithmic" in outside(right)[0]
    assert len(overlaps(left)) == 1
    assert unexplained(figure) == []
    right.scatter([1, 2], [1, 2], c=[3, 4])
    assert unexplained(figure) == ["PathCollection in ''"]
    assert "no axis with a xlabel" in faults(figure)


# ---------------------------------------------------------------------- what figures say
def test_every_temperature_is_drawn_and_every_ratio_seen():
    temperatures = np.linspace(0.1, 0.9, 8)
    axes = np.reshape(plots.plot_occupation(HOD, temperatures=temperatures).axes, (2, 2))
    said = [text.get_text() for text in axes[0, 0].get_legend().get_texts()]
    assert len(said) == 9
    for ax in axes[1]:
        low, high = ax.get_ylim()
        for line in ax.lines:
            values = np.asarray(line.get_ydata(), dtype=float)
            assert np.all((values >= low) & (values <= high))


def test_a_loss_below_zero_and_its_lowest_step_are_seen():
    figure = minimization(1e5 * FALL - 30)
    first = figure.axes[0]
    assert first.get_yscale() == "symlog"
    assert "step 99: -29.58" in first.get_legend().get_texts()[0].get_text()
    assert minimization(1e5 * FALL + 3).axes[0].get_yscale() == "log"
    assert minimization(FALL + 3).axes[0].get_yscale() == "linear"
    # Each parameter on an axis of its own: 0.8 beside 12 would be two flat lines.
    for ax, name in zip(figure.axes[1:3], ("mu", "log M"), strict=True):
        assert name.split()[0] in ax.get_ylabel()
        assert np.ptp(ax.get_ylim()) < 1.3 * np.ptp(ax.lines[0].get_ydata())
