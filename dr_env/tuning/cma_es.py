"""CMA-ES over ranges."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any, ClassVar

import cmaes
import numpy as np

from dr_env.errors import DREnvError
from dr_env.rng import digest
from dr_env.tuning.returns import Array, ReturnsTuner


@dataclasses.dataclass(frozen=True)
class CMAESOptions:
    """Numbers of CMA-ES."""

    sigma: float = 0.25  # the first step size, of the unit cube
    population: int = 0  # candidates of a generation; 0: 4 + 3 ln d, equation 48 of the tutorial

    def __post_init__(self) -> None:
        if not self.sigma > 0:
            raise DREnvError(f"cma_es.sigma: got {self.sigma:g}, expected a number above 0")
        if self.population and self.population < 3:
            raise DREnvError(f"cma_es.population: got {self.population}, expected at least 3, or 0 for its default")


class CMAES(ReturnsTuner[CMAESOptions]):
    """Covariance matrix adaptation: a Gaussian whose shape follows what worked.

    Hansen, "The CMA evolution strategy: a tutorial", 2016, by the package `cmaes`; candidates outside the unit
    cube are drawn again. The result is the mean. Candidates asked beyond a generation, while others are under
    way, are of the same generation.
    """

    name: ClassVar[str] = "cma_es"
    Options: ClassVar[type[Any]] = CMAESOptions

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._begin()

    def _begin(self) -> None:
        self._first = 0  # number of the generation's first candidate
        d = len(self.vector)
        self._optimizer = cmaes.CMA(
            mean=self.vector.to_unit(),
            sigma=self.options.sigma,
            bounds=np.tile([0.0, 1.0], (d, 1)),
            population_size=self.options.population or max(4, 4 + math.floor(3 * math.log(d))),
        )

    @property
    def done(self) -> bool:
        return bool(self._first > 0 and self._optimizer.should_stop())

    def _candidate(self, pending: tuple[Array, ...]) -> Array:
        optimizer = copy.deepcopy(self._optimizer)
        optimizer.reseed_rng(digest(self.seed, self.name, len(self.points) + len(pending)) >> 32)
        return np.asarray(optimizer.ask())

    def _update(self) -> None:
        if len(self.points) - self._first < self._optimizer.population_size:
            return
        if np.isfinite(self.scores[self._first :]).any():
            losses = -self.ranked(self._first)
            self._optimizer.tell(list(zip(self.points[self._first :], losses.tolist(), strict=True)))
        self._first = len(self.points)

    def _best(self) -> Array:
        return np.asarray(np.clip(self._optimizer.mean, 0.0, 1.0))
