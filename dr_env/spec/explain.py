"""What pydantic refuses, said in our words: file, line, key, got, expected, near match."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from dr_env.errors import DREnvError, near_match
from dr_env.spec.io import Lines, read_yaml

Path_ = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)


def locate(source: str, lines: Lines, path: Path_) -> str:
    """Where a key stands: `file.yaml:12 entries.torso_mass.select`."""
    line = next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), None)
    dotted = ".".join(map(str, path))
    return f"{source}:{line} {dotted}" if line else f"{source} {dotted}"


def explain(error: ValidationError, source: str, lines: Lines, parent: Callable[[Path_], type[BaseModel]]) -> str:
    """One line for each problem; `parent` gives the model that a path's last key belongs to."""
    messages = []
    for problem in error.errors():
        path = tuple(problem["loc"])
        where = locate(source, lines, path)
        got = problem.get("input")
        fields = parent(path).model_fields
        if problem["type"] == "extra_forbidden":
            near = near_match(path[-1], fields)
            hint = f"did you mean '{near}'? " if near else ""
            messages.append(f"{where}: unknown key '{path[-1]}'; {hint}keys: {', '.join(fields)}")
        elif problem["type"] == "missing":
            field = fields.get(str(path[-1]))  # none for a place in a list
            meaning = field.description if field else ""
            messages.append(f"{where}: missing{'; ' + meaning if meaning else ''}")
        elif problem["type"] == "literal_error":
            expected = str(problem["ctx"]["expected"])
            near = near_match(got, re.findall(r"'([^']+)'", expected))
            hint = f"; did you mean '{near}'?" if near else ""
            messages.append(f"{where}: got {got!r}, expected {expected}{hint}")
        else:
            text = problem["msg"].removeprefix("Value error, ")
            messages.append(f"{where}: got {got!r}: {text[0].lower()}{text[1:]}")
    return "\n".join(messages)


def read_settings(cls: type[Model], path: str | Path) -> Model:
    """Reads a flat YAML file into a pydantic model. Raises DREnvError naming file, line and key."""
    data, lines = read_yaml(path)
    if not isinstance(data, dict):
        raise DREnvError(f"{path}:1 got {type(data).__name__}, expected a mapping: {', '.join(cls.model_fields)}")
    try:
        return cls.model_validate(data)
    except ValidationError as error:
        raise DREnvError(explain(error, str(path), lines, lambda _: cls)) from None
