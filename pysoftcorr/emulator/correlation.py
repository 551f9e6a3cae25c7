"""Correlation between the bins of a realization, as a function of the halo occupation.

Neighboring bins share galaxies, and so their noise: of omega by up to one half, of xi more. A
network that predicts a standard deviation for each bin says nothing of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pysoftcorr.core.random import Seed, root_seed
from pysoftcorr.emulator.data import STATISTICS, EmulatorData
from pysoftcorr.mocks.hod import PARAMETERS

__all__ = ["BinCorrelation", "fit_correlation", "universe_moments"]

FloatArray = npt.NDArray[np.float64]
Tensor = torch.Tensor

_HOD = slice(2, len(PARAMETERS))
#: Matrices that are mixed; more of them gain nothing on the validation set of the shipped model.
_COMPONENTS = 4
_STEPS = 200
_RATE = 0.05
#: Points of one step: of more the fit is no better.
_POINTS = 1024
#: Of a correlation matrix, so that its inverse is one.
_LEAST_EIGENVALUE = 1e-4
#: Independent vectors for each free number of the mixture, at least.
_LEAST = 3


@dataclass(frozen=True, eq=False)
class BinCorrelation:
    """Correlation matrices of the bins of each statistic: sum_k w_k(HOD) C_k.

    The weights are the softmax of a linear function of the five standardized HOD parameters, and
    each C_k is a correlation matrix: so is their mean, at any parameters. Bins of different
    statistics are taken as uncorrelated.

    Attributes
    ----------
    mean : ndarray, shape (5,)
    whiten : ndarray, shape (5, 5)
        Standardized parameters are whiten @ (HOD - mean).
    matrices : dict of str to ndarray, shape (K, b, b)
        By statistic; one that is lacking has uncorrelated bins.
    gates : dict of str to ndarray, shape (K, 6)
        Coefficients of the standardized parameters, and a constant.
    record : dict
        How it was found, as JSON can hold it.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from pysoftcorr.emulator.correlation import BinCorrelation
    >>> found = BinCorrelation(np.zeros(5), np.eye(5), {"omega": np.array([[[1, 0.5], [0.5, 1]]])},
    ...                        {"omega": np.zeros((1, 6))})
    >>> found.at("omega", torch.zeros(7, dtype=torch.float64)).tolist()
    [[1.0, 0.5], [0.5, 1.0]]
    """

    mean: FloatArray
    whiten: FloatArray
    matrices: Mapping[str, FloatArray]
    gates: Mapping[str, FloatArray]
    record: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, matrices in self.matrices.items():
            k, b = np.shape(matrices)[:2]
            if name not in STATISTICS or np.shape(matrices) != (k, b, b) or k == 0:
                raise ValueError(f"matrices of {name}: must have shape (K, b, b)")
            if np.shape(self.gates[name]) != (k, 1 + self.mean.size):
                raise ValueError(f"gates of {name}: must have shape ({k}, {1 + self.mean.size})")
            good = bool(np.isfinite(matrices).all())
            good = good and np.abs(np.diagonal(matrices, axis1=1, axis2=2) - 1).max() < 1e-6
            if not (good and np.linalg.eigvalsh(matrices).min() > 0):
                raise ValueError(f"matrices of {name}: must be correlation matrices")

    def at(self, name: str, params: Tensor) -> Tensor | None:
        """Correlation matrix of a statistic at parameters (..., 7), shape (..., b, b).

        None where its bins are uncorrelated. Differentiable; of the dtype of `params`.
        """
        if name not in self.matrices:
            return None

        def like(values: FloatArray) -> Tensor:
            return torch.as_tensor(values, dtype=params.dtype, device=params.device)

        matrices = like(self.matrices[name])
        if len(matrices) == 1:
            return matrices[0].expand(*params.shape[:-1], *matrices.shape[1:])
        gate = like(self.gates[name])
        standard = (params[..., _HOD] - like(self.mean)) @ like(self.whiten).T
        weight = torch.softmax(standard @ gate[:, :-1].T + gate[:, -1], dim=-1)
        return torch.einsum("...k,kij->...ij", weight, matrices)


def fit_correlation(
    emulator: Any, data: EmulatorData, check: EmulatorData, *, seed: Seed = 0
) -> BinCorrelation:
    """Correlation matrices of highest likelihood, as many of them as a second set bears out.

    Parameters
    ----------
    emulator : Emulator
        Its aleatoric sigma is the unit of the deviations from the mean of a point's realizations;
        of single realizations its mean is taken.
    data : EmulatorData
        Rows that the matrices are found from.
    check : EmulatorData
        Other rows, by whose likelihood none, one or four matrices are chosen for each statistic.
    seed : int or numpy.random.Generator, optional

    Returns
    -------
    BinCorrelation
        Its record has the mean ln likelihood of the second set, of the bins of a realization, by
        the number of matrices; without the constant.
    """
    hod = data.parameters[:, _HOD]
    mean = hod.mean(axis=0)
    covariance = np.cov(hod.T) if len(hod) > hod.shape[1] else np.eye(hod.shape[1])
    # A parameter that does not vary tells nothing apart.
    covariance = covariance + 1e-12 * np.eye(len(covariance))
    whiten = np.linalg.inv(np.linalg.cholesky(covariance))
    root = root_seed(seed)
    points, others = (
        torch.tensor(_with_constant((rows.parameters[:, _HOD] - mean) @ whiten.T))
        for rows in (data, check)
    )
    if data.universe is not None:
        points, others = (
            part[torch.as_tensor(rows.chance_row)]
            for part, rows in ((points, data), (others, check))
        )
        here, there = universe_moments(emulator, data), universe_moments(emulator, check)
    else:
        here, there = _deviations(emulator, data), _deviations(emulator, check)
    matrices, gates, record = {}, {}, {}
    for k, name in enumerate(STATISTICS):
        if data.universe is not None:
            (moments, their), degrees = (torch.tensor(x[:, k]) for x in (here, there)), 1
        else:
            moments, degrees = _moments(here[:, :, k])
            their, _ = _moments(there[:, :, k])
        scale = moments.mean(dim=0).diagonal().sqrt()
        moments, their = (m / scale / scale[:, None] for m in (moments, their))
        found, record[name] = _choose(moments, points, their, others, degrees, (root + k) % 2**63)
        if found is not None:
            matrices[name], gates[name] = (t.numpy() for t in found)
            low = np.linalg.eigvalsh(matrices[name]).min()
            if low < _LEAST_EIGENVALUE:  # bins that are nearly one
                room = _LEAST_EIGENVALUE + max(-low, 0)
                matrices[name] = (matrices[name] + room * np.eye(data.nbins)) / (1 + room)
    said = {"points": len(data), "realizations": data.realizations, "seed": root}
    return BinCorrelation(mean, whiten, matrices, gates, {**said, "log_likelihood": record})


def _deviations(emulator: Any, data: EmulatorData) -> FloatArray:
    """Deviations of realizations from the emulator's mean over its sigma, (n, R, 3, b)."""
    with torch.no_grad():
        found = emulator.mean_and_std(torch.tensor(data.parameters))
    parts = []
    for name in STATISTICS:
        mean, std = (t.double().numpy()[:, None] for t in found[name])
        parts.append((getattr(data, name) - mean) / std)
    return np.stack(parts, axis=2)


