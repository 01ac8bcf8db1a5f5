"""Pictures from Mitsuba, a path tracer: light that bounces, and labels as the classic renderer's."""

from __future__ import annotations

import functools
import math
import os
import subprocess
import sys
import zlib
from collections.abc import Collection, Sequence
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError, unknown_name
from dr_env.records import Silhouette, versions
from dr_env.rendering.base import Images, check_wanted
from dr_env.rendering.camera import find_camera, most_parts
from dr_env.rendering.classic import ClassicRenderer
from dr_env.rendering.mitsuba_scene import SceneBuilder
from dr_env.spatial import Intrinsics, inverse

INSTALL_MITSUBA = "pip install 'dr-env[mitsuba]'"
VARIANT = "DR_ENV_MITSUBA_VARIANT"
"""The environment variable that names one of Mitsuba's variants; without it the fastest that works is taken."""
SAMPLES = 32
_FAST, _FLOOR = "llvm_ad_rgb", "scalar_rgb"  # the first needs LLVM's library, the second nothing
_BOUNCES = 5
_PATHS = 1 << 22  # at once; the vectorised variants hold them all in memory
_SHOULDER = 0.7  # light above which highlights are compressed

# in a process of its own: an LLVM that does not suit Mitsuba ends it
_PROBE = """
import sys, mitsuba
mitsuba.set_variant(sys.argv[1])
ball = {"type": "sphere", "bsdf": {"type": "twosided", "bsdf": {"type": "principled"}}}
camera = {"type": "perspective", "film": {"type": "hdrfilm", "width": 4, "height": 4}}
scene = {"type": "scene", "integrator": {"type": "path"}, "ball": ball, "sky": {"type": "constant"}, "eye": camera}
mitsuba.render(mitsuba.load_dict(scene), spp=1).numpy()
"""


@functools.cache
def _fastest() -> str:
    """The fastest variant that works on this machine."""
    command = [sys.executable, "-c", _PROBE, _FAST]
    done = subprocess.run(command, capture_output=True, timeout=300, check=False)
    return _FLOOR if done.returncode else _FAST


def _load() -> Any:
    """Mitsuba, its variant set."""
    try:
        import mitsuba
    except ImportError as error:
        raise DREnvError(f"the mitsuba renderer needs Mitsuba 3; install it: {INSTALL_MITSUBA}") from error
    variant = os.environ.get(VARIANT) or _fastest()
    known = [name for name in mitsuba.variants() if name.endswith("_rgb")]
    if variant not in known:
        raise DREnvError(f"{VARIANT}: {unknown_name('variant', variant, known)}")
    try:
        mitsuba.set_variant(variant)
    except ImportError as error:
        raise DREnvError(f"{VARIANT}: {variant} does not work on this machine: {error}") from error
    mitsuba.set_log_level(mitsuba.LogLevel.Error)
    if threads := os.environ.get("LP_NUM_THREADS"):  # a worker's share of the cores, as for the other renderers
        import drjit

        drjit.set_thread_count(int(threads))
    return mitsuba


