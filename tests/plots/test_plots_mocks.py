"""Figures of mock universes hold the right data."""

from __future__ import annotations

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.collections import EllipseCollection, LineCollection  # noqa: E402

from pysoftcorr import plots  # noqa: E402
from pysoftcorr.mocks import (  # noqa: E402
    GalaxyCatalog,
    HaloCatalog,
    HODModel,
    box_correlations,
    expected_correlations,
)
from pysoftcorr.mocks.cosmology import Cosmology  # noqa: E402
from pysoftcorr.mocks.halo_statistics import halo_bias, mass_function  # noqa: E402

EDGES = np.geomspace(0.3, 12, 9)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def halos():
    return HaloCatalog.simulate(100.0, 64, mmin=3e11, seed=5)


@pytest.fixture(scope="module")
def galaxies(halos):
    return HODModel.preset("mstar10.0").with_parameters(mu_sat=0.6).populate(halos, seed=2)


@pytest.fixture
def few():
    """Two centrals and a satellite, of which one lies outside of the first tenth."""
    return GalaxyCatalog(
        [[20, 30, 1], [21, 30, 2], [50, 60, 15]],
        [[1, 0, 0], [0, 3, 4], [0, 0, 1]],
        central=[True, False, True],
        host=[0, 0, 1],
        boxsize=100,
    )


def whiskers(ax):
    return {
        str(c.get_label()).split()[1]: np.array(c.get_segments())
        for c in ax.collections
        if isinstance(c, LineCollection)
    }


# ---------------------------------------------------------------------- mass function and bias
def test_mass_function_counts_every_halo_and_follows_theory(halos):
    table = mass_function(halos)
    assert table.count.sum() == len(halos)
    np.testing.assert_array_equal(table.count, np.histogram(halos.mass, table.edges)[0])
    width = np.diff(np.log10(table.edges))
    np.testing.assert_allclose(table.density * width * 100.0**3, table.count, rtol=1e-12)
    # A power law would average to its value at the middle; this one nearly does.
    middle = np.sqrt(table.edges[:-1] * table.edges[1:])
    there = Cosmology("planck18").mass_function(middle) * np.log(10)
    np.testing.assert_allclose(table.theory[:8], there[:8], rtol=0.02)
    expected = table.theory * width * 100.0**3
    well = expected > 20
    assert well.sum() >= 6
    assert np.all(np.abs(table.count - expected)[well] < 4.5 * np.sqrt(expected[well]))


def test_mass_function_knows_the_relation_and_the_highest_mass():
    made = HaloCatalog.simulate(
        60.0, 16, mmin=1e12, mmax=1.5e13, mass_function="despali16", mdef="200m", seed=1
    )
    table = mass_function(made, decade=4)
    assert table.edges[-1] == pytest.approx(1.5e13)
    assert table.model == "despali16"
    with pytest.raises(ValueError, match="decade = 0"):
        mass_function(made, decade=0)


def test_bias_is_that_of_the_matter(halos):
    found = halo_bias(halos)
    assert found.bias.size >= 3
    assert np.all(np.abs(found.bias - found.theory) < 5 * found.error + 0.1 * found.theory)
    # Halos moved at random know nothing of the matter.
    rng = np.random.default_rng(1)
    lost = HaloCatalog(
        rng.uniform(0, 100, halos.position.shape),
        halos.mass,
        halos.radius,
        halos.concentration,
        halos.axis,
        boxsize=100.0,
        cosmology=halos.cosmology,
        meta=halos.meta,
    )
    assert np.all(np.abs(halo_bias(lost).bias) < 5 * halo_bias(lost).error)


def test_halo_figure_holds_both(halos):
    upper, lower, bias = plots.plot_halo_statistics(halos).axes
    table, found = mass_function(halos), halo_bias(halos)
    curve = next(line for line in upper.lines if line.get_label() == "tinker08")
    np.testing.assert_allclose(curve.get_ydata(), table.theory)
    points = upper.containers[0].lines[0]
    np.testing.assert_allclose(points.get_ydata(), table.density[table.count > 0])
    assert lower.get_ylim()[0] < 1 < lower.get_ylim()[1]
    np.testing.assert_allclose(bias.containers[0].lines[0].get_ydata(), found.bias)
    assert bias.lines[-1].get_label() == "tinker10" or any(
        line.get_label() == "tinker10" for line in bias.lines
    )


