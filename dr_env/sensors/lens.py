"""Lenses that are no pinholes: where they put points, and how pictures and labels of a pinhole become theirs.

A pinhole picture that is wide enough is rendered, and resampled: every pixel of the lens's picture looks up where its
ray meets the wider one. Colours are interpolated; ids, masks and depths are those of the nearest pixel. Depth stays z.
Points, such as keypoints and corners of boxes, are projected through the lens itself.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import RectBivariateSpline

from dr_env.binding import Plan
from dr_env.errors import DREnvError
from dr_env.records import Distortion, Frame, Silhouette
from dr_env.sensors.distortion import LensModel, lens_model
from dr_env.sensors.settings import CameraSettings, lens_of
from dr_env.spatial import Array, Intrinsics

T = TypeVar("T", bound=np.generic)

_CELLS = 64  # of the grid whose rays are solved for
_STRAIGHT = Distortion("brown_conrady", (0.0,) * 5)
_ROOM = 1.25  # times as wide and high as the image, where a lens needs a wider picture
_LARGEST = 4  # how many times as wide or high the pinhole picture may be


def distortion_of(settings: CameraSettings) -> Distortion | None:
    """The lens that a camera's settings tell; None for a pinhole."""
    if settings.kannala_brandt is not None:
        return Distortion("kannala_brandt", settings.kannala_brandt)
    return Distortion("brown_conrady", settings.brown_conrady) if any(settings.brown_conrady) else None


