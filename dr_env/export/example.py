"""A frame on its way to disk: its labels as plain data, and its images as bytes that several formats share."""

from __future__ import annotations

import functools
import json
import math
from typing import Any

from dr_env.export import encode
from dr_env.export.annotate import ObjectLabels, annotate
from dr_env.export.layout import Layout
from dr_env.export.outlines import encode_outline
from dr_env.records import Frame

Record = dict[str, Any]
"""What a dataset keeps of a frame apart from its images: a line of `frames/SHARD.jsonl`."""


View = dict[str, Any]
"""What a record says of one object."""


class Example:
    """One frame with its labels; images are encoded once, when a format first asks for them.

    Args:
        frame: the frame.
        layout: where it stands.
        reach: metres beyond which its depth image says nothing.
    """

    def __init__(self, frame: Frame, layout: Layout, reach: float = encode.DEPTH_REACH) -> None:
        self.frame = frame
        self.layout = layout
        self.labels = annotate(frame, reach)

    @functools.cached_property
    def rgb(self) -> bytes:
        """The colour image as a camera gives it."""
        image = self.frame.rgb if self.frame.sensed_rgb is None else self.frame.sensed_rgb
        return encode.encode_rgb(image, self.layout.suffix)

    @functools.cached_property
    def depth(self) -> bytes:
        """The true depth."""
        return encode.encode_depth(self.frame.depth)

    @functools.cached_property
    def mask_images(self) -> list[tuple[bytes, bytes]]:
        """The amodal and the visible mask of each object as images."""
        return [_masks(label, *self.frame.instance.shape) for label in self.labels]

    @functools.cached_property
    def views(self) -> list[View]:
        """The labels of each object as plain data: lengths in metres, boxes as x, y and counts of pixels."""
        return [_plain(label) for label in self.labels]

    @functools.cached_property
    def camera(self) -> Record:
        """The camera as plain data, with the frame's number."""
        frame = self.frame
        lens = frame.distortion
        return {
            "frame": frame.index,
            "K": frame.intrinsics.K.reshape(-1).tolist(),
            "camera_from_world": frame.camera_from_world.reshape(-1).tolist(),
            "distortion": None if lens is None else {"model": lens.model, "coefficients": list(lens.coefficients)},
        }

    @functools.cached_property
    def record(self) -> Record:
        """The labels as plain data, with visible masks as run lengths."""
        frame = self.frame
        masks = (encode.compressed_runs(label.visible, *frame.instance.shape) for label in self.labels)
        return {
            **self.camera,
            "draw": json.loads(frame.draw.to_json()),
            "objects": [{**view, "rle": rle} for view, rle in zip(self.views, masks, strict=True)],
        }


def _masks(label: ObjectLabels, height: int, width: int) -> tuple[bytes, bytes]:
    """The amodal and the visible mask as images; most objects hide behind nothing, and have one for both."""
    whole = encode_outline(label.view.silhouette, height, width)
    same = label.px_visible == label.px_all  # what is visible lies within the silhouette
    return whole, whole if same else encode_outline(label.visible, height, width)


def _plain(label: ObjectLabels) -> View:
    view = label.view
    points = zip(label.keypoint_pixels.tolist(), label.coco_visibility.tolist(), strict=True)
    return {
        "instance": view.instance,
        "name": view.name,
        "class_id": view.class_id,
        "class": view.class_name,
        "camera_from_object": view.camera_from_object.reshape(-1).tolist(),
        "box_amodal": label.box_amodal,
        "box_visible": label.box_visible,
        "pixels_all": label.px_all,
        "pixels_valid": label.px_valid,
        "pixels_visible": label.px_visible,
        "visible_fraction": label.visible_fraction,
        "occluded_fraction": label.occluded_fraction,
        "truncated_fraction": label.truncated_fraction,
        # JSON has no nan: a keypoint behind the camera is nowhere
        "keypoints": [[x, y, v] if math.isfinite(x) else [0.0, 0.0, 0] for (x, y), v in points],
    }
