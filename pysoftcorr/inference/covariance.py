"""Covariance matrices: their check, their files, and those estimated from few realizations."""

from __future__ import annotations

import csv
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from scipy import special

from pysoftcorr.core.cautions import caution
from pysoftcorr.core.options import numbers

__all__ = [
    "beside",
    "check_covariance",
    "hartlap_factor",
    "read_covariance",
    "sellentin_heavens_constant",
    "whitening",
]

FloatArray = npt.NDArray[np.float64]

#: Names of a covariance, and of the number of realizations it is from, in files.
COVARIANCE, COUNT = ("covariance", "cov"), ("covariance_from", "realizations")


def check_covariance(
    covariance: npt.ArrayLike, n: int, *, name: str = "covariance", definite: bool = True
) -> FloatArray:
    """A covariance matrix of n values.

    Without `definite` one is taken that is not positive definite, parts of which may be.

    Raises
    ------
    ValueError
        If it is of another shape, holds NaN, is not symmetric or not positive definite.
    TypeError
        If it is no array of numbers.

    Examples
    --------
    >>> from pysoftcorr.inference.covariance import check_covariance
    >>> check_covariance([[1, 2], [2, 1]], 2)
    Traceback (most recent call last):
        ...
    ValueError: covariance is not positive definite: as correlations its smallest ...
    """
    matrix = np.array(numbers(name, covariance))
    if matrix.shape != (n, n):
        raise ValueError(
            f"{name} has shape {matrix.shape}; the data are {n} values, so that ({n}, {n}) is "
            "needed: bins of xi, then of omega, then of eta, of those that are given"
        )
    bad = np.argwhere(~np.isfinite(matrix))
    if bad.size:
        row, column = bad[0]
        raise ValueError(
            f"{name} holds {matrix[row, column]} in row {row}, column {column} "
            f"({len(bad)} such elements)"
        )
    variance = np.diag(matrix)
    low = np.flatnonzero(variance <= 0)
    if low.size:
        raise ValueError(
            f"{name} is not positive definite: the variance of value {low[0]} is "
            f"{variance[low[0]]:.3g}, which must be above 0; leave such bins out"
        )
    # Of correlations: the errors of two values may differ by any factor.
    error = np.sqrt(variance)
    correlation = matrix / error[:, None] / error
    differ = np.abs(correlation - correlation.T)
    if (differ > 1e-8).any():
        row, column = np.unravel_index(np.argmax(differ), differ.shape)
        raise ValueError(
            f"{name} is not symmetric: element [{row}, {column}] is {matrix[row, column]:.6g}, "
            f"[{column}, {row}] is {matrix[column, row]:.6g}; pass (C + C.T)/2 if that is noise"
        )
    if not definite:
        return (matrix + matrix.T) / 2
    values = np.linalg.eigvalsh((correlation + correlation.T) / 2)
    # Below this an eigenvalue is the rounding of the larger ones.
    least = n * np.finfo(np.float64).eps * max(values[-1], 0.0)
    if values[0] > least:
        return (matrix + matrix.T) / 2
    text = (
        f"{name} is not positive definite: as correlations its smallest eigenvalue is "
        f"{values[0]:.3g}, its largest {values[-1]:.3g}. "
    )
    if values[0] > -100 * least:  # singular: a small part of the diagonal would weigh most
        rank = int((values > 100 * least).sum())
        raise ValueError(
            f"{text}Its rank is {rank}, of {n} values: a sample covariance needs more realizations "
            f"than values. Cut to at most {rank} values (r_min, r_max, bins, statistics), or "
            "estimate it from more"
        )
    raise ValueError(
        f"{text}Leave bins out, or add a part of each variance to the diagonal, such as C + "
        f"{-2 * values[0]:.1g} * np.diag(np.diag(C))"
    )


def whitening(covariance: FloatArray) -> tuple[FloatArray, float]:
    """W with W C W^T = 1, lower triangular, and ln det C, whatever the units of the values.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the covariance is not positive definite.
    """
    variance = np.diag(covariance)
    if not (variance > 0).all():
        raise np.linalg.LinAlgError("a variance is not above 0")
    error = np.sqrt(variance)
    lower = np.linalg.cholesky(covariance / error[:, None] / error)
    return np.linalg.inv(lower) / error, 2 * float(np.log(np.diag(lower) * error).sum())


def check_count(realizations: int, values: int) -> None:
    """ValueError where a covariance is from too few realizations for the number of values."""
    if realizations <= values + 2:
        raise ValueError(
            f"covariance_from = {realizations}: a covariance of {values} values must be from more "
            f"than {values + 2} realizations, or its inverse says nothing; cut bins (r_min, r_max, "
            "bins, statistics), or estimate it from more"
        )


def hartlap_factor(realizations: int, values: int) -> float:
    """Factor that makes the inverse of a sample covariance unbiased: (N - p - 2)/(N - 1).

    Parameters
    ----------
    realizations : int
        N, independent and normal; the sum of squares was divided by N - 1.
    values : int
        p.

    Raises
    ------
    ValueError
        If N is not above p + 2.

    References
    ----------
    Hartlap, Simon & Schneider 2007, A&A 464, 399, eq. 17.

    Examples
    --------
    >>> from pysoftcorr.inference.covariance import hartlap_factor
    >>> hartlap_factor(101, 19)
    0.8
    """
    check_count(realizations, values)
    return (realizations - values - 2) / (realizations - 1)


