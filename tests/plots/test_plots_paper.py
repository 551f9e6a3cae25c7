"""Figures for papers: absolute values with signs, requirements, covariances, files."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from astropy.table import Table

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.container import ErrorbarContainer

from pysoftcorr import plots
from pysoftcorr.plots.covariance import coefficients
from pysoftcorr.plots.requirement import curve
from pysoftcorr.sky.binning import Binning
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.result import Correlation, CorrelationSet

BINS = Binning.log(1, 100, 6)


@pytest.fixture(autouse=True)
def _close():
    plt.close("all")
    yield
    plt.close("all")


def made(name="rho1", bins=BINS, n=30, **more):
    rng = np.random.default_rng([*name.encode()])
    value = 1e-6 * np.array([5.0, -4.0, 3.0, np.nan, -2.0, 1.0])[: bins.nbins]
    draws = value + 1e-7 * rng.normal(size=(n, bins.nbins))
    columns = {
        "theta": np.where(np.isfinite(value), bins.centers, np.nan), "logtheta": np.zeros(6),
        "value": value, "imag": np.zeros(6), "npairs": np.ones(6), "weight": np.ones(6),
        "varshot": np.full(6, 1e-14), "epistemic": draws, "aleatoric": 2 * draws,
        "aleatoric_method": "bootstrap",
    }  # fmt: skip
    return Correlation(name=name, bins=bins, **(columns | more))


def rho(**more):
    names = [f"rho{k}" for k in range(1, 6)]
    return CorrelationSet([made(name, **more) for name in names], name="rho")


def points(ax, color):
    """Positive and negative points with errors of a color: (theta, value, error) each."""
    found = {}
    for bars in ax.containers:
        line = bars.lines[0]
        if isinstance(bars, ErrorbarContainer) and line.get_color() == color:
            sign = -1 if line.get_markerfacecolor() == "white" else 1
            heights = [0.5 * (s[1][1] - s[0][1]) for s in bars.lines[2][0].get_segments()]
            found[sign] = line.get_xdata(), line.get_ydata(), np.array(heights)
    return found


# ---------------------------------------------------------------------- the style "paper"
@pytest.mark.parametrize("resamples", [True, False])
def test_paper_has_absolute_values_filled_where_positive(resamples):
    none = {"epistemic": None, "aleatoric": None, "aleatoric_method": None}
    item = made(**({} if resamples else none))
    ax = item.plot(style="paper")
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    found = points(ax, "#0072B2")
    sigma = item.sigma if resamples else item.sigma_shot
    for sign in (1, -1):
        there = np.isfinite(item.value) & (np.sign(item.value) == sign)
        theta, value, error = found[sign]
        np.testing.assert_allclose(value, np.abs(item.value[there]))
        np.testing.assert_allclose(theta, item.theta[there])
        np.testing.assert_allclose(error, sigma[there])
    texts = [t.get_text() for t in ax.get_legend().get_texts()]
    assert texts == [r"$\rho_1$", "negative"]
    low, high = ax.get_ylim()
    assert low < 1e-6
    assert high > 5e-6 + sigma[0]


def test_paper_compares_statistics_in_the_usual_panels():
    figure = rho().plot(style="paper", title="title")
    names = [_texts(ax) for ax in figure.axes]
    assert [n[0] for n in names] == [r"$\rho_1$", r"$\rho_2$"]
    shown = [{t for t in _texts(ax) if t.startswith("$")} for ax in figure.axes]
    assert shown == [{rf"$\rho_{k}$" for k in (1, 3, 4)}, {rf"$\rho_{k}$" for k in (2, 5)}]
    assert figure.get_figwidth() == pytest.approx(3.4)
    others = [
        ("xip", "xim"), ("w",), ("gamma_t",), ("tau0", "tau2", "tau5"), ("rho0", "rho1", "tau0"),
        ("unknown", "w"),
    ]  # fmt: skip
    for names in others:
        drawn = CorrelationSet([made(name) for name in names]).plot(style="paper")
        assert sum(len(ax.containers) for ax in drawn.axes) == 2 * len(names)


def _texts(ax):
    return [t.get_text() for t in ax.get_legend().get_texts()]


def test_points_of_one_panel_do_not_cover_one_another():
    ax = rho().plot(style="paper").axes[0]
    at = [points(ax, color)[1][0][0] for color in ("#0072B2", "#D55E00", "#009E73")]
    assert np.all(np.diff(at) > 0.05 * at[0])
    assert max(at) / min(at) < BINS.edges[1] / BINS.edges[0]


def test_all_pairs_stand_beside_with_their_signs():
    naive = rho(value=1e-6 * np.array([3.0, 4.0, -3.0, 1.0, np.nan, 0.5]))
    both = rho().with_all_pairs(naive)
    for ax in both.plot(style="paper").axes:
        assert "all pairs" in _texts(ax)
    ax = both.rho1.plot(style="paper")
    small = [ln for ln in ax.lines if ln.get_marker() == "d" and len(ln.get_xdata())]
    assert sorted(np.concatenate([ln.get_ydata() for ln in small])) == pytest.approx(
        sorted(np.abs(naive.rho1.value[np.isfinite(naive.rho1.value)]))
    )
    (negative,) = [ln for ln in small if ln.get_markerfacecolor() == "white"]
    np.testing.assert_allclose(negative.get_ydata(), [3e-6])
    plain = both.rho1.plot()
    (line,) = [ln for ln in plain.lines if "all pairs" in str(ln.get_label())]
    good = np.isfinite(naive.rho1.value)
    np.testing.assert_allclose(line.get_ydata(), naive.rho1.value[good])
    # To the right of both points with errors, in the same bin.
    assert np.all(line.get_xdata() > BINS.centers[good])
    assert np.all(line.get_xdata() < BINS.edges[1:][good])
    assert "all pairs" in [t.get_text() for t in both.plot().axes[-1].get_legend().get_texts()]


def test_values_below_zero_by_errors_and_zeros_do_not_break_the_axes():
    for value in (np.zeros(6), np.full(6, np.nan), np.array([0, 0, 1e-9, 1e-3, -1e-12, np.nan])):
        figure = made(value=value).plot(style="paper").figure
        figure.canvas.draw()
        low, high = figure.axes[0].get_ylim()
        assert 0 < low < high
    linear = made(bins=Binning.linear(0, 60, 6)).plot(style="paper")
    assert linear.get_xlim()[0] > 0


def test_what_paper_has_not_is_refused():
    with pytest.raises(ValueError, match="style = 'poster': must be one of default, paper"):
        made().plot(style="poster")
    with pytest.raises(ValueError, match="color: must be left out with style = 'paper'"):
        made().plot(style="paper", color="k")
    with pytest.raises(ValueError, match="naive: must be left out"):
        rho().plot(style="paper", naive=rho())


# ---------------------------------------------------------------------- requirements
TABLE = np.array([[100.0, 1e-6], [1.0, 1e-5]])


@pytest.mark.parametrize(
    ("given", "theta", "values"),
    [
        (2e-6, [1, 100], [2e-6, 2e-6]),
        (np.float32(2), [1, 100], [2, 2]),
        (np.arange(1.0, 7.0), BINS.centers, np.arange(1.0, 7.0)),
        (list(range(1, 7)), BINS.centers, np.arange(1.0, 7.0)),
        (TABLE, [1, 100], [1e-5, 1e-6]),
        (TABLE.tolist(), [1, 100], [1e-5, 1e-6]),
        (Table(TABLE, names=["theta", "req"]), [1, 100], [1e-5, 1e-6]),
        (Table(TABLE[:, ::-1], names=["req", "theta"]), [1, 100], [1e-5, 1e-6]),
        ({"theta": TABLE[:, 0], "req": TABLE[:, 1]}, [1, 100], [1e-5, 1e-6]),
        ({"rho1": 3.0, "rho2": 4.0}, [1, 100], [3, 3]),
    ],
)
def test_requirements_of_every_form(given, theta, values):
    item = made(theta=BINS.centers)
    got = curve(given, item)
    np.testing.assert_allclose(got[0], theta)
    np.testing.assert_allclose(got[1], values)
    for style in ("paper", "default"):
        assert "allowed" in _texts(item.plot(style=style, requirement=given))


def test_requirements_of_pandas_and_callables():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"r": TABLE[:, 0], "limit": TABLE[:, 1]})
    np.testing.assert_allclose(curve(frame, made())[1], [1e-5, 1e-6])
    theta, values = curve(lambda t: 2 / t, made())
    np.testing.assert_allclose(values, 2 / theta)
    assert (theta[0], theta[-1]) == pytest.approx((1, 100))
    np.testing.assert_allclose(curve(lambda t: 3.0, made())[1], 3)
    assert curve({"rho2": 1.0}, made()) is None
    assert curve(None, made()) is None


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ("low", TypeError, "requirement = 'low': must be a callable"),
        (-1.0, ValueError, "requirement of rho1: must be positive and finite, not -1"),
        (lambda t: 0 * t, ValueError, "must be positive and finite, not 0"),
        ([1.0, 2.0], ValueError, "requirement: 2 values; must be 6, one a bin"),
        (np.ones((3, 3)), ValueError, r"requirement has shape \(3, 3\)"),
        (Table({"theta": [1.0]}), ValueError, "must have a column of separations"),
    ],
)
def test_requirements_that_cannot_be(given, kind, message):
    with pytest.raises(kind, match=message):
        made().plot(style="paper", requirement=given)


def test_a_band_for_all_or_a_line_for_each():
    band = rho().plot(style="paper", requirement=1e-6).axes[0]
    assert len(band.collections) - 2 * 3 >= 1
    dashed = [ln for ln in band.lines if ln.get_linestyle() == "--"]
    assert len(dashed) == 1
    assert band.get_ylim()[0] < 1e-6
    each = {f"rho{k}": k * 1e-8 for k in range(1, 6)}
    ax = rho().plot(style="paper", requirement=each).axes[0]
    dashed = [ln for ln in ax.lines if ln.get_linestyle() == "--"]
    assert [ln.get_ydata()[0] for ln in dashed] == pytest.approx([1e-8, 3e-8, 4e-8])
    assert [ln.get_color() for ln in dashed] == ["#0072B2", "#D55E00", "#009E73"]


# ---------------------------------------------------------------------- covariances
@pytest.mark.parametrize("which", ["total", "aleatoric", "epistemic"])
def test_covariance_has_a_block_for_every_pair(which):
    result = rho()
    joint = result.covariance(which)
    figure = result.plot_covariance(which=which)
    ax = figure.axes[0]
    image = ax.images[0].get_array()
    sigma = np.sqrt(np.diag(joint))
    np.testing.assert_allclose(image.filled(np.nan), joint / np.outer(sigma, sigma), atol=1e-12)
    assert [t.get_text() for t in ax.get_xticklabels()] == [rf"$\rho_{k}$" for k in range(1, 6)]
    np.testing.assert_allclose(ax.get_xticks(), 6 * np.arange(5) + 2.5)
    assert ax.images[0].norm.vmin == -1
    assert ("aleatoric (30 bootstrap)" in ax.get_title()) == (which != "epistemic")
    assert ("epistemic (30 assignments)" in ax.get_title()) == (which != "aleatoric")
    whole = result.plot_covariance(which=which, correlation=False).axes[0].images[0].get_array()
    np.testing.assert_array_equal(whole.filled(np.nan), joint)


def test_covariance_of_a_single_statistic_and_of_none():
    item = made()
    ax = item.plot_covariance().axes[0]
    assert "arcmin" in ax.get_xlabel()
    assert len(ax.lines) == 0
    with pytest.raises(ValueError, match="which = 'shot': must be one of total"):
        item.plot_covariance(which="shot")
    bare = made(epistemic=None, aleatoric=None, aleatoric_method=None)
    with pytest.raises(ValueError, match="no resamples, hence no covariance"):
        bare.plot_covariance()
    flat = coefficients(np.array([[4.0, 2.0, 0.0], [2.0, 9.0, 0.0], [0.0, 0.0, 0.0]]))
    np.testing.assert_allclose(flat[:2, :2], [[1, 1 / 3], [1 / 3, 1]])
    assert np.isnan(flat[2]).all()


# ---------------------------------------------------------------------- files
def test_width_of_a_column_is_kept_in_every_format(tmp_path):
    for suffix in (".png", ".pdf", ".svg"):
        figure = rho().plot(style="paper", requirement=1e-6)
        path = plots.save_figure(figure, tmp_path / f"f{suffix}")
        data = path.read_bytes()
        if suffix == ".png":
            assert int.from_bytes(data[16:20], "big") == pytest.approx(3.4 * 300, abs=1)
        elif suffix == ".svg":
            assert b'width="244.8pt"' in data
        else:
            assert b"244.8" in data
            assert b"Type3" not in data
    again = made().plot(style="paper").figure
    data = plots.save_figure(again, tmp_path / "one.png", dpi=100).read_bytes()
    assert int.from_bytes(data[16:20], "big") == pytest.approx(340, abs=1)


@pytest.mark.parametrize("name", ["figure", "figure.xyz", ".pdf", "figure.png.gz"])
def test_suffixes_that_are_no_figure(tmp_path, name):
    with pytest.raises(ValueError, match=r"unknown suffix; use .*\.pdf, .*\.png"):
        plots.save_figure(rho().plot(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------- shown once
def test_a_figure_that_is_returned_is_not_shown_by_pyplot_too():
    for draw in (
        lambda: rho().plot(), lambda: rho().plot(style="paper"), lambda: rho().plot_covariance(),
        lambda: made().plot_covariance(),
    ):  # fmt: skip
        figure = draw()
        assert plt.get_fignums() == []
        figure.canvas.draw()
    # Axes are shown by pyplot alone.
    ax = made().plot()
    assert plt.get_fignums() == [ax.figure.number]
    # Another figure of the reader's stays the current one.
    own = plt.figure()
    rho().plot()
    assert plt.gcf() is own


def test_windows_stay_with_pyplot(monkeypatch):
    from matplotlib.backend_bases import FigureManagerBase
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    class Manager(FigureManagerBase):
        """As one of a window is: not the base itself."""

    monkeypatch.setattr(FigureCanvasAgg, "manager_class", Manager)
    figure = rho().plot()
    assert plt.get_fignums() == [figure.number]


def test_every_plot_makes_its_figures_by_the_one_mechanism():
    folder = Path(inspect.getfile(plots)).parent
    for path in folder.rglob("*.py"):
        if path.name in ("figures.py", "sky.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                called = f"{node.value.id}.{node.attr}"
                assert called not in ("plt.subplots", "plt.figure", "pyplot.subplots",
                                      "pyplot.figure"), f"{path.name}: {called}"  # fmt: skip


def test_catalogs_are_shown_escaped():
    page = Catalog(ra=[1.0, 2.0], dec=[0.0, 1.0], name="<b>&")._repr_html_()
    assert "&lt;b&gt;&amp;" in page
    assert "<b>" not in page
    assert "2 objects" in page
