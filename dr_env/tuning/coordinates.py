"""Values of a Spec as points of a unit cube, with what the prior says there; and back to a Spec."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Container, Sequence
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from dr_env.distributions import Distribution, Expression, Joint, JointNormal, LogUniform, Uniform
from dr_env.distributions.formula import reflected
from dr_env.errors import DREnvError
from dr_env.spec import Entry, Selector, Spec, Variable

Array = NDArray[np.float64]

VARIABLE = "tuned"
"""What the joint distribution of tuned values is called in a Spec."""

_ELEMENT = re.compile(r"^(?P<entry>[^\[]+)\[(?P<match>.*)\]$")
_GRID = (np.arange(2001) + 0.5) / 2001
_FLOOR = 1e-9  # of a variance in the unit cube


class Coordinates:
    """A map between values (d,) and the unit cube, linear, or logarithmic where the prior is log-uniform.

    `mean` (d,) and `covariance` (d, d) are the prior's moments in the cube; entries are independent, the
    numbers of a joint distribution as it says.

    Args:
        prior: the Spec.
        names: of the values, as a `Simulator` has them.
        bounds: of the values, (d,) each.
    """

    def __init__(self, prior: Spec, names: Sequence[str], bounds: tuple[Array, Array]) -> None:
        self.prior, self.names = prior, tuple(names)
        self._owner = [_owner(prior, name) for name in self.names]
        self._check_tunable()
        distributions = [drawn.distribution for drawn in self._drawn()]
        self.log = np.array([isinstance(distribution, LogUniform) for distribution in distributions])
        self.flat = np.array([isinstance(distribution, LogUniform | Uniform) for distribution in distributions])
        """Where the prior prefers nothing within its bounds, (d,)."""
        low, high = (np.array(bound, np.float64) for bound in bounds)
        if (wrong := self.log & (low <= 0)).any():
            i = int(np.flatnonzero(wrong)[0])
            raise DREnvError(
                f"{prior.where(self._owner[i][0], 'bounds')}: got {low[i]:g} for the least value of a log_uniform "
                "distribution, expected a number above 0"
            )
        self._low = np.where(self.log, np.log(np.where(self.log, low, 1.0)), low)
        self._width = np.where(self.log, np.log(np.where(self.log, high, 1.0)), high) - self._low
        if (self._width <= 0).any():
            name = self.names[int(np.flatnonzero(self._width <= 0)[0])]
            raise DREnvError(f"{prior.source} {name}: its range has no width; make it constant")
        self.mean, self.covariance = self._moments(distributions)

    def __len__(self) -> int:
        return len(self.names)

    def _moments(self, distributions: Sequence[Distribution]) -> tuple[Array, Array]:
        d = len(self)
        mean, covariance = np.zeros(d), np.zeros((d, d))
        for owner in dict.fromkeys(name for name, _ in self._owner):
            places = [i for i, (name, _) in enumerate(self._owner) if name == owner]
            distribution = distributions[places[0]]
            if isinstance(distribution, Joint):
                unit = scipy.stats.qmc.Halton(distribution.uniforms, rng=np.random.default_rng(0)).random(4096)
                draws = distribution.quantile(np.clip(unit, 1e-9, 1 - 1e-9))
                draws = draws[distribution.accepts(draws)]
                points = (draws - self._low[places]) / self._width[places]
                mean[places], covariance[np.ix_(places, places)] = points.mean(axis=0), np.cov(points.T)
            else:
                for i in places:
                    point = self._unit(distribution.quantile(_GRID), i)
                    # bounds may be narrower than the distribution
                    point = point[(point > -1e-9) & (point < 1 + 1e-9)] if (np.abs(point - 0.5) < 0.5).any() else point
                    mean[i], covariance[i, i] = point.mean(), point.var()
        covariance += _FLOOR * np.eye(d)
        return np.clip(mean, 0, 1), covariance

    def _unit(self, values: Array, i: int) -> Array:
        return np.asarray(((np.log(values) if self.log[i] else values) - self._low[i]) / self._width[i], np.float64)

    def to_unit(self, values: Array) -> Array:
        """Points (..., d) of the cube for values (..., d)."""
        x = np.asarray(values, np.float64)
        return np.asarray((np.where(self.log, np.log(np.where(self.log, x, 1.0)), x) - self._low) / self._width)

    def from_unit(self, points: Array) -> Array:
        """Values (..., d) for points (..., d) of the cube."""
        x = self._low + np.asarray(points, np.float64) * self._width
        return np.where(self.log, np.exp(np.where(self.log, x, 0.0)), x)

    def whole(self, point: Array) -> Array:
        """How far the whole effect of each actuator's value reaches in the cube, by its slope at a point (d,).

        That is the distance from a value of 0, which has no effect; NaN for what adds to the model's own number, and
        for what is not an actuator's.
        """
        values = self.from_unit(point)
        known = [
            isinstance(drawn, Entry) and drawn.select.kind == "actuator" and drawn.operation != "add"
            for drawn in self._drawn()
        ]
        reach = np.where(self.log, 1.0, values) / self._width
        return np.where(known & (reach != 0), reach, np.nan)

    def _drawn(self) -> list[Entry | Variable]:
        return [self.prior.drawn[owner] for owner, _ in self._owner]

    def tuned(self, mean: Array, covariance: Array) -> Spec:
        """The prior with a Gaussian in the cube in place of what it says of these values.

        One joint variable holds values (logarithms where the map is logarithmic) and entries read it, reflected at
        the prior's bounds (drawing again what leaves a box of many dimensions would take for ever);
        entries with a value for each match become one entry each. What is already a joint variable gets new
        numbers.

        Args:
            mean: (d,) in the cube.
            covariance: (d, d) in the cube.
        """
        fresh = [i for i, (owner, _) in enumerate(self._owner) if not self._joint(owner)]
        variables = dict(self.prior.variables)
        for owner in dict.fromkeys(name for name, _ in self._owner if self._joint(name)):
            places = [i for i, (name, _) in enumerate(self._owner) if name == owner]
            labels = tuple(part for name, part in self._owner if name == owner)
            normal = self._normal(labels, places, mean, covariance)
            old = variables[owner].distribution
            if isinstance(old, JointNormal):  # its box stays
                normal = dataclasses.replace(normal, low=old.low, high=old.high)
            variables[owner] = variables[owner].model_copy(update={"distribution": normal})
        if not fresh:
            return self.prior.model_copy(update={"variables": variables, "provenance": None})
        name = VARIABLE
        while name in self.prior.drawn:
            name += "_again"
        labels = _identifiers([self.names[i] for i in fresh])
        distribution = self._normal(labels, fresh, mean, covariance)
        variables = {name: Variable(distribution=distribution), **variables}
        formulas = {i: self._formula(name, label, i) for i, label in zip(fresh, labels, strict=True)}
        entries: dict[str, Entry] = {}
        at = {self._owner[i]: i for i in fresh}
        for key, drawn in self.prior.entries.items():
            mine = {part: i for (owner, part), i in at.items() if owner == key}
            share = drawn.share is not None and any(owner == self._leader(drawn.share) for owner, _ in at)
            if share:
                i = at[self._leader(str(drawn.share)), ""]
                entries[key] = drawn.model_copy(update={"distribution": formulas[i], "share": None})
            elif not mine:
                entries[key] = drawn
            elif drawn.per == "shared":
                entries[key] = drawn.model_copy(update={"distribution": formulas[mine[""]]})
            else:
                for part, i in mine.items():
                    update: dict[str, Any] = {"distribution": formulas[i], "per": "shared"}
                    update["select"] = Selector(drawn.select.kind, (part,))
                    (name,) = _identifiers([f"{key}[{part}]"], {*entries, *self.prior.drawn, *variables})
                    entries[name] = drawn.model_copy(update=update)
        for key, variable in self.prior.variables.items():
            if (key, "") in at:
                variables[key] = variable.model_copy(update={"distribution": formulas[at[key, ""]]})
        return self.prior.model_copy(update={"variables": variables, "entries": entries, "provenance": None})

    def _joint(self, owner: str) -> bool:
        return isinstance(self.prior.drawn[owner].distribution, Joint)

    def _leader(self, share: str) -> str:
        """The entry whose draw a group takes."""
        return next(name for name, entry in self.prior.entries.items() if entry.share == share)

    def _normal(self, labels: tuple[str, ...], places: list[int], mean: Array, covariance: Array) -> JointNormal:
        width, low = self._width[places], self._low[places]
        block = covariance[np.ix_(places, places)] * width[:, None] * width
        block = _rounded(0.5 * (block + block.T))
        centre = low + np.clip(mean[places], 0, 1) * width
        return JointNormal(labels, tuple(map(float, _rounded(centre))), tuple(map(tuple, block.tolist())))

    def _formula(self, variable: str, label: str, i: int) -> Expression:
        low, high = (float(f"{end:.12g}") for end in (self._low[i], self._low[i] + self._width[i]))
        text = reflected(f"{variable}.{label}", low, high)
        ends = np.exp([low, high]) if self.log[i] else np.array([low, high])
        return Expression(f"exp({text})" if self.log[i] else text, *ends.tolist())

    def _check_tunable(self) -> None:
        """Refuses, before anything is simulated, what no result could be written for."""
        for key in dict.fromkeys(owner for owner, _ in self._owner):
            drawn = self.prior.drawn[key]
            if not isinstance(drawn, Entry) or drawn.per == "shared":
                continue
            where = self.prior.where(key, "per")
            if drawn.share is not None:
                raise DREnvError(
                    f"{where}: has one value for each match and shares them in '{drawn.share}', which cannot be tuned; "
                    "write an entry for each match, with a `share` of its own"
                )
            for name, other in self.prior.drawn.items():
                if key in other.distribution.parents:
                    raise DREnvError(
                        f"{where}: has one value for each match and '{name}' reads it; write an entry for each match"
                    )


def _owner(prior: Spec, name: str) -> tuple[str, str]:
    """The entry or variable that a value belongs to, and which of its values it is."""
    if name in prior.drawn:
        return name, ""
    match = _ELEMENT.match(name)
    if match is not None and match["entry"] in prior.drawn:
        return match["entry"], match["match"]
    variable, _, number = name.partition(".")
    if variable in prior.variables and number:
        return variable, number
    raise DREnvError(f"{name}: the Spec {prior.source} has no such entry or variable")


def _identifiers(names: Sequence[str], taken: Container[str] = ()) -> tuple[str, ...]:
    """Names as a formula can read them, all different, and none of those that are taken."""
    found: list[str] = []
    for name in names:
        label = re.sub(r"\W+", "_", name).strip("_")
        label = label if label.isidentifier() else f"v_{label}"
        while label in found or label in taken:
            label += "_"
        found.append(label)
    return tuple(found)


def _rounded(array: Array) -> Array:
    """Ten digits, so that files stay readable."""
    return np.array([float(f"{x:.10g}") for x in np.ravel(array)]).reshape(np.shape(array))
