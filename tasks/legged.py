"""What the planar legged robots of Gymnasium share: move forward, stay healthy, spend little control."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env import Fields, Task, state_names

Array = NDArray[np.float64]

_INITIAL_HEIGHT = 1.25  # qpos of rootz at rest, m


@dataclasses.dataclass(frozen=True)
class PlanarLegged(Task):
    """Move forward and stay upright; reward is speed and staying healthy less the cost of control."""

    forward_reward_weight: float = 1.0
    ctrl_cost_weight: float = 1e-3
    healthy_reward: float = 1.0
    reset_noise_scale: float = 5e-3

    frame_skip = 4
    camera = "track"

    @abstractmethod
    def healthy(self, data: Fields) -> NDArray[np.bool_]:
        """Which robots have not fallen, (n,)."""

    def observation_names(self, model: mujoco.MjModel) -> tuple[str, ...]:
        qpos, qvel = state_names(model)
        return (*qpos[1:], *qvel)

    def observe(self, data: Fields) -> Array:
        return np.concatenate((data["qpos"][:, 1:], np.clip(data["qvel"], -10, 10)), axis=1)

    def reward(self, before: Fields, action: NDArray[np.float32], after: Fields) -> tuple[Array, dict[str, Array]]:
        x = after["qpos"][:, 0].copy()
        velocity = (x - before["qpos"][:, 0]) / self.dt
        forward = self.forward_reward_weight * velocity
        survive = self.healthy_reward * self.healthy(after)
        cost = self.ctrl_cost_weight * np.square(action).sum(axis=1)
        terms = {
            "x_position": x,
            "z_distance_from_origin": after["qpos"][:, 1] - _INITIAL_HEIGHT,
            "x_velocity": velocity,
            "reward_forward": forward,
            "reward_ctrl": -cost,
            "reward_survive": survive,
        }
        return forward + survive - cost, terms

    def terminated(self, data: Fields) -> NDArray[np.bool_]:
        return ~self.healthy(data)

    def reset_state(self, model: mujoco.MjModel, uniform: Array) -> tuple[Array, Array]:
        noise = self.reset_noise_scale * (2 * uniform - 1)
        return model.qpos0 + noise[:, : model.nq], noise[:, model.nq :]
