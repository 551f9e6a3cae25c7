"""Corner plots: every posterior whole, contours and medians that say what they are."""

from __future__ import annotations

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
pytest.importorskip("corner")
pytest.importorskip("torch")
import matplotlib.pyplot as plt  # noqa: E402

from pysoftcorr import plots  # noqa: E402
from pysoftcorr.inference import Posterior  # noqa: E402
from pysoftcorr.plots.corner import interval, span  # noqa: E402

NAMES = ("mu_cen", "mu_sat")
UNIFORM = {name: {"kind": "uniform", "low": -1.0, "high": 1.0} for name in NAMES}


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def posterior(draws, names=NAMES, priors=UNIFORM, fixed=None):
    settings = {"sampler": "NUTS (pyro)", "seconds": 1.0}
    return Posterior(
        names=tuple(names), draws=np.asarray(draws, dtype=float), stats={}, settings=settings,
        priors=priors, fixed=fixed or {},
    )  # fmt: skip


def normal(mean, sd, seed=1, n=3000, **more):
    rng = np.random.default_rng(seed)
    return posterior(rng.normal(mean, sd, size=(2, n, len(mean))), **more)


@pytest.fixture(scope="module")
def wide():
    return normal([0.1, -0.2], [0.2, 0.25])


@pytest.fixture(scope="module")
def narrow():
    return normal([0.3, 0.1], [0.01, 0.02], seed=2)


def histograms(ax):
    return [line for line in ax.lines if len(line.get_xdata()) > 2]


def contours(ax):
    """Lines of contours, a collection for each posterior."""
    return ax.collections[1::2]


def test_the_first_posterior_does_not_set_the_scale_of_the_next(wide, narrow):
    for order in (("wide", "narrow"), ("narrow", "wide")):
        every = {"wide": wide, "narrow": narrow}
        figure = plots.plot_corner({name: every[name] for name in order})
        for k in (0, 3):
            ax = figure.axes[k]
            low, high = ax.get_ylim()
            tops = [line.get_ydata().max() for line in histograms(ax)]
            assert len(tops) == 2
            assert all(low < top < high for top in tops)


def test_limits_hold_every_posterior_and_are_those_of_the_column(wide, narrow):
    figure = plots.plot_corner({"narrow": narrow, "wide": wide})
    top, _, pair, right = figure.axes
    assert pair.get_xlim() == top.get_xlim()
    assert pair.get_ylim() == right.get_xlim()
    for found in (wide, narrow):
        for limits, draws in zip((top.get_xlim(), right.get_xlim()), found.flat.T, strict=True):
            assert limits[0] <= draws.min()
            assert draws.max() <= limits[1]


def test_a_narrow_posterior_keeps_its_width_beside_a_wide_one(wide, narrow):
    figure = plots.plot_corner({"wide": wide, "narrow": narrow})
    line = histograms(figure.axes[0])[1]
    x, y = line.get_data()
    mean = np.average(x, weights=y)
    found = np.sqrt(np.average((x - mean) ** 2, weights=y))
    # Smoothed over 2.1 cells of a sixtieth of 8 sigma: wider by 4 %.
    assert found == pytest.approx(narrow.flat[:, 0].std(), rel=0.08)
    (pair,) = [ax for ax in figure.axes if ax.get_xlabel() and ax.get_ylabel()]
    outer = max(contours(pair)[1].get_paths(), key=len)
    width = np.ptp(outer.vertices[:, 0])
    assert width < 9 * narrow.flat[:, 0].std()


@pytest.mark.parametrize("bound", ["prior", "parameter", "one side"])
def test_density_is_not_smoothed_over_a_bound(bound):
    """Flat up to 1: half the height at the edge, if it were smoothed over."""
    rng = np.random.default_rng(4)
    names, priors = NAMES, UNIFORM
    if bound == "parameter":
        priors = {}
    elif bound == "one side":
        names, priors = ("a", "b"), {"a": {"low": None, "high": 1.0}, "b": {"high": 1.0}}
    flat = posterior(rng.uniform(0, 1, size=(2, 20000, 2)), names, priors)
    figure = plots.plot_corner(flat)
    ax = figure.axes[0]
    assert ax.get_xlim()[1] == 1.0
    x, y = histograms(ax)[0].get_data()
    inside = (x > 0.2) & (y > 0)
    assert y[inside].min() > 0.8
    assert x.max() == 1.0


