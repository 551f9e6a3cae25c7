"""Figures drawn into axes that show something already: nothing is clipped, all is told apart."""

from __future__ import annotations

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.quiver import QuiverKey  # noqa: E402

from helpers.figures import faults  # noqa: E402
from helpers.leakage_mocks import drawn, noise  # noqa: E402
from pysoftcorr import fit_leakage, plots  # noqa: E402
from pysoftcorr.sky.binning import Binning  # noqa: E402
from pysoftcorr.sky.catalog import Catalog  # noqa: E402
from pysoftcorr.sky.clustering import Clustering, SoftClustering  # noqa: E402
from pysoftcorr.sky.result import Correlation  # noqa: E402


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def correlation(bins, scale=1.0, seed=1, name="xip"):
    rng, n = np.random.default_rng(seed), bins.nbins
    value = scale * 1e-4 / bins.centers
    scatter = 0.1 * value * rng.normal(size=(2, 20, n))
    return Correlation(
        name=name, bins=bins, theta=bins.centers, logtheta=np.log(bins.centers), value=value,
        imag=0 * value, npairs=np.ones(n), weight=np.ones(n), varshot=0.01 * value**2,
        epistemic=value + scatter[0], aleatoric=value + scatter[1], aleatoric_method="bootstrap",
    )  # fmt: skip


BINS = {
    "log": Binning.log(1, 100, 8),
    "narrower": Binning.log(5, 20, 4),
    "wider": Binning.log(0.1, 1000, 8),
    "linear": Binning.linear(0, 50, 5),
    "linear, short": Binning.linear(2, 9, 3),
    "one": Binning.log(1, 2, 1),
}


@pytest.mark.parametrize("style", ["default", "paper"])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("log", "narrower"), ("log", "wider"), ("wider", "one"), ("linear", "linear, short"),
        ("linear, short", "linear"), ("linear", "wider"), ("log", "linear"), ("one", "linear"),
    ],
)  # fmt: skip
def test_a_second_correlation_does_not_clip_the_first(first, second, style):
    ax = correlation(BINS[first]).plot(style=style)
    ax = correlation(BINS[second], scale=1e3, seed=2).plot(ax=ax, style=style)
    assert faults(ax.figure) == []
    for bins in (BINS[first], BINS[second]):
        low, high = ax.get_xlim()
        inside = bins.edges[bins.edges > 0] if ax.get_xscale() == "log" else bins.edges
        assert low <= inside[0]
        assert inside[-1] <= high


def test_later_correlations_stay_in_their_bins_and_have_colors_of_their_own():
    bins = BINS["log"]
    ax = None
    for k in range(5):
        ax = correlation(bins, seed=k).plot(ax=ax, label=f"series {k}")
    width = np.diff(np.log(bins.edges))
    at = []
    for bars in ax.containers:
        x = bars.lines[0].get_xdata()
        assert np.all(np.abs(np.log(x / bins.centers)) < 0.5 * width)
        at.append(x[0])
    assert len(set(np.round(at, 9))) == 10
    # One color for both errors of a series, but the first, which has one for each.
    colors = [bars.lines[0].get_color() for bars in ax.containers]
    assert colors[2::2] == colors[3::2]
    assert len({*colors[:2], *colors[2::2]}) == 6


def test_paper_styles_on_one_panel_have_colors_and_one_legend():
    ax = correlation(BINS["log"]).plot(style="paper", requirement=1e-6)
    ax = correlation(BINS["log"], name="xim", seed=2).plot(ax=ax, style="paper")
    handles = ax.get_legend().legend_handles
    said = [text.get_text() for text in ax.get_legend().get_texts()]
    assert said[:2] == [r"$\xi_+$", r"$\xi_-$"]
    colors = [handle.get_color() for handle in handles[:2]]
    assert colors[0] != colors[1]
    points = [c.lines[0] for c in ax.containers if len(c.lines[0].get_xdata())]
    assert [line.get_color() for line in points] == colors
    assert not np.isclose(points[0].get_xdata(), points[1].get_xdata()).any()


@pytest.mark.parametrize("style", ["default", "paper"])
def test_separations_in_another_unit_are_refused(style):
    ax = correlation(BINS["log"]).plot(style=style)
    with pytest.raises(ValueError, match="ax: its abscissa is in arcmin, this is in deg"):
        correlation(Binning.log(1, 10, 3, unit="deg")).plot(ax=ax, style=style)


def test_requirement_of_several_is_named_once():
    ax = None
    for k in range(3):
        ax = correlation(BINS["log"], seed=k).plot(ax=ax, requirement=1e-5)
    said = [text.get_text() for text in ax.get_legend().get_texts()]
    assert said.count("allowed") == 1


