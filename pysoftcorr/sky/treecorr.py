"""Pair sums of large catalogs by TreeCorr (Jarvis, Bernstein & Jain 2004), patch by patch.

TreeCorr walks the pairs; what is made of their sums is the same as for our own. Objects at one
place are its weak point: it takes those of one catalog for a single object, so that their pairs are
missing, and turns the shears of others by a direction that they do not have. Separations below
`NEAREST` are therefore left to our own pair sums, which are exact there. Nor does it see a group of
objects whose weights sum to 0: those of either sign are walked by themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from pysoftcorr._julia.settings import threads
from pysoftcorr.core.extras import need
from pysoftcorr.sky.binning import RADIANS, Binning
from pysoftcorr.sky.geometry import FLAT, plane_scale
from pysoftcorr.sky.patch_pairs import Tally, take

if TYPE_CHECKING:
    from pysoftcorr.sky.pairs import Objects

FloatArray = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]
Sets = tuple["Objects", ...]
Fields = tuple["Objects", ComplexArray | None]
# Sums of our own over the pairs of two sets, or of one.
Exact = Callable[[Any, Any, Binning], FloatArray]

#: Separation in radians, or relative to a plane's largest coordinate, below which pairs are summed
#: exactly.
NEAREST = 1e-14
_MANY = 4  # npairs, weight, weight theta, weight ln(theta)
_PARTS = {"NN": (), "NG": ("xi", "xi_im"), "GG": ("xip", "xip_im", "xim", "xim_im")}


def _module() -> Any:
    return need("treecorr", "method='treecorr'", extra="treecorr")


def version() -> str:
    """Version of TreeCorr."""
    return str(_module().__version__)


def sums(
    kind: str, first: Objects, second: Objects | None, bins: Binning, exact: Exact
) -> FloatArray:
    """Sums (R, nbins, nsums) over the pairs of two sets of objects, or of one.

    Parameters
    ----------
    kind : {"nn", "ng", "gg", "rho", "psf", "tau"}
    first, second : Objects
        Of one version, with `positions`; R resamples where they have `pair_weights`.
    bins : Binning
        Linear or logarithmic.
    exact : callable
        Sums of our own, for the closest pairs.

    Raises
    ------
    ValueError
        Bins that TreeCorr does not have.
    ImportError
        TreeCorr is missing.
    """
    _module()
    if bins.kind not in ("linear", "log"):
        raise ValueError(f"method = 'treecorr': takes linear or log bins, not {bins}")
    make = {"nn": _counts, "ng": _count_shear, "gg": _shear_shear, "rho": _rho,
            "psf": _psf, "tau": _tau}[kind]  # fmt: skip
    out = make(first, second, bins)
    if bins.edges[0] > 0:
        return out
    sets = (first,) if second is None else (first, second)
    close = _close(sets)
    if close is None:
        return out
    nearest = Binning.explicit([0, _nearest(bins, sets)], unit=bins.unit)
    near = exact(close[0], None if second is None else close[1], nearest)
    out[:, :1] += near[:, :1]
    # what our own sums keep apart from their bins
    return np.concatenate([out, near[:, 1:]], axis=1)


def _reach(sets: Sets) -> float:
    """`NEAREST` in the unit of the positions."""
    flat = sets[0].geometry == FLAT
    return NEAREST * (plane_scale(*(o.xyz for o in sets)) if flat else 1.0)


def _nearest(bins: Binning, sets: Sets) -> float:
    """`NEAREST` in the unit of the bins."""
    if sets[0].geometry == FLAT:
        return float(_reach(sets) * bins.edges[-1] / bins.edges_flat[-1])
    return float(NEAREST / RADIANS[bins.unit])


def _counts(first: Objects, second: Objects | None, bins: Binning) -> FloatArray:
    return _signed("NN", bins, (first, None), None if second is None else (second, None))


def _count_shear(first: Objects, second: Objects | None, bins: Binning) -> FloatArray:
    assert second is not None
    return _signed("NG", bins, (first, None), (second, _field(second, 0)))


def _shear_shear(first: Objects, second: Objects | None, bins: Binning) -> FloatArray:
    if second is None:
        return _auto(bins, first, _field(first, 0))
    return _signed("GG", bins, (first, _field(first, 0)), (second, _field(second, 0)))


def _auto(bins: Binning, objects: Objects, field: ComplexArray) -> FloatArray:
    out = _signed("GG", bins, (objects, field), None)
    out[..., _MANY + 1] = 0.0  # xi+ is the mean of both orders of a pair
    return out


_RHO = ((1, 1), (1, 0), (2, 2), (2, 1), (2, 0))


def _rho(first: Objects, second: Objects | None, bins: Binning) -> FloatArray:
    assert second is None
    return _products(first, bins, _RHO)


def _psf(first: Objects, second: Objects | None, bins: Binning) -> FloatArray:
    assert second is None
    return _products(first, bins, ((0, 0), *_RHO))


def _tau(first: Objects, second: Objects | None, bins: Binning) -> FloatArray:
    """Field by field."""
    assert second is not None
    parts = [
        _signed("GG", bins, (first, _field(first, k)), (second, _field(second, k)))
        for k in range(3)
    ]
    return np.concatenate([parts[0], *(part[..., _MANY:] for part in parts[1:])], axis=-1)


def _products(first: Objects, bins: Binning, which: tuple[tuple[int, int], ...]) -> FloatArray:
    """Products of the fields e, de, q in the order of `KINDS` in julia/src/entries/pairs.jl.

    TreeCorr's correlation of two fields of one catalog also counts each star with itself. <a* b> in
    both orders follows from the fields' own correlations, which do not: |a + b|^2 = |a|^2 + |b|^2 +
    2 Re(a* b), and with i b the imaginary part.
    """
    fields = [_field(first, k) for k in range(3)]
    own = [_auto(bins, first, field) for field in fields]
    columns = [own[0][..., :_MANY]]
    for f, g in which:
        if f == g:
            columns.append(own[f][..., _MANY:])
            continue
        both = _auto(bins, first, fields[f] + fields[g]) - own[f] - own[g]
        turned = _auto(bins, first, fields[f] + 1j * fields[g]) - own[f] - own[g]
        product = both[..., _MANY:] / 2
        product[..., 1] = turned[..., _MANY] / 2
        columns.append(product)
    return np.concatenate(columns, axis=-1)


def _field(objects: Objects, number: int) -> ComplexArray:
    g = objects.fields[0]
    return np.asarray(g[:, 2 * number] + 1j * g[:, 2 * number + 1])


def _signed(kind: str, bins: Binning, first: Fields, second: Fields | None) -> FloatArray:
    """Sums (R, nbins, 4 + products) of one of TreeCorr's correlations, for weights of any sign."""
    ones = _by_sign(*first)
    if second is None:
        sets: Sets = (first[0],)
        made = [(1, _walk(kind, bins, sets, one)) for _, one in ones]
        if len(ones) == 2:
            made.append((-1, _walk(kind, bins, sets, ones[0][1], ones[1][1])))
    else:
        sets = (first[0], second[0])
        made = [
            (s * t, _walk(kind, bins, sets, one, two))
            for s, one in ones
            for t, two in _by_sign(*second)
        ]
    out = np.zeros_like(made[0][1])
    for sign, part in made:
        out += sign * part
        out[..., 0] += (1 - sign) * part[..., 0]  # a pair counts, whatever its weight
    return out


