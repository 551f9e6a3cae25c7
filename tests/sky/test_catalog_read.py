"""Reading catalogs: names, units, selection, and every wrong request."""

import astropy.units as u
import h5py
import numpy as np
import pytest
from astropy.table import QTable, Table

from helpers.tables_on_disk import N, columns, write
from pysoftcorr.sky.catalog import Catalog


def test_data_frames_with_nullable_numbers_and_text():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame({"ra": [1.0, 2.0, 3.0], "dec": [0.0, 1.0, 2.0]})
    frame["flag"] = pandas.array([0, 1, None], dtype="Int64")
    frame["bits"] = pandas.array([0, 1, 2], dtype="Int64")
    frame["band"] = ["r", "r", "i"]
    assert len(Catalog.read(frame, flag="flag")) == 1
    assert len(Catalog.read(frame, flag="bits & 2", select="band == 'r'")) == 2
    with pytest.raises(ValueError, match=r"w \(column 'flag' of the data frame\): row 2 \(nan\)"):
        Catalog.read(frame, columns={"w": "flag"})


@pytest.mark.parametrize("name", ["a.fits", "a.h5", "a.parquet", "a.csv"])
def test_text_columns_select_rows(tmp_path, name):
    data = {"ra": np.arange(3.0), "dec": np.zeros(3)}
    path = tmp_path / name
    if name == "a.h5":
        write(tmp_path / "root.h5", data).rename(path)
        with h5py.File(path, "a") as root:
            root["band"] = ["r", "i", "r"]
    else:
        write(path, data | {"band": np.array(["r", "i", "r"])})
    np.testing.assert_array_equal(Catalog.read(path, select="band == 'r'").ra, [0, 2])


def test_hdf5_columns_beside_shorter_ones(tmp_path):
    path = write(tmp_path / "root.h5", columns())
    with h5py.File(path, "a") as root:
        root["a_version"] = [1]
    assert len(Catalog.read(path)) == N
    with pytest.raises(ValueError, match="w: 'a_version' has 1 rows, the table 6"):
        Catalog.read(path, columns={"w": "a_version"})


# ---------------------------------------------------------------------- names and units
@pytest.mark.parametrize(
    ("ra", "dec", "g1", "g2", "w"),
    [
        ("RA", "DEC", "e1", "e2", "weight"),
        ("ALPHA_J2000", "DELTA_J2000", "gamma1", "gamma2", "WEIGHT"),
        ("RAJ2000", "DEJ2000", "g_1", "g_2", "wt"),
    ],
)
def test_usual_names_are_found(ra, dec, g1, g2, w):
    data = columns()
    table = {ra: data["ra"], dec: data["dec"], g1: data["g1"], g2: data["g2"], w: data["w"]}
    catalog = Catalog.read(table)
    assert catalog.columns == {"ra": ra, "dec": dec, "g1": g1, "g2": g2, "w": w}
    without = Catalog.read(table, columns={"g1": None, "g2": None, "w": None})
    assert without.g1 is None
    assert without.unweighted
    assert Catalog.read(table, columns={"g1": None}).g2 is None


def test_a_lone_e1_is_not_taken_for_a_shape():
    data = columns()
    catalog = Catalog.read({"ra": data["ra"], "dec": data["dec"], "e1": data["g1"]})
    assert catalog.g1 is None


@pytest.mark.parametrize("name", ["u.fits", "u.ecsv", "u.hdf5"])
def test_units_stored_with_columns_are_honored(tmp_path, name):
    table = QTable({"ra": [1.5, 2] * u.hourangle, "dec": [30, 60] * u.arcmin})
    path = tmp_path / name
    if name == "u.fits":
        table["ra"] = [22.5 * 60, 30 * 60] * u.arcmin  # FITS has no unit of hours of angle
    table.write(path, **({"path": "t", "serialize_meta": True} if name == "u.hdf5" else {}))
    catalog = Catalog.read(path)
    np.testing.assert_allclose(catalog.ra, [22.5, 30], rtol=1e-14)
    np.testing.assert_allclose(catalog.dec, [0.5, 1], rtol=1e-14)
    overridden = Catalog.read(
        path, columns={"ra": "dec", "dec": "dec"}, ra_unit="deg", dec_unit="deg"
    )
    np.testing.assert_allclose(overridden.dec, [30, 60])
    shifted = Catalog.read(path, columns={"dec": "dec + 30"}, dec_unit="arcmin")
    np.testing.assert_allclose(shifted.dec, [1, 1.5], rtol=1e-14)


def test_units_in_hdf5_attributes(tmp_path):
    path = write(tmp_path / "root.h5", columns())
    with h5py.File(path, "a") as root:
        root["ra"].attrs["units"] = "radians"
        root["ra"][...] = np.linspace(0, 1, N)
    np.testing.assert_allclose(Catalog.read(path).ra, np.rad2deg(np.linspace(0, 1, N)))


def test_a_stored_unit_that_is_no_angle():
    table = Table({"ra": [1.0], "dec": [2.0]})
    table["ra"].unit = "pixel"
    with pytest.raises(ValueError, match=r"ra: the unit 'pix' stored with 'ra'.*pass ra_unit="):
        Catalog.read(table)
    assert Catalog.read(table, ra_unit="deg").ra[0] == 1
    table["ra"].unit = "deg"
    table["dec"].unit = "arcmin"
    with pytest.raises(ValueError, match="different units"):
        Catalog.read(table, columns={"ra": "ra + dec", "dec": "dec"})


