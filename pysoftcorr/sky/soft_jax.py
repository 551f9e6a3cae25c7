"""SoftCorrelation as a function of JAX, differentiable twice in reverse mode.

By callbacks to the host, as in soft_torch.py: the derivative of xi(y) is J(y)' c, and those of
J(y)' c are J(y) t and H(y, c) t.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from pysoftcorr.sky.soft_nodes import NO_THIRD, Nodes

if TYPE_CHECKING:
    import jax

__all__ = ["xi"]


def xi(nodes: Nodes, *given: Any) -> jax.Array:
    """xi of five arrays, the last of which may be None."""
    import jax
    import jax.numpy as jnp

    for name, array in zip(nodes.fields, given, strict=True):
        if name == "w" and array is None:
            continue
        if not isinstance(array, (jax.Array, np.ndarray)):
            raise TypeError(f"{name} must be a JAX array, not {type(array).__name__}")
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise TypeError(f"{name} must be a floating array, got {array.dtype}")
        if array.ndim != 1:
            raise ValueError(
                f"{name} has shape {array.shape}: must be (N,); for a batch of catalogs "
                "use jax.vmap"
            )
    arrays = [jnp.ones_like(given[0]) if a is None else jnp.asarray(a) for a in given]
    result: jax.Array = _function()(nodes, *arrays)
    return result


@cache
def _function() -> Callable[..., Any]:
    """xi(y) with its derivatives, made once JAX is there."""
    import jax
    import jax.numpy as jnp

    differentiable = partial(jax.custom_vjp, nondiff_argnums=(0,))

    def host(work: Callable[..., Any], like: tuple[Any, ...], *args: Any) -> Any:
        """`work` in float64 on the host, its results in the shapes and dtypes of `like`."""

        def done(*arrays: Any) -> tuple[Any, ...]:
            found = work(*(np.asarray(a, dtype=np.float64) for a in arrays))
            return tuple(np.asarray(f, dtype=s.dtype) for f, s in zip(found, like, strict=True))

        return jax.pure_callback(done, like, *args, vmap_method="sequential")

    def of_bins(nodes: Nodes, objects: Any) -> Any:
        return jax.ShapeDtypeStruct((nodes.nbins,), jnp.result_type(*objects))

    def of_objects(objects: Any) -> tuple[Any, ...]:
        return tuple(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in objects)

    @differentiable
    def value(nodes: Nodes, a: Any, b: Any, g1: Any, g2: Any, w: Any) -> Any:
        y = (a, b, g1, g2, w)
        return host(lambda *y: (nodes.value(y),), (of_bins(nodes, y),), *y)[0]

    @differentiable
    def gradient(nodes: Nodes, c: Any, a: Any, b: Any, g1: Any, g2: Any, w: Any) -> Any:
        y = (a, b, g1, g2, w)
        return host(lambda c, *y: nodes.pull(c, y), of_objects(y), c, *y)

    @differentiable
    def second(nodes: Nodes, args: Any, tangents: Any) -> Any:
        c, *y = args

        def work(c: Any, *rest: Any) -> tuple[Any, ...]:
            t, y = rest[:5], rest[5:]
            return nodes.push(t, y), *nodes.second(c, t, y)

        along, *rows = host(work, (of_bins(nodes, y), *of_objects(y)), c, *tangents, *y)
        return along.astype(c.dtype), *rows

    def third(nodes: Nodes, kept: Any, cotangents: Any) -> Any:
        raise NotImplementedError(NO_THIRD)

    value.defvjp(
        lambda nodes, *y: (value(nodes, *y), y),
        lambda nodes, y, c: gradient(nodes, c, *y),
    )
    gradient.defvjp(
        lambda nodes, *args: (gradient(nodes, *args), args),
        lambda nodes, args, tangents: second(nodes, args, tuple(tangents)),
    )
    second.defvjp(lambda *args: (second(*args), None), third)
    return value
