"""The soft-clustered correlation function in plain vectorized torch: the benchmark's peer.

The same estimator as ``SoftCorrelation(approach="soft")``: fuzzy c-means (m = 2) by plain sweeps
until no center moves, shares, soft bins over all pairs of clusters. torch's autograd
differentiates it, through every sweep.
"""

from __future__ import annotations

import torch

ARCMIN = 10800.0 / torch.pi


def directions(ra, dec):
    """Unit vectors (N, 3) of angles in degrees."""
    a, d = torch.deg2rad(ra), torch.deg2rad(dec)
    return torch.stack([torch.cos(d) * torch.cos(a), torch.cos(d) * torch.sin(a), torch.sin(d)], 1)


def memberships(x, v):
    """(N, c), for m = 2: 1/d^2, normalized."""
    near = 1.0 / ((x[:, None, :] - v[None, :, :]) ** 2).sum(-1)
    return near / near.sum(1, keepdim=True)


def cmeans(x, start, tol, max_sweeps=2_000):
    """Centers (c, 3), and how many sweeps there were."""
    v, sweeps, moved = start, 0, float("inf")
    while moved > tol and sweeps < max_sweeps:
        s = (memberships(x, v) ** 2).T @ x
        following = s / s.norm(dim=1, keepdim=True)
        moved = float((following - v).detach().abs().max())
        v, sweeps = following, sweeps + 1
    return v, sweeps


def projections(u, v):
    """Turn of the shear at each of points u (p, 3) to the great circle to v, squared and unit."""
    d2 = ((u - v) ** 2).sum(1)
    east, north = v[:, 1] * u[:, 0] - v[:, 0] * u[:, 1], v[:, 2] - u[:, 2] + u[:, 2] * d2 / 2
    r = torch.complex(east, -north)
    turned = torch.conj(r) ** 2
    return turned / turned.abs()


def xi_plus(ra, dec, g1, g2, start, edges, sharpness, tol):
    """xi+ (nbins,) and the number of sweeps."""
    x = directions(ra, dec)
    v, sweeps = cmeans(x, start, tol)
    u = memberships(x, v)
    shear, weight = torch.complex(u.T @ g1, u.T @ g2), u.sum(0)
    i, j = torch.triu_indices(len(v), len(v), 1)
    p, q = v[i], v[j]
    theta = ARCMIN * torch.atan2(torch.linalg.cross(p, q).norm(dim=1), (p * q).sum(1))
    product = (shear[i] * projections(p, q) * torch.conj(shear[j] * projections(q, p))).real
    bins = torch.sigmoid(sharpness[:, None] * (theta - edges[:-1, None])) * torch.sigmoid(
        sharpness[:, None] * (edges[1:, None] - theta)
    )
    return bins @ product / (bins @ (weight[i] * weight[j])), sweeps
