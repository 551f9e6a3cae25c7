"""The Julia package: its layout, the wheel it comes in, and Julia started with it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import pysoftcorr
from helpers.command_line import softcorr
from pysoftcorr._julia import JuliaUnavailable, hosts, juliacall_host, settings

ROOT = Path(__file__).resolve().parents[2]
WORDS = "print(join(sort(string.(names(SoftCorr))), ' '))"


@pytest.fixture(scope="module", autouse=True)
def _julia() -> None:
    """Julia must start in a process of its own."""
    try:
        hosts.launcher()
    except JuliaUnavailable as error:
        pytest.skip(str(error))


def toml_value(path: Path, key: str) -> str:
    """Text of a key of a TOML file; Python reads TOML by itself from 3.11 on only."""
    lines = [line.split("=", 1) for line in path.read_text().splitlines() if "=" in line]
    return next(value.strip().strip('"') for name, value in lines if name.strip() == key)


def test_layout_and_version() -> None:
    folder = settings.package_dir()
    assert folder == ROOT / "julia"
    assert toml_value(folder / "Project.toml", "version") == pysoftcorr.__version__
    assert (folder / "test" / "runtests.jl").is_file()
    # The developers' environment names the package by the same identity.
    assert toml_value(ROOT / "Project.toml", "SoftCorr") == toml_value(
        folder / "Project.toml", "uuid"
    )


def test_path() -> None:
    assert softcorr("julia", "path").stdout == f"{settings.package_dir()}\n"


def test_exec_passes_everything_through(tmp_path: Path) -> None:
    script = tmp_path / "script.jl"
    script.write_text(
        "using SoftCorr\nprint(ARGS, read(stdin, String), Threads.nthreads())\n"
        "print(stderr, isdefined(Main, :xi_pm))\nexit(7)\n"
    )
    out = softcorr(
        "julia", "exec", "--color=no", script, "-e", "--help", "two words",
        status=7, stdin="input", PYSOFTCORR_THREADS="2",
    )  # fmt: skip
    assert out.stdout == '["-e", "--help", "two words"]input2'
    assert out.stderr == "true"


def test_exec_keeps_the_load_path_of_the_user(tmp_path: Path) -> None:
    code = "print(LOAD_PATH[end]); using SoftCorr"
    out = softcorr("julia", "exec", "-e", code, JULIA_LOAD_PATH="@:@stdlib")
    assert out.stdout == str(settings.package_dir())
    other = tmp_path / "SoftCorr.jl"
    other.write_text("module SoftCorr\nprint(1)\nend\n")
    path = f"{tmp_path}:@stdlib"
    out = softcorr(
        "julia", "exec", "--compiled-modules=no", "-e", "using SoftCorr", JULIA_LOAD_PATH=path
    )
    assert out.stdout == "1"


def test_exec_hands_signals_on() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "pysoftcorr.cli", "julia", "exec", "-e", "println(1); sleep(60)"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    with process, process.stdout:
        assert process.stdout.readline() == "1\n"
        process.send_signal(signal.SIGTERM)
        # Julia's own handler ends it with this status.
        assert process.wait(30) == 128 + signal.SIGTERM


def test_exec_needs_neither_torch_nor_astropy(tmp_path: Path) -> None:
    for name in ("torch", "astropy", "matplotlib", "scipy", "h5py"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')")
    # The package is found behind these.
    path = Path(f"{tmp_path}{os.pathsep}{ROOT}")
    assert softcorr("julia", "exec", "-e", "print(1)", folder=path).stdout == "1"


def test_command_of_status_starts() -> None:
    command = json.loads(softcorr("julia", "status", "--json").stdout)["command"]
    env = {k: v for k, v in os.environ.items() if not k.startswith(("JULIA", "LD_LIBRARY"))}
    done = subprocess.run(
        f"{command} -e 'using SoftCorr; {WORDS.replace(chr(39), chr(34))}'",
        shell=True, env=env, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "soft_xi" in done.stdout.split()


@pytest.fixture
def pkg(tmp_path: Path):
    """Julia's own package manager in a fresh depot, without a network or a registry's packages."""
    registry = tmp_path / "depot" / "registries" / "Empty" / "Registry.toml"
    registry.parent.mkdir(parents=True)
    registry.write_text(
        'name = "Empty"\nuuid = "11111111-2222-4333-8444-555555555555"\nrepo = ""\n[packages]\n'
    )

    def run(code: str) -> str:
        out = softcorr(
            "julia", "exec", f"--project={tmp_path / 'project'}", "-e", f"using Pkg; {code}",
            JULIA_DEPOT_PATH=str(tmp_path / "depot"), JULIA_LOAD_PATH="@:@stdlib",
            JULIA_PKG_SERVER="", http_proxy="http://127.0.0.1:9",
            https_proxy="http://127.0.0.1:9",
        )  # fmt: skip
        assert "SoftCorr" in (tmp_path / "project" / "Manifest.toml").read_text()
        return out.stdout.splitlines()[-1]  # above it, the signs that move a cursor

    return run


USED = """
    using SoftCorr
    xi = xi_pm([1.0, 3.0], [2.0, 2.0], fill(0.1, 2), zeros(2), [0, 300])
    println()
    print(pathof(SoftCorr), " ", xi.npairs, " ", derivative(x -> x^3, 2.0))
