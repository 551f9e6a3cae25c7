"""Finding and installing a Julia runtime, with a mirror, apt and runtimes made up for the test."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pysoftcorr._julia import JuliaUnavailable, apt, found, hosts, install, settings


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A cache of its own, no Julia on PATH, no juliacall."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("PYSOFTCORR_JULIA", raising=False)
    monkeypatch.setenv("PYSOFTCORR_JULIA_HOST", "libjulia")
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin")


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


# ---- apt sources -----------------------------------------------------------------------------

LIST = """\
# deb http://commented.example/debian bookworm main
deb-src http://mirror.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/k.gpg] http://mirror.example/debian bookworm main contrib # note
 deb https://security.example/debian-security bookworm-security main
"""  # noqa: E501

SOURCES = """\
Types: deb deb-src
# a comment between fields
URIs: http://one.example/debian/ http://two.example/debian
Suites: trixie trixie-updates
Components: main
 non-free
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://off.example/debian
Suites: trixie
Components: main
Enabled: no

Types: deb
URIs: http://inline.example/debian
Suites: trixie
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBF
 -----END PGP PUBLIC KEY BLOCK-----
"""


def test_one_line_sources() -> None:
    first, second = apt.parse_list(LIST)
    assert first == apt.Source(
        "http://mirror.example/debian",
        ("bookworm",),
        ("main", "contrib"),
        "/usr/share/keyrings/k.gpg",
    )
    assert second.uri == "https://security.example/debian-security"
    assert second.signed_by == ""


def test_deb822_sources() -> None:
    one, two, inline = apt.parse_sources(SOURCES)
    assert one.uri == "http://one.example/debian/"
    assert two.uri == "http://two.example/debian"
    assert one.suites == ("trixie", "trixie-updates")
    assert one.components == ("main", "non-free")
    assert one.signed_by == "/usr/share/keyrings/debian-archive-keyring.gpg"
    assert inline.uri == "http://inline.example/debian"
    assert inline.signed_by == ""


def test_mirrors_are_debian_archives_each_once(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(LIST)
    (tmp_path / "sources.list.d" / "a.list").write_text(
        "deb https://other.example/tool bookworm main\n"
        "deb http://mirror.example/debian/ bookworm-updates main\n"
        "deb http://third.example/debian bookworm contrib\n"
    )
    (tmp_path / "sources.list.d" / "b.sources").write_text(SOURCES)
    uris = [source.uri for source in apt.mirrors(tmp_path)]
    assert uris == [
        "http://mirror.example/debian",
        "http://one.example/debian/",
        "http://two.example/debian",
        "http://inline.example/debian",
    ]


def test_no_sources_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert apt.mirrors(tmp_path / "nothing") == []
    monkeypatch.setattr(apt, "mirrors", list)
    with pytest.raises(JuliaUnavailable, match=r"name no Debian mirror.*PYSOFTCORR_JULIA"):
        install.install(log=lambda line: None)


def test_missing_apt_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    source = apt.Source("http://mirror.example/debian", ("x",), ("main",))
    with pytest.raises(apt.AptError, match="apt-get is not on this system"):
        apt.download(["julia"], "bullseye", source, tmp_path / "work")
    with pytest.raises(JuliaUnavailable, match=r"apt-get is not on this system.*PYSOFTCORR_JULIA"):
        install.install(log=lambda line: None)


# ---- a private prefix ------------------------------------------------------------------------


def make_prefix(folder: Path) -> Path:
    script(folder / "usr/bin/julia", "#!/bin/sh\nexit 1\n")
    (folder / "usr/lib").mkdir()
    (folder / "usr/lib/libjulia.so.1").write_bytes(b"1234567890")
    found.write_manifest(folder, suite="test")
    return folder


def test_whole_prefix_has_no_problem(tmp_path: Path) -> None:
    assert found.prefix_problem(make_prefix(tmp_path / "p")) == ""


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda p: (p / "usr/lib/libjulia.so.1").unlink(), "usr/lib/libjulia.so.1 is missing"),
        (
            lambda p: (p / "usr/lib/libjulia.so.1").write_bytes(b"123"),
            "usr/lib/libjulia.so.1 has 3 bytes instead of 10",
        ),
        (lambda p: (p / found.MANIFEST).write_text("{"), "list of files cannot be read"),
        (lambda p: (p / found.MANIFEST).unlink(), "list of files cannot be read"),
    ],
)
def test_damaged_prefix_is_refused_with_the_command_that_fixes_it(damage, text: str) -> None:
    folder = make_prefix(settings.default_prefix())
    damage(folder)
    with pytest.raises(JuliaUnavailable, match=f"damaged: .*{text}") as caught:
        found.choose()
    assert "softcorr julia install --force" in str(caught.value)


# ---- choosing a runtime ----------------------------------------------------------------------


def test_nothing_installed() -> None:
    with pytest.raises(JuliaUnavailable, match="softcorr julia install"):
        found.choose()


def test_named_julia_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYSOFTCORR_JULIA", str(tmp_path / "none"))
    with pytest.raises(JuliaUnavailable, match="PYSOFTCORR_JULIA: no Julia executable at"):
        found.choose()


def test_julia_on_path_that_does_not_work_is_named(tmp_path: Path) -> None:
    script(tmp_path / "bin/julia", "#!/bin/sh\necho out of order >&2\nexit 3\n")
    with pytest.raises(JuliaUnavailable, match="does not work: out of order"):
        found.choose()


def test_julia_on_path_that_fails_the_self_test_is_refused(tmp_path: Path) -> None:
    library = tmp_path / "libjulia.so.1"
    library.write_bytes(b"not a library")
    script(
        tmp_path / "bin/julia",
        f"#!/bin/sh\necho version=1.9.0\necho bindir=/x\necho image=/y\necho libjulia={library}\n",
    )
    with pytest.raises(JuliaUnavailable, match=r"Julia 1\.9\.0.*self-test failed"):
        found.choose()


def test_what_a_runtime_says_is_remembered_until_it_changes(tmp_path: Path) -> None:
    library = tmp_path / "libjulia.so.1"
    library.write_bytes(b"")
    count = tmp_path / "count"
    text = (
        f"#!/bin/sh\necho asked >>{count}\necho version=%s\n"
        f"echo bindir=/x\necho image=/y\necho libjulia={library}\n"
    )
    path = script(tmp_path / "tool/bin/julia", text % "1.8.0")
    for _ in range(3):
        assert found.inspect(str(tmp_path / "tool")).version == "1.8.0"
    assert count.read_text() == "asked\n"
    script(path, text % "1.10.12")
    assert found.inspect(str(path)).version == "1.10.12"
    assert found.inspect(str(path)).libdir is None


def asked(tmp_path: Path) -> tuple[Path, Path]:
    """An executable that counts how often it is asked, and its count."""
    library, count = tmp_path / "libjulia.so.1", tmp_path / "count"
    library.write_bytes(b"")
    path = script(
        tmp_path / "tool/bin/julia",
        f"#!/bin/sh\necho asked >>{count}\necho version=1.8.0\n"
        f"echo bindir=/x\necho image=/y\necho libjulia={library}\n",
    )
    return path, count


def changed(**parts: object) -> Callable[[dict], object]:
    """Other values in what is remembered of the runtime."""

    def inner(known: dict) -> object:
        for memory in known.values():
            for name, value in parts.items():
                (memory if name in memory else memory["found"])[name] = value
        return known

    return inner


DAMAGED_MEMORIES = {
    "list": lambda known: [],
    "nothing": lambda known: {},
    "null": lambda known: None,
    "number": lambda known: 3,
    "text": lambda known: "x",
    "a number of each": lambda known: dict.fromkeys(known, 3),
    "a list of each": lambda known: {name: [memory] for name, memory in known.items()},
    "no stamp": changed(stamp=None),
    "a stamp of text": changed(stamp="x"),
    "found null": changed(found=None),
    "found text": changed(found="julia"),
    "more than known": changed(found={"executable": "x", "color": "red"}),
    "version a number": changed(version=1.8),
    "bindir a list": changed(bindir=[]),
    "library a number": changed(libjulia=1),
    "library nowhere": changed(libjulia="/nowhere"),
    "library with a zero": changed(libjulia="/a\0b"),
    "library folder a number": changed(libdir=0),
    "another executable": changed(executable="/bin/sh"),
    "verdict a list": changed(tested=["x"]),
    "verdict a number": changed(tested=0),
}
UNREADABLE_MEMORIES = {
    "empty": b"", "cut": b'{"/x": {"stamp": [1, 2', "zeros": b"\0" * 100, "deep": b"[" * 100_000,
    "not UTF-8": b'{"\xff": 1}', "twice": b'{"x": 1, "x": 2}', "constants": b'{"x": NaN}',
    "marked": b"\xef\xbb\xbf{}", "long number": b'{"x": ' + b"9" * 5000 + b"}",
}  # fmt: skip


@pytest.mark.parametrize("name", [*DAMAGED_MEMORIES, *UNREADABLE_MEMORIES])
def test_damaged_memory_of_runtimes_is_forgotten(name: str, tmp_path: Path) -> None:
    (path, count), memory = asked(tmp_path), settings.cache_dir() / "runtimes.json"
    whole = found.inspect(str(path))
    if name in DAMAGED_MEMORIES:
        known = DAMAGED_MEMORIES[name](json.loads(memory.read_text()))
        memory.write_text(json.dumps(known))
    else:
        memory.write_bytes(UNREADABLE_MEMORIES[name])
    for _ in range(2):
        assert found.inspect(str(path)) == whole
    assert count.read_text() == "asked\n" * 2
    assert json.loads(memory.read_text())[str(path)]["tested"] is None


@pytest.mark.parametrize("kind", ["folder", "pipe", "loop", "file above"])
def test_memory_of_runtimes_that_is_no_file_is_left_alone(kind: str, tmp_path: Path) -> None:
    (path, _), memory = asked(tmp_path), settings.cache_dir() / "runtimes.json"
    if kind == "file above":
        memory.parent.parent.mkdir()
        memory.parent.write_text("x")
    else:
        memory.parent.mkdir(parents=True)
    if kind == "folder":
        (memory / "within").mkdir(parents=True)
    elif kind == "pipe":
        os.mkfifo(memory)
    elif kind == "loop":
        memory.symlink_to(memory)
    for _ in range(2):
        assert found.inspect(str(path)).version == "1.8.0"
    if memory.parent.is_dir():
        assert [p.name for p in memory.parent.iterdir()] == ["runtimes.json"]


ELSEWHERE = """
import sys
from pysoftcorr._julia import found
for _ in range(2):
    one = found.inspect(sys.argv[1])
    print(one.version, one.libjulia == one.executable + ".so", ascii(one.bindir))
