"""SoftCorrelation inside torch graphs."""

from __future__ import annotations

import numpy as np
import pytest

from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.differentiable import SoftCorrelation

torch = pytest.importorskip("torch", reason="the node is one of torch")

BINS = "linear:0:60:3"


def tensors(n=25, seed=1, dtype=torch.float64, grad=True):
    rng = np.random.default_rng(seed)
    values = (
        150 + rng.random(n), 2 + rng.random(n), rng.normal(0, 0.2, n), rng.normal(0, 0.2, n),
        rng.uniform(0.5, 1.5, n),
    )  # fmt: skip
    return [torch.tensor(v, dtype=dtype, requires_grad=grad) for v in values]


def pinned(inputs, **options) -> SoftCorrelation:
    sc = SoftCorrelation(BINS, clusters=4, seed=1, temperature=0.5, **options)
    names = ("ra", "dec", "g1", "g2", "w")
    arrays = [t.detach().numpy() for t in inputs]
    return sc.pin(Catalog(**dict(zip(names, arrays, strict=True))))


@pytest.mark.parametrize("statistic", ["xip", "xim"])
@pytest.mark.parametrize("approach", ["naive", "soft", "hard", "gumbel"])
def test_gradcheck(approach, statistic):
    inputs = tensors()
    sc = pinned(inputs, approach=approach, statistic=statistic, use_weights=True)
    # Offsets in tenths of an arcmin, so that the steps of gradcheck are short against the bins.
    offsets = [
        ((t.detach() - at) * 600).requires_grad_()
        for t, at in zip(inputs[:2], (150, 2), strict=True)
    ]
    assert torch.autograd.gradcheck(
        lambda ra, dec, *rest: sc.torch(150 + ra / 600, 2 + dec / 600, *rest),
        (*offsets, *inputs[2:]),
        eps=1e-5,
        atol=1e-8,
        rtol=1e-5,
    )


def test_gradcheck_with_its_defaults():
    inputs = tensors()
    assert torch.autograd.gradcheck(pinned(inputs).torch, inputs)


def test_stands_inside_a_loss():
    inputs = tensors()
    sc = pinned(inputs)
    target = torch.tensor([0.01, -0.02, 0.0], dtype=torch.float64)

    def loss(g1):
        return ((sc.torch(inputs[0], inputs[1], 2 * g1, inputs[3]) - target) ** 2).sum()

    g1 = inputs[2]
    (gradient,) = torch.autograd.grad(loss(g1), g1)
    step = torch.zeros_like(g1)
    step[3] = 1e-5
    difference = (loss(g1 + step) - loss(g1 - step)).detach() / 2e-5
    assert float(gradient[3]) == pytest.approx(float(difference), rel=1e-6)
    # Downhill it goes, and the input that needs no gradient gets none.
    assert loss(g1 - 0.1 * gradient) < loss(g1)
    ra = inputs[0].detach()
    sc.torch(ra, inputs[1], *inputs[2:4]).sum().backward()
    assert ra.grad is None
    assert torch.isfinite(inputs[1].grad).all()


def test_other_dtypes_come_back():
    single = tensors(dtype=torch.float32)
    double = [t.detach().double().requires_grad_() for t in single]
    sc = pinned(double)
    values = []
    for inputs in (single, double):
        xi = sc.torch(*inputs)
        assert xi.dtype == inputs[0].dtype
        xi.sum().backward()
        assert all(t.grad.dtype == t.dtype for t in inputs)
        values.append(xi.detach().double())
    torch.testing.assert_close(values[0], values[1], rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(single[0].grad.double(), double[0].grad, rtol=1e-5, atol=1e-6)
    mixed = sc.torch(single[0], *double[1:])
    assert mixed.dtype == torch.float64


def test_a_bin_without_pairs_leaves_the_others_their_gradient():
    inputs = tensors()
    sc = SoftCorrelation("edges:0,60,9000,9010", approach="naive", sharpness=1.0)
    with pytest.warns(UserWarning, match="no pairs in bin 2"):
        xi = sc.torch(*inputs)
    with pytest.warns(UserWarning, match="no pairs in bin 2"):
        torch.nansum(xi).backward()
    assert torch.isnan(xi[2])
    assert torch.isfinite(inputs[0].grad).all()
    assert inputs[0].grad.abs().max() > 0


def test_bad_tensors():
    ra, dec, g1, g2, w = tensors()
    sc = SoftCorrelation(BINS, clusters=4, seed=1)
    with pytest.raises(TypeError, match="dec must be a torch tensor, not ndarray"):
        sc.torch(ra, dec.detach().numpy(), g1, g2)
    with pytest.raises(TypeError, match=r"w must be a floating tensor, got torch.int64"):
        sc.torch(ra, dec, g1, g2, torch.ones(25, dtype=torch.int64))
    with pytest.raises(ValueError, match="g2"):
        sc.torch(ra, dec, g1, g2[:-1])
    with pytest.raises(ValueError, match=r"ra has shape \(2, 25\).*torch.func.vmap"):
        sc.torch(*(torch.stack([t, t]) for t in (ra, dec, g1, g2)))
    with pytest.raises(ValueError, match="dec"):
        sc.torch(ra, 50 * dec, g1, g2, w)


def test_without_torch_the_extra_is_named(fresh):
    code = """
    import sys
    sys.modules["torch"] = None
    from pysoftcorr.sky.differentiable import SoftCorrelation
    sc = SoftCorrelation("linear:0:60:2", approach="naive")
    try:
        sc.torch(1, 2, 3, 4)
    except ImportError as error:
        print(error)
    """
    assert "pip install 'pysoftcorr[torch]'" in fresh(code).stdout


def test_importing_does_not_start_torch(fresh):
    code = "import sys, pysoftcorr.sky.differentiable; print('torch' in sys.modules)"
    assert fresh(code).stdout.strip() == "False"
