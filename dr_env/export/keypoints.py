"""Whether a keypoint is seen, and if not, why."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from dr_env.spatial import Array

_STEPS = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), -1).reshape(-1, 2)
_MIDDLE = 4  # of the nine


class KeypointState(IntEnum):
    """Whether a keypoint is seen, and if not, why."""

    TRUNCATED = 0
    """Outside the image, or behind the camera."""
    OCCLUDED = 1
    """Behind something else."""
    SELF_OCCLUDED = 2
    """Behind its own object."""
    VISIBLE = 3


def keypoint_states(
    pixels: Array,
    z: Array,
    depth: NDArray[np.float32],
    instance: NDArray[np.int32],
    number: int | NDArray[np.int_],
    tolerance: float | Array,
) -> NDArray[np.int8]:
    """The `KeypointState` of each keypoint (k,).

    A keypoint is seen where its own object is, in its pixel or one of the eight next to it, at its depth or behind: at
    an object's edge the pixel itself may show either side of it. Where none of the nine is its object's (a tip between
    pixels' centres) it is seen unless its pixel shows something nearer. The nearest surface of the nine says what hides
    it. Nearer is by more than `tolerance`.

    Args:
        pixels: (k, 2) where the keypoints project to; nan behind the camera.
        z: (k,) their depths in metres.
        depth: (h, w) in metres; 0 where nothing is seen.
        instance: (h, w) ids.
        number: their own object's id, or (k,) of each.
        tolerance: in metres, or (k,).
    """
    number, tolerance = np.broadcast_to(number, len(pixels)), np.broadcast_to(tolerance, len(pixels))
    height, width = depth.shape
    states = np.full(len(pixels), KeypointState.TRUNCATED, np.int8)
    known = np.isfinite(pixels).all(1)
    near = np.zeros((len(pixels), 2), np.int64)
    near[known] = np.floor(np.clip(pixels[known], -2, max(height, width) + 2) + 0.5).astype(np.int64)
    seen = known & (near >= 0).all(1) & (near < [width, height]).all(1)
    around = near[seen, None] + _STEPS  # (n, 9, 2)
    columns = np.clip(around[..., 0], 0, width - 1)
    rows = np.clip(around[..., 1], 0, height - 1)
    surface = np.where(depth[rows, columns] > 0, depth[rows, columns], np.inf)  # (n, 9)
    nearer = surface < (z - tolerance)[seen, None]
    own = instance[rows, columns] == number[seen, None]
    hidden = np.where(own.any(1), ~(own & ~nearer).any(1), nearer[:, _MIDDLE])
    nearest = np.take_along_axis(instance[rows, columns], surface.argmin(1)[:, None], 1)[:, 0]
    why = np.where(nearest == number[seen], KeypointState.SELF_OCCLUDED, KeypointState.OCCLUDED)
    states[seen] = np.where(hidden, why, KeypointState.VISIBLE)
    return states
