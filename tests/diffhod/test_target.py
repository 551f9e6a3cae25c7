"""Priors, likelihood and target of the samplers of DiffHOD."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from scipy import stats  # noqa: E402

from helpers.linear_posterior import CUT, INF, Linear  # noqa: E402
from pysoftcorr.diffhod.experiments.coordinates import Coordinates  # noqa: E402
from pysoftcorr.diffhod.experiments.target import (  # noqa: E402
    PRIORS,
    GaussianLikelihood,
    Priors,
    Target,
)


def test_the_papers_priors():
    assert PRIORS.names == ("logMmin", "sigma_logM", "logM0", "logM1", "alpha")
    assert PRIORS.mean == (12.0, 0.25, 11.25, 13.2, 1.0)
    assert PRIORS.sd == (0.5, 0.2, 0.5, 0.5, 0.2)
    at = np.array([12.3, 0.5, 11.0, 13.0, 1.1])
    expected = stats.norm(PRIORS.mean, PRIORS.sd).logpdf(at).sum()
    peak = stats.norm(PRIORS.mean, PRIORS.sd).logpdf(PRIORS.mean).sum()
    assert PRIORS.log_density(at) == pytest.approx(expected - peak, abs=1e-12)
    assert PRIORS.log_density([12.3, 0.0, 11.0, 13.0, 1.1]) == -INF
    assert (PRIORS.inside([12.0, -3.0, 11.0, 13.0, 1.0]) > np.array(PRIORS.low)).all()


def test_priors_and_likelihood_refuse_what_is_wrong():
    with pytest.raises(ValueError, match="prior of a: its width 0"):
        Priors(("a",), (0.0,), (0.0,), (-1.0,), (1.0,))
    with pytest.raises(ValueError, match=r"prior of a: its mean 2.0 must lie between -1.0 and 1.0"):
        Priors(("a",), (2.0,), (1.0,), (-1.0,), (1.0,))
    with pytest.raises(ValueError, match="differ in length"):
        Priors(("a",), (2.0, 1.0), (1.0,), (-1.0,), (1.0,))
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
    """The potential in u is -ln of the density in theta less ln |d theta/d u|."""
    target = Linear(CUT).target()
    rng = np.random.default_rng(4)
    left = []
    for u in rng.normal(size=(10, 3)):
        theta, log_slope = target.coordinates.forward(torch.as_tensor(u))
        potential = float(target.potential(torch.as_tensor(u)))
        left.append(potential + target.log_posterior(theta.numpy()) + float(log_slope))
    np.testing.assert_allclose(left, 0, atol=1e-10)


def test_a_model_that_refuses_parameters_has_no_density_there():
    def model(theta):
        if float(theta[0].item()) > 1:
            raise ValueError("no galaxies")
        return theta

    unit = Priors(("a",), (0.0,), (1.0,), (-INF,), (INF,))
    there = Coordinates(unit, [0.0], [[1.0]])
    target = Target(model, GaussianLikelihood([0.0], [[1.0]]), unit, there)
    assert target.log_posterior([1.5]) == -INF
    u = torch.tensor([1.5], dtype=torch.float64, requires_grad=True)
    value = target.potential(u)
    assert value.item() == INF
    assert torch.autograd.grad(value, u)[0].tolist() == [0.0]
    assert target.refused == 2
