"""Debian packages without root: the mirror this system already uses, in apt folders of our own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["AptError", "Source", "download", "mirrors", "parse_list", "parse_sources", "unpack"]


class AptError(RuntimeError):
    """apt or dpkg is missing or failed; the message is one line."""


@dataclass(frozen=True)
class Source:
    """One archive of the system's apt sources."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""


def parse_list(text: str) -> Iterator[Source]:
    """Archives of a ``.list`` file: ``deb [options] uri suite component...``."""
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)([^#]*)", line)
        if match is None:
            continue
        options, uri, suite, components = match.groups()
        key = re.search(r"(?:^|\s)signed-by=(\S+)", options or "", re.IGNORECASE)
        yield Source(uri, (suite,), tuple(components.split()), key.group(1) if key else "")


def parse_sources(text: str) -> Iterator[Source]:
    """Archives of a deb822 ``.sources`` file: paragraphs of ``Field: values``."""
    text = re.sub(r"^#.*\n?", "", text, flags=re.MULTILINE)
    for paragraph in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in paragraph.splitlines():
            if line[:1].isspace() and name:
                fields[name] += "\n" + line.strip()
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        if "deb" not in fields.get("types", "").split():
            continue
        if fields.get("enabled", "yes").lower() in ("no", "false", "0", "off"):
            continue
        # A key may also be written into the file itself; apt's own keys then have to do.
        key = fields.get("signed-by", "")
        for uri in fields.get("uris", "").split():
            yield Source(
                uri,
                tuple(fields.get("suites", "").split()),
                tuple(fields.get("components", "").split()),
                key if key.startswith("/") and len(key.split()) == 1 else "",
            )


def mirrors(etc: Path = Path("/etc/apt")) -> list[Source]:
    """The system's archives that may be Debian mirrors, the likeliest first."""
    found: list[Source] = []
    files = [etc / "sources.list"]
    folder = etc / "sources.list.d"
    files += sorted(folder.glob("*.list")) + sorted(folder.glob("*.sources"))
    for file in files:
        try:
            text = file.read_text(errors="replace")
        except OSError:
            continue
        found += parse_sources(text) if file.suffix == ".sources" else parse_list(text)
    likely = [
        source
        for source in found
        if "main" in source.components
        and source.uri.rstrip("/").rsplit("/", 1)[-1] == "debian"
        and not all(suite.endswith(("-security", "/updates")) for suite in source.suites)
    ]
    once = {source.uri.rstrip("/"): source for source in reversed(likely)}
    return list(reversed(once.values()))


def run(command: Sequence[str], *, cwd: Path | None = None) -> str:
    """Run a command; its last line of complaint is the error."""
    try:
        done = subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, check=False, errors="replace"
        )
    except FileNotFoundError:
        raise AptError(f"{command[0]} is not on this system") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("E:")]
        lines = lines or done.stderr.splitlines() or [f"exit status {done.returncode}"]
        raise AptError(f"{Path(command[0]).name}: {lines[0]}")
    return done.stdout


def require_tools() -> None:
    """Raise `AptError` where apt-get or dpkg is missing."""
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise AptError(f"{tool} is not on this system")


def download(packages: Sequence[str], suite: str, source: Source, work: Path) -> list[Path]:
    """Fetch packages of a suite from a mirror, checked by apt, and return the files.

    What an earlier, interrupted call left in ``work`` is used again where apt finds it whole.

    Raises
    ------
    AptError
        apt-get is missing, or the mirror, the suite or a package is.
    """
    require_tools()
    for folder in ("lists/partial", "cache/archives/partial", "debs"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    options = f"[signed-by={source.signed_by}] " if source.signed_by else ""
    (work / "sources.list").write_text(
        f"deb {options}{source.uri} {suite} main\n", encoding="utf-8", errors="surrogateescape"
    )
    # Without a status file of our own, apt insists on the versions installed on the system.
    (work / "status").write_text("")
    folders = {
        "Dir::Etc::sourcelist": work / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "Dir::State::Lists": work / "lists",
        "Dir::State::status": work / "status",
        "Dir::Cache": work / "cache",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        folders["APT::Sandbox::User"] = "root"
    # Read after the system's own settings, of which the proxy is wanted and the hooks are not.
    lines = ["#clear APT::Update::Post-Invoke;", "#clear APT::Update::Post-Invoke-Success;"]
    lines += [f'{name} "{value}";' for name, value in folders.items()]
    (work / "apt.conf").write_text(
        "\n".join(lines) + "\n", encoding="utf-8", errors="surrogateescape"
    )
    apt = ["apt-get", "-q", f"-c={work / 'apt.conf'}"]
    run([*apt, "update", "--error-on=any"])
    for old in (work / "debs").glob("*.FAILED"):
        old.unlink()
    run([*apt, "download", *packages], cwd=work / "debs")
    files = sorted((work / "debs").glob("*.deb"))
    if len(files) < len(packages):
        raise AptError(f"only {len(files)} of {len(packages)} packages were downloaded")
    return files


def unpack(files: Sequence[Path], into: Path) -> None:
    """Unpack packages into a folder; nothing is installed or configured."""
    for file in files:
        run(["dpkg", "-x", str(file), str(into)])
