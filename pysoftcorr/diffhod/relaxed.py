"""Bernoulli trials relaxed to weights between 0 and 1, whose mean is the probability exactly.

A trial of probability p succeeds where logit p + eps > 0, with eps of the logistic distribution.
Relaxed at temperature tau it has the weight sigmoid((logit p + eps)/tau) (Maddison et al. 2017;
Jang et al. 2017). The mean of that is not p: for rare trials it is p times
pi tau/sin(pi tau), 1.7 % too much at tau = 0.1. Here the log-odds are shifted first, l -> g(l),
by the smooth odd function g for which the mean is sigmoid(l). And the tails of the sigmoid are bent
so that they end: a trial whose log-odds are beyond `REACH` tau has a weight of 0 or 1, and of rare
trials most need not be looked at. Uncalibrated trials are those published, to `PLAIN`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import special

from pysoftcorr.core.options import number
from pysoftcorr.core.torch import differentiated

__all__ = [
    "HIGHEST",
    "PLAIN",
    "REACH",
    "calibrated",
    "check_tau",
    "relaxed_bernoulli",
    "relaxed_mean",
    "trial_weights",
]

FloatArray = npt.NDArray[np.float64]

#: Log-odds over tau at which weights of calibrated trials are 0 and 1; nowhere are they further
#: than 0.005 from the sigmoid.
REACH = 6.0
#: The same of uncalibrated trials: the sigmoid to 4e-9.
PLAIN = 20.0
#: Log-odds of a clipped trial: p = 1 - 1e-9.
HIGHEST = 20.7
# Table of g: log-odds up to this, in these steps. A cubic between them is good to 1e-9.
_FURTHEST, _STEP = 32.0, 0.0625
# Trials weighed at a time.
_CHUNK = 1 << 20


def check_tau(tau: Any) -> float:
    """A temperature of 0.001, nearly a step, to 0.95; TypeError or ValueError otherwise."""
    return number("tau", tau, least=0.001, most=0.95)


@lru_cache(maxsize=16)
def _nodes(tau: float, reach: float) -> tuple[FloatArray, FloatArray]:
    """Gauss-Legendre nodes and weights in panels over [0, end], for what falls as e^-(1-tau)x."""
    end = min(45.0 / (1 - tau), _FURTHEST / tau + 45.0, reach)
    # The logistic density turns over at x = |l|/tau within a range 1/tau: finer is not needed.
    panels = int(np.ceil(end))
    x, w = np.polynomial.legendre.leggauss(8)
    edges = np.linspace(0.0, end, panels + 1)
    half = 0.5 * np.diff(edges)[:, None]
    return (edges[:-1, None] + half * (x + 1)).ravel(), (half * w).ravel()


def _bent(tail: FloatArray, reach: float) -> FloatArray:
    """The tail sigmoid(-x), x >= 0, bent to end at `reach` without a step or a corner."""
    end = float(special.expit(-reach))
    above = np.maximum(tail, end)
    return np.asarray((above - end) ** 2 / (above * (1 - 2 * end) ** 2))


def relaxed_mean(
    log_odds: npt.ArrayLike, tau: float, reach: float = np.inf
) -> tuple[FloatArray, FloatArray]:
    """E[sigmoid((l + eps)/tau)] over logistic eps, without calibration, and its d/dl.

    Parameters
    ----------
    log_odds : array_like
        l = logit p.
    tau : float
    reach : float
        That the tails of the sigmoid are bent to end at; `REACH` for calibrated trials.

    Returns
    -------
    mean, slope : ndarray

    Notes
    -----
    E = sigmoid(l) + tau int_0^inf W(-x) [f(-tau x - l) - f(tau x - l)] dx with f the logistic
    density and W the weight: the second term is smooth, and all that the relaxation adds.

    Examples
    --------
    >>> from pysoftcorr.diffhod.relaxed import relaxed_mean
    >>> mean, _ = relaxed_mean([0.0, -10.0], 0.1)
    >>> float(mean[0]), round(float(mean[1] / 4.5397868702e-05), 4)
    (0.5, 1.0166)
    """
    value = np.asarray(log_odds, dtype=np.float64)
    low = -np.abs(value).ravel()  # E(-l) = 1 - E(l)
    x, w = _nodes(check_tau(tau), reach)
    tail = special.expit(-x)
    away = tau * w * (tail if np.isinf(reach) else _bent(tail, reach))
    upper, lower = special.expit(-tau * x - low[:, None]), special.expit(tau * x - low[:, None])
    f_upper, f_lower = (
        upper * special.expit(tau * x + low[:, None]),
        lower * special.expit(low[:, None] - tau * x),
    )
    mean = special.expit(low) + (f_upper - f_lower) @ away
    # f'(x) = f (1 - 2 F); by l it changes sign.
    slope = special.expit(low) * special.expit(-low)
    slope = slope + (f_lower * (1 - 2 * lower) - f_upper * (1 - 2 * upper)) @ away
    mean = np.where(value.ravel() > 0, 1 - mean, mean)
    return mean.reshape(value.shape), slope.reshape(value.shape)


@lru_cache(maxsize=16)
def _table(tau: float) -> tuple[FloatArray, FloatArray]:
    """g(l) - l and its slope at l = 0, -step, -2 step, ..., by Newton's method in log-odds."""
    target = -np.arange(0.0, _FURTHEST + _STEP / 2, _STEP)
    g = target.copy()
    rate = np.ones_like(g)
    for _ in range(50):
        mean, slope = relaxed_mean(g, tau, REACH)
        rate = slope / (mean * (1 - mean))
        step = (special.logit(mean) - target) / rate
        g -= step
        if np.abs(step).max() < 1e-13 * _FURTHEST:
            break
    return g - target, 1 / rate - 1


