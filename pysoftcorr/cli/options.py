"""Options of the commands, derived from the functions behind them.

A function's signature gives names, types and defaults, its docstring the help and the choices.
Sources are parsed, not imported: a command line with PyTorch behind it must start without it.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pysoftcorr.cli.messages import as_typed

_KINDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    dict: "a mapping of fields to columns",
    list: "a text or a list of texts",
    tuple: "a number or three",
}
#: What an argument is called in the help of its option.
_METAVARS = {
    int: "N",
    float: "X",
    str: "TEXT",
    dict: "FIELD=COLUMN",
    list: "NAME,...",
    tuple: "X or X,Y,Z",
}

#: The parameters in a numpydoc docstring; of a dataclass they may be its attributes.
_SECTION = re.compile(r"(?:Parameters|Attributes)\n-+\n(.*?)(?:\n\n?\w[\w ]*\n-{3,}|\Z)", re.DOTALL)


#: Of a whole number; what may be less is checked by the function that it is for.
_MOST_BITS = 128


def number(name: str, value: Any) -> float:
    """Check a number as `pysoftcorr.core.options` does, which brings NumPy: help does without."""
    from pysoftcorr.core.options import number as checked

    return checked(name, value)


def shown(value: Any) -> str:
    """Show a value as `pysoftcorr.core.options` does."""
    from pysoftcorr.core.options import shown as words

    return words(value)


@dataclass(frozen=True)
class Option:
    """One option: its name (in YAML; ``--with-hyphens`` on the command line), type and default.

    Of kind list it takes several texts: parted by commas, or the option given several times. Of
    kind tuple it takes a number, or three parted by commas (in YAML a list of them).
    """

    name: str
    kind: type
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    metavar: str | None = None
    least: int | None = None

    @property
    def flag(self) -> str:
        """The option as it is typed."""
        return "--" + self.name.replace("_", "-")

    @property
    def shown(self) -> str | None:
        """What its value is called in the help; None for a switch."""
        return self.metavar or "|".join(self.choices) or _METAVARS.get(self.kind)

    def parsed(self, text: Any) -> Any:
        """What was typed on the command line, as a number where a number is wanted."""
        if self.kind is tuple and isinstance(text, str):
            text = self._numbers(text)
        if self.kind in (int, float) and isinstance(text, str):
            try:
                text = self.kind(text)
            except ValueError:  # also of a whole number with more than 4300 digits
                raise ValueError(
                    f"{self.flag} {shown(text)}: must be {_KINDS[self.kind]}"
                ) from None
        return self.checked(text, "--")

    def checked(self, value: Any, source: str) -> Any:
        """The value in its own type; TypeError or ValueError that names the option."""
        whole = isinstance(value, int) and not isinstance(value, bool)
        if whole and value.bit_length() > _MOST_BITS:
            raise ValueError(f"{source}{self.name}: {shown(value)} must have at most 38 digits")
        if self.kind is float and whole:
            value = number(f"{source}{self.name}", value)
        if self.kind is str and self.name.endswith("hdu") and whole:
            value = str(value)
        if self.kind is list:
            return self._texts(value, source)
        if self.kind is tuple:
            return self._sides(value, source)
        right = isinstance(value, self.kind) and (self.kind is not int or whole)
        if not right:
            raise TypeError(
                f"{source}{self.name}: {shown(value)} must be {_KINDS[self.kind]}, "
                f"not {type(value).__name__}"
            )
        if self.kind is str and not value.strip():
            raise ValueError(f"{source}{self.name}: {value!r} must not be empty")
        if self.choices and value not in self.choices:
            raise ValueError(
                f"{source}{self.name}: {shown(value)} must be one of {', '.join(self.choices)}"
            )
        if self.least is not None and value < self.least:
            raise ValueError(f"{source}{self.name}: {shown(value)} must be at least {self.least}")
        if self.kind is dict:
            for key, column in value.items():
                if not isinstance(key, str) or not isinstance(column, (str, type(None))):
                    raise TypeError(
                        f"{source}{self.name}: {key!r}: {column!r} must be a field and a column "
                        "name or an expression, both text"
                    )
        return value

    def _numbers(self, text: str) -> Any:
        """The numbers of a text with commas; one alone by itself."""
        try:
            numbers = [float(part) for part in text.split(",")]
        except ValueError:
            raise ValueError(f"{self.flag} {text!r}: must be {_KINDS[tuple]}") from None
        return numbers[0] if len(numbers) == 1 else numbers

    def _sides(self, value: Any, source: str) -> float | tuple[float, ...]:
        """A number, or three of a list."""
        parts = value if isinstance(value, (list, tuple)) else [value]
        if not all(isinstance(p, (int, float)) and not isinstance(p, bool) for p in parts):
            raise TypeError(f"{source}{self.name}: {shown(value)} must be {_KINDS[tuple]}")
        if len(parts) not in (1, 3):
            raise ValueError(
                f"{source}{self.name}: {','.join(f'{p:g}' for p in parts)} must be "
                f"{_KINDS[tuple]}, not {len(parts)}"
            )
        numbers = tuple(number(f"{source}{self.name}", p) for p in parts)
        return numbers[0] if len(numbers) == 1 else numbers

    def _texts(self, value: Any, source: str) -> list[str]:
        """Several texts, of one with commas or of a list; numbers of extensions as text."""
        parts = value if isinstance(value, list) else [value]
        if not all(isinstance(part, (str, int)) and not isinstance(part, bool) for part in parts):
            raise TypeError(f"{source}{self.name}: {shown(value)} must be {_KINDS[list]}")
        texts = [text.strip() for part in parts for text in str(part).split(",")]
        if not all(texts):
            raise ValueError(f"{source}{self.name}: {','.join(texts)!r} holds an empty name")
        return texts


@dataclass(frozen=True)
class Argument:
    """A positional argument of a command: a file, needed where it has no default.

    With `many`, one or several, which the command takes as one text or a list.
    """

    name: str
    help: str
    default: str | None = None
    many: bool = False


@dataclass(frozen=True)
class Command:
    """A command: the function that does its work, its arguments and its options.

    Attributes
    ----------
    work : callable
        Takes the arguments by position, ``settings`` (all options by name), ``explicit`` (names of
        those that were given) and ``as_json``; prints for people unless ``as_json``, and gives the
        JSON document. Its docstring is the help of the command.
    arguments : tuple of Argument
    options : tuple of Option
        In the order of the help.
    common : tuple of str
        Which of ``--config``, ``--json``, ``--quiet``, ``--log`` and ``--debug`` it has.
    rest : Argument, optional
        Whatever else is typed, unknown options included, handed on as a list of texts.
    """

    work: Callable[..., Mapping[str, Any] | None]
    arguments: tuple[Argument, ...] = ()
    options: tuple[Option, ...] = ()
    common: tuple[str, ...] = ("config", "json", "quiet", "log", "debug")
    rest: Argument | None = None


# ---------------------------------------------------------------------- from functions
def derive(
    target: str, *, only: Iterable[str] = (), skip: Iterable[str] = (), **changes: Any
) -> tuple[Option, ...]:
    """Options of a function's keyword arguments, or of the fields of a dataclass.

    Parameters
    ----------
    target : str
        ``"package.module:function"``, ``"package.module:Class"`` or ``"...:Class.method"``.
    only : iterable of str
        Arguments to take, in this order; by default every one but those of `skip`.
    skip : iterable of str
        Arguments to leave out.
    **changes
        For each argument by name, what is otherwise on the command line: a mapping of the
        attributes of `Option`, or the default alone. ``name=`` renames the option.

    Raises
    ------
    LookupError
        If the target, or an argument that is named, is not there, or has no help.

    Examples
    --------
    >>> from pysoftcorr.cli.options import derive
    >>> n, fuzziness = derive("pysoftcorr.sky.clustering:SoftClustering",
    ...                       only=("n_clusters", "fuzziness"), n_clusters={"default": 100})
    >>> n.default, fuzziness.default, fuzziness.help
    (100, 2.0, 'The exponent m > 1; near 1 memberships become sharp.')
    """
    parameters = _parameters(target)
    names = list(only) or [name for name in parameters if name not in set(skip)]
    for name in (*names, *skip, *changes):
        if name not in parameters:
            raise LookupError(f"{target} has no argument {name!r}")
    options = []
    for name in names:
        change = changes.get(name, {})
        change = change if isinstance(change, Mapping) else {"default": change}
        option = replace(_option(target, name, parameters[name]), **change)
        if not option.help:
            raise LookupError(f"{target}: no help for {name!r}")
        options.append(option)
    return tuple(options)


def arguments(target: str) -> tuple[str, ...]:
    """Names of the arguments of a function, a class or a method, in order; as `derive`."""
    return tuple(_parameters(target))


def prefixed(options: Iterable[Option], prefix: str) -> tuple[Option, ...]:
    """The options once more for another catalog, such as ``--randoms-columns``."""
    return tuple(
        replace(
            option, name=f"{prefix}_{option.name}", help=f"As {option.flag}, for {prefix.upper()}."
        )
        for option in options
    )


@dataclass(frozen=True)
class _Parameter:
    annotation: str
    default: Any
    kind: str  # the type in the docstring
    help: str


def _option(target: str, name: str, parameter: _Parameter) -> Option:
    choices = tuple(re.findall(r'"([^"]+)"', parameter.kind)) if "{" in parameter.kind else ()
    kind, metavar = _kind(parameter.annotation)
    if choices:
        kind, metavar = str, None
    return Option(name, kind, parameter.default, as_typed(parameter.help), choices, metavar)


def _kind(annotation: str) -> tuple[type, str | None]:
    """Type of an option, and what its argument is called, by the annotation."""
    parts = {part.strip() for part in annotation.split("|")} - {"None"}
    if parts & {"Bins", "Binning"}:
        return str, "BINS"
    if "Resampling" in parts:
        return str, "METHOD:N"
    if "BoxSize" in parts:
        return tuple, "L or LX,LY,LZ"
    if annotation.startswith(("Mapping", "dict")):
        return dict, None
    for kind, names in ((bool, {"bool"}), (int, {"int", "Seed"}), (float, {"float"})):
        if parts & names:
            return kind, None
    return str, None


@cache
def _module(name: str) -> ast.Module:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise LookupError(f"no module {name}")
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


def summary(module: str, function: str) -> str:
    """First line of a function's docstring; empty where the module has no such function."""
    for node in _module(module).body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""


