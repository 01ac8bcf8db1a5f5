"""Where a Plan writes: the rows of a Batch, or an MjModel as a batch of one."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Protocol

import mujoco
import numpy as np
from mujoco import batch
from numpy.typing import NDArray

from dr_env.binding.build import COMPILED
from dr_env.binding.derived import DERIVED
from dr_env.binding.fields_image import IMAGED
from dr_env.binding.held import HELD

Ids = NDArray[np.intp]
Array = NDArray[np.float64]


def attribute(model: mujoco.MjModel, name: str) -> Any:
    """A model's array or number by its name, such as `geom_size` or `opt.gravity`."""
    return functools.reduce(getattr, name.split("."), model)


class Rows(Protocol):
    """Model arrays with a leading simulation axis."""

    visual: bool
    """Whether it takes what is of looks alone."""

    def write(self, name: str, ids: Ids, values: Array) -> None:
        """Writes (len(ids), size) flattened values of one array."""

    def recompute(self, ids: Ids) -> None:
        """Renews the constants that MuJoCo derives from what was written."""


class BatchRows:
    """The per-simulation model fields of a Batch, and arrays that the environment holds itself.

    Nothing looks at a batch: who takes a picture writes the looks into a copy of the model (`Plan.dress`).
    """

    visual = False

    def __init__(self, simulations: batch.Batch, held: Mapping[str, Array]) -> None:
        self._batch = simulations
        self._held = held
        self._arrays: dict[str, Array] = {}

    def write(self, name: str, ids: Ids, values: Array) -> None:
        """Writes (len(ids), size) flattened values of one array; what is derived or compiled is in others already.

        What happens to images is for those who render them.
        """
        if name in DERIVED or name.startswith((COMPILED, *IMAGED)):
            return
        if name not in self._arrays:
            live = self._held[name] if name in self._held else self._batch.expand(name)
            self._arrays[name] = live.reshape(self._batch.nsim, -1)
        self._arrays[name][ids] = values

    def recompute(self, ids: Ids) -> None:
        """Runs `mj_setConst` in the given simulations."""
        self._batch.set_const(ids)


class ModelRows:
    """One MjModel, edited in place; arrays that only an environment holds are passed over."""

    visual = True

    def __init__(self, model: mujoco.MjModel, workspace: mujoco.MjData | None) -> None:
        self._model, self._workspace = model, workspace

    def write(self, name: str, ids: Ids, values: Array) -> None:
        """Writes (1, size) flattened values of one array."""
        if name.startswith(HELD):
            return
        live = attribute(self._model, name)
        if isinstance(live, np.ndarray):
            live[...] = values[0].reshape(live.shape)
        else:
            path, _, last = name.rpartition(".")
            setattr(attribute(self._model, path), last, type(live)(values[0, 0]))

    def recompute(self, ids: Ids) -> None:
        """Runs `mj_setConst` on a workspace of its own: it overwrites the qpos it is given."""
        mujoco.mj_setConst(self._model, self._workspace)
