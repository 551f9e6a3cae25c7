"""What every command has: -h, --quiet, --log, completion in a shell, messages without Python."""

from __future__ import annotations

import ast
import json
import os
import re
import struct
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

import pysoftcorr
from pysoftcorr import demo_stars_path
from pysoftcorr.cli import sky
from pysoftcorr.cli.app import _WHERE
from pysoftcorr.cli.messages import of_catalog, spoken
from pysoftcorr.cli.options import Command

PACKAGE = Path(pysoftcorr.__file__).resolve().parent
WORDS = ["--clusters", "0", "--resampling", "none", "--bins", "edges:0,20,4000,4001"]


@pytest.fixture(scope="module")
def stars(tmp_path_factory):
    path = tmp_path_factory.mktemp("stars") / "stars.fits"
    Table.read(demo_stars_path())[:60].write(path)
    return str(path)


# ---------------------------------------------------------------------- help and version
@pytest.mark.parametrize("name", ["", *_WHERE, "halos info", "julia status", "julia exec"])
def test_short_help(run, name):
    short, long = run(*name.split(), "-h"), run(*name.split(), "--help")
    assert short == long
    assert short[0] == 0
    assert "-h, --help" in short[1]
    for python_word in ("<str>", "list[", "None", "True"):
        assert python_word not in short[1]


# ---------------------------------------------------------------------- quiet
def test_quiet_keeps_the_table_alone(run, stars, tmp_path):
    loud = run("rho", stars, *WORDS, "--out", tmp_path / "a.h5")
    quiet = run("rho", stars, *WORDS, "--out", tmp_path / "b.h5", "--quiet")
    assert "warning: " in loud[2]
    assert "wrote " in loud[2]
    assert quiet == (0, loud[1], "")
    assert (tmp_path / "b.h5").is_file()


def test_quiet_keeps_errors(run, stars):
    code, out, err = run("rho", stars, "--bins", "45", "--quiet")
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1


def test_quiet_has_no_bars_on_a_terminal(tmp_path):
    """Bars are drawn where stderr is a terminal."""
    pty, fcntl, termios = (pytest.importorskip(name) for name in ("pty", "fcntl", "termios"))
    said = {}
    for more in ([], ["--quiet"]):
        parent, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        done = subprocess.run(
            [sys.executable, "-c", BAR, *more], stdout=subprocess.PIPE, stderr=child,
            env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)}, check=True, timeout=120,
        )  # fmt: skip
        os.close(child)
        said[bool(more)] = b"".join(pieces(parent))
        os.close(parent)
        assert done.stdout == b"done\n"
    assert b"100%" in said[False]
    assert said[True] == b""


def pieces(terminal):
    """What was written to a terminal that is closed at its other end."""
    while True:
        try:
            piece = os.read(terminal, 10_000)
        except OSError:
            return
        if not piece:
            return
        yield piece


BAR = """
import sys
from pysoftcorr.cli import app, main
from pysoftcorr.cli.options import Command

def work(*, settings, explicit, as_json):
    from tqdm import tqdm
    for _ in tqdm(range(3), disable=not sys.stderr.isatty()):
        pass
    print("done")

app._WHERE["demo"] = "sky"
from pysoftcorr.cli import sky
sky.COMMANDS["demo"] = Command(work)
main(["demo", *sys.argv[1:]])
"""


# ---------------------------------------------------------------------- log
def test_log_holds_the_command_and_every_message(run, stars, tmp_path):
    log, out = tmp_path / "run.log", tmp_path / "rho.h5"
    arguments = ["rho", stars, *WORDS, "--seed", 7, "--out", out, "--log", log]
    _, _, err = run(*arguments)
    lines = log.read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d ", line) for line in lines)
    words = [line.partition(" ")[2] for line in lines]
    assert (
        words[0] == f"softcorr {pysoftcorr.__version__}: softcorr {' '.join(map(str, arguments))}"
    )
    settings = json.loads(words[1].removeprefix("settings "))
    assert settings["seed"] == 7
    assert settings["bins"] == WORDS[-1]
    assert words[2:-1] == err.splitlines()
    assert any(line.startswith("warning: ") for line in words)
    assert f"wrote {out}" in words
    assert re.fullmatch(r"exit status 0 after \d+\.\d s", words[-1])


