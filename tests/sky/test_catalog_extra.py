"""Extra columns keep their type through everything that a catalog goes through; poles; labels."""

import pickle

import astropy.units as u
import numpy as np
import pytest

from helpers.typed_tables import BIG, IN_MEMORY, WRITERS, typed_table
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.resampling import Jackknife

EXTRA = ["id", "parent", "hash", "good", "known", "band"]


def same(found, wanted):
    assert found.dtype.kind == wanted.dtype.kind
    assert found.dtype.itemsize == wanted.dtype.itemsize or found.dtype.kind == "U"
    assert found.tolist() == wanted.tolist()


def check(catalog, rows=slice(None)):
    table = typed_table()
    for name in catalog.extra:
        same(catalog.extra[name], table[name][rows])


@pytest.mark.parametrize("name", ["standard.fits", "meta.hdf5", "arrow.parquet", "a.ecsv",
                                  "null.csv", "pandas", "Table", "Arrow"])  # fmt: skip
def test_through_everything(tmp_path, name):
    if name in WRITERS:
        source = tmp_path / name
        WRITERS[name](source)
    else:
        source = IN_MEMORY[name]()
    catalog = Catalog.read(source, extra=EXTRA)
    assert list(catalog.extra) == EXTRA
    check(catalog)
    check(Catalog(ra=catalog.ra, dec=catalog.dec, extra=catalog.extra))
    for rows in ([3, 1], slice(1, 3), np.array([True, False, True, True])):
        check(catalog[rows], rows)
    check(pickle.loads(pickle.dumps(catalog)))
    check(Catalog.concatenate([catalog[:2], catalog[2:]]))
    check(Catalog.read(source, extra=EXTRA, select="dec > -1.25"), slice(0, 3))
    again = Catalog.read(catalog.to_table(), extra=EXTRA)
    check(again)
    assert catalog.extra["id"].tolist() == [BIG + 1, BIG + 2, BIG + 3, BIG + 4]


def test_rows_dropped_take_their_extras_along():
    table = typed_table()
    table["w"] = [1.0, np.nan, 1.0, 1.0]
    with pytest.warns(UserWarning, match="dropped 1"):
        catalog = Catalog.read(table, extra=EXTRA, on_bad="drop")
    check(catalog, [0, 2, 3])


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2], "i"),
        (np.array([1, 2], dtype=np.int16), "i"),
        ([2**63 + 1, 1], "u"),
        (["a", None], "U"),
        ([b"a ", b"b"], "U"),
        ([True, False], "b"),
        ([1, None], "i"),
        ([1 + 1j, 2], "c"),
        (np.array(["2024-01-01", "NaT"], dtype="M8[D]"), "M"),
        ([[1], [2]], "i"),
        ([1, 2] * u.arcmin, "f"),
    ],
)
def test_types_of_extra(values, kind):
    catalog = Catalog(ra=[1.0, 2.0], dec=[0.0, 0.0], extra={"a": values})
    assert catalog.extra["a"].dtype.kind == kind
    assert catalog.extra["a"].shape == (2,)
    back = pickle.loads(pickle.dumps(catalog)).extra["a"]
    assert back.dtype == catalog.extra["a"].dtype
    if kind != "M":
        assert back.tolist() == catalog.extra["a"].tolist()


def test_what_is_no_extra_column():
    ra = {"ra": [1.0, 2.0], "dec": [0.0, 0.0]}
    with pytest.raises(ValueError, match=r"extra column 'a' must have one dimension.*\(2, 2\)"):
        Catalog(**ra, extra={"a": np.ones((2, 2))})
    with pytest.raises(TypeError, match="extra column 'a' must hold numbers, truth values, text"):
        Catalog(**ra, extra={"a": [{}, object()]})
    with pytest.raises(ValueError, match=r"columns differ in length: .*a 3"):
        Catalog(**ra, extra={"a": [1, 2, 3]})
    given = np.array([1, 2])
    catalog = Catalog(**ra, extra={"a": given})
    given[0] = 7
    assert catalog.extra["a"].tolist() == [1, 2]


def test_labels_of_patches_from_extra(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("ra,dec,patch\n1,0,3\n2,0,3\n3,0,-1\n4,0,\n")
    catalog = Catalog.read(path, extra=["patch"])
    with pytest.raises(ValueError, match="patches are missing for 1 of 4 objects"):
        Jackknife(patches=catalog.extra["patch"])
    catalog = catalog[:3]
    assert catalog.extra["patch"].dtype == np.int64
    for dtype in ("i1", "i2", "i4", "i8", "u8"):
        labels = np.abs(np.ma.getdata(catalog.extra["patch"])).astype(dtype)
        Jackknife(patches=labels)
    Jackknife(patches=catalog.extra["patch"])


# ---------------------------------------------------------------------- (N, 1) and the poles
def test_columns_of_shape_n_by_one_in_the_constructor():
    ra = np.array([[1.0], [2.0]])
    masked = np.ma.masked_array([[0.5], [np.nan]], mask=[[False], [True]])
    assert Catalog(ra=ra, dec=ra * u.deg, w=ra, g1=ra / 9, g2=ra / 9).w.tolist() == [1, 2]
    with pytest.raises(ValueError, match=r"w: row 1 \(nan\)"):
        Catalog(ra=ra, dec=ra, w=masked)
    with pytest.raises(ValueError, match=r"ra must have one dimension, not shape \(1, 2\)"):
        Catalog(ra=ra.T, dec=ra.T)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("unit", ["deg", "rad", "hourangle", "arcmin", "arcsec"])
def test_poles_are_positions(unit, dtype):
    poles = (np.array([90.0, -90.0, 0.0]) * u.deg).to_value(unit).astype(dtype)
    turn = (np.array([360.0, -360.0, 0.0]) * u.deg).to_value(unit).astype(dtype)
    catalog = Catalog(ra=turn, dec=poles, ra_unit=unit, dec_unit=unit)
    np.testing.assert_allclose(catalog.dec[:2], [90.0, -90.0], rtol=1e-15)
    np.testing.assert_allclose(catalog.xyz, [[0, 0, 1], [0, 0, -1], [1, 0, 0]], atol=1e-7)
    beyond = poles * (1 + 1e-6)
    with pytest.raises(ValueError, match="beyond 90 degrees in rows 0"):
        Catalog(ra=turn, dec=beyond, ra_unit=unit, dec_unit=unit)


def test_poles_by_an_expression():
    table = {"ra": [0.0, 1.0], "dec": [np.pi / 2, -np.pi / 2]}
    catalog = Catalog.read(table, columns={"dec": "dec*180/pi"})
    np.testing.assert_array_equal(catalog.dec, [90, -90])
