"""Bins: edges, units, text form, and every way of asking for impossible ones."""

import json
import math
import pickle

import astropy.units as u
import numpy as np
import pytest

from pysoftcorr.sky.binning import Binning


def test_linear_edges_and_centers():
    bins = Binning.linear(0, 45, 8)
    assert bins.nbins == len(bins) == 8
    np.testing.assert_array_equal(bins.edges, np.linspace(0, 45, 9))
    np.testing.assert_allclose(bins.centers, (np.arange(8) + 0.5) * 45 / 8, rtol=1e-15)
    np.testing.assert_allclose(bins.widths, 45 / 8, rtol=1e-14)
    assert bins.kind == "linear"
    assert bins.unit == "arcmin"


def test_log_edges_end_exactly_and_centers_are_geometric():
    bins = Binning.log(0.5, 50, 20)
    assert bins.edges[0] == 0.5
    assert bins.edges[-1] == 50
    ratio = bins.edges[1:] / bins.edges[:-1]
    np.testing.assert_allclose(ratio, 100 ** (1 / 20), rtol=1e-13)
    np.testing.assert_allclose(bins.centers**2, bins.edges[1:] * bins.edges[:-1], rtol=1e-14)


def test_explicit_edges_are_copied_and_frozen():
    edges = np.array([0.0, 1.0, 5.0])
    bins = Binning.explicit(edges)
    edges[1] = 4
    np.testing.assert_array_equal(bins.edges, [0, 1, 5])
    with pytest.raises(ValueError, match="read-only"):
        bins.edges[0] = 1


@pytest.mark.parametrize(
    ("unit", "one_degree"), [("deg", 1), ("arcmin", 60), ("arcsec", 3600), ("rad", math.pi / 180)]
)
def test_units_agree_in_radians(unit, one_degree):
    bins = Binning.explicit([0, one_degree, 2 * one_degree], unit)
    np.testing.assert_allclose(bins.edges_rad, np.deg2rad([0, 1, 2]), rtol=1e-15)


@pytest.mark.parametrize(
    ("unit", "name"),
    [(u.arcmin, "arcmin"), (u.deg, "deg"), ("degrees", "deg"), ("Arcminute", "arcmin")],
)
def test_other_spellings_of_units(unit, name):
    assert Binning.linear(0, 1, 1, unit).unit == name


def test_chords_bin_pairs_as_their_separations_do():
    bins = Binning.log(1, 10000, 50)
    theta = bins.edges_rad
    np.testing.assert_allclose(bins.edges_chord2, 2 * (1 - np.cos(theta)), rtol=1e-6)
    assert np.all(np.diff(bins.edges_chord2) > 0)
    half_turn = Binning.linear(0, 180, 3, "deg")
    assert half_turn.edges_rad[-1] == math.pi
    assert half_turn.edges_chord2[-1] == 4.0


@pytest.mark.parametrize("unit", ["deg", "arcmin", "arcsec", "rad"])
def test_half_a_turn_is_allowed_in_every_unit(unit):
    end = {"deg": 180, "arcmin": 10800, "arcsec": 648000, "rad": math.pi}[unit]
    assert Binning.linear(0, end, 4, unit).edges_rad[-1] == pytest.approx(math.pi, rel=1e-15)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("linear:0:45:8", Binning.linear(0, 45, 8)),
        (" Linear: 0 : 45 : 8 ", Binning.linear(0, 45, 8)),
        ("log:0.5:50:20", Binning.log(0.5, 50, 20)),
        ("log:5e-1:5e1:20", Binning.log(0.5, 50, 20)),
        ("edges:0,1,5", Binning.explicit([0, 1, 5])),
    ],
)
def test_parse(text, expected):
    assert Binning.parse(text) == expected


def test_parse_keeps_the_unit():
    assert Binning.parse("linear:0:1:2", unit="deg") == Binning.linear(0, 1, 2, "deg")


def test_text_form_can_be_parsed_again():
    for bins in (Binning.linear(0, 45, 8), Binning.explicit([0, 0.1, 1 / 3])):
        text, unit = str(bins).split(" ")
        assert Binning.parse(text, unit) == bins


def test_equality_and_hash():
    a, b = Binning.linear(0, 45, 8), Binning.linear(0, 45, 8)
    assert a == b
    assert hash(a) == hash(b)
    assert a != Binning.linear(0, 45, 9)
    assert a != Binning.linear(0, 45, 8, "deg")
    assert a != Binning.explicit(a.edges)
    assert a != "linear:0:45:8"


@pytest.mark.parametrize(
    "bins", [Binning.linear(0, 45, 7), Binning.log(0.1, 16, 20, "deg"), Binning.explicit([0, 1e-9])]
)
def test_round_trips(bins):
    assert Binning.from_dict(json.loads(json.dumps(bins.to_dict()))) == bins
    assert pickle.loads(pickle.dumps(bins)) == bins


def test_from_dict_names_wrong_keys():
    with pytest.raises(ValueError, match="need the keys edges, kind, unit; got edges"):
        Binning.from_dict({"edges": [0, 1]})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Binning.linear(5, 5, 3), "hi = 5 is not above lo = 5"),
        (lambda: Binning.linear(5, 1, 3), "must increase"),
        (lambda: Binning.linear(0, 45, 0), "n = 0: must be at least 1"),
        (lambda: Binning.linear(0, np.inf, 3), "finite"),
        (lambda: Binning.linear(np.nan, 1, 3), "finite"),
        (lambda: Binning.linear(-1, 1, 3), "lo = -1: must not be negative"),
        (lambda: Binning.linear(0, 181, 3, "deg"), "exceed 180 degrees"),
        (lambda: Binning.linear(0, 45, 3, "parsec"), "unit = 'parsec': must be one of arcsec"),
        (lambda: Binning.log(0, 45, 3), "lo > 0"),
        (lambda: Binning.explicit([0, 2, 1]), r"edge 2 = 1 is not above edge 1 = 2"),
        (lambda: Binning.explicit([0, 1, 1]), "must increase"),
        (lambda: Binning.explicit([1]), "at least two"),
        (lambda: Binning.explicit([]), "edges"),
        (lambda: Binning.explicit([0, np.nan]), "edge 1 is nan"),
        (lambda: Binning([0, 1], "round"), "kind = 'round'"),
        (lambda: Binning.parse("linear:0:45"), "three numbers; got 2"),
        (lambda: Binning.parse("linear:0:45:8.5"), "not whole"),
        (lambda: Binning.parse("linear:0:x:8"), "'x' is not a number"),
        (lambda: Binning.parse("edges:0,,5"), "'' is not a number"),
        (lambda: Binning.parse("cubic:0:1:2"), "must read 'linear:LO:HI:N'"),
        (lambda: Binning.parse("linear:0:45:inf"), "not whole"),
        (lambda: Binning.parse(""), "must read"),
    ],
)
def test_impossible_bins_are_value_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Binning.linear(0, 45, 3.0), "must be a whole number"),
        (lambda: Binning.linear(0, 45, True), "must be a whole number"),
        (lambda: Binning.linear("a", 45, 3), "must be a number"),
        (lambda: Binning.linear(None, 45, 3), "must be a number"),
        (lambda: Binning.explicit(["a", "b"]), "real numbers"),
        (lambda: Binning.explicit([[0, 1], [1, 2]]), "one dimension"),
        (lambda: Binning.explicit([0, 1j]), "real numbers"),
        (lambda: Binning.parse(3), "bins must be text"),
    ],
)
def test_wrong_kinds_are_type_errors(make, message):
    with pytest.raises(TypeError, match=message):
        make()
