"""The gradient of a correlation function: against its value, unrolling, and torch's autograd.

Times are medians of runs in turn; peak memory is that of processes of their own, less what each
has before the work begins. Run it on an idle machine:

    python benchmarks/bench_gradient.py
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from timing import heading, in_turn, load, once, ratio

from pysoftcorr import GravitySimulation, SoftCorrelation

BINS = "linear:0:160:3"
CLUSTERS = 100
GROWTH = (500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000)
#: Motion of the centers (radians) at which torch's sweeps stop. Ours go on to 1e-15, which sums
#: in torch may never reach for their rounding.
TOL = 1e-12


def estimator(**more) -> SoftCorrelation:
    """The estimator that everything here is about."""
    return SoftCorrelation(BINS, clusters=CLUSTERS, seed=1, **more)


def sky(n: int):
    """n simulated galaxies, as `softcorr gradient` makes them."""
    return GravitySimulation(n, seed=1).run(derivative=False).catalog


def starting_centers(catalog):
    """The start (c, 3) that every route begins from: k-means++, moved by some arcmin."""
    from pysoftcorr._julia import call
    from pysoftcorr.sky.soft_kernels import seed_numbers

    start = np.empty((3, CLUSTERS))
    draws = seed_numbers(1, CLUSTERS)
    call("seed_centers", catalog.xyz, 3, len(catalog), np.ones(len(catalog)), CLUSTERS, draws,
         start)  # fmt: skip
    # Off the objects that k-means++ chose: on one the plain twin divides 0 by 0 and ends in NaN.
    start += np.random.default_rng(1).normal(0.0, 1e-3, start.shape)
    return np.ascontiguousarray((start / np.linalg.norm(start, axis=0)).T)


def torch_gradient(catalog, start):
    """xi, the gradient (nbins, 2, N) of each bin, and the number of sweeps, by torch alone."""
    import torch
    from soft_twin_torch import xi_plus

    ours = estimator()
    position = [torch.tensor(a, requires_grad=True) for a in (catalog.ra, catalog.dec)]
    xi, sweeps = xi_plus(
        *position, torch.tensor(catalog.g1), torch.tensor(catalog.g2), torch.tensor(start),
        torch.tensor(ours.bins.edges), torch.tensor(ours.sharpness), TOL,
    )  # fmt: skip
    rows = [torch.autograd.grad(x, position, retain_graph=True) for x in xi]
    return xi.detach().numpy(), np.array([[r.numpy() for r in row] for row in rows]), sweeps


def peak_of(route: str, n: int) -> dict[str, float]:
    """Seconds and MiB of a route in a process of its own."""
    command = [sys.executable, __file__, "--peak", route, str(n)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def resident(which: str) -> float:
    """MiB of memory now (VmRSS) or at most (VmHWM); Linux alone tells and forgets it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(which))


def forget_peak() -> float:
    """Start the peak anew, so that what compilation took is not in it; gives what is held now."""
    Path("/proc/self/clear_refs").write_text("5")
    return resident("VmRSS")


def peak(route: str, n: int) -> None:
    """The work of that process."""
    catalog = sky(n)
    few, start = sky(CLUSTERS + 20), starting_centers(catalog)
    if route == "torch":
        import torch

        torch.set_num_threads(2)
        work = torch_gradient
        torch.ones(2, requires_grad=True).sum().backward()
    else:

        def work(catalog, start):
            return estimator(start=start, through=route).jacobian(catalog)

        work(few, starting_centers(few))  # compilation is no part of it
    before = forget_peak()
    seconds = once(lambda: work(catalog, start))
    after = resident("VmHWM")
    print(json.dumps({"seconds": seconds, "MiB": after - before, "all": after}))


def against_value(catalog) -> None:
    """Gradient of all bins with respect to all positions over the value alone; over unrolling."""
    start = starting_centers(catalog)
    implicit = estimator(start=start)
    done = in_turn(
        7,
        value=lambda: implicit.value(catalog),
        gradient=lambda: implicit.jacobian(catalog),
        naive=lambda: estimator(approach="naive").jacobian(catalog),
    )
    for name, timed in done.items():
        print(f"  {name:9s} {1e3 * timed.median:9.2f} ms")
    print(f"  gradient / value         {ratio(done['gradient'], done['value'])}")
    stages = ", ".join(f"{k} {1e3 * s:.1f} ms" for k, s in implicit.timings.items())
    print(f"  stages of the gradient: {stages}")
    # From converged centers, as in an optimization: what is left is the derivative itself.
    pinned = implicit.pin(catalog)
    done = in_turn(
        7, value=lambda: pinned.value(catalog), gradient=lambda: pinned.jacobian(catalog)
    )
    print(f"  from converged centers:  gradient {1e3 * done['gradient'].median:.2f} ms, / value "
          f"{ratio(done['gradient'], done['value'])}")  # fmt: skip


