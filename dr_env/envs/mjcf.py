"""A task from an MJCF file and a few functions."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from mujoco import batch
from numpy.typing import NDArray

from dr_env.envs.forces import FIELD
from dr_env.envs.task import Array, Fields, Task, state_names
from dr_env.errors import DREnvError, unknown_name

Observe = Callable[[Fields], Array]
Reward = Callable[[Fields, NDArray[np.float32], Fields], Array]
Terminated = Callable[[Fields], NDArray[np.bool_]]

_SLIDE = int(mujoco.mjtJoint.mjJNT_SLIDE)


def _state(data: Fields) -> Array:
    return np.concatenate((data["qpos"], data["qvel"]), axis=1)


class MjcfTask(Task):
    """A robot of the user's own: its file, and what to observe and reward, over batched arrays.

    Args:
        path: the MJCF file.
        reward: (before, action, after) to rewards, (n,).
        observe: fields to observations, (n, observations); by default qpos and qvel.
        terminated: fields to whether the episode ends, (n,); by default never.
        fields: the MjData fields that the functions read.
        frame_skip: simulator steps for each action.
        max_episode_steps: actions after which an episode is truncated.
        start: the model's keyframe whose qpos, qvel, act and ctrl episodes start from; by default its own pose,
            at rest.
        reset_noise: half width of the uniform noise on the initial qpos, within the joints' ranges, and qvel. Free
            bodies move by it as well; what stands on a floor is to start above it by as much.
        camera: the camera that videos are taken with.
        name: what runs and studies call it; by default the file's name.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        reward: Reward,
        observe: Observe | None = None,
        terminated: Terminated | None = None,
        fields: tuple[str, ...] = ("qpos", "qvel"),
        frame_skip: int = 1,
        max_episode_steps: int = 1000,
        start: str | None = None,
        reset_noise: float = 0.0,
        camera: str | None = None,
        name: str | None = None,
    ) -> None:
        for key, number in (("frame_skip", frame_skip), ("max_episode_steps", max_episode_steps)):
            if not isinstance(number, Integral) or number < 1:
                raise DREnvError(f"{key}: got {number!r}, expected a whole number of at least 1")
        if not isinstance(reset_noise, int | float | np.number) or not 0 <= reset_noise < np.inf:
            raise DREnvError(f"reset_noise: got {reset_noise!r}, expected a number of at least 0")
        for key, function in (("reward", reward), ("observe", observe), ("terminated", terminated)):
            if not callable(function) and (key == "reward" or function is not None):
                raise DREnvError(f"{key}: got {function!r}, expected a function")
        if isinstance(fields, str):
            raise DREnvError(f"fields: got {fields!r}, expected a tuple of names, such as ({fields!r},)")
        for field in fields:
            if field not in batch.DATA_FIELDS:
                raise DREnvError(f"fields: {unknown_name('field of MjData', field, sorted(batch.DATA_FIELDS))}")
        self._path = Path(path)
        self._reward, self._observe, self._terminated = reward, observe, terminated
        self._start, self._reset_noise = start, reset_noise
        # what other tasks declare as class variables
        self.__dict__.update(
            name=name or self._path.stem,
            fields=fields,
            frame_skip=frame_skip,
            max_episode_steps=max_episode_steps,
            camera=camera,
            # derived fields must describe the state that the agent sees
            stage=int(
                mujoco.mjtStage.mjSTAGE_NONE if set(fields) <= {"qpos", "qvel", FIELD} else mujoco.mjtStage.mjSTAGE_VEL
            ),
        )

    def mjspec(self) -> mujoco.MjSpec:
        if not self._path.exists():
            raise DREnvError(f"{self._path}: no such file")
        try:
            return mujoco.MjSpec.from_file(str(self._path))
        except ValueError as error:
            raise DREnvError(f"{self._path}: MuJoCo cannot read it: {error}") from error

    def observation_names(self, model: mujoco.MjModel) -> tuple[str, ...]:
        if self._observe is None:
            qpos, qvel = state_names(model)
            return (*qpos, *qvel)
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        shape = np.shape(self.observe({field: np.array(getattr(data, field))[None] for field in self.fields}))
        if len(shape) != 2 or shape[0] != 1:
            raise DREnvError(f"observe: got shape {shape} for one environment, expected (1, observations)")
        return tuple(f"#{i}" for i in range(shape[1]))

    def observe(self, data: Fields) -> Array:
        return np.array(self._called("observe", self._observe or _state, data), np.float64)

    def reward(self, before: Fields, action: NDArray[np.float32], after: Fields) -> tuple[Array, dict[str, Any]]:
        reward = np.asarray(self._called("reward", self._reward, before, action, after), np.float64)
        if reward.shape != (len(action),):
            raise DREnvError(f"reward: got shape {reward.shape}, expected ({len(action)},), one for each environment")
        return reward, {}

    def terminated(self, data: Fields) -> NDArray[np.bool_]:
        count = len(next(iter(data.values())))
        if self._terminated is None:
            return np.zeros(count, bool)
        ended = np.asarray(self._called("terminated", self._terminated, data), bool)
        if ended.shape != (count,):
            raise DREnvError(f"terminated: got shape {ended.shape}, expected ({count},), one for each environment")
        return ended

    def _called(self, key: str, function: Callable[..., Any], *given: Any) -> Any:
        """What a function of the user's gives; one that reads a field which it was not promised is told so."""
        try:
            return function(*given)
        except KeyError as error:
            name = error.args[0]
            if name in self.fields or name not in batch.DATA_FIELDS:
                raise
            raise DREnvError(
                f"{key}: reads '{name}', which is not among the task's fields; expected fields={(*self.fields, name)}"
            ) from None

    def _keyframe(self, model: mujoco.MjModel) -> Any:
        """The keyframe that episodes start from, or None."""
        if self._start is None:
            return None
        names = [model.key(k).name for k in range(model.nkey)]
        if self._start not in names:
            raise DREnvError(f"start: {self._path} has {unknown_name('keyframe', self._start, names)}")
        return model.key(self._start)

    def initial_state(self, model: mujoco.MjModel, uniform: Array) -> dict[str, Array]:
        state, key = super().initial_state(model, uniform), self._keyframe(model)
        held = {} if key is None else {"act": key.act, "ctrl": key.ctrl}
        return state | {name: np.tile(values, (len(uniform), 1)) for name, values in held.items() if len(values)}

    def reset_state(self, model: mujoco.MjModel, uniform: Array) -> tuple[Array, Array]:
        noise = self._reset_noise * (2 * uniform - 1)
        key = self._keyframe(model)
        start, speed = (model.qpos0, np.zeros(model.nv)) if key is None else (key.qpos, key.qvel)
        qpos = np.repeat(start[None], len(uniform), axis=0)
        moved = np.zeros((len(uniform), model.nv))
        moved[:] = noise[:, : model.nv]
        for row, velocity in zip(qpos, moved, strict=True):
            mujoco.mj_integratePos(model, row, velocity, 1.0)  # keeps quaternions of unit length
        limited = np.flatnonzero((model.jnt_limited != 0) & (model.jnt_type >= _SLIDE))  # hinges as well
        at, (low, high) = model.jnt_qposadr[limited], model.jnt_range[limited].T
        qpos[:, at] = np.clip(qpos[:, at], np.minimum(low, start[at]), np.maximum(high, start[at]))
        return qpos, speed + noise[:, model.nv : 2 * model.nv]

    def file(self, name: str) -> Path:
        """A file beside the MJCF file, such as `randomization.yaml`."""
        return self._path.with_name(name)

    def reset_width(self, model: mujoco.MjModel) -> int:
        return int(2 * model.nv)
