"""The benchmark trains for real."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest
import torch

from dr_env.vision import benchmark
from dr_env.vision.bank import Bank
from dr_env.vision.images import open_images
from dr_env.vision.position import PositionEstimator
from tests.vision.made_datasets import write


def test_rounds_train_and_alternate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "_BATCH", 4)
    monkeypatch.setattr(benchmark, "_STEPS", 2)
    monkeypatch.setattr(benchmark, "_ROUNDS", 3)
    torch.set_num_threads(1)
    images = open_images(write(tmp_path / "data", 9) / "bop")
    estimator = PositionEstimator(images.models, size=32, width=8)
    before = {name: value.clone() for name, value in estimator.state_dict().items()}
    with Bank(estimator, [images], tmp_path / "bank", workers=0) as bank:
        fed, held = benchmark._alternate(estimator, bank)
    assert len(fed) == len(held) == 3 and min(fed + held) > 0
    assert any(not torch.equal(value.cpu(), before[name]) for name, value in estimator.state_dict().items())


def test_it_is_a_command() -> None:
    (point,) = metadata.entry_points(group="dr_env.benchmarks", name="vision")
    assert point.value == "dr_env.cli.vision_bench:vision" and callable(point.load())
