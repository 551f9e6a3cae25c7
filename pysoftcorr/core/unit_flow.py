"""The unit of an expression's value, as far as the units stored with its columns decide it.

The rule: an expression keeps the unit of its columns where it only changes signs, adds,
subtracts or selects values of that one unit. Numbers written beside it are taken to be in
degrees, as everywhere, so that they go with columns in degrees alone. What scales a column may
be there to convert its unit or not; nobody can tell, so its unit has to be said.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import astropy.units as u

from pysoftcorr.core.checks import angle_unit
from pysoftcorr.core.expressions import CONSTANTS, Expression

ANGLES = ("deg", "rad", "hourangle", "arcmin", "arcsec")
#: Functions that convert angles: from which unit, into which.
_CONVERSIONS = {
    "degrees": (u.rad, u.deg),
    "rad2deg": (u.rad, u.deg),
    "radians": (u.deg, u.rad),
    "deg2rad": (u.deg, u.rad),
}
_FOLDED: dict[type, Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


@dataclass(frozen=True)
class Flow:
    """What is known of the unit of a value.

    Attributes
    ----------
    kind : {"number", "bare", "unit", "scaled", "unknown"}
        A number written in the text; columns without a unit; a definite unit; a column with a
        unit that is scaled, or to which something of no unit is added; columns with units, and
        no unit that follows.
    unit : astropy unit, optional
        For "unit" the unit; for "scaled" the one it would be if the factors were mere numbers.
    number : float, optional
        The value of a number; the factor of a scaled column, or of one without a unit.
    """

    kind: str
    unit: u.UnitBase | None = None
    number: float | None = None


def parsed(unit: Any) -> u.UnitBase:
    """The astropy unit that a text stands for: of an angle where it can be one."""
    try:
        return angle_unit(unit, "unit")
    except ValueError:
        return u.Unit(unit, parse_strict="silent")


def of_text(text: str, units: Mapping[str, str], names: list[str]) -> Flow:
    """The unit of a column or an expression of a table with these `units`.

    Raises
    ------
    ValueError
        If values of different units are added, or an angle that is not in radians goes into
        sin, cos or tan.
    """
    if text in names:
        return _column(text, units)
    expression = Expression(text)
    return _Walk(expression, units).flow(expression.tree)


def _column(name: str, units: Mapping[str, str]) -> Flow:
    unit = units.get(name)
    return Flow("bare", number=1.0) if unit is None else Flow("unit", parsed(unit), 1.0)


def conversion(flow: Flow, start: u.UnitBase | None = None) -> str | None:
    """The unit that the factor of a scaled column looks like a conversion into, if any."""
    unit = start if start is not None else flow.unit
    if unit is None or flow.number is None or not unit.is_equivalent(u.rad):
        return None
    for name in ANGLES:
        factor = unit.to(u.Unit(name))
        if factor != 1 and math.isclose(abs(flow.number), factor, rel_tol=1e-4):
            return name
    return None


class _Walk:
    """The flow of units through one expression."""

    def __init__(self, expression: Expression, units: Mapping[str, str]) -> None:
        self.expression, self.units = expression, units

    def flow(self, node: ast.expr) -> Flow:
        if isinstance(node, ast.Constant):
            value = node.value
            number = (
                float(value) if isinstance(value, (int, float)) and abs(value) < 1e300 else None
            )
            return Flow("number", number=number)
        if isinstance(node, ast.Name):
            name = self.expression.column_of(node)
            return (
                Flow("number", number=CONSTANTS[node.id])
                if name is None
                else _column(name, self.units)
            )
        if isinstance(node, ast.Subscript):
            return self.flow(node.value)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            one = self.flow(node.operand)
            sign = -1 if isinstance(node.op, ast.USub) else 1
            return Flow(one.kind, one.unit, None if one.number is None else sign * one.number)
        if isinstance(node, ast.BinOp):
            return self._operation(node)
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.Compare):
            self._check_sides(node)
            return Flow("bare")
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.flow(child)
        # Truth values and bits have no unit.
        return Flow("bare")

    def _check_sides(self, node: ast.Compare) -> None:
        """ValueError where a comparison is between values of different units."""
        if isinstance(node.ops[0], (ast.In, ast.NotIn)):
            self.flow(node.left)
            return
        sides = [self.flow(side) for side in (node.left, *node.comparators)]
        for left, right in pairwise(sides):
            if left.kind == right.kind == "unit":
                self._joined(left, right, "compares")

    def _operation(self, node: ast.BinOp) -> Flow:
        left, right = self.flow(node.left), self.flow(node.right)
        if left.kind == right.kind == "number" and type(node.op) in _FOLDED:
            return Flow("number", number=_fold(_FOLDED[type(node.op)], left.number, right.number))
        if isinstance(node.op, (ast.Add, ast.Sub)):
            return self._joined(
                left, right, "adds" if isinstance(node.op, ast.Add) else "subtracts"
            )
        if isinstance(node.op, ast.Mult):
            return _product(left, right, 1)
        if isinstance(node.op, ast.Div):
            return _product(left, right, -1)
        if isinstance(node.op, ast.Pow) and right.kind == "number" and right.number is not None:
            return _power(left, right.number)
        if isinstance(node.op, ast.Mod):
            # The turn that is taken off must be of the same unit.
            return self._joined(left, right, "divides")
        return _nothing(left, right)

    def _call(self, node: ast.Call) -> Flow:
        assert isinstance(node.func, ast.Name)
        name = node.func.id
        parts = [self.flow(argument) for argument in node.args]
        if name == "value":
            return Flow("bare", number=parts[0].number)
        if name in ("isfinite", "isnan"):
            return Flow("bare")
        if name in _CONVERSIONS:
            return self._converted(name, parts[0])
        if name == "abs":
            return Flow(parts[0].kind, parts[0].unit, parts[0].number)
        if name == "where":
            # parts[0] is a condition, its own units checked as it was walked.
            return self._joined(parts[1], parts[2], "chooses between")
        if name in ("minimum", "maximum", "hypot"):
            return self._joined(parts[0], parts[1], f"takes the {name} of")
        if name == "sqrt":
            return _power(parts[0], 0.5)
        if name in ("sin", "cos", "tan"):
            self._check_radians(name, node.args[0], parts[0])
        return _nothing(*parts)

    def _converted(self, name: str, angle: Flow) -> Flow:
        """The unit after degrees() or radians(); ValueError where the column is in another."""
        start, end = _CONVERSIONS[name]
        if angle.unit is None:
            factor = None if angle.number is None else angle.number * float(start.to(end))
            return Flow(angle.kind if angle.kind == "number" else "bare", number=factor)
        if angle.kind == "unit" and angle.unit != start:
            raise ValueError(
                f"column expression {self.expression.text!r}: {name} turns {start} into {end}, "
                f"and its argument is in {angle.unit}"
            )
        return Flow("unit", end, 1.0) if angle.kind == "unit" else Flow("unknown")

    def _check_radians(self, name: str, node: ast.expr, angle: Flow) -> None:
        """ValueError for an angle in degrees, or twice it, where radians are taken."""
        unit, factor = angle.unit, angle.number
        if unit is None or unit == u.rad or not unit.is_equivalent(u.rad):
            return
        mere = factor is not None and abs(factor) <= 16 and (4 * factor).is_integer()
        if angle.kind == "unit" or mere:
            columns = [
                self.expression.column_of(n) for n in ast.walk(node) if isinstance(n, ast.Name)
            ]
            listed = ", ".join(repr(c) for c in columns if c in self.units)
            raise ValueError(
                f"column expression {self.expression.text!r}: {name} takes radians, and {listed} "
                f"is in {unit}; multiply the angle by {_to_radians(unit)}"
            )

    def _joined(self, left: Flow, right: Flow, verb: str) -> Flow:
        """The unit of a sum or a choice; ValueError where units differ."""
        if {left.kind, right.kind} <= {"number", "bare"}:
            return Flow("bare")
        if left.kind == right.kind == "unit":
            if left.unit != right.unit:
                raise ValueError(
                    f"column expression {self.expression.text!r} {verb} values of different "
                    f"units, {left.unit} and {right.unit}: scale one of them to the other's unit"
                )
            return left
        known, other = (left, right) if left.kind == "unit" else (right, left)
        if known.kind == "unit" and other.kind == "number":
            same = other.number == 0 or known.unit == u.deg
            unit = known.unit
            if verb == "divides" and known is left and unit is not None and _is_angle(unit):
                # A whole or half turn in the column's own unit is taken off.
                turns = (other.number or 0.0) * float(unit.to(u.deg)) / 180.0
                same = (
                    same
                    or math.isclose(turns, 1, rel_tol=1e-6)
                    or math.isclose(turns, 2, rel_tol=1e-6)
                )
            return Flow("unit" if same else "scaled", known.unit)
        unit = left.unit if right.unit is None else right.unit
        if left.unit is not None and right.unit is not None and left.unit != right.unit:
            return Flow("unknown")
        return Flow("scaled", unit) if unit is not None else _nothing(left, right)


def _is_angle(unit: u.UnitBase) -> bool:
    return bool(unit.is_equivalent(u.rad))


def _fold(function: Any, left: float | None, right: float | None) -> float | None:
    if left is None or right is None:
        return None
    try:
        value = function(left, right)
    except (ArithmeticError, ValueError):
        return None
    return value if isinstance(value, float) and math.isfinite(value) else None


def _nothing(*parts: Flow) -> Flow:
    return Flow("bare" if {p.kind for p in parts} <= {"number", "bare"} else "unknown")


def _product(left: Flow, right: Flow, power: int) -> Flow:
    """The unit of ``left * right**power``."""
    number = _fold(operator.mul, left.number, _fold(operator.pow, right.number, float(power)))
    if "unknown" in (left.kind, right.kind):
        return Flow("unknown")
    if {left.kind, right.kind} <= {"number", "bare"}:
        # The factor of a column is followed where it is one column and numbers.
        return Flow("bare", number=number if "number" in (left.kind, right.kind) else None)
    unit = u.one if left.unit is None else left.unit
    if right.unit is not None:
        unit = unit * right.unit**power
    if {left.kind, right.kind} == {"unit"}:
        return Flow("unit", unit, 1.0)
    if left.kind == "unit" and right.kind == "number" and abs(right.number or 0) == 1:
        return Flow("unit", unit, number)
    if power == 1 and right.kind == "unit" and left.kind == "number" and abs(left.number or 0) == 1:
        return Flow("unit", unit, number)
    if "bare" in (left.kind, right.kind):
        number = None
    return Flow("scaled", unit, number)


def _power(base: Flow, exponent: float) -> Flow:
    if base.kind in ("number", "bare"):
        return Flow("bare")
    if base.unit is None or abs(exponent) > 16:
        return Flow("unknown")
    return Flow(base.kind, base.unit**exponent)


def _to_radians(unit: u.UnitBase) -> str:
    known = {"deg": "pi/180", "hourangle": "pi/12", "arcmin": "pi/10800", "arcsec": "pi/648000"}
    return known.get(str(unit), repr(float(unit.to(u.rad))))