def field(start, spread=0.5, n=25, seed=3):
    rng = np.random.default_rng(seed)
    return Catalog(
        ra=(start + rng.uniform(-spread, spread, n)) % 360, dec=rng.uniform(-spread, spread, n),
        g1=0.1 * rng.normal(size=n), g2=0.1 * rng.normal(size=n),
    )  # fmt: skip


def clustering(catalog, c=3):
    shares = np.random.default_rng(4).random((len(catalog), c))
    return Clustering(
        options=SoftClustering(n_clusters=c, seed=1), centers=catalog.xyz[:c],
        memberships=shares / shares.sum(axis=1, keepdims=True), objective=np.ones(1),
        change=np.zeros(1), converged=True,
    )  # fmt: skip


@pytest.mark.parametrize(("first", "second"), [(10, 10.2), (10, 13), (359.5, 1), (1, 359.5)])
@pytest.mark.parametrize("second_spread", [0.1, 2.0])
def test_a_second_field_widens_the_first_across_ra_zero_too(first, second, second_spread):
    near, far = field(first), field(second, second_spread, seed=5)
    ax = plots.plot_centers(near, clustering(near))
    ax = plots.plot_centers(far, clustering(far), ax=ax)
    assert faults(ax.figure) == []
    left, right = ax.get_xlim()
    assert left > right
    assert left - right < 9
    colors = {tuple(c.get_facecolor()[0]) for c in ax.collections}
    assert len(colors) == 4
    drawn_ = np.concatenate([np.asarray(c.get_offsets())[:, 0] for c in ax.collections[::2]])
    np.testing.assert_allclose(np.mod(drawn_, 360), np.r_[near.ra, far.ra])


@pytest.mark.parametrize("second", [field(359.0), field(3.0, 0.1)])
def test_whiskers_of_two_catalogs_share_a_panel(second):
    ax = plots.plot_shapes(field(1.0))
    ax = plots.plot_shapes(second, ax=ax, color="black")
    low, high = ax.get_ylim()
    for whiskers in ax.collections:
        x, y = np.asarray(whiskers.get_offsets()).T
        assert np.all((y > low) & (y < high))
        assert np.all((x < ax.get_xlim()[0]) & (x > ax.get_xlim()[1]))
    keys = [artist for artist in ax.artists if isinstance(artist, QuiverKey)]
    assert len({key.X for key in keys}) == 2


def test_flat_fields_widen_and_other_units_are_refused():
    small = Catalog(x=[1.0, 2.0], y=[0.0, 5.0], xy_unit="pixel", g1=[0.1, 0.1], g2=[0.0, 0.1])
    large = Catalog(x=[-90.0, 20.0], y=[0.0, 50.0], xy_unit="pixel", g1=[0.1, 0], g2=[0.0, 0.1])
    for order in ((small, large), (large, small)):
        ax = plots.plot_shapes(order[1], ax=plots.plot_shapes(order[0]))
        assert ax.get_xlim()[0] < -90 < 20 < ax.get_xlim()[1]
        assert ax.get_ylim()[0] < 0 < 50 < ax.get_ylim()[1]
    sky = Catalog(x=[1.0, 2.0], y=[0.0, 5.0], xy_unit="arcmin", g1=[0.1, 0.1], g2=[0.0, 0.1])
    with pytest.raises(ValueError, match="ax: its abscissa is in pixels, this is in arcmin"):
        plots.plot_shapes(sky, ax=ax)
    with pytest.raises(ValueError, match="ax: its abscissa is in pixels, this is in deg"):
        plots.plot_shapes(field(1.0), ax=ax)


def test_what_the_reader_drew_before_stays_in_view():
    _, ax = plt.subplots()
    ax.plot([0.01, 5000], [1e-9, 1], "k-", label="theory")
    ax = correlation(BINS["log"]).plot(ax=ax)
    low, high = ax.get_xlim()
    assert low <= 0.01
    assert high >= 5000
    _, ax = plt.subplots()
    ax.scatter([8.0], [-3.0], label="bright star")
    plots.plot_centers(field(10.0), clustering(field(10.0)), ax=ax)
    assert ax.get_xlim()[1] <= 8
    assert ax.get_ylim()[0] <= -3


def test_contaminations_of_two_fits_on_one_panel():
    result = drawn(np.random.default_rng(1), [0.05, 1, 1], noise(60, 30))
    ax = plots.plot_contamination(fit_leakage(result), xip=result.rho0)
    first = ax.get_ylim()
    ax = plots.plot_contamination(fit_leakage(result, terms=("alpha",)), ax=ax)
    assert ax.get_ylim()[0] <= first[0]
    assert first[1] <= ax.get_ylim()[1]
    said = [text.get_text() for text in ax.get_legend().get_texts()]
    assert any(text.endswith(r"of $\alpha$") for text in said)
    assert len({c.lines[0].get_color() for c in ax.containers}) == 3
    assert faults(ax.figure) == []
