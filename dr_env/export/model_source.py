"""Frames of one model: a task's, or the user's own MJCF."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env.binding import DIVERGED, Plan, build_model, compile_model, same_form
from dr_env.envs import is_model_file, known_task, make_task
from dr_env.errors import DREnvError
from dr_env.export.bodies import check_shapes, labelled_bodies, model_digest
from dr_env.export.catalogue import LabelClass
from dr_env.export.sensing import FrameSensor
from dr_env.export.source import SourceRequest
from dr_env.records import Draw, Frame, rows_of
from dr_env.rendering import make_renderer
from dr_env.rendering.camera import find_camera
from dr_env.rng import Stream
from dr_env.sensors import Backdrops, picture_size
from dr_env.spec import Spec

_FREE = int(mujoco.mjtJoint.mjJNT_FREE)


def _no_reward(*_: object) -> NDArray[np.float64]:
    return np.zeros(1)


class ModelSource:
    """Frames of a task or an MJCF file under a Spec: a Draw, an initial state, perhaps some steps, and a picture.

    Args:
        request: what to open.
    """

    def __init__(self, request: SourceRequest) -> None:
        self._request = request
        is_file = is_model_file(request.task)
        self._task = make_task(request.task, reward=_no_reward) if is_file else known_task(request.task, "task")
        spec = Spec.from_yaml(request.spec, request.spec_name)
        names = self._task.observation_names(compile_model(self._task.mjspec(), Spec()))
        build = build_model(self._task.mjspec(), spec, names, request.seed)
        self._model = build.model
        self._plan = spec.bind(self._model, names, build)
        self._data = mujoco.MjData(self._model)
        self._digest = model_digest(self._model)
        self._objects, self.classes = labelled_bodies(self._model, request.objects)
        check_shapes(self._plan, self._model, self._objects)
        self._camera = self._find_camera()
        self._states = Stream("reset", ("state",), (self._task.reset_width(self._model),))
        free = np.flatnonzero(self._model.jnt_type == _FREE)
        self._free: list[int] = self._model.jnt_qposadr[free].tolist()
        self._places = Stream("placement", ("free",), (3 * len(self._free),))
        self._sensor = FrameSensor(self._plan, self._camera, request.width, request.height)
        size = picture_size(self._plan, self._camera, request.width, request.height)
        self._renderer = make_renderer(request.renderer, self._model, *size)

    classes: tuple[LabelClass, ...]
    refused = 0

    def _find_camera(self) -> str | None:
        name = self._request.camera or self._task.camera
        if name is None and self._model.ncam:
            name = mujoco.mj_id2name(self._model, mujoco.mjtObj.mjOBJ_CAMERA, 0)
        find_camera(self._model, name)  # one that is not there is told of now
        return name

    def retune(self, spec: Spec) -> bool:
        """Takes another Spec's numbers; see `FrameSource.retune`."""
        if not same_form(self._plan.spec, spec):
            return False
        self._plan = self._plan.with_spec(spec)
        self._sensor = FrameSensor(self._plan, self._camera, self._request.width, self._request.height)
        return True

    @property
    def plan(self) -> Plan:
        """The Spec bound to the model."""
        return self._plan

    def frame(self, index: int, attempt: int = 0, *, labels: bool = True) -> Frame:
        """One frame; see `FrameSource.frame`."""
        model, data = self._model, self._data
        key = (np.array([self._request.seed], np.uint64), np.array([attempt], np.uint64), np.array([index], np.uint64))
        columns, self.refused = self._plan.sample_columns(*key)
        draw = next(rows_of(columns, self._plan.binding), Draw({}, self._plan.binding))
        self._plan.apply(model, draw)
        mujoco.mj_resetData(model, data)
        for name, values in self._task.initial_state(model, self._states.uniform(*key)).items():
            getattr(data, name)[:] = values[0]
        if self._request.jitter and self._free:
            self._place(self._places.uniform(*key).reshape(-1, 3))
        mujoco.mj_step(model, data, self._request.steps)
        # a simulation that diverges begins anew, and only its warnings tell
        if not np.isfinite(data.qpos).all() or any(data.warning[kind].number for kind in DIVERGED):
            raise DREnvError(f"frame {index}: the simulation diverged; try fewer --steps or narrower distributions")
        mujoco.mj_forward(model, data)
        return self._sensor.capture(
            self._renderer,
            model,
            data,
            self._objects if labels else [],
            index=index,
            draw=draw,
            key=(self._request.seed, index, attempt),
        )

    def _place(self, uniform: NDArray[np.float64]) -> None:
        """Moves free bodies sideways and turns them about the vertical."""
        for start, (x, y, turn) in zip(self._free, uniform, strict=True):
            pose = self._data.qpos[start : start + 7]
            pose[:2] += self._request.jitter * (2 * np.array([x, y]) - 1)
            half = np.pi * turn
            mujoco.mju_mulQuat(pose[3:], np.array([np.cos(half), 0, 0, np.sin(half)]), pose[3:].copy())

    def provenance(self) -> dict[str, str]:
        """What renders, and the model's digest."""
        behind = Backdrops(self._plan).digest()
        found = {**self._renderer.provenance(), "model": self._digest}
        return {**found, "backgrounds": behind} if behind else found

    def close(self) -> None:
        """Frees the renderer."""
        self._renderer.close()
