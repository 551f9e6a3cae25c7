"""xi, omega and eta in a box in soft bins, and their derivatives."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit

from helpers import soft_statistics_twin as twin
from pysoftcorr.mocks import GalaxyCatalog, SoftBoxCorrelations, box_correlations
from pysoftcorr.mocks.soft_box import soft_volumes
from pysoftcorr.sky.soft_bins import soft_edges

SIDES = (60.0, 40.0, 50.0)
BINS = "log:2:10:4"


def galaxies(n=100, seed=1):
    rng = np.random.default_rng(seed)
    return {
        "position": rng.uniform(0, 1, (n, 3)) * SIDES,
        "axis": rng.normal(size=(n, 3)),
        "weights": rng.uniform(0.2, 2, n),
    }


@pytest.mark.parametrize("weighting", ["sigmoid", "gaussian"])
@pytest.mark.parametrize("sharpness", [None, 0.5, 40.0])
def test_volumes_of_soft_bins_are_their_integrals(weighting, sharpness):
    bins = soft_edges(np.array([0.0, 1.0, 2.5, 7.0]), weighting, sharpness)
    for (lo, hi, s), volume in zip(bins.T, soft_volumes(bins, weighting), strict=True):

        def weight(r, lo=lo, hi=hi, s=s):
            if weighting == "gaussian":
                return r**2 * np.exp(-s * (r - (lo + hi) / 2) ** 2)
            return r**2 * expit(s * (r - lo)) * expit(s * (hi - r))

        integral = quad(weight, 0, hi + 90 / min(s, 1), points=[lo, hi], limit=500)[0]
        assert volume == pytest.approx(4 * np.pi * integral, rel=1e-8)


@pytest.mark.parametrize("weighting", ["sigmoid", "gaussian"])
@pytest.mark.parametrize("n", [100, 1200])
def test_value_is_that_of_the_definition(n, weighting):
    given = galaxies(n)
    box = SoftBoxCorrelations(BINS, boxsize=SIDES, weighting=weighting)
    shells = soft_volumes(box._bins, weighting) / np.prod(SIDES)
    expected = twin.box(*given.values(), box._bins, SIDES, shells, weighting)
    np.testing.assert_allclose(box.value(given), expected, rtol=1e-9, atol=1e-12)


def test_ever_sharper_bins_give_the_hard_estimator():
    given = galaxies(1200)
    box = SoftBoxCorrelations(BINS, boxsize=SIDES, sharpness=1e9)
    weights = given.pop("weights")
    hard = box_correlations(*given.values(), boxsize=SIDES, bins=BINS, weights=weights)
    given["weights"] = weights
    for row, name in zip(box.value(given), box.statistics, strict=True):
        np.testing.assert_allclose(row, getattr(hard, name), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("weighting", ["sigmoid", "gaussian"])
def test_gradients_are_those_of_finite_differences(weighting):
    rng = np.random.default_rng(3)
    given = galaxies()
    box = SoftBoxCorrelations(BINS, boxsize=SIDES, weighting=weighting)
    cotangent = rng.normal(size=(3, 4))
    along = {name: 0.2 * rng.normal(size=v.shape) for name, v in given.items()}
    back = box.vjp(given, cotangent=cotangent)
    assert {n: v.shape for n, v in back.items()} == {n: v.shape for n, v in given.items()}
    total = sum((back[n] * along[n]).sum() for n in given)
    forward = box.jvp(given, tangents=along)

    def moved(h):
        return {n: v + h * along[n] for n, v in given.items()}

    h = 1e-3
    steps = [
        ((box.value(moved(k * h)) - box.value(moved(-k * h))) * cotangent).sum() / (2 * k * h)
        for k in (1, 2)
    ]
    assert total == pytest.approx((cotangent * forward).sum(), rel=1e-9)
    assert total == pytest.approx((4 * steps[0] - steps[1]) / 3, rel=1e-6)
    second = box.hvp(given, cotangent=cotangent, tangents=along)
    up, down = (box.vjp(moved(k * 1e-4), cotangent=cotangent) for k in (1, -1))
    for name, row in second.items():
        difference = (up[name] - down[name]) / 2e-4
        assert np.abs(row - difference).max() < 1e-4 * np.abs(row).max()


def test_the_box_repeats_itself_and_axes_have_no_head_or_length():
    given = galaxies()
    box = SoftBoxCorrelations(BINS, boxsize=SIDES)
    value = box.value(given)
    rng = np.random.default_rng(5)
    moved = {
        "position": given["position"] + [7.0, -3.0, 90.0] + SIDES * rng.integers(-2, 3, (100, 3)),
        "axis": given["axis"] * rng.choice([-3.0, 0.1, 2.0], (100, 1)),
        "weights": 1e3 * given["weights"],
    }
    np.testing.assert_allclose(box.value(moved), value, rtol=1e-9, atol=1e-12)
    back = box.vjp(given, cotangent=np.ones((3, 4)))
    np.testing.assert_allclose((back["axis"] * given["axis"]).sum(1), 0, atol=1e-12)
    # Nothing changes as all move together, and of weights it is their ratios that count.
    np.testing.assert_allclose(back["position"].sum(0), 0, atol=1e-10)
    assert back["weights"] @ given["weights"] == pytest.approx(0, abs=1e-9)


def test_gradients_are_finite_for_galaxies_at_one_place():
    given = galaxies()
    given["position"][:4] = given["position"][0]
    given["axis"][:2] = [0.0, 0.0, 1.0]
    box = SoftBoxCorrelations("linear:0:12:4", boxsize=SIDES)
    back = box.vjp(given, cotangent=np.ones((3, 4)))
    assert all(np.isfinite(v).all() for v in back.values())
    assert np.isfinite(box.value(given)).all()


def test_a_catalog_is_taken_as_well():
    given = galaxies()
    catalog = GalaxyCatalog(given["position"], given["axis"], boxsize=SIDES)
    box = SoftBoxCorrelations(BINS, boxsize=SIDES)
    del given["weights"]
    np.testing.assert_allclose(box.value(catalog), box.value(given), rtol=1e-13)
    with pytest.raises(ValueError, match=r"boxsize = 60, but that of galaxies is \(60, 40, 50\)"):
        SoftBoxCorrelations(BINS, boxsize=60).value(catalog)


def test_messages_name_what_is_wrong():
    given = galaxies()
    with pytest.raises(ValueError, match=r"bin 3 of .* at half the shortest side, 20 Mpc/h"):
        SoftBoxCorrelations("linear:4:20:4", boxsize=SIDES)
    box = SoftBoxCorrelations(BINS, boxsize=SIDES)
    with pytest.raises(TypeError, match="galaxies must be a GalaxyCatalog or a mapping"):
        box.value(given["position"])
    with pytest.raises(ValueError, match="galaxies: axis must be given"):
        box.value({"position": given["position"]})
    with pytest.raises(ValueError, match="there is no weight"):
        box.value({**given, "weight": np.ones(100)})
    with pytest.raises(ValueError, match="axis"):
        box.value({**given, "axis": np.zeros((100, 3))})
    with pytest.raises(ValueError, match="cotangent has shape"):
        box.vjp(given, cotangent=np.ones(4))
    with pytest.raises(ValueError, match=r"position has shape \(100,\): must be \(N, 3\)"):
        box.jvp(given, tangents={"position": np.ones(100)})


def test_stands_in_a_torch_graph():
    torch = pytest.importorskip("torch", reason="the node is one of torch")
    given = galaxies(20)
    box = SoftBoxCorrelations("linear:3:12:2", boxsize=SIDES)
    tensors = {n: torch.tensor(v, requires_grad=True) for n, v in given.items()}
    value = box.torch(tensors)
    assert value.shape == (3, 2)
    value[1].sum().backward()
    back = box.vjp(given, cotangent=np.array([[0.0, 0], [1, 1], [0, 0]]))
    for name, tensor in tensors.items():
        np.testing.assert_allclose(tensor.grad.numpy(), back[name], rtol=1e-10, atol=1e-14)
    assert torch.autograd.gradgradcheck(
        lambda p, a, w: box.torch({"position": p, "axis": a, "weights": w}),
        tuple(tensors.values()), atol=1e-5, rtol=1e-4,
    )  # fmt: skip


@pytest.mark.parametrize("n", [60, 1100])
def test_derivatives_by_weights_come_with_the_value(n):
    given = galaxies(n)
    given["position"][:2] = given["position"][2]
    box = SoftBoxCorrelations(BINS, boxsize=SIDES)
    cotangent = np.random.default_rng(4).normal(size=(3, 4))
    value, by = box.value_and_weight_jacobian(given)
    np.testing.assert_allclose(value, box.value(given), rtol=1e-10, atol=1e-13)
    back = box.vjp(given, cotangent=cotangent)["weights"]
    assert np.abs(np.tensordot(cotangent, by, 2) - back).max() < 1e-9 * np.abs(back).max()