"""


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8"])
@pytest.mark.parametrize("utf8", ["0", "1"])
def test_paths_with_letters_and_blanks_in_any_locale(
    tmp_path: Path, locale: str, utf8: str
) -> None:
    place = tmp_path / "Größe  von 星 'a'"
    path = script(
        place / "bin/julia",
        f'#!/bin/sh\necho asked >>"{place}/count"\necho version=1.8.0\necho "bindir={place}"\n'
        f'echo image=/y\necho "libjulia={place}/bin/julia.so"\n',
    )
    (place / "bin/julia.so").write_bytes(b"")
    package = str(Path(found.__file__).resolve().parents[2])
    env = {
        **os.environ, "XDG_CACHE_HOME": str(place / "cache"), "PYTHONPATH": package,
        "LC_ALL": locale, "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": utf8,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(path)], env=env, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    first, second = done.stdout.decode().splitlines()
    assert first == second
    assert first.startswith("1.8.0 ")
    assert " True " in first
    assert (place / "count").read_text() == "asked\n"
    known = (place / "cache/pysoftcorr/runtimes.json").read_bytes()
    assert json.loads(known)


# ---- home folders ----------------------------------------------------------------------------


@pytest.mark.parametrize("home", [None, "", " ", "here", "./here", "~"])
@pytest.mark.parametrize("cache", [None, "", "there"])
def test_cache_of_a_home_that_is_no_whole_path(
    home: str | None, cache: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pwd

    for name, value in (("HOME", home), ("XDG_CACHE_HOME", cache)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    own = Path(pwd.getpwuid(os.getuid()).pw_dir)
    assert settings.cache_dir() == own / ".cache" / "pysoftcorr"


def test_a_user_without_a_home_is_told_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pwd

    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setenv("HOME", "here")
    assert settings.cache_dir() == tmp_path / "cache" / "pysoftcorr"
    monkeypatch.delenv("XDG_CACHE_HOME")
    with pytest.raises(JuliaUnavailable, match=r"HOME='here': .*set HOME or XDG_CACHE_HOME"):
        found.choose()
    path, count = asked(tmp_path)
    assert [found.inspect(str(path)).version for _ in range(2)] == ["1.8.0"] * 2
    assert count.read_text() == "asked\n" * 2
    monkeypatch.setenv("HOME", str(tmp_path))
    assert settings.cache_dir() == tmp_path / ".cache" / "pysoftcorr"


def test_unpacked_debian_prefix_gets_its_library_folder(tmp_path: Path) -> None:
    script(tmp_path / "usr/bin/julia", "#!/bin/sh\necho $LD_LIBRARY_PATH >&2\nexit 1\n")
    lib = tmp_path / "usr/lib/some-machine"
    lib.mkdir(parents=True)
    (lib / "libjulia.so.1").write_bytes(b"")
    assert found.executable_in(str(tmp_path)) == (str(tmp_path / "usr/bin/julia"), str(lib))
    with pytest.raises(
        JuliaUnavailable, match=f"{lib}:{lib / 'julia'}:{tmp_path / 'lib/some-machine'}"
    ):
        found.inspect(str(tmp_path))


# ---- installing ------------------------------------------------------------------------------


class FakeApt:
    """Stands for the mirror: hands out two packages that unpack into a tiny prefix."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.downloads = 0
        self.break_at = -1
        source = apt.Source("http://mirror.example/debian", ("x",), ("main",))
        monkeypatch.setattr(apt, "mirrors", lambda: [source])
        monkeypatch.setattr(apt, "download", self.download)
        monkeypatch.setattr(apt, "unpack", self.unpack)
        monkeypatch.setattr(found, "self_test", lambda runtime, again=False: self.verdict)
        monkeypatch.setattr(install, "compile_image", lambda found, log: log("image"))
        self.verdict = ""

    def download(self, packages, suite, source, work: Path) -> list[Path]:
        self.downloads += 1
        work.mkdir(parents=True, exist_ok=True)
        files = [work / "a.deb", work / "b.deb"]
        for file in files:
            file.write_text("package")
        return files

    def unpack(self, files: list[Path], into: Path) -> None:
        for number, _file in enumerate(files):
            if number == self.break_at:
                raise KeyboardInterrupt
            if number == 0:
                library = into / "usr/lib/m/libjulia.so.1"
                library.parent.mkdir(parents=True)
                library.write_text("x")
            else:
                script(
                    into / "usr/bin/julia",
                    "#!/bin/sh\ncd $(dirname $0)/..\necho version=1.5.3\necho bindir=/x\n"
                    "echo image=/y\necho libjulia=$PWD/lib/m/libjulia.so.1\n",
                )


