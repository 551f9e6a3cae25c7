"""Missing values in expressions: the truth tables of SQL, and every type of column."""

import itertools

import numpy as np
import pytest

from pysoftcorr.core.expressions import Expression

T, F, U = True, False, None
KLEENE = (T, F, U)


def flags(values):
    """Truth values, None as masked."""
    return np.ma.array([bool(v) for v in values], mask=[v is None for v in values])


def plain(result):
    """A result as a list, None where it is masked or NaN."""
    result = np.ma.asarray(result)
    mask = np.ma.getmaskarray(result)
    values = [None if m else v.item() for v, m in zip(np.ma.getdata(result), mask, strict=True)]
    return [None if v != v else v for v in values]


def value(text, **columns):
    return Expression(text).evaluate(columns.__getitem__)


def tribool_or(a, b):
    if a is True or b is True:
        return True
    return None if None in (a, b) else False


def tribool_not(a):
    return None if a is None else not a


PAIRS = list(itertools.product(KLEENE, KLEENE))
LEFT, RIGHT = ([p[k] for p in PAIRS] for k in range(2))


@pytest.mark.parametrize("form", ["a or b", "a | b", "not (not a and not b)", "~(~a & ~b)"])
def test_or_and_not_follow_the_truth_tables(form):
    got = plain(value(form, a=flags(LEFT), b=flags(RIGHT)))
    assert got == [tribool_or(a, b) for a, b in PAIRS]


@pytest.mark.parametrize("form", ["a and b", "a & b", "not (not a or not b)"])
def test_and_follows_the_truth_table(form):
    got = plain(value(form, a=flags(LEFT), b=flags(RIGHT)))
    assert got == [tribool_not(tribool_or(tribool_not(a), tribool_not(b))) for a, b in PAIRS]


def test_exclusive_or_is_unknown_where_a_side_is():
    got = plain(value("a ^ b", a=flags(LEFT), b=flags(RIGHT)))
    assert got == [None if None in p else p[0] != p[1] for p in PAIRS]


def test_random_conditions_agree_with_a_walk_over_rows():
    """Trees of and, or, not over masked columns against Python's own, row by row."""
    rng = np.random.default_rng(11)
    n = 40
    columns = {name: [KLEENE[k] for k in rng.integers(0, 3, n)] for name in "abc"}
    given = {name: flags(values) for name, values in columns.items()}

    def build(depth):
        if depth == 0:
            name = str(rng.choice(list("abc")))
            return name, columns[name]
        kind = rng.integers(0, 3)
        text, rows = build(depth - 1)
        if kind == 0:
            return f"(not {text})", [tribool_not(a) for a in rows]
        other, others = build(depth - 1)
        if kind == 1:
            return f"({text} or {other})", [
                tribool_or(a, b) for a, b in zip(rows, others, strict=True)
            ]
        return f"({text} and {other})", [
            tribool_not(tribool_or(tribool_not(a), tribool_not(b)))
            for a, b in zip(rows, others, strict=True)
        ]

    for _ in range(60):
        text, expected = build(int(rng.integers(1, 5)))
        assert plain(value(text, **given)) == expected, text


MISSING = {
    "masked int": np.ma.array([4, 9, 1], mask=[0, 1, 0]),
    "masked int8": np.ma.array([4, 9, 1], mask=[0, 1, 0], dtype=np.int8),
    "masked uint64": np.ma.array([4, 9, 1], mask=[0, 1, 0], dtype=np.uint64),
    "masked big-endian": np.ma.array([4, 9, 1], mask=[0, 1, 0], dtype=">i4"),
    "float with NaN": np.array([4.0, np.nan, 1.0]),
    "masked float": np.ma.array([4.0, 9.0, 1.0], mask=[0, 1, 0]),
    "objects with None": np.array([4, None, 1], dtype=object),
    "objects with NaN": np.array([4, float("nan"), 1], dtype=object),
}


