"""Labels against projections of vertices, analytic shapes and laws."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from dr_env.export.annotate import ObjectLabels, annotate
from dr_env.export.keypoints import KeypointState, keypoint_states
from dr_env.records import Frame, ObjectView, Silhouette
from dr_env.rendering import capture
from dr_env.spatial import Intrinsics, apply, box_corners, inverse, project
from tests.rendering.scenes import HEIGHT, NAMES, WIDTH, renderer, scene, why_not

REASON = why_not("classic")
needs_gl = pytest.mark.skipif(bool(REASON), reason=REASON or "OpenGL works")


@pytest.fixture(scope="module")
def seen() -> tuple[Frame, dict[str, ObjectLabels]]:
    if REASON:
        pytest.skip(REASON)
    model, data, objects = scene()
    # a keypoint on each face of the boxes
    pointed = tuple(
        dataclasses.replace(item, keypoints=np.concatenate([np.diag(item.low), np.diag(item.high)])) for item in objects
    )
    with renderer("classic", model) as made:
        frame = capture(made, model, data, "eye", pointed)
    return frame, dict(zip(NAMES, annotate(frame), strict=True))


def test_amodal_boxes_are_those_of_projected_vertices(seen: tuple[Frame, dict[str, ObjectLabels]]) -> None:
    frame, labels = seen
    for name in ("cube", "front"):
        view = labels[name].view
        pixels = project(apply(view.camera_from_object, box_corners(view.low, view.high)), frame.intrinsics)
        np.testing.assert_allclose(labels[name].corner_pixels, pixels)
        box = labels[name].box_amodal
        assert box is not None
        x, y, width, height = box
        # a pixel is covered when its centre is, so the box ends within a pixel inside the vertices
        low, high = pixels.min(0), pixels.max(0)
        assert np.ceil(low) == pytest.approx([x, y], abs=1)
        assert np.floor(high) == pytest.approx([x + width - 1, y + height - 1], abs=1)


def test_poses_put_vertices_where_the_simulator_has_them(seen: tuple[Frame, dict[str, ObjectLabels]]) -> None:
    frame, labels = seen
    _, data, objects = scene()
    for item in objects:
        world = apply(inverse(frame.camera_from_world) @ labels[item.name].view.camera_from_object, np.eye(3))
        expected = data.xpos[item.body] + data.xmat[item.body].reshape(3, 3).T
        np.testing.assert_allclose(world, expected, atol=1e-12)


def test_fractions_sum_to_one_and_say_where_the_rest_is(seen: tuple[Frame, dict[str, ObjectLabels]]) -> None:
    frame, labels = seen
    for name, label in labels.items():
        total = label.visible_fraction + label.occluded_fraction + label.truncated_fraction
        assert total == pytest.approx(0 if name == "away" else 1)
        assert label.px_visible == (frame.instance == label.view.instance).sum()
        assert label.px_visible <= label.px_inside <= label.px_all
        assert label.px_valid == label.px_inside or name in ("pair", "away")  # a sky has no depth
    assert labels["front"].visible_fraction == 1
    assert labels["ball"].occluded_fraction > 0.1 and labels["ball"].truncated_fraction == 0
    assert labels["edge"].truncated_fraction > 0.3 and labels["edge"].occluded_fraction == 0
    assert labels["away"].box_amodal is None and labels["away"].box_visible is None


def test_visible_boxes_are_those_of_visible_masks(seen: tuple[Frame, dict[str, ObjectLabels]]) -> None:
    frame, labels = seen
    for label in labels.values():
        mask = frame.instance == label.view.instance
        assert (label.visible.mask(HEIGHT, WIDTH) == mask).all()
        if mask.any():
            rows, columns = np.nonzero(mask)
            assert label.box_visible == (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)


def test_keypoints_on_faces_turned_away_are_hidden_by_their_own_object(
    seen: tuple[Frame, dict[str, ObjectLabels]],
) -> None:
    _, labels = seen
    for name in ("cube", "front"):
        label = labels[name]
        view = label.view
        # the middle of a face is seen when its normal points towards the camera
        half = np.concatenate([np.diag(view.low), np.diag(view.high)])
        points = apply(view.camera_from_object, half)
        normals = (half / np.linalg.norm(half, axis=1, keepdims=True)) @ view.camera_from_object[:3, :3].T
        faces = -(normals * points).sum(1)
        clear = np.abs(faces) > 0.02
        expected = np.where(faces > 0, KeypointState.VISIBLE, KeypointState.SELF_OCCLUDED)
        assert clear.sum() >= 4
        assert (label.keypoint_states[clear] == expected[clear]).all()
        assert (label.coco_visibility == np.where(label.keypoint_states == KeypointState.VISIBLE, 2, 1)).all()
    assert (labels["away"].keypoint_states == KeypointState.TRUNCATED).all()
    assert (labels["away"].coco_visibility == 0).all()


def test_keypoint_states_of_a_made_up_picture() -> None:
    depth = np.full((20, 30), 2.0, np.float32)
    instance = np.zeros((20, 30), np.int32)
    depth[5:15, 5:15], instance[5:15, 5:15] = 1.0, 1
    depth[8:12, 16:24], instance[8:12, 16:24] = 0.5, 2
    depth[:, 28:] = 0  # nothing is seen here
    pixels = np.array([[10, 10], [10, 10], [20, 10], [4.4, 10], [29, 3], [-0.6, 3], [29.49, 3], [np.nan, 3]])
    z = np.array([1.0, 1.5, 1.0, 1.05, 9.0, 1.0, 1.0, -1.0])
    states = keypoint_states(pixels, z, depth, instance, 1, 0.01)
    kind = KeypointState
    assert states.tolist() == [
        kind.VISIBLE,  # on the surface
        kind.SELF_OCCLUDED,  # half a metre behind its own
        kind.OCCLUDED,  # behind the other object
        kind.SELF_OCCLUDED,  # behind its own edge, beside which the background shows
        kind.VISIBLE,  # before nothing
        kind.TRUNCATED,
        kind.VISIBLE,
        kind.TRUNCATED,
    ]


def test_hidden_corners_at_outlines_are_not_visible() -> None:
    """Corners of a box behind another's outline, beside which the background shows; and those at its own outline."""
    depth = np.full((20, 30), 2.0, np.float32)
    instance = np.zeros((20, 30), np.int32)
    depth[5:15, 5:15], instance[5:15, 5:15] = 0.5, 2  # something before a tip at (4.6, 10)
    depth[5:15, 20:25], instance[5:15, 20:25] = 1.0, 1
    pixels = np.array([[4.6, 10], [19.6, 10], [19.6, 10], [27.0, 10.0]])
    states = keypoint_states(pixels, np.array([1.0, 1.0, 1.3, 1.0]), depth, instance, 1, 0.01)
    kind = KeypointState
    # behind the other; at its own edge; at its own edge but further back; a tip between pixels' centres
    assert states.tolist() == [kind.OCCLUDED, kind.VISIBLE, kind.SELF_OCCLUDED, kind.VISIBLE]


