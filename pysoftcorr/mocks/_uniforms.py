"""Uniform numbers by address: of a stream, a halo and a rank within the halo.

A generator read in order would move every later draw when one halo gains a satellite. Here each
number depends on nothing but the seed, the purpose, the row of the halo, and the rank of the
galaxy in it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pysoftcorr._random import stream

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)


def _mix(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """SplitMix64's output function (Steele, Lea & Flood 2014)."""
    z = (z ^ (z >> np.uint64(30))) * _MIX1
    z = (z ^ (z >> np.uint64(27))) * _MIX2
    return z ^ (z >> np.uint64(31))


def uniforms(
    seed: int, purpose: str, halo: npt.NDArray[np.int64], rank: npt.NDArray[np.int64] | int = 0
) -> npt.NDArray[np.float64]:
    """Numbers in (0, 1), one for each halo and rank: SplitMix64 started anew for every halo.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.mocks._uniforms import uniforms
    >>> few, many = (uniforms(1, "radius", np.arange(n)) for n in (3, 5))
    >>> bool((few == many[:3]).all())
    True
    """
    key = stream(seed, purpose).integers(2**64, dtype=np.uint64)
    start = _mix(key + (halo.astype(np.uint64) + np.uint64(1)) * _MIX2)
    counter = np.asarray(rank, dtype=np.int64).astype(np.uint64) + np.uint64(1)
    bits = _mix(start + counter * _GOLDEN) >> np.uint64(12)
    return (bits.astype(np.float64) + 0.5) * 2.0**-52
