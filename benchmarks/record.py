"""Run benchmarks and store what they say, with the machine and the date, for the page of the site.

    python benchmarks/record.py bench_pairs.py bench_rho.py --out docs/benchmarks/laptop.json

Each script runs in a process of its own. How many cores were busy with other work before each is
stored beside it, and the page says where these were too many for its times to count. A run of some
scripts replaces these in the file and leaves the others.
"""

from __future__ import annotations

import argparse
import ast
import datetime
import json
import os
import platform
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from timing import busy_cores

HERE = Path(__file__).resolve().parent
#: What decides times beside this package.
PACKAGES = (
    "pysoftcorr", "numpy", "scipy", "torch", "treecorr", "halotools", "Corrfunc", "scikit-fuzzy",
    "pyro-ppl", "emcee",
)  # fmt: skip


def processor() -> str:
    """Name of the processor, as Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def accelerator() -> str | None:
    """Name of the GPU that torch sees."""
    try:
        import torch
    except ImportError:
        return None
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def machine() -> dict[str, Any]:
    """Processor, cores that may be used, memory, system."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": processor(),
        "cores": cores,
        "memory_GiB": round(memory, 1),
        "gpu": accelerator(),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }


def versions() -> dict[str, str]:
    """Versions of the packages that are there."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def title(script: Path) -> str:
    """First line of the docstring of a script."""
    return (ast.get_docstring(ast.parse(script.read_text())) or script.stem).splitlines()[0]


def run(script: Path) -> dict[str, Any]:
    """Run one script; gives what it printed and how busy the machine was before."""
    busy = busy_cores(2.0)
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    return {
        "title": title(script),
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "busy_before": round(busy, 2),
        "seconds": round(time.perf_counter() - begun, 1),
        "status": done.returncode,
        "machine": machine(),
        "versions": versions(),
        "lines": done.stdout.strip("\n").splitlines(),
        "error": done.stderr.strip().splitlines()[-1:] if done.returncode else [],
    }


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scripts", nargs="+", help="names of files in benchmarks/")
    parser.add_argument(
        "--out", type=Path, default=HERE.parent / "docs" / "benchmarks" / "run.json"
    )
    chosen = parser.parse_args()
    stored = json.loads(chosen.out.read_text()) if chosen.out.exists() else {}
    failed = False
    for name in chosen.scripts:
        script = HERE / Path(name).name
        print(f"{script.name} ...", flush=True)
        stored[script.stem] = run(script)
        failed |= stored[script.stem]["status"] != 0
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        chosen.out.write_text(json.dumps(stored, indent=1) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
