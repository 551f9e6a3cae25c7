"""Column expressions: arithmetic on the columns of a table, read without running any text.

The text is parsed into a tree and the tree is walked here, node by node; whatever is not on
the list below is refused with its position. Nothing is ever passed to ``eval``.
"""

from __future__ import annotations

import ast
import difflib
import keyword
import math
import re
import warnings
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import numpy as np

from pysoftcorr.core import three_valued as logic
from pysoftcorr.core.three_valued import Values

MAX_LENGTH = 2000
MAX_NODES = 400
MAX_DEPTH = 60

FUNCTIONS: dict[str, tuple[Callable[..., Any], int]] = {
    "sqrt": (np.sqrt, 1),
    "abs": (np.abs, 1),
    "log": (np.log, 1),
    "log10": (np.log10, 1),
    "exp": (np.exp, 1),
    "sin": (np.sin, 1),
    "cos": (np.cos, 1),
    "tan": (np.tan, 1),
    "degrees": (np.rad2deg, 1),
    "radians": (np.deg2rad, 1),
    "rad2deg": (np.rad2deg, 1),
    "deg2rad": (np.deg2rad, 1),
    "floor": (np.floor, 1),
    "isfinite": (logic.is_finite, 1),
    "isnan": (logic.is_missing, 1),
    "where": (logic.choose, 3),
    "minimum": (np.minimum, 2),
    "maximum": (np.maximum, 2),
    "hypot": (np.hypot, 2),
    "value": (np.positive, 1),
}
#: Functions of columns with missing values; the others are of real numbers.
_OF_VALUES = ("isfinite", "isnan", "where")
CONSTANTS = {"pi": math.pi}

