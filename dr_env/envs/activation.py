"""States of actuators (filters, muscles) where windows of a recording start, which no recording has."""

from __future__ import annotations

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


def activations(model: mujoco.MjModel, logs: Sequence[Log], windows: Windows) -> Array:
    """What the commands of each recording have made of its actuators' states by the start of each window, (w, na).

    They are those of the nominal model, which begin as though the first command had been held for long.

    Raises:
        DREnvError: an actuator whose state does not follow from commands, such as an integrator's.
    """
    if model.na == 0:
        return np.zeros((len(windows.start), 0))
    for name, kind in zip(object_names(model, "actuator"), model.actuator_dyntype, strict=True):
        if kind not in [int(each) for each in _FOLLOWING]:
            raise DREnvError(
                f"actuator '{name}': its state ({mujoco.mjtDyn(int(kind)).name}) is in no recording and does not "
                "follow from commands; expected an actuator without state, a filter or a muscle"
            )
    found = np.empty((len(windows.start), model.na))
    data = mujoco.MjData(model)
    for number, log in enumerate(logs):
        own = np.flatnonzero(windows.log == number)
        held = _held(model, data, log)
        timestep = float(model.opt.timestep)
        places = np.round((windows.start[own] - log.time[0]) / timestep).astype(int)
        found[own] = held[np.clip(places, 0, len(held) - 1)]
    return found


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