def test_quoted_and_exact_column_names():
    table = {"RA (J2000)": [1.0, 2.0], "dec": [0.0, 1.0], "e1-x": [0.1, 0.2], "g2": [0.0, 0.0]}
    asked = {"ra": "`RA (J2000)` + 1", "dec": "dec", "g1": "e1-x", "g2": "g2"}
    catalog = Catalog.read(table, columns=asked)
    np.testing.assert_array_equal(catalog.ra, [2, 3])
    np.testing.assert_array_equal(catalog.g1, [0.1, 0.2])


def test_vector_columns_by_element():
    table = {"ra": [1.0, 2.0], "dec": [0.0, 1.0], "e": np.array([[0.1, 0.2], [0.3, 0.4]])}
    catalog = Catalog.read(table, columns={"g1": "e[0]", "g2": "e[1]"})
    np.testing.assert_array_equal(catalog.g2, [0.2, 0.4])
    with pytest.raises(ValueError, match=r"g1: 'e' has shape \(2, 2\).*as in e\[0\]"):
        Catalog.read(table, columns={"g1": "e", "g2": "e"})


def test_a_constant_is_a_column():
    catalog = Catalog.read({"ra": [1.0, 2.0], "dec": [0.0, 1.0]}, columns={"w": "2"})
    np.testing.assert_array_equal(catalog.w, [2, 2])


# ---------------------------------------------------------------------- what is asked for
def test_missing_file_offers_near_ones(tmp_path):
    write(tmp_path / "stars.fits", columns())
    with pytest.raises(FileNotFoundError, match=r"no such catalog: .*star\.fits; did you mean"):
        Catalog.read(tmp_path / "star.fits")
    with pytest.raises(FileNotFoundError, match="nor is there a folder"):
        Catalog.read(tmp_path / "nowhere" / "star.fits")
    with pytest.raises(ValueError, match="is a folder"):
        Catalog.read(tmp_path)


def test_missing_column_offers_near_ones(tmp_path):
    path = write(tmp_path / "a.fits", columns())
    with pytest.raises(
        ValueError, match=r"w: no column 'mgg' in .*a\.fits.*\(in '1/mgg'\); did you mean mag"
    ):
        Catalog.read(path, columns={"w": "1/mgg"})
    with pytest.raises(ValueError, match="Available: ra, dec, g1, g2, w, mag, flags"):
        Catalog.read(path, columns={"ra": "RightAscension"})
    with pytest.raises(ValueError, match="select: no column 'magn'"):
        Catalog.read(path, select="magn < 3")
    with pytest.raises(ValueError, match=r"known to hold dec; pass columns=\{'dec': ...\}"):
        Catalog.read({"ra": [1.0], "y": [2.0]})


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"columns": {"gg1": "g1"}}, ValueError, "unknown key 'gg1'; did you mean g1"),
        ({"columns": {"T": "g1"}}, ValueError, "unknown key 'T'.*Available: ra, dec, x, y, g1"),
        ({"columns": {"g1": 3}}, TypeError, r"columns\['g1'\] must be a column name"),
        (
            {"columns": {"g1": "open('x')"}},
            ValueError,
            r"g1: column .*: calls what is not",
        ),
        ({"select": "mag"}, TypeError, "select = 'mag' gives numbers"),
        ({"select": "mag > 99"}, ValueError, "empty: no row has mag > 99"),
        ({"flag": "flags >= 0"}, ValueError, "every row is flagged by flags >= 0"),
        (
            {"flag": "mag/2 & 1"},
            TypeError,
            r"flag: .* at character 1: needs whole numbers",
        ),
        ({"hdu": 1}, ValueError, "hdu = 1 is for FITS files; a.csv is read as text"),
        ({"key": "x"}, ValueError, "key = 'x' is for HDF5 files"),
    ],
)
def test_impossible_requests(tmp_path, options, kind, message):
    path = write(tmp_path / "a.csv", columns())
    with pytest.raises(kind, match=message):
        Catalog.read(path, **options)


def test_rows_in_messages_are_those_of_the_file(tmp_path):
    data = columns()
    data["ra"][4] = np.nan
    data["dec"][5] = 95
    path = write(tmp_path / "a.fits", data)
    with pytest.raises(ValueError, match=r"ra \(column 'ra' of .*\): row 4 \(nan\)"):
        Catalog.read(path, select="mag > 21.5")
    with (
        pytest.warns(UserWarning, match="dropped 1 of 4"),
        pytest.raises(ValueError, match=r"dec \(column 'dec' of .*\) is beyond .* row 5 \(95\)"),
    ):
        Catalog.read(path, select="mag > 21.5", on_bad="drop")
    catalog = Catalog.read(path, select="(mag != 24) & (dec < 90)")
    assert catalog.n_unselected == 2


def test_a_nan_flag_is_not_good():
    table = {"ra": [1.0, 2.0, 3.0], "dec": [0.0] * 3, "bad": [0.0, np.nan, 1.0]}
    catalog = Catalog.read(table, flag="bad")
    np.testing.assert_array_equal(catalog.ra, [1])
    assert catalog.n_flagged == 2


def test_wrong_kind_of_source():
    with pytest.raises(TypeError, match="not from int"):
        Catalog.read(3)
    with pytest.raises(ValueError, match="for files, not for tables in memory"):
        Catalog.read(Table(columns()), hdu=1)


def test_warnings_point_at_the_caller():
    table = {"ra": [1.0, np.nan], "dec": [0.0, 1.0]}
    with pytest.warns(UserWarning, match="dropped 1") as caught:
        Catalog.read(table, on_bad="drop")
    assert caught[0].filename == __file__