@pytest.mark.parametrize("kind", MISSING)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x == 4", [T, U, F]),
        ("x != 4", [F, U, T]),
        ("not x == 4", [F, U, T]),
        ("x & 4", [4, U, 0]),
        ("x | 2", [6, U, 3]),
        ("x ^ 5", [1, U, 4]),
        ("~x & 7", [3, U, 6]),
        ("x << 1", [8, U, 2]),
        ("x >> 1", [2, U, 0]),
        ("x % 3", [1, U, 1]),
        ("x & 4 == 0", [F, U, T]),
        ("x in (1, 2)", [F, U, T]),
        ("x not in (1, 2)", [T, U, F]),
        ("x in [4]", [T, U, F]),
        ("x in (4)", [T, U, F]),
        ("isfinite(x)", [T, F, T]),
        ("not isfinite(x) or x > 3", [T, T, F]),
        ("isfinite(x) and x > 3", [T, F, F]),
        ("x > 3 or y > 0", [T, T, T]),
        ("x > 3 and y < 0", [F, F, F]),
        ("1 < x < 5", [T, U, F]),
        ("where(isfinite(x), x, 0) == 0", [F, T, F]),
        ("where(x > 3, y, 0)", [1.0, U, 0.0]),
        ("not x", [F, U, F]),
    ],
)
def test_missing_numbers(kind, text, expected):
    if kind in ("float with NaN", "objects with NaN", "masked float") and "^" in text:
        with pytest.raises(TypeError, match=r"a power is written \*\*"):
            value(text, x=np.array([4.0, 1.0]), y=np.ones(2))
        return
    got = plain(value(text, x=MISSING[kind], y=np.ones(3)))
    assert got == expected


@pytest.mark.parametrize("kind", [k for k in MISSING if "NaN" not in k])
def test_arithmetic_passes_on_what_is_missing(kind):
    for text in ("x + 1", "-x", "x*2.5", "minimum(x, 3)", "hypot(x, 1)", "sqrt(x)", "x**2"):
        result = value(text, x=MISSING[kind])
        assert np.ma.getmaskarray(result).tolist() == [False, True, False], text
        assert result.dtype == np.float64


TEXTS = {
    "text": np.array(["r", "i", "z"]),
    "padded bytes": np.array([b"r   ", b"i\0\0", b"z"], dtype="S4"),
    "padded text": np.array(["r  ", "i ", "z"]),
    "objects": np.array(["r", b"i ", "z"], dtype=object),
}


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("band == 'r'", [T, F, F]),
        ("band == 'r '", [T, F, F]),
        ("band != 'r'", [F, T, T]),
        ("band in ('r', 'i')", [T, T, F]),
        ("band in ('r ', 'y')", [T, F, F]),
        ("band not in ('r', 'i')", [F, F, T]),
        ("'z' == band", [F, F, T]),
        ("isfinite(band)", [T, T, T]),
    ],
)
def test_padding_of_text_does_not_count(kind, text, expected):
    assert plain(value(text, band=TEXTS[kind])) == expected


@pytest.mark.parametrize(
    "band",
    [
        np.ma.array(["r", "r", "z"], mask=[0, 1, 0]),
        np.ma.array([b"r ", b"r ", b"z "], mask=[0, 1, 0]),
        np.array(["r", None, "z"], dtype=object),
        np.array([b"r", float("nan"), b"z"], dtype=object),
        np.array(["r", "", "z"]),
        np.array([b"r", b"  ", b"z"]),
        np.array([b"r", b"\0", b"z"]),
    ],
)
def test_missing_text_satisfies_nothing(band):
    assert plain(value("band == 'r'", band=band)) == [T, U, F]
    assert plain(value("band != 'r'", band=band)) == [F, U, T]
    assert plain(value("band in ('r', 'z')", band=band)) == [T, U, T]
    assert plain(value("not band == 'r'", band=band)) == [F, U, T]
    assert plain(value("isfinite(band)", band=band)) == [T, F, T]


