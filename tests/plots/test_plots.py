"""Figures hold the right data; how they look is judged by eye."""

from __future__ import annotations

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from pysoftcorr import plots  # noqa: E402
from pysoftcorr.plots.crossing import bin_probabilities, crossing_pair  # noqa: E402
from pysoftcorr.sky.binning import Binning  # noqa: E402
from pysoftcorr.sky.catalog import Catalog  # noqa: E402
from pysoftcorr.sky.clustering import Clustering, SoftClustering  # noqa: E402
from pysoftcorr.sky.result import Correlation, CorrelationSet  # noqa: E402
from pysoftcorr.sky.stars import StarCatalog  # noqa: E402

RNG = np.random.default_rng(1)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def correlation(name="rho1", bins=None, **more):
    bins = bins or Binning.linear(0, 40, 4)
    value = np.array([4.0, 3.0, np.nan, 1.0])
    draws = value + np.array([-1.0, 1.0])[:, None]
    columns = {
        "theta": bins.centers + 0.5,
        "logtheta": np.log(bins.centers),
        "value": value,
        "imag": np.zeros(4),
        "npairs": [5, 6, 0, 7],
        "weight": np.ones(4),
        "varshot": np.full(4, 0.04),
        "epistemic": draws,
        "aleatoric": 2 * draws,
        "aleatoric_method": "bootstrap",
    }
    return Correlation(name=name, bins=bins, **(columns | more))


def clustered(ra, dec, centers, memberships):
    """A clustering of given centers and memberships."""
    xyz = Catalog(ra=centers[0], dec=centers[1]).xyz
    fit = Clustering(
        options=SoftClustering(n_clusters=len(xyz), seed=1),
        centers=xyz,
        memberships=np.asarray(memberships),
        objective=np.ones(1),
        change=np.zeros(1),
        converged=True,
    )
    return Catalog(ra=ra, dec=dec), fit


def random_clustering(n=40, c=5):
    ra, dec = RNG.uniform(359.5, 360.5, n) % 360, RNG.uniform(-0.5, 0.5, n)
    share = RNG.random((n, c)) ** 4
    centers = RNG.uniform(359.6, 360.4, c) % 360, RNG.uniform(-0.4, 0.4, c)
    return clustered(ra, dec, centers, share / share.sum(axis=1, keepdims=True))


def heights(container):
    """Half the length of each error bar."""
    segments = container.lines[2][0].get_segments()
    return [0.5 * (s[1][1] - s[0][1]) for s in segments]


def test_both_errors_stand_side_by_side():
    item = correlation()
    ax = item.plot()
    aleatoric, epistemic = ax.containers
    good = np.isfinite(item.value)
    for bars, sigma in ((aleatoric, item.sigma_aleatoric), (epistemic, item.sigma_epistemic)):
        np.testing.assert_allclose(bars.lines[0].get_ydata(), item.value[good])
        np.testing.assert_allclose(heights(bars), sigma[good])
    x = aleatoric.lines[0].get_xdata(), epistemic.lines[0].get_xdata()
    assert np.all(x[0] < item.theta[good])
    assert np.all(x[1] > item.theta[good])
    assert np.all(np.abs(x[1] - x[0]) < 0.5 * item.bins.widths[good])
    assert "arcmin" in ax.get_xlabel()
    assert ax.get_xlim()[1] == pytest.approx(40)


def test_without_resamples_the_shot_noise_is_shown():
    ax = correlation(epistemic=None, aleatoric=None, aleatoric_method=None).plot()
    (bars,) = ax.containers
    np.testing.assert_allclose(heights(bars), 0.2)
    np.testing.assert_allclose(bars.lines[0].get_xdata(), [5.5, 15.5, 35.5])


