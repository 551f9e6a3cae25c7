"""Whole numbers, units and missing entries in binary files; damaged ones and what is no file."""

import os
import pickle
import socket
import warnings

import astropy.units as u
import h5py
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import MaskedColumn, QTable, Table
from astropy.utils.masked import Masked

from helpers.tables_on_disk import write
from helpers.typed_tables import BIG, WRITERS
from pysoftcorr.core.extras import need
from pysoftcorr.core.tables import open_table


def one(path, name, **options):
    with open_table(path, **options) as table:
        return table.column(name)


# ---------------------------------------------------------------------- FITS
def _write(path, **column):
    fits.BinTableHDU.from_columns([fits.Column(name="a", **column)]).writeto(path, overwrite=True)


@pytest.mark.parametrize(
    ("form", "zero", "values", "dtype"),
    [
        ("K", None, [-(2**63), 2**62 + 1, 2**63 - 1], np.int64),
        ("K", 2**63, [0, 2**63 - 1, 2**63 + 1, 2**64 - 1], np.uint64),
        ("J", 2**31, [0, 2**31 + 1, 2**32 - 1], np.uint32),
        ("I", 2**15, [0, 2**15 + 1, 2**16 - 1], np.uint16),
        ("B", -128, [-128, -1, 127], np.int8),
        ("B", None, [0, 255], np.uint8),
    ],
)
def test_integers_of_fits(tmp_path, form, zero, values, dtype):
    path = tmp_path / "a.fits"
    _write(path, format=form, bzero=zero, array=np.array(values, dtype=dtype))
    read = one(path, "a")
    assert read.dtype == dtype
    assert [int(x) for x in read] == values


def test_integers_of_fits_with_any_zero(tmp_path):
    """TZERO that is not that of unsigned numbers must not pass through decimal ones."""
    path = tmp_path / "a.fits"
    _write(path, format="K", array=np.array([1, 2**62 + 1, -5]))
    with fits.open(path, mode="update") as hdus:
        hdus[1].header["TZERO1"] = 1000
        hdus[1].header["TNULL1"] = -5
    read = one(path, "a")
    assert read.tolist() == [1001, 2**62 + 1001, None]
    with fits.open(path, mode="update") as hdus:
        hdus[1].header["TZERO1"] = 2**63
        hdus[1].header["TNULL1"] = -5
    assert one(path, "a").tolist() == [2**63 + 1, 2**63 + 2**62 + 1, None]
    with fits.open(path, mode="update") as hdus:
        hdus[1].header["TZERO1"] = 0.5
    assert one(path, "a")[0] == 1.5
    with fits.open(path, mode="update") as hdus:
        hdus[1].header["TSCAL1"] = 2.0
        hdus[1].header["TZERO1"] = 1.0
    assert one(path, "a").tolist() == [3.0, 2.0 * (2**62 + 1) + 1, None]


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "u4", "i8", "u8"])
def test_masked_integers_that_astropy_wrote(tmp_path, dtype):
    """astropy compares TNULL after TZERO is added, FITS before."""
    path = tmp_path / "a.fits"
    column = MaskedColumn(np.array([1, 2, 3], dtype=dtype), mask=[0, 1, 0])
    column.fill_value = 99
    Table({"a": column}).write(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read = one(path, "a")
    assert read.tolist() == [1, None, 3]
    assert read.dtype == dtype
    said = [str(w.message) for w in caught if "delete TNULL" in str(w.message)]
    assert len(said) == (dtype in ("u2", "u4", "u8"))


def test_truth_values_of_fits(tmp_path):
    path = tmp_path / "a.fits"
    _write(path, format="L", array=np.array([True, False, True]))
    assert one(path, "a").tolist() == [True, False, True]
    data = bytearray(path.read_bytes())
    at = data.index(b"TFT")
    data[at + 1] = 0
    path.write_bytes(data)
    assert one(path, "a").tolist() == [True, None, True]
    data[at + 1] = 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"'a' of .*\(TFORM L\) but holds .*write it as integers"):
        one(path, "a")


def test_text_of_fits_and_hdf5_is_cut_at_its_end(tmp_path):
    path = tmp_path / "a.fits"
    _write(path, format="5A", array=np.array([b"r", b"ri  ", b"", b"  g"]))
    data = bytearray(path.read_bytes())
    at = data.index(b"ri")
    data[at : at + 5] = b"ri\0xy"
    path.write_bytes(data)
    assert one(path, "a").tolist() == ["r", "ri", None, "  g"]
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as root:
        root["fixed"] = np.array([b"r   ", b"ri", b"", b"caf\xc3\xa9"])
        root["free"] = ["r  ", "ri", "", "café"]
    for name in ("fixed", "free"):
        assert one(path, name).tolist() == ["r", "ri", None, "café"]


