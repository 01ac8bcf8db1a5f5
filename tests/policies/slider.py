"""A task where the Draw must be known: a cart whose motor pushes forward or backward, nobody says which."""

from __future__ import annotations

from typing import ClassVar

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env import Fields, Spec, Task, state_names
from tests.conftest import entry, spec_of

Array = NDArray[np.float64]

XML = """
<mujoco>
  <option timestep="0.02" gravity="0 0 0"/>
  <worldbody><body><joint name="slide" type="slide" axis="1 0 0" damping="2"/><geom size=".1" mass="1"/></body></worldbody>
  <actuator><motor name="push" joint="slide" gear="4" ctrlrange="-1 1"/></actuator>
</mujoco>
"""


class Slider(Task):
    """Move forward; reward is the speed."""

    name = "slider"
    frame_skip = 5
    max_episode_steps: ClassVar[int] = 20

    def mjspec(self) -> mujoco.MjSpec:
        return mujoco.MjSpec.from_string(XML)

    def observation_names(self, model: mujoco.MjModel) -> tuple[str, ...]:
        return tuple(state_names(model)[1])

    def observe(self, data: Fields) -> Array:
        return data["qvel"].copy()

    def reward(self, before: Fields, action: NDArray[np.float32], after: Fields) -> tuple[Array, dict[str, Array]]:
        return after["qvel"][:, 0].copy(), {}

    def terminated(self, data: Fields) -> NDArray[np.bool_]:
        return np.zeros(len(data["qvel"]), bool)

    def reset_state(self, model: mujoco.MjModel, uniform: Array) -> tuple[Array, Array]:
        return 0 * uniform[:, :1], 0 * uniform[:, 1:]


def either_way() -> Spec:
    """The motor's sign, and a mass that matters little."""
    return spec_of(
        sign=entry({"actuator": "push"}, "gain", "scale", type="choice", values=[-1.0, 1.0]),
        mass=entry({"body": "*"}, "mass", "scale", type="uniform", low=0.9, high=1.1),
    )
