"""Dialects of text: where the names stand, what cuts the cells, and what is refused."""

import numpy as np
import pytest
from astropy.table import Table

from pysoftcorr.core.tables import open_table

ROWS = "1.5 -2 7\n3.25 4 8\n"


def read(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with open_table(path) as table:
        return {name: table.column(name) for name in table.names}, dict(table.units)


@pytest.mark.parametrize(
    "head",
    [
        "ra dec n\n",
        "# ra dec n\n",
        "#ra dec n\n",
        "#Table1\n# ra dec n\n",
        "#Table1\nra dec n\n",
        "# made on 2024-01-01 by someone\n#\n# ra dec n\n",
        "# ra dec n\n# 12 fields, seeing .7\n",
        "## ra dec n\n\n",
        "\n\nra dec n\n",
        "   ra   dec   n\n",
        "# ra,dec,n\n",
        "\ufeffra dec n\n",
        "\ufeff# ra dec n\n",
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_where_the_names_stand(tmp_path, head, newline):
    columns, _ = read(tmp_path / "a.txt", (head + ROWS).replace("\n", newline))
    assert list(columns) == ["ra", "dec", "n"]
    np.testing.assert_array_equal(columns["ra"], [1.5, 3.25])
    assert columns["n"].dtype == np.int64


@pytest.mark.parametrize(
    "text",
    [
        ROWS,
        ROWS.replace(" ", ","),
        "# of a survey of stars\n" + ROWS,
        "# ra dec\n" + ROWS,
        "10.5 -2.3 starA\n10.6 -2.4 starB\n",
        "10:00:28 +02:12:00\n10:00:29 +02:12:01\n",
        "10h00m28s,+02d12m00s\n10h00m29s,+02d12m01s\n",
        "null,2\n3,4\n",
        "1,5;2,25\n3,5;4,75\n",
        "inf 2\n3 4\n",
        "1.5D+02 3\n1 2\n",
    ],
)
def test_no_names_are_made_of_data(tmp_path, text):
    """The first row is never eaten as a header."""
    with pytest.raises(ValueError, match=r"a\.csv has no line of column names: its first line is"):
        read(tmp_path / "a.csv", text)


def test_cells(tmp_path):
    columns, _ = read(
        tmp_path / "a.csv",
        'ra,dec,"a, b",flag,big,mixed,d\n'
        '1,nan,"x, y",TRUE,9223372036854775809,-5,1.5D2\n'
        '-2.5e1,inf,"say ""so""",false,12,9223372036854775809,-3d-1\n'
        "# a remark\n\n"
        '.5,,,,"",null,NA\n',
    )
    np.testing.assert_array_equal(columns["ra"], [1, -25, 0.5])
    assert columns["dec"].tolist() == [None, np.inf, None]
    assert columns["a, b"].tolist() == ["x, y", 'say "so"', None]
    assert columns["flag"].tolist() == [True, False, None]
    assert columns["flag"].dtype == bool
    assert columns["big"].dtype == np.uint64
    assert columns["big"].tolist() == [9223372036854775809, 12, None]
    # No whole number of 64 bits holds both: the digits are kept.
    assert columns["mixed"].tolist() == ["-5", "9223372036854775809", None]
    assert columns["d"].tolist() == [150, -0.3, None]


def test_letters_beyond_ascii(tmp_path):
    for encoding in ("utf-8", "latin-1", "utf-16"):
        columns, _ = read(tmp_path / "a.csv", "ra,étoile\n1,née\n2,ö\n".encode(encoding))
        assert columns["étoile"].tolist() == ["née", "ö"]


def test_a_column_without_a_name(tmp_path):
    columns, _ = read(tmp_path / "index.csv", ",ra,dec\n0,1,2\n1,3,4\n")  # as pandas writes
    assert list(columns) == ["col1", "ra", "dec"]


def test_units_of_vizier_and_sextractor(tmp_path):
    columns, units = read(
        tmp_path / "a.tsv",
        "#\n#   VizieR Astronomical Server\n#Table\tI_239_hip_main:\n#Column\t_RAJ2000\t(F12.8)\n"
        "_RAJ2000\t_DEJ2000\tHIP\tName\ndeg\tdeg\t \t \n------------\t------------\t------\t-----\n"
        "000.00091185\t+01.08901332\t     1\t   \n000.00379738\t-19.49883745\t     2\tx y\n",
    )
    np.testing.assert_array_equal(columns["_DEJ2000"], [1.08901332, -19.49883745])
    assert columns["Name"].tolist() == [None, "x y"]
    assert units == {"_RAJ2000": "deg", "_DEJ2000": "deg"}
    columns, units = read(
        tmp_path / "a.tsv",
        "#RESOURCE=yCat\n_RAJ2000;_DEJ2000\nrad;rad\n----;----\n0.5;0.25\n0.5;0.5\n",
    )
    assert units == {"_RAJ2000": "rad", "_DEJ2000": "rad"}
    columns, units = read(
        tmp_path / "a.cat",
        "#   1 NUMBER        Running object number\n#   2 ALPHA_J2000   RA   [deg]\n"
        "#   3 DELTA_J2000   Dec   [deg]\n  1  10.5 -2.0\n  2 10.6 -2.1\n",
    )
    assert columns["ALPHA_J2000"].tolist() == [10.5, 10.6]
    assert units == {"ALPHA_J2000": "deg", "DELTA_J2000": "deg"}
    columns, _ = read(tmp_path / "a.rdb", "# x\nra\tdec\tn\n10N\t10N\t5S\n1\t2\tx\n")
    assert columns["n"].tolist() == ["x"]


@pytest.mark.parametrize("form", ["ipac", "mrt", "cds"])
def test_tables_of_the_archives(tmp_path, form):
    path = tmp_path / "a.dat"
    table = Table({"ra": [10.25, 11.5], "dec": [-2.0, 3.0], "n": [2**40, 7], "band": ["r", "ri"]})
    table["ra"].unit = table["dec"].unit = "deg"
    if form == "ipac":
        table.write(path, format="ascii.ipac")
    else:
        table.write(path, format="ascii.mrt")
    if form == "cds":
        # A file of the CDS itself begins without the lines of the journal.
        text = path.read_text()
        path.write_text(text[text.index("Byte-by-byte") :])
    with open_table(path) as read:
        assert read.names == table.colnames
        assert read.units == {"ra": "deg", "dec": "deg"}
        for name in table.colnames:
            assert read.column(name).tolist() == table[name].tolist()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ra,dec\n1,2\n3,4,5,6\n", r"line 3 has 4 cells where the header has 2: '3,4,5,6'"),
        ("# x\n\nra,dec\n1,2\n\n3\n", r"line 6 has 1 cells where the header has 2: '3'"),
        ("ra dec\n1 2\n3 4 5\n", r"line 3 has 3 cells where the header has 2"),
        ("<!DOCTYPE html>\n<html>", "is a page of HTML, not a table"),
        ("  \n \n", "is empty"),
        ("", "is empty"),
        (bytes(range(256)) * 20, "no table of a known format"),
        ("# %ECSV 1.0\n# ---\nra dec\n1 2\n", "cannot be read as ECSV"),
        ("|ra|dec|\n|double|\n 1 2\n", "cannot be read as an IPAC table"),
        ('{"ra": [1], "dec": [2]}', "is JSON, not a table"),
        ('[{"ra": 1, "dec": 2}]', "is JSON, not a table"),
        ("<?xml version='1.0'?>\n<kml></kml>\n", "cannot be read as VOTable"),
        ("PK\x03\x04rubbish", "is a ZIP archive"),
        ("%PDF-1.4\n", "is a PDF"),
        ("#ASDF 1.0.0\n", "is an ASDF file"),
        (b"root\0\0\xf6", "is a ROOT file"),
        (b"\x80\x04\x95\x10\0\0", "is a pickle, which could run anything"),
        (b"\x1f\x8bdamage", "is damaged and cannot be unpacked"),
        (b"BZh9damage", "is damaged and cannot be unpacked"),
        (b"\xfd7zXZ\0damage", "is damaged and cannot be unpacked"),
    ],
)
def test_what_is_no_table_of_text(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as error:
        read(tmp_path / "a.csv", text)
    assert "a.csv" in str(error.value)


def test_two_columns_of_one_name(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("ra,dec,ra\n1,2,3\n")
    with open_table(path) as table:
        assert table.column("dec").tolist() == [2]
        with pytest.raises(ValueError, match=r"a\.csv has 2 columns called 'ra'; rename"):
            table.column("ra")
        with pytest.raises(ValueError, match="2 columns called 'ra'"):
            table.evaluate("ra + 1")


def test_decimal_commas_are_refused(tmp_path):
    for text in ("ra;dec\n1,5;2\n3,5;4\n", "ra\tdec\n-1,5\t2\nnull\t4\n", 'ra,dec\n"1,5",2\n'):
        with pytest.raises(ValueError, match=r"'ra' of .*a\.csv has commas in its n.* \('-?1,5'"):
            read(tmp_path / "a.csv", text)
    columns, _ = read(tmp_path / "a.csv", 'n,a\n1,"1,2"\n2,"x, y"\n')
    assert columns["a"].tolist() == ["1,2", "x, y"]


@pytest.mark.parametrize(
    ("row", "units"),
    [
        ("deg,deg,", {"ra": "deg", "dec": "deg"}),
        ("Degrees,arcmin,mag", {"ra": "Degrees", "dec": "arcmin", "n": "mag"}),
        (" , ,pix", {"n": "pix"}),
    ],
)
def test_a_line_of_units_below_the_names(tmp_path, row, units):
    columns, found = read(tmp_path / "a.csv", f"ra,dec,n\n{row}\n1.5,2,3\n2.5,4,5\n")
    assert columns["ra"].tolist() == [1.5, 2.5]
    assert found == units


@pytest.mark.parametrize("row", ["x,y,z", "deg,deg,band-r7", "1,deg,deg", "null,null,null"])
def test_what_is_no_line_of_units(tmp_path, row):
    columns, found = read(tmp_path / "a.csv", f"ra,dec,n\n{row}\n1.5,2,3\n2.5,4,5\n")
    assert len(columns["ra"]) == 3
    assert found == {}


FRAMED = {
    "fixed width": "| ra | dec |\n| 1.5 | -2 |\n|  -- |  3 |\n",
    "markdown": "| ra | dec |\n|:---|----:|\n| 1.5 | -2 |\n| -- | 3 |\n",
    "mysql": "+----+----+\n| ra | dec |\n+----+----+\n| 1.5 | -2 |\n| NULL | 3 |\n+----+----+\n",
    "psql": "  ra  | dec \n------+-----\n 1.5 | -2\n null | 3\n(2 rows)\n",
    "rdb": "# made\nra\tdec\n8N\t3N\n1.5\t-2\nnull\t3\n",
}


@pytest.mark.parametrize("form", FRAMED)
def test_tables_in_a_frame(tmp_path, form):
    path = tmp_path / "a.txt"
    path.write_text(FRAMED[form])
    with open_table(path) as table:
        assert table.names == ["ra", "dec"]
        assert table.units == {}
        ra = table.column("ra")
        assert ra[0] == 1.5
        assert not np.isfinite(np.ma.filled(ra, np.nan)[1])
        assert table.column("dec").tolist() == [-2, 3]


def test_text_in_either_quotes_between_blanks(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("# ra dec name note\n1 2 'a b' \"\"\n3 4 \"c d\" 'e'\n")
    with open_table(path) as table:
        assert table.column("name").tolist() == ["a b", "c d"]
        note = table.column("note")
        assert note.mask.tolist() == [True, False]
        assert note[1] == "e"
    path.write_text("ra,dec,name\n1,2,O'Neil 'x' y\n")
    with open_table(path) as table:
        assert table.column("name").tolist() == ["O'Neil 'x' y"]


def test_a_row_of_single_dashes_is_no_rule(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("ra,dec\n-,-\n1,2\n")
    with open_table(path) as table:
        assert table.column("ra").tolist() == ["-", "1"]
