"""The task's own loss, quickly: how well what is learned from rendered frames finds objects in labelled images."""

from __future__ import annotations

import numpy as np

from dr_env.spatial import Array

_PENALTIES = np.logspace(-3, 4, 22)  # of ridge regression, times the number of frames
_LEAST = 8  # frames to learn from


def probe_loss(features: Array, positions: Array, wanted: Array, truth: Array) -> float:
    """The squared error of positions in labelled images, over that of always saying the labels' mean.

    A linear head is learned on the features of rendered frames by ridge regression, in closed form, with the penalty
    that leaves the least error on frames left out (generalised cross-validation: Golub, Heath, Wahba, Technometrics
    1979). On an estimator's own features this is its last layer trained anew.

    Args:
        features: (n, d) of rendered frames.
        positions: (n, 3) m, of an object in them; NaN where it is not seen.
        wanted: (k, d) features of labelled images.
        truth: (k, 3) m, the object's positions there.

    Returns:
        0 for perfect, 1 for what knows the labels' mean alone; NaN where too few frames show the object.
    """
    shown = np.isfinite(positions).all(axis=1) & np.isfinite(features).all(axis=1)
    x, y = features[shown], positions[shown]
    if len(x) < _LEAST or len(truth) < 2:
        return float("nan")
    std = x.std(axis=0)
    kept = std > 1e-9 * np.maximum(np.abs(x).max(axis=0), 1.0)
    middle, mean = x[:, kept].mean(axis=0), y.mean(axis=0)
    u, s, vt = np.linalg.svd((x[:, kept] - middle) / std[kept], full_matrices=False)
    along = u.T @ (y - mean)  # (r, 3)
    errors = []
    for penalty in _PENALTIES * len(x):
        kept_share = s**2 / (s**2 + penalty)
        residual = y - mean - u @ (kept_share[:, None] * along)
        free = 1 - (1 + kept_share.sum()) / len(x)  # the mean was learned as well
        errors.append(float((residual**2).mean()) / max(free, 1e-3) ** 2)
    penalty = _PENALTIES[int(np.argmin(errors))] * len(x)
    weights = vt.T @ ((s / (s**2 + penalty))[:, None] * along)
    found = (wanted[:, kept] - middle) / std[kept] @ weights + mean
    spread = float(((truth - truth.mean(axis=0)) ** 2).sum(axis=1).mean())
    return float(((found - truth) ** 2).sum(axis=1).mean()) / max(spread, 1e-12)
