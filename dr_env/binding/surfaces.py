"""Textures that look like what tables and rooms are made of, wood, bricks, cloth, terrazzo, and like print on paper.

The first four are for worlds to test in: between the colours of things, where the other families take any two. All but
print repeat without a seam. The noise is Perlin's lattice with values in place of gradients.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Colors = NDArray[np.float64]  # (size, size, 3), 0 .. 255
Values = NDArray[np.float64]  # (size, size), 0 .. 1


def _color(rng: np.random.Generator, hue: tuple[float, float], saturation: tuple[float, float],
           value: tuple[float, float]) -> NDArray[np.float64]:  # fmt: skip
    """A random colour (3,) in 0 .. 255; hue in degrees."""
    h, s, v = rng.uniform(*hue) / 360, rng.uniform(*saturation), rng.uniform(*value)
    return 255 * np.array(colorsys.hsv_to_rgb(h % 1.0, s, v))


def _places(size: int) -> tuple[Values, Values]:
    line = (np.arange(size) + 0.5) / size
    return np.broadcast_to(line, (size, size)), np.broadcast_to(line[:, None], (size, size))


def _smooth(size: int, rows: int, columns: int, rng: np.random.Generator, octaves: int = 3) -> Values:
    """Noise around 0, of cells that may be longer than wide, each octave twice as fine and half as strong."""
    total, weight = np.zeros((size, size)), 1.0
    for _ in range(octaves):
        rows, columns = min(rows, size), min(columns, size)
        grid = rng.uniform(-1, 1, (rows, columns))
        down, across = ((np.arange(size) + 0.5) / size * n for n in (rows, columns))
        y, x = down.astype(int), across.astype(int)
        fy, fx = ((t % 1.0) ** 2 * (3 - 2 * (t % 1.0)) for t in (down, across))
        top, bottom = grid[y % rows], grid[(y + 1) % rows]  # (size, columns)
        lines = top + fy[:, None] * (bottom - top)
        left, right = lines[:, x % columns], lines[:, (x + 1) % columns]
        total += weight * (left + fx * (right - left))
        rows, columns, weight = 2 * rows, 2 * columns, 0.5 * weight
    return total


def _shaded(color: NDArray[np.float64], share: Values) -> Colors:
    return np.asarray(color * share[..., None])


def _wood(size: int, rng: np.random.Generator) -> Colors:
    """Planks along x, each cut elsewhere from a trunk: rings that wander, and fibres."""
    _, y = _places(size)
    early = _color(rng, (18, 42), (0.25, 0.6), (0.45, 0.92))
    late = early * rng.uniform(0.55, 0.85)
    planks = int(rng.choice([1, 2, 4]))
    rings = int(rng.integers(5, 14))
    wander = rng.uniform(0.2, 1.2) * _smooth(size, 4, 1, rng) + 0.4 * _smooth(size, 6, 2, rng)
    plank = np.minimum((y * planks).astype(int), planks - 1)
    offset, shade = rng.uniform(0, 1, planks)[plank], rng.uniform(0.85, 1.1, planks)[plank]
    ring = 0.5 - 0.5 * np.cos(2 * np.pi * (rings * y + wander + offset))
    fibres = 1 + 0.08 * _smooth(size, size // 2, 2, rng, octaves=2)
    colors = early + ring[..., None] ** 2 * (late - early)
    gap = (planks > 1) & ((y * planks % 1.0) < 1.5 * planks / size)
    return np.asarray(colors * (fibres * shade * np.where(gap, 0.45, 1.0))[..., None])


def _bricks(size: int, rng: np.random.Generator) -> Colors:
    """Bricks in bond, or tiles one above the other; each of a shade of its own, with joints."""
    x, y = _places(size)
    tiles = rng.uniform() < 0.5
    if tiles:
        base = _color(rng, (0, 360), (0.03, 0.35), (0.55, 0.95))
        rows = columns = int(rng.choice([2, 3, 4, 6]))
    else:
        base = _color(rng, (5, 30), (0.25, 0.65), (0.4, 0.8))
        rows, columns = 2 * int(rng.integers(2, 6)), int(rng.integers(2, 5))
    joint = _color(rng, (20, 60), (0.0, 0.12), (0.35, 0.85))
    row = np.minimum((y * rows).astype(int), rows - 1)
    along = x * columns + (0 if tiles else 0.5) * (row % 2)
    shade = rng.uniform(0.93 if tiles else 0.75, 1.08, (rows, columns))[row, along.astype(int) % columns]
    width = rng.uniform(0.01, 0.025)  # of a joint, by the image's side
    seam = ((y * rows % 1.0) < width * rows) | ((along % 1.0) < width * columns)
    worn = 1 + (0.03 if tiles else 0.1) * _smooth(size, 16, 16, rng)
    return np.where(seam[..., None], joint * worn[..., None], _shaded(base, shade * worn))


def _weave(size: int, rng: np.random.Generator) -> Colors:
    """Cloth: threads of two colours over and under each other."""
    x, y = _places(size)
    warp = _color(rng, (0, 360), (0.05, 0.55), (0.3, 0.9))
    weft = 0.6 * warp + 0.4 * _color(rng, (0, 360), (0.05, 0.5), (0.3, 0.9))
    threads = 2 * int(rng.integers(6, 13))
    step = int(rng.choice([1, 2]))  # plain, or twill
    column, row = (x * threads).astype(int), (y * threads).astype(int)
    over = (column + step * row) % (2 * step) < step if step == 1 else (column + row) % 4 < 2
    round_x, round_y = (np.abs(np.sin(np.pi * t * threads)) for t in (x, y))
    shade = np.where(over, 0.6 + 0.4 * round_x, 0.6 + 0.4 * round_y) * (1 + 0.1 * _smooth(size, 8, 8, rng))
    return np.where(over[..., None], _shaded(warp, shade), _shaded(weft, shade))


def _terrazzo(size: int, rng: np.random.Generator) -> Colors:
    """Chips of a few kinds of stone in cement."""
    x, y = _places(size)
    cement = _color(rng, (20, 220), (0.0, 0.15), (0.35, 0.92))
    kinds = np.stack([_color(rng, (0, 360), (0.05, 0.45), (0.15, 0.9)) for _ in range(4)])
    count = int(rng.integers(40, 220))
    places = rng.uniform(0, 1, (count, 2))
    radius = rng.uniform(0.2, 0.62, count) / np.sqrt(count)
    rough = 0.25 * _smooth(size, 24, 24, rng, octaves=2) / np.sqrt(count)
    away, nearest = cKDTree(places, boxsize=np.ones(2)).query(np.stack((x, y), -1))
    chip = away + rough < radius[nearest]
    worn = 1 + 0.04 * _smooth(size, 12, 12, rng)
    return np.asarray(np.where(chip[..., None], kinds[nearest % 4], cement) * worn[..., None])


def _print(size: int, rng: np.random.Generator) -> Colors:
    """Ink on paper: fiducial markers, or words and pictures."""
    shade = rng.uniform(0.75, 1.0)
    page = np.broadcast_to(_color(rng, (0, 360), (0, 0.08), (shade, shade)), (size, size, 3)).copy()
    ink = _color(rng, (0, 360), (0, 0.3), (0.0, 0.25))
    (_markers if rng.uniform() < 0.5 else _words)(page, ink, rng)
    return page


def _markers(page: Colors, ink: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Prints squares with a frame and a pattern of cells."""
    boards, cells = int(rng.integers(1, 5)), int(rng.integers(3, 7))  # a side
    side = len(page) // boards
    frame, quiet = rng.uniform(0.08, 0.2), rng.uniform(0.05, 0.25)
    line = (np.arange(side) + 0.5) / side
    inner = ((line - quiet / 2 - frame) / (1 - quiet - 2 * frame) * cells).clip(-1, cells).astype(int)
    marked = (line > quiet / 2) & (line < 1 - quiet / 2)
    for top in range(0, boards * side, side):
        for left in range(0, boards * side, side):
            pattern = np.pad(rng.uniform(size=(cells, cells)) < 0.5, 1)  # the frame has none
            blank = pattern[inner[:, None] + 1, inner[None, :] + 1]
            page[top : top + side, left : left + side][marked[:, None] & marked & ~blank] = ink


def _words(page: Colors, ink: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Prints lines of words, and pictures over some of them."""
    size = len(page)
    height = max(2, size // int(rng.integers(10, 40)))
    for top in range(0, size - height, 2 * height):
        left = int(rng.uniform(0, 0.1) * size)
        while left < 0.95 * size:
            width = int(height * rng.uniform(0.5, 4))
            word = page[top : top + height, left : left + width]
            word[rng.uniform(size=word.shape[:2]) < 0.7] = ink
            left += width + max(1, height // 2)
    for _ in range(int(rng.integers(0, 4))):
        (top, left), (h, w) = rng.integers(0, size, 2), rng.integers(size // 8, max(size // 2, size // 8 + 1), 2)
        picture = page[top : top + h, left : left + w]
        picture[:] = _color(rng, (0, 360), (0.2, 1), (0.1, 0.9)) * rng.uniform(0.6, 1, picture.shape[:2])[..., None]


SURFACES: dict[str, Callable[[int, np.random.Generator], Colors]] = {
    "wood": _wood,
    "bricks": _bricks,
    "weave": _weave,
    "terrazzo": _terrazzo,
    "print": _print,
}
"""Families whose pictures have colours of their own, (size, size, 3) in 0 .. 255."""
