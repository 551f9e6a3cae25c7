"""The system image: which one is taken, what happens to a bad one, how one is made."""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from pysoftcorr._julia import JuliaUnavailable, found, image, install, settings


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("PYSOFTCORR_IMAGE", raising=False)
    return tmp_path / "cache" / "pysoftcorr"


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    package = tmp_path / "julia"
    folder = package / "src"
    folder.mkdir(parents=True)
    (folder / "SoftCorr.jl").write_text("module SoftCorr end")
    (folder / "pairs.jl").write_text("pairs")
    monkeypatch.setattr(settings, "package_dir", lambda: package)
    return folder


@pytest.fixture
def runtime(tmp_path: Path) -> found.Found:
    for name in ("sys.so", "libjulia.so"):
        (tmp_path / name).write_text(name)
    return found.Found(
        executable=str(tmp_path / "julia"), version="1.5.3", bindir=str(tmp_path),
        image=str(tmp_path / "sys.so"), libjulia=str(tmp_path / "libjulia.so"),
    )  # fmt: skip


@pytest.fixture
def builder(
    monkeypatch: pytest.MonkeyPatch, cache: Path, sources: Path, runtime: found.Found
) -> Builder:
    return Builder(monkeypatch, runtime)


class Builder:
    """Stands for Julia and the C compiler: each writes the file it is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, runtime: found.Found) -> None:
        self.runtime = runtime
        self.runs: list[str] = []
        self.fail_at = ""
        self.error: BaseException = KeyboardInterrupt()
        self.verdict = ""
        self.lines: list[str] = []
        monkeypatch.setattr(image, "_run", self.run)
        monkeypatch.setattr(image, "compiler", lambda: "/bin/cc")
        monkeypatch.setattr(image, "run_self_test", self.test)

    def run(self, command: list[str], env: dict[str, str]) -> None:
        name = Path(command[0]).name
        self.runs.append(name)
        flag = "--output-o" if name == "julia" else "-o"
        Path(command[command.index(flag) + 1]).write_text(name)
        if name == self.fail_at:
            raise self.error

    def test(self, runtime: found.Found, path: str) -> tuple[str, bool]:
        assert Path(path).is_file()
        return self.verdict, True

    def compile(self, force: bool = False) -> Path:
        return image.compile_image(found=self.runtime, force=force, log=self.lines.append)


# ---- which image ------------------------------------------------------------------------------


def test_name_holds_sources_runtime_and_processor(
    cache: Path, sources: Path, runtime: found.Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = image.image_path(runtime)
    assert path.parent == cache / "images"
    assert image.image_path(runtime) == path
    ours, contents = path.stem.split("-")

    def parts() -> tuple[bool, bool]:
        """Same runtime and processor? Same contents?"""
        one, two = image.image_path(runtime).stem.split("-")
        return one == ours, two == contents

    (sources.parent / "test").mkdir()
    (sources.parent / "test" / "runtests.jl").write_text("not a source")
    assert parts() == (True, True)
    (sources / "entries").mkdir()
    (sources / "entries" / "pairs.jl").write_text("a source")
    assert parts() == (True, False)
    (sources / "entries" / "pairs.jl").unlink()
    (sources / "pairs.jl").write_text("Pairs")
    assert parts() == (True, False)
    (sources / "pairs.jl").write_text("pairs")
    (sources / "pairs.jl").rename(sources / "pears.jl")
    assert parts() == (True, False)
    (sources / "pears.jl").rename(sources / "pairs.jl")
    assert parts() == (True, True)
    monkeypatch.setattr(image, "RECIPE", image.RECIPE + 1)
    assert parts() == (True, False)


@pytest.mark.parametrize("change", ["version", "executable", "libjulia", "image", "processor"])
def test_another_runtime_or_processor_has_another_image(
    cache: Path,
    sources: Path,
    runtime: found.Found,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
) -> None:
    before = image.image_path(runtime).stem.split("-")
    other = runtime
    if change == "version":
        other = replace(runtime, version="1.5.4")
    elif change == "executable":
        other = replace(runtime, executable="/elsewhere/julia")
    elif change == "processor":
        monkeypatch.setattr(image, "_processor", lambda: "another")
    else:
        Path(getattr(runtime, change)).write_text("another one")
    after = image.image_path(other).stem.split("-")
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_image_of_other_sources_is_not_taken(builder: Builder, sources: Path) -> None:
    assert image.find(builder.runtime).reason == "none was compiled: softcorr julia compile"
    path = builder.compile()
    assert image.find(builder.runtime) == image.Choice(str(path))
    before = (sources / "pairs.jl").read_text()
    (sources / "pairs.jl").write_text("edited")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no word of it: this is every developer's day
        stale = image.find(builder.runtime)
    assert stale.path is None
    assert "stale: softcorr julia compile" in stale.reason
    (sources / "pairs.jl").write_text(before)
    assert image.find(builder.runtime).path == str(path)


def test_image_can_be_refused(builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    builder.compile()
    monkeypatch.setenv("PYSOFTCORR_IMAGE", "0")
    assert image.find(builder.runtime) == image.Choice(None, "PYSOFTCORR_IMAGE=0")
    monkeypatch.setenv("PYSOFTCORR_IMAGE", "maybe")
    with pytest.raises(ValueError, match="PYSOFTCORR_IMAGE='maybe': expected 0 or 1"):
        image.find(builder.runtime)


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda p: p.write_text("cut"), "it has changed since it was built"),
        (lambda p: os.utime(p, ns=(1, 1)), "it has changed since it was built"),
        (lambda p: p.with_suffix(".json").unlink(), "it is not whole"),
        (lambda p: p.with_suffix(".json").write_text("{"), "it is not whole"),
    ],
)
def test_damaged_image_is_done_without(builder: Builder, damage, text: str) -> None:
    path = builder.compile()
    damage(path)
    with pytest.warns(UserWarning, match=rf"damaged .*\({text}\); to fix this, run softcorr julia"):
        choice = image.find(builder.runtime)
    assert choice.path is None
    assert text in choice.reason
    assert builder.compile() == path  # without force
    assert image.find(builder.runtime) == image.Choice(str(path))


# ---- making one -------------------------------------------------------------------------------


def test_compiled_once(builder: Builder) -> None:
    path = builder.compile()
    assert path.read_text() == "cc"
    assert builder.runs == ["julia", "cc"]
    assert {p.suffix for p in path.parent.iterdir()} == {".so", ".json", ".lock"}
    assert builder.compile() == path
    assert builder.runs == ["julia", "cc"]
    assert "is there" in builder.lines[-1]
    builder.compile(force=True)
    assert builder.runs == ["julia", "cc"] * 2


def test_new_image_removes_the_stale_ones_of_its_runtime(builder: Builder, sources: Path) -> None:
    stale = builder.compile()
    other = stale.with_name("0123456789abcdef-0123456789abcdef.so")
    other.write_text("of another machine")
    (sources / "pairs.jl").write_text("edited")
    new = builder.compile()
    left = sorted(p.name for p in new.parent.iterdir() if p.suffix != ".lock")
    assert left == sorted([new.name, new.with_suffix(".json").name, other.name])


@pytest.mark.parametrize("at", ["julia", "cc"])
def test_interrupted_build_leaves_nothing(builder: Builder, at: str) -> None:
    builder.fail_at = at
    with pytest.raises(KeyboardInterrupt):
        builder.compile()
    assert [p.suffix for p in image.folder().iterdir()] == [".lock"]
    assert image.find(builder.runtime).reason.startswith("none was compiled")
    builder.fail_at = ""
    assert builder.compile().is_file()


def test_what_a_killed_build_left_is_cleared_away(builder: Builder) -> None:
    path = image.image_path(builder.runtime)
    left = path.with_name(f".{path.name.split('-')[0]}-killed")
    left.mkdir(parents=True)
    (left / "image.so").write_text("half")
    assert image.find(builder.runtime).path is None
    builder.compile()
    assert not left.exists()


def test_image_that_fails_its_test_is_dropped(builder: Builder) -> None:
    builder.verdict = "the self-test died of signal 11"
    with pytest.raises(JuliaUnavailable, match=r"could not be made.* died of signal 11"):
        builder.compile()
    assert [p.suffix for p in image.folder().iterdir()] == [".lock"]


def test_image_of_sources_that_changed_meanwhile_is_dropped(
    builder: Builder, sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def edit(runtime: found.Found, path: str) -> tuple[str, bool]:
        (sources / "pairs.jl").write_text("edited")
        return "", True

    monkeypatch.setattr(image, "run_self_test", edit)
    with pytest.raises(JuliaUnavailable, match="have changed in the meantime"):
        builder.compile()
    assert [p.suffix for p in image.folder().iterdir()] == [".lock"]


def test_failed_command_gives_its_error_in_one_line(tmp_path: Path) -> None:
    script = tmp_path / "linker"
    script.write_text("#!/bin/sh\necho note >&2\necho 'error: no space left' >&2\nexit 1\n")
    script.chmod(0o755)
    with pytest.raises(JuliaUnavailable, match=r"linker: error: no space left\. To fix") as caught:
        image._run([str(script)], dict(os.environ))
    assert "\n" not in str(caught.value)


def test_second_build_waits_and_takes_the_first_ones(builder: Builder) -> None:
    path = image.image_path(builder.runtime)
    path.parent.mkdir(parents=True)
    with open(path.with_name(f"{path.name.split('-')[0]}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        other = threading.Thread(target=builder.compile)
        other.start()
        deadline = time.monotonic() + 10
        while not builder.lines and time.monotonic() < deadline:
            time.sleep(0.01)
        assert builder.lines == ["another compilation is running: waiting for it"]
        path.write_text("cc")
        path.with_suffix(".json").write_text(json.dumps(image._facts(path)))
    other.join(20)
    assert builder.runs == []
    assert builder.lines[-1] == f"the system image is there: {path}"


def test_without_a_compiler(builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "compiler", lambda: None)
    with pytest.raises(JuliaUnavailable, match=r"without a C compiler \(cc, gcc, clang\)"):
        builder.compile()
    assert builder.runs == []


def test_compiler_is_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert image.compiler() is None
    for name in ("clang", "gcc"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
        assert image.compiler() == str(tmp_path / name)


def test_other_versions_of_julia_are_left_alone(cache: Path, runtime: found.Found) -> None:
    other = replace(runtime, version="1.10.4")
    assert image.find(other).reason == "system images are made for Julia 1.5 only, not for 1.10.4"
    with pytest.raises(JuliaUnavailable, match=r"Julia 1\.5 only, not for 1\.10\.4"):
        image.compile_image(found=other)


# ---- at the end of an installation --------------------------------------------------------------


def test_install_compiles_unless_told_not_to(
    builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYSOFTCORR_JULIA_HOST", "libjulia")
    monkeypatch.setattr(found, "choose", lambda: builder.runtime)
    monkeypatch.setattr(found, "inspect", lambda place: builder.runtime)
    lines: list[str] = []
    install.install(image=False, log=lines.append)
    assert builder.runs == []
    done = install.install(log=lines.append)
    assert builder.runs == ["julia", "cc"]
    assert done == {"method": "present", "version": "1.5.3", "path": builder.runtime.executable}
    monkeypatch.setattr(image, "compiler", lambda: None)
    (settings.package_dir() / "src" / "pairs.jl").write_text("edited")
    before = len(lines)
    assert install.install(log=lines.append) == done
    assert len(lines) == before + 2  # the runtime is there; and one line about the image
    assert "which would save some" in lines[-1]
    builder.runtime = replace(builder.runtime, version="1.9.4")
    install.install(log=lines.append)
    assert lines[-1].startswith("nothing is compiled ahead of time: ")


# ---- with a real Julia --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real() -> found.Found:
    try:
        runtime = found.choose()
    except JuliaUnavailable as error:
        pytest.skip(str(error))
    reason = image.impossible(runtime)
    if reason:
        pytest.skip(reason)
    return runtime


STATUS = """
    import json
    from pysoftcorr._julia import status
    print(json.dumps(status()))
