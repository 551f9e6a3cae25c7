"""Catalogs made from arrays: what they hold, and every bad input with its message."""

import math
import pickle
import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn

from pysoftcorr.sky.catalog import Catalog


@pytest.fixture
def rng():
    return np.random.default_rng(20)


def field(rng, n=50):
    return {"ra": rng.uniform(149, 151, n), "dec": rng.uniform(1, 3, n)}


# ---------------------------------------------------------------------- what it holds
def test_columns_are_float64_copies(rng):
    given = field(rng)
    catalog = Catalog(**given, w=np.ones(50, dtype=np.int16))
    before = given["ra"].copy()
    given["ra"][:] = 0
    np.testing.assert_array_equal(catalog.ra, before)
    assert catalog.w.dtype == np.float64
    assert len(catalog) == 50
    assert catalog.g1 is None
    assert catalog.g2 is None
    with pytest.raises(ValueError, match="read-only"):
        catalog.ra[0] = 1


def test_lists_series_and_big_endian_numbers():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    catalog = Catalog(
        ra=[1, 2], dec=pandas.Series([3.0, 4.0], index=[7, 9]), w=np.array([1, 2], dtype=">f4")
    )
    np.testing.assert_array_equal(catalog.dec, [3, 4])
    np.testing.assert_array_equal(catalog.w, [1, 2])
    assert catalog.w.dtype.isnative


def test_unit_vectors_agree_with_astropy(rng):
    ra, dec = rng.uniform(-360, 720, 1000), np.rad2deg(np.arcsin(rng.uniform(-1, 1, 1000)))
    catalog = Catalog(ra=ra, dec=dec)
    expected = SkyCoord(ra, dec, unit="deg").cartesian.xyz.value.T
    np.testing.assert_allclose(catalog.xyz, expected, rtol=0, atol=3e-15)
    assert catalog.xyz.shape == (1000, 3)
    assert catalog.xyz.flags.c_contiguous
    assert catalog.xyz is catalog.xyz
    np.testing.assert_allclose((catalog.xyz**2).sum(axis=1), 1, rtol=1e-15)


def test_poles_and_ra_wrap():
    catalog = Catalog(ra=[0, 123, -1, 359], dec=[90, -90, 5, 5])
    np.testing.assert_allclose(catalog.xyz[:2], [[0, 0, 1], [0, 0, -1]], atol=1e-16)
    np.testing.assert_array_equal(catalog.xyz[2], catalog.xyz[3])


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("deg", 1), ("rad", math.pi / 180), ("arcmin", 60), ("arcsec", 3600), (u.deg, 1)],
)
def test_units_of_positions(unit, factor):
    catalog = Catalog(ra=[10 * factor], dec=[-20 * factor], ra_unit=unit, dec_unit=unit)
    np.testing.assert_allclose([catalog.ra[0], catalog.dec[0]], [10, -20], rtol=1e-15)


def test_hour_angle_and_quantities_whose_unit_wins():
    hours = Catalog(ra=[1.5, 23.9], dec=[0, 1], ra_unit="hourangle")
    np.testing.assert_allclose(hours.ra, [22.5, 358.5], rtol=1e-15)
    assert Catalog(ra=[1], dec=[0], ra_unit="hours").ra[0] == pytest.approx(15)
    quantity = Catalog(ra=[1.5] * u.hourangle, dec=[30] * u.arcmin, ra_unit="rad")
    np.testing.assert_allclose([quantity.ra[0], quantity.dec[0]], [22.5, 0.5], rtol=1e-15)


def test_per_cent_is_a_number():
    catalog = Catalog(ra=[1], dec=[2], g1=[10] * u.percent, g2=[0.1] * u.one)
    assert catalog.e[0] == pytest.approx(0.1 + 0.1j)


def test_flipped_signs(rng):
    g1, g2 = rng.normal(0, 0.1, (2, 50))
    catalog = Catalog(**field(rng), g1=g1, g2=g2, flip_g2=True)
    np.testing.assert_array_equal(catalog.g1, g1)
    np.testing.assert_array_equal(catalog.g2, -g2)
    np.testing.assert_array_equal(catalog.e, g1 - 1j * g2)


