"""An object's pose from where its keypoints are seen (PnP), each with a confidence of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from scipy.optimize import least_squares

from dr_env.spatial import Array, Intrinsics, project, transform
from dr_env.vision.samples import FloatBox

_FEW = 4  # correspondences below which there is no pose
_ROUNDS = 200  # of RANSAC, at most
_REFINEMENTS = 2
_EDGE = 1.5  # weight of an edge of a box, of a sure keypoint's


def solve(
    points: Array,
    pixels: Array,
    confidence: Array,
    intrinsics: Intrinsics,
    tolerance: float,
    outline: tuple[Array, FloatBox] | None = None,
) -> Array | None:
    """The pose camera_from_object (4, 4) m that shows points at pixels; None where there is none.

    RANSAC over EPnP (Lepetit, Moreno-Noguer, Fua, IJCV 2009) finds it, and the least squares of reprojections, weighted
    by confidence, of those that agree refines it.

    The less sure keypoints are, the nearer to the object's middle they are seen, so that objects seem small and far
    away. The box that they are sought in knows better: it is around what is visible of an outline, so none of its edges
    lies outside the outline's.

    Args:
        points: (k, 3) m, in the object's frame.
        pixels: (k, 2) where they are seen.
        confidence: (k,) from 0, for never mind, to 1.
        intrinsics: the camera.
        tolerance: pixels by which a keypoint may be off and still count.
        outline: points (n, 3) m that the outline's box is that of, and a box (x, y, w, h) that it holds; or None.
    """
    # the least certain ones can but mislead; of even the least certain pose as many as a pose needs are taken
    order = np.argsort(-confidence, kind="stable")
    used = order[: max(2 * _FEW, int((confidence > 0.3 * confidence.max(initial=0)).sum()))]
    if len(used) < _FEW or not np.isfinite(pixels[used]).all():
        return None
    some, seen = np.ascontiguousarray(points[used]), np.ascontiguousarray(pixels[used])
    found = _first(some, seen, intrinsics, tolerance)
    if found is None:
        return None
    for _ in range(_REFINEMENTS):
        off = np.linalg.norm(_seen(found, some, intrinsics) - seen, axis=-1)
        # at least as many as a pose needs, then those that agree with it
        kept = np.flatnonzero(off <= max(tolerance, np.sort(off)[_FEW - 1]))
        weights = np.sqrt(confidence[used][kept])[:, None] / tolerance
        told = some[kept], seen[kept], weights, intrinsics, outline, _EDGE / tolerance
        best = least_squares(_residuals, found, args=told, max_nfev=30)
        found = np.asarray(best.x)
    pose = transform(cv2.Rodrigues(found[:3])[0], found[3:])
    if not (np.isfinite(pose).all() and pose[2, 3] > 0):
        return None
    return pose if np.ptp(_seen(found, points, intrinsics), axis=0).max() >= 1 else None  # smaller than a pixel: lost


def _seen(x: Array, points: Array, intrinsics: Intrinsics) -> Array:
    """Where a rotation vector and a translation (6,) show points; those behind the camera far away."""
    moved = points @ cv2.Rodrigues(x[:3])[0].T + x[3:]
    moved[:, 2] = np.maximum(moved[:, 2], 1e-3)
    return project(moved, intrinsics)


def _residuals(
    x: Array,
    points: Array,
    pixels: Array,
    weights: Array,
    intrinsics: Intrinsics,
    outline: tuple[Array, FloatBox] | None,
    edge: float,
) -> Array:
    reprojections = ((_seen(x, points, intrinsics) - pixels) * weights).ravel()
    if outline is None:
        return np.asarray(reprojections)
    return np.concatenate([reprojections, edge * _beyond(x, *outline, intrinsics)])


def _beyond(x: Array, corners: Array, box: FloatBox, intrinsics: Intrinsics) -> Array:
    """Pixels (4,) by which each edge of a box lies outside the box of the outline."""
    left, top, width, height = box
    seen = _seen(x, corners, intrinsics)
    low, high = seen.min(axis=0), seen.max(axis=0) + 1  # middles of pixels are at whole numbers
    beyond = np.concatenate((low - [left, top], np.array([left + width, top + height]) - high))
    return np.asarray(np.maximum(beyond, 0.0))


def _first(points: Array, pixels: Array, intrinsics: Intrinsics, tolerance: float) -> Array | None:
    """A rotation vector and a translation (6,) to start from."""
    tries: tuple[Callable[[], tuple[Any, ...]], ...] = (
        lambda: cv2.solvePnPRansac(
            points, pixels, intrinsics.K, None, flags=cv2.SOLVEPNP_EPNP, reprojectionError=tolerance,
            iterationsCount=_ROUNDS,
        )[:3],
        lambda: cv2.solvePnP(points, pixels, intrinsics.K, None, flags=cv2.SOLVEPNP_SQPNP),
    )  # fmt: skip
    for attempt in tries:
        try:
            done, rotation, translation = attempt()
        except cv2.error:  # too few points agree
            continue
        x = np.concatenate([np.ravel(rotation), np.ravel(translation)]) if done else np.full(6, np.nan)
        if np.isfinite(x).all() and x[5] > 0:
            return x
    return None
