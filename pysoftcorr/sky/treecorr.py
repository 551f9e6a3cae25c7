"""Large deterministic jobs handed to TreeCorr (Jarvis, Bernstein & Jain 2004)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr._julia.settings import threads
from pysoftcorr.core.extras import need
from pysoftcorr.sky.binning import Binning
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.estimate import warn_empty
from pysoftcorr.sky.result import Correlation, CorrelationSet
from pysoftcorr.sky.stars import StarCatalog

UNITS = {"deg": "deg", "arcmin": "arcmin", "arcsec": "arcsec", "rad": "rad"}


def _module() -> Any:
    return need("treecorr", "method='treecorr'", extra="treecorr")


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
    name: str, bins: Binning, done: Any, value: Any, imag: Any, varshot: Any, settings: Any,
    orders: int = 1,
) -> Correlation:  # fmt: skip
    """A result; NaN for all but the counts in bins without pairs.

    A bin of w(theta) without pairs of data has a value all the same: it is set by `landy_szalay`.
    """
    blank = np.where(done.npairs == 0, np.nan, 0.0)
    blank_value = 0.0 if name == "w" else blank
    return Correlation(
        name=name, bins=bins, theta=done.meanr + blank, logtheta=done.meanlogr + blank,
        value=value + blank_value, imag=imag + blank_value, npairs=orders * done.npairs,
        weight=orders * done.weight, varshot=varshot + blank_value, settings=settings,
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
    return done


def xi_pm(catalogs: Sequence[Catalog], bins: Binning) -> CorrelationSet:
    """xi+ and xi- of one or two catalogs."""
    settings = _settings("xi_pm", catalogs)
    done = _shear_shear(bins, *(_catalog(c, c.e) for c in catalogs))
    warn_empty("xi_pm", bins, *_hollow(done))
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
    e, de, q = fields

    def auto(field: npt.NDArray[np.complex128]) -> Any:
        return _shear_shear(bins, _catalog(stars, field))

    # TreeCorr's correlation of two fields of one catalog also counts each star with itself.
    # <a* b> in both orders follows from the fields' own correlations, which do not:
    # |a + b|^2 = |a|^2 + |b|^2 + 2 Re(a* b), and with i b the imaginary part.
    own = {"e": auto(e), "de": auto(de), "q": auto(q)}
    warn_empty("rho_statistics", bins, *(_hollow(own["e"])))
    out = [_correlation("rho1", bins, own["de"], own["de"].xip, 0.0, own["de"].varxip, settings)]
    fields_by_name = {"e": e, "de": de, "q": q}
    for name, first, second in (
        ("rho2", "e", "de"), ("rho3", "q", "q"), ("rho4", "de", "q"), ("rho5", "e", "q"),
    ):  # fmt: skip
        a, b = own[first], own[second]
        if first == second:
            out.append(_correlation(name, bins, a, a.xip, 0.0, a.varxip, settings))
            continue
        f, g = fields_by_name[second], fields_by_name[first]  # the order in which pairs.jl has them
        real = (auto(f + g).xip - a.xip - b.xip) / 2
        imag = (auto(f + 1j * g).xip - a.xip - b.xip) / 2
        varshot = np.sqrt(a.varxip * b.varxip) / 2
        out.append(_correlation(name, bins, a, real, imag, varshot, settings, orders=2))
    return CorrelationSet(out, name="rho_statistics")


def _hollow(done: Any) -> tuple[Any, Any]:
    return done.npairs, np.where(done.npairs == 0, np.nan, done.xip)


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
    varshot = np.where(rr.npairs > 0, varshot, np.nan)
    warn_empty("landy_szalay", bins, dd.npairs, value)
    w = _correlation("w", bins, dd, value, np.zeros(bins.nbins), varshot, settings)
    return CorrelationSet([w], name="landy_szalay")
