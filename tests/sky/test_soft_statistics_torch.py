"""Rho statistics, tangential shear and w(theta) in soft bins inside torch graphs."""

from __future__ import annotations

import numpy as np
import pytest

from pysoftcorr import Catalog, SoftGammaT, SoftLandySzalay, SoftRhoStatistics, StarCatalog

torch = pytest.importorskip("torch", reason="the node is one of torch")

BINS = "linear:10:60:2"
COLUMNS = {
    SoftRhoStatistics: (("g1", "g2", "g1_model", "g2_model", "T", "T_model"),),
    SoftGammaT: ((), ("g1", "g2")),
    SoftLandySzalay: ((), ()),
}
kinds = pytest.mark.parametrize("kind", list(COLUMNS))


def tensors(kind, n=14, grad=True):
    rng = np.random.default_rng(2)
    out = []
    for names in COLUMNS[kind]:
        columns = {"ra": 150 + rng.random(n), "dec": 2 + rng.random(n), "w": rng.uniform(0.5, 1, n)}
        for name in names:
            low, high = (1, 2) if name.startswith("T") else (-0.3, 0.3)
            columns[name] = rng.uniform(low, high, n)
        out.append({k: torch.tensor(v, requires_grad=grad) for k, v in columns.items()})
    return out


def estimator(kind):
    return kind(BINS, randoms="free") if kind is SoftLandySzalay else kind(BINS)


def catalogs(kind, given):
    made = StarCatalog if kind is SoftRhoStatistics else Catalog
    return [made(**{k: t.detach().numpy() for k, t in c.items()}) for c in given]


@kinds
def test_value_and_gradient_are_those_of_the_estimator(kind):
    given, soft = tensors(kind), estimator(kind)
    value = soft.torch(*given)
    np.testing.assert_array_equal(value.detach().numpy(), soft.value(*catalogs(kind, given)))
    cotangent = np.random.default_rng(1).normal(size=soft.shape)
    (value * torch.tensor(cotangent)).sum().backward()
    back = soft.vjp(*catalogs(kind, given), cotangent=cotangent)
    for name, columns in zip(soft.catalogs, given, strict=True):
        part = back if len(given) == 1 else back[name]
        for column, tensor in columns.items():
            np.testing.assert_allclose(tensor.grad.numpy(), part[column], rtol=1e-12)


@kinds
def test_differentiable_twice_and_by_func(kind):
    given, soft = tensors(kind), estimator(kind)
    flat = [(k, n) for k, c in enumerate(given) for n in c]
    start = [given[k][n].detach() for k, n in flat]
    scale = [1 / 600 if n in ("ra", "dec") else 1.0 for _, n in flat]

    def value(*offsets):
        made = [{} for _ in given]
        for (k, n), at, s, o in zip(flat, start, scale, offsets, strict=True):
            made[k][n] = at + s * o
        return soft.torch(*made)

    zeros = [torch.zeros_like(t, requires_grad=True) for t in start]
    assert torch.autograd.gradcheck(value, zeros, eps=1e-5, atol=1e-8, rtol=1e-5)
    assert torch.autograd.gradgradcheck(value, zeros, eps=1e-5, atol=1e-6, rtol=1e-3)
    detached = [t.detach() for t in zeros]
    tangents = [torch.ones_like(t) for t in zeros]
    forward = torch.func.jvp(value, tuple(detached), tuple(tangents))[1]
    reverse = torch.func.jacrev(value, argnums=tuple(range(len(zeros))))(*detached)
    total = sum((j * t).sum(-1) for j, t in zip(reverse, tangents, strict=True))
    torch.testing.assert_close(forward, total, rtol=1e-9, atol=1e-12)


@kinds
def test_weights_may_be_left_out_and_dtypes_are_kept(kind):
    given, soft = tensors(kind, grad=False), estimator(kind)
    without = [{k: t.to(torch.float32) for k, t in c.items() if k != "w"} for c in given]
    ones = [{**c, "w": torch.ones_like(c["ra"])} for c in without]
    value = soft.torch(*without)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, soft.torch(*ones))


def test_messages_name_the_column():
    soft, (lenses, sources) = SoftGammaT(BINS), tensors(SoftGammaT)
    with pytest.raises(ValueError, match="sources: g2 must be given: columns are ra, dec, g1"):
        soft.torch(lenses, {k: t for k, t in sources.items() if k != "g2"})
    with pytest.raises(ValueError, match="lenses: there is no weight"):
        soft.torch({**lenses, "weight": lenses["w"]}, sources)
    with pytest.raises(TypeError, match=r"sources\['g1'\] must be a torch tensor, not list"):
        soft.torch(lenses, {**sources, "g1": [0.1] * 14})
    with pytest.raises(TypeError, match="takes lenses and sources; 1 catalogs"):
        soft.torch(lenses)


@kinds
def test_weights_alone_need_no_second_pass(kind, monkeypatch):
    given, soft = tensors(kind, grad=False), estimator(kind)
    for columns in given:
        columns["w"].requires_grad_()
    cotangent = np.random.default_rng(1).normal(size=soft.shape)
    back = soft.vjp(*catalogs(kind, given), cotangent=cotangent)
    total = (soft.torch(*given) * torch.tensor(cotangent)).sum()
    with monkeypatch.context() as patch:
        patch.setattr(kind, "_pull", None)
        total.backward()
    for name, columns in zip(soft.catalogs, given, strict=True):
        expected = (back if len(given) == 1 else back[name])["w"]
        np.testing.assert_allclose(columns["w"].grad.numpy(), expected, rtol=1e-9)
    # A second derivative, and one by something else, are those of the pairs.
    weights = [columns["w"] for columns in given]

    def value(*new):
        return soft.torch(*({**c, "w": w} for c, w in zip(given, new, strict=True)))

    assert torch.autograd.gradgradcheck(value, weights, eps=1e-5, atol=1e-6, rtol=1e-3)
