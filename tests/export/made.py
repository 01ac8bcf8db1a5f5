"""Frames made by hand, of cubes whose images are known exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dr_env.export.catalogue import LabelClass
from dr_env.records import Draw, Frame, ObjectView, Silhouette
from dr_env.spatial import Intrinsics, axis_angle, box_corners, project, quat_to_matrix, transform

WIDTH, HEIGHT = 64, 48
LOW, HIGH = np.array([0.0, 0.0, 0.0]), np.array([0.02, 0.03, 0.04])
"""Of both classes' boxes: the origin is a corner, so that centring must move it."""
CORNERS = box_corners(LOW, HIGH)
FACES = np.array(
    [
        [0, 2, 1],
        [1, 2, 3],
        [4, 5, 6],
        [5, 7, 6],
        [0, 1, 4],
        [1, 5, 4],
        [2, 6, 3],
        [3, 6, 7],
        [0, 4, 2],
        [2, 4, 6],
        [1, 3, 5],
        [3, 7, 5],
    ],
    np.int32,
)
TURN = transform(np.diag([-1.0, -1.0, 1.0]), [0.02, 0.03, 0.0])
"""Half a turn about the box's vertical axis, in the object's frame: a symmetry."""
NAMES = tuple(f"corner_{i}" for i in range(8))
CLASSES = (
    LabelClass(2, "brick", CORNERS, FACES, NAMES, discrete=TURN[None]),
    LabelClass(
        5, "block", CORNERS, FACES, NAMES, continuous=((np.array([0.0, 0.0, 1.0]), np.array([0.01, 0.015, 0.0])),)
    ),
)
CAMERA = Intrinsics(WIDTH, HEIGHT, 80.0, 82.0, 30.25, 25.5)


def _view(instance: int, class_id: int, at: list[float], mask: NDArray[np.bool_], x: int = 0, y: int = 0) -> ObjectView:
    pose = transform(quat_to_matrix(axis_angle([1, 2, 3], 0.3 * instance)), at)
    name = {2: "brick", 5: "block"}[class_id]
    outline = Silhouette.of(mask, x, y)
    return ObjectView(instance, f"{name}_{instance}", class_id, name, pose, LOW, HIGH, outline, CORNERS, NAMES)


def frame(index: int, hidden: bool = False) -> Frame:
    """Three objects: one before another, one that leaves the image at its top left; or none that can be seen."""
    shift = index % 7
    instance = np.zeros((HEIGHT, WIDTH), np.int32)
    front, back = np.zeros((2, HEIGHT, WIDTH), bool)
    back[20:40, 10 + shift : 34 + shift] = True
    front[16:30, 20 + shift : 30 + shift] = True
    corner = np.zeros((12, 12), bool)
    corner[:10] = True
    if not hidden:
        instance[back] = 2
        instance[front] = 1
        instance[:6, :8] = 3  # the pixel (0, 0) is in a mask
    rng = np.random.default_rng(index)
    depth = np.where(instance > 0, 0.5 + 0.1 * instance, 1.2).astype(np.float32)
    depth[-4:] = 0  # nothing is seen there
    views = (
        _view(1, 2, [0.0, 0.0, 0.55], front),
        _view(2, 5, [-0.05, 0.02, 0.62], back),
        _view(3, 2, [-0.2, -0.15, 0.7], corner, -4, -4),
    )
    semantic = np.array([0, 2, 5, 2], np.int32)[instance]
    world = transform(quat_to_matrix(axis_angle([1, 0, 0.2], 2.0)), [0.1, 0.2, 0.9])
    rgb = rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return Frame(
        index, rgb, depth, instance, semantic, CAMERA, world, views, draw=Draw({"mass": 1 / 3, "light": [0.1, index]})
    )


def centre_pixel(made: Frame, i: int) -> NDArray[np.float64]:
    """Where the middle of an object's box is seen, computed without BOP."""
    return project(((LOW + HIGH) / 2)[None], made.intrinsics, made.objects[i].camera_from_object)[0]
