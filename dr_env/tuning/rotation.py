"""Differences of orientations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def rotation_between(a: Array, b: Array) -> Array:
    """Rotation vectors r (..., 3) in b's frame with b * quat(r) = a (`mju_subQuat`), for quaternions of any length."""
    aw, av = a[..., :1], a[..., 1:]
    bw, bv = b[..., :1], b[..., 1:]
    # conjugate(b) * a
    w = (bw * aw + (bv * av).sum(-1, keepdims=True))[..., 0]
    v = bw * av - aw * bv - np.cross(bv, av)
    sine = np.linalg.norm(v, axis=-1)
    angle = 2 * np.arctan2(sine, np.abs(w)) * np.where(w < 0, -1.0, 1.0)
    factor = np.divide(angle, sine, out=np.full_like(sine, 2.0), where=sine > 0)
    return np.asarray(v * factor[..., None])
