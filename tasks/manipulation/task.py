"""What tasks with the arm share: moving the gripper in space, goals, and success."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, ClassVar

import gymnasium as gym
import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env import Fields, Task
from tasks.manipulation.cartesian import jacobian, joint_step, turn_to

Array = NDArray[np.float64]

JOINTS = 7
FINGERS = 2
MAX_SPEED = np.array([2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61])
"""The fastest that the robot's joints may turn, rad/s (Franka, "Limits for Panda")."""
CLOSED = 0.0005  # m that each closed finger stays from its stop, so that no contact is computed there
_TIP = 0  # the first site
_DOWN = np.diag([1.0, -1.0, -1.0])  # the gripper's frame as it points to the table
_RETURN = 0.5  # share of the way back into the workspace, and of a turn back to vertical, in one action
_HOME_NOISE = 0.02  # rad


@dataclasses.dataclass(frozen=True)
class Manipulation(Task):
    """The closed gripper points down and moves as it is told; the rest is the task's own.

    An action says how far the commanded tip moves, in units of `max_step`. Damped least squares turn that into a
    change of the joints' targets, slower than the robot's speed limits, and position servos follow. A tip that
    leaves the workspace is led back.
    """

    max_step: float = 0.025
    """m along each axis in one action."""
    threshold: float = 0.05
    """m between achieved and desired goal within which the goal is reached."""
    distance_weight: float = 3.0
    """What a metre to the goal costs in a step; 0 leaves the sparse reward."""

    home: ClassVar[Array]
    """The joints' pose before an episode, rad, (7,)."""
    workspace: ClassVar[Array]
    """Where the tip may go: lowest and highest x, y, z, m, (2, 3)."""
    frame_skip = 8
    max_episode_steps = 50
    fields: ClassVar[tuple[str, ...]] = (
        "qpos",
        "qvel",
        "ctrl",
        "xaxis",
        "xanchor",
        "site_xpos",
        "site_xmat",
        "sensordata",
        "mocap_pos",
    )
    stage = int(mujoco.mjtStage.mjSTAGE_VEL)
    camera = "view"

    def mjspec(self) -> mujoco.MjSpec:
        return mujoco.MjSpec.from_file(str(self.file("scene.xml")))

    @functools.cached_property
    def _range(self) -> Array:
        """The joints' lower and upper limits, rad, (2, 7)."""
        return np.array(self.mjspec().compile().jnt_range[:JOINTS].T)

    # control

    def action_space(self, model: mujoco.MjModel) -> gym.spaces.Box:
        return gym.spaces.Box(-1, 1, (3,), np.float32)

    def control(self, data: Fields, action: NDArray[np.float32]) -> Array:
        tip = data["site_xpos"][:, _TIP]
        low, high = self.workspace[0] - tip, self.workspace[1] - tip  # (n, 3)
        low, high = np.where(low > 0, _RETURN * low, low), np.where(high < 0, _RETURN * high, high)
        step = np.clip(np.clip(self.step(action), low, high), -self.max_step, self.max_step)
        frames = data["site_xmat"][:, _TIP].reshape(-1, 3, 3)
        motion = np.concatenate((step, _RETURN * turn_to(frames, _DOWN)), axis=1)
        jacobians = jacobian(data["xaxis"][:, :JOINTS], data["xanchor"][:, :JOINTS], tip)
        change = joint_step(jacobians, motion)
        share = (np.abs(change) / (MAX_SPEED * self.dt)).max(axis=1, keepdims=True)
        targets = data["ctrl"].copy()
        moved = targets[:, :JOINTS] + change / np.maximum(share, 1.0)
        targets[:, :JOINTS] = np.clip(moved, *self._range)
        return targets

    def step(self, action: NDArray[np.float32]) -> Array:
        """The tip's motion that actions ask for, m, (n, 3)."""
        return self.max_step * np.clip(action, -1, 1).astype(np.float64)

    # goals

    def goal_reward(self, achieved: Array, desired: Array) -> Array:
        """-1 where the goal is not reached, less the distance to it times `distance_weight`."""
        distance = _distance(achieved, desired)
        return np.asarray(np.where(distance <= self.threshold, 0.0, -1.0) - self.distance_weight * distance)

    def goal_terms(self, achieved: Array, desired: Array) -> dict[str, Any]:
        """What the goals alone say of a step, for `info`."""
        distance = _distance(achieved, desired)
        return {
            "is_success": distance <= self.threshold,
            "distance": distance,
            "reward_goal": self.goal_reward(achieved, desired),
        }

    def terminated(self, data: Fields) -> NDArray[np.bool_]:
        return np.zeros(len(data["qpos"]), bool)

    # what the arm is

    def arm_names(self, model: mujoco.MjModel) -> tuple[str, ...]:
        """Names of `arm_state`."""
        joints = [f"joint{i + 1}" for i in range(JOINTS)]
        return (
            *(f"qpos.{joint}" for joint in joints),
            *(f"qvel.{joint}" for joint in joints),
            *(f"tip_velocity.{axis}" for axis in "xyz"),
        )

    def arm_state(self, data: Fields) -> Array:
        """The joints' positions and speeds and the tip's velocity, (n, 17)."""
        return np.concatenate((data["qpos"][:, :JOINTS], data["qvel"][:, :JOINTS], data["sensordata"]), axis=1)

    def arm_start(self, uniform: Array) -> tuple[Array, Array]:
        """The arm's initial qpos and the servos' targets from uniforms (n, 7); both (n, 9)."""
        pose = self.home + _HOME_NOISE * (2 * uniform - 1)
        joints = np.concatenate((pose, np.full((len(uniform), FINGERS), CLOSED)), axis=1)
        return joints, joints


def tip(data: Fields) -> Array:
    """Where the gripper's tip is, m, (n, 3)."""
    return np.asarray(data["site_xpos"][:, _TIP])


def between(uniform: Array, bounds: Array) -> Array:
    """Points (n, k) in a box of lowest and highest corners (2, k) from uniforms (n, k)."""
    return np.asarray(bounds[0] + uniform * (bounds[1] - bounds[0]))


def _distance(achieved: Array, desired: Array) -> Array:
    return np.asarray(np.sqrt(np.square(desired - achieved).sum(axis=-1)))
