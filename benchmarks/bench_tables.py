"""Tables of halos against halotools: seconds for xi and omega in expectation, at equal accuracy.

python benchmarks/bench_tables.py [MOCKS [PYTHON]]: MOCKS catalogs are populated and measured by
halotools, in the environment of PYTHON (`.venv-peers/bin/python`, of `make peers`), in the same
halos that are tabulated here. Their scatter says how many it would take to know the mean as well as
the tables do.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

#: Accuracy that the tests assert of the tables: of 1 + xi, and of omega in parts of its largest.
OF_XI, OF_OMEGA = 0.0025, 0.004
HOD = "mstar10.0"
SIDE, MMIN = 100.0, 1e11
EDGES = np.geomspace(0.1, 16.0, 21)


def mocks(path: str, number: int) -> None:
    """Populate and measure with halotools; prints JSON. Runs in its environment."""
    from astropy.cosmology import Planck18
    from halotools.empirical_models import (
        HodModelFactory,
        NFWPhaseSpace,
        TrivialPhaseSpace,
        Zheng07Cens,
        Zheng07Sats,
    )
    from halotools.mock_observables import ed_3d, tpcf
    from halotools.sim_manager import UserSuppliedHaloCatalog

    from pysoftcorr.mocks import HODModel

    halos = np.load(path)
    own = HODModel.preset(HOD)
    row, none = np.arange(halos["mass"].size), np.zeros(halos["mass"].size)
    there = UserSuppliedHaloCatalog(
        redshift=0.0, Lbox=SIDE, particle_mass=MMIN / 100, simname="bench", halo_id=row,
        halo_hostid=row, halo_upid=np.full(row.size, -1),
        halo_x=halos["position"][:, 0], halo_y=halos["position"][:, 1],
        halo_z=halos["position"][:, 2], halo_vx=none, halo_vy=none, halo_vz=none,
        halo_mvir=halos["mass"], halo_rvir=halos["radius"], halo_nfw_conc=halos["concentration"],
        halo_axisA_x=halos["axis"][:, 0], halo_axisA_y=halos["axis"][:, 1],
        halo_axisA_z=halos["axis"][:, 2],
    )  # fmt: skip
    profile = NFWPhaseSpace(
        cosmology=Planck18, redshift=0.0, mdef="vir", conc_mass_model="direct_from_halo_catalog"
    )
    model = HodModelFactory(
        centrals_occupation=Zheng07Cens(redshift=0.0),
        centrals_profile=TrivialPhaseSpace(redshift=0.0),
        satellites_occupation=Zheng07Sats(redshift=0.0), satellites_profile=profile,
    )  # fmt: skip
    model.param_dict.update(
        logMmin=own.logMmin, sigma_logM=own.sigma_logM, logM0=own.logM0, logM1=own.logM1,
        alpha=own.alpha,
    )  # fmt: skip
    model.populate_mock(there)
    found: dict[str, list] = {"xi": [], "omega": [], "populate": [], "measure": [], "orient": []}
    for k in range(number):
        a = time.process_time()
        model.mock.populate(seed=k)
        b = time.process_time()
        table = model.mock.galaxy_table
        place = np.column_stack([table[c] for c in "xyz"]) % SIDE
        axis = _axes(table, halos, own, k)
        c = time.process_time()
        found["xi"].append(tpcf(place, EDGES, period=SIDE, estimator="Natural").tolist())
        found["omega"].append(ed_3d(place, axis, place, EDGES, period=SIDE).tolist())
        found["populate"].append(b - a)
        found["orient"].append(c - b)
        found["measure"].append(time.process_time() - c)
    print(json.dumps(found))


def _axes(table, halos, own, seed: int) -> np.ndarray:
    """Axes of the Dimroth-Watson distribution, drawn by pysoftcorr."""
    from pysoftcorr.mocks.alignment import draw_watson

    row = np.asarray(table["halo_id"])
    central = np.asarray(table["gal_type"]) == "centrals"
    away = np.column_stack([table[c] for c in "xyz"]) - halos["position"][row]
    away -= SIDE * np.rint(away / SIDE)
    size = np.maximum(np.linalg.norm(away, axis=1), 1e-12)[:, None]
    reference = np.where(central[:, None], halos["axis"][row], away / size)
    rng = np.random.default_rng(seed)
    return draw_watson(reference, np.where(central, own.mu_cen, own.mu_sat), rng)


def main(number: int = 20, python: str = ".venv-peers/bin/python") -> None:
    import torch
    from timing import heading

    from pysoftcorr.mocks import HaloCatalog, HaloTables, HODModel

    torch.set_num_threads(1)
    halos = HaloCatalog.simulate(SIDE, 128, mmin=MMIN, seed=1)
    began = time.process_time()
    tables = HaloTables.tabulate(halos, bins=EDGES, sites=0, progress=False)
    once = time.process_time() - began
    hod = HODModel.preset(HOD)
    point = np.array([getattr(hod, name) for name in tables.names])
    said = tables.predict(point)
    taken = []
    for _ in range(200):
        began = time.process_time()
        tables.predict(point)
        taken.append(time.process_time() - began)
    one = float(np.median(taken))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "halos.npz"
        np.savez(path, **{k: getattr(halos, k) for k in
                          ("position", "mass", "radius", "concentration", "axis")})  # fmt: skip
        text = subprocess.check_output(
            [python, __file__, "mocks", str(path), str(number)], text=True
        )
    found = {name: np.array(values) for name, values in json.loads(text.splitlines()[-1]).items()}
    heading(f"xi and omega of {HOD} in expectation, {len(halos)} halos of {SIDE:g} Mpc/h")
    print(f"  tables: {once:.1f} CPU s once, then {1e3 * one:.2f} ms or {1 / one:.0f} a second")
    parts = {name: float(np.median(found[name])) for name in ("populate", "orient", "measure")}
    mock = sum(parts.values())
    print(f"  halotools: {mock:.2f} CPU s a catalog ("
          + ", ".join(f"{name} {value:.2f}" for name, value in parts.items()) + ")")  # fmt: skip
    wanted = {
        "xi": (said.xi.mean, OF_XI * (1 + said.xi.mean)),
        "omega": (said.omega.mean, np.full(20, OF_OMEGA * np.abs(said.omega.mean).max())),
    }
    for name, (mean, error) in wanted.items():
        scatter = found[name].std(axis=0, ddof=1)
        z = (found[name].mean(axis=0) - mean) / (scatter / np.sqrt(number))
        # In the middle one of the bins: those of few pairs need far more.
        need = float(np.median((scatter / error) ** 2))
        seconds = need * mock
        print(
            f"  {name}: {number} catalogs agree with the tables to rms z = "
            f"{np.sqrt((z**2).mean()):.2f}; {need:.0f} of them are as accurate as the tables, "
            f"{seconds:.0f} CPU s: tables are {seconds / one:.1e} times faster, and "
            f"{seconds / (once + one):.1f} times with the tabulation for a single prediction"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["mocks"]:
        mocks(sys.argv[2], int(sys.argv[3]))
    else:
        main(*(t(a) for t, a in zip((int, str), sys.argv[1:], strict=False)))