def universe_moments(emulator: Any, data: EmulatorData) -> FloatArray:
    """Second moments of measurements about the emulator's mean over its sigma, (k, 3, b, b).

    The covariance given the halos, and the product of deviations of the universe.
    """
    assert data.chance is not None
    rows = data.chance_row
    with torch.no_grad():
        found = emulator.mean_and_std(torch.tensor(data.parameters[rows]))
    parts = []
    for k, name in enumerate(STATISTICS):
        mean, std = (t.double().numpy() for t in found[name])
        true = getattr(data, name)[rows, 0]
        away, sigma = true - mean, std
        if name == "xi":
            away, sigma = np.log(true / mean), np.sqrt(np.log1p((std / mean) ** 2))
        whole = data.chance[:, k] + away[:, :, None] * away[:, None, :]
        parts.append(whole / (sigma[:, :, None] * sigma[:, None, :]))
    return np.stack(parts, axis=1)


def _with_constant(x: FloatArray) -> FloatArray:
    return np.column_stack([x, np.ones(len(x))])


def _moments(z: FloatArray) -> tuple[Tensor, int]:
    """Second moments of the bins at each point, without bias, and their degrees of freedom."""
    realizations = z.shape[1]
    if realizations > 1:  # the emulator's error of the mean is no noise
        z = z - z.mean(axis=1, keepdims=True)
    degrees = max(1, realizations - 1)
    return torch.tensor(np.einsum("nri,nrj->nij", z, z) / degrees), degrees


