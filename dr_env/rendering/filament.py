"""Pictures from Filament, MuJoCo's physically based renderer, through Vulkan, also without a GPU."""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import os
import sys
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError
from dr_env.records import Box, Silhouette, versions
from dr_env.rendering.base import Images, check_wanted
from dr_env.rendering.camera import camera_from_world, find_camera, intrinsics_of, most_parts
from dr_env.rendering.colour_space import encoded
from dr_env.rendering.labels import chosen
from dr_env.rendering.silhouettes import windows
from dr_env.spatial import Intrinsics, inverse

INSTALL_VULKAN = "apt-get install -y libvulkan1 mesa-vulkan-drivers"
_HEADLIGHT = 40000.0  # lux; Filament's own default where no light is photometric
_KINDS = {"geom": mujoco.mjtObj.mjOBJ_GEOM, "site": mujoco.mjtObj.mjOBJ_SITE}
_COLORS = 0xFFFFFF  # red, green and blue of a pixel, in which an id is written
_NO_COLOR = (0.5, 0.5, 0.5, 1.0)  # what MuJoCo takes as no colour of one's own, so the material's counts
# what Filament takes from a model when it is uploaded, and never again
_TAKEN = ("geom_type", "geom_size", "site_type", "site_size", "light_type", "light_intensity", "tex_type")


def vulkan_missing() -> str:
    """What this machine lacks for Vulkan, as a line that names the packages; empty when nothing is."""
    if sys.platform == "linux" and not ctypes.util.find_library("vulkan"):
        return f"the filament renderer needs Vulkan, and this machine has none; install it: {INSTALL_VULKAN}"
    return ""


def _make_context() -> Any:
    """A Filament context on Vulkan."""
    if missing := vulkan_missing():
        raise DREnvError(missing)
    try:
        from mujoco import mjrf
        from mujoco.studio import window  # noqa: F401  registers the shaders

        with _unheard():
            return mjrf.Context(mjrf.ContextConfig(graphics_api=mjrf.GraphicsApi.GRAPHICS_API_VULKAN))
    except Exception as error:  # a driver that is missing or refuses fails in its own way
        raise DREnvError(f"the filament renderer failed: {error}; install Vulkan: {INSTALL_VULKAN}") from error


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """Standard output, which belongs to results, without what Filament tells of itself when it starts."""
    sys.stdout.flush()
    kept = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
        ctypes.CDLL(None).fflush(None)  # what C++ still holds
    finally:
        os.dup2(kept, 1)
        os.close(nowhere)
        os.close(kept)


class _Target:
    """A picture that Filament draws into and that is read back, kept from one image to the next.

    Args:
        context: Filament's.
        dtype: of a pixel: uint32 is red, green, blue and alpha from the lowest byte on; float32 is one number.
        height, width: size in pixels.
    """

    def __init__(self, context: Any, dtype: type[np.generic], height: int, width: int) -> None:
        from mujoco import mjrf

        formats: dict[Any, Any] = {
            np.uint32: mjrf.PixelFormat.PIXEL_FORMAT_RGBA8,
            np.float32: mjrf.PixelFormat.PIXEL_FORMAT_R32F,
        }
        self.target = context.create_render_target(mjrf.RenderTargetConfig(color_format=formats[dtype]))
        self.target.resize(width, height)
        self.pixels = np.empty((height, width), dtype)
        self._bytes = self.pixels.view(np.uint8).reshape(height, width, 4) if dtype is np.uint32 else self.pixels
        self.read = mjrf.ReadRequest(target=self.target)
        self.read.set_buffer(self._bytes)


