"""Recalls of pose estimates, as BOP counts them: which true objects have an estimate that is near enough."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dr_env.evaluation.pose import TAUS
from dr_env.spatial import Array

Bools = NDArray[np.bool_]

MSSD_BOUNDS: Array = TAUS
"""BOP 2019's thresholds of MSSD, in diameters."""
MSPD_BOUNDS: Array = np.arange(1, 11, dtype=np.float64) * 5
"""BOP 2019's thresholds of MSPD, in pixels of an image `MSPD_WIDTH` wide; they grow with the image."""
MSPD_WIDTH = 640
VSD_BOUNDS: Array = TAUS
"""BOP 2019's thresholds of VSD, at each of its ten tolerances."""
AUC_LIMIT = 0.1
"""Metres up to which the area under ADD's recall is taken (Xiang et al., "PoseCNN", RSS 2018)."""
LEAST_VISIBLE = 0.1
"""Visible fraction from which an object is a target, as in BOP 2019."""


def matched(errors: ArrayLike, scores: ArrayLike, bounds: ArrayLike) -> Bools:
    """Which true objects of one class in one image are found, at each threshold.

    The estimates with the highest scores, as many as there are true objects, take one after another the nearest true
    object that is still free and nearer than the threshold.

    Args:
        errors: (E, N) of each estimate to each true object.
        scores: (E,) confidences; of equal ones the first comes first.
        bounds: (T,) thresholds.

    Returns:
        (N, T).
    """
    limits = np.asarray(bounds, np.float64)
    table = np.asarray(errors, np.float64)
    found = np.zeros((table.shape[1], len(limits)), bool)
    for estimate in _best(scores, table.shape[1]):
        left = np.where(found, np.inf, table[estimate][:, None])  # (N, T)
        nearest = left.argmin(0)
        near = left[nearest, np.arange(len(limits))] < limits
        found[nearest[near], near] = True
    return found


def assigned(errors: ArrayLike, scores: ArrayLike) -> NDArray[np.intp]:
    """The estimate (N,) of each true object, -1 where there is none; as `matched`, without a threshold.

    Args:
        errors: (E, N).
        scores: (E,).
    """
    table = np.asarray(errors, np.float64)
    taken = np.full(table.shape[1], -1, np.intp)
    for estimate in _best(scores, table.shape[1]):
        free = np.flatnonzero(taken < 0)
        taken[free[table[estimate, free].argmin()]] = estimate
    return taken


def area(errors: ArrayLike, limit: float = AUC_LIMIT) -> Array:
    """What each error (n,) adds to the area under the recall up to `limit`; their mean is the area, 0 to 1."""
    return np.clip(1 - np.asarray(errors, np.float64) / limit, 0, 1)


def _best(scores: ArrayLike, count: int) -> list[int]:
    order: list[int] = np.argsort(-np.asarray(scores, np.float64), kind="stable")[:count].tolist()
    return order
