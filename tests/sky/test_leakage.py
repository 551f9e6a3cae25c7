"""Leakage of the PSF: exact data, closed forms, and errors that hold over many mocks."""

from __future__ import annotations

import json
import warnings
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from helpers.leakage_mocks import BINS, NAMES, as_set, drawn, expected, noise, sky
from pysoftcorr import CorrelationSet, Leakage, fit_leakage, tau_statistics
from pysoftcorr.sky.errors_in_variables import Problem
from pysoftcorr.sky.leakage import RHO_OF, TAU_OF, TERMS

THETA = np.array([0.05, 1.0, 1.0])
SUBSETS = [s for n in (1, 2, 3) for s in combinations(TERMS, n)]
CASES = {  # parameters, rho over its noise, tau over its noise
    "signal": ([0.05, 1.0, 1.0], 30, 5),
    "noise in tau": ([0.05, 1.0, 1.0], 6, 1),
    "noise in both": ([0.05, 1.0, 1.0], 6, 5),
    "no leakage": ([0.0, 0.0, 0.0], 6, 5),
    "large leakage": ([0.3, 5.0, -3.0], 6, 5),
}


def masked(theta, terms):
    return np.array([t if name in terms else 0.0 for name, t in zip(TERMS, theta, strict=True)])


# ---------------------------------------------------------------------- values
@pytest.mark.parametrize("covariance", ["joint", "tau"])
@pytest.mark.parametrize("terms", SUBSETS, ids="-".join)
def test_exact_data_give_the_parameters(terms, covariance):
    truth = masked([0.07, -1.3, 2.2], terms)
    resamples = drawn(np.random.default_rng(1), truth, noise(30, 10))
    draws = np.stack([resamples[name].aleatoric.real for name in NAMES], axis=1)
    result = as_set(expected(truth), draws)
    found = fit_leakage(result, terms=terms, covariance=covariance)
    assert found.terms == terms
    np.testing.assert_allclose(found.values, truth[truth != 0], rtol=1e-7)
    assert abs(found.chi2) < 1e-10
    for name, model in found.model().items():
        np.testing.assert_allclose(model, result[name].value, rtol=1e-6)
    rho = {(i, j): result[RHO_OF[i][j]].value for i in range(3) for j in range(3)}
    want = sum(truth[i] * truth[j] * rho[i, j] for i in range(3) for j in range(3))
    np.testing.assert_allclose(found.xi_sys, want, rtol=1e-6)


@pytest.mark.parametrize("terms", SUBSETS, ids="-".join)
def test_rho_exact_is_generalized_least_squares(terms):
    covariance = noise(30, 5)
    result = drawn(np.random.default_rng(2), THETA, covariance)
    own = [TERMS.index(t) for t in terms]
    matrix = np.concatenate([np.array([result[RHO_OF[i][j]].value for j in own]).T for i in own])
    y = np.concatenate([result[TAU_OF[t]].value for t in terms])
    draws = np.hstack([result[TAU_OF[t]].aleatoric.real for t in terms])
    inverse = np.linalg.inv(np.cov(draws.T))
    spread = np.linalg.inv(matrix.T @ inverse @ matrix)
    values = spread @ matrix.T @ inverse @ y
    chi2 = (y - matrix @ values) @ inverse @ (y - matrix @ values)
    plain = fit_leakage(result, terms=terms, covariance="tau", hartlap=False)
    np.testing.assert_allclose(plain.values, values, rtol=1e-8)
    np.testing.assert_allclose(plain.covariance, spread, rtol=1e-8)
    np.testing.assert_allclose(plain.chi2, chi2, rtol=1e-8)
    # By hand: Hartlap et al. (2007), eq. 17; Percival et al. (2014), eqs. 8 and 18.
    n, d, k = 80, len(y), len(own)
    full = fit_leakage(result, terms=terms, covariance="tau")
    hartlap = (n - d - 2) / (n - 1)
    a = 2 / ((n - d - 1) * (n - d - 4))
    b = (n - d - 2) / ((n - d - 1) * (n - d - 4))
    np.testing.assert_allclose(full.chi2, hartlap * chi2, rtol=1e-8)
    percival = (1 + b * (d - k)) / (1 + a + b * (k + 1))
    np.testing.assert_allclose(full.covariance, percival / hartlap * spread, rtol=1e-8)
    given = fit_leakage(result, terms=terms, covariance=np.cov(draws.T))
    np.testing.assert_allclose(given.covariance, spread, rtol=1e-8)


