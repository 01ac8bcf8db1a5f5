"""What simulated states are compared with: measured positions and velocities, on the manifold."""

from __future__ import annotations

from collections.abc import Mapping

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env.envs.task import state_names
from dr_env.envs.windows import Windows
from dr_env.tuning.rotation import rotation_between
from dr_env.tuning.white import of_thirds, white_noise

Array = NDArray[np.float64]
Index = NDArray[np.intp]

_QUATERNIONS = {int(mujoco.mjtJoint.mjJNT_FREE): (3, 3), int(mujoco.mjtJoint.mjJNT_BALL): (0, 0)}


class Manifold:
    """Differences of a model's positions, (..., nq) minus (..., nq) to (..., nv), as `mj_differentiatePos` gives them.

    Angles of hinges without limits go the short way round.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self._nv = int(model.nv)
        plain: list[tuple[int, int]] = []
        wrapped: list[int] = []
        self._quaternions: list[tuple[int, int]] = []
        self.groups: list[list[int]] = []
        """Degrees of freedom that share a unit and a scale: each joint's own, translation and rotation apart."""
        for kind, q, v, limited in zip(
            model.jnt_type, model.jnt_qposadr, model.jnt_dofadr, model.jnt_limited, strict=True
        ):
            if int(kind) in _QUATERNIONS:
                dq, dv = _QUATERNIONS[int(kind)]
                plain += [(int(q) + i, int(v) + i) for i in range(dq)]
                self._quaternions.append((int(q) + dq, int(v) + dv))
                self.groups += [[int(v) + i for i in range(dv)]] if dv else []
                self.groups.append([int(v) + dv + i for i in range(3)])
            else:
                plain.append((int(q), int(v)))
                self.groups.append([int(v)])
                if int(kind) == int(mujoco.mjtJoint.mjJNT_HINGE) and not limited:
                    wrapped.append(int(v))
        self._from, self._to = np.array(plain, np.intp).reshape(-1, 2).T
        self._wrapped = np.array(wrapped, np.intp)

    def difference(self, position: Array, other: Array) -> Array:
        """position minus other, in the order of qvel."""
        out = np.empty((*np.broadcast_shapes(position.shape[:-1], other.shape[:-1]), self._nv))
        out[..., self._to] = position[..., self._from] - other[..., self._from]
        if len(self._wrapped):
            angle = out[..., self._wrapped]
            if np.nanmax(np.abs(angle), initial=0.0) > np.pi:
                out[..., self._wrapped] = angle - 2 * np.pi * np.round(angle / (2 * np.pi))
        for q, v in self._quaternions:
            out[..., v : v + 3] = rotation_between(position[..., q : q + 4], other[..., q : q + 4])
        return out


