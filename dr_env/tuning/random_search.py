"""Random search: what a method must beat to be worth its trouble."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from dr_env.rng import generator
from dr_env.tuning.returns import Array, ReturnsTuner
from dr_env.tuning.tuner import NoOptions


class RandomSearch(ReturnsTuner[NoOptions]):
    """Points uniform in the unit cube; the best of those told is the result.

    Bergstra and Bengio, "Random search for hyper-parameter optimization", JMLR 2012.
    """

    name: ClassVar[str] = "random"

    def _candidate(self, pending: tuple[Array, ...]) -> Array:
        # keyed by the trial's number, so candidates do not depend on when others are told
        number = len(self.points) + len(pending)
        return np.asarray(generator(self.seed, self.name, number).random(len(self.vector)))
