"""Poses drawn over images, for eyes: the edges of a model that a person would draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from dr_env.spatial import Array, Intrinsics, apply, project
from dr_env.vision.samples import ObjectModel

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]

TRUE: Colour = (0, 230, 160)
ESTIMATED: Colour = (255, 70, 215)
AXES: tuple[Colour, ...] = ((255, 70, 70), (70, 220, 70), (90, 140, 255))
"""Of x, y and z."""

_SHARP = np.cos(np.deg2rad(35.0))  # edges of faces that meet at more are drawn
_NEAR = 1e-3  # m
_SHIFT = 4  # binary digits of a pixel that lines are drawn with
_FAR = 1e4  # pixels; nothing beyond is drawn


@dataclass(frozen=True, eq=False)
class Wire:
    """The lines of a model: outlines, and edges that are sharp.

    Args:
        model: whose.
    """

    model: ObjectModel

    @cached_property
    def _edges(self) -> tuple[Array, NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], Array]:
        """Points (P, 3), faces (F, 3), edges (E, 2) by points, the two faces (E, 2) of each, and normals (F, 3)."""
        points, same = np.unique(self.model.vertices.round(7), axis=0, return_inverse=True)
        faces = same.reshape(-1)[self.model.faces]  # files may give each face vertices of its own
        sides = points[faces]
        normals = np.cross(sides[:, 1] - sides[:, 0], sides[:, 2] - sides[:, 0])
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        halves = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)  # (3 F, 2)
        owner = np.repeat(np.arange(len(faces)), 3)
        edges, which, count = np.unique(halves, axis=0, return_inverse=True, return_counts=True)
        order = np.argsort(which.reshape(-1), kind="stable")
        first = np.concatenate([[0], np.cumsum(count)[:-1]])
        beside = np.stack([owner[order[first]], owner[order[first + np.minimum(count, 2) - 1]]], -1)
        return points, faces, edges, beside, normals

    def segments(self, pose: Array, intrinsics: Intrinsics) -> Array:
        """What is drawn of it at a pose (4, 4): lines (L, 2, 2) in pixels."""
        points, faces, edges, beside, normals = self._edges
        seen = apply(pose, points)
        if (seen[:, 2] < _NEAR).any():
            return np.zeros((0, 2, 2))
        to_camera = -seen[faces[:, 0]]
        front = (to_camera * (normals @ pose[:3, :3].T)).sum(-1) > 0  # (F,)
        one, other = front[beside[:, 0]], front[beside[:, 1]]
        alone = beside[:, 0] == beside[:, 1]
        sharp = (normals[beside[:, 0]] * normals[beside[:, 1]]).sum(-1) < _SHARP
        drawn = (one != other) | (alone & one) | (sharp & one & other)
        return np.asarray(project(seen, intrinsics)[edges[drawn]])


def window(points: Array, intrinsics: Intrinsics, margin: float = 0.35, least: float = 40.0) -> tuple[int, ...]:
    """A square around pixels (n, 2) within the image, or all of it: x, y, width, height."""
    size = np.array([intrinsics.width, intrinsics.height])
    kept = points[np.isfinite(points).all(-1)]
    whole = (0, 0, intrinsics.width, intrinsics.height)
    if not len(kept):
        return whole
    low, high = kept.min(0).clip(0, size - 1), kept.max(0).clip(0, size - 1)
    side = int(np.ceil(max((high - low).max() * (1 + 2 * margin), least)))
    if side > 0.8 * size.min():
        return whole
    x, y = np.round((low + high) / 2 - side / 2).astype(int).clip(0, size - side).tolist()
    return x, y, side, side


def zoomed(image: Pixels, intrinsics: Intrinsics, part: Sequence[int], side: int) -> tuple[Pixels, Intrinsics]:
    """A part of an image as a picture whose longer side is `side`, and its camera."""
    x, y, width, height = part
    scale = side / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    picture = cv2.resize(image[y : y + height, x : x + width], size, interpolation=method)
    return np.array(picture, np.uint8), intrinsics.window(x, y, width, height).scaled(*size)


def draw_lines(picture: Pixels, lines: Array, colour: Colour, width: int = 2) -> None:
    """Draws lines (L, 2, 2) in pixels onto a picture, on a dark rim that shows them on any ground."""
    kept = lines[(np.abs(lines) < _FAR).all((1, 2))]
    ends = np.round(kept * 2**_SHIFT).astype(np.int32)
    rim = np.array(picture)
    cv2.polylines(rim, list(ends), False, (0, 0, 0), width + 2, cv2.LINE_AA, _SHIFT)
    cv2.addWeighted(rim, 0.45, picture, 0.55, 0, picture)
    cv2.polylines(picture, list(ends), False, colour, width, cv2.LINE_AA, _SHIFT)


def draw_axes(picture: Pixels, pose: Array, length: float, intrinsics: Intrinsics) -> None:
    """Draws the axes of an object's frame, `length` metres long, in `AXES`."""
    ends = apply(pose, np.concatenate([np.zeros((1, 3)), length * np.eye(3)]))
    if (ends[:, 2] < _NEAR).any():
        return
    pixels = project(ends, intrinsics)
    for colour, tip in zip(AXES, pixels[1:], strict=True):
        draw_lines(picture, np.stack([pixels[0], tip])[None], colour)


def draw_cross(picture: Pixels, place: Array, colour: Colour, arm: float = 9.0) -> None:
    """Draws a cross at a pixel (2,)."""
    if np.isfinite(place).all():
        arms = np.array([[[-arm, 0], [-3, 0]], [[3, 0], [arm, 0]], [[0, -arm], [0, -3]], [[0, 3], [0, arm]]])
        draw_lines(picture, place + arms, colour)


def write_on(picture: Pixels, text: str, place: Array, colour: Colour) -> None:
    """Writes a line of text whose lower left corner is at a pixel (2,), kept within the picture."""
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)
    x, y = np.nan_to_num(place).clip([2, height + 2], [max(2, picture.shape[1] - width - 2), picture.shape[0] - 4])
    at = round(float(x)), round(float(y))
    letters = np.zeros(picture.shape[:2], np.uint8)
    cv2.putText(letters, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 255, 1, cv2.LINE_AA)
    rim = np.asarray(cv2.dilate(letters, np.ones((3, 3), np.uint8)))
    for layer, tint in ((rim, (0, 0, 0)), (letters, colour)):
        share = layer[..., None] / 255.0
        picture[:] = np.round(picture * (1 - share) + np.array(tint) * share).astype(np.uint8)
