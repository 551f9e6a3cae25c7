"""Where a network starts before it is trained: outputs of roughly the size of correlations."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from pysoftcorr.emulator.network.scaling import (
    RESPONSES,
    PublishedScaling,
    ResponseScaling,
    Scaling,
)

__all__ = ["bin_centers", "likely_scaling"]

FloatArray = npt.NDArray[np.float64]


def bin_centers(edges: FloatArray) -> FloatArray:
    """Geometric centers; a first edge of 0 counts as a quarter of the next."""
    low = np.where(edges[:-1] > 0, edges[:-1], 0.25 * edges[1:])
    return np.asarray(np.sqrt(low * edges[1:]))


def likely_scaling(kind: str, edges: FloatArray, points: FloatArray) -> Scaling | None:
    """Of roughly the size that correlations have; None for an unknown kind."""
    r = bin_centers(edges)
    log_xi = -1.8 * np.log(r / 5.0)
    if kind == "published":
        rows = np.stack([log_xi, 0.02 / np.sqrt(r), 0.01 / r])
        factor = np.linspace(0.5, 1.5, len(points))[:, None, None]
        return PublishedScaling.fit(points, factor * rows)
    if kind == "response":
        made = ResponseScaling.blank(len(r))
        fitted = ResponseScaling.fit(
            points, np.tile(log_xi, (len(points), 1)), np.zeros((len(points), RESPONSES, len(r))),
            np.full((len(points), 3, len(r)), 1e-4),
        )  # fmt: skip
        made.input_mean, made.input_matrix = fitted.input_mean, fitted.input_matrix
        size = 0.1 / np.sqrt(1.0 + r)
        made.target_mean[:] = torch.as_tensor(np.stack([log_xi, *[0.5 * size] * RESPONSES]))
        made.target_std[:] = torch.as_tensor(np.stack([0 * r + 0.4, *[0.3 * size] * RESPONSES]))
        made.log_variance[:] = torch.as_tensor(np.log(np.stack([0.01 + 0 * r, *[1e-5 / r] * 2])))
        return made
    return None
