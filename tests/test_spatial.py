"""Rotations, rigid transforms and pinhole cameras obey their laws and agree with MuJoCo and OpenCV."""

from __future__ import annotations

import cv2
import mujoco
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_env import DREnvError
from dr_env import spatial as sp

seeds = st.integers(0, 2**32 - 1)


def _quats(seed: int, n: int = 16) -> np.ndarray:
    quats = np.random.default_rng(seed).normal(size=(n, 4))
    return quats / np.linalg.norm(quats, axis=-1, keepdims=True)


@given(seeds)
def test_quaternions_are_mujocos(seed: int) -> None:
    a, b = _quats(seed), _quats(seed + 1)
    for i in range(len(a)):
        product, matrix = np.zeros(4), np.zeros(9)
        mujoco.mju_mulQuat(product, a[i], b[i])
        mujoco.mju_quat2Mat(matrix, a[i])
        np.testing.assert_allclose(sp.quat_multiply(a[i], b[i]), product, atol=1e-14)
        np.testing.assert_allclose(sp.quat_to_matrix(a[i]), matrix.reshape(3, 3), atol=1e-14)


@given(seeds)
def test_quaternions_round_trip_and_compose(seed: int) -> None:
    a, b = _quats(seed), _quats(seed + 1)
    back = sp.matrix_to_quat(sp.quat_to_matrix(a))
    np.testing.assert_allclose(back, np.where(a[:, :1] < 0, -a, a), atol=1e-12)
    np.testing.assert_allclose(
        sp.quat_to_matrix(sp.quat_multiply(a, b)), sp.quat_to_matrix(a) @ sp.quat_to_matrix(b), atol=1e-12
    )
    np.testing.assert_allclose(sp.quat_multiply(a, sp.quat_conjugate(a)), [[1, 0, 0, 0]] * len(a), atol=1e-12)


@pytest.mark.parametrize("axis", np.eye(3))
@pytest.mark.parametrize("angle", [0.0, 1e-9, 1.0, np.pi - 1e-9, np.pi])
def test_half_turns_are_well_conditioned(axis: np.ndarray, angle: float) -> None:
    matrix = sp.quat_to_matrix(sp.axis_angle(axis, angle))
    np.testing.assert_allclose(sp.quat_to_matrix(sp.matrix_to_quat(matrix)), matrix, atol=1e-15)
    assert sp.rotation_angle(np.eye(3), matrix) == pytest.approx(angle, abs=1e-12)


