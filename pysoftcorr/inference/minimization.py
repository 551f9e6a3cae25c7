"""Gradient descent of a loss over parameters, within their bounds."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.extras import need
from pysoftcorr.core.files import FileFormat, check_output, write_table
from pysoftcorr.core.notebook import html_rows
from pysoftcorr.core.options import at_least_one, choice, flag, mapping, number, positive
from pysoftcorr.core.progress import watched
from pysoftcorr.core.torch import steady
from pysoftcorr.core.version import __version__
from pysoftcorr.inference.density import LogPosterior
from pysoftcorr.inference.observation import said_of

__all__ = ["Minimization", "minimize"]

FloatArray = npt.NDArray[np.float64]
_FORMAT = FileFormat("pysoftcorr minimization", "trace of a minimization")
_METHODS = {"adam": 500, "lbfgs": 100}
_LOSSES = ("chi2", "likelihood", "posterior")


@dataclass(frozen=True, eq=False)
class Minimization:
    """Descent of a loss that `minimize` made.

    Attributes
    ----------
    names : tuple of str
    trace : ndarray, shape (steps + 1, p)
        Parameters before each step, and at the end.
    loss : ndarray, shape (steps + 1,)
    gradient : ndarray, shape (steps + 1, p)
        Derivative of the loss with respect to the parameters.
    best : dict of str to float
        Where the loss was lowest.
    converged : bool
        Whether the gradient, in widths of the bounds, fell below `tol`.
    settings : dict
    """

    names: tuple[str, ...]
    trace: FloatArray
    loss: FloatArray
    gradient: FloatArray
    converged: bool
    settings: dict[str, Any]

    @property
    def best(self) -> dict[str, float]:
        """The parameters where the loss was lowest."""
        row = self.trace[int(np.argmin(self.loss))]
        return dict(zip(self.names, row.tolist(), strict=True))

    @property
    def steps(self) -> int:
        """Steps made."""
        return len(self.loss) - 1

    def __repr__(self) -> str:
        state = "converged" if self.converged else "not converged"
        return f"<Minimization: loss {self.loss.min():.6g} after {self.steps} steps, {state}>"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "best": self.best,
            "loss": float(self.loss.min()),
            "start": dict(zip(self.names, self.trace[0].tolist(), strict=True)),
            "steps": self.steps,
            "converged": self.converged,
            "trace": {
                "loss": self.loss.tolist(),
                **{name: self.trace[:, k].tolist() for k, name in enumerate(self.names)},
            },
            "settings": self.settings,
        }

    def summary(self) -> str:
        """A few lines for a terminal."""
        best = "\n".join(f"  {name:<10} {value:.6g}" for name, value in self.best.items())
        state = "converged" if self.converged else "not converged"
        fell = f"loss {self.loss[0]:.6g} -> {self.loss.min():.6g}"
        text = f"{fell} in {self.steps} steps, {state}\n{best}"
        return f"{text}\n{said_of(self.settings)}" if "data" in self.settings else text

    def write(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write the trace to ECSV, whole or not at all; `read` gives it back.

        Raises
        ------
        ValueError
            If the suffix is not .ecsv.
        FileExistsError
            If the file is there and `overwrite` is not set.
        FileNotFoundError, OSError
            If nothing can be written there.
        """
        from astropy.table import Table

        target = check_output(path, suffixes=(".ecsv",), overwrite=overwrite)
        table = Table()
        table["step"], table["loss"] = np.arange(len(self.loss)), self.loss
        for k, name in enumerate(self.names):
            table[name] = self.trace[:, k]
        for k, name in enumerate(self.names):
            table[f"dloss_d{name}"] = self.gradient[:, k]
        record = {
            "names": list(self.names),
            "converged": self.converged,
            "settings": self.settings,
        }
        table.meta["PYSOFTCORR"] = json.dumps(record)
        write_table(table, target, overwrite=overwrite)

    @classmethod
    def read(cls, path: str | PathLike[str]) -> Minimization:
        """Read a file of `write`; FileNotFoundError, or ValueError where it is none."""
        source = _FORMAT.existing(path)
        table = _FORMAT.read_table(source)
        with _FORMAT.damage(source):
            record = json.loads(table.meta["PYSOFTCORR"])
            names = tuple(record["names"])
            return cls(
                names=names,
                trace=np.stack([np.asarray(table[name]) for name in names], axis=1),
                loss=np.asarray(table["loss"]),
                gradient=np.stack([np.asarray(table[f"dloss_d{n}"]) for n in names], axis=1),
                converged=record["converged"],
                settings=record["settings"],
            )

    def _repr_html_(self) -> str:
        """Start and best point, as a table for notebooks."""
        rows = (
            (name, f"{self.trace[0, k]:.6g}", f"{self.best[name]:.6g}")
            for k, name in enumerate(self.names)
        )
        state = "converged" if self.converged else "not converged"
        fell = f"loss {self.loss[0]:.6g} -> {self.loss.min():.6g} in {self.steps} steps, {state}"
        return html_rows(("", "start", "best"), rows, notes=[fell])