"""


def test_package_is_developed_from_its_folder(pkg) -> None:
    folder = settings.package_dir()
    said = pkg(f'Pkg.develop(Pkg.PackageSpec(path = raw"{folder}")); {USED}')
    assert said == f"{folder / 'src' / 'SoftCorr.jl'} [1] 12.0"


def test_package_is_added_from_a_repository(pkg, tmp_path: Path) -> None:
    """As ``Pkg.add(url = ..., subdir = "julia")`` does it."""
    code = 'import LibGit2; try LibGit2.ensure_initialized(); print("yes") catch; print("no") end'
    if softcorr("julia", "exec", "-e", code).stdout != "yes":
        pytest.skip("this Julia runtime has no libgit2: softcorr julia install --force")
    repository = tmp_path / "repository"
    shutil.copytree(settings.package_dir(), repository / "julia")
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *arguments], check=True)
    said = pkg(f'Pkg.add(Pkg.PackageSpec(url = raw"{repository}", subdir = "julia")); {USED}')
    place, *rest = said.split()
    assert Path(place).is_relative_to(tmp_path / "depot" / "packages" / "SoftCorr")
    assert rest == ["[1]", "12.0"]
    found = Path(place).parents[1] / "ext" / "SoftCorrForwardDiffExt.jl"
    assert found.is_file()


def test_juliacall_loads_the_package_where_its_project_has_it(pkg, tmp_path: Path) -> None:
    """What is given to ``Main.seval`` loads the package itself, and no other of its name."""
    source = settings.source_file()
    ask = f'load = {juliacall_host.LOAD_PACKAGE.strip()}; print(load(raw"{source}"), " "); '
    develop = f'Pkg.develop(Pkg.PackageSpec(path = raw"{settings.package_dir()}")); println(); '
    assert pkg(f"{develop} {ask} print(pathof(Main.SoftCorr))") == f"true {source}"
    assert juliacall_host.known_to(str(tmp_path / "project"))
    assert not juliacall_host.known_to(str(tmp_path))
    assert not juliacall_host.known_to(None)
    other = tmp_path / "other"
    shutil.copytree(settings.package_dir(), other)
    develop = f'Pkg.develop(Pkg.PackageSpec(path = raw"{other}")); println(); '
    said = pkg(f"{develop} {ask} print(isdefined(Main, :SoftCorr))")
    assert said == "false false"


def test_weak_dependency_has_an_extension_and_bounds() -> None:
    text = (settings.package_dir() / "Project.toml").read_text()
    tables = {part.split("]")[0]: part for part in text.split("\n[")}
    uuid = "f6369f11-7733-5829-9624-2563aa707210"
    assert f'ForwardDiff = "{uuid}"' in tables["weakdeps"]
    assert 'SoftCorrForwardDiffExt = "ForwardDiff"' in tables["extensions"]
    assert 'ChainRulesCore = "d360d2e6-b24c-11e9-a2a3-2a2ae2dbcce4"' in tables["weakdeps"]
    assert 'SoftCorrChainRulesCoreExt = "ChainRulesCore"' in tables["extensions"]
    assert 'ChainRulesCore = "0.10.13, 1"' in tables["compat"]
    for name in ("SoftCorrForwardDiffExt", "SoftCorrChainRulesCoreExt"):
        assert (settings.package_dir() / "ext" / f"{name}.jl").is_file()
    assert 'ForwardDiff = "0.10, 1"' in tables["compat"]
    assert 'julia = "1.5"' in tables["compat"]
    assert "deps" not in tables


def juliapkg_package(file: Path) -> dict[str, object]:
    """What juliacall is told of SoftCorr."""
    return json.loads(file.read_text())["packages"]["SoftCorr"]


def test_juliacall_is_told_where_the_package_is() -> None:
    file = Path(pysoftcorr.__file__).parent / "juliapkg.json"
    told = juliapkg_package(file)
    assert told["dev"] is True
    assert told["uuid"] == toml_value(settings.package_dir() / "Project.toml", "uuid")
    assert (file.parent / str(told["path"])).resolve() == settings.package_dir()
    deps = pytest.importorskip("juliapkg.deps")
    specs = {spec.name: spec for spec in deps.find_requirements()[1]}
    assert Path(specs["SoftCorr"].path) == settings.package_dir()


def test_wheel_holds_the_whole_package(tmp_path: Path) -> None:
    build = pytest.importorskip("hatchling.builders.wheel")
    (made,) = build.WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(made) as wheel:
        wheel.extractall(tmp_path / "site")
    inside = tmp_path / "site" / "pysoftcorr" / "_julia" / "SoftCorr"

    def files(folder: Path) -> set[Path]:
        return {p.relative_to(folder) for p in folder.rglob("*") if p.is_file()}

    wanted = files(ROOT / "julia")
    assert files(inside) == {p for p in wanted if p.name != "Manifest.toml"}
    site = tmp_path / "site"
    told = site / "pysoftcorr" / "juliapkg.json"
    assert (told.parent / str(juliapkg_package(told)["path"])).resolve() == inside
    assert softcorr("julia", "path", folder=site).stdout == f"{inside}\n"
    code = f"using SoftCorr; {WORDS}".replace("'", '"')
    out = softcorr(
        "julia", "exec", "-e", code, folder=site, JULIA_DEPOT_PATH=str(tmp_path / "depot")
    )
    assert "simulate" in out.stdout.split()