def against_torch(catalog) -> None:
    """Time of the three routes in turn, and that they agree."""
    import torch

    torch.set_num_threads(2)
    start = starting_centers(catalog)
    routes = {through: estimator(start=start, through=through) for through in
              ("implicit", "unrolled")}  # fmt: skip
    found = {}

    def by(name):
        def work():
            found[name] = routes[name].value_and_jacobian(catalog)

        return work

    def by_torch():
        found["torch"] = torch_gradient(catalog, start)

    done = in_turn(
        1, warmup=False, implicit=by("implicit"), unrolled=by("unrolled"), torch=by_torch
    )
    exact = np.stack([found["implicit"][1][q] for q in ("ra", "dec")], axis=1)
    scale = np.abs(exact).max()
    unrolled = np.stack([found["unrolled"][1][q] for q in ("ra", "dec")], axis=1)
    xi, rows, sweeps = found["torch"]
    for name, timed in done.items():
        print(f"  {name:9s} {1e3 * timed.median:9.1f} ms")
    print(f"  torch's twin took {sweeps} sweeps; largest difference of gradients from implicit, "
          f"relative: unrolled {np.abs(unrolled - exact).max() / scale:.0e}, "
          f"torch {np.abs(rows - exact).max() / scale:.0e}")  # fmt: skip
    print(f"  of xi: torch {np.abs(xi / found['implicit'][0] - 1).max():.0e}")
    for peer in ("unrolled", "torch"):
        print(f"  {peer} / implicit       {ratio(done[peer], done['implicit'])}")


def memory(n: int) -> None:
    """Peak memory of each route."""
    peaks = {route: peak_of(route, n) for route in ("implicit", "unrolled", "torch")}
    for route, told in peaks.items():
        print(f"  {route:9s} {told['MiB']:9.1f} MiB above {told['all'] - told['MiB']:.0f} MiB")
    for peer in ("unrolled", "torch"):
        times = peaks[peer]["MiB"] / max(peaks["implicit"]["MiB"], 1.0)
        print(f"  {peer} / implicit       {times:.0f}x")


def growth() -> None:
    """Time and memory with the number of galaxies, 100 clusters."""
    rows = []
    for n in GROWTH:
        catalog = sky(n)
        work = estimator(start=starting_centers(catalog))
        runs = 3 if n <= 5_000 else 1
        done = in_turn(
            runs, warmup=n == GROWTH[0],
            value=lambda w=work, c=catalog: w.value(c),
            gradient=lambda w=work, c=catalog: w.jacobian(c),
        )  # fmt: skip
        stages = work.timings
        rows.append((n, done["gradient"].median))
        value, gradient = done["value"].median, done["gradient"].median
        rest = stages["total"] - stages["clustering"]
        print(
            f"  {n:>6}: value {value:7.3f} s, gradient {gradient:7.3f} s "
            f"(clustering {stages['clustering']:.3f}, the rest {rest:.3f})"
        )
    n, seconds = np.array(rows).T
    slope = np.polyfit(np.log(n), np.log(seconds), 1)[0]
    print(f"  time ~ N^{slope:.2f}")
    told = peak_of("implicit", GROWTH[-1])
    base = told["all"] - told["MiB"]
    print(f"  peak memory at {GROWTH[-1]}: {told['MiB']:.0f} MiB above {base:.0f} MiB")


def main() -> None:
    """Everything, in one run."""
    begun = time.perf_counter()
    print(load())
    catalog = sky(500)
    heading("gradient of 3 bins by 1000 coordinates / value alone, 500 galaxies, 100 clusters")
    against_value(catalog)
    heading("implicit, unrolled, and the same estimator by torch's autograd (2 threads)")
    against_torch(catalog)
    heading("their peak memory")
    memory(500)
    heading("growth with N, 100 clusters, implicit")
    growth()
    print(f"\n{time.perf_counter() - begun:.0f} s in all")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        peak(sys.argv[2], int(sys.argv[3]))
    else:
        main()
