"""Peak memory of every command against the number of its objects: the table of docs/files.md.

``python benchmarks/memory.py [COMMAND ...]``. Each run is a process of its own, and its peak is
what the system says of it when it has ended.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

#: Command, what N counts, the two N, and its options; {n} is N, {file} a file of so many objects.
COMMANDS: dict[str, tuple[str, tuple[int, int], str]] = {
    "cluster": ("objects", (20_000, 80_000), "cluster {stars} --clusters 100 --max-iter 20"),
    "rho": ("stars", (20_000, 80_000), "rho {stars} --clusters 100 --assignments 5"),
    "xi": ("objects", (20_000, 80_000), "xi {stars} --clusters 100 --assignments 5"),
    "gradient": ("galaxies", (500, 2_000), "gradient --galaxies {n} --clusters 50"),
    "halos simulate": (
        "cells", (64**3, 128**3), "halos simulate --boxsize 200 --mesh {side} --out h.h5"),
    "mock": ("halos", (20_000, 80_000), "mock {halos} --preset mstar10.0 --out g.h5"),
    "boxcorr": ("galaxies", (50_000, 200_000), "boxcorr {galaxies}"),
    "boxcorr --jackknife 27": (
        "galaxies", (50_000, 200_000), "boxcorr {galaxies} --jackknife 27"),
    "projected": ("galaxies", (50_000, 200_000), "projected {galaxies}"),
    "multipoles": ("galaxies", (50_000, 200_000), "multipoles {galaxies}"),
    "tabulate": ("halos", (20_000, 80_000), "tabulate {halos} --out t.h5"),
    "campaign": (
        "halos", (20_000, 80_000), "campaign {halos} --points 8 --realizations 2 --workers 1 "
        "--logMmin 12.2:12.6 --bins log:0.5:10:5 --seed 1 --out c.h5"),
    "minimize": ("steps", (100, 1_000), "minimize --hod mstar10.0 --max-iter {n}"),
    "diffhod": (
        "halos", (5_000, 20_000), "diffhod {halos} --out d --mesh 32 --k-max 0.5 --workers 1 "
        "--covariance 20 --realizations 1 --calibration 0 --no-emcee --chains 2 --draws 10 "
        "--warmup 10"),
    "train": (
        "realizations", (2_000, 16_000), "train {campaign} --out e.h5 --epochs 2 --members 2"),
    "train --kind published": (
        "realizations", (2_000, 16_000), "train {campaign} --kind published --out e.h5 --epochs 2"),
    "predict": (
        "passes", (50, 1_000), "predict --hod mstar10.0 --mu-cen 0.5 --mu-sat 0.3 --passes {n}"),
    "evaluate": ("passes", (20, 50), "evaluate --passes {n}"),
    "posterior": (
        "draws", (200, 800), "posterior --hod mstar10.0 --chains 2 --warmup 100 --draws {n}"),
}  # fmt: skip


def stars(n: int, path: Path) -> None:
    """Stars with shapes of noise on 2 x 2 degrees."""
    from astropy.table import Table

    rng = np.random.default_rng(1)
    g1, g2 = 0.05 * rng.standard_normal((2, n))
    Table({
        "ra": 10 + 2 * rng.random(n), "dec": 2 * rng.random(n), "g1": g1, "g2": g2,
        "g1_model": 0.95 * g1, "g2_model": 0.95 * g2,
        "T": rng.uniform(0.2, 0.3, n), "T_model": rng.uniform(0.2, 0.3, n),
    }).write(path)  # fmt: skip


def halos(n: int, path: Path) -> None:
    """Halos at random, about as many as there are above 3e11 Msun/h."""
    from pysoftcorr.mocks import HaloCatalog
    from pysoftcorr.mocks.cosmology import Cosmology

    rng = np.random.default_rng(2)
    side = 100.0 * (n / 13_000) ** (1 / 3)
    mass = 3e11 * rng.pareto(0.9, n).clip(0, 3e3) + 3e11
    HaloCatalog(
        side * rng.random((n, 3)), mass,
        Cosmology("planck15").radius(mass, redshift=0.0, mdef="vir"),
        rng.uniform(5, 12, n), rng.standard_normal((n, 3)), boxsize=side, cosmology="planck15",
        meta={"redshift": 0.0, "mdef": "vir"},
    ).write(path)  # fmt: skip


def galaxies(n: int, path: Path) -> None:
    """Galaxies at random, at the density of galaxies above 1e10 Msun/h."""
    from pysoftcorr.mocks import GalaxyCatalog

    rng = np.random.default_rng(3)
    side = 250.0 * (n / 1e5) ** (1 / 3)
    GalaxyCatalog(
        side * rng.random((n, 3)), rng.standard_normal((n, 3)), boxsize=side
    ).write(path)  # fmt: skip


def campaign(n: int, path: Path) -> None:
    """A campaign of the tests, known exactly, with ten realizations a point."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from tests.helpers import emulator_campaign

    emulator_campaign.write(path, emulator_campaign.campaign(points=n // 10))


def peak(arguments: list[str], folder: Path) -> float:
    """MB that a command took at most."""
    package = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
    process = subprocess.Popen(
        [sys.executable, "-m", "pysoftcorr.cli", *arguments], cwd=folder,
        env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    said = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"softcorr {' '.join(arguments)}: {said}")
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def main(names: list[str]) -> None:
    """Measure, and print the table."""
    makers = {"stars": stars, "halos": halos, "galaxies": galaxies, "campaign": campaign}
    print(
        "| command | N | MB at N | MB at N | bytes for one more |\n| --- | --- | --- | --- | --- |"
    )
    for name, (what, sizes, line) in COMMANDS.items():
        if names and name.split()[0] not in names:
            continue
        found = []
        for n in sizes:
            with tempfile.TemporaryDirectory() as place:
                folder, given = Path(place), {"n": n, "side": round(n ** (1 / 3))}
                for kind, make in makers.items():
                    if f"{{{kind}}}" in line:
                        given[kind] = f"{kind}.{'fits' if kind == 'stars' else 'h5'}"
                        make(n, folder / given[kind])
                found.append(peak(line.format(**given).split(), folder))
        more = max(0.0, (found[1] - found[0]) * 1e6 / (sizes[1] - sizes[0]))
        cells = [f"{size:,}: {mb:.0f}" for size, mb in zip(sizes, found, strict=True)]
        print(f"| `{name}` | {what} | {' | '.join(cells)} | {more:,.0f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
