"""From a renderer's picture to a Frame as a real camera gives it: lens, camera sensor, depth sensor."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env.binding import Plan
from dr_env.errors import DREnvError
from dr_env.records import Draw, Frame
from dr_env.rendering import LabelledObject, Renderer, camera_intrinsics, capture, seen_through
from dr_env.sensors import (
    Backdrops,
    CameraSensor,
    CameraSettings,
    DepthSensor,
    bends,
    bent,
    draw_settings,
    incidence,
    picture_size,
    senses,
    slopes,
)


class FrameSensor:
    """Renders Frames through the lens and the sensors that a Spec gives a camera.

    Images are sensed after they are labelled: `Frame.rgb` and `Frame.depth` stay clean, `sensed_rgb` and `sensed_depth`
    are what the camera makes of them. A lens is part of both, and of all labels.

    Args:
        plan: what varies; the fields of the kinds `image` and `depth` are read.
        camera: the camera's name; None for a free one, which has no sensor.
        width, height: image size in pixels.

    Raises:
        DREnvError: the Spec gives a lens, or any sensor, to a free camera.
    """

    def __init__(self, plan: Plan, camera: str | None, width: int, height: int) -> None:
        self._plan, self._camera = plan, camera
        self._size = width, height
        self._senses = senses(plan)
        self._bends = bends(plan, camera)
        self._backdrops = Backdrops(plan)
        if self._senses and camera is None:
            raise DREnvError(
                f"{plan.spec.where(plan.entries[0].name)}: the Spec varies images, which are named after cameras of "
                "the model, but a free camera is used; name one"
            )

    def capture(
        self,
        renderer: Renderer,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        objects: Sequence[LabelledObject],
        *,
        index: int,
        draw: Draw,
        key: tuple[object, ...],
    ) -> Frame:
        """One Frame, rendered, labelled and sensed.

        Args:
            renderer: of `picture_size`.
            model, data: with the Draw applied, and current kinematics.
            objects: what is labelled.
            index: the frame's number.
            draw: its Draw.
            key: what noise is a function of, such as (seed, index, attempt).
        """
        if not self._senses or self._camera is None:
            return capture(renderer, model, data, self._camera, objects, index=index, draw=draw)
        image, depth = draw_settings(self._plan, model, draw, self._camera)
        cosine = None
        if self._bends:
            frame, cosine = self._bent(renderer, model, data, objects, index, draw, image)
        else:
            frame = self._backed(capture(renderer, model, data, self._camera, objects, index=index, draw=draw), model)
        camera, ranger = CameraSensor(image), DepthSensor(depth, frame.intrinsics)
        return dataclasses.replace(
            frame,
            sensed_rgb=camera.sense(frame.rgb, key) if camera.active else None,
            sensed_depth=ranger.sense(frame.depth, key, frame.rgb, cosine) if ranger.active else None,
        )

    def _backed(self, frame: Frame, model: mujoco.MjModel) -> Frame:
        """A picture with the background that its Draw gives it."""
        if not self._backdrops or self._camera is None:
            return frame
        rgb = self._backdrops.behind(model, self._camera, frame.draw, frame.rgb, frame.depth > 0, frame.instance > 0)
        return dataclasses.replace(frame, rgb=rgb)

    def _bent(
        self,
        renderer: Renderer,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        objects: Sequence[LabelledObject],
        index: int,
        draw: Draw,
        settings: CameraSettings,
    ) -> tuple[Frame, NDArray[np.float32]]:
        """A wider pinhole picture, as the lens sees it, and cosines (h, w) of the angles of incidence in it."""
        camera = str(self._camera)
        own = camera_intrinsics(model, camera, *self._size)
        lens = bent(settings, own, picture_size(self._plan, camera, *self._size))
        with seen_through(model, camera, lens.wide):
            frame = self._backed(capture(renderer, model, data, camera, objects, index=index, draw=draw), model)
        # single precision moves the principal point by a millionth of a pixel
        cosine = incidence(frame.depth, slopes(frame.depth), lens.wide)
        return lens.frame(dataclasses.replace(frame, intrinsics=lens.wide)), lens.pick(cosine)