@cache
def _parameters(target: str) -> dict[str, _Parameter]:
    """Keyword arguments of a function, a class or a method, in order, as its source says."""
    module, _, path = target.partition(":")
    scope: list[ast.stmt] = _module(module).body
    constants = _literals(scope)
    found: Any = None
    for name in path.split("."):
        kinds = (ast.FunctionDef, ast.ClassDef)
        found = next((n for n in scope if isinstance(n, kinds) and n.name == name), None)
        if found is None:
            raise LookupError(f"no {target}")
        scope = found.body
    texts = _documented(ast.get_docstring(found) or "")
    made: dict[str, _Parameter] = {}
    for name, annotation, default in _signature(found):
        kind, words = texts.get(name, ("", ""))
        value = _literal(default, constants)
        made[name] = _Parameter(annotation, value, kind, words)
    return made


def _signature(node: Any) -> list[tuple[str, str, ast.expr | None]]:
    """Names, annotations and defaults of a function, an ``__init__`` or a dataclass."""
    if isinstance(node, ast.ClassDef):
        methods = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        if not methods:
            fields = [n for n in node.body if isinstance(n, ast.AnnAssign)]
            return [(n.target.id, ast.unparse(n.annotation), n.value) for n in fields
                    if isinstance(n.target, ast.Name)]  # fmt: skip
        node = methods[0]
    spec = node.args
    plain = [*spec.posonlyargs, *spec.args]
    defaults = [None] * (len(plain) - len(spec.defaults)) + spec.defaults
    both = [*zip(plain, defaults, strict=True),
            *zip(spec.kwonlyargs, spec.kw_defaults, strict=True)]  # fmt: skip
    return [(a.arg, ast.unparse(a.annotation) if a.annotation else "", d)
            for a, d in both if a.arg not in ("self", "cls")]  # fmt: skip


