"""The one loop that runs a policy for evaluation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from dr_env.envs.vector import VectorEnv
from dr_env.records import Columns

Array = NDArray[np.float64]
Policy = Callable[[Array], NDArray[np.float32]]
"""Observations (n, observations) to actions (n, actions)."""


@runtime_checkable
class StatefulPolicy(Protocol):
    """A Policy that remembers: told when episodes begin, it sees every step of them."""

    def begin(self) -> None:
        """New episodes begin in all environments."""

    def __call__(self, observations: Array) -> NDArray[np.float32]:
        """The next actions."""


@dataclasses.dataclass(frozen=True)
class Episodes:
    """What n episodes gave, one row an episode."""

    returns: Array  # (n,)
    lengths: NDArray[np.int64]  # (n,)
    failures: NDArray[np.bool_]  # (n,) whether the simulation diverged
    successes: NDArray[np.bool_] | None  # (n,) whether the last step was a success, in tasks that say so
    draws: Columns
    acceptance_rate: float


def rollout(
    env: VectorEnv,
    policy: Policy,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
    frames: list[NDArray[np.uint8]] | None = None,
    stride: int = 1,
) -> Episodes:
    """Runs one whole episode in every environment.

    Every environment counts once however long it lasts, so short episodes are not favoured.

    Args:
        env: the environments, as many as episodes wanted.
        policy: observations to actions; a `StatefulPolicy` is told that episodes begin.
        seed: the environments' seed.
        progress: told (episodes ended, episodes) now and then.
        frames: if given, receives images of environment 0 until its episode ends.
        stride: steps from one image to the next.
    """
    if isinstance(policy, StatefulPolicy):
        policy.begin()
    observations, info = env.reset(seed=seed)
    draws = {name: values for name, values in info.get("dr", {}).items() if not name.startswith("_")}
    count = env.num_envs
    returns, lengths = np.zeros(count), np.zeros(count, np.int64)
    successes: NDArray[np.bool_] | None = None
    running, failures = np.ones(count, bool), np.zeros(count, bool)
    while running.any():
        if frames is not None and running[0] and lengths[0] % stride == 0:
            frames += env.render([0]) or ()
        observations, rewards, terminated, truncated, info = env.step(policy(observations))
        returns += np.where(running, rewards, 0.0)
        lengths += running
        if "is_success" in info:
            successes = np.where(running, info["is_success"], False if successes is None else successes)
        failures |= running & info.get("dr_failure", False)
        running &= ~(terminated | truncated)
        if progress is not None:
            progress(count - int(running.sum()), count)
    return Episodes(returns, lengths, failures, successes, draws, env.acceptance_rate)
