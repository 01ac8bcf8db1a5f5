"""Rewards of goals that an episode did not have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dr_env import DREnvError, VectorEnv, make_env, make_task
from dr_env.envs.goals import compute_reward


def test_infos_are_one_or_many_or_columns() -> None:
    task, rng = make_task("push"), np.random.default_rng(0)
    achieved, desired = rng.normal(size=(2, 3, 2)) * 0.1
    alone = task.goal_reward(achieved, desired)
    unknown: tuple[Any, ...] = (None, {})
    for nothing in unknown:
        assert (compute_reward(task, achieved, desired, nothing) == alone).all()
        assert compute_reward(task, achieved[0], desired[0], nothing) == alone[0]
    shaping = np.array([-0.1, -0.2, -0.3])
    infos = [{"reward_shaping": each} for each in shaping]
    assert (compute_reward(task, achieved, desired, infos) == alone + shaping).all()
    assert (compute_reward(task, achieved, desired, {"reward_shaping": shaping}) == alone + shaping).all()
    truth = {"achieved_goal": desired, "reward_shaping": 0.0}
    assert (compute_reward(task, achieved, desired, truth) == task.goal_reward(desired, desired)).all()
    with pytest.raises(DREnvError, match="got 2 of them, expected one, or 3"):
        compute_reward(task, achieved, desired, infos[:2])
    with pytest.raises(DREnvError, match=r"none tells reward_shaping.*copy_info_dict=True"):
        compute_reward(task, achieved, desired, [{}, {}, {}])
    assert (compute_reward(make_task("reach"), np.zeros((1, 3)), np.ones((1, 3)), [{}]) < 0).all()


def test_a_batch_has_it_too() -> None:
    env = VectorEnv(make_task("reach"), 2)
    goals = np.zeros((2, 3))
    assert (env.compute_reward(goals, goals, None) == env.task.goal_reward(goals, goals)).all()


def test_goals_end_nothing_as_gymnasiums_convention_asks() -> None:
    env = make_env(task="reach").unwrapped
    env.reset(seed=0)
    after, _, terminated, truncated, info = env.step(env.action_space.sample())
    goals = after["achieved_goal"], after["desired_goal"]
    assert env.compute_terminated(*goals, info) is terminated is False
    assert env.compute_truncated(*goals, info) is truncated is False
    assert not env.compute_terminated(np.zeros((4, 3)), np.zeros((4, 3)), {}).any()