def test_log_is_appended_to_and_holds_errors(run, stars, tmp_path):
    log = tmp_path / "run.log"
    log.write_text("mine\n")
    for arguments in (
        ("rho", stars, "--bins", "45"),  # of the work
        ("rho", stars, "--bins", "45", "--quiet"),
        ("rho", stars, "--nonsense"),  # of the command line itself
        ("rho", stars, stars, "--clusters", "x"),
    ):
        before = log.read_text()
        code, _, err = run(*arguments, f"--log={log}")
        assert code == 2
        added = log.read_text().removeprefix(before)
        assert added != log.read_text()
        assert err.splitlines()[-1] in added
        assert "exit status 2" in added
    assert log.read_text().startswith("mine\n")


def test_log_that_cannot_be_written(fails, stars, tmp_path):
    said = fails("rho", stars, "--log", tmp_path / "none" / "run.log")
    assert "cannot write the log (No such file or directory)" in said
    assert "cannot write the log" in fails("rho", stars, "--log", tmp_path)


# ---------------------------------------------------------------------- completion
@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """Complete a line in bash, with the function that --show-completion prints."""
    folder = tmp_path_factory.mktemp("shell")
    command = folder / "softcorr"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pysoftcorr.cli "$@"\n')
    command.chmod(0o755)
    env = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "HOME": str(folder),
           "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}  # fmt: skip
    shown = subprocess.run(["bash", "-c", "softcorr --show-completion"], env=env, check=True,
                           capture_output=True, text=True, timeout=120)  # fmt: skip
    (folder / "completion.sh").write_text(shown.stdout)

    def complete(line):
        script = f"""
            source completion.sh
            COMP_WORDS=({line}"")
            COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
            _softcorr_completion softcorr
            printf '%s\\n' "${{COMPREPLY[@]}}"
        """
        done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True,
                              timeout=120, check=True, cwd=folder)  # fmt: skip
        assert done.stderr == ""
        return [word for word in done.stdout.split("\n") if word]

    complete.env = env
    complete.folder = folder
    return complete


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("softcorr ", list(_WHERE)),
        ("softcorr g", ["gradient", "gammat"]),
        ("softcorr rho --re", ["--resampling", "--reference"]),
        ("softcorr rho stars.fits --meth", ["--method"]),
        ("softcorr rho stars.fits --method ", ["pairs", "treecorr"]),
        ("softcorr wtheta a b --randoms-c", ["--randoms-columns"]),
        ("softcorr xi a --catalog2-h", ["--catalog2-hdu"]),
        ("softcorr halos ", ["simulate", "info"]),
        ("softcorr halos simulate --bo", ["--boxsize"]),
        ("softcorr julia st", ["status"]),
        ("softcorr rho st", []),  # files, which the shell completes
        ("softcorr posterior --hod mstar9", ["mstar9.5", "mstar9.0"]),
    ],
)
def test_completion_in_bash(shell, line, words):
    assert sorted(shell(line)) == sorted(words)


@pytest.mark.slow
def test_completion_is_installed(shell):
    done = subprocess.run(["bash", "-c", "softcorr --install-completion"], env=shell.env,
                          capture_output=True, text=True, timeout=60, check=True)  # fmt: skip
    assert "bash completion installed in" in done.stdout
    assert "softcorr.sh" in (shell.folder / ".bashrc").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["zsh", "fish"])
