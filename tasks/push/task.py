"""Push: the closed gripper pushes a block across the table to a point."""

from __future__ import annotations

import dataclasses

import gymnasium as gym
import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env import Fields
from tasks.manipulation.task import JOINTS, Manipulation, between, tip

Array = NDArray[np.float64]

_HEIGHT = 0.025  # m, of the tip above the table
_HOME = np.array([0.0, 0.2805, 0.0, -2.8014, 0.0, 3.082, 0.7854])  # the tip at x = 0.36 m
_WORKSPACE = np.array([[0.28, -0.35, _HEIGHT], [0.75, 0.35, _HEIGHT]])  # m
_BLOCKS = np.array([[0.46, -0.12], [0.56, 0.12]])  # m, of the block's centre
_AWAY = np.array([0.08, 0.18])  # m from the block to its goal
_DROP = 0.038  # m, initial height of the block's centre: above the table for the largest block of the Spec
_BEHIND = 0.055  # m from the block's centre to where the tip should push from
_NEAR = 0.02  # m; closer to the goal than this, the direction to it counts less
_POSITION, _QUATERNION, _VELOCITY = slice(9, 12), slice(12, 16), slice(9, 15)  # the block's qpos and qvel


@dataclasses.dataclass(frozen=True)
class Push(Manipulation):
    """Push the block to the goal; the tip moves in a plane above the table.

    The reward is `goal_reward` less the tip's distance to where it should push from times `approach_weight`.
    """

    distance_weight: float = 10.0
    approach_weight: float = 3.0
    """What a metre between the tip and where it should push from costs in a step."""

    name = "push"
    goal = 2
    goal_offsets = 2
    shaped = True
    max_episode_steps = 100
    home = _HOME
    workspace = _WORKSPACE

    def action_space(self, model: mujoco.MjModel) -> gym.spaces.Box:
        return gym.spaces.Box(-1, 1, (2,), np.float32)

    def step(self, action: NDArray[np.float32]) -> Array:
        return super().step(np.column_stack((action, np.zeros(len(action), action.dtype))))

    def observation_names(self, model: mujoco.MjModel) -> tuple[str, ...]:
        return (
            *self.arm_names(model),
            *(f"tip.{axis}" for axis in "xyz"),
            *(f"block_from_tip.{axis}" for axis in "xy"),
            *(f"block_turn.{part}" for part in ("cos", "sin")),
            *(f"block_velocity.{axis}" for axis in ("x", "y", "turn")),
            *(f"goal_from_block.{axis}" for axis in "xy"),
            *(f"achieved_goal.{axis}" for axis in "xy"),
            *(f"desired_goal.{axis}" for axis in "xy"),
        )

    def observe(self, data: Fields) -> Array:
        w, x, y, z = data["qpos"][:, _QUATERNION].T
        turn = 4 * np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))  # quarter turns look alike
        block, goal = _block(data), _goal(data)
        parts = (
            self.arm_state(data),
            tip(data),
            block - tip(data)[:, :2],
            np.stack((np.cos(turn), np.sin(turn)), axis=1),
            data["qvel"][:, _VELOCITY][:, [0, 1, 5]],
            goal - block,
            block,
            goal,
        )
        return np.concatenate(parts, axis=1)

    def reward(self, before: Fields, action: NDArray[np.float32], after: Fields) -> tuple[Array, dict[str, Array]]:
        block, goal = _block(after), _goal(after)
        terms = self.goal_terms(block, goal)
        ahead = (goal - block) / np.maximum(terms["distance"], _NEAR)[:, None]
        away = np.sqrt(np.square(block - _BEHIND * ahead - tip(after)[:, :2]).sum(axis=1))
        terms["reward_shaping"] = -self.approach_weight * away
        return terms["reward_goal"] + terms["reward_shaping"], terms

    def reset_width(self, model: mujoco.MjModel) -> int:
        return JOINTS + 5  # the block's position and turn, the goal's distance and direction

    def reset_state(self, model: mujoco.MjModel, uniform: Array) -> tuple[Array, Array]:
        arm, _ = self.arm_start(uniform[:, :JOINTS])
        half = 0.5 * np.pi * uniform[:, JOINTS + 2]
        zero = np.zeros(len(uniform))
        height = np.full(len(uniform), _DROP)
        position = between(uniform[:, JOINTS : JOINTS + 2], _BLOCKS)
        block = np.column_stack((position, height, np.cos(half), zero, zero, np.sin(half)))
        return np.concatenate((arm, block), axis=1), np.zeros((len(uniform), model.nv))

    def initial_state(self, model: mujoco.MjModel, uniform: Array) -> dict[str, Array]:
        state = super().initial_state(model, uniform)
        away = between(uniform[:, JOINTS + 3 : JOINTS + 4], _AWAY[:, None])
        direction = 2 * np.pi * uniform[:, JOINTS + 4]
        goal = np.column_stack((np.cos(direction), np.sin(direction), np.zeros(len(uniform))))
        goal *= away
        goal[:, :2] += state["qpos"][:, _POSITION][:, :2]
        goal[:, 2] = model.body("goal").pos[2]
        return {**state, "ctrl": self.arm_start(uniform[:, :JOINTS])[1], "mocap_pos": goal[:, None]}


def _block(data: Fields) -> Array:
    return data["qpos"][:, _POSITION][:, :2]


def _goal(data: Fields) -> Array:
    return data["mocap_pos"][:, 0, :2]
