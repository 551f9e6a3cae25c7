"""Star catalogs: shapes of stars beside those of the PSF model at their places."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import numpy.typing as npt

from pysoftcorr.core import checks as _checks
from pysoftcorr.core.cautions import caution
from pysoftcorr.core.checks import FloatArray, Origin
from pysoftcorr.core.options import choice
from pysoftcorr.core.tables import TableSource
from pysoftcorr.core.unit_flow import Flow
from pysoftcorr.sky import columns as schemes
from pysoftcorr.sky.catalog import KEPT, Catalog
from pysoftcorr.sky.schemes import Scheme


class StarCatalog(Catalog):
    """Stars with their shapes and those of the PSF model at their places.

    What the rho statistics are made of (Rowe 2010; Jarvis et al. 2021; Berman et al. 2025,
    section 2.1). Takes all that `Catalog` takes; further

    Parameters
    ----------
    g1, g2 : array_like, shape (N,)
        Ellipticity of the star.
    g1_model, g2_model : array_like, shape (N,)
        Ellipticity of the PSF model at the star.
    T, T_model : array_like or Quantity, shape (N,)
        Sizes of star and model, ``T = 2 sigma^2``, above 0 and in the same unit.
    sigma, sigma_model : array_like or Quantity, shape (N,)
        Instead of `T`, `T_model`.

    Attributes
    ----------
    T, g1_model, g2_model, T_model : ndarray, shape (N,)
    scheme : str or None
        The naming of columns that `read` recognized: "vignet-psfex" (the names of the
        COSMOS-Web star catalogs), "piff-hsm", "des-piff", "shapepipe" or "plain".

    Raises
    ------
    ValueError
        As for `Catalog`; if a shape or size is missing, or a size is not above 0.

    Examples
    --------
    >>> from pysoftcorr.sky.stars import StarCatalog
    >>> stars = StarCatalog(
    ...     ra=[10.0, 10.1], dec=[0.0, 0.1], g1=[0.02, 0.01], g2=[0.0, -0.01], T=[2.0, 2.2],
    ...     g1_model=[0.01, 0.01], g2_model=[0.0, 0.0], T_model=[2.1, 2.2],
    ... )
    >>> stars.dT_over_T
    array([-0.05,  0.  ])
    """

    _keys = (
        *("ra", "dec", "x", "y", "w", "g1", "g2", "T", "sigma"),
        *("g1_model", "g2_model", "T_model", "sigma_model"),
    )
    _shapes = (("g1", "g2"), ("g1_model", "g2_model"))

    T: FloatArray
    g1_model: FloatArray
    g2_model: FloatArray
    T_model: FloatArray

    def __init__(
        self,
        *,
        ra: npt.ArrayLike | u.Quantity | None = None,
        dec: npt.ArrayLike | u.Quantity | None = None,
        x: npt.ArrayLike | u.Quantity | None = None,
        y: npt.ArrayLike | u.Quantity | None = None,
        g1: npt.ArrayLike,
        g2: npt.ArrayLike,
        g1_model: npt.ArrayLike,
        g2_model: npt.ArrayLike,
        T: npt.ArrayLike | u.Quantity | None = None,
        T_model: npt.ArrayLike | u.Quantity | None = None,
        sigma: npt.ArrayLike | u.Quantity | None = None,
        sigma_model: npt.ArrayLike | u.Quantity | None = None,
        w: npt.ArrayLike | None = None,
        ra_unit: str | u.UnitBase | None = None,
        dec_unit: str | u.UnitBase | None = None,
        xy_unit: str | u.UnitBase | None = None,
        flip_g1: bool = False,
        flip_g2: bool = False,
        on_bad: str = "error",
        name: str | None = None,
        extra: Mapping[str, npt.ArrayLike] | None = None,
    ) -> None:
        given = {"ra": ra, "dec": dec, "x": x, "y": y, "w": w, "g1": g1, "g2": g2}
        given |= {"T": T, "sigma": sigma}
        given |= {"g1_model": g1_model, "g2_model": g2_model}
        given |= {"T_model": T_model, "sigma_model": sigma_model}
        units = {"ra": ra_unit, "dec": dec_unit, "x": xy_unit, "y": xy_unit}
        self._build(given, units, (flip_g1, flip_g2), on_bad, name, extra, Origin())

    @classmethod
    def _recognize(
        cls, given: Mapping[str, str | None], table: TableSource
    ) -> tuple[dict[str, str], Scheme | None]:
        return schemes.star_columns(given, table.names, table.label)

    @classmethod
    def _remarks(cls, given: Mapping[str, str | None], table: TableSource) -> list[str]:
        return schemes.star_remarks(given, table.names, table.label)

    def _check_presence(self, given: Mapping[str, Any]) -> None:
        super()._check_presence(given)
        for sigma, size in schemes.SIZES.items():
            if given.get(sigma) is not None and given.get(size) is not None:
                raise ValueError(f"both {size} and {sigma} are given; one says it all")
            if given.get(sigma) is None and given.get(size) is None:
                raise ValueError(f"{size} (or {sigma}) is needed for the rho statistics")
        for field in ("g1", "g2", "g1_model", "g2_model"):
            if given.get(field) is None:
                raise ValueError(f"{field} is needed for the rho statistics")

    def _finish(
        self, columns: dict[str, FloatArray], units: Mapping[str, Any], origin: Origin
    ) -> None:
        kinds: dict[str, tuple[u.UnitBase | None, bool]] = {}
        for sigma, size in schemes.SIZES.items():
            given = sigma if sigma in columns else size
            _checks.positive(given, columns[given], origin)
            kinds[size] = _size_unit(units.get(given), squared=given == sigma)
            if given == sigma:
                columns[size] = 2.0 * columns.pop(sigma) ** 2
        (star, by_hand), (model, model_by_hand) = kinds["T"], kinds["T_model"]
        if star is not None and model is not None and star != model:
            if not star.is_equivalent(model):
                widths = [
                    f"; {size} in {unit} is a sigma: give it as {sigma}"
                    for (sigma, size), unit, other in zip(
                        schemes.SIZES.items(), (star, model), (model, star), strict=True
                    )
                    if other.is_equivalent(unit**2)
                ]
                raise ValueError(
                    f"T is in {star} and T_model in {model}: their ratio needs the same unit"
                    + "".join(widths)
                )
            if by_hand or model_by_hand:
                raise ValueError(
                    f"T is made of a column in {star}, T_model of one in {model}, and what an "
                    "expression scales may be converted already: name columns as they are, or "
                    "take the bare numbers, value(column), in expressions that convert them"
                )
            columns["T_model"] = columns["T_model"] * model.to(star)
        ratio = float(np.median(columns["T_model"] / columns["T"]))
        if not 1 / 3 < ratio < 3:
            caution(
                f"T_model is {ratio:.3g} times T in the median: are star and model in one unit, "
                "and none of them a sigma or FWHM, where T = 2 sigma^2 is meant? Give sigma and "
                "sigma_model by those names"
            )

    def replace(
        self,
        *,
        ra: npt.ArrayLike | u.Quantity = KEPT,
        dec: npt.ArrayLike | u.Quantity = KEPT,
        x: npt.ArrayLike | u.Quantity = KEPT,
        y: npt.ArrayLike | u.Quantity = KEPT,
        g1: npt.ArrayLike | None = KEPT,
        g2: npt.ArrayLike | None = KEPT,
        g1_model: npt.ArrayLike = KEPT,
        g2_model: npt.ArrayLike = KEPT,
        T: npt.ArrayLike | u.Quantity = KEPT,
        T_model: npt.ArrayLike | u.Quantity = KEPT,
        sigma: npt.ArrayLike | u.Quantity = KEPT,
        sigma_model: npt.ArrayLike | u.Quantity = KEPT,
        w: npt.ArrayLike | None = KEPT,
        ra_unit: str | u.UnitBase | None = None,
        dec_unit: str | u.UnitBase | None = None,
        xy_unit: str | u.UnitBase | None = None,
        on_bad: str = "error",
        name: str | None = KEPT,
        extra: Mapping[str, npt.ArrayLike] | None = KEPT,
    ) -> StarCatalog:
        """A star catalog with some columns replaced, checked as the constructor does.

        Parameters
        ----------
        ra, dec, x, y, g1, g2, g1_model, g2_model, T, T_model, sigma, sigma_model, w : array_like
            New columns of shape (N,), as for the constructor; `sigma` takes the place of `T`.
        ra_unit, dec_unit, xy_unit : str or astropy unit, optional
            Units of new positions.
        on_bad : {"error", "drop"}
            What to do with rows whose new values are bad, as for the constructor.
        name : str or None
            New name.
        extra : mapping of str to array_like
            New further columns, in place of all those there were.

        Returns
        -------
        StarCatalog
            What is not named is taken over.

        Raises
        ------
        ValueError, TypeError
            As the constructor.
        """
        changes = {"ra": ra, "dec": dec, "x": x, "y": y, "g1": g1, "g2": g2, "w": w}
        changes |= {"g1_model": g1_model, "g2_model": g2_model, "T": T, "T_model": T_model}
        changes |= {"sigma": sigma, "sigma_model": sigma_model}
        units = {"ra": ra_unit, "dec": dec_unit, "x": xy_unit, "y": xy_unit}
        return self._replaced(changes, units, on_bad, name, extra)

    # ------------------------------------------------------------------ for the rho statistics
    @property
    def e_model(self) -> npt.NDArray[np.complex128]:
        """Complex ellipticity of the model, shape (N,)."""
        return self.g1_model + 1j * self.g2_model

    @property
    def de(self) -> npt.NDArray[np.complex128]:
        """Ellipticity of the star less that of the model, complex, shape (N,)."""
        return self.e - self.e_model

    @property
    def dT_over_T(self) -> FloatArray:
        """``(T - T_model) / T``, shape (N,)."""
        return (self.T - self.T_model) / self.T

    @property
    def q(self) -> npt.NDArray[np.complex128]:
        """``e dT/T`` with the star's own quantities, complex, shape (N,)."""
        return self.e * self.dT_over_T

    def fields(
        self, *, reference: str = "star"
    ) -> tuple[npt.NDArray[np.complex128], npt.NDArray[np.complex128], npt.NDArray[np.complex128]]:
        """The three fields whose correlations are the rho statistics.

        Parameters
        ----------
        reference : {"star", "model", "gatti"}
            "star": e and T of the star (Berman et al. 2025, eq. 2 to 6). "model": e of the
            model, and sizes relative to the model's. "gatti": e of the model beside
            ``e_star (T_star - T_model)/T_star`` (Gatti et al. 2021, section 6).

        Returns
        -------
        e, de, q : ndarray of complex128, shape (N,)
            ``e``, ``e_star - e_model``, and ``e dT/T``.
        """
        choice("reference", reference, ("star", "model", "gatti"))
        if reference == "star":
            return self.e, self.de, self.q
        if reference == "model":
            ratio = (self.T - self.T_model) / self.T_model
            return self.e_model, self.de, self.e_model * ratio
        return self.e_model, self.de, self.q


def _size_unit(unit: Any, *, squared: bool) -> tuple[u.UnitBase | None, bool]:
    """The unit of T from that of the column given, None where it is not known; whether scaled."""
    scaled = False
    if isinstance(unit, Flow):
        unit, scaled = unit.unit, unit.kind == "scaled"
    if unit is None:
        return None, False
    unit = u.Unit(unit, parse_strict="silent")
    if isinstance(unit, u.UnrecognizedUnit):
        return None, False
    return (unit**2 if squared else unit), scaled


def demo_stars_path() -> Path:
    """Where the simulated star catalog lies: 400 stars, FITS.

    Examples
    --------
    >>> from pysoftcorr import demo_stars_path
    >>> demo_stars_path().name
    'demo_stars.fits'
    """
    return Path(__file__).resolve().parents[1] / "data" / "demo_stars.fits"


def demo_stars() -> StarCatalog:
    """The simulated star catalog.

    A field like that of COSMOS-Web: a smooth PSF, a PSF model that misses a part correlated over
    some arcminutes in ellipticity and size, and measurement noise.

    Examples
    --------
    >>> from pysoftcorr import demo_stars
    >>> len(demo_stars())
    400
    """
    return StarCatalog.read(demo_stars_path())
