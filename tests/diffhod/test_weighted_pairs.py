"""xi, omega and eta of weighted points: the box estimator, a brute twin, derivatives."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pysoftcorr.diffhod import DiffHOD, WeightedPairs  # noqa: E402
from pysoftcorr.diffhod.power import k_bin_edges, paint_cic, power_spectrum  # noqa: E402
from pysoftcorr.mocks import HaloCatalog, box_correlations  # noqa: E402

F64 = torch.float64
EDGES = [0.5, 1.5, 3.0, 6.0]


def sample(n: int, boxsize: float, seed: int = 1):
    rng = np.random.default_rng(seed)
    place = np.mod(rng.normal(0, 3, (n, 3)) + rng.choice([0.0, 4.0], (n, 1)), boxsize)
    axis = rng.normal(size=(n, 3))
    return place, rng.uniform(0, 1, n), axis / np.linalg.norm(axis, axis=1)[:, None]


def by_hand(place, w, axis, boxsize: float, edges):
    sums = np.zeros((3, len(edges) - 1))
    for i in range(len(place)):
        for j in range(len(place)):
            d = place[i] - place[j]
            d -= boxsize * np.round(d / boxsize)
            r = np.linalg.norm(d)
            b = np.searchsorted(edges, r, side="left") - 1
            if i == j or not 0 <= b < len(edges) - 1:
                continue
            terms = 1, (axis[i] @ d / r) ** 2, (axis[i] @ axis[j]) ** 2
            sums[:, b] += w[i] * w[j] * np.array(terms)
    shell = 4 / 3 * np.pi * np.diff(np.power(edges, 3)) / boxsize**3
    xi = sums[0] / (w.sum() ** 2 * shell) - 1
    return xi, sums[1] / sums[0] - 1 / 3, sums[2] / sums[0] - 1 / 3


def test_the_sums_are_those_by_hand() -> None:
    place, w, axis = sample(60, 20.0)
    found = WeightedPairs(place, boxsize=20.0, bins=EDGES).correlations(w, axis)
    for value, expected in zip(found, by_hand(place, w, axis, 20.0, EDGES), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-12)


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-11), (torch.float32, 1e-5)])
def test_the_box_estimator(dtype: torch.dtype, atol: float) -> None:
    place, w, axis = sample(900, 60.0)
    pairs = WeightedPairs(place, boxsize=60.0, dtype=dtype)
    box = box_correlations(place, axis, boxsize=60.0, weights=w)
    found = pairs.correlations(w, axis)
    assert found.xi.dtype == dtype
    assert pairs.npairs == box.npairs.sum()
    for name in ("xi", "omega", "eta"):
        expected = getattr(box, name)
        scale = 1 + np.nanmax(np.abs(expected)) if name == "xi" else 1
        np.testing.assert_allclose(getattr(found, name), expected, rtol=0, atol=atol * scale)
    bare = pairs.correlations(w)
    assert torch.equal(torch.nan_to_num(bare.xi), torch.nan_to_num(found.xi))
    assert torch.isnan(bare.omega).all()


def test_pairs_searched_anew_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    place, w, axis = sample(400, 30.0)
    weight = torch.tensor(w, requires_grad=True)
    results = []
    for stored, searched in ((10**8, 2_000_000), (0, 2_000_000), (0, 3000)):
        monkeypatch.setattr("pysoftcorr.diffhod.pairs._SEARCHED", searched)
        pairs = WeightedPairs(place, boxsize=30.0, bins=EDGES, stored=stored)
        found = pairs.correlations(weight, axis)
        results.append([*found, torch.autograd.grad(sum(x.sum() for x in found), weight)[0]])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_derivatives_by_weights_and_axes() -> None:
    place, w, axis = sample(14, 20.0)
    pairs = WeightedPairs(place, boxsize=20.0, bins=[0.5, 3.0, 4.5, 6.0])
    weight, e = (torch.tensor(x, requires_grad=True) for x in (w, axis))
    assert torch.autograd.gradcheck(pairs.correlations, (weight, e))
    assert torch.autograd.gradcheck(lambda x: pairs.correlations(x).xi, (weight,))


def test_a_bin_without_weight_harms_no_gradient() -> None:
    pairs = WeightedPairs([[1.0, 1, 1], [1, 1, 2], [1, 1, 5]], boxsize=20.0, bins=[0.5, 2, 3.5, 5])
    w = torch.tensor([1.0, 1.0, 0.0], dtype=F64, requires_grad=True)
    found = pairs.correlations(w, np.eye(3))
    assert torch.isnan(found.eta).tolist() == [False, True, True]
    assert found.xi.tolist()[1:] == [-1, -1]
    gradient = torch.autograd.grad(found.eta[0] + found.xi.sum(), w, retain_graph=True)[0]
    assert torch.isfinite(gradient).all()
    # A weight that comes back from 0 brings pairs into the empty bins.
    slope = torch.autograd.grad(found.xi[2], w)[0]
    total, shell = 2.0, 4 / 3 * np.pi * (5**3 - 3.5**3) / 20.0**3
    assert slope.tolist() == pytest.approx([0, 0, 2 / (total**2 * shell)])


@pytest.mark.parametrize("sides", [(20.0, 31.0, 55.0), (64.0, 13.0, 17.0)])
def test_boxes_of_three_sides(sides) -> None:
    place, w, axis = sample(300, np.array(sides))
    pairs = WeightedPairs(place, boxsize=sides, bins=EDGES)
    found = pairs.correlations(w, axis)
    box = box_correlations(place, axis, boxsize=sides, weights=w, bins=EDGES)
    assert pairs.npairs == box.npairs.sum()
    for name in ("xi", "omega", "eta"):
        np.testing.assert_allclose(getattr(found, name), getattr(box, name), rtol=0, atol=1e-11)
    assert f"300 points in ({sides[0]:g}, {sides[1]:g}, {sides[2]:g}) Mpc/h" in repr(pairs)
    with pytest.raises(ValueError, match="half of the shortest side"):
        WeightedPairs(place, boxsize=sides, bins=[1, min(sides) / 2 + 1])


def test_power_is_of_cubes() -> None:
    rng = np.random.default_rng(1)
    mass = np.full(50, 1e13)
    halos = HaloCatalog(
        rng.uniform(0, 30, (50, 3)), mass, np.full(50, 0.5), np.full(50, 6.0),
        rng.normal(size=(50, 3)), boxsize=(30, 30, 60),
    )  # fmt: skip
    said = r"boxsize = \(30, 30, 60\): must be the side of a cube: P\(k\) is of a cubic mesh"
    for call in (
        lambda: DiffHOD(halos, mesh=16),
        lambda: power_spectrum(halos.position, boxsize=halos.boxsize, mesh=16),
        lambda: paint_cic(halos.position, boxsize=halos.boxsize, mesh=16),
        lambda: k_bin_edges(halos.boxsize, 16),
    ):
        with pytest.raises(ValueError, match=said):
            call()


def test_orientation_tensors() -> None:
    place, w, axis = sample(200, 30.0)
    pairs = WeightedPairs(place, boxsize=30.0, bins=EDGES)
    e = torch.tensor(axis, requires_grad=True)
    slow = pairs.correlations(w, e).omega
    fast = pairs.orientation(w).omega(e)
    np.testing.assert_allclose(fast.detach(), slow.detach(), atol=1e-13)
    factor = torch.tensor([1.0, -2.0, 0.5], dtype=F64)
    slopes = [torch.autograd.grad(x @ factor, e)[0] for x in (fast, slow)]
    np.testing.assert_allclose(slopes[0], slopes[1], atol=1e-14)


def test_messages() -> None:
    place, w, axis = sample(30, 30.0)
    pairs = WeightedPairs(place, boxsize=30.0, bins=EDGES)
    for message, call in (
        ("r_max = 16", lambda: WeightedPairs(place, boxsize=30.0)),
        ("position is empty", lambda: WeightedPairs(np.empty((0, 3)), boxsize=30.0, bins=EDGES)),
        ("NaN", lambda: WeightedPairs(place * np.nan, boxsize=30.0, bins=EDGES)),
        ("outside", lambda: WeightedPairs(place + 30, boxsize=30.0, bins=EDGES)),
        (r"weight must have shape \(30,\)", lambda: pairs.correlations(w[:4])),
        ("weight must be finite and not negative; it is -1 in row 3",
         lambda: pairs.correlations(np.where(np.arange(30) == 3, -1, w))),
        ("axis must be of length 1; it is 2 in row 0", lambda: pairs.correlations(w, 2 * axis)),
        (r"axis must have shape \(30, 3\)", lambda: pairs.correlations(w, axis[:, :2])),
        (r"axis must have shape \(30, 3\)", lambda: pairs.orientation(w).omega(axis[:4])),
        ("dtype = torch.float16",
         lambda: WeightedPairs(place, boxsize=30.0, bins=EDGES, dtype=torch.float16)),
        ("device = 'nowhere'",
         lambda: WeightedPairs(place, boxsize=30.0, bins=EDGES, device="nowhere")),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            call()
