"""Correlations in a box: xi, omega and eta with their covariance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from astropy.table import Table

from pysoftcorr.core.lazy import plots
from pysoftcorr.core.notebook import html_table
from pysoftcorr.core.options import choice, several
from pysoftcorr.core.version import __version__
from pysoftcorr.mocks import box_files
from pysoftcorr.mocks.box_errors import STATISTICS, joint_covariance, ratio, warn_of_rank
from pysoftcorr.sky.covariances import mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pysoftcorr.mocks.expected import ExpectedCorrelations

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


#: Settings in which realizations agree, as far as they are known.
_OF_A_KIND = (
    "boxsize", "periodic", "auto", "weighted", "redshift", "cosmology", "mdef", "satellites",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class BoxCorrelations:
    """xi, omega and eta in a box; every array has shape (nbins,) unless said otherwise.

    Attributes
    ----------
    edges : ndarray, shape (nbins + 1,)
        Edges of the bins (lo, hi], comoving Mpc/h.
    r : ndarray
        Weighted mean separation of the pairs, Mpc/h.
    npairs : ndarray of int64
        Pairs; of one set each counts once.
    weight : ndarray
        Sum of w_i w_j, of one set over both orders of a pair: DD.
    rr : ndarray
        What `weight` would be on average of unclustered objects.
    xi, omega, eta : ndarray
        In bins without pairs xi is -1, and omega and eta have no value: NaN, as without the axes
        that they need.
    npairs_1h, npairs_2h, xi_1h, xi_2h, omega_1h, omega_2h, eta_1h, eta_2h : ndarray or None
        Pairs of the same and of different hosts: xi = xi_1h + xi_2h, with xi_1h = DD_1h/RR; omega
        and eta are each the mean over the pairs of that kind. None without hosts.
    settings : dict
    version : str
    covariance : ndarray, shape (k nbins, k nbins), or None
        Of the k of xi, omega and eta that have a value in any bin, in this order. NaN in rows and
        columns of bins without pairs, whose errors are not known.
    resampling : str or None
        Where the covariance is from: "jackknife:3x3x3", "bootstrap:100:3x3x3", or
        "realizations:24".
    realizations : int or None
        Number of independent parts that the covariance rests on, sub-volumes or boxes, as the
        factor of Hartlap et al. 2007 takes it.

    Examples
    --------
    >>> from pysoftcorr.mocks import box_correlations
    >>> result = box_correlations(
    ...     [[1.0, 1.0, 0.5], [1.0, 1.0, 29.5]], [[0, 0, 1], [1, 0, 1]], boxsize=30,
    ...     bins=[0.5, 2, 4])
    >>> result.npairs.tolist(), result.r.tolist()
    ([1, 0], [1.0, nan])
    >>> float(result.xi[1])
    -1.0
    >>> result.omega.round(6).tolist(), result.eta.round(6).tolist()
    ([0.416667, nan], [0.166667, nan])
    """

    edges: FloatArray
    r: FloatArray
    npairs: IntArray
    weight: FloatArray
    rr: FloatArray
    xi: FloatArray
    omega: FloatArray
    eta: FloatArray
    npairs_1h: IntArray | None
    npairs_2h: IntArray | None
    xi_1h: FloatArray | None
    xi_2h: FloatArray | None
    omega_1h: FloatArray | None
    omega_2h: FloatArray | None
    eta_1h: FloatArray | None
    eta_2h: FloatArray | None
    settings: dict[str, Any]
    version: str = __version__
    covariance: FloatArray | None = None
    resampling: str | None = None
    realizations: int | None = None

    def __eq__(self, other: object) -> bool:
        """Whether every number and the record are the same; NaN equals NaN."""
        if not isinstance(other, BoxCorrelations):
            return NotImplemented
        return all(_same(getattr(self, f.name), getattr(other, f.name)) for f in fields(self))

    __hash__ = None  # type: ignore[assignment]

    @property
    def statistics(self) -> tuple[str, ...]:
        """Names among xi, omega and eta with a value in any bin: the blocks of `covariance`."""
        return tuple(
            name
            for name in STATISTICS
            if (np.isfinite(getattr(self, name)) & (self.npairs > 0)).any()
        )

    @property
    def errors(self) -> dict[str, FloatArray]:
        """Standard deviations (nbins,) by statistic; NaN where not known, empty without any."""
        if self.covariance is None:
            return {}
        sigma = np.sqrt(np.diag(self.covariance))
        return dict(zip(self.statistics, sigma.reshape(-1, len(self.edges) - 1), strict=True))

    @property
    def box_covariance(self) -> FloatArray | None:
        """Covariance of a single one of the boxes that the values are the mean of.

        The same as `covariance`, which is that of the values, for a single box.
        """
        return None if self.covariance is None else self.covariance * self.settings.get("boxes", 1)

    @classmethod
    def combine(
        cls, results: Sequence[BoxCorrelations], *, errors: str = "scatter"
    ) -> BoxCorrelations:
        """Mean of several boxes, realizations of one model, with its covariance.

        Parameters
        ----------
        results : sequence of BoxCorrelations
            At least two, in the same bins and boxes of one size.
        errors : {"scatter", "resampling"}
            Covariance by the scatter among the boxes, or the mean of their own covariances, for a
            few boxes.

        Returns
        -------
        BoxCorrelations
            xi, omega and eta and their parts are means over the boxes that have a value; `npairs`,
            `weight` and `rr` are sums. `covariance` is that of the mean: 1/N of that of a single
            box, which is `box_covariance`. ``settings["boxes"]`` says how many there are.

        Raises
        ------
        ValueError
            If there are fewer than two, their bins, boxes or kinds of pairs differ, or they have
            no covariances that a mean is asked of.
        TypeError
            If they are no `BoxCorrelations`.

        Examples
        --------
        >>> import numpy as np
        >>> from pysoftcorr.mocks import BoxCorrelations, box_correlations
        >>> rng = np.random.default_rng(1)
        >>> boxes = [box_correlations(rng.uniform(0, 30, (500, 3)), boxsize=30, bins=[1, 5, 9])
        ...          for _ in range(8)]
        >>> both = BoxCorrelations.combine(boxes)
        >>> bool((np.abs(both.xi) < 4 * both.errors["xi"]).all())
        True
        """
        choice("errors", errors, ("scatter", "resampling"))
        boxes = several("results", results, BoxCorrelations)
        _check_alike(boxes)
        first, n = boxes[0], len(boxes)
        values: dict[str, Any] = {"edges": first.edges}
        for name in ("npairs", "weight", "rr", "npairs_1h", "npairs_2h"):
            parts = [getattr(box, name) for box in boxes]
            values[name] = None if parts[0] is None else np.sum(parts, axis=0)
        for name in (*STATISTICS, *(f"{s}_{part}" for s in STATISTICS for part in ("1h", "2h"))):
            parts = [getattr(box, name) for box in boxes]
            values[name] = None if parts[0] is None else mean(np.array(parts))
        separations = np.nansum([box.r * box.weight for box in boxes], axis=0)
        some = values["npairs"] > 0
        values["r"] = np.where(some, separations / np.where(some, values["weight"], 1.0), np.nan)
        settings = {**first.settings, "n": [box.settings.get("n") for box in boxes], "boxes": n}
        if "n_second" in settings:
            settings["n_second"] = [box.settings.get("n_second") for box in boxes]
        made = cls(**values, settings=settings, version=first.version)
        if errors == "resampling":
            return replace(made, **_mean_of_covariances(boxes))
        samples = {name: np.array([getattr(box, name) for box in boxes]) for name in STATISTICS}
        known = {name: np.isfinite(getattr(made, name)) & some for name in STATISTICS}
        single = joint_covariance(samples, known, 1.0 / (n - 1))
        warn_of_rank(single, n, "boxes")
        if single is not None:
            # A mean over fewer boxes, of those that have a value, has a larger error.
            here = np.hstack([np.isfinite(samples[name]) for name in made.statistics]).astype(float)
            count = here.sum(axis=0)
            single = single * ratio(here.T @ here, np.outer(count, count))
        return replace(made, covariance=single, resampling=f"realizations:{n}", realizations=n)

    def to_dict(self) -> dict[str, Any]:
        """Every field as lists, numbers and text, as JSON can hold them: NaN is None."""
        out: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, np.ndarray):
                out[f.name] = box_files.plain(value)
            elif value is not None:
                out[f.name] = value
        for name, sigma in self.errors.items():
            out[f"{name}_err"] = box_files.plain(sigma)
        return out

    def to_table(self) -> Table:
        """One row a bin, with errors such as xi_err.

        ``meta["PYSOFTCORR"]`` holds settings and version as JSON, ``meta["covariance"]`` the
        covariance as a list of lists, with ``resampling`` and ``realizations`` beside it.
        """
        return box_files.to_table(self)

    def write(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write to a file, whole or not at all.

        Parameters
        ----------
        path : path
            ECSV (.ecsv) or HDF5 (.h5, .hdf5), of which `read` gives an equal result; or .csv, a
            table for other programs with the covariance in a file NAME_cov.csv beside it.
        overwrite : bool
            Replace files that are there.

        Raises
        ------
        ValueError
            If the suffix is another one; `to_table` gives a table that astropy writes otherwise.
        FileExistsError
            If the file is there and `overwrite` is not set.
        FileNotFoundError, OSError
            If nothing can be written there.
        """
        box_files.write(self, path, overwrite=overwrite)

    @classmethod
    def read(cls, path: str | PathLike[str]) -> BoxCorrelations:
        """Read a file of `write`, .ecsv or HDF5.

        Raises
        ------
        FileNotFoundError
            If it is not there.
        ValueError
            If it holds no such correlations.
        """
        return cls(**box_files.read(path))

    def plot(
        self, *, expected: ExpectedCorrelations | None = None, label: str | None = None
    ) -> Figure:
        """Plot xi, omega and eta, by `pysoftcorr.plots.plot_box_correlations`.

        Parameters
        ----------
        expected : ExpectedCorrelations, optional
            omega and eta averaged over all draws of the axes, drawn as lines.
        label : str, optional
            Name in the legend.
        """
        what: Any = self if label is None else {label: self}
        figure: Figure = plots().plot_box_correlations(what, expected=expected)
        return figure

    def plot_covariance(self, *, correlation: bool = True) -> Figure:
        """Plot the joint covariance, by `pysoftcorr.plots.plot_covariance`.

        Parameters
        ----------
        correlation : bool
            Correlation coefficients; else the covariance itself.
        """
        figure: Figure = plots().plot_covariance(self, correlation=correlation)
        return figure

    def _repr_html_(self) -> str:
        """Bins, counts and values with their errors, as a table for notebooks."""
        columns = ["r_lo", "r_hi", "npairs"]
        for name in ("xi", "omega", "eta"):
            columns += [name, *([f"{name}_err"] if name in self.errors else [])]
        notes = [] if self.resampling is None else [f"errors: {self.resampling}"]
        return html_table(self.to_table(), columns=columns, caption="lengths in Mpc/h", notes=notes)


