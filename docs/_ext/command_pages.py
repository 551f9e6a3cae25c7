"""The page of the commands, from what each says with ``--help``."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import Any

from pysoftcorr.cli import main
from pysoftcorr.cli.app import _GROUPS, _WHERE


def _said(*words: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main([*words, "--help"])
    return out.getvalue().rstrip()


def _subcommands(group: str) -> list[str]:
    _, _, listed = _said(group).partition("Commands:")
    lines = [line for line in listed.splitlines() if line.startswith("  ") and line[2] != " "]
    return [line.split()[0] for line in lines]


def _text() -> str:
    parts = [
        "# Commands\n",
        "Every command takes its options from a YAML file too (`--config`), prints one JSON object "
        "with `--json`, and leaves by 0, by 2 for what you can mend, by 130 where interrupted.\n",
    ]
    for name in _WHERE:
        parts_of = _subcommands(name) if name in _GROUPS else []
        for called in [[name, part] for part in parts_of] or [[name]]:
            parts.append(f"## softcorr {' '.join(called)}\n")
            parts.append(f"```text\n{_said(*called)}\n```\n")
    return "\n".join(parts)


def _write(app: Any, config: Any) -> None:
    os.environ["COLUMNS"] = os.environ["TERMINAL_WIDTH"] = "92"
    page, text = Path(app.srcdir) / "reference" / "commands.md", _text()
    if not page.exists() or page.read_text() != text:
        page.write_text(text)


def setup(app: Any) -> dict[str, Any]:
    """Write the page before sources are looked for."""
    app.connect("config-inited", _write)
    return {"parallel_read_safe": True}
