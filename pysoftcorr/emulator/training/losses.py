"""Losses of the emulator's training: beta-NLL, and mean squared errors with weights.

Realizations of one parameter point differ by noise alone, so that all a normal likelihood needs
of them is their mean and their spread: over R realizations y_r with mean m and variance v,

    mean_r (y_r - m)^2 = (ybar - m)^2 + s^2,    s^2 = mean_r (y_r - ybar)^2.

Losses below take those two, `mean` and `spread`, and are equal to the mean over realizations of
the loss of each, at 1/R of the cost. Of one realization, `mean` is its value and `spread` is 0.
"""

from __future__ import annotations

try:
    import torch
except ImportError as error:  # pragma: no cover - depends on what is installed
    raise ImportError(
        "training an emulator needs torch; install it with: pip install 'pysoftcorr[torch]'"
    ) from error

__all__ = ["beta_nll", "gaussian_nll", "sufficient_statistics", "weighted_mse"]

Tensor = torch.Tensor


def sufficient_statistics(values: Tensor, dim: int = 1) -> tuple[Tensor, Tensor]:
    """Mean over realizations and the biased variance about it.

    Examples
    --------
    >>> import torch
    >>> from pysoftcorr.emulator.training.losses import sufficient_statistics
    >>> sufficient_statistics(torch.tensor([[1.0, 3.0]]))
    (tensor([2.]), tensor([1.]))
    """
    mean = values.mean(dim)
    return mean, (values - mean.unsqueeze(dim)).square().mean(dim)


def beta_nll(
    mean: Tensor,
    variance: Tensor,
    target: Tensor,
    spread: Tensor | float = 0.0,
    *,
    beta: float = 0.5,
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
    beta : float

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
    >>> from pysoftcorr.emulator.training.losses import beta_nll
    >>> beta_nll(torch.zeros(3), torch.ones(3), torch.full((3,), 2.0)).item()
    2.0
    """
    loss = gaussian_nll(mean, variance, target, spread)
    if beta:
        loss = loss * variance.detach() ** beta
    return loss.mean()


def gaussian_nll(
    mean: Tensor, variance: Tensor, target: Tensor, spread: Tensor | float = 0.0
) -> Tensor:
    """((y - m)^2 + s^2)/(2 v) + ln(v)/2 of every element; the constant ln(2 pi)/2 is left out."""
    return 0.5 * (((target - mean).square() + spread) / variance + variance.log())


def weighted_mse(prediction: Tensor, target: Tensor, weight: Tensor | float = 1.0) -> Tensor:
    """Mean of weight (prediction - target)^2.

    Examples
    --------
    >>> import torch
    >>> from pysoftcorr.emulator.training.losses import weighted_mse
    >>> weighted_mse(torch.zeros(2), torch.tensor([1.0, 2.0]), torch.tensor([1.0, 0.5])).item()
    1.5
    """
    return (weight * (prediction - target).square()).mean()
