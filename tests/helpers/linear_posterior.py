"""A posterior known in closed form, and both samplers of DiffHOD on it."""

from __future__ import annotations

import numpy as np
import torch

from pysoftcorr.inference import Normal, Priors, TruncatedNormal
from pysoftcorr.inference.ensemble import emcee_posterior, run_emcee
from pysoftcorr.inference.nuts import nuts_posterior, run_nuts
from pysoftcorr.inference.target import Coordinates, GaussianLikelihood, Target
from pysoftcorr.inference.workers import Workers

#: A design of a linear model with correlated, partly degenerate parameters.
DESIGN = np.array([[1.0, 0.4, 0.0], [0.9, -0.2, 0.1], [0.3, 0.8, 0.5], [0.1, 0.6, -0.4]])
OPEN = Priors({"a": Normal(0.0, 1.0), "b": Normal(0.2, 0.5), "c": Normal(0.0, 1.0)})
CUT = Priors(
    {
        "a": Normal(0.0, 1.0),
        "b": TruncatedNormal(0.2, 0.5, low=0.0),
        "c": TruncatedNormal(0.0, 1.0, -1.0, 1.0),
    }
)
COVARIANCE = 0.09 * (np.eye(4) + 0.3)
DATA = np.array([0.6, 0.1, 0.4, 0.5])


class Linear:
    """A posterior that is known in closed form where the priors have no bounds."""

    def __init__(self, priors=OPEN):
        self.priors = priors

    def model(self, params):
        if isinstance(params, torch.Tensor):
            return torch.as_tensor(DESIGN) @ params
        return DESIGN @ params

    def moments(self):
        precision = DESIGN.T @ np.linalg.solve(COVARIANCE, DESIGN)
        precision += np.diag(1 / np.square(self.priors.sd))
        covariance = np.linalg.inv(precision)
        pull = DESIGN.T @ np.linalg.solve(COVARIANCE, DATA)
        pull += self.priors.mean / np.square(self.priors.sd)
        return covariance @ pull, covariance

    def target(self):
        mean, covariance = self.moments()
        there = Coordinates(self.priors, self.priors.inside(mean), covariance)
        return Target(self.model, GaussianLikelihood(DATA, COVARIANCE), self.priors, there)


def nuts(problem, plan, folder=None, workers=1):
    rng = np.random.default_rng(5)
    starts = rng.normal(size=(plan.chains, 3))
    with Workers(problem, workers) as some:
        chains = run_nuts(some, plan, starts, folder=folder)
    there = problem.target().coordinates
    return chains, nuts_posterior(chains, plan, there, title="NUTS", data={"power": DATA})


def walk_starts(walkers):
    return np.random.default_rng(6).normal(size=(walkers, 3))


def mcmc(problem, plan, folder=None, workers=1):
    with Workers(problem, workers) as some:
        arrays = run_emcee(some, plan, walk_starts(plan.walkers), folder=folder)
    there = problem.target().coordinates
    return arrays, emcee_posterior(arrays, plan, problem.priors, there, title="emcee")
