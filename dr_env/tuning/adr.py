"""Automatic domain randomization: ranges whose ends move as the policy does well or badly on them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from dr_env.distributions import Distribution, LogUniform, Mixture, Uniform
from dr_env.errors import DREnvError
from dr_env.spec import Spec
from dr_env.tuning.evidence import Kind, SimEpisodes
from dr_env.tuning.ranges import Range, ranges_of, units_of, with_ranges
from dr_env.tuning.tuner import Simulate, Tuner


@dataclasses.dataclass(frozen=True)
class ADROptions:
    """Numbers of ADR."""

    widen: float = 0.7  # t_H: the share of successes on an end, from which it moves outwards
    narrow: float = 0.3  # t_L: the share of successes on an end, up to which it moves inwards
    buffer: int = 20  # m: episodes on an end, before it is judged
    boundary: float = 0.5  # the share of episodes with some value on an end
    step: float = 0.02  # delta: how far an end moves, as a share of the widest range

    def __post_init__(self) -> None:
        if not 0 <= self.narrow < self.widen <= 1:
            raise DREnvError(
                f"adr.narrow: got {self.narrow:g}, expected a number from 0 to below widen = {self.widen:g}"
            )
        if self.buffer < 1:
            raise DREnvError(f"adr.buffer: got {self.buffer}, expected at least 1")
        if not 0 < self.boundary <= 1:
            raise DREnvError(f"adr.boundary: got {self.boundary:g}, expected a number above 0, at most 1")
        if not 0 < self.step <= 1:
            raise DREnvError(f"adr.step: got {self.step:g}, expected a number above 0, at most 1")


class ADR(Tuner[ADROptions]):
    """Ranges that start as points: an end on which episodes succeed moves out, one on which they fail moves in.

    OpenAI et al., "Solving Rubik's cube with a robot hand", 2019, algorithm 1. There an episode is for
    evaluation with a fixed probability, and then one entry at random has its value on one end. Here each
    entry's distribution holds both ends with such a weight that as many episodes have some value on an end;
    an episode with values on several ends counts for each of them. Performance is the share of successes.
    """

    name: ClassVar[str] = "adr"
    needs: ClassVar[frozenset[Kind]] = frozenset({"episodes"})
    Options: ClassVar[type[Any]] = ADROptions

    def __init__(
        self,
        prior: Spec,
        seed: int,
        options: ADROptions | Mapping[str, Any] | None = None,
        simulate: Simulate | None = None,
    ) -> None:
        super().__init__(prior, seed, options, simulate)
        self.ranges = ranges_of(prior)
        start = [float(np.clip(part.to_unit(part.start), 0.0, 1.0)) for part in self.ranges]
        self._ends = [[u, u] for u in start]  # of 0 .. 1, low and high
        self._start = start
        self._buffers: list[list[list[bool]]] = [[[], []] for _ in self.ranges]
        self._count = len(self.ranges)  # of values that an episode draws, once episodes have told

    @property
    def done(self) -> bool:
        return all(low <= 0.0 and high >= 1.0 for low, high in self._ends)

    def _ask(self, pending: tuple[Spec, ...]) -> Spec:
        # the share of episodes with no value on an end is (1 - weight) ** count
        weight = 1 - (1 - self.options.boundary) ** (1 / self._count)
        found: dict[str, Distribution] = {}
        for part, ends in zip(self.ranges, self._ends, strict=True):
            inside = _between(part, *ends)
            low, high = inside.support()
            found[part.name] = Mixture(
                (1 - weight, weight / 2, weight / 2), (inside, _point(part, low), _point(part, high))
            )
        return with_ranges(self.prior, found)

    def _result(self) -> Spec:
        """The ranges without the weight on their ends."""
        pairs = zip(self.ranges, self._ends, strict=True)
        return with_ranges(self.prior, {part.name: _between(part, *ends) for part, ends in pairs})

    def _tell(self, evidence: SimEpisodes) -> None:
        if not len(evidence):
            return
        units = units_of(self.ranges, evidence.draws)  # refuses Draws of another Spec
        self._count = sum(unit.shape[1] for unit in units.values())
        success = evidence.successes & np.isfinite(evidence.returns)
        for i, part in enumerate(self.ranges):
            values = np.asarray(evidence.draws[part.name]).reshape(len(evidence), -1)
            ends = _between(part, *self._ends[i]).support()
            for side, end in enumerate(ends):
                self._buffers[i][side] += success[(values == end).any(1)].tolist()
        for i in range(len(self.ranges)):
            for side in (0, 1):
                self._judge(i, side)

    def _judge(self, i: int, side: int) -> None:
        found = self._buffers[i][side]
        if len(found) < self.options.buffer:
            return
        rate = float(np.mean(found))
        found.clear()
        outwards = -self.options.step if side == 0 else self.options.step
        if rate >= self.options.widen:
            moved = self._ends[i][side] + outwards
        elif rate <= self.options.narrow:
            moved = self._ends[i][side] - outwards
        else:
            return
        # an end stays within the widest range, and on its side of the start; 12 digits keep states exact
        low, high = (0.0, self._start[i]) if side == 0 else (self._start[i], 1.0)
        moved = round(min(max(moved, low), high), 12)
        if moved != self._ends[i][side]:
            self._ends[i][side] = moved

    def _state(self) -> dict[str, Any]:
        return {
            "ends": [list(ends) for ends in self._ends],
            "buffers": [[list(b) for b in two] for two in self._buffers],
            "count": self._count,
        }

    def _load(self, state: Any) -> None:
        self._ends = [list(ends) for ends in state["ends"]]
        self._buffers = [[list(found) for found in both] for both in state["buffers"]]
        self._count = int(state["count"])


def _between(part: Range, low: float, high: float) -> Distribution:
    ends = part.from_unit(low), part.from_unit(high)
    return LogUniform(*ends) if part.log else Uniform(*ends)


def _point(part: Range, value: float) -> Distribution:
    """A value that is always the same, of the same kind as the range that it stands beside."""
    return LogUniform(value, value) if part.log else Uniform(value, value)
