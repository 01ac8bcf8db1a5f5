"""Keypoints: labels move with the images, symmetric objects are learned, poses come back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_env.errors import DREnvError
from dr_env.spatial import Intrinsics, apply, axis_angle, project, quat_to_matrix, rotation_angle, transform
from dr_env.vision import card
from dr_env.vision.crops import cut, move, place_in, undo, window
from dr_env.vision.estimator import to_images
from dr_env.vision.farthest import farthest_points
from dr_env.vision.keypoints import KeypointEstimator
from dr_env.vision.layers import bumps, grid
from dr_env.vision.pnp import solve
from dr_env.vision.samples import ObjectModel
from dr_env.vision.train import TrainSettings, train
from tests.vision.world import BOXES, Boxes, box

CAMERA = Intrinsics(640, 480, 570.0, 575.0, 321.0, 238.0)
HALF_TURNS = np.array([transform(np.diag(d), [0, 0, 0]) for d in ([1.0, -1, -1], [-1, 1.0, -1], [-1, -1, 1.0])])


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def cylinder() -> ObjectModel:
    """A can, 8 cm across and 12 cm high, with all its symmetries."""
    angles = np.arange(24) * (2 * np.pi / 24)
    rim = np.stack([0.04 * np.cos(angles), 0.04 * np.sin(angles)], -1)
    vertices = np.concatenate([np.column_stack([rim, np.full(24, z)]) for z in (-0.06, 0.06)])
    around = [(i, (i + 1) % 24) for i in range(24)]
    faces = [t for i, j in around for t in ((i, j, 24 + j), (i, 24 + j, 24 + i))]
    faces += [t for i in range(1, 23) for t in ((0, i + 1, i), (24, 24 + i, 25 + i))]
    flip = transform(np.diag([1.0, -1, -1]), [0, 0, 0])[None]
    axis = (np.array([0.0, 0, 1]), np.zeros(3))
    return ObjectModel(1, "can", vertices, np.array(faces, np.int32), 0.1442, flip, (axis,))


# points on the mesh, cut-outs


def test_keypoints_are_on_the_mesh_far_apart_and_always_the_same() -> None:
    points, half = farthest_points(BOXES[1], 8), BOXES[1].vertices.max(0)
    assert (np.abs(points) <= half + 1e-9).all() and np.isclose(np.abs(points), half).any(-1).all()
    apart = np.linalg.norm(points[:, None] - points, axis=-1) + np.eye(8)
    assert apart.min() > 0.05
    shuffled = dataclasses.replace(BOXES[1], vertices=BOXES[1].vertices[::-1], faces=7 - BOXES[1].faces)
    assert np.array_equal(farthest_points(shuffled, 12), farthest_points(BOXES[1], 12))
    assert len(np.unique(farthest_points(BOXES[1], 16), axis=0)) == 16


@settings(max_examples=25)
@given(st.floats(-30, 60), st.floats(-30, 60), st.floats(9, 90), st.integers(16, 96))
def test_a_cut_out_shows_what_lies_in_the_square(x: float, y: float, side: float, size: int) -> None:
    # a picture whose red and green are its own coordinates
    v, u = np.mgrid[:64, :64]
    image = np.stack([3 * u + 20, 3 * v + 20, np.full_like(u, 200)], -1).astype(np.uint8)
    square = (x, y, side, side)
    made = cut(image, square, size).astype(float)
    cells = grid(size, size).numpy().reshape(-1, 2)
    back = move(undo(place_in(square)), cells)
    assert move(place_in(square), back) == pytest.approx(cells, abs=1e-6)
    margin = 1.5 + side / size
    inside = ((back > margin) & (back < 63 - margin)).all(-1)
    colours = made.reshape(-1, 3)[inside]
    assert np.abs(colours[:, :2] - (3 * back[inside] + 20)).max(initial=0) < 2.5
    assert (made.reshape(-1, 3)[((back < -1 - margin) | (back > 64 + margin)).any(-1)] == 0).all()


def test_a_window_is_about_the_middle_of_its_box() -> None:
    assert window((10, 20, 4, 8), 1.5) == (6, 18, 12, 12)
    # the middle of pixels 10 to 13 is 11.5
    assert move(place_in(window((10, 20, 4, 8), 1.5)), np.array([[11.5, 23.5]])) == pytest.approx(np.zeros((1, 2)))


def test_heatmaps_have_their_place_as_their_mean() -> None:
    places = torch.rand(50, 2, generator=torch.Generator().manual_seed(0)) * 1.1 - 0.55
    heat = bumps(places, 16, 24, 1.0)
    assert torch.allclose(heat.sum((-2, -1)), torch.ones(50))
    assert torch.allclose(torch.einsum("nhw,hwc->nc", heat, grid(16, 24)), places, atol=2e-3)


# labels


def test_labels_move_with_the_pixels() -> None:
    """A dot painted on each keypoint is where the label says, after turning, scaling and shifting."""
    estimator = KeypointEstimator(BOXES, size=128, keypoints=8, turn=180, vary=0.2)
    camera = Intrinsics.from_fovy(320, 320, 40)
    pose = transform(quat_to_matrix(axis_angle([1.0, 2, 0.5], 0.9)), [0.05, -0.04, 0.8])
    pixels = project(estimator.points[0, 0].double().numpy(), camera, pose)
    scene = Boxes(1, size=320)[0]
    low, size = pixels.min(0), np.ptp(pixels, axis=0)
    frame = (float(low[0]), float(low[1]), float(size[0]), float(size[1]))
    annotation = dataclasses.replace(scene.annotations[0], camera_from_object=pose, box_visible=frame, box_amodal=None)
    generator = torch.Generator().manual_seed(5)
    offs: list[float] = []
    for number, (u, v) in enumerate(pixels[:-1]):
        image = np.zeros((320, 320, 3), np.uint8)
        centre = (round(float(u) * 256), round(float(v) * 256))
        cv2.circle(image, centre, 5 * 256, (255, 255, 255), -1, cv2.LINE_AA, 8)
        sample = dataclasses.replace(scene, image=image, intrinsics=camera, annotations=(annotation,))
        example = estimator.examples(sample, np.random.default_rng(0))[0]
        images = to_images(torch.from_numpy(example.pop("image")[None].repeat(6, 0)))
        labels = {name: torch.from_numpy(value[None].repeat(6, 0)) for name, value in example.items()}
        for give in (None, generator):
            shown, moved = estimator.view(images, labels, give)
            truth = estimator._truth(moved)[:, 0, number]
            mass = shown.mean(1)
            mean = torch.einsum("nhw,hwc->nc", mass, grid(128, 128)) / mass.sum((1, 2))[:, None]
            within = (truth.abs() < 0.85).all(-1)
            offs += ((mean - truth)[within] * 64).abs().amax(-1).tolist()
    assert len(offs) > 40
    assert max(offs) < 0.1  # pixels


# PnP


@given(st.integers(0, 10_000))
def test_pnp_gives_back_the_pose_also_with_wrong_keypoints(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rotation = quat_to_matrix(axis_angle(rng.normal(size=3), rng.uniform(0, 3.1)))
    pose = transform(rotation, [rng.uniform(-0.2, 0.2), rng.uniform(-0.2, 0.2), rng.uniform(0.5, 1.2)])
    points = farthest_points(BOXES[1], 12)
    pixels = project(points, CAMERA, pose) + rng.normal(0, 0.2, (12, 2))
    pixels[:3] += rng.uniform(-40, 40, (3, 2))
    confidence = np.r_[np.full(3, 0.5), np.full(9, 0.9)]
    found = solve(points, pixels, confidence, CAMERA, 3.0)
    assert found is not None
    assert np.linalg.norm(found[:3, 3] - pose[:3, 3]) < 0.012
    assert np.rad2deg(rotation_angle(found[:3, :3], rotation)) < 3
    assert np.abs(apply(found, points) - apply(pose, points)).max() < 0.02


def test_an_object_is_as_large_as_the_box_that_is_around_what_is_seen_of_it() -> None:
    """Of keypoints that are seen too near to the middle PnP takes it for small, and far away."""
    rng = np.random.default_rng(0)
    points, corners = farthest_points(BOXES[1], 16), BOXES[1].vertices
    far: dict[str, list[float]] = {"no box": [], "all of it": [], "half of it": [], "hidden": []}
    for _ in range(20):
        rotation = quat_to_matrix(axis_angle(rng.normal(size=3), rng.uniform(0, 3.1)))
        pose = transform(rotation, [*rng.uniform(-0.1, 0.1, 2), rng.uniform(0.5, 1.0)])
        seen, outline = project(points, CAMERA, pose), project(corners, CAMERA, pose)
        pixels = seen + 0.08 * (seen.mean(0) - seen)
        low, size = outline.min(0), np.ptp(outline, axis=0) + 1
        middle = tuple(low + 0.3 * size)
        boxes = {"no box": None, "all of it": (*low, *size), "half of it": (*low, 0.5 * size[0], size[1]),
                 "hidden": (*middle, *(0.4 * size))}  # fmt: skip
        for name, given_box in boxes.items():
            outline_box = None if given_box is None else (corners, given_box)
            found = solve(points, pixels, np.full(16, 0.5), CAMERA, 0.05 * size.max(), outline_box)
            assert found is not None
            far[name].append(np.log(found[2, 3] / pose[2, 3]))
    off = {name: float(np.median(values)) for name, values in far.items()}
    assert off["no box"] == pytest.approx(0.08, abs=0.01)
    assert 0 < off["all of it"] < 0.04 and off["all of it"] < off["half of it"] < 0.07, "three edges are known"
    assert far["hidden"] == far["no box"], "a box well within says nothing"


def test_pnp_without_enough_to_go_by_has_no_pose() -> None:
    points = farthest_points(BOXES[1], 8)
    assert solve(points[:3], np.zeros((3, 2)), np.ones(3), CAMERA, 3.0) is None
    assert solve(points, np.full((8, 2), np.nan), np.ones(8), CAMERA, 3.0) is None
    # keypoints that are all seen at one place would be those of an object a kilometre away
    crowded = 40 + 0.01 * np.random.default_rng(0).normal(size=(8, 2))
    assert solve(points, crowded, np.ones(8), CAMERA, 3.0) is None


# symmetry


def perfect(
    estimator: KeypointEstimator, row: int, pose: np.ndarray, motion: int
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Output that shows the keypoints of one symmetric pose, and the labels."""
    camera = Intrinsics.from_fovy(64, 64, 40)
    labels = {
        "row": torch.tensor([[row]]),
        "pose": torch.from_numpy(pose[:3].astype(np.float32))[None],
        "camera": torch.tensor([[camera.fx, camera.fy, camera.cx, camera.cy]]),
        "place": torch.from_numpy(place_in((0, 0, 64, 64)).astype(np.float32))[None],
    }
    heat = bumps(estimator._truth(labels)[:, motion], 16, 16, 1.0)
    output = torch.zeros(1, len(estimator.models), *heat.shape[1:])
    output[0, row] = heat[0].clamp(min=1e-9).log()
    return output, labels


