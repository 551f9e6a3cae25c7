"""Rho statistics, tangential shear and w(theta) in soft bins, with their derivatives.

The estimators of :mod:`pysoftcorr.sky.correlation` over all pairs of objects, with the soft bins
of Berman et al. 2025 (arXiv:2504.06174, eqs. 22 and 23); `SoftCorrelation` is the same for xi+ and
xi-.
"""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.checks import not_negative
from pysoftcorr.core.options import choice
from pysoftcorr.sky.binning import Bins
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.geometry import AXES, FLAT, NUMBERS, check_together, plane_scale, to_plane
from pysoftcorr.sky.soft_bins import WEIGHTINGS, soft_bins
from pysoftcorr.sky.soft_statistic import SoftStatistic
from pysoftcorr.sky.soft_statistic_kernels import Columns, FloatArray, Objects, Pairs
from pysoftcorr.sky.stars import StarCatalog

__all__ = ["SoftGammaT", "SoftLandySzalay", "SoftRhoStatistics"]

#: Numbers of whose ellipticity and size e and T are, in julia/src/softstatistics.jl.
REFERENCES = {"star": 0, "model": 1, "gatti": 2}


class _OnSky(SoftStatistic):
    """Objects on the sky or in a plane."""

    #: Columns of each catalog behind its coordinates.
    _behind: ClassVar[dict[str, tuple[str, ...]]]

    def __init__(self, bins: Bins, weighting: str, sharpness: float | npt.ArrayLike | None) -> None:
        self.weighting = choice("weighting", weighting, WEIGHTINGS)
        self.bins, self._bins = soft_bins(bins, self.weighting, sharpness)

    def _columns(self, argument: str, flat: bool) -> tuple[str, ...]:
        return (*(AXES[FLAT] if flat else ("ra", "dec")), *self._behind[argument])

    def _catalog(self, argument: str, columns: Columns, **units: Any) -> Catalog:
        given: dict[str, Any] = {**columns, **units}
        return Catalog(**given)

    def _prepare(self, *catalogs: Any) -> Pairs:
        name = type(self).__name__
        given = dict(zip(self.catalogs, catalogs, strict=True))
        for argument, catalog in given.items():
            self._check(name, argument, catalog)
        check_together(name, self.bins, **given)
        unit, bins = 1.0, self._bins
        geometry = next(iter(given.values())).geometry
        if geometry == FLAT:
            unit = plane_scale(*(c.xyz for c in given.values()))
            power = 1 if self.weighting == "sigmoid" else 2
            bins = bins * np.array([[1 / unit], [1 / unit], [unit**power]])
        objects = tuple(self._objects(a, c, unit) for a, c in given.items())
        options = (NUMBERS[geometry], WEIGHTINGS[self.weighting], *self._options(), 0, 0)
        return Pairs(objects, bins, (*options, 0)[:5], self._numbers(given))

    def _check(self, name: str, argument: str, catalog: Any) -> None:
        if not isinstance(catalog, Catalog):
            raise TypeError(f"{name}: {argument} must be a Catalog, not {type(catalog).__name__}")
        not_negative(
            catalog.w, f"{name}: {argument}", "its sums of weights must be above 0",
            "leave those rows out",
        )  # fmt: skip
        if "g1" in self._behind[argument] and (catalog.g1 is None or catalog.g2 is None):
            raise ValueError(
                f"{name}: {argument}: {catalog!r} has no ellipticities; give g1 and g2"
            )

    def _objects(self, argument: str, catalog: Catalog, unit: float) -> Objects:
        flat = catalog.geometry == FLAT
        names = self._columns(argument, flat)
        # The value does not depend on the unit of the weights; products of them must not leave the
        # range of numbers.
        scale = 1 / float(catalog.w.max())
        per = to_plane(str(catalog.xy_unit)) / unit if flat else 1.0
        units = np.array([per if n in AXES[FLAT] else scale if n == "w" else 1.0 for n in names])
        rows = np.stack([np.asarray(getattr(catalog, n), dtype=float) for n in names])
        return Objects(argument, names, rows * units[:, None], units)

    def _options(self) -> tuple[int, ...]:
        """Whether coincident pairs are dropped, the reference, whether randoms are held."""
        return ()

    def _numbers(self, catalogs: dict[str, Catalog]) -> FloatArray:
        return np.empty(0)


