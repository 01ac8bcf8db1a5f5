"""Pendulum: a motor too weak to lift it swings a pendulum up and balances it."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env import Fields
from tasks.swing_up import SwingUp

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Pendulum(SwingUp):
    """Swing up and balance a pendulum; its angle is 0 where it hangs."""

    name = "pendulum"
    frame_skip = 20
    max_episode_steps = 200
    camera = "front"

    def observation_names(self, model: mujoco.MjModel) -> tuple[str, ...]:
        return ("cos.hinge", "sin.hinge", "qvel.hinge")

    def observe(self, data: Fields) -> Array:
        angle = data["qpos"]
        return np.concatenate((np.cos(angle), np.sin(angle), data["qvel"]), axis=1)

    def height(self, qpos: Array) -> Array:
        return np.asarray((1 - np.cos(qpos[:, 0])) / 2)
