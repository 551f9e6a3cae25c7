"""Calls through the door, in this process."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from pysoftcorr._julia import JuliaError, JuliaUnavailable, call, entries, runtime, status


def test_tables_of_both_languages_are_equal() -> None:
    text = runtime.start().owner.run(runtime.start().host.entry_table)
    version, found = entries.parse_table(text)
    assert found == entries.ENTRIES
    assert version == runtime.__version__


def test_every_entry_point_can_be_fetched() -> None:
    started = runtime.start()
    for name in entries.ENTRIES:
        started.owner.run(lambda name=name: started.function(name))


def test_self_test_counts_every_exception() -> None:
    caught = np.zeros(1, dtype=np.int64)
    call("self_test", 25, caught)
    assert caught[0] == 16 * 25


def test_exception_in_a_threaded_loop_arrives_with_its_text() -> None:
    for n in (1, 16, 100_000):
        with pytest.raises(JuliaError, match=f"element {n} of a threaded loop failed"):
            call("throw_in_loop", n)
    call("throw_in_loop", 0)  # an empty loop has nothing to throw


@pytest.mark.parametrize(
    ("args", "error", "text"),
    [
        ((1,), TypeError, r"self_test takes 2 arguments \(i64,i64\*\), 1 were given"),
        (
            (1.5, np.zeros(1, dtype=np.int64)),
            TypeError,
            r"argument 0 = 1\.5: must be a whole number",
        ),
        (
            (True, np.zeros(1, dtype=np.int64)),
            TypeError,
            "argument 0 = True: must be a whole number",
        ),
        (
            (2**63, np.zeros(1, dtype=np.int64)),
            ValueError,
            "argument 0 = 92.*: must be from -9,",
        ),
        ((1, np.zeros(1)), TypeError, "argument 1 .* of int64, got one of float64"),
        ((1, [0]), TypeError, "argument 1 must be a NumPy array of int64, got list"),
        ((1, np.zeros(4, dtype=np.int64)[::2]), TypeError, "argument 1 must be C-contiguous"),
        ((1, np.zeros((2, 3), dtype=np.int64).T), TypeError, "argument 1 must be C-contiguous"),
    ],
)
def test_wrong_arguments_are_named(args: tuple, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        call("self_test", *args)


def test_a_number_must_be_a_number() -> None:
    with pytest.raises(TypeError, match="busy: argument 0 = '1': must be a number"):
        call("busy", "1")


def test_unknown_entry_point() -> None:
    with pytest.raises(ValueError, match="no entry point named 'no_such_entry'"):
        call("no_such_entry")


def test_status_describes_the_runtime() -> None:
    says = status()
    assert says["self_test"] is True
    assert says["threads"] >= 1
    assert says["start_seconds"] > 0
    assert says["owner"] == "own thread"
    assert set(says) >= {"host", "version", "cpu", "cpu_target", "forwarddiff", "command", "image"}


def test_signature_mismatch_names_the_first_difference() -> None:
    def check(text: str) -> None:
        entries.check_table(text, version="1.2", wanted={"a": "i64", "b": "f64*,i64"})

    check("1.2\na i64\nb f64*,i64\nonly_julia_has_it f64")
    with pytest.raises(RuntimeError, match=r"Julia sources are of version 1\.1, .* of 1\.2"):
        check("1.1\na i64\nb f64*,i64")
    with pytest.raises(RuntimeError, match=r"no entry point b\(f64\*,i64\)"):
        check("1.2\na i64")
    with pytest.raises(RuntimeError, match=r"b takes \(f64\*\) in Julia and \(f64\*,i64\)"):
        check("1.2\na i64\nb f64*")


def test_unavailable_julia_says_the_same_in_another_process() -> None:
    error = JuliaUnavailable("no Julia is installed.", "install one")
    assert str(error) == "no Julia is installed. To fix this, install one"
    copied = pickle.loads(pickle.dumps(error))
    assert (str(copied), copied.reason) == (str(error), error.reason)