def test_lists_of_values_are_refused(tmp_path):
    path = tmp_path / "a.fits"
    lists = np.empty(2, dtype=object)
    lists[:] = [np.array([1]), np.array([1, 2])]
    _write(path, format="PJ()", array=lists)
    with pytest.raises(ValueError, match="holds a list of values a row"):
        one(path, "a")
    arrow = need("pyarrow", "this test", extra="parquet")
    from pyarrow import parquet

    path = tmp_path / "a.parquet"
    parquet.write_table(arrow.table({"a": [[1], [1, 2]], "b": [[1.0, 2.0], [3.0, 4.0]]}), path)
    with pytest.raises(ValueError, match="holds a list of values a row"):
        one(path, "a")
    assert one(path, "b").tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_ascii_tables_of_fits(tmp_path):
    path = tmp_path / "a.fits"
    columns = [
        fits.Column(name="ra", format="F8.3", array=np.array([1.5, 2.25])),
        fits.Column(name="n", format="I6", null="NULL", array=np.array([7, 8])),
    ]
    fits.TableHDU.from_columns(columns).writeto(path)
    data = path.read_bytes()
    at = data.rindex(b"     8")
    path.write_bytes(data[:at] + b"  NULL" + data[at + 6 :])
    assert one(path, "ra").tolist() == [1.5, 2.25]
    assert one(path, "n").tolist() == [7, None]


# ---------------------------------------------------------------------- units and kinds of columns
@pytest.mark.parametrize("name", ["u.fits", "u.ecsv", "u.hdf5", "u.parquet", "u.vot", "u.tbl"])
def test_units_come_with_the_columns(tmp_path, name):
    table = QTable({"ra": [1.0, 2.0], "dec": [0.5, 0.25], "n": [1, 2]})
    table["ra"].unit = table["dec"].unit = "rad"
    path = tmp_path / name
    options = {
        "u.hdf5": {"path": "t", "serialize_meta": True},
        "u.vot": {"format": "votable"},
        "u.tbl": {"format": "ascii.ipac"},
    }
    table.write(path, **options.get(name, {}))
    with open_table(path) as read:
        assert read.units == {"ra": "rad", "dec": "rad"}
        assert read.column("ra").tolist() == [1.0, 2.0]


def test_sky_coordinates_and_masked_quantities():
    table = QTable({"coord": SkyCoord([10.0, 11.0], [-1.0, 1.0], unit="deg"), "n": [1, 2]})
    table["T"] = Masked([1.0, 2.0], mask=[False, True]) * u.arcsec
    with open_table(table) as read:
        assert read.names == ["coord.ra", "coord.dec", "n", "T"]
        np.testing.assert_allclose(read.evaluate("`coord.ra` + 1")[0], [11, 12])
        assert read.units["coord.dec"] == "deg"
        assert np.ma.getmaskarray(read.column("T")).tolist() == [False, True]
        assert read.units["T"] == "arcsec"


@pytest.mark.parametrize("name", ["s.fits", "s.ecsv", "s.hdf5", "s.parquet"])
def test_sky_coordinates_in_files(tmp_path, name):
    table = QTable({"coord": SkyCoord([10.0, 11.0], [-1.0, 1.0], unit="deg"), "n": [1, 2]})
    options = {"path": "t", "serialize_meta": True} if name == "s.hdf5" else {}
    table.write(tmp_path / name, **options)
    with open_table(tmp_path / name) as read:
        assert read.names == ["coord.ra", "coord.dec", "n"]
        np.testing.assert_allclose(read.column("coord.dec"), [-1, 1])
        assert read.units["coord.ra"] == "deg"


def test_one_value_is_no_column():
    with open_table({"ra": 1.0, "dec": [0.0, 1.0]}) as table:
        with pytest.raises(ValueError, match="'ra' of the mapping is one value, not a column"):
            table.rows("ra + 1")
        assert table.rows("dec") == 2
    records = [{"ra": 1.0}, {"ra": 2.0}]
    with (
        open_table(records) as table,
        pytest.raises(ValueError, match="'ra' of table 0 is one value, not a column"),
    ):
        table.rows("ra")


