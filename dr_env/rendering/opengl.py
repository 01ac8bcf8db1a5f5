"""Headless OpenGL: which backend, its context, and framebuffers without multisampling."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import sys
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


_left: list[tuple[Any, mujoco.MjrContext]] = []  # contexts of renderers that nobody closed


def leave(gl: Any, context: mujoco.MjrContext) -> None:
    """Takes the contexts of a renderer that nobody closed, which the next `make_context` frees.

    Garbage is collected at any time, while another context is current too, whose objects with the same numbers would
    be deleted in their place.
    """
    _left.append((gl, context))


def make_context(model: mujoco.MjModel, width: int, height: int) -> tuple[Any, mujoco.MjrContext]:
    """An OpenGL context, made current, and MuJoCo's own on it."""
    while _left:
        old, context = _left.pop()
        old.make_current()
        context.free()
        old.free()
    backend = gl_backend()
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


def gl_renderer() -> str:
    """The current context's own name for what draws, such as "llvmpipe"."""
    from OpenGL import GL

    return str(GL.glGetString(GL.GL_RENDERER).decode())


class Framebuffer:
    """A framebuffer without multisampling, in which a MuJoCo context draws labels.

    Ids that are blended at borders name wrong objects, so labels may not be drawn in the multisampled buffer that
    pictures are drawn in; a second MuJoCo context would upload every texture and mesh once more.

    Args:
        context: MuJoCo's context, whose OpenGL context must be current here and in every method.
        width, height: size in pixels.
    """

    def __init__(self, context: mujoco.MjrContext, width: int, height: int) -> None:
        from OpenGL import GL

        self._gl = GL
        self._context = context
        self.width, self.height = width, height
        self._buffers = GL.glGenRenderbuffers(2)
        self._framebuffer = int(GL.glGenFramebuffers(1))
        GL.glBindFramebuffer(GL.GL_FRAMEBUFFER, self._framebuffer)
        for buffer, kind, attachment in zip(
            self._buffers,
            (GL.GL_RGBA8, GL.GL_DEPTH32F_STENCIL8),
            (GL.GL_COLOR_ATTACHMENT0, GL.GL_DEPTH_STENCIL_ATTACHMENT),
            strict=True,
        ):
            GL.glBindRenderbuffer(GL.GL_RENDERBUFFER, buffer)
            GL.glRenderbufferStorage(GL.GL_RENDERBUFFER, kind, width, height)
            GL.glFramebufferRenderbuffer(GL.GL_FRAMEBUFFER, attachment, GL.GL_RENDERBUFFER, buffer)
        status = GL.glCheckFramebufferStatus(GL.GL_FRAMEBUFFER)
        if status != GL.GL_FRAMEBUFFER_COMPLETE:
            raise DREnvError(f"OpenGL refuses a framebuffer of {width} x {height} pixels (status {int(status):#x})")

    def __enter__(self) -> Framebuffer:
        """Until the block ends, the MuJoCo context draws here."""
        context = self._context
        self._usual = (context.offFBO, context.offSamples, context.offWidth, context.offHeight)
        self._become(self._framebuffer, 0, self.width, self.height)
        return self

    def __exit__(self, *_: object) -> None:
        self._become(*self._usual)

    def _become(self, framebuffer: int, samples: int, width: int, height: int) -> None:
        context = self._context
        context.offFBO, context.offSamples, context.offWidth, context.offHeight = framebuffer, samples, width, height
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, context)

    def colors(self, width: int, height: int) -> NDArray[np.uint32]:
        """The colours (height, width) from the lower left corner on, bottom up, red in the lowest byte."""
        pixels = np.empty((height, width), np.uint32)
        self._read(pixels, self._gl.GL_RGBA, self._gl.GL_UNSIGNED_BYTE)
        return pixels

    def reds(self, width: int, height: int) -> NDArray[np.uint8]:
        """The red channel (height, width) from the lower left corner on, bottom up."""
        pixels = np.empty((height, width), np.uint8)
        self._read(pixels, self._gl.GL_RED, self._gl.GL_UNSIGNED_BYTE)
        return pixels

    def depths(self, width: int, height: int) -> NDArray[np.float32]:
        """The depth buffer (height, width) from the lower left corner on, bottom up; 1 is near, 0 is far."""
        pixels = np.empty((height, width), np.float32)
        self._read(pixels, self._gl.GL_DEPTH_COMPONENT, self._gl.GL_FLOAT)
        return pixels

    def _read(self, pixels: NDArray[Any], channels: int, kind: int) -> None:
        from OpenGL.raw.GL.VERSION.GL_1_0 import glReadPixels  # the other one copies, and guesses the array's layout

        self._gl.glPixelStorei(self._gl.GL_PACK_ALIGNMENT, 1)
        height, width = pixels.shape
        glReadPixels(0, 0, width, height, channels, kind, ctypes.c_void_p(pixels.ctypes.data))

    def free(self) -> None:
        """Gives its memory back."""
        self._gl.glDeleteFramebuffers(1, [self._framebuffer])
        self._gl.glDeleteRenderbuffers(2, self._buffers)
