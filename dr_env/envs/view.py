"""What an agent is shown of an environment: one array, or a Dict of its parts."""

from __future__ import annotations

from typing import Any, Literal, get_args

import gymnasium as gym
import numpy as np
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from dr_env.binding import Plan
from dr_env.envs.task import Task
from dr_env.errors import DREnvError, unknown_name
from dr_env.records import Columns

Array = NDArray[np.float64]
Observation = Any  # (n, numbers), or a dict of such arrays
Context = Literal["hidden", "observed", "critic_only"]

_CONTEXTS = get_args(Context)


class View:
    """Presents flat observations and the Draws behind them.

    Without goal and context an observation is one array. A task with a goal gives Gymnasium's
    goal-conditioned form, {observation, achieved_goal, desired_goal}, unless `flat_goal`; its `observation` tells
    nothing of the desired goal. The context,
    the Draw as `Plan.context` scales it, is hidden, appended to the observation (`observed`), or a key
    `context` of its own, for those who may know it (`critic_only`).

    Args:
        size: how many numbers a flat observation has; it ends with the achieved and the desired goal.
        task: whose goal, if it has one, it is.
        plan: what varies.
        context: hidden, observed or critic_only.
        flat_goal: whether goals stay part of the observation.
    """

    def __init__(self, size: int, task: Task, plan: Plan, context: Context, flat_goal: bool) -> None:
        if context not in _CONTEXTS:
            raise DREnvError(f"context: {unknown_name('context', context, _CONTEXTS)}")
        self._plan = plan
        self._appended = context == "observed"
        self._keyed = context == "critic_only"
        self._parts = {"observation": slice(0, size)}
        if task.goal and not flat_goal:
            achieved, desired = size - 2 * task.goal, size - task.goal
            self._parts = {
                "observation": slice(0, achieved - task.goal_offsets),
                "achieved_goal": slice(achieved, desired),
                "desired_goal": slice(desired, size),
            }
        sizes = {name: part.stop - part.start for name, part in self._parts.items()}
        if self._appended:
            sizes["observation"] += plan.context_size
        if self._keyed:
            sizes["context"] = plan.context_size
        boxes: dict[str, gym.Space[Any]] = {
            name: gym.spaces.Box(-np.inf, np.inf, (count,), np.float64) for name, count in sizes.items()
        }
        self._single = len(boxes) == 1
        self.space: gym.Space[Any] = boxes["observation"] if self._single else gym.spaces.Dict(boxes)
        """The space of one environment's observation."""

    def check(self, plan: Plan) -> None:
        """Refuses numbers that a context cannot show: those that did not vary in the Plan whose scale it has."""
        for name in sorted(plan.told.varying - self._plan.told.varying) if self._appended or self._keyed else ():
            raise DREnvError(
                f"{plan.spec.where(name, 'distribution')}: varies, and did not in the Spec that the environment was "
                "made with, so the context has no scale for it; make the environment with the widest Spec, and "
                "narrow it with set_randomization before the first reset"
            )

    def batched(self, num_envs: int) -> gym.Space[Any]:
        """The space of n environments' observations."""
        return batch_space(self.space, num_envs)

    def show(self, flat: Array, columns: Columns) -> Observation:
        """New arrays for flat observations (n, size) under n Draws."""
        parts = {name: flat[:, part].copy() for name, part in self._parts.items()}
        if self._appended:
            parts["observation"] = np.concatenate(
                (parts["observation"], self._plan.context(columns, len(flat))), axis=1
            )
        if self._keyed:
            parts["context"] = self._plan.context(columns, len(flat))
        return parts["observation"] if self._single else parts


def rows(observation: Observation, ids: NDArray[np.intp]) -> list[Observation]:
    """The observations of the environments `ids`, one by one."""
    if isinstance(observation, dict):
        parts = {name: part[ids] for name, part in observation.items()}
        return [{name: part[i] for name, part in parts.items()} for i in range(len(ids))]
    return list(observation[ids])
