"""Features of images."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from dr_env import DREnvError
from dr_env.spatial import Intrinsics
from dr_env.vision.card import load, save
from dr_env.vision.estimator import pooled, to_images
from dr_env.vision.features import EncodedFeatures, make_features
from dr_env.vision.filters import FilterBank
from dr_env.vision.position import PositionEstimator
from dr_env.vision.samples import ObjectModel, Sample


def pictures(n: int = 6, height: int = 36, width: int = 48) -> np.ndarray:
    rng = np.random.default_rng(0)
    rough = rng.integers(0, 256, (n, 9, 12, 3), np.uint8)
    return np.array([cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC) for image in rough])


class Means(nn.Module):
    """Mean colours."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(2, 3))


class Wrong(nn.Module):
    """One number for all."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean()


class Lost(nn.Module):
    """Nothing finite."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(2, 3)) * torch.nan


def number() -> int:
    return 3


def test_an_encoder_is_shown_what_it_was_trained_on() -> None:
    """Enlarged images as well."""
    box = ObjectModel(1, "box", np.eye(3), np.array([[0, 1, 2]], np.int32), 1.4)
    estimator, images = PositionEstimator({1: box}, size=64, width=8).eval(), pictures()
    rng, camera = np.random.default_rng(0), Intrinsics(48, 36, 50, 50, 23.5, 17.5)
    shown = np.concatenate([estimator.unlabelled(Sample("", image, camera), rng) for image in images])
    with torch.inference_mode():
        wanted = pooled(estimator.encode(to_images(torch.from_numpy(shown))))
    np.testing.assert_allclose(EncodedFeatures(estimator, "own")(images), wanted.numpy(), rtol=1e-5)


def test_the_bank_is_a_function_of_each_image_alone() -> None:
    bank, images = FilterBank(), pictures()
    features = bank(images)
    assert features.shape == (6, 195)
    assert np.isfinite(features).all()
    assert np.array_equal(bank(images[2:4]), features[2:4])
    assert np.isfinite(bank(np.zeros((1, 36, 48, 3), np.uint8))).all(), "of black as well"


def test_the_bank_tells_looks_apart() -> None:
    """Each change moves the features further than half a pixel's shift does."""
    bank, images = FilterBank(), pictures(1, 72, 96)
    image = images[0]

    def away(other: np.ndarray) -> float:
        return float(np.linalg.norm(bank(other[None]) - bank(images)))

    shift = np.float32([[1, 0, 0.5], [0, 1, 0]])
    least = away(cv2.warpAffine(image, shift, (96, 72), borderMode=cv2.BORDER_REPLICATE))
    darker = (image * 0.7).astype(np.uint8)
    warmer = np.clip(image * np.array([1.15, 1.0, 0.8]), 0, 255).astype(np.uint8)
    blurred = cv2.GaussianBlur(image, (0, 0), 2.0)
    noisy = np.clip(image + np.random.default_rng(1).normal(0, 12, image.shape), 0, 255).astype(np.uint8)
    turned = np.ascontiguousarray(image[:, ::-1])
    for changed in (darker, warmer, blurred, noisy, turned):
        assert away(changed) > 1.5 * least


def test_size_matters_little() -> None:
    bank, large = FilterBank(), pictures(4, 144, 192)
    small = np.array([cv2.resize(image, (96, 72), interpolation=cv2.INTER_AREA) for image in large])
    between = np.linalg.norm(bank(large)[0] - bank(large)[1])
    assert np.linalg.norm(bank(large) - bank(small), axis=1).max() < 1e-9 * between + 1e-6


def model() -> ObjectModel:
    return ObjectModel(1, "cube", np.eye(3), np.array([[0, 1, 2]], np.int32), 1.4)


def test_an_estimators_own(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    estimator = PositionEstimator({1: model()}, size=32, width=8)
    features = EncodedFeatures(estimator, "run")(pictures())
    assert features.shape == (6, estimator.encode(torch.zeros(1, 3, 32, 32)).shape[1])
    save(estimator, tmp_path / "run", {})
    again = make_features(str(tmp_path / "run"), load)
    assert again.name == str(tmp_path / "run")
    assert np.array_equal(again(pictures()), features)


def test_the_users_own_module() -> None:
    features = make_features("tests.vision.test_features:Means", load)
    images = pictures(70)
    assert np.allclose(features(images), images.mean(axis=(1, 2)) / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bnak", "features: got 'bnak', expected bank, package.module:factory, or the folder"),
        ("tests.vision.nothing:Means", "tests.vision.nothing: cannot import it"),
        ("tests.vision.test_features:Mean", "did you mean 'Means'"),
        ("tests.vision.test_features:number", "made int, expected a torch.nn.Module"),
    ],
)
def test_what_is_no_feature_is_refused(text: str, message: str) -> None:
    with pytest.raises(DREnvError, match=message):
        make_features(text, load)


def test_what_a_module_gives_is_checked() -> None:
    with pytest.raises(DREnvError, match=r"got shape \(\) for 6 images, expected vectors"):
        make_features("tests.vision.test_features:Wrong", load)(pictures())
    with pytest.raises(DREnvError, match="not finite"):
        make_features("tests.vision.test_features:Lost", load)(pictures())


def test_what_fails_in_a_users_module_is_told_as_such() -> None:
    with pytest.raises(
        DREnvError, match=r"test_features:Grey: fails on 6 x 3 x .* numbers of images, 0 to 1: .*channels"
    ):
        make_features("tests.vision.test_features:Grey", load)(pictures())
    with pytest.raises(DREnvError, match=r"wants\(\) fails: TypeError: .*missing 1 required positional argument"):
        make_features("tests.vision.test_features:wants", load)


class Grey(torch.nn.Conv2d):
    """Takes grey images alone."""

    def __init__(self) -> None:
        super().__init__(1, 4, 3)


def wants(channels: int) -> torch.nn.Module:
    return torch.nn.Conv2d(channels, 4, 3)
