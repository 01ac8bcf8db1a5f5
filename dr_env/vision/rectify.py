"""Pictures taken through a known lens, as a pinhole camera of the same matrix would have taken them."""

from __future__ import annotations

import functools
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError, unknown_name
from dr_env.records import Distortion
from dr_env.spatial import Array, Intrinsics
from dr_env.vision.samples import FloatBox

_EDGE = np.linspace(0, 1, 9)
_LENSES = {"brown_conrady": (4, 5), "kannala_brandt": (4,)}  # how many coefficients

Pixel = TypeVar("Pixel", np.uint8, np.float32)
Maps = tuple[NDArray[Any], NDArray[Any]]


def rectified(image: NDArray[Pixel], camera: Intrinsics, lens: Distortion, blend: bool = True) -> NDArray[Pixel]:
    """The picture (h, w) or (h, w, 3) without the lens; what the lens did not show is the nearest border's colour.

    Args:
        image: as taken.
        camera: its matrix.
        lens: what it went through.
        blend: between pixels; masks and depth take the nearest.
    """
    ways = cv2.INTER_LINEAR if blend else cv2.INTER_NEAREST
    border = cv2.BORDER_REPLICATE if blend else cv2.BORDER_CONSTANT
    return np.asarray(cv2.remap(image, *_maps(camera, lens), ways, borderMode=border), image.dtype)


def rectified_box(box: FloatBox, camera: Intrinsics, lens: Distortion) -> FloatBox:
    """The box around what a box's edges become without the lens; such as cannot be told are left out."""
    x, y, width, height = box
    ends = np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]]) - 0.5  # pixels' edges
    points = np.concatenate([a + _EDGE[:, None] * (b - a) for a, b in zip(ends, np.roll(ends, -1, 0), strict=True)])
    straight = _undistorted(points, camera, lens) + 0.5
    low, high = np.nanmin(straight, axis=0), np.nanmax(straight, axis=0)
    return float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])


@functools.lru_cache(8)
def _maps(camera: Intrinsics, lens: Distortion) -> Maps:
    """For each pixel of the pinhole picture, where to look in the one that was taken."""
    size = (camera.width, camera.height)
    if _checked(lens) == "kannala_brandt":
        made = cv2.fisheye.initUndistortRectifyMap(camera.K, _numbers(lens), np.eye(3), camera.K, size, cv2.CV_32FC1)
    else:
        made = cv2.initUndistortRectifyMap(camera.K, _numbers(lens), np.eye(3), camera.K, size, cv2.CV_32FC1)
    return made[0], made[1]


def _undistorted(points: Array, camera: Intrinsics, lens: Distortion) -> Array:
    """Pixels (n, 2) without the lens."""
    undo = cv2.fisheye.undistortPoints if _checked(lens) == "kannala_brandt" else cv2.undistortPoints
    return np.asarray(undo(points[:, None], camera.K, _numbers(lens), P=camera.K), np.float64)[:, 0]


def _numbers(lens: Distortion) -> Array:
    return np.array(lens.coefficients, np.float64)


def _checked(lens: Distortion) -> str:
    """The lens's model, which must be one of OpenCV's, with its coefficients."""
    if lens.model not in _LENSES:
        raise DREnvError(f"distortion: {unknown_name('lens', lens.model, _LENSES, 'lenses')}")
    if len(lens.coefficients) not in _LENSES[lens.model]:
        wanted = " or ".join(map(str, _LENSES[lens.model]))
        raise DREnvError(f"distortion: {lens.model}: got {len(lens.coefficients)} coefficients, expected {wanted}")
    return lens.model
