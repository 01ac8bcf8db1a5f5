"""What a Spec is worth: a policy trained under it, tried on the target."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_env.envs.registration import make_task
from dr_env.envs.rollout import rollout
from dr_env.envs.trainer import Trainer, TrainRequest, make_trainer
from dr_env.envs.vector import VectorEnv
from dr_env.errors import DREnvError, StorageError
from dr_env.rng import digest
from dr_env.spec import Spec


@dataclasses.dataclass(frozen=True)
class Objective:
    """Trains policies under Specs and tries them on a target.

    Every policy has the same seed, so that Specs are compared with the same luck. What the target shows depends
    on the trial's number alone.
    """

    task: str
    algorithm: str = "ppo"
    steps: int | None = None  # of training; None: the configuration's
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seed: int = 0
    threads: int = 0
    quiet: bool = True

    def check(self, spec: Spec) -> None:
        """Refuses an algorithm or settings that no policy could be trained with."""
        make_trainer(self.algorithm).check(self._request(spec, Path()))

    def train(self, spec: Spec, run: Path, warm_start: Path | None = None) -> tuple[int, float]:
        """Trains a policy in the folder `run`, or goes on where a killed process left it.

        Returns the environment steps and seconds that it took.
        """
        trainer = make_trainer(self.algorithm)
        began = time.perf_counter()
        try:
            self._go_on(trainer, self._request(spec, run, warm_start))
        except KeyboardInterrupt as stop:
            raise KeyboardInterrupt(f"{str(stop) or 'stopped'}; the same command goes on") from None
        return trainer.load(run).steps, time.perf_counter() - began

    def _go_on(self, trainer: Trainer, request: TrainRequest) -> None:
        try:
            trainer.resume(request.run, None, self.quiet)
        except StorageError:
            raise
        except DREnvError:  # nothing there yet, or nothing whole
            trainer.train(request)

    def _request(self, spec: Spec, run: Path, warm_start: Path | None = None) -> TrainRequest:
        return TrainRequest(
            task=self.task,
            randomization=spec,
            run=run,
            seed=self.seed,
            steps=self.steps,
            threads=self.threads,
            settings=self.settings,
            overwrite=True,
            quiet=self.quiet,
            warm_start=warm_start,
        )

    def evaluate(self, run: Path, target: Spec, episodes: int, trial: int) -> tuple[NDArray[np.float64], int]:
        """Fresh episodes of a run's policy on the target: returns (episodes,), NaN where one diverged, and steps."""
        policy = make_trainer(self.algorithm).load(run)
        if policy.context == "observed":
            raise DREnvError(f"{run}: acts on its Draw (context: observed), which no target tells; use critic_only")
        env = VectorEnv(make_task(self.task), episodes, target, flat_goal=True, threads=self.threads)
        try:
            done = rollout(env, policy.act, digest("tune", self.seed, trial) >> 1)
        finally:
            env.close()
        return np.where(done.failures, np.nan, done.returns), int(done.lengths.sum())

    def steps_of(self, run: Path) -> int:
        """The environment steps that a run was trained for; 0 where there is none."""
        try:
            return make_trainer(self.algorithm).load(run).steps
        except DREnvError:
            return 0
