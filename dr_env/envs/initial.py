"""The states that episodes start from, written into a batch."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import mujoco
import numpy as np
from mujoco import batch
from numpy.typing import ArrayLike, NDArray

from dr_env.envs.task import Task
from dr_env.errors import DREnvError

Array = NDArray[np.float64]
Ids = NDArray[np.intp]


_NONE = mujoco.mjtStage.mjSTAGE_NONE
_RESET_READS = frozenset({"qpos0", "body_pos", "body_quat"})  # numbers of a model that a reset's state is made of


def sensor_buffers(model: mujoco.MjModel) -> tuple[Ids, Ids]:
    """Where `history` keeps the readings of delayed sensors, and which of `sensordata` each of them is."""
    kept: list[int] = []
    measured: list[int] = []
    for sensor in np.flatnonzero(model.sensor_history[:, 0]).tolist():
        samples, width = int(model.sensor_history[sensor, 0]), int(model.sensor_dim[sensor])
        first = int(model.sensor_historyadr[sensor]) + 2 + samples
        kept += range(first, first + samples * width)
        measured += [*range(model.sensor_adr[sensor], model.sensor_adr[sensor] + width)] * samples
    return np.array(kept, np.intp), np.array(measured, np.intp)


class InitialState:
    """Resets the simulations of a batch, and writes state fields and what follows from them.

    Delayed actuators read the controls of times before the episode, which MuJoCo takes as 0, and delayed sensors
    their readings; here they are the initial controls, so that a delayed servo holds its pose instead of leaving for
    0, and the first readings.

    A simulation is its row of the state, unless the batch is persistent. Where besides nobody reads what is derived
    from it before a step has derived it anew, a reset is a copy of a row and needs no forward pass.

    Args:
        simulations: the batch, as it was made.
        model: its model.
        read: the live arrays of what is read of the simulations.
        written: the arrays of the model that differ between simulations; what derives from others is not asked for.
    """

    def __init__(
        self,
        simulations: batch.Batch,
        model: mujoco.MjModel,
        read: Iterable[NDArray[Any]],
        written: Collection[str],
    ) -> None:
        self._batch, self._model = simulations, model
        self._assembled: mujoco.MjModel | None = copy.copy(model) if "qpos0" in written else None
        self._blank: Array | None = None  # the row after a reset, where that is all
        if (
            not simulations.persistent
            and _RESET_READS.isdisjoint(written)
            and all(np.may_share_memory(live, simulations.state) for live in read)
        ):
            simulations.reset(stage=_NONE)
            self._blank = simulations.state[0].copy()
        columns: list[int] = []
        owners: list[int] = []
        for actuator in np.flatnonzero(model.actuator_history[:, 0]).tolist():
            samples = int(model.actuator_history[actuator, 0])
            # a buffer is [user, cursor, times (samples), values (samples)]
            first = int(model.actuator_historyadr[actuator]) + 2 + samples
            columns += range(first, first + samples)
            owners += [actuator] * samples
        self._columns, self._owners = np.array(columns, np.intp), np.array(owners, np.intp)
        self._kept, self._measured = sensor_buffers(model)

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
                fits = values.shape in ((width,), (count, width))
                got = "numbers that are not finite" if fits else f"shape {values.shape}"
                raise DREnvError(f"{name}: got {got}, expected finite ({width},) or ({count}, {width})")
            found[name] = values
        return found

    def made(self, task: Task, ids: Ids, uniform: Array) -> dict[str, Array]:
        """The task's initial states of the simulations `ids`, each that of a model assembled at its own positions."""
        if self._assembled is None:
            return task.initial_state(self._model, uniform)
        states = []
        for at, numbers in zip(self._batch.expand("qpos0")[ids], uniform, strict=True):
            self._assembled.qpos0[:] = at
            states.append(task.initial_state(self._assembled, numbers[None]))
        return {name: np.concatenate([state[name] for state in states]) for name in states[0]}

    def begin(self, ids: Ids, state: Mapping[str, ArrayLike]) -> None:
        """Resets the simulations `ids` and writes the fields of `state`, (len(ids), ...) or one row for all."""
        if self._blank is None:
            self._batch.reset(ids, stage=_NONE)
        else:
            self._batch.state[ids] = self._blank
            self._batch.warning[ids] = 0
        for name, values in state.items():
            self._batch.bind(name)[ids] = values
        if "ctrl" in state and len(self._columns):
            controls = self._batch.bind("ctrl")[ids]
            self._batch.bind("history")[ids[:, None], self._columns] = controls[:, self._owners]
        if self._blank is None:
            if len(self._kept):
                self._measure(ids)
            self._batch.forward(ids)

    def _measure(self, ids: Ids) -> None:
        """Fills the buffers of delayed sensors with what they would read now without a delay."""
        delays = self._batch.expand("sensor_delay")
        told = delays[ids]
        delays[ids] = 0
        self._batch.forward(ids)
        delays[ids] = told
        self._batch.bind("history")[ids[:, None], self._kept] = self._batch.bind("sensordata")[ids][:, self._measured]