@pytest.mark.parametrize("model", [cylinder(), box(1, "bar", (0.05, 0.08, 0.14), HALF_TURNS)], ids=lambda m: m.name)
def test_every_symmetric_pose_is_as_good_as_the_labelled_one(model: ObjectModel) -> None:
    estimator = KeypointEstimator({1: model}, size=64, width=8)
    count = len(model.motions())
    assert estimator.points.shape == (1, count, 13, 3)
    pose = transform(quat_to_matrix(axis_angle([1.0, 0.3, 0.2], 0.7)), [0.01, 0.02, 0.5])
    losses, errors = [], []
    for motion in range(0, count, 5 if count > 10 else 1):
        output, labels = perfect(estimator, 0, pose, motion)
        losses.append(estimator.loss(output, labels).item())
        errors.append(estimator.errors(output, labels).item())
    assert max(losses) - min(losses) < 1e-3 * max(losses) + 0.02
    assert max(errors) < 0.2
    plain = KeypointEstimator({1: dataclasses.replace(model, discrete=np.zeros((0, 4, 4)), continuous=())}, 64, 8)
    output, labels = perfect(estimator, 0, pose, count - 1)
    assert plain.loss(output, labels).item() > max(losses) + 1 and plain.errors(output, labels).item() > 2


def test_classes_with_fewer_symmetries_are_filled_up_and_change_nothing() -> None:
    models = {1: cylinder(), 2: BOXES[2]}
    both, alone = KeypointEstimator(models, 64, 8), KeypointEstimator({2: BOXES[2]}, 64, 8)
    assert both.points.shape[:2] == (2, 72) and alone.points.shape[:2] == (1, 1)
    assert torch.equal(both.points[1], alone.points[0].expand(72, -1, -1))