def test_completion_of_other_shells(shell, name):
    env = {**shell.env, "_SOFTCORR_COMPLETE": f"complete_{name}",
           "_TYPER_COMPLETE_ARGS": "softcorr wtheta --randoms-c",
           "_TYPER_COMPLETE_FISH_ACTION": "get-args"}  # fmt: skip
    done = subprocess.run(["softcorr"], env=env, capture_output=True, text=True, timeout=60,
                          check=True)  # fmt: skip
    assert "--randoms-columns" in done.stdout
    assert len(done.stdout.splitlines()) == 1


# ---------------------------------------------------------------------- figures
#: Of each command with figures: what it needs, before files are looked for.
DRAWING = {
    "rho": ["nowhere.fits"],
    "xi": ["nowhere.fits"],
    "wtheta": ["nowhere.fits", "nowhere.fits"],
    "gammat": ["nowhere.fits", "nowhere.fits"],
    "tau": ["nowhere.fits", "nowhere.fits"],
    "cluster": ["nowhere.fits"],
    "gradient": [],
    "halos simulate": ["--boxsize", 40, "--out", "{}/halos.h5"],
    "halos info": ["nowhere.h5"],
    "mock": ["nowhere.h5", "--preset", "mstar10.0", "--out", "{}/galaxies.h5"],
    "boxcorr": ["nowhere.h5"],
    "projected": ["nowhere.h5"],
    "multipoles": ["nowhere.h5"],
    "predict": ["--hod", "mstar10.0"],
    "train": ["nowhere.h5", "--out", "{}/model.h5"],
    "evaluate": [],
    "posterior": ["--hod", "mstar10.0"],
    "minimize": ["--hod", "mstar10.0"],
}


def commands():
    """Every command by its name."""
    for name, module in _WHERE.items():
        found = import_module(f"pysoftcorr.cli.{module}").COMMANDS[name]
        if isinstance(found, Command):
            yield name, found
        else:
            for part, command in found.items():
                yield f"{name} {part}", command


ALL = dict(commands())
WITH_FIGURES = [name for name, c in ALL.items() if any(o.name == "plot" for o in c.options)]


@pytest.mark.parametrize("name", WITH_FIGURES)
def test_plot_is_looked_at_before_the_work(fails, tmp_path, name):
    words = [str(word).format(tmp_path) for word in DRAWING[name]]
    said = fails(*name.split(), *words, "--plot", tmp_path / "figure.jpg")
    assert "figure.jpg': unknown suffix; use .png, .pdf or .svg for the main figure" in said
    said = fails(*name.split(), *words, "--plot-format", "pdf")
    assert said == "error: --plot-format 'pdf': has no meaning without --plot"
    said = fails(*name.split(), *words, "--plot", tmp_path / "a.svg", "--plot-format", "pdf")
    assert "--plot-format 'pdf': contradicts --plot" in said
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def universe(tmp_path_factory):
    """Halos and galaxies."""
    from pysoftcorr.mocks import HaloCatalog, HODModel

    place = tmp_path_factory.mktemp("universe")
    halos = HaloCatalog.simulate(60.0, 32, mmin=5e11, seed=7)
    halos.write(place / "halos.h5")
    HODModel.preset("mstar10.0").populate(halos, seed=2).write(place / "galaxies.h5")
    return place


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gradient", ["--galaxies", 40, "--clusters", 6]),
        ("halos simulate", ["--boxsize", 40, "--mesh", 16, "--mmin", 1e12, "--out", "{}/h.h5"]),
        ("halos info", ["{}/halos.h5"]),
        ("mock", ["{}/halos.h5", "--preset", "mstar10.0", "--out", "{}/g.h5"]),
        ("boxcorr", ["{}/galaxies.h5", "--bins", "log:0.2:12:5"]),
        ("projected", ["{}/galaxies.h5", "--rp-bins", "log:0.2:12:5", "--pi-max", 20]),
        ("multipoles", ["{}/galaxies.h5", "--bins", "log:0.2:12:5"]),
        ("predict", ["--hod", "mstar10.0", "--passes", 2]),
        ("posterior", ["--hod", "mstar10.0", "--chains", 2, "--warmup", 30, "--draws", 30]),
        ("minimize", ["--hod", "mstar10.0", "--max-iter", 5]),
    ],
)
def test_every_command_draws_its_main_figure_or_all(run, universe, tmp_path, name, words):
    if name in ("predict", "posterior", "minimize"):
        pytest.importorskip("pyro")
    words = [str(word).format(universe) for word in words]
    overwrite = ["--overwrite"] if "--out" in words else []
    path = tmp_path / "figure.pdf"
    assert run(*name.split(), *words, *overwrite, "--plot", path)[0] == 0
    assert path.read_bytes().startswith(b"%PDF")
    place = tmp_path / "figures"
    code, _, err = run(*name.split(), *words, *overwrite, "--plot", place, "--plot-format", "svg")
    assert code == 0
    drawn = sorted(place.iterdir())
    assert drawn
    for file in drawn:
        assert file.read_bytes().startswith(b"<?xml")
        assert f"wrote {file}" in err.splitlines()