@pytest.fixture
def fake_apt(monkeypatch: pytest.MonkeyPatch) -> FakeApt:
    return FakeApt(monkeypatch)


def test_install_then_present(fake_apt: FakeApt) -> None:
    lines: list[str] = []
    done = install.install(log=lines.append)
    assert done["method"] == "debian"
    assert done["version"] == "1.5.3"
    assert done["path"] == str(settings.default_prefix() / "usr/bin/julia")
    assert any("ready" in line for line in lines)
    assert json.loads((settings.default_prefix() / found.MANIFEST).read_text())["suite"]
    left = {p.name for p in settings.cache_dir().iterdir()}
    assert left == {"julia-1.5.3", "julia-1.5.3.lock", "runtimes.json"}
    assert install.install(log=lines.append)["method"] == "present"
    assert fake_apt.downloads == 1
    assert install.install(force=True, log=lines.append)["method"] == "debian"
    assert fake_apt.downloads == 2


@pytest.mark.parametrize("at", [0, 1])
def test_interrupted_install_is_never_taken_for_a_whole_one(fake_apt: FakeApt, at: int) -> None:
    fake_apt.break_at = at
    with pytest.raises(KeyboardInterrupt):
        install.install(log=lambda line: None)
    with pytest.raises(JuliaUnavailable, match="no Julia runtime is installed"):
        found.choose()
    fake_apt.break_at = -1
    assert install.install(log=lambda line: None)["method"] == "debian"
    assert found.choose().version == "1.5.3"
    assert not list(settings.cache_dir().glob("*.partial"))


