"""Pictures from MuJoCo's OpenGL renderer, headless."""

from __future__ import annotations

import contextlib
import ctypes.util
import os
import sys
from collections.abc import Iterator
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError

INSTALL_GL = "apt-get install -y libegl1 libgl1 libgl1-mesa-dri libosmesa6"
_LIBRARIES = {"egl": "EGL", "osmesa": "OSMesa", "glfw": "GL"}


def gl_backend() -> str:
    """The OpenGL backend in use: $MUJOCO_GL, else what this machine has: egl, osmesa or glfw.

    Raises DREnvError, with the command that mends it, when there is none.
    """
    chosen = os.environ.get("MUJOCO_GL", "").lower()
    if chosen:
        if chosen not in _LIBRARIES:
            raise DREnvError(f"MUJOCO_GL: got {chosen!r}, expected one of {', '.join(_LIBRARIES)}")
        return chosen
    if sys.platform != "linux":
        return "glfw"
    for name in ("egl", "osmesa"):
        if ctypes.util.find_library(_LIBRARIES[name]):
            return name
    raise DREnvError(f"rendering needs EGL or OSMesa, and this machine has neither; install them: {INSTALL_GL}")


def _make_context(model: mujoco.MjModel, backend: str, width: int, height: int) -> tuple[Any, mujoco.MjrContext]:
    """An OpenGL context, made current, and MuJoCo's own on it."""
    gl = None
    try:
        if backend == "egl":
            from mujoco.egl import GLContext
        elif backend == "osmesa":
            from mujoco.osmesa import GLContext
        else:
            from mujoco.glfw import GLContext
        gl = GLContext(width, height)
        gl.make_current()
        return gl, mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
    except Exception as error:  # each backend fails in its own way: missing library, device or display
        if gl is not None:
            gl.free()
        raise DREnvError(f"rendering with {backend} failed: {error}; install it: {INSTALL_GL}") from error


class ClassicRenderer:
    """Renders RGB images of simulations of one model; close it when done.

    Args:
        model: the model whose textures and meshes are uploaded; later models must share them.
        width, height: image size in pixels.
        camera: a camera's name, or None for a free camera around the model's centre.
    """

    def __init__(self, model: mujoco.MjModel, width: int, height: int, camera: str | None = None) -> None:
        self._context: Any = None
        self._gl: Any = None
        model.vis.global_.offwidth = max(model.vis.global_.offwidth, width)
        model.vis.global_.offheight = max(model.vis.global_.offheight, height)
        model.vis.quality.shadowsize = min(model.vis.quality.shadowsize, 1024)
        self._camera = mujoco.MjvCamera()
        mujoco.mjv_defaultFreeCamera(model, self._camera)
        if camera is not None:
            index = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, camera)
            if index < 0:
                raise DREnvError(f"camera: the model has no camera '{camera}'")
            self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
            self._camera.fixedcamid = index
        self._gl, self._context = _make_context(model, gl_backend(), width, height)
        self._scene = mujoco.MjvScene(model, maxgeom=1000)
        self._option = mujoco.MjvOption()
        self._viewport = mujoco.MjrRect(0, 0, width, height)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._pixels = np.empty((height, width, 3), np.uint8)

    def render(self, model: mujoco.MjModel, data: mujoco.MjData) -> NDArray[np.uint8]:
        """An RGB image, (height, width, 3); `data` must have current kinematics."""
        self._gl.make_current()
        mujoco.mjv_updateScene(model, data, self._option, None, self._camera, mujoco.mjtCatBit.mjCAT_ALL, self._scene)
        mujoco.mjr_render(self._viewport, self._scene, self._context)
        mujoco.mjr_readPixels(self._pixels, None, self._viewport, self._context)
        return np.flipud(self._pixels).copy()

    def gl_renderer(self) -> str:
        """OpenGL's own name for what draws, such as "llvmpipe"."""
        from OpenGL import GL

        self._gl.make_current()
        return str(GL.glGetString(GL.GL_RENDERER).decode())

    def close(self) -> None:
        """Frees the OpenGL context."""
        if self._context is not None:
            self._gl.make_current()
            self._context.free()
            self._context = None
        if self._gl is not None:
            self._gl.free()
            self._gl = None


@contextlib.contextmanager
def renderer(model: mujoco.MjModel, width: int, height: int, camera: str | None = None) -> Iterator[ClassicRenderer]:
    """A renderer that is closed when the block ends."""
    made = ClassicRenderer(model, width, height, camera)
    try:
        yield made
    finally:
        made.close()
