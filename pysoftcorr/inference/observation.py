"""Correlations per bin that a posterior is conditioned on, with or without their covariance."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.options import choice, integer, number, numbers, shown
from pysoftcorr.inference.boxes import box_record, from_settings
from pysoftcorr.inference.covariance import check_covariance, read_covariance
from pysoftcorr.inference.data import (
    EDGES_AGREE,
    STATISTICS,
    block_of,
    check_statistics,
    read_data,
    with_pairs,
)
from pysoftcorr.mocks.box import radial_edges
from pysoftcorr.mocks.checks import BoxSize
from pysoftcorr.sky.binning import Bins

#: Of an error, whose square must be a number.
_LARGEST = 1e150

__all__ = ["Observation"]

FloatArray = npt.NDArray[np.float64]


class Observation:
    """Correlations to compare a model with.

    Parameters
    ----------
    bins : Binning, str or array_like, shape (nbins + 1,)
        Bins in Mpc/h, as of `pysoftcorr.mocks.box.radial_edges`.
    xi, omega, eta : array_like, shape (nbins,), optional
        At least one of them.
    covariance : array_like, shape (k nbins, k nbins), optional
        Covariance of the k statistics that are given, one after the other in the order xi, omega,
        eta.
        Without it only an emulator's own noise can serve.
    errors : mapping of str to array_like, optional
        Standard deviations of independent bins, by statistic, instead of `covariance`.
    covariance_from : int, optional
        Number of independent realizations, or sub-volumes, that the covariance was estimated from:
        the likelihood then accounts for its own noise (`LogPosterior`).
    boxsize : float or (float, float, float), optional
        Side or sides in Mpc/h of the box that the data are from: an emulator's noise is scaled by
        the volume.
    box : mapping, optional
        What else is known of it: ``redshift``, ``cosmology``, ``mdef``, ``satellites``, which a
        model must share; ``boxes``, how many boxes the data are the mean of.
    on_bad : str
        What to do about NaN or infinite values (empty bins): "error", or "drop", which leaves
        these bins, and their rows and columns of the covariance, out.
    source : str
        Where the data come from, for the record.

    Attributes
    ----------
    edges : ndarray
    statistics : tuple of str
    values : dict of str to ndarray, shape (nbins,)
    rows : ndarray of int
        Places of the values that are used, one statistic after the other.
    vector : ndarray, shape (len(rows),)
    covariance : ndarray, shape (len(rows), len(rows)), or None
    covariance_from : int or None
    box : dict
        What is known of the box.
    cuts : dict
        Scale cuts that were made: ``r_min``, ``r_max`` (Mpc/h), ``bins`` (their edges).
    source : str

    Raises
    ------
    ValueError
        If shapes do not agree, values are not finite, or the covariance is not symmetric. That of
        the values which are left after cuts must be positive definite, as posteriors check.

    Examples
    --------
    >>> from pysoftcorr.inference import Observation
    >>> seen = Observation([0.1, 1, 10], omega=[0.02, float("nan")],
    ...                    errors={"omega": [0.01, 0.01]}, on_bad="drop")
    >>> seen.vector.tolist(), seen.covariance.tolist()
    ([0.02], [[0.0001]])
    """

    def __init__(
        self,
        bins: Bins,
        *,
        xi: npt.ArrayLike | None = None,
        omega: npt.ArrayLike | None = None,
        eta: npt.ArrayLike | None = None,
        covariance: npt.ArrayLike | None = None,
        errors: Mapping[str, npt.ArrayLike] | None = None,
        covariance_from: int | None = None,
        boxsize: BoxSize | None = None,
        box: Mapping[str, Any] | None = None,
        on_bad: str = "error",
        source: str = "",
    ) -> None:
        choice("on_bad", on_bad, ("error", "drop"))
        if covariance_from is not None:
            integer("covariance_from", covariance_from, least=2)
            if covariance is None:
                raise ValueError(
                    f"covariance_from = {covariance_from}: the data bring no covariance; pass "
                    "covariance= too"
                )
        self.box: dict[str, Any] = _box(box, boxsize)
        self.cuts: dict[str, Any] = {}
        #: Whether nothing was measured: see `unaligned`.
        self.supposed = False
        self.covariance_from = covariance_from
        self.edges: FloatArray = radial_edges(bins)
        given = {"xi": xi, "omega": omega, "eta": eta}
        nbins = self.edges.size - 1
        self.values: dict[str, FloatArray] = {
            name: _numbers(name, value) for name, value in given.items() if value is not None
        }
        if not self.values:
            raise ValueError("none of xi, omega and eta is given")
        for name, value in self.values.items():
            if value.shape != (nbins,):
                raise ValueError(
                    f"{name} has shape {value.shape}; there are {nbins} bins, so that "
                    f"({nbins},) is needed"
                )
        self.statistics: tuple[str, ...] = tuple(self.values)
        if not isinstance(source, str):
            raise TypeError(f"source = {shown(source)}: must be text")
        self.source = source
        flat = np.concatenate(list(self.values.values()))
        good = np.isfinite(flat)
        full: FloatArray | None = None
        if errors is not None:
            if covariance is not None:
                raise ValueError("give covariance or errors, not both")
            full = np.diag(self._variances(errors, nbins))
        elif covariance is not None:
            full = numbers("covariance", covariance)
        if full is not None and full.shape == (flat.size, flat.size):
            good = self._with_errors(good, full)
        if not good.all() and on_bad == "error":
            raise ValueError(self._bad(flat, good))
        if not good.any():
            raise ValueError("no bin holds a finite value")
        self._used = np.ones(nbins, dtype=bool)
        self.rows = np.flatnonzero(good)
        self.vector: FloatArray = flat[self.rows]
        self.covariance: FloatArray | None = None
        if full is not None:
            if full.shape == (flat.size, flat.size):
                full = full[np.ix_(self.rows, self.rows)]
                self.covariance = check_covariance(full, self.rows.size, definite=False)
            else:
                self.covariance = check_covariance(full, flat.size, definite=False)

    def _with_errors(
        self, good: npt.NDArray[np.bool_], covariance: FloatArray
    ) -> npt.NDArray[np.bool_]:
        """Values but those whose error is not known: their variance is NaN.

        A covariance that knows no error of a statistic is left to its own check.
        """
        known = (good & np.isfinite(np.diag(covariance))).reshape(len(self.values), -1)
        some = known.any(axis=1, keepdims=True)
        return np.where(some, known, good.reshape(known.shape)).ravel()

    def _bad(self, flat: FloatArray, good: npt.NDArray[np.bool_]) -> str:
        bins = self.edges.size - 1
        where = {
            name: np.flatnonzero(~good[k * bins : (k + 1) * bins]).tolist()
            for k, name in enumerate(self.statistics)
        }
        texts = [f"{name} in bins {rows[:5]}" for name, rows in where.items() if rows]
        value = flat[np.flatnonzero(~good)[0]]
        what, why = f"the data hold {value}", "no value, or no pairs"
        if np.isfinite(value):
            what, why = "errors are NaN", "not known where pairs are in one sub-volume alone"
        return f"{what}: {'; '.join(texts)}: {why}. on_bad='drop' leaves these bins out"

    def _variances(self, errors: Mapping[str, npt.ArrayLike], bins: int) -> FloatArray:
        lacking = [name for name in self.statistics if name not in errors]
        if lacking:
            raise ValueError(f"errors: those of {', '.join(lacking)} are lacking")
        parts = []
        for name in self.statistics:
            sigma = _numbers(f"errors[{name!r}]", errors[name])
            if (np.abs(sigma) > _LARGEST).any():
                raise ValueError(
                    f"errors[{name!r}] holds {np.abs(sigma).max():g}: must be at most "
                    f"{_LARGEST:g}; leave out a bin without a value by NaN and on_bad='drop'"
                )
            if sigma.shape != (bins,):
                raise ValueError(f"errors[{name!r}] has shape {sigma.shape}, not ({bins},)")
            finite = np.isfinite(self.values[name])
            bad = np.flatnonzero(finite & (sigma <= 0))
            if bad.size:
                raise ValueError(
                    f"errors[{name!r}] in bins {bad[:5].tolist()} is {sigma[bad[0]]:g}: must be "
                    "above 0"
                )
            parts.append(np.where(finite, sigma, 1.0) ** 2)
        return np.concatenate(parts)

    @property
    def r(self) -> FloatArray:
        """Geometric centers of the bins in Mpc/h; arithmetic where the first edge is 0."""
        low, high = self.edges[:-1], self.edges[1:]
        return np.where(low > 0, np.sqrt(np.maximum(low, 0) * high), (low + high) / 2)

    def __repr__(self) -> str:
        noise = "no covariance" if self.covariance is None else "a covariance"
        return f"<Observation: {', '.join(self.statistics)} in {self.vector.size} bins, {noise}>"

    def describe(self) -> dict[str, Any]:
        """What is compared with a model, as JSON can hold it.

        ``source``, ``statistics``, ``values``, how many there are, ``edges`` (Mpc/h) of the bins
        that are used in any statistic, the ``cuts``, the ``box``, and ``covariance_from``.
        """
        bins = self.edges.size - 1
        used = np.flatnonzero(np.isin(np.arange(bins), self.rows % bins))
        box = {k: list(v) if isinstance(v, tuple) else v for k, v in self.box.items()}
        return {
            "source": self.source,
            "statistics": list(self.statistics),
            "values": int(self.rows.size),
            "edges": [[float(self.edges[b]), float(self.edges[b + 1])] for b in used],
            "cuts": dict(self.cuts),
            "box": box,
            "supposed": self.supposed,
            "covariance_from": self.covariance_from,
        }

    def select(self, statistics: str | Sequence[str]) -> Observation:
        """Some of the statistics, with their part of the covariance.

        Raises
        ------
        ValueError
            If one is not among the data.

        Examples
        --------
        >>> from pysoftcorr.inference import Observation
        >>> Observation.unaligned([0.1, 1, 10], statistics=("omega", "eta")).select("eta")
        <Observation: eta in 2 bins, no covariance>
        """
        chosen = check_statistics(statistics)
        lacking = [name for name in chosen if name not in self.values]
        if lacking:
            raise ValueError(
                f"statistics: the data hold {', '.join(self.statistics)}, not {', '.join(lacking)}"
            )
        bins = self.edges.size - 1
        wanted = [self.statistics.index(name) for name in chosen]
        keep = np.flatnonzero(np.isin(self.rows // bins, wanted))
        if not keep.size:
            raise ValueError(f"statistics: no bin of {', '.join(chosen)} holds a finite value")
        out = self._with(keep)
        out.statistics = chosen
        out.values = {name: self.values[name] for name in chosen}
        out.rows = np.searchsorted(wanted, out.rows // bins) * bins + out.rows % bins
        return out

    def _with(self, keep: npt.NDArray[np.intp]) -> Observation:
        """These data with some of the values that are used."""
        out = copy.copy(self)
        out.rows, out.vector = self.rows[keep], self.vector[keep]
        if self.covariance is not None:
            out.covariance = self.covariance[np.ix_(keep, keep)]
        return out

    def restored(
        self, rows: npt.ArrayLike, covariance: FloatArray | None, said: Mapping[str, Any]
    ) -> Observation:
        """These data with rows, covariance and the `describe` of others: what a file keeps."""
        out = copy.copy(self)
        out.rows = np.asarray(rows, dtype=np.intp)
        out.vector = np.concatenate(list(self.values.values()))[out.rows]
        out.covariance = covariance
        out.covariance_from = said["covariance_from"]
        out.box, out.cuts, out.supposed = _box(said["box"], None), said["cuts"], said["supposed"]
        out._used = np.isin(np.arange(self.edges.size - 1), out.rows % (self.edges.size - 1))
        return out

    def refuse_gaps(self) -> None:
        """ValueError where a bin holds no value, but for those that `cut` left out."""
        used = np.tile(self._used, len(self.statistics))
        good = np.isin(np.arange(used.size), self.rows) | ~used
        if not good.all():
            flat = np.concatenate(list(self.values.values()))
            where = f"{self.source}: " if self.source else ""
            raise ValueError(where + self._bad(flat, good))

    def cut(
        self,
        *,
        r_min: float | None = None,
        r_max: float | None = None,
        bins: Bins | None = None,
    ) -> Observation:
        """These data without the bins that reach beyond some scales.

        Parameters
        ----------
        r_min, r_max : float, optional
            Mpc/h; bins that begin below r_min or end above r_max are left out, whole.
        bins : Binning, str or array_like, optional
            Bins in Mpc/h that are kept: neighbors among those of the data, to five digits.

        Returns
        -------
        Observation
            With the edges and values of this one; `rows`, `vector` and `covariance` are fewer.

        Raises
        ------
        ValueError
            If r_min is not below r_max, `bins` are not among those of the data, or nothing is left.

        Examples
        --------
        >>> from pysoftcorr.inference import Observation
        >>> seen = Observation([0.1, 1, 10, 30], omega=[0.2, 0.1, 0.05])
        >>> seen.cut(r_min=1).vector.tolist(), seen.cut(r_max=20).vector.tolist()
        ([0.1, 0.05], [0.2, 0.1])
        """
        least = 0.0 if r_min is None else number("r_min", r_min, least=0)
        most = np.inf if r_max is None else number("r_max", r_max, least=0)
        if not least < most:
            raise ValueError(f"r_min = {least:g}: must be below r_max, {most:g} Mpc/h")
        low, high = self.edges[:-1], self.edges[1:]
        inside = low >= least * (1 - EDGES_AGREE)
        inside &= high <= most * (1 + EDGES_AGREE)
        if bins is not None:
            chosen = radial_edges(bins)
            start = place_of(chosen, self.edges)
            if start is None:
                raise ValueError(
                    f"bins: {chosen.size - 1} bins from {chosen[0]:g} to {chosen[-1]:g} Mpc/h are "
                    f"not among the bins of the data, of edges {_shown(self.edges)} Mpc/h"
                )
            places = np.arange(self.edges.size - 1)
            inside &= (places >= start) & (places < start + chosen.size - 1)
        keep = np.flatnonzero(inside[self.rows % (self.edges.size - 1)])
        if not keep.size:
            raise ValueError(
                f"r_min, r_max and bins leave none of the bins of the data, of edges "
                f"{_shown(self.edges)} Mpc/h"
            )
        out = self._with(keep)
        out._used = self._used & inside
        said = {"r_min": r_min, "r_max": r_max}
        out.cuts = {**self.cuts, **{n: float(v) for n, v in said.items() if v is not None}}
        if bins is not None:
            out.cuts["bins"] = chosen.tolist()
        return out

    def on(self, bins: Bins) -> Observation:
        """These data among the bins of a model, of which theirs are neighbors, to five digits.

        Parameters
        ----------
        bins : Binning, str or array_like
            Bins of the model in Mpc/h.

        Returns
        -------
        Observation
            With these bins as its own, and NaN in those that the data do not have.

        Raises
        ------
        ValueError
            If the bins of the data are not among them.

        Examples
        --------
        >>> from pysoftcorr.inference import Observation
        >>> seen = Observation([1.0, 3.1623, 10], omega=[0.2, 0.1]).on("log:0.1:10:4")
        >>> seen.rows.tolist(), seen.values["omega"].tolist()
        ([2, 3], [nan, nan, 0.2, 0.1])
        """
        edges = radial_edges(bins)
        start = place_of(self.edges, edges)
        if start is None:
            raise ValueError(self._elsewhere(edges))
        here, there = self.edges.size - 1, edges.size - 1
        out = copy.copy(self)
        out.edges = edges
        out.values = {}
        for name, value in self.values.items():
            out.values[name] = np.full(there, np.nan)
            out.values[name][start : start + here] = value
        out._used = np.zeros(there, dtype=bool)
        out._used[start : start + here] = self._used
        out.rows = self.rows // here * there + start + self.rows % here
        return out

    def _elsewhere(self, edges: FloatArray) -> str:
        """Message about data whose bins are not among those of a model."""
        data = self.edges
        text = (
            f"the data have {data.size - 1} bins from {data[0]:g} to {data[-1]:g} Mpc/h, the "
            f"emulator {edges.size - 1} from {edges[0]:g} to {edges[-1]:g} Mpc/h: the bins of the "
            "data must be equal to those of the emulator, or to neighbors among them, to five "
            "digits; correlate the data in those of the emulator (its edges)"
        )
        if data.shape == edges.shape:
            k = int(np.argmax(~np.isclose(edges, data, rtol=EDGES_AGREE, atol=0)))
            text += (
                f"; edge {k} is the first that differs, {data[k]:.6g} where the emulator has "
                f"{edges[k]:.6g}"
            )
        return text

    # ------------------------------------------------------------------ makers
    @classmethod
    def unaligned(
        cls,
        bins: Bins,
        *,
        statistics: str | Sequence[str] = ("omega",),
        boxsize: BoxSize | None = None,
    ) -> Observation:
        """Zero omega and eta in every bin: what galaxies without alignments show on average.

        The data of the experiment of Berman et al. 2025, section 7. Without `boxsize` they are
        of a box like the model's.

        Raises
        ------
        ValueError
            If xi is asked for, which is not 0.

        Examples
        --------
        >>> from pysoftcorr.inference import Observation
        >>> Observation.unaligned([0.1, 1, 10])
        <Observation: omega in 2 bins, no covariance>
        """
        chosen = check_statistics(statistics)
        if "xi" in chosen:
            raise ValueError(
                "statistics: xi is not 0 without alignments; choose omega, eta or both"
            )
        edges = radial_edges(bins)
        zeros = np.zeros(len(edges) - 1)
        values = _by_name({name: zeros for name in chosen})
        out = cls(edges, **values, boxsize=boxsize, source="no alignments")
        out.supposed = True
        return out

    @classmethod
    def of(
        cls,
        correlations: Any,
        *,
        statistics: str | Sequence[str] | None = None,
        covariance: npt.ArrayLike | None = None,
        covariance_from: int | None = None,
        boxsize: BoxSize | None = None,
        on_bad: str = "error",
        source: str = "",
    ) -> Observation:
        """From a `BoxCorrelations`, `ExpectedCorrelations` or anything with their attributes.

        Parameters
        ----------
        correlations : object
            With ``edges`` and those of ``xi``, ``omega``, ``eta`` that are asked for. Bins
            where ``npairs`` is 0 count as NaN: xi = -1 there is no draw from a Gaussian about xi.
            ``covariance``, ``realizations`` and ``settings``, what is known of the box, are taken
            where they are.
        statistics : str or sequence of str, optional
            By default those that are not NaN throughout.
        covariance : array_like, optional
            Of the statistics asked for, or of all that are not NaN throughout; instead of that of
            the correlations.
        covariance_from, boxsize, on_bad, source
            As of `Observation`.

        Raises
        ------
        TypeError
            If it has no edges.
        ValueError
            As `Observation`.
        """
        if not hasattr(correlations, "edges"):
            raise TypeError(
                f"correlations must be BoxCorrelations, not {type(correlations).__name__}"
            )
        there = tuple(
            name
            for name in STATISTICS
            if getattr(correlations, name, None) is not None
            and np.isfinite(getattr(correlations, name)).any()
        )
        if covariance is None:
            covariance = getattr(correlations, "covariance", None)
            if covariance is not None and covariance_from is None:
                covariance_from = getattr(correlations, "realizations", None)
        chosen = there if statistics is None else check_statistics(statistics)
        if set(chosen) < set(there):
            bins = len(correlations.edges) - 1
            covariance = block_of(covariance, there, chosen, bins)
        return cls(
            correlations.edges,
            **_by_name(
                {
                    name: with_pairs(
                        getattr(correlations, name), getattr(correlations, "npairs", None)
                    )
                    for name in chosen
                }
            ),
            covariance=covariance,
            covariance_from=covariance_from,
            boxsize=boxsize,
            box=from_settings(getattr(correlations, "settings", {})),
            on_bad=on_bad,
            source=source,
        )

    @classmethod
    def read(
        cls,
        path: str | PathLike[str],
        *,
        statistics: str | Sequence[str] | None = None,
        bins: Bins | None = None,
        covariance: str | PathLike[str] | npt.ArrayLike | None = None,
        covariance_from: int | None = None,
        boxsize: BoxSize | None = None,
        on_bad: str = "error",
    ) -> Observation:
        """Data from a file.

        Parameters
        ----------
        path : path
            - ``.ecsv`` of `BoxCorrelations.write`, or any ECSV or CSV table with columns
              ``r_lo``, ``r_hi``, those of ``xi``, ``omega``, ``eta`` that there are, and columns
              such as ``omega_err`` or, of ECSV, ``covariance`` in its meta data (a list of lists).
              CSV may have commas, semicolons, tabs or blanks, and comments: names of columns in the
              last one above the numbers, and lines such as ``# boxsize = 60``.
              A covariance may also be beside it: DATA_cov.csv (.txt, .npy) of DATA.csv;
            - ``.h5`` or ``.fits`` of `GalaxyCatalog.write`: the galaxies are correlated;
            - any HDF5 file with datasets ``edges``, those of ``xi``, ``omega``, ``eta`` that
              there are, and ``covariance`` or such as ``omega_err``.

            ``boxsize``, ``redshift``, ``cosmology``, ``mdef``, ``satellites`` and
            ``covariance_from`` are taken from meta data (ECSV) and attributes (HDF5).
        statistics : str or sequence of str, optional
            By default all that the file holds.
        bins : Binning, str or array_like, optional
            Bins in Mpc/h that galaxies are to be correlated in.
        covariance : path or array_like, optional
            A covariance in place of the file's; a path as of
            `pysoftcorr.inference.covariance.read_covariance`. That of all statistics of the data
            serves for some of them.
        covariance_from, boxsize, on_bad
            As of `Observation`; in place of what the file says.

        Raises
        ------
        FileNotFoundError
            If it is not there.
        ValueError
            If it holds none of these, or as `Observation`.
        """
        if isinstance(covariance, (str, PathLike)):
            covariance, count = read_covariance(covariance)
            covariance_from = count if covariance_from is None else covariance_from
        found = read_data(path, statistics=statistics, bins=bins, covariance=covariance)
        source = str(Path(path).expanduser())
        options: dict[str, Any] = {"on_bad": on_bad, "source": source, "boxsize": boxsize}
        try:
            if isinstance(found, dict):
                if covariance_from is not None:
                    found["covariance_from"] = covariance_from
                return cls(**found, **options)
            return cls.of(
                found, statistics=statistics, covariance=covariance,
                covariance_from=covariance_from, **options,
            )  # fmt: skip
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from None


def said_of(settings: Mapping[str, Any]) -> str:
    """A line on what was compared with a model: statistics, bins, cuts and noise.

    Parameters
    ----------
    settings : mapping
        With ``data`` (`Observation.describe`), ``noise``, ``noise_scale`` and ``likelihood``.
    """
    data = settings["data"]
    edges = data["edges"]
    cuts = ", ".join(
        f"{name} = {f'{len(cut) - 1} bins' if name == 'bins' else f'{cut:g}'}"
        for name, cut in data["cuts"].items()
    )
    text = (
        f"data: {', '.join(data['statistics'])} in {len(edges)} bins from {edges[0][0]:g} to "
        f"{edges[-1][1]:g} Mpc/h{f' ({cuts})' if cuts else ''}, {data['values']} values; noise: "
        f"{settings['noise']}"
    )
    if settings.get("covariance_at"):
        at = ", ".join(f"{name} {value:.3g}" for name, value in settings["covariance_at"].items())
        text += f" at {at}"
    if settings.get("noise_scale", 1.0) != 1:
        text += f", times {settings['noise_scale']:.4g} for the volume"
    if data["covariance_from"] is not None and settings["noise"] in ("data", "both"):
        text += f", covariance from {data['covariance_from']}: {settings['likelihood']}"
    return text


def _box(box: Mapping[str, Any] | None, boxsize: Any) -> dict[str, Any]:
    """What is known of a box; its size as given, if it is."""
    given = dict(box or {})
    if boxsize is not None:
        given["boxsize"] = boxsize
    return box_record(given)


def _numbers(name: str, values: npt.ArrayLike) -> FloatArray:
    return np.array(numbers(name, values))


def place_of(part: FloatArray, edges: FloatArray) -> int | None:
    """Number of the bin of `edges` where the bins of `part` begin, equal to five digits."""
    for start in range(edges.size - part.size + 1):
        if np.allclose(edges[start : start + part.size], part, rtol=EDGES_AGREE, atol=0):
            return start
    return None


def _shown(edges: FloatArray) -> str:
    texts = [f"{edge:.5g}" for edge in edges.tolist()]
    return ", ".join(texts if len(texts) <= 6 else [*texts[:3], "...", *texts[-2:]])


def _by_name(values: dict[str, Any]) -> dict[str, Any]:
    """Values as keyword arguments, whose types a checker cannot tell apart."""
    return values
