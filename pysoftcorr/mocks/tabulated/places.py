"""How many places of satellites a halo is given."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["place_numbers"]

#: In all halos.
_AT_LEAST = 50_000


def place_numbers(
    mass: npt.NDArray[np.float64], places: int, fewest: int, most: int
) -> npt.NDArray[np.int64]:
    """Places in each halo: powers of two in proportion to mass, `places` on average.

    In few halos there are more, which cost nothing.
    """
    total = max(places * mass.size, _AT_LEAST)

    def at(log_scale: float) -> npt.NDArray[np.int64]:
        power = np.rint(np.log2(mass) + log_scale)
        return np.asarray(2 ** np.clip(power, np.log2(fewest), np.log2(most)).astype(np.int64))

    low, high = -float(np.log2(mass.max())), np.log2(most) - float(np.log2(mass.min()))
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if at(middle).sum() <= total else (low, middle)
    return at(low)