# the whole


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Boxes]:
    images = Boxes(20, size=160, turned=True, models={1: BOXES[1]})
    estimator = card.make("keypoints", images.models, 0, size=64, width=16, keypoints=8, turn=5.0, vary=0.05)
    how = TrainSettings(
        steps=200, batch=19, learning_rate=5e-3, held_out=0.05, threads=1, device="cpu", evaluate_every=200
    )
    return train(estimator, [images], tmp_path_factory.mktemp("learned") / "run", how), images


def test_it_learns_twenty_images_by_heart(learned: tuple[Path, Boxes]) -> None:
    estimator, images = card.load(learned[0]), learned[1]
    assert isinstance(estimator, KeypointEstimator)
    pixels, shares = [], []
    for index in range(20):
        sample = images[index]
        boxes = {a.class_id: [a.box_visible] for a in sample.annotations if a.box_visible}
        for estimate, truth in zip(estimator.estimate(sample, boxes), sample.annotations, strict=True):
            model = BOXES[truth.class_id]
            found = apply(estimate.camera_from_object, model.vertices)
            real = apply(truth.camera_from_object, model.vertices)
            shares.append(np.linalg.norm(found - real, axis=-1).mean() / model.diameter)
            assert estimate.keypoints is not None
            points = estimator.points[truth.class_id - 1, 0].double().numpy()
            there = project(points, sample.intrinsics, truth.camera_from_object)
            pixels.append(np.linalg.norm(estimate.keypoints - there, axis=-1).mean())
    assert np.median(pixels) < 1.0
    assert np.median(shares) < 0.1


