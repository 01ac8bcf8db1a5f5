"""Distributions made of others: named cases, a switch on them, mixtures, and values that follow from others."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from dr_env.distributions.base import Array, Distribution, Tunable
from dr_env.distributions.formula import Formula
from dr_env.errors import DREnvError, unknown_name

_POINTS = (np.arange(4096) + 0.5) / 4096  # where an entropy without a closed form is averaged


@dataclasses.dataclass(frozen=True)
class Categorical(Distribution):
    """One of named cases, as its number 0, 1, ...; `cases` maps names to weights."""

    cases: dict[str, float]
    type_name: ClassVar[str] = "categorical"

    @property
    def discrete(self) -> bool:
        return True

    def __post_init__(self) -> None:
        if not isinstance(self.cases, Mapping) or not self.cases:
            raise self._error("cases", self.cases, "a mapping of case names to weights")
        cases = {str(name): self._number(f"cases.{name}", weight) for name, weight in self.cases.items()}
        if min(cases.values()) < 0 or sum(cases.values()) <= 0:
            raise self._error("cases", cases, "weights not below 0, one of them above")
        object.__setattr__(self, "cases", cases)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Categorical) and list(self.cases.items()) == list(other.cases.items())

    def __hash__(self) -> int:
        return hash(tuple(self.cases.items()))

    @property
    def labels(self) -> tuple[str, ...]:
        """The cases' names, in the order of their numbers."""
        return tuple(self.cases)

    def _probabilities(self) -> Array:
        weights = np.array(list(self.cases.values()))
        return np.asarray(weights / weights.sum())

    def quantile(self, uniform: ArrayLike) -> Array:
        return _pick(self._probabilities(), np.asarray(uniform, np.float64))[0].astype(np.float64)

    def log_prob(self, value: ArrayLike) -> Array:
        matches = np.asarray(value, np.float64)[..., None] == np.arange(len(self.cases))
        with np.errstate(divide="ignore"):
            return np.asarray(np.log((matches * self._probabilities()).sum(-1)))

    def entropy(self) -> float:
        p = self._probabilities()
        return float(-(p[p > 0] * np.log(p[p > 0])).sum())

    def support(self) -> tuple[float, float]:
        possible = np.flatnonzero(self._probabilities())
        return float(possible[0]), float(possible[-1])

    def mean(self) -> float:
        return float(np.arange(len(self.cases)) @ self._probabilities())

    def to_dict(self) -> dict[str, Any]:
        return {"type": self.type_name, "cases": dict(self.cases)}


@dataclasses.dataclass(frozen=True)
class Mixture(Distribution):
    """One of several distributions, chosen with probability in proportion to its weight.

    All are continuous or all discrete: a density and a mass cannot be added.
    YAML: `{type: mixture, components: [{weight: 3, type: uniform, low: 0, high: 1}, ...]}`.
    """

    weights: tuple[float, ...]
    components: tuple[Distribution, ...]
    type_name: ClassVar[str] = "mixture"

    def __post_init__(self) -> None:
        for i, component in enumerate(self.components):
            simple = not component.parents and component.size == 1 and not isinstance(component, Mixture)
            if not simple or component.discrete != self.components[0].discrete:
                raise DREnvError(
                    f"components[{i}]: got {component.type_name} beside {self.components[0].type_name}, expected "
                    "simple distributions, all continuous or all discrete (mixture); a switch takes both"
                )
        weights = tuple(self._number(f"components[{i}].weight", w) for i, w in enumerate(self.weights))
        if not weights or min(weights) < 0 or sum(weights) <= 0:
            raise self._error("components", list(weights), "components with weights not below 0, one of them above")
        object.__setattr__(self, "weights", weights)

    @property
    def discrete(self) -> bool:
        return self.components[0].discrete

    def _probabilities(self) -> Array:
        return np.asarray(np.array(self.weights) / sum(self.weights))

    def quantile(self, uniform: ArrayLike) -> Array:
        """Not the inverse distribution function, but a value for each uniform: it chooses, then is stretched."""
        which, rest = _pick(self._probabilities(), np.asarray(uniform, np.float64))
        return _chosen(which, [component.quantile(rest) for component in self.components])

    def log_prob(self, value: ArrayLike) -> Array:
        pairs = zip(self._probabilities(), self.components, strict=True)
        logs = [np.log(p) + component.log_prob(value) for p, component in pairs if p > 0]
        return np.asarray(np.logaddexp.reduce(logs, axis=0))

    def entropy(self) -> float:
        """By averaging over 4096 quantiles; exact to about three digits."""
        return float(-self.log_prob(self.quantile(_POINTS)).mean())

    def support(self) -> tuple[float, float]:
        return _hull(part.support() for part in self._possible())

    def span(self, tail: float = 0.005) -> tuple[float, float]:
        """From the least end of its components' spans to the greatest."""
        return _hull(part.span(tail) for part in self._possible())

    def _possible(self) -> list[Distribution]:
        return [part for part, weight in zip(self.components, self.weights, strict=True) if weight > 0]

    def mean(self) -> float:
        means = [component.mean() for component in self.components]
        return float(self._probabilities() @ np.array(means))

    def tunables(self, bounds: tuple[float, float] | None = None) -> tuple[Tunable, ...]:
        return _nested({str(i): component for i, component in enumerate(self.components)}, bounds)

    def replace(self, **numbers: float) -> Mixture:
        parts = _replaced({str(i): component for i, component in enumerate(self.components)}, numbers)
        return Mixture(self.weights, tuple(parts.values()))

    def narrowed(self, share: float, centre: float) -> Mixture:
        return Mixture(self.weights, tuple(component.narrowed(share, centre) for component in self.components))

    def to_dict(self) -> dict[str, Any]:
        pairs = zip(self.weights, self.components, strict=True)
        return {"type": self.type_name, "components": [{"weight": w, **c.to_dict()} for w, c in pairs]}

    @classmethod
    def _from_form(cls, form: Mapping[str, Any]) -> Mixture:
        cls._check_keys(form, ("components",))
        parts = form["components"]
        if not isinstance(parts, list | tuple) or not all(isinstance(part, Mapping) for part in parts) or not parts:
            raise DREnvError(f"components: got {parts!r}, expected a list of distributions, each with a weight")
        read = [
            within(f"components[{i}]", {key: value for key, value in part.items() if key != "weight"})
            for i, part in enumerate(parts)
        ]
        return cls(tuple(part.get("weight", 1.0) for part in parts), tuple(read))


