"""Keypoints of a mesh: points on it that are as far from each other as they can be."""

from __future__ import annotations

import numpy as np

from dr_env.spatial import Array
from dr_env.vision.samples import ObjectModel


def farthest_points(model: ObjectModel, count: int) -> Array:
    """Points on a mesh (count, 3) m, by farthest point sampling, as PVNet does (Peng et al., CVPR 2019, section 3.1).

    Vertices are taken; a mesh with few of them lends the middles of its edges and faces too. The first point is the
    one farthest from the origin, and of several equally far the first one counts, so it is always the same.

    Args:
        model: whose mesh.
        count: how many.
    """
    points = np.unique(model.vertices.round(9), axis=0)
    if len(points) < 4 * count:
        corners = model.vertices[model.faces]  # (F, 3, 3)
        middles = (corners + np.roll(corners, 1, axis=1)) / 2
        more = np.unique(np.concatenate([middles.reshape(-1, 3), corners.mean(1)]).round(9), axis=0)
        points = np.concatenate([points, more])
    chosen = [int(np.linalg.norm(points, axis=1).argmax())]
    distance = np.linalg.norm(points - points[chosen[0]], axis=1)
    while len(chosen) < count:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return points[chosen]
