"""The command line itself: its commands, their options made of the table of settings."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from pysoftcorr.cli import campaign, commands, diffhod, emulator, inference, mocks, training
from pysoftcorr.cli.messages import forget_stdout, one_line_errors, one_line_warnings, say
from pysoftcorr.cli.settings import COMMANDS, Setting
from pysoftcorr.core.version import __version__

app = typer.Typer(
    name="softcorr",
    help="Correlation functions with both error bars, of soft clusters and of all pairs.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
julia = typer.Typer(help="Julia: its runtime, and the package SoftCorr.", rich_markup_mode=None)
app.add_typer(julia, name="julia")
halos = typer.Typer(help="Halos of a mock universe.", rich_markup_mode=None)
app.add_typer(halos, name="halos")

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@app.callback(invoke_without_command=True)
def top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Correlation functions with both error bars, of soft clusters and of all pairs."""
    if version:
        typer.echo(f"softcorr {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


def run(arguments: list[str]) -> int:
    """Run a command line; gives the exit status."""
    try:
        status = typer.main.get_command(app)(arguments, prog_name="softcorr", standalone_mode=False)
        sys.stdout.flush()
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else 1
    except BrokenPipeError:
        forget_stdout()
        return 0
    except KeyboardInterrupt:
        say("interrupted", "nothing was done")
        return 130
    except Exception as error:
        # The parser's own errors; they are of one class or another by typer's version.
        if type(error).__name__ == "Abort":
            say("interrupted", "nothing was done")
            return 130
        if not hasattr(error, "format_message"):
            raise
        context = getattr(error, "ctx", None)
        where = context.command_path if context is not None else "softcorr"
        message = " ".join(error.format_message().split())
        say("error", f"{message.rstrip('.')}. Try '{where} --help'")
        return 2
    return status if isinstance(status, int) else 0


def _option(setting: Setting) -> inspect.Parameter:
    """A setting as a parameter that typer makes an option of; None where it is not given."""
    # Numbers come as text: every version of typer refuses a wrong one in words of its own.
    kind: Any = {dict: list[str], bool: bool}.get(setting.kind, str)
    metavar = setting.metavar or {int: "N", float: "X", str: "TEXT"}.get(setting.kind)
    help_ = setting.help
    if setting.choices:
        metavar = "|".join(setting.choices)
    default = setting.default
    if default not in (None, {}, False):  # 0 is equal to False
        help_ += f" [default: {'yes' if default is True else default}]"
    names = [setting.option]
    if setting.kind is bool:
        names = [f"{setting.option}/--no-{setting.option[2:]}"]
    option = typer.Option(*names, help=help_, metavar=metavar, show_default=False)
    return inspect.Parameter(
        setting.name,
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[kind | None, option],
        default=None,
    )


def _command(
    name: str,
    function: Callable[..., None],
    *catalogs: tuple[str, ...],
    group: typer.Typer = app,
) -> None:
    """Make a command of a function of its catalogs, its settings and the common options.

    A catalog is its name, its help and, where it need not be given, what it is by default.
    """
    common = {
        "config": Annotated[
            str | None,
            typer.Option(metavar="FILE", help="Settings from a YAML file; options win over it."),
        ],
        "json": Json,
        "debug": Debug,
    }

    def command(**values: Any) -> None:
        paths = [values.pop(label) for label, *_ in catalogs]
        rest = {key: values.pop(key) for key in common}
        with one_line_errors(debug=rest["debug"]), one_line_warnings():
            function(paths, values, config=rest["config"], as_json=rest["json"])

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter(
            label,
            keyword,
            annotation=Annotated[str, typer.Argument(metavar=label.upper(), help=text)],
            default=default[0] if default else inspect.Parameter.empty,
        )
        for label, text, *default in catalogs
    ]
    parameters += [_option(setting) for setting in COMMANDS[name]]
    defaults = {"config": None, "json": False, "debug": False}
    parameters += [
        inspect.Parameter(key, keyword, annotation=annotation, default=defaults[key])
        for key, annotation in common.items()
    ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    command.__doc__ = function.__doc__
    command.__name__ = name
    group.command(name.split()[-1])(command)


_command("rho", commands.rho, ("catalog", "Stars and PSF model: FITS, HDF5, Parquet, text."))
_command("xi", commands.xi, ("catalog", "Positions and shears."))
_command("wtheta", commands.wtheta, ("data", "Positions."), ("randoms", "Random points."))
_command("cluster", commands.cluster, ("catalog", "Positions."))
_command("gradient", commands.gradient)
COMMANDS.update(mocks.SETTINGS)
_HALOS = ("halos", "Halos: of simulate, halotools (HDF5), Rockstar (text), or a table.")
_command("halos simulate", mocks.simulate, group=halos)
_command("halos info", mocks.info, _HALOS, group=halos)
_command("mock", mocks.mock, _HALOS)
_command("boxcorr", mocks.boxcorr, ("galaxies", "Galaxies, as mock writes them."))
COMMANDS.update(campaign.SETTINGS)
_command("campaign", campaign.campaign, _HALOS)
COMMANDS.update(diffhod.SETTINGS)
_command("diffhod", diffhod.diffhod, _HALOS)
COMMANDS.update(emulator.SETTINGS)
_command("predict", emulator.predict)
COMMANDS.update(training.SETTINGS)
_command("train", training.train, ("data", "A campaign, or a split of one."))
_command(
    "evaluate",
    training.evaluate,
    ("model", "An emulator, or the word shipped.", training.SHIPPED),
    ("data", "A campaign, or a part of one; or the word shipped.", training.SHIPPED),
)
COMMANDS.update(inference.SETTINGS)
_command("posterior", inference.posterior)
_command("minimize", inference.minimize)


@app.command()
def demo(
    out: Annotated[
        str, typer.Option(metavar="DIR", help="Folder of the figures and of the result.")
    ] = "demo-output",
    threads: Annotated[int | None, typer.Option(help="Threads; every core by default.")] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """The main job on a small simulated star catalog: rho statistics with both errors."""
    with one_line_errors(debug=debug), one_line_warnings():
        commands.demo(out, threads=threads, as_json=json)


@julia.command("install")
def julia_install(
    prefix: Annotated[str | None, typer.Option(metavar="DIR", help="Where to put it.")] = None,
    method: Annotated[str, typer.Option(help="auto, juliacall or debian.")] = "auto",
    force: Annotated[bool, typer.Option("--force", help="Install again.")] = False,
    image: Annotated[
        bool, typer.Option("--image/--no-image", help="Compile ahead of time (minutes, once).")
    ] = True,
    debug: Debug = False,
) -> None:
    """Get a Julia runtime; may be run again at any time."""
    with one_line_errors(debug=debug):
        commands.julia_install(prefix=prefix, method=method, force=force, image=image)


@julia.command("compile")
def julia_compile(
    force: Annotated[bool, typer.Option("--force", help="Compile again.")] = False,
    debug: Debug = False,
) -> None:
    """Compile ahead of time, so that later starts take a second."""
    with one_line_errors(debug=debug):
        commands.julia_compile(force=force)


@julia.command("status")
def julia_status(json: Json = False, debug: Debug = False) -> None:
    """Start Julia and describe it."""
    with one_line_errors(debug=debug):
        commands.julia_status(as_json=json)


@julia.command("path")
def julia_path(debug: Debug = False) -> None:
    """Print the folder of the Julia package SoftCorr, for Pkg.develop(path="...")."""
    with one_line_errors(debug=debug):
        commands.julia_path()


@julia.command(
    "exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
def julia_exec(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ARGUMENT",
            help="As the command julia takes them: options, a script and its arguments.",
        ),
    ] = None,
) -> None:
    """Run Julia with SoftCorr on its load path: a script, or -e 'using SoftCorr; ...'."""
    with one_line_errors():
        commands.julia_exec(arguments or [])
