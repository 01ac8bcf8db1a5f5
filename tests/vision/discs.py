"""Discs on cloudy grounds: the smallest images that have an object to keep."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 32


def discs(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Images (count, 32, 32, 3) of a reddish disc each, and its mask."""
    rng = np.random.default_rng(seed)
    images, masks = [], []
    down, across = np.mgrid[:SIDE, :SIDE]
    for _ in range(count):
        clouds = cv2.GaussianBlur(rng.normal(0, 38, (SIDE, SIDE, 3)), (0, 0), 1.5)
        image = rng.uniform(90, 130, 3) + clouds
        x, y = rng.uniform(7, SIDE - 7, 2)
        mask = (across - x) ** 2 + (down - y) ** 2 < rng.uniform(4, 6) ** 2
        image[mask] = np.array([200, 60, 50]) + rng.uniform(-20, 20, 3) + 0.4 * clouds[mask]
        images.append(np.clip(image, 0, 255).astype(np.uint8))
        masks.append(mask)
    return np.array(images), np.array(masks)


def dim(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same in a dim room with a blue lamp."""
    return np.asarray(np.clip(images * np.array([0.55, 0.8, 1.0]) + np.array([10, 10, 40]), 0, 255), np.uint8)