def _check_alike(boxes: list[BoxCorrelations]) -> None:
    """Refuse what no mean has a meaning of."""
    if len(boxes) < 2:
        raise ValueError(f"results: a mean of boxes needs at least two, there are {len(boxes)}")
    first = boxes[0]
    for k, box in enumerate(boxes):
        if box.settings.get("boxes", 1) != 1:
            raise ValueError(f"results[{k}] is a mean of several boxes itself; combine all at once")
        if not np.array_equal(box.edges, first.edges):
            raise ValueError(f"results[{k}] has other bins than results[0]")
        for name in _OF_A_KIND:
            one, other = first.settings.get(name), box.settings.get(name)
            if one != other:
                raise ValueError(
                    f"results[{k}] is of another {name} ({other!r}) than results[0] ({one!r}): "
                    "realizations are boxes of one kind"
                )
        if (box.npairs_1h is None) != (first.npairs_1h is None):
            raise ValueError(f"results[{k}] and results[0] differ in whether hosts are known")


def _mean_of_covariances(boxes: list[BoxCorrelations]) -> dict[str, Any]:
    """Covariance of a mean by the covariances of the boxes."""
    first = boxes[0]
    for k, box in enumerate(boxes):
        if box.covariance is None:
            raise ValueError(
                f"results[{k}] has no covariance: give box_correlations a resampling, such as "
                "resampling='jackknife:27', or take errors='scatter'"
            )
        if box.resampling != first.resampling or box.statistics != first.statistics:
            raise ValueError(
                f"results[{k}] has a covariance of another kind ({box.resampling}, of "
                f"{', '.join(box.statistics)}) than results[0] ({first.resampling}, of "
                f"{', '.join(first.statistics)})"
            )
    all_of = np.array([box.covariance for box in boxes])
    count = np.isfinite(all_of).sum(axis=0)
    total = np.where(np.isfinite(all_of), all_of, 0.0).sum(axis=0)
    samples = sum(box.realizations or 0 for box in boxes)
    covariance = ratio(total, (count * count).astype(np.float64))
    warn_of_rank(covariance, samples, "sub-volumes")
    return {"covariance": covariance, "resampling": first.resampling, "realizations": samples}


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.array_equal(a, b, equal_nan=True)
    return type(a) is type(b) and bool(a == b)
