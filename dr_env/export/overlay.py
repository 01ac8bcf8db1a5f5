"""Labels drawn over an image, for eyes."""

from __future__ import annotations

import colorsys
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dr_env.export.encode import decode_runs
from dr_env.export.example import Record
from dr_env.records import Distortion
from dr_env.sensors import see
from dr_env.spatial import Intrinsics, apply

Pixels = NDArray[np.uint8]

_GOLDEN = 0.61803398875  # of the circle of hues: the next colour is far from all before
_AXES = ((230, 60, 60), (60, 200, 60), (80, 120, 255))  # x, y, z
_KEYPOINT = {1: (120, 120, 120), 2: (255, 255, 255)}  # hidden, visible
_LEAST = 0.1  # visible fraction from which poses are drawn


def class_colour(class_id: int) -> tuple[int, int, int]:
    """The colour of a class, the same in every picture."""
    red, green, blue = colorsys.hsv_to_rgb((0.02 + class_id * _GOLDEN) % 1, 0.75, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def draw_labels(rgb: Pixels, record: Record, scale: float = 1.0) -> Pixels:
    """An image with its labels: visible outlines and boxes in the colour of the class, axes of poses, keypoints.

    Args:
        rgb: (H, W, 3) at the dataset's size.
        record: the frame's labels.
        scale: the size of the picture that comes out, by the image's.
    """
    height, width = rgb.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    resized = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    image = np.array(resized, np.uint8)
    k = np.reshape(record["K"], (3, 3))
    camera = Intrinsics.from_matrix(k, width, height)
    form = record["distortion"]
    lens = Distortion(form["model"], tuple(form["coefficients"])) if form else None
    for view in record["objects"]:
        if view["pixels_visible"]:
            _outline(image, view, scale)
    for view in record["objects"]:
        if view["visible_fraction"] >= _LEAST:
            _axes(image, view, camera, lens, scale)
            for x, y, flag in view["keypoints"]:
                if flag:
                    centre = _place(x, y, scale)
                    cv2.circle(image, centre, 2, (0, 0, 0), -1, cv2.LINE_AA)
                    cv2.circle(image, centre, 1, _KEYPOINT[int(flag)], -1, cv2.LINE_AA)
    return image


def _place(x: float, y: float, scale: float) -> tuple[int, int]:
    """Where a pixel of the image, whose centres are whole numbers, is in a scaled picture."""
    return round((x + 0.5) * scale - 0.5), round((y + 0.5) * scale - 0.5)


def _outline(image: Pixels, view: dict[str, Any], scale: float) -> None:
    colour = class_colour(view["class_id"])
    mask = decode_runs(view["rle"]).astype(np.uint8)
    small = cv2.resize(mask, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_AREA)
    inside = np.asarray(small) > 0
    left, top, width, height = cv2.boundingRect(inside.astype(np.uint8))
    window = slice(top, top + height), slice(left, left + width)  # most objects cover little of an image
    part, covered = image[window], inside[window]
    part[covered] = (0.75 * part[covered] + 0.25 * np.array(colour)).astype(np.uint8)
    contours, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(image, contours, -1, colour, 1, cv2.LINE_AA)
    x, y, w, h = view["box_visible"]
    cv2.rectangle(image, _place(x, y, scale), _place(x + w - 1, y + h - 1, scale), colour, 1)


def _axes(image: Pixels, view: dict[str, Any], camera: Intrinsics, lens: Distortion | None, scale: float) -> None:
    """The axes of the object's frame, about half as long as the object is wide."""
    pose = np.reshape(view["camera_from_object"], (4, 4))
    if not view["box_amodal"]:
        return
    length = 0.4 * max(view["box_amodal"][2:]) * pose[2, 3] / camera.fx
    points = see(apply(pose, np.concatenate([np.zeros((1, 3)), length * np.eye(3)])), camera, lens)
    if not np.isfinite(points).all() or np.abs(points).max() > 1e5:
        return
    middle, *tips = (_place(x, y, scale) for x, y in points.tolist())
    for colour, tip in zip(_AXES, tips, strict=True):
        cv2.line(image, middle, tip, colour, 1, cv2.LINE_AA)
