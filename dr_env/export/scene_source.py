"""Frames of scenes that a Spec's grammar composes."""

from __future__ import annotations

import mujoco
import numpy as np

from dr_env.binding import Plan
from dr_env.export.bodies import check_shapes, model_digest
from dr_env.export.catalogue import LabelClass
from dr_env.export.sensing import FrameSensor
from dr_env.export.source import SourceRequest
from dr_env.records import Draw, Frame
from dr_env.rendering import LabelledObject, Renderer, make_renderer
from dr_env.rendering.camera import find_camera
from dr_env.scene import CAMERA, ObjectModel, Scene, SceneObject, Scenes
from dr_env.sensors import Backdrops, picture_size
from dr_env.spec import Spec


class SceneSource:
    """Frames of scenes: for each a Draw, objects arranged by the grammar, and a picture.

    Args:
        request: what to open; its Spec has a `scene`.
    """

    classes: tuple[LabelClass, ...]
    refused = 0

    def __init__(self, request: SourceRequest) -> None:
        self._request = request
        spec = Spec.from_yaml(request.spec, request.spec_name)
        self.scenes = Scenes(spec, request.seed, request.width / request.height)
        self.classes = tuple(_label_class(model) for model in self.scenes.classes)
        self._model: mujoco.MjModel | None = None
        first = self.scenes.model(0)
        self._digest = model_digest(first)
        find_camera(first, request.camera)  # one that is not there is told of now
        self._camera = request.camera or CAMERA
        self._size = picture_size(self.scenes.plan(0), self._camera, request.width, request.height)
        self._renderer = self._renderer_for(first)

    def frame(self, index: int, attempt: int = 0, *, labels: bool = True) -> Frame:
        """One frame; see `FrameSource.frame`."""
        scene = self.scenes.scene(index, attempt)
        self.refused = scene.attempts - 1
        return self._capture(scene, index, attempt, labels)

    def retune(self, spec: Spec) -> bool:
        """Takes another Spec's numbers; see `FrameSource.retune`."""
        return self.scenes.retune(spec)

    @property
    def plan(self) -> Plan:
        """The Spec bound to the first build."""
        return self.scenes.plan(0)

    def replay(self, draw: Draw, index: int, attempt: int = 0) -> Frame:
        """The frame that a Draw tells of."""
        return self._capture(self.scenes.replay(draw), index, attempt)

    def _capture(self, scene: Scene, index: int, attempt: int, labels: bool = True) -> Frame:
        request = self._request
        sensor = FrameSensor(self.scenes.plan(index), self._camera, request.width, request.height)
        renderer = self._renderer_for(scene.model)
        objects = [_labelled(each) for each in scene.labelled] if labels else []
        check_shapes(self.scenes.plan(index), scene.model, objects)
        key = (request.seed, index, attempt)
        return sensor.capture(renderer, scene.model, scene.data, objects, index=index, draw=scene.draw, key=key)

    def _renderer_for(self, model: mujoco.MjModel) -> Renderer:
        """The renderer, made anew where another build has other meshes and textures."""
        if self._model is not model:
            if self._model is not None:
                self._renderer.close()
            self._renderer = make_renderer(self._request.renderer, model, *self._size)
            self._model = model
        return self._renderer

    def provenance(self) -> dict[str, str]:
        """What renders, and the first build's digest."""
        behind = Backdrops(self.scenes.plan(0)).digest()
        found = {**self._renderer.provenance(), "model": self._digest}
        return {**found, "backgrounds": behind} if behind else found

    def close(self) -> None:
        """Frees the renderer."""
        self._renderer.close()


def _label_class(model: ObjectModel) -> LabelClass:
    group = model.symmetries
    return LabelClass(
        model.class_id,
        model.name,
        model.mesh.vertices,
        model.mesh.faces,
        model.keypoint_names,
        discrete=group.discrete,
        continuous=tuple(zip(group.axes, group.offsets, strict=True)),
    )


def _labelled(each: SceneObject) -> LabelledObject:
    low, high = each.mesh.box
    return LabelledObject(
        each.name,
        each.class_id,
        each.class_name,
        each.body,
        each.geoms,
        low,
        high,
        body_from_object=np.eye(4),
        keypoints=each.keypoints,
        keypoint_names=each.model.keypoint_names,
    )