def _literals(body: list[ast.stmt]) -> dict[str, Any]:
    """Constants of a module that are plain values."""
    found = {}
    for node in body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found


def _literal(node: ast.expr | None, constants: Mapping[str, Any]) -> Any:
    """The value of a default; None for one that is worked out as the program runs."""
    if node is None:
        return None
    if isinstance(node, ast.Name):
        return constants.get(node.id)
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def _documented(text: str) -> dict[str, tuple[str, str]]:
    """Type and first sentence of each parameter in a numpydoc docstring."""
    section = _SECTION.search(text)
    if section is None:
        return {}
    found: dict[str, tuple[str, str]] = {}
    for names, kind, body in re.findall(
        r"^(\w[\w, ]*?)(?: : (.*))?\n((?:[ ]+.*\n?|\n)*)", section[1] + "\n", re.MULTILINE
    ):
        words = " ".join(body.split()).replace("`", "")
        first = re.split(r"(?<=[^.][^.]\.) (?=[A-Z0-9\"])", words)[0]
        for name in names.split(","):
            found[name.strip()] = (kind, first)
    return found


# ---------------------------------------------------------------------- values
def resolve(
    options: Iterable[Option], given: Mapping[str, Any], config: str | None
) -> tuple[dict[str, Any], set[str]]:
    """Every setting of a command: the command line before the file before the default.

    Parameters
    ----------
    options : iterable of Option
    given : mapping
        From the command line; None where not given there.
    config : str or None
        YAML file.

    Returns
    -------
    settings : dict
    explicit : set of str
        Those given in one way or the other.

    Raises
    ------
    FileNotFoundError, ValueError, TypeError
        No such file, an unknown key (the nearest are offered), a value that is not possible.
    """
    table = {option.name: option for option in options}
    values: dict[str, Any] = {}
    if config is not None:
        for key, value in read_yaml(config).items():
            name = str(key).replace("-", "_")
            if name not in table:
                raise ValueError(f"{config}: unknown key {key!r}{near(name, table)}")
            if name in values:
                raise ValueError(f"{config}: {name} is given twice")
            values[name] = table[name].checked(value, f"{config}: ")
    for name, value in given.items():
        if value is None:
            continue
        if table[name].kind in (dict, list) and not value:
            continue
        if table[name].kind is dict:
            value = {**values.get(name, {}), **pairs(value, table[name].flag)}
        values[name] = table[name].parsed(value)
    explicit = set(values)
    return {name: values.get(name, option.default) for name, option in table.items()}, explicit