@pytest.mark.parametrize(
    "index",
    [
        np.arange(50) % 3 == 0,
        [4, 4, 1],
        slice(3, 9, 2),
        np.array([49, -1]),
        7,
    ],
)
def test_rows_by_mask_index_and_slice(rng, index):
    catalog = Catalog(
        **field(rng),
        g1=np.arange(50) / 99,
        g2=np.zeros(50),
        w=np.arange(50),
        extra={"x": range(50)},
    )
    catalog.xyz  # noqa: B018 - computed before, so that the part takes it over
    part = catalog[index]
    rows = np.atleast_1d(np.arange(50)[index])
    for name in ("ra", "dec", "g1", "g2", "w", "xyz"):
        np.testing.assert_array_equal(getattr(part, name), getattr(catalog, name)[rows])
    np.testing.assert_array_equal(part.extra["x"], rows)
    assert part.xyz.flags.c_contiguous
    np.testing.assert_array_equal(Catalog(ra=part.ra, dec=part.dec).xyz, part.xyz)
    assert isinstance(part, Catalog)


@pytest.mark.parametrize(
    "index",
    [
        np.where(np.arange(50) % 3 == 0),
        np.nonzero(np.arange(50) > 40),
        (np.array([1, 2, 2]),),
        ([True] * 10 + [False] * 40,),
        [True] * 10 + [False] * 40,
        [-1, -50],
        (slice(3, 9),),
        slice(None, None, -1),
        slice(-3, None),
        -2,
        np.int8(5),
        np.array([3, 4], dtype=np.uint64),
        np.ma.array(np.arange(50) > 30),
        range(5),
    ],
    ids=str,
)
def test_rows_by_what_numpy_gives(rng, index):
    catalog = Catalog(**field(rng))
    rows = np.atleast_1d(np.arange(50)[np.asarray(index) if isinstance(index, range) else index])
    np.testing.assert_array_equal(catalog[index].ra, catalog.ra[rows])


def test_rows_of_a_masked_comparison(rng):
    """What is masked in a comparison was not satisfied."""
    catalog = Catalog(**field(rng))
    values = np.ma.array(np.arange(50), mask=np.arange(50) == 40)
    with pytest.warns(UserWarning, match="1 of 50 rows are left out: the mask is unknown there"):
        part = catalog[values > 30]
    np.testing.assert_array_equal(part.ra, np.delete(catalog.ra[31:], 9))
    with pytest.raises(TypeError, match="these integers are partly masked"):
        catalog[values]


@pytest.mark.parametrize(
    ("index", "kind", "message"),
    [
        (Ellipsis, TypeError, r"not Ellipsis; catalog\[:\] is all of them"),
        (None, TypeError, "not None"),
        ((0, 1), TypeError, "one dimension, and 2 indices came"),
        ((), TypeError, "0 indices came"),
        (np.zeros((2, 3), dtype=int), TypeError, r"an array of shape \(2, 3\)"),
        ([[0, 1], [2]], TypeError, "lists of different lengths"),
        ([0.0, 1.0], TypeError, "not float64 values"),
        (1.5, TypeError, "not float64 values"),
        ("ra", TypeError, "not <U2 values"),
        ([True, None], TypeError, "not object values"),
        (np.ones((50, 1), dtype=bool), TypeError, r"an array of shape \(50, 1\)"),
        (-51, IndexError, "out of bounds"),
        ([True], ValueError, "a mask of 1 rows for a catalog of 50"),
        (slice(60, 70), ValueError, "no rows"),
    ],
)
def test_what_takes_no_rows(rng, index, kind, message):
    with pytest.raises(kind, match=message):
        Catalog(**field(rng))[index]


def test_bad_row_selections(rng):
    catalog = Catalog(**field(rng))
    with pytest.raises(ValueError, match="no rows"):
        catalog[np.zeros(50, dtype=bool)]
    with pytest.raises(ValueError, match="no rows"):
        catalog[[]]
    with pytest.raises(ValueError, match="mask of 3 rows for a catalog of 50"):
        catalog[np.array([True, False, True])]
    with pytest.raises(IndexError):
        catalog[[50]]
    with pytest.raises(TypeError, match="rows are taken"):
        catalog["ra"]
    with pytest.raises(TypeError, match="not iterated over"):
        list(catalog)


def test_pickles(rng):
    catalog = Catalog(**field(rng), w=rng.uniform(1, 2, 50), name="here")
    again = pickle.loads(pickle.dumps(catalog))
    np.testing.assert_array_equal(again.xyz, catalog.xyz)
    assert again.name == "here"


