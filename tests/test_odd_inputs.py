"""Absurd arguments: a seeded thousand of all of them works or is refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from pysoftcorr.core import memory, options
from tests.helpers import odd_inputs

#: Names of tests: Python does not print integers of 5000 digits.
LENGTHS = ["30", "400", "5000", "-400", "64 bits"]
#: How many cases are tried of some twelve thousand; another seed tries others.
CASES, SEED = 1000, 21
#: Words that no message may say of these, beside a "NaN" that is one of the arguments.
BAD = {"foreign", "foreign text", "hang", "changed", "numpy warning"}


@pytest.fixture(scope="module")
def targets() -> odd_inputs.Targets:
    pytest.importorskip("torch")
    return odd_inputs.Targets()


def test_good_arguments_are_taken(targets):
    """Where one of them is refused, so is whatever is odd about another: nothing is tried."""
    for name in targets.table:
        targets.good(name)


def test_a_thousand_odd_arguments_are_taken_or_refused(targets):
    every = list(targets.cases())
    rng = np.random.default_rng(SEED)
    chosen = rng.choice(len(every), CASES, replace=False)
    bad, unnamed, refused, silent = [], [], 0, []
    for k in sorted(chosen.tolist()):
        case = every[k]
        found = targets.outcome(case)
        word = found.word
        if case.same and word == "works":
            word = (
                "changed" if odd_inputs.differs(targets.good(case.target), found.result) else word
            )
        if word in BAD:
            bad.append(f"{word}: {case}: {found.text}")
        if word == "unnamed":
            unnamed.append(f"{case}: {found.text}")
        if word == "NaN":
            silent.append(str(case))
        refused += word == "refused"
    assert bad == []
    # A message that names another argument, which is as much at fault, is no fault.
    assert len(unnamed) <= 0.01 * CASES, "\n".join(unnamed)
    assert len(silent) <= 0.005 * CASES, silent
    assert refused > 0.6 * CASES  # else the cases are none


def test_the_fuzz_finds_faults():
    """What is to be found is found: a foreign exception, numpy's text, NaN, a hang of no end."""

    def broken(a=1.0):
        if a is None:
            return {}["x"]
        if isinstance(a, str):
            return float(a + "x")
        if isinstance(a, list):
            while True:
                pass
        return np.nan * a if np.ndim(a) == 0 and isinstance(a, float) and a < 0 else 1.0

    targets = object.__new__(odd_inputs.Targets)
    targets.table = {"broken": (broken, {"a": 1.0})}
    before, odd_inputs.LIMIT = odd_inputs.LIMIT, 1
    try:
        words = {c.odd: targets.outcome(c).word for c in targets.cases()}
    finally:
        odd_inputs.LIMIT = before
    assert words["None"] == "foreign"
    assert words["text"] == "unnamed"
    assert words["list"] == "hang"
    assert words["-1e308"] == "NaN"


@pytest.mark.parametrize("value", [10**30, 10**400, 10**5000, -(10**400), 2**63], ids=LENGTHS)
def test_integers_of_any_length_are_refused_in_a_line(value):
    with pytest.raises(ValueError, match=r"^chains = -?[\d^]+: must be") as refusal:
        options.integer("chains", value, least=1, most=100)
    assert len(str(refusal.value)) < 120
    with pytest.raises(ValueError, match="64 bits"):
        options.integer("seed", value)


@pytest.mark.parametrize("value", [10**400, -(10**5000)], ids=LENGTHS[:2])
def test_integers_beyond_floats_are_no_numbers(value):
    with pytest.raises(ValueError, match=r"^mass = -?10\^\d+: must be"):
        options.number("mass", value)


def test_counts_are_checked_against_memory(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 1e9)
    assert options.count("draws", 1_000_000, each=900.0) == 1_000_000
    with pytest.raises(ValueError, match=r"draws = 2000000: must fit into memory; .*1.8 GB.*1 GB"):
        options.count("draws", 2_000_000, each=900.0)
    assert memory.available_memory() > 0


@pytest.mark.parametrize(
    "values",
    ["text", ["1", "2"], [1j, 2.0], [None, 1.0], np.ma.MaskedArray([1.0, 2.0], [True, False]),
     [[1.0], [1.0, 2.0]], {"a": 1}, object()],
)  # fmt: skip
def test_what_is_no_array_of_numbers_is_refused(values):
    with pytest.raises((TypeError, ValueError), match=r"^theta (=|has masked)"):
        options.numbers("theta", values)


def test_arrays_of_any_memory_are_the_same_numbers():
    good = np.arange(6.0).reshape(2, 3)
    for odd, change in odd_inputs.SAME.items():
        found = options.numbers("theta", change(good))
        assert found.flags["C_CONTIGUOUS"], odd
        assert found.dtype == np.float64, odd
        assert found.dtype.isnative, odd
        assert (found == good).all(), odd


def test_values_that_cannot_be_printed_are_named_by_their_type():
    class Broken:
        def __repr__(self):
            raise RuntimeError("no")

    assert options.shown(Broken()) == "an object of type Broken"
    assert len(options.shown(np.ones((100, 100)))) < 90


def test_a_catalog_needs_more_than_one_cluster():
    from pysoftcorr import Catalog, SoftClustering, xi_pm

    rng = np.random.default_rng(1)
    cat = Catalog(ra=rng.random(20), dec=rng.random(20), g1=np.zeros(20), g2=np.zeros(20))
    for one in (1, SoftClustering(n_clusters=1, seed=1)):
        with pytest.raises(ValueError, match=r"clusters = 1: .*pairs of clusters"):
            xi_pm(cat, "linear:0:60:3", clusters=one, seed=1)
