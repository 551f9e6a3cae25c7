"""Public names of a package that are loaded when first used, so that importing it stays light."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

__all__ = ["lazy", "plots"]


def lazy(
    package: str,
    public: Mapping[str, str],
    *,
    packages: Sequence[str] = (),
    before: Callable[[], object] | None = None,
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package (PEP 562).

    Parameters
    ----------
    package : str
        Its ``__name__``.
    public : mapping of str to str
        Module, relative to the package, of each name.
    packages : sequence of str
        Sub-packages that are reached as attributes too.
    before : callable, optional
        Called before a name is loaded, to say what is missing.
    """

    def load(name: str) -> Any:
        if name in packages:
            return importlib.import_module(f"{package}.{name}")
        if name not in public:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if before is not None:
            before()
        value = getattr(importlib.import_module(f"{package}.{public[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted(sys.modules[package].__all__)

    return load, names


def plots() -> ModuleType:
    """The figures, `pysoftcorr.plots`, for results that draw themselves.

    The figures stand above all that they draw, and matplotlib takes a second to import.
    """
    from pysoftcorr.core.extras import hushed

    root, *_ = __name__.split(".")
    with hushed():
        return importlib.import_module(f"{root}.plots")
