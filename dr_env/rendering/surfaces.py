"""What a model's geoms look like, as triangles: for renderers that know triangles alone."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_GEOM = mujoco.mjtGeom
_SLICES, _STACKS = 64, 32  # around and along curved geoms
_FAR = 100.0  # m, half the side of a plane without end


@dataclass(frozen=True, eq=False)
class Surface:
    """Triangles in a geom's own frame.

    Attributes:
        vertices: (n, 3), m.
        normals: (n, 3) unit vectors.
        uv: (n, 2) texture coordinates, v downwards in the image; None where there are none.
        faces: (m, 3) indices.
    """

    vertices: Array
    normals: Array
    uv: Array | None
    faces: NDArray[np.int64]


def surface_of(model: mujoco.MjModel, kind: int, data: int, size: Array) -> Surface | None:
    """The surface of a geom, a site or a part of a tendon; None for kinds that have none.

    Args:
        model: has its mesh or height field.
        kind: of `mjtGeom`.
        data: the number of its mesh or height field.
        size: (3,), three half lengths as `MjvGeom` has them.
    """
    if kind in (_GEOM.mjGEOM_MESH, _GEOM.mjGEOM_SDF):
        return _mesh(model, data)
    if kind == _GEOM.mjGEOM_HFIELD:
        return _height_field(model, data)
    if kind == _GEOM.mjGEOM_PLANE:
        half = np.where(size[:2] > 0, size[:2], _FAR)
        return _sides(np.array([[0, 0, 1.0]]), np.array([*half, 0.0]))
    if kind == _GEOM.mjGEOM_BOX:
        return _sides(np.concatenate([np.eye(3), -np.eye(3)]), size)
    if kind in (_GEOM.mjGEOM_SPHERE, _GEOM.mjGEOM_ELLIPSOID):
        return _revolved(*_arc(0, np.pi, _STACKS, np.zeros(3)), size)
    if kind == _GEOM.mjGEOM_CAPSULE:  # between two half spheres, whose radius is size[0]
        length = size[2] / size[0]
        top = _arc(0, np.pi / 2, _STACKS // 2, np.array([0, length, 0.0]))
        bottom = _arc(np.pi / 2, np.pi, _STACKS // 2, np.array([0, -length, 0.0]))
        profile, normals = (np.concatenate(pair) for pair in zip(top, bottom, strict=True))
        return _revolved(profile, normals, np.full(3, size[0]))
    if kind == _GEOM.mjGEOM_CYLINDER:
        profile = np.array([[0, 1], [1, 1], [1, 1], [1, -1], [1, -1], [0, -1.0]])
        normals = np.array([[0, 1], [0, 1], [1, 0], [1, 0], [0, -1], [0, -1.0]])
        return _revolved(profile, normals, size)
    return None


def _sides(outward: Array, half: Array) -> Surface:
    """Rectangles that face outwards, each with the texture upright, or along y where it is level, and along x or y."""
    vertices, normals, uv, faces = [], [], [], []
    for i, normal in enumerate(outward):
        up = np.array([0, 0, 1.0]) if normal[2] == 0 else np.array([0, 1.0, 0])
        right = np.cross(up, normal)
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1.0]])
        vertices.append((normal + corners[:, :1] * right + corners[:, 1:] * up) * half)
        normals.append(np.tile(normal, (4, 1)))
        uv.append(0.5 + 0.5 * corners * [right.sum(), -1])
        faces.append(np.array([[0, 1, 2], [0, 2, 3]]) + 4 * i)
    return Surface(np.concatenate(vertices), np.concatenate(normals), np.concatenate(uv), np.concatenate(faces))


def _arc(start: float, end: float, stacks: int, middle: Array) -> tuple[Array, Array]:
    """A circle's points (r, z) and normals, from the top on."""
    angle = np.linspace(start, end, stacks + 1)
    normals = np.stack([np.sin(angle), np.cos(angle)], -1)
    return normals + middle[:2], normals


def _revolved(profile: Array, normals: Array, scale: Array) -> Surface:
    """A profile of points (r, z) turned about z, then scaled."""
    rows, turns = len(profile), np.linspace(0, 2 * np.pi, _SLICES + 1)
    around = np.stack([np.cos(turns), np.sin(turns)], -1)  # (slices + 1, 2)

    def turned(pairs: Array) -> Array:
        flat = pairs[:, None, :1] * around[None]
        height = np.broadcast_to(pairs[:, None, 1:], (rows, _SLICES + 1, 1))
        return np.concatenate([flat, height], -1).reshape(-1, 3)

    outward = turned(normals) / scale
    along = np.linspace(0, 1, rows)
    uv = np.stack(np.meshgrid(turns / (2 * np.pi), along), -1).reshape(-1, 2)
    return Surface(turned(profile) * scale, _unit(outward), uv, _grid(rows, _SLICES + 1))


def _grid(rows: int, columns: int) -> NDArray[np.int64]:
    """Two triangles for each cell of a grid of vertices, that face up where rows go down and columns around."""
    at = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = (part.ravel() for part in (at[:-1, :-1], at[1:, :-1], at[1:, 1:], at[:-1, 1:]))
    return np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)])


def _mesh(model: mujoco.MjModel, mesh: int) -> Surface:
    first, count = model.mesh_faceadr[mesh], model.mesh_facenum[mesh]
    corners = [getattr(model, name)[first : first + count].reshape(-1) for name in ("mesh_face", "mesh_facenormal")]
    textured = model.mesh_texcoordadr[mesh] >= 0
    if textured:
        corners.append(model.mesh_facetexcoord[first : first + count].reshape(-1))
    unique, faces = np.unique(np.stack(corners, -1), axis=0, return_inverse=True)
    uv = None
    if textured:
        uv = np.asarray(model.mesh_texcoord[model.mesh_texcoordadr[mesh] + unique[:, 2]], np.float64)
    return Surface(
        np.asarray(model.mesh_vert[model.mesh_vertadr[mesh] + unique[:, 0]], np.float64),
        _unit(np.asarray(model.mesh_normal[model.mesh_normaladr[mesh] + unique[:, 1]], np.float64)),
        uv,
        faces.reshape(-1, 3).astype(np.int64),
    )


def _height_field(model: mujoco.MjModel, field: int) -> Surface:
    """Its upper side."""
    rows, columns = int(model.hfield_nrow[field]), int(model.hfield_ncol[field])
    first = model.hfield_adr[field]
    half_x, half_y, top, _ = model.hfield_size[field]
    z = top * model.hfield_data[first : first + rows * columns].reshape(rows, columns)
    x, y = np.meshgrid(np.linspace(-half_x, half_x, columns), np.linspace(-half_y, half_y, rows))
    slope_y, slope_x = np.gradient(z, 2 * half_y / (rows - 1), 2 * half_x / (columns - 1))
    vertices = np.stack([x, y, z], -1).reshape(-1, 3)
    normals = np.stack([-slope_x, -slope_y, np.ones_like(z)], -1).reshape(-1, 3)
    uv = np.stack([0.5 + 0.5 * x / half_x, 0.5 - 0.5 * y / half_y], -1).reshape(-1, 2)
    return Surface(vertices, _unit(normals), uv, _grid(rows, columns)[:, ::-1])


def _unit(vectors: Array) -> Array:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1))
