"""Rows of a halo table that a halo can have: the others are refused or left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from pysoftcorr.core.cautions import caution
from pysoftcorr.core.checks import FloatArray, Origin
from pysoftcorr.mocks import checks as halo_checks

#: Columns that halos may lack, and how to read the table without them.
_OPTIONAL = {
    "b_to_a": "columns={'b_to_a': None, 'c_to_a': None}",
    "c_to_a": "columns={'b_to_a': None, 'c_to_a': None}",
    "minor_axis": "columns={'minor_axis': None}",
    "velocity": "columns={'velocity': None}",
}


def _without(name: str) -> str:
    """The end of an advice: how to read the table without a column that halos may lack."""
    return f", or pass {_OPTIONAL[name]} to read without them" if name in _OPTIONAL else ""


def _faults(found: Mapping[str, FloatArray], origin: Origin) -> Iterator[halo_checks.Fault]:
    """What is wrong with rows of the columns, finite ones, and their messages."""
    mass = found["mass"]
    conc = found.get("concentration")
    for fault in (
        halo_checks.mass_fault(mass, origin),
        "axis" in found
        and halo_checks.axis_fault(
            found["axis"],
            origin,
            hint=", or pass axes='random' with a seed to draw all axes at random",
        ),
        "radius" in found and halo_checks.radius_fault(found["radius"], mass, origin),
        conc is not None and halo_checks.concentration_fault(conc, origin),
    ):
        if fault:
            yield fault
    if "scale_radius" in found and conc is None:
        scale = found["scale_radius"]
        bad = np.flatnonzero(scale <= 0)
        if bad.size:
            yield halo_checks.Fault(
                "scale_radius",
                bad,
                f"{origin.column('scale_radius')} must be above 0; it is not in "
                f"{origin.show(bad, scale)}: {halo_checks.correct_rows(origin)}",
            )
        elif "radius" in found:
            ratio = found["radius"] / scale
            mixed = halo_checks.concentration_fault(ratio, origin, source="radius / scale_radius")
            if mixed:
                yield mixed
    yield from _optional_faults(found, origin)


def _optional_faults(
    found: Mapping[str, FloatArray], origin: Origin
) -> Iterator[halo_checks.Fault]:
    """What is wrong with the columns that halos may lack."""
    if "minor_axis" in found:
        hint = _without("minor_axis")
        minor = halo_checks.axis_fault(found["minor_axis"], origin, "minor_axis", hint=hint)
        if minor:
            yield minor
        elif "axis" in found:
            length = np.linalg.norm(found["axis"], axis=1) * np.linalg.norm(
                found["minor_axis"], axis=1
            )
            cosine = np.einsum("ij,ij->i", found["minor_axis"], found["axis"]) / length
            turned = halo_checks.right_angle_fault(cosine, origin, hint=hint)
            if turned:
                yield turned
    if "b_to_a" in found:
        ratios = halo_checks.axis_ratio_fault(
            found["b_to_a"], found["c_to_a"], origin, hint=_without("b_to_a")
        )
        if ratios:
            yield ratios
    if "velocity" in found:
        fast = halo_checks.velocity_fault(found["velocity"], origin, hint=_without("velocity"))
        if fast:
            yield fast


def sound(
    found: dict[str, FloatArray], origin: Origin, on_bad: str
) -> tuple[dict[str, FloatArray], Origin, int]:
    """The columns of rows that a halo can have; the others are refused or left out."""
    n = len(found["mass"])
    if on_bad == "error":
        halo_checks.finite({k: v for k, v in found.items() if k not in _OPTIONAL}, origin)
        for name in (name for name in _OPTIONAL if name in found):
            halo_checks.finite({name: found[name]}, origin, hint=_without(name))
        for first in _faults(found, origin):
            raise ValueError(first.text)
        return found, origin, 0
    why: dict[str, int] = {}
    good = np.ones(n, dtype=bool)
    for name, values in found.items():
        finite = np.isfinite(values) if values.ndim == 1 else np.isfinite(values).all(axis=1)
        if not finite.all():
            why[name] = int(np.count_nonzero(~finite))
            good &= finite
    # Leaving rows out brings the next fault to light, until there is none.
    while good.any():
        kept = {name: values[good] for name, values in found.items()}
        at = np.flatnonzero(good)
        fault = next(_faults(kept, origin.keep(good)), None)
        if fault is None:
            break
        if 2 * len(fault.rows) > len(at):
            # A unit, not single rows.
            raise ValueError(fault.text.replace(", or pass on_bad='drop' to leave them out", ""))
        why[fault.name] = why.get(fault.name, 0) + len(fault.rows)
        good[at[fault.rows]] = False
    if not good.any():
        raise ValueError(
            "the halo catalog is empty: every row has a NaN, infinite, masked or impossible value "
            f"in {', '.join(origin.column(name) for name in why)}"
        )
    dropped = n - int(np.count_nonzero(good))
    if dropped:
        listed = ", ".join(f"{name} {count}" for name, count in why.items())
        caution(
            f"left out {dropped} of {n} halos with NaN, infinite, masked or impossible values "
            f"({listed})"
        )
        found = {name: values[good] for name, values in found.items()}
        origin = origin.keep(good)
    return found, origin, dropped
