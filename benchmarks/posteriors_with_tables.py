"""Posteriors by tables of halos and by the shipped emulator, of mocks whose truth is known.

python benchmarks/posteriors_with_tables.py [FOLDER [SIDE [MESH [DRAWS [WARMUP [HODS]]]]]]: 250
Mpc/h, 256 cells, four chains of 500 + 1000 draws, three times as many of seven parameters. One
universe is simulated and tabulated, another one holds the mocks; both stay in FOLDER, and so do the
figures. Three HODs: the two strengths from omega, with either model; all seven parameters from xi
and omega together, by the tables and their covariance.
"""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np

from pysoftcorr.emulator import Emulator
from pysoftcorr.inference import Observation, Posterior, sample_posterior
from pysoftcorr.mocks import HaloCatalog, HaloTables, HODModel, box_correlations
from pysoftcorr.plots import plot_corner, save_figure

HODS = ("mstar10.0", "mstar10.5", "mstar9.5")
MMIN = 1e11
#: Where satellites live, as in the universes of the emulator.
PLACE = "triaxial"
#: Below M0 = 10^11 there is nothing for it to cut off: xi and omega leave it open downwards.
PRIORS = {"logM0": "uniform:11:13"}


def universe(folder: Path, seed: int, side: float, mesh: int) -> HaloCatalog:
    """Halos of a simulated universe, kept in a file."""
    path = folder / f"halos{seed}.h5"
    if not path.exists():
        HaloCatalog.simulate(side, mesh, mmin=MMIN, seed=seed).write(path)
    return HaloCatalog.read(path)


def tabulated(folder: Path, halos: HaloCatalog) -> HaloTables:
    """Its tables, with the cosmic covariance of one box."""
    path = folder / "tables.h5"
    if not path.exists():
        began = time.process_time()
        made = HaloTables.tabulate(halos, subvolumes=3, satellites=PLACE)
        made.write(path)
        print(f"{made}: {time.process_time() - began:.0f} CPU seconds", flush=True)
    return HaloTables.read(path)


def measured(halos: HaloCatalog, hod: HODModel, edges: np.ndarray, *names: str) -> Observation:
    """Correlations of one mock."""
    result = box_correlations(hod.populate(halos, seed=1), bins=edges)
    values = {name: getattr(result, name) for name in names}
    return Observation(
        edges, **values, box={"boxsize": halos.boxsize, "redshift": 0.0, "satellites": PLACE}
    )


def strengths(model: Any, halos: HaloCatalog, name: str, draws: int) -> Posterior:
    """Posterior of both strengths from omega, the HOD known."""
    hod = HODModel.preset(name, satellites=PLACE)
    data = measured(halos, hod, np.asarray(model.edges), "omega")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the data are of a box")  # scaled by volume, as is meant
        return sample_posterior(model, data, fixed=hod, draws=draws, seed=1, on_outside="warn")


def row(name: str, label: str, posterior: Posterior) -> str:
    """Standard deviations, correlation and pulls."""
    hod = HODModel.preset(name, satellites=PLACE)
    flat = posterior.draws.reshape(-1, 2)
    mean, sd = flat.mean(axis=0), flat.std(axis=0)
    pull = (mean - [hod.mu_cen, hod.mu_sat]) / sd
    return (
        f"| {name} | {label} | {sd[0]:.3f} | {sd[1]:.4f} | {np.corrcoef(flat.T)[0, 1]:+.2f} | "
        f"{pull[0]:+.1f} | {pull[1]:+.1f} |"
    )


def main(
    folder: str = "posteriors", side: float = 250.0, mesh: int = 256, draws: int = 1000,
    warmup: int = 500, hods: str = ",".join(HODS),
) -> None:  # fmt: skip
    out = Path(folder)
    out.mkdir(exist_ok=True)
    tables = tabulated(out, universe(out, 1, side, mesh))
    fresh = universe(out, 2, side, mesh)
    models = {"tables": tables, "emulator": Emulator.read()}
    print("| HOD | model | sd of mu_cen | sd of mu_sat | correlation | pulls | |", flush=True)
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in hods.split(","):
        found = {label: strengths(model, fresh, name, draws) for label, model in models.items()}
        for label, posterior in found.items():
            print(row(name, label, posterior), flush=True)
        hod = HODModel.preset(name, satellites=PLACE)
        truth = {"mu_cen": hod.mu_cen, "mu_sat": hod.mu_sat}
        save_figure(plot_corner(found, truth=truth), out / f"strengths-{name}.png")
    for name in hods.split(","):
        hod = HODModel.preset(name, satellites=PLACE)
        began = time.process_time()
        data = measured(fresh, hod, tables.edges, "xi", "omega")
        joint = sample_posterior(
            tables, data, free=tables.names, priors=PRIORS, target_accept=0.95, draws=3 * draws,
            warmup=3 * warmup, seed=1,
        )  # fmt: skip
        truth = {p: getattr(hod, p) for p in tables.names}
        mean, sd = joint.draws.mean(axis=(0, 1)), joint.draws.std(axis=(0, 1))
        pulls = (mean - list(truth.values())) / sd
        print(f"\n{name}: seven parameters from xi and omega, {3 * draws} draws of each chain")
        print(joint.summary())
        print("pulls: " + ", ".join(f"{p} {x:+.1f}" for p, x in zip(truth, pulls, strict=True)))
        print(f"{time.process_time() - began:.0f} CPU seconds", flush=True)
        joint.write(out / f"joint-{name}.nc", overwrite=True)
        save_figure(plot_corner(joint, truth=truth), out / f"joint-{name}.png")


if __name__ == "__main__":
    main(*(t(a) for t, a in zip((str, float, int, int, int, str), sys.argv[1:], strict=False)))
