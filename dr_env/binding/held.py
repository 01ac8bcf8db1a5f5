"""Arrays that entries write and that are not the model's own: an environment acts on them, or a function does."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env.binding.build import COMPILED
from dr_env.binding.derived import DERIVED
from dr_env.binding.fields_image import IMAGE_NEUTRAL, IMAGED

HELD = ("observation.", "action.", "sensor.", "push.", "derived.", COMPILED, *IMAGED)
"""Beginnings of the names of arrays that are not the model's own."""

_NOMINAL_ROWS = {"push.axes": (1.0, 1.0, 0.0), **IMAGE_NEUTRAL}  # all others are one zero


def held_row(name: str) -> tuple[float, ...]:
    """The nominal numbers of one row of what an environment acts on: nothing happens."""
    return _NOMINAL_ROWS.get(name, (0.0,))


def held_nominal(model: mujoco.MjModel, name: str, observations: int) -> NDArray[np.float64]:
    """The nominal array, flattened: a row for each number of an observation or of sensordata, or for each object."""
    if name in DERIVED:
        return DERIVED[name].nominal(model)
    sizes = {"observation": observations, "action": model.nu, "sensor": model.nsensordata, "push": model.nbody}
    sizes |= {"image": model.ncam, "depth": model.ncam}
    return np.tile(np.array(held_row(name)), sizes[name.partition(".")[0]])