class _Calibrated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, log_odds: torch.Tensor, tau: float) -> torch.Tensor:
        out, slope = _calibration(log_odds, tau)
        ctx.tau = tau
        ctx.save_for_backward(log_odds, slope)
        return out

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor) -> tuple[torch.Tensor, None]:
        log_odds, slope = ctx.saved_tensors
        if torch.is_grad_enabled():
            slope = _calibration(log_odds, ctx.tau)[1]
        return cotangent * slope, None


def _calibration(log_odds: torch.Tensor, tau: float) -> tuple[torch.Tensor, torch.Tensor]:
    """g(l) and its slope, by cubics between the numbers of the table."""
    shift, slope = (
        torch.as_tensor(t, dtype=log_odds.dtype, device=log_odds.device) for t in _table(tau)
    )
    size = log_odds.abs()
    at = size.clamp(max=_FURTHEST) / _STEP
    cell = at.detach().floor().clamp(max=shift.numel() - 2).long()
    t = at - cell
    y0, y1 = shift[cell], shift[cell + 1]
    # The table runs to negative l, t with |l|.
    d0, d1 = -_STEP * slope[cell], -_STEP * slope[cell + 1]
    rise = y1 - y0
    b, a = 3 * rise - 2 * d0 - d1, d0 + d1 - 2 * rise
    inside = (size < _FURTHEST).to(log_odds.dtype)
    out = log_odds - torch.sign(log_odds) * (y0 + t * (d0 + t * (b + t * a)))
    return out, 1 - inside * (d0 + t * (2 * b + t * 3 * a)) / _STEP


def calibrated(log_odds: torch.Tensor, tau: float) -> torch.Tensor:
    """Log-odds g(l) whose relaxed trials have the mean sigmoid(l); differentiable twice.

    Examples
    --------
    >>> import torch
    >>> from pysoftcorr.diffhod.relaxed import REACH, calibrated, relaxed_mean
    >>> g = calibrated(torch.tensor([-3.0, 0.5], dtype=torch.float64), 0.1)
    >>> bool(abs(relaxed_mean(g, 0.1, REACH)[0] - [0.0474258732, 0.6224593312]).max() < 1e-9)
    True
    """
    result: torch.Tensor = _Calibrated.apply(log_odds, check_tau(tau))
    return result


def _parts(number: int) -> list[slice]:
    """Always the same parts: the bits of vector instructions depend on where an array begins."""
    return [slice(start, start + _CHUNK) for start in range(0, number, _CHUNK)]


