"""The column map: which columns of which files are a model's positions, velocities and controls."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from dr_env.errors import DREnvError, unknown_name
from dr_env.spec.explain import explain
from dr_env.spec.io import Lines, read_yaml

FORMAT: Literal["dr_env/logs/1"] = "dr_env/logs/1"

POSITIONS = {
    "1": 1.0, "rad": 1.0, "deg": math.pi / 180, "turn": 2 * math.pi, "mrad": 1e-3,
    "m": 1.0, "cm": 1e-2, "mm": 1e-3, "inch": 0.0254,
}  # fmt: skip
RATES = {
    "1": 1.0, "rad/s": 1.0, "deg/s": math.pi / 180, "rpm": math.pi / 30, "turn/s": 2 * math.pi,
    "m/s": 1.0, "cm/s": 1e-2, "mm/s": 1e-3,
}  # fmt: skip
UNITS = {
    **POSITIONS, **RATES,
    "N": 1.0, "mN": 1e-3, "N m": 1.0, "mN m": 1e-3, "V": 1.0, "mV": 1e-3, "A": 1.0, "mA": 1e-3,
    "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9,
}  # fmt: skip
"""Factors to SI, by name."""
_CLOCKS = ("s", "ms", "us", "ns")
_CONTROLS = {name: factor for name, factor in UNITS.items() if name not in _CLOCKS}
_FITTING = {"qpos": ("position", POSITIONS), "qvel": ("velocity", RATES), "ctrl": ("control", _CONTROLS)}

LENGTHS = frozenset({"m", "cm", "mm", "inch", "m/s", "cm/s", "mm/s"})
ANGLES = frozenset(POSITIONS.keys() | RATES.keys()) - LENGTHS - {"1"}

CHECKS = ("nan", "jump", "range", "pair", "sign", "unit", "lag", "gap", "clipping")
"""What is looked for; those listed under `accept` are let pass."""

_KEY = re.compile(r"^(qpos|qvel|ctrl)\[(.+?)\]$")
_SOURCE = re.compile(r"^(.*?)(?:\[(\d+)\])?$")


class Column(BaseModel):
    """Where the numbers of one joint or actuator come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: tuple[str, ...] = Field(description="names of columns or arrays; name[2] for one column of an array")
    unit: str = Field(default="1", description="the unit they are in; SI by default")
    scale: float = Field(default=1.0, description="a factor beside the unit's, such as -1 or a gear ratio")
    offset: float = Field(default=0.0, description="added after scaling, in SI")
    delay: float = Field(default=0.0, description="s by which the numbers are late; may be negative")
    dead: float = Field(default=0.0, ge=0, description="s at the start in which commands have no effect yet")
    quaternion: Literal["wxyz", "xyzw"] = Field(default="wxyz", description="the order of a quaternion's numbers")
    time: str | None = Field(default=None, description="these columns' own clock, resampled to the others'")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, form: Any) -> Any:
        if isinstance(form, str | list):
            form = {"source": form}
        if isinstance(form, dict) and isinstance(form.get("source"), str):
            form = {**form, "source": [form["source"]]}
        return form

    @field_validator("unit")
    @classmethod
    def _unit(cls, value: str) -> str:
        if value not in UNITS:
            raise DREnvError(f"unit: {unknown_name('unit', value, UNITS)}")
        return value

    @field_validator("delay", "offset", "dead")
    @classmethod
    def _finite(cls, value: float) -> float:
        if not math.isfinite(value):
            raise DREnvError(f"delay, offset, dead: got {value:g}, expected finite numbers")
        return value

    @field_validator("scale")
    @classmethod
    def _scale(cls, value: float) -> float:
        if value == 0 or not math.isfinite(value):
            raise DREnvError(f"scale: got {value:g}, expected a finite number other than 0")
        return value


class Episodes(BaseModel):
    """How one table holds several recordings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    length: str | None = Field(default=None, description="an array of lengths, one recording after the other")
    id: str | None = Field(default=None, description="a column that changes from one recording to the next")

    @model_validator(mode="after")
    def _one(self) -> Episodes:
        if (self.length is None) == (self.id is None):
            raise DREnvError("episodes: expected either length or id")
        return self


class Velocity(BaseModel):
    """How velocities are estimated where no column gives them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["savitzky_golay", "central"] = Field(default="savitzky_golay", description="the estimator")
    window: float = Field(default=0.05, gt=0, description="s of data that a Savitzky-Golay polynomial is fitted to")
    order: int = Field(default=3, ge=1, le=5, description="the polynomial's order")


