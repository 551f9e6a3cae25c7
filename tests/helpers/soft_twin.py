"""The soft-binned estimator a second time: plain torch, spherical trigonometry, plain sweeps.

Written for small catalogs and independent of the Julia kernels: bearings instead of chords for
the turn of the shears, all N x N pairs, autograd through every sweep.
"""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="the twin is written in torch")

DEGREE = math.pi / 180.0
ARCMIN = 180.0 * 60.0 / math.pi


def unit(ra, dec):
    a, d = ra * DEGREE, dec * DEGREE
    return torch.stack([torch.cos(d) * torch.cos(a), torch.cos(d) * torch.sin(a), torch.sin(d)], 1)


def log_ratios(x, v, m):
    return -torch.log(((x[:, None] - v[None]) ** 2).sum(-1)) / (m - 1.0)


def sweep(x, v, share, m):
    weight = share[:, None] * torch.softmax(log_ratios(x, v, m), 1) ** m
    s = weight.T @ x
    return s / s.norm(dim=1, keepdim=True)


def pair_correlation(x, shear, weight, lo, hi, sharp, weighting, statistic):
    """xi of points at unit vectors `x` with mean complex `shear`."""
    a, d = torch.atan2(x[:, 1], x[:, 0]), torch.atan2(x[:, 2], torch.hypot(x[:, 0], x[:, 1]))
    i, j = torch.triu_indices(len(x), len(x), 1)
    step = a[j] - a[i]
    theta = ARCMIN * torch.atan2(torch.linalg.cross(x[i], x[j]).norm(dim=1), (x[i] * x[j]).sum(1))

    def turn(p, q, s):  # of the shear at p to the great circle toward q
        east = torch.cos(d[q]) * torch.sin(s)
        north = torch.cos(d[p]) * torch.sin(d[q]) - torch.sin(d[p]) * torch.cos(d[q]) * torch.cos(s)
        return torch.polar(torch.ones_like(s), 2.0 * torch.atan2(north, east))

    g, h = shear[i] * turn(i, j, step), shear[j] * turn(j, i, -step)
    product = (g * (h.conj() if statistic == "xip" else h)).real
    lo, hi, sharp = (t[:, None] for t in (lo, hi, sharp))
    if weighting == "sigmoid":
        bins = torch.sigmoid(sharp * (theta - lo)) * torch.sigmoid(sharp * (hi - theta))
    else:
        bins = torch.exp(-sharp * (theta - (lo + hi) / 2.0) ** 2)
    pairs = bins * weight[i] * weight[j]
    return (pairs * product).sum(1) / pairs.sum(1)


def estimate(
    fields, bins, *, approach, start=None, sweeps=0, fixed=0, m=2.0, tau=0.1, noise=None,
    straight=False, use_weights=False, weighting="sigmoid", statistic="xip",
):  # fmt: skip
    """xi (nbins,) of `fields` (ra, dec, g1, g2, w).

    `fixed` sweeps bring the centers to rest without derivative, then `sweeps` are differentiated.
    """
    ra, dec, g1, g2, w = fields
    lo, hi, sharp = bins
    x, g = unit(ra, dec), torch.complex(g1, g2)
    if approach == "naive":
        return pair_correlation(x, g, w, lo, hi, sharp, weighting, statistic)
    v, share = start, w if use_weights else torch.ones_like(w)
    with torch.no_grad():
        for _ in range(fixed):
            v = sweep(x, v, share, m)
    for _ in range(sweeps):
        v = sweep(x, v, share, m)
    ratios = log_ratios(x, v, m)
    if approach == "hard":
        part = torch.nn.functional.one_hot(ratios.argmax(1), len(v)).to(x)
    elif approach == "soft":
        part = torch.softmax(ratios, 1)
    else:
        part = torch.softmax((torch.log_softmax(ratios, 1) + noise) / tau, 1)
        if straight:
            whole = torch.nn.functional.one_hot(part.argmax(1), len(v)).to(x)
            part = whole + part - part.detach()
    part = part * w[:, None]
    weight = part.sum(0)
    shear = (part.T.to(g) @ g) / weight
    place = v
    if approach != "soft":
        mean = part.T @ x
        place = mean / mean.norm(dim=1, keepdim=True)
    return pair_correlation(place, shear, weight, lo, hi, sharp, weighting, statistic)
