"""Where a Plan writes: the rows of a Batch, or an MjModel as a batch of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import mujoco
import numpy as np
from mujoco import batch
from numpy.typing import NDArray

from dr_env.binding.build import COMPILED
from dr_env.binding.derived import DERIVED
from dr_env.binding.held import HELD

Ids = NDArray[np.intp]
Array = NDArray[np.float64]


class Rows(Protocol):
    """Model arrays with a leading simulation axis."""

    def write(self, name: str, ids: Ids, values: Array) -> None:
        """Writes (len(ids), size) flattened values of one array."""

    def recompute(self, ids: Ids) -> None:
        """Renews the constants that MuJoCo derives from what was written."""


class BatchRows:
    """The per-simulation model fields of a Batch, and arrays that the environment holds itself."""

    def __init__(self, simulations: batch.Batch, held: Mapping[str, Array]) -> None:
        self._batch = simulations
        self._held = held
        self._arrays: dict[str, Array] = {}

    def write(self, name: str, ids: Ids, values: Array) -> None:
        """Writes (len(ids), size) flattened values of one array; what is derived or compiled is in others already."""
        if name in DERIVED or name.startswith(COMPILED):
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

    def __init__(self, model: mujoco.MjModel, workspace: mujoco.MjData | None) -> None:
        self._model, self._workspace = model, workspace

    def write(self, name: str, ids: Ids, values: Array) -> None:
        """Writes (1, size) flattened values of one array."""
        if name.startswith(HELD):
            return
        holder, attribute = (self._model.opt, name[4:]) if name.startswith("opt.") else (self._model, name)
        live = getattr(holder, attribute)
        if isinstance(live, np.ndarray):
            live[...] = values[0].reshape(live.shape)
        else:
            setattr(holder, attribute, type(live)(values[0, 0]))

    def recompute(self, ids: Ids) -> None:
        """Runs `mj_setConst` on a workspace of its own: it overwrites the qpos it is given."""
        mujoco.mj_setConst(self._model, self._workspace)
