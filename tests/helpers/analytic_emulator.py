"""Correlations in closed form, with all that inference asks of an emulator."""

from __future__ import annotations

import numpy as np
import torch

from pysoftcorr.mocks.strengths import order_parameter

NAMES = ("mu_cen", "mu_sat", "logMmin", "sigma_logM", "logM0", "logM1", "alpha")
HOD = {"logMmin": 12.0, "sigma_logM": 0.26, "logM0": 12.1, "logM1": 13.0, "alpha": 1.0}


class AnalyticEmulator:
    """Power laws of r whose amplitudes follow the HOD, and of the strengths the exact form.

    With `curved`, the means follow the strengths themselves: no response functions describe it.
    """

    kind = "analytic"

    def __init__(self, bins=6, *, noise=0.02, curved=False):
        self.names = NAMES
        self.edges = np.geomspace(0.1, 16.0, bins + 1)
        self.bounds = {
            "mu_cen": (-1.0, 1.0),
            "mu_sat": (-1.0, 1.0),
            "logMmin": (11.0, 13.2),
            "sigma_logM": (0.01, 0.9),
            "logM0": (10.0, 14.0),
            "logM1": (12.0, 15.0),
            "alpha": (0.7, 1.3),
        }
        self.noise, self.curved = noise, curved
        self.log_r = torch.tensor(np.log(np.sqrt(self.edges[:-1] * self.edges[1:])))
        self.calls = 0

    def mean_and_std(self, params):
        self.calls += 1
        mu, mass, slope = params[..., :2], params[..., 2:3], params[..., 6:7]
        x = self.log_r.to(params.dtype)
        log_xi = 1.5 + 0.8 * (mass - 12) - (1.6 + 0.4 * (slope - 1)) * x
        scale = torch.exp(0.5 * (mass - 12))
        a, b = 0.10 * scale * torch.exp(-0.4 * x), 0.06 * slope * torch.exp(-0.9 * x)
        order = torch.sin(1.2 * mu) if self.curved else order_parameter(mu)
        cen, sat = order[..., :1], order[..., 1:]
        omega = a * cen + b * sat
        eta = 2 * a * a * cen * cen + a * b * cen * sat + 3 * b * b * sat * sat
        strength = 1 + 0.5 * mu[..., :1] ** 2 + 0.2 * mu[..., 1:] * mu[..., :1]
        std = self.noise * strength * torch.exp(0.1 * x)
        return {
            "xi": (torch.exp(log_xi), 0.1 * torch.exp(log_xi)),
            "omega": (omega, std),
            "eta": (eta, 0.5 * std),
        }

    def epistemic_covariance(self, params, *, passes=200, seed=0):
        assert np.shape(params) == (7,)
        b = self.edges.size - 1
        scatter = 0.01 * np.ones((b, b)) + 0.005 * np.eye(b)
        return {"xi": scatter, "omega": 1e-3 * scatter, "eta": 1e-4 * scatter}
