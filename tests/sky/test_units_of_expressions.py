"""Units stored with columns, through expressions: right, or asked for; never applied twice."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable, Table

from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.stars import StarCatalog

RA, DEC = np.array([150.0, 151.0, 160.0, 200.0]), np.array([2.0, -3.0, 40.0, 60.0])


def stored(unit, ra=RA, dec=DEC, dec_unit=None):
    """A table of positions in degrees whose columns are stored in other units."""
    table = Table()
    for name, values, to in (("ra", ra, unit), ("dec", dec, dec_unit or unit)):
        table[name] = (values * u.deg).to(to).value
        table[name].unit = to
    table["shift"] = 0.001
    table["n"] = [1, -2, 3, -4]
    return table


def as_source(table, kind, tmp_path):
    if kind == "table":
        return table
    if kind == "quantities":
        return {
            name: u.Quantity(np.asarray(table[name]), table[name].unit or u.one)
            if table[name].unit
            else np.asarray(table[name])
            for name in table.colnames
        }
    if kind == "qtable":
        return QTable(table)
    path = tmp_path / ("t.fits" if kind == "fits" else "t.ecsv")
    units = {name: table[name].unit for name in ("ra", "dec")}
    if kind == "fits":
        for name in units:
            table[name].unit = None  # astropy writes no hours of angle
    table.write(path)
    if kind == "fits":
        with fits.open(path, mode="update") as hdus:
            for k, name in enumerate(table.colnames):
                if name in units:
                    hdus[1].header[f"TUNIT{k + 1}"] = str(units[name]).replace("hourangle", "h")
    return path


KINDS = ("table", "quantities", "qtable", "fits", "ecsv")
SCALED = [
    ("rad", "ra*180/pi", "dec*180/pi"),
    ("rad", "180/pi*ra", "57.29577951308232*dec"),
    ("rad", "ra/(pi/180)", "dec/0.017453292519943295"),
    ("rad", "ra*(180/pi) + 0", "where(dec > 0, dec*180/pi, dec*180/pi)"),
    ("arcsec", "ra/3600", "dec/3600"),
    ("arcsec", "ra/60/60", "dec*(1/3600)"),
    ("arcmin", "ra/60", "dec/60"),
    ("deg", "ra*pi/180", "dec*pi/180"),
    ("deg", "ra*2", "dec/2"),
    ("rad", "ra + 0.001", "dec + 0.001"),
    ("rad", "ra + shift", "dec - shift"),
    ("deg", "ra + shift", "dec - shift"),
    ("rad", "where(ra > pi, ra - 2*pi, ra)", "dec"),
    ("rad", "minimum(ra, 6.28)", "maximum(dec, -1.57)"),
    ("rad", "hypot(ra, 0.1)", "dec"),
    ("rad", "ra*n", "dec"),
    ("rad", "sqrt(ra**2)*1.0001", "dec"),
    ("rad", "ra % 6.28", "dec"),
    ("rad", "log(ra)", "dec"),
    ("rad", "ra*dec", "dec"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("unit", "ra", "dec"), SCALED)
def test_scaled_columns_with_a_unit_are_asked_about(tmp_path, kind, unit, ra, dec):
    source = as_source(stored(unit), kind, tmp_path)
    with pytest.raises(ValueError, match=r"^(ra|dec): .*(ra_unit|dec_unit)='?"):
        Catalog.read(source, columns={"ra": ra, "dec": dec})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("unit", "ra", "dec", "result"), [(*row, "deg") for row in SCALED[:7]] + [
        ("hourangle", "15*ra", "15*dec", "deg"),
        ("hourangle", "ra*15*60", "dec*900", "arcmin"),
        ("deg", "ra/15", "dec/15", "hourangle"),
        ("deg", "ra*3600", "dec*3600", "arcsec"),
        ("deg", "-1*-ra", "--dec", "deg"),
    ],
)  # fmt: skip
def test_with_the_unit_of_the_result_they_are_right(tmp_path, kind, unit, ra, dec, result):
    source = as_source(stored(unit), kind, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        catalog = Catalog.read(
            source, columns={"ra": ra, "dec": dec}, ra_unit=result, dec_unit=result
        )
    np.testing.assert_allclose(catalog.ra, RA, rtol=1e-12)
    np.testing.assert_allclose(catalog.dec, DEC, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("unit", ["rad", "deg", "arcmin", "arcsec", "hourangle"])
def test_what_keeps_the_unit_is_converted_once(tmp_path, kind, unit):
    source = as_source(stored(unit), kind, tmp_path)
    for ra, dec, sign in (
        ("ra", "-dec", -1),
        ("+ra", "0 - dec", -1),
        ("ra - dec + dec", "-1*dec", -1),
        ("maximum(ra, dec)", "dec/1", 1),
        ("where(n > 0, ra, ra)", "where(isfinite(dec), dec, ra)", 1),
        ("abs(ra)", "dec + 0", 1),
    ):
        catalog = Catalog.read(source, columns={"ra": ra, "dec": dec})
        np.testing.assert_allclose(catalog.ra, RA, rtol=1e-12, err_msg=ra)
        np.testing.assert_allclose(catalog.dec, sign * DEC, rtol=1e-12, err_msg=dec)


def test_numbers_go_with_degrees():
    source = stored("deg")
    catalog = Catalog.read(
        source, columns={"ra": "where(ra > 180, ra - 360, ra)", "dec": "dec - 0.5"}
    )
    np.testing.assert_allclose(catalog.ra, [150, 151, 160, -160])
    np.testing.assert_allclose(catalog.dec, DEC - 0.5)
    turned = Catalog.read(source, columns={"ra": "(ra + 300) % 360", "dec": "dec"})
    np.testing.assert_allclose(turned.ra, [90, 91, 100, 140])


@pytest.mark.parametrize(
    ("ra", "unit"),
    [("ra + offset", "deg"), ("minimum(ra, offset)", None), ("hypot(ra, offset)", "deg"),
     ("where(n > 0, ra, offset)", "rad"), ("ra % offset", "deg")],
)  # fmt: skip
def test_values_of_different_units_are_never_added(ra, unit):
    table = stored("deg")
    table["offset"] = [3.0, 3, 3, 3] * u.arcsec
    with pytest.raises(ValueError, match=r"ra: .*different units, deg and arcsec: scale one"):
        Catalog.read(table, columns={"ra": ra, "dec": "dec"}, ra_unit=unit)
    moved = Catalog.read(table, columns={"ra": "ra + offset/3600", "dec": "dec"}, ra_unit="deg")
    np.testing.assert_allclose(moved.ra, RA + 3 / 3600)


def test_sexagesimal_parts():
    parts = {"ra_h": [10.0, 1.0], "ra_m": [30.0, 6.0], "dec": [1.0, 2.0]}
    asked = {"ra": "ra_h + ra_m/60", "dec": "dec"}
    plain = Catalog.read(parts, columns=asked, ra_unit="hourangle")
    np.testing.assert_allclose(plain.ra, [157.5, 16.5])
    with_units = Table(parts)
    with_units["ra_h"].unit, with_units["ra_m"].unit = "h", "min"
    with pytest.raises(ValueError, match=r"ra: the unit of 'ra_h [+] ra_m/60' cannot be told"):
        Catalog.read(with_units, columns=asked)
    again = Catalog.read(with_units, columns=asked, ra_unit="hourangle")
    np.testing.assert_allclose(again.ra, [157.5, 16.5])
    with pytest.raises(ValueError, match="different units"):
        Catalog.read(with_units, columns={"ra": "ra_h + ra_m", "dec": "dec"}, ra_unit="hourangle")


@pytest.mark.parametrize(
    ("unit", "ra", "given", "into"),
    [
        ("rad", "coord*180/pi", "rad", "deg"),
        ("hourangle", "15*coord", "hourangle", "deg"),
        ("arcsec", "coord/3600", "arcsec", "deg"),
        ("arcsec", "coord/3600", "rad", "deg"),
        ("deg", "coord*pi/180", "deg", "rad"),
        (None, "coord*180/pi", "rad", "deg"),
        (None, "15*coord", "hourangle", "deg"),
        (None, "coord/60", "arcmin", "deg"),
    ],
)
def test_a_conversion_at_odds_with_the_unit_given(unit, ra, given, into):
    table = Table({"coord": [0.001, 0.002], "dec": [0.0, 0.1]})
    if unit:
        table["coord"].unit = unit
    with pytest.raises(ValueError, match=f"ra: .*into {into}.*pass ra_unit='{into}'"):
        Catalog.read(table, columns={"ra": ra, "dec": "dec"}, ra_unit=given)
    Catalog.read(table, columns={"ra": ra, "dec": "dec"}, ra_unit=into)


def test_a_mere_factor_with_the_unit_given_is_taken():
    table = stored("arcmin")
    catalog = Catalog.read(table, columns={"ra": "1.001*ra", "dec": "dec"}, ra_unit="arcmin")
    np.testing.assert_allclose(catalog.ra, 1.001 * RA)


@pytest.mark.parametrize(
    ("guess", "unit", "text"),
    [("deg", "rad", "ra*180/pi"), ("deg", "hourangle", "15*ra"), ("rad", "deg", "ra*pi/180")],
)
def test_the_message_guesses_the_conversion(guess, unit, text):
    with pytest.raises(ValueError, match=f"conversion into {guess}: pass ra_unit='{guess}'"):
        Catalog.read(stored(unit), columns={"ra": text, "dec": "dec"})


def test_value_takes_the_bare_number():
    catalog = Catalog.read(
        stored("rad"), columns={"ra": "value(ra)*180/pi", "dec": "value(dec)*180/pi"}
    )
    np.testing.assert_allclose(catalog.ra, RA)


@pytest.mark.parametrize("unit", ["DEG", "Degrees", " deg ", "[deg]", "DEGREE", "Deg.", "\u00b0"])
def test_spellings_of_degrees(unit):
    table = {"ra": [10.0, 20.0], "dec": [-1.0, 1.0]}
    np.testing.assert_array_equal(Catalog.read(table, ra_unit=unit, dec_unit=unit).ra, [10, 20])


@pytest.mark.parametrize(
    ("unit", "factor"), [("RAD", np.pi / 180), ("Hours", 1 / 15), ("HR", 1 / 15), ("ARCSEC", 3600),
                         ("ArcMin", 60), ("mas", 3.6e6)]
)  # fmt: skip
def test_spellings_of_other_units(unit, factor):
    catalog = Catalog(ra=RA * factor, dec=DEC, ra_unit=unit)
    np.testing.assert_allclose(catalog.ra, RA)


# ---------------------------------------------------------------------- angles within functions
def test_sines_take_radians():
    table = stored("deg")
    table["g1"], table["g2"] = 0.1, 0.2
    table["pa"] = [10.0, 20, 30, 40] * u.deg
    for text in ("g1*cos(2*pa)", "cos(pa)*g1", "g1 + 0*sin(pa)", "g1*tan(pa + 0)"):
        with pytest.raises(ValueError, match=r"g1: .*takes radians, and 'pa' is in deg.*pi/180"):
            Catalog.read(table, columns={"g1": text, "g2": "g2"})
    right = Catalog.read(table, columns={"g1": "g1*cos(2*pa*pi/180)", "g2": "g2"})
    np.testing.assert_allclose(right.g1, 0.1 * np.cos(2 * np.deg2rad([10, 20, 30, 40])))
    table["pa"].unit = "rad"
    Catalog.read(table, columns={"g1": "g1*cos(2*pa)", "g2": "g2"})


@pytest.mark.parametrize("argument", ["select", "flag"])
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sin(pa) > 0.5", "takes radians, and 'pa' is in deg"),
        ("ra > 0 and not cos(2*pa) > 0.5", "takes radians, and 'pa' is in deg"),
        ("where(tan(pa) > 1, 1, 0) == 1", "takes radians, and 'pa' is in deg"),
        ("offset > ra", "compares values of different units, arcsec and deg"),
        ("0 < offset < ra", "compares values of different units, arcsec and deg"),
        ("isfinite(ra + offset)", "adds values of different units"),
        ("(ra - offset) in (1, 2)", "subtracts values of different units"),
    ],
)
def test_conditions_mix_no_units_either(argument, text, says):
    table = stored("deg")
    table["pa"] = [10.0, 20, 30, 40] * u.deg
    table["offset"] = [3.0, 3, 3, 3] * u.arcsec
    with pytest.raises(ValueError, match=f"{argument}: .*{says}"):
        Catalog.read(table, **{argument: text})
    right = "sin(pa*pi/180) > 0.4 and offset/3600 < ra and offset > 2 and ra > dec"
    np.testing.assert_array_equal(Catalog.read(table, select=right).ra, RA[2:])


# ---------------------------------------------------------------------- sizes
def star_table(**sizes):
    table = Table({name: np.full(4, 0.01) for name in ("g1", "g2", "g1_model", "g2_model")})
    table["ra"], table["dec"] = RA, DEC
    for name, values in sizes.items():
        table[name] = values
    return table


def test_sizes_in_expressions_keep_their_unit():
    table = star_table(sigma_pix=[2.0] * 4 * u.pixel, FWHM=[2.355 * 3.0] * 4 * u.pixel)
    stars = StarCatalog.read(table, columns={"T": "2*sigma_pix**2", "sigma_model": "FWHM/2.355"})
    np.testing.assert_allclose(stars.T, 8)
    np.testing.assert_allclose(stars.T_model, 18)
    both = star_table(T_a=[8.0] * 4 * u.arcsec**2, s=[2000.0] * 4 * u.mas)
    stars = StarCatalog.read(both, columns={"T": "T_a", "sigma_model": "s"})
    np.testing.assert_allclose(stars.dT_over_T, 0, atol=1e-14)
    stars = StarCatalog.read(both, columns={"T": "T_a + T_a - T_a", "T_model": "s*s + s**2"})
    np.testing.assert_allclose(stars.T_model, 8)


@pytest.mark.parametrize(
    ("star", "model"),
    [
        ("2*sigma_pix**2", "2*s_arcsec**2"),
        ("2*(sigma_pix*0.263)**2", "T_arcsec"),
        ("FWHM_mas**2/2.77", "T_arcsec"),
        ("T_arcsec", "2*s_mas**2"),
        ("2*s_mas**2", "2*s_arcsec**2"),
    ],
)
def test_sizes_of_different_units_are_not_compared(star, model):
    table = star_table(
        sigma_pix=[2.0] * 4 * u.pixel,
        s_arcsec=[0.5] * 4 * u.arcsec,
        s_mas=[500.0] * 4 * u.mas,
        FWHM_mas=[1200.0] * 4 * u.mas,
        T_arcsec=[0.5] * 4 * u.arcsec**2,
    )
    with pytest.raises(ValueError, match=r"T is (made of a column )?in (pix2|mas2|arcsec2)"):
        StarCatalog.read(table, columns={"T": star, "T_model": model})


def test_a_width_called_T():
    table = star_table(s=[2.0] * 4 * u.pixel, T_psf=[8.0] * 4 * u.pixel**2)
    with pytest.raises(ValueError, match="needs the same unit; T in pix is a sigma: give it as s"):
        StarCatalog.read(table, columns={"T": "s", "T_model": "T_psf"})
    with pytest.raises(ValueError, match="T_model in pix is a sigma: give it as sigma_model"):
        StarCatalog.read(table, columns={"T": "T_psf", "T_model": "s"})
    StarCatalog.read(table, columns={"sigma": "s", "T_model": "T_psf"})


def test_sizes_converted_by_hand():
    table = star_table(sigma_pix=[2.0] * 4 * u.pixel, s_arcsec=[0.526] * 4 * u.arcsec)
    asked = {"T": "2*(value(sigma_pix)*0.263)**2", "T_model": "2*s_arcsec**2"}
    np.testing.assert_allclose(StarCatalog.read(table, columns=asked).dT_over_T, 0, atol=1e-12)


def test_sizes_that_are_far_apart_are_doubted():
    table = star_table(sigma=np.full(4, 0.2), sigma_model=np.full(4, 2.0))
    with pytest.warns(UserWarning, match="T_model is 100 times T in the median"):
        StarCatalog.read(table)
    table = star_table(T=np.full(4, 8.0), T_model=np.full(4, 9.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        StarCatalog.read(table)


# ---------------------------------------------------------------------- degrees(), turns
@pytest.mark.parametrize("name", ["degrees", "rad2deg"])
def test_degrees_of_radians_are_degrees(name):
    table = Table(
        {"ra": np.deg2rad([10.0, 200.0]) * u.rad, "dec": np.deg2rad([5.0, -60.0]) * u.rad}
    )
    read = Catalog.read(table, columns={"ra": f"{name}(ra)", "dec": f"{name}(dec)"})
    np.testing.assert_allclose(read.ra, [10.0, 200.0])
    np.testing.assert_allclose(read.dec, [5.0, -60.0])


def test_degrees_of_degrees_are_refused():
    table = Table({"ra": [10.0, 20.0] * u.deg, "dec": [5.0, 6.0] * u.deg})
    with pytest.raises(ValueError, match=r"ra: .*degrees turns rad into deg"):
        Catalog.read(table, columns={"ra": "degrees(ra)", "dec": "dec"})


def test_degrees_without_a_stored_unit_say_it():
    table = {"a": np.deg2rad([10.0, 11.0]), "d": np.deg2rad([5.0, 6.0])}
    read = Catalog.read(table, columns={"ra": "degrees(a)", "dec": "degrees(d)"})
    np.testing.assert_allclose(read.ra, [10.0, 11.0])


@pytest.mark.parametrize(
    ("unit", "turn"),
    [(u.hourangle, "24"), (u.rad, "(2*pi)"), (u.deg, "360"), (u.rad, "6.283185307")],
)
def test_a_turn_taken_off_keeps_the_unit(unit, turn):
    stored = (np.array([370.0, 20.0]) * u.deg).to(unit)
    table = Table({"ra": stored, "dec": [5.0, 6.0] * u.deg})
    read = Catalog.read(table, columns={"ra": f"ra % {turn}", "dec": "dec"})
    np.testing.assert_allclose(read.ra, [10.0, 20.0], rtol=1e-7)


def test_another_divisor_does_not():
    table = Table({"ra": [1.0, 2.0] * u.rad, "dec": [5.0, 6.0] * u.deg})
    with pytest.raises(ValueError, match="cannot be told"):
        Catalog.read(table, columns={"ra": "ra % 360", "dec": "dec"})
