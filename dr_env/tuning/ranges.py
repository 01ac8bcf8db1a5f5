"""What a curriculum may move: for each entry the range that it may reach, and where it starts."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from dr_env.distributions import Distribution, LogUniform
from dr_env.distributions.joint import labels_of
from dr_env.errors import DREnvError
from dr_env.records import Columns
from dr_env.spec import Entry, Spec

Array = NDArray[np.float64]

_GRID = (np.arange(512) + 0.5) / 512


@dataclasses.dataclass(frozen=True)
class Range:
    """One entry's or variable's widest range, mapped to 0 .. 1; logarithmically where the prior is log-uniform."""

    name: str
    low: float
    high: float
    start: float  # the value that changes nothing, or the middle of the prior
    log: bool

    def to_unit(self, value: ArrayLike) -> Array:
        """Values to 0 .. 1."""
        x = np.asarray(value, np.float64)
        if self.log:
            return np.asarray(np.log(x / self.low) / math.log(self.high / self.low))
        return np.asarray((x - self.low) / (self.high - self.low))

    def from_unit(self, unit: float) -> float:
        """A number of 0 .. 1 to a value, within the range."""
        width = self.high - self.low
        value = self.low * (self.high / self.low) ** unit if self.log else self.low + unit * width
        return float(min(max(value, self.low), self.high))


def ranges_of(prior: Spec) -> tuple[Range, ...]:
    """The ranges of a prior: the bounds of its tunable entries, or the support, or its middle 99 %.

    Entries with several numbers, of a few values alone, or that follow from others, stay as they are, and so does
    what is not drawn once for each episode: nobody could say which of its values an episode's return is owed to.
    Raises DREnvError where nothing is left.
    """
    found = []
    groups: set[str] = set()
    for name, drawn in prior.drawn.items():
        distribution, share = drawn.distribution, getattr(drawn, "share", None)
        if not drawn.tunable or distribution.size > 1 or distribution.parents or distribution.discrete:
            continue
        if drawn.trigger != "episode":
            continue
        if share is not None and share in groups:
            continue  # its leader stands for the group
        groups.update({share} if share is not None else ())
        low, high = drawn.bounds or distribution.span()
        if high > low:
            start = drawn.neutral if isinstance(drawn, Entry) else drawn.middle
            log = isinstance(distribution, LogUniform) and low > 0
            found.append(Range(name, low, high, min(max(start, low), high), log))
    if not found:
        raise DREnvError(
            f"{prior.source}: nothing tunable; no entry that is drawn at each episode has a range that could widen"
            f"{fitted(prior)}"
        )
    return tuple(found)


def fitted(prior: Spec) -> str:
    """What to do where a Spec is what a fit has left, whose numbers belong together; nothing for another."""
    joint = [name for name, variable in prior.variables.items() if variable.distribution.size > 1]
    if not joint:
        return ""
    return (
        f" ('{joint[0]}' has numbers that belong together, as a fit leaves them; give the Spec that it was fitted to)"
    )


def with_ranges(prior: Spec, distributions: dict[str, Distribution]) -> Spec:
    """The prior with other distributions for its ranges, by name; groups that share a draw share theirs."""
    changed = dict(distributions)
    leaders: dict[str, str] = {}
    for name, entry in prior.entries.items():
        if entry.share is not None and leaders.setdefault(entry.share, name) in changed:
            changed[name] = changed[leaders[entry.share]]
    return prior.with_distributions(changed)


def units_of(ranges: tuple[Range, ...], draws: Columns) -> dict[str, Array]:
    """Draws mapped to 0 .. 1, (n, k) for k values an entry; raises DREnvError where a name is missing."""
    found = {}
    for part in ranges:
        if part.name not in draws:
            raise DREnvError(f"draws: '{part.name}' is missing; got {', '.join(draws) or 'none'}")
        column = np.asarray(draws[part.name], np.float64)
        found[part.name] = part.to_unit(column.reshape(len(column), -1))
    return found


def spread_of(spec: Spec, prior: Spec) -> float:
    """The mean width of the ranges, as a share of the widest that the prior allows: 1 for all of it, evenly."""
    widths: list[Any] = []
    for part in ranges_of(prior):
        values = part.to_unit(_values(spec, part.name))
        widths.append(np.std(values) * math.sqrt(12))
    return float(np.mean(widths))


def _values(spec: Spec, name: str) -> Array:
    """Values that stand for an entry's distribution, also where it follows from one of several numbers."""
    distribution = spec.drawn[name].distribution
    if not distribution.parents:
        return distribution.quantile(_GRID)
    drawn = {other: variable.distribution for other, variable in spec.variables.items()}
    columns = {}
    for label, (variable, column) in labels_of(drawn).items():
        if label in distribution.parents:
            joint = drawn[variable]
            unit = scipy.stats.qmc.Halton(joint.uniforms, rng=np.random.default_rng(0)).random(len(_GRID))
            columns[label] = joint.quantile(np.clip(unit, 1e-9, 1 - 1e-9))[:, column]
    return distribution.draw(_GRID, columns)
