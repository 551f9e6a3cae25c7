"""Gradients of soft correlation functions whose bins are shared among workers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.shuffled_farm import shuffled
from helpers.soft_inputs import columns
from pysoftcorr.core.farm import connection
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.differentiable import SoftCorrelation

BINS = "log:2:80:5"  # an odd number, of which a block has two

CASES = [
    # approach, geometry, objects (from 1,000 on through a tree), more
    ("naive", "sky", 1050, {}),
    ("naive", "flat", 60, {"statistic": "xim", "weighting": "gaussian"}),
    ("soft", "sky", 60, {}),
    ("soft", "flat", 60, {"through": "unrolled", "statistic": "xim"}),
    ("gumbel", "sky", 60, {"straight_through": True}),
    ("hard", "sky", 60, {"rule": "literal"}),
]


def estimator(approach: str, catalog: Catalog, more: dict, **workers: object) -> SoftCorrelation:
    return SoftCorrelation(BINS, approach=approach, clusters=12, seed=1, **more, **workers)


@pytest.mark.filterwarnings("ignore:fuzzy c-means did not converge:UserWarning")
@pytest.mark.parametrize(("approach", "geometry", "n", "more"), CASES)
def test_shared_gradients_are_those_of_one_process(
    approach: str, geometry: str, n: int, more: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = Catalog(**columns(geometry, n))
    cotangent = np.array([0.3, -1.0, 0.0, 2.0, 0.5])
    plain = estimator(approach, catalog, more)
    value, whole = plain.value_and_jacobian(catalog)
    one = plain.vjp(catalog, cotangent)
    found = []
    for order in (1, 2):
        done = shuffled(monkeypatch, order)
        shared = estimator(approach, catalog, more, workers=2)
        found.append((*shared.value_and_jacobian(catalog), shared.vjp(catalog, cotangent)))
        assert done["blocks"] == 6
    np.testing.assert_allclose(found[0][0], value, rtol=1e-11)
    for name, rows in whole.items():
        scale = np.abs(rows).max()
        np.testing.assert_allclose(found[0][1][name], rows, rtol=1e-8, atol=1e-11 * scale)
        scale = np.abs(one[name]).max()
        np.testing.assert_allclose(found[0][2][name], one[name], rtol=1e-8, atol=1e-11 * scale)
        for part in (1, 2):
            np.testing.assert_array_equal(found[0][part][name], found[1][part][name])


def test_a_shared_jacobian_goes_to_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = Catalog(**columns("sky", 80))
    plain = estimator("naive", catalog, {}).jacobian(catalog)
    shuffled(monkeypatch, 5)
    shared = estimator("naive", catalog, {}, workers=2)
    there = shared.jacobian(catalog, out=tmp_path / "a.npy")
    assert np.load(tmp_path / "a.npy").shape == (5, 5, 80)
    for name, rows in plain.items():
        np.testing.assert_allclose(there[name], rows, rtol=1e-9, atol=1e-14)


def test_bins_without_pairs_are_said_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    shuffled(monkeypatch)
    catalog = Catalog(ra=[150.0, 150.5], dec=[2.0, 2.0], g1=[0.1, 0.1], g2=[0.0, 0.0])
    shared = SoftCorrelation("linear:0:8000:4", approach="naive", sharpness=1.0, workers=1)
    with pytest.warns(UserWarning, match=r"no pairs in bins 1, 2, 3 of") as caught:
        shared.jacobian(catalog)
    assert len(caught) == 1


def test_gradients_of_real_workers(scheduler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = Catalog(**columns("sky", 200))
    shared = estimator("soft", catalog, {}, scheduler=scheduler)
    found = shared.jacobian(catalog)
    assert shared.timings["pairs"] > 0
    shuffled(monkeypatch)
    one = estimator("soft", catalog, {}, workers=1).jacobian(catalog)
    for name, rows in found.items():
        np.testing.assert_array_equal(one[name], rows)


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"workers": 0}, ValueError, "workers = 0: must be at least 1"),
        ({"workers": 2, "scheduler": "tcp://a:1"}, ValueError, "both given"),
        ({"scheduler": 3}, TypeError, "scheduler must be an address"),
    ],
)
def test_wrong_workers_are_named(options: dict, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        SoftCorrelation(BINS, approach="naive", **options)


def test_a_scheduler_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_CONNECT_SECONDS", 0.5)
    catalog = Catalog(**columns("sky", 20))
    shared = SoftCorrelation(BINS, approach="naive", scheduler="tcp://127.0.0.1:9")
    for ask in (shared.jacobian, lambda c: shared.vjp(c, np.ones(5))):
        with pytest.raises(ConnectionError, match="no dask scheduler answers at tcp"):
            ask(catalog)