class Lens:
    """A camera with a lens.

    Args:
        distortion: the model's name, brown_conrady (k1, k2, p1, p2, k3) or kannala_brandt (k1 .. k4), and its
            coefficients, as OpenCV's `calib3d` and `fisheye` have them.
        intrinsics: OpenCV's camera matrix and the size of the lens's picture.
        wide: the pinhole camera whose pictures are resampled; the smallest that shows enough by default.

    Raises:
        DREnvError: unknown names, a lens that folds its picture over, a field of view that no pinhole has, or a
            `wide` that does not show all.
    """

    def __init__(self, distortion: Distortion, intrinsics: Intrinsics, wide: Intrinsics | None = None) -> None:
        self.distortion, self.intrinsics = distortion, intrinsics
        self.model: LensModel = lens_model(distortion)
        needed = self._needed()
        self.wide = needed if wide is None else wide
        """The pinhole camera to render with."""
        if wide is not None:
            for mine, theirs in zip(_reach(needed), _reach(wide), strict=True):
                if mine[0] < theirs[0] - 1e-6 or mine[1] > theirs[1] + 1e-6:
                    raise DREnvError(
                        f"lens: a picture of {wide.width} x {wide.height} pixels does not show all that "
                        f"{distortion.model} sees; expected {needed}"
                    )

    # points

    def project(self, points: ArrayLike) -> Array:
        """Pixels (..., 2) of points (..., 3) in the camera, in metres; nan for what the lens does not see."""
        points = np.asarray(points, np.float64)
        z = np.where(points[..., 2] > 0, points[..., 2], np.nan)
        return self._pixels(self.model.distort(points[..., :2] / z[..., None]))

    def from_wide(self, pixels: ArrayLike) -> Array:
        """Where pixels (..., 2) of the wider pinhole picture come to lie; nan for what the lens does not see."""
        pixels, wide = np.asarray(pixels, np.float64), self.wide
        return self._pixels(self.model.distort((pixels - (wide.cx, wide.cy)) / (wide.fx, wide.fy)))

    def to_wide(self, pixels: ArrayLike) -> Array:
        """Which pixels (..., 2) of the wider picture show what the lens has at `pixels`; nan where it sees nothing."""
        seen, wide = self.rays(pixels), self.wide
        return seen * (wide.fx, wide.fy) + (wide.cx, wide.cy)

    def rays(self, pixels: ArrayLike) -> Array:
        """x / z and y / z (..., 2) of the rays that meet pixels (..., 2)."""
        own = self.intrinsics
        return self.model.undistort((np.asarray(pixels, np.float64) - (own.cx, own.cy)) / (own.fx, own.fy))

    def _pixels(self, plane: Array) -> Array:
        own = self.intrinsics
        return plane * (own.fx, own.fy) + (own.cx, own.cy)

    # pictures

    @functools.cached_property
    def maps(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Columns and rows (H, W) of the wider picture that each pixel shows, within 1e-3 px.

        Solved for on a grid of 64 x 64 cells, and by cubic splines between.
        """
        own = self.intrinsics
        columns, rows = _knots(own.width), _knots(own.height)
        place = self.to_wide(np.stack(np.meshgrid(columns, rows), -1))  # (knots, knots, 2)
        every = np.arange(own.height), np.arange(own.width)
        degrees = min(3, len(rows) - 1), min(3, len(columns) - 1)
        tables = [
            RectBivariateSpline(rows, columns, place[..., i], kx=degrees[0], ky=degrees[1])(*every) for i in (0, 1)
        ]
        return tables[0].astype(np.float32), tables[1].astype(np.float32)

    @functools.cached_property
    def _nearest(self) -> NDArray[np.intp]:
        """The element (H, W) of the flattened wider picture that each pixel shows."""
        columns, rows = (np.rint(one).astype(np.intp) for one in self.maps)
        columns, rows = np.clip(columns, 0, self.wide.width - 1), np.clip(rows, 0, self.wide.height - 1)
        return rows * self.wide.width + columns

    def blend(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The lens's picture (H, W, 3) of a wider one, interpolated between pixels."""
        self._check(rgb)
        mapped = cv2.remap(rgb, *self.maps, interpolation=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(mapped, np.uint8)

    def pick(self, labels: NDArray[T]) -> NDArray[T]:
        """The lens's ids, masks, depths or normals (H, W, ...) of a wider picture's, those of nearest pixels."""
        self._check(labels)
        return labels.reshape(-1, *labels.shape[2:])[self._nearest]

    def silhouette(self, outline: Silhouette) -> Silhouette:
        """A silhouette of the wider picture as the lens sees it, out to the canvas three times as wide and high."""
        if outline.box is None:
            return outline
        x, y, width, height = outline.box
        edge = np.concatenate([
            [(x + t * (width - 1), y + s * (height - 1)) for t in np.linspace(0, 1, 65)] for s in (0, 1)
        ] + [
            [(x + s * (width - 1), y + t * (height - 1)) for t in np.linspace(0, 1, 65)] for s in (0, 1)
        ])  # fmt: skip
        places = self.from_wide(edge)
        own = self.intrinsics
        size = np.array([own.width, own.height])
        if np.isnan(places).any():  # partly beyond what the lens can see: look everywhere
            low, high = -size, 2 * size
        else:
            low = np.maximum(np.floor(places.min(0)).astype(int) - 2, -size)
            high = np.minimum(np.ceil(places.max(0)).astype(int) + 3, 2 * size)
        if (high <= low).any():
            return Silhouette.of(np.zeros((0, 0), np.bool_))
        columns, rows = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]))
        place = self.to_wide(np.stack([columns, rows], -1)) - (x, y)
        near = np.rint(np.where(np.isnan(place), -1, place)).astype(np.intp)
        inside = ((near >= 0) & (near < (width, height))).all(-1)
        mask = np.zeros(inside.shape, np.bool_)
        mask[inside] = outline.crop[near[inside][:, 1], near[inside][:, 0]]
        return Silhouette.of(mask, int(low[0]), int(low[1]))

    def frame(self, wide: Frame) -> Frame:
        """A Frame rendered with `self.wide` as the lens sees it: its pictures and all its labels.

        The Frame's intrinsics are then the lens's camera matrix, and keypoints and corners go through its distortion.
        """
        if wide.intrinsics != self.wide:
            raise DREnvError(f"lens: got a frame of {wide.intrinsics}, expected {self.wide}")
        return dataclasses.replace(
            wide,
            rgb=self.blend(wide.rgb),
            depth=self.pick(wide.depth),
            instance=self.pick(wide.instance),
            semantic=self.pick(wide.semantic),
            normals=None if wide.normals is None else self.pick(wide.normals),
            intrinsics=self.intrinsics,
            distortion=self.distortion,
            objects=tuple(
                dataclasses.replace(view, silhouette=self.silhouette(view.silhouette)) for view in wide.objects
            ),
        )

    def _check(self, picture: NDArray[np.generic]) -> None:
        if picture.shape[:2] != (self.wide.height, self.wide.width):
            raise DREnvError(
                f"lens: got a picture of {picture.shape[1]} x {picture.shape[0]} pixels, expected the wider "
                f"{self.wide.width} x {self.wide.height}"
            )

    def _needed(self) -> Intrinsics:
        """The smallest pinhole camera with these focal lengths, and whole pixels in the same places, that shows all."""
        own = self.intrinsics
        across, down = np.arange(own.width + 1) - 0.5, np.arange(own.height + 1) - 0.5
        border = np.concatenate([
            np.stack(np.broadcast_arrays(across, edge), -1) for edge in (-0.5, own.height - 0.5)
        ] + [np.stack(np.broadcast_arrays(edge, down), -1) for edge in (-0.5, own.width - 0.5)])  # fmt: skip
        rays = self.rays(border)
        if np.isnan(rays).any():
            raise DREnvError(
                f"lens: {self.distortion.model} {list(self.distortion.coefficients)} folds its picture over, or looks "
                f"behind itself, within {own.width} x {own.height} pixels at fx {own.fx:.1f}; expected smaller "
                "coefficients or a longer focal length"
            )
        places = rays * (own.fx, own.fy) + (own.cx, own.cy)
        low = np.floor(places.min(0) + 0.5 + 1e-6).astype(int)
        high = np.ceil(places.max(0) + 0.5 - 1e-6).astype(int)
        width, height = int(high[0] - low[0]), int(high[1] - low[1])
        if width > _LARGEST * own.width or height > _LARGEST * own.height:
            raise DREnvError(
                f"lens: needs a pinhole picture of {width} x {height} pixels for one of {own.width} x {own.height}; "
                f"expected at most {_LARGEST} times as wide and high: a smaller field of view"
            )
        return own.window(int(low[0]), int(low[1]), width, height)