def test_to_table_and_back(rng):
    catalog = Catalog(**field(rng), g1=np.zeros(50), g2=np.ones(50) / 9, extra={"mag": range(50)})
    table = catalog.to_table()
    assert table["ra"].unit == u.deg
    again = Catalog.read(table, extra=["mag"])
    for name in ("ra", "dec", "g1", "g2", "w"):
        np.testing.assert_array_equal(getattr(again, name), getattr(catalog, name))
    np.testing.assert_array_equal(again.extra["mag"], np.arange(50))


def test_without_ellipticities_e_is_an_error(rng):
    with pytest.raises(ValueError, match="has no ellipticities; give g1 and g2"):
        _ = Catalog(**field(rng)).e


# ---------------------------------------------------------------------- print-outs
def test_summary_across_ra_zero(rng):
    catalog = Catalog(
        ra=np.array([359.5, 0.0, 0.5]),
        dec=[-0.5, 0.0, 0.5],
        g1=[0.1, 0.1, 0.4],
        g2=[0.0, 0.0, 0.0],
        w=[1, 1, 2],
        name="edge",
    )
    text = catalog.summary()
    assert "359.500000 to 360.500000 deg (across RA 0)" in text
    assert "mean +0.25000" in text  # (0.1 + 0.1 + 2*0.4)/4
    assert "sum 4, effective number 2.7" in text
    area = float(text.split("area")[1].split("deg^2")[0])
    assert area == pytest.approx(1.0, rel=1e-4)
    assert repr(catalog) == (
        "<Catalog 'edge': 3 objects, RA 359.5 to 360.5 deg, Dec -0.5 to 0.5 deg, g1 g2 w>"
    )


def test_summary_of_one_object():
    one = Catalog(ra=[5], dec=[6])
    assert "1 objects" in one.summary()
    assert "none (all 1)" in one.summary()
    assert repr(one).startswith("<Catalog: 1 object, RA 5 to 5 deg")


# ---------------------------------------------------------------------- bad values
def test_nan_names_column_and_rows_and_the_way_out():
    ra = [1.0, np.nan, 2.0, np.inf]
    with pytest.raises(ValueError, match=r"in ra: rows 1 \(nan\), 3 \(inf\).*on_bad='drop'"):
        Catalog(ra=ra, dec=[0, 0, 0, 0])


def test_many_bad_rows_are_not_all_listed(rng):
    ra = np.full(100, np.nan)
    ra[0] = 1
    with pytest.raises(ValueError, match=r"rows 1 \(nan\), 2 .* 5 \(nan\) and 94 more"):
        Catalog(ra=ra, dec=np.zeros(100))


def test_drop_counts_and_warns_once():
    with pytest.warns(UserWarning, match=r"dropped 2 of 4 rows .*\(ra 1, g1 1\)") as caught:
        catalog = Catalog(
            ra=[1, np.nan, 2, 3],
            dec=[0, 1, 2, 3],
            g1=[0, 0, np.inf, 0.5],
            g2=[0, 0, 0, 0],
            extra={"row": range(4)},
            on_bad="drop",
        )
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert catalog.n_dropped == 2
    np.testing.assert_array_equal(catalog.extra["row"], [0, 3])
    np.testing.assert_array_equal(catalog.ra, [1, 3])


def test_drop_without_bad_rows_is_silent(rng):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Catalog(**field(rng), on_bad="drop").n_dropped == 0


def test_nothing_left_after_dropping():
    with pytest.raises(ValueError, match="catalog is empty: every row"):
        Catalog(ra=[np.nan], dec=[0], on_bad="drop")


def test_masked_values_are_bad_values():
    g1 = MaskedColumn([0.1, 0.2], mask=[False, True])
    with pytest.raises(ValueError, match=r"masked values in g1: row 1 \(nan\)"):
        Catalog(ra=[1, 2], dec=[1, 2], g1=g1, g2=[0, 0])


