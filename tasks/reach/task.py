"""Reach: the gripper's tip goes to a point in space."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env import Fields
from tasks.manipulation.task import JOINTS, Manipulation, between, tip

Array = NDArray[np.float64]

_HOME = np.array([0.0, -0.2594, 0.0, -2.4315, 0.0, 2.1721, 0.7854])
_GOALS = np.array([[0.3, -0.3, 0.08], [0.6, 0.3, 0.5]])  # m
_WORKSPACE = np.array([[0.25, -0.35, 0.03], [0.65, 0.35, 0.55]])  # m
_AXES = "xyz"


@dataclasses.dataclass(frozen=True)
class Reach(Manipulation):
    """Bring the tip to the goal and keep it there; the reward is `goal_reward`."""

    threshold: float = 0.025

    name = "reach"
    goal = 3
    goal_offsets = 3
    home = _HOME
    workspace = _WORKSPACE

    def observation_names(self, model: mujoco.MjModel) -> tuple[str, ...]:
        kinds = ("goal_from_tip", "achieved_goal", "desired_goal")
        return (*self.arm_names(model), *(f"{kind}.{axis}" for kind in kinds for axis in _AXES))

    def observe(self, data: Fields) -> Array:
        achieved, desired = tip(data), data["mocap_pos"][:, 0]
        return np.concatenate((self.arm_state(data), desired - achieved, achieved, desired), axis=1)

    def reward(self, before: Fields, action: NDArray[np.float32], after: Fields) -> tuple[Array, dict[str, Array]]:
        terms = self.goal_terms(tip(after), after["mocap_pos"][:, 0])
        return terms["reward_goal"], terms

    def reset_width(self, model: mujoco.MjModel) -> int:
        return JOINTS + 3  # and the goal's position

    def reset_state(self, model: mujoco.MjModel, uniform: Array) -> tuple[Array, Array]:
        return self.arm_start(uniform[:, :JOINTS])[0], np.zeros((len(uniform), model.nv))

    def initial_state(self, model: mujoco.MjModel, uniform: Array) -> dict[str, Array]:
        goal = between(uniform[:, JOINTS:], _GOALS)
        return {
            **super().initial_state(model, uniform),
            "ctrl": self.arm_start(uniform[:, :JOINTS])[1],
            "mocap_pos": goal[:, None],
        }
