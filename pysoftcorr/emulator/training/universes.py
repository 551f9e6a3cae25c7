"""The response network of universes as a task of the training loop.

A row is the expectation in one universe, without noise: all that differs from the mean over
universes is what that universe is. The mean is a polynomial in the cosmology (see
`ResponseNetwork`), and the variance has two parts that are learned apart: of galaxies and their
axes, given the halos, from the analytic covariance of the tables; between universes, from the
residuals.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch

from pysoftcorr.emulator.network.response import ResponseNetwork
from pysoftcorr.emulator.network.scaling import ResponseScaling
from pysoftcorr.emulator.training.tasks import Targets, _epochs, _fractional

__all__ = ["UniversesTask"]

Tensor = torch.Tensor


class UniversesTask:
    """Weighted squared errors of log xi and the responses; likelihood of both variances.

    Each member of the ensemble weighs the universes by random numbers of mean 1 (Rubin 1981, the
    Bayesian bootstrap): the members differ by what another choice of universes would have given,
    which is the epistemic error. The square of a residual from a member is, on average over such
    weights, that of a new universe from the mean: what the fit has drawn to itself the weights
    scatter by.

    Parameters
    ----------
    network : ResponseNetwork
    train, validation : Targets
        Of universes.
    batch : int
        Points; each member has its own order of them.
    tolerance : float
        Part of the size of a target that is a small error of it.
    robust : float or None
        Residuals beyond so many tolerances count linearly.
    seed : int
        Of the weights of the universes.
    """

    def __init__(
        self, network: ResponseNetwork, train: Targets, validation: Targets, *, batch: int,
        tolerance: float, robust: float | None, seed: int,
    ) -> None:  # fmt: skip
        self.network, self.batch = network, batch
        self.tolerance, self.robust = tolerance, robust
        scaling = cast(ResponseScaling, network.scaling)
        self.scale = scaling.target_std
        self.train, self.validation = self._prepared(train), self._prepared(validation)
        assert train.universe is not None
        numbers, own = train.universe.unique(return_inverse=True)
        generator = torch.Generator().manual_seed(seed % 2**63)
        drawn = torch.rand((network.members, len(numbers)), generator=generator)
        weight = -torch.log1p(-drawn)
        weight = weight / weight.mean(dim=1, keepdim=True)
        self.weight = weight.to(train.params)[:, own]  # members, n
        self.known = train.chance.isfinite().all(dim=(1, 2))  # type: ignore[union-attr]

    def _prepared(self, rows: Targets) -> dict[str, Any]:
        assert rows.response is not None
        target = torch.cat([rows.mean[:, :1], rows.response], dim=1)
        # log xi: an error of log xi is a fractional one already.
        enough = target.square() + (0.1 * self.scale).square()
        enough[:, 0] = 1.0
        return {"rows": rows, "target": target, "weight": enough.rsqrt() / self.tolerance}

    def _mean(self, params: Tensor) -> tuple[Tensor, Tensor]:
        """Physical responses and the means, of all members together."""
        physical = self.network.physical(self.network.responses(params)).mean(dim=0)
        return physical, self.network.means(params, physical)

    def batches(self, generator: torch.Generator) -> Iterator[Tensor]:
        """One epoch; (members, batch)."""
        rows = len(self.train["target"])
        for index in _epochs(rows, self.batch, generator, self.network.members):
            yield index.to(self.scale.device)

    def loss(self, batch: Tensor, epoch: int) -> Tensor:
        """Sum of the losses of means and variances, which share no weights."""
        rows = self.train["rows"]
        params = rows.params[batch]
        physical = self.network.physical(self.network.responses(params))
        z = self.train["weight"][batch] * (physical - self.train["target"][batch])
        weight = torch.gather(self.weight, 1, batch)
        first = (weight[..., None, None] * self._residual(z)).mean()
        mean = self.network.means(params, physical.detach())
        square = (mean - rows.mean[batch]).square()
        logs = self.network.log_variances(params)
        return first + self._likelihood(logs, rows.chance[batch], square, self.known[batch])

    def _residual(self, z: Tensor) -> Tensor:
        if self.robust is None:
            return z.square()
        d = self.robust
        return 2 * d * d * ((1 + (z / d).square()).sqrt() - 1)

    def _likelihood(self, logs: Tensor, chance: Tensor, square: Tensor, known: Tensor) -> Tensor:
        """Losses of both variances, less those of typical ones: chance where it is known."""
        typical = cast(ResponseScaling, self.network.scaling).log_variance
        by_chance, between = logs.unbind(dim=-3)
        first = 0.5 * (chance[known] * (-by_chance[known]).exp() + by_chance[known] - typical[0])
        second = 0.5 * (square * (-between).exp() + between - typical[1])
        return (first.mean() if len(first) else first.sum()) + second.mean()

    def validate(self) -> dict[str, float]:
        """Both losses of the mean of the members, in universes watched, and fractional errors."""
        rows = self.validation["rows"]
        physical, mean = self._mean(rows.params)
        z = self.validation["weight"] * (physical - self.validation["target"])
        logs = self.network.log_variances(rows.params).exp().mean(dim=0).log()
        known = rows.chance.isfinite().all(dim=(1, 2))
        square = (mean - rows.mean).square()
        first = self._residual(z).mean()
        second = self._likelihood(logs, rows.chance, square, known)
        return {
            "score": float(first + second),
            "mse": float(first),
            "nll": float(second),
            **_fractional(mean, rows),
        }
