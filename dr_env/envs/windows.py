"""Recordings cut into windows: where each simulation starts, what drives it, and what it is compared with."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env.binding import JOINT_WIDTHS, object_names
from dr_env.errors import DREnvError
from dr_env.tuning.evidence import Log

Array = NDArray[np.float64]
Index = NDArray[np.intp]

_EXACT = 1e-3  # a sample this share of a timestep from a simulated state is read from that state


@dataclasses.dataclass(frozen=True)
class Windows:
    """W windows with K samples in all, longest window first; each starts at a sample whose state is known.

    Samples are compared where they were taken: simulations step by the model's timestep from the window's
    start, and a sample between two steps is read between the two states, linearly. So rates need not divide, and
    nothing that was measured is resampled. Controls are held from their sample to the next.
    """

    qpos: Array  # (W, nq) at the start
    qvel: Array  # (W, nv)
    steps: Index  # (W,) timesteps to simulate, descending
    log: Index  # (W,) the recording that each is of
    start: Array  # (W,) s, its start in the recording's time
    window: Index  # (K,) the window that each sample is in
    after: Index  # (K,) the first state that is not before the sample, counted in timesteps; at least 1
    before: Array  # (K,) the weight of the state before that one
    offset: Array  # (K,) s since the window's start
    measured_qpos: Array  # (K, nq), NaN where not measured
    measured_qvel: Array  # (K, nv)
    gain: Array  # (W, nv) how many times the positions' white noise estimated velocities at the start have, 1/s

    def __len__(self) -> int:
        return len(self.steps)

    def moved(self, model: mujoco.MjModel, coordinate: int, distance: float) -> Windows:
        """The same windows from states that are some way off.

        Args:
            model: the model.
            coordinate: a degree of freedom, or nv + a degree of freedom for its velocity.
            distance: along it, in rad, m, rad/s or m/s.
        """
        direction = np.zeros(2 * model.nv)
        direction[coordinate] = distance
        qpos = self.qpos.copy()
        for state in qpos:
            mujoco.mj_integratePos(model, state, direction[: model.nv], 1.0)
        return dataclasses.replace(self, qpos=qpos, qvel=self.qvel + direction[model.nv :])

    def blurred(self, model: mujoco.MjModel, noise: Array, rng: np.random.Generator) -> Windows:
        """The same windows from states that are as far off as measured ones are: white noise, (2 nv,) deviations.

        Velocities that were estimated from positions have `gain` times the noise of these.
        """
        deviations = np.tile(noise, (len(self), 1))
        deviations[:, model.nv :] = np.where(self.gain > 0, self.gain * noise[: model.nv], noise[model.nv :])
        off = rng.normal(size=deviations.shape) * deviations
        qpos = self.qpos.copy()
        for state, way in zip(qpos, off[:, : model.nv].copy(), strict=True):
            mujoco.mj_integratePos(model, state, way, 1.0)
        return dataclasses.replace(self, qpos=qpos, qvel=self.qvel + off[:, model.nv :])


def cut(model: mujoco.MjModel, logs: Sequence[Log], window: float, stride: float | None = None) -> Windows:
    """Cuts recordings into windows.

    Args:
        model: whose timestep simulations take, and whose state is recorded.
        logs: the recordings.
        window: seconds; `inf` for each recording whole.
        stride: seconds from one window's start to the next; the window's length by default.

    Raises:
        DREnvError: a recording of another model, shorter than a window, or without a state to start from.
    """
    starts: list[tuple[int, int, int]] = []  # log, first sample, last sample
    for i, log in enumerate(logs):
        _check(model, log)
        starts += [(i, first, last) for first, last in _cuts(log, window, stride or window)]
    lengths = [float(logs[i].time[last] - logs[i].time[first]) for i, first, last in starts]
    order = sorted(range(len(starts)), key=lambda k: (-lengths[k], k))  # longest first, else as recorded
    timestep = float(model.opt.timestep)
    samples = [_samples(logs[i], first, last, timestep) for i, first, last in (starts[k] for k in order)]
    chosen = [starts[k] for k in order]
    return Windows(
        qpos=np.stack([_known(logs[i].qpos[first], model.qpos0) for i, first, _ in chosen]),
        qvel=np.stack([_known(logs[i].qvel[first], np.zeros(model.nv)) for i, first, _ in chosen]),
        steps=np.array([part[1][-1] for part in samples], np.intp),
        log=np.array([i for i, _, _ in chosen], np.intp),
        start=np.array([logs[i].time[first] for i, first, _ in chosen]),
        window=np.repeat(np.arange(len(chosen)), [len(part[0]) for part in samples]),
        after=np.concatenate([part[1] for part in samples]),
        before=np.concatenate([part[2] for part in samples]),
        offset=np.concatenate([part[0] for part in samples]),
        measured_qpos=np.concatenate([logs[i].qpos[first + 1 : last + 1] for i, first, last in chosen]),
        measured_qvel=np.concatenate([logs[i].qvel[first + 1 : last + 1] for i, first, last in chosen]),
        gain=np.stack([logs[i].gain[first] for i, first, _ in chosen]),
    )


def _check(model: mujoco.MjModel, log: Log) -> None:
    for key, size in (("qpos", model.nq), ("qvel", model.nv), ("ctrl", model.nu)):
        found = getattr(log, key).shape[1]
        if found != size:
            raise DREnvError(f"{log.name} {key}: got {found} columns, expected {size}, the model's")


def _known(state: Array, otherwise: Array) -> Array:
    """A state with nominal numbers where nothing is ever measured."""
    return np.where(np.isnan(state), otherwise, state)


def _cuts(log: Log, window: float, stride: float) -> list[tuple[int, int]]:
    """First and last samples of a recording's windows."""
    startable = np.ones(len(log.time), bool)
    for measured in (log.measured_qpos, log.measured_qvel):
        startable &= (measured | ~measured.any(axis=0)).all(axis=1)
    if not startable[:-1].any():
        raise DREnvError(f"{log.name}: no sample has all positions and velocities at once; nothing to start from")
    if not log.measured_qvel.any():
        raise DREnvError(f"{log.name} qvel: no velocities; estimate them (`velocity` in the log's column map)")
    if not np.isfinite(window):
        first = int(np.flatnonzero(startable)[0])
        return [(first, len(log.time) - 1)]
    period = float(np.median(np.diff(log.time)))
    found: list[tuple[int, int]] = []
    begin = log.time[0]
    while True:
        first = int(np.searchsorted(log.time, begin - 0.25 * period))
        while first < len(log.time) and not startable[first]:
            first += 1
        if first >= len(log.time):
            break
        end = log.time[first] + window
        if end > log.time[-1] + 0.25 * period:
            break
        last = int(np.searchsorted(log.time, end + 0.25 * period)) - 1
        if last > first:
            found.append((first, last))
        waited = log.time[first] - begin > period  # nothing to start from, as before a recording from rest
        begin = max((log.time[first] if waited else begin) + stride, log.time[first] + 0.5 * period)
    if not found and window < period:
        raise DREnvError(
            f"{log.name}: a sample every {period:g} s, expected a window longer than that, not {window:g} s"
        )
    if not found:
        raise DREnvError(f"{log.name}: {log.duration:g} s long, expected at least a window of {window:g} s")
    return found


def _samples(log: Log, first: int, last: int, timestep: float) -> tuple[Array, Index, Array]:
    """Of each sample after the first: seconds since it, the state not before it, the weight of the one before that."""
    offset = log.time[first + 1 : last + 1] - log.time[first]
    place = offset / timestep
    near = np.maximum(np.round(place), 1)
    exact = np.abs(place - near) < _EXACT
    after = np.where(exact, near, np.ceil(place))
    return offset, after.astype(np.intp), np.where(exact, 0.0, after - place)


def layout_of(model: mujoco.MjModel) -> tuple[dict[str, tuple[int, int]], ...]:
    """Where a model keeps its joints' qpos and qvel and its actuators' ctrl: (first, count) by name."""
    joints = object_names(model, "joint")
    widths = [JOINT_WIDTHS[int(kind)] for kind in model.jnt_type]
    qpos = {name: (int(at), w[0]) for name, at, w in zip(joints, model.jnt_qposadr, widths, strict=True)}
    qvel = {name: (int(at), w[1]) for name, at, w in zip(joints, model.jnt_dofadr, widths, strict=True)}
    return qpos, qvel, {name: (i, 1) for i, name in enumerate(object_names(model, "actuator"))}