@pytest.mark.parametrize("missing", ["None", "NaN", "NA", "Int64", "masked"])
def test_missing_among_objects_is_a_bad_value(missing):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    w = {
        "None": [1, None, 2],
        "NaN": np.array([1, float("nan"), 2], dtype=object),
        "NA": np.array([1, pandas.NA, 2], dtype=object),
        "Int64": pandas.Series([1, None, 2], dtype="Int64"),
        "masked": np.ma.array([1, 9, 2], mask=[0, 1, 0]),
    }[missing]
    with pytest.raises(ValueError, match=r"masked values in w: row 1 \(nan\)"):
        Catalog(ra=[1, 2, 3], dec=[1, 2, 3], w=w)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ra": [], "dec": []}, "catalog is empty: it has no rows"),
        ({"dec": [1]}, "columns differ in length: ra 2, dec 1"),
        ({"w": [1, 2, 3]}, "columns differ in length: ra 2, dec 2, w 3"),
        ({"extra": {"x": [1]}}, "differ in length: ra 2, dec 2, x 1"),
        ({"ra": [[1, 2]]}, r"ra must have one dimension, not shape \(1, 2\)"),
        ({"ra": 1.0, "dec": 2.0}, r"ra must have one dimension, not shape \(\)"),
        ({"ra": [[1, 2], [3]]}, "ra is not a column of numbers"),
        ({"g1": [0, 0]}, "g1 is given without g2"),
        ({"g2": [0, 0]}, "g2 is given without g1"),
        ({"w": [0, 0]}, "w is zero in every row"),
        ({"on_bad": "skip"}, "on_bad = 'skip': must be one of error, drop"),
        ({"ra_unit": "pixel"}, "ra_unit = 'pix.*' is no unit of an angle"),
        ({"dec_unit": "nonsense"}, "dec_unit = 'nonsense' is no unit of an angle"),
        ({"ra": [1, 2] * u.pixel}, "ra_unit = 'pix' is no unit of an angle"),
        ({"ra": None}, "ra is needed"),
    ],
)
def test_impossible_catalogs(changes, message):
    with pytest.raises(ValueError, match=message):
        Catalog(**({"ra": [1, 2], "dec": [3, 4]} | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ra": ["10:00:01", "10:00:02"]}, "ra must be real numbers; it holds text;.*Angle"),
        ({"w": ["a", "b"]}, "w must be real numbers; it holds text"),
        ({"dec": [1j, 2]}, "it holds complex numbers"),
        ({"ra": [None, {}]}, "it holds other objects"),
        ({"ra": np.array(["2020-01-01", "2020-01-02"], dtype="M8[D]")}, "values of type datetime"),
        ({"name": 3}, "name must be text"),
    ],
)
def test_wrong_kinds(changes, message):
    with pytest.raises(TypeError, match=message):
        Catalog(**({"ra": [1, 2], "dec": [3, 4]} | changes))


# ---------------------------------------------------------------------- wrong units, by range
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"ra": [1, 2], "dec": [3, 95]},
            r"dec is beyond 90 degrees in row 1 \(95\) \(counted from 0\), read as deg",
        ),
        ({"ra": [10, 20], "dec": [150.1, 149.9]}, "are ra and dec swapped"),
        ({"ra": [150, 150], "dec": [120, 130]}, "would fit 'arcmin'"),
        ({"ra": [150, 150], "dec": [9000, 90000]}, "would fit 'arcsec'"),
        ({"ra": [150, 150], "dec": [0, -999999]}, "is this the right column"),
        ({"ra": [720.5, 1], "dec": [0, 1]}, r"ra is outside -360 to 720 .* in row 0 \(720.5\)"),
        ({"ra": [1, -361], "dec": [0, 1]}, "ra is outside -360"),
        ({"ra": [540000, 1], "dec": [0, 1]}, "'arcsec' or 'arcmin'"),
        (
            {"ra": [150, 151], "dec": [0.1, 0.2], "ra_unit": "rad", "dec_unit": "rad"},
            r"read as rad; is ra_unit wrong \('deg'\?\)",
        ),
        (
            {"ra": [1, 2], "dec": [30, 40], "ra_unit": "rad", "dec_unit": "rad"},
            "these values would fit 'deg'",
        ),
        ({"ra": [150, 151], "dec": [1, 2], "ra_unit": "hourangle"}, "read as hourangle.*'deg'"),
    ],
)
def test_wrong_units_are_caught(columns, message):
    with pytest.raises(ValueError, match=message):
        Catalog(**columns)


def test_small_fields_near_ra_zero_are_not_taken_for_radians(rng):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Catalog(ra=rng.uniform(0, 2, 100), dec=rng.uniform(-1, 1, 100))


def test_an_all_sky_catalog_in_radians_called_degrees_is_doubted(rng):
    ra, dec = rng.uniform(0, 2 * np.pi, 500), np.arcsin(rng.uniform(-1, 1, 500))
    with pytest.warns(UserWarning, match="pass ra_unit='rad'"):
        Catalog(ra=ra, dec=dec)


def test_sentinel_ellipticities_warn():
    with pytest.warns(UserWarning, match=r"\|g1 \+ i g2\| exceeds 1 in row 1"):
        Catalog(ra=[1, 2], dec=[1, 2], g1=[0, -9], g2=[0, 0])