def needed(settings: Mapping[str, Any], *names: str) -> None:
    """ValueError where options that have no default were not given."""
    lacking = ["--" + name.replace("_", "-") for name in names if settings[name] is None]
    if lacking:
        raise ValueError(f"{' and '.join(lacking)}: must be given")


def pairs(texts: Iterable[str], option: str = "--columns") -> dict[str, str]:
    """``["g1=e1", "w=1/sig**2"]`` as a mapping; ValueError where a text is no such pair."""
    form = "FIELD=COLUMN, such as g1=e1" if option.endswith("columns") else "NAME=VALUE"
    found: dict[str, str] = {}
    for text in texts:
        field, equals, column = text.partition("=")
        field, column = field.strip(), column.strip()
        if not (field and equals and column):
            raise ValueError(f"{option} {text!r}: must read {form}")
        if found.setdefault(field, column) != column:
            raise ValueError(f"{option}: {field} is given twice")
    return found


def near(name: str, names: Iterable[str]) -> str:
    """The nearest of the names, then all of them, as the end of a message."""
    known = list(names)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(close)}?" if close else "."
    return f"{hint} Allowed: {', '.join(known)}"


#: Values in a settings file, and lists or mappings within each other.
_MOST_NODES, _DEEPEST = 10_000, 20


def _unfit(loader: Any) -> str:
    """Which value does not fit the type that YAML takes it for, and where it stands."""
    node = getattr(loader, "last", None)
    if node is None:
        return "a value does not fit its type"
    kind = node.tag.rpartition(":")[2]
    value = shown(node.value) if isinstance(node.value, str) else "a list or a mapping"
    return f"{value} in line {node.start_mark.line + 1} is no {kind}; put text in quotes"


def _nodes(node: Any, known: dict[int, int], depth: int = 0) -> int:
    """Number of values under a node of YAML with every alias expanded, without expanding any."""
    if depth > _DEEPEST:
        raise RecursionError
    if isinstance(node.value, str):
        return 1
    if id(node) not in known:
        parts = [
            part for item in node.value for part in (item if isinstance(item, tuple) else [item])
        ]
        known[id(node)] = 1 + sum(_nodes(part, known, depth + 1) for part in parts)
    return known[id(node)]


def read_yaml(path: str) -> dict[Any, Any]:
    """The mapping a YAML file holds.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    ValueError
        If it cannot be read, holds no mapping, or a key twice.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        """Refuses a key that is given twice, of which YAML would keep the last."""

        def construct_object(self, node: Any, deep: bool = False) -> Any:
            self.last = node
            return super().construct_object(node, deep)

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            twice = [key for key in keys if keys.count(key) > 1]
            if twice:
                name = twice[0] if isinstance(twice[0], str) else shown(twice[0])
                raise ValueError(f"{path}: {name} is given twice")
            if any(isinstance(key, (dict, list)) for key in keys):
                raise ValueError(f"{path}: the name of a setting must be text, not a list")
            return super().construct_mapping(node, deep)

    if not path.strip():
        raise ValueError(f"--config {path!r}: must not be empty")
    source = Path(path).expanduser()
    if not source.is_file():
        raise FileNotFoundError(f"no such settings file: {source}")
    loader: Any = None
    try:
        loader = Loader(source.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        if node is not None and _nodes(node, {}) > _MOST_NODES:
            raise ValueError(
                f"{source}: holds more than {_MOST_NODES:,} values, its aliases (*name) expanded; "
                "settings are few: write them out"
            )
        data = None if node is None else loader.construct_document(node)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        place = getattr(error, "problem_mark", None)
        where = f" at line {place.line + 1}" if place is not None else ""
        problem = getattr(error, "problem", None) or "not text in UTF-8"
        raise ValueError(f"{source} is no YAML{where}: {problem}") from None
    except RecursionError:
        raise ValueError(
            f"{source}: lists or mappings within each other without end; settings are "
            "'setting: value' lines"
        ) from None
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        if str(error).startswith(str(source)):
            raise
        # What YAML's own types (!!bool, !!timestamp, !!int) raise for texts that are none.
        raise ValueError(f"{source}: {_unfit(loader)}") from None
    finally:
        if loader is not None:
            loader.dispose()
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ValueError(f"{source}: must hold 'setting: value' lines, not {type(data).__name__}")
    return data