def test_chi2_is_the_least_over_all_true_rho():
    """And its gradient, by finite differences."""
    rng = np.random.default_rng(3)
    index = np.array([[0, 2, 5], [2, 1, 4], [5, 4, 3]]).repeat(4, axis=0)
    index = index * 4 + np.tile(np.arange(4), 3)[:, None]
    root = rng.normal(size=(36, 36)) / 6
    problem = Problem(index, root @ root.T + 0.2 * np.eye(36))
    x, y = rng.normal(size=24), rng.normal(size=12)
    inverse = np.linalg.inv(problem.covariance)
    for theta in rng.normal(size=(4, 3)):
        half, gradient = problem._objective(x, y, theta, np.ones(3))
        # Of x alone it is quadratic: chi2 = (z - A x')^T S^-1 (z - A x'), A = (1, M).
        design = np.vstack([np.eye(24), np.zeros((12, 24))])
        for row, places in enumerate(index):
            for value, place in zip(theta, places, strict=True):
                design[24 + row, place] += value
        z = np.concatenate([x, y])
        best = np.linalg.solve(design.T @ inverse @ design, design.T @ inverse @ z)
        rest = z - design @ best
        np.testing.assert_allclose(2 * half, rest @ inverse @ rest, rtol=1e-9)
        np.testing.assert_allclose(problem._parts(x, y, theta)[2], best, rtol=1e-8, atol=1e-10)
        steps = 1e-6 * np.eye(3)
        numeric = [
            (problem._objective(x, y, theta + s, np.ones(3))[0]
             - problem._objective(x, y, theta - s, np.ones(3))[0]) / 2e-6 for s in steps
        ]  # fmt: skip
        np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-7)
    found = problem.fit(x, y)
    for step in 1e-3 * rng.normal(size=(20, 3)):
        assert 2 * problem._objective(x, y, found.theta + step, np.ones(3))[0] > found.chi2


def test_little_noise_in_rho_changes_nothing():
    result = drawn(np.random.default_rng(4), THETA, noise(1e6, 5))
    joint, exact = (fit_leakage(result, covariance=c) for c in ("joint", "tau"))
    np.testing.assert_allclose(joint.values, exact.values, rtol=1e-3)
    np.testing.assert_allclose(joint.covariance, exact.covariance, rtol=1e-3)
    assert joint.detection > 1e6
    assert exact.detection == np.inf


def test_a_covariance_of_the_whole_set_as_given():
    result = drawn(np.random.default_rng(5), THETA, noise(20, 5))
    own = fit_leakage(result, hartlap=False)
    given = fit_leakage(result, covariance=result.covariance())
    np.testing.assert_allclose(given.values, own.values, rtol=1e-8)
    np.testing.assert_allclose(given.xi_sys_covariance, own.xi_sys_covariance, rtol=1e-8)
    assert given.p_value == stats.chi2.sf(given.chi2, 15)


# ---------------------------------------------------------------------- errors, over mocks
@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_errors_hold_over_mocks(case):
    """Pulls of 240 mocks have mean 0 and standard deviation 1; p-values are uniform.

    The mean of n pulls scatters by 1/sqrt(n) and their standard deviation by 1/sqrt(2n), 0.065
    and 0.046 here; 4 of these, and 0.05 more for what is of higher order in the noise of rho.
    """
    theta, rho, tau = CASES[case]
    rng, n = np.random.default_rng(6), 240
    pulls, p_values = [], []
    for _ in range(n):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one or two in a hundred are too noisy, and say so
            found = fit_leakage(drawn(rng, theta, noise(rho, tau)))
        if found.detection > 9:
            pulls.append((found.values - theta) / found.errors)
        p_values.append(found.p_value)
    assert len(pulls) > 0.9 * n
    assert np.abs(np.mean(pulls, axis=0)).max() < 4 / np.sqrt(n) + 0.05
    assert np.abs(np.std(pulls, axis=0) - 1).max() < 4 / np.sqrt(2 * n) + 0.05
    assert stats.kstest(p_values, "uniform").pvalue > 1e-4