def test_contours_of_another_prior_end_at_it():
    """A posterior that fills its prior, beside one that is wider."""
    rng = np.random.default_rng(5)
    small = {name: {"low": -0.5, "high": 0.5} for name in NAMES}
    inner = posterior(rng.uniform(-0.5, 0.5, size=(2, 5000, 2)), priors=small)
    figure = plots.plot_corner({"all": normal([0.0, 0.0], [0.25, 0.25]), "inner": inner})
    pair = figure.axes[2]
    figure.canvas.draw()
    for drawn in pair.collections[2:]:
        box = pair.transData.inverted().transform_bbox(drawn.clipbox or drawn.get_clip_box())
        assert box.x0 == pytest.approx(-0.5)
        assert box.y1 == pytest.approx(0.5)
    x, y = histograms(figure.axes[0])[1].get_data()
    assert (x[0], x[-1]) == (-0.5, 0.5)
    assert y[1] > 0.6


def test_medians_of_every_posterior_stand_above_in_its_color(wide, narrow):
    figure = plots.plot_corner({"wide": wide, "narrow": narrow})
    for k, ax in enumerate((figure.axes[0], figure.axes[3])):
        said = [ax.get_title(), *(text.get_text() for text in ax.texts)]
        assert len(said) == 2
        for text, found in zip(said, (wide, narrow), strict=True):
            assert interval(found.flat[:, k]) in text
        assert ax.texts[0].get_color() == histograms(ax)[1].get_color()
    dots = [line.get_data() for line in figure.axes[2].lines if line.get_marker() == "o"]
    for (x, y), found in zip(dots, (wide, narrow), strict=True):
        assert [float(x[0]), float(y[0])] == pytest.approx(np.median(found.flat, axis=0).tolist())


@pytest.mark.parametrize(
    ("scale", "shift", "text"),
    [
        (1.0, 0.0, r"$0.0_{-1.0}^{+1.0}$"),
        (1e-9, 1e-8, r"$(1.00_{-0.10}^{+0.10}) \times 10^{-8}$"),
        (0.01, 12.5, r"$12.500_{-0.010}^{+0.010}$"), (3.0, 1234567.0, r"$1234567.0_{-3.0}^{+3.0}$"),
        (2e12, 3e13, r"$(3.00_{-0.20}^{+0.20}) \times 10^{13}$"),
        (0.0, 0.3, r"$0.30_{-0.00}^{+0.00}$"),
    ],
)  # fmt: skip
def test_digits_of_an_interval_follow_its_error(scale, shift, text):
    unit = np.array([-1.0, 0.0, 1.0])
    draws = np.interp(np.linspace(0, 1, 101), [0.16, 0.5, 0.84], unit)
    assert interval(shift + scale * draws) == text


@pytest.mark.parametrize("levels", [(0.393, 0.865), (0.68, 0.95), (0.95, 0.68, 0.5)])
def test_the_legend_says_what_contours_hold(wide, levels):
    figure = plots.plot_corner(wide, levels=levels)
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    want = [f"{100 * level:.4g} % of 2-D mass" for level in sorted(levels, reverse=True)]
    assert said[: len(levels)] == want
    paths = [p for p in contours(figure.axes[2])[0].get_paths() if len(p)]
    for path, level in zip(paths, sorted(levels, reverse=True), strict=True):
        assert path.contains_points(wide.flat).mean() == pytest.approx(level, abs=0.03)