def _by_sign(objects: Objects, field: ComplexArray | None) -> list[tuple[int, list[Any]]]:
    """TreeCorr's catalogs of the objects of either sign, weighted by its size; one at least.

    Each is a list of the patches that hold such objects.
    """
    weights, w = objects.pair_weights, objects.w[0]
    found: list[tuple[int, list[Any]]] = []
    for sign in (1, -1):
        use = sign * w > 0
        if not use.any():
            continue
        if weights is None:
            found.append((sign, [_catalog(objects, field, np.flatnonzero(use), {})]))
            continue
        labels, n = weights.labels[objects.place], weights.n_patches
        order = np.argsort(labels, kind="stable")
        order = order[use[order]]
        starts = np.searchsorted(labels[order], np.arange(n + 1))
        # The patches one by one: TreeCorr's own splitting trips over those without objects.
        patches = [
            _catalog(objects, field, order[lo:hi], {"patch": p, "npatch": n})
            for p, (lo, hi) in enumerate(pairwise(starts))
            if hi > lo
        ]
        found.append((sign, patches))
    return found


def _catalog(objects: Objects, field: ComplexArray | None, rows: Any, patch: Any) -> Any:
    """TreeCorr's catalog of some of the objects."""
    positions = objects.positions
    assert positions is not None
    shear = {} if field is None else {"g1": field.real[rows], "g2": field.imag[rows]}
    if objects.geometry == FLAT:
        # Without units: those of the plane, arcmin or pixels, all through.
        x, y = (np.ascontiguousarray(positions.xyz[rows, k]) for k in range(2))
        place: dict[str, Any] = {"x": x, "y": y}
    else:
        place = {"ra": positions.ra[rows], "dec": positions.dec[rows]}
        place |= {"ra_units": "deg", "dec_units": "deg"}
    return _module().Catalog(**place, w=np.abs(objects.w[0, rows]), **shear, **patch)