def test_boxes_are_needed_and_their_classes_known(learned: tuple[Path, Boxes]) -> None:
    estimator, sample = card.load(learned[0]), learned[1][0]
    with pytest.raises(DREnvError, match="looks into boxes, and none are given"):
        estimator.estimate(sample)
    with pytest.raises(DREnvError, match=r"got a box of class 7, expected one of \[1\]"):
        estimator.estimate(sample, {7: [(0, 0, 10, 10)]})
    assert estimator.estimate(sample, {}) == []


def test_what_is_hidden_or_has_no_box_is_not_learned() -> None:
    estimator, sample = KeypointEstimator(BOXES, 64, 8), Boxes(1)[0]
    one, other = sample.annotations
    rng = np.random.default_rng(0)
    hidden = dataclasses.replace(one, visible_fraction=0.05)
    nowhere = dataclasses.replace(other, box_visible=None, box_amodal=None)
    assert estimator.examples(dataclasses.replace(sample, annotations=(hidden, nowhere)), rng) == []
    assert len(estimator.examples(sample, rng)) == 2


def test_images_without_labels_are_looked_at_in_their_boxes_or_anywhere() -> None:
    estimator, sample = KeypointEstimator(BOXES, 64, 8), Boxes(1)[0]
    rng = np.random.default_rng(0)
    given_boxes = estimator.unlabelled(sample, rng)
    assert [image.shape for image in given_boxes] == [(64, 64, 3)] * 2
    anywhere = estimator.unlabelled(dataclasses.replace(sample, annotations=()), rng)
    assert [image.shape for image in anywhere] == [(64, 64, 3)] * 4
    assert not np.array_equal(anywhere[0], anywhere[1])
