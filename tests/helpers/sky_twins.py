"""Small skies for the tests, and the estimators written again in plain NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pysoftcorr import Catalog, StarCatalog


def field(seed, n, ra0=150.0, dec0=2.0, width=1.0, *, mean=0.03, sigma=0.1) -> Catalog:
    """Objects in a square of `width` degrees.

    Shears and weights have few binary digits, so that TreeCorr, which keeps them in single
    precision, loses nothing.
    """
    rng = np.random.default_rng(seed)
    dec = dec0 + rng.uniform(-width / 2, width / 2, n)
    ra = (ra0 + rng.uniform(-width / 2, width / 2, n) / np.cos(np.radians(dec0))) % 360
    return Catalog(ra=ra, dec=dec, **_load(rng, n, mean, sigma))


def all_sky(seed, n) -> Catalog:
    """Objects uniform on the sphere."""
    rng = np.random.default_rng(seed)
    ra, dec = rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    return Catalog(ra=ra, dec=dec, **_load(rng, n, 0.03, 0.1))


def _load(rng, n, mean, sigma):
    shear = np.round(1024 * (rng.normal(0, sigma, (2, n)) + np.array([[mean], [0]]))) / 1024
    return {"g1": shear[0], "g2": shear[1], "w": rng.integers(1, 64, n) / 32}


def replaced(cat: Catalog, **columns) -> Catalog:
    """The catalog with other columns."""
    old = {"ra": cat.ra, "dec": cat.dec, "g1": cat.g1, "g2": cat.g2, "w": cat.w}
    return Catalog(**(old | columns))


def rotated(cat: Catalog, matrix) -> Catalog:
    """The sky turned by a rotation matrix, shears with it."""
    xyz = cat.xyz @ matrix.T
    ra = np.degrees(np.arctan2(xyz[:, 1], xyz[:, 0])) % 360
    dec = np.degrees(np.arctan2(xyz[:, 2], np.hypot(xyz[:, 0], xyz[:, 1])))
    east, _ = tangents(cat.ra, cat.dec)
    new_east, new_north = tangents(ra, dec)
    turned = east @ matrix.T
    psi = np.arctan2(np.sum(turned * new_north, axis=1), np.sum(turned * new_east, axis=1))
    shear = (cat.g1 + 1j * cat.g2) * np.exp(-2j * psi)
    return replaced(cat, ra=ra, dec=dec, g1=shear.real, g2=shear.imag)


def tangents(ra, dec):
    """Unit vectors to the east and to the north."""
    a, d = np.radians(ra), np.radians(dec)
    east = np.stack([-np.sin(a), np.cos(a), 0 * a], axis=1)
    north = np.stack([-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)], axis=1)
    return east, north


def random_rotation(seed):
    """A rotation matrix."""
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.linalg.det(q)


@dataclass
class Twin:
    """Pair sums of one set of bins; ``apart`` counts the pairs that xi- and gamma_t are made of."""

    npairs: np.ndarray
    weight: np.ndarray
    theta: np.ndarray  # weighted means, in radians
    logtheta: np.ndarray
    xip: np.ndarray
    xim: np.ndarray
    gamma_t: np.ndarray
    apart: np.ndarray


#: Radians up to which two places are the same but for rounding.
SAME = 4e-15


def separations(a: Catalog, b: Catalog):
    """Angles in radians, (Na, Nb)."""
    cross = np.linalg.norm(np.cross(a.xyz[:, None], b.xyz[None]), axis=2)
    return np.arctan2(cross, a.xyz @ b.xyz.T)


def bearings(a: Catalog, b: Catalog):
    """Unit complex numbers (east + i north) at a toward b, by spherical trigonometry."""
    d1, d2 = np.radians(a.dec)[:, None], np.radians(b.dec)[None]
    step = np.radians(b.ra)[None] - np.radians(a.ra)[:, None]
    north = np.sin(d2 - d1) + 2 * np.sin(d1) * np.cos(d2) * np.sin(step / 2) ** 2
    z = np.cos(d2) * np.sin(step) + 1j * north
    return np.divide(z, np.abs(z), out=np.ones_like(z), where=z != 0)


def pair_twin(a: Catalog, bins, b: Catalog | None = None, e1=None, e2=None, keep=True) -> Twin:
    """Every pair of `a` and `b`, or every unordered pair of `a`, in both orders' mean.

    Objects at one place have no direction: they count for what needs none, if `keep`.
    """
    auto = b is None
    b = a if auto else b
    e1 = (a.g1 + 1j * a.g2) if e1 is None else e1
    e2 = (b.g1 + 1j * b.g2) if e2 is None else e2
    theta = separations(a, b)
    toward, back = bearings(a, b), bearings(b, a).T
    f1, f2 = e1[:, None] * toward**2, e2[None] * back**2
    plus, minus, tangential = f1 * f2.conj(), f1 * f2, -f2
    use = (a.w[:, None] != 0) & (b.w[None] != 0)
    if auto:
        other1, other2 = e2[:, None] * toward**2, e1[None] * back**2
        plus = (plus + (other1.conj() * other2)) / 2
        minus = (minus + other1 * other2) / 2
        use &= np.triu(np.ones_like(use), 1)
    w = np.where(use, a.w[:, None] * b.w[None], 0.0)
    edges = bins.edges_rad
    place = np.searchsorted(edges, theta, side="right") - 1
    out = {k: [] for k in Twin.__dataclass_fields__}
    for k in range(bins.nbins):
        here = use & (place == k)
        apart = here & (theta > SAME)
        here = here if keep else apart
        out["npairs"].append(np.count_nonzero(here))
        out["apart"].append(np.count_nonzero(apart))
        out["weight"].append(w[here].sum())
        with np.errstate(invalid="ignore", divide="ignore"):
            values = {"theta": theta, "xip": plus, "logtheta": np.log(theta)}
            values |= {"xim": minus, "gamma_t": tangential}
            for name, v in values.items():
                these = here if name in ("theta", "xip") else apart
                out[name].append(np.sum(w[these] * v[these]) / np.float64(w[these].sum()))
    return Twin(**{k: np.array(v) for k, v in out.items()})


def stars(seed, n, *where) -> StarCatalog:
    """Stars whose shapes, sizes, and q have few binary digits."""
    cat = field(seed, n, *where)
    rng = np.random.default_rng(seed + 100)
    model = cat.e + np.round(4096 * rng.normal(0, 0.01, (n, 2))).view(complex)[:, 0] / 4096
    T = 2.0 ** rng.integers(-1, 2, n)
    T_model = T * (1 + rng.integers(-8, 9, n) / 128)
    return StarCatalog(
        ra=cat.ra, dec=cat.dec, g1=cat.g1, g2=cat.g2, w=cat.w, T=T,
        g1_model=model.real, g2_model=model.imag, T_model=T_model,
    )  # fmt: skip
