"""Positions: what is learned from an image, in which frame, and what is said of one without a camera."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
import torch

from dr_env.errors import DREnvError
from dr_env.spatial import apply, axis_angle, inverse, quat_to_matrix, transform
from dr_env.vision.estimator import Estimate
from dr_env.vision.judge import Look, judge
from dr_env.vision.position import PositionEstimator
from dr_env.vision.samples import Sample
from tests.vision.world import BOXES, CAMERA_FROM_WORLD, Boxes

RNG = np.random.default_rng(0)


def made(frame: str = "camera") -> PositionEstimator:
    torch.manual_seed(1)
    return PositionEstimator(BOXES, frame, 32, 8)  # type: ignore[arg-type]


def test_classes_shown_once_are_known_and_hidden_ones_are_not_sure() -> None:
    estimator, sample = made(), Boxes(1, size=32)[0]
    one, other = sample.annotations
    cases = {
        "once": ((one, other), [1, 1], [1, 1]),
        "absent": ((one,), [1, 0], [1, 1]),
        "twice": ((one, other, other), [1, 0], [1, 0]),
        "nearly hidden": ((one, dataclasses.replace(other, visible_fraction=0.05)), [1, 0], [1, 0]),
        "a second one is hidden": ((one, other, dataclasses.replace(other, visible_fraction=0.0)), [1, 1], [1, 1]),
        "hidden": ((one, dataclasses.replace(other, visible_fraction=0.0)), [1, 0], [1, 1]),
    }
    for name, (shown, known, sure) in cases.items():
        (example,) = estimator.examples(dataclasses.replace(sample, annotations=shown), RNG)
        assert example["known"].tolist() == known and example["present"].tolist() == known, name
        assert example["sure"].tolist() == sure, name
    assert estimator.examples(dataclasses.replace(sample, annotations=(other, other)), RNG) == []


def test_what_is_unknown_teaches_nothing() -> None:
    estimator = made()
    (example,) = estimator.examples(
        dataclasses.replace((s := Boxes(1, size=32)[0]), annotations=s.annotations[:1]), RNG
    )
    labels = {name: torch.from_numpy(value[None]) for name, value in example.items() if name != "image"}
    output = torch.randn(1, 2, 4 + 64)
    output[..., 4:] = torch.log_softmax(output[..., 4:], -1)
    before = estimator.loss(output, labels)
    labels["position"][0, 1], labels["pixel"][0, 1] = 7.0, 0.5
    assert torch.equal(estimator.loss(output, labels), before)
    labels["position"][0, 0] = 7.0
    assert estimator.loss(output, labels) > before


def test_positions_are_of_the_frame_asked_for() -> None:
    sample = Boxes(1, size=32)[0]
    (camera,), (world,) = made("camera").examples(sample, RNG), made("world").examples(sample, RNG)
    back = apply(inverse(CAMERA_FROM_WORLD), camera["position"].astype(float))
    assert world["position"] == pytest.approx(back, abs=1e-6)
    assert np.array_equal(camera["pixel"], world["pixel"])
    with pytest.raises(DREnvError, match=r"boxes/0: does not say where its camera is, .* or the frame 'camera'"):
        made("world").examples(dataclasses.replace(sample, camera_from_world=None), RNG)


def test_squeezed_images_keep_where_things_are_seen() -> None:
    sample = Boxes(1, size=96)[0]
    wide = cv2.resize(sample.image, (160, 96), interpolation=cv2.INTER_LINEAR)
    stretched = dataclasses.replace(sample, image=wide, intrinsics=sample.intrinsics.scaled(160, 96))
    (one,), (other,) = made().examples(sample, RNG), made().examples(stretched, RNG)
    assert other["image"].shape == (32, 32, 3)
    assert other["pixel"] == pytest.approx(one["pixel"], abs=1e-6)
    assert np.abs(other["image"].astype(int) - one["image"].astype(int)).mean() < 4


def test_scales_are_the_training_positions_and_the_camera_their_mean() -> None:
    estimator = made("world")
    images, examples = Boxes(40, size=32), []
    for index in range(40):
        turned = transform(quat_to_matrix(axis_angle([0, 0, 1], 0.1 * (-1) ** index)), np.zeros(3)) @ CAMERA_FROM_WORLD
        annotations = images[index].annotations[: 1 + index % 2]
        examples += estimator.examples(
            dataclasses.replace(images[index], camera_from_world=turned, annotations=annotations), RNG
        )
    labels = {name: np.stack([e[name] for e in examples]) for name in examples[0]}
    estimator.prepare(labels)
    for row in (0, 1):
        of_class = labels["position"][labels["known"][:, row] > 0, row].astype(float)
        assert estimator.mean[row].numpy() == pytest.approx(of_class.mean(0), abs=1e-6)
        assert estimator.spread[row].numpy() == pytest.approx(of_class.std(0).clip(0.01), abs=1e-6)
    assert estimator.camera_from_world.numpy() == pytest.approx(CAMERA_FROM_WORLD, abs=1e-6)
    never = {**labels, "known": labels["known"] * np.array([1.0, 0.0])}
    estimator.prepare(never)
    assert estimator.mean[1].numpy() == pytest.approx(estimator.mean[0].numpy(), abs=1e-6)
    with pytest.raises(DREnvError, match="no image shows any class exactly once"):
        estimator.prepare({**labels, "known": 0 * labels["known"]})


def test_a_model_of_the_world_says_the_same_through_any_camera() -> None:
    estimator = made("world")
    estimator.camera_from_world.copy_(torch.from_numpy(CAMERA_FROM_WORLD))
    sample = Boxes(1, size=32)[0]

    def positions(shown: Sample) -> np.ndarray:
        return np.array([e.camera_from_object[:3, 3] for e in estimator.estimate(shown)])

    moved = CAMERA_FROM_WORLD @ transform(quat_to_matrix(axis_angle([1, 2, 3], 0.4)), [0.1, 0.2, 0.3])
    other = dataclasses.replace(sample, camera_from_world=moved)
    world = apply(inverse(CAMERA_FROM_WORLD), positions(sample))
    assert apply(inverse(moved), positions(other)) == pytest.approx(world, abs=1e-6)
    unknown = dataclasses.replace(sample, camera_from_world=None)
    assert positions(unknown) == pytest.approx(positions(sample), abs=1e-6)
    assert all(0 < e.score < 1 and e.keypoints is None for e in estimator.estimate(sample))


def test_poses_that_look_alike_are_at_one_place() -> None:
    """A part with a threefold axis that misses its model's origin: one label, one pixel, and no error."""
    turns = [quat_to_matrix(axis_angle([0.0, 0.0, 1.0], angle)) for angle in (2 * np.pi / 3, 4 * np.pi / 3)]
    offset = np.array([0.02, 0.01, 0.0])
    motions = np.array([transform(turn, offset - turn @ offset) for turn in turns])
    models = {1: dataclasses.replace(BOXES[1], discrete=motions), 2: BOXES[2]}
    torch.manual_seed(1)
    estimator = PositionEstimator(models, "camera", 32, 8)
    sample = Boxes(1, size=32, turned=True)[0]
    one, other = sample.annotations
    seen = []
    for motion in (np.eye(4), *motions):
        pose = one.camera_from_object @ motion
        alike = dataclasses.replace(sample, annotations=(dataclasses.replace(one, camera_from_object=pose), other))
        (example,) = estimator.examples(alike, RNG)
        seen.append(example)
        said = (Estimate(1, transform(np.eye(3), example["position"][0]), 1.0),)
        turned = (Estimate(1, one.camera_from_object, 1.0),)
        for estimates, rotates in ((said, False), (turned, True)):
            look = Look(0, 0, 0, sample.intrinsics, alike.annotations[:1], estimates, 0.0)
            assert judge([look], models, rotates).errors["position"] == pytest.approx([0.0], abs=1e-7)
    for each in seen[1:]:
        assert each["position"] == pytest.approx(seen[0]["position"], abs=1e-6)
        assert each["pixel"] == pytest.approx(seen[0]["pixel"], abs=1e-5)
    middle = apply(one.camera_from_object, offset[None])[0]
    assert seen[0]["position"][0] == pytest.approx(middle, abs=1e-6)
