"""Walker2d: a planar two-legged robot walks forward without falling."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env import Fields
from tasks.gymnasium_models import read_model
from tasks.legged import PlanarLegged

_LOWEST, _HIGHEST = 0.8, 2.0  # m
_STEEPEST = 1.0  # rad


@dataclasses.dataclass(frozen=True)
class Walker2d(PlanarLegged):
    """Gymnasium's Walker2d-v5: walk forward and stay upright."""

    name = "walker2d"
    reference = "Walker2d-v5"

    def mjspec(self) -> mujoco.MjSpec:
        return read_model("walker2d_v5.xml")

    def healthy(self, data: Fields) -> NDArray[np.bool_]:
        height, angle = data["qpos"][:, 1], data["qpos"][:, 2]
        return np.asarray((height > _LOWEST) & (height < _HIGHEST) & (np.abs(angle) < _STEEPEST))