def test_null_truth_values():
    good = np.array([True, None, False], dtype=object)
    assert plain(value("not good", good=good)) == [F, U, T]
    assert plain(value("good or True", good=good)) == [T, T, T]
    assert plain(value("good and False", good=good)) == [F, F, F]
    assert plain(value("good == True", good=good)) == [T, U, F]
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    nullable = np.array([True, pandas.NA, False], dtype=object)
    assert plain(value("~nullable", nullable=nullable)) == [F, U, T]


@pytest.mark.parametrize(
    ("ids", "wanted"),
    [
        (np.array([2**62 + 1, 2**62 + 3, 5]), 2**62 + 1),
        (np.array([2**63 + 1, 2**63 + 3, 5], dtype=np.uint64), 2**63 + 1),
        (np.array([2**62 + 1, 2**62 + 3, 5], dtype=np.uint64), 2**62 + 1),
        (np.array([2**62 + 1, None, 5], dtype=object), 2**62 + 1),
    ],
)
def test_big_identifiers_are_told_apart(ids, wanted):
    assert plain(value(f"i == {wanted}", i=ids))[0] is True
    assert plain(value(f"i == {wanted + 1}", i=ids))[0] is False
    assert plain(value(f"i in (7, {wanted})", i=ids))[0] is True
    assert plain(value(f"i in (7, {wanted + 1})", i=ids))[0] is False
    assert plain(value("i & 1", i=ids))[0] == 1


def test_remainders():
    i, x = np.array([7, -7, 0]), np.array([7.5, -7.5, 0.0])
    assert plain(value("i % 4", i=i)) == [3, 1, 0]
    assert value("i % 4", i=i).dtype == np.int64
    np.testing.assert_array_equal(value("x % 2", x=x), [1.5, 0.5, 0.0])
    assert plain(value("i % 0", i=i)) == [None] * 3
    assert plain(value("i % 2 == 0 and i < 5", i=i)) == [F, F, T]
    assert plain(value("7 % i", i=np.ma.array([2, 0, 3], mask=[0, 0, 1]))) == [1, None, None]


def test_float_flags_are_whole_numbers_or_named():
    assert plain(value("a | b", a=np.array([0.0, 1.0]), b=np.array([2.0, 0.0]))) == [2, 1]
    with pytest.raises(TypeError, match=r"not whole: rows 1 \(0.5\), 2 \(inf\) .*counted from 0"):
        value("a | 1", a=np.array([1.0, 0.5, np.inf]))
    with pytest.raises(TypeError, match=r"not whole: row 0 \(1e\+30\)"):
        value("~a", a=np.array([1e30]))


def test_shifts():
    assert plain(value("1 << k", k=np.array([0, 3]))) == [1, 8]
    with pytest.raises(ValueError, match=r"more than 63 bits: rows 0 \(-1\), 1 \(64\)"):
        value("1 << k", k=np.array([-1, 64]))


def test_vector_columns_keep_their_mask():
    vector = np.ma.array([[1, 2], [3, 4]], mask=[[0, 1], [0, 0]])
    assert plain(value("v[1] > 3", v=vector)) == [U, T]
    assert plain(value("v[0] > 2", v=vector)) == [F, T]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x in ('a', 'b')", "compares text with a number"),
        ("band in (1, 2)", "compares text with a number"),
        ("when > 3", "compares values of type datetime64"),
        ("band + 1", "does arithmetic on text"),
        ("isfinite(when)", "does arithmetic on values of type datetime64"),
        ("band % 2", "does arithmetic on text"),
        ("band << 1", "needs whole numbers or truth values here, not text"),
        ("odd == 1", "compares values of type object"),
    ],
)
def test_kinds_that_do_not_go_together(text, reason):
    columns = {"x": np.arange(2), "band": np.array(["a", "b"])}
    columns["when"] = np.array(["2020-01-01", "NaT"], dtype="M8[D]")
    columns["odd"] = np.array([1, "a"], dtype=object)
    with pytest.raises(TypeError, match=reason):
        value(text, **columns)
