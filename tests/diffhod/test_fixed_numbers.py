"""Models with fixed random numbers: whole galaxies in groups, smooth points, their calibration."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pysoftcorr.diffhod import power_spectrum  # noqa: E402
from pysoftcorr.diffhod.experiments.exact import (  # noqa: E402
    ExactPower,
    StratifiedDraws,
    mock_covariance,
)
from pysoftcorr.diffhod.experiments.smooth import SmoothPower  # noqa: E402
from pysoftcorr.diffhod.experiments.strengths import STRENGTHS  # noqa: E402
from pysoftcorr.diffhod.experiments.targets import PRIORS, calibrate  # noqa: E402
from pysoftcorr.inference.target import GaussianLikelihood, Target, laplace  # noqa: E402
from pysoftcorr.mocks import HaloCatalog, HODModel  # noqa: E402

#: A box whose galaxies are few.
THETA = (12.5, 0.4, 12.0, 13.6, 1.0)


@pytest.fixture(scope="module")
def halos():
    return HaloCatalog.simulate(60.0, 32, mmin=1e12, seed=1)


# ---------------------------------------------------------------------- whole galaxies
def test_exact_power_is_that_of_the_populated_galaxies(halos):
    exact = ExactPower(halos, mesh=16, k_max=0.6, seed=4)
    each = []
    for seed in (3, 2**40, 5):
        names = PRIORS.names
        galaxies = HODModel(**dict(zip(names, THETA, strict=True))).populate(halos, seed=int(seed))
        found = power_spectrum(galaxies.position, boxsize=60.0, mesh=16, k_max=0.6)
        np.testing.assert_allclose(found.k, exact.k, rtol=1e-12)
        each.append(found.power)
    np.testing.assert_allclose(exact.spectra(THETA, [3, 2**40, 5]), each, rtol=1e-9)
    np.testing.assert_array_equal(exact(THETA), exact(THETA))
    one, other = exact.mock(THETA, seed=1), exact.mock(THETA, seed=2)
    assert (one != other).any()
    assert (one != exact(THETA)).all()
    with pytest.raises(ValueError, match="params must be logMmin, sigma_logM"):
        exact([1.0, 2.0])
    with pytest.raises(ValueError, match="makes no galaxies"):
        exact([16.0, 0.1, 16.0, 17.0, 1.0])


def exact_model():
    return HODModel(**dict(zip(PRIORS.names, THETA, strict=True)))


def test_a_group_is_the_mean_of_its_catalogs(halos):
    exact = ExactPower(halos, mesh=16, k_max=0.6, realizations=3, spare=1, seed=4)
    means = exact_model().mean_ncen(halos.mass), exact_model().mean_nsat(halos.mass)
    draws = StratifiedDraws(halos, 3, seed=9)
    each = [
        power_spectrum(draws.draw(r, *means).position, boxsize=60.0, mesh=16, k_max=0.6).power
        for r in range(3)
    ]
    np.testing.assert_allclose(exact.group(THETA, draws), np.mean(each, axis=0), rtol=1e-9)
    np.testing.assert_array_equal(exact.drawn(THETA, 9), exact.group(THETA, draws))
    both = exact.each(THETA)
    np.testing.assert_array_equal(both[0], exact(THETA))
    assert (both[1] != both[0]).all()


def test_each_catalog_of_a_group_is_a_fair_draw(halos):
    """Numbers of galaxies of one catalog over 200 groups; those of a group are even."""
    model = exact_model()
    means = model.mean_ncen(halos.mass), model.mean_nsat(halos.mass)
    number, size = 200, 4
    totals, squares = np.zeros((2, 2))
    for seed in range(number):
        draws = StratifiedDraws(halos, size, seed=seed)
        drawn = [draws.draw(r, *means) for r in range(size)]
        found = np.array([len(drawn[2].centrals), len(drawn[2].host)])
        totals += found
        squares += found**2
        centrals = np.bincount(np.concatenate([d.centrals for d in drawn]), minlength=len(halos))
        assert (abs(centrals - size * means[0]) < 1).all()
    variance = [(means[0] * (1 - means[0])).sum(), means[1].sum()]
    for total, square, mean, v in zip(totals, squares, means, variance, strict=True):
        # 4 standard errors of the mean, and of the variance of 200
        assert abs(total / number - mean.sum()) < 4 * math.sqrt(v / number)
        assert abs((square / number - (total / number) ** 2) / v - 1) < 4 * math.sqrt(2 / number)


@pytest.mark.slow
def test_a_group_has_less_noise_than_independent_catalogs(halos):
    exact = ExactPower(halos, mesh=16, k_max=0.6, realizations=8, seed=4)
    groups = np.array([exact.drawn(THETA, seed) for seed in range(60)])
    single = np.array([exact.spectra(THETA, [seed])[0] for seed in range(200)])
    # Unbiased: 5 bins beyond 3.5 errors once in 400 tries.
    error = np.sqrt(groups.var(axis=0, ddof=1) / 60 + single.var(axis=0, ddof=1) / 200)
    assert (abs(groups.mean(axis=0) - single.mean(axis=0)) < 3.5 * error).all()
    # Independent, they would have 1/8 of the variance of one, give or take 20 % (60 of them).
    ratio = (groups.var(axis=0, ddof=1) / single.var(axis=0, ddof=1)).mean()
    assert ratio < 0.6 / 8


def test_covariance_has_its_floor():
    rng = np.random.default_rng(1)
    spectra = rng.normal([100.0, 10.0], [5.0, 1.0], size=(200, 2))
    mean, covariance = mock_covariance(spectra, floor=8e-5)
    np.testing.assert_allclose(mean, spectra.mean(axis=0))
    np.testing.assert_allclose(covariance, np.cov(spectra.T) + 8e-5 * np.diag(mean**2))
    with pytest.raises(ValueError, match="at least n \\+ 2 realizations"):
        mock_covariance(spectra[:3])
    with pytest.raises(ValueError, match="floor = -1"):
        mock_covariance(spectra, floor=-1)


# ---------------------------------------------------------------------- fixed random numbers
def calibration_problem(number, *, bend=0.0):
    """A model whose fixed noise is an offset, a slope, a bend and a ripple of shorter range."""
    rng = np.random.default_rng(2)
    bins, realizations = 6, 4
    points = rng.normal(size=(number, 3))
    covariance = np.diag(rng.uniform(0.5, 2.0, bins))
    truth = points @ rng.normal(size=(3, bins))
    root = np.sqrt(np.diag(covariance))
    slopes = 0.5 * rng.normal(size=(realizations, 3, bins)) * root
    offsets = 2.0 * rng.normal(size=(realizations, 1, bins)) * root
    bends = bend * rng.normal(size=(realizations, 1, bins)) * root
    phase = rng.uniform(0, 2 * np.pi, (realizations, 1, bins))
    waves = 5.0 * rng.normal(size=(realizations, 3, bins))
    ripple = 0.4 * math.sqrt(2) * np.sin(points @ waves + phase) * root
    square = (points[:, :1] * points[:, 1:2])[None]
    fixed = truth + offsets + points @ slopes + square * bends + ripple
    drawn = truth[:, None] + rng.normal(size=(number, 2, bins)) * root
    return points, np.moveaxis(fixed, 0, 1), drawn, covariance, truth


@pytest.mark.parametrize(("number", "coefficients"), [(30, 4), (1000, 10)])
def test_calibration_takes_out_what_is_smooth_and_measures_the_rest(number, coefficients):
    bend = 1.0 if coefficients == 10 else 0.0
    points, fixed, drawn, covariance, truth = calibration_problem(number, bend=bend)
    root = np.sqrt(np.diag(covariance))
    found = calibrate(points, fixed, drawn, covariance, quadratic=coefficients == 10)
    assert len(found.coefficients) == coefficients
    mean = fixed.mean(axis=1)
    corrected = np.array([found(p, m) for p, m in zip(points, mean, strict=True)])
    left = (corrected - truth) / root
    # The ripple of four, variance 0.16/4, and the error of the fit: so many numbers, two draws.
    expected = 0.16 / 4 + coefficients / number / 2
    assert np.mean(left**2) == pytest.approx(expected, rel=0.5 if number == 30 else 0.15)
    assert abs(left.mean(axis=0)).max() < 5 / math.sqrt(2 * number)
    assert found.scatter == pytest.approx(0.16 / 4, rel=0.35 if number == 30 else 0.1)
    before = (mean - truth) / root
    assert np.mean(before**2) > 5 * np.mean(left**2)
    assert found.offset == pytest.approx(math.sqrt(np.mean(before**2)), rel=0.2)
    for j in (0, 1):
        tensor = found(torch.as_tensor(points[j]), torch.as_tensor(mean[j]))
        np.testing.assert_allclose(tensor.numpy(), corrected[j], rtol=1e-12)


def test_calibration_with_few_sets():
    points, fixed, drawn, covariance, _ = calibration_problem(200)
    found = calibrate(points, fixed, drawn, covariance)
    alone = calibrate(points, fixed[:, :1], drawn, covariance)
    assert alone.scatter is None
    # With spare sets: the correction is that of those used, the scatter what one of them has.
    used = calibrate(points, fixed, drawn, covariance, used=1)
    np.testing.assert_array_equal(used.coefficients, alone.coefficients)
    assert used.scatter == pytest.approx(4 * found.scatter, rel=1e-12)


def test_calibration_refuses_too_few_points():
    with pytest.raises(ValueError, match="5 points: 2 parameters take at least 6"):
        calibrate(np.zeros((5, 2)), np.zeros((5, 1, 3)), np.zeros((5, 1, 3)), np.eye(3))
    with pytest.raises(ValueError, match="11 points: 2 parameters take at least 12"):
        calibrate(
            np.zeros((11, 2)), np.zeros((11, 1, 3)), np.zeros((11, 1, 3)), np.eye(3),
            quadratic=True,
        )  # fmt: skip
    with pytest.raises(ValueError, match="must be \\(p, d\\)"):
        calibrate(np.zeros((5, 2)), np.zeros((5, 3)), np.zeros((5, 3)), np.eye(3))


def test_smooth_power_does_not_remember_where_it_was(halos):
    low, high = np.array(THETA) - 0.05, np.array(THETA) + 0.05
    options = {"seed": 3, "realizations": 2, "mesh": 16, "k_max": 0.6, "bounds": (low, high)}
    first = SmoothPower(halos, **options)
    expected = first(THETA)
    assert first.each(THETA).shape == (2, expected.size)
    other = SmoothPower(halos, **options)
    other([13.2, 0.1, 12.9, 14.1, 1.3])
    np.testing.assert_array_equal(other(THETA), expected)
    tensor = torch.tensor(THETA, dtype=torch.float64, requires_grad=True)
    slope = torch.autograd.grad(other(tensor).sum(), tensor)[0].numpy()
    step = 1e-5
    for j in range(5):
        up, down = np.array(THETA), np.array(THETA)
        up[j] += step
        down[j] -= step
        by_difference = (first(up).sum() - first(down).sum()) / (2 * step)
        assert slope[j] == pytest.approx(by_difference, rel=1e-4, abs=1e-3 * abs(slope).max())
    assert (other.spectra(THETA, [1, 2])[0] != other.spectra(THETA, [2])[0]).any()
    np.testing.assert_array_equal(other.spectra(THETA, [1, 2])[1], other.spectra(THETA, [2])[0])


def test_spare_sets_are_given_and_not_averaged(halos):
    options = {"seed": 3, "mesh": 16, "k_max": 0.6, "reference": THETA}
    plain = SmoothPower(halos, realizations=2, **options)
    spare = SmoothPower(halos, realizations=2, spare=1, **options)
    assert spare.each(THETA).shape == (3, plain.k.size)
    np.testing.assert_array_equal(spare(THETA), plain(THETA))
    np.testing.assert_allclose(spare.each(THETA)[:2].mean(dim=0), plain(THETA), rtol=1e-12)
    assert (spare.each(THETA)[2] != spare.each(THETA)[0]).all()


def test_laplace_of_a_bounded_prior():
    model = Target(lambda t: t, GaussianLikelihood([0.7, -3.0], np.eye(2)), STRENGTHS)
    peak, covariance = laplace(model, [0.0, 0.0])
    assert peak[0] == pytest.approx(0.7, abs=1e-6)
    assert peak[1] == pytest.approx(-0.9)  # half of a tenth of the range within
    np.testing.assert_allclose(covariance, np.eye(2), atol=1e-9)
    points = STRENGTHS.draw_about(peak, covariance, 50, np.random.default_rng(1))
    assert (abs(points) < 1).all()
    with pytest.raises(ValueError, match="lies out of the priors' bounds"):
        STRENGTHS.draw_about(peak + 50, 1e-6 * covariance, 1, np.random.default_rng(1))
