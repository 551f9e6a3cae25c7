"""The work of ``gradient``: simulate, measure, differentiate, and check the derivative."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.cli import output
from pysoftcorr.cli.common import BINS, PLOT, THREADS, UNIT, WORKERS
from pysoftcorr.cli.options import Command, Option, derive
from pysoftcorr.core.text import aligned_rows
from pysoftcorr.core.version import __version__

if TYPE_CHECKING:
    from pysoftcorr.sky.differentiable import SoftCorrelation
    from pysoftcorr.sky.gravity import GravitySimulation, SimulationResult

FloatArray = npt.NDArray[np.float64]

# Steps of the finite differences relative to G, each half a decade below the last. Fuzzy
# clustering has folds about 1e-4 apart in G for hundreds of galaxies, and a nearest-center
# assignment changes sooner.
STEPS = 10.0 ** np.arange(-5.0, -8.1, -0.5)
# A difference known this well needs no smaller step.
ENOUGH = 1e-9
#: Ranges of G of the figure, relative.
WIDE, NARROW, POINTS = 1e-2, 1e-4, 31


_ESTIMATOR = derive(
    "pysoftcorr.sky.differentiable:SoftCorrelation",
    only=("bins", "approach", "clusters", "through", "weighting", "sharpness", "statistic",
          "fuzziness", "temperature", "max_iter", "seed", "device", "scheduler", "workers"),
    bins={"default": "linear:0:160:3", "help": BINS},
    approach={"help": "What is paired: clusters by their memberships, of nearest objects, by "
              "relaxed draws; or all galaxies."},
    clusters={"kind": int, "default": 100, "least": 1, "help": "Number of soft clusters."},
    through={"help": "How the clustering is differentiated: exactly, by one sweep, by all of "
             "them, or not."},
    weighting={"help": "Shape of the soft bins."},
    sharpness={"kind": float, "help": "Sharpness of the bins in 1/arcmin (sigmoid) or 1/arcmin^2 "
               "(gaussian); by default from their widths."},
    statistic={"help": "xi+ or xi-."},
    fuzziness={"default": 2.0, "help": "Exponent m > 1 of fuzzy c-means."},
    temperature={"help": "Temperature of the relaxed draws of gumbel."},
    max_iter={"least": 1, "help": "Most steps of fuzzy c-means."},
    seed={"default": 1, "least": 0, "help": "Seed of everything random."},
    **WORKERS,
)  # fmt: skip


@dataclass(frozen=True)
class Gradient:
    """What the command has found: xi, its derivatives, seconds of each stage, and the check.

    Attributes
    ----------
    xi, dxi_dG : ndarray, shape (nbins,)
    jacobian : dict
        Of every bin with respect to every galaxy, `SoftCorrelation.jacobian`.
    seconds : dict
        "start" is that of Julia and its compilation.
    check : dict or None
        "difference", its own "uncertainty", and the "relative_error" of the derivative.
    """

    settings: dict[str, Any]
    simulation: GravitySimulation
    result: SimulationResult
    estimator: SoftCorrelation
    xi: FloatArray
    dxi_dG: FloatArray
    jacobian: dict[str, FloatArray]
    seconds: dict[str, float]
    check: dict[str, FloatArray] | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; null where there is no number."""
        check = None
        if self.check is not None:
            check = {name: _plain(values) for name, values in self.check.items()}
        return {
            "G": self.settings["G"],
            "xi": _plain(self.xi),
            "dxi_dG": _plain(self.dxi_dG),
            "check": check,
            "seconds": self.seconds,
            "bins": self.estimator.bins.to_dict(),
            "sharpness": _plain(self.estimator.sharpness),
            "settings": self.settings,
            "seed": self.settings["seed"],
            "version": __version__,
        }

    def text(self) -> str:
        """A table and a few lines for a terminal."""
        said, bins = self.settings, self.estimator.bins
        kind = said["approach"]
        if kind != "naive":
            kind += f", {said['clusters']} clusters"
        if kind.startswith(("soft", "gumbel")):
            kind += f", through {said['through']}"
        titles = [f"bin [{bins.unit}]", "xi", "dxi/dG"]
        rows = [
            [f"{low:.5g} to {high:.5g}", f"{xi:.8e}", f"{slope:.8e}"]
            for low, high, xi, slope in zip(
                bins.edges[:-1], bins.edges[1:], self.xi, self.dxi_dG, strict=True
            )
        ]
        if self.check is not None:
            titles += ["finite difference", "+-", "relative error"]
            columns = ("difference", "uncertainty", "relative_error")
            for b, row in enumerate(rows):
                numbers = [float(self.check[name][b]) for name in columns]
                row += [f"{numbers[0]:.8e}", f"{numbers[1]:.1e}", f"{numbers[2]:.1e}"]
        lines = [f"{said['galaxies']} galaxies; {kind}; {said['statistic']} at G = {said['G']:g}"]
        lines.append(aligned_rows([titles, *rows]))
        shown = {name: s for name, s in self.seconds.items() if name not in ("start", "total")}
        took = ", ".join(f"{name} {_seconds(s)}" for name, s in shown.items())
        lines.append(f"time: {took}; in all {_seconds(self.seconds['total'])}")
        lines.append(f"      before it, start of Julia {_seconds(self.seconds['start'])}")
        if self.check is not None:
            lines.append(self._verdict())
        return "\n".join(lines)

    def _verdict(self) -> str:
        known = self.check["relative_error"] if self.check is not None else np.empty(0)
        known = known[np.isfinite(known)]
        if not known.size:
            return "no bin has pairs: there is nothing to check"
        line = f"largest relative error {known.max():.1e}"
        approximate = self.settings["through"] in ("one-step", "frozen")
        if approximate and self.settings["approach"] in ("soft", "gumbel"):
            line += (
                f" (--through {self.settings['through']} is an approximation, and this its error)"
            )
        return line


