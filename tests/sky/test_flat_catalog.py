"""Flat catalogs: how they are made and read, units, what is refused, bins that name their unit."""

from __future__ import annotations

import copy
import pickle
import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table

from helpers.flat_twins import plane_stars
from pysoftcorr import Catalog, StarCatalog
from pysoftcorr.sky.binning import Binning

SHEARS = {"g1": [0.1, 0.0, 0.2], "g2": [0.0, 0.1, 0.0]}


def table(first="x", second="y", **more):
    return {first: [1.0, 2.0, 3.0], second: [3.0, 4.0, 6.0], **SHEARS, **more}


def test_units():
    for unit, name in (
        ("arcmin", "arcmin"), ("degrees", "deg"), (u.arcsec, "arcsec"), ("px", "pixel"),
        (u.pix, "pixel"), ("mas", "mas"), (None, "arcmin"),
    ):  # fmt: skip
        cat = Catalog(x=[1.0, 2.0], y=[0.0, 1.0], xy_unit=unit)
        assert (cat.xy_unit, cat.geometry) == (name, "flat")
    cat = Catalog(x=[1.0, 2.0] * u.deg, y=[60.0, 90.0] * u.arcmin, xy_unit="pixel")
    np.testing.assert_allclose(cat.y, [1.0, 1.5])
    assert cat.xy_unit == "deg"
    np.testing.assert_allclose(cat.xyz, [[60, 60, 0], [120, 90, 0]])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x": [1.0]}, "y is needed"),
        ({"y": [1.0]}, "x is needed"),
        ({"ra": [1.0], "dec": [1.0], "x": [1.0], "y": [1.0]}, "on the sky .* or flat"),
        ({"ra": [1.0], "y": [1.0]}, "ra and y are given"),
        ({"x": [1.0], "y": [1.0], "xy_unit": "kpc"}, "xy_unit = 'kpc': must be the unit of an ang"),
        ({"x": [1.0], "y": [1.0], "dec_unit": "deg"}, "dec_unit = 'deg'.*given as x and y"),
        ({"ra": [1.0], "dec": [1.0], "xy_unit": "deg"}, "xy_unit = 'deg'.*given as ra and dec"),
        ({"x": [1.0] * u.pix, "y": [1.0] * u.deg}, "x is in pixel and y in deg"),
        ({"x": [1.0, 2.0], "y": [1.0]}, "differ in length"),
        ({"x": [1.0, np.nan], "y": [1.0, 2.0]}, "NaN, infinite or masked values in x: row 1"),
    ],
)
def test_refused(given, message):
    with pytest.raises(ValueError, match=message):
        Catalog(**given)