class _Box:
    """Parameters as functions of unbounded variables, and back."""

    def __init__(self, bounds: Mapping[str, tuple[float, float] | None]) -> None:
        self.names = tuple(bounds)
        ends = []
        for name, pair in bounds.items():
            low, high = (-math.inf, math.inf) if pair is None else (float(e) for e in pair)
            if math.isfinite(low) != math.isfinite(high) or not low < high:
                raise ValueError(
                    f"bounds of {name} = ({low:g}, {high:g}): must be two numbers, the first the "
                    "lower, or None"
                )
            ends.append((low, high))
        self.bounded = np.array([math.isfinite(low) for low, _ in ends])
        self.low = np.array([low if math.isfinite(low) else 0.0 for low, _ in ends])
        self.width = np.array([h - low if math.isfinite(low) else 1.0 for low, h in ends])

    def unbounded(self, start: Mapping[str, float]) -> FloatArray:
        for name in start:
            if name not in self.names:
                raise ValueError(f"start: {name} is not among {', '.join(self.names)}")
        out = np.zeros(len(self.names))
        for k, name in enumerate(self.names):
            if name not in start and not self.bounded[k]:
                raise ValueError(f"start of {name} must be given: it has no bounds")
            value = start.get(name, self.low[k] + self.width[k] / 2)
            value = number(f"start of {name}", value)
            if not math.isfinite(value):
                raise ValueError(f"start of {name} = {value}: must be finite")
            if not self.bounded[k]:
                out[k] = value
                continue
            part = (value - self.low[k]) / self.width[k]
            if not 0 < part < 1:
                raise ValueError(
                    f"start of {name} = {value:g}: must lie inside its bounds, "
                    f"({self.low[k]:g}, {self.low[k] + self.width[k]:g}), not on them"
                )
            out[k] = math.log(part / (1 - part))
        return out

    def physical(self, u: Any) -> Any:
        torch = need("torch", "a posterior")
        low, width = torch.tensor(self.low), torch.tensor(self.width)
        return torch.where(torch.tensor(self.bounded), low + width * torch.sigmoid(u), u)


