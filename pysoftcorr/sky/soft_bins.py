"""Bins of separation with soft edges."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.sky.binning import Binning, Bins

__all__ = ["WEIGHTINGS", "soft_bins", "soft_edges"]

FloatArray = npt.NDArray[np.float64]

WEIGHTINGS = {"sigmoid": 0, "gaussian": 1}

#: Default sharpness of a sigmoid times the bin's width: 10 e-folds from an edge to the middle.
SIGMOID_WIDTHS = 20.0


def soft_bins(bins: Bins, weighting: str, sharpness: Any) -> tuple[Binning, FloatArray]:
    """The bins, and (3, nbins) lower edges, upper edges (arcmin, or pixels) and sharpness."""
    binning = Binning.of(bins)
    return binning, soft_edges(binning.edges_flat, weighting, sharpness)


def soft_edges(edges: FloatArray, weighting: str, sharpness: Any) -> FloatArray:
    """(3, nbins) lower edges, upper edges and sharpness, in the unit of the edges."""
    widths = np.diff(edges)
    if sharpness is None:
        sharp = (
            SIGMOID_WIDTHS / widths if weighting == "sigmoid" else 4.0 * math.log(2.0) / widths**2
        )
    else:
        given = np.asarray(sharpness)
        if given.dtype.kind not in "iuf":
            raise TypeError(f"sharpness must hold real numbers, not {given.dtype}")
        if given.shape not in ((), widths.shape):
            raise ValueError(
                f"sharpness has shape {given.shape}: must be one number or one a bin, "
                f"({widths.size},)"
            )
        sharp = np.broadcast_to(given.astype(np.float64), widths.shape)
        bad = np.flatnonzero(~(np.isfinite(sharp) & (sharp > 0)))
        if bad.size:
            raise ValueError(
                f"sharpness = {sharp[bad[0]]:g} of bin {bad[0]}: must be finite and above 0"
            )
    return np.ascontiguousarray(np.stack([edges[:-1], edges[1:], sharp]))
