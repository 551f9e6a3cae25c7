"""Statistics in soft bins a second time: plain NumPy, every pair, spherical trigonometry."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from helpers.sky_twins import bearings, separations


def bin_weights(theta, bins, weighting):
    """(nbins, ...) of separations in the unit of the bins (3, nbins)."""
    lo, hi, s = (b.reshape(-1, *[1] * np.ndim(theta)) for b in bins)
    if weighting == "gaussian":
        return np.exp(-s * (theta - (lo + hi) / 2) ** 2)
    return expit(s * (theta - lo)) * expit(s * (hi - theta))


def of_pairs(a, b, bins, weighting):
    """Soft weights times those of objects, (nbins, Na, Nb)."""
    theta = np.degrees(separations(a, b)) * 60
    return bin_weights(theta, bins, weighting) * (a.w[:, None] * b.w[None])


def rho(stars, fields, bins, weighting="sigmoid"):
    """(5, nbins) from fields e, de, q; each pair of different stars in both orders."""
    e, de, q = fields
    pairs = of_pairs(stars, stars, bins, weighting)
    pairs[:, np.arange(len(stars)), np.arange(len(stars))] = 0
    toward, back = bearings(stars, stars), bearings(stars, stars).T
    out = []
    for f, g in ((de, de), (e, de), (q, q), (de, q), (e, q)):
        product = ((f[:, None] * toward**2) * (g[None] * back**2).conj()).real
        out.append((pairs * product).sum((1, 2)) / pairs.sum((1, 2)))
    return np.array(out)


def gamma_t(lenses, sources, bins, weighting="sigmoid"):
    """(nbins,): minus the real part of shears turned to the line toward the lens."""
    pairs = of_pairs(lenses, sources, bins, weighting)
    g = sources.g1 + 1j * sources.g2
    tangential = -(g[None] * bearings(sources, lenses).T ** 2).real
    return (pairs * tangential).sum((1, 2)) / pairs.sum((1, 2))


def landy_szalay(data, randoms, bins, weighting="sigmoid"):
    """(nbins,) of half the ordered pairs of different objects over half the squared sums."""

    def counts(a, b):
        pairs = of_pairs(a, b, bins, weighting)
        if a is b:
            pairs[:, np.arange(len(a)), np.arange(len(a))] = 0
            return pairs.sum((1, 2)) / 2 / (a.w.sum() ** 2 / 2)
        return pairs.sum((1, 2)) / (a.w.sum() * b.w.sum())

    dd, dr, rr = counts(data, data), counts(data, randoms), counts(randoms, randoms)
    return (dd - 2 * dr + rr) / rr


def box(position, axis, weights, bins, sides, shells, weighting="sigmoid"):
    """(3, nbins): xi, omega, eta; `shells` are volumes of the bins over that of the box."""
    d = position[None] - position[:, None]
    d -= np.asarray(sides) * np.round(d / sides)
    r = np.sqrt((d**2).sum(2))
    pairs = bin_weights(r, bins, weighting) * (weights[:, None] * weights)
    pairs[:, r == 0] = 0
    e = axis / np.linalg.norm(axis, axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        along = np.einsum("ik,ijk->ij", e, d) ** 2 / r**2 - 1 / 3
    along[r == 0] = 0
    across = (e @ e.T) ** 2 - 1 / 3
    dd = pairs.sum((1, 2))
    xi = dd / (weights.sum() ** 2 * shells) - 1
    return np.array([xi, (pairs * along).sum((1, 2)) / dd, (pairs * across).sum((1, 2)) / dd])
