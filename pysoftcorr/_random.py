"""Random streams: one seed, an independent stream for every purpose."""

from __future__ import annotations

import secrets
import zlib

import numpy as np

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
    >>> from pysoftcorr._random import stream
    >>> bool(stream(1, "start").random() == stream(1, "start").random())
    True
    >>> bool(stream(1, "start").random() == stream(1, "bootstrap").random())
    False
    """
    return np.random.default_rng(np.random.SeedSequence([seed, zlib.crc32(purpose.encode())]))