def test_halos_of_unknown_origin_have_no_bias_and_no_theory():
    rng = np.random.default_rng(3)
    made = HaloCatalog(
        rng.uniform(0, 50, (30, 3)), 10 ** rng.uniform(12, 13, 30), np.full(30, 0.3),
        np.full(30, 7.0), rng.normal(size=(30, 3)), boxsize=50.0,
    )  # fmt: skip
    assert halo_bias(made) is None
    table = mass_function(made)
    assert table.theory is None
    assert table.count.sum() == 30
    figure = plots.plot_halo_statistics(made)
    assert len(figure.axes) == 2
    figure.canvas.draw()


# ---------------------------------------------------------------------- slice
def test_slice_has_its_galaxies_and_foreshortens_axes(few):
    drawn = whiskers(plots.plot_box_slice(few, length=5.0))
    np.testing.assert_allclose(drawn["central"], [[[17.5, 30], [22.5, 30]]])
    np.testing.assert_allclose(drawn["satellites"], [[[21, 28.5], [21, 31.5]]])
    along_x = whiskers(plots.plot_box_slice(few, axis=0, start=45, depth=10, length=2.0))
    np.testing.assert_allclose(along_x["central"], [[[60, 14], [60, 16]]])
    assert len(along_x["satellites"]) == 0


def test_slice_of_halos_draws_the_heaviest_and_circles(halos, galaxies):
    ax = plots.plot_box_slice(halos, depth=40.0)
    (drawn,) = [c for c in ax.collections if isinstance(c, LineCollection)]
    inside = halos.position[:, 2] < 40
    assert inside.sum() > 2000
    assert len(drawn.get_segments()) == 2000
    assert f"of {inside.sum()} halos" in drawn.get_label()
    middle = np.array(drawn.get_segments()).mean(axis=1)
    np.testing.assert_allclose(  # halos are heaviest first
        middle, halos.position[inside][:2000, :2], atol=1e-9
    )
    ax = plots.plot_box_slice(galaxies, halos=halos)
    (circles,) = [c for c in ax.collections if isinstance(c, EllipseCollection)]
    first = np.flatnonzero(halos.position[:, 2] < 10)[0]
    np.testing.assert_allclose(circles.get_offsets()[0], halos.position[first, :2])
    assert circles.get_widths()[0] == pytest.approx(2 * halos.radius[first])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slice_of_a_box_of_three_sides(axis):
    sides = np.array([60.0, 90.0, 240.0])
    place = np.random.default_rng(1).uniform(0, 1, (500, 3)) * sides
    made = GalaxyCatalog(place, np.ones((500, 3)), boxsize=sides)
    ax = plots.plot_box_slice(made, axis=axis)
    wide, high = np.delete(sides, axis)
    assert (ax.get_xlim(), ax.get_ylim()) == ((0, wide), (0, high))
    (drawn,) = [c for c in ax.collections if len(c.get_segments())]
    within = place[:, axis] < sides[axis] / 10
    assert len(drawn.get_segments()) == within.sum()
    ax.figure.canvas.draw()
    # Title and legend side by side.
    title = ax._left_title.get_window_extent()
    assert not title.overlaps(ax.get_legend().get_window_extent())
    with pytest.raises(ValueError, match=rf"in the box of {sides[axis]:g} Mpc/h"):
        plots.plot_box_slice(made, axis=axis, start=sides[axis], depth=1)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"axis": 3}, "axis = 3"),
        ({"start": 95, "depth": 10}, "box of 100"),
        ({"depth": 0}, "depth = 0"),
    ],
)
def test_slice_outside_the_box_is_refused(few, options, says):
    with pytest.raises(ValueError, match=says):
        plots.plot_box_slice(few, **options)


