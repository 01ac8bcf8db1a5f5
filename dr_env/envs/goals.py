"""Rewards of goals that an episode did not have, as hindsight experience replay asks for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dr_env.envs.task import Array, Task
from dr_env.errors import DREnvError

_SHAPING, _ACHIEVED = "reward_shaping", "achieved_goal"


def compute_reward(task: Task, achieved_goal: Array, desired_goal: Array, info: Any) -> Any:
    """The reward of goals, (goal,) or many of them (n, goal), whatever state they come from.

    What goals alone decide, plus the `reward_shaping` of the step that `info` tells of. Where readings err the
    `achieved_goal` that `info` tells of counts, which is what the step came to in truth.

    Args:
        task: which has a goal.
        achieved_goal, desired_goal: (goal,) or (n, goal).
        info: of the step: one, one for each, or one whose values are columns (n, ...). One that tells nothing, or None,
            leaves the shaping out.

    Raises:
        DREnvError: the task shapes its rewards, and of many infos none says by how much.
    """
    achieved, desired = np.atleast_2d(achieved_goal), np.atleast_2d(desired_goal)
    if info is None or isinstance(info, Mapping):
        told = info or {}
        shaping, achieved = told.get(_SHAPING, 0.0), np.broadcast_to(told.get(_ACHIEVED, achieved), achieved.shape)
    else:
        infos: Sequence[Mapping[str, Any]] = list(info)
        if len(infos) != len(achieved):
            raise DREnvError(f"info: got {len(infos)} of them, expected one, or {len(achieved)}, one for each goal")
        if task.shaped and not any(_SHAPING in each for each in infos):
            raise DREnvError(
                f"info: none tells {_SHAPING}, which rewards of {task.name} have beside what goals decide; "
                "SB3's HerReplayBuffer keeps infos with copy_info_dict=True"
            )
        shaping = np.array([each.get(_SHAPING, 0.0) for each in infos])
        achieved = np.array([each.get(_ACHIEVED, own) for each, own in zip(infos, achieved, strict=True)])
    rewards = task.goal_reward(achieved, desired) + np.asarray(shaping, np.float64)
    return rewards if np.ndim(achieved_goal) == 2 else float(rewards[0])
