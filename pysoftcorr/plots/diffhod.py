"""DiffHOD: occupation by temperature, derivatives, P(k) beside that of the exact HOD."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from pysoftcorr.core.options import count, finite_numbers, number
from pysoftcorr.mocks.hod import HOD_PARAMETERS, HODModel
from pysoftcorr.plots.figures import subplots
from pysoftcorr.plots.series import entries, scale_values
from pysoftcorr.plots.sky import ALEATORIC, EPISTEMIC, NAIVE, log_axis
from pysoftcorr.plots.styles import PALETTE, styled

if TYPE_CHECKING:
    from pysoftcorr.diffhod.compare import PowerComparison

FloatArray = npt.NDArray[np.float64]

#: Mean numbers below this are not shown.
_RARE = 1e-3
#: Temperatures shown by default.
TEMPERATURES = (0.1, 0.2, 0.4)
SYMBOLS = {
    "logMmin": r"$\log M_{\rm min}$",
    "sigma_logM": r"$\sigma_{\log M}$",
    "logM0": r"$\log M_0$",
    "logM1": r"$\log M_1$",
    "alpha": r"$\alpha$",
}
_MASS = r"$M$ [$h^{-1}\,M_\odot$]"


def _occupations(log_mass: FloatArray, params: Any, tau: float, *, calibrate: bool) -> Any:
    """Exact means of the relaxed trials by mass: centrals and satellites."""
    import torch

    from pysoftcorr.diffhod.occupation import log_mean_nsat, log_odds_central
    from pysoftcorr.diffhod.points import satellite_trials
    from pysoftcorr.diffhod.relaxed import REACH, calibrated, relaxed_mean

    t = torch.as_tensor(params, dtype=torch.float64)
    grid = torch.as_tensor(log_mass)
    trials = satellite_trials(10**log_mass, "auto")
    log_p = (log_mean_nsat(grid, t) - torch.as_tensor(np.log(trials))).clamp(max=-1e-9)
    satellite = log_p - torch.log(-torch.expm1(log_p))
    out = []
    for odds in (log_odds_central(grid, t), satellite):
        some = odds > -30
        mean = np.zeros(len(grid))
        kept = odds[some]
        if calibrate:
            found, _ = relaxed_mean(calibrated(kept, tau), tau, REACH)
        else:
            found, _ = relaxed_mean(kept, tau)
        mean[some.numpy()] = found
        out.append(mean)
    return out[0], out[1] * trials


def _parameters(params: Any) -> FloatArray:
    values = finite_numbers("params", params)
    if values.shape != (5,):
        raise ValueError(f"params has shape {values.shape}: must be (5,)")
    HODModel(**dict(zip(HOD_PARAMETERS, values.tolist(), strict=True)))
    return values


def _span(log_mass: Any) -> tuple[float, float]:
    """Range of log10 of the mass: of halos there are."""
    ends = finite_numbers("log_mass", log_mass)
    if ends.shape != (2,) or not 0 < ends[0] < ends[1] < 20:
        raise ValueError(f"log_mass = {ends.tolist()}: must be two, from above 0 to below 20")
    return float(ends[0]), float(ends[1])


@styled
def plot_occupation(
    params: npt.ArrayLike,
    *,
    temperatures: Sequence[float] = TEMPERATURES,
    log_mass: tuple[float, float] = (11.5, 15.0),
) -> Figure:
    """Mean occupation of relaxed trials by temperature, beside Zheng et al. (2007).

    Fig. 1 of Horowitz et al. (2022). Below, the ratio to the exact mean: of trials as published,
    and as calibrated here (at 1 at every temperature).

    Parameters
    ----------
    params : array_like, shape (5,)
        logMmin, sigma_logM, logM0, logM1, alpha.
    temperatures : sequence of float
    log_mass : tuple of float
        Range of log10 of the mass, Msun/h.

    Returns
    -------
    Figure
        Centrals left, satellites right.

    Raises
    ------
    ValueError
        If a temperature or parameter is out of range.
    """

    values, span = _parameters(params), _span(log_mass)
    every = finite_numbers("temperatures", temperatures).ravel().tolist()
    if not every or not 0.001 <= min(every) <= max(every) <= 0.95:
        raise ValueError(f"temperatures = {every}: must be from 0.001 to 0.95, and at least one")
    grid = np.linspace(*span, 300)
    mass = 10.0**grid
    model = HODModel(**dict(zip(HOD_PARAMETERS, values.tolist(), strict=True)))
    exact = model.mean_ncen(mass), model.mean_nsat(mass)
    figure, axes = subplots(
        2, 2, figsize=(9.6, 5.6), sharex=True,
        height_ratios=(3, 2),
    )  # fmt: skip
    lowest, farthest = 0.92, 1.3
    for i, tau in enumerate(every):
        color = PALETTE[i % len(PALETTE)]
        bare = _occupations(grid, values, tau, calibrate=False)
        calibrated = _occupations(grid, values, tau, calibrate=True)
        for column in range(2):
            truth = exact[column]
            upper, lower = axes[:, column]
            upper.plot(mass, bare[column], color=color, lw=1.5, label=rf"$\tau$ = {tau:.3g}")
            # Rarer galaxies than these make no difference, and their ratios run away.
            some = truth > _RARE
            ratio = bare[column][some] / truth[some]
            lower.plot(mass[some], ratio, color=color, lw=1.5)
            farthest = max(farthest, float(ratio.max(initial=1.0)))
            lowest = min(lowest, float(ratio.min(initial=1.0)))
            ratio = calibrated[column][some] / truth[some]
            lower.plot(mass[some], ratio, color=color, lw=1.8, ls=(0, (1, 2)))
    for column, name in enumerate(("central galaxies", "satellites")):
        upper, lower = axes[:, column]
        upper.plot(mass, exact[column], color=NAIVE, lw=1.2, ls="--", label="Zheng et al. 2007")
        upper.set_title(name, fontsize="medium")
        lower.axhspan(0.99, 1.01, color="0.88", zorder=0)
        lower.plot([], [], color=NAIVE, lw=1.5, label="as published")
        lower.plot([], [], color=NAIVE, lw=1.8, ls=(0, (1, 2)), label="calibrated")
        lower.set_ylim(0.98 * lowest, 1.04 * farthest)
        lower.set_xscale("log")
        lower.set_xlabel(_MASS)
    axes[0, 1].set_yscale("log")
    axes[0, 1].set_ylim(bottom=_RARE)
    axes[0, 0].set_ylabel("mean number in a halo")
    axes[1, 0].set_ylabel("ratio to the exact mean")
    axes[0, 0].legend()
    axes[1, 1].legend(loc="upper right")
    return figure


@styled
def plot_occupation_derivatives(
    params: npt.ArrayLike,
    *,
    tau: float = 0.1,
    draws: int = 400,
    log_mass: tuple[float, float] = (11.5, 15.0),
    seed: int = 1,
) -> Figure:
    """Derivatives of the mean occupation: of relaxed draws by autograd, and analytic ones.

    The left half of Fig. 3 of Horowitz et al. (2022).

    Parameters
    ----------
    params : array_like, shape (5,)
    tau : float
    draws : int
        Trials that each point is the mean of.
    log_mass : tuple of float
    seed : int

    Returns
    -------
    Figure
        d<N>/d of each parameter by mass, one panel each. Bars are errors of the mean.

    Raises
    ------
    ValueError
        If the temperature, a parameter, the number of draws or the range of masses is none.
    """
    import torch

    from pysoftcorr.core.random import stream
    from pysoftcorr.diffhod.occupation import mean_ncen, mean_nsat
    from pysoftcorr.diffhod.points import satellite_trials
    from pysoftcorr.diffhod.relaxed import relaxed_bernoulli

    values, span = _parameters(params), _span(log_mass)
    tau = number("tau", tau, least=0.001, most=0.95)
    draws = count("draws", draws, least=2, each=24 * 5 * 8)
    fine = 10 ** np.linspace(*span, 200)
    coarse = 10 ** np.linspace(*span, 24)[1:-1]
    smooth = torch.tensor(values).repeat(len(fine), 1)
    curves = _rowwise(lambda t: _total(mean_ncen, mean_nsat, fine, t), smooth)

    random = stream(seed, "occupation derivatives")
    trials = satellite_trials(coarse, "auto")
    found = np.empty((draws, len(coarse), 5))
    for i, (m, n) in enumerate(zip(coarse, trials, strict=True)):
        t = torch.tensor(values, requires_grad=True)
        both = mean_ncen([m], t)[0], mean_nsat([m], t)[0] / n
        # dz/dp of every trial, times dp/dparams: the same for all trials of a halo.
        slopes = [torch.autograd.grad(p, t, retain_graph=True)[0].numpy() for p in both]
        total = np.zeros((draws, 5))
        for p, slope, each_has in zip(both, slopes, (1, int(n)), strict=True):
            shape = draws, each_has
            each = p.detach().expand(shape).clone().requires_grad_()
            noise = torch.as_tensor(random.logistic(size=shape))
            z = relaxed_bernoulli(each, noise, tau=tau)
            by_p = torch.autograd.grad(z.sum(), each)[0].sum(dim=1).numpy()
            total += by_p[:, None] * slope
        found[:, i] = total
    mean, error = found.mean(axis=0), found.std(axis=0, ddof=1) / np.sqrt(draws)
    figure, axes = subplots(1, 5, figsize=(15.0, 3.2), sharex=True)
    for k, (name, ax) in enumerate(zip(HOD_PARAMETERS, axes, strict=True)):
        ax.plot(fine, curves[:, k], color=NAIVE, lw=1.4, label="analytic")
        ax.errorbar(
            coarse, mean[:, k], yerr=error[:, k], fmt="o", ms=3.5, lw=1.0, capsize=2,
            color=ALEATORIC, label="relaxed draws",
        )  # fmt: skip
        ax.set_xscale("log")
        if np.abs(curves[:, k]).max() > 1:  # over decades, and through 0
            ax.set_yscale("symlog", linthresh=0.3)
        ax.set_title(rf"d$\langle N\rangle$/d{SYMBOLS[name]}", fontsize="medium")
        ax.set_xlabel(_MASS)
        ax.axhline(0.0, color="0.8", lw=0.8, zorder=0)
    axes[0].set_ylabel("derivative of the mean number")
    figure.legend(*entries(axes[:1]), loc="outside upper center", ncols=2)
    return figure


def _total(central: Any, satellite: Any, mass: FloatArray, rows: Any) -> Any:
    """<N> of each mass at its own row of parameters."""
    import torch

    return torch.stack(
        [central([m], t)[0] + satellite([m], t)[0] for m, t in zip(mass, rows, strict=True)]
    )


def _rowwise(function: Any, rows: Any) -> FloatArray:
    import torch

    rows = rows.requires_grad_()
    (slopes,) = torch.autograd.grad(function(rows).sum(), rows)
    return np.asarray(slopes)


@styled
def plot_power_ratio(comparison: PowerComparison) -> Figure:
    """P(k) of the relaxed and the exact HOD, and their ratio (Horowitz et al. 2022, fig. 4).

    Parameters
    ----------
    comparison : PowerComparison
        From `pysoftcorr.diffhod.compare.compare_power`.

    Returns
    -------
    Figure
        Bars are the errors of the means over realizations; the gray band is 1 %.
    """
    k, number = comparison.k, len(comparison.exact)
    figure, (upper, lower) = subplots(
        2, 1, figsize=(5.6, 5.4), sharex=True,
        height_ratios=(3, 2),
    )  # fmt: skip
    upper.fill_between(
        k, *np.percentile(comparison.exact, [16, 84], axis=0), color="0.85", lw=0,
        label="68 % of exact realizations",
    )  # fmt: skip
    upper.plot(
        k, comparison.exact.mean(axis=0), color=NAIVE, lw=1.4, marker=".", ms=3, label="exact HOD"
    )
    upper.plot(
        k, comparison.relaxed.mean(axis=0), "o", ms=4, color=ALEATORIC,
        label=rf"relaxed, $\tau$ = {comparison.tau:g}",
    )  # fmt: skip
    upper.set_xscale("log")
    # Of few galaxies, less the shot noise, it may be below 0.
    scale_values(upper, [comparison.exact.mean(axis=0), comparison.relaxed.mean(axis=0)])
    upper.set_ylabel(r"$P(k)$ [$(h^{-1}\,$Mpc$)^3$]")
    upper.legend()
    ratio, error = comparison.ratio()
    lower.axhspan(0.99, 1.01, color="0.88", zorder=0)
    lower.axhline(1.0, color=NAIVE, lw=1.0)
    lower.errorbar(k, ratio, yerr=error, fmt="o", ms=4, lw=1.2, capsize=2, color=ALEATORIC)
    far = max(0.02, 1.3 * float(np.nanmax(np.abs(ratio - 1) + error, initial=0.0)))
    lower.set_ylim(1 - far, 1 + far)
    log_axis(lower.xaxis, k[0], k[-1])
    lower.set_xlabel(r"$k$ [$h\,$Mpc$^{-1}$]")
    lower.set_ylabel(f"ratio of means of {number}")
    return figure


@styled
def plot_power_derivatives(comparison: PowerComparison) -> Figure:
    """Derivatives of P(k): of the relaxed HOD by autograd, of the exact one by differences.

    The right half of Fig. 3 of Horowitz et al. (2022).

    Parameters
    ----------
    comparison : PowerComparison
        With derivatives.

    Returns
    -------
    Figure
        One column a parameter: k dP/dparams above, the difference in errors of the mean below.

    Raises
    ------
    ValueError
        If the comparison was made without derivatives.
    """

    if comparison.gradient is None or comparison.difference is None:
        raise ValueError("comparison holds no derivatives: make it with derivatives=True")
    k, number = comparison.k, len(comparison.exact)
    figure, axes = subplots(
        2, 5, figsize=(15.0, 5.0), sharex=True,
        height_ratios=(3, 2),
    )  # fmt: skip
    kinds = (
        (comparison.difference, "s", EPISTEMIC, "exact HOD, finite differences"),
        (comparison.gradient, "o", ALEATORIC, "relaxed, autograd"),
    )
    pulls = comparison.pulls()
    far = max(5.0, 1.15 * float(np.nanmax(np.abs(pulls), initial=0.0)))
    for i, name in enumerate(HOD_PARAMETERS):
        upper, lower = axes[:, i]
        for shift, (values, mark, color, label) in enumerate(kinds):
            mean = values[:, i].mean(axis=0)
            error = values[:, i].std(axis=0, ddof=1) / np.sqrt(number)
            upper.errorbar(
                k * (1 + 0.02 * shift), k * mean, yerr=k * error, fmt=mark, ms=3.5, lw=1.0,
                capsize=2, color=color, label=label, alpha=0.85,
            )  # fmt: skip
        lower.axhspan(-2, 2, color="0.88", zorder=0)
        lower.axhline(0.0, color=NAIVE, lw=1.0)
        lower.plot(k, pulls[i], "o", ms=4, color=ALEATORIC)
        lower.set_ylim(-far, far)
        upper.axhline(0.0, color="0.8", lw=0.8, zorder=0)
        upper.set_title(rf"$k$ d$P$/d{SYMBOLS[name]}", fontsize="medium")
        upper.set_xscale("log")
        log_axis(lower.xaxis, k[0], k[-1])
        lower.set_xlabel(r"$k$ [$h\,$Mpc$^{-1}$]")
    axes[0, 0].set_ylabel(r"[$(h^{-1}\,$Mpc$)^2$]")
    axes[1, 0].set_ylabel("difference / its error")
    figure.legend(*entries(axes[:1, 0]), loc="outside upper center", ncols=2)
    return figure
