"""Correlations in a box by brute force."""

from __future__ import annotations

import numpy as np


def twin(p1, e1, w1, p2, e2, w2, edges, L, *, auto: bool, periodic: bool = True, mask=None) -> dict:
    """All ordered pairs at once, straight from the definitions; L is a side, or three."""
    d = p2[None] - p1[:, None]
    if periodic:
        d -= L * np.round(d / np.asarray(L))
    rr = (d**2).sum(axis=2)
    w = w1[:, None] * w2[None] * (1 if mask is None else mask)
    keep = np.ones_like(rr, dtype=bool) if mask is None else mask.copy()
    if auto:
        np.fill_diagonal(keep, False)
    with np.errstate(invalid="ignore", divide="ignore"):
        omega = np.einsum("ik,ijk->ij", e1, d) ** 2 / rr - 1 / 3
    eta = np.einsum("ik,jk->ij", e1, e2) ** 2 - 1 / 3
    out: dict = {k: [] for k in ("npairs", "weight", "r", "omega", "eta")}
    for lo, hi in zip(edges[:-1] ** 2, edges[1:] ** 2, strict=True):
        here = keep & (rr > lo) & (rr <= hi)
        total = w[here].sum()
        out["npairs"].append(here.sum() // (2 if auto else 1))
        out["weight"].append(total)
        for name, values in (("r", np.sqrt(rr)), ("omega", omega), ("eta", eta)):
            out[name].append((w * values)[here].sum() / total if total > 0 else np.nan)
    return {k: np.array(v) for k, v in out.items()}
