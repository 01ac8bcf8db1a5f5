"""Poses in which a body rests on a plane, and what it then looks like from above."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError
from trimesh import Trimesh

from dr_env.scene.mesh import Mesh

Array = NDArray[np.float64]

_MOST = 24
_RARE = 0.01  # probability of a pose that is left out
_FLAT = 2e-3  # of the height, within which corners are of one level face


@dataclasses.dataclass(frozen=True, eq=False)
class Rest:
    """A body on a plane, turned about z and moved as one likes.

    Args:
        rotation: (3, 3) its orientation.
        outline: (k, 2) m, its convex outline seen from above, counter-clockwise; the origin is the body's.
        low, high: m, its lowest and highest z, seen from its origin.
        centre: (2,) m, its centre of mass seen from above.
        base, top: (k, 2) m, the level faces that it stands on and that another may stand on; None where round or sharp.
    """

    rotation: Array
    outline: Array
    low: float
    high: float
    centre: Array
    base: Array | None
    top: Array | None

    @classmethod
    def of(cls, mesh: Mesh, centre: Array, rotation: Array) -> Rest:
        """How a mesh lies when it is turned so; `centre` (3,) is its centre of mass, m."""
        points = mesh.hull.vertices @ rotation.T
        z = points[:, 2]
        low, high = float(z.min()), float(z.max())
        level = _FLAT * (high - low)
        outline = _convex(points[:, :2])
        if outline is None:
            raise ValueError("a flat body has no outline")
        base, top = (_convex(points[near, :2]) for near in (z < low + level, z > high - level))
        return cls(rotation, outline, low, high, (rotation @ centre)[:2], base, top)

    def turned(self, angle: float) -> Rest:
        """The same, turned about z."""
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
        flat = turn[:2, :2].T
        base, top = (None if face is None else face @ flat for face in (self.base, self.top))
        return dataclasses.replace(
            self,
            rotation=turn @ self.rotation,
            outline=self.outline @ flat,
            centre=self.centre @ flat,
            base=base,
            top=top,
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Rests:
    """The poses in which a body rests, and the probabilities (n,) that it does, let go at random."""

    poses: tuple[Rest, ...]
    odds: Array

    def draw(self, rng: np.random.Generator) -> Rest:
        """One of them, as probable as it is."""
        return self.poses[int(np.searchsorted(np.cumsum(self.odds), rng.random() * self.odds.sum(), side="right"))]


def find_rests(mesh: Mesh, centre: Array) -> Rests:
    """Stable poses of a mesh's hull, the likely ones.

    After Goldberg, Mirtich, Zhuang, Craig, Carlisle, Canny, "Part pose statistics: estimators and experiments", 1999,
    as trimesh has it: a face holds the body if its centre of mass is above it; from other faces it rolls on.

    Args:
        mesh: the mesh.
        centre: (3,) m, its centre of mass.
    """
    hull = mesh.hull
    body = Trimesh(hull.vertices, hull.faces, process=False)
    motions, odds = body.compute_stable_poses(center_mass=centre, sigma=0.0, n_samples=1)
    likely = np.flatnonzero(odds >= min(_RARE, odds.max()))[:_MOST]
    rotations = np.asarray(motions)[likely, :3, :3]
    return Rests(tuple(Rest.of(mesh, centre, rotation) for rotation in rotations), np.asarray(odds)[likely])


def upright(mesh: Mesh, centre: Array) -> Rests:
    """The pose in which a body was made, alone."""
    return Rests((Rest.of(mesh, centre, np.eye(3)),), np.ones(1))


def within(point: Array, polygon: Array, margin: float = 0.0) -> bool:
    """Whether a point (2,) is inside a convex counter-clockwise polygon (k, 2), by a margin, m."""
    edges = np.roll(polygon, -1, axis=0) - polygon
    away = edges[:, 0] * (point[1] - polygon[:, 1]) - edges[:, 1] * (point[0] - polygon[:, 0])
    return bool((away >= margin * np.linalg.norm(edges, axis=1)).all())


def _convex(points: Array) -> Array | None:
    """The convex hull (k, 2) of points, counter-clockwise; None where they have no area."""
    if len(points) < 3:
        return None
    try:
        return np.asarray(points[ConvexHull(points).vertices])
    except QhullError:
        return None