def test_log_bins_have_a_log_axis_and_labels_their_unit():
    ax = correlation(bins=Binning.log(1, 16, 4, unit="deg")).plot()
    assert ax.get_xscale() == "log"
    assert "[deg]" in ax.get_xlabel()
    ax.figure.canvas.draw()
    shown = [t.get_text() for t in ax.get_xticklabels() if 1 <= t.get_position()[0] <= 16]
    assert shown == ["1", "2", "5", "10"]
    assert not any(t.get_text() for t in ax.get_xticklabels(minor=True))


def test_naive_curve_is_drawn_beside():
    naive = correlation(value=[4.5, 3.5, 2.5, 1.5])
    ax = plots.plot_correlation(correlation(), naive=naive)
    line = next(ln for ln in ax.lines if "all pairs" in str(ln.get_label()))
    np.testing.assert_allclose(line.get_ydata(), naive.value)
    np.testing.assert_allclose(line.get_xdata(), naive.theta)


def test_curves_on_the_same_axes_do_not_cover_one_another():
    both = CorrelationSet([correlation("xip"), correlation("xim")], name="xi_pm")
    ax = both["xim"].plot(ax=both["xip"].plot())
    assert len(ax.containers) == 4
    first = [c.lines[0].get_xdata()[0] for c in ax.containers]
    assert len(set(np.round(first, 6))) == 4


def test_a_panel_for_every_statistic():
    rho = CorrelationSet([correlation(f"rho{k}") for k in range(1, 6)], name="rho_statistics")
    figure = plots.plot_correlation_set(rho, naive=rho)
    drawn = [ax for ax in figure.axes if ax.axison]
    assert len(drawn) == 5
    assert [len(ax.containers) for ax in drawn] == [2] * 5
    assert drawn[2].get_title() == r"$\rho_3$"
    pair = plots.plot_correlation_set(CorrelationSet([correlation("xip"), correlation("xim")]))
    assert len(pair.axes) == 2
    assert pair.legends


def test_centers_over_objects_across_ra_zero_east_to_the_left():
    catalog, fit = random_clustering()
    ax = plots.plot_centers(catalog, fit)
    left, right = ax.get_xlim()
    assert left > right
    assert abs(left - right) < 1.5  # in one piece, not round the sky
    objects, centers = (np.asarray(c.get_offsets()) for c in ax.collections)
    np.testing.assert_allclose(np.mod(objects[:, 0], 360), catalog.ra)
    np.testing.assert_allclose(centers[:, 1], fit.dec)
    assert np.all((objects[:, 0] < left) & (objects[:, 0] > right))


def test_membership_matrix_is_a_permutation_of_the_memberships():
    _, fit = random_clustering()
    image = plots.plot_memberships(fit).images[0].get_array()
    assert image.shape == fit.memberships.shape
    np.testing.assert_allclose(
        np.sort(image, axis=None), np.sort(np.clip(fit.memberships, 1e-3, 1), axis=None)
    )
    best = np.argmax(image, axis=1)
    assert np.all(np.diff(best) >= 0)  # the band runs along the diagonal


def test_histograms_count_every_object_and_mark_the_median():
    _, fit = random_clustering()
    left, right = plots.plot_membership_histograms(fit).axes
    for ax, values in ((left, fit.max_membership), (right, fit.entropy)):
        assert sum(p.get_height() for p in ax.patches) == len(values)
        assert ax.lines[0].get_xdata()[0] == pytest.approx(np.median(values))
    assert right.lines[1].get_xdata()[0] == pytest.approx(np.log(5))


def test_whiskers_lie_along_half_the_phase():
    catalog = Catalog(ra=[10.0, 10.1, 10.2], dec=[0.0, 0.1, 0.2], g1=[0.1, -0.1, 0], g2=[0, 0, 0.1])
    whiskers = plots.plot_shapes(catalog, scale=0.1).collections[0]
    angle = np.degrees(np.arctan2(whiskers.V, whiskers.U))
    np.testing.assert_allclose(angle, [0, 90, 45], atol=1e-9)
    np.testing.assert_allclose(np.hypot(whiskers.U, whiskers.V), 0.1)
    assert whiskers.headwidth == 0
    assert whiskers.pivot == "middle"


