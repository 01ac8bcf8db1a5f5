"""What an algorithm must offer so that `dr-env train` and `dr-env evaluate` can use it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

from dr_env.envs.rollout import Policy
from dr_env.envs.view import Context
from dr_env.errors import DREnvError, unknown_name
from dr_env.spec import Spec

GROUP = "dr_env.trainers"


@dataclasses.dataclass(frozen=True)
class TrainRequest:
    """What to train, and where the run goes."""

    task: str
    randomization: Spec
    run: Path
    seed: int = 0
    steps: int | None = None  # None: the configuration's
    threads: int = 0  # 0: all of the machine's
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # over the task's configuration
    config: Path | None = None  # None: the task's own
    overwrite: bool = False
    quiet: bool = False
    warm_start: Path | None = None  # a run whose policy and normaliser to begin with


@dataclasses.dataclass(frozen=True)
class TrainedPolicy:
    """A policy read from a run, with what is known of its training."""

    act: Policy
    task: str
    randomization: Spec
    seed: int
    steps: int
    curve: list[dict[str, float]]  # learning curve: steps, return_mean, length_mean, seconds, frames_per_s
    settings: str = ""  # a digest of what it was trained with beside Spec, seed and steps
    context: Context = "hidden"  # what `VectorEnv` must show it; `observed` needs worlds of its own Spec


class Trainer(Protocol):
    """An algorithm, found through the entry point group `dr_env.trainers`."""

    def check(self, request: TrainRequest) -> object:
        """Refuses settings that nothing could be trained with, before anything is."""

    def train(self, request: TrainRequest) -> Path:
        """Trains; returns the run folder."""

    def resume(self, run: Path, steps: int | None, quiet: bool) -> Path:
        """Goes on with an interrupted run, or for more steps."""

    def load(self, run: Path) -> TrainedPolicy:
        """Reads the last checkpoint of a run."""


def make_trainer(name: str) -> Trainer:
    """Makes an installed trainer; raises DREnvError naming the near match."""
    points = {point.name: point for point in metadata.entry_points(group=GROUP)}
    if name not in points:
        raise DREnvError(unknown_name("algorithm", name, points))
    trainer: Trainer = points[name].load()()
    return trainer
