"""Adaptation to images without labels: it helps where the world looks otherwise, and harms nothing where it does not."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from dr_env.errors import DREnvError
from dr_env.vision import card
from dr_env.vision.align import METHODS, AdaBN, Alignment, alignment, ramp
from dr_env.vision.estimator import Estimator, to_images
from dr_env.vision.hooks import Hook
from dr_env.vision.samples import Images
from dr_env.vision.train import TrainSettings, train
from tests.vision.shifts import Change, Shifted, cast, faint, same
from tests.vision.world import Boxes

SIZE = 32
SOURCE = Boxes(192, 0, SIZE, name="source")
TARGET = Boxes(96, 5, SIZE, name="target")
TEST = Boxes(64, 9, SIZE, name="test")


def _error(estimator: Estimator, images: Images) -> float:
    """Mean error on labelled images, cm."""
    found = [e for i in range(len(images)) for e in estimator.examples(images[i], np.random.default_rng(0))]
    labels = {name: torch.from_numpy(np.stack([e[name] for e in found])) for name in found[0] if name != "image"}
    with torch.inference_mode():
        output = estimator.eval()(to_images(torch.from_numpy(np.stack([e["image"] for e in found]))))
        return float(estimator.errors(output, labels).nanmean())


def _trained(folder: Path, hooks: tuple[Hook, ...] = (), steps: int = 120) -> Estimator:
    estimator = card.make("position", SOURCE.models, 0, size=SIZE, width=16)
    settings = TrainSettings(steps=steps, batch=32, threads=1, device="cpu")
    train(estimator, [SOURCE], folder, settings, hooks=hooks)
    return estimator


def _hook(name: str, change: Change) -> Alignment:
    return alignment(name, Shifted(TARGET, change, labelled=False), 32)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Estimator:
    return _trained(tmp_path_factory.mktemp("plain") / "run")


@pytest.mark.parametrize("change", [cast, faint])
def test_the_shifts_hurt(plain: Estimator, change: Change) -> None:
    assert _error(plain, Shifted(TEST, change)) > 2.5 * _error(plain, TEST)


@pytest.mark.parametrize("change", [cast, faint])
def test_statistics_of_the_target_help(plain: Estimator, change: Change) -> None:
    adapted, hook = copy.deepcopy(plain), _hook("adabn", change)
    hook.begin(adapted)
    hook.finish(adapted)
    shifted = Shifted(TEST, change)
    assert _error(adapted, shifted) < 0.5 * _error(plain, shifted)
    for (name, was), now in zip(plain.named_parameters(), adapted.parameters(), strict=True):
        assert torch.equal(was, now), name  # no weight moves
    assert not adapted.training
    assert all(layer.momentum == 0.1 for layer in adapted.modules() if isinstance(layer, torch.nn.BatchNorm2d))


def test_statistics_of_the_same_world_change_little(plain: Estimator) -> None:
    adapted, hook = copy.deepcopy(plain), _hook("adabn", same)
    hook.begin(adapted)
    hook.finish(adapted)
    assert _error(adapted, TEST) < 1.25 * _error(plain, TEST) + 0.1


@pytest.mark.parametrize("name", ["coral", "dann"])
def test_aligned_features_help(plain: Estimator, name: str, tmp_path: Path) -> None:
    shifted = Shifted(TEST, faint)
    assert _error(_trained(tmp_path / "run", (_hook(name, faint),)), shifted) < 0.6 * _error(plain, shifted)


@pytest.mark.parametrize("name", ["coral", "dann"])
def test_aligning_with_the_same_world_harms_little(plain: Estimator, name: str, tmp_path: Path) -> None:
    assert _error(_trained(tmp_path / "run", (_hook(name, same),)), TEST) < 1.4 * _error(plain, TEST) + 0.1


@pytest.mark.parametrize("name", ["coral", "dann"])
def test_what_is_aligned_comes_together(plain: Estimator, name: str) -> None:
    """The loss of features that come from the target itself is that of no shift."""
    estimator = copy.deepcopy(plain).train()
    hook = _hook(name, cast)
    hook.begin(estimator)
    # batches of the target against batches of the target, and against the source
    alike = estimator.encode(hook._stream.at(7, torch.device("cpu")))
    images = np.stack([SOURCE[k].image for k in range(32)])
    other = estimator.encode(to_images(torch.from_numpy(images)))
    losses = [float(hook.loss(features, 50, 100).detach()) for features in (alike, other)]  # type: ignore[union-attr]
    assert all(np.isfinite(losses))
    if name == "coral":
        assert losses[0] < losses[1]


def test_gradients_of_the_features_are_turned_round(plain: Estimator) -> None:
    estimator = copy.deepcopy(plain).train()
    hook = _hook("dann", cast)
    hook.begin(estimator)
    features = torch.randn(8, 16, 8, 8, requires_grad=True)
    before = float(hook.loss(features, 100, 100).detach())  # type: ignore[union-attr]
    hook.loss(features, 100, 100).backward()  # type: ignore[union-attr, no-untyped-call]
    assert features.grad is not None
    # a step against the gradient, which lowers what is trained on, makes the classifier worse
    worse = float(hook.loss(features.detach() - 20 * features.grad, 100, 100).detach())  # type: ignore[union-attr]
    assert worse > before
    assert len(list(hook.parameters())) == len(hook.state_dict()) == 6


def test_going_on_ends_at_the_same_weights(tmp_path: Path) -> None:
    whole = _trained(tmp_path / "whole", (_hook("dann", cast),), steps=6)

    class Stop(Exception):
        pass

    def stop(done: object) -> None:
        if getattr(done, "step", 0) == 4:
            raise Stop

    settings = TrainSettings(steps=6, batch=32, threads=1, device="cpu", checkpoint_every=3)
    cut = card.make("position", SOURCE.models, 0, size=SIZE, width=16)
    with pytest.raises(Stop):
        train(cut, [SOURCE], tmp_path / "cut", settings, hooks=(_hook("dann", cast),), progress=stop)
    rest = card.make("position", SOURCE.models, 0, size=SIZE, width=16)
    train(rest, [SOURCE], tmp_path / "cut", settings, hooks=(_hook("dann", cast),))
    for a, b in zip(whole.state_dict().values(), rest.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_bad_input_is_told(plain: Estimator) -> None:
    with pytest.raises(DREnvError, match=r"no adaptation 'corall'; did you mean 'coral'"):
        alignment("corall", TARGET)
    assert sorted(METHODS) == ["adabn", "coral", "dann"]
    with pytest.raises(DREnvError, match=r"target: got 96 target images, expected a batch of 97 at least"):
        alignment("coral", TARGET, 97).begin(plain)

    class Plain(torch.nn.Module):
        kind = "plain"

    with pytest.raises(DREnvError, match="no batch normalisation"):
        AdaBN(TARGET).begin(Plain())  # type: ignore[arg-type]


def test_the_weight_grows_as_published() -> None:
    assert ramp(0, 100) == 0
    assert ramp(50, 100) == pytest.approx(2 / (1 + np.exp(-5)) - 1)
    assert ramp(100, 100) > 0.9999