class Readings:
    """Compares states of a batch with what windows measured.

    Args:
        model: the model.
        windows: the windows.
        velocities: whether velocities count.
        observations: names of observations, of which those that are numbers of qpos or qvel may be biased.
    """

    def __init__(
        self, model: mujoco.MjModel, windows: Windows, velocities: bool, observations: tuple[str, ...]
    ) -> None:
        self._windows, self._velocities = windows, velocities
        self.manifold = Manifold(model)
        self.fields = ("qpos", "qvel") if velocities else ("qpos",)
        dofs = [name.removeprefix("qvel.") for name in state_names(model)[1]]
        self.names = tuple(dofs) + (tuple(f"d/dt {name}" for name in dofs) if velocities else ())
        self._first = np.searchsorted(windows.window, np.arange(len(windows) + 1))  # each window's first sample
        motion = self._measured_motion()
        self.motion = motion  # (K, m)
        self.measured = ~np.isnan(motion)
        self._biased = _biased(model, self.names, observations)

    def _measured_motion(self) -> Array:
        """What was measured, less the window's start, (K, m)."""
        w = self._windows
        parts = [self.manifold.difference(w.measured_qpos, w.qpos[w.window])]
        if self._velocities:
            parts.append(w.measured_qvel - w.qvel[w.window])
        return np.concatenate(parts, axis=1)

    def scales(self) -> Array:
        """How far windows move from their start, root mean square, (m,); one for all axes of a free body."""
        nv = len(self.names) // len(self.fields)
        out = np.ones(len(self.names))
        for start in range(0, len(self.names), nv):
            for group in self.manifold.groups:
                columns = [start + i for i in group]
                motion = self.motion[:, columns]
                if not np.isnan(motion).all():
                    out[columns] = np.sqrt(np.nanmean(np.square(motion)))
        moving = out[out > 1e-9]
        return np.where(out > 1e-9, out, moving.min() if len(moving) else 1.0)

    def noise(self, differences: Array | None = None) -> Array:
        """Standard deviations of white noise, (m,), from third differences within windows.

        Of windows too short for that, from those along the recordings; 0 where there are too few.

        Args:
            differences: (K, m) of a simulation from what was measured: where it is near, they hold less motion that
                could be taken for noise; the lesser of both counts.
        """
        window = self._windows.window
        if not (window[3:] == window[:-3]).any():
            return self._noise_along()
        found = white_noise(self.motion, window)
        if differences is None:
            return found
        lost = np.isnan(differences).all(axis=0)  # the simulation diverged, and tells nothing
        return np.where(lost, found, np.minimum(found, white_noise(differences, window)))

    def _noise_along(self) -> Array:
        """White noise from third differences along recordings, across windows, of samples at equal distances."""
        w = self._windows
        log, time = w.log[w.window], np.round(w.start[w.window] + w.offset, 9)
        _, order = np.unique(np.stack([log, time]), axis=1, return_index=True)  # windows may overlap
        if len(order) < 4:
            return np.zeros(len(self.names))
        gaps = np.lib.stride_tricks.sliding_window_view(np.diff(time[order]), 3)
        even = (log[order][3:] == log[order][:-3]) & (gaps.max(1) < 1.5 * gaps.min(1))
        moved = [self.manifold.difference(w.measured_qpos[order][1:], w.measured_qpos[order][:-1])]
        if self._velocities:
            moved.append(np.diff(w.measured_qvel[order], axis=0))
        return of_thirds(np.diff(np.concatenate(moved, axis=1), n=2, axis=0)[even])

    def read(
        self, which: slice, done: int, states: Mapping[str, Array], last: Mapping[str, Array], draws: int, out: Array
    ) -> None:
        """Writes predicted minus measured of the samples among some steps into `out`, (draws, K, m).

        Args:
            which: the windows that were stepped.
            done: steps taken before.
            states: by field (windows * draws, steps, size), the states after each step.
            last: by field (windows * draws, size), the states before the first.
            draws: simulations of each window.
            out: where differences go.
        """
        w = self._windows
        steps = states["qpos"].shape[1]
        samples = np.arange(self._first[which.start], self._first[which.stop])
        after = w.after[samples]
        samples = samples[(after > done) & (after <= done + steps)]
        if not len(samples):
            return
        window, place = w.window[samples] - which.start, w.after[samples] - done - 1
        weight = w.before[samples]
        read = {name: _at(states[name], last[name], draws, window, place, weight) for name in self.fields}
        found = self.manifold.difference(read["qpos"], w.measured_qpos[samples][:, None])  # (P, draws, nv)
        nv = found.shape[-1]
        out[:, samples, :nv] = found.transpose(1, 0, 2)
        if self._velocities:
            out[:, samples, nv:] = (read["qvel"] - w.measured_qvel[samples][:, None]).transpose(1, 0, 2)

    def settle(self, which: slice, diverged: NDArray[np.bool_], arrays: Mapping[str, Array], out: Array) -> None:
        """Adds what sensors add, and gives NaN to windows (windows, draws) that diverged."""
        samples = slice(self._first[which.start], self._first[which.stop])
        bias = arrays.get("observation.bias")
        if bias is not None:
            for coordinate, observation in self._biased.items():
                out[:, samples, coordinate] += bias[:, observation, None]
        for window, draw in np.argwhere(diverged):
            first = which.start + int(window)
            out[draw, self._first[first] : self._first[first + 1]] = np.nan


def _at(states: Array, last: Array, draws: int, window: Index, place: Index, weight: Array) -> Array:
    """States (P, draws, size) of windows at places among steps, each mixed with the one before it."""
    size = states.shape[-1]
    table = states.reshape(-1, draws, states.shape[1], size)
    found = table[window, :, place]
    mixed = np.flatnonzero(weight)
    if len(mixed):
        previous = table[window[mixed], :, np.maximum(place[mixed] - 1, 0)]
        at_start = place[mixed] == 0
        previous[at_start] = last.reshape(-1, draws, size)[window[mixed][at_start]]
        share = weight[mixed, None, None]
        found[mixed] = (1 - share) * found[mixed] + share * previous
    return np.asarray(found)


def _biased(model: mujoco.MjModel, names: tuple[str, ...], observations: tuple[str, ...]) -> dict[int, int]:
    """Coordinates that observations name: coordinate -> observation."""
    qpos, qvel = state_names(model)
    places = {name: i for i, name in enumerate(observations)}
    out: dict[int, int] = {}
    for kind, q, v in zip(model.jnt_type, model.jnt_qposadr, model.jnt_dofadr, strict=True):
        linear = _QUATERNIONS.get(int(kind), (1, 1))[0]
        out |= {int(v) + i: places[qpos[q + i]] for i in range(linear) if qpos[q + i] in places}
    if len(names) > model.nv:
        out |= {model.nv + i: places[name] for i, name in enumerate(qvel) if name in places}
    return out