# ---------------------------------------------------------------------- correlations
def test_correlations_with_their_parts(galaxies):
    result = box_correlations(galaxies, bins=EDGES)
    expected = expected_correlations(galaxies, 0.68, 0.6, bins=EDGES)
    figure = plots.plot_box_correlations(result, expected=expected)
    for ax, name in zip(figure.axes, ("xi", "omega", "eta"), strict=True):
        lines = {line.get_label(): line for line in ax.lines}
        for label, suffix in (("all pairs", ""), ("one halo", "_1h"), ("two halos", "_2h")):
            values = getattr(result, name + suffix)
            pairs = getattr(result, "npairs" + suffix)
            keep = pairs >= (10 if name == "xi" else 100)
            np.testing.assert_allclose(lines[label].get_ydata(), values[keep])
            np.testing.assert_allclose(lines[label].get_xdata(), result.r[keep])
        assert ("mean of all draws" in lines) == (name != "xi")
    dashed = next(li for li in figure.axes[1].lines if li.get_label() == "mean of all draws")
    keep = expected.npairs >= 100
    np.testing.assert_allclose(dashed.get_ydata(), expected.omega[keep])
    figure.canvas.draw()


def test_correlations_without_axes_or_hosts(galaxies):
    result = box_correlations(galaxies.position, boxsize=100.0, bins=EDGES)
    figure = plots.plot_box_correlations(result)
    assert [len(ax.lines) for ax in figure.axes] == [1, 1, 1]
    assert "no pairs" in figure.axes[1].texts[0].get_text()
    figure.canvas.draw()


def test_expected_of_other_bins_is_refused(galaxies):
    result = box_correlations(galaxies, bins=EDGES)
    expected = expected_correlations(galaxies, 0.1, 0.1, bins=EDGES[:-1])
    with pytest.raises(ValueError, match="other bins"):
        plots.plot_box_correlations(result, expected=expected)


# ---------------------------------------------------------------------- errors
def bars(ax):
    """Middle, value and error of every point with a bar, and which are hollow."""
    found = {}
    for container in ax.containers:
        line, _, (stems,) = container.lines
        low = np.array([segment[:, 1] for segment in stems.get_segments()])
        hollow = line.get_markerfacecolor() == "white"
        found.setdefault(container.get_label(), []).append(
            (line.get_xdata(), line.get_ydata(), np.ptp(low, axis=1) / 2, hollow)
        )
    return found


@pytest.fixture(scope="module")
def unclustered():
    """xi of both signs, and two bins without pairs."""
    rng = np.random.default_rng(1)
    p = rng.uniform(0, 60, (900, 3))
    bins = [0.01, 0.02, 0.03, 1, 2, 4, 8, 14]
    return box_correlations(p, rng.normal(size=p.shape), boxsize=60.0, bins=bins,
                            resampling="jackknife:8:match")  # fmt: skip


@pytest.mark.filterwarnings("ignore:the covariance of")
def test_errors_and_signs_are_drawn(unclustered):
    some = unclustered.npairs > 0
    assert (unclustered.xi[some] < 0).any()
    assert not some.all()
    figure = unclustered.plot(label="points")
    for ax, name in zip(figure.axes, ("xi", "omega", "eta"), strict=True):
        values, sigma = getattr(unclustered, name), unclustered.errors[name]
        good = some & np.isfinite(values) & (np.isfinite(sigma) | (unclustered.npairs >= 100))
        x, y, error, hollow = (
            np.concatenate([np.broadcast_to(part[k], part[0].shape) for parts in bars(ax).values()
                            for part in parts]) for k in range(4)
        )  # fmt: skip
        order = np.argsort(x)
        np.testing.assert_allclose(x[order], unclustered.r[good])
        shown = np.abs(values[good]) if name == "xi" else values[good]
        np.testing.assert_allclose(y[order], shown)
        np.testing.assert_allclose(error[order], np.nan_to_num(sigma[good]), rtol=1e-6)
        if name == "xi":
            np.testing.assert_array_equal(hollow[order], values[good] < 0)
            low, high = ax.get_ylim()
            assert (shown > low).all()
            assert (shown + sigma[good] < high).all()
            assert ax.get_yscale() == "log"
        else:
            assert not hollow.any()
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == ["points", "negative"]
    figure.canvas.draw()


