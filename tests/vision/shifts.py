"""The world's boxes as other cameras and renderers would show them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from dr_env.vision.samples import Images, ObjectModel, Sample

Pixels = NDArray[np.uint8]
Change = Callable[[Pixels, int], Pixels]


def cast(image: Pixels, index: int) -> Pixels:
    """A dim room with a blue lamp."""
    return np.asarray(np.clip(image * np.array([0.5, 0.75, 1.0]) + np.array([0, 10, 60]), 0, 255), np.uint8)


def faint(image: Pixels, index: int) -> Pixels:
    """Little contrast, and a coarse grain."""
    grain = np.random.default_rng(index).normal(0, 1, (image.shape[0] // 2, image.shape[1] // 2, 1))
    coarse = cv2.resize(grain, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)[..., None]
    return np.asarray(np.clip(110 + 0.4 * (image.astype(np.float64) - 110) + 14 * coarse, 0, 255), np.uint8)


def same(image: Pixels, index: int) -> Pixels:
    """No change at all."""
    return image


class Shifted:
    """Images that are changed, with labels that stay.

    Args:
        images: to be changed.
        change: of an image and its number.
        labelled: whether their labels may be seen.
    """

    def __init__(self, images: Images, change: Change, labelled: bool = True) -> None:
        self._images, self._change, self._labelled = images, change, labelled
        self.name = f"{images.name} {change.__name__}"

    @property
    def models(self) -> Mapping[int, ObjectModel]:
        """Those of the images."""
        return self._images.models

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Sample:
        sample = self._images[index]
        image = self._change(sample.image, index)
        return dataclasses.replace(sample, image=image, annotations=sample.annotations if self._labelled else ())

    def masks(self, index: int) -> tuple[NDArray[np.bool_], ...]:
        """Those of the images."""
        return self._images.masks(index)