class LogMap(BaseModel):
    """A file of recordings' columns."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["dr_env/logs/1"] = Field(default=FORMAT, description="the version of this file format")
    files: tuple[str, ...] = Field(description="files, or globs of them, beside this file or under --data")
    time: str | None = Field(default=None, description="the column of time")
    time_unit: Literal["s", "ms", "us", "ns"] = Field(default="s", description="its unit")
    rate: float | None = Field(default=None, gt=0, description="samples a second, where there is no column of time")
    columns: dict[str, Column] = Field(description="qpos[joint], qvel[joint] and ctrl[actuator]")
    episodes: Episodes | None = Field(default=None, description="several recordings in one table")
    resample: float | None = Field(default=None, gt=0, description="samples a second to resample to")
    velocity: Velocity = Field(default_factory=Velocity, description="estimates where no column has velocities")
    before: Literal["hold", "zero", "rest"] = Field(
        default="hold",
        description="before the recording its first control was in force, or none, or none and all stood still",
    )
    accept: tuple[str, ...] = Field(default=(), description="findings to let pass")

    @field_validator("files", mode="before")
    @classmethod
    def _files(cls, form: Any) -> Any:
        return [form] if isinstance(form, str) else form

    @field_validator("files")
    @classmethod
    def _some_files(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise DREnvError("files: got none, expected the names of files, or globs of them")
        return value

    @field_validator("accept")
    @classmethod
    def _accept(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in CHECKS:
                raise DREnvError(f"accept: {unknown_name('check', name, CHECKS)}")
        return value

    @field_validator("columns")
    @classmethod
    def _columns(cls, value: dict[str, Column]) -> dict[str, Column]:
        for key, column in value.items():
            if not _KEY.match(key):
                raise DREnvError(f"{key}: expected qpos[joint], qvel[joint] or ctrl[actuator]")
            if not column.source:
                raise DREnvError(f"{key}: source: got an empty list, expected the name of a column, or some")
            if column.dead and not key.startswith("ctrl"):
                raise DREnvError(f"{key}: dead: is of controls, which have no effect at first; expected it at a ctrl")
            what, fitting = _FITTING[key[:4]]
            if column.unit not in fitting:
                raise DREnvError(f"{key}: got the unit {column.unit}, expected one of a {what}: {', '.join(fitting)}")
        if not any(key.startswith("q") for key in value):
            raise DREnvError("expected at least one qpos[joint]")
        return value

    @model_validator(mode="after")
    def _clock(self) -> LogMap:
        if (self.time is None) == (self.rate is None):
            raise DREnvError("time: expected a column of time or a rate, one of the two")
        return self

    @classmethod
    def load(cls, path: str | Path) -> LogMap:
        """Reads a column map. Raises DREnvError naming file, line and key."""
        data, lines = read_yaml(path)
        if not isinstance(data, dict):
            raise DREnvError(f"{path}:1 got {type(data).__name__}, expected a mapping: {', '.join(cls.model_fields)}")
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise DREnvError(explain(error, str(path), lines, _owner)) from None
        except DREnvError as error:
            raise DREnvError(f"{_place(str(path), data, lines, str(error))}{error}") from None


def parse_key(key: str) -> tuple[str, str]:
    """`qpos[shoulder]` as (qpos, shoulder)."""
    match = _KEY.match(key)
    if match is None:
        raise DREnvError(f"{key}: expected qpos[joint], qvel[joint] or ctrl[actuator]")
    return match[1], match[2]


def parse_source(source: str) -> tuple[str, int | None]:
    """`states[2]` as (states, 2)."""
    match = _SOURCE.match(source)
    return (match[1], int(match[2]) if match[2] else None) if match else (source, None)


def _owner(path: tuple[str | int, ...]) -> type[BaseModel]:
    nested: dict[str | int, type[BaseModel]] = {"columns": Column, "episodes": Episodes, "velocity": Velocity}
    depth = 3 if path[0] == "columns" else 2
    return nested[path[0]] if path[0] in nested and len(path) >= depth else LogMap


def _place(source: str, data: dict[str, Any], lines: Lines, message: str) -> str:
    """Where the key that a message begins with stands: `logs.yaml:7 columns.qpos[hip].`."""
    key = message.split(":", 1)[0]
    for path, line in lines.items():
        if path and path[-1] == key:
            prefix = ".".join(map(str, path[:-1]))
            return f"{source}:{line} {prefix + '.' if prefix else ''}"
    return f"{source}:1 "
