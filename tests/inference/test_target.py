"""Likelihood, priors and target of the samplers in blocks."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from scipy import stats  # noqa: E402

from helpers.linear_posterior import CUT, Linear  # noqa: E402
from pysoftcorr.diffhod.experiments.targets import PRIORS  # noqa: E402
from pysoftcorr.inference import Normal, Priors, TruncatedNormal  # noqa: E402
from pysoftcorr.inference.target import Coordinates, GaussianLikelihood, Target  # noqa: E402

INF = np.inf


def test_the_papers_priors():
    assert PRIORS.names == ("logMmin", "sigma_logM", "logM0", "logM1", "alpha")
    assert PRIORS.mean.tolist() == [12.0, 0.25, 11.25, 13.2, 1.0]
    assert PRIORS.sd.tolist() == [0.5, 0.2, 0.5, 0.5, 0.2]
    at = np.array([12.3, 0.5, 11.0, 13.0, 1.1])
    expected = stats.norm(PRIORS.mean, PRIORS.sd).logpdf(at).sum()
    peak = stats.norm(PRIORS.mean, PRIORS.sd).logpdf(PRIORS.mean).sum()
    found = PRIORS.log_density(at) - PRIORS.log_density(PRIORS.mean)
    assert found == pytest.approx(expected - peak, abs=1e-12)
    flat = Target(lambda params: np.zeros(1), GaussianLikelihood([0.0], [[1.0]]), PRIORS)
    assert flat.log_posterior(at) == pytest.approx(expected - peak, abs=1e-12)
    assert flat.log_posterior([12.3, 0.0, 11.0, 13.0, 1.1]) == -INF
    assert PRIORS.log_density([12.3, 0.0, 11.0, 13.0, 1.1]) == -INF
    assert (PRIORS.inside([12.0, -3.0, 11.0, 13.0, 1.0]) > PRIORS.low).all()


def test_priors_and_likelihood_refuse_what_is_wrong():
    with pytest.raises(ValueError, match="TruncatedNormal: sd = 0 must be above 0"):
        TruncatedNormal(0.0, 0.0, -1.0, 1.0)
    with pytest.raises(ValueError, match="TruncatedNormal: low = 1 must be below high = -1"):
        TruncatedNormal(2.0, 1.0, 1.0, -1.0)
    with pytest.raises(ValueError, match="priors: one is bounded above alone"):
        Coordinates(Priors({"a": TruncatedNormal(0, 1, high=1.0)}), [0.0], [[1.0]])
    with pytest.raises(ValueError, match="positive definite"):
        GaussianLikelihood([1.0, 2.0], [[1.0, 2.0], [2.0, 1.0]])
    with pytest.raises(ValueError, match="must be \\(n,\\) and \\(n, n\\)"):
        GaussianLikelihood([1.0, 2.0], [[1.0]])


def test_likelihood_is_that_of_scipy_over_many_decades():
    rng = np.random.default_rng(2)
    scale = 10.0 ** np.arange(-4, 4)
    root = rng.normal(size=(8, 8)) + 3 * np.eye(8)
    covariance = root @ root.T * np.outer(scale, scale)
    data, x = rng.normal(size=(2, 8)) * scale
    # scipy takes small eigenvalues for 0, so it is asked in units of the scale
    normal = stats.multivariate_normal(data / scale, covariance / np.outer(scale, scale))
    expected = normal.logpdf(x / scale) - normal.logpdf(data / scale)
    ours = GaussianLikelihood(data, covariance)
    assert ours(x) == pytest.approx(expected, rel=1e-9)
    assert float(ours(torch.as_tensor(x))) == pytest.approx(ours(x), rel=1e-12)


def test_potential_and_log_posterior_are_of_one_density():
    """The potential in u is -ln of the density in the parameters less ln |d(params)/du|."""
    target = Linear(CUT).target()
    rng = np.random.default_rng(4)
    left = []
    for u in rng.normal(size=(10, 3)):
        params, log_slope = target.coordinates.forward(torch.as_tensor(u))
        potential = float(target.potential(torch.as_tensor(u)))
        left.append(potential + target.log_posterior(params.numpy()) + float(log_slope))
    np.testing.assert_allclose(left, 0, atol=1e-10)


def test_a_model_that_refuses_parameters_has_no_density_there():
    def model(params):
        if float(params[0].item()) > 1:
            raise ValueError("no galaxies")
        return params

    unit = Priors({"a": Normal(0.0, 1.0)})
    there = Coordinates(unit, [0.0], [[1.0]])
    target = Target(model, GaussianLikelihood([0.0], [[1.0]]), unit, there)
    assert target.log_posterior([1.5]) == -INF
    u = torch.tensor([1.5], dtype=torch.float64, requires_grad=True)
    value = target.potential(u)
    assert value.item() == INF
    assert torch.autograd.grad(value, u)[0].tolist() == [0.0]
    assert target.refused == 2
