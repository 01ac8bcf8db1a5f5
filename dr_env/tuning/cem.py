"""The cross-entropy method over ranges."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np

from dr_env.distributions import TruncatedNormal
from dr_env.errors import DREnvError
from dr_env.rng import generator
from dr_env.tuning.returns import Array, ReturnsTuner


@dataclasses.dataclass(frozen=True)
class CEMOptions:
    """Numbers of the cross-entropy method; the paper's by default."""

    population: int = 30  # candidates of a generation
    elites: int = 10  # of which the best make the next
    smoothing: float = 0.75  # the weight of the old mean and standard deviation
    std: float = 0.25  # the first standard deviation, of the unit cube
    tolerance: float = 1e-3  # the largest variance, of the unit cube, at which it is done

    def __post_init__(self) -> None:
        if not 1 <= self.elites <= self.population:
            raise DREnvError(f"cem.elites: got {self.elites}, expected 1 .. population = {self.population}")
        if not 0 <= self.smoothing < 1:
            raise DREnvError(f"cem.smoothing: got {self.smoothing:g}, expected a number from 0 to below 1")
        if not 0 < self.std <= 1:
            raise DREnvError(f"cem.std: got {self.std:g}, expected a number above 0, at most 1")


class CEM(ReturnsTuner[CEMOptions]):
    """The cross-entropy method: a Gaussian over ranges, refitted to the best of each generation.

    Vuong, Vikram, Su, Gao, Christensen, "How to pick the domain randomization parameters for sim-to-real
    transfer of reinforcement learning policies?", 2019, algorithm 1; the method is that of Rubinstein, 1999.
    With smoothing s, of the elites' mean m and standard deviation d:

        mean <- s mean + (1 - s) m        std <- s std + (1 - s) d

    Candidates are of a normal truncated to the unit cube. The result is the mean, as in the paper's text; the
    authors' code keeps the candidate with the highest of several evaluations, which is optimistic.
    Candidates asked beyond a generation, while others are under way, are of the same generation.
    """

    name: ClassVar[str] = "cem"
    Options: ClassVar[type[Any]] = CEMOptions

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._begin()

    def _begin(self) -> None:
        self._first = 0  # number of the generation's first candidate
        self._mean = self.vector.to_unit()
        self._std = np.full(len(self.vector), self.options.std)

    @property
    def done(self) -> bool:
        return bool((self._std**2).max() < self.options.tolerance)

    def _candidate(self, pending: tuple[Array, ...]) -> Array:
        uniform = generator(self.seed, self.name, len(self.points) + len(pending)).random(len(self.vector))
        drawn = [
            TruncatedNormal(float(mean), max(float(std), 1e-9), 0.0, 1.0).quantile(u)
            for mean, std, u in zip(self._mean, self._std, uniform, strict=True)
        ]
        return np.array(drawn)

    def _update(self) -> None:
        if len(self.points) - self._first < self.options.population:
            return
        if np.isfinite(self.scores[self._first :]).any():  # of a generation that failed altogether nothing is learnt
            best = np.argsort(-self.ranked(self._first), kind="stable")[: self.options.elites]
            elites = np.array(self.points[self._first :])[best]
            s = self.options.smoothing
            self._mean = s * self._mean + (1 - s) * elites.mean(0)
            self._std = s * self._std + (1 - s) * elites.std(0)
        self._first = len(self.points)

    def _best(self) -> Array:
        return self._mean
