"""Colours of one image made those of others: the cheap baseline of refinement.

A pixel's new colour depends on its old one alone, so nothing moves. Two ways:

- statistics: mean and deviation of each channel of a decorrelated colour space. Reinhard, Ashikhmin, Gooch, Shirley,
  "Color transfer between images", IEEE CG&A 21(5), 2001, equations 10 and 11. They use Ruderman's l-alpha-beta; this is
  CIE L*a*b*, which does not take the logarithm of black.
- histogram: the cumulative histogram of each of R, G and B. Gonzalez and Woods, "Digital image processing", section
  3.3, histogram specification.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dr_env import rng
from dr_env.spatial import Array

Pixels = NDArray[np.uint8]

_LEVELS = 256
_LEAST = 1.0  # of a deviation: below it are the rounding to 8 bits (up to 0.3) and OpenCV's own (0.1), no colours


@dataclass(frozen=True, eq=False)
class Statistics:
    """Mean and standard deviation (3,) of pixels in CIE L*a*b*, and of how many."""

    mean: Array
    deviation: Array
    count: int

    @classmethod
    def of(cls, image: Pixels) -> Statistics:
        """Of an image (h, w, 3) RGB."""
        lab = _to_lab(image).reshape(-1, 3).astype(np.float64)
        return cls(lab.mean(0), lab.std(0), len(lab))

    @classmethod
    def pooled(cls, parts: list[Statistics]) -> Statistics:
        """Of all pixels of several images."""
        counts = np.array([part.count for part in parts], np.float64)
        weights = (counts / counts.sum())[:, None]
        means = np.array([part.mean for part in parts])  # (n, 3)
        mean = (weights * means).sum(0)
        variance = (weights * (np.array([part.deviation for part in parts]) ** 2 + (means - mean) ** 2)).sum(0)
        return cls(mean, np.sqrt(variance), int(counts.sum()))

    def onto(self, image: Pixels) -> Pixels:
        """An image (h, w, 3) with these statistics in place of its own, clipped to what RGB can show.

        Where a channel hardly varies, its mean alone is changed: a grey image takes a cast and no colours.
        """
        lab = _to_lab(image)
        own = Statistics.of(image)
        scale = np.where(own.deviation < _LEAST, 1.0, self.deviation / np.maximum(own.deviation, _LEAST))
        return _to_rgb(((lab - own.mean) * scale + self.mean).astype(np.float32))


@dataclass(frozen=True, eq=False)
class Histogram:
    """Cumulative share (3, 256) of pixels up to each level of R, G and B, and of how many."""

    cumulative: Array
    count: int

    @classmethod
    def of(cls, image: Pixels) -> Histogram:
        """Of an image (h, w, 3) RGB."""
        counts = [np.bincount(image[..., k].reshape(-1), minlength=_LEVELS) for k in range(3)]
        pixels = image.shape[0] * image.shape[1]
        return cls(np.cumsum(np.array(counts, np.float64), 1) / pixels, pixels)

    @classmethod
    def pooled(cls, parts: list[Histogram]) -> Histogram:
        """Of all pixels of several images."""
        total = sum(part.count for part in parts)
        return cls(np.asarray(sum(part.cumulative * (part.count / total) for part in parts)), total)

    def onto(self, image: Pixels) -> Pixels:
        """An image (h, w, 3) with each level moved to the one of equal cumulative share."""
        own = Histogram.of(image).cumulative
        made = np.empty_like(image)
        for k in range(3):
            middle = own[k] - 0.5 * np.diff(own[k], prepend=0.0)  # a level stands for the middle of its pixels
            table = np.minimum(np.searchsorted(self.cumulative[k], middle), _LEVELS - 1).astype(np.uint8)
            made[..., k] = table[image[..., k]]
        return made


def _to_lab(image: Pixels) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)


def _to_rgb(lab: NDArray[np.float32]) -> Pixels:
    rgb = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    return np.asarray(np.rint(np.clip(rgb, 0, 1) * 255), np.uint8)


class Matching:
    """Gives images the colours of target images.

    Args:
        method: "statistics" or "histogram".
        targets: images (h, w, 3).
        against: "image", each time a random one of them, or "pool", all their pixels together.
        seed: of which image is taken.
    """

    def __init__(self, method: str, targets: Sequence[Pixels], against: str = "image", seed: int = 0) -> None:
        self._seed = seed
        self._looks: list[Statistics] | list[Histogram]
        if method == "statistics":
            means = [Statistics.of(image) for image in targets]
            self._looks = means if against == "image" else [Statistics.pooled(means)]
        else:
            shares = [Histogram.of(image) for image in targets]
            self._looks = shares if against == "image" else [Histogram.pooled(shares)]

    def __call__(self, image: Pixels, mask: NDArray[np.bool_], name: str) -> Pixels:
        """The image in a target's colours; which target's depends on its name."""
        which = int(rng.generator("colour", self._seed, name).integers(len(self._looks)))
        return self._looks[which].onto(image)