def test_damaged_prefix_is_replaced_by_installing(fake_apt: FakeApt) -> None:
    install.install(log=lambda line: None)
    (settings.default_prefix() / "usr/lib/m/libjulia.so.1").unlink()
    assert install.install(log=lambda line: None)["method"] == "debian"
    assert found.prefix_problem(settings.default_prefix()) == ""


def test_forced_install_that_fails_leaves_the_old_runtime(fake_apt: FakeApt) -> None:
    install.install(log=lambda line: None)
    fake_apt.break_at = 1
    with pytest.raises(KeyboardInterrupt):
        install.install(force=True, log=lambda line: None)
    assert found.choose().version == "1.5.3"


def test_runtime_that_fails_its_self_test_is_not_kept(fake_apt: FakeApt) -> None:
    fake_apt.verdict = "the self-test died of signal 11"
    with pytest.raises(JuliaUnavailable, match="self-test died of signal 11"):
        install.install(log=lambda line: None)
    assert not settings.default_prefix().exists()


def test_old_runtime_stays_when_the_new_one_fails_its_self_test(fake_apt: FakeApt) -> None:
    install.install(log=lambda line: None)
    fake_apt.verdict = "the self-test died of signal 11"
    with pytest.raises(JuliaUnavailable, match="signal 11"):
        install.install(force=True, log=lambda line: None)
    assert found.prefix_problem(settings.default_prefix()) == ""


