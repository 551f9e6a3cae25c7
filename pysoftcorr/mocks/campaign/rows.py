"""One row of a campaign: all realizations of one point of the design."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.farm.tasks import use_threads_of_worker
from pysoftcorr.mocks.expected import alignment_sums
from pysoftcorr.mocks.halos import HaloCatalog
from pysoftcorr.mocks.hod import PARAMETERS, HODModel
from pysoftcorr.mocks.satellites import NotPopulated, TooManyGalaxies

__all__ = ["STATUS", "Plan", "measure_row", "record_dtype", "row_seeds", "work"]

FloatArray = npt.NDArray[np.float64]

#: What became of a realization, by the number in the file.
STATUS = ("good", "no galaxies", "empty bins", "xi above the limit", "too many galaxies")
GOOD, NO_GALAXIES, EMPTY_BINS, ABOVE_LIMIT, TOO_MANY = range(5)
_REASON_BYTES = 240


@dataclass(frozen=True)
class Plan:
    """Settings that every row shares: seed, realizations, bins, and when a row is dropped.

    Attributes
    ----------
    seed, realizations : int
    edges : ndarray, shape (nbins + 1,)
        Mpc/h.
    xi_most : ndarray, shape (nbins,)
        A realization with xi above it is dropped.
    modulate : bool
        As in `HODModel`.
    satellites : str
        As in `HODModel`.
    """

    seed: int
    realizations: int
    edges: FloatArray
    xi_most: FloatArray
    modulate: bool = False
    satellites: str = "nfw"


def record_dtype(realizations: int, nbins: int) -> np.dtype[Any]:
    """A row as one record of fixed length, little-endian on every machine."""
    r, b = realizations, nbins
    return np.dtype(
        [
            ("row", "<i8"),
            ("kept", "?"),
            ("reason", f"S{_REASON_BYTES}"),
            ("status", "<i1", (r,)),
            ("seed", "<i8", (r,)),
            ("n_central", "<i8", (r,)),
            ("n_satellite", "<i8", (r,)),
            ("npairs", "<i8", (r, b)),
            ("r", "<f8", (r, b)),
            ("measured", "<f8", (r, 3, b)),
            ("response", "<f8", (r, 5, b)),
        ]
    )


def row_seeds(seed: int, row: int, realizations: int) -> npt.NDArray[np.int64]:
    """Seeds of the realizations of a row: of the campaign's seed and the row alone.

    Examples
    --------
    >>> from pysoftcorr.mocks.campaign.rows import row_seeds
    >>> bool((row_seeds(1, 7, 4)[:2] == row_seeds(1, 7, 2)).all())
    True
    """
    sequence = np.random.SeedSequence([seed, zlib.crc32(b"campaign"), row])
    return np.random.default_rng(sequence).integers(2**62, size=realizations)


def measure_row(halos: HaloCatalog, plan: Plan, row: int, point: FloatArray) -> npt.NDArray[Any]:
    """Populate and correlate every realization of one point.

    Parameters
    ----------
    halos : HaloCatalog
    plan : Plan
    row : int
    point : ndarray, shape (7,)
        In the order of `pysoftcorr.mocks.hod.PARAMETERS`.

    Returns
    -------
    ndarray of `record_dtype`, shape ()
        NaN where there is no number. A point at which no catalog can be made is a row with
        its reason, not an error.
    """
    nbins = len(plan.edges) - 1
    record = np.zeros((), dtype=record_dtype(plan.realizations, nbins))
    record["row"] = row
    record["seed"] = row_seeds(plan.seed, row, plan.realizations)
    for name in ("r", "measured", "response"):
        record[name] = np.nan
    values = {name: float(x) for name, x in zip(PARAMETERS, point, strict=True)}
    model = HODModel(**values, modulate=plan.modulate, satellites=plan.satellites)
    reasons: list[tuple[int, str]] = []
    for k in range(plan.realizations):
        status, reason = _realization(halos, plan, model, record, k)
        record["status"][k] = status
        if status != GOOD:
            reasons.append((status, reason))
    record["kept"] = not reasons
    record["reason"] = _reason(reasons, plan.realizations)
    return record


def _realization(
    halos: HaloCatalog, plan: Plan, model: HODModel, record: npt.NDArray[Any], k: int
) -> tuple[int, str]:
    try:
        # The campaign has checked the halos, and warned of lighter ones.
        galaxies = model._populate(halos, int(record["seed"][k]))
    except NotPopulated as error:
        many = isinstance(error, TooManyGalaxies)
        return (TOO_MANY if many else NO_GALAXIES), error.reason
    record["n_central"][k] = galaxies.central.sum()
    record["n_satellite"][k] = len(galaxies) - record["n_central"][k]
    sums = alignment_sums(galaxies, bins=plan.edges, drawn=True)
    found = sums.at(model.mu_cen, model.mu_sat)
    record["npairs"][k], record["r"][k] = found.npairs, found.r
    record["measured"][k] = found.xi, *sums.drawn()
    record["response"][k] = sums.response()
    edges = plan.edges
    empty = np.flatnonzero(found.npairs == 0)
    if empty.size:
        i = int(empty[0])
        return EMPTY_BINS, f"no pairs at {edges[i]:.3g} to {edges[i + 1]:.3g} Mpc/h"
    above = np.flatnonzero(found.xi > plan.xi_most)
    if above.size:
        i = int(above[0])
        return ABOVE_LIMIT, (
            f"xi = {found.xi[i]:.3g} at {edges[i]:.3g} to {edges[i + 1]:.3g} Mpc/h, above "
            f"{plan.xi_most[i]:.3g}"
        )
    return GOOD, ""


def _reason(reasons: list[tuple[int, str]], realizations: int) -> bytes:
    """One line: each kind with how many realizations have it, and the first one's numbers."""
    parts = []
    for status in sorted({status for status, _ in reasons}):
        of_kind = [text for kind, text in reasons if kind == status]
        parts.append(f"{STATUS[status]} in {len(of_kind)} of {realizations} ({of_kind[0]})")
    return "; ".join(parts).encode("ascii", "replace")[:_REASON_BYTES]


def work(halos: HaloCatalog, plan: Plan, row: int, point: FloatArray) -> bytes:
    """`measure_row` in a worker; the record as bytes."""
    use_threads_of_worker()
    return measure_row(halos, plan, row, point).tobytes()
