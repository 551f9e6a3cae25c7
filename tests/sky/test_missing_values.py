"""Conditions on columns with missing values: one rule whatever the table, and a count of rows."""

import re
import warnings

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table

from pysoftcorr.sky.catalog import Catalog

N = 6
MASK = [0, 0, 1, 0, 0, 1]


def masked_table():
    table = Table({"ra": np.arange(10.0, 10 + N), "dec": np.linspace(-1, 1, N)})
    table["mag"] = MaskedColumn([20.0, 25, 21, 22, 26, 27], mask=MASK)
    table["fl"] = MaskedColumn([0, 2, 0, 6, 1, 8], mask=MASK)
    table["band"] = MaskedColumn(["r", "i", "r", "r", "zz", "r"], mask=MASK)
    table["good"] = MaskedColumn([True, False, True, True, False, True], mask=MASK)
    return table


def frame(table, numbers="Int64", truth="boolean"):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    made = pandas.DataFrame({"ra": table["ra"], "dec": table["dec"]})
    made["mag"] = table["mag"].filled(np.nan)
    made["fl"] = pandas.array(
        [None if m else int(v) for v, m in zip(table["fl"].data.data, MASK, strict=True)], numbers
    )
    made["band"] = [None if m else v for v, m in zip(table["band"].data.data, MASK, strict=True)]
    made["good"] = pandas.array(
        [None if m else bool(v) for v, m in zip(table["good"].data.data, MASK, strict=True)], truth
    )
    return made


def as_source(kind, tmp_path):
    table = masked_table()
    if kind == "table":
        return table
    if kind == "mapping":
        return {name: table[name] for name in table.colnames}
    if kind == "masked arrays":
        return {name: np.ma.array(table[name]) for name in table.colnames}
    if kind == "objects":
        return {
            name: np.array([None if np.ma.is_masked(v) else v for v in table[name]], dtype=object)
            if name not in ("ra", "dec")
            else np.asarray(table[name])
            for name in table.colnames
        }
    if kind == "frame":
        return frame(table)
    if kind == "frame of objects":
        return frame(table).astype({"fl": object, "good": object})
    if kind == "frame of floats":
        return frame(table).astype({"fl": "Float64"}).astype({"fl": float})
    if kind == "frame of strings":
        return frame(table).astype({"band": "string"})
    if kind == "padded bytes":
        table["band"] = MaskedColumn(
            np.array([b"r   ", b"i   ", b"r   ", b"r   ", b"zz  ", b"r   "]), mask=MASK
        )
        return table
    path = tmp_path / {"ecsv": "a.ecsv"}[kind]
    table.write(path)
    return path


KINDS = (
    *("table", "mapping", "masked arrays", "objects", "frame", "frame of objects"),
    *("frame of floats", "frame of strings", "padded bytes", "ecsv"),
)
# select, rows, how many unknown
SELECTED = [
    ("band == 'r'", [0, 3], 2),
    ("band != 'r'", [1, 4], 2),
    ("not band == 'r'", [1, 4], 2),
    ("band in ('r', 'i')", [0, 1, 3], 2),
    ("band not in ('r', 'i')", [4], 2),
    ("mag < 24", [0, 3], 2),
    ("not mag < 24", [1, 4], 2),
    ("mag != 25", [0, 3, 4], 2),
    ("mag < 24 or ra > 10.5", [0, 1, 2, 3, 4, 5], 0),
    ("mag < 24 and ra > 12.5", [3], 1),
    ("fl & 2 == 0", [0, 4], 2),
    ("fl & 6 != 0", [1, 3], 2),
    ("fl | 1 == 1", [0, 4], 2),
    ("fl in (0, 8)", [0], 2),
    ("fl % 2 == 1", [4], 2),
    ("good", [0, 3], 2),
    ("not good", [1, 4], 2),
    ("~good", [1, 4], 2),
    ("good & (mag > 21)", [3], 2),
    ("good | (ra > 14.5)", [0, 3, 5], 1),
    ("isfinite(mag)", [0, 1, 3, 4], 0),
    ("isfinite(band) and isfinite(fl)", [0, 1, 3, 4], 0),
    ("not isfinite(fl)", [2, 5], 0),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("select", "rows", "unknown"), SELECTED)
