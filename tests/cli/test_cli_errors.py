"""The command line with bad input: one line on stderr that says how to mend it, and status 2."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table

from pysoftcorr import demo_stars_path
from pysoftcorr.cli import main
from pysoftcorr.cli.messages import spoken

SMALL = ["--clusters", "10", "--assignments", "4", "--resampling", "bootstrap:4",
         "--bins", "linear:0:40:4"]  # fmt: skip


@pytest.fixture(scope="module")
def table():
    return Table.read(demo_stars_path())[:40]


@pytest.fixture
def file(tmp_path, table):
    """Write some of the stars, perhaps with other columns, and give the path."""

    def inner(rows=slice(None), **columns):
        part = table[rows].copy()
        for name, values in columns.items():
            if values is None:
                part.remove_column(name)
            else:
                part[name] = values
        path = tmp_path / "stars.fits"
        part.write(path, overwrite=True)
        return str(path)

    return inner


@pytest.fixture
def fails(capsys):
    """Run a command that must fail in one line; gives the line."""

    def inner(*arguments, code=2):
        with pytest.raises(SystemExit) as left:
            main([str(a) for a in arguments])
        said = capsys.readouterr()
        assert left.value.code == code, said.err
        assert said.out == ""
        lines = said.err.strip().splitlines()
        errors = [line for line in lines if not line.startswith("warning: ")]
        assert len(errors) == 1, said.err
        assert errors[0].startswith("error: ")
        return errors[0]

    return inner


def with_nan(table):
    values = np.array(table["g1_vignet"])
    values[[3, 7]] = np.nan
    return values


# ---------------------------------------------------------------------- catalogs
def test_missing_file_and_a_similar_one(fails, file, tmp_path):
    file()
    line = fails("rho", tmp_path / "star.fits")
    assert "no such catalog" in line
    assert "stars.fits" in line


def test_missing_column_offers_the_nearest(fails, file):
    line = fails("rho", file(), "--columns", "g1=g1_vinet")
    assert "no column 'g1_vinet'" in line
    assert "did you mean g1_vignet" in line


def test_unknown_naming_says_which_option_to_give(fails, file):
    line = fails("rho", file(sig_psfex=None))
    assert "sig_psfex" in line
    assert "--columns" in line
    assert "columns={" not in line


def test_unknown_field_and_no_pair(fails, file):
    assert "unknown key 'q1'" in fails("rho", file(), "--columns", "q1=g1_vignet")
    assert "FIELD=COLUMN" in fails("rho", file(), "--columns", "g1_vignet")
    assert "given twice" in fails("rho", file(), "--columns", "g1=a", "--columns", "g1=b")


def test_refused_expression_is_told_in_one_line(fails, file):
    line = fails("rho", file(), "--columns", "g1=__import__('os').getcwd()")
    assert "calls what is not allowed" in line
    assert "^^" not in line


def test_empty_catalog(fails, file):
    assert "empty" in fails("rho", file(slice(0, 0)))
    assert "no row" in fails("rho", file(), "--select", "ra > 300").replace("empty", "no row")


def test_one_object(fails, file):
    assert "more than the 1 objects" in fails("rho", file(slice(0, 1)))
    one = file(slice(0, 1))
    assert "at least two" in fails("rho", one, "--clusters", 0, "--resampling", "none")


def test_nan_with_and_without_on_bad(fails, file, table, capsys):
    path = file(g1_vignet=with_nan(table))
    line = fails("rho", path, *SMALL)
    assert "g1_vignet" in line
    assert "--on-bad drop" in line
    with pytest.raises(SystemExit) as left:
        main(["rho", path, *SMALL, "--on-bad", "drop", "--json"])
    said = capsys.readouterr()
    assert left.value.code == 0, said.err
    assert "warning: dropped 2 of 40 rows" in said.err
    assert json.loads(said.out)["settings"]["catalogs"][0]["rows"] == 38


def test_wrong_unit(fails, file, table):
    assert "dec" in fails("rho", file(dec=np.array(table["dec"]) * 60))
    assert "--ra-unit" in fails("rho", file(), "--ra-unit", "rad", "--dec-unit", "deg")
    assert "no unit of an angle" in fails("rho", file(), "--ra-unit", "parsec")


ALL_PAIRS = ["--clusters", "0", "--resampling", "none", "--bins", "linear:0:40:2"]


@pytest.fixture
def warns(capsys):
    """Run a command that must succeed with warnings; gives them, and repeats none."""

    def inner(*arguments):
        with pytest.raises(SystemExit) as left:
            main([str(a) for a in (*arguments, *ALL_PAIRS)])
        assert not left.value.code
        lines = capsys.readouterr().err.strip().splitlines()
        assert all(line.startswith("warning: ") for line in lines)
        assert len(set(lines)) == len(lines)
        return "\n".join(lines)

    return inner


#: What belongs to Python and to no command line.
PYTHON = re.compile(r"\w+=['\"{]|columns=\{|\bNone\b|\bTrue\b|\bFalse\b|replace\(")


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        (("ra=15*ra",), "say the unit of the result, as --ra-unit deg does"),
        (("ra=ra*pi/180",), "into rad: pass --ra-unit rad"),
        (("dec=dec + x", "ra=ra"), "scale one of them to the other's unit"),
        (("ra=x",), "Pass --columns dec=... too"),
        (("g1=ra",), "Pass --columns g2=... too"),
        (("T=ra",), "Pass --columns T_model=... too"),
        (("ra=dec", "dec=ra"), "are ra and dec swapped"),
        (("w=x in dec",), "in takes a list of constants in brackets"),
        (("w=x | 1",), "needs whole numbers"),
    ],
)
def test_columns_that_are_refused(fails, file, columns, says):
    options = [part for text in columns for part in ("--columns", text)]
    line = fails("rho", file(), *options, *ALL_PAIRS)
    assert says in line
    assert not PYTHON.search(line), line


def test_names_of_two_conventions(fails, file, table):
    line = fails("rho", file(ra=None, RAJ2000=np.array(table["ra"])))
    assert "pass --columns ra=RAJ2000 --columns dec=dec" in line
    assert not PYTHON.search(line), line


def test_doubts_are_said_as_options(warns, file, table):
    zero, ra, dec = np.zeros(40), np.array(table["ra"]), np.array(table["dec"])
    some = np.where(np.arange(40) < 3, 0, ra), np.where(np.arange(40) < 3, 0, dec)
    bits = MaskedColumn(np.arange(40), mask=np.arange(40) % 7 == 0)
    for columns, options, says in (
        ({"ra": zero, "dec": zero}, (), "--columns ra=... --columns dec=..."),
        ({"ra": np.deg2rad(ra), "dec": np.deg2rad(dec)}, (), "--ra-unit rad, --dec-unit rad"),
        ({"ra": some[0], "dec": some[1]}, (), "--select 'ra != 0 or dec != 0'"),
        ({"fl": bits}, ("--select", "fl & 6 == 0"), "--select '(fl & 6 == 0) or not isfinite(fl)'"),
        ({"fl": bits}, ("--flag", "fl & 6"), "--flag 'where(isfinite(fl), fl & 6, 0)'"),
    ):
        text = warns("rho", file(**columns), *options)
        assert says in text
        assert not PYTHON.search(text), text


def test_flags_are_pointed_out_in_words_that_a_shell_takes(warns, file, table):
    names = {"g1_vignet": "E1_STAR_HSM", "g2_vignet": "E2_STAR_HSM", "sig_vignet": "SIGMA_STAR_HSM"}
    names |= {"g1_psfex": "E1_PSF_HSM", "g2_psfex": "E2_PSF_HSM", "sig_psfex": "SIGMA_PSF_HSM"}
    columns = dict.fromkeys(names) | {new: np.array(table[old]) for old, new in names.items()}
    columns |= {"FLAG_STAR_HSM": np.arange(40) % 2 * 1.0, "FLAG_PSF_HSM": np.zeros(40)}
    path = file(**columns)
    text = warns("rho", path)
    assert not PYTHON.search(text), text
    (line,) = text.splitlines()
    advice = shlex.split(line.split("pass ")[1].split(" to leave")[0])
    assert advice == ["--flag", "(FLAG_STAR_HSM != 0) | (FLAG_PSF_HSM != 0)"]
    assert warns("rho", path, *advice) == ""
    assert warns("rho", path, "--flag", "0") == ""


def test_mappings_of_columns_are_said_as_options():
    for text, words in (
        ("pass columns={'g1': 'e1', 'g2': 'e2'}.", "pass --columns g1=e1 --columns g2=e2."),
        ("columns={'w': ...} too", "--columns w=... too"),
        ("columns={'ra': '15*h'}", "--columns 'ra=15*h'"),
        ("columns={'w': \"where(b == 'r', 1, 0)\"}", "where(b == "),
        ("columns={'T' or 'sigma': ...}", "--columns T=... or sigma=..."),
    ):
        said = spoken(ValueError(text), ())
        assert words in said
        assert "{" not in said


def test_weights(fails, file):
    negative = fails("rho", file(), "--columns", "w=-1 + 0*ra", "--clusters", 10)
    assert "w must not be negative (clusters are weighted means); it is in rows 0 (-1)" in negative
    assert "take all pairs of objects, --clusters 0" in negative
    assert "zero in every row" in fails("rho", file(), "--columns", "w=0*ra")


def test_no_shears(fails, file):
    said = fails("xi", file(), "--clusters", 0)
    assert "no known columns of shears; name them, --columns g1=... --columns g2=..." in said


def test_no_table_in_the_file(fails, tmp_path):
    path = tmp_path / "noise.fits"
    path.write_bytes(b"SIMPLE  = nonsense")
    assert "cannot be read as FITS" in fails("rho", path)
    assert "is a folder" in fails("rho", tmp_path)


# ---------------------------------------------------------------------- settings
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--clusters", 41), "--clusters 41: more than the 40 objects"),
        (("--clusters", -1), "at least 0"),
        (("--clusters", "many"), "--clusters 'many': must be a whole number"),
        (("--clusters", 5.5), "must be a whole number"),
        (("--fuzziness", "two"), "--fuzziness 'two': must be a number"),
        (("--fuzziness", 1), "--fuzziness 1.0: must be finite and above 1"),
        (("--fuzziness", 0.5), "above 1"),
        (("--fuzziness", "nan"), "above 1"),
        (("--bins", "linear:45:0:8"), "bins must increase"),
        (("--bins", "edges:0,5,5"), "bins must increase"),
        (("--bins", "45"), "must read"),
        (("--bins", "log:0:45:8"), "lo > 0"),
        (("--unit", "parsec"), "must be one of"),
        (("--assignments", 1), "--assignments 1: must be 0 (none) or at least 2"),
        (("--clusters", 0, "--assignments", 5), "ask for clusters too"),
        (("--resampling", "leave-out:1.5"), "between 0 and 1"),
        (("--resampling", "boots"), "--resampling 'boots': must be"),
        (("--resampling", "jackknife:41"), "more than the 40 objects"),
        (("--assignment", "random"), "must be one of greedy, sampled, soft"),
        (("--metric", "torus"), "must be one of"),
        (("--reference", "moon"), "must be one of star, model"),
        (("--on-bad", "keep"), "must be one of error, drop"),
        (("--seed", -1), "at least 0"),
        (("--threads", 0), "at least 1"),
        (("--hdu", 7), "no HDU"),
        (("--method", "treecorr", "--clusters", 5), "takes all pairs of objects; leave out"),
        (("--cluster", 7), "--cluster"),
    ],
)
def test_settings_that_are_not_possible(fails, file, options, says, monkeypatch):
    monkeypatch.setenv("PYSOFTCORR_THREADS", "2")
    assert says in fails("rho", file(), *SMALL[:2], *SMALL[-2:], *options)


def test_clusters_of_the_cluster_command(fails, file):
    assert "at least one cluster" in fails("cluster", file(), "--clusters", 0)


def test_usage(fails):
    assert "--help" in fails("rho")
    assert "nonsense" in fails("nonsense")
    assert "--method: 'sideways'" in fails("julia", "install", "--method", "sideways")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("clutsers: 5", "unknown key 'clutsers'; did you mean clusters"),
        ("clusters: 5\nclusters: 6", "clusters is given twice"),
        ("on_bad: drop\non-bad: drop", "on_bad is given twice"),
        ("clusters: five", "clusters: 'five' must be a whole number"),
        ("clusters: 5.5", "must be a whole number"),
        ("clusters: true", "must be a whole number"),
        ("fuzziness: '2'", "fuzziness: '2' must be a number"),
        ("flip_g1: 1", "flip_g1: 1 must be true or false"),
        ("columns: [ra, dec]", "must be a mapping"),
        ("columns: {g1: 5}", "must be a field and a column"),
        ("on_bad: keep", "must be one of error, drop"),
        ("json: true", "unknown key 'json'"),
        ("- clusters", "must hold 'setting: value' lines"),
        ("clusters: [1", "is no YAML at line"),
        ("!!python/object/apply:os.getcwd []", "is no YAML"),
    ],
)
def test_yaml_file(fails, file, tmp_path, text, says):
    config = tmp_path / "settings.yaml"
    config.write_text(text)
    assert says in fails("rho", file(), "--config", config)


def test_no_yaml_file(fails, file, tmp_path):
    assert "no such settings file" in fails("rho", file(), "--config", tmp_path / "none.yaml")


# ---------------------------------------------------------------------- output
def places(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    return [
        ("--out", tmp_path / "none" / "rho.h5", "there is no folder"),
        ("--out", tmp_path / "file" / "rho.h5", "not a folder"),
        ("--out", tmp_path / "rho.txt", "unknown suffix"),
        ("--out", tmp_path, "unknown suffix"),
        ("--plot", tmp_path / "file", "not a folder"),
        ("--plot", tmp_path / "file" / "figures", "not a folder"),
    ]


def test_output_is_looked_at_before_the_work(fails, file, tmp_path, monkeypatch):
    from pysoftcorr.cli import sky

    def never(*_):
        raise AssertionError("the work had begun")

    monkeypatch.setattr(sky, "measure", never)
    for option, place, says in places(tmp_path):
        assert says in fails("rho", file(), option, place)


def test_output_of_the_other_commands(fails, file, tmp_path):
    assert "use .fits, .fits.gz, .h5 or .hdf5" in fails(
        "cluster", file(), "--out", tmp_path / "members.ecsv"
    )
    (tmp_path / "file").write_text("not a folder")
    assert "not a folder" in fails("demo", "--out", tmp_path / "file")


def test_a_folder_that_may_not_be_written_in(fails, file, monkeypatch, tmp_path):
    def refuse(self, *_, **__):
        raise PermissionError(13, "Permission denied", str(self))

    path = file()
    monkeypatch.setattr(Path, "touch", refuse)
    line = fails("rho", path, "--plot", tmp_path / "figures")
    assert "cannot write there (Permission denied)" in line


# ---------------------------------------------------------------------- our own faults
def test_our_own_fault_is_one_line_and_status_1(file, monkeypatch, capsys):
    from pysoftcorr.cli import sky

    def broken(*_):
        raise ZeroDivisionError("what now")

    monkeypatch.setattr(sky, "measure", broken)
    for more in ([], ["--debug"]):
        with pytest.raises(SystemExit) as left:
            main(["rho", file(), *more])
        said = capsys.readouterr()
        assert left.value.code == 1
        assert said.err.strip().splitlines()[-1].startswith("internal error: ZeroDivisionError")
        assert ("Traceback" in said.err) is bool(more)


def test_debug_shows_where(file, capsys):
    with pytest.raises(SystemExit) as left:
        main(["rho", file(), "--fuzziness", "1", "--debug"])
    assert left.value.code == 2
    assert "Traceback" in capsys.readouterr().err


def test_interrupted_work(file, monkeypatch, capsys):
    from pysoftcorr.cli import sky

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sky, "measure", stopped)
    with pytest.raises(SystemExit) as left:
        main(["rho", file()])
    assert left.value.code == 130
    assert capsys.readouterr().err == "interrupted: the work was not finished\n"


def test_no_julia_names_the_command_that_fixes_it(fresh, file, tmp_path):
    done = fresh(
        f"from pysoftcorr.cli import main; main(['rho', {file()!r}, '--clusters', '5'])",
        ok=False,
        PYSOFTCORR_JULIA_HOST="libjulia",
        PYSOFTCORR_JULIA=str(tmp_path / "nowhere"),
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert "softcorr julia install" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("missing", "arguments"),
    [
        ("torch", ("predict", "--hod", "mstar10.0")),
        ("torch", ("evaluate",)),
        ("torch", ("train", "x.h5", "--out", "y.h5")),
        ("torch", ("diffhod", "x.h5", "--out", "folder")),
        ("pyro", ("posterior", "--hod", "mstar10.0")),
        ("pyro", ("minimize", "--hod", "mstar10.0")),
    ],
)
def test_a_missing_extra_is_one_line(fresh, tmp_path, missing, arguments):
    done = fresh(
        f"""
        import sys

        class Without:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] == {missing!r}:
                    raise ModuleNotFoundError(name, name=name)

        sys.meta_path.insert(0, Without())
        from pysoftcorr.cli import main
        main({list(arguments)!r})
        """,
        ok=False,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert f"needs {missing}; install it with: pip install 'pysoftcorr[torch]'" in done.stderr


def test_treecorr_missing_is_one_line(fresh, file):
    done = fresh(
        "import sys; sys.modules['treecorr'] = None\n"
        f"from pysoftcorr.cli import main; main(['rho', {file()!r}, '--method', 'treecorr'])",
        ok=False,
    )
    assert done.returncode == 2
    assert "needs treecorr; install it with: pip install 'pysoftcorr[treecorr]'" in done.stderr
