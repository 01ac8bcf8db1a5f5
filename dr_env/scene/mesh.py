"""A triangle mesh, and what follows from it."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import trimesh
from numpy.typing import NDArray

from dr_env.errors import DREnvError
from dr_env.spatial import diameter
from dr_env.spec.scene_objects import MOST

Array = NDArray[np.float64]
Faces = NDArray[np.int32]
LEAST = 1e-5
"""m, the longest side of an object at least."""


@dataclasses.dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh in an object's own frame, metres; outward normals are counter-clockwise.

    Args:
        vertices: (V, 3) m.
        faces: (F, 3) indices of vertices.
        corner_uv: (F, 3, 2) texture coordinates of each face's corners, or None; v = 0 is the image's lowest row.
        texture: (h, w, 3) an image of its own, or None.
    """

    vertices: Array
    faces: Faces
    corner_uv: Array | None = None
    texture: NDArray[np.uint8] | None = None

    @classmethod
    def of(cls, vertices: object, faces: object) -> Mesh:
        """A mesh from anything like arrays."""
        return cls(
            np.ascontiguousarray(vertices, dtype=np.float64), np.ascontiguousarray(faces, dtype=np.int32).reshape(-1, 3)
        )

    @functools.cached_property
    def box(self) -> Array:
        """Lowest and highest corner, m, (2, 3)."""
        return np.stack((self.vertices.min(axis=0), self.vertices.max(axis=0)))

    @functools.cached_property
    def hull(self) -> Mesh:
        """The convex hull."""
        return Mesh.of(*_hull(self.vertices))

    @functools.cached_property
    def diameter(self) -> float:
        """The greatest distance between two vertices, m."""
        return diameter(self.hull.vertices)

    @property
    def volume(self) -> float:
        """The volume that the faces enclose, m^3; negative where they point inwards."""
        a, b, c = (self.vertices[self.faces[:, i]] for i in range(3))
        return float((np.cross(a, b) * c).sum() / 6)

    @functools.cached_property
    def closed(self) -> bool:
        """Whether each edge has two faces, which run along it in opposite directions."""
        edges = np.concatenate([self.faces[:, [i, (i + 1) % 3]] for i in range(3)]).astype(np.int64)
        count = len(self.vertices)
        codes, back = edges[:, 0] * count + edges[:, 1], edges[:, 1] * count + edges[:, 0]
        return len(np.unique(codes)) == len(codes) and bool(np.array_equal(np.sort(codes), np.sort(back)))

    def corner_normals(self, crease: float = 40.0) -> Array:
        """Unit normals (F, 3, 3) at each face's corners: the mean of faces there whose planes differ by less.

        Args:
            crease: degrees between two faces from which on the edge between them is seen.
        """
        a, b, c = (self.vertices[self.faces[:, i]] for i in range(3))
        weighted = np.cross(b - a, c - a)  # twice the area long
        unit = weighted / np.maximum(np.linalg.norm(weighted, axis=1, keepdims=True), 1e-30)
        corner = np.argsort(self.faces.ravel(), kind="stable")  # corners by vertex
        vertex = self.faces.ravel()[corner]
        count = np.bincount(vertex, minlength=len(self.vertices))
        first = np.cumsum(count) - count
        total = np.zeros((3 * len(self.faces), 3))
        for k in range(int(count.max())):  # the k-th face around each corner's vertex
            has = k < count[vertex]
            other = corner[(first[vertex] + k)[has]] // 3
            own = corner[has]
            smooth = (unit[own // 3] * unit[other]).sum(axis=1) > np.cos(np.radians(crease))
            total[own[smooth]] += weighted[other[smooth]]
        length = np.linalg.norm(total, axis=1, keepdims=True)
        return np.asarray(np.where(length > 0, total / np.maximum(length, 1e-30), [0.0, 0.0, 1.0]).reshape(-1, 3, 3))

    def split(self) -> tuple[Array, Faces, Array, Array]:
        """Vertices, faces, normals and texture coordinates (n, 2), with one number for all three.

        A vertex with several normals or texture coordinates comes several times, as graphics hardware wants it.
        """
        normals = self.corner_normals().reshape(-1, 3)
        uv = np.zeros((len(normals), 2)) if self.corner_uv is None else self.corner_uv.reshape(-1, 2)
        rows = np.column_stack((self.faces.ravel(), normals.round(4), uv.round(6)))
        _, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
        faces = np.ascontiguousarray(inverse.reshape(-1, 3), np.int32)
        return self.vertices[self.faces.ravel()[first]], faces, normals[first], uv[first]

    def scaled(self, factors: object) -> Mesh:
        """The mesh with coordinates multiplied by one factor or three."""
        return dataclasses.replace(self, vertices=self.vertices * np.asarray(factors, np.float64))

    def moved(self, offset: object) -> Mesh:
        """The mesh moved by (3,) m."""
        return dataclasses.replace(self, vertices=self.vertices + np.asarray(offset, np.float64))

    def turned(self, rotation: Array) -> Mesh:
        """The mesh turned by a rotation matrix (3, 3)."""
        return dataclasses.replace(self, vertices=self.vertices @ rotation.T)

    def centred(self) -> Mesh:
        """The mesh with the middle of its box at the origin."""
        return self.moved(-self.box.mean(axis=0))

    def with_box_uv(self) -> Mesh:
        """The mesh with texture coordinates: each face shows the plane it is most parallel to, 1 a longest side."""
        corners = self.vertices[self.faces]  # (F, 3, 3)
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        main = np.abs(normal).argmax(axis=1)
        planes = np.array([[1, 2], [0, 2], [0, 1]])[main]  # (F, 2)
        low, high = self.box
        unit = (corners - low) / (high - low).max()
        return dataclasses.replace(self, corner_uv=np.take_along_axis(unit, planes[:, None, :].repeat(3, axis=1), 2))


def join(meshes: list[Mesh]) -> Mesh:
    """One mesh of several."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    return Mesh.of(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts, strict=False)]),
    )


def check_mesh(mesh: Mesh, source: str) -> Mesh:
    """Raises DREnvError, naming `source`, for a mesh that cannot be an object."""
    if len(mesh.vertices) == 0 or len(mesh.faces) == 0:
        raise DREnvError(f"{source}: the mesh has {len(mesh.vertices)} vertices and no faces, expected triangles")
    if not np.isfinite(mesh.vertices).all():
        bad = int(np.flatnonzero(~np.isfinite(mesh.vertices).all(axis=1))[0])
        raise DREnvError(f"{source}: vertex {bad} is {mesh.vertices[bad].tolist()}, expected finite numbers")
    if mesh.faces.min() < 0 or mesh.faces.max() >= len(mesh.vertices):
        raise DREnvError(f"{source}: a face names vertex {mesh.faces.max()}, of {len(mesh.vertices)}")
    extent = float(np.ptp(mesh.vertices, axis=0).max())
    if not LEAST <= extent <= MOST:
        raise DREnvError(f"{source}: the mesh is {extent:.3g} m long, expected {LEAST:g} to {MOST:g} m; see its units")
    if np.linalg.matrix_rank(mesh.vertices - mesh.vertices.mean(axis=0), tol=1e-9) < 3:
        raise DREnvError(f"{source}: the mesh is flat, expected a body with a volume")
    return mesh


def _hull(points: Array) -> tuple[Array, Faces]:
    hull = trimesh.convex.convex_hull(points)
    return np.asarray(hull.vertices), np.asarray(hull.faces)
