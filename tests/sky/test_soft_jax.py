"""SoftCorrelation under JAX: values, gradients against torch's and differences, jit, vmap."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from helpers.soft_inputs import AXES, columns, estimator
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.differentiable import SoftCorrelation

TARGET = np.array([0.01, -0.02, 0.0])


@pytest.fixture
def jax():
    """JAX with numbers of 64 bits, for this test."""
    jax = pytest.importorskip("jax", reason="pip install 'pysoftcorr[jax]'")
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield jax
    jax.config.update("jax_enable_x64", before)


def loss_of(sc, geometry):
    def loss(*arrays):
        xi = sc.jax(**dict(zip(AXES[geometry], arrays, strict=True)))
        return ((xi - TARGET.astype(xi.dtype)) ** 2).sum()

    return loss


@pytest.mark.parametrize("statistic", ["xip", "xim"])
@pytest.mark.parametrize("geometry", ["sky", "flat"])
@pytest.mark.parametrize("approach", ["naive", "soft", "hard", "gumbel"])
def test_value_and_gradient(jax, approach, geometry, statistic):
    objects = columns(geometry)
    sc = estimator(objects, approach=approach, statistic=statistic)
    arrays = [jax.numpy.asarray(v) for v in objects.values()]
    catalog = Catalog(**objects)
    value = sc.value(catalog)
    got = sc.jax(**dict(zip(AXES[geometry], arrays, strict=True)))
    assert got.dtype == np.float64
    np.testing.assert_array_equal(got, value)
    rows = jax.jit(jax.grad(loss_of(sc, geometry), argnums=(0, 1, 2, 3, 4)))(*arrays)
    for row, want in zip(rows, sc.vjp(catalog, 2 * (value - TARGET)).values(), strict=True):
        np.testing.assert_allclose(row, want, rtol=1e-12, atol=1e-15)


def test_gradient_against_torch_and_differences(jax):
    torch = pytest.importorskip("torch")
    objects = columns("sky")
    sc = estimator(objects)
    arrays = [jax.numpy.asarray(v) for v in objects.values()]
    loss = loss_of(sc, "sky")
    rows = jax.grad(loss, argnums=(0, 1, 2, 3, 4))(*arrays)
    tensors = [torch.tensor(v, requires_grad=True) for v in objects.values()]
    ((sc.torch(*tensors) - torch.tensor(TARGET)) ** 2).sum().backward()
    for row, tensor in zip(rows, tensors, strict=True):
        np.testing.assert_allclose(row, tensor.grad.numpy(), rtol=1e-12, atol=1e-15)
    for k, h in enumerate((1e-5, 1e-5, 1e-5, 1e-5, 1e-5)):
        high, low = (
            float(loss(*(a.at[3].add(s * h) if k == q else a for q, a in enumerate(arrays))))
            for s in (1, -1)
        )
        scale = float(np.abs(rows[k]).max())
        assert (high - low) / (2 * h) == pytest.approx(float(rows[k][3]), abs=1e-5 * scale)


@pytest.mark.parametrize("geometry", ["sky", "flat"])
def test_second_derivatives(jax, geometry):
    objects = columns(geometry)
    sc = estimator(objects)
    arrays = [jax.numpy.asarray(v) for v in objects.values()]

    def total(g1, a):
        named = dict(zip(AXES[geometry], arrays, strict=True)) | {"g1": g1, AXES[geometry][0]: a}
        return (sc.jax(**named) * np.array([1.0, -0.7, 0.4])).sum()

    hessian = jax.jit(jax.jacrev(jax.grad(total, argnums=1), argnums=0))(arrays[2], arrays[0])
    step = np.zeros(14)
    step[5] = 1.0
    want = sc.hvp(Catalog(**objects), [1.0, -0.7, 0.4], {"g1": step})[AXES[geometry][0]]
    np.testing.assert_allclose(hessian[:, 5], want, rtol=1e-9, atol=1e-14)

    # a penalty on the gradient
    def penalized(g1):
        return total(g1, arrays[0]) + (jax.grad(total)(g1, arrays[0]) ** 2).sum()

    slope = jax.grad(penalized)(arrays[2])
    high, low = (float(penalized(arrays[2] + s * 1e-5 * step)) for s in (1, -1))
    assert float(slope[5]) == pytest.approx((high - low) / 2e-5, rel=1e-6)
    with pytest.raises(NotImplementedError, match="third derivatives are not given"):
        jax.grad(lambda g1: jax.grad(penalized)(g1).sum())(arrays[2])


def test_batches_of_catalogs(jax):
    sets = [columns("sky", seed=s) for s in (1, 2, 3)]
    sc = estimator(sets[0])
    batch = [jax.numpy.asarray(np.stack([s[f] for s in sets])) for f in AXES["sky"]]
    want = np.stack([sc.value(Catalog(**s)) for s in sets])
    for function in (jax.vmap(sc.jax), jax.jit(jax.vmap(sc.jax))):
        np.testing.assert_array_equal(function(*batch), want)
    rows = jax.vmap(jax.grad(loss_of(sc, "sky"), argnums=2))(*batch)
    one = jax.grad(loss_of(sc, "sky"), argnums=2)(*(b[1] for b in batch))
    np.testing.assert_allclose(rows[1], one, rtol=1e-12)
    # only some of the columns in a batch, and the Jacobian, a batch of cotangents
    some = jax.vmap(sc.jax, in_axes=(None, None, 0, None, None))(
        *(b if k == 2 else b[0] for k, b in enumerate(batch))
    )
    np.testing.assert_array_equal(some[0], want[0])
    jacobian = jax.jacrev(sc.jax, argnums=2)(*(b[0] for b in batch))
    np.testing.assert_allclose(
        jacobian, sc.jacobian(Catalog(**sets[0]))["g1"], rtol=1e-12, atol=1e-15
    )


def test_single_precision(jax):
    objects = {f: v.astype(np.float32) for f, v in columns("sky").items()}
    sc = estimator({f: v.astype(np.float64) for f, v in objects.items()})
    jax.config.update("jax_enable_x64", False)
    arrays = [jax.numpy.asarray(v) for v in objects.values()]
    got = sc.jax(*arrays)
    assert got.dtype == np.float32
    # The work is done in 64 bits: only the result is rounded.
    want = sc.value(Catalog(**{f: v.astype(np.float64) for f, v in objects.items()}))
    np.testing.assert_array_equal(got, want.astype(np.float32))
    rows = jax.jit(jax.grad(loss_of(sc, "sky"), argnums=(0, 2)))(*arrays)
    assert all(row.dtype == np.float32 and np.isfinite(row).all() for row in rows)


def test_weights_of_one(jax):
    objects = columns("flat")
    sc = estimator(objects)
    xi = sc.jax(x=objects["x"], y=objects["y"], g1=objects["g1"], g2=objects["g2"])
    np.testing.assert_array_equal(xi, sc.value(Catalog(**objects | {"w": np.ones(14)})))


def test_units(jax):
    objects = columns("flat")
    sc = estimator(objects)
    moved = objects | {"x": objects["x"] / 60, "y": objects["y"] / 60}
    got = jax.jit(lambda x: sc.jax(**moved | {"x": x}, xy_unit="deg"))(moved["x"])
    np.testing.assert_allclose(got, sc.value(Catalog(**objects)), rtol=1e-9)


def test_many_objects_from_many_threads(jax):
    """Callbacks from threads of JAX, while others ask as well: none waits for ever."""
    rng = np.random.default_rng(1)
    n = 20_000
    arrays = [
        jax.numpy.asarray(v)
        for v in (rng.uniform(0, 5, n), rng.uniform(0, 5, n), *rng.normal(0, 0.2, (2, n)))
    ]
    sc = SoftCorrelation("linear:0:300:3", approach="hard", clusters=5, seed=1)
    gradient = jax.jit(jax.grad(lambda g1: sc.jax(*arrays[:2], g1, arrays[3]).sum()))
    found: list[np.ndarray] = []
    threads = [
        threading.Thread(target=lambda: found.append(np.asarray(gradient(arrays[2]))), daemon=True)
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(found) == 4
    for row in found:
        np.testing.assert_array_equal(row, found[0])


def test_refused(jax):
    ra, dec, g1, g2, w = (jax.numpy.asarray(v) for v in columns("sky").values())
    sc = SoftCorrelation("linear:0:60:3", approach="naive")
    with pytest.raises(TypeError, match="dec must be a JAX array, not list"):
        sc.jax(ra, [1.0], g1, g2)
    with pytest.raises(TypeError, match="w must be a floating array, got int"):
        sc.jax(ra, dec, g1, g2, jax.numpy.ones(14, dtype=int))
    with pytest.raises(ValueError, match=r"ra has shape \(2, 14\).*use jax.vmap"):
        sc.jax(*(jax.numpy.stack([a, a]) for a in (ra, dec, g1, g2)))
    with pytest.raises(ValueError, match="not both"):
        sc.jax(ra, dec, g1, g2, x=ra, y=dec)
    for function in (sc.jax, jax.jit(sc.jax)):
        with pytest.raises(Exception, match="dec is beyond 90 degrees"):
            function(ra, 50 * dec, g1, g2, w).block_until_ready()
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jacfwd(sc.jax)(ra, dec, g1, g2, w)


def test_without_jax_the_extra_is_named(fresh):
    code = """
    import sys
    sys.modules["jax"] = None
    from pysoftcorr.sky.differentiable import SoftCorrelation
    import pysoftcorr.sky.soft_jax
    sc = SoftCorrelation("linear:0:60:2", approach="naive")
    try:
        sc.jax(1, 2, 3, 4)
    except ImportError as error:
        print(error)
    """
    assert "pip install 'pysoftcorr[jax]'" in fresh(code).stdout


def test_importing_does_not_start_jax(fresh):
    code = "import sys, pysoftcorr.sky.soft_jax; print('jax' in sys.modules)"
    assert fresh(code).stdout.strip() == "False"
