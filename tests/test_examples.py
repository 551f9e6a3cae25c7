"""Every script and notebook in ``examples/`` runs, in a process and a folder of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pysoftcorr

FOLDER = Path(__file__).resolve().parents[1] / "examples"
SUFFIXES = ("py", "jl", "sh", "ipynb")
EXAMPLES = sorted(p for suffix in SUFFIXES for p in FOLDER.glob(f"*.{suffix}"))
NOTEBOOKS = [path for path in EXAMPLES if path.suffix == ".ipynb"]

#: Figures and results a script leaves behind.
WRITES = {
    "clustering_diagnostics": {"centers.png", "memberships.png", "pair_crossing.png"},
    "xi_both_errors": {"xi.png", "xi.h5"},
    "observer": {"observer-output"},
    "recover_G_descent": {"recover_G.png"},
}
#: Packages a script needs that the tests do without.
NEEDS = {"recover_G": "torch", "null_xi": "torch", "observer": "sacc"}


def test_there_are_examples():
    assert {"rho_statistics", "forwarddiff_through_softcorr", *NEEDS, *WRITES} <= {
        path.stem for path in EXAMPLES
    }


def test_readme_names_those_for_both_languages():
    text = (FOLDER.parent / "README.md").read_text()
    for name in (
        "mixed_julia_python.py",
        "forwarddiff_through_softcorr.jl",
        "recover_G_descent.ipynb",
        "recover_G.py",
    ):
        assert (FOLDER / name).is_file()
        assert f"examples/{name}" in text


def code_of(path: Path) -> str:
    """The code cells of a notebook, in order."""
    cells = json.loads(path.read_text())["cells"]
    return "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_valid_and_holds_no_output(path):
    """As the format 4.5 of notebooks asks; by nbformat's own check where that is installed."""
    notebook = json.loads(path.read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    names = [cell["id"] for cell in notebook["cells"]]
    assert len(set(names)) == len(names)
    for cell in notebook["cells"]:
        assert re.fullmatch("[a-zA-Z0-9_-]{1,64}", cell["id"])
        assert all(isinstance(line, str) for line in cell["source"])
        keys = {"cell_type", "id", "metadata", "source"}
        if cell["cell_type"] == "code":
            keys |= {"outputs", "execution_count"}
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
        else:
            assert cell["cell_type"] == "markdown"
        assert set(cell) == keys
    compile(code_of(path), path.name, "exec")
    try:
        import nbformat
    except ImportError:
        return
    nbformat.validate(nbformat.read(path, as_version=4))


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, tmp_path):
    package = str(Path(pysoftcorr.__file__).resolve().parents[1])
    if path.stem in NEEDS:
        pytest.importorskip(NEEDS[path.stem])
    if path.suffix == ".ipynb":  # its cells, as one script
        script = tmp_path / "cells.py"
        script.write_text(code_of(path))
        name, path = path.stem, script
    else:
        name = path.stem
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
    assert WRITES.get(name, set()) <= {p.name for p in tmp_path.iterdir()}
