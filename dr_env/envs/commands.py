"""What drives simulations of recorded windows: the recorded controls, each as late as its actuator."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np
from mujoco import batch
from numpy.typing import NDArray

from dr_env.envs.windows import Windows
from dr_env.tuning import HeldControls, Log

Array = NDArray[np.float64]
Index = NDArray[np.intp]

_ROUNDED = 1e-9  # of a timestep


class Commands:
    """The controls of windows, step by step.

    A control holds from its sample to the next; before the first sample of a recording the first is taken to have been
    in force. A step during which controls change is driven by their mean over it.

    MuJoCo delays by whole timesteps, which no method that follows slopes could tune. So of a delay the whole timesteps
    are its own, and by what is left the controls themselves are late: motion changes smoothly with it.

    Args:
        model: as it was built for the Spec.
        logs: the recordings.
        windows: of them.
    """

    def __init__(self, model: mujoco.MjModel, logs: Sequence[Log], windows: Windows) -> None:
        self._windows, self._timestep = windows, float(model.opt.timestep)
        self._controls = [HeldControls(log.time, log.ctrl) for log in logs]
        self._nominal = model.actuator_delay[None].copy()
        self._buffers = [
            (actuator, int(model.actuator_historyadr[actuator]) + 2, int(model.actuator_history[actuator, 0]))
            for actuator in np.flatnonzero(model.actuator_history[:, 0]).tolist()
        ]

    def whole(self, delays: Array) -> Array:
        """The part of delays that is MuJoCo's, in s: whole timesteps."""
        return np.floor(delays / self._timestep + _ROUNDED) * self._timestep

    def begin(self, simulations: batch.Batch, ids: Index, which: slice, draws: int, delays: Array | None) -> None:
        """Writes what is in force at the windows' starts, and before in the buffers of delayed actuators."""
        simulations.bind("ctrl")[ids] = self.during(which, 0, 1, draws, delays)[:, 0]
        for actuator, first, samples in self._buffers:
            columns = np.arange(first + samples, first + 2 * samples)  # after the times that they are of
            earlier = self.during(which, -samples, samples, draws, delays)[:, :, actuator]
            simulations.bind("history")[ids[:, None], columns] = earlier

    def during(self, which: slice, first: int, steps: int, draws: int, delays: Array | None = None) -> Array:
        """The controls of some windows, n Draws each, (windows n, steps, nu), row w n + i.

        Args:
            which: windows.
            first: the first step, from the window's start.
            steps: how many.
            draws: n.
            delays: of the actuators, (n or 1, nu) s; by default the model's.
        """
        delays = self._nominal if delays is None else delays
        late, same = np.unique(np.maximum(delays - self.whole(delays), 0.0), axis=0, return_inverse=True)
        together = bool((late == late[:, :1]).all())
        parts = [slice(None)] if together else [slice(a, a + 1) for a in range(late.shape[1])]
        edges = (first + np.arange(steps + 1)) * self._timestep
        begin, log = self._windows.start[which], self._windows.log[which]
        out = np.empty((len(begin), len(late), steps, late.shape[1]))
        for number in np.unique(log):
            own = log == number
            for part in parts:
                times = begin[own, None, None] - late[:, part][:, :1] + edges  # (windows, n, steps + 1)
                out[own, :, :, part] = self._controls[number].mean(times, part)
        each = out if len(late) == draws == 1 else out[:, np.broadcast_to(same.reshape(-1), draws)]
        return each.reshape(-1, steps, late.shape[1])
