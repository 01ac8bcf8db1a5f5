"""The field table in words, for people."""

from __future__ import annotations

import itertools
import math

from dr_env.binding.derived import DERIVED
from dr_env.binding.fields import FIELDS, Field
from dr_env.binding.fields_image import IMAGED
from dr_env.binding.held import HELD


def describe_fields() -> str:
    """Every row of the field table as Markdown: units, limits, what moves along, stage, notes."""
    text = []
    for kind, fields in itertools.groupby(FIELDS, lambda field: field.kind):
        text += [f"## `{kind}`", "", "| field | unit | legal | changes | note |", "|---|---|---|---|---|"]
        for field in fields:
            index = f"[0..{field.components - 1}]" if field.components > 1 else ""
            cells = (f"`{field.name}{index}`", field.unit, _legal(field), _changes(field), field.note)
            text.append(f"| {' | '.join(cells)} |")
        text.append("")
    return "\n".join(text)


def _legal(field: Field) -> str:
    if field.allowed:
        return ", ".join(map(str, field.allowed))
    words = list(dict.fromkeys(_interval(field, i) for i in range(field.components)))
    parts = ["; ".join(words)] if words != ["any"] or not (field.keeps_sign or field.triangle) else []
    parts += ["keeps its sign"] if field.keeps_sign else []
    parts += ["low before high"] if field.ordered else []
    parts += ["none above the sum of the others"] if field.triangle else []
    return ", ".join(parts)


def _interval(field: Field, component: int) -> str:
    low, high = (float(end) for end in field.bounds(component))
    lower, upper = not math.isinf(low), not math.isinf(high)
    if lower and upper:
        return f"{low:g} .. {high:g}"
    if lower:
        return f"above {low:g}" if field.above_low else f"{low:g} or more"
    return f"{high:g} or less" if upper else "any"


def _changes(field: Field) -> str:
    """The model's arrays that follow."""
    if field.array in DERIVED:
        arrays = [*DERIVED[field.array].writes]
    elif field.array.startswith(IMAGED):
        return f"the {field.kind} image" if field.kind == "depth" else "the image"
    elif field.array.startswith(HELD):
        return "the environment"
    else:
        arrays = [field.array, *(array for array, _ in field.moves)]
    constants = ["constants"] if field.recompute or (field.array in DERIVED and not field.visual) else []
    return ", ".join([f"`{array}`" for array in arrays] + constants)
