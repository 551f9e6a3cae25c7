"""Correlation functions with both errors, one or several of the same data in the same bins."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from astropy.table import Table

from pysoftcorr.core.files import suffix_of
from pysoftcorr.core.frozen import Frozen, frozen_array
from pysoftcorr.core.lazy import plots
from pysoftcorr.core.options import array, integer
from pysoftcorr.core.version import __version__
from pysoftcorr.sky import formats, sacc, treecorr_columns
from pysoftcorr.sky.binning import Binning
from pysoftcorr.sky.covariances import covariance, factor, joint, mean, noise_excess
from pysoftcorr.sky.presentation import html_of, set_text, table_of, text_of, to_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]
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
    all_pairs : ndarray of complex128, shape (nbins,), optional
        The correlation from all pairs of objects, beside one that was made from clusters; NaN in
        a bin without pairs.
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
    all_pairs: ComplexArray | None = None
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
        if self.all_pairs is not None:
            shape = (self.bins.nbins,)
            self._set("all_pairs", _array("all_pairs", self.all_pairs, np.complex128, shape))
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

    @property
    def noise_excess(self) -> float | None:
        """How many times too large `sigma_aleatoric` may come out where there is no signal.

        See `pysoftcorr.sky.covariances.noise_excess`; None without aleatoric resamples, or where
        pairs across patches were weighted so that another factor holds.
        """
        if self.aleatoric is None or self.aleatoric_method is None:
            return None
        # "match" weights pairs across patches such that their variance is right.
        weighting = set(str(self.settings.get("resampling", "")).split(":"))
        weighting.add(str(self.settings.get("cross_patch_weight")))
        if "match" in weighting:
            return 1.0
        if "mean" in weighting or ("geom" in weighting and self.aleatoric_method == "bootstrap"):
            return None
        assert self.aleatoric_factor is not None
        excess = noise_excess(self.aleatoric_method, len(self.aleatoric), self.aleatoric_factor)
        return excess if np.isfinite(excess) else None

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

    def to_dict(self) -> dict[str, Any]:
        """Numbers per bin as lists, None for NaN and for what there is none of.

        theta, value, imag, npairs, the three errors and the value from all pairs (`all_pairs`,
        `all_pairs_imag`); and `noise_excess`, a single number or None.
        """
        return to_json(self)

    def summary(self) -> str:
        """Plain text, a line a bin: value, aleatoric error and epistemic error kept apart."""
        return text_of(self)

    def _repr_html_(self) -> str:
        """The summary as a table, for notebooks."""
        return html_of({self.name: self})

    def plot(
        self,
        *,
        ax: Axes | None = None,
        naive: Correlation | None = None,
        color: Any = None,
        label: str | None = None,
        style: str = "default",
        requirement: Any = None,
    ) -> Axes:
        """Plot with both errors; options as of `pysoftcorr.plots.plot_correlation`."""
        drawn: Axes = plots().plot_correlation(
            self, ax=ax, naive=naive, color=color, label=label, style=style,
            requirement=requirement,
        )  # fmt: skip
        return drawn

    def plot_covariance(self, *, which: str = "total", correlation: bool = True) -> Figure:
        """Plot the covariance, by `pysoftcorr.plots.plot_covariance`."""
        figure: Figure = plots().plot_covariance(self, which=which, correlation=correlation)
        return figure

    def to_sacc(self, *, covariance: str = "total") -> Any:
        """The data vector as a ``sacc.Sacc``; as `CorrelationSet.to_sacc`."""
        return sacc.to_sacc({self.name: self}, covariance, self.name)

    def write(
        self, path: str | PathLike[str], *, format: str | None = None, overwrite: bool = False
    ) -> None:
        """Write to a file: FITS, HDF5, ECSV or SACC by suffix, or with TreeCorr's columns.

        The file appears whole or not at all, and `read` gives an equal object; from .txt, .dat,
        .out and .asc with TreeCorr's columns, which TreeCorr alone reads, it does not.

        Parameters
        ----------
        path : path
            FITS (.fits, .fits.gz), HDF5 (.h5, .hdf5), ECSV (.ecsv) or SACC (.sacc, .sacc.fits).
        format : {"sacc", "treecorr"}, optional
            "sacc" makes a SACC file of a .fits too. "treecorr" puts the columns that TreeCorr
            writes, and the covariance, before the rest of a .fits, .h5 or .hdf5, or makes text of
            them (.txt, .dat, .out, .asc): ``treecorr.Corr2.from_file`` reads it. Errors are the
            total ones, or shot noise without resamples.
        overwrite : bool
            Replace the file if it is there.

        Raises
        ------
        FileExistsError
            If the file is there and `overwrite` is not set.
        FileNotFoundError, PermissionError
            If the folder is not there or cannot be written in.
        ValueError
            If the suffix is another, or the format has no place for these statistics or bins.
        MissingExtra
            If a SACC file is wanted and the package ``sacc`` is not installed.
        """
        _write([self], self, path, format, overwrite)

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
        return joint([self[name] for name in (self if names is None else names)], kind)

    def with_all_pairs(self, naive: Mapping[str, Correlation]) -> CorrelationSet:
        """A copy with the values from all pairs of objects beside those from clusters.

        Parameters
        ----------
        naive : CorrelationSet or mapping of str to Correlation
            The same statistics of the same data in the same bins, made without clusters.

        Raises
        ------
        ValueError
            If statistics, bins or numbers of objects are others, or `naive` is from clusters.
        TypeError
            If it holds no Correlations.

        Examples
        --------
        >>> import numpy as np
        >>> from pysoftcorr import Catalog, xi_pm
        >>> rng = np.random.default_rng(1)
        >>> cat = Catalog(ra=rng.uniform(10, 11, 200), dec=rng.uniform(0, 1, 200),
        ...               g1=np.full(200, 0.1), g2=np.zeros(200))
        >>> xi = xi_pm(cat, "linear:9:60:2", clusters=40, seed=1)
        >>> xi = xi.with_all_pairs(xi_pm(cat, "linear:9:60:2"))
        >>> xi.xip.all_pairs.real.round(4)
        array([0.01, 0.01])
        """
        if not isinstance(naive, Mapping):
            raise TypeError(f"naive must be a CorrelationSet, not {type(naive).__name__}")
        if set(naive) != set(self):
            raise ValueError(
                f"naive: holds {', '.join(naive)}; must be the same statistics, {', '.join(self)}"
            )
        return CorrelationSet(
            [replace(item, all_pairs=_all_pairs_for(item, naive[key])) for key, item in
             self.items()],
            name=self.name,
        )  # fmt: skip

    def to_table(self) -> Table:
        """The tables of all statistics below one another, with a column ``statistic``."""
        return table_of(*self.values(), name=self.name)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """`Correlation.to_dict` of each, by name."""
        return {name: item.to_dict() for name, item in self.items()}

    def summary(self) -> str:
        """`Correlation.summary` of each, one after another."""
        return set_text(self)

    def _repr_html_(self) -> str:
        """The summary as tables, for notebooks."""
        return html_of(self, head=self.name)

    def plot(
        self,
        *,
        naive: Mapping[str, Correlation] | None = None,
        title: str | None = None,
        style: str = "default",
        requirement: Any = None,
    ) -> Figure:
        """Plot every statistic in a panel of its own, by `pysoftcorr.plots.plot_correlation_set`.

        Parameters
        ----------
        naive : CorrelationSet or mapping, optional
            The same statistics of all pairs, drawn as lines.
        title : str, optional
        style : {"default", "paper"}
            "paper": absolute values on logarithmic axes, open markers where negative, as wide as
            a column of a journal.
        requirement : callable, number, array_like, Table or mapping of str to these, optional
            Largest value that is allowed, drawn as a band in the style "paper"; by statistic in a
            mapping.
        """
        figure: Figure = plots().plot_correlation_set(
            self, naive=naive, title=title, style=style, requirement=requirement
        )
        return figure

    def plot_covariance(self, *, which: str = "total", correlation: bool = True) -> Figure:
        """Plot the joint covariance, by `pysoftcorr.plots.plot_covariance`.

        Parameters
        ----------
        which : {"total", "aleatoric", "epistemic"}
        correlation : bool
            Correlation coefficients; else the covariance itself.
        """
        figure: Figure = plots().plot_covariance(self, which=which, correlation=correlation)
        return figure

    def to_sacc(self, *, covariance: str = "total") -> Any:
        """The data vector and its joint covariance as a ``sacc.Sacc``.

        Statistics stand in the order of the set, bins within each; those without a value are left
        out. xi+ and xi- are ``galaxy_shear_xi_plus`` and ``_minus``, w ``galaxy_density_xi``,
        gamma_t ``galaxy_shearDensity_xi_t``; rho and tau, which SACC has no type for, are
        ``psf_rho1_xi_plus`` and ``galaxyPsf_tau0_xi_plus`` as in files of UNIONS. Tracers are of
        the kind "Misc" (``source_0``, ``lens_0``, ``psf_stars``). Tags are ``theta``,
        ``theta_min`` and ``theta_max`` in arcmin, ``npairs``, ``weight``, ``imag`` and, where
        there is one, ``all_pairs``; bins, settings, seed and versions are in the metadata.

        Parameters
        ----------
        covariance : {"total", "aleatoric", "epistemic"}
            Which one; shot noise alone where there are no resamples.

        Raises
        ------
        ValueError
            If SACC has no type for a statistic, or the bins are no angles.
        MissingExtra
            If the package ``sacc`` is not installed.
        """
        return sacc.to_sacc(self, covariance, self.name)

    def write(
        self, path: str | PathLike[str], *, format: str | None = None, overwrite: bool = False
    ) -> None:
        """Write to one file; as `Correlation.write`.

        A file of TreeCorr holds one correlation function: of sets, xi+ and xi- alone fit into one.
        """
        _write(list(self.values()), self, path, format, overwrite)

    @classmethod
    def read(cls, path: str | PathLike[str]) -> CorrelationSet:
        """Read what `write` wrote; as `Correlation.read`."""
        result = read_result(path)
        if isinstance(result, Correlation):
            raise ValueError(
                f"{path} holds the single {result.name}; read it with Correlation.read"
            )
        return result


def _all_pairs_for(item: Correlation, naive: Correlation) -> ComplexArray:
    """The values of all pairs, if they can stand beside the item."""
    if not isinstance(naive, Correlation):
        raise TypeError(f"naive holds a {type(naive).__name__}; must be Correlations")
    if naive.bins != item.bins:
        raise ValueError(f"naive: {naive.name} has bins {naive.bins}; must be {item.bins}")
    if naive.settings.get("clusters"):
        raise ValueError(f"naive: {naive.name} was made from clusters; must be of all pairs")
    rows = [
        [catalog.get("rows") for catalog in result.settings.get("catalogs") or ()]
        for result in (item, naive)
    ]
    if all(rows) and rows[0] != rows[1]:
        objects = [" and ".join(map(str, part)) for part in rows]
        raise ValueError(
            f"naive: {naive.name} is of {objects[1]} objects; must be the same {objects[0]}"
        )
    values = np.empty(item.bins.nbins, dtype=np.complex128)
    values.real, values.imag = naive.value, naive.imag
    return values


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
        members = header["members"]
        arrays = {member["name"]: load(member["name"], bins.nbins) for member in members}
        formats.check_members(header, arrays)
        items = [
            Correlation(bins=bins, **(dict[str, Any](arrays[member["name"]]) | member))
            for member in members
        ]
        if header["kind"] == "Correlation":
            return items[0]
        return CorrelationSet(items, name=header["name"])


def _write(
    items: list[Correlation],
    result: Result,
    path: str | PathLike[str],
    form: str | None,
    overwrite: bool,
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
        for name in (*formats.COMPLEX, *formats.RESAMPLES, *formats.COVARIANCES):
            value = getattr(item, name)
            if value is not None:
                arrays[name] = value
        members[item.name] = arrays
    made_for = formats.program(path, form)
    wrap = None
    if made_for is not None:
        formats.check(path, format=made_for, overwrite=overwrite)
        together = {item.name: item for item in items}
        if made_for == "sacc":
            wrap = sacc.wrap(sacc.to_sacc(together, "total", result.name))
        else:
            suffixes = formats.PROGRAMS[made_for]
            wrap = treecorr_columns.wrap(together, suffixes[suffix_of(Path(path), tuple(suffixes))])
    formats.write(path, header, members, overwrite=overwrite, program=made_for, wrap=wrap)
