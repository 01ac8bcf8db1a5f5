"""Errors of poses: laws, cases worked out by hand, and the benchmark's definitions computed another way."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from dr_env.evaluation import pose, recall
from dr_env.spatial import Array, Intrinsics, apply, axis_angle, project, quat_to_matrix, transform

CAMERA = Intrinsics(320, 240, 300.0, 310.0, 158.5, 121.0)
HALF_TURN = transform(np.diag([-1.0, -1.0, 1.0]), np.zeros(3))


def _poses(count: int, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    rotation = quat_to_matrix(rng.standard_normal((count, 4)))
    return transform(rotation, rng.uniform([-0.2, -0.2, 0.6], [0.2, 0.2, 1.2], (count, 3)))


def _near(true: Array, seed: int = 1, shift: float = 0.01, turn: float = 0.1) -> Array:
    rng = np.random.default_rng(seed)
    turned = quat_to_matrix(axis_angle(rng.standard_normal((len(true), 3)), rng.uniform(0, turn, len(true))))
    return transform(true[:, :3, :3] @ turned, true[:, :3, 3] + rng.uniform(-shift, shift, (len(true), 3)))


def _points(seed: int = 2, count: int = 90) -> Array:
    return np.random.default_rng(seed).uniform([-0.05, -0.03, -0.02], [0.05, 0.03, 0.02], (count, 3))


def _symmetric_points() -> Array:
    half = _points()
    return np.concatenate([half, apply(HALF_TURN, half)])


def _all_errors(estimated: Array, true: Array, points: Array, motions: Array) -> dict[str, Array]:
    return {
        "position": pose.position_error(estimated, true),
        "rotation": pose.rotation_error(estimated, true, motions),
        "add": pose.add(estimated, true, points),
        "add_s": pose.add_s(estimated, true, points),
        "reprojection": pose.reprojection_error(estimated, true, points, CAMERA.K, motions),
        "mssd": pose.mssd(estimated, true, points, motions),
        "mspd": pose.mspd(estimated, true, points, CAMERA.K, motions),
    }


def test_the_truth_has_no_error() -> None:
    true = _poses(5)
    for name, errors in _all_errors(true, true, _points(), pose.IDENTITY).items():
        np.testing.assert_allclose(errors, 0, atol=1e-9, err_msg=name)


def test_a_symmetry_changes_nothing() -> None:
    true = _poses(6)
    motions = np.stack([np.eye(4), HALF_TURN])
    points = _symmetric_points()
    estimated = _near(true)
    plain = _all_errors(estimated, true, points, motions)
    for turned in (
        _all_errors(estimated @ HALF_TURN, true, points, motions),
        _all_errors(estimated, true @ HALF_TURN, points, motions),
    ):
        for name in set(plain) - {"add"}:
            np.testing.assert_allclose(turned[name], plain[name], atol=1e-9, err_msg=name)
    assert (pose.add(estimated @ HALF_TURN, true, points) > 2 * plain["add"]).all()


def test_moving_camera_and_objects_together_changes_nothing() -> None:
    true, points = _poses(4), _points()
    estimated = _near(true)
    moved = _poses(1, 9)[0]
    before = _all_errors(estimated, true, points, pose.IDENTITY)
    after = _all_errors(moved @ estimated, moved @ true, points, pose.IDENTITY)
    for name in ("position", "rotation", "add", "add_s", "mssd"):
        np.testing.assert_allclose(after[name], before[name], atol=1e-9, err_msg=name)


def test_order_of_the_errors() -> None:
    true, points = _poses(40), _points()
    estimated = _near(true, turn=2.0, shift=0.05)
    found = _all_errors(estimated, true, points, pose.IDENTITY)
    assert (found["add_s"] <= found["add"] + 1e-12).all()
    assert (found["add"] <= found["mssd"] + 1e-12).all()
    assert (found["reprojection"] <= found["mspd"] + 1e-9).all()
    backwards = pose.add(true, estimated, points)
    np.testing.assert_allclose(backwards, found["add"], atol=1e-12)


def test_a_shift_alone() -> None:
    """All of it is known: every point moves by 3 cm in space, and by fx * 0.03 / z in the image of a flat plate."""
    plate = np.array([[x, y, 0.0] for x in (-0.05, 0.0, 0.05) for y in (-0.04, 0.04)])
    true = transform(np.eye(3), [[0.0, 0.0, 0.8]])
    estimated = transform(np.eye(3), [[0.03, 0.0, 0.8]])
    found = _all_errors(estimated, true, plate, pose.IDENTITY)
    for name in ("position", "add", "mssd"):
        np.testing.assert_allclose(found[name], 0.03, err_msg=name)
    for name in ("reprojection", "mspd"):
        np.testing.assert_allclose(found[name], CAMERA.fx * 0.03 / 0.8, err_msg=name)
    np.testing.assert_allclose(found["add_s"], (4 * 0.02 + 2 * 0.03) / 6)  # two columns of three meet a neighbour
    np.testing.assert_allclose(found["rotation"], 0)


def test_a_turn_about_an_axis_of_symmetry() -> None:
    """A ring's turn is no error; about an axis across, its rotation error is the angle."""
    steps = pose.SYMMETRY_STEPS
    about = quat_to_matrix(axis_angle(np.array([0.0, 0, 1]), np.arange(steps) * 2 * np.pi / steps))
    motions = transform(about, np.zeros(3))
    angles = np.arange(steps) * 2 * np.pi / steps
    ring = 0.1 * np.stack([np.cos(angles), np.sin(angles), np.zeros(steps)], -1)
    true = _poses(2)
    turned = true @ transform(quat_to_matrix(axis_angle([0, 0, 1], 1.234)), np.zeros(3))
    half_step = np.pi / steps
    found = _all_errors(turned, true, ring, motions)
    assert found["rotation"].max() <= half_step + 1e-9
    assert found["mssd"].max() <= 0.1 * half_step + 1e-9
    assert found["add_s"].max() <= 0.1 * half_step + 1e-9
    tilted = true @ transform(quat_to_matrix(axis_angle([1, 0, 0], 0.3)), np.zeros(3))
    np.testing.assert_allclose(pose.rotation_error(tilted, true, motions), 0.3, atol=1e-6)
    np.testing.assert_allclose(pose.mssd(tilted, true, ring, motions), 2 * 0.1 * np.sin(0.15), rtol=2e-4)


