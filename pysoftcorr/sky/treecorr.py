"""Pair sums of large catalogs by TreeCorr (Jarvis, Bernstein & Jain 2004), patch by patch.

TreeCorr walks the pairs; what is made of their sums is the same as for our own. Objects at one
place are its weak point: it takes those of one catalog for a single object, so that their pairs are
missing, and turns the shears of others by a direction that they do not have. Separations below
`NEAREST` are therefore left to our own pair sums, which are exact there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pysoftcorr._julia.settings import threads
from pysoftcorr.core.extras import need
from pysoftcorr.sky.binning import RADIANS, Binning
from pysoftcorr.sky.geometry import FLAT, plane_scale
from pysoftcorr.sky.patch_pairs import PairWeights, Tally, take

if TYPE_CHECKING:
    from pysoftcorr.sky.pairs import Objects

FloatArray = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]
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
    kind : {"nn", "ng", "gg", "rho"}
    first, second : Objects
        Of one version, with `positions`; R resamples where they have `pair_weights`.
    bins : Binning
        Linear or logarithmic.
    exact : callable
        Sums of our own, for the closest pairs.

    Raises
    ------
    ValueError
        Bins that TreeCorr does not have; patches whose weights sum to 0.
    ImportError
        TreeCorr is missing.
    """
    _module()
    if bins.kind not in ("linear", "log"):
        raise ValueError(f"method = 'treecorr': takes linear or log bins, not {bins}")
    make = {"nn": _counts, "ng": _count_shear, "gg": _shear_shear, "rho": _rho}[kind]
    out = make(first, second, bins)
    if bins.edges[0] > 0:
        return out
    close = _close(first, second)
    if close is None:
        return out
    limit = _nearest(bins, *close)
    nearest = Binning.explicit([0, limit], unit=bins.unit)
    near = exact(*close, nearest)
    out[:, :1] += near[:, :1]
    # what our own sums keep apart from their bins
    return np.concatenate([out, near[:, 1:]], axis=1)


def _reach(*sets: Objects | None) -> float:
    """`NEAREST` in the unit of the positions."""
    there = [o.xyz for o in sets if o is not None]
    first = sets[0]
    assert first is not None
    return NEAREST * (plane_scale(*there) if first.geometry == FLAT else 1.0)


def _nearest(bins: Binning, *sets: Objects | None) -> float:
    """`NEAREST` in the unit of the bins."""
    first = sets[0]
    assert first is not None
    if first.geometry == FLAT:
        return float(_reach(*sets) * bins.edges[-1] / bins.edges_flat[-1])
    return float(NEAREST / RADIANS[bins.unit])


def _counts(first: Objects, second: Objects | None, bins: Binning) -> FloatArray:
    return _walk("NN", bins, _catalog(first), None if second is None else _catalog(second))


def _count_shear(first: Objects, second: Objects | None, bins: Binning) -> FloatArray:
    assert second is not None
    return _walk("NG", bins, _catalog(first), _catalog(second, _field(second, 0)))


def _shear_shear(first: Objects, second: Objects | None, bins: Binning) -> FloatArray:
    catalog = _catalog(first, _field(first, 0))
    if second is not None:
        return _walk("GG", bins, catalog, _catalog(second, _field(second, 0)))
    return _auto(bins, first, _field(first, 0))


def _auto(bins: Binning, objects: Objects, field: ComplexArray) -> FloatArray:
    out = _walk("GG", bins, _catalog(objects, field))
    out[..., _MANY + 1] = 0.0  # xi+ is the mean of both orders of a pair
    return out


def _rho(first: Objects, second: Objects | None, bins: Binning) -> FloatArray:
    """Products of the fields e, de, q in the order of `KINDS` in julia/src/entries/pairs.jl.

    TreeCorr's correlation of two fields of one catalog also counts each star with itself. <a* b> in
    both orders follows from the fields' own correlations, which do not: |a + b|^2 = |a|^2 + |b|^2 +
    2 Re(a* b), and with i b the imaginary part.
    """
    assert second is None
    fields = [_field(first, k) for k in range(3)]
    own = [_auto(bins, first, field) for field in fields]
    columns = [own[0][..., :_MANY]]
    for f, g in ((1, 1), (1, 0), (2, 2), (2, 1), (2, 0)):
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


