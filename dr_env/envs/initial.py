"""The states that episodes start from, written into a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mujoco
import numpy as np
from mujoco import batch
from numpy.typing import ArrayLike, NDArray

from dr_env.errors import DREnvError

Array = NDArray[np.float64]
Ids = NDArray[np.intp]


class InitialState:
    """Writes state fields, and what follows from them, into the simulations of a batch.

    Delayed actuators read the controls of times before the episode, which MuJoCo takes as 0; here they are
    the initial controls, so that a delayed servo holds its pose instead of leaving for 0.

    Args:
        simulations: the batch.
        model: its model.
    """

    def __init__(self, simulations: batch.Batch, model: mujoco.MjModel) -> None:
        self._batch = simulations
        columns: list[int] = []
        owners: list[int] = []
        for actuator in np.flatnonzero(model.actuator_history[:, 0]).tolist():
            samples = int(model.actuator_history[actuator, 0])
            # a buffer is [user, cursor, times (samples), values (samples)]
            first = int(model.actuator_historyadr[actuator]) + 2 + samples
            columns += range(first, first + samples)
            owners += [actuator] * samples
        self._columns, self._owners = np.array(columns, np.intp), np.array(owners, np.intp)

    def given(self, count: int, options: Mapping[str, Any]) -> dict[str, Array]:
        """The `qpos` and `qvel` among reset options for `count` simulations, one row for all or one for each.

        Raises:
            DREnvError: another shape, or numbers that are not finite.
        """
        found = {}
        for name in ("qpos", "qvel"):
            if options.get(name) is None:
                continue
            width = self._batch.bind(name).shape[1]
            try:
                values = np.asarray(options[name], np.float64)
            except (TypeError, ValueError):
                raise DREnvError(f"{name}: got {options[name]!r}, expected {width} numbers") from None
            if values.shape not in ((width,), (count, width)) or not np.isfinite(values).all():
                got = "numbers that are not finite" if values.shape[-1:] == (width,) else f"shape {values.shape}"
                raise DREnvError(f"{name}: got {got}, expected finite ({width},) or ({count}, {width})")
            found[name] = values
        return found

    def write(self, ids: Ids, state: Mapping[str, ArrayLike]) -> None:
        """Writes the fields of `state`, (len(ids), ...) or one row for all, after a reset of the simulations `ids`."""
        for name, values in state.items():
            self._batch.bind(name)[ids] = values
        if "ctrl" in state and len(self._columns):
            controls = self._batch.bind("ctrl")[ids]
            self._batch.bind("history")[ids[:, None], self._columns] = controls[:, self._owners]