def test_truth_is_seen_wherever_it_is(wide):
    figure = plots.plot_corner(wide, truth={"mu_cen": -3.0, "mu_sat": 0.0})
    top, _, pair, _ = figure.axes
    for ax in (top, pair):
        low, high = ax.get_xlim()
        assert low < -3.0 < wide.flat[:, 0].max() <= high
    (across,) = [line for line in pair.lines if list(line.get_xdata()) == [-3.0, -3.0]]
    assert across.get_linestyle() == ":"
    assert "truth" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_truth_of_what_is_no_parameter_is_refused(wide):
    with pytest.raises(ValueError, match=r"truth: mu_cenn: must be among .*mu_cen, mu_sat"):
        plots.plot_corner(wide, truth={"mu_cenn": 0.1})
    with pytest.raises(ValueError, match="truth of mu_cen = nan"):
        plots.plot_corner(wide, truth={"mu_cen": np.nan})
    # Of a parameter that is fixed, or not drawn, it may be given.
    fixed = posterior(wide.draws, fixed={"alpha": 1.0})
    plots.plot_corner(fixed, truth={"alpha": 1.0, "mu_sat": 0.1}, names=["mu_cen"])


def test_draws_that_are_not_finite_are_refused(wide):
    draws = wide.draws.copy()
    draws[0, :3, 1] = np.inf
    with pytest.raises(ValueError, match=r"posteriors: bad: 3 of 6000 draws are not finite"):
        plots.plot_corner({"good": wide, "bad": posterior(draws)})


def test_single_draws_far_away_do_not_shrink_the_rest():
    draws = np.random.default_rng(6).normal(size=(1, 4000, 2))
    draws[0, 0] = 1e6
    figure = plots.plot_corner(posterior(draws, ("a", "b"), {}))
    assert figure.axes[0].get_xlim()[1] < 12
    assert "1 draws lie outside" in [t.get_text() for t in figure.legends[0].get_texts()]
    # A second mode far away is part of the posterior.
    draws[0, :400] = 300.0
    assert plots.plot_corner(posterior(draws, ("a", "b"), {})).axes[0].get_xlim()[1] > 300


@pytest.mark.parametrize(
    "draws",
    [
        np.random.default_rng(7).normal(size=(1, 8, 2)),
        np.stack([np.full((2, 50), 0.3), np.linspace(-1, 1, 100).reshape(2, 50)], axis=-1),
        np.zeros((1, 20, 2)),
    ],
    ids=["few", "one constant", "all constant"],
)
def test_few_draws_and_constant_ones(draws):
    figure = plots.plot_corner(posterior(draws))
    figure.canvas.draw()
    low, high = figure.axes[0].get_xlim()
    assert low < draws[..., 0].min()
    assert draws[..., 0].max() < high


def test_one_parameter_of_several_posteriors(wide, narrow):
    figure = plots.plot_corner({"wide": wide, "narrow": narrow}, names=["mu_sat"],
                               truth={"mu_sat": 0.9})  # fmt: skip
    (ax,) = figure.axes
    assert ax.get_xlim()[1] > 0.9
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    assert said == ["wide", "narrow", "median and 68 %", "truth"]


def test_ranges_stop_at_bounds_only_if_the_draws_do():
    inside = np.linspace(-0.99, 0.99, 500)
    assert span("mu_cen", inside, posterior(np.zeros((1, 3, 2)))) == (-1.0, 1.0)
    low, high = span("mu_cen", 2 * inside, posterior(np.zeros((1, 3, 2))))
    assert low < -1.98
    assert high > 1.98


@pytest.mark.parametrize(("parameters", "posteriors"), [(1, 2), (2, 1), (2, 4), (5, 3)])
def test_the_legend_and_the_titles_lie_on_no_panel(parameters, posteriors):
    names = tuple(f"p{k}" for k in range(parameters))
    every = {
        f"posterior number {k}, with a long name": normal(
            [0.1 * k] * parameters, [0.1] * parameters, seed=k, n=400, names=names, priors={}
        )
        for k in range(posteriors)
    }
    figure = plots.plot_corner(every, truth=dict.fromkeys(names, 0.0))
    figure.canvas.draw()
    (legend,) = figure.legends
    said = [legend.get_window_extent()]
    panels = []
    for k, ax in enumerate(figure.axes):
        row, column = divmod(k, parameters)
        if column <= row:
            panels.append(ax.get_window_extent())
        if column == row:
            said += [ax.title.get_window_extent(), *(t.get_window_extent() for t in ax.texts)]
    for i, text in enumerate(said):
        assert not any(text.overlaps(panel) for panel in panels)
        assert not any(text.overlaps(other) for other in said[:i])
