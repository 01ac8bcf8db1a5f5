"""An estimator's card: what is saved comes back, and what does not fit is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save

from dr_env.errors import DREnvError
from dr_env.spatial import transform
from dr_env.vision import card
from dr_env.vision.samples import ObjectModel
from tests.vision.world import BOXES, Boxes

SPUN = ObjectModel(
    3,
    "spun",
    BOXES[1].vertices,
    BOXES[1].faces,
    BOXES[1].diameter,
    transform(np.diag([1.0, -1, -1]), [0, 0, 0.01])[None],
    ((np.array([0.0, 0, 1]), np.array([0.01, 0, 0])), (np.array([0.0, 1, 0]), np.zeros(3))),
)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [("position", {"frame": "world", "size": 32, "width": 8}), ("keypoints", {"size": 48, "width": 8, "keypoints": 6})],
)
def test_what_is_saved_comes_back(kind: str, settings: dict[str, Any], tmp_path: Path) -> None:
    estimator = card.make(kind, {1: BOXES[1], 3: SPUN}, 5, **settings)
    card.save(estimator, tmp_path, {"error": 1.5})
    again = card.load(tmp_path)
    assert type(again) is type(estimator) and again.settings() == estimator.settings()
    assert settings.items() <= again.settings().items()
    images = torch.rand(2, 3, estimator.size, estimator.size)
    assert torch.equal(estimator.eval()(images), again(images))
    assert card.read(tmp_path)["training"] == {"error": 1.5}
    for number, model in estimator.models.items():
        other = again.models[number]
        assert (other.class_id, other.name, other.diameter) == (model.class_id, model.name, model.diameter)
        assert np.array_equal(other.vertices, model.vertices) and np.array_equal(other.faces, model.faces)
        assert np.array_equal(other.motions(), model.motions())
    sample = Boxes(1, size=64)[0]
    boxes = {1: [sample.annotations[0].box_visible or (0.0, 0.0, 9.0, 9.0)]}
    for one, two in zip(estimator.estimate(sample, boxes), again.estimate(sample, boxes), strict=True):
        assert np.array_equal(one.camera_from_object, two.camera_from_object) and one.score == two.score


def test_first_weights_depend_on_the_seed_alone() -> None:
    before = torch.random.get_rng_state()
    one, same, other = (card.make("position", BOXES, seed, size=32, width=8) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(one.state_dict()["place.weight"], same.state_dict()["place.weight"])
    assert not torch.equal(one.state_dict()["place.weight"], other.state_dict()["place.weight"])


def test_saving_again_leaves_one_estimator(tmp_path: Path) -> None:
    card.save(card.make("position", BOXES, 1, size=32, width=8), tmp_path, {})
    card.save(card.make("position", BOXES, 2, size=32, width=8), tmp_path, {})
    assert len(list(tmp_path.glob("weights-*.safetensors"))) == 1 and len(list(tmp_path.iterdir())) == 2
    second = card.make("position", BOXES, 2, size=32, width=8)
    assert torch.equal(card.load(tmp_path).state_dict()["place.weight"], second.state_dict()["place.weight"])


def test_weights_of_other_shapes_are_refused(tmp_path: Path) -> None:
    card.save(card.make("position", BOXES, 1, size=32, width=8), tmp_path, {})
    file = next(tmp_path.glob("*.safetensors"))
    tensors = load_file(file)

    def put(tensors: dict[str, torch.Tensor]) -> None:
        data = save(tensors)
        name = f"weights-{hashlib.blake2b(data, digest_size=8).hexdigest()}.safetensors"
        (tmp_path / name).write_bytes(data)
        form = json.loads((tmp_path / "card.json").read_text())
        (tmp_path / "card.json").write_text(json.dumps({**form, "weights": name}))

    put({**tensors, "network.place.weight": torch.zeros(3, 5)})
    with pytest.raises(DREnvError, match=r"place.weight: got shape \(3, 5\), expected \(3, 24\) of this position"):
        card.load(tmp_path)
    put({name: value for name, value in tensors.items() if name != "network.place.bias"})
    with pytest.raises(DREnvError, match=r"place.bias: got shape none, expected \(3,\)"):
        card.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "dr_env/run/1"}, "format: got 'dr_env/run/1', expected 'dr_env/estimator/1'"),
        ({"kind": "keypoint"}, "no kind of estimator 'keypoint'; did you mean 'keypoints'"),
        ({"settings": {"depth": 3}}, "settings: .* 'depth'"),
        ({"settings": {"size": 33}}, "size: got 33, expected a multiple of 16"),
        ({"classes": {"9": {"name": "nine", "diameter": 1}}}, "classes: do not fit"),
        ({"weights": "../other.safetensors"}, "other.safetensors: cannot be read"),
        ({"training": None}, "training: got None, expected a dict"),
    ],
)
def test_cards_that_do_not_fit_are_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    card.save(card.make("position", BOXES, 1, size=32, width=8), tmp_path, {})
    path = tmp_path / "card.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(DREnvError, match=message):
        card.load(tmp_path)


def test_damaged_and_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DREnvError, match=r"holds no trained estimator, it has no card\.json"):
        card.load(tmp_path)
    card.save(card.make("position", BOXES, 1, size=32, width=8), tmp_path, {})
    file = next(tmp_path.glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(DREnvError, match=f"{file.name}: damaged"):
        card.load(tmp_path)
    card.save(card.make("position", BOXES, 1, size=32, width=8), tmp_path, {})
    whole = bytearray(file.read_bytes())
    whole[-100] ^= 1  # one bit of one weight
    file.write_bytes(whole)
    with pytest.raises(DREnvError, match="damaged: its content is not what its name says"):
        card.load(tmp_path)
    (tmp_path / "card.json").write_text("{")
    with pytest.raises(DREnvError, match=r"card\.json: not JSON"):
        card.load(tmp_path)


def test_settings_of_another_kind_are_refused() -> None:
    with pytest.raises(DREnvError, match="keypoints: no setting 'frame'; settings: keypoints, min_visible, size"):
        card.make("keypoints", BOXES, 0, frame="world")
    with pytest.raises(DREnvError, match="frame: got 'table', expected 'world' or 'camera'"):
        card.make("position", BOXES, 0, frame="table")
