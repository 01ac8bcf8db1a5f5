"""What a distribution is: a frozen description with an inverse distribution function.

Every distribution samples through its quantile function, so keyed uniforms (`dr_env.rng`) and
NumPy generators give the same numbers by the same path, and two distributions that share uniforms
share random numbers.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dr_env.errors import DREnvError, unknown_name
from dr_env.rng import open_uniform

Array = NDArray[np.float64]
Shape = int | tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Tunable:
    """One number of a distribution that a tuner may change, with the bounds it may move in.

    Args:
        name: the number's key in the distribution, such as "low".
        value: its present value.
        low: the least value.
        high: the greatest value.
        log: whether the unit interval maps to it logarithmically; then 0 < low.
    """

    name: str
    value: float
    low: float
    high: float
    log: bool = False


@dataclasses.dataclass(frozen=True)
class Distribution(ABC):
    """A distribution of one real number; equal when type and numbers are equal.

    A few are of several numbers (`size`), or depend on other draws (`parents`), which `draw` and
    `log_prob_given` are then told.
    """

    type_name: ClassVar[str]
    registry: ClassVar[dict[str, type[Distribution]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "type_name" in cls.__dict__:
            Distribution.registry[cls.type_name] = cls

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None and field.default is None:
                continue
            if isinstance(value, list | tuple) and "tuple" in str(field.type):
                numbers = tuple(self._number(f"{_key(field)}[{i}]", v) for i, v in enumerate(value))
                object.__setattr__(self, field.name, numbers)
            else:
                object.__setattr__(self, field.name, self._number(_key(field), value))
        self._validate()

    def _number(self, key: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise self._error(key, value, "a number")
        if not math.isfinite(value):
            raise self._error(key, value, "a finite number")
        return float(value)

    def _error(self, key: str, got: object, expected: str) -> DREnvError:
        shown = f"{got:g}" if isinstance(got, float) else repr(got)
        return DREnvError(f"{key}: got {shown}, expected {expected} ({self.type_name} distribution)")

    def _validate(self) -> None:  # noqa: B027 - most distributions accept every finite number
        """Raises DREnvError naming the number that cannot be."""

    @property
    def discrete(self) -> bool:
        """Whether `log_prob` is of a mass, not of a density."""
        return False

    @property
    def size(self) -> int:
        """How many numbers a value has."""
        return 1

    @property
    def uniforms(self) -> int:
        """How many uniforms a value takes."""
        return 1

    @property
    def parents(self) -> tuple[str, ...]:
        """Names of the draws that this one depends on."""
        return ()

    def draw(self, uniform: Array, given: Mapping[str, Array]) -> Array:
        """Values from uniforms, given the parents' values, which broadcast against them."""
        return self.quantile(uniform)

    def log_prob_given(self, value: ArrayLike, given: Mapping[str, Array]) -> Array:
        """`log_prob`, given the parents' values."""
        return self.log_prob(value)

    def accepts(self, value: Array) -> NDArray[np.bool_]:
        """Which values (n, k) stay; the others are drawn again."""
        return np.ones(len(value), bool)

    def narrowed(self, share: float, centre: float) -> Distribution:
        """The same distribution with `share` of its spread around `centre`; what has no spread stays."""
        return self

    @abstractmethod
    def quantile(self, uniform: ArrayLike) -> Array:
        """The inverse distribution function, elementwise, for uniforms in (0, 1)."""

    @abstractmethod
    def log_prob(self, value: ArrayLike) -> Array:
        """Log density (log mass where `discrete`), elementwise; -inf outside the support."""

    @abstractmethod
    def entropy(self) -> float:
        """Differential entropy (Shannon entropy where `discrete`), in nats."""

    @abstractmethod
    def support(self) -> tuple[float, float]:
        """The least and greatest value, infinite where unbounded."""

    @abstractmethod
    def mean(self) -> float:
        """The expected value."""

    def sample(self, rng: np.random.Generator, shape: Shape = ()) -> Array:
        """Draws values of the given shape."""
        return self.quantile(open_uniform(rng, shape))

    def standardize(self, value: ArrayLike) -> Array:
        """Values mapped so that the support, or its middle 99 % where unbounded, becomes -1 .. 1; elementwise.

        A value that never varies becomes 0.
        """
        return scaled(np.asarray(value, np.float64), *self.span())

    def span(self, tail: float = 0.005) -> tuple[float, float]:
        """The support; where it is unbounded, what lies between both tails of such a probability."""
        low, high = self.support()
        if not (math.isfinite(low) and math.isfinite(high)):
            low, high = self.quantile([tail, 1 - tail]).tolist()
        return low, high

    def tunables(self, bounds: tuple[float, float] | None = None) -> tuple[Tunable, ...]:
        """The numbers that a tuner may change.

        Args:
            bounds: the widest range of values to explore; by default about three times the
                present width, never changing sign.
        """
        return ()

    def replace(self, **numbers: float) -> Distribution:
        """The same distribution with other numbers; a crossed low and high are put in order."""
        if {"low", "high"} <= numbers.keys() and numbers["low"] > numbers["high"]:
            numbers = {**numbers, "low": numbers["high"], "high": numbers["low"]}
        names = {_key(field): field.name for field in dataclasses.fields(self)}
        return dataclasses.replace(self, **{names[key]: value for key, value in numbers.items()})

    def to_dict(self) -> dict[str, Any]:
        """The YAML form: `type` and the numbers."""
        form: dict[str, Any] = {"type": self.type_name}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not None:
                form[_key(field)] = list(value) if isinstance(value, tuple) else value
        return form

    @staticmethod
    def from_dict(form: object) -> Distribution:
        """Reads the YAML form. Raises DREnvError naming the key that is wrong."""
        if not isinstance(form, Mapping):
            raise DREnvError(f"got {form!r}, expected a mapping such as {{type: uniform, low: 0.7, high: 1.3}}")
        registry = Distribution.registry
        if "type" not in form:
            raise DREnvError(f"type: missing; types: {', '.join(sorted(registry))}")
        if not isinstance(form["type"], str) or form["type"] not in registry:
            raise DREnvError(f"type: {unknown_name('distribution', str(form['type']), registry)}")
        return registry[form["type"]]._from_form(form)

    @classmethod
    def _from_form(cls, form: Mapping[str, Any]) -> Distribution:
        fields = {_key(field): field for field in dataclasses.fields(cls)}
        optional = [key for key, field in fields.items() if field.default is not dataclasses.MISSING]
        cls._check_keys(form, tuple(fields), optional)
        return cls(**{fields[key].name: value for key, value in form.items() if key != "type"})

    @classmethod
    def _check_keys(cls, form: Mapping[str, Any], names: Sequence[str], optional: Sequence[str] = ()) -> None:
        for key in form:
            if key != "type" and key not in names:
                raise DREnvError(f"{key}: {unknown_name('key', key, names)} ({cls.type_name} distribution)")
        for key in names:
            if key not in form and key not in optional:
                raise DREnvError(f"{key}: missing; a {cls.type_name} distribution has {', '.join(names)}")


def _key(field: dataclasses.Field[Any]) -> str:
    """A number's key in YAML: the field's name, less the underscore that avoids a method's name."""
    return field.name.rstrip("_")


def scaled(values: Array, low: float, high: float) -> Array:
    """Values mapped so that low .. high becomes -1 .. 1, or all 0 where the two are equal."""
    return (2 * values - (low + high)) / (high - low) if high > low else np.zeros_like(values)


def widened(low: float, high: float) -> tuple[float, float]:
    """The range a tuner explores by default: each side moved by the width, never past 0."""
    width = high - low if high > low else max(abs(low), 1.0)
    least, most = low - width, high + width
    if low >= 0:
        least = max(least, low / 10)
    if high <= 0:
        most = min(most, high / 10)
    return least, most
