"""A potential and its gradient at several points at once, with little Python per call."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.extras import need

__all__ = ["ValueAndGradient"]

FloatArray = npt.NDArray[np.float64]


class ValueAndGradient:
    """Values (n,) and gradients (n, p) of a function of rows (n, p), a float64 torch function.

    The operations of the function and of its derivative are recorded once into one graph, in
    which what does not depend on the point is evaluated beforehand: with the HOD fixed, the
    network of the response functions is. Should a graph not reproduce the function, as one with
    branches would not, the function itself is called.

    Parameters
    ----------
    function : callable
        Takes a tensor of shape (n, p) and gives one of shape (n,); rows do not affect one another.
    size : int
        Number of parameters, p.
    batch : int
        Number of points, n, for which the graph is made; calls with fewer rows are filled up.
    probes : ndarray, shape (m, p)
        Where the graph is compared with the function.
    compiled : bool
        Whether a graph is made at all.

    Attributes
    ----------
    calls, points : int
        Calls so far, and rows in them.
    compiled : bool
        Whether a graph is in use.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        size: int,
        *,
        batch: int = 1,
        probes: FloatArray | None = None,
        compiled: bool = True,
    ) -> None:
        self._function = function
        self._size = size
        self._batch = batch
        self.calls = self.points = 0
        self._graph: Callable[[Any], tuple[Any, Any]] | None = None
        if compiled:
            self._graph = self._made(np.zeros((1, size)) if probes is None else probes)
        self.compiled = self._graph is not None

    def __call__(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        n = len(points)
        self.calls += 1
        self.points += n
        torch = need("torch", "a posterior")
        if self._graph is None:
            value, gradient = self._eager(torch.from_numpy(np.ascontiguousarray(points)))
        else:
            if n < self._batch:
                points = np.concatenate([points, np.repeat(points[-1:], self._batch - n, axis=0)])
            with torch.inference_mode():
                value, gradient = self._graph(torch.from_numpy(np.ascontiguousarray(points)))
        return value.numpy()[:n], gradient.numpy()[:n]

    def _eager(self, points: Any) -> tuple[Any, Any]:
        torch = need("torch", "a posterior")
        with torch.enable_grad():
            leaf = points.detach().requires_grad_(True)
            value = self._function(leaf)
            (gradient,) = torch.autograd.grad(value.sum(), leaf)
        return value.detach(), gradient.detach()

    def _made(self, probes: FloatArray) -> Any:
        torch = need("torch", "a posterior")
        from torch.fx.experimental.proxy_tensor import make_fx

        filled = np.resize(probes, (max(len(probes), self._batch), self._size))
        whole = len(filled) - len(filled) % self._batch
        chosen = [torch.tensor(filled[k : k + self._batch]) for k in range(0, whole, self._batch)]
        wanted = [self._eager(points) for points in chosen]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tracing in general, and of TorchScript's age
            try:
                flat = make_fx(lambda points: self._eager(points))(chosen[0])
                flat.graph.eliminate_dead_code()
                flat.recompile()
            except Exception:  # whatever an operation that cannot be recorded raises
                return None
            # TorchScript runs the operations without Python, but does not take all of them.
            for make in (_scripted, lambda flat, _: flat):
                try:
                    graph = make(flat, chosen[0])
                    with torch.inference_mode():
                        for _ in range(3):  # the first runs profile and optimize
                            graph(chosen[0])
                        found = [graph(points) for points in chosen]
                except Exception:
                    continue
                if all(_same(a, b) for a, b in zip(found, wanted, strict=True)):
                    return graph
        return None


def _scripted(flat: Any, example: Any) -> Any:
    """A function of TorchScript that is freed with its last use.

    What `torch.jit.trace` makes belongs to one unit of the whole process, which keeps it: 4 MB
    for each posterior. So the graph is traced, and put into a unit of its own, by what
    `torch.jit` itself is made of.
    """
    torch = need("torch", "a posterior")
    graph = torch._C._create_graph_by_tracing(
        lambda points: flat(points), (example,), lambda _: "", True, False, None, ["points"]
    )[0]
    torch._C._jit_pass_constant_propagation(graph)
    torch._C._jit_pass_dce(graph)
    return torch._C._create_function_from_graph("potential", graph)


def _same(found: tuple[Any, Any], wanted: tuple[Any, Any]) -> bool:
    """Whether values and gradients agree but for rounding; NaN where there is NaN."""
    torch = need("torch", "a posterior")
    for a, b in zip(found, wanted, strict=True):
        scale = float(b.nan_to_num(0.0, 0.0, 0.0).abs().max())
        if not torch.allclose(a, b, rtol=1e-9, atol=1e-10 * max(scale, 1.0), equal_nan=True):
            return False
    return True
