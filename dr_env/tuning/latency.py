"""Commands that act late: the delay that nearly every robot has and few models do."""

from __future__ import annotations

import math

from dr_env.errors import DREnvError
from dr_env.spec import Spec

LATENCY = "latency"
"""What the entry is called."""


def delays_of(spec: Spec) -> tuple[str, ...]:
    """The entries that vary how late actuators act."""
    return tuple(name for name in _late(spec) if spec.entries[name].distribution.type_name != "constant")


def tells_latency(spec: Spec) -> bool:
    """Whether a Spec says how late actuators act: by entries that vary it, or by one that `with_latency` added."""
    return bool(delays_of(spec)) or LATENCY in _late(spec)


def _late(spec: Spec) -> list[str]:
    return [n for n, entry in spec.entries.items() if (entry.select.kind, entry.field_name) == ("actuator", "delay")]


def with_latency(spec: Spec, longest: float, name: str = LATENCY) -> Spec:
    """The Spec and an entry called `name`: all actuators act the same 0 .. `longest` s later than they do otherwise.

    Raises:
        DREnvError: no time above 0, or a Spec that varies how late actuators act, or calls something else so.
    """
    if not (math.isfinite(longest) and longest > 0):
        raise DREnvError(f"latency: got {longest:g} s, expected a time above 0")
    if has := delays_of(spec):
        raise DREnvError(
            f"{spec.where(has[0], 'field')}: it varies how late actuators act; widen its range instead of adding one "
            "(leave out --latency)"
        )
    if name in spec.drawn:
        raise DREnvError(f"{spec.where(name)}: '{name}' is what the entry that is added is called; rename this one")
    entry = {
        "select": {"actuator": "*"},
        "field": "delay",
        "operation": "add",
        "distribution": {"type": "uniform", "low": 0.0, "high": longest},
    }
    form = spec.to_dict()
    return Spec.from_dict({**form, "entries": {**form["entries"], name: entry}}, spec.source)
