"""Results as data sets of SACC, the format of data vectors of LSST DESC (package ``sacc``)."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

from pysoftcorr.core.extras import need
from pysoftcorr.core.streams import write_fits
from pysoftcorr.sky.binning import RADIANS
from pysoftcorr.sky.covariances import joint, kinds_of
from pysoftcorr.sky.formats import MARK

if TYPE_CHECKING:
    from pysoftcorr.sky.result import Correlation

_TYPES = {
    "xip": ("galaxy_shear_xi_plus", "source", "source"),
    "xim": ("galaxy_shear_xi_minus", "source", "source"),
    "w": ("galaxy_density_xi", "lens", "lens"),
    "gamma_t": ("galaxy_shearDensity_xi_t", "source", "lens"),
}
_OF_PSF = re.compile(r"(rho|tau)(\d)")


def _type(result: Correlation) -> tuple[str, tuple[str, str]]:
    """Data type and tracers; those of rho and tau, which SACC has none for, as UNIONS writes them.

    See sp_validation of the UNIONS collaboration (``psf_rho1_xi_plus``, ``galaxyPsf_tau0_xi_plus``,
    tracer ``psf_stars``).
    """
    found = _OF_PSF.fullmatch(result.name)
    if found:
        kind, number = found.groups()
        if kind == "rho":
            return f"psf_rho{number}_xi_plus", ("psf_stars", "psf_stars")
        return f"galaxyPsf_tau{number}_xi_plus", ("source_0", "psf_stars")
    if result.name not in _TYPES:
        raise ValueError(
            f"{result.name}: SACC has no data type for it; there are those of "
            f"{', '.join(_TYPES)}, rho and tau statistics"
        )
    data_type, first, second = _TYPES[result.name]
    # Two catalogs of galaxies are two tracers, save the randoms of w.
    two = result.name in ("xip", "xim") and len(result.settings.get("catalogs") or ()) > 1
    return data_type, (f"{first}_0", f"{second}_{1 if two else 0}")


def to_sacc(results: Mapping[str, Correlation], kind: str, name: str) -> Any:
    """A ``sacc.Sacc`` of all bins with a value.

    Parameters
    ----------
    results : mapping of str to Correlation
    kind : {"total", "aleatoric", "epistemic"}
        Which covariance; shot noise on a diagonal where there are no resamples.
    name : str
        Of the set, for the metadata.

    Raises
    ------
    ValueError
        A statistic that SACC has no data type for, bins that are no angles, or no value at all.
    MissingExtra
        The package ``sacc`` is not installed.
    """
    sacc = need("sacc", "a SACC file", extra="sacc")
    items = list(results.values())
    first = items[0]
    if first.bins.unit not in RADIANS:
        raise ValueError(f"bins {first.bins}: SACC takes angles; {first.bins.unit} is none")
    types = [_type(item) for item in items]
    scale = RADIANS[first.bins.unit] / RADIANS["arcmin"]
    made = sacc.Sacc()
    for tracer in dict.fromkeys(tracer for _, pair in types for tracer in pair):
        made.add_tracer("Misc", tracer)
    kept = []
    for item, (data_type, tracers) in zip(items, types, strict=True):
        theta = np.where(np.isfinite(item.theta), item.theta, item.bins.centers) * scale
        good = np.isfinite(item.value)
        kept.append(good)
        for k in np.flatnonzero(good):
            tags = {
                "theta": theta[k],
                "theta_min": item.bins.edges[k] * scale,
                "theta_max": item.bins.edges[k + 1] * scale,
                "npairs": item.npairs[k],
                "weight": item.weight[k],
                "imag": item.imag[k],
            }
            if item.all_pairs is not None:
                tags["all_pairs"] = item.all_pairs[k].real
            plain = {tag: float(x) for tag, x in tags.items()}
            made.add_data_point(data_type, tracers, float(item.value[k]), **plain)
    rows = np.concatenate(kept)
    if not rows.any():
        raise ValueError(f"{', '.join(results)}: no bin has a value, hence no data vector")
    there = kinds_of(items)
    if kind == "total" and not there:
        kind = "shot noise"
        made.add_covariance(np.concatenate([item.varshot for item in items])[rows])
    else:
        matrix = joint(items, kind)[np.ix_(rows, rows)]
        kind = " + ".join(there) if kind == "total" else kind
        if not np.isfinite(matrix).all():
            warnings.warn(
                "the covariance of the SACC data is NaN where too few resamples have pairs in a "
                "bin; choose wider bins or more resamples",
                stacklevel=4,
            )
        # A matrix of one number would be taken for a diagonal.
        made.add_covariance(sacc.covariance.FullCovariance(matrix))
    made.metadata.update(_metadata(first, kind, name))
    return made


def _metadata(first: Correlation, kind: str, name: str) -> dict[str, Any]:
    found = {
        "creation": f"pysoftcorr {first.version}",
        "pysoftcorr_version": first.version,
        "pysoftcorr_name": name,
        "pysoftcorr_bins": str(first.bins),
        "pysoftcorr_settings": json.dumps(first.settings),
        "pysoftcorr_covariance": kind,
        "pysoftcorr_seed": first.seed,
        "pysoftcorr_aleatoric_method": first.aleatoric_method,
    }
    return {key: value for key, value in found.items() if value is not None}


def wrap(made: Any) -> Callable[[Path], None]:
    """What makes our own FITS file, at a path, into a SACC file that carries it along.

    SACC does not look at the data of the first HDU: they are the bytes of our file, from which the
    result with all its resamples is read again.
    """

    def put(path: Path) -> None:
        own = np.frombuffer(path.read_bytes(), dtype=np.uint8)
        made.save_fits(str(path), overwrite=True)
        with fits.open(path, memmap=False) as hdus:
            first = fits.PrimaryHDU(own, header=hdus[0].header)
            first.header[MARK] = (1, "these data: the FITS file of the result")
            write_fits(fits.HDUList([first, *hdus[1:]]), path)

    return put