class MitsubaRenderer:
    """Mitsuba's path tracer: shadows, mirrors and colours that bounce. See `Renderer`; close it when done.

    Labels are the classic renderer's. An rgb image depends on the state alone: its noise is keyed by what is seen.

    Args:
        model: the model whose textures and meshes are used; later models must share them.
        width, height: image size in pixels.
        samples: paths a pixel.

    Raises:
        DREnvError: naming what to install, when Mitsuba or OpenGL, which draws the labels, is missing.
    """

    name = "mitsuba"

    def __init__(self, model: mujoco.MjModel, width: int, height: int, *, samples: int = SAMPLES) -> None:
        if samples < 1:
            raise DREnvError(f"samples: got {samples}, expected at least 1 a pixel")
        self.width, self.height, self.samples = width, height, samples
        self._mi = _load()
        self._labels = ClassicRenderer(model, width, height)
        self._builder = SceneBuilder(self._mi, model)
        self._scene = mujoco.MjvScene(model, maxgeom=most_parts(model))
        self._option = mujoco.MjvOption()

    def images(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        camera: str | None = None,
        wanted: Collection[str] = ("rgb",),
    ) -> Images:
        """What a camera sees; see `Renderer.images`."""
        check_wanted(wanted)
        seen = self._labels.images(model, data, camera, set(wanted) - {"rgb"})
        if "rgb" not in wanted:
            return seen
        rgb = self._rgb(model, data, camera, seen.intrinsics, seen.camera_from_world)
        return Images(seen.intrinsics, seen.camera_from_world, rgb, seen.depth, seen.geom, seen.normals)

    def silhouettes(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        objects: Sequence[Sequence[int]],
        camera: str | None = None,
    ) -> tuple[Silhouette, ...]:
        """The amodal outline of each object; see `Renderer.silhouettes`."""
        return self._labels.silhouettes(model, data, objects, camera)

    def provenance(self) -> dict[str, str]:
        """What draws: "mitsuba", its variant and samples, and what draws the labels."""
        labels = self._labels.provenance()
        return {
            **labels,
            "renderer": self.name,
            "gl_renderer": f"mitsuba {self._mi.variant()}, {self.samples} samples; labels {labels['gl_renderer']}",
            **versions("mitsuba"),
        }

    def close(self) -> None:
        """Frees the classic renderer, which draws the labels."""
        self._labels.close()

    def _rgb(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        camera: str | None,
        intrinsics: Intrinsics,
        pose: NDArray[np.float64],
    ) -> NDArray[np.uint8]:
        mi, scene = self._mi, self._scene
        every = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(model, data, self._option, None, find_camera(model, camera), every, scene)
        description = self._builder.describe(model, scene)
        # pixels of a film are square: one of other pixels is drawn as high as they would make it
        rows = max(round(self.height * intrinsics.fx / intrinsics.fy), 1)
        description |= {
            "type": "scene",
            "integrator": {"type": "path", "max_depth": _BOUNCES},
            "camera": self._sensor(intrinsics, pose, rows),
        }
        seed = zlib.crc32(data.geom_xpos.tobytes() + data.geom_xmat.tobytes() + pose.tobytes())
        light = self._traced(mi.load_dict(description), self.width * rows, seed)
        if rows != self.height:
            import cv2  # takes a while to import, and most cameras have square pixels

            stretch = intrinsics.fx / intrinsics.fy
            at = np.array([[1, 0, 0], [0, stretch, (intrinsics.cy + 0.5) * (rows / self.height - stretch)
                                               + 0.5 * (stretch - 1)]])  # fmt: skip
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            size = (self.width, self.height)
            light = np.asarray(cv2.warpAffine(light, at, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))
        encoded = mi.Bitmap(_toned(light)).convert(mi.Bitmap.PixelFormat.RGB, mi.Struct.Type.UInt8, srgb_gamma=True)
        return np.array(encoded, np.uint8)

    def _traced(self, scene: Any, pixels: int, seed: int) -> NDArray[np.float32]:
        """Linear light (rows, width, 3), of as many passes as memory asks for."""
        most = max(_PATHS // pixels, 1)
        passes = math.ceil(self.samples / most)
        counts = [self.samples // passes + (i < self.samples % passes) for i in range(passes)]
        total: Any = 0.0
        for i, count in enumerate(counts):
            total = total + count * np.array(self._mi.render(scene, spp=count, seed=(seed + i) % 2**32), np.float32)
        return np.asarray(total / self.samples, np.float32)

    def _sensor(self, intrinsics: Intrinsics, pose: NDArray[np.float64], rows: int) -> dict[str, Any]:
        """The pinhole camera; Mitsuba's looks along z, with y up and x to the left."""
        world = inverse(pose)
        world[:3, :2] *= -1
        width = intrinsics.width
        return {
            "type": "perspective",
            "fov_axis": "x",
            "fov": math.degrees(2 * math.atan(width / (2 * intrinsics.fx))),
            "principal_point_offset_x": 0.5 - (intrinsics.cx + 0.5) / width,
            "principal_point_offset_y": 0.5 - (intrinsics.cy + 0.5) / intrinsics.height,
            "near_clip": 1e-3,
            "far_clip": 1e4,
            "to_world": self._mi.ScalarTransform4f(world),
            "film": {
                "type": "hdrfilm",
                "width": width,
                "height": rows,
                "pixel_format": "rgb",
                "rfilter": {"type": "box"},
            },
            "sampler": {"type": "multijitter", "sample_count": self.samples},
        }


def _toned(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Light 0 .. 1: as it is up to the shoulder, beyond which it comes ever nearer to 1."""
    above = np.maximum(light - _SHOULDER, 0) / (1 - _SHOULDER)
    return np.asarray(np.minimum(light, _SHOULDER) + (1 - _SHOULDER) * (1 - np.exp(-above)), np.float32)
