"""Who transfers, and by how much: the returns of policies in worlds, with intervals."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_env.evaluation.statistics import Estimate, estimate, proportion
from dr_env.records import Columns, Draw

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one policy's episodes in one world gave."""

    returns: Array  # (n,)
    lengths: NDArray[np.int64]  # (n,)
    failed: tuple[int, ...]  # episodes in which the simulation diverged
    draws: Columns
    acceptance_rate: float
    binding: str  # what the Draws were made for
    successes: NDArray[np.bool_] | None = None  # (n,) in tasks that can succeed

    @property
    def failures(self) -> list[Draw]:
        """The Draws that made the simulation diverge."""
        return [Draw({k: v[i] for k, v in self.draws.items()}, self.binding) for i in self.failed]


@dataclasses.dataclass(frozen=True)
class Arm:
    """Policies trained alike but for their seed, with their outcomes by world."""

    name: str
    runs: tuple[str, ...]
    seeds: tuple[int, ...]
    steps: int
    curves: tuple[list[dict[str, float]], ...]
    outcomes: Mapping[str, tuple[Outcome, ...]]  # world -> one for each run

    def estimate(self, world: str) -> Estimate:
        """Interquartile mean of the return in a world; the same resamples for the same numbers."""
        return estimate([outcome.returns for outcome in self.outcomes[world]], np.random.default_rng(0))

    def success(self, world: str) -> Estimate | None:
        """The share of episodes that succeed in a world, or None in tasks that do not say so."""
        found = [outcome.successes for outcome in self.outcomes[world] if outcome.successes is not None]
        return proportion(np.concatenate(found)) if found else None

    def failures(self, world: str) -> dict[str, list[Draw]]:
        """The Draws that made simulations diverge, by run; runs without any are left out."""
        found = zip(self.runs, self.outcomes[world], strict=True)
        return {run: outcome.failures for run, outcome in found if outcome.failed}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Arms in worlds."""

    task: str
    worlds: tuple[str, ...]
    arms: tuple[Arm, ...]
    episodes: Mapping[str, int]  # by world, for each run
    seed: int
    target: str
    changes: tuple[tuple[str, str, str], ...]  # entry, what the target does, what training varied

    def verdict(self) -> str:
        """One sentence on the target, which claims no more than the intervals."""
        ranked = sorted(self.arms, key=lambda arm: arm.estimate("target").value, reverse=True)
        if len(ranked) < 2:
            return f"{ranked[0].name} reaches {ranked[0].estimate('target')} on the target."
        best, rest = ranked[0], ranked[1:]
        score = best.estimate("target")
        beaten = [arm.name for arm in rest if not arm.estimate("target").overlaps(score)]
        tied = [arm.name for arm in rest if arm.estimate("target").overlaps(score)]
        parts = []
        if beaten:
            parts.append(f"transfers better than {', '.join(beaten)} (the 95 % intervals do not overlap)")
        if tied:
            parts.append(f"cannot be told apart from {', '.join(tied)} (the intervals overlap)")
        return f"On the target, {best.name} {' and '.join(parts)}."

    def to_dict(self) -> dict[str, Any]:
        """Everything measured, as plain data for JSON."""
        arms = []
        for arm in self.arms:
            worlds = {}
            for world in self.worlds:
                outcomes = arm.outcomes[world]
                success = arm.success(world)
                worlds[world] = {
                    "return": dataclasses.asdict(arm.estimate(world)),
                    "success": success and dataclasses.asdict(success),
                    "length_mean": float(np.mean([outcome.lengths.mean() for outcome in outcomes])),
                    "failures": sum(len(outcome.failed) for outcome in outcomes),
                    "failed_episodes": [list(outcome.failed) for outcome in outcomes],
                    "acceptance_rate": float(np.mean([outcome.acceptance_rate for outcome in outcomes])),
                    "returns": [outcome.returns.tolist() for outcome in outcomes],
                    "draws": [{k: v.tolist() for k, v in outcome.draws.items()} for outcome in outcomes],
                }
            arms.append({"name": arm.name, "runs": arm.runs, "seeds": arm.seeds, "steps": arm.steps, "worlds": worlds})
        return {
            "format": "dr_env/report/1",
            "task": self.task,
            "target": self.target,
            "episodes_per_run": dict(self.episodes),
            "seed": self.seed,
            "verdict": self.verdict(),
            "target_changes": [dict(zip(("entry", "target", "training"), c, strict=True)) for c in self.changes],
            "arms": arms,
        }