_ARITHMETIC: dict[type, Callable[..., Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
}
_BITWISE: dict[type, str] = {
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.BitXor: "^",
    ast.LShift: "<<",
    ast.RShift: ">>",
}
_COMPARISONS: dict[type, str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}
#: What other languages write, and what is written here.
_OTHER_WAYS = (
    (r"&&", "write and"),
    (r"\|\|", "write or"),
    (r"!(?!=)", "write not"),
    (r"(?<![=!<>])=(?!=)", "write == to compare"),
    (r"\bbetween\b", "write 20 < mag < 22"),
    (r"\bis\b", "write isfinite(name) for what is there, not isfinite(name) for what is missing"),
    (r"//", "write floor(a / b)"),
)
_WORDS = ("and", "or", "not", "in", "is", "if", "else", "None", "True", "False")
_ALLOWED = (
    "allowed are columns (`quoted by backticks` where the name is no identifier), numbers, "
    "+ - * / % **, comparisons, bits & | ~ << >> and exclusive or, and/or/not, in and not in a "
    "list such as (1, 2), name[k] for a vector column, "
    "the constant pi and the functions " + ", ".join(FUNCTIONS)
)


class Expression:
    """An expression over the columns of a table.

    Arithmetic is done in float64, and in whole numbers where float64 would round those, on the
    numbers as they are stored: units do not take part (what unit the value has is for
    `pysoftcorr.core.unit_flow` to say). ``&``, ``|``, ``^``, ``~``, ``<<`` and ``>>`` act on whole
    numbers bit by bit (so that ``flags & 4`` tests a bit) and on truth values as and, or,
    exclusive or, not; decimal numbers that are whole ones count as whole. ``band in ('r', 'i')``
    and ``not in`` compare with a list of constants. Blanks at the end of text do not count, and an
    empty text is a missing one.

    Missing values follow the logic of SQL: a comparison with a masked value or NaN is unknown,
    ``and``, ``or``, ``not`` pass that on unless the other side decides, arithmetic with a masked
    value is masked, and ``isfinite`` of it is false. What is unknown in the end is masked.

    Parameters
    ----------
    text : str
        Such as ``"g1_vignet - g1_psfex"``, ``"1/sig**2"`` or ``"(mag < 24) & (flag == 0)"``.

    Attributes
    ----------
    names : tuple of str
        The columns it uses, in order of first use.
    tree : ast.expr
        The text as a tree of what is allowed.

    Raises
    ------
    ValueError
        If the text is not such an expression; the message points at the place.
    TypeError
        If it is not text.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.core.expressions import Expression
    >>> table = {"a": np.array([1.0, 2.0]), "my col": np.array([3.0, 4.0])}
    >>> expression = Expression("sqrt(a) + 2*`my col`")
    >>> expression.names
    ('a', 'my col')
    >>> expression.evaluate(table.__getitem__)
    array([7.        , 9.41421356])
    """

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError(f"a column expression must be text, not {type(text).__name__}")
        self.text = text
        if not text.strip():
            raise ValueError("a column expression is empty")
        if len(text) > MAX_LENGTH:
            raise ValueError(f"a column expression of {len(text)} characters is too long")
        if "\n" in text or "\r" in text or "\0" in text:
            raise ValueError(f"column expression {text!r} must be a single line")
        lead = len(text) - len(text.lstrip())
        source, self._quoted = self._unquote(text)
        self._source = source[lead:]
        self._lead = lead
        self.tree = self._parse()
        if sum(1 for _ in ast.walk(self.tree)) > MAX_NODES:
            self._fail("has too many parts", 0)
        names: dict[str, None] = {}
        self._check(self.tree, names, 0)
        self.names = tuple(names)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def evaluate(self, column: Callable[[str], np.ndarray]) -> Any:
        """Value of the expression, `column` giving the array of each named column.

        Returns
        -------
        numpy.ndarray, numpy.ma.MaskedArray or scalar
            A scalar when the expression names no column; masked where the value is missing or
            unknown. Where the arithmetic has no answer (0/0, log of a negative number) it holds
            NaN or infinity.

        Raises
        ------
        TypeError
            If an operation does not suit the columns, such as ``&`` on decimal numbers that
            are not whole.
        """
        # No answer in a row is the catalog's affair: its NaN policy names or drops the row.
        with np.errstate(all="ignore"):
            return self._value(self.tree, column).plain()

    def column_of(self, node: ast.Name) -> str | None:
        """The column that a name of the tree stands for; None for a constant."""
        if node.id not in self._quoted and node.id in CONSTANTS:
            return None
        return self._quoted.get(node.id, node.id)

    # ------------------------------------------------------------------ reading the text
    def _unquote(self, text: str) -> tuple[str, dict[str, str]]:
        """The text with each `quoted name` as an identifier of the same length."""
        quoted: dict[str, str] = {}

        def stand_in(match: re.Match[str]) -> str:
            name = match.group(1)
            if not name.strip():
                self._fail("backticks hold no column name", match.start())
            for letter in "QZXJKVW":
                word = f"{letter}{len(quoted)}".ljust(len(match.group(0)), "_")
                if word not in text and len(word) == len(match.group(0)):
                    break
            else:
                self._fail("too many quoted columns", match.start())
            quoted[word] = name
            return word

        source = re.sub(r"`([^`]*)`", stand_in, text)
        if "`" in source:
            self._fail("a backtick is not closed", source.index("`"))
        return source, quoted

    def _parse(self) -> ast.expr:
        try:
            with warnings.catch_warnings():
                # Python's own remarks on odd literals would name a file that does not exist.
                warnings.simplefilter("ignore")
                return ast.parse(self._source, mode="eval").body
        except SyntaxError as error:
            at = (error.offset or 1) - 1 + self._lead
            self._fail(f"cannot be read ({self._cure() or error.msg})", min(at, len(self.text)))
        except (RecursionError, MemoryError, ValueError):
            self._fail("is nested too deeply", 0)

    def _cure(self) -> str:
        """How to write what other languages write otherwise; empty where nothing is known."""
        bare = re.sub(r"'[^']*'|\"[^\"]*\"", "''", self._source)
        for pattern, cure in _OTHER_WAYS:
            if re.search(pattern, bare):
                return cure
        for word in re.findall(r"[A-Za-z_]\w*", bare):
            if keyword.iskeyword(word) and word not in _WORDS:
                return f"a column of this name is written in backticks, `{word}`"
        return ""

    def _fail(self, reason: str, at: int, kind: type[Exception] = ValueError) -> NoReturn:
        rest = self.text[at:].rstrip()
        shown = f", before {rest[:20]!r}" if at and rest else ""
        raise kind(f"column expression {self.text!r}, at character {at + 1}{shown}: {reason}")

    def _at(self, node: ast.AST) -> int:
        """Place of a node in the text; Python counts the bytes of its UTF-8 form."""
        offset = getattr(node, "col_offset", 0)
        return len(self._source.encode()[:offset].decode()) + self._lead

    def _check(self, node: ast.expr, names: dict[str, None], depth: int) -> None:
        """Refuse whatever is not on the list; gather the columns used."""
        if depth > MAX_DEPTH:
            self._fail("is nested too deeply", self._at(node))
        if isinstance(node, ast.Name):
            name = self.column_of(node)
            if name is not None:
                names.setdefault(name)
        elif isinstance(node, ast.Constant):
            self._check_constant(node)
        elif isinstance(node, ast.BinOp) and type(node.op) in {
            **_ARITHMETIC,
            **_BITWISE,
            ast.Mod: "%",
        }:
            self._check(node.left, names, depth + 1)
            self._check(node.right, names, depth + 1)
        elif isinstance(node, ast.UnaryOp):
            self._check(node.operand, names, depth + 1)
        elif isinstance(node, ast.BoolOp):
            for value in node.values:
                self._check(value, names, depth + 1)
        elif isinstance(node, ast.Compare):
            self._check_comparison(node, names, depth)
        elif isinstance(node, ast.Call):
            self._check_call(node, names, depth)
        elif isinstance(node, ast.Subscript):
            whole = node.slice
            if not (
                isinstance(node.value, ast.Name)
                and isinstance(whole, ast.Constant)
                and type(whole.value) is int
            ):
                self._fail("takes only name[k] with a whole number k", self._at(node))
            self._check(node.value, names, depth + 1)
        else:
            self._refuse(node)

    def _refuse(self, node: ast.expr) -> NoReturn:
        self._fail(f"uses what is not allowed; {self._cure() or _ALLOWED}", self._at(node))

    def _check_constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, (bool, int, float, str)):
            return
        cure = "; isfinite(name) tells what is there" if node.value is None else ""
        self._fail(f"holds {node.value!r}, which is no real number{cure}", self._at(node))

    def _check_comparison(self, node: ast.Compare, names: dict[str, None], depth: int) -> None:
        operands = [node.left, *node.comparators]
        if any(isinstance(op, (ast.In, ast.NotIn)) for op in node.ops):
            if len(node.ops) > 1:
                self._fail("needs brackets round each comparison", self._at(node))
            self._choices(node.comparators[0])
            self._check(node.left, names, depth + 1)
            return
        for op in node.ops:
            if type(op) not in _COMPARISONS:
                self._refuse(node)
        # `a < 1 & b < 2` means a < (1 & b) < 2: surely not what was meant.
        if len(operands) > 2:
            for operand in operands:
                if isinstance(operand, ast.BinOp) and type(operand.op) in _BITWISE:
                    self._fail(
                        "needs brackets round each comparison, as in (a < 1) & (b < 2)",
                        self._at(operand),
                    )
        for operand in operands:
            self._check(operand, names, depth + 1)

    def _choices(self, node: ast.expr) -> list[Any]:
        """The constants that ``in`` lists; a single one in brackets is a list of one."""
        parts = node.elts if isinstance(node, (ast.Tuple, ast.List, ast.Set)) else [node]
        choices: list[Any] = []
        for part in parts:
            negative = isinstance(part, ast.UnaryOp) and isinstance(part.op, ast.USub)
            constant = part.operand if isinstance(part, ast.UnaryOp) and negative else part
            if not isinstance(constant, ast.Constant):
                self._fail(
                    "in takes a list of constants in brackets, such as ('r', 'i') or (1, 2)",
                    self._at(part),
                )
            self._check_constant(constant)
            value: Any = constant.value
            if negative and isinstance(value, str):
                self._fail("does arithmetic on text", self._at(part))
            choices.append(-value if negative else value)
        if not choices:
            self._fail("in takes at least one value in its brackets", self._at(node))
        if len({isinstance(choice, str) for choice in choices}) > 1:
            self._fail("lists text and numbers together", self._at(node))
        return choices

    def _check_call(self, node: ast.Call, names: dict[str, None], depth: int) -> None:
        function = node.func
        if isinstance(function, ast.Attribute) and function.attr in FUNCTIONS:
            self._fail(f"functions have no prefix: write {function.attr}(...)", self._at(node))
        if not isinstance(function, ast.Name) or function.id not in FUNCTIONS:
            self._fail(f"calls what is not allowed; {_ALLOWED}", self._at(node))
        assert isinstance(function, ast.Name)
        count = FUNCTIONS[function.id][1]
        if node.keywords or len(node.args) != count:
            self._fail(f"calls {function.id}, which takes {count} argument(s)", self._at(node))
        for argument in node.args:
            self._check(argument, names, depth + 1)

    # ------------------------------------------------------------------ walking the tree
    def _value(self, node: ast.expr, column: Callable[[str], np.ndarray]) -> Values:
        if isinstance(node, ast.Constant):
            return Values(np.asarray(_constant(node.value)))
        if isinstance(node, ast.Name):
            column_name = self.column_of(node)
            if column_name is None:
                return Values(np.asarray(CONSTANTS[node.id]))
            return logic.read(column(column_name))
        if isinstance(node, ast.Subscript):
            return self._element(node, column)
        if isinstance(node, ast.BinOp):
            left, right = self._value(node.left, column), self._value(node.right, column)
            if type(node.op) in _BITWISE:
                return self._do(node, logic.bits, _BITWISE[type(node.op)], left, right)
            if isinstance(node.op, ast.Mod):
                return self._do(node, logic.remainder, left, right)
            # In float64 a huge power is infinity at once; small integer columns cannot wrap.
            return self._do(node, logic.arithmetic, _ARITHMETIC[type(node.op)], left, right)
        if isinstance(node, ast.UnaryOp):
            value = self._value(node.operand, column)
            if isinstance(node.op, ast.Invert):
                return self._do(node, logic.invert, value)
            if isinstance(node.op, ast.Not):
                return self._do(node, logic.logical_not, value)
            sign = np.negative if isinstance(node.op, ast.USub) else np.positive
            return self._do(node, logic.arithmetic, sign, value)
        if isinstance(node, ast.BoolOp):
            combine = logic.logical_and if isinstance(node.op, ast.And) else logic.logical_or
            parts = [self._do(v, logic.truth, self._value(v, column)) for v in node.values]
            result = parts[0]
            for part in parts[1:]:
                result = self._do(node, combine, result, part)
            return result
        if isinstance(node, ast.Compare):
            return self._compare(node, column)
        assert isinstance(node, ast.Call)
        assert isinstance(node.func, ast.Name)
        arguments = [self._value(a, column) for a in node.args]
        function = FUNCTIONS[node.func.id][0]
        if node.func.id in _OF_VALUES:
            return self._do(node, function, *arguments)
        if node.func.id in ("abs", "minimum", "maximum", "value"):
            return self._do(node, logic.arithmetic, function, *arguments)
        return self._do(node, logic.apply, function, *arguments)

    def _do(self, node: ast.expr, function: Callable[..., Values], *arguments: Any) -> Values:
        """The result of an operation, its errors with the place in the text."""
        try:
            return function(*arguments)
        except (TypeError, ValueError) as error:
            self._fail(str(error), self._at(node), type(error))

    def _compare(self, node: ast.Compare, column: Callable[[str], np.ndarray]) -> Values:
        left = self._value(node.left, column)
        if isinstance(node.ops[0], (ast.In, ast.NotIn)):
            choices = self._choices(node.comparators[0])
            negated = isinstance(node.ops[0], ast.NotIn)
            try:
                return logic.is_in(left, choices, negated=negated)
            except TypeError as error:
                self._fail(str(error), self._at(node), TypeError)
        result: Values | None = None
        for op, right_node in zip(node.ops, node.comparators, strict=True):
            right = self._value(right_node, column)
            one = self._do(node, logic.compare, _COMPARISONS[type(op)], left, right)
            result = one if result is None else logic.logical_and(result, one)
            left = right
        assert result is not None
        return result

    def _element(self, node: ast.Subscript, column: Callable[[str], np.ndarray]) -> Values:
        assert isinstance(node.slice, ast.Constant)
        values, k = self._value(node.value, column), int(node.slice.value)  # type: ignore[arg-type]
        shape = values.data.shape
        if len(shape) != 2:
            self._fail(f"takes an element of a column of shape {shape}", self._at(node), TypeError)
        if not 0 <= k < shape[1]:
            self._fail(f"takes element {k} of a column with {shape[1]} a row", self._at(node))
        unknown = None if values.unknown is None else values.unknown[:, k]
        return Values(values.data[:, k], unknown)


def _constant(value: Any) -> Any:
    if isinstance(value, str):
        return value.rstrip(" \0")
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 2**63:
            return np.int64(value)
        # Whole numbers too big for 64 bits can only be meant as quantities.
        return np.uint64(value) if value < 2**64 else _big(value)
    return value


def _big(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def quoted(name: str) -> str:
    """A column's name as an expression has it: in backticks where it is no identifier."""
    plain = name.isidentifier() and not keyword.iskeyword(name) and name not in CONSTANTS
    return name if plain else f"`{name}`"


def suggestion(name: str, available: Iterable[str]) -> str:
    """``; did you mean x or y?``, or nothing where no available name is near."""
    folded = {n.lower(): n for n in reversed(list(available))}
    close = difflib.get_close_matches(name.lower(), list(folded), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(folded[c] for c in close)}?" if close else ""


def nearest(name: str, available: Iterable[str], *, limit: int = 40) -> str:
    """The nearest of the available names, then all of them, as the end of a message."""
    names = [str(n) for n in available]
    text = suggestion(name, names) or "."
    shown = ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")
    return f"{text} Available: {shown or 'none'}"