"""

# An image that looks whole and is no library.
BROKEN = (
    """
    import json
    from pysoftcorr._julia import found, image
    path = image.image_path(found.choose())
    path.parent.mkdir(parents=True)
    path.write_text("not a library")
    path.with_suffix(".json").write_text(json.dumps(image._facts(path)))
    print(path)
"""
    + STATUS
)


def test_image_that_cannot_be_loaded_is_done_without(fresh, cache: Path, real: found.Found) -> None:
    env = {"PYSOFTCORR_JULIA": real.executable, "PYSOFTCORR_JULIA_HOST": "libjulia"}
    out = fresh(BROKEN, **env)
    path, answer = out.stdout.splitlines()
    says = json.loads(answer)
    assert says["self_test"] is True
    assert says["image"] is None
    assert f"{path} cannot be loaded" in says["image_reason"]
    assert "UserWarning: the system image" in out.stderr
    assert "to fix this, run softcorr julia compile --force" in out.stderr
    out = fresh(STATUS, PYSOFTCORR_IMAGE="0", **env)
    assert json.loads(out.stdout)["image_reason"] == "PYSOFTCORR_IMAGE=0"
    assert "UserWarning" not in out.stderr


@pytest.mark.slow
def test_self_test_notices_an_image_that_is_none(real: found.Found, tmp_path: Path) -> None:
    wrong = tmp_path / "image.so"
    wrong.write_text("not a library")
    assert found.run_self_test(real, str(wrong)) == (
        "the self-test failed: the image was not used",
        False,
    )
    # the runtime's own image starts well, but does not hold the entry points
    reason, _ = found.run_self_test(real, real.image)
    assert reason == "the self-test failed: the image does not hold the sources"


@pytest.mark.skipif(
    os.environ.get("PYSOFTCORR_TEST_IMAGE") != "1",
    reason="takes some minutes: asked for with PYSOFTCORR_TEST_IMAGE=1",
)
def test_real_image_gives_the_same_numbers(fresh, cache: Path, real: found.Found) -> None:
    path = image.compile_image(found=real)
    job = """
        import numpy as np
        from pysoftcorr import StarCatalog, rho_statistics
        from pysoftcorr._julia import status
        rng = np.random.default_rng(1)
        e = rng.normal(0, 0.03, (4, 300))
        stars = StarCatalog(
            ra=rng.uniform(0, 1, 300), dec=rng.uniform(-1, 0, 300), sigma=np.full(300, 0.9),
            sigma_model=np.full(300, 0.88), g1=e[0], g2=e[1], g1_model=e[2], g2_model=e[3])
        options = dict(clusters=20, assignments=10, resampling="bootstrap:10", seed=1)
        rho = rho_statistics(stars, "linear:0:45:8", **options)
        values = [v for r in rho.values() for v in (r.value, r.cov.ravel())]
        print(repr([float(x).hex() for v in values for x in v]), status()["image"])
    """
    env = {"PYSOFTCORR_JULIA": real.executable, "PYSOFTCORR_JULIA_HOST": "libjulia"}
    fresh(STATUS, **env)  # asks the runtime about itself
    fast = fresh(job, **env).stdout.rsplit(maxsplit=1)
    slow = fresh(job, PYSOFTCORR_IMAGE="0", **env).stdout.rsplit(maxsplit=1)
    assert [fast[1].strip(), slow[1].strip()] == [str(path), "None"]
    assert fast[0] == slow[0]


def test_the_kernels_of_the_self_test_are_called_as_they_are(fresh) -> None:
    """An image that fails it is thrown away; a wrong shape there may damage memory."""
    code = "from pysoftcorr._julia import selftest; selftest.check_kernel(); print('fine')"
    assert fresh(code).stdout == "fine\n"