def bends(plan: Plan, camera: str | None) -> bool:
    """Whether a Plan gives a camera a lens; a free camera (None) has none."""
    return camera is not None and bool(lens_of(plan, camera))


def picture_size(plan: Plan, camera: str | None, width: int, height: int) -> tuple[int, int]:
    """Width and height in pixels that a renderer must have for images of this size: more where there is a lens."""
    return room_size(width, height) if bends(plan, camera) else (width, height)


def room_size(width: int, height: int) -> tuple[int, int]:
    """Width and height in pixels of the wider pictures that images of this size are bent from."""
    return math.ceil(_ROOM * width), math.ceil(_ROOM * height)


def bent(settings: CameraSettings, camera: Intrinsics, size: tuple[int, int]) -> Lens:
    """The Lens of a camera's settings whose wider picture has the given size."""
    return roomy(distortion_of(settings), camera, size)


def roomy(distortion: Distortion | None, camera: Intrinsics, size: tuple[int, int]) -> Lens:
    """The Lens of a distortion, or one that bends nothing, whose wider picture has the given size."""
    distortion = distortion or _STRAIGHT
    return make_lens(distortion, camera, _room(Lens(distortion, camera).wide, *size))


def _room(camera: Intrinsics, width: int, height: int) -> Intrinsics:
    """A pinhole camera with an image of this size that shows all that `camera` does.

    Its pixels are those of `camera` where the image is large enough, else larger ones.
    """
    if camera.width <= width and camera.height <= height:
        return camera.window(-((width - camera.width) // 2), -((height - camera.height) // 2), width, height)
    scale = max(camera.width / width, camera.height / height)
    smaller = camera.scaled(math.floor(camera.width / scale), math.floor(camera.height / scale))
    return _room(smaller, width, height)


def see(points: ArrayLike, intrinsics: Intrinsics, distortion: Distortion | None) -> Array:
    """Pixels (..., 2) of points (..., 3) in the camera, through its lens; nan for what is not seen.

    Args:
        points: in metres, in OpenCV's camera.
        intrinsics: the camera matrix.
        distortion: the lens, or None for a pinhole.
    """
    points = np.asarray(points, np.float64)
    plane = points[..., :2] / np.where(points[..., 2:] > 0, points[..., 2:], np.nan)
    if distortion is not None:
        plane = lens_model(distortion).distort(plane)
    return plane * (intrinsics.fx, intrinsics.fy) + (intrinsics.cx, intrinsics.cy)


def _knots(size: int) -> Array:
    """Places in 0 .. size - 1 that rays are solved for; at least two."""
    return np.linspace(0, max(size - 1, 1), max(2, min(size, _CELLS + 1)))


def _reach(camera: Intrinsics) -> tuple[tuple[float, float], tuple[float, float]]:
    """The slopes x / z and y / z at which a pinhole picture begins and ends."""
    return (
        ((-0.5 - camera.cx) / camera.fx, (camera.width - 0.5 - camera.cx) / camera.fx),
        ((-0.5 - camera.cy) / camera.fy, (camera.height - 0.5 - camera.cy) / camera.fy),
    )


@functools.lru_cache(4)
def make_lens(distortion: Distortion, intrinsics: Intrinsics, wide: Intrinsics | None = None) -> Lens:
    """A Lens, kept with its tables for the next frame that has the same."""
    return Lens(distortion, intrinsics, wide)
