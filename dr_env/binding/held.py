"""Arrays that entries write and that are not the model's own: an environment acts on them, or a function does."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env.binding.build import COMPILED
from dr_env.binding.derived import DERIVED

HELD = ("observation.", "action.", "sensor.", "push.", "derived.", COMPILED)
"""Beginnings of the names of arrays that are not the model's own."""

_NOMINAL_ROWS = {"push.axes": (1.0, 1.0, 0.0)}  # all others are one zero


def held_row(name: str) -> tuple[float, ...]:
    """The nominal numbers of one row: nothing happens."""
    if name in DERIVED:
        return (0.0,) * DERIVED[name].size
    return _NOMINAL_ROWS.get(name, (0.0,))


def held_nominal(model: mujoco.MjModel, name: str, observations: int) -> NDArray[np.float64]:
    """The nominal array, flattened: a row for each number of an observation or of sensordata, actuator or object."""
    if name in DERIVED:
        return np.tile(np.array(held_row(name)), getattr(model, DERIVED[name].objects))
    sizes = {"observation": observations, "action": model.nu, "sensor": model.nsensordata, "push": model.nbody}
    return np.tile(np.array(held_row(name)), sizes[name.partition(".")[0]])
