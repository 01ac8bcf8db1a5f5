"""Images and masks as the bytes that datasets hold, and back."""

from __future__ import annotations

import warnings
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from dr_env.errors import DREnvError
from dr_env.records import Silhouette

JPEG_QUALITY = 95
DEPTH_SCALE_MM = 0.1
"""Millimetres a step of a depth image: 16 bits reach 6.5 m."""
DEPTH_REACH = 65535.5 * DEPTH_SCALE_MM / 1000
"""Metres beyond which a depth is not stored."""

Mask = NDArray[np.bool_]

# OpenCV tries several filters on each row by default, which takes ten times as long as the rest for a mask. Photographs
# have few runs that repeat: Huffman codes of differences alone are both smaller and faster than a search for matches.
_LEVEL = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER)
_RGB = (*_LEVEL, cv2.IMWRITE_PNG_FILTER_UP, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)
_DEPTH = (*_LEVEL, cv2.IMWRITE_PNG_FILTER_UP)
_MASK = (*_LEVEL, cv2.IMWRITE_PNG_FILTER_NONE)


def _encoded(suffix: str, image: NDArray[Any], options: tuple[int, ...]) -> bytes:
    done, data = cv2.imencode(suffix, image, options)
    if not done:
        raise DREnvError(f"cannot encode an image of shape {image.shape} as {suffix}")
    return data.tobytes()


def encode_rgb(rgb: NDArray[np.uint8], suffix: str = ".png") -> bytes:
    """An RGB image (h, w, 3) as PNG, without loss, or JPEG."""
    options = (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY) if suffix == ".jpg" else _RGB
    return _encoded(suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), options)


def encode_depth(depth: NDArray[np.float32], scale_mm: float = DEPTH_SCALE_MM) -> bytes:
    """Metres (h, w) as a 16-bit PNG of steps of `scale_mm`; 0 is missing, and what is too far is missing as well."""
    steps = np.rint(depth * np.float32(1000 / scale_mm))
    known = (steps >= 0) & (steps <= 65535)  # neither is true of nan
    return _encoded(".png", np.where(known, steps, 0).astype(np.uint16), _DEPTH)


def decode_image(data: bytes, source: str = "image", upright: bool = False) -> NDArray[Any]:
    """The image that bytes hold: RGB (h, w, 3) uint8, or (h, w) uint8 or uint16. Raises DREnvError naming `source`.

    With `upright` it is turned as a photograph's EXIF orientation says, and as viewers show it.
    """
    how = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH if upright else cv2.IMREAD_UNCHANGED
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), how) if data else None
    except cv2.error as error:  # more pixels than OpenCV takes
        raise DREnvError(f"{source}: not an image that can be read: OpenCV expects {error.err}") from error
    if image is None:
        raise DREnvError(f"{source}: not an image that can be read ({len(data)} bytes)")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if image.ndim == 3 else image


def decode_depth(data: bytes, scale_mm: float, source: str = "depth") -> NDArray[np.float32]:
    """Metres (h, w) from a depth PNG; 0 is missing."""
    return np.asarray(decode_image(data, source) * np.float32(scale_mm / 1000), np.float32)


def encode_ids(ids: NDArray[np.int32]) -> bytes:
    """Instance or class numbers (h, w) as a 16-bit PNG."""
    return _encoded(".png", ids.astype(np.uint16), _MASK)


def runs(outline: Silhouette, height: int, width: int) -> dict[str, Any]:
    """The part of a silhouette in an image of this size as uncompressed COCO RLE.

    Counts are lengths of runs of 0, 1, 0, ... down the columns, first one of 0. Only the silhouette's own rectangle
    is looked at: most objects are small.
    """
    part = outline.within(height, width)
    columns = np.zeros((part.shape[1], part.shape[0] + 2), np.int8)
    columns[:, 1:-1] = part.T
    column, row = np.nonzero(np.diff(columns, axis=1))  # where runs begin and end, in turn
    edges = (max(outline.x, 0) + column) * height + max(outline.y, 0) + row
    # a run that ends with its column goes on where another begins with the next
    apart = np.repeat(edges[2::2] != edges[1:-1:2], 2)
    edges = edges[np.concatenate([[True], apart, [True]])] if len(edges) else edges
    counts = np.diff(edges, prepend=0, append=height * width).tolist()
    return {"counts": counts if counts[-1] else counts[:-1], "size": [height, width]}


def compressed_runs(outline: Silhouette, height: int, width: int) -> dict[str, Any]:
    """The same as compressed COCO RLE, whose counts are text, so that JSON holds them."""
    rle = coco_mask.frPyObjects(runs(outline, height, width), height, width)
    return {"counts": rle["counts"].decode("ascii"), "size": [height, width]}


def decode_runs(rle: dict[str, Any]) -> Mask:
    """The mask (h, w) that COCO RLE, compressed or not, stands for."""
    height, width = rle["size"]
    if isinstance(rle["counts"], list):
        rle = coco_mask.frPyObjects(rle, height, width)
    with warnings.catch_warnings():  # pycocotools does not know NumPy 2's __array__ yet
        warnings.simplefilter("ignore", DeprecationWarning)
        return np.asarray(coco_mask.decode(rle), np.bool_)
