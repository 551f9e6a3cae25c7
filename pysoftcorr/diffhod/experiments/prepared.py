"""What `prepare` found, and how it is kept in a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.diffhod.experiments.calibration import Calibration
from pysoftcorr.diffhod.experiments.checkpoint import Arrays
from pysoftcorr.diffhod.experiments.target import PRIORS, GaussianLikelihood

__all__ = ["Prepared", "packed", "unpacked"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Prepared:
    """Data, covariance and start.

    Attributes
    ----------
    k, data, mean : ndarray, shape (nk,)
        Wavenumbers, mock data, and the mean of the realizations that the covariance is of.
    covariance : ndarray, shape (nk, nk)
        Of the data, with its floor, without the noise of the models.
    center, laplace : ndarray, shape (d,) and (d, d)
        Peak of the posterior of DiffHOD and covariance about it.
    near_center, near_covariance : ndarray, shape (d,) and (d, d)
        The same before the last calibration: what the points of DiffHOD were chosen by.
    model_variance : float
        That of the models' own noise as a fraction of the covariance of the data: the likelihood
        has (1 + this) times the covariance.
    calibrations : dict
        Of "smooth" and "exact"; empty without calibration.
    clipped : int
        Halos of more satellites than trials at the peak.
    """

    k: FloatArray
    data: FloatArray
    mean: FloatArray
    covariance: FloatArray
    center: FloatArray
    laplace: FloatArray
    near_center: FloatArray
    near_covariance: FloatArray
    model_variance: float
    calibrations: dict[str, Calibration]
    clipped: int

    def likelihood(self) -> GaussianLikelihood:
        """With the noise of the models in the covariance."""
        return GaussianLikelihood(self.data, (1 + self.model_variance) * self.covariance)

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {
            "k": self.k.tolist(),
            "data": self.data.tolist(),
            "error": np.sqrt(np.diag(self.covariance)).tolist(),
            "peak": dict(zip(PRIORS.names, self.center.tolist(), strict=True)),
            "model_variance": self.model_variance,
            "calibration": {
                name: {"offset": c.offset, "scatter": c.scatter}
                for name, c in self.calibrations.items()
            },
            "clipped": self.clipped,
        }

    def text(self) -> str:
        """In words."""
        error = np.sqrt(np.diag(self.covariance)) / self.mean
        lines = [
            f"P(k) of the exact HOD in {self.k.size} bins, k = {self.k[0]:.3f} to "
            f"{self.k[-1]:.3f} h/Mpc, errors {100 * error.min():.1f} to {100 * error.max():.1f} %"
        ]
        for name, c in self.calibrations.items():
            left = "" if c.scatter is None else f", {c.scatter**0.5:.2f} of it after"
            lines.append(
                f"bias of fixed random numbers, {name}: {c.offset:.2f} sigma a bin before the "
                f"correction{left}"
            )
        lines.append(
            f"noise of the models in the covariance: 1 + {self.model_variance:.3f}"
            + (f"; {self.clipped} halos clipped at the peak" if self.clipped else "")
        )
        return "\n".join(lines)


def packed(p: Prepared) -> dict[str, Any]:
    """As arrays for a file."""
    out: dict[str, Any] = {
        name: getattr(p, name)
        for name in ("k", "data", "mean", "covariance", "center", "laplace", "near_center",
                     "near_covariance", "model_variance", "clipped")
    }  # fmt: skip
    for name, c in p.calibrations.items():
        for part in ("center", "scale", "coefficients"):
            out[f"{name} {part}"] = getattr(c, part)
        scatter = np.nan if c.scatter is None else c.scatter
        out[f"{name} scatter and offset"] = [scatter, c.offset]
    return out


def unpacked(a: Arrays) -> Prepared:
    """Of what `packed` gave."""
    calibrations = {}
    for name in ("smooth", "exact"):
        if f"{name} center" in a:
            scatter, offset = a[f"{name} scatter and offset"].tolist()
            calibrations[name] = Calibration(
                a[f"{name} center"], a[f"{name} scale"], a[f"{name} coefficients"],
                None if np.isnan(scatter) else scatter, offset,
            )  # fmt: skip
    return Prepared(
        k=a["k"], data=a["data"], mean=a["mean"], covariance=a["covariance"], center=a["center"],
        laplace=a["laplace"], near_center=a["near_center"], near_covariance=a["near_covariance"],
        model_variance=float(a["model_variance"]),
        calibrations=calibrations, clipped=int(a["clipped"]),
    )  # fmt: skip
