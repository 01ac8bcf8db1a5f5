"""Shapes made procedurally: closed meshes with outward normals, their box centred at the origin."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from dr_env.scene.mesh import Mesh, join

Array = NDArray[np.float64]

SEGMENTS = 40
"""Corners of what is round."""


def polygon(corners: int, turn: float = 0.0) -> Array:
    """A regular polygon of radius 1, counter-clockwise, (corners, 2)."""
    angle = turn + 2 * np.pi * np.arange(corners) / corners
    return np.column_stack((np.cos(angle), np.sin(angle)))


def prism(outline: Array, height: float) -> Mesh:
    """A straight prism over a convex outline (n, 2), counter-clockwise, from z = 0 to `height`."""
    return loft([(outline, 0.0), (outline, height)])


def loft(rings: list[tuple[Array, float]]) -> Mesh:
    """A body whose cross-sections are convex outlines of n corners at given z, upwards; a ring of zeros is a tip."""
    count = len(rings[0][0])
    vertices: list[Array] = []
    layers: list[NDArray[np.int64]] = []
    total = 0
    for outline, z in rings:
        points = outline if np.any(outline) else np.zeros((1, 2))
        vertices.append(np.column_stack((points, np.full(len(points), z))))
        layers.append(total + np.arange(count) % len(points))
        total += len(points)
    after = np.roll(np.arange(count), -1)
    faces = []
    for lower, upper in itertools.pairwise(layers):
        faces.append(np.column_stack((lower, lower[after], upper[after])))
        faces.append(np.column_stack((lower, upper[after], upper)))
    for layer, order in ((layers[0], -1), (layers[-1], 1)):
        fan = np.column_stack((np.full(count, layer[0]), layer, layer[after]))
        faces.append(fan[:, ::order])
    triangles = np.concatenate(faces)
    whole = (np.diff(np.sort(triangles, axis=1), axis=1) > 0).all(axis=1)  # tips make triangles without area
    return Mesh.of(np.concatenate(vertices), triangles[whole])


def revolve(profile: object) -> Mesh:
    """A body of revolution around z from its profile: (n, 2) radii and heights; 0 radii at both ends close it.

    The profile runs so that the body is on its left: outside up, inside down.
    """
    points = np.asarray(profile, np.float64)
    circle = polygon(SEGMENTS)
    return loft([(circle * radius, z) for radius, z in points])


def sphere() -> Mesh:
    """A ball of diameter 1."""
    return superquadric(1.0, 1.0)


def superquadric(north: float, east: float, rows: int = 20, columns: int = 32) -> Mesh:
    """A superquadric with a box of side 1 (Barr, "Superquadrics and angle-preserving transformations", 1981).

    Args:
        north, east: the exponents from pole to pole and around: 1 is an ellipsoid, towards 0 a box, 2 an octahedron.
        rows, columns: of the grid of angles.
    """
    latitude = np.linspace(-np.pi / 2, np.pi / 2, rows + 1)
    longitude = 2 * np.pi * np.arange(columns) / columns
    around = np.column_stack((_power(np.cos(longitude), east), _power(np.sin(longitude), east)))
    radii, heights = _power(np.cos(latitude), north), _power(np.sin(latitude), north)
    radii[[0, -1]] = 0.0
    rings = [(0.5 * around * radius, 0.5 * z) for radius, z in zip(radii, heights, strict=True)]
    return loft(rings)


def _power(value: Array, exponent: float) -> Array:
    rounded = np.where(np.abs(value) < 1e-12, 0.0, value)
    return np.asarray(np.sign(rounded) * np.abs(rounded) ** exponent)


def extrusion(outline: object) -> Mesh:
    """A prism of height 1 over any simple outline (n, 2), whichever way it runs."""
    points = np.asarray(outline, np.float64)
    x, y = points.T
    if (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() < 0:
        points = points[::-1]
    count = len(points)
    cap = triangulate(points)
    below, above = np.arange(count), count + np.arange(count)
    after = np.roll(np.arange(count), -1)
    sides = np.concatenate(
        (np.column_stack((below, below[after], above[after])), np.column_stack((below, above[after], above)))
    )
    vertices = np.concatenate([np.column_stack((points, np.full(count, z))) for z in (0.0, 1.0)])
    return Mesh.of(vertices, np.concatenate((sides, cap[:, ::-1], cap + count)))


def triangulate(points: Array) -> NDArray[np.int64]:
    """Triangles (n - 2, 3) of a simple counter-clockwise polygon (n, 2), by cutting ears."""
    left = list(range(len(points)))
    points = points / np.ptp(points, axis=0).max()
    triangles = []
    while len(left) > 3:
        for i in range(len(left)):
            a, b, c = (left[(i + k - 1) % len(left)] for k in range(3))
            if _is_ear(points, a, b, c, left):
                triangles.append((a, b, c))
                del left[i]
                break
        else:
            raise ValueError("the outline crosses itself")
    return np.array([*triangles, left], np.int64)


def _is_ear(points: Array, a: int, b: int, c: int, left: list[int]) -> bool:
    corner = points[[a, b, c]]
    edges = np.roll(corner, -1, axis=0) - corner
    if edges[0, 0] * edges[1, 1] - edges[0, 1] * edges[1, 0] <= 1e-15:
        return False  # a corner that points inwards
    others = points[[i for i in left if i not in (a, b, c)]]
    to = others[:, None] - corner[None]
    inside = (edges[:, 0] * to[..., 1] - edges[:, 1] * to[..., 0]) >= 0
    return not inside.all(axis=1).any()


def star(rng: np.random.Generator, corners: int) -> Array:
    """A random outline that is star-shaped about the origin, (corners, 2)."""
    angle = 2 * np.pi * (np.arange(corners) + rng.uniform(-0.3, 0.3, corners)) / corners
    radius = rng.uniform(0.4, 1.0, corners)
    return np.column_stack((radius * np.cos(angle), radius * np.sin(angle)))


def cone() -> Mesh:
    """A cone as wide as high."""
    return revolve([(0.5, 0.0), (0.0, 1.0)])


def cylinder() -> Mesh:
    """A cylinder as wide as high."""
    return prism(0.5 * polygon(SEGMENTS), 1.0)


def cube() -> Mesh:
    """A cube."""
    return prism(np.sqrt(0.5) * polygon(4, np.pi / 4), 1.0)


def pyramid() -> Mesh:
    """A pyramid on a square."""
    return loft([(np.sqrt(0.5) * polygon(4, np.pi / 4), 0.0), (np.zeros((4, 2)), 1.0)])


def tetrahedron() -> Mesh:
    """A regular tetrahedron."""
    return loft([(polygon(3) / np.sqrt(3), 0.0), (np.zeros((3, 2)), np.sqrt(2 / 3))])


def triangular_prism() -> Mesh:
    """A prism on an equilateral triangle."""
    return prism(polygon(3) / np.sqrt(3), 1.0)


def hexagonal_prism() -> Mesh:
    """A prism on a regular hexagon."""
    return prism(0.5 * polygon(6), 0.8)


def rectangular_prism() -> Mesh:
    """A block with sides 1, 0.6 and 0.4."""
    return cube().scaled((1, 0.6, 0.4))


def mug() -> Mesh:
    """A hollow cup with a handle."""
    cup = revolve([(0, 0), (0.4, 0), (0.42, 0.05), (0.42, 1), (0.36, 1), (0.36, 0.1), (0, 0.1)])
    bend = np.linspace(-0.45 * np.pi, 0.45 * np.pi, 10)
    middle = np.column_stack((0.36 + 0.34 * np.cos(bend), np.zeros(10), 0.52 + 0.34 * np.sin(bend)))
    return join([cup, tube(middle, 0.055)])


def tube(middle: Array, radius: float, corners: int = 10) -> Mesh:
    """A closed tube around a line (n, 3) in the plane y = 0."""
    along = np.gradient(middle, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    side = np.array([0.0, 1.0, 0.0])
    ring = polygon(corners)
    straight = loft([(ring, float(i)) for i in range(len(middle))])
    bent = [
        point + radius * (ring[:, :1] * side + ring[:, 1:] * np.cross(direction, side))
        for point, direction in zip(middle, along, strict=True)
    ]
    return Mesh(np.concatenate(bent), straight.faces)


def bottle() -> Mesh:
    """A bottle with a neck."""
    return revolve([(0, 0), (0.17, 0), (0.18, 0.02), (0.18, 0.6), (0.07, 0.8), (0.07, 0.96), (0.075, 1), (0, 1)])


def can() -> Mesh:
    """A can with drawn-in ends."""
    return revolve([(0, 0), (0.24, 0), (0.27, 0.06), (0.27, 0.94), (0.24, 1), (0, 1)])


def bowl() -> Mesh:
    """A hollow bowl."""
    angle = np.linspace(-0.42 * np.pi, 0, 8)
    outer = np.column_stack((0.5 * np.cos(angle), 0.5 + 0.5 * np.sin(angle)))
    inner = np.column_stack((0.45 * np.cos(angle), 0.5 + 0.45 * np.sin(angle)))[::-1]
    return revolve([(0, outer[0, 1]), *outer, *inner, (0, inner[-1, 1])])


def plate() -> Mesh:
    """A shallow plate."""
    return revolve([(0, 0), (0.28, 0), (0.5, 0.08), (0.5, 0.1), (0.28, 0.025), (0, 0.025)])


def book() -> Mesh:
    """A closed book, lying."""
    return cube().scaled((1, 0.7, 0.15))


MAKERS = {
    "cone": cone,
    "cube": cube,
    "cylinder": cylinder,
    "hexagonal_prism": hexagonal_prism,
    "pyramid": pyramid,
    "rectangular_prism": rectangular_prism,
    "tetrahedron": tetrahedron,
    "triangular_prism": triangular_prism,
    "sphere": sphere,
    "mug": mug,
    "bottle": bottle,
    "can": can,
    "bowl": bowl,
    "plate": plate,
    "book": book,
}
"""Shapes that take no numbers."""
