"""JSON schema of the parts of a Spec that are not pydantic models."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from dr_env.distributions import Distribution
from dr_env.spec.selector import KINDS

_NAMES: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}

SELECTOR: dict[str, Any] = {
    "anyOf": [
        {"const": "option"},
        *(
            {"type": "object", "properties": {kind: _NAMES}, "required": [kind], "additionalProperties": False}
            for kind in KINDS
            if kind != "option"
        ),
    ]
}


def _distribution(cls: type[Distribution]) -> dict[str, Any]:
    properties: dict[str, Any] = {"type": {"const": cls.type_name}}
    required = ["type"]
    for field in dataclasses.fields(cls):
        key = field.name.rstrip("_")
        listed = "tuple" in str(field.type)
        properties[key] = {"type": "array", "items": {"type": "number"}} if listed else {"type": "number"}
        if field.default is dataclasses.MISSING:
            required.append(key)
    return {
        "type": "object",
        "description": inspect.cleandoc(cls.__doc__ or "").partition("\n")[0],
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


DISTRIBUTION: dict[str, Any] = {"anyOf": [_distribution(cls) for cls in Distribution.registry.values()]}