Mixture = tuple[Tensor, Tensor]


def _choose(
    moments: Tensor, points: Tensor, their: Tensor, check: Tensor, degrees: int, seed: int
) -> tuple[Mixture | None, dict[str, float]]:
    """No matrix, one, or several: what the second set is likeliest with, a vector of bins each."""
    n, b = len(moments), moments.shape[-1]
    numbers = b * (b - 1) // 2
    one = torch.eye(b, dtype=torch.float64)[None]
    likelihood = {"0": _likelihood(one, torch.zeros(1, points.shape[1]).double(), check, their)}
    if b < 2 or n * degrees < _LEAST * numbers:
        return None, likelihood
    pooled = moments.mean(dim=0)
    pooled = pooled / pooled.diagonal().sqrt() / pooled.diagonal().sqrt()[:, None]
    best: Mixture | None = None
    mixtures: list[tuple[str, Mixture]] = [
        ("1", (pooled[None], torch.zeros(1, points.shape[1]).double()))
    ]
    if torch.linalg.eigvalsh(pooled)[0] <= 0:
        return None, likelihood
    if n * degrees >= _LEAST * _COMPONENTS * numbers:
        mixtures.append((str(_COMPONENTS), _mixture(moments, points, pooled, seed)))
    for label, mixture in mixtures:
        likelihood[label] = _likelihood(*mixture, check, their)
        if likelihood[label] == max(likelihood.values()):
            best = mixture
    return best, likelihood


def _likelihood(matrices: Tensor, gates: Tensor, points: Tensor, moments: Tensor) -> float:
    """Mean ln likelihood of one vector of deviations, without its constant."""
    with torch.no_grad():
        return float(_log_density(matrices, gates, points, moments).mean())


def _log_density(matrices: Tensor, gates: Tensor, points: Tensor, moments: Tensor) -> Tensor:
    weight = torch.softmax(points @ gates.T, dim=-1)
    lower = torch.linalg.cholesky(torch.einsum("nk,kij->nij", weight, matrices))
    chi2 = torch.cholesky_solve(moments, lower).diagonal(dim1=1, dim2=2).sum(-1)
    return -0.5 * chi2 - lower.diagonal(dim1=1, dim2=2).log().sum(-1)


def _mixture(moments: Tensor, points: Tensor, pooled: Tensor, seed: int) -> Mixture:
    """Matrices and gates of highest likelihood, by Adam from near the pooled matrix."""
    generator = torch.Generator().manual_seed(seed)
    b = len(pooled)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    gates = (0.3 * normal(_COMPONENTS, points.shape[1])).requires_grad_()
    start = torch.linalg.cholesky(pooled) + 0.1 * normal(_COMPONENTS, b, b).tril(-1)
    lower = start.requires_grad_()

    def matrices() -> Tensor:
        rows = lower.tril()
        rows = rows / rows.norm(dim=-1, keepdim=True)
        return rows @ rows.mT

    optimizer = torch.optim.Adam([gates, lower], lr=_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
    for _ in range(_STEPS):
        chosen = torch.randperm(len(points), generator=generator)[:_POINTS]
        optimizer.zero_grad()
        loss = -_log_density(matrices(), gates, points[chosen], moments[chosen]).mean()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return matrices(), gates.detach()
