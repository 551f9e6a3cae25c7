"""Results in the files of TreeCorr: its column names in FITS, HDF5 and ASCII.

``treecorr.Corr2.from_file`` makes the object of them (GGCorrelation for shears, NNCorrelation for
w, NGCorrelation for gamma_t), with its covariance where there are resamples.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from pysoftcorr.core.streams import hdf5_file, write_fits
from pysoftcorr.sky.covariances import joint, kinds_of

if TYPE_CHECKING:
    from pysoftcorr.sky.result import Correlation

FloatArray = npt.NDArray[np.float64]

_NAMES = "r_nom", "meanr", "meanlogr"


def wrap(results: Mapping[str, Correlation], form: str) -> Callable[[Path], None]:
    """What puts TreeCorr's columns before the content of a file; called with its path.

    Parameters
    ----------
    results : mapping of str to Correlation
        xip and xim, or a single statistic; another spin-2 one such as rho1 stands as xip, beside
        a xim of NaN.
    form : {"fits", "hdf5", "text"}

    Raises
    ------
    ValueError
        Several statistics that TreeCorr has no common file for; bins that it does not have.
    """
    names, columns, parameters, matrix = _content(results)
    if matrix is not None:
        parameters |= {"num_rows": len(columns[0]), "cov_shape": str(matrix.shape)}
    put = {"fits": _fits, "hdf5": _hdf5, "text": _text}[form]
    return lambda path: put(path, names, columns, parameters, matrix)


def _content(
    results: Mapping[str, Correlation],
) -> tuple[tuple[str, ...], list[FloatArray], dict[str, Any], FloatArray | None]:
    shears = set(results) == {"xip", "xim"}
    if len(results) > 1 and not shears:
        raise ValueError(
            f"format = 'treecorr': a file of TreeCorr holds one correlation function, not "
            f"{', '.join(results)}; write each statistic to a file of its own"
        )
    first = results["xip"] if shears else next(iter(results.values()))
    covariance = joint(results.values(), "total") if kinds_of(results.values()) else None
    own = [first.bins.centers, first.theta, first.logtheta]
    errors = {name: _sigma(item) for name, item in results.items()}
    names: tuple[str, ...]
    columns: list[FloatArray]
    if first.name == "w":
        letters = "NN"
        names = (*_NAMES, "xi", "sigma_xi", "DD", "npairs")
        columns = [*own, first.value, errors["w"], first.weight, first.npairs]
    elif first.name == "gamma_t":
        letters = "NG"
        names = (*_NAMES, "gamT", "gamX", "sigma", "weight", "npairs")
        columns = [*own, first.value, first.imag, errors["gamma_t"], first.weight, first.npairs]
    elif first.name in ("xip", "xim") or re.fullmatch(r"(rho|tau)\d", first.name):
        letters = "GG"
        nothing = np.full(first.bins.nbins, np.nan)
        xim = results.get("xim")
        # xi- alone belongs into its own columns.
        xip = None if first.name == "xim" else first
        names = (*_NAMES, "xip", "xim", "xip_im", "xim_im", "sigma_xip", "sigma_xim", "weight",
                 "npairs")  # fmt: skip
        columns = [
            *own,
            *(nothing if part is None else part.value for part in (xip, xim)),
            *(nothing if part is None else part.imag for part in (xip, xim)),
            *(nothing if part is None else errors[part.name] for part in (xip, xim)),
            first.weight, first.npairs,
        ]  # fmt: skip
        covariance = _of_both(covariance, list(results), first.bins.nbins)
    else:
        raise ValueError(
            f"format = 'treecorr': TreeCorr has no {first.name}; there are xip, xim, w, gamma_t, "
            "rho and tau statistics"
        )
    return names, columns, _parameters(first, letters), covariance


def _sigma(result: Correlation) -> FloatArray:
    return result.sigma_shot if result.sigma is None else result.sigma


def _of_both(covariance: FloatArray | None, names: list[str], nbins: int) -> FloatArray | None:
    """The matrix of xi+, then xi-, as TreeCorr has it; NaN for what was not measured."""
    if covariance is None:
        return None
    both = np.full((2, nbins, 2, nbins), np.nan)
    blocks = covariance.reshape(len(names), nbins, len(names), nbins)
    places = [1 if name == "xim" else 0 for name in names]
    both[np.ix_(places, range(nbins), places, range(nbins))] = blocks
    return both.reshape(2 * nbins, 2 * nbins)


def _parameters(result: Correlation, letters: str) -> dict[str, Any]:
    """What TreeCorr makes the object from."""
    bins = result.bins
    if bins.kind not in ("linear", "log"):
        raise ValueError(
            f"format = 'treecorr': TreeCorr has linear or log bins alone, not {bins}; "
            "write .fits, .h5, .ecsv or .sacc"
        )
    if bins.unit == "Mpc/h":
        raise ValueError(f"format = 'treecorr': bins {bins}: separations in a box are no angles")
    flat = bins.unit == "pixel" or result.settings.get("geometry") == "flat"
    found: dict[str, Any] = {
        "min_sep": float(bins.edges[0]), "max_sep": float(bins.edges[-1]), "nbins": bins.nbins,
        "bin_type": bins.kind.capitalize(),
        "coords": "flat" if flat else "spherical", "metric": "Euclidean" if flat else "Arc",
        "corr": letters,
    }  # fmt: skip
    if bins.unit != "pixel":
        found["sep_units"] = bins.unit
    if letters == "NN":
        found["tot"] = _pairs_in_all(result)
    return found


def _pairs_in_all(result: Correlation) -> float:
    """TreeCorr's ``tot`` of unweighted objects; 0 where weights make it another, unknown one."""
    catalogs = result.settings.get("catalogs") or [{}]
    rows = catalogs[0].get("rows", 0) if np.array_equal(result.weight, result.npairs) else 0
    return 0.5 * float(rows) ** 2


