"""Several correlation functions of the same data in the same bins."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from os import PathLike
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.table import Table, vstack

from pysoftcorr.core.frozen import Frozen, frozen_array
from pysoftcorr.core.lazy import plots
from pysoftcorr.core.options import array, integer
from pysoftcorr.core.text import aligned_rows
from pysoftcorr.core.version import __version__
from pysoftcorr.sky import formats
from pysoftcorr.sky.binning import Binning

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]


def factor(method: str, n: int) -> float:
    """What the sum of squares about the mean of `n` resamples is multiplied by.

    ``1/(n - 1)`` for independent draws and the bootstrap, ``(n - 1)/n`` for the
    delete-one jackknife. NaN where a single resample says nothing.
    """
    if n < 2:
        return float("nan")
    if method == "jackknife":
        return (n - 1) / n
    return 1.0 / (n - 1)


def covariance(resamples: npt.NDArray[np.floating], scale: float) -> FloatArray:
    """``scale * sum (x - mean)(x - mean)^T`` over resamples, bin pair by bin pair.

    Parameters
    ----------
    resamples : ndarray, shape (n, nbins)
        Real values; NaN where a resample had no pairs in a bin.
    scale : float
        See `factor`.

    Returns
    -------
    ndarray, shape (nbins, nbins)
        Where some resamples lack one of the two bins, the entry is made of the m others with
        their own means, times (n - 1)/(m - 1), so that the mean square keeps its meaning; NaN
        where m < 2. A matrix made so need not be positive definite.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.sky.result import covariance
    >>> covariance(np.array([[1.0], [3.0]]), 1.0)
    array([[2.]])
    """
    x = np.asarray(resamples, dtype=np.float64)
    n = len(x)
    finite = np.isfinite(x)
    if n < 2:
        return np.full((x.shape[1], x.shape[1]), np.nan)
    if finite.all():
        centered = x - x.mean(axis=0)
        return scale * (centered.T @ centered)
    # Sums about each bin's own mean over all its draws lose no digits to a large mean; the
    # means over the draws that two bins share then follow from the shared sums.
    here = finite.astype(np.float64)
    count = here.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(finite, x, 0.0).sum(axis=0) / count
        centered = np.where(finite, x - mean, 0.0)
        shared = here.T @ here
        sums = centered.T @ here
        about = centered.T @ centered - sums * sums.T / shared
        result = scale * (n - 1) / (shared - 1) * about
    result[shared < 2] = np.nan
    # Draws that are all alike must not get a variance of minus one rounding.
    variances = np.diag(result)
    np.fill_diagonal(result, np.where(variances < 0, 0.0, variances))
    return result


def mean(resamples: npt.NDArray[np.floating]) -> FloatArray:
    """Mean of each bin over the resamples that have pairs in it; NaN where none has."""
    x = np.asarray(resamples, dtype=np.float64)
    finite = np.isfinite(x)
    count = finite.sum(axis=0)
    total = np.where(finite, x, 0.0).sum(axis=0)
    return np.divide(total, count, out=np.full(x.shape[1], np.nan), where=count > 0)


_ERRORS = ("sigma_shot", "sigma_epistemic", "sigma_aleatoric", "sigma")


def _error(result: Correlation, name: str) -> np.ndarray:
    """An error per bin, NaN where the result has none of this kind."""
    values = getattr(result, name)
    return np.full(result.bins.nbins, np.nan) if values is None else values


def table_of(*results: Correlation, name: str | None = None) -> Table:
    """One table of a row a bin; of several results below one another where `name` is given."""
    tables = [_table(result) for result in results]
    if name is None:
        return tables[0]
    for table, result in zip(tables, results, strict=True):
        table.add_column([result.name] * len(table), index=0, name="statistic")
        table.meta.clear()
    stacked = vstack(tables, metadata_conflicts="silent")
    stacked.meta.update(name=name, statistics=[r.name for r in results], **_meta(results[0]))
    return stacked


def _table(result: Correlation) -> Table:
    unit = u.Unit(result.bins.unit)
    table = Table()
    table["theta_lo"] = result.bins.edges[:-1] * unit
    table["theta_hi"] = result.bins.edges[1:] * unit
    table["theta"] = result.theta * unit
    # A logarithm has no unit; its argument is in that of theta.
    table["logtheta"] = result.logtheta
    for column in ("value", "imag", "npairs", "weight"):
        table[column] = getattr(result, column)
    for column in _ERRORS:
        table[column] = _error(result, column)
    table["logtheta"].description = f"mean ln(theta / {result.bins.unit})"
    table.meta.update(name=result.name, **_meta(result))
    return table


def _meta(result: Correlation) -> dict[str, Any]:
    return {
        "bins": str(result.bins),
        "settings": json.dumps(result.settings),
        "seed": result.seed,
        "version": result.version,
        "aleatoric_method": result.aleatoric_method,
    }


def to_json(result: Correlation) -> dict[str, list[float | int | None]]:
    """Lists of plain numbers, None for what is not a number."""
    columns = {name: getattr(result, name) for name in ("theta", "value", "imag", "npairs")}
    columns |= {name: _error(result, name) for name in ("sigma_epistemic", "sigma_aleatoric")}
    return {name: [_plain(name, float(x)) for x in values] for name, values in columns.items()}


def _plain(name: str, x: float) -> float | int | None:
    if not math.isfinite(x):
        return None
    return int(x) if name == "npairs" and x.is_integer() else x


def text_of(result: Correlation) -> str:
    """A line a bin: separation, pairs, value, and each error in a column of its own."""
    head = f"{result.name} ({_how(result)})"
    titles = (
        f"theta [{result.bins.unit}]",
        "pairs",
        "mu",
        "sigma_aleatoric",
        "sigma_epistemic",
        "sigma_shot",
    )
    errors = [_error(result, name) for name in titles[3:]]
    rows = []
    for k in range(result.bins.nbins):
        lo, hi = result.bins.edges[k : k + 2]
        mean = f"{result.theta[k]:.4g}" if np.isfinite(result.theta[k]) else "-"
        rows.append(
            (
                f"{mean} [{lo:.4g}, {hi:.4g})",
                f"{result.npairs[k]:.6g}",
                _number(result.value[k], sign=True),
                *(_number(e[k]) for e in errors),
            )
        )
    return f"{head}\n{aligned_rows([titles, *rows])}"


def _number(x: float, *, sign: bool = False) -> str:
    if not math.isfinite(x):
        return "-"
    return f"{x:+.4e}" if sign else f"{x:.3e}"


def _how(result: Correlation) -> str:
    parts = []
    if result.aleatoric is not None:
        parts.append(f"aleatoric: {len(result.aleatoric)} {result.aleatoric_method}")
    if result.epistemic is not None:
        parts.append(f"epistemic: {len(result.epistemic)} assignments")
    return "; ".join(parts) or "no resamples"


def set_text(results: Mapping[str, Correlation]) -> str:
    """The text of every result, an empty line between."""
    return "\n\n".join(text_of(result) for result in results.values())


ComplexArray = npt.NDArray[np.complex128]

ALEATORIC_METHODS = ("bootstrap", "jackknife", "leave-out")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*")


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Correlation(Frozen):
    """One correlation function in bins of separation, with both kinds of error.

    Two errors are kept apart (Berman et al. 2025, sections 2.3 and 5): the *epistemic* one, how
    far the result moves with another assignment of the objects to clusters, and the *aleatoric*
    one, how far it moves as the objects themselves are resampled. Every resample is kept.

    Parameters
    ----------
    name : str
        The statistic, such as "xip" or "rho1".
    bins : Binning
        The bins.
    theta, logtheta : ndarray, shape (nbins,)
        Weighted mean separation of the pairs in ``bins.unit``, and weighted mean of its
        natural logarithm; NaN in a bin without pairs.
    value, imag : ndarray, shape (nbins,)
        Real and imaginary part; NaN in a bin without pairs.
    npairs, weight : ndarray, shape (nbins,)
        Number of pairs, and sum of their weights.
    varshot : ndarray, shape (nbins,)
        Variance by shot (shape) noise alone.
    epistemic : ndarray of complex128, shape (n_samples, nbins), optional
        The correlation at each sampled assignment.
    aleatoric : ndarray of complex128, shape (n_resamples, nbins), optional
        The correlation of each resample of the objects.
    aleatoric_method : {"bootstrap", "jackknife", "leave-out"}, optional
        How they were resampled; needed with `aleatoric`.
    aleatoric_factor : float, optional
        `cov_aleatoric` is this times the sum of squares about the mean; by default 1/(n - 1)
        for the bootstrap and (n - 1)/n for the jackknife. Needed for "leave-out".
    settings : dict
        How it was made; whatever JSON can hold.
    seed : int, optional
        Seed of the random parts.
    version : str
        Version of pysoftcorr that made it.

    Raises
    ------
    ValueError, TypeError
        If a shape, a method or a setting is not possible.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.sky.binning import Binning
    >>> from pysoftcorr.sky.result import Correlation
    >>> draws = np.array([[1.0, 2.0], [3.0, 2.0], [2.0, 2.0]]) + 0j
    >>> xip = Correlation(
    ...     name="xip", bins=Binning.linear(0, 2, 2), theta=[0.5, 1.5], logtheta=[-0.7, 0.4],
    ...     value=[2.0, 2.0], imag=[0.0, 0.0], npairs=[4, 8], weight=[4.0, 8.0],
    ...     varshot=[0.1, 0.05], epistemic=draws,
    ... )
    >>> xip.sigma_epistemic
    array([1., 0.])
    """

    name: str
    bins: Binning
    theta: FloatArray
    logtheta: FloatArray
    value: FloatArray
    imag: FloatArray
    npairs: FloatArray
    weight: FloatArray
    varshot: FloatArray
    epistemic: ComplexArray | None = None
    aleatoric: ComplexArray | None = None
    aleatoric_method: str | None = None
    aleatoric_factor: float | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    version: str = __version__

    def __post_init__(self) -> None:
        _check_name(self.name)
        if not isinstance(self.bins, Binning):
            raise TypeError(f"bins must be a Binning, not {type(self.bins).__name__}")
        for name in formats.PER_BIN:
            self._set(name, _array(name, getattr(self, name), np.float64, (self.bins.nbins,)))
        for name in ("epistemic", "aleatoric"):
            given = getattr(self, name)
            if given is not None:
                resamples = _array(name, given, np.complex128, (None, self.bins.nbins))
                self._set(name, resamples)
        self._check_aleatoric()
        self._set("settings", jsonable(self.settings, "settings"))
        if self.seed is not None:
            self._set("seed", integer("seed", self.seed))

    def _check_aleatoric(self) -> None:
        method, given = self.aleatoric_method, self.aleatoric_factor
        if self.aleatoric is None:
            if method is not None or given is not None:
                raise ValueError(
                    "aleatoric_method and aleatoric_factor go with aleatoric resamples"
                )
            return
        if method not in ALEATORIC_METHODS:
            raise ValueError(
                f"aleatoric_method = {method!r}: must be one of {', '.join(ALEATORIC_METHODS)}"
            )
        if given is None:
            if method == "leave-out":
                raise ValueError(
                    "aleatoric_factor is needed for leave-out resamples: it follows from how "
                    "many objects each one leaves out"
                )
            given = factor(method, len(self.aleatoric))
        self._set("aleatoric_factor", float(given))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    # ------------------------------------------------------------------ errors
    @property
    def sigma_shot(self) -> FloatArray:
        """Standard deviation by shot noise, shape (nbins,)."""
        return np.sqrt(self.varshot)

    @property
    def cov_epistemic(self) -> FloatArray | None:
        """Covariance of the real part over sampled assignments, (nbins, nbins); or None.

        Sample covariance with n - 1. Where some draws have no pairs in a bin, an entry is made
        of the draws that have both its bins, and is NaN where fewer than two have.
        """
        if self.epistemic is None:
            return None
        scale = factor("epistemic", len(self.epistemic))
        return covariance(self.epistemic.real, scale)

    @property
    def cov_aleatoric(self) -> FloatArray | None:
        """Covariance of the real part over resampled objects, (nbins, nbins); or None.

        ``aleatoric_factor`` times the sum of squares about the mean; bins without pairs in
        some resamples as in `cov_epistemic`.
        """
        if self.aleatoric is None or self.aleatoric_factor is None:
            return None
        return covariance(self.aleatoric.real, self.aleatoric_factor)

    @property
    def cov(self) -> FloatArray | None:
        """Sum of the covariances there are, shape (nbins, nbins); None where there is none."""
        parts = [c for c in (self.cov_epistemic, self.cov_aleatoric) if c is not None]
        return sum(parts[1:], start=parts[0]) if parts else None

    @property
    def sigma_epistemic(self) -> FloatArray | None:
        """Epistemic standard deviation, shape (nbins,), or None."""
        return _sigma(self.cov_epistemic)

    @property
    def sigma_aleatoric(self) -> FloatArray | None:
        """Aleatoric standard deviation, shape (nbins,), or None."""
        return _sigma(self.cov_aleatoric)

    @property
    def sigma(self) -> FloatArray | None:
        """Both in quadrature, shape (nbins,), or None."""
        return _sigma(self.cov)

    @property
    def mean_epistemic(self) -> FloatArray | None:
        """Mean real part over sampled assignments, shape (nbins,), or None."""
        return None if self.epistemic is None else mean(self.epistemic.real)

    @property
    def mean_aleatoric(self) -> FloatArray | None:
        """Mean real part over resampled objects, shape (nbins,), or None."""
        return None if self.aleatoric is None else mean(self.aleatoric.real)

    # ------------------------------------------------------------------ comparing and showing
    def __eq__(self, other: object) -> bool:
        """Whether every number is the same, NaN counted as equal to NaN."""
        if not isinstance(other, Correlation):
            return NotImplemented
        return all(
            _same(getattr(self, f.name), getattr(other, f.name)) for f in fields(Correlation)
        )

    __hash__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        return self.bins.nbins

    def __repr__(self) -> str:
        parts = [f"{self.bins}", f"{self.npairs.sum():.6g} pairs"]
        if self.epistemic is not None:
            parts.append(f"{len(self.epistemic)} sampled assignments")
        if self.aleatoric is not None:
            parts.append(f"{len(self.aleatoric)} {self.aleatoric_method} resamples")
        return f"<Correlation {self.name}: {', '.join(parts)}>"

    def to_table(self) -> Table:
        """A row a bin: edges, separation, value, errors, with units and how it was made."""
        return table_of(self)

    def to_dict(self) -> dict[str, list[float | int | None]]:
        """theta, value, imag, npairs and both errors as lists; None for NaN and for no error."""
        return to_json(self)

    def summary(self) -> str:
        """Plain text, a line a bin: value, aleatoric error and epistemic error kept apart."""
        return text_of(self)

    def plot(
        self,
        *,
        ax: Axes | None = None,
        naive: Correlation | None = None,
        color: Any = None,
        label: str | None = None,
    ) -> Axes:
        """Plot with both errors; options as of `pysoftcorr.plots.plot_correlation`."""
        drawn: Axes = plots().plot_correlation(self, ax=ax, naive=naive, color=color, label=label)
        return drawn

    def write(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write to FITS (.fits, .fits.gz), HDF5 (.h5, .hdf5) or ECSV (.ecsv), by suffix.

        The file appears whole or not at all, and `read` gives an equal object.

        Raises
        ------
        FileExistsError
            If the file is there and `overwrite` is not set.
        FileNotFoundError, PermissionError
            If the folder is not there or cannot be written in.
        ValueError
            If the suffix is another.
        """
        _write([self], self, path, overwrite)

    @classmethod
    def read(cls, path: str | PathLike[str]) -> Correlation:
        """Read what `write` wrote.

        Raises
        ------
        FileNotFoundError
            If the file is not there.
        ValueError
            If it is not a single correlation written by pysoftcorr.
        """
        result = read_result(path)
        if not isinstance(result, Correlation):
            raise ValueError(f"{path} holds {', '.join(result)}; read it with CorrelationSet.read")
        return result


