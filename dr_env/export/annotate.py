"""What a Frame says about each of its objects: boxes, masks, visibility, projected corners and keypoints."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dr_env.export.keypoints import KeypointState, keypoint_states
from dr_env.records import Box, Frame, ObjectView, Silhouette
from dr_env.sensors import see
from dr_env.spatial import Array, apply, box_corners


@dataclass(frozen=True, eq=False)
class ObjectLabels:
    """The labels of one object in one Frame. Boxes and counts are in pixels, fractions of the whole silhouette.

    Of an object's silhouette a part is visible, a part hidden by something before it (occluded) and a part outside
    the image (truncated): the three fractions sum to 1, or are all 0 for an object that is not in view at all.

    Attributes:
        view: which object, and its pose.
        visible: its visible mask.
        box_visible: the box around the visible mask; None when nothing of it is visible.
        box_amodal: the box around the whole silhouette, which may reach out of the image; None when out of view.
        px_all: pixels of the silhouette, outside the image as well (BOP's px_count_all).
        px_inside: of those, pixels in the image.
        px_valid: of those, pixels whose depth is stored (BOP's px_count_valid).
        px_visible: visible pixels (BOP's px_count_visib).
        corners: (8, 3) the corners of its box in the camera, in metres; see `spatial.box_corners` for their order.
        corner_pixels: (8, 2) where they are seen; nan behind the camera.
        keypoint_pixels: (k, 2) where its keypoints are seen; nan behind the camera.
        keypoint_states: (k,) int8 of `KeypointState`.
    """

    view: ObjectView
    visible: Silhouette
    box_visible: Box | None
    box_amodal: Box | None
    px_all: int
    px_inside: int
    px_valid: int
    px_visible: int
    corners: Array
    corner_pixels: Array
    keypoint_pixels: Array
    keypoint_states: NDArray[np.int8]

    @property
    def visible_fraction(self) -> float:
        """The part of the silhouette that is visible; BOP's visib_fract."""
        return self.px_visible / self.px_all if self.px_all else 0.0

    @property
    def occluded_fraction(self) -> float:
        """The part of the silhouette that is in the image and hidden."""
        return (self.px_inside - self.px_visible) / self.px_all if self.px_all else 0.0

    @property
    def truncated_fraction(self) -> float:
        """The part of the silhouette that is outside the image."""
        return (self.px_all - self.px_inside) / self.px_all if self.px_all else 0.0

    @property
    def coco_visibility(self) -> NDArray[np.int8]:
        """COCO's flag of each keypoint, (k,): 0 out of the image, 1 hidden, 2 visible."""
        return _COCO[self.keypoint_states]


_COCO = np.zeros(len(KeypointState), np.int8)
_COCO[[KeypointState.OCCLUDED, KeypointState.SELF_OCCLUDED]] = 1
_COCO[KeypointState.VISIBLE] = 2


def annotate(frame: Frame, reach: float = math.inf) -> tuple[ObjectLabels, ...]:
    """The labels of every object of a Frame, seen or not, in the order of `Frame.objects`.

    Args:
        frame: what is seen.
        reach: metres beyond which the depth image says nothing.
    """
    views = frame.objects
    if not views:
        return ()
    corners = [apply(view.camera_from_object, box_corners(view.low, view.high)) for view in views]
    keypoints = [apply(view.camera_from_object, view.keypoints) for view in views]
    # points of all objects at once: there are few of each
    ends = np.cumsum([len(points) for points in keypoints])
    every = np.concatenate(keypoints)
    pixels = see(every, frame.intrinsics, frame.distortion)
    of = np.repeat(np.arange(len(views)), [len(points) for points in keypoints])
    numbers = np.array([view.instance for view in views])[of]
    tolerances = np.array([_tolerance(view) for view in views])[of]
    states = keypoint_states(pixels, every[:, 2], frame.depth, frame.instance, numbers, tolerances)
    seen = zip(
        corners,
        see(np.array(corners), frame.intrinsics, frame.distortion),
        np.split(pixels, ends[:-1]),
        np.split(states, ends[:-1]),
        strict=True,
    )
    return tuple(_label(frame, reach, view, *points) for view, points in zip(views, seen, strict=True))


def _label(
    frame: Frame,
    reach: float,
    view: ObjectView,
    corners: Array,
    corner_pixels: Array,
    keypoint_pixels: Array,
    states: NDArray[np.int8],
) -> ObjectLabels:
    height, width = frame.instance.shape
    outline = view.silhouette
    inside = outline.within(height, width)
    # what is visible lies within the silhouette, so nothing else need be looked at
    left, top = max(outline.x, 0), max(outline.y, 0)
    window = slice(top, top + inside.shape[0]), slice(left, left + inside.shape[1])
    visible = Silhouette.of(frame.instance[window] == view.instance, left, top)
    return ObjectLabels(
        view=view,
        visible=visible,
        box_visible=visible.box,
        box_amodal=outline.box,
        px_all=outline.count,
        px_inside=int(np.count_nonzero(inside)),
        px_valid=int(np.count_nonzero(inside & (frame.depth[window] > 0) & (frame.depth[window] < reach))),
        px_visible=visible.count,
        corners=corners,
        corner_pixels=corner_pixels,
        keypoint_pixels=keypoint_pixels,
        keypoint_states=states,
    )


def _tolerance(view: ObjectView) -> float:
    """How far behind the surface a keypoint may lie and still be on it: 2 % of the object's diagonal."""
    return 0.02 * float(np.linalg.norm(view.high - view.low))
