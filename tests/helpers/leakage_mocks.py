"""Tau and rho statistics of a known leakage: drawn as vectors, or from fields on the sky."""

from __future__ import annotations

import numpy as np

from pysoftcorr import Catalog, StarCatalog
from pysoftcorr.sky.binning import Binning
from pysoftcorr.sky.leakage import RHO_OF
from pysoftcorr.sky.result import Correlation, CorrelationSet

NAMES = (*(f"rho{k}" for k in range(6)), "tau0", "tau2", "tau5")
BINS = Binning.log(1, 100, 6)


def expected(theta, bins=BINS):
    """True statistics, (9, nbins), for the parameters alpha, beta, eta."""
    far = bins.centers
    lengths = np.array([1e9, 20, 60, 40, 15, 1e9])[:, None]
    amplitudes = np.array([1, 0.2, 0.15, 0.1, 0.03, 0.05])[:, None]
    rho = amplitudes * np.exp(-far / 30 - far / lengths)
    tau = [sum(theta[j] * rho[int(RHO_OF[i][j][-1])] for j in range(3)) for i in range(3)]
    return np.concatenate([rho, tau])


def noise(signal_rho, signal_tau, bins=BINS):
    """A covariance of all nine, correlated at random; the signals over noise scale it."""
    n = 9 * bins.nbins
    mixed = np.random.default_rng(5).normal(size=(n, n)) / np.sqrt(n)
    made = mixed @ mixed.T + 0.3 * np.eye(n)
    made /= np.sqrt(np.outer(np.diag(made), np.diag(made)))
    sizes = [*np.array([1, 0.2, 0.15, 0.1, 0.05, 0.1]) / signal_rho,
             *np.array([1, 0.3, 0.2]) / signal_tau]  # fmt: skip
    sigma = np.repeat(sizes, bins.nbins)
    return made * np.outer(sigma, sigma)


def drawn(rng, theta, covariance, n=80, bins=BINS, **changes):
    """Statistics with Gaussian noise, and n resamples with as much."""
    mean = expected(theta, bins)
    root = np.linalg.cholesky(covariance)
    draws = mean.ravel() + rng.normal(size=(n + 1, mean.size)) @ root.T
    data, resamples = draws[0].reshape(mean.shape), draws[1:].reshape(n, *mean.shape)
    return as_set(data, resamples, bins, **changes)


def as_set(values, resamples, bins=BINS, method="bootstrap"):
    """A set of the nine statistics."""
    ones = np.ones(bins.nbins)
    again = {} if resamples is None else {"aleatoric_method": method}
    return CorrelationSet(
        [
            Correlation(
                name=name, bins=bins, theta=bins.centers, logtheta=np.log(bins.centers),
                value=values[k], imag=0 * ones, npairs=ones, weight=ones, varshot=ones,
                aleatoric=None if resamples is None else resamples[:, k] + 0j, **again,
            )
            for k, name in enumerate(NAMES)
        ],
        name="tau_statistics",
    )  # fmt: skip


def waves(rng, size, scale):
    """A random complex field on a tangent plane in degrees, of this rms and correlation length."""
    n = 40
    k = rng.normal(0, 1 / scale, (n, 2))
    amplitude = size / np.sqrt(n) * rng.normal(size=(n, 2)) @ [1, 1j] / np.sqrt(2)
    return lambda x, y: np.exp(1j * (np.outer(x, k[:, 0]) + np.outer(y, k[:, 1]))) @ amplitude


def sky(seed, theta, n_stars=500, n_galaxies=1500, width=4.0, shape=0.02, measured=0.004):
    """Galaxies and stars over a smooth PSF, whose fields leak into the galaxies' shapes."""
    rng = np.random.default_rng(seed)
    model, residual, size = waves(rng, 0.08, 0.4), waves(rng, 0.03, 0.25), waves(rng, 0.4, 0.3)

    def places(n):
        x, y = rng.uniform(-width / 2, width / 2, (2, n))
        return x, y, {"ra": (x / np.cos(np.radians(20 + y))) % 360, "dec": 20 + y}

    def fields(x, y):
        p, q, dt = model(x, y), residual(x, y), np.clip(size(x, y).real, -0.6, 0.6)
        return p, q, (p + q) * dt, dt

    def scatter(n, sigma):
        return rng.normal(0, sigma, (n, 2)) @ [1, 1j]

    x, y, at = places(n_stars)
    p, q, _, dt = fields(x, y)
    star = p + q + scatter(n_stars, measured)
    stars = StarCatalog(**at, g1=star.real, g2=star.imag, g1_model=p.real, g2_model=p.imag,
                        T=np.ones(n_stars), T_model=1 - dt)  # fmt: skip
    x, y, at = places(n_galaxies)
    p, q, w, _ = fields(x, y)
    e = theta[0] * p + theta[1] * q + theta[2] * w + scatter(n_galaxies, shape)
    return Catalog(**at, g1=e.real, g2=e.imag), stars
