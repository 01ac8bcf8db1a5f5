"""Recordings played again in simulation, for thousands of (window x parameter) pairs at a time."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import mujoco
import numpy as np
from mujoco import batch
from numpy.typing import NDArray

from dr_env.binding import HELD, BatchRows, Build, Plan, in_time, make_batch, unheard
from dr_env.envs.activation import Activations
from dr_env.envs.commands import Commands
from dr_env.envs.readings import Readings
from dr_env.envs.values import Values
from dr_env.envs.windows import Windows, cut
from dr_env.errors import DREnvError
from dr_env.records import Columns
from dr_env.spec import Spec
from dr_env.tuning.evidence import Log

Array = NDArray[np.float64]
Ids = NDArray[np.intp]

_ROWS = 4096  # simulations in a batch
_NUMBERS = 2_000_000  # of states recorded at once
_SAME = 1e-9  # s, between moments that are one
_CTRL = mujoco.mjtState.mjSTATE_CTRL
_DELAY = "actuator_delay"


class Replay:
    """A `Simulator` (`dr_env.tuning`): what a model does where a recording began, driven as the recording was.

    Each window starts from the recorded state and steps by the model's timestep with the recorded controls,
    held from one sample to the next and as late as their actuators (`Commands`). Values are written as a Draw's
    are, so every field of a Spec works. What is random from step to step (noise, lost commands, pushes) is left
    out; an observation's `bias` counts where the observation is a number of qpos or qvel by name
    (`qpos.shoulder`). A simulation that diverges gives NaN in its window and disturbs no other.

    Differences are on the manifold: angles of unlimited hinges the short way round, orientations as rotation
    vectors in the body's frame (`mju_subQuat`), all in the order of qvel.

    Args:
        build: the model, compiled for the Spec (`build_model`).
        spec: what may vary.
        logs: recordings of the target.
        window: seconds from one reset to the next; `inf` for whole recordings.
        stride: seconds from one window's start to the next; the window's length by default.
        velocities: whether velocities are compared too, where they were measured.
        scales: (nv,) or (2 nv,) what differences are divided by; by default how far the recordings move
            from where their windows start, the same along the axes of one free body.
        observations: names of the task's observations.
        threads: C++ threads; by default all of the machine's.
        need_values: whether to refuse a Spec with nothing to tune.

    Raises:
        DREnvError: what binding and cutting raise, or a Spec with nothing that recordings could tune.
    """

    def __init__(
        self,
        build: Build,
        spec: Spec,
        logs: Sequence[Log],
        window: float,
        *,
        stride: float | None = None,
        velocities: bool = False,
        scales: Array | None = None,
        observations: tuple[str, ...] = (),
        threads: int = 0,
        need_values: bool = True,
    ) -> None:
        self.model = build.model
        self.logs = tuple(logs)
        self.plan: Plan = spec.bind(self.model, observations, build)
        self.windows: Windows = cut(self.model, self.logs, window, stride)
        self._readings = Readings(self.model, self.windows, velocities, observations)
        self.coordinates: tuple[str, ...] = self._readings.names
        """What is compared, (m,)."""
        self.scales: Array = self._readings.scales() if scales is None else np.asarray(scales, np.float64)
        if self.scales.shape != (len(self.coordinates),) or not (self.scales > 0).all():
            raise DREnvError(f"scales: got {self.scales}, expected {len(self.coordinates)} numbers above 0")
        self._values = Values(self.plan) if need_values else None
        self.sim_steps = 0
        self.engine_steps = 0
        """Timesteps simulated so far."""
        self._rows = min(_ROWS, max(len(self.windows), 256))
        self._commands = Commands(self.model, self.logs, self.windows)
        played = copy.copy(self.model)
        self._timestep = float(self.model.opt.timestep)
        played.actuator_delay[:] = self._late(played.actuator_delay)
        self._batch = make_batch(played, self._rows, threads)
        self._writer = BatchRows(self._batch, {})
        self._activations = Activations(self.model, self.logs, self.windows)

    # the Simulator

    @property
    def values(self) -> Values:
        """What recordings could tune."""
        if self._values is None:
            raise DREnvError("replay: made without values to tune")
        return self._values

    @property
    def names(self) -> tuple[str, ...]:
        """What the columns of values are, (d,)."""
        return self.values.names

    @property
    def bounds(self) -> tuple[Array, Array]:
        """The least and greatest value that may be tried, (d,) each."""
        return self.values.bounds

    @property
    def clusters(self) -> Ids:
        """The window that each transition is in, (k,), numbered as they follow each other in the recordings."""
        order = np.lexsort((self.windows.start, self.windows.log))
        rank = np.empty(len(order), np.intp)
        rank[order] = np.arange(len(order))
        return rank[self.windows.window]

    @property
    def motion(self) -> Array:
        """What was measured, less the window's start, (k, m); NaN where nothing was."""
        return self._readings.motion

    def noise(self, differences: Array | None = None) -> Array:
        """White noise of what was measured, (m,) standard deviations, from third differences within windows.

        Args:
            differences: (k, m) of a simulation that is near what was measured.
        """
        return self._readings.noise(differences)

    def predictions(self, values: Array) -> Array:
        """Scaled differences, (n, k, m) for k samples of m coordinates; NaN also where nothing was measured."""
        return np.asarray(self.differences(self.values.columns(self._checked(values))) / self.scales)

    @property
    def chained(self) -> NDArray[np.bool_]:
        """Whether a transition starts from the very sample that ended the one recorded before it, (k,)."""
        w = self.windows
        order = np.argsort(self.clusters, kind="stable")
        log, begin = w.log[w.window][order], w.start[w.window][order]
        end = begin + w.offset[order]
        out = np.zeros(len(order), bool)
        out[order[1:]] = (log[1:] == log[:-1]) & (np.abs(begin[1:] - end[:-1]) < _SAME)
        return out

    def starts(self, values: Array, steps: Array) -> Array:
        """Slopes of `predictions` at one point (d,) over start states, (k, m, m), by differences of `steps` (m,).

        Start states move along the manifold, each coordinate in its scale; those whose simulation diverges have 0.
        """
        columns = self.values.columns(self._checked(values[None]))
        out = np.empty((len(self.windows.window), len(self.coordinates), len(self.coordinates)))
        for i, distance in enumerate(steps * self.scales):
            ends = [
                self.differences(columns, self.windows.moved(self.model, i, sign * distance))[0] for sign in (1, -1)
            ]
            out[:, :, i] = (ends[0] - ends[1]) / self.scales / (2 * steps[i])
        return np.nan_to_num(out, nan=0.0)

    def residuals(self, values: Array) -> Array:
        """Scaled differences where something was measured, (n, k m)."""
        return np.asarray(self.predictions(values)[:, self._readings.measured])

    def _checked(self, values: Array) -> Array:
        table = np.asarray(values, np.float64)
        if table.ndim != 2 or table.shape[1] != len(self.names) or not np.isfinite(table).all():
            raise DREnvError(f"values: got shape {table.shape}, expected finite (n, {len(self.names)})")
        return table

    # simulation

    def differences(self, columns: Columns, windows: Windows | Sequence[Windows] | None = None) -> Array:
        """Predicted minus measured for n Draws, (n, k, m) in rad, m, rad/s and m/s.

        Args:
            columns: the Draws.
            windows: the same windows from other start states, for all Draws or for each; by default the measured ones.
        """
        starts = self.windows if windows is None else windows
        each = [starts] if isinstance(starts, Windows) else list(starts)
        n = max((len(column) for column in columns.values()), default=len(each))
        if len(each) not in (1, n):
            raise DREnvError(
                f"windows: got {len(each)} sets of start states, expected one, or one for each of {n} Draws"
            )
        out = np.full((n, len(self.windows.window), len(self.coordinates)), np.nan)
        good = np.flatnonzero(self.plan.allowed(columns)) if columns else np.arange(n)
        together = max(1, self._rows // len(self.windows))  # Draws at a time
        for begin in range(0, len(good), together):
            draws = good[begin : begin + together]
            arrays = self.plan.realise({name: column[draws] for name, column in columns.items()}, whole=False)
            width = max(1, self._rows // len(draws))  # windows at a time
            refused = self._write(arrays, len(draws), min(width, len(self.windows)))
            part = np.full((len(draws), *out.shape[1:]), np.nan)
            for first in range(0, len(self.windows), width):
                which = slice(first, min(first + width, len(self.windows)))
                self._simulate(which, len(draws), arrays, part, [each[i] for i in draws] if len(each) > 1 else each)
            part[refused] = np.nan
            out[draws] = part
        self.sim_steps += len(good) * len(self.windows.window)
        self.engine_steps += len(good) * int(self.windows.steps.sum())
        return out

    def _late(self, delays: Array) -> Array:
        """The part of delays that MuJoCo simulates, as it is written."""
        return in_time(self._commands.whole(delays), self._timestep)

    def _write(self, arrays: dict[str, Array], draws: int, windows: int) -> Ids:
        """Writes n Draws for every window, row w n + i; returns the Draws that MuJoCo refuses."""
        ids = np.arange(windows * draws)
        for name, values in arrays.items():
            if not name.startswith(HELD):
                written = self._late(values) if name == _DELAY else values
                self._writer.write(name, ids, np.tile(written, (windows, 1)))
        if self.plan.recompute:
            try:
                self._writer.recompute(ids)
            except batch.SimulationError as error:
                return np.unique(np.asarray(error.ids) % draws)
        return ids[:0]

    def _simulate(
        self, which: slice, draws: int, arrays: dict[str, Array], out: Array, starts: Sequence[Windows]
    ) -> None:
        """Fills the differences of the windows `which` into `out`, (draws, k, m)."""
        count = which.stop - which.start
        ids = np.arange(count * draws)
        self._batch.reset(ids, stage=mujoco.mjtStage.mjSTAGE_NONE)
        for name in ("qpos", "qvel"):
            states = np.stack([getattr(start, name)[which] for start in starts], axis=1)  # (windows, 1 or draws, size)
            self._batch.bind(name)[ids] = np.repeat(states, draws // len(starts), axis=1).reshape(len(ids), -1)
        delays = arrays.get(_DELAY)
        if self.model.na:
            self._batch.bind("act")[ids] = self._activations.at(which, draws, delays)
        if self.model.nu:
            self._commands.begin(self._batch, ids, which, draws, delays)
        before = self._batch.warning[ids, :, 1].sum(axis=1)
        last = {name: np.array(self._batch.bind(name)[ids]) for name in self._readings.fields}
        steps = self.windows.steps[which]
        longest, done = int(steps[0]), 0
        span = max(1, _NUMBERS // (len(ids) * (self.model.nq + self.model.nv + self.model.nu)))
        while done < longest:
            active = int((steps > done).sum())  # a prefix, since windows are sorted
            rows = ids[: active * draws]
            todo = min(span, int(steps[active - 1]) - done)
            part = slice(which.start, which.start + active)
            controls = self._commands.during(part, done, todo, draws, delays) if self.model.nu else None
            passed = {name: np.empty((len(rows), todo, last[name].shape[1])) for name in self._readings.fields}
            try:
                with unheard():
                    self._batch.rollout(todo, controls, _CTRL, list(passed), rows, out=passed)
            except batch.SimulationError as error:
                before[np.asarray(error.ids)] = -1  # the others ran
            self._readings.read(part, done, passed, {k: v[: len(rows)] for k, v in last.items()}, draws, out)
            last = {name: passed[name][:, -1].copy() for name in self._readings.fields}  # (rows, size)
            done += todo
        diverged = (self._batch.warning[ids, :, 1].sum(axis=1) != before).reshape(count, draws)
        self._readings.settle(which, diverged, arrays, out)
