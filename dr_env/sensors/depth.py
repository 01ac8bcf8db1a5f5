"""A depth camera: from true depths to what structured light, stereo or time of flight measures of them."""

from __future__ import annotations

import dataclasses
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError
from dr_env.sensors.light import normals as gaussians
from dr_env.sensors.light import to_light, uniforms
from dr_env.sensors.settings import DepthSettings
from dr_env.spatial import Intrinsics

Depths = NDArray[np.float32]
Mask = NDArray[np.bool_]

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)  # of linear sRGB (IEC 61966-2-1)
_STEEPEST = 0.995  # of pi / 2: where angles enter a quotient with what is left to it
_JUMP = 0.01  # of the depth, beyond what the slope explains: an edge


class DepthSensor:
    """Depth images as a depth camera measures them.

    In order: pixels at depth edges fly between both sides; lateral noise exchanges neighbours; scale, bias and axial
    noise; disparity noise and steps; depth steps. What was at a grazing angle, too dark, in the projector's shadow,
    out of range or unlucky is lost, 0. Reflectance is the linear luminance of the colour image where there is one,
    else 1.

    A depth image without effects is returned as it is.

    Args:
        settings: the numbers of one frame.
        intrinsics: the camera.
    """

    def __init__(self, settings: DepthSettings, intrinsics: Intrinsics) -> None:
        self.settings, self.intrinsics = settings, intrinsics
        neutral = DepthSettings()
        self._on = {
            f.name for f in dataclasses.fields(settings) if getattr(settings, f.name) != getattr(neutral, f.name)
        }
        self._on.discard("flying_width")

    @property
    def active(self) -> bool:
        """Whether `sense` changes anything."""
        return bool(self._on)

    def sense(
        self,
        depth: Depths,
        key: tuple[object, ...],
        rgb: NDArray[np.uint8] | None = None,
        cosine: Depths | None = None,
    ) -> Depths:
        """What is measured of true depths.

        Args:
            depth: (H, W) float32, metres along z, 0 where nothing is.
            key: what names the frame, such as (seed, frame); noise is a function of it and the effect alone.
            rgb: (H, W, 3) clean sRGB bytes, whose luminance is taken for reflectance.
            cosine: (H, W) of the angles of incidence; by default those of a pinhole's picture (`incidence`).

        Returns:
            (H, W) float32 metres, 0 where nothing is measured; `depth` itself where no effect is on.
        """
        size = (self.intrinsics.height, self.intrinsics.width)
        if depth.shape != size or depth.dtype != np.float32:
            raise DREnvError(f"depth: got {depth.dtype} {depth.shape}, expected float32 {size}")
        if not self._on:
            return depth
        has, on = self.settings, self._on
        slope = slopes(depth)
        cosine = incidence(depth, slope, self.intrinsics) if cosine is None else cosine
        lost = self._lost(depth, cosine, key, rgb)
        z = depth
        if "flying" in on:
            z = self._fly(z, slope, key)
        leaning = np.arccos(cosine) if on & {"grazing_noise", "lateral_noise"} else cosine
        steep = leaning / np.maximum(math.pi / 2 - leaning, (1 - _STEEPEST) * math.pi / 2)
        if "lateral_noise" in on:
            z = _exchange(z, has.lateral_noise[0] + has.lateral_noise[1] * steep, key)
        measured = z * np.float32(has.scale) + np.float32(has.bias)
        if on & {"noise", "grazing_noise"}:
            a, b, c = has.noise
            spread = np.maximum(a + z * (b + z * c), 0).astype(np.float32)
            if "grazing_noise" in on:
                spread += (has.grazing_noise / np.sqrt(np.maximum(z, 1e-3)) * steep**2).astype(np.float32)
            measured = measured + spread * gaussians("depth noise", key, size)
        if on & {"disparity_noise", "disparity_step"}:
            measured = self._triangulate(measured, key)
        if "quantum" in on:
            measured = np.round(measured / has.quantum) * np.float32(has.quantum)
        low, high = has.range
        lost |= (z <= 0) | (measured <= 0) | (measured < low) | (measured > high) | ~np.isfinite(measured)
        return np.where(lost, 0, measured).astype(np.float32)

    def _lost(self, depth: Depths, cosine: Depths, key: tuple[object, ...], rgb: NDArray[np.uint8] | None) -> Mask:
        """Pixels from which nothing usable comes back."""
        has, on = self.settings, self._on
        lost: Mask = depth <= 0
        if "grazing" in on:
            lost |= cosine < math.cos(has.grazing)
        if "dark" in on:
            signal = cosine / np.maximum(depth, 1e-3) ** 2
            if rgb is not None:
                signal = signal * (to_light(rgb) @ _LUMINANCE)
            lost |= signal < has.dark
        if "baseline" in on:
            lost |= shadow(depth, self.intrinsics.fx * has.baseline)
        if "dropout" in on:
            lost |= uniforms("depth dropout", key, depth.shape) < has.dropout
        return lost

    def _fly(self, depth: Depths, slope: tuple[Depths, Depths], key: tuple[object, ...]) -> Depths:
        """Depths of which a fraction at edges lies anywhere between both sides."""
        width = max(1, round(self.settings.flying_width))
        window = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
        far = cv2.dilate(depth, window)
        near = cv2.erode(np.where(depth > 0, depth, np.float32(3e38)), window)
        # dz/du = -z^2 d(1/z)/du: what a slanted surface explains is no edge
        explained = 2 * width * depth**2 * (np.abs(slope[0]) + np.abs(slope[1])) + _JUMP * depth
        edge = (depth > 0) & (far - near > explained)
        flies = edge & (uniforms("depth flying", key, depth.shape) < self.settings.flying)
        near = np.minimum(near, far)  # where there is nothing around
        between = near + (far - near) * uniforms("depth flying place", key, depth.shape)
        return np.where(flies, between, depth)

    def _triangulate(self, depth: Depths, key: tuple[object, ...]) -> Depths:
        """Depths f b / d of disparities d that are noisy and come in steps."""
        has = self.settings
        length = np.float32(self.intrinsics.fx * abs(has.baseline))
        disparity = length / np.maximum(depth, 1e-6)
        if "disparity_noise" in self._on:
            disparity = disparity + np.float32(has.disparity_noise) * gaussians("depth disparity", key, depth.shape)
        if "disparity_step" in self._on:
            disparity = np.round(disparity / has.disparity_step) * np.float32(has.disparity_step)
        return np.where((disparity > 0) & (depth > 0), length / np.maximum(disparity, 1e-6), 0)


