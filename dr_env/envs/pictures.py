"""Pictures of environments, as the camera that a Spec describes takes them."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env.binding import Plan
from dr_env.errors import DREnvError
from dr_env.records import Columns
from dr_env.rendering import ClassicRenderer, camera_intrinsics, seen_through
from dr_env.sensors import CameraSensor, bent, frame_settings, picture_size, senses

Pixels = NDArray[np.uint8]


class PictureTaker:
    """Renders one camera of a model and does to the picture what the Spec's entries of the kind `image` say.

    Args:
        model: the model whose textures and meshes are uploaded.
        plan: what may vary; whether it has a lens decides how wide pictures are rendered.
        camera: the camera's name; None for a free one, which entries do not name.
        size: width and height of pictures in pixels.
    """

    def __init__(self, model: mujoco.MjModel, plan: Plan, camera: str | None, size: tuple[int, int]) -> None:
        self._camera, self._size = camera, size
        self._wide = picture_size(plan, camera, *size)
        self._renderer = ClassicRenderer(model, *self._wide)

    def take(
        self, model: mujoco.MjModel, data: mujoco.MjData, plan: Plan, columns: Columns | None, key: tuple[object, ...]
    ) -> Pixels:
        """One picture, (height, width, 3).

        Args:
            model, data: with current kinematics.
            plan: what varies in it.
            columns: the Draw, of one row; None for nothing.
            key: what noise is a function of.
        """
        if columns is None or self._camera is None or not senses(plan):
            return self._clean(model, data)
        settings, _ = frame_settings(plan, model, columns, self._camera)
        if self._wide == self._size:
            picture = self._clean(model, data)
        else:
            lens = bent(settings, camera_intrinsics(model, self._camera, *self._size), self._wide)
            with seen_through(model, self._camera, lens.wide):
                picture = lens.blend(self._clean(model, data))
        return CameraSensor(settings).sense(picture, key)

    def _clean(self, model: mujoco.MjModel, data: mujoco.MjData) -> Pixels:
        picture = self._renderer.images(model, data, self._camera).rgb
        if picture is None:
            raise DREnvError(f"renderer {self._renderer.name!r} gave no picture")
        return picture

    def close(self) -> None:
        """Frees the renderer."""
        self._renderer.close()