class _Patched:
    """A TreeCorr catalog, the weights of its pairs, and the unit that a plane is scaled by."""

    def __init__(self, catalog: Any, weights: PairWeights | None, plane: float | None) -> None:
        self.catalog, self.weights, self.plane = catalog, weights, plane


def _catalog(objects: Objects, field: ComplexArray | None = None) -> _Patched:
    """TreeCorr's catalog of the objects with a weight."""
    positions, weights, w = objects.positions, objects.pair_weights, objects.w[0]
    assert positions is not None
    use = w != 0
    columns: dict[str, Any] = {"w": w[use]}
    if field is not None:
        columns |= {"g1": field.real[use], "g2": field.imag[use]}
    if (w < 0).any():
        columns["wpos"] = np.abs(w[use])  # else a center may lie outside its cell
    totals = np.array([w.sum()])
    if weights is not None:
        columns |= {"patch": weights.labels[objects.place][use], "npatch": weights.n_patches}
        totals = objects.of_patches[np.unique(columns["patch"])]
    if (totals == 0).any():
        what = "the weights" if weights is None else "the weights of a patch"
        raise ValueError(
            f"method = 'treecorr': {what} of {positions!r} sum to 0, which TreeCorr cannot take; "
            "use method='pairs'"
        )
    if objects.geometry == FLAT:
        # Without units: those of the plane, arcmin or pixels, all through.
        x, y = (np.ascontiguousarray(positions.xyz[use, k]) for k in range(2))
        flat = _module().Catalog(x=x, y=y, **columns)
        return _Patched(flat, weights, plane_scale(positions.xyz))
    made = _module().Catalog(
        ra=positions.ra[use], dec=positions.dec[use], ra_units="deg", dec_units="deg", **columns
    )
    return _Patched(made, weights, None)


def _walk(kind: str, bins: Binning, first: _Patched, second: _Patched | None = None) -> FloatArray:
    """Sums (R, nbins, 4 + products) of one of TreeCorr's correlations."""
    if first.plane is None:
        own = {"sep_units": bins.unit, "metric": "Arc"}
        edges, nearest = bins.edges, NEAREST / RADIANS[bins.unit]
    else:
        own, edges = {"metric": "Euclidean"}, bins.edges_flat
        nearest = NEAREST * max(c.plane or 0.0 for c in (first, second or first))
    done = getattr(_module(), f"{kind}Correlation")(
        min_sep=max(edges[0], nearest), max_sep=edges[-1], nbins=bins.nbins,
        bin_type=bins.kind.capitalize(), num_threads=threads(), **own,
    )  # fmt: skip
    others = () if second is None else (second.catalog,)
    done.process(first.catalog, *others, finalize=False)
    if first.weights is None:
        return _columns(kind, done)[None]
    tally = Tally(first.weights)
    for (p, q), part in done.results.items():
        tally.add(p, q, _columns(kind, part))
    return tally.sums()


def _columns(kind: str, done: Any) -> FloatArray:
    products = (getattr(done, name) for name in _PARTS[kind])
    return np.stack([done.npairs, done.weight, done.meanr, done.meanlogr, *products], axis=1)


def _close(first: Objects, second: Objects | None) -> tuple[Objects, Objects | None] | None:
    """The objects that may have another nearer than `NEAREST`; None where there is no pair."""
    sets = [first] if second is None else [first, second]
    x = np.concatenate([o.xyz[0, :, 0] for o in sets])
    order = np.argsort(x)
    near = np.diff(x[order]) <= _reach(*sets)
    if not near.any():
        return None
    chosen = np.zeros(x.size, dtype=bool)
    chosen[order[:-1][near]] = True
    chosen[order[1:][near]] = True
    parts = np.split(chosen, [first.w.shape[1]])
    found = [_kept(o, part) for o, part in zip(sets, parts, strict=False)]
    if any(o.w.size == 0 for o in found):
        return None
    return found[0], None if second is None else found[1]


def _kept(objects: Objects, chosen: npt.NDArray[np.bool_]) -> Objects:
    part = replace(take(objects, np.flatnonzero(chosen)), positions=None)
    weights = objects.pair_weights
    if weights is None:
        return part
    labels = list(weights.labels)
    labels[objects.place] = labels[objects.place][chosen]
    return replace(part, pair_weights=replace(weights, labels=tuple(labels)))
