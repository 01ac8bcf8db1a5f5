"""What happens to light before it meets the sensor: motion, things in the way, and imperfect lenses.

Functions of linear light (H, W, 3) and numbers; lengths in pixels. Edges repeat where a picture ends.
"""

from __future__ import annotations

import functools
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from dr_env.rng import generator
from dr_env.sensors.light import Light

_EDGE = cv2.BORDER_REPLICATE
_FINE = 8  # samples a pixel of a blur's kernel
_POINT = 0.8 / _FINE  # px: the radius of the smallest disc, which holds the four samples around its middle


def read_rows(lights: Light) -> Light:
    """A rolling shutter's picture of a moving scene: each row as it was when it was read.

    Args:
        lights: (T, H, W, 3) pictures at equal intervals; the first row is read with the first of them, the last
            row with the last. Between two pictures their light is mixed, as an exposure would.
    """
    count, height = lights.shape[:2]
    when = np.linspace(0, count - 1, height)
    before = np.minimum(when.astype(int), max(count - 2, 0))
    part = (when - before).astype(np.float32)[:, None, None]
    rows = np.arange(height)
    after = np.minimum(before + 1, count - 1)
    return np.asarray(lights[before, rows] * (1 - part) + lights[after, rows] * part)


def shear_rows(light: Light, shift: tuple[float, float]) -> Light:
    """A rolling shutter's picture of a scene that moves by `shift` (x, y) while rows are read, half of it before."""
    height, width = light.shape[:2]
    # a point seen in row v has moved by shift * (v / H - 1/2), so row v shows what was there before it moved
    amount = (np.arange(height, dtype=np.float32) / max(height - 1, 1) - 0.5)[:, None]
    x = np.arange(width, dtype=np.float32)[None] - np.float32(shift[0]) * amount
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32(shift[1]) * amount
    y = np.broadcast_to(y, (height, width))
    return np.asarray(cv2.remap(light, x, np.ascontiguousarray(y), cv2.INTER_LINEAR, borderMode=_EDGE))


def motion_kernel(motion: tuple[float, float]) -> NDArray[np.float32]:
    """The kernel of a straight motion (x, y), centred, antialiased and of sum 1."""
    reach = [max(1, math.ceil(abs(part) / 2)) for part in motion]
    samples = max(2, math.ceil(_FINE * math.hypot(*motion)))
    along = (np.arange(samples) + 0.5) / samples - 0.5
    place = np.stack([along * motion[1] + reach[1], along * motion[0] + reach[0]], 1)  # (samples, 2) row, column
    kernel = np.zeros((2 * reach[1] + 1, 2 * reach[0] + 1))
    low = np.floor(place).astype(int)
    part = place - low
    for row in (0, 1):
        for column in (0, 1):
            weight = (part[:, 0] if row else 1 - part[:, 0]) * (part[:, 1] if column else 1 - part[:, 1])
            inside = weight > 0
            np.add.at(kernel, (low[inside, 0] + row, low[inside, 1] + column), weight[inside])
    return np.asarray(kernel / kernel.sum(), np.float32)


@functools.lru_cache(16)
def disc_kernel(diameter: float) -> NDArray[np.float32]:
    """A uniform disc, antialiased and of sum 1: a thin lens's circle of confusion."""
    reach = max(1, math.ceil(diameter / 2 - 0.5))
    fine = (np.arange((2 * reach + 1) * _FINE) + 0.5) / _FINE - reach - 0.5
    inside = (fine[:, None] ** 2 + fine[None] ** 2 <= max(diameter / 2, _POINT) ** 2).astype(np.float64)
    side = 2 * reach + 1
    kernel = inside.reshape(side, _FINE, side, _FINE).mean((1, 3))
    return np.asarray(kernel / kernel.sum(), np.float32)


def blur(light: Light, kernel: NDArray[np.float32]) -> Light:
    """Light spread by a kernel that is symmetric about its centre."""
    return np.asarray(cv2.filter2D(light, -1, kernel, borderType=_EDGE))


def cover(light: Light, mean: float, size: float, key: tuple[object, ...]) -> Light:
    """Light with things before the lens: a Poisson number of boxes and ellipses, each of one random colour.

    Sides are `size` times the image's height, times 0.5 to 1.5; any place, any orientation.
    """
    draw = generator("sensor", "image occlusions", *key)
    height, width = light.shape[:2]
    covered = light.copy()
    for _ in range(int(draw.poisson(mean))):
        center, sides = draw.random(2) * (width, height), size * height * (0.5 + draw.random(2))
        angle, is_round, colour = 180 * draw.random(), draw.random() < 0.5, draw.random(3) ** 2.2
        corners = cv2.boxPoints((tuple(center), tuple(sides), angle))
        low = np.clip(np.floor(corners.min(0)).astype(int) - 1, 0, (width, height))
        high = np.clip(np.ceil(corners.max(0)).astype(int) + 2, 0, (width, height))
        shape = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
        if not shape.size:
            continue
        if is_round:
            cv2.ellipse(shape, (tuple((center - low).tolist()), tuple(sides.tolist()), angle), 255, -1, cv2.LINE_AA)
        else:
            cv2.fillConvexPoly(shape, np.round((corners - low) * 16).astype(np.int32), 255, cv2.LINE_AA, 4)
        part = shape[..., None].astype(np.float32) / 255
        behind = covered[low[1] : high[1], low[0] : high[0]]
        behind += (colour.astype(np.float32) - behind) * part
    return covered


def split_colours(light: Light, amount: float) -> Light:
    """Lateral chromatic aberration: in the corners red lies `amount` px further out, and blue further in."""
    height, width = light.shape[:2]
    x, y = (width - 1) / 2, (height - 1) / 2
    corner = math.hypot(x, y) or 1.0
    channels = list(cv2.split(light))
    for channel, sign in ((0, 1), (2, -1)):
        factor = corner / (corner + sign * amount)  # from where in the picture the channel is read
        matrix = np.array([[factor, 0, x * (1 - factor)], [0, factor, y * (1 - factor)]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        channels[channel] = cv2.warpAffine(channels[channel], matrix, (width, height), flags=flags, borderMode=_EDGE)
    return np.asarray(cv2.merge(channels))


@functools.lru_cache(4)
def _radius2(height: int, width: int) -> Light:
    """Squared distance from the centre, 1 in the corners' pixels, (H, W)."""
    x = (np.arange(width) - (width - 1) / 2)[None]
    y = (np.arange(height) - (height - 1) / 2)[:, None]
    squared = x**2 + y**2
    return np.asarray(squared / (squared.max() or 1.0), np.float32)


def falloff(height: int, width: int, vignetting: float) -> Light:
    """How much light arrives, (H, W): cos^4 of the field angle, whose tan^2 is `vignetting` in the corners.

    1 / (1 + tan^2 t)^2 = cos^4 t; stronger than natural where `vignetting` is larger than the lens's own.
    """
    return np.asarray(1 / (1 + np.float32(vignetting) * _radius2(height, width)) ** 2, np.float32)