def test_the_definitions_point_by_point() -> None:
    """Loops as the definitions read, with distances to all points rather than a tree, and OpenCV's projection."""
    true, points = _poses(5), _points()
    estimated = _near(true, turn=1.0, shift=0.03)
    motions = np.stack([np.eye(4), HALF_TURN])
    found = _all_errors(estimated, true, points, motions)
    for i in range(5):
        here = apply(estimated[i], points)
        np.testing.assert_allclose(found["add_s"][i], cdist(apply(true[i], points), here).min(1).mean())
        surface, image = [], []
        for motion in motions:
            there = apply(true[i] @ motion, points)
            surface.append(np.sqrt(np.square(here - there).sum(1)).max())
            image.append(np.hypot(*(project(here, CAMERA) - project(there, CAMERA)).T))
        np.testing.assert_allclose(found["mssd"][i], min(surface))
        np.testing.assert_allclose(found["mspd"][i], min(distances.max() for distances in image))
        np.testing.assert_allclose(found["reprojection"][i], min(distances.mean() for distances in image))
        cosine = max(np.trace(estimated[i, :3, :3].T @ (true[i] @ motion)[:3, :3]) for motion in motions)
        np.testing.assert_allclose(found["rotation"][i], np.arccos((cosine - 1) / 2), atol=1e-7)


def test_batches_of_any_size_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    true, points = _poses(7), _points()
    motions = np.stack([np.eye(4), HALF_TURN, np.eye(4)])
    estimated = _near(true)
    whole = _all_errors(estimated, true, points, motions)
    for most in (1, 200, 2 * len(points)):
        monkeypatch.setattr(pose, "_MOST", most)
        for name, errors in _all_errors(estimated, true, points, motions).items():
            np.testing.assert_allclose(errors, whole[name], atol=1e-12, err_msg=name)


