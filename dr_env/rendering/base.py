"""What a renderer is: images and silhouettes of a model's state, by whatever draws them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError, unknown_name
from dr_env.records import Silhouette
from dr_env.spatial import Intrinsics

KINDS = ("rgb", "depth", "geom", "normals")
"""What a renderer can be asked for."""

MOST = 16384
"""Pixels of an image's side, at most; more do not fit into a framebuffer."""


@dataclass(frozen=True, eq=False)
class Images:
    """What one camera sees, and how it stands; kinds that were not asked for are None.

    Attributes:
        intrinsics: the pinhole camera.
        camera_from_world: (4, 4) rigid transform to OpenCV's camera, in metres.
        rgb: (h, w, 3) uint8.
        depth: (h, w) float32, metres along the camera's z; 0 where nothing is seen.
        geom: (h, w) int32, the visible geom's number in the model; -1 where none is seen.
        normals: (h, w, 3) float32 unit vectors in OpenCV's camera; 0 where nothing is seen.
    """

    intrinsics: Intrinsics
    camera_from_world: NDArray[np.float64]
    rgb: NDArray[np.uint8] | None = None
    depth: NDArray[np.float32] | None = None
    geom: NDArray[np.int32] | None = None
    normals: NDArray[np.float32] | None = None


class Renderer(Protocol):
    """Draws states of one model; textures and meshes are uploaded once, all else is read anew for each image.

    A camera is the name of one of the model's, or None for a free camera around its centre. `data` must have current
    kinematics (`mj_forward`, or `mj_kinematics`, `mj_comPos`, `mj_camlight`). Model fields that may change between
    images: poses, colours, materials and which textures they take (`mat_texid`), lights, cameras and their intrinsics.
    """

    name: str
    width: int
    height: int

    def images(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        camera: str | None = None,
        wanted: Collection[str] = ("rgb",),
    ) -> Images:
        """What a camera sees.

        Args:
            model: the model, or one that shares its textures and meshes.
            data: its state.
            camera: the camera's name; None for a free camera.
            wanted: kinds of image: rgb, depth, geom, normals.

        Raises:
            DREnvError: for an unknown camera or kind, or when ids come back that no geom has.
        """
        ...

    def silhouettes(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        objects: Sequence[Sequence[int]],
        camera: str | None = None,
    ) -> tuple[Silhouette, ...]:
        """The amodal outline of each object, a collection of geom numbers, as if it were alone.

        It reaches up to an image's width or height beyond each border, as the BOP toolkit's canvas.
        """
        ...

    def provenance(self) -> dict[str, str]:
        """What draws: the renderer's name, its driver's own name and versions."""
        ...

    def close(self) -> None:
        """Frees what the renderer holds; may be called again."""
        ...


def check_wanted(wanted: Collection[str]) -> None:
    """Raises DREnvError for a kind of image that there is not."""
    for kind in wanted:
        if kind not in KINDS:
            raise DREnvError(f"wanted: {unknown_name('image', kind, KINDS)}")


def check_size(width: int, height: int) -> None:
    """Raises DREnvError for sizes of images that no renderer can hold."""
    if not (1 <= width <= MOST and 1 <= height <= MOST):
        raise DREnvError(f"width, height: got {width} x {height}, expected 1 to {MOST} pixels each")
