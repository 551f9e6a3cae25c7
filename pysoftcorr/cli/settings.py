"""The settings of the commands: one table, from which options and YAML keys alike are made."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_KINDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    dict: "a mapping of fields to columns",
}


@dataclass(frozen=True)
class Setting:
    """One setting: its name (in YAML; ``--with-hyphens`` on the command line), type and default."""

    name: str
    kind: type
    default: Any
    help: str
    group: str
    choices: tuple[str, ...] = ()
    metavar: str | None = None
    least: int | None = None

    @property
    def option(self) -> str:
        """The option's name."""
        return "--" + self.name.replace("_", "-")

    def parsed(self, text: Any) -> Any:
        """What was typed on the command line, as a number where a number is wanted."""
        if self.kind in (int, float) and isinstance(text, str):
            try:
                text = self.kind(text)
            except ValueError:
                kind = _KINDS[self.kind]
                raise ValueError(f"{self.option} {text!r}: must be {kind}") from None
        return self.checked(text, "--")

    def checked(self, value: Any, source: str) -> Any:
        """The value in its own type; TypeError or ValueError that names the setting."""
        whole = isinstance(value, int) and not isinstance(value, bool)
        if self.kind is float and whole:
            value = float(value)
        if self.kind is str and self.name == "hdu" and whole:
            value = str(value)
        right = isinstance(value, self.kind) and (self.kind is not int or whole)
        if not right:
            raise TypeError(
                f"{source}{self.name}: {value!r} must be {_KINDS[self.kind]}, "
                f"not {type(value).__name__}"
            )
        if self.choices and value not in self.choices:
            raise ValueError(
                f"{source}{self.name}: {value!r} must be one of {', '.join(self.choices)}"
            )
        if self.least is not None and value < self.least:
            raise ValueError(f"{source}{self.name}: {value!r} must be at least {self.least}")
        if self.kind is dict:
            for key, column in value.items():
                if not isinstance(key, str) or not isinstance(column, (str, type(None))):
                    raise TypeError(
                        f"{source}{self.name}: {key!r}: {column!r} must be a field and a column "
                        "name or an expression, both text"
                    )
        return value


_CATALOG, _CLUSTERS, _ERRORS, _OUTPUT = "Catalog", "Clusters", "Bins and errors", "Output"
_UNITS = "deg, rad, hourangle, arcmin or arcsec; that stored with the column, or else degrees"

