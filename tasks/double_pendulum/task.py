"""Double pendulum: two motors swing a two-link arm up and balance it."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env import Fields
from tasks.swing_up import SwingUp

Array = NDArray[np.float64]

_LENGTHS = np.array([0.2, 0.3])  # m
_FASTEST = 38.2  # rad/s, what the motors reach at 24 V behind their gears


@dataclasses.dataclass(frozen=True)
class DoublePendulum(SwingUp):
    """Swing up and balance a double pendulum; its angles are 0 where it hangs, the second one relative.

    Args:
        torque_limits: greatest torques of shoulder and elbow, N m. Holding the straight arm level takes 3.8
            and 1.6, so by default it must be swung up; the recordings of the mechanism reach 4.3.
    """

    swift: float = 8.0
    torque_limits: tuple[float, float] = (3.0, 3.0)

    name = "double_pendulum"
    frame_skip = 10
    swinging = (0, 1)
    max_episode_steps = 400
    camera = "front"

    def mjspec(self) -> mujoco.MjSpec:
        mjspec = super().mjspec()
        for actuator, limit in zip(mjspec.actuators, self.torque_limits, strict=True):
            actuator.ctrlrange = [-limit, limit]
        return mjspec

    def observation_names(self, model: mujoco.MjModel) -> tuple[str, ...]:
        return ("cos.shoulder", "cos.elbow", "sin.shoulder", "sin.elbow", "qvel.shoulder", "qvel.elbow")

    def observe(self, data: Fields) -> Array:
        return np.concatenate((np.cos(data["qpos"]), np.sin(data["qpos"]), data["qvel"]), axis=1)

    def height(self, qpos: Array) -> Array:
        # no matrix product: its rounding would depend on how many environments there are
        tip = ((1 - np.cos(np.cumsum(qpos, axis=1))) * _LENGTHS).sum(axis=1)
        return np.asarray(tip / (2 * _LENGTHS.sum()))

    def terminated(self, data: Fields) -> NDArray[np.bool_]:
        return np.asarray((np.abs(data["qvel"]) > _FASTEST).any(axis=1))