# ---------------------------------------------------------------------- forms
def _fits(
    path: Path, names: tuple[str, ...], columns: list[FloatArray], parameters: dict[str, Any],
    matrix: FloatArray | None,
) -> None:  # fmt: skip
    """The first extension is TreeCorr's, its covariance the next; what was there comes after."""
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column(name=name, format="D", array=x)
            for name, x in zip(names, columns, strict=True)
        ],
        name="main",
    )
    for key, value in parameters.items():
        card = key.upper() if len(key) <= 8 else f"HIERARCH {key.upper()}"
        table.header[card] = value
    extra = [table] if matrix is None else [table, fits.ImageHDU(matrix, name="cov")]
    with fits.open(path, memmap=False) as hdus:
        write_fits(fits.HDUList([hdus[0], *extra, *hdus[1:]]), path)


def _hdf5(
    path: Path, names: tuple[str, ...], columns: list[FloatArray], parameters: dict[str, Any],
    matrix: FloatArray | None,
) -> None:  # fmt: skip
    with hdf5_file(path, new=False) as root:
        main = root.create_group("main")
        main.attrs.update(parameters)
        for name, values in zip(names, columns, strict=True):
            main.create_dataset(name, data=np.asarray(values, dtype=np.float64))
        if matrix is not None:
            root.create_dataset("cov/data", data=matrix)


def _text(
    path: Path, names: tuple[str, ...], columns: list[FloatArray], parameters: dict[str, Any],
    matrix: FloatArray | None,
) -> None:  # fmt: skip
    assert all(math.isfinite(v) for v in parameters.values() if isinstance(v, float))
    width = 25
    with open(path, "w", encoding="ascii") as stream:
        if matrix is not None:
            stream.write("## main\n")
        stream.write(f"## {parameters!r}\n")
        stream.write("#" + " ".join(f"{name:^{width}}" for name in names)[1:] + "\n")
        np.savetxt(stream, np.column_stack(columns), fmt=f"%{width}.17e")
        if matrix is not None:
            stream.write("## cov\n")
            np.savetxt(stream, matrix, fmt=f"%{width}.17e")
