"""Reach and push can be done: by controllers that were written, not learnt."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_env import VectorEnv, make_vector_env, rollout

Array = NDArray[np.float64]


def _towards(env: VectorEnv, factor: float) -> Any:
    """A controller for reach: straight to the goal."""
    names = env.task.observation_names(env.model)
    columns = [names.index(f"goal_from_tip.{axis}") for axis in "xyz"]
    return lambda observations: (factor * observations[:, columns] / env.task.max_step).astype(np.float32)  # type: ignore[attr-defined]


def test_going_straight_to_the_goal_succeeds() -> None:
    """Every goal can be reached, in time, in the nominal world and in most of the randomized ones."""
    nominal, randomized = (
        make_vector_env(task="reach", num_envs=64, randomization=spec, flat_goal=True) for spec in (None, "default")
    )
    done = rollout(nominal, _towards(nominal, 0.5), seed=0)
    assert done.successes is not None and done.successes.all()
    done = rollout(randomized, _towards(randomized, 0.5), seed=0)
    assert done.successes is not None and done.successes.mean() > 0.9
    done = rollout(nominal, _towards(nominal, 0.0), seed=0)
    assert done.successes is not None and done.successes.mean() < 0.1


def _pusher(env: VectorEnv) -> Any:
    """A controller for push: around the block to its far side, then through it to the goal."""
    names = env.task.observation_names(env.model)
    at = {kind: [names.index(f"{kind}.{axis}") for axis in "xy"] for kind in ("block_from_tip", "goal_from_block")}

    def act(observations: Array) -> NDArray[np.float32]:
        block, goal = observations[:, at["block_from_tip"]], observations[:, at["goal_from_block"]]
        distance = np.linalg.norm(goal, axis=1, keepdims=True)
        ahead = goal / np.maximum(distance, 1e-6)
        side = np.column_stack((-ahead[:, 1], ahead[:, 0]))
        along, across = (block * ahead).sum(1, keepdims=True), (block * side).sum(1, keepdims=True)
        clear = 0.08
        around = block + np.where(across > 0, -1, 1) * clear * side - clear * ahead * (np.abs(across) > 0.04)
        behind = block - 0.06 * ahead
        target = np.where(along < 0.03, around, np.where(np.abs(across) > 0.02, behind, 0.5 * goal + across * side))
        target = np.where(distance < 0.015, 0.0, target)
        return np.clip(target / env.task.max_step, -1, 1).astype(np.float32)  # type: ignore[attr-defined]

    return act


def test_pushing_from_behind_succeeds() -> None:
    """The block can be pushed to most goals by a controller that was not learnt, and not by standing still."""
    env = make_vector_env(task="push", num_envs=64, flat_goal=True)
    done = rollout(env, _pusher(env), seed=0)
    assert done.successes is not None and done.successes.mean() > 0.6
    done = rollout(env, lambda observations: np.zeros((64, 2), np.float32), seed=0)
    assert done.successes is not None and not done.successes.any()
