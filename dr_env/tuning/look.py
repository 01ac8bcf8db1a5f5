"""Learning how to look: ranges under which rendered images are as the target's."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

import numpy as np

from dr_env.distributions import ParameterVector
from dr_env.errors import DREnvError
from dr_env.spec import Spec
from dr_env.tuning.cma_es import CMAES, CMAESOptions
from dr_env.tuning.evidence import Kind, TargetImages
from dr_env.tuning.mmd import MMD
from dr_env.tuning.returns import Array


@dataclasses.dataclass(frozen=True)
class LookOptions(CMAESOptions):
    """Numbers of look tuning: those of CMA-ES, and what is moved."""

    select: tuple[str, ...] = ("*",)  # globs of the names of numbers, or of what they belong to, that are moved
    task_weight: float = 1.0  # of the task's own loss on labelled images, beside the discrepancy

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.task_weight >= 0:
            raise DREnvError(f"look.task_weight: got {self.task_weight:g}, expected a number not below 0")


class Look(CMAES):
    """Rendered images are made to look like the target's: CMA-ES on their discrepancy in feature space.

    A candidate's loss is the unbiased MMD between features of frames rendered under it and of the target's images,
    plus, where some of those have labels, `task_weight` times the task's own loss on them, as in Kar et al.,
    "Meta-Sim: learning to generate synthetic datasets", ICCV 2019 (equations 3 and 5); comparing in feature space
    is Rozantsev, Lepetit, Fua, "On rendering synthetic images for training an object detector", CVIU 2015. What moves
    are numbers of look entries and of the scene's grammar. Features are scaled as they spread in the target and the
    first candidate told together, which is the prior itself unless several are tried at once and another comes back
    sooner; that scale stays, so that losses can be compared. Rendering candidates with the same random numbers makes
    their losses smooth. The result is CMA-ES's mean, or before its first generation is whole the best candidate.
    """

    name: ClassVar[str] = "look"
    needs: ClassVar[frozenset[Kind]] = frozenset({"images"})
    Options: ClassVar[type[Any]] = LookOptions
    options: LookOptions

    def _begin(self) -> None:
        super()._begin()
        self._mmd: MMD | None = None

    def _numbers(self, spec: Spec) -> ParameterVector:
        return spec.parameters(scene=True).matching(self.options.select)

    def _candidate(self, pending: tuple[Array, ...]) -> Array:
        return self.vector.to_unit() if not self.points and not pending else super()._candidate(pending)

    def _best(self) -> Array:
        scores = np.where(np.isfinite(self.scores), self.scores, -np.inf)
        if self._first or not np.isfinite(scores).any():
            return super()._best()
        return self.points[int(scores.argmax())]

    def _score(self, evidence: TargetImages) -> float:
        target, rendered = _whole(evidence.target), _whole(evidence.rendered)
        if self._mmd is None and min(len(target), len(rendered)) >= 2:
            self._mmd = MMD.of(rendered, target)
        loss = self.discrepancy(evidence)
        return -(loss if math.isnan(evidence.loss) else loss + self.options.task_weight * evidence.loss)

    def discrepancy(self, evidence: TargetImages) -> float:
        """The MMD of a candidate's frames to the target's images; NaN before there was any to set the scale."""
        return math.nan if self._mmd is None else self._mmd(_whole(evidence.rendered), _whole(evidence.target))

    def _state(self) -> dict[str, Any]:
        return {**super()._state(), "mmd": None if self._mmd is None else self._mmd.to_dict()}

    def _load(self, state: Any) -> None:
        super()._load(state)
        self._mmd = None if state["mmd"] is None else MMD.from_dict(state["mmd"])


def _whole(rows: Array) -> Array:
    """Rows without a NaN."""
    return np.asarray(rows[np.isfinite(rows).all(axis=1)])
