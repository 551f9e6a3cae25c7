"""Naming schemes of star catalogs: which columns hold shapes and sizes of stars and PSF models."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pysoftcorr.core.expressions import FUNCTIONS

_NAME = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True)
class Scheme:
    """How one source of star catalogs names the columns of the rho statistics.

    Ellipticities are taken as they stand: the scheme knows names, not shear or distortion. Where
    a survey stores second moments alone, shears are made of them.

    Attributes
    ----------
    name : str
    columns : mapping of str to str
        The column, or the expression over columns, of each field.
    flags : sequence of str
        Columns that are not 0 where star or model could not be measured.
    family : str
        Schemes of one family name the same measurement.
    note : str
        What to tell the user where the scheme is taken.
    """

    name: str
    columns: Mapping[str, str]
    flags: Sequence[str] = field(default=())
    family: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if not self.family:
            object.__setattr__(self, "family", self.name)

    @property
    def raw(self) -> tuple[str, ...]:
        """Every column that it names."""
        return self.raw_of(self.columns)

    def raw_of(self, fields: Iterable[str]) -> tuple[str, ...]:
        """The columns that these fields of it are made of."""
        found: dict[str, None] = {}
        for key in fields:
            for name in _NAME.findall(self.columns[key]):
                if name not in FUNCTIONS:
                    found.setdefault(name)
        return tuple(found)

    def resolve(
        self,
        text: str,
        names: Sequence[str],
        find: Callable[[str, Sequence[str]], str | None],
    ) -> str | None:
        """A field's column or expression with the names as the table spells them."""
        lacking = not text

        def spelled(match: re.Match[str]) -> str:
            nonlocal lacking
            if match.group() in FUNCTIONS:
                return match.group()
            found = find(match.group(), names)
            lacking = lacking or found is None
            return found or ""

        made = _NAME.sub(spelled, text)
        return None if lacking else made


def _named(star: str, model: str, size: str = "T", model_size: str | None = None) -> dict[str, str]:
    """Columns from patterns such as ``obs_{}`` with e1, e2 and the size put in."""
    key = {"T": "T", "sigma": "sigma", "size": "sigma"}[size]
    return {
        "g1": star.format("e1"),
        "g2": star.format("e2"),
        key: star.format(size),
        "g1_model": model.format("e1"),
        "g2_model": model.format("e2"),
        f"{key}_model": model.format(model_size or size),
    }


def _moments(xx: str, yy: str, xy: str) -> tuple[str, str, str]:
    """Shear and ``T = 2 sigma^2`` of second moments, the sum of those along the axes."""
    size = f"{xx} + {yy}"
    norm = f"({xx} + {yy} + 2*sqrt({xx}*{yy} - {xy}**2))"
    return f"({xx} - {yy})/{norm}", f"2*{xy}/{norm}", size


_AXES = (
    "the shapes are shears made of second moments along the axes that the table has them in, "
    "pixels in the tables of single exposures; where those are not West and North, use flip_g1, "
    "flip_g2 or shapes rotated to the sky"
)


def _of_moments(name: str, family: str, star: Sequence[str], model: Sequence[str]) -> Scheme:
    g1, g2, size = _moments(*star)
    g1_model, g2_model, model_size = _moments(*model)
    columns = {"g1": g1, "g2": g2, "T": size}
    columns |= {"g1_model": g1_model, "g2_model": g2_model, "T_model": model_size}
    return Scheme(name, columns, family=family, note=f"{name}: {_AXES}")


def _hsc(band: str) -> tuple[Scheme, ...]:
    """Moments in the data releases of Hyper Suprime-Cam, of one band."""
    parts = ("shape11", "shape22", "shape12")
    old = ("ixx", "iyy", "ixy")
    return (
        _of_moments(
            "hsc-hsm",
            f"hsc {band}",
            [f"{band}_hsmsourcemoments_{p}" for p in parts],
            [f"{band}_hsmpsfmoments_{p}" for p in parts],
        ),
        _of_moments(
            "hsc-sdss",
            f"hsc {band}",
            [f"{band}_sdssshape_{p}" for p in parts],
            [f"{band}_sdssshape_psf_{p}" for p in parts],
        ),
        _of_moments(
            "hsc-s16a",
            f"hsc {band}",
            [f"{band}shape_sdss_{p}" for p in old],
            [f"{band}shape_sdss_psf_{p}" for p in old],
        ),
    )


