"""DiffHOD on a GPU: the numbers of the CPU, values and derivatives, in both precisions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pysoftcorr.diffhod import (  # noqa: E402
    DiffHOD,
    WeightedPairs,
    nfw_radius,
    paint_cic,
    power_spectrum,
    relaxed_bernoulli,
    watson_axes,
    watson_cosine,
)
from pysoftcorr.diffhod.experiments.smooth import SmoothPower  # noqa: E402
from pysoftcorr.diffhod.occupation import mean_ncen, mean_nsat  # noqa: E402
from pysoftcorr.mocks import HaloCatalog  # noqa: E402

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

F32, F64 = torch.float32, torch.float64
FIVE = (12.02, 0.26, 11.38, 13.31, 1.06)
SEVEN = (0.7, 0.3, *FIVE)
REFERENCE = [[11.9, 0.3, 11.2, 13.2, 1.0], [12.1, 0.2, 11.6, 13.4, 1.1]]
KINDS = {"relaxed": {"tau": 0.2}, "reweighted": {"reference": REFERENCE, "density": 8.0}}
#: Sums of some ten thousand numbers, in another order.
CLOSE = {F64: {"rtol": 1e-10, "atol": 1e-10}, F32: {"rtol": 2e-3, "atol": 2e-3}}


@pytest.fixture(scope="module")
def halos() -> HaloCatalog:
    return HaloCatalog.simulate(60.0, 64, seed=1)


def same(found: torch.Tensor, expected: torch.Tensor) -> None:
    """On the GPU, and equal to rounding on the scale of the largest."""
    assert found.device.type == "cuda"
    assert found.dtype == expected.dtype
    a, b = found.detach().cpu(), expected.detach()
    scale = b[torch.isfinite(b)].abs().max()
    torch.testing.assert_close(a / scale, b / scale, equal_nan=True, **CLOSE[b.dtype])


def agrees(function: Callable[..., torch.Tensor], *arguments: torch.Tensor) -> None:
    """Values, and derivatives by each argument, as on the CPU."""
    made = []
    for device in ("cpu", "cuda"):
        at = [a.detach().to(device).requires_grad_() for a in arguments]
        value = function(*at)
        # Other derivatives than of the sum, which may be 0 by symmetry.
        weight = torch.linspace(1, 2, value.numel(), dtype=value.dtype).view_as(value).to(device)
        made.append((value, *torch.autograd.grad((value * weight).sum(), at)))
    for expected, found in zip(*made, strict=True):
        same(found, expected)


def jacobian(values: torch.Tensor, params: torch.Tensor) -> torch.Tensor:
    rows = [torch.autograd.grad(v, params, retain_graph=True)[0] for v in values.flatten()]
    return torch.stack(rows)


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("kind", KINDS)
def test_power_and_derivatives(halos: HaloCatalog, kind: str, dtype: torch.dtype) -> None:
    made = []
    for device in ("cpu", "cuda"):
        model = DiffHOD(
            halos, mesh=32, realizations=3, dtype=dtype, device=device, seed=1, **KINDS[kind]
        )
        params = torch.tensor(FIVE, dtype=dtype, device=device, requires_grad=True)
        k, one = model.power(params, realization=1)
        every = model.power(params, realization=None)[1]
        made.append((k, one, every, jacobian(every, params)))
    for expected, found in zip(*made, strict=True):
        same(found, expected)


@pytest.mark.parametrize("hard", [False, True])
def test_galaxies(halos: HaloCatalog, hard: bool) -> None:
    a, b = (
        DiffHOD(halos, device=device, seed=3).galaxies(SEVEN, hard=hard)
        for device in ("cpu", "cuda")
    )
    for name in ("position", "weight", "central", "host", "rank", "scaled_radius", "axis"):
        expected, found = getattr(a, name), getattr(b, name)
        assert found.device.type == "cuda"
        torch.testing.assert_close(found.cpu(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_correlations_in_seven_parameters(halos: HaloCatalog, kind: str) -> None:
    made = []
    for device in ("cpu", "cuda"):
        model = DiffHOD(halos, device=device, seed=2, **KINDS[kind])
        params = torch.tensor(SEVEN, dtype=F64, device=device, requires_grad=True)
        found = torch.cat(model.correlations(params, bins=[0.3, 1.0, 3.0, 9.0]))
        made.append((found, jacobian(found, params)))
    for expected, found in zip(*made, strict=True):
        same(found, expected)


@pytest.mark.parametrize("stored", [0, 10**6])
def test_pairs_of_points(stored: int) -> None:
    rng = np.random.default_rng(1)
    place, weight = rng.uniform(0, 30, (800, 3)), torch.tensor(rng.uniform(0, 1, 800))
    axis = torch.tensor(rng.normal(size=(800, 3)))
    axis /= torch.linalg.vector_norm(axis, dim=1, keepdim=True)

    def pairs(device: torch.device) -> WeightedPairs:
        return WeightedPairs(place, boxsize=30.0, bins=[0.5, 2, 4, 8], device=device, stored=stored)

    agrees(lambda w, e: torch.cat(pairs(w.device).correlations(w, e)), weight, axis)
    agrees(lambda e: pairs(e.device).orientation(weight).omega(e), axis)


@pytest.mark.parametrize("dtype", [F32, F64])
def test_building_blocks(dtype: torch.dtype) -> None:
    rng = np.random.default_rng(2)

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return torch.tensor(rng.uniform(low, high, shape), dtype=dtype)

    u, reference = uniform(0.01, 0.99, 4000), torch.tensor(rng.normal(size=(4000, 3)), dtype=dtype)
    reference /= torch.linalg.vector_norm(reference, dim=1, keepdim=True)
    mass, params = 10 ** uniform(11, 15, 500), torch.tensor(FIVE, dtype=dtype)
    noise = torch.logit(u)
    agrees(lambda p: relaxed_bernoulli(p, noise.to(p), tau=0.2), uniform(0, 1, 4000))
    agrees(nfw_radius, u, uniform(2, 20, 4000))
    agrees(lambda mu: torch.cat(watson_cosine(u.to(mu), mu)), torch.tensor(0.4, dtype=dtype))
    agrees(lambda mu: watson_axes(reference.to(mu), mu, u.to(mu), u.flip(0).to(mu)),
           torch.tensor(-0.6, dtype=dtype))  # fmt: skip
    agrees(lambda t: mean_ncen(mass.to(t), t), params)
    agrees(lambda t: mean_nsat(mass.to(t), t, modulate=True), params)
    place, weight = uniform(0, 20, 2, 3000, 3), uniform(0.5, 1, 2, 3000)
    agrees(lambda x, w: paint_cic(x, w, mesh=16, boxsize=20.0), place, weight)
    agrees(lambda x, w: power_spectrum(x, w, mesh=16, boxsize=20.0).power, place, weight)


def test_a_strength_may_lie_elsewhere() -> None:
    mu = torch.tensor(0.3, dtype=F64, requires_grad=True)
    u = torch.linspace(0.1, 0.9, 9, dtype=F64, device="cuda")
    cos, _ = watson_cosine(u, mu)
    cos.sum().backward()
    assert mu.grad is not None
    assert mu.grad.device.type == "cpu"


@pytest.mark.parametrize("kind", KINDS)
def test_model_of_a_posterior(halos: HaloCatalog, kind: str) -> None:
    """Parameters may lie on either side; those of the chains lie on the CPU."""
    low, high = np.subtract(FIVE, 0.1), np.add(FIVE, 0.1)
    bounds = (low, high) if kind == "relaxed" else None
    a, b = (
        SmoothPower(
            halos, realizations=2, seed=1, mesh=32, device=device, bounds=bounds, **KINDS[kind]
        )
        for device in ("cpu", "cuda")
    )
    np.testing.assert_allclose(b(FIVE), a(FIVE), rtol=1e-10)
    for device in ("cpu", "cuda"):
        params = torch.tensor(FIVE, dtype=F64, device=device, requires_grad=True)
        found = b(params)
        (gradient,) = torch.autograd.grad(found.sum(), params)
        at = torch.tensor(FIVE, dtype=F64, requires_grad=True)
        (expected,) = torch.autograd.grad(a(at).sum(), at)
        assert gradient.device.type == device
        torch.testing.assert_close(gradient.cpu(), expected, rtol=1e-9, atol=1e-9)


def test_experiment(halos: HaloCatalog, tmp_path: Path) -> None:
    for module in ("pyro", "arviz", "h5netcdf"):
        pytest.importorskip(module)
    from pysoftcorr.diffhod.experiments.power import run_power_experiment
    from pysoftcorr.diffhod.experiments.settings import PowerSettings

    made = {}
    for device, workers in (("cpu", 1), ("cuda", 2)):
        settings = replace(
            PowerSettings.preset("small"), mesh=16, k_max=0.8, covariance=30, realizations=1,
            calibration=20, chains=2, warmup=20, draws=20, device=device,
        )  # fmt: skip
        made[device] = run_power_experiment(
            halos, tmp_path / device, settings=settings, workers=workers, emcee=False
        )
    a, b = made["cpu"].prepared, made["cuda"].prepared
    np.testing.assert_allclose(b.data, a.data, rtol=1e-12)
    np.testing.assert_allclose(b.center, a.center, atol=1e-5)
    np.testing.assert_allclose(b.laplace, a.laplace, rtol=1e-4, atol=1e-6)
    assert np.isfinite(made["cuda"].nuts.draws).all()
    assert made["cuda"].nuts.draws.shape == made["cpu"].nuts.draws.shape
