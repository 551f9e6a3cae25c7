"""Gaussian modes, 2LPT displacements and the density they make."""

import numpy as np
import pytest
from scipy import fft

from pysoftcorr.mocks.cosmology import Cosmology
from pysoftcorr.mocks.simulate import LPTField, cloud_in_cell, white_modes

PLANCK = Cosmology("planck18")


def field(boxsize, mesh, redshift=0.0, seed=5):
    return LPTField.draw(boxsize, mesh, PLANCK, redshift, np.random.default_rng(seed))


def waves(boxsize, mesh, **amplitudes):
    """A field of cosines along axes, as {"x": amplitude} of the fundamental wave."""
    corner = np.arange(mesh) * (2 * np.pi / mesh)
    along = {"x": corner[:, None, None], "y": corner[None, :, None], "z": corner[None, None, :]}
    total = sum(a * np.cos(along[axis]) for axis, a in amplitudes.items()) + np.zeros((mesh,) * 3)
    second = 3 / 7 * PLANCK.matter_fraction(0) ** (-1 / 143)
    return LPTField(boxsize, fft.rfftn(total).astype(np.complex64), second), along, second


def wave_numbers(mesh, boxsize):
    """|k| in h/Mpc of every mode of scipy.fft.rfftn, and how often each stands in the whole."""
    whole = np.fft.fftfreq(mesh) * mesh
    half = np.arange(mesh // 2 + 1)
    k = np.sqrt(whole[:, None, None] ** 2 + whole[None, :, None] ** 2 + half**2)
    weight = np.where((half == 0) | (2 * half == mesh), 1.0, 2.0) * np.ones_like(k)
    return k * 2 * np.pi / boxsize, weight


def binned_power(modes, boxsize, edges):
    """Sum of |delta_k|^2 V / N^2 over its expectation, and number of modes, in bins of k."""
    mesh = len(modes)
    k, weight = wave_numbers(mesh, boxsize)
    k[0, 0, 0] = 1e-9
    power = np.abs(modes) ** 2 * boxsize**3 / float(mesh) ** 6 / PLANCK.power(k)
    bins = np.digitize(k.ravel(), edges)
    number = np.bincount(bins, weight.ravel(), minlength=len(edges) + 1)[1:-1]
    return np.bincount(bins, (weight * power).ravel())[1 : len(edges)] / number, number


def deconvolved(density, boxsize):
    """Modes of a density painted by cloud-in-cell, its window taken out."""
    modes = fft.rfftn(density)
    mesh = len(density)
    whole, half = np.fft.fftfreq(mesh), np.arange(mesh // 2 + 1) / mesh
    window = np.sinc(whole)[:, None, None] * np.sinc(whole)[None, :, None] * np.sinc(half)
    return modes / window**2


@pytest.mark.parametrize("mesh", [12, 13])
def test_white_modes_are_those_of_a_real_field_of_unit_variance(mesh):
    modes = white_modes(mesh, np.random.default_rng(1))
    real = fft.irfftn(modes, s=(mesh,) * 3)
    np.testing.assert_allclose(fft.rfftn(real), modes, atol=2e-6)
    assert modes[0, 0, 0] == 0
    if mesh % 2 == 0:
        assert not modes[mesh // 2].any()
        assert not modes[:, :, mesh // 2].any()
    power = np.abs(white_modes(48, np.random.default_rng(1))) ** 2
    power = power[power > 0]
    assert power.mean() == pytest.approx(1.0, abs=5 / np.sqrt(power.size / 2))


@pytest.mark.parametrize("fine", [16, 17, 30])
def test_a_finer_mesh_keeps_the_large_scale_modes(fine):
    coarse = white_modes(12, np.random.default_rng(3))
    finer = white_modes(fine, np.random.default_rng(3))
    kept = np.r_[0:6, -5:0]
    index = np.ix_(kept, kept, np.arange(6))
    np.testing.assert_array_equal(coarse[index], finer[index])


def test_linear_power_is_the_input():
    # Bins of 15000 modes or more: the sampling error sqrt(2/N) is below 1.2 %.
    edges = np.array([0.1, 0.14, 0.18, 0.22, 0.26, 0.3])
    ratio, number = binned_power(field(800.0, 96).modes, 800.0, edges)
    assert (np.sqrt(2 / number) < 0.012).all()
    np.testing.assert_allclose(ratio, 1.0, atol=0.05)
    assert np.sum((ratio - 1) ** 2 * number / 2) < 22  # chi-square of 5, 0.05 %


@pytest.mark.parametrize(("redshift", "k_max"), [(0.0, 0.06), (1.0, 0.1), (3.0, 0.15)])
def test_evolved_density_has_the_linear_power_on_linear_scales(redshift, k_max):
    made = field(600.0, 96, redshift)
    edges = np.array([0.01, k_max / 2, k_max])
    evolved, _ = binned_power(deconvolved(made.density(), 600.0), 600.0, edges)
    # Against the same modes: only what evolution and painting do is left.
    linear, _ = binned_power(made.modes, 600.0, edges)
    np.testing.assert_allclose(evolved / linear, 1.0, atol=0.05)


def test_growth_scales_the_field():
    now, then = field(100.0, 16), field(100.0, 16, 9.0)
    np.testing.assert_allclose(then.linear(), now.linear() * PLANCK.growth(9.0), rtol=1e-3)


def test_displacement_of_a_plane_wave():
    made, along, _ = waves(100.0, 16, x=0.3)
    k = 2 * np.pi / 100.0
    psi = list(made.displacement())
    # delta = a cos(kx) has psi = -(a/k) sin(kx), to every order.
    expected = -0.3 / k * np.sin(along["x"]) + np.zeros((16,) * 3)
    np.testing.assert_allclose(psi[0], expected, atol=1e-5)
    np.testing.assert_allclose(psi[1:], 0, atol=1e-5)


def test_second_order_of_crossed_waves():
    made, along, second = waves(100.0, 16, x=0.3, y=0.2)
    k = 2 * np.pi / 100.0
    extra = np.array(list(made.displacement())) - np.array(list(made.displacement(order=1)))
    # laplacian(phi2) = a b cos(kx) cos(ky), hence phi2 = -a b cos cos / (2 k^2).
    size = -second * 0.3 * 0.2 / (2 * k)
    x = size * np.sin(along["x"]) * np.cos(along["y"]) + np.zeros((16,) * 3)
    np.testing.assert_allclose(extra[0], x, atol=2e-6)
    np.testing.assert_allclose(extra[1], x.swapaxes(0, 1), atol=2e-6)
    np.testing.assert_allclose(extra[2], 0, atol=2e-6)
    with pytest.raises(ValueError, match="order = 3"):
        next(made.displacement(order=3))


def test_second_order_vanishes_early():
    def share(redshift):
        made = field(100.0, 24, redshift)
        first = np.array(list(made.displacement(order=1)))
        return np.std(np.array(list(made.displacement())) - first) / np.std(first)

    late, early = share(0.0), share(49.0)
    assert late > 0.1
    assert early < 0.01
    # It goes as the growth factor, and as Om^(-1/143).
    growth = PLANCK.growth(49.0) * (1.0 / PLANCK.matter_fraction(0)) ** (-1 / 143)
    assert early / late == pytest.approx(growth, rel=0.01)


def test_tidal_trace_is_the_density():
    made = field(100.0, 20)
    for radius in (0.0, 8.0):
        trace = sum(grid for i, j, grid in made.tidal(radius) if i == j)
        np.testing.assert_allclose(trace, made.linear(radius), atol=1e-5)


def test_sphere_average():
    made, along, _ = waves(100.0, 16, z=1.0)
    x = 2 * np.pi / 100.0 * 20.0
    window = 3 * (np.sin(x) - x * np.cos(x)) / x**3
    expected = window * np.cos(along["z"]) + np.zeros((16,) * 3)
    np.testing.assert_allclose(made.linear(20.0), expected, atol=1e-6)


@pytest.mark.parametrize("mesh", [15, 20])
def test_coarse_field_has_the_modes_of_the_fine_one(mesh):
    fine = field(100.0, 32)
    coarse = fine.coarse(mesh)
    assert coarse.mesh == mesh
    assert fine.coarse(40) is fine
    half = (mesh + 1) // 2
    kept = np.r_[0:half, 1 - half : 0]
    index = np.ix_(kept, kept, np.arange(half))
    for ours, theirs in zip(coarse.displacement(), fine.displacement(), strict=True):
        scaled = fft.rfftn(ours)[index] / mesh**3
        np.testing.assert_allclose(scaled, fft.rfftn(theirs)[index] / 32**3, atol=1e-5)


def test_interpolation_and_painting_share_their_points():
    made, _, _ = waves(100.0, 20, x=1.0)
    position = np.array([[0.0, 3.0, 4.0], [7.5, 0.0, 0.0], [99.0, 50.0, 1.0]])
    grid = made.linear()
    at = made.at(grid, position)
    cosine = np.cos(2 * np.pi * np.arange(21) / 20)
    middle = 0.5 * (cosine[1] + cosine[2])
    np.testing.assert_allclose(at, [1.0, middle, 0.2 * cosine[19] + 0.8], atol=1e-5)
    painted = cloud_in_cell(position[1:2], 100.0, 20) + 1
    assert painted.sum() == pytest.approx(20**3)
    np.testing.assert_allclose(painted[[1, 2], 0, 0], 20**3 / 2)
