"""Large deterministic jobs handed to TreeCorr (Jarvis, Bernstein & Jain 2004)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr._julia.settings import threads
from pysoftcorr.binning import Binning
from pysoftcorr.catalog import Catalog, StarCatalog
from pysoftcorr.result import Correlation, CorrelationSet

UNITS = {"deg": "deg", "arcmin": "arcmin", "arcsec": "arcsec", "rad": "rad"}


def _module() -> Any:
    try:
        import treecorr
    except ImportError:
        raise ImportError(
            "method='treecorr' needs TreeCorr: pip install 'pysoftcorr[treecorr]'"
        ) from None
    return treecorr


def _bins(bins: Binning) -> dict[str, Any]:
    if bins.kind not in ("linear", "log"):
        raise ValueError(f"method='treecorr' takes linear or log bins, not {bins}")
    return {
        "min_sep": bins.edges[0], "max_sep": bins.edges[-1], "nbins": bins.nbins,
        "sep_units": UNITS[bins.unit], "bin_type": bins.kind.capitalize(), "metric": "Arc",
        "num_threads": threads(),
    }  # fmt: skip


def _catalog(catalog: Catalog, field: npt.NDArray[np.complex128] | None = None) -> Any:
    shear = {} if field is None else {"g1": field.real, "g2": field.imag}
    return _module().Catalog(
        ra=catalog.ra, dec=catalog.dec, ra_units="deg", dec_units="deg", w=catalog.w, **shear
    )


def _correlation(
    name: str, bins: Binning, done: Any, value: Any, imag: Any, varshot: Any, settings: Any
) -> Correlation:
    hollow = done.npairs == 0
    blank = np.where(hollow, np.nan, 0.0)
    return Correlation(
        name=name, bins=bins, theta=done.meanr + blank, logtheta=done.meanlogr + blank,
        value=value + blank, imag=imag + blank, npairs=done.npairs, weight=done.weight,
        varshot=varshot + blank, settings=settings,
    )  # fmt: skip


def _settings(estimator: str, catalogs: Sequence[Catalog], **more: Any) -> dict[str, Any]:
    rows = [{"name": c.name, "rows": len(c)} for c in catalogs]
    version = _module().__version__
    return {
        "estimator": estimator,
        "method": "treecorr",
        "treecorr": version,
        "catalogs": rows,
    } | more


def _shear_shear(bins: Binning, *catalogs: Any) -> Any:
    done = _module().GGCorrelation(**_bins(bins))
    done.process(*catalogs)
    if (done.npairs == 0).any():
        warnings.warn(f"treecorr: {(done.npairs == 0).sum()} bins hold no pairs", stacklevel=4)
    return done


def xi_pm(catalogs: Sequence[Catalog], bins: Binning) -> CorrelationSet:
    """xi+ and xi- of one or two catalogues."""
    settings = _settings("xi_pm", catalogs)
    done = _shear_shear(bins, *(_catalog(c, c.e) for c in catalogs))
    return CorrelationSet(
        [
            _correlation(
                "xip", bins, done, done.xip,
                done.xip_im if len(catalogs) > 1 else np.zeros(bins.nbins), done.varxip, settings,
            ),
            _correlation("xim", bins, done, done.xim, done.xim_im, done.varxim, settings),
        ],
        name="xi_pm",
    )  # fmt: skip


def rho_statistics(
    stars: StarCatalog, fields: Sequence[npt.NDArray[np.complex128]], bins: Binning, reference: str
) -> CorrelationSet:
    """rho1 to rho5."""
    settings = _settings("rho_statistics", [stars], reference=reference)
    e, de, q = (_catalog(stars, field) for field in fields)
    pairs = {"rho1": (de,), "rho2": (de, e), "rho3": (q,), "rho4": (q, de), "rho5": (q, e)}
    out = []
    for name, both in pairs.items():
        done = _shear_shear(bins, *both)
        imag = done.xip_im if len(both) > 1 else np.zeros(bins.nbins)
        out.append(_correlation(name, bins, done, done.xip, imag, done.varxip, settings))
    return CorrelationSet(out, name="rho_statistics")


def landy_szalay(data: Catalog, randoms: Catalog, bins: Binning) -> CorrelationSet:
    """w(theta)."""
    settings = _settings("landy_szalay", [data, randoms])
    first, second = _catalog(data), _catalog(randoms)
    dd, dr, rr = (_module().NNCorrelation(**_bins(bins)) for _ in range(3))
    dd.process(first)
    dr.process(first, second)
    rr.process(second)
    value, varshot = dd.calculateXi(rr=rr, dr=dr)
    value = np.where(rr.npairs > 0, value, np.nan)
    return CorrelationSet(
        [_correlation("w", bins, dd, value, np.zeros(bins.nbins), varshot, settings)],
        name="landy_szalay",
    )