def minimize(
    loss: Callable[[dict[str, Any]], Any] | LogPosterior,
    bounds: Mapping[str, tuple[float, float] | None] | None = None,
    *,
    start: Mapping[str, float] | None = None,
    objective: str = "chi2",
    method: str = "adam",
    max_iter: int | None = None,
    learning_rate: float | None = None,
    tol: float = 1e-6,
    progress: bool | None = None,
) -> Minimization:
    """Follow the gradient of a loss down, within bounds (Berman et al. 2025, Algorithm 3).

    Parameters
    ----------
    loss : callable or LogPosterior
        A function of a dict of torch scalars (float64) by parameter that gives a torch scalar;
        or a `LogPosterior`, of which `objective` is minimized over its free parameters.
    bounds : mapping of str to (float, float) or None
        By parameter, in order; None knows no bounds. A LogPosterior has those of its priors.
    start : mapping of str to float, optional
        By default the middle of the bounds.
    objective : str
        What of a LogPosterior is minimized: "chi2", the squared residuals in units of the noise;
        "likelihood", -ln of the likelihood, which differs where the noise follows the parameters;
        "posterior", -ln of the posterior density of the parameters.
    method : str
        "adam", whose learning rate falls to 0 as a cosine, or "lbfgs", with a strong Wolfe line
        search.
    max_iter : int, optional
        Most steps; 500 of Adam, 100 of L-BFGS by default.
    learning_rate : float, optional
        In units where a bounded parameter is low + (high - low)/(1 + exp(-u)): 0.1 of Adam, 1 of
        L-BFGS.
    tol : float
        The descent ends where no component of the gradient in u is above tol (1 + |loss|).
        Bounds are never reached, but closely where a loss falls to them.
    progress : bool, optional
        A progress bar; by default on a terminal alone.

    Returns
    -------
    Minimization

    Raises
    ------
    ValueError
        If bounds, start or another argument is out of range, or the loss is not finite: the
        message says at which step and parameters.
    TypeError
        If `loss` is no function, or gives no torch scalar that depends on the parameters.

    Examples
    --------
    >>> from pysoftcorr.inference import minimize
    >>> found = minimize(lambda p: (p["x"] - 0.25) ** 2, {"x": (0, 1)}, method="lbfgs")
    >>> round(found.best["x"], 5), found.converged
    (0.25, True)
    """
    torch = need("torch", "a posterior")
    from tqdm import tqdm

    choice("method", method, _METHODS)
    most = at_least_one("max_iter", _METHODS[method] if max_iter is None else max_iter)
    rate = {"adam": 0.1, "lbfgs": 1.0}[method] if learning_rate is None else learning_rate
    rate, tol = positive("learning_rate", rate), positive("tol", tol)
    # Keys are those on disk.
    settings: dict[str, Any] = {"method": method, "learning_rate": rate, "tolerance": tol}
    function, limits = _function(loss, bounds, objective, settings)
    box = _Box(limits)
    settings |= {"bounds": {n: None if b is None else list(b) for n, b in limits.items()}}
    settings |= {"steps": most, "version": __version__}
    u = torch.tensor(
        box.unbounded(mapping("start", start)), dtype=torch.float64, requires_grad=True
    )
    trace: list[FloatArray] = []
    losses: list[float] = []
    gradients: list[FloatArray] = []

    def evaluated() -> Any:
        """Loss at u, its gradient in u.grad; what is to be recorded."""
        u.grad = None
        params = box.physical(u)
        value = function(params)
        if not torch.is_tensor(value) or value.numel() != 1 or not value.requires_grad:
            raise TypeError(
                "loss must give a torch scalar that follows from the parameters by torch "
                f"operations, not {value!r}"
            )
        (gradient,) = torch.autograd.grad(value.sum(), params, retain_graph=True)
        value.sum().backward()
        return value.detach().reshape(()), params.detach(), gradient

    def record() -> bool:
        """Note this point; whether the gradient is small enough."""
        value, params, gradient = evaluated()
        where = dict(zip(box.names, params.tolist(), strict=True))
        if not (torch.isfinite(value) and torch.isfinite(gradient).all()):
            raise ValueError(
                f"the loss, or its gradient, is not finite ({float(value)}) at step "
                f"{len(losses)}, {', '.join(f'{n} = {v:g}' for n, v in where.items())}"
            )
        trace.append(params.numpy().copy())
        losses.append(float(value))
        gradients.append(gradient.numpy().copy())
        return bool(u.grad.abs().max() <= tol * (1 + abs(float(value))))

    converged = record()
    if method == "adam":
        optimizer = torch.optim.Adam([u], lr=rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, most)
    else:
        optimizer = torch.optim.LBFGS(
            [u], lr=rate, max_iter=1, max_eval=30, tolerance_grad=0, tolerance_change=0,
            line_search_fn="strong_wolfe",
        )  # fmt: skip
        schedule = None
    shown = watched() if progress is None else flag("progress", progress)
    for _ in tqdm(range(most), unit="step", disable=not shown):
        if converged:
            break
        if schedule is None:
            optimizer.step(lambda: evaluated()[0])
        else:
            optimizer.step()
            schedule.step()
        converged = record()
    return Minimization(
        names=box.names,
        trace=np.array(trace),
        loss=np.array(losses),
        gradient=np.array(gradients),
        converged=converged,
        settings=settings,
    )


def _function(
    loss: Any,
    bounds: Mapping[str, tuple[float, float] | None] | None,
    objective: str,
    settings: dict[str, Any],
) -> tuple[Callable[[Any], Any], dict[str, tuple[float, float] | None]]:
    """The loss as a function of a tensor of shape (p,), and the bounds."""
    if isinstance(loss, LogPosterior):
        if bounds is not None:
            raise TypeError("bounds: a LogPosterior has those of its priors")
        choice("objective", objective, _LOSSES)
        density = loss
        settings["objective"] = objective
        settings["fixed"] = density.fixed
        settings |= {
            "noise": density.noise,
            "noise_scale": density.noise_scale,
            "covariance_at": density.reference,
            "likelihood": density.likelihood,
            "data": density.observation.describe(),
        }
        limits: dict[str, tuple[float, float] | None] = {
            name: prior.support if math.isfinite(prior.support[0]) else None
            for name, prior in zip(density.names, density.priors.members, strict=True)
        }

        def of_density(params: Any) -> Any:
            return steady(lambda p: [density.torch_loss(p, objective)], params)[0]

        return of_density, limits
    if not callable(loss):
        raise TypeError(f"loss must be a function or a LogPosterior, not {type(loss).__name__}")
    if not bounds:
        raise ValueError("bounds must be given, by parameter: {'mu_cen': (-1, 1)}")
    function: Callable[[dict[str, Any]], Any] = loss
    names = tuple(bounds)
    return (
        lambda params: function({name: params[k] for k, name in enumerate(names)}),
        dict(bounds),
    )