def _walk(
    kind: str, bins: Binning, sets: Sets, first: list[Any], second: list[Any] | None = None
) -> FloatArray:
    """Sums (R, nbins, 4 + products) of one of TreeCorr's correlations of the `sets`."""
    if sets[0].geometry == FLAT:
        own: dict[str, Any] = {"metric": "Euclidean"}
        edges, nearest = bins.edges_flat, _reach(sets)
    else:
        own = {"sep_units": bins.unit, "metric": "Arc"}
        edges, nearest = bins.edges, _nearest(bins, sets)
    done = getattr(_module(), f"{kind}Correlation")(
        min_sep=max(edges[0], nearest), max_sep=edges[-1], nbins=bins.nbins,
        bin_type=bins.kind.capitalize(), num_threads=threads(), **own,
    )  # fmt: skip
    done.process(first, second, finalize=False)
    weights = sets[0].pair_weights
    if weights is None:
        return _columns(kind, done)[None]
    tally = Tally(weights)
    for (p, q), part in done.results.items():
        tally.add(p, q, _columns(kind, part))
    return tally.sums()


def _columns(kind: str, done: Any) -> FloatArray:
    products = (getattr(done, name) for name in _PARTS[kind])
    return np.stack([done.npairs, done.weight, done.meanr, done.meanlogr, *products], axis=1)


def _close(sets: Sets) -> list[Objects] | None:
    """The objects that may have another nearer than `NEAREST`; None where there is no pair."""
    xyz, reach = np.concatenate([o.xyz[0] for o in sets]), _reach(sets)
    order = np.argsort(xyz[:, 0])
    near = np.diff(xyz[order, 0]) <= reach
    if not near.any():
        return None
    chosen = np.zeros(len(xyz), dtype=bool)
    chosen[order[:-1][near]] = True
    chosen[order[1:][near]] = True
    # Whole columns of a grid share one coordinate, and are not near one another for that.
    rows = np.flatnonzero(chosen)
    distance, _ = cKDTree(xyz[rows]).query(xyz[rows], k=2)
    chosen[rows] = distance[:, 1] <= reach
    if not chosen.any():
        return None
    parts = np.split(chosen, [sets[0].w.shape[1]])
    found = [_kept(o, part) for o, part in zip(sets, parts, strict=False)]
    return None if any(o.w.size == 0 for o in found) else found


def _kept(objects: Objects, chosen: npt.NDArray[np.bool_]) -> Objects:
    part = replace(take(objects, np.flatnonzero(chosen)), positions=None)
    weights = objects.pair_weights
    if weights is None:
        return part
    labels = list(weights.labels)
    labels[objects.place] = labels[objects.place][chosen]
    return replace(part, pair_weights=replace(weights, labels=tuple(labels)))
