"""The training design, and the correlation of matter that its rows are held against."""

from __future__ import annotations

import numpy as np
import pytest

from pysoftcorr.mocks import HODModel, training_design
from pysoftcorr.mocks.cosmology import Cosmology, matter_correlation, nonlinear_power
from pysoftcorr.mocks.design import parameter_bounds
from pysoftcorr.mocks.hod import PARAMETERS

LOG_M1 = (12.40, 12.68, 12.83, 13.01, 13.31, 13.58, 13.94, 13.91, 14.69)
LOG_MMIN = (11.35, 11.46, 11.60, 11.75, 12.02, 12.30, 12.79, 13.38, 14.22)


def test_bounds_are_four_rmse_about_the_least_squares_line() -> None:
    a = np.stack([np.ones(9), LOG_MMIN], axis=1)
    (start, slope), squares, *_ = np.linalg.lstsq(a, np.array(LOG_M1), rcond=None)
    low, high = parameter_bounds(np.array([11.0, 15.0]))["logM1"]
    np.testing.assert_allclose((low + high) / 2, start + slope * np.array([11.0, 15.0]), rtol=1e-12)
    np.testing.assert_allclose(high - low, 8 * np.sqrt(squares[0] / 9), rtol=1e-10)


def test_every_published_sample_lies_within_the_bounds() -> None:
    low, high = parameter_bounds(LOG_MMIN)["logM1"]
    assert ((low < LOG_M1) & (high > LOG_M1)).all()


@pytest.mark.parametrize("sampling", ["sobol", "random"])
def test_points_are_uniform_within_their_bounds(sampling: str) -> None:
    design = training_design(1024, seed=5, sampling=sampling)
    assert design.shape == (1024, 7)
    u = np.empty_like(design)
    u[:, :2] = (design[:, :2] + 1) / 2
    u[:, 2] = (design[:, 2] - 11) / 4
    for i, name in enumerate(PARAMETERS[3:], start=3):
        low, high = parameter_bounds(design[:, 2])[name]
        u[:, i] = (design[:, i] - low) / (high - low)
    assert u.min() >= 0
    assert u.max() <= 1
    counts = np.stack([np.histogram(column, 16, (0, 1))[0] for column in u.T])
    if sampling == "sobol":  # each sixteenth holds exactly its share
        assert (counts == 64).all()
    else:
        chi2 = ((counts - 64) ** 2 / 64).sum(axis=1)
        assert chi2.max() < 45  # 15 degrees of freedom: 1e-4
        assert chi2.min() > 1
    correlation = np.corrcoef(u.T) - np.eye(7)
    assert abs(correlation).max() < (0.02 if sampling == "sobol" else 0.15)
    for point in design:
        HODModel(**dict(zip(PARAMETERS, point, strict=True)))


def test_a_narrower_range_keeps_the_bounds_of_the_others() -> None:
    design = training_design(256, seed=5, logMmin=(11.2, 13.0))
    assert 11.2 <= design[:, 2].min() < 11.21
    assert 12.99 < design[:, 2].max() <= 13.0
    for i, name in enumerate(PARAMETERS[3:], start=3):
        low, high = parameter_bounds(design[:, 2])[name]
        assert (design[:, i] >= low).all()
        assert (design[:, i] <= high).all()


@pytest.mark.parametrize("sampling", ["sobol", "random"])
def test_a_design_follows_from_its_seed_and_fewer_points_are_the_first(sampling: str) -> None:
    many = training_design(33, seed=2, sampling=sampling)
    np.testing.assert_array_equal(many, training_design(33, seed=2, sampling=sampling))
    np.testing.assert_array_equal(many[:5], training_design(5, seed=2, sampling=sampling))
    assert not np.array_equal(many, training_design(33, seed=3, sampling=sampling))


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"points": 0}, ValueError, "points = 0: must be at least 1"),
        ({"points": 2.5}, TypeError, "points = 2.5: must be a whole number"),
        ({"points": True}, TypeError, "points = True"),
        ({"points": 2, "sampling": "grid"}, ValueError, "sampling = 'grid'"),
        ({"points": 2, "seed": -1}, ValueError, "seed = -1"),
        ({"points": 2, "logMmin": (13, 11)}, ValueError, r"logMmin = \(13, 11\): the second"),
        ({"points": 2, "logMmin": 12}, TypeError, "logMmin = 12: must be two numbers"),
    ],
)
def test_bad_options_are_named(options: dict, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        training_design(**options)


def test_halofit_agrees_with_another_code() -> None:
    """Boosts by CAMB 2.0.5 (Takahashi), of nearly this cosmology and its own linear spectrum."""
    planck = Cosmology("planck18")
    k = np.array([0.01, 0.1, 0.5, 1.0, 5.0, 10.0, 50.0])
    camb = [0.99345, 1.01153, 2.45800, 5.89468, 29.0159, 42.6547, 91.5963]
    np.testing.assert_allclose(nonlinear_power(k, planck) / planck.power(k), camb, rtol=0.05)


def test_matter_is_linear_early_and_at_large_separations() -> None:
    planck = Cosmology("planck18")
    k = np.geomspace(1e-3, 1e-2, 5)
    np.testing.assert_allclose(nonlinear_power(k, planck), planck.power(k), rtol=0.01)
    early = nonlinear_power(k * 100, planck, 30.0) / planck.power(k * 100, 30.0)
    assert early.max() < 1.1


def test_the_transform_agrees_with_an_integral_by_another_rule() -> None:
    planck = Cosmology("planck18")
    r = np.array([0.5, 3.0, 12.0])
    # Linear in k and damped far beyond the scales asked for.
    k = np.linspace(1e-5, 400.0, 2_000_001)
    p = nonlinear_power(k, planck) * np.exp(-((k / 120) ** 2)) * k**2 / (2 * np.pi**2)
    direct = [float((p * np.sinc(k * x / np.pi)).sum() * (k[1] - k[0])) for x in r]
    np.testing.assert_allclose(matter_correlation(r, planck), direct, rtol=0.01)
    with pytest.raises(ValueError, match="must be above 0"):
        matter_correlation([0.0, 1.0], planck)
