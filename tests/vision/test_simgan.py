"""The refiner: what it starts as, what it learns, and that an interruption changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from dr_env.errors import DREnvError
from dr_env.vision.simgan import Crops, Refiner, SimGan, SimGanSettings
from tests.vision.discs import dim, discs

IMAGES, MASKS = discs(80, 0)
OTHERS = dim(discs(80, 1)[0])
FEW = SimGanSettings(steps=5, warm_up=3, batch=4, crop=24, width=8, blocks=1, history=8)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _gan(settings: SimGanSettings) -> SimGan:
    return SimGan(Crops(IMAGES, MASKS), Crops(OTHERS), settings)


def test_starts_as_the_identity_at_any_size() -> None:
    refiner = Refiner(8, 2)
    for shape in ((32, 32), (21, 47)):
        image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
        np.testing.assert_array_equal(refiner.refined(image), image)


def test_an_interruption_changes_nothing(tmp_path: Path) -> None:
    whole = _gan(FEW).fit(tmp_path / "whole")
    for done in (2, 6):  # in the warm-up, and after it
        cut = _gan(FEW)
        for _ in range(done):
            cut.step()
        cut.save(tmp_path / f"{done}" / "simgan.safetensors")
        rest = _gan(FEW).fit(tmp_path / f"{done}")
        for a, b in zip(whole.parameters(), rest.parameters(), strict=True):
            assert torch.equal(a, b)


def test_other_settings_and_damage_are_told(tmp_path: Path) -> None:
    path = tmp_path / "simgan.safetensors"
    _gan(FEW).save(path)
    with pytest.raises(DREnvError, match="other settings"):
        _gan(SimGanSettings(steps=6, warm_up=3, batch=4, crop=24, width=8, blocks=1, history=8)).load(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DREnvError, match="damaged"):
        _gan(FEW).load(path)
    with pytest.raises(DREnvError, match="even batch"):
        SimGanSettings(batch=5)


@pytest.fixture(scope="module")
def refined(tmp_path_factory: pytest.TempPathFactory) -> dict[float, np.ndarray]:
    """Refined images by what a change of the object costs."""
    made = {}
    for price in (0.5, 20.0):
        settings = SimGanSettings(
            steps=110, warm_up=30, batch=8, crop=32, width=12, blocks=2, history=64, rate=1.5e-3,
            keep_object=price, keep_background=0.3,
        )  # fmt: skip
        refiner = _gan(settings).fit(tmp_path_factory.mktemp("gan"))
        made[price] = np.stack([refiner.refined(image) for image in IMAGES])
    return made


def test_images_come_to_look_like_the_target(refined: dict[float, np.ndarray]) -> None:
    wanted = OTHERS.mean((0, 1, 2))
    before, after = IMAGES.mean((0, 1, 2)) - wanted, refined[0.5].mean((0, 1, 2)) - wanted
    assert np.linalg.norm(after) < 0.5 * np.linalg.norm(before)


def test_the_object_s_own_weight_keeps_it(refined: dict[float, np.ndarray]) -> None:
    change = {price: np.abs(made.astype(int) - IMAGES).mean(-1) for price, made in refined.items()}
    assert change[20.0][MASKS].mean() < 0.6 * change[0.5][MASKS].mean()
    assert change[20.0][MASKS].mean() < 0.6 * change[20.0][~MASKS].mean()