def gradient(*, settings: Mapping[str, Any], explicit: set[str], as_json: bool) -> dict[str, Any]:
    """xi of simulated galaxies and its exact derivative with respect to G."""
    output.use_threads(settings["threads"])
    output.check_plot(settings)
    found = measure(dict(settings))
    if not as_json:
        print(found.text(), flush=True)
    output.wrote(output.draw(settings, lambda plots: figures(plots, found)))
    return found.to_dict()


def estimator_of(settings: Mapping[str, Any], **other: Any) -> SoftCorrelation:
    """The estimator that the settings ask for."""
    from pysoftcorr.sky.binning import Binning
    from pysoftcorr.sky.differentiable import SoftCorrelation

    bins = Binning.parse(settings["bins"], settings["unit"])
    own = {o.name: settings[o.name] for o in _ESTIMATOR if o.name != "bins"}
    return SoftCorrelation(bins, **(own | other))


def measure(settings: dict[str, Any]) -> Gradient:
    """Simulate and differentiate, each once and timed.

    Raises
    ------
    ValueError, TypeError
        Settings that are not possible.
    """
    from pysoftcorr.sky.gravity import GravitySimulation

    begun = time.perf_counter()
    estimator = estimator_of(settings)
    # Velocities are those of circles at G = 1, whatever G is asked for: so --G moves the galaxies.
    simulation = GravitySimulation(settings["galaxies"], seed=settings["seed"])
    few, fewer = GravitySimulation(8, seed=1).run(), min(settings["clusters"], 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator_of(settings, clusters=fewer).jacobian(few.catalog)
    seconds = {"start": time.perf_counter() - begun}

    begun = time.perf_counter()
    result = simulation.run(settings["G"])
    seconds["simulation"] = time.perf_counter() - begun
    xi, jacobian = estimator.value_and_jacobian(result.catalog)
    seconds |= {name: estimator.timings[name] for name in ("clustering", "clusters", "pairs",
                                                           "solve")}  # fmt: skip
    assert result.dra_dG is not None
    assert result.ddec_dG is not None
    slope = jacobian["ra"] @ result.dra_dG + jacobian["dec"] @ result.ddec_dG
    seconds["total"] = time.perf_counter() - begun
    check = None
    if settings["check"]:
        begun = time.perf_counter()
        # Newton's method finds the same centers as plain sweeps from there, and more quickly.
        begin = estimator.pin(result.catalog)._start
        start = {} if begin is None else {"start": begin.centers}
        quick = estimator_of(settings, through="implicit", **start)
        check = checked(simulation, quick, settings["G"], slope)
        seconds["check"] = time.perf_counter() - begun
    return Gradient(
        settings, simulation, result, estimator, xi, slope, jacobian, seconds, check
    )  # fmt: skip


def checked(
    simulation: GravitySimulation, estimator: SoftCorrelation, G: float, slope: FloatArray
) -> dict[str, FloatArray]:
    """Finite differences of simulation and re-converged estimate, to set beside the derivative."""

    def xi(at: float) -> FloatArray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said already at G itself
            return estimator.value(simulation.run(at, derivative=False).catalog)

    difference, uncertainty = central_difference(xi, G, G * STEPS)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.abs(slope - difference) / np.abs(difference)
    error[slope == difference] = 0.0
    return {"difference": difference, "uncertainty": uncertainty, "relative_error": error}


def central_difference(
    function: Callable[[float], FloatArray], at: float, steps: npt.ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """Derivative by central differences with Richardson's extrapolation.

    Each two neighboring steps give an extrapolated value, each three neighbors of these the
    middle one and its uncertainty, their spread; of each component the surest is taken. Large
    steps lose to curvature and to jumps of the function, small ones to rounding.

    Parameters
    ----------
    function : callable
        From a number to an array, shape (n,).
    at : float
    steps : array_like
        Falling; at least four.

    Returns
    -------
    derivative, uncertainty : ndarray, shape (n,)
        NaN where the function is.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.cli.gradient import central_difference
    >>> slope, unsure = central_difference(lambda x: np.array([np.exp(x), abs(x - 1e-3)]), 0.0,
    ...                                    10.0 ** np.arange(-2.0, -5.0, -0.5))
    >>> bool(np.allclose(slope, [1.0, -1.0], atol=1e-9))
    True
    """
    h = np.asarray(steps, dtype=np.float64)
    if h.size < 4 or not (np.diff(h) < 0).all() or not h[-1] > 0:
        raise ValueError("steps must be at least four positive numbers, each below the last")
    plain: list[FloatArray] = []
    refined: list[FloatArray] = []
    derivative = uncertainty = np.empty(0)
    for k, step in enumerate(h):
        plain.append((function(at + step) - function(at - step)) / ((at + step) - (at - step)))
        if k == 0:
            continue
        ratio2 = (h[k - 1] / step) ** 2
        refined.append((ratio2 * plain[k] - plain[k - 1]) / (ratio2 - 1.0))
        if k < 3:
            continue
        unsure = np.ptp(refined[-3:], axis=0)
        if k == 3:
            derivative, uncertainty = refined[-2], unsure
            continue
        better = unsure < uncertainty
        derivative = np.where(better, refined[-2], derivative)
        uncertainty = np.where(better, unsure, uncertainty)
        if (~(uncertainty > ENOUGH * np.abs(derivative))).all():
            break
    return derivative, uncertainty


# ---------------------------------------------------------------------- figures
def figures(plots: Any, found: Gradient) -> output.Figures:
    """xi(G) with its tangent, soft bins, gradients on the sky."""
    estimator, catalog, G = found.estimator, found.result.catalog, found.settings["G"]
    statistic = found.settings["statistic"]
    clustered = found.settings["approach"] != "naive"

    @cache
    def pinned() -> SoftCorrelation:
        made = estimator.pin(catalog)
        made.through = "implicit"  # its value is the same, and found more quickly
        return made

    def xi_of_G() -> Any:
        naive = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said already
            runs = []
            for reach in (WIDE, NARROW):
                at = G * (1.0 + reach * np.linspace(-1.0, 1.0, POINTS))
                xi = followed(found.simulation, pinned(), at)
                runs.append((f"within {100 * reach:g} % of G", at, xi))
            if clustered:
                pairs = estimator_of(found.settings, approach="naive")
                naive = followed(found.simulation, pairs, runs[0][1])
        return plots.plot_xi_of_G(runs, G, found.xi, found.dxi_dG, estimator.bins,
                                  naive=naive, statistic=statistic)  # fmt: skip

    def arrows() -> Any:
        centers = None
        if clustered:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                start = pinned()._start
            assert start is not None
            v = start.centers
            ra, dec = np.arctan2(v[:, 1], v[:, 0]), np.arctan2(v[:, 2], np.hypot(v[:, 0], v[:, 1]))
            centers = np.rad2deg(ra), np.rad2deg(dec)
        return plots.plot_gradient_arrows(
            catalog, found.jacobian["ra"], found.jacobian["dec"], estimator.bins,
            centers=centers, statistic=statistic,
        )  # fmt: skip

    return {
        "xi_of_G": xi_of_G,
        "bin_weights": lambda: plots.plot_bin_weights(estimator.bins),
        "gradient_arrows": arrows,
    }


def followed(
    simulation: GravitySimulation, estimator: SoftCorrelation, at: FloatArray
) -> FloatArray:
    """xi (n, nbins) at values of G, from the middle outwards, each from its neighbor's centers."""
    out = np.full((at.size, estimator.nbins), np.nan)
    middle = at.size // 2
    for way in (range(middle, at.size), range(middle - 1, -1, -1)):
        here = estimator
        for k in way:
            catalog = simulation.run(at[k], derivative=False).catalog
            here = here.pin(catalog)
            out[k] = here.value(catalog)
    return out


def _plain(values: FloatArray) -> list[float | None]:
    return [float(v) if np.isfinite(v) else None for v in values]


def _seconds(value: float) -> str:
    return f"{1e3 * value:.1f} ms" if value < 1.0 else f"{value:.2f} s"


COMMANDS = {
    "gradient": Command(
        gradient,
        options=(
            Option("galaxies", int, 500, "Galaxies of the simulation.", least=1),
            Option("G", float, 1.0, "Gravitational constant at which xi and dxi/dG are taken; "
                   "orbits start as circles at G = 1."),
            *_ESTIMATOR,
            UNIT,
            Option("check", bool, False, "Also finite differences of the re-converged estimate, "
                   "and the relative error."),
            THREADS,
            *PLOT,
        ),
    ),
}  # fmt: skip