@pytest.mark.parametrize("shape", [(3, 1), (3,)])
@pytest.mark.parametrize("suffix", [".fits", ".h5", ".npz", ".npy", ".parquet"])
def test_columns_of_one_value_a_row(tmp_path, suffix, shape):
    values = np.array([1.0, 2.0, 3.0]).reshape(shape)
    data = {"ra": values, "n": np.arange(3).reshape(shape), "m": np.arange(3)}
    path = tmp_path / f"{'root' if suffix == '.h5' else 'a'}{suffix}"
    if suffix == ".parquet":
        data = {k: [list(np.ravel(x)) if len(shape) > 1 else x for x in v] for k, v in data.items()}
    write(path, data)
    with open_table(path) as table:
        assert table.column("ra").tolist() == [1.0, 2.0, 3.0]
        assert table.evaluate("n + ra")[0].tolist() == [1.0, 3.0, 5.0]


@pytest.mark.parametrize(
    ("values", "wanted", "kind"),
    [
        ([1, None], [1, None], "i"),
        ([BIG + 1, None, BIG + 2], [BIG + 1, None, BIG + 2], "i"),
        ([2**63 + 1, 1], [2**63 + 1, 1], "u"),
        ([2**63 + 1, None], [2**63 + 1, None], "u"),
        ([True, None], [True, None], "b"),
        ([1.5, None], [1.5, None], "f"),
        (["r", None, b"g ", ""], ["r", None, "g", None], "U"),
        ([None, None], [None, None], "f"),
    ],
)
def test_lists_in_memory(values, wanted, kind):
    for column in (values, np.array(values, dtype=object)):
        with open_table({"a": column}) as table:
            read = table.column("a")
        assert read.tolist() == wanted
        assert read.dtype.kind == kind


def test_columns_of_pandas():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame(index=[5, 6, 7])
    frame["small"] = pandas.array([1, None, 3], dtype="Int8")
    frame["unsigned"] = pandas.array([2**63 + 1, None, 3], dtype="UInt64")
    frame["arrow"] = pandas.array([BIG + 1, None, BIG + 3], dtype="int64[pyarrow]")
    frame["arrow_bool"] = pandas.array([True, None, False], dtype="bool[pyarrow]")
    frame["half"] = pandas.array([1.5, None, 3], dtype="Float32")
    frame["object"] = pandas.Series([BIG + 1, None, 3], dtype=object, index=frame.index)
    frame["flags"] = pandas.Categorical([3, None, 1])
    frame["text"] = pandas.Categorical(["r", None, "g"])
    frame["when"] = pandas.to_datetime(["2024-01-01", None, "2024-01-03"])
    wanted = {
        "small": [1, None, 3],
        "unsigned": [2**63 + 1, None, 3],
        "arrow": [BIG + 1, None, BIG + 3],
        "arrow_bool": [True, None, False],
        "object": [BIG + 1, None, 3],
        "flags": [3, None, 1],
        "text": ["r", None, "g"],
    }
    with open_table(frame) as table:
        for name, values in wanted.items():
            assert table.column(name).tolist() == values, name
        assert table.column("small").dtype == np.int8
        assert np.ma.getmaskarray(table.column("when")).tolist() == [False, True, False]
        half = np.ma.filled(table.column("half"), np.nan)
        np.testing.assert_array_equal(half, [1.5, np.nan, 3])
    frame.columns = ["a", "a", *frame.columns[2:]]
    with open_table(frame) as table, pytest.raises(ValueError, match="2 columns called 'a'"):
        table.column("a")


# ---------------------------------------------------------------------- pandas' HDF5
def _fixed_frame(path):
    """The layout of `DataFrame.to_hdf` (pandas/io/pytables.py, BlockManagerFixed.write)."""
    with h5py.File(path, "w") as root:
        group = root.create_group("df")
        group.attrs.update(pandas_type=np.bytes_("frame"), nblocks=3, ndim=2)
        group["axis0"] = np.array([b"ra", b"id", b"dec", b"band"])
        group["axis1"] = np.arange(3)
        group["block0_items"] = np.array([b"ra", b"dec"])
        group["block0_values"] = np.array([[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]])
        group["block1_items"] = np.array([b"id"])
        group["block1_values"] = np.array([[BIG + 1], [2], [3]])
        group["block2_items"] = np.array([b"band"])
        objects = h5py.vlen_dtype(np.uint8)
        group.create_dataset("block2_values", (1,), dtype=objects)[0] = np.frombuffer(
            pickle.dumps(["r", "g", "i"]), np.uint8
        )


