"""A fixed bank of filters: how bright, how coloured, how structured an image is, and where."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dr_env.spatial import Array

Plane = NDArray[np.float64]

_WIDTH = 96  # px, at which images are looked at
_LEVELS = 4  # of a pyramid, each half of the one before
_ANGLES = tuple(k * math.pi / 4 for k in range(4))
_BINS = 16
_CELLS = 3  # across and down, of colours and edges by place
_DIGITS = 6
_DARK = 1e-3  # added to energies before the logarithm


class FilterBank:
    """Features from a fixed multi-scale filter bank, for no training and no weights.

    Of opponent colours (luminance, red - green, blue - yellow): mean, spread and skew over the image, mean and spread
    in a 3 x 3 grid, and a histogram of luminance. Of luminance, at four scales: the energy of first and second
    derivatives in four directions, which Gaussian derivatives are steered to (Freeman and Adelson, "The design and
    use of steerable filters", PAMI 1991), its spread, and where in the grid it is; of colours, that of edges. Energies
    are logarithms, so that ratios of contrast count alike.
    """

    name = "bank"

    def __call__(self, images: NDArray[np.uint8]) -> Array:
        """Features (n, 195) of images (n, h, w, 3); all are looked at 96 pixels wide."""
        # rounded, since OpenCV's last digit depends on where in memory an image lies
        return np.array([self._of(image) for image in images], np.float64).round(_DIGITS)

    def _of(self, image: NDArray[np.uint8]) -> Array:
        height, width = image.shape[:2]
        if width != _WIDTH:
            method = cv2.INTER_AREA if width > _WIDTH else cv2.INTER_LINEAR
            image = np.asarray(cv2.resize(image, (_WIDTH, round(_WIDTH * height / width)), interpolation=method))
        red, green, blue = (np.ascontiguousarray(image[..., k], np.float64) / 255 for k in range(3))
        planes = ((red + green + blue) / 3, (red - green) / 2, (2 * blue - red - green) / 4)
        parts = [_histogram(planes[0])]
        for plane in planes:
            parts += [_moments(plane), _by_place(plane), _spread_by_place(plane)]
            parts += _pyramid(plane, steered=plane is planes[0])
        return np.concatenate(parts)


def _histogram(luminance: Plane) -> Array:
    """Shares of pixels by luminance, each shared out between the two nearest bins."""
    place = np.clip(luminance.ravel() * _BINS - 0.5, 0, _BINS - 1)
    low = np.minimum(place.astype(np.intp), _BINS - 2)
    upper = place - low
    counts = np.bincount(low, 1 - upper, _BINS) + np.bincount(low + 1, upper, _BINS)
    return np.asarray(counts / luminance.size)


def _moments(plane: Plane) -> Array:
    """Mean, standard deviation, and the cube root of the third moment."""
    middle = plane - plane.mean()
    return np.array([plane.mean(), middle.std(), np.cbrt((middle**3).mean())])


def _by_place(plane: Plane) -> Array:
    """The mean in each cell of a grid."""
    return np.asarray(cv2.resize(plane, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA), np.float64).ravel()


def _spread_by_place(plane: Plane) -> Array:
    """The standard deviation in each cell of a grid."""
    middle = plane - plane.mean()  # for precision
    return np.sqrt(np.maximum(_by_place(middle**2) - _by_place(middle) ** 2, 0))


def _pyramid(plane: Plane, steered: bool) -> list[Array]:
    """Energies of derivatives at each scale."""
    parts: list[Array] = []
    for level in range(_LEVELS):
        if level:
            plane = np.asarray(cv2.pyrDown(plane), np.float64)
        smooth = np.asarray(cv2.GaussianBlur(plane, (0, 0), 0.8), np.float64)
        across, down = (_derivative(smooth, order) / 8 for order in ((1, 0), (0, 1)))
        edges = np.asarray(cv2.magnitude(across, down), np.float64)
        if not steered:
            parts.append(_energies([edges]))
            continue
        first = [np.abs(math.cos(a) * across + math.sin(a) * down) for a in _ANGLES]
        xx, xy, yy = (_derivative(smooth, order) / 4 for order in ((2, 0), (1, 1), (0, 2)))
        second = [
            np.abs(math.cos(a) ** 2 * xx + 2 * math.cos(a) * math.sin(a) * xy + math.sin(a) ** 2 * yy) for a in _ANGLES
        ]
        parts += [_energies([*first, *second]), np.log(_by_place(edges) + _DARK)]
    return parts


def _derivative(plane: Plane, order: tuple[int, int]) -> Plane:
    return np.asarray(cv2.Sobel(plane, cv2.CV_64F, *order, ksize=3), np.float64)


def _energies(responses: Sequence[NDArray[np.floating[Any]]]) -> Array:
    """Mean and spread of each response, as logarithms."""
    found = [cv2.meanStdDev(response) for response in responses]  # each (1, 1) twice
    return np.log(np.array(found, np.float64).ravel() + _DARK)
