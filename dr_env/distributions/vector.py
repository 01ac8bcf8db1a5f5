"""The tunable numbers of a Spec as one named, bounded vector."""

from __future__ import annotations

import dataclasses
import fnmatch
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dr_env.distributions.base import Distribution, Tunable
from dr_env.errors import DREnvError, unknown_name

_DIGITS = 12


@dataclasses.dataclass(frozen=True)
class ParameterVector:
    """Named numbers with bounds, and their map to the unit cube and back.

    `from_unit` rounds to twelve digits of each number's range. So `from_unit(to_unit())` gives
    back exactly every number written with up to twelve digits, and everything that `from_unit`
    ever gave; other numbers to one part in 10**12 of their range.
    """

    names: tuple[str, ...]
    tunables: tuple[Tunable, ...]

    @classmethod
    def of(
        cls,
        distributions: Mapping[str, Distribution],
        bounds: Mapping[str, tuple[float, float] | None] | None = None,
    ) -> ParameterVector:
        """Collects the numbers of named distributions, as `entry.number`.

        Raises DREnvError when a number lies outside the bounds given for its entry, or two have one name.
        """
        names: list[str] = []
        tunables: list[Tunable] = []
        for entry, distribution in distributions.items():
            for tunable in distribution.tunables((bounds or {}).get(entry)):
                name = f"{entry}.{tunable.name}"
                if not tunable.low <= tunable.value <= tunable.high:
                    raise DREnvError(
                        f"{name}: got {tunable.value:g}, expected a number within its bounds "
                        f"{tunable.low:g} .. {tunable.high:g}"
                    )
                if tunable.log and tunable.low <= 0:
                    raise DREnvError(f"{name}: bounds start at {tunable.low:g}, expected above 0 (log scale)")
                if name in names:
                    raise DREnvError(f"{name}: two numbers have this name, one of them of '{entry}'; rename the entry")
                names.append(name)
                tunables.append(tunable)
        return cls(tuple(names), tuple(tunables))

    def __len__(self) -> int:
        return len(self.names)

    @property
    def values(self) -> NDArray[np.float64]:
        """The numbers, (d,)."""
        return np.array([tunable.value for tunable in self.tunables], np.float64)

    @property
    def low(self) -> NDArray[np.float64]:
        """The lower bounds, (d,)."""
        return np.array([tunable.low for tunable in self.tunables], np.float64)

    @property
    def high(self) -> NDArray[np.float64]:
        """The upper bounds, (d,)."""
        return np.array([tunable.high for tunable in self.tunables], np.float64)

    def to_dict(self) -> dict[str, float]:
        """The numbers by name."""
        return {name: tunable.value for name, tunable in zip(self.names, self.tunables, strict=True)}

    def to_unit(self) -> NDArray[np.float64]:
        """The numbers mapped to 0 .. 1, (d,)."""
        return np.array([_to_unit(tunable) for tunable in self.tunables], np.float64)

    def from_unit(self, unit: ArrayLike) -> ParameterVector:
        """The vector at a point of the unit cube, (d,); values outside 0 .. 1 are refused."""
        point = np.asarray(unit, np.float64)
        self._check_shape(point)
        for name, u in zip(self.names, point, strict=True):
            if not 0 <= u <= 1:
                raise DREnvError(f"{name}: got {u:g}, expected a number within 0 .. 1")
        return self.replace([_from_unit(t, float(u)) for t, u in zip(self.tunables, point, strict=True)])

    def replace(self, values: ArrayLike | Mapping[str, float]) -> ParameterVector:
        """The vector with other numbers, (d,) or some of them by name; the bounds stay."""
        if isinstance(values, Mapping):
            for name in values:
                if name not in self.names:
                    raise DREnvError(unknown_name("parameter", name, self.names))
            values = [float({**self.to_dict(), **values}[name]) for name in self.names]
        numbers = np.asarray(values, np.float64)
        self._check_shape(numbers)
        tunables = []
        for name, tunable, number in zip(self.names, self.tunables, numbers.tolist(), strict=True):
            if not tunable.low <= number <= tunable.high:
                raise DREnvError(
                    f"{name}: got {number:g}, expected a number within {tunable.low:g} .. {tunable.high:g}"
                )
            tunables.append(dataclasses.replace(tunable, value=number))
        return ParameterVector(self.names, tuple(tunables))

    def matching(self, patterns: Sequence[str]) -> ParameterVector:
        """The numbers whose names match one of some globs, such as `light_*`; the pattern may also be an entry's name.

        Raises DREnvError for a pattern that matches nothing.
        """
        for pattern in patterns:
            if not any(_matches(name, pattern) for name in self.names):
                raise DREnvError(unknown_name("parameter", pattern, self.names))
        kept = [any(_matches(name, pattern) for pattern in patterns) for name in self.names]
        names, tunables = (
            tuple(part for part, wanted in zip(parts, kept, strict=True) if wanted)
            for parts in (self.names, self.tunables)
        )
        return ParameterVector(names, tunables)  # type: ignore[arg-type]

    def update(self, distributions: Mapping[str, Distribution]) -> dict[str, Distribution]:
        """The distributions with this vector's numbers; entries that it does not name stay."""
        numbers: dict[str, dict[str, float]] = {}
        for name, tunable in zip(self.names, self.tunables, strict=True):
            numbers.setdefault(name.removesuffix(f".{tunable.name}"), {})[tunable.name] = tunable.value
        for entry in numbers:
            if entry not in distributions:
                raise DREnvError(unknown_name("entry", entry, distributions, "entries"))
        return {
            entry: distribution.replace(**numbers[entry]) if entry in numbers else distribution
            for entry, distribution in distributions.items()
        }

    def _check_shape(self, array: NDArray[np.float64]) -> None:
        if array.shape != (len(self),):
            raise DREnvError(f"parameters: got shape {array.shape}, expected ({len(self)},): {', '.join(self.names)}")


def _matches(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name.rpartition(".")[0], pattern)


def _to_unit(tunable: Tunable) -> float:
    if tunable.high == tunable.low:
        return 0.5
    if tunable.log:
        return math.log(tunable.value / tunable.low) / math.log(tunable.high / tunable.low)
    return (tunable.value - tunable.low) / (tunable.high - tunable.low)


def _from_unit(tunable: Tunable, unit: float) -> float:
    if tunable.high == tunable.low:
        return tunable.low
    if tunable.log:
        value = float(f"{tunable.low * (tunable.high / tunable.low) ** unit:.{_DIGITS - 1}e}")
    else:
        width = tunable.high - tunable.low
        digits = _DIGITS - math.ceil(math.log10(width))
        value = round(tunable.low + unit * width, digits)
    return min(max(value, tunable.low), tunable.high)
