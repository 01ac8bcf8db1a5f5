"""The check that objects are where they were: what it lets pass, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from dr_env.errors import DREnvError
from dr_env.vision import kept
from tests.vision.discs import dim, discs

IMAGES, MASKS = discs(160, 0)
BEFORE, WHERE = discs(60, 1)
Images = np.ndarray


def _erased(images: Images) -> Images:
    """Each disc painted over with what lies around it."""
    return kept._erased(images, WHERE)


def _one_in_four_moved(images: Images) -> Images:
    made = images.copy()
    made[::4] = np.roll(images[::4], 5, 2)
    return made


@pytest.fixture(scope="module")
def finder() -> Iterator[kept.Finder]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield kept.train_finder(IMAGES, MASKS, steps=110)
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("change", "passes"),
    [
        (lambda images: images, True),
        (dim, True),
        (lambda images: 255 - (255 - images) // 2, True),  # half the contrast
        (lambda images: np.roll(images, 4, 2), False),
        (_one_in_four_moved, False),
        (_erased, False),
        (lambda images: np.full_like(images, 120), False),
    ],
    ids=["identity", "cast", "pale", "moved", "some moved", "erased", "blank"],
)
def test_what_passes(finder: kept.Finder, change: Callable[[Images], Images], passes: bool) -> None:
    verdict = kept.judge(finder, BEFORE, change(BEFORE), WHERE, 0.6)
    assert len(verdict.judged) > 50
    assert verdict.kept == passes, verdict.worst


def test_the_picture_shows_the_worst_first(finder: kept.Finder) -> None:
    after = BEFORE.copy()
    after[7] = np.roll(after[7], 9, 1)
    verdict = kept.judge(finder, BEFORE, after, WHERE, 0.6)
    shown = kept.picture(finder, BEFORE, after, WHERE, verdict, rows=3)
    assert shown.shape == (3 * 64, 4 * 64, 3)
    np.testing.assert_array_equal(shown[:64:2, :64:2], BEFORE[7])


def test_places_are_not_what_it_learns(finder: kept.Finder) -> None:
    """Discs that are always in the middle are missed all the same where they were erased."""
    middle = np.stack(
        [
            np.roll(i, 16 - np.argwhere(m).mean(0).round().astype(int), (0, 1))
            for i, m in zip(IMAGES, MASKS, strict=True)
        ]
    )
    where = np.stack([np.roll(m, 16 - np.argwhere(m).mean(0).round().astype(int), (0, 1)) for m in MASKS])
    found = kept.train_finder(middle[:120], where[:120], steps=70)
    before, masks = middle[120:], where[120:]
    verdict = kept.judge(found, before, kept._erased(before, masks), masks, 0.6)
    assert verdict.agreement.mean() < 0.2


def test_says_when_it_cannot_see() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        blind = kept.Finder().eval()
    with pytest.raises(DREnvError, match="cannot be said"):
        kept.judge(blind, BEFORE, BEFORE, WHERE, 0.6)
    with pytest.raises(DREnvError, match="no labelled object"):
        kept.train_finder(IMAGES[:4], np.zeros_like(MASKS[:4]), steps=1)
