"""Small fields in a plane, and their pair sums written again in plain NumPy."""

from __future__ import annotations

import numpy as np

from helpers.sky_twins import SAME, Twin
from pysoftcorr import Catalog, StarCatalog


def plane(seed, n, *, unit="arcmin", side=60.0, offset=0.0) -> Catalog:
    """Objects in a square; shears and weights have few binary digits, as TreeCorr keeps them."""
    rng = np.random.default_rng(seed)
    x, y = offset + side * rng.uniform(size=(2, n))
    shear = np.round(1024 * (rng.normal(0, 0.1, (2, n)) + np.array([[0.03], [0]]))) / 1024
    return Catalog(x=x, y=y, xy_unit=unit, g1=shear[0], g2=shear[1], w=rng.integers(1, 64, n) / 32)


def plane_stars(seed, n, **options) -> StarCatalog:
    """Stars whose shapes, sizes, and q have few binary digits."""
    cat = plane(seed, n, **options)
    rng = np.random.default_rng(seed + 100)
    model = cat.e + np.round(4096 * rng.normal(0, 0.01, (n, 2))).view(complex)[:, 0] / 4096
    T = 2.0 ** rng.integers(-1, 2, n)
    return StarCatalog(
        x=cat.x, y=cat.y, xy_unit=cat.xy_unit, g1=cat.g1, g2=cat.g2, w=cat.w, T=T,
        g1_model=model.real, g2_model=model.imag,
        T_model=T * (1 + rng.integers(-8, 9, n) / 128),
    )  # fmt: skip


def plane_twin(a: Catalog, edges, b: Catalog | None = None, e1=None, e2=None) -> Twin:
    """Every pair of `a` and `b`, or every unordered pair of `a`; edges in the catalogs' unit."""
    auto = b is None
    b = a if auto else b
    e1 = a.e if e1 is None else e1
    e2 = (b.e if b.g1 is not None else None) if e2 is None else e2
    step = (b.x[None] - a.x[:, None]) + 1j * (b.y[None] - a.y[:, None])
    theta = np.abs(step)
    same = theta <= SAME * max(np.abs(v).max() for v in (a.x, a.y, b.x, b.y))
    back = np.where(same, 1.0, step.conj() / np.where(same, 1.0, theta)) ** 2
    use = (a.w[:, None] != 0) & (b.w[None] != 0)
    plus = e1[:, None] * e2[None].conj()
    minus, tangential = e1[:, None] * e2[None] * back**2, -e2[None] * back
    if auto:
        plus = (plus + e2[:, None].conj() * e1[None]) / 2
        minus = (minus + e2[:, None] * e1[None] * back**2) / 2
        use &= np.triu(np.ones_like(use), 1)
    w = np.where(use, a.w[:, None] * b.w[None], 0.0)
    bin_of = np.searchsorted(edges, theta, side="right") - 1
    out = {k: [] for k in Twin.__dataclass_fields__}
    for k in range(len(edges) - 1):
        here = use & (bin_of == k)
        apart = here & ~same
        out["npairs"].append(np.count_nonzero(here))
        out["apart"].append(np.count_nonzero(apart))
        out["weight"].append(w[here].sum())
        with np.errstate(invalid="ignore", divide="ignore"):
            values = {"theta": theta, "xip": plus, "logtheta": np.log(theta)}
            values |= {"xim": minus, "gamma_t": tangential + 0 * theta}
            for name, v in values.items():
                these = here if name in ("theta", "xip") else apart
                out[name].append(np.sum(w[these] * v[these]) / np.float64(w[these].sum()))
    return Twin(**{k: np.array(v) for k, v in out.items()})
