"""The two networks as tasks of the training loop: targets, losses, batches and validation.

Realizations of one parameter point differ by noise alone, so that all a normal likelihood needs
of them is their mean and their spread: over R realizations y_r with mean m and variance v,

    mean_r (y_r - m)^2 = (ybar - m)^2 + s^2,    s^2 = mean_r (y_r - ybar)^2.

Losses take those two, `target` and `spread`, and are equal to the mean over realizations of the
loss of each, at 1/R of the cost. Of one realization, `target` is its value and `spread` is 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, cast

import numpy as np
import torch

from pysoftcorr.core.options import choice
from pysoftcorr.emulator.data import EmulatorData
from pysoftcorr.emulator.network.published import PublishedNetwork
from pysoftcorr.emulator.network.response import ResponseNetwork
from pysoftcorr.emulator.network.scaling import PublishedScaling, ResponseScaling

__all__ = [
    "TARGETS", "PublishedTask", "ResponseTask", "Targets", "beta_nll", "gaussian_nll",
    "published_scaling", "response_scaling",
]  # fmt: skip

Tensor = torch.Tensor

TARGETS = ("expected", "drawn")
#: Part of the scatter of drawn values that is left at least, once that of exact means is taken off.
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
        Targets of the means: the mean over realizations, or for omega and eta the exact
        expectation.
    spread : Tensor, shape (n, 3, b)
        Variance of the drawn values about `mean`, so that mean_r (y_r - m)^2 is
        (mean - m)^2 + spread for any m, on average over the noise.
    error : Tensor, shape (n, 3, b)
        Variance of `mean` itself.
    response, response_error : Tensor, shape (n, 5, b), or None
        Mean response functions and the variance of that mean.
    universe : Tensor, shape (n,), or None
        Number of the universe of each row.
    chance : Tensor, shape (n, 3, b), or None
        Variance in one box given its halos; NaN where it is not known.
    """

    params: Tensor
    drawn: Tensor
    mean: Tensor
    spread: Tensor
    error: Tensor
    response: Tensor | None
    response_error: Tensor | None
    universe: Tensor | None = None
    chance: Tensor | None = None

    @classmethod
    def of(cls, data: EmulatorData, targets: str) -> Targets:
        """Targets of a data set.

        Parameters
        ----------
        data : EmulatorData
        targets : {"expected", "drawn"}
            Targets of the means of omega and eta: the exact expectation over all draws of the
            axes, or the mean of the drawn realizations.

        Raises
        ------
        ValueError
            If `targets` is neither, the data have no expectations, or fewer than two
            realizations.
        """
        choice("targets", targets, TARGETS)
        if data.universe is not None:
            return cls._of_universes(data, targets)
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

    @classmethod
    def _of_universes(cls, data: EmulatorData, targets: str) -> Targets:
        """Expectations of rows in their universe, which have no error but what that one is."""
        if targets != "expected":
            raise ValueError(
                "targets = 'drawn': rows of universes are expectations; take targets='expected'"
            )
        if data.response is None or data.chance is None or data.chance_row is None:
            raise ValueError("data of universes have no responses, or no covariance given the "
                             "halos, which training needs")  # fmt: skip
        drawn = np.stack([np.log(data.xi), data.omega, data.eta], axis=2)
        mean, none = drawn[:, 0], np.zeros_like(drawn[:, 0])
        chance = np.full(mean.shape, np.nan)
        chance[data.chance_row] = np.diagonal(data.chance, axis1=2, axis2=3)
        assert data.universe is not None
        return cls(
            params=_tensor(data.parameters), drawn=_tensor(drawn), mean=_tensor(mean),
            spread=_tensor(none), error=_tensor(none), response=_tensor(data.response),
            response_error=_tensor(np.zeros_like(data.response)),
            universe=torch.as_tensor(data.universe), chance=_tensor(chance),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.params)

    def to(self, device: torch.device) -> Targets:
        """These targets on a device."""
        moved = {
            item.name: value.to(device)
            for item in fields(self)
            if (value := getattr(self, item.name)) is not None
        }
        return replace(self, **moved)


def _tensor(values: np.ndarray) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float32)


# ---------------------------------------------------------------------- losses
def gaussian_nll(
    mean: Tensor, variance: Tensor, target: Tensor, spread: Tensor | float = 0.0
) -> Tensor:
    """Gaussian negative log-likelihood of every element, ((y - m)^2 + s^2)/(2 v) + ln(v)/2.

    The constant ln(2 pi)/2 is left out. `target` is the mean y over realizations and `spread` the
    variance s^2 about it, 0 for single values.
    """
    return 0.5 * (((target - mean).square() + spread) / variance + variance.log())


