"""Inverted pendulum: a cart on a rail balances a pole.

Physics, observations, rewards and termination are those of Gymnasium's InvertedPendulum-v5.
"""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env import Fields, Task, state_names
from tasks.gymnasium_models import read_model

Array = NDArray[np.float64]

_FALLEN = 0.2  # rad


@dataclasses.dataclass(frozen=True)
class InvertedPendulum(Task):
    """Keep the pole upright; each step that it is earns 1."""

    reset_noise_scale: float = 0.01

    name = "inverted_pendulum"
    reference = "InvertedPendulum-v5"
    frame_skip = 2

    def mjspec(self) -> mujoco.MjSpec:
        return read_model("inverted_pendulum.xml")

    def observation_names(self, model: mujoco.MjModel) -> tuple[str, ...]:
        qpos, qvel = state_names(model)
        return (*qpos, *qvel)

    def observe(self, data: Fields) -> Array:
        return np.concatenate((data["qpos"], data["qvel"]), axis=1)

    def reward(self, before: Fields, action: NDArray[np.float32], after: Fields) -> tuple[Array, dict[str, Array]]:
        upright = (~self.terminated(after)).astype(np.float64)
        return upright, {"reward_survive": upright.copy()}

    def terminated(self, data: Fields) -> NDArray[np.bool_]:
        state = self.observe(data)
        return np.asarray(~np.isfinite(state).all(axis=1) | (np.abs(state[:, 1]) > _FALLEN))

    def reset_state(self, model: mujoco.MjModel, uniform: Array) -> tuple[Array, Array]:
        noise = self.reset_noise_scale * (2 * uniform - 1)
        return model.qpos0 + noise[:, : model.nq], noise[:, model.nq :]
