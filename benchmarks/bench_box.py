"""xi, omega and eta in a box against halotools and Corrfunc; wp, w_g+ and w_++ against halotools.

A peer that is not installed is left out, and said so.
"""

from __future__ import annotations

import importlib.util
import os
import sys

import numpy as np
from timing import Timed, heading, in_turn, load, peak_memory, ratio

from pysoftcorr.mocks import (
    GalaxyCatalog,
    HaloCatalog,
    HODModel,
    alignment_sums,
    box_correlations,
    projected_correlations,
    projected_shapes,
)

EDGES = np.geomspace(0.1, 16.0, 21)
PI_MAX = 40.0
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def catalog(n: int, boxsize: float = 250.0) -> GalaxyCatalog:
    """n galaxies of an HOD with log M* >= 10.0, at their own density where n is 1e5."""
    side = boxsize * (n / 1e5) ** (1 / 3)
    halos = HaloCatalog.simulate(side, 64, mmin=3e11, seed=1)
    galaxies = HODModel.preset("mstar10.0").populate(halos, seed=1)
    chosen = np.random.default_rng(1).permutation(len(galaxies))[:n]
    if len(chosen) < n:
        raise SystemExit(f"the box holds {len(galaxies)} galaxies, not {n}: make it larger")
    return galaxies[np.sort(chosen)]


def installed(name: str) -> bool:
    """Whether a peer can be imported; says so where not."""
    there = importlib.util.find_spec(name) is not None
    if not there:
        print(f"  {name} is not installed: left out")
    return there


def against_halotools(galaxies: GalaxyCatalog, runs: int) -> None:
    """Its three calls, one after the other, with as many processes as there are cores."""
    if not installed("halotools"):
        return
    from halotools.mock_observables import ed_3d, ee_3d, tpcf

    place, axis, side = galaxies.position, galaxies.axis, galaxies.boxsize
    found: dict[str, dict[str, np.ndarray]] = {"theirs": {}, "ours": {}}

    def theirs() -> None:
        more = {"period": side, "num_threads": CORES}
        found["theirs"]["xi"] = tpcf(place, EDGES, estimator="Natural", **more)
        found["theirs"]["omega"] = ed_3d(place, axis, place, EDGES, **more)
        found["theirs"]["eta"] = ee_3d(place, axis, place, axis, EDGES, **more)

    def ours() -> None:
        result = box_correlations(place, axis, boxsize=side, bins=EDGES)
        found["ours"] = {name: getattr(result, name) for name in ("xi", "omega", "eta")}

    done = in_turn(runs, halotools=theirs, pysoftcorr=ours)
    worst = {
        name: float(np.nanmax(np.abs(found["ours"][name] - values) / np.maximum(1, np.abs(values))))
        for name, values in found["theirs"].items()
    }
    differ = ", ".join(f"{name} {value:.0e}" for name, value in worst.items())
    print(
        f"  halotools, three calls: {done['halotools'].median:.2f} s, "
        f"pysoftcorr, one: {done['pysoftcorr'].median:.3f} s, "
        f"{ratio(done['halotools'], done['pysoftcorr'])}; differences: {differ} ({load()})"
    )


def projected_against_halotools(galaxies: GalaxyCatalog, runs: int) -> None:
    """wp, w_g+ and w_++ of theirs one after the other; of ours with xi(rp, pi) and all crosses."""
    if not installed("halotools"):
        return
    from halotools.mock_observables import gi_plus_projected, ii_plus_projected, wp

    place, side = galaxies.position, galaxies.boxsize
    shapes = projected_shapes(galaxies.axis)
    turn, size = np.angle(shapes) / 2, np.abs(shapes)
    axis = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    found: dict[str, list[np.ndarray]] = {}

    def theirs() -> None:
        more = {"period": side, "num_threads": CORES}
        found["theirs"] = [
            wp(place, EDGES, PI_MAX, estimator="Natural", **more),
            gi_plus_projected(place, axis, size, place, EDGES, PI_MAX, **more),
            ii_plus_projected(place, axis, size, place, axis, size, EDGES, PI_MAX, **more),
        ]

    def ours() -> None:
        result = projected_correlations(galaxies, rp_bins=EDGES, pi_max=PI_MAX)
        found["ours"] = [result.wp, result.w_gp, result.w_pp]

    done = in_turn(runs, halotools=theirs, pysoftcorr=ours)
    worst = max(
        float(np.abs(a / b - 1).max()) for a, b in zip(found["ours"], found["theirs"], strict=True)
    )
    print(
        f"  halotools, three calls: {done['halotools'].median:.2f} s, pysoftcorr, one: "
        f"{done['pysoftcorr'].median:.3f} s, {ratio(done['halotools'], done['pysoftcorr'])}; "
        f"largest difference {worst:.0e} ({load()})"
    )


