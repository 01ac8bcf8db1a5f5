"""Hopper: a planar one-legged robot hops forward without falling."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env import Fields
from tasks.gymnasium_models import read_model
from tasks.legged import PlanarLegged

_STATE_LIMIT = 100.0
_LOWEST = 0.7  # m
_STEEPEST = 0.2  # rad


@dataclasses.dataclass(frozen=True)
class Hopper(PlanarLegged):
    """Gymnasium's Hopper-v5: hop forward and stay upright."""

    name = "hopper"
    reference = "Hopper-v5"

    def mjspec(self) -> mujoco.MjSpec:
        return read_model("hopper.xml")

    def healthy(self, data: Fields) -> NDArray[np.bool_]:
        qpos, qvel = data["qpos"], data["qvel"]
        bounded = (np.abs(qpos[:, 2:]) < _STATE_LIMIT).all(axis=1) & (np.abs(qvel) < _STATE_LIMIT).all(axis=1)
        upright = (qpos[:, 1] > _LOWEST) & (np.abs(qpos[:, 2]) < _STEEPEST)
        return np.asarray(bounded & upright)
