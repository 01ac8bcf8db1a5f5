"""Cube toss: a passive scene, whose contact parameters are to be identified."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env import Fields, Task, state_names

Array = NDArray[np.float64]

_REACH = 0.3  # m, from the table's middle
_LOWEST, _HIGHEST = 0.12, 0.17  # m, the cube's centre; its corners are 0.091 away


@dataclasses.dataclass(frozen=True)
class CubeToss(Task):
    """A cube falls, slides, tumbles and comes to rest; there is nothing to do and nothing to earn.

    Args:
        speed: greatest initial speed along each horizontal axis, m/s.
        spin: greatest initial rate about each axis of the cube, rad/s.
    """

    speed: float = 1.2
    spin: float = 4.0

    name = "cube_toss"
    frame_skip = 10
    max_episode_steps = 148
    camera = "front"

    def mjspec(self) -> mujoco.MjSpec:
        return mujoco.MjSpec.from_file(str(self.file("scene.xml")))

    def observation_names(self, model: mujoco.MjModel) -> tuple[str, ...]:
        qpos, qvel = state_names(model)
        return (*qpos, *qvel)

    def observe(self, data: Fields) -> Array:
        return np.concatenate((data["qpos"], data["qvel"]), axis=1)

    def reward(self, before: Fields, action: NDArray[np.float32], after: Fields) -> tuple[Array, dict[str, Array]]:
        qpos, qvel = after["qpos"], after["qvel"]
        terms = {
            "height": qpos[:, 2].copy(),
            "speed": np.linalg.norm(qvel[:, :3], axis=1),
            "spin": np.linalg.norm(qvel[:, 3:], axis=1),
        }
        return np.zeros(len(qpos)), terms

    def terminated(self, data: Fields) -> NDArray[np.bool_]:
        return np.zeros(len(data["qpos"]), bool)

    def reset_width(self, model: mujoco.MjModel) -> int:
        return 12

    def reset_state(self, model: mujoco.MjModel, uniform: Array) -> tuple[Array, Array]:
        spread = 2 * uniform - 1
        height = _LOWEST + (_HIGHEST - _LOWEST) * uniform[:, 2:3]
        qpos = np.concatenate((_REACH * spread[:, :2], height, _random_rotation(uniform[:, 3:6])), axis=1)
        scale = np.array([self.speed, self.speed, self.speed / 4, self.spin, self.spin, self.spin])
        return qpos, scale * spread[:, 6:]


def _random_rotation(uniform: Array) -> Array:
    """Uniformly distributed unit quaternions (n, 4) from uniforms (n, 3).

    K. Shoemake, Uniform random rotations, Graphics Gems III, 1992.
    """
    first, angle, other = uniform[:, 0], 2 * np.pi * uniform[:, 1], 2 * np.pi * uniform[:, 2]
    near, far = np.sqrt(1 - first), np.sqrt(first)
    return np.stack((near * np.sin(angle), near * np.cos(angle), far * np.sin(other), far * np.cos(other)), axis=1)
