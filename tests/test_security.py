"""Nothing that a file says is run: no pickle, eval or exec, and torch loads no objects."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import pysoftcorr

PACKAGE = Path(pysoftcorr.__file__).parent
#: Modules that make objects of bytes; pickletools reads opcodes and runs none.
MODULES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
BUILTINS = {"eval", "exec", "compile", "__import__"}
#: Loaders that take objects too, unless an argument says otherwise: the argument and its value.
LOADERS = {
    "numpy.load": ("allow_pickle", False),
    "numpy.lib.npyio.NpzFile": ("allow_pickle", False),
    "torch.load": ("weights_only", True),
    "torch.jit.load": None,
    "torch.package.PackageImporter": None,
    "yaml.load": None,
    "yaml.load_all": None,
    "yaml.unsafe_load": None,
    "yaml.full_load": None,
    "pandas.read_pickle": None,
    "pandas.read_hdf": None,
    "pandas.eval": None,
    "numexpr.evaluate": None,
    "os.system": None,
    "os.popen": None,
    "arviz.from_pickle": None,
}


def faults(source: str) -> list[str]:
    """Calls and imports of a module's source that could run what a file says."""
    tree = ast.parse(source)
    names: dict[str, str] = {}
    found = []

    def refuse(node: ast.AST, what: str) -> None:
        found.append(f"line {node.lineno}: {what}")  # type: ignore[attr-defined]

    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
                if alias.name.split(".")[0] in MODULES:
                    refuse(node, f"import {alias.name}")
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
            if node.module.split(".")[0] in MODULES:
                refuse(node, f"from {node.module}")
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = _dotted(node.func)
        first, _, rest = called.partition(".")
        full = ".".join(filter(None, [names.get(first, first), rest]))
        given = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
        if full in BUILTINS:
            refuse(node, f"{full}()")
        elif full in LOADERS:
            asked = LOADERS[full]
            if asked is None or given.get(asked[0]) is not asked[1]:
                refuse(node, f"{full}()")
        if given.get("shell") is True:
            refuse(node, "shell=True")
        if given.get("allow_pickle") is True or given.get("weights_only") is False:
            refuse(node, "a loader of objects")
    return found


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return "?"


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_no_module_runs_what_a_file_says(path):
    assert faults(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import dill as d",
        "def f():\n    import joblib",
        "eval('1')",
        "exec(open('x').read())",
        "__import__('os')",
        "import numpy as np\nnp.load('x')",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "from numpy import load as get\nget('x')",
        "import torch\ntorch.load('x')",
        "import torch\ntorch.load('x', weights_only=False)",
        "import torch as t\nt.jit.load('x')",
        "import yaml\nyaml.load(s, yaml.Loader)",
        "from yaml import full_load\nfull_load(s)",
        "import pandas as pd\npd.read_pickle('x')",
        "import subprocess\nsubprocess.run(s, shell=True)",
        "import os\nos.system(s)",
        "some().load('x', allow_pickle=True)",
    ],
)
def test_the_check_finds(source):
    assert faults(source)


@pytest.mark.parametrize(
    "source",
    [
        "import ast\nast.literal_eval('1')",
        "network.eval()",
        "import numpy as np\nnp.load('x', allow_pickle=False)",
        "import torch\ntorch.load('x', weights_only=True)",
        "import yaml\nyaml.safe_load(s)",
        "import pickletools\npickletools.genops(b)",
        "import subprocess\nsubprocess.run(['ls'])",
        "import re\nre.compile('x')",
    ],
)
def test_the_check_passes(source):
    assert faults(source) == []
