"""Symmetries of objects: motions that leave the surface where it was, found or given."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from dr_env.scene.mesh import Mesh

Array = NDArray[np.float64]

TOLERANCE = 0.005
"""The greatest distance between the moved surface and the surface, in diameters."""
_SAMPLES = 6000
_TESTED = 600  # vertices that are moved and measured
_FEW = 16
_ALL = 3  # how many of the angles below are no order's multiples, so that only an axis of all turns passes them
_ANGLES = 2 * np.pi * np.array([0.118, 0.2331, 0.3819, *(1 / order for order in (2, 3, 4, 5, 6, 8))])
_MOST_AXES = 60
_MOST_MOTIONS = 120


@dataclasses.dataclass(frozen=True, eq=False)
class SymmetryGroup:
    """Motions that leave an object as it was, in its own frame.

    Args:
        discrete: (D, 4, 4) rigid transforms, m, without the identity; with axes, what turns about them do not reach.
        axes: (A, 3) unit vectors around which every turn is a symmetry.
        offsets: (A, 3) m, a point on each axis.
    """

    discrete: Array
    axes: Array
    offsets: Array

    @classmethod
    def of(cls, discrete: object = (), axes: object = (), offsets: object = ()) -> SymmetryGroup:
        """A group from anything like arrays; axes are scaled to length 1."""
        directions = np.asarray(axes, np.float64).reshape(-1, 3)
        length = np.linalg.norm(directions, axis=1, keepdims=True)
        return cls(
            np.asarray(discrete, np.float64).reshape(-1, 4, 4),
            directions / np.where(length > 0, length, 1),
            np.asarray(offsets, np.float64).reshape(-1, 3),
        )

    def __len__(self) -> int:
        return len(self.discrete) + len(self.axes)


class Surface:
    """Distances to a mesh's surface, exact among the triangles near a point.

    Args:
        mesh: the mesh.
    """

    def __init__(self, mesh: Mesh) -> None:
        self._corners = mesh.vertices[mesh.faces]  # (F, 3, 3)
        a, b, c = (self._corners[:, i] for i in range(3))
        area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
        # each triangle's share of samples, spread by a low-discrepancy sequence, so that nothing is random
        edges = np.cumsum(area) / area.sum()
        steps = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
        owner = np.minimum(np.searchsorted(edges, steps), len(edges) - 1)
        u, v = ((np.arange(_SAMPLES) * step) % 1.0 for step in (0.7548776662466927, 0.5698402909980532))
        over = u + v > 1
        u, v = np.where(over, 1 - u, u), np.where(over, 1 - v, v)
        inside = a[owner] + u[:, None] * (b - a)[owner] + v[:, None] * (c - a)[owner]
        # along edges as well, so that slivers are found; not at corners, where many triangles would crowd out others
        along = [(1 - share) * p + share * q for p, q in ((a, b), (b, c), (c, a)) for share in (0.1, 0.5, 0.9)]
        self._owner = np.concatenate((owner, *[np.arange(len(area))] * len(along)))
        self._tree = KDTree(np.concatenate((inside, *along)))
        self.centroid = (((a + b + c) / 3) * area[:, None]).sum(axis=0) / area.sum()
        offsets = self._corners - self.centroid
        ones = np.ones((3, 3)) + np.eye(3)
        self.spread = np.einsum("f,fik,ij,fjl->kl", area / area.sum() / 12, offsets, ones, offsets)
        """Second moments (3, 3) of the surface about its centroid, m^2."""

    def distance(self, points: Array) -> Array:
        """Distances (n,) of points (n, 3) to the surface."""
        _, near = self._tree.query(points, k=12)
        triangles = self._corners[self._owner[near]]  # (n, 12, 3, 3)
        return np.asarray(_to_triangles(points[:, None], triangles).min(axis=1))


def _to_triangles(point: Array, triangle: Array) -> Array:
    """Distances of points (..., 3) to triangles (..., 3, 3)."""
    a = triangle[..., 0, :]
    u, v, w = triangle[..., 1, :] - a, triangle[..., 2, :] - a, point - a
    uu, uv, vv = ((p * q).sum(-1) for p, q in ((u, u), (u, v), (v, v)))
    wu, wv = (w * u).sum(-1), (w * v).sum(-1)
    scale = np.maximum(uu * vv - uv * uv, 1e-30)
    s, t = (vv * wu - uv * wv) / scale, (uu * wv - uv * wu) / scale
    inside = (s >= 0) & (t >= 0) & (s + t <= 1)
    foot = a + s[..., None] * u + t[..., None] * v
    best = np.where(inside, np.linalg.norm(point - foot, axis=-1), np.inf)
    for i in range(3):
        p, q = triangle[..., i, :], triangle[..., (i + 1) % 3, :]
        edge = q - p
        share = ((point - p) * edge).sum(-1) / np.maximum((edge * edge).sum(-1), 1e-30)
        foot = p + np.clip(share, 0, 1)[..., None] * edge
        best = np.minimum(best, np.linalg.norm(point - foot, axis=-1))
    return np.asarray(best)


def find_symmetries(mesh: Mesh, tolerance: float = TOLERANCE) -> SymmetryGroup:
    """The rotations that leave a mesh as it was.

    Axes are sought through the surface's centroid, which every symmetry keeps: along its principal axes, and where
    these are not unique, through the hull's corners, edges and faces. Each motion found is verified: all vertices,
    moved, must lie on the surface. Mirror images are no motions, so they are none here.

    Args:
        mesh: the mesh.
        tolerance: the greatest distance allowed, in diameters.
    """
    surface = Surface(mesh)
    limit = tolerance * mesh.diameter
    centre = surface.centroid
    points = mesh.vertices[np.unique(np.linspace(0, len(mesh.vertices) - 1, _TESTED).astype(int))]

    def kept(rotation: Array) -> bool:
        return bool((surface.distance((points - centre) @ rotation.T + centre) <= limit).all())

    axes = np.array(_candidates(mesh, surface, centre))  # (A, 3)
    turns = Rotation.from_rotvec((axes[:, None] * _ANGLES[:, None]).reshape(-1, 3)).as_matrix()
    # a few points at once tell nearly all that are none
    few = points[:: max(1, len(points) // _FEW)] - centre
    moved = np.einsum("rij,pj->rpi", turns, few) + centre
    likely = surface.distance(moved.reshape(-1, 3)).reshape(len(axes), len(_ANGLES), -1).max(axis=2) <= limit
    rotations = turns.reshape(len(axes), len(_ANGLES), 3, 3)
    found: list[Array] = []
    full: list[Array] = []
    for axis, turn, maybe in zip(axes, rotations, likely, strict=True):
        if any(abs(axis @ other) > 0.9999 for other in full):
            continue
        if maybe[:_ALL].all() and all(kept(each) for each in turn[:_ALL]):
            full.append(axis)
            if len(full) > 1:
                return SymmetryGroup.of((), np.eye(3), np.tile(centre, (3, 1)))  # a ball
            across = np.cross(axis, np.eye(3)[np.abs(axis).argmin()])
            flip = Rotation.from_rotvec(np.pi * across / np.linalg.norm(across)).as_matrix()
            found = [flip] if kept(flip) else []
        elif not full:
            found += [each for each in turn[_ALL:][maybe[_ALL:]] if kept(each)]
    group = found if full else _closure(found)
    return SymmetryGroup.of([_about(rotation, centre) for rotation in group], full, [centre] * len(full))


def _candidates(mesh: Mesh, surface: Surface, centre: Array) -> list[Array]:
    """Directions that may be axes, the likely ones first, none twice."""
    spread, principal = np.linalg.eigh(surface.spread)
    order = [0, 2, 1] if spread[1] - spread[0] > spread[2] - spread[1] else [2, 0, 1]
    directions = [principal[:, i] for i in order]
    close = np.isclose(spread[1:], spread[:-1], rtol=0.02)
    if close.any():
        hull = mesh.hull
        corners = hull.vertices[hull.faces]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        area = np.linalg.norm(normals, axis=1)
        big = np.argsort(-area)[:_MOST_AXES]
        middles = (corners + np.roll(corners, 1, axis=1)).reshape(-1, 3) / 2
        directions += [*normals[big], *(hull.vertices - centre)[:_MOST_AXES], *(middles - centre)[: 3 * _MOST_AXES]]
    kept: list[Array] = []
    for direction in directions:
        length = np.linalg.norm(direction)
        unit = direction / length if length > 1e-9 else None
        if unit is not None and all(abs(unit @ other) < 0.9999 for other in kept) and len(kept) < 2 * _MOST_AXES:
            kept.append(unit)
    return kept


def _closure(generators: list[Array]) -> list[Array]:
    """All products of rotations, without the identity."""
    group = [np.eye(3)]
    fresh = list(group)
    while fresh and len(group) < _MOST_MOTIONS:
        products = [g @ h for g in generators for h in fresh]
        fresh = []
        for product in products:
            if all(np.abs(product - other).max() > 0.02 for other in group):
                group.append(product)
                fresh.append(product)
    return group[1:]


def _about(rotation: Array, centre: Array) -> Array:
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = rotation, centre - rotation @ centre
    return motion


def shape_symmetries(kind: int, size: Array) -> SymmetryGroup:
    """The turns of one of MuJoCo's shapes, in its own frame; of other geoms than shapes none.

    Args:
        kind: mujoco.mjtGeom.
        size: (3,) as MuJoCo has it: half lengths, radius, or radius and half length.
    """
    shapes = mujoco.mjtGeom
    half_turns = np.zeros((3, 4, 4))
    for axis in range(3):
        half_turns[axis] = np.diag(np.append(2 * np.eye(3)[axis] - 1, 1))
    if kind == shapes.mjGEOM_SPHERE or (kind == shapes.mjGEOM_ELLIPSOID and np.ptp(size) < 1e-9):
        return SymmetryGroup.of((), np.eye(3), np.zeros((3, 3)))
    if kind in (shapes.mjGEOM_CYLINDER, shapes.mjGEOM_CAPSULE):
        return SymmetryGroup.of(half_turns[:1], np.eye(3)[2:], np.zeros((1, 3)))
    if kind == shapes.mjGEOM_ELLIPSOID:
        for axis in range(3):
            others = np.delete(np.arange(3), axis)
            if abs(size[others[0]] - size[others[1]]) < 1e-9:
                return SymmetryGroup.of(half_turns[others[:1]], np.eye(3)[axis : axis + 1], np.zeros((1, 3)))
        return SymmetryGroup.of(half_turns)
    if kind == shapes.mjGEOM_BOX:
        turns = Rotation.create_group("O").as_matrix().round()
        kept = [
            turn for turn in turns if np.allclose(np.abs(turn) @ size, size) and not np.array_equal(turn, np.eye(3))
        ]
        discrete = np.tile(np.eye(4), (len(kept), 1, 1))
        discrete[:, :3, :3] = np.array(kept).reshape(-1, 3, 3)
        return SymmetryGroup.of(discrete)
    return SymmetryGroup.of()
