"""SoftCorrelation as a function of JAX, differentiable twice in reverse mode.

By callbacks to the host, as soft_torch.py has them: each derivative of xi(y), of its gradient J(y)' c
and of H(y, c) t is another of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pysoftcorr.sky.soft_nodes import NO_THIRD, Nodes

__all__ = ["xi"]


def xi(nodes: Nodes, *given: Any) -> jax.Array:
    """xi of five arrays, the last of which may be None."""
    for name, array in zip(nodes.fields, given, strict=True):
        if name == "w" and array is None:
            continue
        if not isinstance(array, (jax.Array, np.ndarray)):
            raise TypeError(f"{name} must be a JAX array, not {type(array).__name__}")
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise TypeError(f"{name} must be a floating array, got {array.dtype}")
        if array.ndim != 1:
            raise ValueError(
                f"{name} has shape {array.shape}: must be (N,); for a batch of catalogs use jax.vmap"
            )
    arrays = [jnp.ones_like(given[0]) if a is None else jnp.asarray(a) for a in given]
    result: jax.Array = _value(nodes, *arrays)
    return result


def _host(work: Callable[..., Any], like: Any, *args: Any) -> Any:
    """`work` in float64 on the host, its results in the shapes and dtypes of `like`."""

    def done(*arrays: Any) -> Any:
        found = work(*(np.asarray(a, dtype=np.float64) for a in arrays))
        if isinstance(like, tuple):
            return tuple(np.asarray(f, dtype=s.dtype) for f, s in zip(found, like, strict=True))
        return np.asarray(found, dtype=like.dtype)

    return jax.pure_callback(done, like, *args, vmap_method="sequential")


def _of_bins(nodes: Nodes, objects: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((nodes.nbins,), jnp.result_type(*objects))


def _of_objects(objects: Any) -> tuple[jax.ShapeDtypeStruct, ...]:
    return tuple(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in objects)


# ---- xi(y) -------------------------------------------------------------------------------------


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _value(nodes: Nodes, a: Any, b: Any, g1: Any, g2: Any, w: Any) -> Any:
    objects = (a, b, g1, g2, w)
    return _host(lambda *y: nodes.value(y), _of_bins(nodes, objects), *objects)


def _value_forward(nodes: Nodes, *objects: Any) -> Any:
    return _value(nodes, *objects), objects


def _value_backward(nodes: Nodes, objects: Any, cotangent: Any) -> Any:
    return _gradient(nodes, cotangent, *objects)


_value.defvjp(_value_forward, _value_backward)


# ---- J(y)' c -----------------------------------------------------------------------------------


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _gradient(nodes: Nodes, cotangent: Any, a: Any, b: Any, g1: Any, g2: Any, w: Any) -> Any:
    objects = (a, b, g1, g2, w)
    return _host(lambda c, *y: nodes.pull(c, y), _of_objects(objects), cotangent, *objects)


def _gradient_forward(nodes: Nodes, *args: Any) -> Any:
    return _gradient(nodes, *args), args


def _gradient_backward(nodes: Nodes, args: Any, changes: Any) -> Any:
    cotangent, *objects = args
    turned, *rows = _second(nodes, args, tuple(changes))
    return turned.astype(cotangent.dtype), *rows


_gradient.defvjp(_gradient_forward, _gradient_backward)


# ---- J(y) t and H(y, c) t ----------------------------------------------------------------------


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _second(nodes: Nodes, args: Any, changes: Any) -> Any:
    _, *objects = args

    def work(c: Any, *rest: Any) -> Any:
        tangents, y = rest[:5], rest[5:]
        return nodes.push(tangents, y), *nodes.second(c, tangents, y)

    like = (_of_bins(nodes, objects), *_of_objects(objects))
    return _host(work, like, args[0], *changes, *objects)


def _second_forward(nodes: Nodes, args: Any, changes: Any) -> Any:
    return _second(nodes, args, changes), None


def _second_backward(nodes: Nodes, kept: Any, cotangents: Any) -> Any:
    raise NotImplementedError(NO_THIRD)


_second.defvjp(_second_forward, _second_backward)
