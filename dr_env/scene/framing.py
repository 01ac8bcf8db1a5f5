"""What a camera sees of objects, by casting rays; no renderer needed."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env.scene.mesh import Mesh
from dr_env.scene.pool import PARKED, PIECES

Array = NDArray[np.float64]

_POINTS = 96
_TOUCH = 0.002  # m between a point of a surface and where a ray meets it


@dataclasses.dataclass(frozen=True, eq=False)
class Lens:
    """A camera as it stands: where it is and what it sees.

    Args:
        position: (3,) m.
        rotation: (3, 3) its frame in the world; it looks along -z.
        edges: left, right, bottom and top border at distance 1.
    """

    position: Array
    rotation: Array
    edges: tuple[float, float, float, float]

    @classmethod
    def of(cls, model: mujoco.MjModel, data: mujoco.MjData, camera: int, aspect: float) -> Lens:
        """A model's camera, for images `aspect` times as wide as high."""
        width, height = (float(size) for size in model.cam_sensorsize[camera])
        if width > 0 and height > 0:
            fx, fy, cx, cy = (float(value) for value in model.cam_intrinsic[camera])
            edges = (-(width / 2 - cx) / fx, (width / 2 + cx) / fx, -(height / 2 + cy) / fy, (height / 2 - cy) / fy)
        else:
            top = float(np.tan(np.radians(model.cam_fovy[camera]) / 2))
            edges = (-top * aspect, top * aspect, -top, top)
        return cls(data.cam_xpos[camera].copy(), data.cam_xmat[camera].reshape(3, 3).copy(), edges)

    def inside(self, points: Array) -> NDArray[np.bool_]:
        """Which points (n, 3) of the world are within the borders."""
        local = (points - self.position) @ self.rotation
        depth = np.maximum(-local[:, 2], 1e-9)
        left, right, bottom, top = self.edges
        x, y = local[:, 0] / depth, local[:, 1] / depth
        return np.asarray((local[:, 2] < 0) & (x >= left) & (x <= right) & (y >= bottom) & (y <= top))

    def point(self, across: float, up: float, depth: float) -> Array:
        """The point (3,) of the world at shares 0 .. 1 across and up the image, `depth` m away along the axis."""
        left, right, bottom, top = self.edges
        x, y = left + across * (right - left), bottom + up * (top - bottom)
        return np.asarray(self.position + self.rotation @ (depth * np.array([x, y, -1.0])))


@dataclasses.dataclass(frozen=True, eq=False)
class Samples:
    """Points spread over a surface: (n, 3) m, their normals (n, 3), each for the same area."""

    points: Array
    normals: Array

    @classmethod
    def of(cls, mesh: Mesh, count: int = _POINTS) -> Samples:
        """Points of a mesh, always the same ones."""
        a, b, c = (mesh.vertices[mesh.faces[:, i]] for i in range(3))
        cross = np.cross(b - a, c - a)
        area = np.linalg.norm(cross, axis=1)
        owner = np.minimum(
            np.searchsorted(np.cumsum(area) / area.sum(), (np.arange(count) + 0.5) / count), len(area) - 1
        )
        u, v = ((np.arange(count) * step) % 1.0 for step in (0.7548776662466927, 0.5698402909980532))
        u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
        points = a[owner] + u[:, None] * (b - a)[owner] + v[:, None] * (c - a)[owner]
        return cls(points, cross[owner] / np.maximum(area[owner], 1e-30)[:, None])


def visible_share(
    model: mujoco.MjModel, data: mujoco.MjData, lens: Lens, samples: Samples, pose: tuple[Array, Array], geoms: set[int]
) -> float:
    """The share of an object's outline that a camera sees, about: what is hidden by others or by the border lacks.

    Args:
        model, data: the scene, with current kinematics.
        lens: the camera.
        samples: points of the object's surface.
        pose: position (3,) and rotation (3, 3) of the object.
        geoms: the object's own.
    """
    position, rotation = pose
    points = samples.points @ rotation.T + position
    ways = points - lens.position
    distance = np.linalg.norm(ways, axis=1)
    facing = -(samples.normals @ rotation.T * ways).sum(axis=1) / np.maximum(distance, 1e-9)
    front = facing > 0.02
    if not front.any():
        return 0.0
    ways, distance, facing = ways[front], distance[front], facing[front]
    weight = facing / np.square(distance)
    seen = lens.inside(points[front])
    hit = np.full(len(ways), -1, np.int32)
    reach = np.zeros(len(ways))
    groups = np.array([i not in (PIECES, PARKED) for i in range(6)], np.uint8)
    unit = np.ascontiguousarray(ways / distance[:, None])
    mujoco.mj_multiRay(
        model, data, lens.position, unit.ravel(), groups, 1, -1, hit, reach, None, len(ways), mujoco.mjMAXVAL
    )
    own = np.isin(hit, list(geoms))
    behind_itself = own & (reach < distance - _TOUCH)
    counted = ~behind_itself  # what it hides of itself is no part of its outline
    clear = seen & own & counted
    total = weight[counted].sum()
    return float(weight[clear].sum() / total) if total > 0 else 0.0


def inside_hull(point: Array, hull: Mesh, pose: tuple[Array, Array], margin: float) -> bool:
    """Whether a point (3,) of the world is within a convex body, or nearer to it than `margin` m."""
    position, rotation = pose
    local = (point - position) @ rotation
    a, b, c = (hull.vertices[hull.faces[:, i]] for i in range(3))
    normals = np.cross(b - a, c - a)
    length = np.linalg.norm(normals, axis=1)
    good = length > 1e-15
    beyond = ((local - a[good]) * normals[good]).sum(axis=1) / length[good]
    return bool((beyond < margin).all())
