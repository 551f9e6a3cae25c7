"""Relaxed trials, occupations, NFW radii and Watson axes: means, limits, derivatives."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, special

torch = pytest.importorskip("torch")

from pysoftcorr.diffhod import (  # noqa: E402
    nfw_radius,
    relaxed_bernoulli,
    watson_axes,
    watson_cosine,
)
from pysoftcorr.diffhod.occupation import (  # noqa: E402
    log_mean_nsat,
    log_odds_central,
    mean_ncen,
    mean_nsat,
)
from pysoftcorr.diffhod.relaxed import (  # noqa: E402
    PLAIN,
    REACH,
    calibrated,
    relaxed_mean,
    trial_weights,
)
from pysoftcorr.mocks import HODModel, alignment  # noqa: E402
from pysoftcorr.mocks import satellites as exact  # noqa: E402
from pysoftcorr.mocks.design import _Z07  # noqa: E402

F64 = torch.float64


def bent(x: float, reach: float) -> float:
    """The sigmoid, its smaller part v made (v - a)^2/v of the same height at x = 0, and 0 below
    a, its value at the reach."""
    a = special.expit(-reach)
    v = max(special.expit(-abs(x)), a)
    small = (v - a) ** 2 / v / (1 - 2 * a) ** 2
    return 1 - small if x > 0 else small


def quadrature(log_odds: float, tau: float, reach: float) -> float:
    """E[W((l + eps)/tau)] by its definition."""

    def f(eps: float) -> float:
        density = special.expit(eps) * special.expit(-eps)
        return bent((log_odds + eps) / tau, reach) * density

    joints = [-log_odds + s * tau * reach for s in (-1, 0, 1) if s * reach < 1e3]
    value = integrate.quad(f, -60, 60, points=joints, limit=500, epsabs=0, epsrel=1e-11)
    return value[0]


@pytest.mark.parametrize("reach", [np.inf, REACH])
@pytest.mark.parametrize("tau", [0.01, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("log_odds", [-14.0, -3.0, 0.3, 6.0])
def test_mean_of_relaxed_trial(tau: float, log_odds: float, reach: float) -> None:
    mean, slope = relaxed_mean([log_odds], tau, reach)
    wide = 40.0 if np.isinf(reach) else reach
    assert mean[0] == pytest.approx(quadrature(log_odds, tau, wide), rel=1e-10)
    h = 1e-4
    above, below = (relaxed_mean([log_odds + d], tau, reach)[0][0] for d in (h, -h))
    assert slope[0] == pytest.approx((above - below) / (2 * h), rel=1e-6)


@pytest.mark.parametrize("tau", [0.02, 0.1, 0.5, 0.9])
def test_calibrated_mean_is_the_probability(tau: float) -> None:
    log_odds = torch.linspace(-25, 25, 1234, dtype=F64)
    mean = relaxed_mean(calibrated(log_odds, tau), tau, REACH)[0]
    np.testing.assert_allclose(mean, special.expit(log_odds.numpy()), rtol=2e-9)
    # Without it rare trials have too much, in the known proportion.
    bare = relaxed_mean(log_odds[:1], tau)[0] / special.expit(log_odds[:1].numpy())
    # (Of a trial this rare the limit is reached to e^(25 (1 - 1/tau)).)
    assert bare[0] == pytest.approx(
        np.pi * tau / np.sin(np.pi * tau), rel=0.4 if tau > 0.8 else 1e-6
    )


def test_calibration_has_the_slope_it_says() -> None:
    log_odds = torch.linspace(-40, 40, 1001, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: calibrated(x, 0.3), (log_odds,), atol=1e-7)
    single = calibrated(log_odds.detach().float(), 0.3)
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single, calibrated(log_odds.detach(), 0.3), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("row", range(9))
def test_occupation_mean_is_that_of_zheng(row: int) -> None:
    """Within 1 % from 10^11.5 to 10^15 Msun/h at tau = 0.1, by the exact mean of the trials."""
    params = [_Z07[n][row] for n in ("logMmin", "sigma_logM", "logM0", "logM1", "alpha")]
    names = ("logMmin", "sigma_logM", "logM0", "logM1", "alpha")
    model = HODModel(**dict(zip(names, params, strict=True)))
    mass = np.geomspace(10**11.5, 1e15, 80)
    t = torch.tensor(params, dtype=F64)
    odds = log_odds_central(torch.as_tensor(np.log10(mass)), t)
    central = relaxed_mean(calibrated(odds, 0.1), 0.1, REACH)[0]
    some = model.mean_ncen(mass) > 1e-13
    np.testing.assert_allclose(central[some], model.mean_ncen(mass)[some], rtol=1e-6)
    trials = 64 * np.maximum(mass / 1e13, 1)
    log_p = log_mean_nsat(torch.as_tensor(np.log10(mass)), t).numpy() - np.log(trials)
    some = (log_p > -30) & (log_p < 0)
    assert some.sum() > 15
    odds = torch.as_tensor(log_p[some] - np.log(-np.expm1(log_p[some])))
    satellites = trials[some] * relaxed_mean(calibrated(odds, 0.1), 0.1, REACH)[0]
    np.testing.assert_allclose(satellites, model.mean_nsat(mass)[some], rtol=1e-6)


@pytest.mark.parametrize("modulate", [False, True])
def test_occupations_and_their_derivatives(modulate: bool) -> None:
    names = ("logMmin", "sigma_logM", "logM0", "logM1", "alpha")
    params = torch.tensor([12.0, 0.4, 11.8, 13.1, 0.9], dtype=F64, requires_grad=True)
    mass = np.geomspace(1e11, 1e15, 40)
    model = HODModel(**dict(zip(names, params.tolist(), strict=True)), modulate=modulate)
    np.testing.assert_allclose(mean_ncen(mass, params).detach(), model.mean_ncen(mass), rtol=1e-10)
    found = mean_nsat(mass, params, modulate=modulate)
    np.testing.assert_allclose(found.detach(), model.mean_nsat(mass), rtol=1e-10)
    log_mass = torch.as_tensor(np.log10(mass))
    assert torch.autograd.gradcheck(lambda t: mean_nsat(mass, t, modulate=modulate), (params,))
    assert torch.autograd.gradcheck(lambda t: log_odds_central(log_mass, t), (params,))
    # Also at the cut-off itself, and far below the step, nothing is NaN.
    edge = torch.tensor([3.0, 11.8, 11.8 + 1e-15], dtype=F64)
    value = torch.exp(log_mean_nsat(edge, params, modulate=modulate)).sum()
    value = value + torch.sigmoid(log_odds_central(edge, params)).sum()
    assert torch.isfinite(torch.autograd.grad(value, params)[0]).all()


@pytest.mark.parametrize("reach", [PLAIN, REACH, 2.0])
def test_trial_weights(monkeypatch: pytest.MonkeyPatch, reach: float) -> None:
    rng = np.random.default_rng(2)
    odds = torch.tensor(rng.normal(size=5), dtype=F64, requires_grad=True)
    noise = torch.tensor(rng.logistic(size=150), dtype=F64)
    host = torch.tensor(rng.integers(0, 5, 150))
    x = (odds[host] + noise) / 0.1
    expected = [bent(v, reach) for v in x.tolist()]
    if reach == PLAIN:  # the published form
        np.testing.assert_allclose(expected, torch.sigmoid(x).detach(), atol=5e-9)
    assert np.ptp(expected) == 1.0
    for part in (1 << 20, 64):
        monkeypatch.setattr("pysoftcorr.diffhod.relaxed._CHUNK", part)

        def weights(o: torch.Tensor) -> torch.Tensor:
            return trial_weights(o, noise, host, tau=0.1, reach=reach)

        np.testing.assert_allclose(weights(odds).detach(), expected, rtol=1e-12, atol=1e-15)
        assert torch.autograd.gradcheck(weights, (odds,), eps=1e-7, atol=1e-5)


def test_weights_end_without_a_step_or_a_corner() -> None:
    odds = torch.zeros(601, dtype=F64, requires_grad=True)
    noise = torch.linspace(-0.63, 0.63, 601, dtype=F64)
    w = trial_weights(odds, noise, torch.arange(601), tau=0.1)
    slope = torch.autograd.grad(w.sum(), odds)[0]
    outside = noise.abs() >= 0.1 * REACH
    assert (w[outside].detach() == (noise[outside] > 0)).all()
    assert (slope[outside] == 0).all()
    assert (slope[~outside] > 0).all()
    # The steepest of the sigmoid is 2.5, and its curvature 0.096/tau^2; that of the bend is less.
    assert 2.4 < slope.max() < 2.6
    assert slope.diff().abs().max() < 10 * 1.26 / 600
    np.testing.assert_allclose(w.detach() + w.detach().flip(0), 1.0, atol=1e-15)
    assert (w.detach() - torch.sigmoid(noise / 0.1)).abs().max() < 0.005


def test_relaxed_draws() -> None:
    """Mean and mean square of stratified draws: p, and about p - tau p (1 - p)/g'."""
    u = (torch.arange(200_000, dtype=F64) + 0.5) / 200_000
    noise = torch.logit(u)
    for p0 in (0.003, 0.3, 0.9):
        p = torch.tensor(p0, dtype=F64, requires_grad=True)
        z = relaxed_bernoulli(p, noise, tau=0.2)
        assert z.mean().item() == pytest.approx(p0, rel=1e-3)
        slope = torch.autograd.grad(z.mean(), p)[0]
        assert slope.item() == pytest.approx(1.0, rel=2e-3)
        log_odds = torch.logit(p.detach()).requires_grad_()
        rate = torch.autograd.grad(calibrated(log_odds, 0.2), log_odds)[0].item()
        expected = p0 - 0.2 * p0 * (1 - p0) / rate
        # Exactly so but for the bend of the tails, 0.005 of the weight at most.
        assert (z.detach() ** 2).mean().item() == pytest.approx(expected, rel=0.02)
        bare = relaxed_bernoulli(p.detach(), noise, tau=0.2, calibrate=False)
        mean, slope = relaxed_mean(log_odds.detach(), 0.2)
        assert bare.mean().item() == pytest.approx(mean, rel=1e-3)
        assert (bare**2).mean().item() == pytest.approx(mean - 0.2 * slope, rel=2e-3)
    certain = relaxed_bernoulli(torch.tensor([0.0, 1.0], dtype=F64), noise[1000:1002])
    assert certain.tolist() == pytest.approx([0.0, 1.0], abs=1e-12)
    with pytest.raises(ValueError, match="probability must lie"):
        relaxed_bernoulli(torch.tensor([1.2]), torch.zeros(1))
    with pytest.raises(ValueError, match="tau = 1"):
        relaxed_bernoulli(torch.tensor([0.2]), torch.zeros(1), tau=1.0)


