"""What the swing-up tasks share: start hanging, earn by height."""

from __future__ import annotations

import dataclasses
import functools
from abc import abstractmethod
from typing import ClassVar

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env import Fields, Task

Array = NDArray[np.float64]


def bump(x: Array, width: float) -> Array:
    """A smooth bump: 1 at 0, 1/2 at `width`, towards 0 far away."""
    return np.asarray(1 / (1 + np.square(x / width)))


@dataclasses.dataclass(frozen=True)
class SwingUp(Task):
    """Bring a mechanism upright and keep it there.

    A step earns height^2 (1 + calm) / 2 (10 - effort) / 10, in 0 .. 1: `height` is 0 where the mechanism
    hangs and 1 where it is upright and in place, `calm` is 1 at rest and 1/2 at the speed `swift`, and
    `effort` is the mean square of the actions as shares of their limits.

    Args:
        spread: half width of the uniform distribution of the initial angles about hanging, rad; pi for any angle.
        reset_noise: half width of the uniform noise on the other initial positions and on velocities.
        swift: root mean square of the joint velocities at which calm is 1/2, rad/s.
    """

    spread: float = np.pi
    reset_noise: float = 0.05
    swift: float = 5.0

    swinging: ClassVar[tuple[int, ...]] = (0,)
    """The positions that are angles of what is to be swung up."""

    @abstractmethod
    def height(self, qpos: Array) -> Array:
        """How far up, and how near to its place, the mechanism is, 0 .. 1, (n,)."""

    def mjspec(self) -> mujoco.MjSpec:
        return mujoco.MjSpec.from_file(str(self.file("scene.xml")))

    @functools.cached_property
    def limits(self) -> Array:
        """The greatest action of each actuator, (nu,)."""
        return np.array([actuator.ctrlrange[1] for actuator in self.mjspec().actuators])

    def reward(self, before: Fields, action: NDArray[np.float32], after: Fields) -> tuple[Array, dict[str, Array]]:
        height = self.height(after["qpos"])
        calm = bump(np.sqrt(np.square(after["qvel"]).mean(axis=1)), self.swift)
        effort = np.square(np.clip(action / self.limits, -1, 1)).mean(axis=1)
        reward = np.square(height) * (1 + calm) / 2 * (10 - effort) / 10
        return reward, {"height": height, "calm": calm, "effort": effort}

    def terminated(self, data: Fields) -> NDArray[np.bool_]:
        return np.zeros(len(data["qpos"]), bool)

    def reset_state(self, model: mujoco.MjModel, uniform: Array) -> tuple[Array, Array]:
        width = np.full(uniform.shape[1], self.reset_noise)
        width[list(self.swinging)] = self.spread
        noise = width * (2 * uniform - 1)
        return model.qpos0 + noise[:, : model.nq], noise[:, model.nq :]