def beta_nll(
    mean: Tensor,
    variance: Tensor,
    target: Tensor,
    spread: Tensor | float = 0.0,
    *,
    beta: Tensor | float = 0.5,
) -> Tensor:
    """Normal log-likelihood weighted by a power of the variance (Seitzer et al. 2022).

    The mean of v^beta [((y - m)^2 + s^2)/(2 v) + ln(v)/2], where v^beta passes no gradient:
    beta = 0 is the likelihood itself, beta = 1 moves the means as a squared error does.

    Parameters
    ----------
    mean, variance : Tensor
        Predicted; variance > 0.
    target, spread : Tensor
        Mean over realizations and the variance about it; spread is 0 for single values.
    beta : float or Tensor

    Returns
    -------
    Tensor
        A number.

    References
    ----------
    Seitzer et al. 2022 (arXiv:2203.09168); Pandya et al. 2025 (arXiv:2504.05235).

    Examples
    --------
    >>> import torch
    >>> from pysoftcorr.emulator.training.tasks import beta_nll
    >>> beta_nll(torch.zeros(3), torch.ones(3), torch.full((3,), 2.0)).item()
    2.0
    """
    loss = gaussian_nll(mean, variance, target, spread)
    return (variance.detach() ** beta * loss).mean()


# ---------------------------------------------------------------------- tasks
#: Weights of MSE and NLL in the score of the published network, which chooses its epoch [P25].
SCORE = (0.7, 0.3)
#: beta of log xi, omega, eta once the first part of the epochs, with beta = 1, is over [P25].
BETAS = (0.9, 0.5, 0.5)
#: That first part: 100 of 500 epochs.
FIRST = 0.2


def published_scaling(train: Targets) -> PublishedScaling:
    """Scaling fitted to the training set alone."""
    return PublishedScaling.fit(train.params.double().numpy(), train.drawn.double().numpy())


def response_scaling(train: Targets) -> ResponseScaling:
    """Scaling fitted to the training set alone."""
    assert train.response is not None
    if train.chance is None:
        variances = train.drawn.double().var(dim=1, correction=1)
    else:
        known = train.chance.double().nan_to_num().sum(dim=0)
        known = known / train.chance.isfinite().sum(dim=0).clamp(min=1)
        # Between universes about as much: it is found in training.
        variances = known.expand(len(train), 2, *known.shape)
    return ResponseScaling.fit(
        train.params.double().numpy(),
        train.mean[:, 0].double().numpy(),
        train.response.double().numpy(),
        variances.numpy(),
    )


def _epochs(rows: int, batch: int, generator: torch.Generator, members: int) -> Iterator[Tensor]:
    """Shuffled row numbers, (members, batch); what is left over waits for another epoch."""
    order = torch.stack([torch.randperm(rows, generator=generator) for _ in range(members)])
    size = min(batch, rows)
    for start in range(0, rows - size + 1, size):
        yield order[:, start : start + size]


def _fractional(mean: Tensor, true: Targets) -> dict[str, float]:
    """Fractional errors on the validation set, for the learning curves."""
    off = (mean - true.mean).abs()
    found = {"error_xi": float(off[:, 0].mean())}  # of log xi: a fraction, for it is small
    drawn = true.drawn.mean(dim=1)
    number = true.drawn.shape[1]
    noise = torch.zeros_like(drawn)
    if number > 1:
        noise = (true.drawn.var(dim=1, correction=1) / number).sqrt()
    for k, name in ((1, "omega"), (2, "eta")):
        size = drawn[:, k].abs()
        where = (size > 0.01) & (size > 3 * noise[:, k])
        part = off[:, k][where] / size[where]
        found[f"error_{name}"] = float(part.mean()) if where.any() else float("nan")
    return found


class PublishedTask:
    """beta-NLL of log xi, omega and eta, as Pandya et al. (2025) train.

    Parameters
    ----------
    network : PublishedNetwork
    train, validation : Targets
    epochs, batch : int
    sufficient : bool
        Train on the mean and spread of each parameter point; else on every realization, R times
        the batches and the same loss on average.
    """

    def __init__(
        self,
        network: PublishedNetwork,
        train: Targets,
        validation: Targets,
        *,
        epochs: int,
        batch: int,
        sufficient: bool,
    ) -> None:
        self.network, self.batch = network, batch
        self.first = FIRST * epochs
        scaling = cast(PublishedScaling, network.scaling)
        shift, scale = scaling.target_mean[:, None], scaling.target_std[:, None]
        self.x = scaling.standardized(train.params)
        if sufficient:
            self.y, self.spread = (train.mean - shift) / scale, train.spread / scale**2
        else:
            self.x = self.x.repeat_interleave(train.drawn.shape[1], dim=0)
            self.y = ((train.drawn - shift) / scale).flatten(0, 1)
            self.spread = torch.zeros_like(self.y[:1])
        self.validation = validation
        self.vx = scaling.standardized(validation.params)
        self.vy, self.vspread = (validation.mean - shift) / scale, validation.spread / scale**2
        self.shift, self.scale = shift, scale
        self.betas = torch.tensor(BETAS, device=self.x.device)[:, None]

    def batches(self, generator: torch.Generator) -> Iterator[Tensor]:
        """One epoch."""
        for index in _epochs(len(self.x), self.batch, generator, 1):
            yield index[0].to(self.x.device)

    def loss(self, batch: Tensor, epoch: int) -> Tensor:
        """beta-NLL: beta 1 at first, then that of each statistic."""
        mean, variance = self.network(self.x[batch])
        spread = self.spread[batch] if len(self.spread) > 1 else self.spread
        beta = 1.0 if epoch < self.first else self.betas
        return beta_nll(mean, variance, self.y[batch], spread, beta=beta)

    def validate(self) -> dict[str, float]:
        """MSE and NLL in standardized units, and fractional errors."""
        parts = [self.network(x) for x in self.vx.split(1024)]
        mean, variance = (torch.cat([part[i] for part in parts]) for i in (0, 1))
        mse = float((mean - self.vy).square().mean())
        nll = float(gaussian_nll(mean, variance, self.vy, self.vspread).mean())
        physical = mean * self.scale + self.shift
        return {
            "score": SCORE[0] * mse + SCORE[1] * nll,
            "mse": mse,
            "nll": nll,
            **_fractional(physical, self.validation),
        }


