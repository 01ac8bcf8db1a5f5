"""The field table's rows for what a camera does to an image and a depth camera to its depths, as arguments of `Field`.

An image, and a depth image, is named after its camera. Nobody writes these numbers into a model: whoever renders takes
them from the Draw (`dr_env.sensors.settings`). Neutral numbers change nothing, bit for bit.
"""

from __future__ import annotations

import math
from typing import Any

IMAGED = ("image.", "depth.")
"""Beginnings of the names of their arrays."""

_HALF_PI = math.pi / 2


_Row = tuple[tuple[float, ...], dict[str, Any]]


def _row(kind: str, name: str, unit: str, neutral: tuple[float, ...] = (0.0,), **rest: Any) -> _Row:
    columns = tuple(range(len(neutral))) if len(neutral) > 1 else ()
    return neutral, {"kind": kind, "name": name, "array": f"{kind}.{name}", "unit": unit, "columns": columns, **rest}


_TABLE = (
    _row("image", "background", "number", low=0, note="0 is none, 1, 2, ... the images of the Spec's `backgrounds`"),
    _row("image", "background_under", "1", allowed=(0, 1),
         note="0: it shows where nothing is; 1: everywhere but on labelled objects"),
    _row("image", "background_blend", "px", low=0, high=100, note="over which it goes over into the image"),
    _row("image", "background_x", "1", (0.5,), low=0, high=1, note="which part of it, from left to right"),
    _row("image", "background_y", "1", (0.5,), low=0, high=1, note="which part of it, from top to bottom"),
    _row("image", "background_zoom", "1", (1.0,), low=1, high=100, note="1 shows as much of it as there is"),
    _row("image", "rolling_shutter", "px", (0.0, 0.0),
         note="how far the scene moves, x and y, while rows are read; labels are those of the middle row"),
    _row("image", "motion_blur", "px", (0.0, 0.0), note="how far the scene moves, x and y, during the exposure"),
    _row("image", "occlusions", "1", low=0, high=1000, note="mean number of patches before the lens"),
    _row("image", "occlusion_size", "1", (0.2,), low=0, high=1, note="a patch's mean side, by the image's height"),
    _row("image", "chromatic_aberration", "px", low=-100, high=100,
         note="red moves outwards and blue inwards by it, in the corners"),
    _row("image", "defocus", "px", low=0, high=200, note="diameter of the circle of confusion"),
    _row("image", "vignetting", "1", low=0,
         note="v in 1 / (1 + v r^2)^2, r = 1 in the corners; tan^2 of the field angle there is natural"),
    _row("image", "brown_conrady", "1", (0.0,) * 5, note="lens distortion k1 k2 p1 p2 k3, as OpenCV's"),
    _row("image", "kannala_brandt", "1", (0.0,) * 4,
         note="fisheye lens k1 k2 k3 k4, as OpenCV's; a Spec that names it has one"),
    _row("image", "exposure", "EV", low=-20, high=20, note="twice the light for each"),
    _row("image", "full_well", "e-", low=0, note="electrons of white: shot noise; 0 is a sensor without noise"),
    _row("image", "read_noise", "e-", low=0, note="standard deviation; needs full_well"),
    _row("image", "dark_signal", "e-", low=0,
         note="mean dark electrons, subtracted but for their noise; needs full_well"),
    _row("image", "salt_pepper", "1", low=0, high=1,
         note="fraction of pixels that are stuck, half at white, half at black"),
    _row("image", "white_balance", "1", (1.0, 1.0, 1.0), low=0, note="gains of red, green and blue, in linear light"),
    _row("image", "saturation", "1", (1.0,), low=0, high=100,
         note="gain of what colours differ from grey by, at equal luminance in linear light; 0 is grey"),
    _row("image", "gamma", "1", (1.0,), low=0, above_low=True,
         note="exponent on the encoded values; above 1 is darker"),
    _row("image", "jpeg", "1", low=0, high=100, note="quality, rounded; 0 is not compressed"),
    _row("depth", "bias", "m", note="added to every depth"),
    _row("depth", "scale", "1", (1.0,), low=0, above_low=True, note="multiplies every depth"),
    _row("depth", "noise", "m, 1, 1/m", (0.0,) * 3,
         note="a, b, c: axial noise has standard deviation a + b z + c z^2, never below 0"),
    _row("depth", "grazing_noise", "m sqrt(m)", low=0,
         note="g: adds g / sqrt(z) (t / (pi/2 - t))^2 at the angle of incidence t"),
    _row("depth", "lateral_noise", "px", (0.0, 0.0), low=0,
         note="a, b: standard deviation a + b t / (pi/2 - t) across the image"),
    _row("depth", "baseline", "m", low=-10, high=10,
         note="from camera to projector or second camera, to the right; casts edge shadows"),
    _row("depth", "disparity_noise", "px", low=0, note="standard deviation of the disparity; needs baseline"),
    _row("depth", "disparity_step", "px", low=0, note="disparities are multiples of it; needs baseline"),
    _row("depth", "quantum", "m", low=0, note="depths are multiples of it"),
    _row("depth", "grazing", "rad", (_HALF_PI,), low=0, high=_HALF_PI,
         note="angle of incidence beyond which nothing comes back"),
    _row("depth", "dark", "1/m^2", low=0, note="least signal, reflectance cos t / z^2, that is measured"),
    _row("depth", "dropout", "1", low=0, high=1, note="fraction of pixels lost at random"),
    _row("depth", "flying", "1", low=0, high=1, note="fraction of pixels at depth edges that lie between both sides"),
    _row("depth", "flying_width", "px", (1.0,), low=0, high=50, note="how far from an edge pixels fly"),
    _row("depth", "range", "m", (0.0, 1.0e9), low=0, ordered=True, note="nothing nearer or farther is measured"),

)  # fmt: skip

IMAGE_ROWS = tuple(row for _, row in _TABLE)
"""The arguments of each Field."""

IMAGE_NEUTRAL: dict[str, tuple[float, ...]] = {row["array"]: neutral for neutral, row in _TABLE}
"""The numbers that change nothing, of one camera, by array."""
