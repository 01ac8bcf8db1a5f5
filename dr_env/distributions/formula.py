"""Formulas over named numbers: parsed once, evaluated on arrays, nothing else can run."""

from __future__ import annotations

import ast
import keyword
import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError, unknown_name

Array = NDArray[np.float64]
_CLIP = re.compile(r"(?:exp\()?clip\(.*, ([-+.e\d]+), ([-+.e\d]+)\)+")
_LONG = 120  # characters of a formula that an error shows
_WORD = re.compile(r"[^\W\d]\w*")

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
FUNCTIONS: dict[str, tuple[Callable[..., Any], int]] = {
    "abs": (np.abs, 1),
    "sqrt": (np.sqrt, 1),
    "exp": (np.exp, 1),
    "log": (np.log, 1),
    "sin": (np.sin, 1),
    "cos": (np.cos, 1),
    "tanh": (np.tanh, 1),
    "round": (np.round, 1),
    "min": (np.minimum, 2),
    "max": (np.maximum, 2),
    "clip": (np.clip, 3),
}
"""What a formula may call, and with how many arguments."""
CONSTANTS = {"pi": math.pi}
"""Names that stand for a number of their own."""


class Formula:
    """A formula such as `1 + 0.1 * payload` or `0.2 if depth > 3 else posterior.mass`.

    It may hold numbers, names (`posterior.mass` is one too), `+ - * / **`, comparisons, `a if b else c`
    and the functions of `FUNCTIONS`; it is never handed to Python's own `eval`. Names are read as they are written.

    Args:
        text: the formula.

    Raises:
        DREnvError: it does not parse, or holds anything else.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            self._tree = ast.parse(text, mode="eval").body
            names: list[str] = []
            self._check(self._tree, names)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            reserved = [word for word in _WORD.findall(text) if keyword.iskeyword(word) and word not in ("if", "else")]
            if reserved:
                raise DREnvError(f"in {text!r}: no name can be '{reserved[0]}', a word of Python's") from error
            shown = repr(text) if len(text) < _LONG else f"{text[:_LONG]!r}... ({len(text)} characters)"
            raise DREnvError(f"got {shown}, expected a formula such as 1 + 0.1 * payload") from error
        self.names = tuple(dict.fromkeys(names))
        """The names it reads, in order of appearance."""

    def _check(self, node: ast.expr, names: list[str]) -> None:
        _respell(node, self.text)
        name = _name(node)
        if name is not None:
            names += [name] if name not in CONSTANTS else []
        elif isinstance(node, ast.Call):
            if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
                called = ast.unparse(node.func)
                raise DREnvError(f"in {self.text!r}: {unknown_name('function', called, FUNCTIONS)}")
            count = FUNCTIONS[node.func.id][1]
            if len(node.args) != count or node.keywords:
                raise DREnvError(f"in {self.text!r}: {node.func.id} takes {count} argument{'s' * (count > 1)}")
        elif not (
            (isinstance(node, ast.BinOp) and type(node.op) in _BINARY)
            or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd))
            or (isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARE)
            or isinstance(node, ast.IfExp)
            or (isinstance(node, ast.Constant) and type(node.value) in (int, float))
        ):
            raise DREnvError(f"in {self.text!r}: a formula has no {ast.unparse(node)!r}")
        if name is None:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr) and not (isinstance(node, ast.Call) and child is node.func):
                    self._check(child, names)

    def __call__(self, given: Mapping[str, Array]) -> Array:
        """The formula's value, broadcast over the arrays given; not finite where it has none."""
        with np.errstate(all="ignore"):
            return np.asarray(_value(self._tree, given), np.float64)


def _respell(node: ast.expr, text: str) -> None:
    """Gives a name the letters of the text, some of which Python's parser replaces (NFKC)."""
    if isinstance(node, ast.Name):
        node.id = ast.get_source_segment(text, node) or node.id
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        _respell(node.value, text)
        node.attr = (ast.get_source_segment(text, node) or node.attr).rpartition(".")[2].strip()


def _name(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return None


def _value(node: ast.expr, given: Mapping[str, Array]) -> Any:
    name = _name(node)
    if name is not None:
        return CONSTANTS[name] if name in CONSTANTS else given[name]
    if isinstance(node, ast.Constant):
        return np.float64(node.value)  # type: ignore[arg-type]
    if isinstance(node, ast.BinOp):
        return _BINARY[type(node.op)](_value(node.left, given), _value(node.right, given))
    if isinstance(node, ast.UnaryOp):
        value = _value(node.operand, given)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.Compare):
        holds = _COMPARE[type(node.ops[0])](_value(node.left, given), _value(node.comparators[0], given))
        return np.asarray(holds, np.float64)  # 1 or 0, which can be counted with
    if isinstance(node, ast.IfExp):
        return np.where(_value(node.test, given), _value(node.body, given), _value(node.orelse, given))
    assert isinstance(node, ast.Call)
    assert isinstance(node.func, ast.Name)
    return FUNCTIONS[node.func.id][0](*(_value(argument, given) for argument in node.args))


def reflected(name: str, low: float, high: float) -> str:
    """The formula of a number that is brought within limits by reflection at them; `limits` reads them again."""
    inside = f"{high!r} - abs({high!r} - {low!r} - abs({name} - {low!r}))"
    return f"clip({inside}, {low!r}, {high!r})".replace("- -", "+ ")


def limits(formula: str) -> tuple[float, float] | None:
    """The limits that `reflected` wrote, also within an exp(); None for other formulas."""
    match = _CLIP.fullmatch(formula)
    return (float(match[1]), float(match[2])) if match else None