class SoftRhoStatistics(_OnSky):
    """The five rho statistics in soft bins, and their derivatives.

    With e the star's ellipticity, de its residual and q = e dT/T: rho1 = <de* de>, rho2 = <e* de>,
    rho3 = <q* q>, rho4 = <de* q>, rho5 = <e* q> (Rowe 2010; Jarvis et al. 2021; Berman et al. 2025,
    eqs. 2 to 6), each the real part of the xi+ of two fields over the pairs of different stars,
    with the weights of soft bins. Derivatives are by positions, ellipticities and sizes of stars
    and model, and weights.

    Parameters
    ----------
    bins : Binning, str or array_like
        Such as ``"linear:0:45:8"`` (arcmin).
    weighting : {"sigmoid", "gaussian"}
        As of `SoftCorrelation`.
    sharpness : float or array_like, shape (nbins,), optional
        As of `SoftCorrelation`.
    reference : {"star", "model", "gatti"}
        Whose ellipticity and size e and T are, as of `rho_statistics`.
    coincident : {"keep", "drop"}
        Whether pairs of stars at one place (to 4e-15 rad) count.

    Attributes
    ----------
    statistics : tuple of str
        "rho1" to "rho5", the rows of a value of shape (5, nbins).
    catalogs : tuple of str
        What methods take: ``stars``, a `StarCatalog`.

    Raises
    ------
    ValueError, TypeError
        A setting that is not possible.

    Notes
    -----
    One pass over the pairs gives all five, a second one the gradient. See `SoftCorrelation` for the
    accuracy of soft bins, and for rho statistics of clusters: rho1, say, is its xi+ of a catalog of
    residuals.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr import SoftRhoStatistics, demo_stars
    >>> stars = demo_stars()
    >>> rho = SoftRhoStatistics("linear:0:45:4")
    >>> rho.value(stars).shape
    (5, 4)
    >>> gradient = rho.vjp(stars, cotangent=np.ones((5, 4)))
    >>> sorted(gradient)
    ['T', 'T_model', 'dec', 'g1', 'g1_model', 'g2', 'g2_model', 'ra', 'w']
    """

    statistics = ("rho1", "rho2", "rho3", "rho4", "rho5")
    catalogs = ("stars",)
    _kind = 1
    # In the order of `SOFT_COLUMNS` in Julia.
    _behind: ClassVar = {"stars": ("g1", "g2", "w", "g1_model", "g2_model", "T", "T_model")}

    def __init__(
        self,
        bins: Bins,
        *,
        weighting: str = "sigmoid",
        sharpness: float | npt.ArrayLike | None = None,
        reference: str = "star",
        coincident: str = "keep",
    ) -> None:
        super().__init__(bins, weighting, sharpness)
        self.reference = choice("reference", reference, REFERENCES)
        self.coincident = choice("coincident", coincident, ("keep", "drop"))

    def _check(self, name: str, argument: str, catalog: Any) -> None:
        if not isinstance(catalog, StarCatalog):
            raise TypeError(
                f"{name}: {argument} must be a StarCatalog, not {type(catalog).__name__}"
            )
        super()._check(name, argument, catalog)

    def _catalog(self, argument: str, columns: Columns, **units: Any) -> Catalog:
        given: dict[str, Any] = {**columns, **units}
        return StarCatalog(**given)

    def _options(self) -> tuple[int, ...]:
        return int(self.coincident == "drop"), REFERENCES[self.reference]


