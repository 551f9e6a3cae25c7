"""Figures of posteriors: data in the legend with their errors, bins of every kind, chains."""

from __future__ import annotations

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
pytest.importorskip("torch")
import matplotlib.pyplot as plt  # noqa: E402

from helpers.figures import faults  # noqa: E402
from pysoftcorr import plots  # noqa: E402
from pysoftcorr.inference import Observation, Posterior  # noqa: E402

EDGES = np.geomspace(0.1, 16.0, 7)
R = np.sqrt(EDGES[:-1] * EDGES[1:])
MEANS = {"xi": 30 * R**-1.8, "omega": 0.02 * R**-0.5, "eta": 1e-3 * R**-0.3}


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def posterior(observation, *, statistics=("xi", "omega", "eta"), sizes=MEANS, draws=None):
    rng = np.random.default_rng(1)
    bins, curves = observation.edges.size - 1, {}
    for name in statistics:
        curves[name] = sizes[name][:bins] * (1 + 0.1 * rng.normal(size=(100, 1)))
        curves[f"{name}_std"] = np.full((100, bins), 0.2) * np.abs(sizes[name][:bins])
    return Posterior(
        names=("mu_cen", "mu_sat"),
        draws=rng.normal(0.3, 0.1, size=(2, 200, 2)) if draws is None else draws,
        stats={}, settings={"sampler": "NUTS (pyro)", "seconds": 1.0},
        observation=observation, curves=curves,
    )  # fmt: skip


def data(*names, errors=True, factor=1.1):
    values = {name: factor * MEANS[name] for name in names}
    said = {name: 0.15 * np.abs(v) for name, v in values.items()} if errors else None
    return Observation(EDGES, **values, errors=said)


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


BANDS = {"95 % of the model", "68 % of the model", "median", "with aleatoric scatter"}


@pytest.mark.parametrize("names", [("omega",), ("eta",), ("xi", "omega"), ("xi", "omega", "eta")])
@pytest.mark.parametrize("errors", [True, False])
def test_data_are_in_the_legend_whichever_panel_has_them(names, errors):
    figure = plots.plot_posterior_correlations(posterior(data(*names, errors=errors)))
    label = "data" if errors else "data, errors of the model"
    assert set(legend(figure)) == BANDS | {label}
    assert legend(figure)[0] == label
    for ax, name in zip(figure.axes, MEANS, strict=True):
        bars = {c.get_label(): c for c in ax.containers}
        assert (label in bars) == (name in names)
        if name in names:
            heights = [0.5 * np.ptp(np.array(s)[:, 1])
                       for s in bars[label].lines[2][0].get_segments()]  # fmt: skip
            want = 0.15 * 1.1 * MEANS[name] if errors else 0.2 * MEANS[name]
            np.testing.assert_allclose(heights, want)
    assert faults(figure) == []


def test_bins_that_are_not_used_are_gray():
    seen = data("omega").cut(r_min=0.5, r_max=6.0)
    figure = plots.plot_posterior_correlations(posterior(seen), statistics=["omega"])
    assert {"data", "data, not used"} <= set(legend(figure))
    bars = {c.get_label(): c.lines[0].get_xdata() for c in figure.axes[0].containers}
    used = np.isin(np.arange(6), seen.rows)
    np.testing.assert_allclose(bars["data"], R[used])
    np.testing.assert_allclose(bars["data, not used"], R[~used])


@pytest.mark.parametrize("part", [0.9, 3.0])
def test_xi_below_zero_is_open_on_a_logarithmic_axis(part):
    values = 1.1 * MEANS["xi"]
    values[-2:] *= -1
    seen = Observation(EDGES, xi=values, errors={"xi": part * np.abs(values)})
    figure = plots.plot_posterior_correlations(posterior(seen), statistics=["xi"])
    (ax,) = figure.axes
    assert ax.get_yscale() == "log"
    assert "data, negative" in legend(figure)
    assert faults(figure) == []
    low, high = ax.get_ylim()
    assert low < np.abs(values).min()
    assert np.abs(values).max() < high


@pytest.mark.parametrize(
    "seen",
    [
        Observation(EDGES, omega=np.r_[np.nan, MEANS["omega"][1:]], on_bad="drop"),
        Observation(EDGES[:2], omega=MEANS["omega"][:1], errors={"omega": [1e-3]}),
        Observation(np.r_[0.0, EDGES[1:]], omega=MEANS["omega"]),
        Observation(EDGES, omega=1e3 * MEANS["omega"], errors={"omega": np.full(6, 1e-9)}),
    ],
    ids=["an empty bin", "one bin", "from 0 on", "far away"],
)
@pytest.mark.filterwarnings("error::UserWarning", "error::RuntimeWarning")
def test_bins_of_every_kind(seen):
    figure = plots.plot_posterior_correlations(posterior(seen))
    assert faults(figure) == []


def test_statistics_that_are_none_are_refused():
    with pytest.raises(ValueError, match="statistics: wp not among xi, omega, eta"):
        plots.plot_posterior_correlations(posterior(data("xi")), statistics=["wp"])
    with pytest.raises(ValueError, match="statistics: none not among none"):
        plots.plot_posterior_correlations(posterior(data("xi"), statistics=()))


@pytest.mark.parametrize("shape", [(1, 1, 2), (2, 5, 2), (4, 300, 2), (24, 60, 2)])
@pytest.mark.filterwarnings("error::UserWarning", "error::RuntimeWarning")
def test_traces_of_few_and_of_many_chains(shape):
    draws = np.random.default_rng(2).normal(size=shape)
    made = posterior(data("xi"), draws=draws)
    made.stats["diverging"] = np.zeros(shape[:2], dtype=bool)
    made.stats["diverging"][0, -1] = True
    figure = plots.plot_trace(made)
    assert faults(figure) == []
    assert "divergent" in legend(figure)
    assert ("chain 1" in legend(figure)) == (shape[0] <= 6)