def against_corrfunc(galaxies: GalaxyCatalog, runs: int) -> None:
    """xi alone of theirs, all three of ours."""
    if not installed("Corrfunc"):
        return
    from Corrfunc.theory.xi import xi

    x, y, z = np.ascontiguousarray(galaxies.position.T)

    def theirs() -> None:
        xi(galaxies.boxsize, CORES, EDGES, x, y, z)

    def ours() -> None:
        box_correlations(galaxies, bins=EDGES)

    done = in_turn(runs, corrfunc=theirs, pysoftcorr=ours)
    print(
        f"  Corrfunc, xi alone: {done['corrfunc'].median:.3f} s, pysoftcorr, xi + omega + eta: "
        f"{done['pysoftcorr'].median:.3f} s, {ratio(done['corrfunc'], done['pysoftcorr'])} "
        f"({load()})"
    )


def growth(sizes: tuple[int, ...], runs: int) -> None:
    """Seconds and pairs of larger and larger boxes of one density."""
    for n in sizes:
        galaxies = catalog(n)
        pairs = int(box_correlations(galaxies, bins=EDGES).npairs.sum())

        def ours(galaxies: GalaxyCatalog = galaxies) -> None:
            box_correlations(galaxies, bins=EDGES)

        def expectation(galaxies: GalaxyCatalog = galaxies) -> None:
            alignment_sums(galaxies, bins=EDGES)

        def alone(galaxies: GalaxyCatalog = galaxies) -> None:
            box_correlations(galaxies.position, boxsize=galaxies.boxsize, bins=EDGES)

        done = in_turn(runs, all=ours, expectation=expectation, xi=alone)
        print(
            f"  {n:>9,} galaxies, {pairs:.2e} pairs: xi + omega + eta {_span(done['all'])}, "
            f"{pairs / min(done['all'].seconds) / 1e6:.0f} million pairs/s at best; "
            f"without axes and hosts {done['xi'].median:.3f} s; "
            f"sums of expectations {done['expectation'].median:.3f} s ({load()})"
        )


def _span(timed: Timed) -> str:
    return f"{timed.median:.3f} s ({min(timed.seconds):.3f} to {max(timed.seconds):.3f})"


def peak(n: int) -> float:
    """Peak memory in MB of a process that correlates n points, which it draws itself."""
    return peak_memory(
        "import numpy as np; from pysoftcorr.mocks import box_correlations; "
        f"rng = np.random.default_rng(1); side = max(250 * ({n} / 1e5) ** (1 / 3), 50.0); "
        f"place, axis = rng.uniform(0, side, ({n}, 3)), rng.normal(size=({n}, 3)); "
        "box_correlations(place, axis, boxsize=side)"
    )


def main() -> None:
    """All comparisons; a number as argument takes fewer galaxies than 1e5."""
    n = int(float(sys.argv[1])) if len(sys.argv) > 1 else 100_000
    galaxies = catalog(n)
    box_correlations(galaxies[:100], bins=EDGES)  # start and compile
    heading(f"xi, omega, eta of {n:,} galaxies in {galaxies.boxsize:.0f} Mpc/h, 0.1 to 16 Mpc/h")
    against_halotools(galaxies, 3)
    against_corrfunc(galaxies, 5)
    heading(f"wp, w_g+, w_++ of the same galaxies, to |pi| of {PI_MAX:g} Mpc/h")
    projected_against_halotools(galaxies, 3)
    heading("growth with the number of galaxies, at one density")
    growth((n // 10, n, 4 * n), 5)
    heading("peak memory of a process")
    for size in (n // 100, n, 10 * n) if os.path.exists("/proc/self/status") else ():
        print(f"  {size:>9,} galaxies: {peak(size):6.0f} MB")


if __name__ == "__main__":
    main()