@dataclasses.dataclass(frozen=True)
class Switch(Distribution):
    """A distribution for each case of a categorical variable.

    YAML: `{type: switch, variable: weather, cases: {dry: {type: ...}, rain: {type: ...}}}`.
    """

    variable: str
    cases: dict[str, Distribution]
    type_name: ClassVar[str] = "switch"

    def __post_init__(self) -> None:
        for name, case in self.cases.items():
            if case.parents or case.size != 1:
                raise DREnvError(
                    f"cases.{name}: got {case.type_name}, expected the distribution of one number (switch)"
                )

    def __hash__(self) -> int:
        return hash((self.variable, tuple(self.cases.items())))

    @property
    def parents(self) -> tuple[str, ...]:
        return (self.variable,)

    @property
    def discrete(self) -> bool:
        return all(case.discrete for case in self.cases.values())

    def ordered(self, labels: tuple[str, ...]) -> Switch:
        """The same switch, its cases in the order of the variable's. Raises DREnvError where one is missing."""
        for label in labels:
            if label not in self.cases:
                raise DREnvError(
                    f"cases: no case '{label}', which '{self.variable}' has; cases: {', '.join(self.cases)}"
                )
        for name in self.cases:
            if name not in labels:
                raise DREnvError(f"cases.{name}: {unknown_name(f'case of {self.variable!r}', name, labels, 'cases')}")
        return Switch(self.variable, {label: self.cases[label] for label in labels})

    def draw(self, uniform: Array, given: Mapping[str, Array]) -> Array:
        which = np.broadcast_to(given[self.variable].astype(np.intp), uniform.shape)
        return _chosen(which, [case.quantile(uniform) for case in self.cases.values()])

    def log_prob_given(self, value: ArrayLike, given: Mapping[str, Array]) -> Array:
        x = np.asarray(value, np.float64)
        which = np.broadcast_to(np.asarray(given[self.variable], np.float64).astype(np.intp), x.shape)
        return _chosen(which, [case.log_prob(x) for case in self.cases.values()])

    def quantile(self, uniform: ArrayLike) -> Array:
        raise DREnvError(f"a switch on '{self.variable}' draws nothing by itself")

    def log_prob(self, value: ArrayLike) -> Array:
        raise DREnvError(f"a switch on '{self.variable}' has no density by itself")

    def entropy(self) -> float:
        raise DREnvError(f"a switch on '{self.variable}' has no entropy by itself")

    def support(self) -> tuple[float, float]:
        return _hull(case.support() for case in self.cases.values())

    def span(self, tail: float = 0.005) -> tuple[float, float]:
        """From the least end of its cases' spans to the greatest."""
        return _hull(case.span(tail) for case in self.cases.values())

    def mean(self) -> float:
        """The mean of the cases' means, each counted once."""
        return float(np.mean([case.mean() for case in self.cases.values()]))

    def tunables(self, bounds: tuple[float, float] | None = None) -> tuple[Tunable, ...]:
        return _nested(self.cases, bounds)

    def replace(self, **numbers: float) -> Switch:
        return Switch(self.variable, _replaced(self.cases, numbers))

    def narrowed(self, share: float, centre: float) -> Switch:
        return Switch(self.variable, {name: case.narrowed(share, centre) for name, case in self.cases.items()})

    def to_dict(self) -> dict[str, Any]:
        cases = {name: case.to_dict() for name, case in self.cases.items()}
        return {"type": self.type_name, "variable": self.variable, "cases": cases}

    @classmethod
    def _from_form(cls, form: Mapping[str, Any]) -> Switch:
        cls._check_keys(form, ("variable", "cases"))
        if not isinstance(form["variable"], str):
            raise DREnvError(
                f"variable: got {form['variable']!r}, expected the name of a categorical variable (switch)"
            )
        if not isinstance(form["cases"], Mapping) or not form["cases"]:
            raise DREnvError(
                f"cases: got {form['cases']!r}, expected a mapping of case names to distributions (switch)"
            )
        return cls(form["variable"], {str(name): within(f"cases.{name}", case) for name, case in form["cases"].items()})


