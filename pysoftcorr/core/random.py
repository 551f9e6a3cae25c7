"""Random streams: one seed, an independent stream for every purpose."""

from __future__ import annotations

import secrets
import zlib

import numpy as np
import numpy.typing as npt

Seed = int | np.random.Generator | None


def root_seed(seed: Seed) -> int:
    """The integer that a whole computation follows from, for the record.

    Raises
    ------
    TypeError
        `seed` is no integer, Generator or None.
    ValueError
        `seed` is negative.
    """
    if seed is None:
        return secrets.randbits(62)
    if isinstance(seed, np.random.Generator):
        return int(seed.integers(2**62))
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise TypeError(
            f"seed = {seed!r}: must be an integer, a numpy.random.Generator or None, "
            f"not {type(seed).__name__}"
        )
    if seed < 0:
        raise ValueError(f"seed = {seed}: must not be negative")
    return int(seed)


def stream(seed: int, purpose: str) -> np.random.Generator:
    """The stream of one purpose; streams of other purposes do not depend on its use.

    Examples
    --------
    >>> from pysoftcorr.core.random import stream
    >>> bool(stream(1, "start").random() == stream(1, "start").random())
    True
    >>> bool(stream(1, "start").random() == stream(1, "bootstrap").random())
    False
    """
    return np.random.default_rng(np.random.SeedSequence([seed, zlib.crc32(purpose.encode())]))


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
    """Numbers in (0, 1), one for each halo and rank: SplitMix64 started for every halo.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.core.random import uniforms
    >>> few, many = (uniforms(1, "radius", np.arange(n)) for n in (3, 5))
    >>> bool((few == many[:3]).all())
    True
    """
    key = stream(seed, purpose).integers(2**64, dtype=np.uint64)
    start = _mix(key + (halo.astype(np.uint64) + np.uint64(1)) * _MIX2)
    counter = np.asarray(rank, dtype=np.int64).astype(np.uint64) + np.uint64(1)
    bits = _mix(start + counter * _GOLDEN) >> np.uint64(12)
    return (bits.astype(np.float64) + 0.5) * 2.0**-52