# ---------------------------------------------------------------------- wrong values
@pytest.mark.parametrize("name", [name for name in ALL if name != "julia exec"])
def test_a_value_of_the_wrong_kind_is_one_line(fails, name, monkeypatch):
    """Each option of each command, before any file is looked for."""
    monkeypatch.setenv("PYSOFTCORR_THREADS", "2")
    places = ["nowhere"] * len(ALL[name].arguments)
    for option in ALL[name].options:
        wrong = [["=perhaps"]] if option.kind is bool else []
        if option.choices or option.kind in (int, float, dict):
            wrong.append(["nonsense"])
        if option.kind is int:
            wrong += [["1.5"], ["1e3"]]
        if option.least is not None:
            wrong.append([str(option.least - 1)])
        for value in wrong:
            glued = [f"{option.flag}{value[0]}"] if option.kind is bool else [option.flag, *value]
            said = fails(*name.split(), *places, *glued)
            assert option.flag in said, said
            assert not re.search("True|False|None|NoneType|<class", said), said


# ---------------------------------------------------------------------- messages
@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("pass columns={'ra': ...}", "pass --columns ra=..."),
        (
            "Pass columns={'g1': ..., 'T' or 'sigma': ...}; x",
            "Pass --columns g1=... --columns T=... or sigma=...; x",
        ),
        ('columns={"g1": "e1 - 0.1", "w": "1/s"}', "--columns 'g1=e1 - 0.1' --columns w=1/s"),
        ("pass flag='a | b', or flag='0' to", "pass --flag 'a | b', or --flag 0 to"),
        ("pass ra_unit='rad', dec_unit=\"rad\"", "pass --ra-unit rad, --dec-unit rad"),
        ("pass ra_unit= to say", "pass --ra-unit to say"),
        ("hdu = ['A', 'B']: no", "--hdu A,B: no"),
        ("choose hdu=(1, 2) or hdu='all'", "choose --hdu 1,2 or --hdu all"),
        ("pass key= one of: a, b", "pass --key one of: a, b"),
        ("with select= when", "with --select when"),
        ("pass overwrite=True to", "pass --overwrite to"),
        ("pass flip_g1=False to", "pass --no-flip-g1 to"),
        ("or resampling=None", "or --resampling none"),
        ("assignments = 5: or assignments=0", "--assignments 5: or --assignments 0"),
        ("select: column expression 'x'", "--select: column expression 'x'"),
        ("bins 'abc': must read", "--bins 'abc': must read"),
        ("LeaveOut: fraction = 2: must", "leave-out: fraction = 2: must"),
        ("a == b and c.hdu=3", "a == b and c.hdu=3"),
    ],
)
def test_messages_are_said_in_options(message, said):
    names = [option.name for option in sky.COMMANDS["xi"].options]
    assert spoken(ValueError(message), names) == said