def _table_frame(path, names, data_columns=True):
    """The layout of the format "table" (AppendableFrameTable)."""
    kinds = [("index", "i8"), ("values_block_0", "f8", (2,)), ("values_block_1", "S3", (1,))]
    kinds += [("id", "i8"), ("band", "S3")] if data_columns else []
    rows = np.zeros(3, kinds)
    rows["values_block_0"] = [[1, 4], [2, 5], [3, 6]]
    rows["values_block_1"] = [[b"x"], [b"nan"], [b"z"]]
    if data_columns:
        rows["id"], rows["band"] = [BIG + 1, 2, 3], [b"r", b"nan", b"i"]
    with h5py.File(path, "w") as root:
        group = root.create_group("df")
        group.attrs.update(pandas_type=np.bytes_("frame_table"))
        table = group.create_dataset("table", data=rows)
        table.attrs["values_block_0_kind"] = np.bytes_(names)
        table.attrs["values_block_1_kind"] = np.bytes_(pickle.dumps(["note"], 0))


def test_data_frames_in_hdf5(tmp_path):
    path = tmp_path / "fixed.h5"
    _fixed_frame(path)
    with open_table(path) as table:
        assert table.names == ["ra", "id", "dec", "band"]
        assert table.column("dec").tolist() == [4, 5, 6]
        assert table.column("id").tolist() == [BIG + 1, 2, 3]
        with pytest.raises(ValueError, match=r"'band' .*pickled objects.*frame\.to_parquet"):
            table.column("band")
    path = tmp_path / "table.h5"
    for protocol in (0, 2, 4):
        _table_frame(path, pickle.dumps(["ra", "dec"], protocol))
        with open_table(path) as table:
            assert table.names == ["ra", "dec", "note", "id", "band"]
            assert table.column("dec").tolist() == [4, 5, 6]
            assert table.column("band").tolist() == ["r", None, "i"]
            assert table.column("note").tolist() == ["x", None, "z"]
            assert table.column("id").dtype == np.int64


class _Runs:
    def __reduce__(self):
        return os.system, ("touch HERE",)


def test_pickled_names_are_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for names in (["ra", _Runs()], {"ra": 1}, ("ra", "dec")):
        _table_frame(tmp_path / "a.h5", pickle.dumps(names, 0))
        with (
            pytest.raises(ValueError, match="whose column names cannot be read"),
            open_table("a.h5"),
        ):
            pass
    assert not (tmp_path / "HERE").exists()


# ---------------------------------------------------------------------- damage
def _reading(path):
    """What reading every column says of a file; any error but a ValueError is not caught."""
    try:
        with open_table(path) as table:
            for column in table.names:
                table.column(column)
    except ValueError as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", [n for n in WRITERS if n != "folder"])
def test_damaged_files_name_the_file_and_nothing_else_escapes(tmp_path, name):
    path = tmp_path / name
    WRITERS[name](path)
    whole = path.read_bytes()
    rng = np.random.default_rng(len(name))
    cuts = [whole[: int(len(whole) * f)] for f in (0.1, 0.5, 0.9)]
    flips = []
    for _ in range(5):
        data = bytearray(whole)
        for at in rng.integers(len(data), size=3):
            data[at] = rng.integers(256)
        flips.append(bytes(data))
    for data in (*cuts, *flips):
        path.write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # astropy's own remarks on short files
            said = _reading(path)
        assert said is None or (name in said and "\n" not in said)


@pytest.mark.parametrize(
    ("suffix", "what"),
    [
        (".fits", "FITS"),
        (".h5", "HDF5"),
        (".parquet", "Parquet"),
        (".feather", "Feather"),
        (".npy", "NumPy arrays"),
        (".npz", "NumPy arrays"),
        (".vot", "VOTable"),
        (".ecsv", "ECSV"),
    ],
)
def test_files_of_another_kind_than_their_suffix(tmp_path, suffix, what):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"rubbish, rubbish\n\x01\x02\n" * 9)
    with pytest.raises(ValueError, match=f"a{suffix} cannot be read as {what}: "), open_table(path):
        pass


# ---------------------------------------------------------------------- what is no file
def test_pipes_devices_sockets_and_folders_are_not_opened(tmp_path):
    pipe = tmp_path / "pipe.fits"
    os.mkfifo(pipe)
    plug = tmp_path / "socket"
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(plug))
    empty = tmp_path / "folder.parquet"
    empty.mkdir()
    cases = {
        pipe: "is a pipe",
        plug: "is a socket",
        "/dev/zero": "is a device",
        empty: "is a folder without Parquet files",
        tmp_path: "is a folder without Parquet files",
    }
    for path, message in cases.items():
        with pytest.raises(ValueError, match=message), open_table(path):
            pass
    server.close()