def test_many_symmetries_of_many_points_are_searched_well() -> None:
    """A finely meshed can: what is found with few points at first is what all points say."""
    steps = 120
    about = quat_to_matrix(axis_angle(np.array([0.0, 0, 1]), np.arange(steps) * 2 * np.pi / steps))
    flip = transform(np.diag([1.0, -1.0, -1.0]), np.zeros(3))
    motions = np.concatenate([transform(about, np.zeros(3)), transform(about, np.zeros(3)) @ flip])
    rng = np.random.default_rng(0)
    angle, height = rng.uniform(0, 2 * np.pi, 900), rng.uniform(-0.08, 0.08, 900)
    points = np.stack([0.04 * np.cos(angle), 0.04 * np.sin(angle), height], -1)
    true = _poses(6)
    estimated = _near(true @ motions[rng.integers(0, len(motions), 6)], turn=0.3)
    for measure in (
        lambda a, b, moves: pose.reprojection_error(a, b, points, CAMERA.K, moves),
        lambda a, b, moves: pose.mspd(a, b, points, CAMERA.K, moves),
        lambda a, b, moves: pose.mssd(a, b, points, moves),
    ):
        errors = measure(estimated, true, motions)
        least = np.min([measure(estimated, true, motion[None]) for motion in motions], axis=0)
        assert (errors >= least - 1e-12).all()
        np.testing.assert_allclose(errors, least, rtol=2e-3)
    far = _poses(6)[::-1] @ HALF_TURN  # greatest errors are exact however large they are
    for measure in (
        lambda a, b, moves: pose.mspd(a, b, points, CAMERA.K, moves),
        lambda a, b, moves: pose.mssd(a, b, points, moves),
    ):
        least = np.min([measure(far, true, motion[None]) for motion in motions], axis=0)
        np.testing.assert_allclose(measure(far, true, motions), least, rtol=1e-12)


def test_behind_the_camera_is_infinitely_wrong() -> None:
    true = _poses(1)
    behind = transform(np.eye(3), [[0.0, 0.0, -1.0]])
    assert np.isinf(pose.reprojection_error(behind, true, _points(), CAMERA.K)).all()
    assert np.isinf(pose.mspd(behind, true, _points(), CAMERA.K)).all()
    assert np.isfinite(pose.mssd(behind, true, _points())).all()


def _square(x: int, depth: float, size: int = 10) -> Array:
    image = np.zeros((CAMERA.height, CAMERA.width))
    image[100 : 100 + size, x : x + size] = depth
    return image


def test_visible_surface_discrepancy() -> None:
    true, empty = _square(100, 0.8), np.zeros((CAMERA.height, CAMERA.width))
    np.testing.assert_array_equal(pose.vsd(true, true, true, CAMERA, 0.1), 0)
    np.testing.assert_array_equal(pose.vsd(_square(150, 0.8), true, empty, CAMERA, 0.1), 1)
    np.testing.assert_array_equal(pose.vsd(empty, true, true, CAMERA, 0.1), 1)
    np.testing.assert_array_equal(pose.vsd(empty, empty, empty, CAMERA, 0.1), 1)
    # shifted by 5 of 10 columns: 50 pixels in both, 150 in either
    np.testing.assert_allclose(pose.vsd(_square(105, 0.8), true, empty, CAMERA, 0.1), 100 / 150)
    # 12 mm too near, a little more along slanted rays: wrong up to a tolerance of 0.1 diameters
    np.testing.assert_array_equal(
        pose.vsd(_square(100, 0.788), true, empty, CAMERA, 0.1), np.where(pose.TAUS < 0.12, 1.0, 0.0)
    )
    # what hides the right half hides it at both poses; the left half alone counts
    hidden = np.where(np.arange(CAMERA.width) >= 105, 0.5, true) * (true > 0)
    np.testing.assert_array_equal(pose.vsd(true, true, hidden, CAMERA, 0.1), 0)
    assert pose.vsd(_square(105, 0.8), true, hidden, CAMERA, 0.1)[0] == 1


def test_each_true_object_is_found_once() -> None:
    errors = [[0.01, 0.03], [0.02, 0.04], [0.0, 0.0]]  # three estimates of two objects
    scores = [0.9, 0.8, 0.1]
    bounds = np.array([0.01, 0.025, 0.035, 0.05])
    found = recall.matched(errors, scores, bounds)
    # the third estimate is not looked at; the first takes the first object, which leaves the second to the second
    np.testing.assert_array_equal(found, [[False, True, True, True], [False, False, False, True]])
    np.testing.assert_array_equal(recall.assigned(errors, scores), [0, 1])
    np.testing.assert_array_equal(recall.assigned(errors, [0.1, 0.8, 0.9]), [2, 1])
    np.testing.assert_array_equal(recall.assigned(np.zeros((0, 2)), []), [-1, -1])
    assert not recall.matched(np.zeros((0, 2)), [], bounds).any()
    np.testing.assert_array_equal(recall.assigned([[np.inf, np.inf], [np.inf, np.inf]], [1, 1]), [0, 1])


def test_area_under_the_recall() -> None:
    errors = np.random.default_rng(3).exponential(0.04, 400)
    bounds = np.linspace(0, recall.AUC_LIMIT, 20_001)
    curve = (errors[:, None] < bounds).mean(0)
    np.testing.assert_allclose(recall.area(errors).mean(), curve.mean(), atol=1e-3)
    np.testing.assert_array_equal(recall.area([0.0, np.inf]), [1, 0])