# ---------------------------------------------------------------------- NFW
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-13), (torch.float32, 3e-6)])
def test_nfw_radius_is_that_of_the_mocks(dtype: torch.dtype, rtol: float) -> None:
    rng = np.random.default_rng(1)
    u = np.concatenate([[0.0, 1.0, 1e-12], rng.random(5000) ** 3])
    c = 10 ** rng.uniform(-1, 2.2, u.size)
    found = nfw_radius(torch.tensor(u, dtype=dtype), torch.tensor(c, dtype=dtype))
    assert found.dtype == dtype
    np.testing.assert_allclose(found, exact.nfw_radius(u, c), rtol=rtol, atol=1e-30)


def test_nfw_radius_solves_the_lambert_equation_and_differentiates_it() -> None:
    rng = np.random.default_rng(1)
    u = torch.tensor(rng.uniform(0.01, 0.99, 60), requires_grad=True)
    c = torch.tensor(rng.uniform(1, 30, 60), requires_grad=True)
    w = special.lambertw(-np.exp(-1 - (u * (torch.log1p(c) - c / (1 + c))).detach().numpy())).real
    np.testing.assert_allclose(
        nfw_radius(u, c).detach(), (-1 - 1 / w) / c.detach().numpy(), rtol=1e-9
    )
    assert torch.autograd.gradcheck(nfw_radius, (u, c))
    # At the center the derivative by the concentration is 0, not NaN.
    zero = torch.zeros(2, dtype=F64)
    assert torch.autograd.grad(nfw_radius(zero, c[:2]).sum(), c)[0].abs().max() == 0
    with pytest.raises(ValueError, match="u must lie in"):
        nfw_radius([0.2, 1.5], 3.0)
    with pytest.raises(ValueError, match="concentration must be above 0"):
        nfw_radius([0.2], 0.0)


