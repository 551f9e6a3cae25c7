"""Second derivatives of soft correlation functions: from Python, in torch graphs, by torch.func."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from helpers.soft_inputs import AXES, EXACT, HELD, columns, estimator
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.differentiable import SoftCorrelation

COTANGENT = np.array([1.0, -0.7, 0.4])


def change(geometry: str, n: int = 14, seed: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    sizes = (0.01, 0.01, 0.1, 0.1, 0.1) if geometry == "sky" else (1, 1, 0.1, 0.1, 0.1)
    return {f: s * rng.normal(size=n) for f, s in zip(AXES[geometry], sizes, strict=True)}


def differences(gradient, objects, along):
    """Central differences of a gradient, a step and half a step wide, extrapolated."""

    def jump(h):
        ahead, behind = (
            gradient({f: x + s * h * along[f] for f, x in objects.items()}) for s in (1, -1)
        )
        return {f: (ahead[f] - behind[f]) / (2 * h) for f in objects}

    wide, near = jump(1e-3), jump(5e-4)
    return {f: (4 * near[f] - wide[f]) / 3 for f in objects}


def assert_close(got, want, tol):
    for name in want:
        scale = np.abs(want[name]).max()
        np.testing.assert_allclose(got[name], want[name], rtol=0, atol=tol * scale, err_msg=name)


@pytest.mark.parametrize("weighting", ["sigmoid", "gaussian"])
@pytest.mark.parametrize("statistic", ["xip", "xim"])
@pytest.mark.parametrize("geometry", ["sky", "flat"])
@pytest.mark.parametrize(("approach", "through"), EXACT)
def test_hvp_against_differences(approach, through, geometry, statistic, weighting):
    objects, along = columns(geometry), change(geometry)
    sc = estimator(
        objects, approach=approach, through=through, statistic=statistic, weighting=weighting
    )
    got = sc.hvp(Catalog(**objects), COTANGENT, along)
    want = differences(lambda moved: sc.vjp(Catalog(**moved), COTANGENT), objects, along)
    assert_close(got, want, 2e-6)


@pytest.mark.parametrize("fuzziness", [1.6, 2.5])
@pytest.mark.parametrize("use_weights", [True, False])
def test_hvp_of_other_clusterings(fuzziness, use_weights):
    objects, along = columns("sky", seed=5), change("sky")
    sc = estimator(objects, fuzziness=fuzziness, use_weights=use_weights)
    got = sc.hvp(Catalog(**objects), COTANGENT, along)
    want = differences(lambda moved: sc.vjp(Catalog(**moved), COTANGENT), objects, along)
    assert_close(got, want, 1e-5)


@pytest.mark.parametrize("approach", ["soft", "gumbel"])
@pytest.mark.parametrize("geometry", ["sky", "flat"])
def test_frozen_centers_stay(approach, geometry):
    """The gradient at objects that move under centers that do not."""
    objects, along = columns(geometry), change(geometry)
    catalog = Catalog(**objects)
    sc = estimator(objects, approach=approach, through="frozen")
    centers = sc._solve(catalog)

    def gradient(moved):
        there = sc._solve(Catalog(**moved))
        held = dataclasses.replace(there, centers=centers.centers * centers.unit / there.unit)
        return {f: row[0] for f, row in sc._pull(held, COTANGENT[None])[1].items()}

    got = sc.hvp(catalog, COTANGENT, along)
    assert_close(got, differences(gradient, objects, along), 2e-6)


@pytest.mark.parametrize("options", [*EXACT, *HELD, ("gumbel", "straight")])
@pytest.mark.parametrize("geometry", ["sky", "flat"])
def test_symmetric(geometry, options):
    approach, through = options
    objects = columns(geometry)
    straight = through == "straight"
    sc = estimator(
        objects, approach=approach, straight_through=straight,
        through="implicit" if straight else through,
    )  # fmt: skip
    catalog = Catalog(**objects)
    one, other = change(geometry), change(geometry, seed=4)
    products = [
        [(sc.hvp(catalog, COTANGENT, a)[f], b[f]) for f in objects]
        for a, b in ((one, other), (other, one))
    ]
    first, second = (sum(x @ y for x, y in rows) for rows in products)
    size = sum(np.abs(x) @ np.abs(y) for x, y in products[0])
    assert abs(first - second) < 1e-10 * size
    assert abs(first) > 1e-5 * size


@pytest.mark.parametrize("geometry", ["sky", "flat"])
def test_an_object_on_a_frozen_center(geometry):
    """For m = 2 a membership has a slope of 0 there, that changes as the object moves."""
    objects, along = columns(geometry, seed=8), change(geometry)
    first, second = AXES[geometry][:2]
    # Where the position is the same in Python and in Julia, to the last bit.
    objects[first] -= objects[first][4]
    objects[second] -= objects[second][4]
    if geometry == "sky":
        objects[first] %= 360
    catalog = Catalog(**objects)
    sc = SoftCorrelation("linear:0:60:3", clusters=3, seed=1, through="frozen")
    solution = sc._solve(catalog)
    solution.centers[:, 1] = (1, 0, 0) if geometry == "sky" else 0
    tangents = np.stack(list(along.values()))
    on = sc._second(solution, tangents, COTANGENT[None])[:, 0]
    for offset in (1e-8, 1e-10, 1e-12):
        solution.centers[: 2 if geometry == "flat" else 3, 1] = (
            (1, 0.6 * offset, -0.8 * offset) if geometry == "sky" else (0.6 * offset, -0.8 * offset)
        )
        near = sc._second(solution, tangents, COTANGENT[None])[:, 0]
        for a, b in zip(on, near, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-3 * np.abs(b).max())


@pytest.mark.parametrize("statistic", ["xip", "xim"])
def test_an_object_on_a_converged_center(statistic):
    """Objects that mirror one another in one of them: a center comes to lie on that."""
    rng = np.random.default_rng(2)
    x, y, w = rng.uniform(5, 30, 6), rng.uniform(-30, 30, 6), rng.uniform(0.5, 1.5, 6)
    objects = {
        "x": np.concatenate([[0.0], x, -x]), "y": np.concatenate([[0.0], y, -y]),
        "g1": rng.normal(0, 0.2, 13), "g2": rng.normal(0, 0.2, 13),
        "w": np.concatenate([[1.0], w, w]),
    }  # fmt: skip
    along = change("flat", n=13)
    start = [[0.0, 0.0], [15.0, 0.0], [-15.0, 0.0]]
    sc = SoftCorrelation(
        "linear:0:60:3", clusters=3, start=start, statistic=statistic, use_weights=True
    ).pin(Catalog(**objects))
    centers = sc._solve(Catalog(**objects)).centers
    assert np.hypot(*centers[:2]).min() < 1e-15
    got = sc.hvp(Catalog(**objects), COTANGENT, along)
    want = differences(lambda moved: sc.vjp(Catalog(**moved), COTANGENT), objects, along)
    assert_close(got, want, 2e-6)


def test_coincident_objects_and_empty_bins():
    objects = columns("sky")
    objects["ra"][1], objects["dec"][1] = objects["ra"][0], objects["dec"][0]
    sc = SoftCorrelation("edges:0,60,9000,9010", approach="naive", sharpness=1.0)
    with pytest.warns(UserWarning, match="no pairs in bin 2"):
        rows = sc.hvp(Catalog(**objects), [1.0, 1.0, 1.0], change("sky"))
    assert all(np.isfinite(row).all() for row in rows.values())


def test_a_cotangent_of_zero_still_turns():
    """What a bin whose cotangent is 0 gets as that changes: its gradient."""
    torch = pytest.importorskip("torch")
    objects = columns("sky")
    sc = estimator(objects)
    inputs = [torch.tensor(v) for v in objects.values()]
    inputs[2].requires_grad_()
    cotangent = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64, requires_grad=True)
    xi = sc.torch(*inputs)
    (first,) = torch.autograd.grad(xi, inputs[2], cotangent, create_graph=True)
    (turned,) = torch.autograd.grad(first.sum(), cotangent)
    want = sc.jacobian(Catalog(**objects))["g1"].sum(axis=1)
    np.testing.assert_allclose(turned.numpy(), want, rtol=1e-9)


def test_refused():
    objects = columns("sky")
    sc = estimator(objects, approach="hard", rule="literal")
    with pytest.raises(ValueError, match="rule = 'literal': is the gradient of no function"):
        sc.hvp(Catalog(**objects), COTANGENT, change("sky"))
    with pytest.raises(ValueError, match="cotangent has shape"):
        estimator(objects).hvp(Catalog(**objects), [1.0], change("sky"))
    with pytest.raises(ValueError, match="tangents has 'x'"):
        estimator(objects).hvp(Catalog(**objects), COTANGENT, {"x": np.zeros(14)})


# ---- torch -------------------------------------------------------------------------------------


def graph(geometry, torch, **options):
    """A function of offsets, for which the steps of gradgradcheck are short, and its arguments."""
    objects = columns(geometry, n=8)
    sc = estimator(objects, sharpness=0.2, **options)
    scale = 60.0 if geometry == "sky" else 1.0
    first, second, *rest = (torch.tensor(v) for v in objects.values())
    inputs = [torch.zeros_like(first), torch.zeros_like(first), *rest]

    def xi(a, b, g1, g2, w):
        places = first + a / scale, second + b / scale
        if geometry == "flat":
            return sc.torch(x=places[0], y=places[1], g1=g1, g2=g2, w=w)
        return sc.torch(*places, g1, g2, w)

    return xi, [t.requires_grad_() for t in inputs]


@pytest.mark.slow
@pytest.mark.parametrize("statistic", ["xip", "xim"])
@pytest.mark.parametrize("geometry", ["sky", "flat"])
@pytest.mark.parametrize(("approach", "through"), EXACT)
def test_gradgradcheck(approach, through, geometry, statistic):
    torch = pytest.importorskip("torch")
    xi, inputs = graph(geometry, torch, approach=approach, through=through, statistic=statistic)
    check = {"eps": 1e-4, "atol": 1e-6, "rtol": 1e-4}
    assert torch.autograd.gradcheck(xi, inputs, check_forward_ad=True, **check)
    assert torch.autograd.gradgradcheck(xi, inputs, check_fwd_over_rev=True, **check)


@pytest.mark.parametrize("approach", ["naive", "soft", "hard", "gumbel"])
def test_a_penalty_on_the_gradient(approach):
    torch = pytest.importorskip("torch")
    xi, inputs = graph("sky", torch, approach=approach)
    g1 = inputs[2]

    def loss(g1, weight):
        value = xi(*inputs[:2], g1, *inputs[3:]).square().sum()
        (slope,) = torch.autograd.grad(value, g1, create_graph=True)
        return value + weight * slope.square().sum()

    plain, penalized = (torch.autograd.grad(loss(g1, k), g1)[0] for k in (0.0, 3.0))
    assert not torch.allclose(plain, penalized, rtol=1e-3)
    step = torch.zeros_like(g1)
    step[2] = 1e-5
    jump = (loss(g1 + step, 3.0) - loss(g1 - step, 3.0)).item() / 2e-5
    assert penalized[2].item() == pytest.approx(jump, rel=1e-6)


@pytest.mark.parametrize("geometry", ["sky", "flat"])
def test_transforms_of_torch_func(geometry):
    torch = pytest.importorskip("torch")
    func = torch.func
    xi, inputs = graph(geometry, torch)
    a, *rest = (t.detach() for t in inputs)

    def one(a):
        return xi(a, *rest)

    jacobian = func.jacrev(one)(a)
    assert jacobian.shape == (3, 8)
    torch.testing.assert_close(func.jacfwd(one)(a), jacobian, rtol=1e-8, atol=1e-14)
    _, along = func.jvp(one, (a,), (torch.ones_like(a),))
    torch.testing.assert_close(along, jacobian.sum(1), rtol=1e-8, atol=1e-12)
    ways = [
        func.hessian(one), func.jacrev(func.jacrev(one)), func.jacrev(func.jacfwd(one)),
        func.jacfwd(func.jacfwd(one)),
    ]  # fmt: skip
    hessians = [way(a) for way in ways]
    size = float(hessians[0].abs().max())
    assert size > 0
    for hessian in hessians:
        torch.testing.assert_close(hessian, hessians[0], rtol=0, atol=1e-10 * size)
    torch.testing.assert_close(hessian, hessian.transpose(1, 2), rtol=0, atol=1e-10 * size)
    batch = torch.stack([a, a + 0.5, a - 0.2])
    torch.testing.assert_close(func.vmap(one)(batch), torch.stack([one(x) for x in batch]))
    gradients = func.vmap(func.grad(lambda x: one(x).square().sum()))(batch)
    torch.testing.assert_close(gradients[1], func.grad(lambda x: one(x).square().sum())(batch[1]))
    assert func.vmap(func.hessian(one))(batch).shape == (3, 3, 8, 8)


def test_batches_of_all_columns():
    torch = pytest.importorskip("torch")
    sets = [columns("sky", seed=s) for s in (1, 2, 3)]
    sc = estimator(sets[0])
    batch = [torch.tensor(np.stack([s[f] for s in sets])) for f in AXES["sky"]]
    got = torch.func.vmap(sc.torch)(*batch)
    want = np.stack([sc.value(Catalog(**s)) for s in sets])
    np.testing.assert_array_equal(got.numpy(), want)


def test_third_derivatives_are_refused():
    torch = pytest.importorskip("torch")
    xi, inputs = graph("sky", torch, approach="naive")
    g1 = inputs[2]
    loss = xi(*inputs).sum()
    (first,) = torch.autograd.grad(loss, g1, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), g1, create_graph=True)
    with pytest.raises(RuntimeError, match="third derivatives are not given"):
        second.sum().backward()
    fixed = [t.detach() for t in inputs]
    three = torch.func.jacfwd
    for _ in range(2):
        three = (lambda f: lambda g: torch.func.jacfwd(f(g)))(three)
    with pytest.raises(RuntimeError, match="third derivatives are not given"):
        three(lambda a: xi(a, *fixed[1:]))(fixed[0])
    with pytest.raises(RuntimeError, match=r"vectorize=True and the like use torch.func"):
        torch.autograd.functional.jacobian(
            lambda a: xi(a, *fixed[1:]), fixed[0], vectorize=True, strategy="forward-mode"
        )


def test_the_literal_rule_is_refused_where_it_is_differentiated():
    torch = pytest.importorskip("torch")
    xi, inputs = graph("sky", torch, approach="hard", rule="literal")
    (first,) = torch.autograd.grad(xi(*inputs).sum(), inputs[2], create_graph=True)
    with pytest.raises(ValueError, match="rule = 'literal'"):
        first.sum().backward()


def test_other_dtypes():
    torch = pytest.importorskip("torch")
    objects = columns("sky")
    sc = estimator(objects)
    found = []
    for dtype in (torch.float32, torch.float64):
        inputs = [torch.tensor(v, dtype=torch.float32).to(dtype) for v in objects.values()]
        inputs[3].requires_grad_()
        (first,) = torch.autograd.grad(sc.torch(*inputs).sum(), inputs[3], create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), inputs[3])
        assert second.dtype == dtype
        found.append(second.double())
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-6)
