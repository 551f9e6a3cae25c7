"""The two networks as tasks of the training loop: their batches, losses and validation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from pysoftcorr.emulator.training.losses import gaussian_nll
from pysoftcorr.emulator.training.targets import Targets

try:
    import torch

    from pysoftcorr.emulator.network.published import PublishedNetwork
    from pysoftcorr.emulator.network.response import ResponseNetwork
    from pysoftcorr.emulator.network.scaling import PublishedScaling, ResponseScaling
except ImportError as error:  # pragma: no cover - depends on what is installed
    raise ImportError(
        "training an emulator needs torch; install it with: pip install 'pysoftcorr[torch]'"
    ) from error

__all__ = ["PublishedTask", "ResponseTask", "published_scaling", "response_scaling"]

Tensor = torch.Tensor

#: Of 0.7 MSE + 0.3 NLL, by which the best epoch of the published network is found [P25].
SCORE = (0.7, 0.3)
#: beta of log xi, omega, eta once the first part of the epochs, with beta = 1, is over [P25].
BETAS = (0.9, 0.5, 0.5)
#: That first part: 100 of 500 epochs.
FIRST = 0.2


def published_scaling(train: Targets) -> PublishedScaling:
    """Of the training set alone."""
    return PublishedScaling.fit(train.params.double().numpy(), train.drawn.double().numpy())


def response_scaling(train: Targets) -> ResponseScaling:
    """Of the training set alone."""
    assert train.response is not None
    return ResponseScaling.fit(
        train.params.double().numpy(),
        train.mean[:, 0].double().numpy(),
        train.response.double().numpy(),
        train.drawn.double().var(dim=1, correction=1).numpy(),
    )


def _epochs(rows: int, batch: int, generator: torch.Generator, members: int) -> Iterator[Tensor]:
    """Shuffled row numbers, (members, batch); what is left over waits for another epoch."""
    order = torch.stack([torch.randperm(rows, generator=generator) for _ in range(members)])
    size = min(batch, rows)
    for start in range(0, rows - size + 1, size):
        yield order[:, start : start + size]


def _fractional(mean: Tensor, true: Targets) -> dict[str, float]:
    """What the figures of merit will be about, on the validation set, for the curves."""
    off = (mean - true.mean).abs()
    found = {"error_xi": float(off[:, 0].mean())}  # of log xi: a fraction, for it is small
    drawn = true.drawn.mean(dim=1)
    noise = (true.drawn.var(dim=1, correction=1) / true.drawn.shape[1]).sqrt()
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
        nll = gaussian_nll(mean, variance, self.y[batch], spread)
        weight = variance.detach()
        if epoch >= self.first:
            weight = weight**self.betas
        return (weight * nll).mean()

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
        # Of omega and eta where they are not the sum of exact responses: by their own size.
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
        """Of means and variances, which share no weights."""
        params = self.train["rows"].params[batch]
        physical = self.network.physical(self.network.responses(params))
        mean = self.network.means(params, physical)
        logs = self.network.log_variances(params)
        first, second = self._losses(mean, physical, logs, self.train, batch)
        return first + second

    def validate(self) -> dict[str, float]:
        """The same losses of the mean of the members, and fractional errors."""
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
