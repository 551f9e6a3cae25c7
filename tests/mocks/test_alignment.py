"""The Dimroth-Watson distribution: moments, draws, limits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, special, stats

from pysoftcorr.mocks import alignment

STRENGTHS = (-0.999, -0.9, -0.5, -0.01, 0.01, 0.3, 0.5, 0.7, 0.9, 0.98, 0.999)


def density_moment(mu: float, power: int) -> float:
    """<t^power> by quadrature of exp(a (t^2 - 1)) or exp(a t^2), whichever stays finite."""
    a = np.tan(np.pi * mu / 2)
    shift = max(a, 0.0)
    points = [0.0, 1.0] if abs(a) < 10 else [0.0, min(20 / abs(a), 1), max(1 - 20 / abs(a), 0), 1.0]

    def integral(k: int) -> float:
        f = lambda t: t**k * np.exp(a * t * t - shift)  # noqa: E731
        return sum(
            integrate.quad(f, lo, hi, epsabs=0, epsrel=1e-13, limit=200)[0]
            for lo, hi in zip(sorted(points), sorted(points)[1:], strict=False)
            if hi > lo
        )

    return integral(power) / integral(0)


def cumulative(t: np.ndarray, mu: float) -> np.ndarray:
    a = np.tan(np.pi * mu / 2)
    root = np.sqrt(abs(a))
    if a == 0:
        return (1 + t) / 2
    if a < 0:
        return 0.5 + 0.5 * special.erf(root * t) / special.erf(root)
    grown = np.exp(a * (t * t - 1)) * special.dawsn(root * t) / special.dawsn(root)
    return 0.5 + 0.5 * grown


def test_mean_cos2_has_the_published_values() -> None:
    mu = [-0.9, -0.5, 0, 0.3, 0.5, 0.7, 0.9, 0.99]
    published = [0.0788, 0.2537, 1 / 3, 0.3807, 0.4292, 0.5275, 0.8187, 0.9842]
    np.testing.assert_allclose(alignment.mean_cos2(mu), published, atol=5e-5)


@pytest.mark.parametrize("mu", STRENGTHS)
def test_mean_cos2_against_quadrature(mu: float) -> None:
    assert alignment.mean_cos2(mu) == pytest.approx(density_moment(mu, 2), rel=1e-10)
    a = np.tan(np.pi * mu / 2)
    variance = density_moment(mu, 4) - density_moment(mu, 2) ** 2
    expected = variance * (1 + a * a) * np.pi / 2
    assert alignment.mean_cos2_derivative(mu) == pytest.approx(expected, rel=1e-6)


def test_derivative_against_differences_everywhere() -> None:
    mu = np.linspace(-0.9999, 0.9999, 2001)
    h = 1e-6
    difference = (alignment.order_parameter(mu + h) - alignment.order_parameter(mu - h)) / (2 * h)
    np.testing.assert_allclose(alignment.order_parameter_derivative(mu), difference, atol=2e-8)


def test_ends_are_exact_and_approached() -> None:
    assert alignment.mean_cos2([-1, 0, 1]).tolist() == [0.0, pytest.approx(1 / 3, abs=1e-16), 1.0]
    assert alignment.order_parameter([-1, 1]).tolist() == [-0.5, 1.0]
    ends = alignment.mean_cos2_derivative([-1, -1 + 1e-9, 1 - 1e-9, 1])
    np.testing.assert_allclose(ends, [np.pi / 4, np.pi / 4, np.pi / 2, np.pi / 2], rtol=1e-8)
    assert isinstance(alignment.mean_cos2(0.5), float)


@pytest.mark.parametrize("mu", STRENGTHS)
def test_quantile_inverts_the_distribution(mu: float) -> None:
    u = np.concatenate([[1e-12, 1e-6], np.linspace(0.001, 0.999, 501), [1 - 1e-6, 1 - 1e-12]])
    t, s = alignment.watson_quantile(u, mu)
    np.testing.assert_allclose(cumulative(t, mu), u, atol=2e-13)
    np.testing.assert_allclose(t * t + s * s, 1, atol=1e-15)
    assert (np.diff(t) > 0).all()


def test_quantile_near_alignment_keeps_the_sine() -> None:
    # There 1 - t^2 is exponentially distributed: sin^2 = -ln(v)/a to first order in 1/a.
    u = np.array([0.6, 0.9, 0.99])
    _, s = alignment.watson_quantile(u, 1 - 1e-9)
    a = alignment.concentration(1 - 1e-9)
    np.testing.assert_allclose(s**2, -np.log(2 * u - 1) / a, rtol=1e-6)


def test_quantile_limits() -> None:
    u = np.array([0.25, 0.5, 0.75])
    np.testing.assert_allclose(alignment.watson_quantile(u, 0.0)[0], [-0.5, 0, 0.5], atol=1e-15)
    assert np.abs(alignment.watson_quantile(u, 1.0)[0]).tolist() == [1, 1, 1]
    assert np.abs(alignment.watson_quantile(u, -1.0)[0]).tolist() == [0, 0, 0]
    for mu in (1e-14, -1e-14, 1e-11, -1e-11):
        near = alignment.watson_quantile(u, mu)[0]
        np.testing.assert_allclose(near, [-0.5, 0, 0.5], atol=1e-10)


def test_quantile_moves_smoothly_with_the_strength() -> None:
    mu = np.linspace(-1, 1, 4001)
    t = alignment.watson_quantile(np.full(mu.size, 0.8), mu)[0]
    assert (np.diff(t) > 0).all()
    assert np.diff(t).max() < 0.02


@pytest.mark.parametrize("mu", [-0.95, -0.4, 0.0, 0.35, 0.8, 0.97])
def test_draws_follow_the_distribution(mu: float) -> None:
    rng = np.random.default_rng(11)
    reference = rng.normal(size=(40_000, 3))
    axes = alignment.draw_watson(reference, mu, rng)
    np.testing.assert_allclose(np.linalg.norm(axes, axis=1), 1, atol=1e-14)
    n = reference / np.linalg.norm(reference, axis=1)[:, None]
    t = np.einsum("ij,ij->i", axes, n)
    # With this seed; by chance below 0.001 in one of a thousand.
    assert stats.kstest(t, lambda x: cumulative(x, mu)).pvalue > 1e-3
    # Isotropic about the reference: the azimuth about it, from the direction of x.
    p = np.cross(n, [1.0, 0, 0])
    q = np.cross(n, p)
    phi = np.arctan2(np.einsum("ij,ij->i", axes, q), np.einsum("ij,ij->i", axes, p))
    assert stats.kstest(phi, stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 1e-3


def test_an_axis_does_not_depend_on_the_others() -> None:
    u, mu = np.random.default_rng(4).random((2, 500))
    t, s = alignment.watson_quantile(u, mu)
    for rows in (slice(0, 1), slice(3, 40), slice(100, None, 7)):
        alone = alignment.watson_quantile(u[rows], mu[rows])
        np.testing.assert_array_equal(alone, (t[rows], s[rows]))


def test_mixed_strengths_and_poles() -> None:
    reference = np.array([[0, 0, 1.0], [0, 0, -1.0], [0, 0, 1.0], [1.0, 0, 0]])
    axes = alignment.draw_watson(reference, [1, 1, -1, -1], np.random.default_rng(2))
    cos = np.abs(np.einsum("ij,ij->i", axes, reference))
    np.testing.assert_allclose(cos, [1, 1, 0, 0], atol=1e-15)
    np.testing.assert_allclose(np.linalg.norm(axes, axis=1), 1, atol=1e-15)


def test_strength_by_radius() -> None:
    mu, slope = alignment.satellite_strength(-0.5, -1.0, [1.0, 0.8, 0.25])
    assert mu.tolist() == [-0.5, -0.625, -1.0]
    assert slope.tolist() == [1.0, 1.25, 0.0]


def test_bad_input_is_named() -> None:
    rng = np.random.default_rng(1)
    with pytest.raises(ValueError, match=r"mu = 1.5: an alignment strength lies in \[-1, 1\]"):
        alignment.mean_cos2([0.1, 1.5])
    with pytest.raises(ValueError, match="mu = nan"):
        alignment.mean_cos2(np.nan)
    with pytest.raises(TypeError, match=r"mu = .high.: must be an array"):
        alignment.mean_cos2("high")
    with pytest.raises(ValueError, match=r"reference has no direction .* row 1 "):
        alignment.draw_watson([[1, 0, 0], [0, 0, 0]], 0.5, rng)
    with pytest.raises(ValueError, match="NaN"):
        alignment.draw_watson([[1, 0, np.nan]], 0.5, rng)
    with pytest.raises(TypeError, match=r"rng must be a numpy.random.Generator, not int"):
        alignment.draw_watson([[1, 0, 0]], 0.5, 3)  # type: ignore[arg-type]