def test_several_results_in_one_figure(galaxies, unclustered):
    first = box_correlations(galaxies, bins=EDGES, resampling="jackknife:27")
    figure = plots.plot_box_correlations({"clustered": first, "points": unclustered})
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == ["clustered", "points", "negative"]
    for ax in figure.axes:
        low, high = ax.get_xlim()
        assert low <= min(first.edges[0], unclustered.edges[0])
        assert high >= max(first.edges[-1], unclustered.edges[-1])
        found = bars(ax)
        assert set(found) >= {"clustered", "points"}
        # Points of two results of the same bins stand beside each other.
    twice = plots.plot_box_correlations([first, first])
    one, two = bars(twice.axes[0])["1"], bars(twice.axes[0])["2"]
    assert (one[0][0] < two[0][0]).all()
    assert (two[0][0] / one[0][0] < EDGES[1] / EDGES[0]).all()
    twice.canvas.draw()
    expected = expected_correlations(galaxies, 0.1, 0.1, bins=EDGES)
    with pytest.raises(ValueError, match="expected: is of one result"):
        plots.plot_box_correlations([first, first], expected=expected)
    with pytest.raises(ValueError, match="there is none to draw"):
        plots.plot_box_correlations([])


def test_all_negative_on_a_log_axis():
    """Points on a lattice: xi is -1 below its step, and there are none above."""
    p = np.stack(np.meshgrid(*[np.arange(0.5, 30, 3)] * 3), axis=-1).reshape(-1, 3)
    result = box_correlations(p, boxsize=30.0, bins=[0.5, 2, 3.2], resampling="jackknife:8")
    figure = result.plot()
    assert result.xi[0] == -1
    assert [len(parts) for parts in bars(figure.axes[0]).values()] == [1]
    figure.canvas.draw()


def test_joint_covariance_of_a_box(unclustered):
    figure = unclustered.plot_covariance()
    image = figure.axes[0].images[0].get_array()
    sigma = np.sqrt(np.diag(unclustered.covariance))
    known = np.isfinite(sigma)
    np.testing.assert_allclose(
        np.ma.filled(image, np.nan)[np.ix_(known, known)],
        (unclustered.covariance / np.outer(sigma, sigma))[np.ix_(known, known)],
    )
    assert np.isnan(np.ma.filled(image, np.nan)[~known]).all()
    assert figure.axes[0].get_title() == "jackknife:2x2x2:match"
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == [r"$\xi$", r"$\omega$", r"$\eta$"]
    unclustered.plot_covariance(correlation=False).canvas.draw()
    bare = box_correlations(np.ones((2, 3)), boxsize=9.0, bins=[1, 2])
    with pytest.raises(ValueError, match="no covariance: give box_correlations a resampling"):
        bare.plot_covariance()
    with pytest.raises(ValueError, match="one covariance, 'total'"):
        plots.plot_covariance(unclustered, which="aleatoric")


def test_bins_of_few_pairs_are_left_out_with_a_word():
    rng = np.random.default_rng(8)
    place, axis = rng.uniform(0, 60, (200, 3)), rng.normal(size=(200, 3))
    bins = [1, 2, 4, 8, 16]
    few = box_correlations(place, axis, boxsize=60.0, bins=bins)
    assert ((few.npairs > 0) & (few.npairs < 10)).any()
    said = [ax.get_title(loc="right") for ax in plots.plot_box_correlations(few).axes]
    assert said == [f"bins of fewer than {n} pairs left out" for n in (10, 100, 100)]
    many = box_correlations(place, axis, boxsize=60.0, bins=[8, 12, 16])
    assert not any(ax.get_title(loc="right") for ax in plots.plot_box_correlations(many).axes)
    none = box_correlations(place[:8], axis[:8], boxsize=60.0, bins=[4, 30])
    texts = [[t.get_text() for t in ax.texts] for ax in plots.plot_box_correlations(none).axes]
    assert texts[1] == texts[2] == ["too few pairs"]
