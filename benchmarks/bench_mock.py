"""A realization of a mock universe, split by stage: populate, draw axes, correlate."""

from __future__ import annotations

import sys

import numpy as np
from timing import heading, in_turn, load, once

from pysoftcorr.mocks import (
    HaloCatalog,
    HODModel,
    alignment_sums,
    box_correlations,
    expected_correlations,
)


def main() -> None:
    """Boxes of 100 Mpc/h, as of a training set, and one of a million galaxies."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    heading("a realization by stage, 20 bins from 0.1 to 16 Mpc/h")
    made: dict[str, HaloCatalog] = {}

    def simulate() -> None:
        made["halos"] = HaloCatalog.simulate(100.0, 128, seed=1)

    first, again = once(simulate), once(simulate)
    halos = made["halos"]
    print(f"  {len(halos):,} halos of 100 Mpc/h, mesh 128: {again:.2f} s (first {first:.2f} s)")
    galaxies = HODModel.preset("mstar10.0").populate(halos, seed=1)
    print(f"  start of Julia and compilation: {once(lambda: box_correlations(galaxies)):.2f} s")
    for preset in ("mstar10.5", "mstar10.0", "mstar9.5", "mstar9.0"):
        model = HODModel.preset(preset)
        galaxies = model.populate(halos, seed=1)
        sums = alignment_sums(galaxies)
        stages = {
            "populate": lambda model=model: model.populate(halos, seed=1),
            "realign": lambda g=galaxies: g.realign(mu_cen=0.5, mu_sat=0.2, seed=2),
            "correlate": lambda g=galaxies: box_correlations(g),
            "expected": lambda g=galaxies: expected_correlations(g, 0.5, 0.2),
            "at": lambda s=sums: s.at(0.5, 0.2),
        }
        done = {name: timed.median for name, timed in in_turn(runs, **stages).items()}
        whole = done["populate"] + done["correlate"]
        print(
            f"  {preset:>9}, {len(galaxies):>6,} galaxies: populate {_ms(done['populate'])}, "
            f"correlate {_ms(done['correlate'])}: {_ms(whole)} a realization; axes anew "
            f"{_ms(done['realign'])}, expectation {_ms(done['expected'])}, and at other "
            f"strengths {_ms(done['at'])} ({load()})"
        )
    heading("a million galaxies")
    rng = np.random.default_rng(1)
    number = 500_000
    mass = 10 ** rng.uniform(12.3, 13.4, number)
    many = HaloCatalog(
        rng.uniform(0, 500, (number, 3)),
        mass,
        0.2 * (mass / 1e12) ** (1 / 3),
        np.full(number, 8.0),
        rng.normal(size=(number, 3)),
        boxsize=500.0,
    )
    model = HODModel.preset("mstar10.0")
    galaxies = model.populate(many, seed=1)
    seconds = in_turn(3, populate=lambda: model.populate(many, seed=1))["populate"].median
    print(f"  populate, {len(galaxies):,} galaxies: {seconds:.2f} s")


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.1f} ms"


if __name__ == "__main__":
    main()
