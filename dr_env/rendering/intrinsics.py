"""A model's cameras as pinhole cameras in pixels: read, and for a while replaced."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import mujoco

from dr_env.rendering.camera import find_camera
from dr_env.spatial import Intrinsics

_PIXEL = 1e-5  # m on a sensor that is made up


def camera_intrinsics(model: mujoco.MjModel, camera: str, width: int, height: int) -> Intrinsics:
    """The pinhole camera that one of the model's is, on an image of this size; nothing need be rendered.

    Raises:
        DREnvError: an unknown camera.
    """
    index = find_camera(model, camera).fixedcamid
    across, down = (float(size) for size in model.cam_sensorsize[index])
    if not (across > 0 and down > 0):
        return Intrinsics.from_fovy(width, height, float(model.cam_fovy[index]))
    fx, fy, right, lower = (float(value) for value in model.cam_intrinsic[index])
    # MuJoCo moves the frustum's middle by the principal point: to the right, and down
    return Intrinsics(
        width,
        height,
        fx / across * width,
        fy / down * height,
        (0.5 - right / across) * width - 0.5,
        (0.5 - lower / down) * height - 0.5,
    )


@contextlib.contextmanager
def seen_through(model: mujoco.MjModel, camera: str, intrinsics: Intrinsics) -> Iterator[None]:
    """Gives one of the model's cameras other intrinsics within the block, for images of their size."""
    index = find_camera(model, camera).fixedcamid
    kept = model.cam_sensorsize[index].copy(), model.cam_intrinsic[index].copy()
    width, height = intrinsics.width, intrinsics.height
    try:
        model.cam_sensorsize[index] = width * _PIXEL, height * _PIXEL
        model.cam_intrinsic[index] = (
            intrinsics.fx * _PIXEL,
            intrinsics.fy * _PIXEL,
            (width / 2 - 0.5 - intrinsics.cx) * _PIXEL,
            (height / 2 - 0.5 - intrinsics.cy) * _PIXEL,
        )
        yield
    finally:
        model.cam_sensorsize[index], model.cam_intrinsic[index] = kept
