"""Procedural shapes and their symmetries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation

from dr_env.scene import Mesh, find_symmetries, shapes
from dr_env.scene.rests import find_rests, within
from dr_env.scene.symmetry import Surface, SymmetryGroup
from dr_env.spatial import diameter
from dr_env.spec import SHAPES, TOBIN

# how many rotations but the identity leave each of Tobin's shapes as it was; None is an axis of all turns
ROTATIONS = {
    "cone": (0, 1),
    "cube": (23, 0),
    "cylinder": (1, 1),
    "hexagonal_prism": (11, 0),
    "pyramid": (3, 0),
    "rectangular_prism": (3, 0),
    "tetrahedron": (11, 0),
    "triangular_prism": (5, 0),
}


def test_the_eight_shapes_of_tobin_are_there() -> None:
    assert set(TOBIN) == set(ROTATIONS)
    assert set(shapes.MAKERS) | {"superquadric", "extrusion", "compound"} == set(SHAPES)


@pytest.mark.parametrize("name", sorted(shapes.MAKERS))
def test_shapes_are_closed_and_face_outwards(name: str) -> None:
    mesh = shapes.MAKERS[name]()
    assert mesh.closed
    assert mesh.volume > 0
    assert np.ptp(mesh.vertices, axis=0).max() == pytest.approx(1, abs=0.2)


def test_volumes_are_those_of_geometry() -> None:
    n = shapes.SEGMENTS
    circle = n / 2 * np.sin(2 * np.pi / n) * 0.25  # of the polygon that stands for it
    exact = {
        "cube": 1.0,
        "cone": circle / 3,
        "cylinder": circle,
        "pyramid": 1 / 3,
        "tetrahedron": 1 / (6 * np.sqrt(2)),
        "triangular_prism": np.sqrt(3) / 4,
        "hexagonal_prism": 0.8 * 3 * np.sqrt(3) / 8,
        "rectangular_prism": 0.24,
    }
    for name, volume in exact.items():
        assert shapes.MAKERS[name]().volume == pytest.approx(volume), name


@settings(max_examples=20, deadline=None)
@given(north=st.floats(0.1, 2.0), east=st.floats(0.1, 2.0))
def test_superquadrics_are_closed_and_fill_their_box(north: float, east: float) -> None:
    mesh = shapes.superquadric(north, east)
    assert mesh.closed
    assert mesh.volume > 0
    np.testing.assert_allclose(mesh.box, [[-0.5] * 3, [0.5] * 3])
    power = np.abs(2 * mesh.vertices)
    level = (power[:, 0] ** (2 / east) + power[:, 1] ** (2 / east)) ** (east / north) + power[:, 2] ** (2 / north)
    np.testing.assert_allclose(level, 1, atol=1e-6)  # Barr's implicit equation


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), corners=st.integers(3, 12), backwards=st.booleans())
def test_extrusions_hold_the_area_of_their_outline(seed: int, corners: int, backwards: bool) -> None:
    outline = shapes.star(np.random.default_rng(seed), corners)
    x, y = outline.T
    area = abs((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2
    mesh = shapes.extrusion(outline[::-1] if backwards else outline)
    assert mesh.closed
    assert mesh.volume == pytest.approx(area)


@pytest.mark.parametrize("name", TOBIN)
def test_symmetries_are_found_and_true(name: str) -> None:
    turn = Rotation.from_euler("xyz", [0.3, -1.0, 2.0]).as_matrix()
    mesh = shapes.MAKERS[name]().centred().scaled(0.1).turned(turn).moved([0.2, 0.1, -0.3])
    group = find_symmetries(mesh)
    assert (len(group.discrete), len(group.axes)) == ROTATIONS[name]
    surface = Surface(mesh)
    for motion in group.discrete:
        moved = mesh.vertices @ motion[:3, :3].T + motion[:3, 3]
        assert surface.distance(moved).max() < 0.006 * mesh.diameter
        assert np.linalg.det(motion[:3, :3]) == pytest.approx(1)
    for axis, offset in zip(group.axes, group.offsets, strict=True):
        rotation = Rotation.from_rotvec(1.234 * axis).as_matrix()
        moved = (mesh.vertices - offset) @ rotation.T + offset
        assert surface.distance(moved).max() < 0.006 * mesh.diameter


def test_what_looks_alike_from_nowhere_has_no_symmetry() -> None:
    assert len(find_symmetries(shapes.mug().centred())) == 0
    ball = find_symmetries(shapes.sphere())
    np.testing.assert_array_equal(ball.axes, np.eye(3))
    assert len(SymmetryGroup.of()) == 0


def test_distances_to_a_surface_are_exact() -> None:
    surface = Surface(shapes.cube().centred())
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (200, 3))
    outside = np.linalg.norm(np.maximum(np.abs(points) - 0.5, 0), axis=1)
    inside = np.where(np.abs(points).max(axis=1) < 0.5, 0.5 - np.abs(points).max(axis=1), 0)
    np.testing.assert_allclose(surface.distance(points), outside + inside, atol=1e-9)


def test_bodies_rest_on_faces_below_their_centre() -> None:
    mesh = shapes.pyramid().centred()
    centre = np.array([0, 0, -0.25])
    rests = find_rests(mesh, centre)
    assert len(rests.poses) == 5
    for rest in rests.poses:
        assert rest.low == pytest.approx((mesh.vertices @ rest.rotation.T)[:, 2].min())
        assert rest.base is not None
        assert within(rest.centre, rest.base)
    cube = find_rests(shapes.cube().centred(), np.zeros(3))
    np.testing.assert_allclose(cube.odds, 1 / 6, atol=1e-3)
    turned = cube.poses[0].turned(0.7)
    np.testing.assert_allclose(turned.low, -0.5)
    vertices = shapes.cube().centred().vertices @ turned.rotation.T
    assert np.abs(vertices[:, :2]).max() == pytest.approx(np.abs(turned.outline).max())


def test_diameter_and_hull() -> None:
    mesh = Mesh.of(shapes.mug().vertices, shapes.mug().faces)
    apart = np.linalg.norm(mesh.vertices[:, None] - mesh.vertices[None], axis=2).max()
    assert mesh.diameter == pytest.approx(apart)
    assert mesh.hull.closed
    assert mesh.hull.volume > mesh.volume


@pytest.mark.parametrize("count", [2, 50, 3000])
def test_a_diameter_is_the_largest_distance(count: int) -> None:
    rng = np.random.default_rng(count)
    for points in (
        rng.normal(size=(count, 3)),
        rng.normal(size=(count, 3)) + 1e4,
        rng.normal(size=(count, 3)) * [1, 5, 0],
    ):
        on_ball = points - points.mean(0)
        on_ball /= np.maximum(np.linalg.norm(on_ball, axis=1, keepdims=True), 1e-9)
        for each in (points, on_ball):
            assert diameter(each) == pytest.approx(pdist(each).max(), rel=1e-12)
