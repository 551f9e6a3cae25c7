"""The table of pairs within ellipsoids: against the integrals, and means over many halos."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from pysoftcorr.mocks.tabulated.ellipsoid_pairs import ellipsoid_cumulatives
from pysoftcorr.mocks.tabulated.ellipsoid_table import EllipsoidTable, PairGrid


@pytest.fixture(scope="module")
def many() -> dict[str, np.ndarray]:
    """Halos of all shapes that the shipped grid covers."""
    rng = np.random.default_rng(8)
    n = 6000
    c_to_a = rng.uniform(0.15, 1, n)
    return {
        "c": np.exp(rng.uniform(np.log(1.5), np.log(80), n)),
        "b_to_a": c_to_a ** rng.uniform(0, 1, n), "c_to_a": c_to_a,
    }  # fmt: skip


@pytest.fixture(scope="module")
def table(many) -> EllipsoidTable:
    return EllipsoidTable.of(
        many["c"], np.ones(len(many["c"])), many["b_to_a"], many["c_to_a"], 0.1
    )


def test_the_shipped_grid_is_that_of_the_integrals() -> None:
    grid = PairGrid.shipped()
    c, ratio = np.exp(grid.log_c[[4, 11]]), grid.log_ratio[[3, 9]]
    for k, j in ((0, 1), (1, 4)):
        between = grid.between[j]
        found = ellipsoid_cumulatives(
            c, np.exp(ratio[k : k + 1] * between), np.exp(ratio[k : k + 1]), np.exp(grid.log_x)
        )[:, 0]
        shipped = grid.values[[4, 11], [3, 9][k], j]
        np.testing.assert_allclose(shipped, found, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("c", "b_to_a", "c_to_a"), [
    (3.3, 0.62, 0.47), (7.1, 0.97, 0.9), (21.0, 0.33, 0.21), (60.0, 0.7, 0.69),
])  # fmt: skip
def test_halos_between_points_of_the_grid(table, c, b_to_a, c_to_a) -> None:
    x = np.geomspace(0.02, 2.5, 9)
    halo = [np.array([value]) for value in (c, b_to_a, c_to_a)]
    wanted = ellipsoid_cumulatives(*halo, x)[0, 0]
    found = table.within(*halo, x[None])[0]
    # Parts of the pairs: those of the second and fourth column are of the order of a tenth.
    np.testing.assert_allclose(found[:, [0, 2]], wanted[:, [0, 2]], rtol=5e-3)
    scale = wanted[:, [0, 2, 2]]
    assert (np.abs(found[:, [1, 3, 4]] - wanted[:, [1, 3, 4]]) < 2e-3 * scale).all()


def test_one_point_a_halo_gives_the_mean_of_all(table, many) -> None:
    distance = np.broadcast_to(np.geomspace(0.05, 2, 6), (len(many["c"]), 6))
    every = table.within(*many.values(), distance)
    one = table.within(*many.values(), distance, first=0)
    difference = one - every
    error = difference.std(axis=0) / np.sqrt(len(difference))
    assert (np.abs(difference.mean(axis=0)) < 3 * error + 1e-9).all()
    # The points lie close: what one of them is off by is little beside how halos differ.
    assert (difference.std(axis=0) < 0.25 * every.std(axis=0) + 1e-9).all()
    # Runs of the sequence are even by themselves.
    for start in range(0, 6000, 300):
        part = slice(start, start + 300)
        some = table.within(
            *(x[part] for x in many.values()), distance[part], first=start
        ) - every[part]  # fmt: skip
        assert np.abs(some.mean(axis=0) / (error * np.sqrt(20) + 1e-12)).max() < 4.5


@pytest.mark.parametrize(("c", "ratio", "edge"), [
    ((0.6, 0.7), (0.5, 0.55), 0.1),
    pytest.param((8.0, 9.0), (0.07, 0.08), 0.1, marks=pytest.mark.long),
    pytest.param((8.0, 9.0), (0.5, 0.55), 5e-4, marks=pytest.mark.long),
])  # fmt: skip
def test_halos_beyond_the_shipped_grid_have_one_of_their_own(monkeypatch, c, ratio, edge) -> None:
    monkeypatch.setattr(PairGrid, "shipped", lambda: pytest.fail("does not cover these halos"))
    c, ratio = np.array(c), np.array(ratio)
    table = EllipsoidTable.of(c, np.ones(2), np.sqrt(ratio), ratio, edge)
    x = np.array([[2 * edge, 0.3, 1.2]] * 2)
    found = table.within(c, np.sqrt(ratio), ratio, x)
    for k in range(2):
        wanted = ellipsoid_cumulatives(
            c[k : k + 1], np.sqrt(ratio[k : k + 1]), ratio[k : k + 1], x[0]
        )
        np.testing.assert_allclose(found[k][:, [0, 2]], wanted[0, 0][:, [0, 2]], rtol=5e-3)