def _lsst(prefix: str) -> tuple[Scheme, ...]:
    """Moments in the tables of the LSST pipelines, without or with a band before the names."""
    parts = ("xx", "yy", "xy")
    family = f"lsst {prefix}".strip()
    return (
        _of_moments(
            "lsst",
            family,
            [f"{prefix}i{p}" for p in parts],
            [f"{prefix}i{p}PSF" for p in parts],
        ),
        _of_moments(
            "lsst-hsm",
            family,
            [f"{prefix}ext_shapeHSM_HsmSourceMoments_{p}" for p in parts],
            [f"{prefix}ext_shapeHSM_HsmPsfMoments_{p}" for p in parts],
        ),
        _of_moments(
            "lsst-sdss",
            family,
            [f"{prefix}base_SdssShape_{p}" for p in parts],
            [f"{prefix}base_SdssShape_psf_{p}" for p in parts],
        ),
    )


#: In the order they are tried; the plain one last, because its names are the least special.
STAR_SCHEMES = (
    Scheme(
        "vignet-psfex",
        {
            "g1": "g1_vignet",
            "g2": "g2_vignet",
            "sigma": "sig_vignet",
            "g1_model": "g1_psfex",
            "g2_model": "g2_psfex",
            "sigma_model": "sig_psfex",
        },
    ),
    Scheme(
        "piff-hsm",
        {
            "g1": "g1_data",
            "g2": "g2_data",
            "T": "T_data",
            "g1_model": "g1_model",
            "g2_model": "g2_model",
            "T_model": "T_model",
        },
        ("flag_data", "flag_model"),
    ),
    Scheme("des-piff", _named("obs_{}", "piff_{}"), ("obs_flag", "piff_flag")),
    Scheme("des-psfex", _named("obs_{}", "psfex_{}"), ("obs_flag", "psfex_flag")),
    # Year 1 (Zuntz et al. 2018): sizes are sigma.
    Scheme("des-y1-psfex", _named("{}", "psfex_{}", "size"), ("flag",)),
    Scheme(
        "shapepipe",
        {
            "g1": "E1_STAR_HSM",
            "g2": "E2_STAR_HSM",
            "sigma": "SIGMA_STAR_HSM",
            "g1_model": "E1_PSF_HSM",
            "g2_model": "E2_PSF_HSM",
            "sigma_model": "SIGMA_PSF_HSM",
        },
        ("FLAG_STAR_HSM", "FLAG_PSF_HSM"),
    ),
    # Version 2 stores T = 2 sigma^2 where version 1 had sigma.
    Scheme(
        "shapepipe-2",
        {
            "g1": "HSM_G1_STAR",
            "g2": "HSM_G2_STAR",
            "T": "HSM_T_STAR",
            "g1_model": "HSM_G1_PSF",
            "g2_model": "HSM_G2_PSF",
            "T_model": "HSM_T_PSF",
        },
        ("HSM_FLAG_STAR", "HSM_FLAG_PSF"),
    ),
    Scheme("txpipe", _named("measured_{}", "model_{}")),
    *(scheme for band in "irzgy" for scheme in _hsc(band)),
    *(scheme for prefix in ("", *(f"{band}_" for band in "irzgyu")) for scheme in _lsst(prefix)),
    *(
        Scheme(
            "plain",
            {
                "g1": "g1",
                "g2": "g2",
                star: star,
                "g1_model": "g1_model",
                "g2_model": "g2_model",
                model: model,
            },
        )
        for star in ("T", "sigma")
        for model in ("T_model", "sigma_model")
    ),
)
