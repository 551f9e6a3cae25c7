"""Star catalogs: the fields of the rho statistics, naming schemes, and bad input."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from helpers.real_stars import REAL_STARS, needs_real_stars
from pysoftcorr.sky.stars import StarCatalog


def stars(n=4, **changes):
    columns = {
        "ra": np.linspace(10, 11, n),
        "dec": np.linspace(0, 1, n),
        "g1": np.full(n, 0.02),
        "g2": np.full(n, -0.01),
        "T": np.full(n, 2.0),
        "g1_model": np.full(n, 0.01),
        "g2_model": np.full(n, 0.01),
        "T_model": np.full(n, 2.2),
    }
    return columns | changes


def test_star_fields_for_rho():
    catalog = StarCatalog(**stars(g1=[0.02, 0.0, 0.1, 0.3], T=[1.0, 2.0, 3.0, 4.0]))
    e = np.array([0.02, 0.0, 0.1, 0.3]) - 0.01j
    model = np.full(4, 0.01 + 0.01j)
    size = np.array([1.0, 2.0, 3.0, 4.0])
    for got, wanted in zip(catalog.fields(), (e, e - model, e * (size - 2.2) / size), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-15)
    for got, wanted in zip(
        catalog.fields(reference="model"),
        (model, e - model, model * (size - 2.2) / 2.2),
        strict=True,
    ):
        np.testing.assert_allclose(got, wanted, rtol=1e-14)
    np.testing.assert_array_equal(catalog.q, catalog.e * catalog.dT_over_T)
    with pytest.raises(ValueError, match="reference = 'PSF': must be one of star, model, gatti"):
        catalog.fields(reference="PSF")


def test_sigma_instead_of_T():
    sizes = {"T": None, "T_model": None, "sigma": np.full(4, 3.0), "sigma_model": np.full(4, 2.0)}
    catalog = StarCatalog(**stars(**sizes))
    np.testing.assert_array_equal(catalog.T, 18)
    np.testing.assert_array_equal(catalog.T_model, 8)


def test_units_of_sizes_are_brought_together():
    mixed = stars(T=None, sigma=[60.0] * 4 * u.mas, T_model=[0.0072] * 4 * u.arcsec**2)
    np.testing.assert_allclose(StarCatalog(**mixed).dT_over_T, 0, atol=1e-14)
    clash = stars(T=[1.0] * 4 * u.pixel**2, T_model=[1.0] * 4 * u.arcsec**2)
    with pytest.raises(ValueError, match="T is in pix2 and T_model in arcsec2"):
        StarCatalog(**clash)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"T": [1, 0, 2, 2]}, r"T must be above 0; it is not in row 1 \(0\)"),
        ({"T_model": [1, 1, 1, -3]}, r"T_model must be above 0; .* row 3 \(-3\)"),
        ({"T": None, "sigma": [1, 1, -1, 1]}, r"sigma must be above 0; it is not in row 2 \(-1\)"),
        ({"sigma": [1] * 4}, "both T and sigma are given"),
        ({"T": None}, r"T \(or sigma\) is needed"),
        ({"g1_model": None}, "g2_model is given without g1_model"),
        ({"g1": None, "g2": None}, "g1 is needed for the rho statistics"),
        ({"T": [1, np.nan, 2, 2]}, r"in T: row 1 \(nan\)"),
    ],
)
def test_impossible_stars(changes, message):
    with pytest.raises(ValueError, match=message):
        StarCatalog(**stars(**changes))


def test_a_part_of_stars_is_stars():
    part = StarCatalog(**stars())[:2]
    assert isinstance(part, StarCatalog)
    np.testing.assert_array_equal(part.T_model, [2.2, 2.2])


def test_flips_change_star_and_model():
    both = StarCatalog(**stars(), flip_g1=True)
    assert both.g1[0] == -0.02
    assert both.g1_model[0] == -0.01
    assert both.g2_model[0] == 0.01


def test_summary_of_stars():
    text = StarCatalog(**stars()).summary()
    assert "star-model  mean +0.01000 -0.02000i" in text
    assert "dT/T        mean -0.10000, rms 0.10000" in text


# ---------------------------------------------------------------------- reading
def star_table(names: dict[str, str]) -> dict:
    values = {"g1": 0.1, "g2": -0.1, "g1_model": 0.09, "g2_model": -0.11}
    values |= {"T": 8.0, "T_model": 18.0, "sigma": 2.0, "sigma_model": 3.0}
    table = {"ra": np.array([1.0, 2.0]), "dec": np.array([3.0, 4.0])}
    return table | {name: np.full(2, values[field]) for field, name in names.items()}


SCHEMES = {
    "vignet-psfex": {
        **{"g1": "g1_vignet", "g2": "g2_vignet", "sigma": "sig_vignet"},
        **{"g1_model": "g1_psfex", "g2_model": "g2_psfex", "sigma_model": "sig_psfex"},
    },
    "piff-hsm": {
        **{"g1": "g1_data", "g2": "g2_data", "T": "T_data"},
        **{"g1_model": "g1_model", "g2_model": "g2_model", "T_model": "T_model"},
    },
    "des-piff": {
        **{"g1": "obs_e1", "g2": "obs_e2", "T": "obs_T"},
        **{"g1_model": "piff_e1", "g2_model": "piff_e2", "T_model": "piff_T"},
    },
    "shapepipe": {
        **{"g1": "E1_STAR_HSM", "g2": "E2_STAR_HSM", "sigma": "SIGMA_STAR_HSM"},
        **{"g1_model": "E1_PSF_HSM", "g2_model": "E2_PSF_HSM", "sigma_model": "SIGMA_PSF_HSM"},
    },
}


@pytest.mark.parametrize(
    ("scheme", "names"),
    [
        *SCHEMES.items(),
        *(
            ("plain", {k: k for k in ("g1", "g2", star, "g1_model", "g2_model", model)})
            for star in ("T", "sigma")
            for model in ("T_model", "sigma_model")
        ),
    ],
)
def test_naming_schemes_of_stars(scheme, names):
    stars = StarCatalog.read(star_table(names))
    assert stars.scheme == scheme
    expected = {"g1": 0.1, "g2": -0.1, "g1_model": 0.09, "g2_model": -0.11, "T": 8, "T_model": 18}
    for field, value in expected.items():
        np.testing.assert_array_equal(getattr(stars, field), value)
    assert stars.columns == {"ra": "ra", "dec": "dec", **names}


def test_a_partial_map_overrides_the_scheme():
    table = star_table(SCHEMES["vignet-psfex"]) | {"size": np.array([10.0, 20.0])}
    stars = StarCatalog.read(
        table, columns={"T": "size", "sigma_model": "sig_psfex", "g1": "g1_vignet/2"}
    )
    np.testing.assert_array_equal(stars.T, [10, 20])
    np.testing.assert_array_equal(stars.g1, 0.05)
    np.testing.assert_array_equal(stars.T_model, 18)
    assert stars.scheme == "vignet-psfex"


def test_a_full_map_needs_no_scheme():
    names = {"g1": "a", "g2": "b", "T": "c", "g1_model": "d", "g2_model": "e", "T_model": "f"}
    stars = StarCatalog.read(star_table(names), columns=names)
    assert stars.scheme is None
    np.testing.assert_array_equal(stars.T_model, 18)


def test_stars_that_follow_no_scheme_name_what_lacks():
    table = star_table(SCHEMES["piff-hsm"])
    del table["T_model"]
    with pytest.raises(ValueError, match=r"the nearest, piff-hsm, lacks T_model\. Pass columns="):
        StarCatalog.read(table)
    with pytest.raises(ValueError, match=r"unknown key 'size'.*sigma_model"):
        StarCatalog.read(table, columns={"size": "T_data"})
    both = {"T": "T_data", "sigma": "T_data", "T_model": "T_data"}
    with pytest.raises(ValueError, match="both T and sigma are given"):
        StarCatalog.read(table, columns=both)


def test_flags_of_the_scheme_are_pointed_out():
    table = star_table(SCHEMES["piff-hsm"]) | {
        "flag_data": np.array([0, 1]),
        "flag_model": np.array([0, 2]),
    }
    hint = r"1 of 2 rows .* pass flag='flag_data \| flag_model'"
    with pytest.warns(UserWarning, match=hint):
        assert len(StarCatalog.read(table)) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(StarCatalog.read(table, flag="flag_data | flag_model")) == 1
        assert len(StarCatalog.read(table, flag="0")) == 2


def test_bad_sizes_name_column_and_rows():
    table = star_table(SCHEMES["piff-hsm"])
    table["T_data"] = np.array([1.0, -1.0])
    with pytest.raises(ValueError, match=r"T \(column 'T_data' of the mapping\) must be above 0"):
        StarCatalog.read(table)
    assert len(StarCatalog.read(table, select="T_data > 0")) == 1


def test_units_of_sizes_in_files():
    names = {"g1": "g1", "g2": "g2", "T": "T", "g1_model": "g1_model", "g2_model": "g2_model"}
    table = Table(star_table({**names, "T_model": "T_model"}))
    table["T"].unit = u.arcsec**2
    table["T_model"].unit = u.mas**2
    table["T_model"] = table["T"] * 1e6
    table["T_model"].unit = u.mas**2
    np.testing.assert_allclose(StarCatalog.read(table).dT_over_T, 0, atol=1e-14)
    table["T_model"].unit = u.pixel**2
    with pytest.raises(ValueError, match="T is in arcsec2 and T_model in pix2"):
        StarCatalog.read(table)


@needs_real_stars
def test_the_real_catalog_needs_only_its_path():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stars = StarCatalog.read(REAL_STARS)
    data = fits.getdata(REAL_STARS, 1)
    assert len(stars) == 610
    assert stars.scheme == "vignet-psfex"
    np.testing.assert_array_equal(stars.ra, data["ra"])
    np.testing.assert_array_equal(stars.T, 2 * data["sig_vignet"] ** 2)
    np.testing.assert_array_equal(stars.de.imag, data["g2_vignet"] - data["g2_psfex"])
    assert "610 objects" in stars.summary()
