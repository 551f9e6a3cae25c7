"""The command line itself: each command is made when it is called."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from typing import Annotated, Any

import typer

from pysoftcorr.cli.messages import (
    INTERRUPTED,
    forget_stdout,
    logged,
    one_line_errors,
    one_line_warnings,
    record,
    say,
    silence,
)
from pysoftcorr.cli.options import Command, Option, resolve, summary
from pysoftcorr.cli.output import only_json
from pysoftcorr.core.documents import json_text
from pysoftcorr.core.version import __version__

#: Module of each command; those of the modules are in their ``COMMANDS``.
_WHERE = {
    "rho": "sky", "xi": "sky", "wtheta": "sky", "gammat": "sky", "tau": "tau",
    "cluster": "cluster",
    "gradient": "gradient",
    "tabulate": "tabulate",
    "halos": "mocks", "mock": "mocks", "boxcorr": "mocks", "campaign": "mocks",
    "universes": "universes",
    "projected": "anisotropic", "multipoles": "anisotropic",
    "predict": "emulator", "train": "emulator", "evaluate": "emulator",
    "posterior": "inference", "minimize": "inference", "diffhod": "diffhod",
    "demo": "sky", "julia": "julia",
}  # fmt: skip
_GROUPS = {
    "halos": "Halos of a mock universe.",
    "julia": "Julia: its runtime, and the package SoftCorr.",
}
_PLAIN: dict[str, Any] = {"rich_markup_mode": None, "pretty_exceptions_enable": False}
_HELP = {"help_option_names": ["-h", "--help"]}

Quiet = Annotated[bool, typer.Option("--quiet", help="No warnings, progress or names of files "
                                     "written; errors stay.")]  # fmt: skip
Log = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Append to this file: the command line, version, settings "
                 "with the seed, and every message, with the time."),
]  # fmt: skip
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Config = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Settings from a YAML file; options win over it."),
]


def run(arguments: list[str]) -> int:
    """Run a command line; gives the exit status."""
    try:
        app = _plain_arguments(typer.main.get_command(_app(_completed() or arguments)))
        status = app(arguments, prog_name="softcorr", standalone_mode=False)
        sys.stdout.flush()
        if status == INTERRUPTED:  # some versions of typer give this status without a word
            raise KeyboardInterrupt
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else 1
    except BrokenPipeError:
        forget_stdout()
        return 0
    except KeyboardInterrupt:
        say("interrupted", "nothing was done")
        return INTERRUPTED
    except Exception as error:
        # The parser's own errors; they are of one class or another by typer's version.
        if type(error).__name__ == "Abort":
            say("interrupted", "nothing was done")
            return INTERRUPTED
        if not hasattr(error, "format_message"):
            raise
        context = getattr(error, "ctx", None)
        where = context.command_path if context is not None else "softcorr"
        message = " ".join(error.format_message().split()).rstrip(".")
        if message.startswith("Got unexpected extra argument"):
            message += "; put several files of one catalog in quotes, as 'chips/*.fits'"
        said = f"{message}. Try '{where} --help'"
        file = _log_of(arguments)
        with one_line_errors(), logged(file, arguments) if file else nullcontext():
            say("error", said)
            raise SystemExit(2) from None
    return status if isinstance(status, int) else 0


def _plain_arguments(command: Any) -> Any:
    """The command without ``<str>`` behind its arguments, as some versions of typer have it."""
    for part in getattr(command, "commands", {}).values():
        _plain_arguments(part)
    for one in command.params:
        if one.param_type_name == "argument" and hasattr(one, "display_type_rich"):
            one.display_type_rich = lambda ctx: None
    return command


def _app(arguments: list[str]) -> typer.Typer:
    """The application, whole but for the commands that are not called: these are names."""
    called = next((text for text in arguments if not text.startswith("-")), None)
    app = typer.Typer(name="softcorr", callback=_top, context_settings=_HELP, **_PLAIN,
                      invoke_without_command=True)  # fmt: skip
    for name, module in _WHERE.items():
        if name != called:
            words = summary(f"pysoftcorr.cli.{module}", name) if called is None else ""
            app.command(name, help=_GROUPS.get(name, words))(_not_called)
            continue
        found = importlib.import_module(f"pysoftcorr.cli.{module}").COMMANDS[name]
        if isinstance(found, Command):
            _add(app, name, found, arguments)
            continue
        group = typer.Typer(help=_GROUPS[name], **_PLAIN)
        for part, command in found.items():
            _add(group, part, command, arguments)
        app.add_typer(group, name=name)
    return app


def _not_called() -> None:
    """Stand for a command that this command line does not call."""


def _top(
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


def _completed() -> list[str]:
    """What a shell that asks for completions has on its line; empty where none asks."""
    if "_SOFTCORR_COMPLETE" not in os.environ:
        return []
    os.environ["TERMINAL_WIDTH"] = "1000"  # each explanation in one line
    line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")
    return line.split()[1:]


def _log_of(arguments: list[str]) -> str | None:
    """The file of --log, of a command line that cannot be read otherwise."""
    for place, text in enumerate(arguments):
        if text.startswith("--log="):
            return text.removeprefix("--log=")
        if text == "--log" and place + 1 < len(arguments):
            return arguments[place + 1]
    return None


def _add(app: typer.Typer, name: str, command: Command, line: list[str]) -> None:
    """Make a command of typer's, with the options that every command has."""

    def called(
        *,
        debug: bool = False,
        config: str | None = None,
        json: bool = False,
        quiet: bool = False,
        log: str | None = None,
        **given: Any,
    ) -> None:
        names = [option.name for option in command.options]
        with ExitStack() as stack:
            if quiet:
                stack.enter_context(silence())
            if log is not None:
                with one_line_errors(debug=debug):
                    stack.enter_context(logged(log, line))
            stack.enter_context(one_line_errors(names, debug=debug))
            stack.enter_context(one_line_warnings(names))
            places = [given.pop(argument.name) for argument in command.arguments]
            for place, argument in enumerate(command.arguments):
                if argument.many and len(places[place]) == 1:
                    places[place] = places[place][0]
            if command.rest is not None:
                places.append(given.pop(command.rest.name) or [])
            settings, explicit = resolve(command.options, given, config)
            record(settings)
            with only_json(json):
                document = command.work(*places, settings=settings, explicit=explicit, as_json=json)
            if json:
                print(json_text(document))

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter(
            argument.name,
            keyword,
            annotation=Annotated[
                list[str] if argument.many else str,
                typer.Argument(metavar=argument.name.upper(), help=argument.help),
            ],
            default=argument.default or inspect.Parameter.empty,
        )
        for argument in command.arguments
    ]
    context: dict[str, Any] = {}
    if command.rest is not None:
        context = {"ignore_unknown_options": True, "allow_interspersed_args": False}
        rest = typer.Argument(metavar=command.rest.name.upper(), help=command.rest.help)
        kind = Annotated[list[str] | None, rest]
        parameters.append(inspect.Parameter(command.rest.name, keyword, annotation=kind,
                                            default=None))  # fmt: skip
    parameters += [_parameter(option) for option in command.options]
    common: dict[str, tuple[Any, Any]] = {
        "config": (Config, None), "json": (Json, False), "quiet": (Quiet, False),
        "log": (Log, None), "debug": (Debug, False),
    }  # fmt: skip
    parameters += [
        inspect.Parameter(key, keyword, annotation=annotation, default=default)
        for key, (annotation, default) in common.items()
        if key in command.common
    ]
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {p.name: p.annotation for p in parameters}
    called.__doc__ = command.work.__doc__
    app.command(name, context_settings=context)(called)


def _beginning(choices: tuple[str, ...]) -> Callable[[str], list[str]]:
    """What completes a value: those of the choices that begin so."""

    def complete(incomplete: str) -> list[str]:
        return [choice for choice in choices if choice.startswith(incomplete)]

    return complete


def _parameter(option: Option) -> inspect.Parameter:
    """An option as a parameter that typer makes one of its own from; None where not given."""
    # Numbers come as text: every version of typer refuses a wrong one in words of its own.
    kind: Any = {dict: list[str], list: list[str], bool: bool}.get(option.kind, str)
    help_ = option.help
    if not (option.default is None or option.default is False or option.default == {}):
        help_ += f" [default: {'yes' if option.default is True else option.default}]"
    names = [f"{option.flag}/--no-{option.flag[2:]}" if option.kind is bool else option.flag]
    made = typer.Option(
        *names, help=help_, metavar=option.shown, show_default=False,
        autocompletion=_beginning(option.choices) if option.choices else None,
    )  # fmt: skip
    return inspect.Parameter(
        option.name, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[kind | None, made],
        default=None,
    )  # fmt: skip
