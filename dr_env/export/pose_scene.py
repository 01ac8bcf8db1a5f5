"""A scene with nothing but given meshes at given poses before a given camera; its world is OpenCV's camera."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError
from dr_env.export.catalogue import Catalogue
from dr_env.records import Frame
from dr_env.rendering import LabelledObject, capture, make_renderer, seen_through
from dr_env.spatial import Array, Intrinsics, matrix_to_quat

_CAMERA = "camera"
_AWAY = (0.0, 0.0, -100.0)  # behind the camera


class PoseScene:
    """Renders and labels meshes at given poses; close it when done.

    Args:
        models: the meshes by object id, in metres.
        counts: how often each can be in one picture.
        width, height: image size in pixels.
        renderer: "classic", "filament" or "mitsuba".
        far: metres beyond which nothing is seen.
    """

    def __init__(
        self, models: Catalogue, counts: dict[int, int], width: int, height: int, renderer: str, far: float
    ) -> None:
        self.width, self.height = width, height
        spec = mujoco.MjSpec()
        spec.stat.extent = 1.0  # near and far are multiples of it
        spec.visual.map.znear, spec.visual.map.zfar = 0.01, far
        # looks along the world's z, with y down
        spec.worldbody.add_camera(name=_CAMERA, xyaxes=[1, 0, 0, 0, -1, 0], resolution=[width, height])
        spec.cameras[0].sensor_size = [1.0, 1.0]
        spec.cameras[0].focal_length = [1.0, 1.0]
        self._bodies: dict[int, list[str]] = {}
        for number, count in counts.items():
            shape = models[number]
            spec.add_mesh(
                name=shape.name,
                uservert=shape.vertices.astype(np.float32).reshape(-1).tolist(),
                userface=shape.faces.reshape(-1).tolist(),
                inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,  # scans have holes, and no inside
            )
            self._bodies[number] = [f"{shape.name}_{i}" for i in range(count)]
            for name in self._bodies[number]:
                body = spec.worldbody.add_body(name=name, mocap=True, pos=_AWAY)
                body.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname=shape.name, contype=0, conaffinity=0, mass=1.0)
        try:
            self._model = spec.compile()
        except ValueError as error:
            raise DREnvError(f"models: {error}") from error
        self._data = mujoco.MjData(self._model)
        self._models = models
        self._renderer = make_renderer(renderer, self._model, width, height)

    def depth(self, number: int, pose: Array, intrinsics: Intrinsics) -> NDArray[np.float32]:
        """The depth (h, w) in metres along z of one object alone, by its id and camera_from_object (4, 4)."""
        model, data = self._model, self._data
        data.mocap_pos[:] = _AWAY
        self._stand(self._bodies[number][0], pose)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)
        with seen_through(model, _CAMERA, intrinsics):
            depth = self._renderer.images(model, data, _CAMERA, ("depth",)).depth
        return np.zeros((intrinsics.height, intrinsics.width), np.float32) if depth is None else depth

    def _stand(self, name: str, pose: Array) -> Any:
        """Puts a body at a pose; returns what the model says of it."""
        body = self._model.body(name)
        self._data.mocap_pos[body.mocapid[0]] = pose[:3, 3]
        self._data.mocap_quat[body.mocapid[0]] = matrix_to_quat(pose[:3, :3])
        return body

    def frame(self, index: int, poses: Sequence[tuple[int, Array]], intrinsics: Intrinsics) -> Frame:
        """The Frame of objects at poses, each (object id, camera_from_object (4, 4) in metres)."""
        model, data = self._model, self._data
        data.mocap_pos[:] = _AWAY
        free = {number: iter(names) for number, names in self._bodies.items()}
        objects = []
        for number, pose in poses:
            body = self._stand(next(free[number]), pose)
            shape = self._models[number]
            low, high = shape.vertices.min(0), shape.vertices.max(0)
            objects.append(LabelledObject(body.name, number, shape.name, body.id, (int(body.geomadr[0]),), low, high))
        mujoco.mj_forward(model, data)
        with seen_through(model, _CAMERA, intrinsics):
            return capture(self._renderer, model, data, _CAMERA, objects, index=index)

    def close(self) -> None:
        """Frees the renderer."""
        self._renderer.close()
