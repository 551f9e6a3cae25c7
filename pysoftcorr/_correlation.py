"""One correlation function with its resamples, both its errors, and how it was made."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.table import Table

from pysoftcorr import _covariance
from pysoftcorr._report import table_of, text_of, to_json
from pysoftcorr._version import __version__
from pysoftcorr.binning import Binning

FloatArray = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]

ALEATORIC_METHODS = ("bootstrap", "jackknife", "leave-out")
_PER_BIN = ("theta", "logtheta", "value", "imag", "npairs", "weight", "varshot")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*")


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Correlation:
    """One correlation function in bins of separation, with both kinds of error.

    Two errors are kept apart (Berman et al. 2025, sections 2.3 and 5): the *epistemic* one, how
    far the result moves as objects are assigned to clusters anew, and the *aleatoric* one, how
    far it moves as the objects themselves are resampled. Every resample is kept.

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
    >>> from pysoftcorr.binning import Binning
    >>> from pysoftcorr.result import Correlation
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
        for name in _PER_BIN:
            self._set(name, _array(name, getattr(self, name), np.float64, (self.bins.nbins,)))
        for name in ("epistemic", "aleatoric"):
            given = getattr(self, name)
            if given is not None:
                resamples = _array(name, given, np.complex128, (None, self.bins.nbins))
                self._set(name, resamples)
        self._check_aleatoric()
        self._set("settings", jsonable(self.settings, "settings"))
        if self.seed is not None:
            if isinstance(self.seed, bool) or not isinstance(self.seed, (int, np.integer)):
                raise TypeError(f"seed = {self.seed!r}: must be an integer or None")
            self._set("seed", int(self.seed))

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
            given = _covariance.factor(method, len(self.aleatoric))
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
        scale = _covariance.factor("epistemic", len(self.epistemic))
        return _covariance.covariance(self.epistemic.real, scale)

    @property
    def cov_aleatoric(self) -> FloatArray | None:
        """Covariance of the real part over resampled objects, (nbins, nbins); or None.

        ``aleatoric_factor`` times the sum of squares about the mean; bins without pairs in
        some resamples as in `cov_epistemic`.
        """
        if self.aleatoric is None or self.aleatoric_factor is None:
            return None
        return _covariance.covariance(self.aleatoric.real, self.aleatoric_factor)

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
        return None if self.epistemic is None else _covariance.mean(self.epistemic.real)

    @property
    def mean_aleatoric(self) -> FloatArray | None:
        """Mean real part over resampled objects, shape (nbins,), or None."""
        return None if self.aleatoric is None else _covariance.mean(self.aleatoric.real)

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

    def format_table(self) -> str:
        """Plain text, a line a bin: value, aleatoric error and epistemic error kept apart."""
        return text_of(self)

    def plot(self, ax: Any = None, **kwargs: Any) -> Any:
        """Plot with both errors, by `pysoftcorr.plots.plot_correlation`; gives the axes."""
        from pysoftcorr.plots import plot_correlation  # matplotlib only when asked for

        return plot_correlation(self, ax=ax, **kwargs)

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
        from pysoftcorr.files import write_result

        write_result(self, path, overwrite=overwrite)

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
        from pysoftcorr.files import read_result

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
    array = np.array(values, dtype=dtype, order="C")
    fits = array.ndim == len(shape) and all(
        want is None or have == want for have, want in zip(array.shape, shape, strict=True)
    )
    if not fits or 0 in array.shape:
        wanted = "(" + ", ".join("n" if s is None else str(s) for s in shape) + ")"
        raise ValueError(f"{name} must have shape {wanted}, not {array.shape}")
    array.setflags(write=False)
    return array


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