@pytest.mark.slow
def test_exact_rho_is_biased_where_it_is_noisy():
    """What the joint covariance is for: the same mocks, rho taken as exact."""
    theta, rho, tau = CASES["large leakage"]
    rng = np.random.default_rng(7)
    mocks = [drawn(rng, theta, noise(rho, tau)) for _ in range(60)]
    exact = np.mean([fit_leakage(m, covariance="tau").values for m in mocks], axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        joint = np.median([fit_leakage(m).values for m in mocks], axis=0)
    assert exact[1] < 0.9 * theta[1]
    assert abs(joint[1] / theta[1] - 1) < 0.07


@pytest.mark.slow
@pytest.mark.parametrize("case", ["signal", "no leakage"])
def test_error_of_xi_sys(case):
    """For a signal its pulls have mean 0 and variance 1; without, its mean square is right."""
    theta, _, _ = CASES[case]
    true = expected(theta)
    want = sum(theta[i] * theta[j] * true[NAMES.index(RHO_OF[i][j])]
               for i in range(3) for j in range(3))  # fmt: skip
    rng, n, seen = np.random.default_rng(8), 120, []
    for _ in range(n):
        found = fit_leakage(drawn(rng, theta, noise(30, 15)))
        seen.append((found.xi_sys - found.xi_sys_bias - want, found.xi_sys_error))
    error, sigma = np.moveaxis(seen, 1, 0)
    ratio = np.sqrt((error**2).mean(axis=0) / (sigma**2).mean(axis=0))
    # The square of a Gaussian has heavier tails than it: twice the scatter.
    np.testing.assert_allclose(ratio, 1, atol=8 / np.sqrt(2 * n))
    assert np.abs(error.mean(axis=0) / sigma.mean(axis=0)).max() < 5 / np.sqrt(n)


def test_samples():
    result = drawn(np.random.default_rng(9), THETA, noise(40, 10))
    found = fit_leakage(result, n_samples=400, seed=1)
    assert found.samples.shape == (400, 3)
    np.testing.assert_allclose(found.samples.std(axis=0), found.errors, rtol=0.15)
    off = found.samples.mean(axis=0) - found.values
    assert (np.abs(off) < 5 / np.sqrt(400) * found.errors).all()
    again = fit_leakage(result, n_samples=400, seed=1)
    np.testing.assert_array_equal(found.samples, again.samples)
    assert found.seed == 1
    assert fit_leakage(result).samples is None


# ---------------------------------------------------------------------- from catalogs
@pytest.mark.slow
def test_known_leakage_of_mock_catalogs():
    """Galaxies over a smooth PSF with noisy stars: recovered with the errors of the jackknife.

    Forty patches know the noise of a field of a few correlation lengths roughly: pulls of 24 mocks
    are up to 1.4 wide (seen in 72 of them), with a scatter of 0.3 in the middle and in the width.
    """
    truth = np.array([0.1, 1.0, 1.5])
    pulls = []
    for seed in range(24):
        galaxies, stars_ = sky(seed, truth)
        tau = tau_statistics(galaxies, stars_, "log:3:30:4", resampling="jackknife:40", seed=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = fit_leakage(tau)
        pulls.append((found.values - truth) / found.errors)
    low, middle, high = np.quantile(pulls, [0.16, 0.5, 0.84], axis=0)
    assert np.abs(middle).max() < 0.9
    assert ((high - low) / 2 < 1.9).all()
    assert ((high - low) / 2 > 0.5).all()


def test_known_leakage_of_one_mock():
    truth = np.array([0.1, 1.0, 1.5])
    galaxies, stars_ = sky(100, truth, n_galaxies=800)
    tau = tau_statistics(galaxies, stars_, "log:3:30:3", resampling="jackknife:30", seed=1)
    found = fit_leakage(tau)
    assert np.abs((found.values - truth) / found.errors).max() < 4
    assert found.values[1] / found.errors[1] > 3


# ---------------------------------------------------------------------- bins, files, words
def test_bins_between_limits_and_bins_without_pairs():
    result = drawn(np.random.default_rng(10), THETA, noise(30, 5))
    edges = BINS.edges
    for low, high, used in (
        (None, None, [1, 1, 1, 1, 1, 1]), (edges[1], None, [0, 1, 1, 1, 1, 1]),
        (None, edges[4], [1, 1, 1, 1, 0, 0]), (1.5, 40, [0, 1, 1, 1, 0, 0]),
    ):  # fmt: skip
        found = fit_leakage(result, theta_min=low, theta_max=high)
        np.testing.assert_array_equal(found.used, np.array(used, dtype=bool))
        assert found.dof == 3 * sum(used) - 3
        assert np.isfinite(found.xi_sys_error).all()  # in bins that were not fitted too
    holes = np.stack([result[name].value for name in NAMES])
    holes[:, 0] = np.nan
    draws = np.stack([result[name].aleatoric.real for name in NAMES], axis=1)
    draws[:, 6, 2] = np.nan
    with pytest.warns(UserWarning, match="2 of 6 bins are left out"):
        found = fit_leakage(as_set(holes, draws))
    np.testing.assert_array_equal(found.used, [False, True, False, True, True, True])
    assert np.isnan(found.xi_sys_error).tolist() == [True, False, True, False, False, False]


@pytest.mark.parametrize(("size", "known"), [(6, True), (1, False), (0.3, False)])
def test_rho_too_noisy_warns(size, known):
    """At six times its noise rho bounds all three, at its noise it does not."""
    warned = 0
    for seed in range(20):
        result = drawn(np.random.default_rng(seed), THETA, noise(size, 3))
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found = fit_leakage(result)
        warned += any("rho is too noisy to bound alpha, beta, eta" in str(w.message) for w in said)
        assert (found.detection < 9) == bool(said)
    assert warned <= 2 if known else warned >= 18


def test_files_and_words(tmp_path):
    result = drawn(np.random.default_rng(12), THETA, noise(30, 5))
    for options in ({"n_samples": 20, "seed": 3}, {"terms": ["alpha", "beta"], "theta_min": 2.0}):
        found = fit_leakage(result, **options)
        path = tmp_path / f"{len(options['terms']) if 'terms' in options else 3}.h5"
        found.write(path)
        again = Leakage.read(path)
        assert json.dumps(again.to_dict()) == json.dumps(found.to_dict())
        assert again.summary() == found.summary()
        for name in ("values", "covariance", "xi_sys_covariance", "used"):
            np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
        for name in ("rho", "tau", "tau_error"):
            for key, values in getattr(found, name).items():
                np.testing.assert_array_equal(getattr(again, name)[key], values)
        with pytest.raises(FileExistsError):
            found.write(path)
    text = found.summary()
    assert "alpha" in text
    assert "eta" not in text.replace("beta", "").replace("theta", "")
    assert "for 8 degrees of freedom" in text
    assert repr(found).startswith("<Leakage: alpha = ")
    np.testing.assert_allclose(found.correlation, found.correlation.T)
    result.write(tmp_path / "tau.h5")
    assert fit_leakage(CorrelationSet.read(tmp_path / "tau.h5")).value == fit_leakage(result).value
    with pytest.raises(ValueError, match="holds no leakage fit"):
        Leakage.read(tmp_path / "tau.h5")


def test_bad_input():
    result = drawn(np.random.default_rng(13), THETA, noise(30, 5))
    few = drawn(np.random.default_rng(13), THETA, noise(30, 5), n=20)
    bare = as_set(expected(THETA), None)
    lone = CorrelationSet([result.tau0, result.rho0])
    for given, options, message in (
        (result, {"terms": ["gamma"]}, "terms = 'gamma': must be one of alpha, beta, eta"),
        (result, {"terms": []}, "terms = none"),
        (result, {"terms": ["eta", "eta"]}, "terms = eta, eta: must be different"),
        (result, {"covariance": "rho"}, "covariance = 'rho': must be one of joint, tau"),
        (result, {"covariance": np.eye(3)}, r"must have shape \(18, 18\) or \(54, 54\)"),
        (result, {"theta_min": 200}, "theta_min = 200.0: no bin lies within; edges are 1,"),
        (result, {"theta_min": -1}, "theta_min = -1: must be at least 0"),
        (result, {"n_samples": -1}, "n_samples = -1"),
        (few, {}, "needs at least 23 resamples, and there are 20: use more"),
        (few, {"hartlap": False, "n_samples": 2.5}, "n_samples = 2.5"),
        (bare, {}, "no resamples, hence no covariance"),
        (lone, {}, "tau2, tau5 not in the result"),
        (result, {"covariance": np.zeros((18, 18))}, "has no inverse"),
    ):
        kind = TypeError if message == "n_samples = 2.5" else ValueError
        with pytest.raises(kind, match=message):
            fit_leakage(given, **options)
    with pytest.raises(TypeError, match="result must be a CorrelationSet, not int"):
        fit_leakage(3)
    assert fit_leakage(few, hartlap=False).dof == 15
    assert fit_leakage(lone, terms="alpha").terms == ("alpha",)
