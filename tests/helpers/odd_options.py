"""Odd texts for the options of commands, in this process, and what is wrong about the answers.

As a program: ``python -m tests.helpers.odd_options SEED CASES [COMMAND ...]``, in which CASES is
the number of each command, or all.
"""

from __future__ import annotations

import collections
import contextlib
import io
import json
import os
import random
import re
import sys
import tempfile
import warnings
from pathlib import Path

from tests.helpers.at_home import at_home

#: Texts; a folder stands for a file, and a file for a folder.
TEXTS = (
    "", " ", "nan", "inf", "-inf", "1e308", "-1e308", "1e-320", str(2**70), str(-(2**70)), "9" * 40,
    "-1", "-0.0", "0", "3.7", "1e3", "text", "été ☃", "٣", "\udcff", "1_000", "0x10", "true", ".",
    "folder", "s.fits", "s.fits/x", "/dev/null", "/dev/zero", "/proc/x.h5", "a,b", "1,2,3", "1:2",
    "nan:1", "2:1", "1e308:1e309", "log:0:9:3", "linear:0:45:1e9", "edges:1,nan", "-", "--", "'",
)  # fmt: skip
#: Of these the message may quote the text alone: it is about a file, an extension, or rows.
BY_TEXT = ("--model", "--config", "--log", "--out", "--plot", "--hdu", "--flag", "--key")
COMMANDS = {
    "predict": "--model tables.h5 --hod mstar10.5 --mu-cen 0.5 --mu-sat 0.3",
    "predict by the emulator": "--hod mstar10.5 --mu-cen 0.5 --mu-sat 0.3 --passes 2",
    "cluster": "s.fits --clusters 8 --max-iter 20",
    "universes": "--universes 1 --points 2 --chance-points 1 --boxsize 50 --mesh 32 --mmin 1e12 "
    "--thinned 5e12:0.5 --logMmin 12.2:12.5 --satellites nfw --sites 16 --bins log:1:20:3 "
    "--seed 1 --out u.h5 --overwrite",
}


def files(folder: Path) -> None:
    """What the commands read, and what stands for something else."""
    from astropy.table import Table

    from pysoftcorr import demo_stars_path, mocks

    Table.read(demo_stars_path())[:60].write(folder / "s.fits")
    halos = mocks.HaloCatalog.simulate(40.0, 32, mmin=1e12, seed=1)
    tables = mocks.HaloTables.tabulate(halos, bins=[0.5, 2, 9], nodes=4, sites=8, progress=False)
    tables.write(folder / "tables.h5")
    (folder / "folder").mkdir()


def options(name: str):
    """Options of a command that take a text."""
    from importlib import import_module

    from pysoftcorr.cli.app import _WHERE

    command = import_module(f"pysoftcorr.cli.{_WHERE[name]}").COMMANDS[name]
    found = [(option.flag, option.name) for option in command.options if option.kind is not bool]
    return [*found, ("--config", "config"), ("--log", "log")]


def cases(name: str):
    """Command line, the option, and its text."""
    command = name.partition(" ")[0]
    for flag, _ in options(command):
        for text in TEXTS:
            yield [command, *COMMANDS[name].split(), f"{flag}={text}"], flag, text


def answer(words: list[str]) -> tuple[object, str, str]:
    """Exit status, what is on stdout, and what is on stderr."""
    from pysoftcorr.cli import main

    out, err, code = io.StringIO(), io.StringIO(), None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), at_home():
        try:
            main(words)
        except SystemExit as left:
            code = left.code
        except Exception as error:
            code = f"{type(error).__name__}: {error}"
    return code, out.getvalue(), err.getvalue()


def fault(words: list[str], flag: str, text: str) -> tuple[str, str]:
    """What is wrong about an answer, empty if nothing, and whether it was "refused" or "taken"."""
    code, out, err = answer([*words, "--json"])
    if code == 0:
        try:
            json.loads(out, parse_constant=lambda text: float("x"))
        except ValueError:
            return "no JSON", "taken"
        return "", "taken"
    lines = [line for line in err.splitlines() if not line.startswith("warning: ")]
    if code != 2:
        return f"status {code}: {err}", "refused"
    if len(lines) != 1 or not lines[0].startswith("error: ") or out:
        return f"{len(lines)} lines: {err}", "refused"
    named = flag in BY_TEXT and text.strip() and text in lines[0]
    if not (named or re.search(rf"(?<![\w-]){flag}(?![\w-])", lines[0])):
        return f"unnamed: {lines[0]}", "refused"
    return "", "refused"


@contextlib.contextmanager
def in_a_folder():
    """A folder of its own with the files, in which the commands run."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        files(Path(place))
        os.chdir(place)
        try:
            yield Path(place)
        finally:
            os.chdir(before)


def main(seed: str, number: str, *names: str) -> None:
    """Go through cases of commands and print those that are bad, and a count."""
    count: collections.Counter[str] = collections.Counter()
    with in_a_folder():
        for name in names or COMMANDS:
            every = list(cases(name))
            random.Random(int(seed)).shuffle(every)
            for words, flag, text in every if number == "all" else every[: int(number)]:
                bad, word = fault(words, flag, text)
                count[word] += 1
                if bad:
                    count["bad"] += 1
                    print(f"{name} {flag}={text!a}: {bad[-400:]!a}", flush=True)
            print(name, dict(count), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
