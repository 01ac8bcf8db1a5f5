"""Colours matched to others'."""

from __future__ import annotations

import numpy as np
import pytest

from dr_env.vision.colour import Histogram, Matching, Statistics
from tests.vision.discs import dim, discs

IMAGES, MASKS = discs(12, 0)
OTHERS = dim(discs(12, 1)[0])


@pytest.mark.parametrize(("kind", "slack"), [(Statistics, 1), (Histogram, 0)])
def test_an_image_s_own_colours_change_nothing(kind: type[Statistics | Histogram], slack: int) -> None:
    grey = np.full((8, 8, 3), 100, np.uint8)
    for image in (*IMAGES[:3], grey):
        assert np.abs(kind.of(image).onto(image).astype(int) - image).max() <= slack


def test_histograms_undo_what_keeps_the_order_of_levels() -> None:
    made = Histogram.of(dim(IMAGES[0])).onto(IMAGES[0])
    # levels that the dim image lost cannot come back; the others are exact
    assert np.abs(made.astype(int) - dim(IMAGES[0])).mean() < 0.5


def test_statistics_become_the_other_s() -> None:
    wanted = Statistics.of(OTHERS[0])
    # a little of what was asked for is outside what RGB can show
    found = Statistics.of(wanted.onto(IMAGES[0]))
    assert np.abs(found.mean - wanted.mean).max() < 1.5
    assert np.abs(found.deviation - wanted.deviation).max() < 2


def test_what_has_no_colours_gets_a_cast_alone() -> None:
    """The noise of 8 bits is not blown up to the colours of a colourful target."""
    levels = np.random.default_rng(0).integers(0, 256, (48, 64, 1), dtype=np.uint8).repeat(3, 2)
    made = Statistics.of(Statistics.of(OTHERS[0]).onto(levels // 2 + 60))
    assert made.deviation[0] == pytest.approx(Statistics.of(OTHERS[0]).deviation[0], rel=0.1)
    assert made.deviation[1:].max() < 0.5 < Statistics.of(OTHERS[0]).deviation[1:].min()
    flat = np.full((48, 64, 3), 100, np.uint8)
    flat[0, 0] = 101, 100, 100
    assert np.ptp(Statistics.of(OTHERS[0]).onto(flat).astype(int), axis=(0, 1)).max() <= 2


def test_pooled_is_that_of_all_pixels_together() -> None:
    joined = np.concatenate(list(OTHERS[:3]))
    both = Statistics.pooled([Statistics.of(image) for image in OTHERS[:3]]), Statistics.of(joined)
    np.testing.assert_allclose(both[0].mean, both[1].mean, rtol=1e-6)
    np.testing.assert_allclose(both[0].deviation, both[1].deviation, rtol=1e-6)
    pooled = Histogram.pooled([Histogram.of(image) for image in OTHERS[:3]])
    np.testing.assert_allclose(pooled.cumulative, Histogram.of(joined).cumulative)


@pytest.mark.parametrize("method", ["statistics", "histogram"])
@pytest.mark.parametrize("against", ["image", "pool"])
def test_matching_removes_a_cast(method: str, against: str) -> None:
    matching = Matching(method, list(OTHERS), against)
    made = np.stack([matching(image, mask, f"{k}") for k, (image, mask) in enumerate(zip(IMAGES, MASKS, strict=True))])
    wanted = OTHERS.mean((0, 1, 2))
    assert np.abs(IMAGES.mean((0, 1, 2)) - wanted).max() > 30
    assert np.abs(made.mean((0, 1, 2)) - wanted).max() < 6
    np.testing.assert_array_equal(made[3], matching(IMAGES[3], MASKS[3], "3"))  # by name, whatever came before
