"""Options of the commands: what is derived from a function, and that every command has help."""

from __future__ import annotations

import importlib
import inspect

import pytest

from pysoftcorr.cli.app import _GROUPS, _WHERE
from pysoftcorr.cli.options import Command, Option, derive, resolve, summary
from pysoftcorr.sky.clustering import SoftClustering
from pysoftcorr.sky.correlation import rho_statistics


def commands():
    for name, module in _WHERE.items():
        found = importlib.import_module(f"pysoftcorr.cli.{module}").COMMANDS[name]
        if isinstance(found, Command):
            yield name, found
        else:
            for part, command in found.items():
                yield f"{name} {part}", command


ALL = dict(commands())


def test_signature_and_docstring_give_the_option():
    made = {o.name: o for o in derive("pysoftcorr.sky.correlation:rho_statistics", skip=("stars",))}
    signature = inspect.signature(rho_statistics)
    assert list(made) == list(signature.parameters)[1:]
    assert made["assignment"].choices == ("greedy", "sampled", "soft")
    assert made["assignment"].default == "greedy"
    assert (made["assignments"].kind, made["assignments"].default) == (int, 0)
    assert (made["bins"].kind, made["bins"].shown) == (str, "BINS")
    assert made["resampling"].shown == "METHOD:N"
    assert made["seed"].kind is int
    assert made["reference"].help == "Whose ellipticity and size e and T are."


def test_fields_of_a_dataclass_are_options():
    made = {o.name: o for o in derive("pysoftcorr.sky.clustering:SoftClustering")}
    assert list(made) == list(inspect.signature(SoftClustering).parameters)
    assert (made["tol"].kind, made["tol"].default) == (float, 1e-8)
    assert (made["accelerate"].kind, made["accelerate"].default) == (bool, True)


def test_attributes_of_a_dataclass_are_help():
    (mesh,) = derive("pysoftcorr.diffhod.experiments.settings:PowerSettings", only=("mesh",))
    assert (mesh.kind, mesh.default, mesh.help) == (int, 64, "Cells a side, for both.")


def test_changes_and_names():
    (seed, clusters) = derive(
        "pysoftcorr.sky.clustering:SoftClustering",
        only=("seed", "n_clusters"),
        seed=1,
        n_clusters={"name": "clusters", "least": 1, "help": "Number."},
    )
    assert (seed.default, seed.flag) == (1, "--seed")
    assert (clusters.name, clusters.least, clusters.help) == ("clusters", 1, "Number.")


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("pysoftcorr.sky.nowhere:f", {}, "no module pysoftcorr.sky.nowhere"),
        ("pysoftcorr.sky.binning:Nothing", {}, "no pysoftcorr.sky.binning:Nothing"),
        ("pysoftcorr.sky.binning:Binning.linear", {"only": ("lo", "size")}, "no argument 'size'"),
        ("pysoftcorr.sky.binning:Binning.linear", {"skip": ("size",)}, "no argument 'size'"),
        ("pysoftcorr.sky.binning:Binning.linear", {"size": 3}, "no argument 'size'"),
        ("pysoftcorr.sky.binning:Binning.linear", {"only": ("lo",)}, "no help for 'lo'"),
    ],
)
def test_what_is_not_there_is_named(target, options, message):
    with pytest.raises(LookupError, match=message):
        derive(target, **options)


@pytest.mark.parametrize("name", ALL)
def test_every_option_is_documented_once(name):
    command = ALL[name]
    names = [option.name for option in command.options]
    assert len(set(names)) == len(names)
    for option in command.options:
        assert option.help.endswith((".", "]", "...", ")")), (option.name, option.help)
        assert "True" not in option.help
        assert "None" not in option.help
        if option.choices and option.default is not None:
            assert option.default in option.choices
        if option.default is not None:
            assert option.checked(option.default, "--") == option.default


@pytest.mark.parametrize("name", ALL)
def test_empty_texts_are_refused_by_name(name):
    """Before, --out '' was refused for the missing suffix of the current folder."""
    for option in ALL[name].options:
        if option.kind in (str, list):
            for text in ("", " "):
                with pytest.raises(ValueError, match=f"^--{option.name}: .*empty"):
                    option.parsed(text)


@pytest.mark.parametrize("name", ALL)
def test_help_of_every_command(run, name):
    code, out, _ = run(*name.split(), "--help")
    assert code == 0
    words = " ".join(out.split())
    assert inspect.getdoc(ALL[name].work).splitlines()[0].split("  ")[0][:40] in words
    for option in ALL[name].options:
        assert option.flag in out


def test_the_list_of_commands_has_a_line_for_each(run):
    out = run("--help")[1]
    for name, module in _WHERE.items():
        words = _GROUPS.get(name) or summary(f"pysoftcorr.cli.{module}", name)
        assert words
        assert f"  {name} " in out
        assert words[:30] in out


def test_options_before_the_command(run):
    assert run("--version", "rho")[0] == 0
    code, _, err = run("--nonsense", "rho")
    assert code == 2
    assert "--nonsense" in err


def test_settings_of_a_file_give_way():
    options = (Option("n", int, 3, "Number."), Option("x", float, 0.5, "Other."))
    assert resolve(options, {"n": "4", "x": None}, None) == ({"n": 4, "x": 0.5}, {"n"})
