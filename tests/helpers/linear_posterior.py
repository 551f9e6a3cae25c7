"""A posterior known in closed form, and both samplers of DiffHOD on it."""

from __future__ import annotations

import math

import numpy as np
import torch

from pysoftcorr.diffhod.experiments.chains import run_nuts
from pysoftcorr.diffhod.experiments.coordinates import Coordinates
from pysoftcorr.diffhod.experiments.ensemble import run_emcee
from pysoftcorr.diffhod.experiments.inference import emcee_posterior, nuts_posterior
from pysoftcorr.diffhod.experiments.target import GaussianLikelihood, Priors, Target
from pysoftcorr.diffhod.experiments.workers import Workers

INF = math.inf
#: A design of a linear model with correlated, partly degenerate parameters.
DESIGN = np.array([[1.0, 0.4, 0.0], [0.9, -0.2, 0.1], [0.3, 0.8, 0.5], [0.1, 0.6, -0.4]])
OPEN = Priors(("a", "b", "c"), (0.0, 0.2, 0.0), (1.0, 0.5, 1.0), (-INF,) * 3, (INF,) * 3)
CUT = Priors(("a", "b", "c"), (0.0, 0.2, 0.0), (1.0, 0.5, 1.0), (-INF, 0.0, -1.0), (INF, INF, 1.0))
COVARIANCE = 0.09 * (np.eye(4) + 0.3)
DATA = np.array([0.6, 0.1, 0.4, 0.5])


class Linear:
    """A posterior that is known in closed form where the priors have no bounds."""

    def __init__(self, priors=OPEN):
        self.priors = priors

    def model(self, theta):
        if isinstance(theta, torch.Tensor):
            return torch.as_tensor(DESIGN) @ theta
        return DESIGN @ theta

    def moments(self):
        precision = DESIGN.T @ np.linalg.solve(COVARIANCE, DESIGN)
        precision += np.diag(1 / np.square(self.priors.sd))
        covariance = np.linalg.inv(precision)
        pull = DESIGN.T @ np.linalg.solve(COVARIANCE, DATA)
        pull += np.array(self.priors.mean) / np.square(self.priors.sd)
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
    target = problem.target()
    return chains, nuts_posterior(chains, plan, target.coordinates, target.priors.names)


def walk_starts(walkers):
    return np.random.default_rng(6).normal(size=(walkers, 3))


def mcmc(problem, plan, folder=None, workers=1):
    with Workers(problem, workers) as some:
        arrays = run_emcee(some, plan, walk_starts(plan.walkers), folder=folder)
    there = problem.target().coordinates
    return arrays, emcee_posterior(arrays, plan, there, problem.priors.names)