class FilamentRenderer:
    """MuJoCo's physically based renderer: soft light, ambient occlusion, metals. See `Renderer`; close it when done.

    Args:
        model: the model whose textures and meshes are uploaded. Its fields may change between images; another model,
            or other shapes, sizes, kinds or intensities of lights, or another sky, make it upload anew.
        width, height: image size in pixels.
        repeatable: whether an rgb image depends on the state alone. Filament dithers (by one step in 255) with random
            numbers that run on from image to image and cannot be set back, so each rgb image but what is drawn first
            begins with a new context, which costs about half a second. Labels always depend on the state alone.

    Raises:
        DREnvError: naming what to install, when this machine has no Vulkan.
    """

    name = "filament"

    def __init__(self, model: mujoco.MjModel, width: int, height: int, *, repeatable: bool = True) -> None:
        self.width, self.height = width, height
        self.repeatable = repeatable
        self._option = mujoco.MjvOption()
        self._context: Any = None
        self._begin(model)

    def _begin(self, model: mujoco.MjModel) -> None:
        """Makes a context and uploads a model."""
        from mujoco import mjrf

        self.close()
        self._context = _make_context()
        self._context.set_clear_color(np.zeros(3, np.float32))
        self._drawn = False
        self._model, self._taken = model, _taken(model)
        self._scene = self._context.create_scene(mjrf.SceneParams())
        self._scene.configure_from_model(model)
        with encoded(model):
            self._resources = mjrf.ModelResources(self._context, model)
        self._lights = mjrf.ModelLights(self._scene, self._resources)
        self._renderables = mjrf.ModelRenderables(self._scene, self._resources)
        self._renderables.set_options(self._option)
        self._cameras = mujoco.MjvScene(model, maxgeom=1)
        self._parts: dict[tuple[str, int], Any] = {
            (kind, i): part
            for kind, count in (("geom", model.ngeom), ("site", model.nsite))
            for i in range(count)
            if (part := self._renderables.get_renderable(_KINDS[kind], i))
        }
        self._shown = set(self._parts)
        # ids are numbered over all parts, shown or not, then over tendons; 0 is nothing, and what is no geom is -1
        ids = {
            part.get_material().segmentation_id: i if kind == "geom" else -1 for (kind, i), part in self._parts.items()
        }
        self._geom_of = np.full(max(ids, default=0) + 1 + most_parts(model), -1, np.int32)
        self._geom_of[list(ids)] = list(ids.values())

    def images(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        camera: str | None = None,
        wanted: Collection[str] = ("rgb",),
    ) -> Images:
        """What a camera sees; see `Renderer.images`."""
        from mujoco import mjrf

        check_wanted(wanted)
        if "rgb" in wanted and self.repeatable and self._drawn and self._context is not None:
            self._begin(model)
        intrinsics, pose = self._look(model, data, camera)
        rgb = None
        if "rgb" in wanted:
            request = self._request(intrinsics, pose, mjrf.DrawMode.DRAW_MODE_DEFAULT)
            request.headlight = bool(model.vis.headlight.active) and not (model.light_intensity > 0).any()
            request.headlight_intensity = _HEADLIGHT
            pixels = self._draw(request, self._target("rgb", np.uint32, self.height, self.width))
            rgb = np.ascontiguousarray(pixels.view(np.uint8).reshape(self.height, self.width, 4)[..., :3])
        if not set(wanted) - {"rgb"}:
            return Images(intrinsics, pose, rgb)
        geom, depth = self._label(model, intrinsics, pose)
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
        # a part cannot be in two scenes, so all leave this one, and each object's come back by themselves
        scene, parts = self._scene, {key: self._parts[key] for key in sorted(self._shown)}
        for part in parts.values():
            scene.remove_renderable(part)
        try:
            return tuple(
                self._alone([parts[("geom", i)] for i in ids.tolist() if ("geom", i) in parts], box, intrinsics, pose)
                for ids, box in zip(geoms, boxes, strict=True)
            )
        finally:
            for part in parts.values():
                scene.add_renderable(part)

    def _alone(
        self, parts: list[Any], box: Box | None, intrinsics: Intrinsics, pose: NDArray[np.float64]
    ) -> Silhouette:
        """The outline that parts make in a box of the canvas, with nothing else in the scene."""
        from mujoco import mjrf

        if not box:
            return Silhouette.of(np.zeros((0, 0), np.bool_))
        x, y, width, height = box
        request = self._request(intrinsics.window(*box), pose, mjrf.DrawMode.DRAW_MODE_SEGMENTATION_BY_ID)
        for part in parts:
            self._scene.add_renderable(part)
        pixels = self._draw(request, self._target("alone", np.uint32, height, width))
        for part in parts:
            self._scene.remove_renderable(part)
        # a viewport starts at the lower left corner, the picture at the upper left one
        return Silhouette.of((pixels[-height:, :width] & np.uint32(_COLORS)) != 0, x, y)

    def provenance(self) -> dict[str, str]:
        """What draws: "filament", its graphics interface, MuJoCo's version."""
        info = mujoco.MjrRendererInfo()
        self._context.get_renderer_info(info)
        backend = str(info.backend)
        return {
            "renderer": self.name,
            "gl_backend": backend,
            "gl_renderer": f"{info.renderer} on {backend}",
            **versions("mujoco", "numpy"),
        }

    def close(self) -> None:
        """Frees what Filament holds."""
        # Filament wants its parts freed before the context that made them
        self._targets: dict[str, _Target] = {}
        self._parts = {}
        self._renderables = self._lights = self._resources = self._scene = self._model = None
        self._context = None

    def _look(
        self, model: mujoco.MjModel, data: mujoco.MjData, camera: str | None
    ) -> tuple[Intrinsics, NDArray[np.float64]]:
        """Puts the state into the scene and finds the camera."""
        if self._context is None:
            raise DREnvError("this renderer is closed")
        if model is not self._model or _taken(model) != self._taken:
            self._begin(model)
        view = find_camera(model, camera)
        mujoco.mjv_updateCamera(model, data, view, self._cameras)
        self._lights.update(data)
        self._renderables.update(data)
        self._show(model)
        return intrinsics_of(self._cameras, self.width, self.height), camera_from_world(data, self._cameras, view)

    def _request(self, intrinsics: Intrinsics, pose: NDArray[np.float64], mode: Any) -> Any:
        """A drawing of the scene through a pinhole camera."""
        from mujoco import mjrf

        eye = self._cameras.camera[0]
        world = inverse(pose)
        half_width, center, bottom, top = intrinsics.frustum(float(eye.frustum_near))
        request = mjrf.RenderRequest()
        request.scene = self._scene
        request.camera = mjrf.Camera(
            pos=world[:3, 3].astype(np.float32),
            forward=world[:3, 2].astype(np.float32),
            up=-world[:3, 1].astype(np.float32),
            frustum_center=center,
            frustum_width=half_width,
            frustum_bottom=bottom,
            frustum_top=top,
            frustum_near=eye.frustum_near,
            frustum_far=eye.frustum_far,
        )
        request.viewport.left = request.viewport.bottom = 0
        request.viewport.width, request.viewport.height = intrinsics.width, intrinsics.height
        request.draw_mode = mode
        if mode != mjrf.DrawMode.DRAW_MODE_DEFAULT:
            request.post_processing = request.shadows = request.reflections = request.skybox = request.haze = False
        return request

    def _target(self, name: str, dtype: type[np.generic], height: int, width: int) -> _Target:
        """The target of that name, at least this large."""
        found = self._targets.get(name)
        if found is None or found.pixels.shape[0] < height or found.pixels.shape[1] < width:
            found = _Target(self._context, dtype, max(height, self.height), max(width, self.width))
            self._targets[name] = found
        return found

    def _draw(self, request: Any, target: _Target) -> NDArray[Any]:
        """Draws into a target; its pixels, which the next drawing overwrites."""
        self._drawn = True
        request.target = target.target
        self._context.wait_for_frame(self._context.render([request], [target.read]))
        return target.pixels

    def _show(self, model: mujoco.MjModel) -> None:
        """Has in the scene what is seen: nothing of hidden groups, and nothing wholly transparent."""
        geoms = self._option.geomgroup[model.geom_group] > 0
        sites = self._option.sitegroup[model.site_group] > 0
        geoms &= _opacity(model, model.geom_rgba, model.geom_matid) > 0
        sites &= _opacity(model, model.site_rgba, model.site_matid) > 0
        seen = {("geom", i) for i in np.flatnonzero(geoms).tolist()} | {
            ("site", i) for i in np.flatnonzero(sites).tolist()
        }
        seen &= self._parts.keys()
        for key in self._shown - seen:
            self._scene.remove_renderable(self._parts[key])
        for key in sorted(seen - self._shown):
            self._scene.add_renderable(self._parts[key])
        self._shown = seen

    def _label(
        self, model: mujoco.MjModel, intrinsics: Intrinsics, pose: NDArray[np.float64]
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Geom numbers and metric depth, of passes without multisampling and light."""
        from mujoco import mjrf

        size = self.height, self.width
        request = self._request(intrinsics, pose, mjrf.DrawMode.DRAW_MODE_SEGMENTATION_BY_ID)
        ids = self._draw(request, self._target("ids", np.uint32, *size)) & np.uint32(_COLORS)
        table = self._geom_of
        if (highest := int(ids.max())) >= len(table):
            raise DREnvError(f"labels: a pixel holds id {highest}, expected at most {len(table) - 1}: a driver's fault")
        geom = table[ids]
        request = self._request(intrinsics, pose, mjrf.DrawMode.DRAW_MODE_DEPTH)
        buffer = self._draw(request, self._target("depth", np.float32, *size))
        near, far = float(request.camera.frustum_near), float(request.camera.frustum_far)
        # reversed, as the classic renderer's: 1 at the near plane, 0 at the far one
        depth = (near * far) / (near + buffer * np.float32(far - near))
        depth[ids == 0] = 0.0
        return geom, depth


def _taken(model: mujoco.MjModel) -> bytes:
    """What Filament keeps of a model as it was when it was uploaded."""
    return b"".join(getattr(model, name).tobytes() for name in _TAKEN)


def _opacity(model: mujoco.MjModel, rgba: NDArray[np.float32], materials: NDArray[np.int32]) -> NDArray[np.float32]:
    """The alpha (n,) with which geoms or sites are drawn: of their own colour, else of their material."""
    own = (materials < 0) | (rgba != _NO_COLOR).any(1)
    return np.where(own, rgba[:, 3], np.append(model.mat_rgba[:, 3], 1)[materials])
