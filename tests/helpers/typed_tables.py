"""One table of every type with missing entries, in every format that a catalog is read from."""

import bz2
import gzip
import lzma

import h5py
import numpy as np
from astropy.table import MaskedColumn, Table

#: Identifiers that float64 cannot tell apart.
BIG = 2**62


def typed_table():
    """Four rows: positions, 64-bit identifiers, flags, truth values and text; some missing."""
    return Table(
        {
            "ra": [10.0, 10.1, 10.2, 10.3],
            "dec": [-1.0, -1.1, -1.2, -1.3],
            "id": np.array([BIG + 1, BIG + 2, BIG + 3, BIG + 4]),
            "parent": MaskedColumn(np.array([BIG + 1, 5, BIG + 3, 7]), mask=[0, 1, 0, 0]),
            "hash": np.array([2**63 + 1, 2**63 + 2, 1, 2], dtype=np.uint64),
            "good": np.array([True, False, True, True]),
            "known": MaskedColumn([True, False, True, False], mask=[0, 0, 0, 1]),
            "band": MaskedColumn(["r", "g", "ri", "r"], mask=[0, 0, 0, 1]),
            "mag": MaskedColumn([20.0, 21.5, 22.0, 23.0], mask=[0, 0, 1, 0]),
        }
    )


def as_text(delimiter=",", missing="", header="", newline="\n", comment=""):
    """The table as delimited text."""
    table = typed_table()
    lines = [header + delimiter.join(table.colnames)]
    for row in table.as_array():
        cells = [missing if cell is np.ma.masked else str(cell) for cell in row]
        lines.append(delimiter.join(cells))
    return (comment + newline.join(lines) + newline).encode()


def _fits(path):
    from astropy.io import fits

    table = typed_table()
    form = {"id": "K", "parent": "K", "hash": "K", "good": "L", "known": "L", "band": "3A"}
    columns = []
    for name in table.colnames:
        extra = {"null": -7} if name == "parent" else {}
        extra |= {"bzero": 2**63} if name == "hash" else {}
        values = table[name]
        if name == "parent":
            values = values.filled(-7)
        elif name == "band":
            values = values.filled("")
        elif name == "mag":
            values = values.filled(np.nan)
        columns.append(
            fits.Column(name=name, format=form.get(name, "D"), array=np.asarray(values), **extra)
        )
    hdu = fits.BinTableHDU.from_columns(columns)
    # FITS has a sign of an undefined truth value, the byte 0, that astropy does not write.
    hdu.data.view(np.ndarray)["known"][3] = 0
    hdu.writeto(path)
    with fits.open(path) as hdus:
        assert hdus[1].data.view(np.ndarray)["known"][3] == 0


def _frame():
    import pandas

    table = typed_table()
    frame = pandas.DataFrame({n: np.asarray(table[n]) for n in ("ra", "dec", "id", "hash", "good")})
    for name, dtype in (("parent", "Int64"), ("known", "boolean"), ("band", "string")):
        values = [None if v is np.ma.masked else v for v in table[name]]
        frame[name] = pandas.array(values, dtype=dtype)
    frame["mag"] = table["mag"].filled(np.nan)
    return frame


def _arrow():
    import pyarrow

    table = typed_table()
    return pyarrow.table(
        {n: [None if v is np.ma.masked else v.item() for v in table[n]] for n in table.colnames},
        schema=pyarrow.schema(
            {
                **{n: pyarrow.float64() for n in ("ra", "dec")},
                **{n: pyarrow.int64() for n in ("id", "parent")},
                "hash": pyarrow.uint64(),
                **{n: pyarrow.bool_() for n in ("good", "known")},
                "band": pyarrow.string(),
                "mag": pyarrow.float64(),
            }
        ),
    )


def _parquet(path):
    from pyarrow import parquet

    parquet.write_table(_arrow(), path)


def _parquet_folder(path):
    from pyarrow import parquet

    arrow = _arrow()
    for part in (0, 1):
        (path / f"part={part}").mkdir(parents=True)
        parquet.write_table(arrow.slice(2 * part, 2), path / f"part={part}" / "0.parquet")


def _categories(path):
    import pandas

    frame = _frame()
    for name in ("band", "parent"):
        frame[name] = pandas.Categorical(frame[name])
    frame.to_parquet(path)


def _hdf5(path):
    typed_table().write(path, path="stars", serialize_meta=True)


def _feather(path):
    from pyarrow import feather

    feather.write_feather(_arrow(), path)


