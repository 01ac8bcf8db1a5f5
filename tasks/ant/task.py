"""Ant: a four-legged robot runs without falling or flying.

Physics, observations, rewards and termination are those of Gymnasium's Ant-v5, contact forces included.
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

_HEIGHTS = 0.2, 1.0  # m
_FORCE_LIMIT = 1.0  # of each component of a contact force, N or N m
_TORSO = 1


@dataclasses.dataclass(frozen=True)
class Ant(Task):
    """Run forward; reward is speed and staying healthy less the costs of control and of contacts."""

    forward_reward_weight: float = 1.0
    ctrl_cost_weight: float = 0.5
    contact_cost_weight: float = 5e-4
    healthy_reward: float = 1.0
    reset_noise_scale: float = 0.1

    name = "ant"
    reference = "Ant-v5"
    frame_skip = 5
    # xpos as Gymnasium has it, a substep old
    fields = ("qpos", "qvel", "xpos", "cfrc_ext")
    camera = "track"

    def mjspec(self) -> mujoco.MjSpec:
        return read_model("ant.xml")

    def observation_names(self, model: mujoco.MjModel) -> tuple[str, ...]:
        qpos, qvel = state_names(model)
        bodies = [model.body(i).name or f"#{i}" for i in range(1, model.nbody)]
        return (*qpos[2:], *qvel, *(f"cfrc_ext.{body}[{i}]" for body in bodies for i in range(6)))

    def observe(self, data: Fields) -> Array:
        forces = _contact_forces(data)[:, 1:]
        return np.concatenate((data["qpos"][:, 2:], data["qvel"], forces.reshape(len(forces), -1)), axis=1)

    def healthy(self, data: Fields) -> NDArray[np.bool_]:
        """Which robots neither lie nor fly, (n,)."""
        qpos, low, high = data["qpos"], *_HEIGHTS
        finite = np.isfinite(qpos).all(axis=1) & np.isfinite(data["qvel"]).all(axis=1)
        return np.asarray(finite & (low <= qpos[:, 2]) & (qpos[:, 2] <= high))

    def reward(self, before: Fields, action: NDArray[np.float32], after: Fields) -> tuple[Array, dict[str, Array]]:
        velocity = (after["xpos"][:, _TORSO, :2] - before["xpos"][:, _TORSO, :2]) / self.dt
        forward = self.forward_reward_weight * velocity[:, 0]
        survive = self.healthy_reward * self.healthy(after)
        control = self.ctrl_cost_weight * np.square(action).sum(axis=1)
        contact = self.contact_cost_weight * np.square(_contact_forces(after)).sum(axis=(1, 2))
        terms = {
            "x_position": after["qpos"][:, 0].copy(),
            "y_position": after["qpos"][:, 1].copy(),
            "distance_from_origin": np.linalg.norm(after["qpos"][:, :2], axis=1),
            "x_velocity": velocity[:, 0],
            "y_velocity": velocity[:, 1],
            "reward_forward": forward,
            "reward_ctrl": -control,
            "reward_contact": -contact,
            "reward_survive": survive,
        }
        return forward + survive - control - contact, terms

    def terminated(self, data: Fields) -> NDArray[np.bool_]:
        return ~self.healthy(data)

    def reset_state(self, model: mujoco.MjModel, uniform: Array) -> tuple[Array, Array]:
        scale = self.reset_noise_scale
        qpos = model.qpos0 + scale * (2 * uniform[:, : model.nq] - 1)
        return qpos, scale * standard_normal(uniform[:, model.nq :])


def _contact_forces(data: Fields) -> Array:
    """External forces on every body, clipped, (n, nbody, 6)."""
    return np.clip(data["cfrc_ext"], -_FORCE_LIMIT, _FORCE_LIMIT)
