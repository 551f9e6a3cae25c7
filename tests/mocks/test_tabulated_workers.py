"""Tables of halos whose boxes, sub-volumes and sites are shared among workers."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.shuffled_farm import shuffled
from pysoftcorr.core.farm import connection
from pysoftcorr.mocks import HaloCatalog, HaloTables

BINS = "log:0.3:6:4"


@pytest.fixture(scope="module")
def boxes() -> list[HaloCatalog]:
    return [
        HaloCatalog.simulate(side, 16, mmin=1e12, seed=k, subhalos=True, subhalo_mmin=5e11)
        for k, side in enumerate((40.0, 45.0))
    ]


@pytest.mark.parametrize(
    ("options", "number", "blocks"),
    [
        ({"satellites": "nfw", "subvolumes": 2}, 1, 3),
        ({"satellites": "subhalos", "places": 3, "sites": 100}, 1, 2),
        ({"assembly_split": 0.5}, 2, 2),
    ],
    ids=["nfw", "subhalos", "assembly"],
)
def test_tables_are_those_of_one_process(
    boxes: list[HaloCatalog],
    options: dict,
    number: int,
    blocks: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pysoftcorr.mocks.tabulated.subhalo_sums._IN_ALL", 20_000)
    options = {"bins": BINS, "nodes": 4, "progress": False, **options}
    plain = HaloTables.tabulate(boxes[:number], **options)
    done = shuffled(monkeypatch)
    assert HaloTables.tabulate(boxes[:number], **options, workers=2) == plain
    assert done["blocks"] == blocks


def test_tables_of_real_workers(boxes: list[HaloCatalog], scheduler: str) -> None:
    options = {"bins": BINS, "nodes": 4, "sites": 200, "progress": False}
    plain = HaloTables.tabulate(boxes, **options)
    shared = HaloTables.tabulate(boxes, **options, scheduler=scheduler)
    # Products of matrices are of BLAS, whose threads a worker has fewer of.
    for a, b in zip(plain.boxes, shared.boxes, strict=True):
        np.testing.assert_allclose(b.forms, a.forms, rtol=1e-10, atol=1e-9)
        np.testing.assert_allclose(b.one_halo, a.one_halo, rtol=1e-10)
        np.testing.assert_allclose(b.sites.of_centrals, a.sites.of_centrals, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"workers": 0}, ValueError, "workers = 0: must be at least 1"),
        ({"workers": 2, "scheduler": "tcp://a:1"}, ValueError, "both given"),
        ({"scheduler": "tcp://127.0.0.1:9"}, ConnectionError, "no dask scheduler answers at"),
        ({"workers": 1, "subvolumes": 9}, ValueError, "subvolumes = 9: parts of 4.444 Mpc/h"),
        ({"workers": 1, "bins": "log:1:25:3"}, ValueError, "pairs of halos are needed to"),
    ],
)
def test_wrong_workers_and_faults_of_blocks_are_named(
    boxes: list[HaloCatalog], options: dict, kind: type[Exception], words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if options.get("workers") == 1:
        shuffled(monkeypatch)
    monkeypatch.setattr(connection, "_CONNECT_SECONDS", 0.5)
    with pytest.raises(kind, match=words):
        HaloTables.tabulate(boxes[0], **{"bins": BINS, "nodes": 6, "progress": False, **options})