class SoftGammaT(_OnSky):
    """Mean tangential shear of sources around lenses in soft bins, and its derivatives.

    In bin b, with W_b the weight of a separation, ``sum W_b w_l w_s g_t / sum W_b w_l w_s`` over
    pairs of a lens and a source. Derivatives are by positions and weights of both and the shears.

    Parameters
    ----------
    bins : Binning, str or array_like
        Such as ``"log:1:100:10"`` (arcmin).
    weighting : {"sigmoid", "gaussian"}
        As of `SoftCorrelation`.
    sharpness : float or array_like, shape (nbins,), optional
        As of `SoftCorrelation`.

    Attributes
    ----------
    statistics : tuple of str
        "gamma_t"; its value has the shape (nbins,).
    catalogs : tuple of str
        What methods take: ``lenses`` and ``sources``, of class `Catalog`, the latter with
        g1 and g2.

    Raises
    ------
    ValueError, TypeError
        A setting that is not possible.

    Notes
    -----
    A source at the place of a lens (to 4e-15 rad) has no tangential direction: such pairs are left
    out, and a warning counts them.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr import Catalog, SoftGammaT
    >>> angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    >>> lens = Catalog(ra=[10.0], dec=[0.0])
    >>> ring = Catalog(ra=10 + 0.1 * np.cos(angle), dec=0.1 * np.sin(angle),
    ...                g1=-0.1 * np.cos(2 * angle), g2=0.1 * np.sin(2 * angle))
    >>> estimator = SoftGammaT("linear:5:7:1")
    >>> estimator.value(lens, ring).round(4)
    array([0.1])
    >>> gradient = estimator.vjp(lens, ring, cotangent=[1.0])
    >>> sorted(gradient["sources"])
    ['dec', 'g1', 'g2', 'ra', 'w']
    """

    statistics = ("gamma_t",)
    catalogs = ("lenses", "sources")
    _kind = 2
    _behind: ClassVar = {"lenses": ("w",), "sources": ("g1", "g2", "w")}
    _left_out = "have no tangential direction and are left out"

    def __init__(
        self,
        bins: Bins,
        *,
        weighting: str = "sigmoid",
        sharpness: float | npt.ArrayLike | None = None,
    ) -> None:
        super().__init__(bins, weighting, sharpness)


class SoftLandySzalay(_OnSky):
    """w(theta) of Landy & Szalay (1993) in soft bins, and its derivatives.

    ``(DD/ndd - 2 DR/ndr + RR/nrr) / (RR/nrr)``, the counts with the weights of soft bins and of
    objects, and norms as of `landy_szalay`. Derivatives are by positions and weights of the data,
    and of the randoms where these are not held.

    Parameters
    ----------
    bins : Binning, str or array_like
        Such as ``"log:1:100:10"`` (arcmin).
    weighting : {"sigmoid", "gaussian"}
        As of `SoftCorrelation`.
    sharpness : float or array_like, shape (nbins,), optional
        As of `SoftCorrelation`.
    randoms : {"held", "free"}
        Whether randoms stay as they are, with gradients of 0: their own pairs are then counted
        once, until other randoms are given.

    Attributes
    ----------
    statistics : tuple of str
        "w"; its value has the shape (nbins,).
    catalogs : tuple of str
        What methods take: ``data`` and ``randoms``, of class `Catalog`.

    Raises
    ------
    ValueError, TypeError
        A setting that is not possible.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr import Catalog, SoftLandySzalay
    >>> rng = np.random.default_rng(1)
    >>> data, randoms = (Catalog(ra=rng.uniform(0, 1, n), dec=rng.uniform(0, 1, n))
    ...                  for n in (300, 900))
    >>> w = SoftLandySzalay("linear:0:40:4")
    >>> bool(np.all(np.abs(w.value(data, randoms)) < 0.1))
    True
    >>> w.vjp(data, randoms, cotangent=[1, 0, 0, 0])["data"]["ra"].shape
    (300,)
    """

    statistics = ("w",)
    catalogs = ("data", "randoms")
    _kind = 3
    _behind: ClassVar = {"data": ("w",), "randoms": ("w",)}

    def __init__(
        self,
        bins: Bins,
        *,
        weighting: str = "sigmoid",
        sharpness: float | npt.ArrayLike | None = None,
        randoms: str = "held",
    ) -> None:
        super().__init__(bins, weighting, sharpness)
        self.randoms = choice("randoms", randoms, ("held", "free"))
        self._counted: tuple[bytes, FloatArray] = b"", np.empty(0)

    def _options(self) -> tuple[int, ...]:
        return 0, 0, int(self.randoms == "held")

    def _numbers(self, catalogs: dict[str, Catalog]) -> FloatArray:
        """Counts of the randoms' pairs, NaN until Julia has put them there."""
        randoms = catalogs["randoms"]
        digest = hashlib.blake2b(digest_size=16)
        for array in (randoms.xyz, randoms.w):
            digest.update(np.ascontiguousarray(array).data)
        if digest.digest() != self._counted[0]:
            self._counted = digest.digest(), np.full(self.nbins, np.nan)
        return self._counted[1]