def test_a_plane_too_wide_is_doubted():
    with pytest.warns(UserWarning, match=r"span 66.67 degrees, read as arcmin.*'pixel'"):
        Catalog(x=[0.0, 4000.0], y=[0.0, 10.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Catalog(x=[0.0, 4e6], y=[0.0, 10.0], xy_unit="pixel")


def test_what_a_catalog_holds():
    cat = Catalog(x=[1.0, 2.0, 4.0], y=[3.0, 4.0, 6.0], xy_unit="pixel", w=[1.0, 2, 3], **SHEARS)
    for twin in (copy.deepcopy(cat), pickle.loads(pickle.dumps(cat)), cat[:], cat.replace()):
        np.testing.assert_array_equal(twin.x, cat.x)
        assert (twin.geometry, twin.xy_unit) == ("flat", "pixel")
    assert not hasattr(cat, "ra")
    with pytest.raises(AttributeError, match="a flat catalog has x and y, and no dec"):
        _ = cat.dec
    with pytest.raises(AttributeError, match="a catalog on the sky has ra and dec, and no x"):
        _ = Catalog(ra=[1.0], dec=[1.0]).x
    assert len(cat[cat.x > 1.5]) == 2
    assert "x           1.000000 to 4.000000 pixel" in cat.summary()
    assert "9 pixel^2" in cat.summary()
    assert repr(cat) == "<Catalog: 3 objects, x 1 to 4 pixel, y 3 to 6 pixel, g1 g2 w>"
    assert str(cat.to_table()["x"].unit) == "pix"
    moved = cat.replace(x=cat.x / 100, y=cat.y / 100, xy_unit="deg")
    assert (moved.xy_unit, moved.w.tolist()) == ("deg", [1, 2, 3])
    assert cat.replace(x=[5.0, 6, 7]).xy_unit == "pixel"
    with pytest.raises(ValueError, match="xy_unit = 'deg' is for new values of x"):
        cat.replace(xy_unit="deg")
    with pytest.raises(ValueError, match=r"on the sky .* or flat"):
        cat.replace(ra=[1.0, 2, 3], dec=[1.0, 2, 3])
    with pytest.raises(ValueError, match=r"read-only|assignment destination"):
        cat.x[0] = 0


@pytest.mark.parametrize(
    "names", [("x", "y"), ("u", "v"), ("X_IMAGE", "Y_IMAGE"), ("XWIN_IMAGE", "YWIN_IMAGE")]
)
def test_names_are_guessed_where_there_is_nothing_else(names):
    with pytest.warns(UserWarning, match=r"no column .* known to hold ra and dec") as said:
        cat = Catalog.read(table(*names))
    assert f"columns={{'x': '{names[0]}', 'y': '{names[1]}'}}" in str(said[0].message)
    image = names[0].endswith("IMAGE")
    assert cat.xy_unit == ("pixel" if image else "arcmin")
    assert len(said) == (1 if image else 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asked = Catalog.read(table(*names), columns=dict(zip("xy", names, strict=True)),
                             xy_unit=cat.xy_unit)  # fmt: skip
    np.testing.assert_array_equal(asked.x, cat.x)


def test_the_sky_comes_first():
    both = table(ra=[10.0, 10.1, 10.2], dec=[0.0, 0.1, 0.2])
    assert Catalog.read(both).geometry == "sky"
    asked = Catalog.read(both, columns={"x": "x", "y": "y"}, xy_unit="pixel")
    assert asked.geometry == "flat"
    with pytest.raises(ValueError, match=r"no column .* hold dec"):
        Catalog.read(table(ra=[10.0, 10.1, 10.2]))


@pytest.mark.parametrize("suffix", ["fits", "ecsv"])
def test_units_stored_with_columns(tmp_path, suffix):
    for unit, name in ((u.arcsec, "arcsec"), (u.pix, "pixel"), (u.deg, "deg")):
        stored = Table(table("X", "Y"))
        stored["X"].unit = stored["Y"].unit = unit
        path = tmp_path / f"{name}.{suffix}"
        stored.write(path)
        cat = Catalog.read(path, columns={"x": "X", "y": "Y"})
        assert cat.xy_unit == name
        scaled = Catalog.read(
            path, columns={"x": "0.2*X", "y": "0.2*Y"}, xy_unit="arcsec", select="X > 1"
        )
        np.testing.assert_allclose(scaled.x, [0.4, 0.6])
        assert scaled.xy_unit == "arcsec"
        with pytest.raises(ValueError, match=r"x: the unit of .* cannot be told.*xy_unit="):
            Catalog.read(path, columns={"x": "0.2*X", "y": "0.2*Y"})
    stored["X"].unit = u.kpc
    with pytest.raises(ValueError, match="no unit of an angle nor pixels; pass xy_unit="):
        Catalog.read(stored, columns={"x": "X", "y": "Y"})


def test_halves():
    assert Catalog.read(table("u", "v"), columns={"x": "u"}, xy_unit="arcsec").y[0] == 3
    with pytest.raises(ValueError, match="x is 'g1', and y is not named"):
        Catalog.read(table("u", "v"), columns={"x": "g1"})


def test_stars():
    stars = plane_stars(1, 40, unit="pixel", side=2000.0)
    again = StarCatalog.read(stars.to_table(), columns={"x": "x", "y": "y"})
    np.testing.assert_array_equal(again.x, stars.x)
    np.testing.assert_array_equal(again.de, stars.de)
    assert again.xy_unit == "pixel"
    assert stars[:10].replace(x=np.arange(10.0)).geometry == "flat"


@pytest.mark.parametrize(
    ("text", "unit", "edges"),
    [
        ("linear:0:2000:2:pixel", "pixel", [0, 1000, 2000]),
        ("edges:0,1,5 deg", "deg", [0, 1, 5]),
        ("log:1:100:2:arcsec", "arcsec", [1, 10, 100]),
        ("edges: 0, 1, 5 : px", "pixel", [0, 1, 5]),
        ("linear:0:1e1:1", "arcmin", [0, 10]),
    ],
)
def test_bins_name_their_unit(text, unit, edges):
    bins = Binning.parse(text)
    assert bins.unit == unit
    np.testing.assert_allclose(bins.edges, edges)
    assert Binning.parse(str(bins)) == bins


def test_bins_in_pixels_are_no_angles():
    bins = Binning.linear(0, 2e6, 3, "pixel")  # beyond half a turn of any angle
    with pytest.raises(ValueError, match="pixels are no angles"):
        _ = bins.edges_rad
    np.testing.assert_array_equal(bins.edges_flat, bins.edges)
    with pytest.raises(ValueError, match="unit = 'parsec': must be one of"):
        Binning.parse("linear:0:10:3:parsec")
