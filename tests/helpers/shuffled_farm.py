"""Workers of the mind: blocks done in this process, in any order, of arrays that begin anywhere."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from pysoftcorr.core.farm import blocks

__all__ = ["shuffled"]


def shuffled(
    monkeypatch: pytest.MonkeyPatch, seed: int = 0, *, small: bool = False
) -> dict[str, int]:
    """Let ``workers=`` mean these; counts blocks, `small` ones if so, and what is shared."""
    if small:
        monkeypatch.setattr(blocks, "_LEAST_COST", 500.0)
    rng = np.random.default_rng(seed)
    done = {"blocks": 0, "shared": 0, "farms": 0}

    def here(
        client: Any, task: Callable[..., Any], shared: Any, arguments: Any, numbers: Any, tick: Any,
        *, words: Any, failed: Any, large: bool = False,
    ) -> Iterator[tuple[int, Any]]:  # fmt: skip
        there = []
        for one in shared:
            if one.there is None:
                one.there = _sent(one.given)
                done["shared"] += one.given is not None
            there.append(one.there)
        for number in rng.permutation(list(numbers)).tolist():
            done["blocks"] += 1
            try:
                result = task(*there, *_sent(arguments(number)))
            except Exception as error:
                raise failed(number, error) from None
            yield number, _sent(result)

    @contextmanager
    def nobody(scheduler: Any, workers: Any) -> Iterator[None]:
        done["farms"] += 1
        yield None

    monkeypatch.setenv("PYSOFTCORR_THREADS", "2")
    monkeypatch.setattr(blocks, "finished", here)
    monkeypatch.setattr(blocks, "connected", nobody)
    monkeypatch.setattr(blocks, "refuse_unguarded_script", lambda name: None)
    return done


def _sent(given: Any) -> Any:
    """A copy as another process has it, with arrays that begin at odd bytes and are read only."""
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(given, protocol=5, buffer_callback=buffers.append)
    moved = []
    for buffer in buffers:
        raw = buffer.raw()
        room = bytearray(raw.nbytes + 1)
        room[1:] = raw
        moved.append(memoryview(room)[1:].toreadonly())
    return pickle.loads(data, buffers=moved)
