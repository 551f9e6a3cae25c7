"""Pages of the public names of each package, as its ``__all__`` has them."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

#: Packages, in the order of a reader's way through them.
PACKAGES = {
    "pysoftcorr": "Catalogs on the sky, estimators, clustering, gradients",
    "pysoftcorr.mocks": "Halos, mock galaxies, correlations in a box, tables",
    "pysoftcorr.emulator": "The emulator and its training",
    "pysoftcorr.inference": "Posteriors and minimization",
    "pysoftcorr.diffhod": "A halo occupation with derivatives",
    "pysoftcorr.plots": "Figures",
}


def _page(package: str, title: str) -> str:
    module = importlib.import_module(package)
    names = [
        name for name in module.__all__ if not name.startswith("_") and not _is_module(module, name)
    ]
    head = f"{title} (``{package}``)"
    entries = "\n".join(f"   {name}" for name in sorted(names, key=str.lower))
    return (
        f"{head}\n{'=' * len(head)}\n\n.. currentmodule:: {package}\n\n"
        f".. autosummary::\n   :toctree: generated\n   :nosignatures:\n\n{entries}\n"
    )


def _is_module(module: Any, name: str) -> bool:
    return type(getattr(module, name)).__name__ == "module"


def _write(app: Any, config: Any) -> None:
    folder = Path(app.srcdir) / "reference" / "api"
    folder.mkdir(parents=True, exist_ok=True)
    for package, title in PACKAGES.items():
        page, text = folder / f"{package}.rst", _page(package, title)
        if not page.exists() or page.read_text() != text:
            page.write_text(text)


def _bars(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keep bars, as of an absolute value, from being taken for substitutions."""
    for k, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            lines[k] = line.replace("|", r"\|")


def setup(app: Any) -> dict[str, Any]:
    """Write the pages before autosummary looks for what to generate."""
    app.connect("config-inited", _write)
    app.connect("autodoc-process-docstring", _bars, priority=900)
    return {"parallel_read_safe": True}
