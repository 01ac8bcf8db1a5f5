"""Numbers of a scene: a number, or a distribution of one."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from dr_env.distributions import Constant, Distribution
from dr_env.errors import DREnvError
from dr_env.spec import schema


def _quantity(form: object) -> Distribution:
    """A distribution from its YAML form or a plain number."""
    try:
        found = form if isinstance(form, Distribution) else Distribution.from_dict(_constant(form))
    except DREnvError as error:
        raise ValueError(str(error)) from None  # pydantic adds where it stands
    if found.parents or found.size != 1:
        raise ValueError(f"a {found.type_name} distribution depends on others; a scene's numbers stand alone")
    return found


def _constant(form: object) -> object:
    is_number = isinstance(form, int | float) and not isinstance(form, bool)
    return {"type": "constant", "value": form} if is_number else form


def _plain(distribution: Distribution) -> Any:
    return distribution.value if isinstance(distribution, Constant) else distribution.to_dict()


_QUANTITY: dict[str, Any] = {"anyOf": [{"type": "number"}, schema.DISTRIBUTION]}

Quantity = Annotated[Distribution, BeforeValidator(_quantity), PlainSerializer(_plain), WithJsonSchema(_QUANTITY)]
"""A number, or a distribution of one."""


def _extents(form: object) -> object:
    return form if isinstance(form, list | tuple) else [form]


Extents = Annotated[
    tuple[Quantity, ...],
    BeforeValidator(_extents),
    PlainSerializer(lambda sizes: _plain(sizes[0]) if len(sizes) == 1 else [_plain(size) for size in sizes]),
    WithJsonSchema({"anyOf": [_QUANTITY, {"type": "array", "items": _QUANTITY, "minItems": 1, "maxItems": 3}]}),
]
"""One quantity, or one for each of x, y and z."""
