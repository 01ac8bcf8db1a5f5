"""Pictures from MuJoCo's OpenGL renderer, headless."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Sequence
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError
from dr_env.records import Silhouette, versions
from dr_env.rendering.base import Images, check_wanted
from dr_env.rendering.camera import camera_from_world, find_camera, intrinsics_of, most_parts, set_frustum
from dr_env.rendering.colour_space import untouched
from dr_env.rendering.labels import chosen
from dr_env.rendering.opengl import Framebuffer, gl_backend, gl_renderer, leave, make_context
from dr_env.rendering.silhouettes import pack, windows
from dr_env.spatial import Intrinsics

_SHADOW_SIZE = 1024  # a larger map costs more than it shows: docs/rendering.md
_RENDER = mujoco.mjtRndFlag
_OFF = [int(flag) for flag in (_RENDER.mjRND_SHADOW, _RENDER.mjRND_REFLECTION, _RENDER.mjRND_SKYBOX)]
_OFF += [int(flag) for flag in (_RENDER.mjRND_FOG, _RENDER.mjRND_HAZE)]
_ON = [int(_RENDER.mjRND_SEGMENT), int(_RENDER.mjRND_IDCOLOR)]
_GEOM = int(mujoco.mjtObj.mjOBJ_GEOM)
_PLANE = int(mujoco.mjtGeom.mjGEOM_PLANE)


class ClassicRenderer:
    """MuJoCo's OpenGL renderer: fast, also without a GPU. See `Renderer`; close it when done.

    Args:
        model: the model whose textures and meshes are uploaded; later models must share them.
        width, height: image size in pixels.

    Raises:
        DREnvError: naming what to install, when this machine has no OpenGL.
    """

    name = "classic"

    def __init__(self, model: mujoco.MjModel, width: int, height: int) -> None:
        self._context: Any = None
        self._gl: Any = None
        self._labels: Framebuffer | None = None
        self._atlas: Framebuffer | None = None
        self.width, self.height = width, height
        # the context takes these from the model, which stays as it was
        visual, quality = model.vis.global_, model.vis.quality
        kept = visual.offwidth, visual.offheight, quality.shadowsize
        visual.offwidth, visual.offheight = width, height
        quality.shadowsize = min(quality.shadowsize, _SHADOW_SIZE)
        try:
            with untouched(model):
                self._gl, self._context = make_context(model, width, height)
        finally:
            visual.offwidth, visual.offheight, quality.shadowsize = kept
        self._unclosed = weakref.finalize(self, leave, self._gl, self._context)
        self._unclosed.atexit = False
        self._scene = mujoco.MjvScene(model, maxgeom=most_parts(model))
        self._option = mujoco.MjvOption()
        self._usual_flags = self._scene.flags.copy()
        self._viewport = mujoco.MjrRect(0, 0, width, height)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._provenance = {
            "renderer": self.name,
            "gl_backend": gl_backend(),
            "gl_renderer": gl_renderer(),
            **versions("mujoco", "numpy"),
        }
        self._pixels = np.empty((height, width, 3), np.uint8)

    def images(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        camera: str | None = None,
        wanted: Collection[str] = ("rgb",),
    ) -> Images:
        """What a camera sees; see `Renderer.images`."""
        check_wanted(wanted)
        intrinsics, pose = self._look(model, data, camera)
        rgb = self._rgb() if "rgb" in wanted else None
        if not set(wanted) - {"rgb"}:
            return Images(intrinsics, pose, rgb)
        near, far = float(self._scene.camera[0].frustum_near), float(self._scene.camera[0].frustum_far)
        geom, depth = self._label(model, near, far)
        return chosen(wanted, intrinsics, pose, rgb, geom, depth)

    def silhouettes(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        objects: Sequence[Sequence[int]],
        camera: str | None = None,
    ) -> tuple[Silhouette, ...]:
        """The amodal outline of each object; see `Renderer.silhouettes`."""
        intrinsics, pose = self._look(model, data, camera)
        geoms = [np.asarray(ids, np.intp) for ids in objects]
        boxes = windows(model, data, geoms, intrinsics, pose)
        found = [Silhouette.of(np.zeros((0, 0), np.bool_)) for _ in objects]
        shown = [index for index, box in enumerate(boxes) if box is not None]
        if not shown:
            return tuple(found)
        scene = self._scene
        scene.flags[_OFF] = 0
        scene.flags[_ON] = 1
        drawn: dict[int, Any] = {}  # the model's geom: the scene's
        for geom in scene.geoms[: scene.ngeom]:
            geom.segid = -1
            if geom.objtype == _GEOM:
                drawn[geom.objid] = geom
        sizes = [(box[2], box[3]) for index in shown if (box := boxes[index]) is not None]
        page_size = max(self.width, *(w for w, _ in sizes)), max(self.height, *(h for _, h in sizes))
        atlas = self._atlas_of(*page_size)
        for page in pack(sizes, *page_size):
            with atlas:
                for place, left, bottom in page:
                    x, y, width, height = boxes[shown[place]] or (0, 0, 0, 0)
                    set_frustum(scene, intrinsics.window(x, y, width, height))
                    alone = [drawn[int(i)] for i in geoms[shown[place]] if int(i) in drawn]
                    for geom in alone:
                        geom.segid = 0
                    mujoco.mjr_render(mujoco.MjrRect(left, bottom, width, height), scene, self._context)
                    for geom in alone:
                        geom.segid = -1
                right = max(left + sizes[place][0] for place, left, _ in page)
                top = max(bottom + sizes[place][1] for place, _, bottom in page)
                picture = atlas.reds(right, top)
            for place, left, bottom in page:
                x, y, width, height = boxes[shown[place]] or (0, 0, 0, 0)
                mask = picture[bottom : bottom + height, left : left + width][::-1] != 0
                found[shown[place]] = Silhouette.of(mask, x, y)
        return tuple(found)

    def provenance(self) -> dict[str, str]:
        """What draws: "classic", OpenGL's backend and driver, MuJoCo's version."""
        return dict(self._provenance)

    def close(self) -> None:
        """Frees the OpenGL context."""
        if self._context is not None:
            self._unclosed.detach()
            self._gl.make_current()
            for buffer in (self._labels, self._atlas):
                if buffer is not None:
                    buffer.free()
            self._labels = self._atlas = None
            self._context.free()
            self._context = None
        if self._gl is not None:
            self._gl.free()
            self._gl = None

    # passes

    def _look(
        self, model: mujoco.MjModel, data: mujoco.MjData, camera: str | None
    ) -> tuple[Intrinsics, NDArray[np.float64]]:
        """Puts the model's state into the scene, seen by a camera."""
        if self._gl is None:
            raise DREnvError("this renderer is closed")
        self._gl.make_current()
        view, scene = find_camera(model, camera), self._scene
        scene.flags[:] = self._usual_flags
        self._context.textureType[: model.ntex] = model.tex_type  # which texture is the sky may change
        # planes are behind what stands on them; in a shadow map they cost time and leave dots on themselves
        casting, planes = model.geom_castshadow.copy(), model.geom_type == _PLANE
        model.geom_castshadow[planes] = 0
        try:
            mujoco.mjv_updateScene(model, data, self._option, None, view, mujoco.mjtCatBit.mjCAT_ALL, scene)
        finally:
            model.geom_castshadow[:] = casting
        return intrinsics_of(scene, self.width, self.height), camera_from_world(data, scene, view)

    def _rgb(self) -> NDArray[np.uint8]:
        mujoco.mjr_render(self._viewport, self._scene, self._context)
        mujoco.mjr_readPixels(self._pixels, None, self._viewport, self._context)
        return np.flipud(self._pixels).copy()

    def _label(self, model: mujoco.MjModel, near: float, far: float) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Geom numbers and metric depth, of one pass without multisampling, lights and textures."""
        scene = self._scene
        scene.flags[_OFF] = 0
        scene.flags[_ON] = 1
        if self._labels is None:
            self._labels = Framebuffer(self._context, self.width, self.height)
        with self._labels as target:
            mujoco.mjr_render(self._viewport, scene, self._context)
            colors = np.flipud(target.colors(self.width, self.height))
            buffer = np.flipud(target.depths(self.width, self.height))
        # colours are segid + 1 in 24 bits, 0 where nothing is
        ids = np.bitwise_and(colors, np.uint32(0xFFFFFF))
        table = np.full(scene.ngeom + 1, -1, np.int32)
        for geom in scene.geoms[: scene.ngeom]:
            if geom.objtype == _GEOM and geom.segid >= 0:
                table[geom.segid + 1] = geom.objid
        if (highest := int(ids.max())) >= len(table):
            raise DREnvError(
                f"labels: a pixel holds id {highest - 1}, expected at most {len(table) - 2}: "
                f"{gl_renderer()} blends ids at borders, or dithers; try MUJOCO_GL=osmesa"
            )
        geoms = table[ids]
        # the buffer is reversed: 1 at the near plane, 0 at the far one
        depth = (near * far) / (near + buffer * np.float32(far - near))
        depth[ids == 0] = 0.0
        return geoms, depth

    def _atlas_of(self, width: int, height: int) -> Framebuffer:
        """A framebuffer of at least this size, kept."""
        if self._atlas is None or self._atlas.width < width or self._atlas.height < height:
            if self._atlas is not None:
                width, height = max(width, self._atlas.width), max(height, self._atlas.height)
                self._atlas.free()
            self._atlas = Framebuffer(self._context, width, height)
        return self._atlas
