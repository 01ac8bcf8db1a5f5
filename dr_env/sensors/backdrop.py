"""Photographs behind or under what was rendered, pasted with soft edges.

Cut and paste: Dwibedi, Misra, Hebert, "Cut, paste and learn", ICCV 2017, which blends the edges so that a detector does
not learn them.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path

import cv2
import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dr_env.binding import Plan, image_files, read_image
from dr_env.errors import DREnvError, unknown_name

Pixels = NDArray[np.uint8]

_HEAD = 65536  # bytes of an image that tell it from others
_PREFIX = "image.background"
_THIN = 3.0  # px from the nearest pixel whose neighbours are all kept


def composite(rgb: Pixels, kept: NDArray[np.bool_], backdrop: Pixels, blend: float = 0.0) -> Pixels:
    """An image with another in place of what is not kept.

    Args:
        rgb: (h, w, 3).
        kept: (h, w) where the image stays.
        backdrop: (h, w, 3) what shows elsewhere.
        blend: px over which one goes over into the other, the border in its middle; 0 is a sharp edge.
    """
    if blend <= 0:
        return np.where(kept[..., None], rgb, backdrop)
    rgb = _spread(rgb, kept)
    share = cv2.GaussianBlur(kept.astype(np.float32), (0, 0), 0.25 * blend, borderType=cv2.BORDER_REPLICATE)[..., None]
    return np.asarray(np.rint(backdrop + share * (rgb.astype(np.float32) - backdrop)), np.uint8)


def _spread(rgb: Pixels, kept: NDArray[np.bool_]) -> Pixels:
    """The image with the colours just within what is kept spread outwards.

    At its border pixels are mixed with what was behind it, which would shine around it before something else.
    """
    inner = cv2.erode(kept.astype(np.uint8), np.ones((3, 3), np.uint8))
    far, label = cv2.distanceTransformWithLabels(1 - inner, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    colours = np.zeros((int(label.max()) + 1, 3), np.uint8)
    inside = inner > 0
    if not inside.any():
        return rgb
    colours[label[inside]] = rgb[inside]
    # what is too thin to have an inside keeps its own colours
    outside = ~inside & ~(kept & (far > _THIN))
    return np.where(outside[..., None], colours[label], rgb)


def cropped(image: Pixels, width: int, height: int, x: float = 0.5, y: float = 0.5, zoom: float = 1.0) -> Pixels:
    """A part of an image, of another's shape, at its size.

    Args:
        image: (h, w, 3).
        width, height: the size that comes out.
        x, y: 0 .. 1, where the part lies, from left to right and from top to bottom.
        zoom: 1 is the largest part there is.
    """
    scale = min(image.shape[1] / width, image.shape[0] / height) / zoom
    across, down = max(1, int(width * scale)), max(1, int(height * scale))
    left, top = round(x * (image.shape[1] - across)), round(y * (image.shape[0] - down))
    part = image[top : top + down, left : left + across]
    return np.asarray(
        cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR)
    )


class Backdrops:
    """The backgrounds that a Spec gives a camera's images.

    Args:
        plan: what varies; the fields `background*` of the kind `image` are read.

    Raises:
        DREnvError: entries without `backgrounds`, a folder without images, a number that no image has.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._names = frozenset(name for name in plan.nominal if name.startswith(_PREFIX))
        self._files: list[Path] = []
        for entry in plan.entries:
            if entry.field.array != _PREFIX:
                continue
            where = plan.spec.where(entry.name, "distribution")
            if plan.spec.backgrounds is None:
                raise DREnvError(f"{where}: the Spec has no `backgrounds`, a folder of images")
            self._files = image_files(plan.spec.backgrounds)
            high = entry.distribution.support()[1]
            if high > len(self._files):
                raise DREnvError(
                    f"{where}: background can reach {high:g}, but {plan.spec.backgrounds} has {len(self._files)} "
                    "images, numbered from 1; 0 is none"
                )

    def __bool__(self) -> bool:
        return bool(self._files)

    def digest(self) -> str:
        """Sixteen hex digits that name the images, by how each begins, and their order; "" where there are none."""
        found = hashlib.blake2b(digest_size=8)
        for path in self._files:
            with path.open("rb") as file:
                found.update(f"{path.name}\0{path.stat().st_size}\0".encode() + file.read(_HEAD))
        return found.hexdigest() if self._files else ""

    def behind(
        self,
        model: mujoco.MjModel,
        camera: str,
        draw: Mapping[str, ArrayLike],
        rgb: Pixels,
        seen: NDArray[np.bool_],
        objects: NDArray[np.bool_],
    ) -> Pixels:
        """An image with the background that a Draw gives it.

        Args:
            model: whose camera it is.
            camera: the camera's name.
            draw: the Draw; names that are not the Plan's are passed over.
            rgb: (h, w, 3) the image.
            seen: (h, w) where anything is.
            objects: (h, w) where a labelled object is.
        """
        names = [model.camera(i).name for i in range(model.ncam)]
        if camera not in names:
            raise DREnvError(unknown_name("camera", camera, names))
        known = {name: value for name, value in draw.items() if name in self._plan.sampler.nodes}
        arrays = self._plan.realise(self._plan.columns_from([known]), self._names)

        def number(name: str, nominal: float) -> float:
            return float(arrays[_PREFIX + name][0, names.index(camera)]) if _PREFIX + name in arrays else nominal

        which = int(number("", 0))
        if not which:
            return rgb
        height, width = rgb.shape[:2]
        place = number("_x", 0.5), number("_y", 0.5), number("_zoom", 1.0)
        backdrop = cropped(_image(self._files[which - 1]), width, height, *place)
        return composite(rgb, objects if number("_under", 0) else seen, backdrop, number("_blend", 0))


@functools.lru_cache(maxsize=32)
def _image(path: Path) -> Pixels:
    return read_image(path)
