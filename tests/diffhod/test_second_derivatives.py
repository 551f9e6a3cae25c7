"""Second derivatives of the nodes of DiffHOD: right, or refused in words, and never dropped."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.autograd import gradcheck, gradgradcheck  # noqa: E402

from pysoftcorr.core.torch import once  # noqa: E402
from pysoftcorr.diffhod import (  # noqa: E402
    DiffHOD,
    WeightedPairs,
    nfw_radius,
    paint_cic,
    power_spectrum,
    watson_cosine,
)
from pysoftcorr.diffhod.power import CloudInCell, ModeBins  # noqa: E402
from pysoftcorr.diffhod.relaxed import calibrated, trial_weights  # noqa: E402
from pysoftcorr.mocks import HaloCatalog  # noqa: E402

F64 = torch.float64
FIVE = (12.02, 0.26, 11.38, 13.31, 1.06)


def numbers(*shape: int, seed: int = 1, low: float = 0.0, high: float = 1.0, grad: bool = True):
    values = np.random.default_rng(seed).uniform(low, high, shape)
    return torch.tensor(values, dtype=F64, requires_grad=grad)


def points(n: int = 5, mesh: int = 4):
    """Positions in a box of `mesh`, none within a step of a border between cells."""
    rng = np.random.default_rng(3)
    at = rng.integers(0, mesh, (n, 3)) + rng.uniform(0.1, 0.9, (n, 3))
    return torch.tensor(at, dtype=F64, requires_grad=True)


def test_painting():
    place, weight = points(), numbers(5, low=0.5)

    def paint(place, weight):
        return paint_cic(place, weight, mesh=4, boxsize=4.0)

    assert gradcheck(paint, (place, weight))
    assert gradgradcheck(paint, (place, weight))


@pytest.mark.parametrize("store", [True, False])
def test_painting_at_fixed_places(store):
    cells = CloudInCell(points().detach(), mesh=4, boxsize=4.0, store=store)
    # A function of the mesh that bends, so that its gradient depends on the weights.
    assert gradgradcheck(lambda w: cells.paint(w).square().sum(), (numbers(5),))
    assert gradgradcheck(cells.paint, (numbers(5),))


@pytest.mark.parametrize("shot_noise", ["subtract", "keep", "poisson"])
@pytest.mark.parametrize("window", ["cic", None])
def test_power_of_a_mesh(window, shot_noise):
    bins = ModeBins(
        "linear:0.5:3:2", boxsize=4.0, mesh=4, window=window, shot_noise=shot_noise, dtype=F64,
        device=torch.device("cpu"),
    )  # fmt: skip
    painted, weight2 = numbers(2, 4, 4, 4, low=0.5), numbers(2, seed=2)
    assert gradcheck(bins.power, (painted, weight2))
    assert gradgradcheck(bins.power, (painted, weight2), atol=1e-4)


def test_power_of_points():
    def power(place, weight):
        return power_spectrum(place, weight, boxsize=4.0, mesh=4, bins=[0.5, 1.8, 3.0]).power

    assert gradgradcheck(power, (points(6), numbers(6, low=0.5)), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("tau", [0.1, 0.5])
def test_relaxed_trials(tau):
    odds = numbers(8, low=-4, high=4)
    assert gradgradcheck(lambda x: calibrated(x, tau), (odds,), atol=1e-4)
    noise, host = numbers(30, seed=2, low=-1, high=1, grad=False), torch.arange(30) % 8
    # With trials that are out of reach, at 0 and 1.
    reach = 3.0

    def weights(odds):
        return trial_weights(odds, noise, host, tau=tau, reach=reach)

    assert {0.0, 1.0} <= set(weights(odds).tolist())
    assert gradcheck(weights, (odds,))
    assert gradgradcheck(weights, (odds,), atol=1e-5)


def test_slope_of_a_trial_in_the_middle():
    """At log-odds of 0 both tails meet: the slope there is that on either side."""
    host = torch.zeros(1, dtype=torch.long)
    slopes = []
    for x in (0.0, 1e-9):
        odds = torch.tensor([x], dtype=F64, requires_grad=True)
        w = trial_weights(odds, torch.zeros(1, dtype=F64), host, tau=0.1)
        plain = torch.autograd.grad(w.sum(), odds, retain_graph=True)[0]
        (graph,) = torch.autograd.grad(w.sum(), odds, create_graph=True)
        torch.testing.assert_close(graph.detach(), plain, rtol=1e-12, atol=0)
        slopes.append(float(plain))
    assert slopes[0] == pytest.approx(slopes[1], rel=1e-7)


def test_radius():
    u, c = numbers(6, low=0.05, high=0.95), numbers(6, seed=2, low=3, high=20)
    assert gradcheck(nfw_radius, (u, c))
    assert gradgradcheck(nfw_radius, (u, c), atol=1e-4)
    # At the center there is nothing to learn of the concentration.
    u0 = torch.zeros(2, dtype=F64)
    c0 = torch.tensor([5.0, 9.0], dtype=F64, requires_grad=True)
    (first,) = torch.autograd.grad(nfw_radius(u0, c0).sum(), c0, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), c0)
    assert torch.equal(second, torch.zeros(2, dtype=F64))


def test_pairs():
    place = 10 * numbers(12, 3, grad=False)
    pairs = WeightedPairs(place, bins=[1.0, 4.0, 6.0], boxsize=20.0)
    axis = torch.nn.functional.normalize(numbers(12, 3, seed=4, low=-1, grad=False), dim=1)

    def correlations(weight, turn):
        # Axes stay of length 1.
        moved = torch.nn.functional.normalize(axis + turn, dim=1)
        found = pairs.correlations(weight, moved)
        return torch.cat([found.xi, found.omega, found.eta])

    inputs = numbers(12, seed=5, low=0.5), 0.1 * numbers(12, 3, seed=6, grad=False)
    inputs[1].requires_grad_()
    assert gradgradcheck(correlations, inputs, atol=1e-4)


def test_what_is_not_given_is_refused():
    mu = torch.tensor(0.4, dtype=F64, requires_grad=True)
    cos, sin = watson_cosine(numbers(5, low=0.1, high=0.9, grad=False), mu)
    loss = (cos + 2 * sin).sum()
    (first,) = torch.autograd.grad(loss, mu, create_graph=True)
    assert first.item() == float(torch.autograd.grad(loss, mu, retain_graph=True)[0])
    # A penalty on a gradient would have had no effect.
    with pytest.raises(RuntimeError, match="watson_cosine: second derivatives are not given"):
        (loss + first**2).backward()
    x = torch.ones(2, dtype=F64, requires_grad=True)
    assert once("f", x.detach(), x.detach()).requires_grad is False


@pytest.fixture(scope="module")
def halos() -> HaloCatalog:
    return HaloCatalog.simulate(40.0, 32, seed=1)


@pytest.mark.parametrize("reference", [None, FIVE])
def test_power_of_the_occupation(halos, reference):
    """Hessian-vector products, against the gradient a step ahead; a penalty has its effect."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = DiffHOD(halos, mesh=16, seed=1, reference=reference)
    toward = torch.tensor([0.3, 0.1, -0.2, 0.5, 0.4], dtype=F64)
    at = torch.tensor(FIVE, dtype=F64)

    def gradient(params):
        params = params.clone().requires_grad_()
        _, power = model.power(params)
        (found,) = torch.autograd.grad((power * power).sum(), params, create_graph=True)
        return found, params

    first, params = gradient(at)
    (along,) = torch.autograd.grad(first @ toward, params)
    h = 1e-4
    steps = [gradient(at + k * h * toward)[0].detach() for k in (1, -1, 0.5, -0.5)]
    wide, near = (steps[0] - steps[1]) / (2 * h), (steps[2] - steps[3]) / h
    want = (4 * near - wide) / 3
    torch.testing.assert_close(along, want, rtol=1e-4, atol=1e-4 * float(want.abs().max()))

    params = at.clone().requires_grad_()
    _, power = model.power(params)
    (slope,) = torch.autograd.grad(power.sum(), params, create_graph=True)
    (without,) = torch.autograd.grad(power.sum(), params, retain_graph=True)
    (with_penalty,) = torch.autograd.grad(power.sum() + (slope**2).sum(), params)
    assert not torch.allclose(without, with_penalty)


def test_hessian_of_the_power(halos):
    """By torch's own: symmetric."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = DiffHOD(halos, mesh=16, seed=1, reference=FIVE)
    at = torch.tensor(FIVE, dtype=F64)
    hessian = torch.autograd.functional.hessian(lambda p: model.power(p)[1][1], at)
    size = float(hessian.abs().max())
    torch.testing.assert_close(hessian, hessian.T, rtol=1e-8, atol=1e-8 * size)
    assert size > 0


@pytest.mark.parametrize("transform", ["grad", "jacrev", "jacfwd", "vmap"])
def test_transforms_are_refused(halos, transform):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = DiffHOD(halos, mesh=16, seed=1)
    at = torch.tensor(FIVE, dtype=F64)
    at = torch.stack([at, at]) if transform == "vmap" else at
    with pytest.raises(TypeError, match=r"params: the values must be known.*functional.jacobian"):
        getattr(torch.func, transform)(lambda p: model.power(p)[1].sum())(at)
