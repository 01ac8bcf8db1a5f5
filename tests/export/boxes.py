"""Frames of boxes on a floor whose labels are computed ray by ray, without a renderer."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from dr_env.export.catalogue import Catalogue, LabelClass, catalogue
from dr_env.records import Frame, ObjectView, Silhouette
from dr_env.rng import generator
from dr_env.sensors.optics import blur, disc_kernel
from dr_env.spatial import Array, Intrinsics, apply, inverse, quat_to_matrix, transform

SIZES = {1: (0.05, 0.04, 0.03), 2: (0.09, 0.03, 0.02), 3: (0.03, 0.03, 0.06)}  # half sides in m, by class
NAMES = {1: "brick", 2: "bar", 3: "post"}
SHIFT = np.array([0.01, -0.02, 0.005])  # the middle of a box in its object's frame
CAMERA = Intrinsics.from_fovy(96, 72, 40.0)
_FACES = np.array(
    [[0, 2, 1], [1, 2, 3], [4, 5, 6], [5, 7, 6], [0, 1, 4], [1, 5, 4], [2, 6, 3], [3, 6, 7], [0, 4, 2], [2, 4, 6],
     [1, 3, 5], [3, 7, 5]], np.int32
)  # fmt: skip


def box_classes() -> Catalogue:
    """The classes of the boxes, each with keypoints at two corners."""
    corners = np.array([[x, y, z] for z, y, x in itertools.product((-1, 1), repeat=3)], float)
    flips = np.stack([transform(np.diag(signs), np.zeros(3)) for signs in ((1.0, -1, -1), (-1, 1, -1), (-1, -1, 1))])
    about = transform(np.eye(3), SHIFT)
    symmetries = about @ flips @ inverse(about)
    return catalogue(
        LabelClass(k, NAMES[k], corners * half + SHIFT, _FACES, ("low", "high"), discrete=symmetries)
        for k, half in SIZES.items()
    )


def _hit(rays: Array, pose: Array, half: tuple[float, ...]) -> Array:
    """Depth along z at which rays (h, w, 3), with z = 1, meet a box; infinity where they miss (slabs)."""
    local = inverse(pose @ transform(np.eye(3), SHIFT))
    start, along = local[:3, 3], rays @ local[:3, :3].T
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = (-np.array(half) - start) / along, (np.array(half) - start) / along
    near, far = np.minimum(a, b).max(-1), np.maximum(a, b).min(-1)
    return np.where((near < far) & (near > 0), near, np.inf)


def box_frame(index: int, camera: Intrinsics = CAMERA) -> Frame:
    """Six boxes that hide each other, some of them leaving the image, before a wall."""
    draw = generator("boxes", index)
    turn = quat_to_matrix([0.9, 0.35, 0.1 * (index % 3), 0.05])
    camera_from_world = transform(turn, [0.02, 0.03, 0.6])
    poses, kinds = [], []
    for i in range(6):
        place = np.append(draw.uniform(-0.22, 0.22, 2), 0.02 + 0.02 * i)
        poses.append(camera_from_world @ transform(quat_to_matrix(draw.standard_normal(4)), place))
        kinds.append(1 + i % 3)
    width, height = camera.width, camera.height
    wide = camera.window(-width, -height, 3 * width, 3 * height)
    hits = np.stack([_hit(wide.rays(), pose, SIZES[kind]) for pose, kind in zip(poses, kinds, strict=True)])
    middle = hits[:, height : 2 * height, width : 2 * width]
    nearest = middle.min(0)
    wall = np.full((height, width), 1.2)
    seen = nearest < wall
    instance = np.where(seen, middle.argmin(0) + 1, 0).astype(np.int32)
    semantic = np.concatenate([[0], kinds])[instance].astype(np.int32)
    rgb = (40 + 30 * instance[..., None] % np.array([200, 170, 140])).astype(np.uint8)
    objects = tuple(
        ObjectView(
            i + 1, f"box{i}", kind, NAMES[kind], pose, SHIFT - SIZES[kind], SHIFT + SIZES[kind],
            Silhouette.of(np.isfinite(hits[i]), -width, -height),
            np.stack([SHIFT - SIZES[kind], SHIFT + SIZES[kind]]), ("low", "high"),
        )
        for i, (kind, pose) in enumerate(zip(kinds, poses, strict=True))
    )  # fmt: skip
    frame = Frame(
        index,
        rgb,
        np.where(seen, nearest, wall).astype(np.float32),
        instance,
        semantic,
        camera,
        camera_from_world,
        objects,
    )
    return dataclasses.replace(frame, sensed_rgb=blur(rgb, disc_kernel(2.0)))


def keypoints_in_camera(frame: Frame) -> list[Array]:
    """The keypoints (2, 3) of each object, in the camera."""
    return [apply(view.camera_from_object, view.keypoints) for view in frame.objects]