class ResponseTask:
    """Weighted squared errors of log xi and the responses; likelihood of the variances.

    A squared residual is divided by the variance of its target and the square of an error that
    is small enough, `tolerance` of the size of the target, so that noisy points weigh less and
    no point more than is of use. Beyond `robust` such errors the square turns linear. Variances
    learn from those among the realizations of each point, about the truth and not about the
    predicted mean: what the network does not know of the mean is no aleatoric error.

    Parameters
    ----------
    network : ResponseNetwork
    train, validation : Targets
    batch : int
        Points; each member of the ensemble has its own order of them.
    targets : {"expected", "drawn"}
        Means by the exact responses, or by the means of drawn omega and eta at the strengths of
        their row.
    tolerance : float
    robust : float or None
    """

    def __init__(
        self,
        network: ResponseNetwork,
        train: Targets,
        validation: Targets,
        *,
        batch: int,
        targets: str,
        tolerance: float,
        robust: float | None,
    ) -> None:
        self.network, self.batch = network, batch
        self.exact, self.tolerance, self.robust = targets == "expected", tolerance, robust
        scaling = cast(ResponseScaling, network.scaling)
        self.scale = scaling.target_std
        # Scale of omega and eta where they are not the sum of exact responses.
        self.size = train.mean.std(dim=0)
        self.train, self.validation = self._prepared(train), self._prepared(validation)

    def _prepared(self, rows: Targets) -> dict[str, Any]:
        if self.exact:
            assert rows.response is not None
            assert rows.response_error is not None
            target = torch.cat([rows.mean[:, :1], rows.response], dim=1)
            error = torch.cat([rows.error[:, :1], rows.response_error], dim=1)
            size = self.scale
        else:
            target, error, size = rows.mean, rows.error, self.size
        # log xi: an error of log xi is a fractional one already.
        enough = target.square() + (0.1 * size).square()
        enough[:, 0] = 1.0
        weight = (error + self.tolerance**2 * enough).rsqrt()
        variance = rows.drawn.var(dim=1, correction=1)
        return {"rows": rows, "target": target, "weight": weight, "variance": variance}

    def batches(self, generator: torch.Generator) -> Iterator[Tensor]:
        """One epoch; (members, batch)."""
        rows = len(self.train["target"])
        for index in _epochs(rows, self.batch, generator, self.network.members):
            yield index.to(self.scale.device)

    def _residual(self, z: Tensor) -> Tensor:
        if self.robust is None:
            return z.square()
        d = self.robust
        return 2 * d * d * ((1 + (z / d).square()).sqrt() - 1)

    def _losses(
        self, mean: Tensor, physical: Tensor, log_variance: Tensor, part: dict[str, Any], index: Any
    ) -> tuple[Tensor, Tensor]:
        found = physical if self.exact else mean
        z = part["weight"][index] * (found - part["target"][index])
        nll = 0.5 * (part["variance"][index] * (-log_variance).exp() + log_variance)
        # Against typical scatter, so that the number is near 0.5 and not the log of a unit.
        typical = cast(ResponseScaling, self.network.scaling).log_variance
        return self._residual(z).mean(), (nll - 0.5 * typical).mean()

    def loss(self, batch: Tensor, epoch: int) -> Tensor:
        """Sum of the losses of means and variances, which share no weights."""
        params = self.train["rows"].params[batch]
        physical = self.network.physical(self.network.responses(params))
        mean = self.network.means(params, physical)
        logs = self.network.log_variances(params)
        first, second = self._losses(mean, physical, logs, self.train, batch)
        return first + second

    def validate(self) -> dict[str, float]:
        """Both losses of the mean of the members, and fractional errors."""
        rows = self.validation["rows"]
        physical = self.network.physical(self.network.responses(rows.params)).mean(dim=0)
        mean = self.network.means(rows.params, physical)
        logs = self.network.log_variances(rows.params).exp().mean(dim=0).log()
        first, second = self._losses(mean, physical, logs, self.validation, slice(None))
        return {
            "score": float(first + second),
            "mse": float(first),
            "nll": float(second),
            **_fractional(mean, rows),
        }
