"""Where on a camera's canvas objects can be, and how to pack those places into few pictures."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env.records import Box
from dr_env.spatial import Intrinsics, apply, box_corners, project

_GEOM = mujoco.mjtGeom
_MARGIN = 1  # pixels, for what rounding may add


def windows(
    model: mujoco.MjModel,
    data: mujoco.MjData,
    geoms: Sequence[NDArray[np.intp]],
    intrinsics: Intrinsics,
    camera_from_world: NDArray[np.float64],
) -> list[Box | None]:
    """For each object, a box on the canvas outside which none of its geoms can be seen.

    The canvas reaches an image's size beyond each border. None stands for objects that are not on it.

    Args:
        model, data: with current kinematics.
        geoms: for each object, the numbers of its geoms.
        intrinsics, camera_from_world: the camera.
    """
    width, height = intrinsics.width, intrinsics.height
    limits = np.array([[-width, -height], [2 * width, 2 * height]])
    counts = [len(ids) for ids in geoms]
    every = np.concatenate([np.zeros(0, np.intp), *geoms])  # those of all objects at once: there are few of each
    center, half = _bounds(model, every)
    corners = box_corners(center - half, center + half)  # (n, 8, 3) in the geoms' frames
    axes = data.geom_xmat[every].reshape(-1, 3, 3)
    seen = apply(camera_from_world, corners @ axes.swapaxes(1, 2) + data.geom_xpos[every][:, None])
    pixels = project(seen, intrinsics)
    endless = model.geom_rbound[every] == 0  # planes have no bounds
    found: list[Box | None] = []
    end = 0
    for count in counts:
        own = slice(end, end := end + count)
        z = seen[own, :, 2]
        if not count or ((z <= 0).all() and not endless[own].any()):
            found.append(None)
            continue
        if endless[own].any() or (z <= 1e-6).any():
            low, high = limits
        else:
            low = np.maximum(np.floor(pixels[own].min((0, 1))) - _MARGIN, limits[0]).astype(int)
            high = np.minimum(np.ceil(pixels[own].max((0, 1))) + _MARGIN + 1, limits[1]).astype(int)
        size = high - low
        found.append((int(low[0]), int(low[1]), int(size[0]), int(size[1])) if (size > 0).all() else None)
    return found


def _bounds(model: mujoco.MjModel, geoms: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres and half sizes (n, 3) of boxes around geoms in their own frames, m.

    Those of shapes follow their sizes, which may have changed since MuJoCo made `geom_aabb`.
    """
    center, half = model.geom_aabb[geoms, :3].copy(), model.geom_aabb[geoms, 3:].copy()
    kind, size = model.geom_type[geoms], model.geom_size[geoms]
    radius, length = size[:, :1], size[:, 1:2]
    for shapes, sides in (
        ((_GEOM.mjGEOM_BOX, _GEOM.mjGEOM_ELLIPSOID), size),
        ((_GEOM.mjGEOM_SPHERE,), np.repeat(radius, 3, 1)),
        ((_GEOM.mjGEOM_CYLINDER,), np.concatenate((radius, radius, length), 1)),
        ((_GEOM.mjGEOM_CAPSULE,), np.concatenate((radius, radius, radius + length), 1)),
    ):
        of = np.isin(kind, [int(shape) for shape in shapes])
        center[of], half[of] = 0, sides[of]
    return center, half


def pack(sizes: Sequence[tuple[int, int]], width: int, height: int) -> list[list[tuple[int, int, int]]]:
    """Packs rectangles into as few pages of (width, height) as shelves allow.

    Args:
        sizes: the width and height of each rectangle; none exceeds a page.
        width, height: a page's size.

    Returns:
        A page a list, of (rectangle, x, y).
    """
    pages: list[list[tuple[int, int, int]]] = []
    x = y = shelf = 0
    for index in sorted(range(len(sizes)), key=lambda i: (-sizes[i][1], i)):  # tall ones first
        w, h = sizes[index]
        if pages and x + w > width:
            x, y, shelf = 0, y + shelf, 0
        if not pages or y + h > height:
            pages.append([])
            x = y = shelf = 0
        pages[-1].append((index, x, y))
        x, shelf = x + w, max(shelf, h)
    return pages
