"""Positions that look like a mistake are warned of, with a cure that works; no others are."""

import re
import warnings

import numpy as np
import pytest
from astropy.table import Table

from helpers.real_stars import REAL_STARS, needs_real_stars
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.stars import StarCatalog


def sphere(n=400, seed=1, low=-90.0, high=90.0, start=0.0, stop=360.0):
    """Points even on the sphere between declinations and right ascensions, in degrees."""
    rng = np.random.default_rng(seed)
    sines = rng.uniform(np.sin(np.deg2rad(low)), np.sin(np.deg2rad(high)), n)
    return rng.uniform(start, stop, n), np.rad2deg(np.arcsin(sines))


def field(ra, dec, width, n=200, seed=2):
    rng = np.random.default_rng(seed)
    return ra + rng.uniform(-width, width, n) / 2, dec + rng.uniform(-width, width, n) / 2


def said(ra, dec, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Catalog(ra=ra, dec=dec, **options)
    assert len(caught) <= 1
    return str(caught[0].message) if caught else ""


HEALTHY = {
    "all sky": sphere(),
    "all sky from -180": sphere(start=-180, stop=180),
    "northern sky": sphere(low=0),
    "southern sky": sphere(high=0),
    "half in RA": sphere(stop=180),
    "from RA 0 to 20": sphere(stop=20, low=-60, high=60),
    "DES": sphere(low=-65, high=5, start=-60, stop=100),
    "KiDS-N": sphere(low=-4, high=4, start=128, stop=239),
    "stripe 82": sphere(low=-1.26, high=1.26, start=-50, stop=59),
    "stripe around the equator": sphere(low=-1.5, high=1.5),
    "stripe of pi/2": sphere(low=-1.57, high=1.57, n=5000),
    "RA 0 to 24 on the equator": sphere(low=-2, high=2, stop=24),
    "RA 0 to 24, Dec 0 to 24": sphere(low=0, high=24, stop=24),
    "two degrees at the origin": field(1, 0, 2),
    "six degrees at the origin": field(3.1, 0, 6),
    "simulated at the origin": field(0, 0, 0.2, n=5000),
    "simulated from the origin": field(0.05, 0.05, 0.1, n=5000),
    "across RA 0": field(360, 0.5, 1),
    "one degree at 2.6, 0.03": field(2.6, 0.03, 1, n=2000),
    "ten arcmin at 2.6, 0.3": field(2.6, 0.3, 1 / 6, n=500),
    "three arcmin at 5, 1.2": field(5.0, 1.2, 1 / 20, n=30),
    "three arcmin at 10, 1.2": field(10.0, 1.2, 1 / 20, n=5000),
    "A2744": field(3.58, -30.39, 0.03, n=5000),
    "COSMOS": field(150.1, 2.2, 1.4, n=3000),
    "north pole": sphere(low=89.9),
    "three stars": (np.array([0.0, 0.1, 0.2]), np.array([0.0, 0.1, 0.0])),
    "a line": (np.linspace(0, 1, 50), np.zeros(50)),
    "a short line": (np.linspace(1, 1.01, 500), np.full(500, 0.5)),
    "one object": (np.array([0.0]), np.array([0.0])),
    "two exposures": (np.array([10.0, 10.0]), np.array([5.0, 5.0])),
    "one at the origin": (np.array([0.0, 5.0, 9.0]), np.array([0.0, 1.0, 2.0])),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_catalogs_are_silent(name):
    assert said(*HEALTHY[name]) == ""


@pytest.mark.parametrize("dec", [-60.0, -1.0, 0.3, 1.3, 20.0, 85.0])
@pytest.mark.parametrize("ra", [0.3, 3.0, 6.0, 12.0, 23.5, 180.0, 359.8])
@pytest.mark.parametrize("width", [0.1, 0.5, 2.0])
def test_small_fields_anywhere_are_silent(ra, dec, width):
    assert said(*field(ra, dec, width)) == ""


def hours(ra):
    return ra / 15


# name: columns as they were stored, and what is to be said
DOUBTFUL = {
    "all sky in hours": ((hours(sphere()[0]), sphere()[1]), "ra_unit='hourangle'"),
    "all sky in hours from -12": (
        (hours(sphere(start=-180, stop=180)[0]), sphere(seed=1)[1]),
        "ra_unit='hourangle'",
    ),
    "northern sky in hours": (
        (hours(sphere(low=0)[0]), sphere(low=0)[1]),
        "ra_unit='hourangle'",
    ),
    "wide survey in hours": (
        (hours(sphere(low=-65, high=5)[0]), sphere(low=-65, high=5)[1]),
        "ra_unit='hourangle'",
    ),
    "twenty objects in hours": (
        (hours(sphere(n=20, seed=5)[0]), sphere(n=20, seed=5)[1]),
        "ra_unit='hourangle'",
    ),
    "thirty objects in radians": (np.deg2rad(sphere(n=30)), "ra_unit='rad', dec_unit='rad'"),
    "all sky in radians": (np.deg2rad(sphere()), "ra_unit='rad', dec_unit='rad'"),
    "all sky in radians from -pi": (
        np.deg2rad(sphere(start=-180, stop=180)),
        "ra_unit='rad', dec_unit='rad'",
    ),
    "half sky in radians": (np.deg2rad(sphere(low=0)), "ra_unit='rad', dec_unit='rad'"),
    "southern survey in radians": (
        np.deg2rad(sphere(low=-65, high=0)),
        "ra_unit='rad', dec_unit='rad'",
    ),
    "RA in radians alone": ((np.deg2rad(sphere()[0]), sphere()[1]), "ra_unit='rad'"),
    "Dec in radians alone": ((sphere()[0], np.deg2rad(sphere()[1])), "dec_unit='rad'"),
    "COSMOS in radians": (np.deg2rad(field(150.1, 2.2, 1.0)), "ra_unit='rad', dec_unit='rad'"),
    "a pointing in radians": (
        np.deg2rad(field(34.5, -5.2, 0.3, n=40)),
        "ra_unit='rad', dec_unit='rad'",
    ),
    "two degrees in radians": (
        np.deg2rad(field(215.0, 52.8, 2.0, n=500)),
        "ra_unit='rad', dec_unit='rad'",
    ),
    "fifty objects in two degrees, in radians": (
        np.deg2rad(field(150, 2, 2, n=50)),
        "ra_unit='rad', dec_unit='rad'",
    ),
    "five degrees in radians": (
        np.deg2rad(field(300, -40, 5, n=300)),
        "ra_unit='rad', dec_unit='rad'",
    ),
    "a field of negative RA in radians": (
        np.deg2rad(field(-42.0, -0.3, 0.5)),
        "ra_unit='rad', dec_unit='rad'",
    ),
    "a large survey in radians": (
        np.deg2rad(field(180.0, 30.0, 40.0, n=2_000_000)),
        "ra_unit='rad', dec_unit='rad'",
    ),
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_units_that_are_mixed_up(name):
    (ra, dec), cure = DOUBTFUL[name]
    text = said(ra, dec)
    assert cure in text
    # The advice works, either way.
    options = dict(re.findall(r"(\w+_unit)='(\w+)'", text.split(", and ")[0]))
    assert options
    assert said(ra, dec, **options) == ""
    assert said(ra, dec, ra_unit="deg", dec_unit="deg") == ""


def test_coord_ra_without_a_unit():
    ra, dec = np.deg2rad(field(30, -5, 20))
    lsst = {"coord_ra": ra, "coord_dec": dec}
    with pytest.warns(UserWarning, match="LSST pipelines.*pass ra_unit='rad', dec_unit='rad'"):
        Catalog.read(lsst)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        right = Catalog.read(lsst, ra_unit="rad", dec_unit="rad")
        np.testing.assert_allclose(right.ra, np.rad2deg(ra))
        Catalog.read(lsst, ra_unit="deg", dec_unit="deg")
        # Data releases have degrees.
        Catalog.read({"coord_ra": np.rad2deg(ra), "coord_dec": np.rad2deg(dec)})
        table = Table(lsst)
        table["coord_ra"].unit = table["coord_dec"].unit = "rad"
        np.testing.assert_allclose(Catalog.read(table).ra, np.rad2deg(ra))


@pytest.mark.parametrize(
    ("ra", "dec", "factor", "cure"),
    [
        ("ra_rad", "dec_rad", np.pi / 180, "ra_unit='rad', dec_unit='rad'"),
        ("RA_RADIANS", "DEC_RADIANS", np.pi / 180, "ra_unit='rad', dec_unit='rad'"),
        ("ra_hours", "dec_deg", 1 / 15, "ra_unit='hourangle'"),
        ("RA_H", "DEC", 1 / 15, "ra_unit='hourangle'"),
    ],
)
def test_names_that_say_their_unit(ra, dec, factor, cure):
    x, y = field(150, 2, 30)
    data = {ra: x * factor, dec: y * (1 if "hour" in cure else factor)}
    asked = {"ra": ra, "dec": dec}
    with pytest.warns(UserWarning, match=f"{ra}' is called a column of .*{cure}"):
        Catalog.read(data, columns=asked)
    units = dict(re.findall(r"(\w+)='(\w+)'", cure))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(Catalog.read(data, columns=asked, **units).ra, x)
        Catalog.read(data, columns=asked, ra_unit="deg", dec_unit="deg")
        Catalog.read({ra: x, dec: y}, columns=asked)  # the name is wrong, and the numbers say so


# ---------------------------------------------------------------------- one place
@pytest.mark.parametrize(("ra", "dec"), [(0.0, 0.0), (10.0, -5.0), (359.9, 90.0)])
@pytest.mark.parametrize("n", [3, 40])
def test_all_at_one_place(ra, dec, n):
    where = "ra = dec = 0" if ra == dec == 0 else "one place"
    assert where in said(np.full(n, ra), np.full(n, dec))
    with pytest.warns(UserWarning, match="read from 'RA' and 'DEC'; name the columns") as caught:
        Catalog.read({"RA": np.full(n, ra), "DEC": np.full(n, dec)})
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_some_at_zero():
    ra, dec = field(150, 2, 1)
    ra[:3] = dec[:3] = 0
    table = {"RA": ra, "DEC": dec}
    with pytest.warns(UserWarning, match="3 of 200 objects are at ra = dec = 0") as caught:
        Catalog.read(table)
    (select,) = re.findall("select='([^']*)'", str(caught[0].message))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(Catalog.read(table, select=select)) == 197


def test_swapped_by_name():
    ra, dec = field(50, 20, 1)
    table = {"RA": ra, "DEC": dec}
    with pytest.warns(UserWarning, match="ra is read from 'DEC' and dec from 'RA'; if .*swapped"):
        Catalog.read(table, columns={"ra": "DEC", "dec": "RA"})


def test_radians_said_of_one_axis():
    ra, dec = field(150, 2, 10)
    text = said(np.deg2rad(ra), np.deg2rad(dec), ra_unit="rad")
    assert "pass dec_unit='rad', or dec_unit='deg'" in text
    assert "pass ra_unit='rad'" in said(np.deg2rad(ra), np.deg2rad(dec), dec_unit="rad")
    for options in ({"dec_unit": "rad"}, {"dec_unit": "deg"}):
        assert said(np.deg2rad(ra), np.deg2rad(dec), ra_unit="rad", **options) == ""
    assert said(np.deg2rad(ra), dec, ra_unit="rad") == ""
    assert said(ra / 15, np.deg2rad(dec), ra_unit="hourangle") == ""
    table = Table({"ra": np.deg2rad(ra), "dec": np.deg2rad(dec)})
    table["ra"].unit = "rad"
    with pytest.warns(UserWarning, match="dec, of which no unit is said"):
        Catalog.read(table)


@pytest.mark.parametrize("to", ["arcmin", "arcsec", "mas", "rad", "hourangle"])
def test_stored_and_given_units_are_believed(to):
    import astropy.units as u

    ra, dec = (np.asarray(v) * u.deg for v in sphere())
    assert said(ra.to(to), dec.to(to)) == ""
    assert said(ra.to_value(to), dec.to_value(to), ra_unit=to, dec_unit=to) == ""


def test_milliarcseconds_read_as_degrees():
    ra, dec = field(150, 2, 1)
    with pytest.raises(ValueError, match="dec_unit looks wrong: these values would fit 'mas'"):
        Catalog(ra=ra * 3.6e6, dec=dec * 3.6e6)


@needs_real_stars
def test_the_real_stars_are_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stars = StarCatalog.read(REAL_STARS)
    assert "radians" in said(np.deg2rad(stars.ra), np.deg2rad(stars.dec))


@pytest.mark.parametrize("excess", [1e-13, 1e-12, 5e-10])
def test_a_pole_may_be_off_by_rounding(excess):
    assert Catalog(ra=[1.0, 2.0], dec=[90.0 + excess, -90.0 - excess]).dec.tolist() == [90, -90]
    with pytest.raises(ValueError, match="beyond 90 degrees"):
        Catalog(ra=[1.0, 2.0], dec=[90.0 + 1e-6, 0.0])
