"""A model's cameras: which one, where it stands, and what it sees of the world."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError, unknown_name
from dr_env.spatial import OPENCV_FROM_OPENGL, Intrinsics, inverse, transform


def find_camera(model: mujoco.MjModel, camera: str | None) -> mujoco.MjvCamera:
    """The camera of that name, or for None a free camera around the model's centre.

    Raises:
        DREnvError: naming the model's cameras, when none has this name; or one that is orthographic.
    """
    made = mujoco.MjvCamera()
    mujoco.mjv_defaultFreeCamera(model, made)
    if camera is not None:
        index = int(mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, camera))
        if index < 0:
            names = [model.camera(i).name for i in range(model.ncam)]
            raise DREnvError(f"camera: the model has {unknown_name('camera', camera, names)}")
        if model.cam_projection[index] == mujoco.mjtProjection.mjPROJ_ORTHOGRAPHIC:
            raise DREnvError(f"camera: '{camera}' is orthographic, for which labels are not made; expected perspective")
        made.type = mujoco.mjtCamera.mjCAMERA_FIXED
        made.fixedcamid = index
    return made


def intrinsics_of(scene: mujoco.MjvScene, width: int, height: int) -> Intrinsics:
    """The pinhole camera that an updated scene is drawn with on an image of this size."""
    camera = scene.camera[0]
    bottom, top = float(camera.frustum_bottom), float(camera.frustum_top)
    # a width of 0 stands for square pixels
    half_width = float(camera.frustum_width) or (top - bottom) / 2 * width / height
    return Intrinsics.from_frustum(
        width, height, float(camera.frustum_near), half_width, float(camera.frustum_center), bottom, top
    )


def camera_from_world(data: mujoco.MjData, scene: mujoco.MjvScene, camera: mujoco.MjvCamera) -> NDArray[np.float64]:
    """The rigid transform (4, 4) from the world to OpenCV's camera."""
    if camera.type == mujoco.mjtCamera.mjCAMERA_FIXED:
        axes = data.cam_xmat[camera.fixedcamid].reshape(3, 3)
        return inverse(transform(axes @ OPENCV_FROM_OPENGL, data.cam_xpos[camera.fixedcamid]))
    left, right = scene.camera[0], scene.camera[1]  # two eyes; pictures are drawn from between them
    forward, up = np.array(left.forward, np.float64), np.array(left.up, np.float64)
    axes = np.stack([np.cross(forward, up), -up, forward], -1)
    return inverse(transform(axes, (np.array(left.pos, np.float64) + right.pos) / 2))


def set_frustum(scene: mujoco.MjvScene, intrinsics: Intrinsics) -> None:
    """Makes an updated scene be seen through `intrinsics`."""
    for eye in scene.camera:
        half_width, center, bottom, top = intrinsics.frustum(float(eye.frustum_near))
        eye.frustum_width, eye.frustum_center = half_width, center
        eye.frustum_bottom, eye.frustum_top = bottom, top


def most_parts(model: mujoco.MjModel) -> int:
    """How many parts MuJoCo's scene of a model may hold: geoms, sites, tendons' segments, flexes, skins, a few more."""
    segments = 2 * model.nwrap + 31 * model.ntendon  # a slack tendon hangs as a chain of 30
    return int(model.ngeom + model.nsite + segments + model.nflex + model.nskin + 100)