class _TrialWeights(torch.autograd.Function):
    """Weights of trials from the log-odds of their halos; keeps little more than the weights.

    In the smaller part v = sigmoid(-|x|) a weight is w = (v - a)^2/(v b), a the sigmoid at the
    reach and b = (1 - 2a)^2; then v - a^2/v = sqrt(b w (b w + 4 a)) is b dw/dx over 1 - v.
    """

    @staticmethod
    def forward(
        ctx: Any,
        log_odds: torch.Tensor,
        noise: torch.Tensor,
        host: torch.Tensor,
        tau: float,
        reach: float,
    ) -> torch.Tensor:
        end = float(special.expit(-reach))
        scale = (1 - 2 * end) ** 2
        weight = torch.empty_like(noise)
        for part in _parts(noise.numel()):
            x = log_odds.index_select(0, host[part]).add_(noise[part]).div_(tau)
            v = torch.sigmoid(-x.abs()).clamp_(min=end)
            v = (v - end).square_().div_(v.mul_(scale))
            weight[part] = torch.where(x > 0, 1 - v, v)
        ctx.save_for_backward(weight, host, log_odds, noise)
        ctx.tau, ctx.end, ctx.scale, ctx.shape = tau, end, scale, log_odds.shape
        return weight

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        weight, host, log_odds, noise = ctx.saved_tensors
        if torch.is_grad_enabled():
            tau, end, scale = ctx.tau, ctx.end, ctx.scale

            def plain(log_odds: torch.Tensor) -> torch.Tensor:
                x = (log_odds.index_select(0, host) + noise) / tau
                # Not by |x|, which has no slope at 0.
                v = torch.sigmoid(torch.where(x > 0, -x, x)).clamp(min=end)
                w = (v - end) ** 2 / (v * scale)
                return torch.where(x > 0, 1 - w, w)

            (again,) = differentiated(plain, (log_odds,), cotangent)
            return again, None, None, None, None
        out = torch.zeros(ctx.shape, dtype=weight.dtype, device=weight.device)
        for part in _parts(weight.numel()):
            w = weight[part]
            w = torch.minimum(w, 1 - w).mul_(ctx.scale)
            root = (w * (w + 4 * ctx.end)).sqrt_()
            v = w.add_(2 * ctx.end).add_(root).div_(2)
            slope = root.mul_(1 - v).div_(ctx.scale * ctx.tau)
            out.index_add_(0, host[part], slope.mul_(cotangent[part]))
        return out, None, None, None, None


def trial_weights(
    log_odds: torch.Tensor,
    noise: torch.Tensor,
    host: torch.Tensor,
    *,
    tau: float,
    reach: float = REACH,
) -> torch.Tensor:
    """sigmoid((log_odds[host] + noise)/tau), its tails bent to end; differentiable twice.

    Parameters
    ----------
    log_odds : Tensor, shape (H,)
        Calibrated, of the halos.
    noise : Tensor, shape (P,)
        Logistic.
    host : Tensor of int, shape (P,)
    tau : float
    reach : float
        Beyond this many tau weights are 0 and 1.

    Examples
    --------
    >>> import torch
    >>> from pysoftcorr.diffhod.relaxed import trial_weights
    >>> w = trial_weights(torch.zeros(1), torch.tensor([0.1, -0.1, -0.7]), torch.zeros(3).long(),
    ...                   tau=0.1)
    >>> [round(x, 3) for x in w.tolist()]
    [0.733, 0.267, 0.0]
    """
    result: torch.Tensor = _TrialWeights.apply(log_odds, noise, host, tau, reach)
    return result


def relaxed_bernoulli(
    probability: torch.Tensor, noise: torch.Tensor, *, tau: float = 0.1, calibrate: bool = True
) -> torch.Tensor:
    """Relaxed draws of Bernoulli trials.

    Parameters
    ----------
    probability : Tensor
        In [0, 1].
    noise : Tensor
        Logistic, log(u/(1 - u)) of uniform u; broadcast against `probability`.
    tau : float
        Temperature; at 0 the draw would be exact, and have no derivative.
    calibrate : bool
        Whether the mean is `probability` exactly. Without it, as in Horowitz et al. (2022), that
        of rare trials is larger by pi tau/sin(pi tau).

    Returns
    -------
    Tensor
        Weights in [0, 1]; differentiable in `probability`.

    Raises
    ------
    ValueError
        If a probability is outside [0, 1], or tau outside [0.001, 0.95].

    Notes
    -----
    Horowitz et al. 2022, eq. 6, with the log-odds calibrated and the tails bent. The mean of the
    square is about p - tau p (1 - p)/g', not p: relaxed trials have less shot noise than draws.

    Examples
    --------
    >>> import torch
    >>> from pysoftcorr.diffhod import relaxed_bernoulli
    >>> p = torch.full((100_000,), 0.02, dtype=torch.float64)
    >>> u = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    >>> z = relaxed_bernoulli(p, torch.logit(u))
    >>> bool(abs(z.mean() / 0.02 - 1) < 1e-4)
    True
    """
    temperature = check_tau(tau)
    if not bool(((probability >= 0) & (probability <= 1)).all()):
        raise ValueError("probability must lie in [0, 1]")
    # Beyond HIGHEST nothing changes, and the logarithm stays finite.
    edge = float(special.expit(-HIGHEST))
    log_odds = torch.logit(probability.clamp(edge, 1 - edge))
    if calibrate:
        log_odds = calibrated(log_odds, temperature)
    log_odds, eps = torch.broadcast_tensors(log_odds, noise.to(log_odds))
    flat = log_odds.reshape(-1)
    z = trial_weights(
        flat, eps.reshape(-1), torch.arange(flat.numel(), device=flat.device), tau=temperature,
        reach=REACH if calibrate else PLAIN,
    ).view(log_odds.shape)  # fmt: skip
    return torch.where(probability == 0, torch.zeros_like(z), z)
