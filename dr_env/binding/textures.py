"""Textures from formulas and from image files: what the pool of a Spec is made of.

The first three families are those of Tobin et al., "Domain randomization for transferring deep neural networks from
simulation to the real world", IROS 2017; gradient noise is Perlin's, "Improving noise", SIGGRAPH 2002. All but flat
gradients and print repeat without a seam.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dr_env.binding.surfaces import SURFACES
from dr_env.errors import DREnvError
from dr_env.rng import generator
from dr_env.spec import TexturePool

Image = NDArray[np.uint8]  # (size, size, 3)
Values = NDArray[np.float64]  # (size, size), 0 .. 1

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")


def _places(size: int) -> tuple[Values, Values]:
    """x and y of the pixels' centres, 0 .. 1."""
    line = (np.arange(size) + 0.5) / size
    return np.broadcast_to(line, (size, size)), np.broadcast_to(line[:, None], (size, size))


def _flat(size: int, rng: np.random.Generator) -> Values:
    return np.zeros((size, size))


def _gradient(size: int, rng: np.random.Generator) -> Values:
    """Along a line of any direction or, in one of four, around a point."""
    x, y = _places(size)
    angle, (cx, cy), radial = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.8, 2), rng.uniform() < 0.25
    values = np.hypot(x - cx, y - cy) if radial else x * np.cos(angle) + y * np.sin(angle)
    return np.asarray((values - values.min()) / np.ptp(values))


def _checker(size: int, rng: np.random.Generator) -> Values:
    x, y = _places(size)
    columns, rows = 2 * rng.integers(1, 9, 2)  # even, so that it repeats
    if rng.uniform() < 0.5:
        rows = columns
    return np.asarray((np.floor(x * columns) + np.floor(y * rows)) % 2)


def _stripes(size: int, rng: np.random.Generator) -> Values:
    """Bands of any whole wave vector, hard or soft, of any share."""
    x, y = _places(size)
    across, down = rng.integers(-6, 7, 2)
    if across == down == 0:
        across = rng.integers(1, 9)
    phase = (x * across + y * down + rng.uniform()) % 1.0
    share, soft = rng.uniform(0.2, 0.8), rng.uniform() < 0.3
    return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * phase) if soft else phase < share, np.float64)


def _noise(size: int, rng: np.random.Generator) -> Values:
    """Grains of a random size, each of its own shade."""
    grains = max(2, size // int(rng.choice([1, 2, 4, 8, 16])))
    place = np.arange(size) * grains // size
    return np.asarray(rng.uniform(size=(grains, grains))[place[:, None], place])


def _perlin(size: int, rng: np.random.Generator) -> Values:
    """Octaves of gradient noise on lattices that wrap around."""
    total = np.zeros((size, size))
    cells, weight = int(rng.integers(2, 6)), 1.0
    for _ in range(int(rng.integers(1, 6))):
        total += weight * _lattice(size, min(cells, size), rng)
        cells, weight = 2 * cells, 0.5 * weight
    if rng.uniform() < 0.3:
        total = np.abs(total)  # veins
    return np.asarray((total - total.min()) / max(np.ptp(total), 1e-12))


def _lattice(size: int, cells: int, rng: np.random.Generator) -> Values:
    """One octave: gradients at the corners of cells, blended by 6 t^5 - 15 t^4 + 10 t^3."""
    angles = rng.uniform(0, 2 * np.pi, (cells, cells))
    gx, gy = np.cos(angles), np.sin(angles)
    line = (np.arange(size) + 0.5) / size * cells
    cell, t = np.floor(line).astype(int), line % 1.0
    fade = t**3 * (t * (6 * t - 15) + 10)
    sides = []
    for down in (0, 1):
        row = ((cell + down) % cells)[:, None]
        ends = []
        for across in (0, 1):
            column = (cell + across) % cells
            ends.append(gx[row, column] * (t - across) + gy[row, column] * (t - down)[:, None])
        sides.append(ends[0] + fade * (ends[1] - ends[0]))
    return np.asarray(sides[0] + fade[:, None] * (sides[1] - sides[0]))


_FAMILIES: dict[str, Callable[[int, np.random.Generator], Values]] = {
    "flat": _flat,
    "gradient": _gradient,
    "checker": _checker,
    "stripes": _stripes,
    "noise": _noise,
    "perlin": _perlin,
}


@functools.lru_cache(maxsize=1000)
def procedural(family: str, size: int, seed: int, number: int) -> Image:
    """Texture `number` of a pool: a family's pattern between two random colours, grains of all colours, or a surface.

    Args:
        family: flat, gradient, checker, stripes, noise, perlin, wood, bricks, weave, terrazzo or print.
        size: width and height in pixels.
        seed: the pool's.
        number: counted from 1.

    Returns:
        (size, size, 3), a function of the arguments alone.
    """
    rng = generator("texture", family, seed, number)
    if family in SURFACES:
        colors = SURFACES[family](size, rng)
    else:
        first, second = rng.uniform(0, 255, (2, 3))
        channels = 3 if family == "noise" and rng.uniform() < 0.5 else 1
        share = np.stack([_FAMILIES[family](size, rng) for _ in range(channels)], -1)  # (size, size, 1 or 3)
        colors = first + share * (second - first)
    image = np.asarray(np.round(np.clip(colors, 0, 255)), np.uint8)
    image.flags.writeable = False
    return image


def image_files(folder: str) -> list[Path]:
    """The images of a folder, by name. Raises DREnvError when there is none."""
    path = Path(folder)
    if not path.is_dir():
        raise DREnvError(f"{folder}: no such folder, expected one of images")
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in _SUFFIXES)
    if not found:
        raise DREnvError(f"{folder}: has no images; expected {', '.join(_SUFFIXES)}")
    return found


def read_image(path: Path) -> Image:
    """An RGB image, (height, width, 3). Raises DREnvError when it is none."""
    import cv2  # takes a while to import, and most Specs read no images

    data = np.fromfile(path, np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if image is None:
        raise DREnvError(f"{path}: cannot read it as an image")
    return np.ascontiguousarray(image[:, :, ::-1], np.uint8)


def _squared(image: Image, size: int) -> Image:
    """The middle square of an image at another size."""
    import cv2

    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    method = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return np.asarray(
        cv2.resize(image[top : top + side, left : left + side], (size, size), interpolation=method), np.uint8
    )


def make_textures(pool: TexturePool) -> list[Image]:
    """All textures of a pool, in the order of their numbers."""
    made = [procedural(pool.families[k % len(pool.families)], pool.size, pool.seed, k + 1) for k in range(pool.count)]
    if pool.folder is not None:
        made += [_squared(read_image(file), pool.size) for file in image_files(pool.folder)]
    return made


def count_textures(pool: TexturePool) -> int:
    """How many textures a pool has, the images of its folder among them."""
    return pool.count + (len(image_files(pool.folder)) if pool.folder is not None else 0)