def test_a_condition_that_is_unknown_is_not_satisfied(tmp_path, kind, select, rows, unknown):
    source = as_source(kind, tmp_path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        catalog = Catalog.read(source, select=select)
    np.testing.assert_array_equal(catalog.ra - 10, rows)
    assert catalog.n_unselected == N - len(rows)
    texts = [str(w.message) for w in caught]
    if not unknown:
        assert texts == []
        return
    assert len(texts) == 1
    assert f"is unknown in {unknown} of 6 rows, where " in texts[0]
    assert caught[0].filename == __file__
    # What the warning advises keeps these rows.
    (advice,) = re.findall(r"pass select='(.*)'$", texts[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = Catalog.read(source, select=advice)
    np.testing.assert_array_equal(kept.ra - 10, sorted({*rows, 2, 5}))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("flag", "rows"),
    [
        ("fl", [0]),
        ("fl & 6", [0, 4]),
        ("fl & 1", [0, 1, 3]),
        ("fl % 2", [0, 1, 3]),
        ("fl ^ 2", [1]),
        ("~fl & 2", [1, 3]),
        ("fl >> 1", [0, 4]),
        ("fl | 0", [0]),
        ("not good", [0, 3]),
        ("fl in (1, 2)", [0, 3]),
        ("fl | where(good, 0, 1)", [0]),
        ("mag > 24", [0, 3]),
    ],
)
def test_a_missing_flag_is_not_zero(tmp_path, kind, flag, rows):
    if kind == "frame of floats" and "^" in flag:
        pytest.skip("a power is written **")
    source = as_source(kind, tmp_path)
    with pytest.warns(
        UserWarning, match="is unknown in 2 of 6 rows, where .* is missing"
    ) as caught:
        catalog = Catalog.read(source, flag=flag)
    np.testing.assert_array_equal(catalog.ra - 10, rows)
    assert catalog.n_flagged == N - len(rows)
    (advice,) = re.findall(r"pass flag='(.*)'$", str(caught[0].message))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = Catalog.read(source, flag=advice)
    np.testing.assert_array_equal(kept.ra - 10, sorted({*rows, 2, 5}))


def test_flags_and_selection_together():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        catalog = Catalog.read(masked_table(), select="ra < 14.5", flag="fl & 4")
    np.testing.assert_array_equal(catalog.ra, [10, 11, 14])
    assert (catalog.n_unselected, catalog.n_flagged) == (1, 2)
    # Only rows that the selection keeps are counted.
    assert [re.findall("unknown in (.*?) rows", str(w.message)) for w in caught] == [["1 of 6"]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"select": "mag > 40"},
            "no row has mag > 40; it is unknown in 2 of 6 rows",
        ),
        ({"flag": "fl >= 0"}, r"every row is flagged by fl >= 0; it is unknown in 2 of 6 rows"),
        ({"select": "good", "flag": "fl != 40"}, "every row is flagged"),
    ],
)
def test_nothing_left(options, message):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=f"the catalog is empty: .*{message}"):
            Catalog.read(masked_table(), **options)


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_value_in_a_field_names_its_row(tmp_path, kind):
    source = as_source(kind, tmp_path)
    for text in ("mag", "1/mag", "fl + 1", "where(good, 1, 2)"):
        with pytest.raises(ValueError, match=r"masked values in w .*rows 2 \(nan\), 5 \(nan\)"):
            Catalog.read(source, columns={"w": text})
    with pytest.warns(UserWarning, match=r"dropped 2 of 6 rows .*\(w 2\)"):
        assert len(Catalog.read(source, columns={"w": "fl + 1"}, on_bad="drop")) == 4


def test_backticks_in_the_advice():
    table = masked_table()
    table.rename_column("mag", "mag auto")
    with pytest.warns(UserWarning, match="not isfinite\\(`mag auto`\\)"):
        Catalog.read(table, select="`mag auto` < 24")
    with pytest.warns(UserWarning, match="select='\\(band == \"r\"\\) or not isfinite\\(band\\)'"):
        Catalog.read(table, select="band == 'r'")


def test_conditions_without_missing_values_say_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Catalog.read(masked_table(), select="ra in (10, 11) or dec > 0", flag="ra > 14")


# ---------------------------------------------------------------------- advice, followed
def advice(run, key):
    """What a warning or an error says to pass for `key`."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            run()
            text = " ".join(str(w.message) for w in caught)
        except ValueError as error:
            text = str(error)
    found = re.search(rf"{key}='([^']*)'", text)
    assert found, text
    return found[1]


NAMES = ["flag", "fl-x", "my flag", "class"]


@pytest.mark.parametrize("name", NAMES)
def test_advice_quotes_names_of_flags(name):
    missing = np.ma.MaskedArray([0, 0, 4], mask=[0, 1, 0])
    table = {"ra": [1.0, 2.0, 3.0], "dec": [0.0, 0.0, 0.0], name: missing}
    told = advice(lambda: Catalog.read(table, flag=name), "flag")
    assert Catalog.read(table, flag=told).ra.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("name", NAMES)
def test_advice_quotes_names_of_conditions(name):
    missing = np.ma.MaskedArray([True, False, False], mask=[0, 1, 0])
    table = {"ra": [1.0, 2.0, 3.0], "dec": [0.0, 0.0, 0.0], name: missing}
    told = advice(lambda: Catalog.read(table, select=name), "select")
    assert Catalog.read(table, select=told).ra.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("ra", "dec"), [("RA", "DEC"), ("RA-d", "DEC-d"), ("ra (deg)", "dec (deg)")]
)
@pytest.mark.parametrize("code", [0.0, -99.0, -999.0])
def test_advice_on_codes_for_missing_positions(ra, dec, code):
    table = {ra: [1.0, 2.0, 3.0, *[code] * 2] + [4.0] * 4, dec: [5.0] * 3 + [code] * 2 + [6.0] * 4}
    columns = {"ra": ra, "dec": dec}
    told = advice(lambda: Catalog.read(table, columns=columns), "select")
    assert len(Catalog.read(table, columns=columns, select=told)) == 7


def test_advice_on_codes_for_missing_shapes():
    table = {"ra": [1.0, 2.0, 3.0], "dec": [0.0] * 3, "e-1": [0.1, -99.0, 0.2], "e-2": [0.0] * 3}
    columns = {"g1": "e-1", "g2": "e-2"}
    told = advice(lambda: Catalog.read(table, columns=columns), "select")
    assert Catalog.read(table, columns=columns, select=told).g1.tolist() == [0.1, 0.2]


def test_a_condition_of_text_is_called_text():
    table = {"ra": [1.0, 2.0], "dec": [0.0, 0.0], "ok": ["True", "False"]}
    with pytest.raises(TypeError, match=r"gives text, .*ok == 'r'"):
        Catalog.read(table, select="ok")


def test_a_mark_for_what_is_missing_is_shown():
    table = {"ra": ["1.0", "*", "3.0"], "dec": [0.0, 1.0, 2.0]}
    with pytest.raises(TypeError, match=r"ra .* holds text where .*'\*' in row 1"):
        Catalog.read(table)