def test_messages_about_a_second_catalog():
    names = [option.name for option in sky.COMMANDS["wtheta"].options]
    with pytest.raises(ValueError, match="ra_unit") as caught, of_catalog("randoms", ["ra_unit"]):
        raise ValueError("pass ra_unit='rad' or bins = 3")
    assert spoken(caught.value, names) == "pass --randoms-ra-unit rad or --bins 3"
    assert spoken(ValueError("pass ra_unit='rad'"), names) == "pass --ra-unit rad"


#: Python in a message, once it is said in options.
PYTHON = re.compile(
    r"\b\w+=(?![=.]{2})['\"\w\[({]|\w+=(?=\s|$)|\bTrue\b|\bFalse\b|\bNone\b|[{\[]['\"]|\w\.\w+\(|\bnumpy\b"
)
#: Messages that no command can call forth: wrong kinds of objects, options of Python alone.
PYTHON_ALONE = re.compile(
    r"must be (a|an) \w+(Catalog|Binning)|takes only name\[k\]|seed = |must be True or False|"
    r"straight_through|rule='|derivative=True|tangents\[|start out|must be a dict|"
    r"geometry='sphere'|create_graph|torch\.func|"
    r"ellipticities must be|n=x but|data_columns=|pass x=|dtype = |\bw=\.\.\.|replace\("
)


def texts(node):
    """The text of a message, ``‹...›`` where a value stands."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.FormattedValue):
        return "‹›"
    return "".join(texts(child) for child in ast.iter_child_nodes(node))


def messages():
    places = [*(PACKAGE / "sky").rglob("*.py"), *(PACKAGE / "core").rglob("*.py")]
    for path in sorted(places):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            warned = isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "warn"
            if isinstance(node, ast.Raise) and node.exc is not None:
                yield path, node.lineno, texts(node.exc)
            elif warned:
                yield path, node.lineno, texts(node)


def test_no_message_of_the_sky_is_in_python():
    names = {option.name for command in sky.COMMANDS.values() for option in command.options}
    found, count = [], 0
    for path, line, message in messages():
        count += 1
        message = message.replace("‹›_unit", "ra_unit").replace("‹›", "x")
        said = re.sub(r"--columns \S+", "", spoken(ValueError(message), names))
        if PYTHON.search(said) and not PYTHON_ALONE.search(message):
            found.append(f"{path.name}:{line}: {said}")
    assert count > 150
    assert not found, "\n".join(found)


def test_a_catalog_whose_flags_warn_in_options(run, tmp_path):
    """The advice of the warning is what may be typed, and works."""
    rng = np.random.default_rng(1)
    table = Table({"ra": rng.uniform(10, 11, 50), "dec": rng.uniform(0, 1, 50)})
    for name in ("g1_data", "g2_data", "g1_model", "g2_model"):
        table[name] = rng.normal(0, 0.1, 50)
    table["T_data"], table["T_model"] = rng.uniform(1, 2, (2, 50))
    table["flag_data"], table["flag_model"] = rng.integers(0, 2, (2, 50))
    table.write(tmp_path / "piff.fits")
    words = ["rho", tmp_path / "piff.fits", "--clusters", 0, "--resampling", "none"]
    _, _, err = run(*words)
    said = [line for line in err.splitlines() if "flagged" in line]
    assert len(said) == 1
    assert "--flag 'flag_data | flag_model'" in said[0]
    assert "--flag 0" in said[0]
    _, out, err = run(*words, "--flag", "flag_data | flag_model", "--json")
    kept = int(np.sum((table["flag_data"] == 0) & (table["flag_model"] == 0)))
    assert json.loads(out)["settings"]["catalogs"][0]["rows"] == kept
    assert "flagged" not in err
    assert "flagged" not in run(*words, "--flag", "0")[2]
