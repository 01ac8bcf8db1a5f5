"""States of actuators (filters, muscles) where windows of a recording start, which no recording has."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env.binding import object_names
from dr_env.envs.windows import Windows
from dr_env.errors import DREnvError
from dr_env.tuning import Log

Array = NDArray[np.float64]

_FOLLOWING = (
    mujoco.mjtDyn.mjDYN_NONE,
    mujoco.mjtDyn.mjDYN_FILTER,
    mujoco.mjtDyn.mjDYN_FILTEREXACT,
    mujoco.mjtDyn.mjDYN_MUSCLE,
)


class Activations:
    """What the commands of each recording have made of its actuators' states by the start of each window.

    They are those of the nominal model, which begin as though the first command had been held for long. A delayed
    command moves a state as late as itself.

    Args:
        model: as it was built for the Spec.
        logs: the recordings.
        windows: of them.

    Raises:
        DREnvError: an actuator whose state does not follow from commands, such as an integrator's.
    """

    def __init__(self, model: mujoco.MjModel, logs: Sequence[Log], windows: Windows) -> None:
        self._windows, self._nominal = windows, model.actuator_delay[None].copy()
        self._timestep, self._size = float(model.opt.timestep), int(model.na)
        self._begins = [float(log.time[0]) for log in logs]
        self._owner = np.repeat(np.arange(model.nu), np.maximum(model.actuator_actnum, 0))  # of each state
        if model.na == 0:
            return
        for name, kind in zip(object_names(model, "actuator"), model.actuator_dyntype, strict=True):
            if kind not in [int(each) for each in _FOLLOWING]:
                raise DREnvError(
                    f"actuator '{name}': its state ({mujoco.mjtDyn(int(kind)).name}) is in no recording and does not "
                    "follow from commands; expected an actuator without state, a filter or a muscle"
                )
        prompt = copy.copy(model)
        prompt.actuator_delay[:] = 0
        data = mujoco.MjData(prompt)
        self._held = [_held(prompt, data, log) for log in logs]

    def at(self, which: slice, draws: int, delays: Array | None = None) -> Array:
        """States at the starts of some windows, n Draws each, (windows n, na), row w n + i.

        Args:
            which: windows.
            draws: n.
            delays: of the actuators, (n or 1, nu) s; by default the model's.
        """
        late = np.broadcast_to((self._nominal if delays is None else delays)[:, self._owner], (draws, self._size))
        begin, log = self._windows.start[which], self._windows.log[which]
        out = np.empty((len(begin), draws, self._size))
        for number in np.unique(log):
            held, own = self._held[number], log == number
            place = (begin[own, None, None] - self._begins[number] - late) / self._timestep  # (windows, n, na)
            place = np.clip(place, 0, len(held) - 1)
            before = np.minimum(place.astype(int), max(len(held) - 2, 0))
            after, part, column = np.minimum(before + 1, len(held) - 1), place - before, np.arange(self._size)
            out[own] = held[before, column] * (1 - part) + held[after, column] * part
        return out.reshape(-1, self._size)


def _held(model: mujoco.MjModel, data: mujoco.MjData, log: Log) -> Array:
    """States of actuators at each timestep of a recording, (t, na)."""
    timestep = float(model.opt.timestep)
    steps = int(np.ceil((log.time[-1] - log.time[0]) / timestep)) + 1
    at = np.searchsorted(log.time, log.time[0] + (np.arange(steps) + 0.5) * timestep, side="right") - 1
    controls = log.ctrl[np.clip(at, 0, len(log.time) - 1)]
    mujoco.mj_resetData(model, data)
    for actuator in np.flatnonzero(model.actuator_actnum > 0):
        first = int(model.actuator_actadr[actuator])
        data.act[first : first + int(model.actuator_actnum[actuator])] = controls[0, actuator]
    qpos, qvel = data.qpos.copy(), data.qvel.copy()
    out = np.empty((steps, model.na))
    for step, control in enumerate(controls):
        out[step] = data.act
        data.ctrl[:], data.qpos[:], data.qvel[:] = control, qpos, qvel  # commands alone move these states
        mujoco.mj_step(model, data)
    return out
