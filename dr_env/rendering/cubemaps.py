"""Cube textures on triangles, and as pictures of a whole sky.

A cube texture has six faces, +x -x +y -y +z -z from top to bottom, that a direction looks up as OpenGL does
(OpenGL 4.6, table 8.19): the largest component chooses the face, the others divided by it the place.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dr_env.rendering.surfaces import Surface

Array = NDArray[np.float64]
_PLANES = np.array([[1, -1, 0], [1, 1, 0], [1, 0, -1], [1, 0, 1], [0, 1, -1], [0, 1, 1.0]])  # where faces meet
_BEND = 1.25  # largest component over smallest of a triangle's corners, beyond which it is cut in four
_CUTS = 4  # times at most


def face_and_place(directions: Array) -> tuple[NDArray[np.intp], Array]:
    """The face (n,) that directions (n, 3) meet and where, (n, 2) in 0 .. 1, from the face's upper left corner on."""
    face = _face(directions)
    return face, _place(directions, face)


def _face(directions: Array) -> NDArray[np.intp]:
    axis = np.abs(directions).argmax(-1)
    return np.asarray(2 * axis + (np.take_along_axis(directions, axis[..., None], -1)[..., 0] < 0), np.intp)


def _place(directions: Array, face: NDArray[np.intp]) -> Array:
    """Where in given faces directions (..., 3) lie."""
    x, y, z = np.moveaxis(directions, -1, 0)
    across = np.choose(face, [-z, z, x, x, x, -x])
    down = np.choose(face, [-y, -y, z, -z, -y, -y])
    major = np.abs(np.choose(face, [x, x, y, y, z, z]))
    return np.asarray(0.5 + 0.5 * np.stack([across, down], -1) / np.maximum(major, 1e-12)[..., None])


def on_cube(surface: Surface, directions: Array, size: int) -> Surface:
    """The surface cut where it passes from one face of a cube texture to the next, with coordinates in that texture.

    Args:
        surface: triangles.
        directions: (n, 3) which each vertex looks up.
        size: the width of a face in pixels.
    """
    corners = np.concatenate([surface.vertices, surface.normals, directions], -1)[surface.faces]  # (m, 3, 9)
    for plane in _PLANES:
        corners = _cut(corners, corners[..., 6:] @ plane)
    for _ in range(_CUTS):
        axis = _face(corners[..., 6:].mean(1)) // 2
        major = np.abs(np.take_along_axis(corners[..., 6:], axis[:, None, None], -1)[..., 0])
        bent = major.max(1) > _BEND * major.min(1)
        if not bent.any():
            break
        corners = np.concatenate([corners[~bent], _quartered(corners[bent])])
    face = _face(corners[..., 6:].mean(1))
    place = _place(corners[..., 6:], np.broadcast_to(face[:, None], corners.shape[:2]))
    margin = 0.5 / size  # no pixel of the next face
    u, v = np.moveaxis(np.clip(place, margin, 1 - margin), -1, 0)
    flat = corners.reshape(-1, 9)
    normals = flat[:, 3:6] / np.maximum(np.linalg.norm(flat[:, 3:6], axis=-1, keepdims=True), 1e-12)
    uv = np.stack([u, (face[:, None] + v) / 6], -1).reshape(-1, 2)
    return Surface(flat[:, :3], normals, uv, np.arange(len(flat)).reshape(-1, 3))


def _cut(corners: Array, side: Array) -> Array:
    """Triangles (m, 3, k) cut where `side` (m, 3) changes its sign."""
    edge = 1e-9 * np.abs(side).max(initial=1e-12)
    crossing = (side.min(1) < -edge) & (side.max(1) > edge)
    cut, sides = corners[crossing], side[crossing]
    if not len(cut):
        return corners
    above = sides > 0
    lone = np.where(above.sum(1) == 1, above.argmax(1), (~above).argmax(1))
    order = (lone[:, None] + np.arange(3)) % 3
    cut, sides = np.take_along_axis(cut, order[..., None], 1), np.take_along_axis(sides, order, 1)
    a, b, c = cut[:, 0], cut[:, 1], cut[:, 2]
    share = sides[:, :1] / (sides[:, :1] - sides[:, 1:])  # (m, 2)
    ab, ac = a + share[:, :1] * (b - a), a + share[:, 1:] * (c - a)
    parts = np.concatenate([np.stack(three, 1) for three in ((a, ab, ac), (ab, b, c), (ab, c, ac))])
    area = np.linalg.norm(np.cross(parts[:, 1, :3] - parts[:, 0, :3], parts[:, 2, :3] - parts[:, 0, :3]), axis=-1)
    return np.concatenate([corners[~crossing], parts[area > 1e-14]])


def _quartered(corners: Array) -> Array:
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
    return np.concatenate([np.stack(three, 1) for three in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])


def panorama(faces: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A cube texture (6 n, n, 3) as a picture (2 n, 4 n, 3) of all directions, by longitude and latitude.

    Its upper row looks along +y; column u looks towards atan2(x, -z) = 2 pi u.
    """
    size = faces.shape[1]
    across, down = (np.arange(4 * size) + 0.5) / (4 * size), (np.arange(2 * size) + 0.5) / (2 * size)
    turn, tilt = np.meshgrid(2 * np.pi * across, np.pi * down)
    directions = np.stack([np.sin(tilt) * np.sin(turn), np.cos(tilt), -np.sin(tilt) * np.cos(turn)], -1)
    face, place = face_and_place(directions.reshape(-1, 3))
    column, row = np.minimum((place * size).astype(int), size - 1).T
    return np.asarray(faces[face * size + row, column].reshape(2 * size, 4 * size, 3))
