"""What methods share that search the unit cube of a Spec's tunable numbers by returns on the target."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dr_env.distributions import ParameterVector
from dr_env.errors import DREnvError
from dr_env.spec import Spec
from dr_env.tuning.evidence import Kind
from dr_env.tuning.ranges import fitted
from dr_env.tuning.tuner import OptionsT, Simulate, Tuner

Array = NDArray[np.float64]


class ReturnsTuner(Tuner[OptionsT]):
    """A search for the Spec whose policies earn most on the target.

    The state is what was told, in order: `points` of the unit cube of `Spec.parameters()` and their scores,
    the mean returns. A candidate that failed has no score, and counts as the worst. A subclass writes
    `_candidate`, and `_update` where it goes by generations.
    """

    needs: ClassVar[frozenset[Kind]] = frozenset({"returns"})

    def __init__(
        self,
        prior: Spec,
        seed: int,
        options: OptionsT | Mapping[str, Any] | None = None,
        simulate: Simulate | None = None,
    ) -> None:
        super().__init__(prior, seed, options, simulate)
        self.vector = self._numbers(prior)
        if not len(self.vector):
            why = f"no distribution here has numbers that may change{fitted(prior)}"
            raise DREnvError(f"{prior.source}: nothing tunable; {why}")
        self.points: list[Array] = []  # (d,) each
        self.scores: list[float] = []  # NaN for a candidate that failed

    def _numbers(self, spec: Spec) -> ParameterVector:
        """What is searched."""
        return spec.parameters()

    @abstractmethod
    def _candidate(self, pending: tuple[Array, ...]) -> Array:
        """The point to try next, (d,), within the unit cube; changes nothing."""

    def _update(self) -> None:
        """Takes the newest point and score."""

    def _best(self) -> Array:
        """The point thought best, (d,): of those told the one with the highest score, else the prior's."""
        if not np.isfinite(self.scores).any():
            return self.vector.to_unit()
        return self.points[int(np.nanargmax(self.scores))]

    def _ask(self, pending: tuple[Spec, ...]) -> Spec:
        return self._spec(self._candidate(tuple(self._point(spec) for spec in pending)))

    def _tell(self, evidence: Any) -> None:
        self._take(self._point(evidence.spec), self._score(evidence))

    def _score(self, evidence: Any) -> float:
        """What evidence is worth: the more the better, NaN for a candidate that failed."""
        return float(evidence.score)

    def _take(self, point: Array, score: float) -> None:
        self.points.append(point)
        self.scores.append(score)
        self._update()

    def _result(self) -> Spec:
        return self._spec(self._best())

    def _state(self) -> dict[str, Any]:
        return {
            "points": [point.tolist() for point in self.points],
            "scores": [score if math.isfinite(score) else None for score in self.scores],
        }

    def _load(self, state: Any) -> None:
        self.points, self.scores = [], []
        self._begin()
        for point, score in zip(state["points"], state["scores"], strict=True):
            self._take(np.array(point), math.nan if score is None else score)

    def _begin(self) -> None:
        """Forgets what follows from points and scores."""

    def _spec(self, point: Array) -> Spec:
        return self.prior.with_parameters(self.vector.from_unit(np.clip(point, 0.0, 1.0)))

    def _point(self, spec: Spec) -> Array:
        """Where a Spec stands in the cube. Raises DREnvError where it has other numbers than the prior."""
        numbers = self._numbers(spec).to_dict()
        missing = [name for name in self.vector.names if name not in numbers]
        if missing or len(numbers) != len(self.vector):
            raise DREnvError(
                f"{self.name}: told of a Spec with the tunable numbers {', '.join(numbers) or 'none'}, "
                f"expected {', '.join(self.vector.names)}"
            )
        return np.clip(self.vector.replace(numbers).to_unit(), 0.0, 1.0)

    def ranked(self, first: int) -> Array:
        """The scores from `first` on, failures a little below the worst; all 0 where all failed, (n,)."""
        scores = np.array(self.scores[first:], np.float64)
        finite = scores[np.isfinite(scores)]
        if not len(finite):
            return np.zeros(len(scores))
        worst = finite.min() - max(float(np.ptp(finite)), 1e-9)
        return np.where(np.isfinite(scores), scores, worst)
