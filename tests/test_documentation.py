"""The site before it is built: links between files, the gallery, runs of benchmarks, version."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
from pathlib import Path

import pytest

import pysoftcorr

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if "_build" not in path.parts
)
#: Pages that the site is built with, from this repository's code.
MADE = {"reference/commands.md", "benchmarks.md"}


def extension(name):
    """A module of ``docs/_ext``; it needs Sphinx where that is imported."""
    path = ROOT / "docs" / "_ext" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"docs_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def slugs(path):
    """Anchors of the headings of a page, as GitHub and MyST make them."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.S | re.M)
    heads = re.findall(r"^#+\s+(.*)$", text, flags=re.M)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", head).replace("`", "") for head in heads)
    return {re.sub(r"[^\w\- ]", "", head.lower().strip()).replace(" ", "-") for head in plain}


def links(path):
    """Targets of links and images outside of code."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.S | re.M)
    text = re.sub(r"`[^`\n]*`", "", text)
    return [t for t in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in t]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(path):
    for link in links(path):
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if target in {ROOT / "docs" / made for made in MADE}:
            continue
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in slugs(target), link


def test_every_page_is_in_the_contents():
    listed = set()
    for index in (ROOT / "docs" / "index.md", ROOT / "docs" / "claims" / "index.md"):
        for block in re.findall(r"```\{toctree\}\n(.*?)```", index.read_text(), flags=re.S):
            names = [n for n in block.split("\n") if n and not n.startswith(":")]
            listed |= {str((index.parent / n).relative_to(ROOT / "docs")) for n in names}
    pages = {
        str(p.relative_to(ROOT / "docs").with_suffix("")) for p in PAGES if p.is_relative_to(
            ROOT / "docs")
    }  # fmt: skip
    assert pages - listed == {"index"}
    assert listed - pages <= {name.removesuffix(".md") for name in MADE}


def test_the_gallery_shows_every_plot_function():
    pytest.importorskip("matplotlib")
    from pysoftcorr import plots

    text = (ROOT / "docs" / "gallery.md").read_text()
    assert [name for name in plots.__all__ if f"plots.{name}(" not in text] == []
    for figure in re.findall(r"\]\((figures/[^)]+)\)", text):
        assert (ROOT / "docs" / figure).exists()


def test_a_run_of_benchmarks_is_a_page(tmp_path):
    made = extension("benchmark_pages")
    assert "No run is stored" in made.page(tmp_path)
    machine = {"processor": "P", "cores": 2, "memory_GiB": 8.0, "gpu": None, "system": "Linux"}
    run = {"title": "Ours against theirs.", "date": "2026-01-02", "busy_before": 0.1, "seconds": 3,
           "status": 0, "machine": machine, "versions": {"numpy": "2.0"}, "lines": ["a  2.0x"],
           "error": []}  # fmt: skip
    (tmp_path / "one.json").write_text(json.dumps({"bench_b": run}))
    page = made.page(tmp_path)
    for text in ("### Ours against theirs\n", "2026-01-02", "P, 2 cores", "numpy 2.0", "a  2.0x"):
        assert text in page
    assert "busy" not in page
    run |= {"busy_before": 1.5, "status": 1, "error": ["ValueError: no"]}
    (tmp_path / "two.json").write_text(json.dumps({"bench_a": run}))
    page = made.page(tmp_path)
    assert "busy (1.5 cores at other work)" in page
    assert "`ValueError: no`" in page


def test_a_benchmark_is_recorded(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    spec = importlib.util.spec_from_file_location("record", ROOT / "benchmarks" / "record.py")
    record = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(record)
    for name, code in (("bench_x", "print('two', 2)"), ("bench_y", "raise ValueError('no')")):
        (tmp_path / f"{name}.py").write_text(f'"""Work of {name}.\n\nMore."""\n\n{code}\n')
    monkeypatch.setattr(record, "HERE", tmp_path)
    monkeypatch.setattr(record, "busy_cores", lambda seconds: 0.25)
    out = tmp_path / "runs" / "here.json"
    monkeypatch.setattr("sys.argv", ["record.py", "bench_x.py", "bench_y.py", "--out", str(out)])
    assert record.main() == 1
    stored = json.loads(out.read_text())
    assert stored["bench_x"]["title"] == "Work of bench_x."
    assert (stored["bench_x"]["lines"], stored["bench_x"]["status"]) == (["two 2"], 0)
    assert stored["bench_y"]["error"] == ["ValueError: no"]
    assert stored["bench_x"]["machine"]["cores"] >= 1
    assert stored["bench_x"]["busy_before"] == 0.25
    monkeypatch.setattr("sys.argv", ["record.py", "bench_x.py", "--out", str(out)])
    assert record.main() == 0
    assert set(json.loads(out.read_text())) == {"bench_x", "bench_y"}
    assert "ended early" in extension("benchmark_pages").page(out.parent)


def test_broken_links_of_built_pages_are_found(tmp_path):
    pytest.importorskip("sphinx")
    found = extension("built_links").broken
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.html").write_text(
        '<a href="sub/b.html#there">x</a><a href="#top">x</a><a href="https://x.y/z">x</a>'
        '<p id="top"></p><img src="no.png">'
    )
    (tmp_path / "sub" / "b.html").write_text('<h1 id="there">x</h1><a href="../a.html#gone">x</a>')
    assert found(tmp_path) == ["a.html: no.png: no such file",
                               "sub/b.html: ../a.html#gone: no such anchor"]  # fmt: skip


def test_one_version_everywhere():
    version = pysoftcorr.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert f'version = "{version}"' in (ROOT / "julia" / "Project.toml").read_text()
    assert f'VERSION = "{version}"' in (ROOT / "julia" / "src" / "SoftCorr.jl").read_text()
    assert re.search(rf"^## {re.escape(version)}\b", (ROOT / "CHANGELOG.md").read_text(), re.M)


def test_the_recipe_for_conda_asks_for_what_the_package_does():
    jinja2 = pytest.importorskip("jinja2")
    tomllib = pytest.importorskip("tomllib")  # Python 3.11
    import yaml

    folder = ROOT / "packaging" / "conda"

    def load_file_regex(load_file, regex_pattern, from_recipe_dir):
        assert from_recipe_dir
        return re.search(regex_pattern, (folder / load_file).read_text())

    text = (folder / "meta.yaml").read_text()
    made = jinja2.Template(text).render(load_file_regex=load_file_regex, PYTHON="python")
    recipe = yaml.safe_load(made)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert recipe["package"] == {"name": "pysoftcorr", "version": pysoftcorr.__version__}
    there = {
        "juliacall": ["pyjuliacall"], "matplotlib": ["matplotlib-base"],
        "dask[distributed]": ["dask-core", "distributed"],
    }  # fmt: skip
    wanted = {f"python {project['requires-python']}"}
    for line in project["dependencies"]:
        name, limit = re.fullmatch(r"([\w\[\]-]+)(.*)", line).groups()
        wanted |= {f"{other} {limit}" for other in there.get(name, [name])}
    assert set(recipe["requirements"]["run"]) == wanted
    extras = {line for part in project["optional-dependencies"].values() for line in part}
    for line in recipe["requirements"]["run_constrained"]:
        assert line.replace("pytorch", "torch").replace(" ", "") in extras


def test_cores_at_other_work_are_counted(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    spec = importlib.util.spec_from_file_location("timing", ROOT / "benchmarks" / "timing.py")
    timing = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "timing", timing)
    spec.loader.exec_module(timing)
    busy = timing.busy_cores(0.05)
    assert 0 <= busy <= os.cpu_count()
    assert timing.load().endswith("cores busy with other work")
