"""JSON schema of the parts of a Spec that are not pydantic models."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from dr_env.distributions import Categorical, Distribution, Empirical, Expression, Joint, JointNormal, Mixture, Switch
from dr_env.spec.selector import KINDS

_NAMES: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
_NUMBER: dict[str, Any] = {"type": "number"}
_NUMBERS: dict[str, Any] = {"type": "array", "items": _NUMBER}
_TABLE: dict[str, Any] = {"type": "array", "items": _NUMBERS, "minItems": 1}

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


def _object(cls: type[Distribution], properties: dict[str, Any], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "type": "object",
        "description": inspect.cleandoc(cls.__doc__ or "").partition("\n")[0],
        "properties": {"type": {"const": cls.type_name}, **properties},
        "required": ["type", *(key for key in properties if key not in optional)],
        "additionalProperties": False,
    }


def _simple(cls: type[Distribution]) -> dict[str, Any]:
    fields = {field.name.rstrip("_"): field for field in dataclasses.fields(cls)}
    optional = tuple(key for key, field in fields.items() if field.default is not dataclasses.MISSING)
    return _object(cls, {k: _NUMBERS if "tuple" in str(f.type) else _NUMBER for k, f in fields.items()}, optional)


def _map(values: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": values, "minProperties": 1}


def _weighted(form: dict[str, Any]) -> dict[str, Any]:
    return {**form, "properties": {"weight": _NUMBER, **form["properties"]}}


_MADE_OF_OTHERS = (Categorical, Expression, Joint, Mixture, Switch)
_SIMPLE = [_simple(cls) for cls in Distribution.registry.values() if not issubclass(cls, _MADE_OF_OTHERS)]
_MIXTURE = _object(
    Mixture,
    {"components": {"type": "array", "items": {"anyOf": [_weighted(form) for form in _SIMPLE]}, "minItems": 1}},
)
_JOINT_NAMES = {"type": "array", "items": {"type": "string"}, "minItems": 1}

DISTRIBUTION: dict[str, Any] = {
    "anyOf": [
        *_SIMPLE,
        _MIXTURE,
        _object(Categorical, {"cases": _map(_NUMBER)}),
        _object(Switch, {"variable": {"type": "string"}, "cases": _map({"anyOf": [*_SIMPLE, _MIXTURE]})}),
        _object(
            Expression, {"formula": {"type": ["string", "number"]}, "low": _NUMBER, "high": _NUMBER}, ("low", "high")
        ),
        _object(
            JointNormal,
            {"names": _JOINT_NAMES, "mean": _NUMBERS, "covariance": _TABLE, "low": _NUMBERS, "high": _NUMBERS},
            ("low", "high"),
        ),
        _object(
            Empirical,
            {"names": _JOINT_NAMES, "samples": _TABLE, "weights": _NUMBERS, "bandwidth": _NUMBER},
            ("weights", "bandwidth"),
        ),
    ]
}