def jsonable(value: Any, argument: str) -> Any:
    """The value as JSON would give it back; TypeError where JSON cannot hold it."""

    def plain(item: Any) -> Any:
        if isinstance(item, np.generic):
            return item.item()
        if isinstance(item, np.ndarray):
            return item.tolist()
        if isinstance(item, Binning):
            return item.to_dict()
        if isinstance(item, PathLike):
            return str(item)
        raise TypeError(f"{argument} hold {item!r}, which JSON cannot")

    if not isinstance(value, Mapping):
        raise TypeError(f"{argument} must be a dict, not {type(value).__name__}")
    return json.loads(json.dumps(dict(value), default=plain))


def _check_name(name: Any) -> None:
    if not isinstance(name, str):
        raise TypeError(f"name must be text, not {type(name).__name__}")
    if not _NAME.fullmatch(name):
        raise ValueError(f"name = {name!r}: must be letters, digits, _ + -, a letter first")


def _array(name: str, values: Any, dtype: Any, shape: tuple[int | None, ...]) -> npt.NDArray[Any]:
    made: npt.NDArray[Any] = frozen_array(array(name, values, shape, dtype))
    return made


def _sigma(covariance: FloatArray | None) -> FloatArray | None:
    return None if covariance is None else np.sqrt(np.diag(covariance))


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        if a.shape != b.shape:
            return False
        # As pairs of numbers: a complex NaN must match in both its parts.
        return np.array_equal(a.view(np.float64), b.view(np.float64), equal_nan=True)
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return False
    return bool(a == b) or json.dumps(a, default=repr) == json.dumps(b, default=repr)


