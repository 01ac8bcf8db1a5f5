"""Square cut-outs of images about boxes, and where each pixel has gone."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from dr_env.spatial import Array
from dr_env.vision.samples import FloatBox


def window(box: FloatBox, padding: float) -> FloatBox:
    """The square about a box's middle, `padding` times its longer side."""
    x, y, width, height = box
    side = padding * max(width, height, 1.0)
    return x + width / 2 - side / 2, y + height / 2 - side / 2, side, side


def cut(image: NDArray[np.uint8], square: FloatBox, size: int) -> NDArray[np.uint8]:
    """What lies in a square, as an image (size, size, 3); black where it reaches out of the image.

    Args:
        image: (h, w, 3).
        square: x, y, side, side in pixels; x = 0 is the left edge of the image's first column.
        size: pixels.
    """
    factor = size / square[2]
    x, y = square[:2]
    if factor < 1:  # averages what falls together, so that nothing flickers
        height, width = image.shape[:2]
        small = max(1, round(width * factor)), max(1, round(height * factor))
        image = np.asarray(cv2.resize(image, small, interpolation=cv2.INTER_AREA), np.uint8)
        sx, sy = small[0] / width, small[1] / height
    else:
        sx = sy = 1.0
    # from the cut-out's pixels to the image's, by middles of pixels
    step_x, step_y = sx / factor, sy / factor
    back = np.array([[step_x, 0, (x * sx) + step_x / 2 - 0.5], [0, step_y, (y * sy) + step_y / 2 - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(image, back, (size, size), flags=flags), np.uint8)


def place_in(square: FloatBox) -> Array:
    """The affine map (2, 3) from an image's pixels, by their middles, to places in a square with edges at -1 and 1."""
    x, y, side, _ = square
    scale = 2 / side
    return np.array([[scale, 0, (0.5 - x - side / 2) * scale], [0, scale, (0.5 - y - side / 2) * scale]])


def move(affine: Array, points: Array) -> Array:
    """Points (..., n, 2) moved by affine maps (..., 2, 3)."""
    return np.asarray(points @ np.swapaxes(affine[..., :2], -1, -2) + affine[..., None, :, 2])


def undo(affine: Array) -> Array:
    """The inverse (2, 3) of an affine map (2, 3)."""
    linear = np.linalg.inv(affine[:, :2])
    return np.column_stack([linear, -linear @ affine[:, 2]])
