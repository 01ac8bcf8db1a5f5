"""From what a renderer sees to a labelled Frame: instance and semantic ids, poses, silhouettes, normals."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError
from dr_env.records import Draw, Frame, ObjectView, Silhouette
from dr_env.rendering.base import Images, Renderer
from dr_env.spatial import Intrinsics, transform

_EYE = np.eye(4)
_EYE.flags.writeable = False


@dataclass(frozen=True, eq=False)
class LabelledObject:
    """One object of a model that Frames label: which geoms it is made of, and its own frame.

    Attributes:
        name: its own name.
        class_id: the number of its class, from 1.
        class_name: the name of its class.
        body: the number of the body that carries it.
        geoms: the numbers of the geoms that show it.
        low, high: (3,) the box around it in its own frame, in metres.
        body_from_object: (4, 4) where its own frame is on the body.
        keypoints: (k, 3) in its own frame, in metres.
        keypoint_names: one a keypoint.
    """

    name: str
    class_id: int
    class_name: str
    body: int
    geoms: tuple[int, ...]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    body_from_object: NDArray[np.float64] = field(default_factory=lambda: _EYE)
    keypoints: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3)))
    keypoint_names: tuple[str, ...] = ()


def capture(
    renderer: Renderer,
    model: mujoco.MjModel,
    data: mujoco.MjData,
    camera: str | None,
    objects: Sequence[LabelledObject],
    *,
    index: int = 0,
    draw: Draw | None = None,
    normals: bool = False,
) -> Frame:
    """Renders and labels one Frame.

    Args:
        renderer: what draws.
        model, data: with current kinematics.
        camera: the camera's name; None for a free camera.
        objects: what is labelled; object i is instance i + 1.
        index: the frame's number.
        draw: the values drawn for it.
        normals: whether to add normals.
    """
    wanted = ("rgb", "depth", "geom", "normals") if normals else ("rgb", "depth", "geom")
    seen = renderer.images(model, data, camera, wanted)
    if seen.rgb is None or seen.depth is None or seen.geom is None:
        raise DREnvError(f"renderer {renderer.name!r} gave no rgb, depth or geom image")
    instance_of, class_of = np.zeros((2, model.ngeom + 1), np.int32)  # by geom; -1, nothing, is the last
    for number, item in enumerate(objects, 1):
        instance_of[list(item.geoms)] = number
        class_of[list(item.geoms)] = item.class_id
    instance = instance_of[seen.geom]
    outlines = renderer.silhouettes(model, data, [item.geoms for item in objects], camera)
    views = tuple(
        ObjectView(
            instance=number,
            name=item.name,
            class_id=item.class_id,
            class_name=item.class_name,
            camera_from_object=seen.camera_from_world @ _world_from_body(data, item.body) @ item.body_from_object,
            low=item.low,
            high=item.high,
            silhouette=_covering(outline, instance, number),
            keypoints=item.keypoints,
            keypoint_names=item.keypoint_names,
        )
        for number, (item, outline) in enumerate(zip(objects, outlines, strict=True), 1)
    )
    return Frame(
        index=index,
        rgb=seen.rgb,
        depth=seen.depth,
        instance=instance,
        semantic=class_of[seen.geom],
        intrinsics=seen.intrinsics,
        camera_from_world=seen.camera_from_world,
        objects=views,
        normals=seen.normals,
        draw=draw or Draw({}),
        provenance=renderer.provenance(),
    )


def _world_from_body(data: mujoco.MjData, body: int) -> NDArray[np.float64]:
    return transform(data.xmat[body].reshape(3, 3), data.xpos[body])


def _covering(outline: Silhouette, instance: NDArray[np.int32], number: int) -> Silhouette:
    """The outline with what is visible of the object.

    The two come from passes with different frusta, whose rounding may differ for a pixel whose centre an edge meets;
    the visible mask shall lie within the amodal one.
    """
    height, width = instance.shape
    part = outline.within(height, width)
    top, left = max(outline.y, 0), max(outline.x, 0)
    visible = instance[top : top + part.shape[0], left : left + part.shape[1]] == number
    part |= visible
    return outline


def chosen(
    wanted: Collection[str],
    intrinsics: Intrinsics,
    camera_from_world: NDArray[np.float64],
    rgb: NDArray[np.uint8] | None,
    geom: NDArray[np.int32],
    depth: NDArray[np.float32],
) -> Images:
    """The Images of the wanted kinds, from what a renderer draws of all of them."""
    return Images(
        intrinsics,
        camera_from_world,
        rgb,
        depth if "depth" in wanted else None,
        geom if "geom" in wanted else None,
        normals_from_depth(depth, geom, intrinsics) if "normals" in wanted else None,
    )


def normals_from_depth(
    depth: NDArray[np.float32], geom: NDArray[np.int32], intrinsics: Intrinsics
) -> NDArray[np.float32]:
    """Surface normals (h, w, 3) in OpenCV's camera, towards it, by differences between neighbours of the same geom.

    Where a pixel's both neighbours along an axis are of its own geom the difference is central, else one-sided; pixels
    with none have no normal: 0, as where nothing is seen.
    """
    points = intrinsics.rays() * depth[..., None]  # (h, w, 3)
    across = _difference(points, geom, 1)
    down = _difference(points, geom, 0)
    normal = np.cross(down, across)
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    return np.where(length > 0, normal / np.where(length > 0, length, 1), 0).astype(np.float32)


def _difference(points: NDArray[np.float64], geom: NDArray[np.int32], axis: int) -> NDArray[np.float64]:
    """Differences of points along an axis, towards larger indices, between pixels of the same geom."""
    step = np.diff(points, axis=axis)
    same = (np.diff(geom, axis=axis) == 0) & (np.delete(geom, -1, axis) >= 0)
    step *= same[..., None]
    pad = [(0, 0)] * 3
    after, before = list(pad), list(pad)
    after[axis], before[axis] = (0, 1), (1, 0)
    return np.asarray(np.pad(step, after) + np.pad(step, before))
