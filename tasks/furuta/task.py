"""Furuta: a motor turns an arm that swings a pendulum up and balances it."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env import Fields
from tasks.swing_up import SwingUp, bump

Array = NDArray[np.float64]

_AWAY = 1.0  # rad of the arm from its middle, where a place counts half
# how far cables let the arm and the pendulum turn, as in SimuRLacra's Quanser Qube (F. Muratore, 2020)
_CABLES = np.array([np.deg2rad(115), 4 * np.pi])


@dataclasses.dataclass(frozen=True)
class Furuta(SwingUp):
    """Swing up and balance a rotary pendulum; the pendulum's angle is 0 where it hangs."""

    swift: float = 5.0

    name = "furuta"
    frame_skip = 3
    swinging = (1,)
    max_episode_steps = 500
    camera = "front"

    def observation_names(self, model: mujoco.MjModel) -> tuple[str, ...]:
        return ("cos.arm", "cos.pendulum", "sin.arm", "sin.pendulum", "qvel.arm", "qvel.pendulum")

    def observe(self, data: Fields) -> Array:
        return np.concatenate((np.cos(data["qpos"]), np.sin(data["qpos"]), data["qvel"]), axis=1)

    def height(self, qpos: Array) -> Array:
        return np.asarray((1 - np.cos(qpos[:, 1])) / 2 * bump(qpos[:, 0], _AWAY))

    def terminated(self, data: Fields) -> NDArray[np.bool_]:
        return np.asarray((np.abs(data["qpos"]) > _CABLES).any(axis=1))
