"""Discrete distributions; `log_prob` is the log of a probability mass."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from dr_env.distributions.base import Array, Distribution, Tunable, widened


@dataclasses.dataclass(frozen=True)
class Constant(Distribution):
    """Always `value`."""

    value: float
    type_name: ClassVar[str] = "constant"

    @property
    def discrete(self) -> bool:
        return True

    def quantile(self, uniform: ArrayLike) -> Array:
        return np.full(np.shape(uniform), self.value)

    def log_prob(self, value: ArrayLike) -> Array:
        return np.where(np.asarray(value, np.float64) == self.value, 0.0, -np.inf)

    def entropy(self) -> float:
        return 0.0

    def support(self) -> tuple[float, float]:
        return self.value, self.value

    def mean(self) -> float:
        return self.value

    def tunables(self, bounds: tuple[float, float] | None = None) -> tuple[Tunable, ...]:
        return (Tunable("value", self.value, *(bounds or widened(self.value, self.value))),)


@dataclasses.dataclass(frozen=True)
class Integer(Distribution):
    """Every whole number from `low` to `high`, both included, alike."""

    low: float
    high: float
    type_name: ClassVar[str] = "integer"

    @property
    def discrete(self) -> bool:
        return True

    def _validate(self) -> None:
        for key in ("low", "high"):
            if getattr(self, key) != math.floor(getattr(self, key)):
                raise self._error(key, getattr(self, key), "a whole number")
        if self.high < self.low:
            raise self._error("high", self.high, f"a whole number not below low = {self.low:g}")

    def _count(self) -> float:
        return self.high - self.low + 1

    def quantile(self, uniform: ArrayLike) -> Array:
        steps = np.floor(np.asarray(uniform, np.float64) * self._count())
        return np.clip(self.low + steps, self.low, self.high)

    def log_prob(self, value: ArrayLike) -> Array:
        x = np.asarray(value, np.float64)
        inside = (x >= self.low) & (x <= self.high) & (x == np.floor(x))
        return np.where(inside, -self.entropy(), -np.inf)

    def entropy(self) -> float:
        return math.log(self._count())

    def support(self) -> tuple[float, float]:
        return self.low, self.high

    def narrowed(self, share: float, centre: float) -> Integer:
        low, high = (round(centre + share * (end - centre)) for end in (self.low, self.high))
        return Integer(low, high)

    def mean(self) -> float:
        return 0.5 * (self.low + self.high)

    def tunables(self, bounds: tuple[float, float] | None = None) -> tuple[Tunable, ...]:
        """Its ends, where bounds are given: without them whole numbers may be names, such as those of textures."""
        if bounds is None:
            return ()
        return Tunable("low", self.low, *bounds), Tunable("high", self.high, *bounds)

    def replace(self, **numbers: float) -> Distribution:
        return super().replace(**{key: round(value) for key, value in numbers.items()})


@dataclasses.dataclass(frozen=True)
class Choice(Distribution):
    """One of `values`, with probability in proportion to `weights` (equal by default)."""

    values: tuple[float, ...]
    weights: tuple[float, ...] | None = None
    type_name: ClassVar[str] = "choice"

    @property
    def discrete(self) -> bool:
        return True

    def _validate(self) -> None:
        if not isinstance(self.values, tuple) or not self.values:
            raise self._error("values", self.values, "a list of at least one number")
        if len(set(self.values)) < len(self.values):
            raise self._error("values", self.values, "different numbers; use weights for odds")
        if self.weights is not None:
            if not isinstance(self.weights, tuple) or len(self.weights) != len(self.values):
                raise self._error("weights", self.weights, f"{len(self.values)} numbers, one a value")
            if min(self.weights) < 0 or sum(self.weights) <= 0:
                raise self._error("weights", self.weights, "numbers not below 0, one of them above")

    def _probabilities(self) -> Array:
        weights = np.ones(len(self.values)) if self.weights is None else np.array(self.weights)
        return np.asarray(weights / weights.sum())

    def quantile(self, uniform: ArrayLike) -> Array:
        probabilities = self._probabilities()
        edges = np.cumsum(probabilities)
        last = int(np.flatnonzero(probabilities)[-1])  # the sum may fall short of 1 by rounding
        index = np.searchsorted(edges, np.asarray(uniform, np.float64), side="right")
        return np.array(self.values)[np.minimum(index, last)]

    def log_prob(self, value: ArrayLike) -> Array:
        matches = np.asarray(value, np.float64)[..., None] == np.array(self.values)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log((matches * self._probabilities()).sum(-1)))

    def entropy(self) -> float:
        p = self._probabilities()
        return float(-(p[p > 0] * np.log(p[p > 0])).sum())

    def support(self) -> tuple[float, float]:
        possible = np.array(self.values)[self._probabilities() > 0]
        return float(possible.min()), float(possible.max())

    def mean(self) -> float:
        return float(np.array(self.values) @ self._probabilities())
