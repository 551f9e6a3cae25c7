"""The page of the benchmarks, from the runs stored in ``docs/benchmarks/``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HEAD = """# Benchmarks

Every claim of speed is a ratio against another code on the same work in the same run, in
`benchmarks/`. `make bench` prints them.

## Ratios

```{include} ../README.md
:start-after: "## How fast"
:end-before: "## Limits"
```

## Stored runs

What the scripts printed, with the machine and the day. `make bench-record` runs and stores
them.
"""
NOTHING = "\nNo run is stored.\n"
#: Part of the cores at other work above which times do not count.
BUSY = 0.5


def run_text(one: dict[str, Any]) -> str:
    """A section of one script: machine, versions, and what it printed."""
    machine = one["machine"]
    where = f"{machine['processor']}, {machine['cores']} cores, {machine['memory_GiB']} GiB"
    if machine["gpu"]:
        where += f", {machine['gpu']}"
    parts = [
        f"### {one['title'].rstrip('.')}\n",
        f"{one['date']}, {where}, {machine['system']}; "
        + ", ".join(f"{name} {version}" for name, version in one["versions"].items())
        + ".\n",
    ]
    if one["busy_before"] > BUSY * machine["cores"]:
        parts.append(
            f":::{{warning}}\nThe machine was busy ({one['busy_before']} cores at other work): "
            "times in seconds do not count here, and ratios less than usual.\n:::\n"
        )
    if one["status"]:
        parts.append(f"It ended early: `{' '.join(one['error']) or one['status']}`\n")
    return "\n".join([*parts, "```text", *one["lines"], "```\n"])


def page(folder: Path) -> str:
    """All stored runs, the scripts in the order of their names."""
    runs: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*.json")):
        runs |= json.loads(path.read_text())
    return HEAD + (
        "\n" + "\n".join(run_text(runs[name]) for name in sorted(runs)) if runs else NOTHING
    )


def _write(app: Any, config: Any) -> None:
    target, text = Path(app.srcdir) / "benchmarks.md", page(Path(app.srcdir) / "benchmarks")
    if not target.exists() or target.read_text() != text:
        target.write_text(text)


def setup(app: Any) -> dict[str, Any]:
    """Write the page before sources are looked for."""
    app.connect("config-inited", _write)
    return {"parallel_read_safe": True}
