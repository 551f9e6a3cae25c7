"""What a network is trained on: a data set as tensors, with realizations made into statistics."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from pysoftcorr.emulator.data import EmulatorData

try:
    import torch
except ImportError as error:  # pragma: no cover - depends on what is installed
    raise ImportError(
        "training an emulator needs torch; install it with: pip install 'pysoftcorr[torch]'"
    ) from error

__all__ = ["TARGETS", "Targets"]

Tensor = torch.Tensor

TARGETS = ("expected", "drawn")
#: Of the scatter of drawn values: what is left at least once that of the exact means is taken off.
_LEAST_SPREAD = 0.05


@dataclass(frozen=True)
class Targets:
    """A data set in physical units, statistics in the order log xi, omega, eta.

    Attributes
    ----------
    params : Tensor, shape (n, 7)
    drawn : Tensor, shape (n, R, 3, b)
        Every realization.
    mean : Tensor, shape (n, 3, b)
        What the means are trained on: the mean over realizations, or for omega and eta the exact
        expectation.
    spread : Tensor, shape (n, 3, b)
        Variance of the drawn values about `mean`, so that mean_r (y_r - m)^2 is
        (mean - m)^2 + spread for any m, on average over the noise.
    error : Tensor, shape (n, 3, b)
        Variance of `mean` itself.
    response, response_error : Tensor, shape (n, 5, b), or None
        Mean response functions and the variance of that mean.
    """

    params: Tensor
    drawn: Tensor
    mean: Tensor
    spread: Tensor
    error: Tensor
    response: Tensor | None
    response_error: Tensor | None

    @classmethod
    def of(cls, data: EmulatorData, targets: str) -> Targets:
        """From a data set.

        Parameters
        ----------
        data : EmulatorData
        targets : {"expected", "drawn"}
            What the means of omega and eta are held against: the exact expectation over all
            draws of the axes, or the mean of the drawn realizations.

        Raises
        ------
        ValueError
            If `targets` is neither, the data have no expectations, or fewer than two
            realizations.
        """
        if targets not in TARGETS:
            raise ValueError(f"targets = {targets!r}: must be one of {', '.join(TARGETS)}")
        number = data.realizations
        if number < 2:
            raise ValueError("data has one realization of each row; variances need at least 2")
        drawn = np.stack([np.log(data.xi), data.omega, data.eta], axis=2)
        mean, spread = drawn.mean(axis=1), drawn.var(axis=1)
        error = drawn.var(axis=1, ddof=1) / number
        if targets == "expected":
            if data.expected_omega is None or data.expected_eta is None:
                raise ValueError(
                    "data has no exact expectations of omega and eta; pass targets='drawn'"
                )
            for k, name in ((1, "omega"), (2, "eta")):
                mean[:, k] = getattr(data, f"expected_{name}")
                scatter = getattr(data, f"expected_{name}_variance")
                error[:, k] = 0.0 if scatter is None else scatter / number
                whole = drawn[:, :, k].var(axis=1, ddof=1)
                # (mean - m)^2 holds the variance of `mean` already.
                spread[:, k] = np.maximum(whole - error[:, k], _LEAST_SPREAD * whole)
        response = response_error = None
        if data.response is not None and data.response_variance is not None:
            response = _tensor(data.response)
            response_error = _tensor(data.response_variance / number)
        return cls(
            params=_tensor(data.parameters),
            drawn=_tensor(drawn),
            mean=_tensor(mean),
            spread=_tensor(spread),
            error=_tensor(error),
            response=response,
            response_error=response_error,
        )

    def __len__(self) -> int:
        return len(self.params)

    def to(self, device: torch.device) -> Targets:
        """The same on a device."""
        moved = {
            item.name: value.to(device)
            for item in fields(self)
            if (value := getattr(self, item.name)) is not None
        }
        return replace(self, **moved)


def _tensor(values: np.ndarray) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float32)
