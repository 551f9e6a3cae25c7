"""JSON documents of results: for the terminal, and for files beside them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

__all__ = ["finite", "json_text"]

_DRAWS = "needs at least 4 draws of each chain, which differ"
#: Why a number is NaN, by the name that it has.
_WHY_NAN = {
    **dict.fromkeys(("r_hat", "mcse", "ess_bulk", "ess_tail", "ess_per_draw", "ess_per_second",
                     "ess_per_evaluation", "ess_per_second_with_warmup"), _DRAWS),
    "sd": "needs at least 2 draws",
}  # fmt: skip


def json_text(document: Mapping[str, Any] | None, *, indent: int | None = None) -> str:
    """Text of a JSON document that every reader of JSON takes: null for what is not finite.

    Examples
    --------
    >>> from pysoftcorr.core.documents import json_text
    >>> json_text({"sd": float("nan")})
    '{"sd": null, "null_because": {"sd": "needs at least 2 draws"}}'
    """
    return json.dumps(finite(document), indent=indent, allow_nan=False)


def finite(document: Mapping[str, Any] | None) -> Any:
    """A document with None for NaN and infinities, which JSON has none of, and why.

    Where there was one, ``"null_because"`` says of each place what stood there.
    """
    reasons: dict[str, str] = {}
    made = _finite(document, (), reasons)
    if reasons and isinstance(made, dict):
        made["null_because"] = reasons
    return made


def _finite(value: Any, place: tuple[str, ...], reasons: dict[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(part, (*place, str(key)), reasons) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part, (*place, str(k)), reasons) for k, part in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        name = next((part for part in reversed(place) if not part.isdecimal()), "")
        reasons[".".join(place)] = (
            "infinite" if math.isinf(value) else _WHY_NAN.get(name, "not defined for these data")
        )
        return None
    return value
