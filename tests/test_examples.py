"""Every script in ``examples/`` runs, in a process and a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import pysoftcorr

FOLDER = Path(__file__).resolve().parents[1] / "examples"
EXAMPLES = sorted([*FOLDER.glob("*.py"), *FOLDER.glob("*.jl"), *FOLDER.glob("*.sh")])

#: Figures and results a script leaves behind.
WRITES = {
    "clustering_diagnostics": {"centers.png", "memberships.png", "pair_crossing.png"},
    "xi_both_errors": {"xi.png", "xi.h5"},
    "observer": {"observer-output"},
}
#: Packages a script needs that the tests do without.
NEEDS = {"recover_G": "torch", "null_xi": "torch", "observer": "sacc"}


def test_there_are_examples():
    assert {"rho_statistics", "forwarddiff_through_softcorr", *NEEDS, *WRITES} <= {
        path.stem for path in EXAMPLES
    }


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, tmp_path):
    package = str(Path(pysoftcorr.__file__).resolve().parents[1])
    if path.stem in NEEDS:
        pytest.importorskip(NEEDS[path.stem])
    # Scripts in Julia run by the runtime of the package.
    through = {
        ".py": [sys.executable],
        ".jl": [sys.executable, "-m", "pysoftcorr.cli", "julia", "exec"],
        ".sh": ["sh"],
    }[path.suffix]
    done = subprocess.run(
        [*through, str(path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        # PYSOFTCORR_EXAMPLE_SMALL asks a long example for less work.
        env={
            **os.environ,
            "PYTHONPATH": package,
            "MPLBACKEND": "Agg",
            "PYTHON": sys.executable,
            "PYSOFTCORR_EXAMPLE_SMALL": "1",
        },
    )
    if done.returncode == 2 and "julia" in done.stderr.lower() and "To fix this" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.strip()
    assert WRITES.get(path.stem, set()) <= {p.name for p in tmp_path.iterdir()}
