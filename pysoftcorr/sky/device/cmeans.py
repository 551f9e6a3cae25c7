"""Fuzzy c-means on a GPU: k-means++ start, sweeps, memberships; the algorithm of fuzzy.jl."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

__all__ = ["Fit", "Sweeps", "seed_centers"]

FloatArray = npt.NDArray[np.float64]

OBJECTS, CENTERS, WARPS = 16, 32, 8
#: Programs that fill a large GPU.
PROGRAMS = 4096
#: Objects whose masses are summed as one when a center is drawn.
DRAWN = 1024
#: Numbers of memberships that are brought from the device at once.
STEP = 1 << 24
#: Root mean square change of memberships below which steps are extrapolated, as in Julia.
SETTLED_CHANGE = 1e-3
#: Steps that an extrapolation looks back on.
DEPTH = 6


class Fit(NamedTuple):
    """Centers (c, D), the objective and ||dU|| of each accepted sweep, and convergence."""

    centers: FloatArray
    objective: FloatArray
    change: FloatArray
    converged: bool


def seed_centers(x: FloatArray, w: FloatArray, draws: FloatArray, device: str) -> FloatArray:
    """k-means++ start (c, D) from objects (N, D) and one uniform number a center.

    Each center is an object, drawn in proportion to its weight and to its squared distance from the
    centers before (Arthur & Vassilvitskii 2007); where every object lies on one, an object not yet
    taken.
    """
    import torch

    n, dims = x.shape
    size = -(-n // DRAWN) * DRAWN
    place = torch.zeros((dims, size), dtype=torch.float64, device=device)
    place[:, :n] = torch.from_numpy(np.array(x.T, order="C")).to(device)
    weight = torch.zeros(size, dtype=torch.float64, device=device)
    weight[:n] = torch.from_numpy(np.array(w)).to(device)
    free = torch.zeros(size, dtype=torch.float64, device=device)
    free[:n] = 1.0
    nearest = torch.full((size,), math.inf, dtype=torch.float64, device=device)
    mass, taken = weight, []
    for uniform in draws:
        i = _draw(mass, float(uniform))
        if i is None:
            i = _draw(free, float(uniform))
            assert i is not None
        taken.append(i)
        free[i] = 0.0
        d2 = (place[0] - place[0, i]).square()
        for d in range(1, dims):
            d2 += (place[d] - place[d, i]).square()
        nearest = torch.minimum(nearest, d2)
        mass = free * weight * nearest
    return np.ascontiguousarray(x[taken])


def _draw(mass: torch.Tensor, uniform: float) -> int | None:
    """Index drawn in proportion to `mass`, or None where there is none; sums of fixed order."""
    rows = mass.view(-1, DRAWN)
    running = np.cumsum(rows.sum(1).cpu().numpy())
    if running[-1] == 0:
        return None
    target = uniform * running[-1]
    row = min(int(np.searchsorted(running, target, side="right")), len(running) - 1)
    while row > 0 and running[row] == running[row - 1]:  # by rounding, past all mass
        row -= 1
    masses = rows[row].cpu().numpy()
    inner = np.cumsum(masses) + (running[row - 1] if row else 0.0)
    found = int(np.searchsorted(inner, target, side="right"))
    return row * DRAWN + min(found, int(np.flatnonzero(masses)[-1]))


class Sweeps:
    """Objects on a device, and sweeps over them.

    Parameters
    ----------
    x : ndarray, shape (N, D)
        Unit vectors (D = 3) or points of a plane (D = 2).
    w : ndarray, shape (N,)
        Weights.
    c : int
        Number of centers.
    fuzziness : float
    device : str
    """

    def __init__(self, x: FloatArray, w: FloatArray, c: int, fuzziness: float, device: str) -> None:
        import torch

        self.n, self.dims = x.shape
        self.c, self.m, self.device = c, fuzziness, device
        self.x = torch.from_numpy(np.array(x.T, order="C")).to(device)
        self.w = torch.from_numpy(np.array(w)).to(device)
        self.powers = torch.tensor(
            [1 / (fuzziness - 1), fuzziness], dtype=torch.float64, device=device
        )
        self.options: dict[str, Any] = {
            "DIMS": self.dims, "SQUARE": fuzziness == 2, "OBJECTS": OBJECTS, "CENTERS": CENTERS,
            "num_warps": WARPS,
        }  # fmt: skip
        self.columns = -(-c // CENTERS)
        rows = -(-self.n // OBJECTS)
        self.pieces = max(1, min(rows, PROGRAMS // self.columns))
        #: Centers of the last sweep, and what gives the memberships in them.
        self.last: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None

    def fit(self, start: FloatArray, tol: float, max_iter: int, accelerate: bool) -> Fit:
        """Memberships and centers in turn from `start` (c, D), as `SoftClustering` says."""
        v = np.array(start)
        plain = v
        history = Anderson()
        objectives: list[float] = []
        changes: list[float] = []
        extrapolated, converged = False, False
        for _ in range(max_iter):
            sums, objective, change = self.sweep(v)
            if extrapolated and objectives and objective > objectives[-1]:
                v, extrapolated = plain, False
                history.forget()
                continue
            objectives.append(objective)
            changes.append(math.sqrt(change))
            if changes[-1] < tol:
                converged = True
                break
            plain = self._centers(sums, v)
            settled = changes[-1] < SETTLED_CHANGE * math.sqrt(self.n)
            further = history.extrapolate(v, plain) if accelerate and settled else None
            extrapolated = further is not None
            v = plain if further is None else further
            if extrapolated and self.dims == 3:
                v = v / np.sqrt(np.sum(v**2, axis=1, keepdims=True))
        return Fit(v, np.array(objectives), np.array(changes), converged)

    def sweep(self, centers: FloatArray) -> tuple[FloatArray, float, float]:
        """Sums (D + 1, c) of w u^m x and w u^m, the objective, and ||dU||^2 from the last sweep."""
        import torch

        from pysoftcorr.sky.device.triton_cmeans import gather

        v, low, inverse = new = self._normalized(centers)
        before = new if self.last is None else self.last
        grid = (self.columns, self.pieces)
        sums = torch.empty((4, self.pieces, self.c), dtype=torch.float64, device=self.device)
        moved = torch.empty(grid[::-1], dtype=torch.float64, device=self.device)
        gather[grid](
            self.x, self.w, self.n, v, low, inverse, *before, self.c, self.powers, sums, moved,
            FIRST=self.last is None, **self.options,
        )  # fmt: skip
        self.last = new
        less = inverse if self.m == 2 else inverse ** (self.m - 1)
        total = sums.sum(1).cpu().numpy()
        objective = float((self.w * low * less).sum())
        return total[[*range(self.dims), 3]], objective, float(moved.sum())

    def _normalized(self, centers: FloatArray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Centers, and by object the least squared distance and 1 over the sum of ratios."""
        import torch

        from pysoftcorr.sky.device.triton_cmeans import normalize

        v = torch.from_numpy(np.array(centers.T, order="C")).to(self.device)
        low, inverse = torch.empty((2, self.n), dtype=torch.float64, device=self.device)
        normalize[(-(-self.n // OBJECTS),)](
            self.x, self.n, v, self.c, self.powers, low, inverse, **self.options
        )
        return v, low, inverse

    def _centers(self, sums: FloatArray, v: FloatArray) -> FloatArray:
        """Centers (c, D) at the means; one that no object belongs to stays where it is."""
        place, total = sums[: self.dims].T, sums[self.dims]
        scale = np.sqrt(np.sum(place**2, axis=1)) if self.dims == 3 else total
        some = scale != 0
        return np.where(some[:, None], place / np.where(some, scale, 1.0)[:, None], v)

    def memberships(self) -> FloatArray:
        """U (N, c) in the centers of the last sweep."""
        import torch

        from pysoftcorr.sky.device.triton_cmeans import shares

        assert self.last is not None
        out = np.empty((self.n, self.c))
        rows = min(self.n, max(1, STEP // self.c))
        u = torch.empty((rows, self.c), dtype=torch.float64, device=self.device)
        # By a page-locked buffer: what is copied from there is copied by all cores.
        passing = torch.empty((rows, self.c), dtype=torch.float64, pin_memory=u.is_cuda)
        for start in range(0, self.n, rows):
            shares[(-(-rows // OBJECTS), self.columns)](
                self.x, self.n, *self.last, self.c, self.powers, start, rows, u, **self.options
            )
            end = min(self.n, start + rows)
            passing.copy_(u)
            torch.from_numpy(out[start:end]).copy_(passing[: end - start])
        return out


class Anderson:
    """The last steps of the centers, and their extrapolation (Anderson 1965)."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start over."""
        self.steps: list[FloatArray] = []
        self.results: list[FloatArray] = []
        self.last: tuple[FloatArray, FloatArray] | None = None

    def extrapolate(self, v: FloatArray, plain: FloatArray) -> FloatArray | None:
        """From `v` and its plain successor; None while there is nothing to go by."""
        step, result = (plain - v).ravel(), plain.ravel()
        if self.last is not None:
            self.steps = [*self.steps, step - self.last[0]][-DEPTH:]
            self.results = [*self.results, result - self.last[1]][-DEPTH:]
        self.last = (step, result)
        if not self.steps:
            return None
        further = result.copy()
        for a, past in zip(_least_squares(self.steps, step), self.results, strict=True):
            further -= a * past
        return further.reshape(v.shape) if np.isfinite(further).all() else None


def _least_squares(columns: list[FloatArray], b: FloatArray) -> FloatArray:
    """Coefficients that minimize |b - sum_j a_j columns_j|; 0 of old ones that newer make up."""
    n = len(columns)
    q: list[FloatArray] = []
    triangle = np.zeros((n, n))
    kept: list[int] = []
    for j in reversed(range(n)):
        column = columns[j].copy()
        before = np.sum(column**2)
        for p, direction in enumerate(q):
            triangle[p, len(q)] = np.sum(direction * column)
            column -= triangle[p, len(q)] * direction
        after = np.sum(column**2)
        if after <= 1e-20 * before:
            continue
        kept.append(j)
        triangle[len(q), len(q)] = np.sqrt(after)
        q.append(column / np.sqrt(after))
    rest, y = b.copy(), np.zeros(len(q))
    for p, direction in enumerate(q):
        y[p] = np.sum(direction * rest)
        rest -= y[p] * direction
    out = np.zeros(n)
    for p in reversed(range(len(q))):
        y[p] = (y[p] - triangle[p, p + 1 : len(q)] @ y[p + 1 :]) / triangle[p, p]
        out[kept[p]] = y[p]
    return out