def _netcdf(path):
    """Columns with the sign of a missing entry of netCDF."""
    table = typed_table()
    with h5py.File(path, "w") as root:
        for name in table.colnames:
            values = table[name]
            if name == "parent":
                root[name] = values.filled(-9)
                root[name].attrs["_FillValue"] = np.int64(-9)
            elif name == "known":
                root[name] = np.array([1, 0, 1, -1], dtype="i1")
                root[name].attrs["_FillValue"] = np.int8(-1)
            elif name == "band":
                root[name] = [str(v) for v in values.filled("")]
            elif name == "mag":
                root[name] = values.filled(np.nan)
            else:
                root[name] = np.asarray(values)


def _write(name):
    return lambda path: typed_table().write(path, **name)


def _text(**options):
    return lambda path: path.write_bytes(as_text(**options))


def _packed(pack, content):
    return lambda path: path.write_bytes(pack(content()))


def _ecsv():
    import io

    text = io.StringIO()
    typed_table().write(text, format="ascii.ecsv")
    return text.getvalue().encode()


def _votable(form="tabledata"):
    """Without the unsigned identifiers, for which VOTables have no type."""
    import io

    table = typed_table()
    table.remove_column("hash")
    table["band"] = table["band"].filled("")  # astropy forgets the mask of text in BINARY2
    stream = io.BytesIO()
    table.write(stream, format="votable", tabledata_format=form)
    return stream.getvalue()


#: How each file is written; the name is the file's.
WRITERS = {
    "standard.fits": _fits,
    "meta.hdf5": _hdf5,
    "netcdf.h5": _netcdf,
    "arrow.parquet": _parquet,
    "categories.parquet": _categories,
    "frame.parquet": lambda path: _frame().to_parquet(path),
    "astropy.parquet": _write({"format": "parquet"}),
    "folder": _parquet_folder,
    "a.feather": _feather,
    "a.ecsv": _write({"format": "ascii.ecsv"}),
    "ecsv.csv.gz": _packed(gzip.compress, _ecsv),
    "ecsv.csv.bz2": _packed(bz2.compress, _ecsv),
    "ecsv.txt.xz": _packed(lzma.compress, _ecsv),
    "ecsv-crlf.ecsv": lambda path: path.write_bytes(_ecsv().replace(b"\n", b"\r\n")),
    "a.vot": lambda path: path.write_bytes(_votable()),
    "binary.xml": lambda path: path.write_bytes(_votable("binary2")),
    "no-suffix": lambda path: path.write_bytes(_votable("binary2")),
    "packed.vot.gz": lambda path: path.write_bytes(gzip.compress(_votable())),
    "empty-cells.csv": _text(),
    "null.csv": _text(missing="null"),
    "NA.csv": _text(missing="NA"),
    "nan.csv": _text(missing="nan"),
    "dashes.txt": _text(missing="--", delimiter=" "),
    "quoted.csv": lambda path: path.write_bytes(
        b"\n".join(
            b",".join(b'"' + c + b'"' for c in line.split(b","))
            for line in as_text().strip().split(b"\n")
        )
    ),
    "bom.csv": lambda path: path.write_bytes(b"\xef\xbb\xbf" + as_text()),
    "utf16.csv": lambda path: path.write_bytes(as_text().decode().encode("utf-16")),
    "crlf.csv": _text(newline="\r\n"),
    "old-mac.csv": _text(newline="\r"),
    "semicolons.csv": _text(delimiter=";"),
    "bars.txt": _text(delimiter="|"),
    "tabs.tsv": _text(delimiter="\t"),
    "tabs-null.txt": _text(delimiter="\t", missing="null"),
    "commented.txt": _text(delimiter=" ", header="# ", missing="null"),
    "hash.csv": _text(header="#"),
    "named.txt": _text(delimiter=" ", header="# ", missing="null", comment="#Table1\n"),
    "remarks.csv": _text(header="# ", comment="# Two, three\n#\n# of the survey: 1 2 3\n"),
    "table1.csv": _text(comment="#Table1\n"),
    "packed.csv.gz": lambda path: path.write_bytes(gzip.compress(as_text())),
    "misnamed.dat": lambda path: path.write_bytes(gzip.compress(as_text())),
    "packed.tsv.xz": lambda path: path.write_bytes(lzma.compress(as_text(delimiter="\t"))),
}


#: The same in memory.
IN_MEMORY = {"Table": typed_table, "pandas": _frame, "Arrow": _arrow}
