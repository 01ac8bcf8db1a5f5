"""Cartpole: a cart on a rail swings a hanging pole up and balances it near the rail's middle."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env import Fields
from tasks.swing_up import SwingUp, bump

Array = NDArray[np.float64]

_AWAY = 1.5  # m from the middle, where a place counts half


@dataclasses.dataclass(frozen=True)
class Cartpole(SwingUp):
    """Swing up and balance a pole from a cart; the pole's angle is 0 where it hangs."""

    spread: float = 0.05

    name = "cartpole"
    frame_skip = 10
    swinging = (1,)
    max_episode_steps = 250
    camera = "front"

    def observation_names(self, model: mujoco.MjModel) -> tuple[str, ...]:
        return ("qpos.slide", "cos.hinge", "sin.hinge", "qvel.slide", "qvel.hinge")

    def observe(self, data: Fields) -> Array:
        place, angle = data["qpos"][:, :1], data["qpos"][:, 1:]
        return np.concatenate((place, np.cos(angle), np.sin(angle), data["qvel"]), axis=1)

    def height(self, qpos: Array) -> Array:
        return np.asarray((1 - np.cos(qpos[:, 1])) / 2 * bump(qpos[:, 0], _AWAY))