COLUMNS = (
    Setting("columns", dict, {}, "Column or expression of a field, such as g1='e1 - 0.01'; "
            "may be given several times.", _CATALOG, metavar="FIELD=COLUMN"),
    Setting("hdu", str, None, "FITS extension, number or name.", _CATALOG),
    Setting("key", str, None, "HDF5 group or dataset.", _CATALOG),
    Setting("select", str, None, "Keep rows where this expression is true.", _CATALOG,
            metavar="EXPRESSION"),
    Setting("flag", str, None, "Keep rows where this expression is 0.", _CATALOG,
            metavar="EXPRESSION"),
    Setting("on_bad", str, "error", "Rows with NaN or infinity: refuse, or drop and count.",
            _CATALOG, choices=("error", "drop")),
    Setting("ra_unit", str, None, f"Unit of ra: {_UNITS}.", _CATALOG, metavar="UNIT"),
    Setting("dec_unit", str, None, "Unit of dec.", _CATALOG, metavar="UNIT"),
)  # fmt: skip
FLIPS = (
    Setting("flip_g1", bool, False, "Change the sign of g1.", _CATALOG),
    Setting("flip_g2", bool, False, "Change the sign of g2.", _CATALOG),
)
CLUSTERS = (
    Setting("clusters", int, 100, "Number of soft clusters; 0: none, all pairs (naive).",
            _CLUSTERS, least=0),
    Setting("fuzziness", float, 2.0, "Exponent m > 1 of fuzzy c-means.", _CLUSTERS, metavar="M"),
    Setting("geometry", str, "sphere", "Where clusters are made.", _CLUSTERS,
            choices=("sphere", "flat")),
    Setting("max_iter", int, 2000, "Most sweeps of fuzzy c-means.", _CLUSTERS, least=1),
    Setting("seed", int, 1, "Seed of everything random.", _CLUSTERS, least=0),
)  # fmt: skip
ERRORS = (
    Setting("bins", str, "linear:0:45:8", "linear:LO:HI:N, log:LO:HI:N or edges:E0,E1,...",
            _ERRORS, metavar="BINS"),
    Setting("unit", str, "arcmin", "Unit of the bins.", _ERRORS,
            choices=("arcmin", "arcsec", "deg", "rad")),
    Setting("assignment", str, "greedy", "How objects fall into clusters for the value itself.",
            _ERRORS, choices=("greedy", "sampled", "soft")),
    Setting("samples", int, 100, "Sampled assignments for the epistemic error; 0: none.",
            _ERRORS, least=0),
    Setting("bootstrap", int, 100, "Bootstrap resamples for the aleatoric error; 0: none.",
            _ERRORS, least=0),
    Setting("jackknife", int, 0, "Patches of a jackknife, instead of the bootstrap.", _ERRORS,
            least=0),
    Setting("leave_out", float, 0.0, "Fraction left out of each of 100 resamples, instead of "
            "the bootstrap.", _ERRORS, metavar="FRACTION"),
    Setting("method", str, "pairs", "treecorr: the naive value alone, by TreeCorr.", _ERRORS,
            choices=("pairs", "treecorr")),
    Setting("naive", bool, True, "Also all pairs, to set beside the clusters; long for a "
            "great many objects.", _ERRORS),
)  # fmt: skip
REFERENCE = (
    Setting("reference", str, "star", "Whose ellipticity and size e and T are.", _ERRORS,
            choices=("star", "model")),
)  # fmt: skip
OUTPUT = (
    Setting("threads", int, None, "Threads; every core by default.", _OUTPUT, least=1),
    Setting("out", str, None, "Write the result: .h5, .fits or .ecsv.", _OUTPUT, metavar="FILE"),
    Setting("overwrite", bool, False, "Replace FILE if it is there.", _OUTPUT),
    Setting("plot", str, None, "Write figures into this folder.", _OUTPUT, metavar="DIR"),
)
# Of `gradient`, where clusters are differentiated.
SOFT = (
    Setting("galaxies", int, 500, "Galaxies of the simulation.", _CATALOG, least=1),
    Setting("G", float, 1.0, "Gravitational constant at which xi and dxi/dG are taken; orbits "
            "start as circles at G = 1.", _CATALOG),
    Setting("clusters", int, 100, "Number of soft clusters.", _CLUSTERS, least=1),
    Setting("approach", str, "soft", "What is paired: clusters by their memberships, of nearest "
            "objects, by relaxed draws; or all galaxies.", _CLUSTERS,
            choices=("soft", "hard", "gumbel", "naive")),
    Setting("through", str, "implicit", "How the clustering is differentiated: exactly, by one "
            "sweep, by all of them, or not.", _CLUSTERS,
            choices=("implicit", "one-step", "unrolled", "frozen")),
    Setting("fuzziness", float, 2.0, "Exponent m > 1 of fuzzy c-means.", _CLUSTERS, metavar="M"),
    Setting("temperature", float, 0.1, "Of the relaxed draws of gumbel.", _CLUSTERS),
    Setting("max_iter", int, 5000, "Most steps of fuzzy c-means.", _CLUSTERS, least=1),
    Setting("seed", int, 1, "Seed of everything random.", _CLUSTERS, least=0),
    Setting("bins", str, "linear:0:160:3", "linear:LO:HI:N, log:LO:HI:N or edges:E0,E1,...",
            _ERRORS, metavar="BINS"),
    Setting("unit", str, "arcmin", "Unit of the bins.", _ERRORS,
            choices=("arcmin", "arcsec", "deg", "rad")),
    Setting("weighting", str, "sigmoid", "Shape of the soft bins.", _ERRORS,
            choices=("sigmoid", "gaussian")),
    Setting("sharpness", float, None, "Sharpness of the bins in 1/arcmin (sigmoid) or 1/arcmin^2 "
            "(gaussian); by default from their widths.", _ERRORS),
    Setting("statistic", str, "xip", "xi+ or xi-.", _ERRORS, choices=("xip", "xim")),
    Setting("check", bool, False, "Also finite differences of the re-converged estimate, and the "
            "relative error.", _ERRORS),
    Setting("threads", int, None, "Threads; every core by default.", _OUTPUT, least=1),
    Setting("plot", str, None, "Write figures into this folder.", _OUTPUT, metavar="DIR"),
)  # fmt: skip

_HAND = Setting("samples", int, 0, "Sampled assignments to write too.", _CLUSTERS, least=0)
#: The settings of each command, in the order of its help.
COMMANDS: dict[str, tuple[Setting, ...]] = {
    "rho": (*ERRORS, *REFERENCE, *CLUSTERS, *COLUMNS, *FLIPS, *OUTPUT),
    "xi": (*ERRORS, *CLUSTERS, *COLUMNS, *FLIPS, *OUTPUT),
    "wtheta": (*ERRORS, *CLUSTERS, *COLUMNS, *OUTPUT),
    "cluster": (*CLUSTERS, _HAND, *COLUMNS, *OUTPUT),
    "gradient": SOFT,
}


def resolve(
    command: str, given: Mapping[str, Any], config: str | None
) -> tuple[dict[str, Any], set[str]]:
    """Every setting of a command: the command line before the file before the default.

    Parameters
    ----------
    command : str
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
    table = {s.name: s for s in COMMANDS[command]}
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
        if table[name].kind is dict:
            if not value:
                continue
            value = {**values.get(name, {}), **pairs(value, table[name].option)}
        values[name] = table[name].parsed(value)
    explicit = set(values)
    return {name: values.get(name, s.default) for name, s in table.items()}, explicit


def pairs(texts: Iterable[str], option: str = "--columns") -> dict[str, str]:
    """``["g1=e1", "w=1/sig**2"]`` as a mapping; ValueError where a text is no such pair."""
    form = "FIELD=COLUMN, such as g1=e1" if option == "--columns" else "NAME=VALUE"
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

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            twice = [key for key in keys if keys.count(key) > 1]
            if twice:
                raise ValueError(f"{path}: {twice[0]} is given twice")
            return super().construct_mapping(node, deep)

    source = Path(path).expanduser()
    if not source.is_file():
        raise FileNotFoundError(f"no such settings file: {source}")
    try:
        data = yaml.load(source.read_text(encoding="utf-8"), Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        place = getattr(error, "problem_mark", None)
        where = f" at line {place.line + 1}" if place is not None else ""
        problem = getattr(error, "problem", None) or "not text in UTF-8"
        raise ValueError(f"{source} is no YAML{where}: {problem}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ValueError(f"{source}: must hold 'setting: value' lines, not {type(data).__name__}")
    return data