def test_second_install_waits_for_the_first(fake_apt: FakeApt) -> None:
    import fcntl

    settings.cache_dir().mkdir(parents=True)
    lines: list[str] = []
    with open(settings.default_prefix().with_name("julia-1.5.3.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        other = threading.Thread(target=lambda: install.install(log=lines.append))
        other.start()
        deadline = time.monotonic() + 10
        while not lines and time.monotonic() < deadline:
            time.sleep(0.01)
        assert lines == ["another installation is running: waiting for it"]
        assert fake_apt.downloads == 0
    other.join(20)
    assert fake_apt.downloads == 1


@pytest.mark.parametrize("force", [False, True])
def test_two_installs_at_once_download_once(fake_apt: FakeApt, force: bool) -> None:
    """Whether or not one is to be replaced: what the first has just installed is new."""
    if force:
        install.install(log=lambda line: None)
    before, plain = fake_apt.downloads, fake_apt.download

    def slow(*arguments: Any) -> list[Path]:
        time.sleep(0.2)
        return plain(*arguments)

    apt.download = slow  # put back by the fixture
    done: list[dict[str, Any]] = []
    threads = [
        threading.Thread(
            target=lambda: done.append(install.install(force=force, log=lambda line: None))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(one["method"] for one in done) == ["debian", "present", "present", "present"]
    assert fake_apt.downloads == before + 1
    assert found.prefix_problem(settings.default_prefix()) == ""


def test_the_second_of_two_installs_goes_on_where_the_first_failed(fake_apt: FakeApt) -> None:
    plain, began = fake_apt.download, threading.Event()

    def once(*arguments: Any) -> list[Path]:
        apt.download = plain
        began.set()
        time.sleep(0.2)
        raise apt.AptError("apt-get: E: Failed to fetch")

    apt.download = once
    said: list[str] = []

    def first() -> None:
        try:
            install.install(log=lambda line: None)
        except JuliaUnavailable as error:
            said.append(str(error))

    thread = threading.Thread(target=first)
    thread.start()
    began.wait(10)
    assert install.install(log=lambda line: None)["method"] == "debian"
    thread.join(20)
    assert "Failed to fetch" in said[0]


def test_unreachable_mirror_gives_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> list[Path]:
        raise apt.AptError("apt-get: E: Failed to fetch http://mirror.example/debian")

    monkeypatch.setattr(apt, "mirrors", lambda: [apt.Source("http://m/debian", (), ("main",))])
    monkeypatch.setattr(apt, "download", fail)
    with pytest.raises(JuliaUnavailable, match="Failed to fetch") as caught:
        install.install(log=lambda line: None)
    assert "\n" not in str(caught.value)


def test_unknown_method() -> None:
    with pytest.raises(ValueError, match="method = 'pigeon': must be one of auto, juliacall"):
        install.install(method="pigeon")


# ---- juliacall's resolver --------------------------------------------------------------------


def test_silent_server_is_given_up_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(install, "ANSWERS", "import time; time.sleep(60)")
    with pytest.raises(JuliaUnavailable, match="download server does not answer"):
        install.install(method="juliacall", log=lambda line: None)


def test_resolver_that_fails_leads_to_debian(
    monkeypatch: pytest.MonkeyPatch, fake_apt: FakeApt
) -> None:
    monkeypatch.setenv("PYSOFTCORR_JULIA_HOST", "auto")
    monkeypatch.setattr(hosts, "ready", lambda: False)
    monkeypatch.setattr(install, "ANSWERS", "raise SystemExit(1)")
    lines: list[str] = []
    assert install.install(log=lines.append)["method"] == "debian"


def test_juliacall_already_resolved_needs_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fake_apt: FakeApt
) -> None:
    executable = script(
        tmp_path / "theirs/bin/julia",
        "#!/bin/sh\necho version=1.11.2\necho bindir=/x\necho image=/y\n"
        f"echo libjulia={sys.executable}\n",
    )
    monkeypatch.setenv("PYSOFTCORR_JULIA_HOST", "auto")
    monkeypatch.setenv("PYTHON_JULIACALL_EXE", str(executable))
    monkeypatch.setenv("PYTHON_JULIACALL_PROJECT", str(tmp_path))
    done = install.install(log=lambda line: None)
    assert done == {"method": "present", "version": "1.11.2", "path": str(executable)}
    assert fake_apt.downloads == 0
