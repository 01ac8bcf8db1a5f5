"""Half-cheetah: a planar two-legged robot runs forward as fast as it can.

Physics, observations, rewards and termination are those of Gymnasium's HalfCheetah-v5.
"""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env import Fields, Task, state_names
from dr_env.rng import standard_normal
from tasks.gymnasium_models import read_model

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class HalfCheetah(Task):
    """Run forward; reward is speed less the cost of control."""

    forward_reward_weight: float = 1.0
    ctrl_cost_weight: float = 0.1
    reset_noise_scale: float = 0.1

    name = "half_cheetah"
    reference = "HalfCheetah-v5"
    frame_skip = 5
    camera = "track"

    def mjspec(self) -> mujoco.MjSpec:
        return read_model("half_cheetah.xml")

    def observation_names(self, model: mujoco.MjModel) -> tuple[str, ...]:
        qpos, qvel = state_names(model)
        return (*qpos[1:], *qvel)

    def observe(self, data: Fields) -> Array:
        return np.concatenate((data["qpos"][:, 1:], data["qvel"]), axis=1)

    def reward(self, before: Fields, action: NDArray[np.float32], after: Fields) -> tuple[Array, dict[str, Array]]:
        x = after["qpos"][:, 0].copy()
        velocity = (x - before["qpos"][:, 0]) / self.dt
        forward = self.forward_reward_weight * velocity
        cost = self.ctrl_cost_weight * np.square(action).sum(axis=1)
        terms = {"x_position": x, "x_velocity": velocity, "reward_forward": forward, "reward_ctrl": -cost}
        return forward - cost, terms

    def terminated(self, data: Fields) -> NDArray[np.bool_]:
        return np.zeros(len(data["qpos"]), bool)

    def reset_state(self, model: mujoco.MjModel, uniform: Array) -> tuple[Array, Array]:
        scale = self.reset_noise_scale
        qpos = model.qpos0 + scale * (2 * uniform[:, : model.nq] - 1)
        return qpos, scale * standard_normal(uniform[:, model.nq :])