class CorrelationSet(Frozen, Mapping[str, Correlation]):
    """Several statistics of the same data in the same bins, by name and in order.

    Parameters
    ----------
    correlations : iterable of Correlation
        With different names, the same bins, and resamples that belong together (row k of one
        and row k of another come from the same draw).
    name : str
        What they are together, such as "rho_statistics".

    Raises
    ------
    ValueError
        If there is none, names repeat, or bins differ.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.sky.binning import Binning
    >>> from pysoftcorr.sky.result import Correlation, CorrelationSet
    >>> zeros = dict.fromkeys(
    ...     ("theta", "logtheta", "value", "imag", "npairs", "weight", "varshot"), [0.0, 0.0])
    >>> both = CorrelationSet([
    ...     Correlation(name=name, bins=Binning.linear(0, 2, 2), **zeros)
    ...     for name in ("xip", "xim")], name="xi_pm")
    >>> list(both)
    ['xip', 'xim']
    >>> both.xim is both["xim"]
    True
    """

    def __init__(self, correlations: Iterable[Correlation], *, name: str = "") -> None:
        if isinstance(correlations, Mapping):
            correlations = correlations.values()
        items = list(correlations)
        if not items:
            raise ValueError("a CorrelationSet needs at least one correlation")
        for item in items:
            if not isinstance(item, Correlation):
                raise TypeError(f"a CorrelationSet holds Correlations, not {type(item).__name__}")
            if item.bins != items[0].bins:
                raise ValueError(
                    f"{item.name} has bins {item.bins}, {items[0].name} has {items[0].bins}"
                )
        if not isinstance(name, str):
            raise TypeError(f"name must be text, not {type(name).__name__}")
        folded = [item.name.lower() for item in items]
        twice = [item.name for item in items if folded.count(item.name.lower()) > 1]
        if twice:
            raise ValueError(f"names of statistics must differ: {', '.join(twice)}")
        self._items = {item.name: item for item in items}
        self.name = name

    def __getitem__(self, name: str) -> Correlation:
        try:
            return self._items[name]
        except KeyError:
            raise KeyError(f"no statistic {name!r}; there are {', '.join(self)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __getattr__(self, name: str) -> Correlation:
        items = self.__dict__.get("_items", {})
        if name in items:
            return items[name]
        raise AttributeError(f"{type(self).__name__} has no attribute or statistic {name!r}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._items]

    def __eq__(self, other: object) -> bool:
        """Whether name, order and every number are the same."""
        if not isinstance(other, CorrelationSet):
            return NotImplemented
        return (
            self.name == other.name
            and list(self) == list(other)
            and all(self[name] == other[name] for name in self)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        name = f" {self.name}" if self.name else ""
        return f"<CorrelationSet{name}: {', '.join(self)}, {self.bins}>"

    def _first(self) -> Correlation:
        return next(iter(self._items.values()))

    @property
    def bins(self) -> Binning:
        """The bins all share."""
        return self._first().bins

    @property
    def settings(self) -> dict[str, Any]:
        """How the first statistic was made."""
        return self._first().settings

    @property
    def seed(self) -> int | None:
        """Seed of the first statistic."""
        return self._first().seed

    @property
    def version(self) -> str:
        """Version of pysoftcorr that made the first statistic."""
        return self._first().version

    def covariance(self, kind: str = "total", *, names: Iterable[str] | None = None) -> FloatArray:
        """Joint covariance of the real parts across statistics, from their shared resamples.

        Parameters
        ----------
        kind : {"total", "aleatoric", "epistemic"}
            "total" is the sum of those there are.
        names : iterable of str, optional
            Statistics, in the order wanted; all of them by default.

        Returns
        -------
        ndarray, shape (k nbins, k nbins)
            Blocks in the order of `names`, bins within each.

        Raises
        ------
        ValueError
            If there are no resamples of this kind, or they are of different number or method.
        KeyError
            If a name is none of the set's.
        """
        chosen = [self[name] for name in (self if names is None else names)]
        if not chosen:
            raise ValueError("names: at least one statistic is needed")
        if kind == "total":
            there = [
                k
                for k in ("epistemic", "aleatoric")
                if any(getattr(c, k) is not None for c in chosen)
            ]
            if not there:
                raise ValueError("there are no resamples, hence no covariance")
            parts = [self.covariance(k, names=[c.name for c in chosen]) for k in there]
            return sum(parts[1:], start=parts[0])
        if kind not in ("aleatoric", "epistemic"):
            raise ValueError(f"kind = {kind!r}: must be 'total', 'aleatoric' or 'epistemic'")
        resamples = [getattr(c, kind) for c in chosen]
        lacking = [c.name for c, r in zip(chosen, resamples, strict=True) if r is None]
        if lacking:
            raise ValueError(f"{', '.join(lacking)}: no {kind} resamples, hence no covariance")
        kinds = {
            (len(r), *((c.aleatoric_method, c.aleatoric_factor) if kind == "aleatoric" else ()))
            for c, r in zip(chosen, resamples, strict=True)
        }
        # A single resample has the factor NaN, which is unequal to itself.
        if len({repr(k) for k in kinds}) > 1:
            raise ValueError(f"the {kind} resamples of {', '.join(c.name for c in chosen)} differ")
        scale = (
            factor(kind, len(resamples[0])) if kind == "epistemic" else chosen[0].aleatoric_factor
        )
        assert scale is not None
        return covariance(np.hstack([r.real for r in resamples]), scale)

    def to_table(self) -> Table:
        """The tables of all statistics below one another, with a column ``statistic``."""
        return table_of(*self.values(), name=self.name)

    def to_dict(self) -> dict[str, dict[str, list[float | int | None]]]:
        """`Correlation.to_dict` of each, by name."""
        return {name: item.to_dict() for name, item in self.items()}

    def summary(self) -> str:
        """`Correlation.summary` of each, one after another."""
        return set_text(self)

    def plot(
        self, *, naive: Mapping[str, Correlation] | None = None, title: str | None = None
    ) -> Figure:
        """Plot every statistic in a panel of its own, by `pysoftcorr.plots.plot_correlation_set`.

        Parameters
        ----------
        naive : CorrelationSet or mapping, optional
            The same statistics of all pairs, drawn as lines.
        title : str, optional
        """
        figure: Figure = plots().plot_correlation_set(self, naive=naive, title=title)
        return figure

    def write(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write to one file; as `Correlation.write`."""
        _write(list(self.values()), self, path, overwrite)

    @classmethod
    def read(cls, path: str | PathLike[str]) -> CorrelationSet:
        """Read what `write` wrote; as `Correlation.read`."""
        result = read_result(path)
        if isinstance(result, Correlation):
            raise ValueError(
                f"{path} holds the single {result.name}; read it with Correlation.read"
            )
        return result


# ---------------------------------------------------------------------- files
Result = Correlation | CorrelationSet
_HEADER_KEYS = ("name", "aleatoric_method", "aleatoric_factor", "settings", "seed", "version")


def read_result(path: str | PathLike[str]) -> Result:
    """Read a `Correlation` or a `CorrelationSet`, whichever the file holds.

    Raises
    ------
    FileNotFoundError
        If the file is not there.
    ValueError
        If its suffix is unknown, it was not written by pysoftcorr, or it is damaged.
    """
    source, header, load = formats.read(path)
    with formats.FORMAT.damage(source):
        bins = Binning.from_dict(header["bins"])
        items = []
        for member in header["members"]:
            arrays: dict[str, Any] = dict(load(member["name"], bins.nbins))
            items.append(Correlation(bins=bins, **arrays, **member))
        if header["kind"] == "Correlation":
            return items[0]
        return CorrelationSet(items, name=header["name"])


def _write(
    items: list[Correlation], result: Result, path: str | PathLike[str], overwrite: bool
) -> None:
    """Write the items of a result; its name and kind go into the header."""
    header = {
        "kind": type(result).__name__,
        "name": result.name,
        "bins": items[0].bins.to_dict(),
        "members": [{key: getattr(item, key) for key in _HEADER_KEYS} for item in items],
    }
    members = {}
    for item in items:
        arrays = {
            "theta_lo": np.array(item.bins.edges[:-1]),
            "theta_hi": np.array(item.bins.edges[1:]),
        }
        arrays |= {name: getattr(item, name) for name in formats.PER_BIN}
        for name in (*formats.RESAMPLES, *formats.COVARIANCES):
            value = getattr(item, name)
            if value is not None:
                arrays[name] = value
        members[item.name] = arrays
    formats.write(path, header, members, overwrite=overwrite)