def sellentin_heavens_constant(realizations: int, values: int) -> float:
    """ln of the constant of a likelihood that is marginal over the true covariance.

    ln L = constant - 1/2 ln det S - N/2 ln(1 + chi2/(N - 1)), chi2 of the sample covariance S:
    a multivariate t of N - p degrees of freedom.

    References
    ----------
    Sellentin & Heavens 2016, MNRAS 456, L132, eqs. 12 and 13.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import stats
    >>> from pysoftcorr.inference.covariance import sellentin_heavens_constant
    >>> t = stats.t(df=9, scale=1)  # p = 1, N = 10, S = 1
    >>> bool(np.isclose(sellentin_heavens_constant(10, 1), t.logpdf(0)))
    True
    """
    check_count(realizations, values)
    n, p = realizations, values
    return float(
        special.gammaln(n / 2) - special.gammaln((n - p) / 2) - p / 2 * np.log(np.pi * (n - 1))
    )


# ---------------------------------------------------------------------- files
def beside(path: Path) -> Path | None:
    """The file of a covariance beside a table: DATA_cov.csv of DATA.csv; None if there is none."""
    for suffix in (path.suffix, ".csv", ".txt", ".npy"):
        there = path.with_name(f"{path.stem}_cov{suffix}")
        if there.is_file():
            return there
    return None


def read_covariance(path: str | PathLike[str]) -> tuple[FloatArray, int | None]:
    """A matrix from a file, and the number of realizations that it is from where the file says.

    Parameters
    ----------
    path : path-like
        - .npy of NumPy;
        - .csv or .txt: rows of numbers, with or without a line of names above; a line
          ``# covariance_from = 200`` (or ``realizations``) has the number of realizations;
        - .ecsv: columns of numbers, or ``covariance`` in the meta data, with ``covariance_from``;
        - .h5 or .hdf5: dataset ``covariance`` (or ``cov``, or the only one), with
          ``covariance_from`` as dataset or attribute.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    ValueError
        If it holds no matrix, or the suffix is another.
    """
    source = Path(path).expanduser()
    if not source.is_file():
        raise FileNotFoundError(f"no such covariance: {source}")
    kind = source.suffix.lower()
    readers = {".npy": _npy, ".csv": _text, ".txt": _text, ".dat": _text, ".ecsv": _ecsv,
               ".h5": _h5, ".hdf5": _h5}  # fmt: skip
    if kind not in readers:
        raise ValueError(f"{source}: unknown suffix; a covariance is in {', '.join(readers)}")
    try:
        matrix, count = readers[kind](source)
        matrix = np.asarray(matrix, dtype=np.float64)
    except ValueError as error:
        raise ValueError(f"{source}: holds no covariance: {error}") from None
    except Exception as error:  # readers raise of every kind, for one reason
        raise ValueError(f"{source} cannot be read as {kind}: {error}") from None
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"{source}: a covariance is square, not of shape {matrix.shape}")
    if len(matrix) > 1 and (np.diag(matrix) == 1).all():
        caution(
            f"{source}: is 1 all along the diagonal, as a correlation matrix is; a covariance is "
            "needed, sigma[:, None] * R * sigma"
        )
    return matrix, None if count is None else int(count)


def _npy(source: Path) -> tuple[Any, Any]:
    return np.load(source, allow_pickle=False), None


def _text(source: Path) -> tuple[Any, Any]:
    count, rows = None, []
    with source.open(encoding="utf-8-sig", newline="") as file:
        lines = [line.strip() for line in file]
    names: list[str] = []
    for number, line in enumerate(lines, 1):
        if line.startswith("#"):
            key, _, value = line[1:].partition("=" if "=" in line else ":")
            if key.strip() in COUNT:
                count = int(value)
            continue
        if not line:
            continue
        cells = next(csv.reader([line])) if "," in line else line.split()
        try:
            rows.append([float(cell) for cell in cells])
        except ValueError:
            if rows or names:
                raise ValueError(f"line {number} must be numbers: {line[:60]}") from None
            names = cells
    if not rows or {len(row) for row in rows} != {len(rows)}:
        widths = sorted({len(row) for row in rows})
        raise ValueError(f"{len(rows)} rows of {widths} numbers, which is not square")
    return rows, count


def _ecsv(source: Path) -> tuple[Any, Any]:
    from astropy.table import Table

    table = Table.read(source, format="ascii.ecsv")
    for name in COVARIANCE:
        if name in table.meta:
            return table.meta[name], first(table.meta, COUNT)
    columns = [np.asarray(table[name], dtype=np.float64) for name in table.colnames]
    return np.column_stack(columns), first(table.meta, COUNT)


def _h5(source: Path) -> tuple[Any, Any]:
    with h5py.File(source, "r") as file:
        matrices = [name for name, item in file.items() if getattr(item, "ndim", 0) == 2]
        name = next((name for name in COVARIANCE if name in file), None)
        if name is None and len(matrices) != 1:
            raise ValueError(f"no dataset covariance among {', '.join(file) or 'none'}")
        return file[name or matrices[0]][...], count_of(file)


def count_of(file: h5py.File) -> Any:
    """Number of realizations of a covariance, of a dataset or attribute; None without."""
    found = first(file.attrs, COUNT)
    return next((file[name][()] for name in COUNT if name in file), found)


def first(record: Any, names: tuple[str, ...]) -> Any:
    """The first of these entries that a record has; None without."""
    return next((record[name] for name in names if name in record), None)