@given(seeds)
def test_transforms_invert_and_move_points(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rigid = sp.transform(sp.quat_to_matrix(_quats(seed, 3)), rng.normal(size=(3, 3)))
    points = rng.normal(size=(3, 5, 3))
    np.testing.assert_allclose(sp.apply(sp.inverse(rigid), sp.apply(rigid, points)), points, atol=1e-12)
    homogeneous = np.concatenate([points, np.ones((3, 5, 1))], -1)
    np.testing.assert_allclose(sp.apply(rigid, points), np.einsum("nij,nkj->nki", rigid, homogeneous)[..., :3])


def _camera(seed: int) -> sp.Intrinsics:
    rng = np.random.default_rng(seed)
    return sp.Intrinsics(64, 48, *rng.uniform(30, 90, 2), *rng.uniform(10, 40, 2))


@given(seeds)
def test_projection_is_opencvs_and_unprojects(seed: int) -> None:
    camera, rng = _camera(seed), np.random.default_rng(seed)
    rigid = sp.transform(sp.quat_to_matrix(sp.axis_angle(rng.normal(size=3), 0.3)), [0.0, 0.0, 5.0])
    points = rng.normal(size=(7, 3))
    pixels = sp.project(points, camera, rigid)
    theirs, _ = cv2.projectPoints(points, cv2.Rodrigues(rigid[:3, :3])[0], rigid[:3, 3], camera.K, None)
    np.testing.assert_allclose(pixels, theirs[:, 0], atol=1e-9)
    moved = sp.apply(rigid, points)
    np.testing.assert_allclose(camera.unproject(pixels, moved[:, 2]), moved, atol=1e-9)


@given(seeds)
def test_cameras_round_trip_through_frusta_and_matrices(seed: int) -> None:
    camera = _camera(seed)
    half_width, center, bottom, top = camera.frustum(0.01)
    made = sp.Intrinsics.from_frustum(64, 48, 0.01, half_width, center, bottom, top)
    np.testing.assert_allclose(made.K, camera.K, rtol=1e-12)
    assert sp.Intrinsics.from_matrix(camera.K.reshape(-1), 64, 48) == camera
    np.testing.assert_allclose(camera.scaled(128, 96).scaled(64, 48).K, camera.K, rtol=1e-12)


def test_a_scaled_image_keeps_its_corners_and_a_window_its_pixels() -> None:
    camera, point = _camera(0), np.array([[0.2, -0.1, 2.0]])
    pixel = sp.project(point, camera)
    # the image's edges, at -0.5 and width - 0.5, stay its edges
    np.testing.assert_allclose(sp.project(point, camera.scaled(128, 96)) + 0.5, 2 * (pixel + 0.5))
    np.testing.assert_allclose(sp.project(point, camera.window(-5, 7, 10, 10)), pixel - [-5, 7])
    np.testing.assert_allclose(camera.rays()[11, 13] * 2, camera.unproject([13, 11], 2.0))


def test_what_is_behind_the_camera_is_nowhere() -> None:
    assert np.isnan(sp.project([[0.0, 0.0, -1.0], [0.0, 0.0, 0.0]], _camera(0))).all()
    assert not _camera(0).contains([[np.nan, 3.0]]).any()


def test_what_an_image_holds_ends_at_its_edges() -> None:
    inside = sp.Intrinsics.from_fovy(64, 48, 45).contains([[-0.5, 0], [-0.51, 0], [63.4, 47.4], [63.5, 0], [0, 47.5]])
    assert inside.tolist() == [True, False, True, False, False]


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: sp.Intrinsics(0, 4, 1, 1, 0, 0), "image of 0 x 4"),
        (lambda: sp.Intrinsics(4, 4, -1, 1, 0, 0), "expected fx > 0"),
        (lambda: sp.Intrinsics.from_fovy(4, 4, 180), "0 < fovy < 180"),
        (lambda: sp.Intrinsics.from_matrix([1, 2, 3], 4, 4), "got 3 numbers"),
        (lambda: sp.Intrinsics.from_matrix([1, 0.1, 0, 0, 1, 0, 0, 0, 1], 4, 4), "expected \\[\\[fx, 0, cx\\]"),
    ],
)
def test_impossible_cameras_are_refused(make: object, match: str) -> None:
    with pytest.raises(DREnvError, match=match):
        make()  # type: ignore[operator]


def _turned(axis: np.ndarray, offset: np.ndarray, angle: float) -> np.ndarray:
    rotation = sp.quat_to_matrix(sp.axis_angle(axis, angle))
    return sp.transform(rotation, offset - rotation @ offset)


@given(seeds, st.sampled_from([0, 2, 3, 5]), st.integers(0, 2))
def test_symmetries_leave_a_point_where_it_is(seed: int, order: int, axes: int) -> None:
    rng = np.random.default_rng(seed)
    start, offset = rng.normal(size=(2, 3))
    directions = rng.normal(size=(3, 3))
    turns = [_turned(directions[2], offset, 2 * np.pi * k / order) for k in range(1, order)]
    discrete = np.array(turns).reshape(-1, 4, 4) if not axes else np.zeros((0, 4, 4))
    continuous = [(axis, offset + rng.normal() * axis) for axis in directions[:axes]]
    point = sp.still(start, discrete, continuous)
    motions = [*discrete, *(_turned(axis, through, 1.0) for axis, through in continuous)]
    for motion in motions:
        np.testing.assert_allclose(sp.apply(motion, point[None])[0], point, atol=1e-8)
        np.testing.assert_allclose(sp.still(sp.apply(motion, start[None])[0], discrete, continuous), point, atol=1e-8)
    if not motions:
        assert (point == start).all()
