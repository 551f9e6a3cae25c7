"""The package as a whole: its public names, sub-packages, and import without docstrings."""

from __future__ import annotations

import importlib.util
import pkgutil

import pytest

import pysoftcorr


def test_every_public_name_is_there():
    for name in pysoftcorr.__all__:
        assert getattr(pysoftcorr, name) is not None
    assert set(pysoftcorr.__all__) <= set(dir(pysoftcorr))


def test_sub_packages_need_no_import_of_their_own(fresh):
    done = fresh("""
        import sys
        import pysoftcorr
        assert not [m for m in sys.modules if m.startswith("pysoftcorr.mocks")]
        assert "torch" not in sys.modules
        print(pysoftcorr.mocks.HODModel.__name__, pysoftcorr.plots.__name__)
        for name in ("emulator", "inference", "diffhod"):
            getattr(pysoftcorr, name)
    """)
    assert done.stdout.split() == ["HODModel", "pysoftcorr.plots"]


def test_no_such_name():
    with pytest.raises(AttributeError, match="module 'pysoftcorr' has no attribute 'bootstraps'"):
        pysoftcorr.bootstraps  # noqa: B018


def test_every_module_can_be_imported_without_docstrings(fresh):
    """``python -OO`` takes them away. Pyro cannot do without its own, so its users are left out."""
    pytest.importorskip("torch")
    names = [
        m.name
        for m in pkgutil.walk_packages(pysoftcorr.__path__, "pysoftcorr.")
        if not m.name.endswith("__main__")
        and (
            not m.name.startswith("pysoftcorr.sky.device.triton_")
            or importlib.util.find_spec("triton")
        )
        and not m.name.startswith(("pysoftcorr.inference.", "pysoftcorr.diffhod.experiments."))
    ]
    assert "pysoftcorr.sky.correlation" in names
    code = f"import importlib\nfor name in {names!r}: importlib.import_module(name)"
    fresh(
        "import subprocess, sys\n"
        f"done = subprocess.run([sys.executable, '-OO', '-c', {code!r}])\n"
        "raise SystemExit(done.returncode)"
    )