def slopes(depth: Depths) -> tuple[Depths, Depths]:
    """The gradient (H, W) of 1 / depth along columns and rows, in 1/m a pixel: exact on planes, of one side at edges.

    Of the differences to both neighbours the smaller one counts, so that edges do not look like steep surfaces.
    """
    inverse = np.divide(1, depth, out=np.zeros_like(depth), where=depth > 0)
    found = []
    for axis in (1, 0):
        step = np.diff(inverse, axis=axis)
        start = np.take(step, [0], axis) if step.shape[axis] else np.zeros_like(inverse)
        end = np.take(step, [-1], axis) if step.shape[axis] else start[:0]
        before, after = np.concatenate([start, step], axis), np.concatenate([step, end], axis)
        found.append(np.where(np.abs(before) < np.abs(after), before, after))
    return found[0], found[1]


def incidence(depth: Depths, slope: tuple[Depths, Depths], camera: Intrinsics) -> Depths:
    """The cosine (H, W) of the angle between the surface's normal and the ray that sees it; 0 where nothing is.

    On a plane n . P = d, with P = z (x, y, 1) and w = 1 / z:
    n = d (f_x w_u, f_y w_v, w - w_u (u - c_x) - w_v (v - c_y)) and n . (x, y, 1) = d w,
    so the cosine is w / (|n / d| |(x, y, 1)|).
    """
    inverse = np.divide(1, depth, out=np.zeros_like(depth), where=depth > 0)
    u = (np.arange(camera.width, dtype=np.float32) - np.float32(camera.cx))[None]
    v = (np.arange(camera.height, dtype=np.float32) - np.float32(camera.cy))[:, None]
    across, down = slope
    ahead = inverse - across * u - down * v
    normal = (np.float32(camera.fx) * across) ** 2 + (np.float32(camera.fy) * down) ** 2 + ahead**2
    ray = (u / np.float32(camera.fx)) ** 2 + (v / np.float32(camera.fy)) ** 2 + 1
    return np.asarray(np.clip(inverse / np.sqrt(np.maximum(normal * ray, 1e-20)), 0, 1))


def shadow(depth: Depths, length: float) -> Mask:
    """Pixels (H, W) that the projector, or second camera, does not see.

    It stands beside the camera, so what the camera has in column u at depth z it has in column u - `length` / z of the
    same row; the nearest thing there hides all behind it.

    Args:
        depth: metres.
        length: focal length in pixels times baseline in metres, positive to the right.
    """
    height, width = depth.shape
    disparity = np.divide(length, depth, out=np.zeros_like(depth), where=depth > 0)
    place = np.rint(np.arange(width, dtype=np.float32)[None] - disparity).astype(np.int32)
    reach = int(np.abs(disparity).max(initial=0)) + 2
    nearest = np.zeros((height, width + 2 * reach), np.float32)
    size = np.abs(disparity)
    rows = np.broadcast_to(np.arange(height, dtype=np.int32)[:, None], depth.shape)
    flat = (rows * nearest.shape[1] + place + reach).reshape(-1)
    # of several writes to one place the last stays: in the order of disparity, that is the nearest
    levels = (size * np.float32(65535 / max(float(size.max(initial=0)), 1e-9))).astype(np.uint16).reshape(-1)
    order = np.argsort(levels, kind="stable")
    nearest.reshape(-1)[flat[order]] = size.reshape(-1)[order]
    # a surface seen more widely by the projector leaves gaps of a column
    nearest = cv2.dilate(nearest, np.ones((1, 3), np.uint8))
    hidden = nearest.reshape(-1)[flat].reshape(depth.shape) > size + 1.5
    return np.asarray(hidden & (depth > 0))


def _exchange(depth: Depths, spread: NDArray[np.floating], key: tuple[object, ...]) -> Depths:
    """Depths of pixels a normal number of pixels, of standard deviation `spread`, away."""
    height, width = depth.shape
    shift = gaussians("depth lateral", key, (2, height, width)) * spread.astype(np.float32)
    columns = np.clip(np.rint(np.arange(width, dtype=np.float32)[None] + shift[0]), 0, width - 1).astype(np.intp)
    rows = np.clip(np.rint(np.arange(height, dtype=np.float32)[:, None] + shift[1]), 0, height - 1).astype(np.intp)
    return np.asarray(depth[rows, columns])
