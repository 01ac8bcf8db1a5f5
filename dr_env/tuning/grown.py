"""A posterior from recordings, its spread grown as long as policies keep succeeding."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

import numpy as np

from dr_env.errors import DREnvError
from dr_env.spec import Spec
from dr_env.tuning.credible import Credible, CredibleOptions
from dr_env.tuning.evidence import Evidence, Kind, SimEpisodes

_Z = 1.645  # of the one-sided 95 % bound on a rate


@dataclasses.dataclass(frozen=True)
class GrownOptions(CredibleOptions):
    """Numbers of `grown`, those of `credible` included."""

    success: float = 0.8  # the share of episodes that must surely succeed for the spread to grow
    factor: float = 1.5  # by which standard deviations grow
    limit: float = 10.0  # how far at most

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.success < 1:
            raise DREnvError(f"grown.success: got {self.success:g}, expected a share between 0 and 1")
        for key in ("factor", "limit"):
            if not getattr(self, key) > 1:
                raise DREnvError(f"grown.{key}: got {getattr(self, key):g}, expected a number above 1")


class Grown(Credible):
    """`credible`, then wider for as long as a policy trained under it succeeds in its own simulation.

    Recordings give centre and shape; episodes of the policy say how much width it can bear. While the lower 95 %
    bound (Wilson, JASA 1927) of the success rate is above `success`, standard deviations grow by `factor`, up to
    `limit`; the first time it is not, or at the limit, they stay, and where the upper bound is below it, they go
    back one step. So a policy has been judged at the spread that comes out. An episode that diverged failed.
    """

    name: ClassVar[str] = "grown"
    needs: ClassVar[frozenset[Kind]] = frozenset({"transitions", "episodes"})
    Options: ClassVar[type[Any]] = GrownOptions

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._steps, self._settled = 0, False

    @property
    def done(self) -> bool:
        return self._settled

    @property
    def growth(self) -> float:
        """The factor of the standard deviations."""
        options: Any = self.options
        return float(min(options.factor**self._steps, options.limit))

    def _tell(self, evidence: Evidence) -> None:
        if not isinstance(evidence, SimEpisodes):
            super()._tell(evidence)
            return
        if self.belief is None or self._settled or not len(evidence):
            return
        options: Any = self.options
        low, high = _wilson(int((evidence.successes & np.isfinite(evidence.returns)).sum()), len(evidence))
        if low > options.success and self.growth < options.limit:
            self._steps += 1
        else:
            self._settled = True
            if high < options.success:
                self._steps = max(self._steps - 1, 0)

    def _result(self) -> Spec:
        return self.prior if self.belief is None else self.belief.spec(self.prior, self.growth)

    def _state(self) -> Any:
        return {**super()._state(), "steps": self._steps, "settled": self._settled}

    def _load(self, state: Any) -> None:
        super()._load(state)
        self._steps, self._settled = int(state["steps"]), bool(state["settled"])


def _wilson(successes: int, count: int) -> tuple[float, float]:
    """The 90 % interval of a rate."""
    rate, z2 = successes / count, _Z**2
    centre = (rate + z2 / (2 * count)) / (1 + z2 / count)
    half = _Z / (1 + z2 / count) * math.sqrt(rate * (1 - rate) / count + z2 / (4 * count**2))
    return centre - half, centre + half
