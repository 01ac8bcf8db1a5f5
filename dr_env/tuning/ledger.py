"""What tuning has cost, in one count for every method."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from dr_env.errors import DREnvError, unknown_name


@dataclasses.dataclass(frozen=True)
class Ledger:
    """Costs of tuning. Ledgers add up; methods are compared at equal target cost."""

    target_steps: int = 0  # control steps on the target
    target_episodes: int = 0  # episodes or recordings on the target
    sim_steps: int = 0  # control steps in simulation, training included
    policies: int = 0  # policies trained
    seconds: float = 0.0  # wall-clock time

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            whole = field.name != "seconds"
            if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not value >= 0:
                kind = "a whole number" if whole else "a number"
                raise DREnvError(f"ledger.{field.name}: got {value!r}, expected {kind} not below 0")

    def __add__(self, other: Ledger) -> Ledger:
        return Ledger(**{key: value + getattr(other, key) for key, value in dataclasses.asdict(self).items()})

    def to_dict(self) -> dict[str, Any]:
        """The counts as plain data for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> Ledger:
        """Reads what `to_dict` gave. Raises DREnvError naming the count that is wrong."""
        names = [field.name for field in dataclasses.fields(cls)]
        for key in form:
            if key not in names:
                raise DREnvError(f"ledger: {unknown_name('count', key, names)}")
        return cls(**form)