# ---------------------------------------------------------------------- Watson
@pytest.mark.parametrize("mu", [-0.999, -0.4, -1e-3, 0.0, 1e-5, 1e-3, 0.3, 0.9, 0.9999])
def test_watson_quantile_and_its_derivative(mu: float) -> None:
    u = np.random.default_rng(1).random(300)
    strength = torch.tensor(mu, dtype=F64, requires_grad=True)
    cos, sin = watson_cosine(torch.tensor(u), strength)
    np.testing.assert_array_equal(cos.detach(), alignment.watson_quantile(u, mu)[0])
    np.testing.assert_array_equal(sin.detach(), alignment.watson_quantile(u, mu)[1])
    each = torch.full((300,), mu, dtype=F64, requires_grad=True)
    cos, sin = watson_cosine(torch.tensor(u), each)
    slopes = [torch.autograd.grad(x.sum(), each, retain_graph=True)[0].numpy() for x in (cos, sin)]
    h = 1e-5 * min(1.0, 1 - abs(mu))
    up, down = (alignment.watson_quantile(u, mu + d) for d in (h, -h))
    for slope, above, below in zip(slopes, up, down, strict=True):
        numerical = (above - below) / (2 * h)
        np.testing.assert_allclose(slope, numerical, rtol=1e-5, atol=2e-9 / h)


def test_watson_axes() -> None:
    rng = np.random.default_rng(3)
    n = rng.normal(size=(200, 3))
    n /= np.linalg.norm(n, axis=1)[:, None]
    u1, u2 = rng.random((2, 200))
    axes = watson_axes(n, -0.3, u1, u2)
    np.testing.assert_allclose(axes, alignment.watson_axes(n, -0.3, u1, u2), atol=1e-15)
    single = watson_axes(torch.tensor(n, dtype=torch.float32), 0.5, u1.tolist(), u2.tolist())
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single, alignment.watson_axes(n, 0.5, u1, u2), atol=2e-6)
    for end in (-1.0, 1.0):
        mu = torch.tensor(end, dtype=F64, requires_grad=True)
        axes = watson_axes(n, mu, u1, u2)
        assert torch.isfinite(torch.autograd.grad(axes.sum(), mu)[0])
    with pytest.raises(ValueError, match=r"mu = 1.5"):
        watson_axes(n, 1.5, u1, u2)
    with pytest.raises(ValueError, match="u1 must have shape"):
        watson_axes(n, 0.5, u1[:5], u2)
