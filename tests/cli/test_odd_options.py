"""Odd texts for options: taken, or refused in one line that names the option."""

from __future__ import annotations

import random

import pytest

from tests.helpers import odd_options

#: How many cases of each command are tried; another seed tries others.
CASES, SEED = 40, 21


@pytest.mark.slow
@pytest.mark.parametrize("name", odd_options.COMMANDS)
def test_odd_options_are_taken_or_refused_by_name(name, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setenv("PYSOFTCORR_THREADS", "2")
    with odd_options.in_a_folder():
        command = [name.partition(" ")[0], *odd_options.COMMANDS[name].split()]
        assert odd_options.fault(command, "", "") == ("", "taken")
        every = list(odd_options.cases(name))
        random.Random(SEED).shuffle(every)
        found = [(case[0][-1], *odd_options.fault(*case)) for case in every[:CASES]]
    assert [(words, bad) for words, bad, _ in found if bad] == []
    assert sum(word == "refused" for _, _, word in found) > CASES / 3  # else the cases are none