def test_depths_beyond_what_is_stored_are_not_valid(seen: tuple[Frame, dict[str, ObjectLabels]]) -> None:
    frame, labels = seen
    near = labels["cube"]
    middle = float(np.median(frame.depth[frame.instance == near.view.instance]))
    found = {label.view.name: label for label in annotate(frame, middle)}["cube"]
    assert 0 < found.px_valid < near.px_valid == near.px_inside
    assert annotate(frame, 0.01)[0].px_valid == 0


def test_silhouettes_round_trip_and_are_cut_by_the_image() -> None:
    rng = np.random.default_rng(0)
    canvas = np.zeros((60, 90), bool)  # an image of 20 x 30 with its own size around it
    canvas[10:35, 20:70] = rng.random((25, 50)) < 0.3
    canvas[10, 20] = canvas[34, 69] = True
    outline = Silhouette.of(canvas, -30, -20)
    assert outline.count == canvas.sum() and outline.box == (-10, -10, 50, 25)
    assert (outline.mask(20, 30) == canvas[20:40, 30:60]).all()
    assert outline.within(20, 30).sum() == canvas[20:40, 30:60].sum()
    outside = Silhouette.of(np.ones((3, 3), bool), -3, 40)
    assert not outside.mask(20, 30).any() and outside.within(20, 30).size == 0 and outside.count == 9
    assert Silhouette.of(np.zeros((4, 4), bool)).box is None


def test_labels_need_no_renderer() -> None:
    """A square that is half hidden and half out of the image."""
    camera = Intrinsics(20, 10, 10.0, 10.0, 9.5, 4.5)
    instance = np.zeros((10, 20), np.int32)
    instance[2:4, 0:3] = 1
    view = ObjectView(1, "a", 1, "square", np.eye(4), -np.ones(3), np.ones(3), Silhouette(np.ones((4, 6), bool), -3, 2))
    frame = Frame(
        0,
        np.zeros((10, 20, 3), np.uint8),
        np.ones((10, 20), np.float32),
        instance,
        instance,
        camera,
        np.eye(4),
        (view,),
    )
    (label,) = annotate(frame)
    assert (label.visible_fraction, label.occluded_fraction, label.truncated_fraction) == (0.25, 0.25, 0.5)
    assert label.box_amodal == (-3, 2, 6, 4) and label.box_visible == (0, 2, 3, 2)
    assert np.isnan(label.corner_pixels[label.corners[:, 2] <= 0]).all()