def test_star_shapes_show_star_model_and_residual():
    n = 30
    values = RNG.normal(scale=0.05, size=(4, n))
    stars = StarCatalog(
        ra=RNG.uniform(10, 11, n), dec=RNG.uniform(60, 61, n), g1=values[0], g2=values[1],
        g1_model=values[2], g2_model=values[3], T=np.ones(n), T_model=np.ones(n),
    )  # fmt: skip
    axes = plots.plot_star_shapes(stars).axes
    for ax, e in zip(axes, (stars.e, stars.e_model, stars.de), strict=True):
        whiskers = ax.collections[0]
        np.testing.assert_allclose((whiskers.U + 1j * whiskers.V) ** 2, np.abs(e) * e)
        assert ax.get_aspect() == pytest.approx(1 / np.cos(np.radians(60.5)), rel=0.02)


def test_shapes_need_ellipticities_of_the_right_number():
    catalog = Catalog(ra=[1.0, 2.0], dec=[0.0, 0.0])
    with pytest.raises(ValueError, match="no ellipticities"):
        plots.plot_shapes(catalog)
    with pytest.raises(ValueError, match="must be"):
        plots.plot_shapes(catalog, e=np.zeros(3))


def toy():
    """Two objects 10 arcmin apart at the edge of a bin; the second may go nearer or farther."""
    ra = np.array([0.0, 10.0]) / 60
    centers = np.array([0.0, 8.0, 13.0]) / 60
    return clustered(ra, np.zeros(2), (centers, np.zeros(3)), [[1.0, 0.0, 0.0], [0.0, 0.7, 0.3]])


def test_probabilities_of_the_bins_by_hand():
    _, fit = toy()
    bins = Binning.linear(0, 20, 2)
    np.testing.assert_allclose(bin_probabilities(fit, bins, (0, 1)), [0.7, 0.3])
    # Beyond the last edge nothing is counted.
    np.testing.assert_allclose(bin_probabilities(fit, Binning.linear(0, 10, 1), (0, 1)), [0.7])


def test_probabilities_are_the_shares_of_sampled_assignments():
    _, fit = random_clustering()
    bins = Binning.linear(0, 60, 6)
    labels = fit.assign("sampled", n=20000, seed=1)[:, :2]
    cosine = np.clip(np.sum(fit.xyz[labels[:, 0]] * fit.xyz[labels[:, 1]], axis=1), -1, 1)
    # One cluster for both: separation 0, which the arc cosine only nearly gives.
    theta = np.where(labels[:, 0] == labels[:, 1], 0, np.degrees(np.arccos(cosine)) * 60)
    share = np.histogram(theta, bins.edges)[0] / len(labels)
    np.testing.assert_allclose(bin_probabilities(fit, bins, (0, 1)), share, atol=0.02)


def test_the_pair_that_crosses_the_edge_is_drawn():
    catalog, fit = toy()
    figure = plots.plot_pair_crossing(catalog, fit, "linear:0:20:2")
    right = figure.axes[1]
    np.testing.assert_allclose([p.get_height() for p in right.patches], [0.7, 0.3])
    assert right.lines[0].get_xdata()[0] == pytest.approx(10.0)


def test_no_pair_in_the_bins_is_an_error():
    catalog, fit = toy()
    with pytest.raises(ValueError, match="no pair"):
        crossing_pair(catalog, fit, Binning.linear(30, 40, 2))


def test_saved_whole_and_closed(tmp_path):
    figure = correlation().plot().figure
    path = plots.save_figure(figure, tmp_path / "a.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert not plt.fignum_exists(figure.number)
    with pytest.raises(FileNotFoundError):
        plots.save_figure(correlation().plot().figure, tmp_path / "none" / "a.png")
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
