"""Augmentation that changes looks and moves nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dr_env.errors import DREnvError
from dr_env.vision.augment import augmentation
from dr_env.vision.estimator import to_images
from tests.vision.discs import discs

IMAGES, MASKS = discs(48, 0)
BATCH = to_images(torch.from_numpy(IMAGES))


def _drawn(preset: str, seed: int) -> torch.Tensor:
    chain = augmentation(preset)
    assert chain is not None
    return chain.augment(BATCH, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("preset", ["light", "strong"])
def test_follows_from_the_generator_alone(preset: str) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = _drawn(preset, 5)
    assert torch.equal(before, torch.get_rng_state())  # nobody else's numbers are used up
    torch.manual_seed(2)
    assert torch.equal(first, _drawn(preset, 5))
    assert not torch.equal(first, _drawn(preset, 6))
    assert first.shape == BATCH.shape
    assert first.min() >= 0 and first.max() <= 1


def test_labels_stay_true() -> None:
    made = _drawn("strong", 0).permute(0, 2, 3, 1).numpy()
    down, across = np.mgrid[:32, :32]
    off = []
    for image, mask in zip(made, MASKS, strict=True):
        # the disc is what differs most from the ground, whatever became of the colours
        ground = np.median(image[~mask], axis=0)
        weight = (np.linalg.norm(image - ground, axis=-1) > 0.5 * np.linalg.norm(image[mask].mean(0) - ground)) & (
            np.hypot(down - down[mask].mean(), across - across[mask].mean()) < 9
        )
        off.append(np.hypot(down[weight].mean() - down[mask].mean(), across[weight].mean() - across[mask].mean()))
    assert np.median(off) < 0.7  # pixels


def test_strong_changes_more_than_light() -> None:
    changes = [float((_drawn(preset, 0) - BATCH).abs().mean()) for preset in ("light", "strong")]
    assert 0.01 < changes[0] < 0.7 * changes[1]


def test_none_and_unknown_names() -> None:
    assert augmentation("none") is None
    with pytest.raises(DREnvError, match=r"no augmentation 'stong'; did you mean 'strong'"):
        augmentation("stong")