@dataclasses.dataclass(frozen=True)
class Expression(Distribution):
    """What a formula over other draws gives; outside `low` .. `high` the Draw is refused and drawn again.

    YAML: `{type: expression, formula: 1 + 0.1 * payload, low: 0.5, high: 2}`; the bounds may be left out.
    """

    formula: str
    low: float | None = None
    high: float | None = None
    type_name: ClassVar[str] = "expression"

    def __post_init__(self) -> None:
        if isinstance(self.formula, bool) or not isinstance(self.formula, str | int | float):
            raise self._error("formula", self.formula, "a formula such as 1 + 0.1 * payload")
        object.__setattr__(self, "formula", str(self.formula))
        try:
            object.__setattr__(self, "_parsed", Formula(self.formula))
        except DREnvError as error:
            raise DREnvError(f"formula: {error}") from None
        for key in ("low", "high"):
            if getattr(self, key) is not None:
                object.__setattr__(self, key, self._number(key, getattr(self, key)))
        if self.low is not None and self.high is not None and self.high < self.low:
            raise self._error("high", self.high, f"a number not below low = {self.low:g}")

    @property
    def parsed(self) -> Formula:
        """The formula, ready to evaluate."""
        found: Formula = self.__dict__["_parsed"]
        return found

    @property
    def parents(self) -> tuple[str, ...]:
        return self.parsed.names

    @property
    def uniforms(self) -> int:
        return 0

    def draw(self, uniform: Array, given: Mapping[str, Array]) -> Array:
        return self.parsed(given)

    def accepts(self, value: Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
        low, high = self.support()
        return np.asarray((np.isfinite(value) & (value >= low) & (value <= high)).all(axis=-1))

    def log_prob_given(self, value: ArrayLike, given: Mapping[str, Array]) -> Array:
        return np.where(np.isclose(value, self.parsed(given), rtol=1e-9, atol=1e-12), 0.0, -np.inf)

    def quantile(self, uniform: ArrayLike) -> Array:
        raise DREnvError(f"the expression {self.formula!r} draws nothing by itself")

    def log_prob(self, value: ArrayLike) -> Array:
        raise DREnvError(f"the expression {self.formula!r} has no density by itself")

    def entropy(self) -> float:
        return 0.0

    def support(self) -> tuple[float, float]:
        return -math.inf if self.low is None else self.low, math.inf if self.high is None else self.high

    def mean(self) -> float:
        raise DREnvError(f"the expression {self.formula!r} has no mean by itself")


def within(key: str, form: object) -> Distribution:
    """Reads a distribution inside another; errors name its key."""
    try:
        return Distribution.from_dict(form)
    except DREnvError as error:
        raise DREnvError(f"{key}.{error}" if isinstance(form, Mapping) else f"{key}: {error}") from None


def _pick(probabilities: Array, uniform: Array) -> tuple[np.ndarray[Any, np.dtype[np.intp]], Array]:
    """Which case each uniform falls in, and where in it, again within (0, 1)."""
    edges = np.cumsum(probabilities)
    last = int(np.flatnonzero(probabilities)[-1])  # the sum may fall short of 1 by rounding
    which = np.minimum(np.searchsorted(edges, uniform, side="right"), last)
    rest = (uniform - (edges - probabilities)[which]) / probabilities[which]
    return which, np.clip(rest, np.finfo(np.float64).tiny, 1 - 2.0**-53)


def _hull(ranges: Iterable[tuple[float, float]]) -> tuple[float, float]:
    lows, highs = zip(*ranges, strict=True)
    return min(lows), max(highs)


def _nested(parts: Mapping[str, Distribution], bounds: tuple[float, float] | None) -> tuple[Tunable, ...]:
    return tuple(
        dataclasses.replace(tunable, name=f"{name}.{tunable.name}")
        for name, part in parts.items()
        for tunable in part.tunables(bounds)
    )


def _replaced(parts: Mapping[str, Distribution], numbers: Mapping[str, float]) -> dict[str, Distribution]:
    grouped: dict[str, dict[str, float]] = {}
    for key, value in numbers.items():
        names = [name for name in parts if key.startswith(f"{name}.")]  # which may have dots in them
        if not names:
            raise DREnvError(unknown_name("part", key.partition(".")[0], parts))
        name = max(names, key=len)
        grouped.setdefault(name, {})[key.removeprefix(f"{name}.")] = value
    return {name: part.replace(**grouped[name]) if name in grouped else part for name, part in parts.items()}


def _chosen(which: ArrayLike, values: Sequence[ArrayLike]) -> Array:
    """Each number from the array that `which` says, all broadcast alike."""
    alike = np.broadcast_arrays(which, *values)
    return np.asarray(np.take_along_axis(np.stack(alike[1:]), alike[0][None], 0)[0], np.float64)
