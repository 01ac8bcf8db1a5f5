"""Records of what was drawn and of what was seen, so that any episode or frame can be stored and made again."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dr_env.errors import DREnvError
from dr_env.spatial import Intrinsics

DRAW_FORMAT = "dr_env/draw/1"

Columns = dict[str, NDArray[np.float64]]
"""The Draws of n environments: entry name -> (n,) for shared values, (n, k) for one a match."""


def numbers_of(value: object) -> NDArray[np.float64]:
    """A copy of a value's numbers; NaN for what is none."""
    try:
        return np.array(value, np.float64)
    except (TypeError, ValueError):
        return np.array(np.nan)


class Draw(dict[str, Any]):
    """One realisation of a Spec: entry name -> float, or (k,) array for `per: element`.

    Immutable and hashable; equal when every value is bit-equal. A Draw remembers the structure it
    was drawn for (`binding`, a digest of model and entries), so that replaying it on another model
    is refused.
    """

    binding: str

    def __init__(self, values: Mapping[str, ArrayLike], binding: str = "") -> None:
        frozen: dict[str, Any] = {}
        if not isinstance(values, Mapping):
            raise DREnvError(f"draw: got {values!r}, expected a mapping of entry names to numbers")
        for name, value in values.items():
            array = numbers_of(value)
            if array.ndim > 1 or not np.isfinite(array).all():
                raise DREnvError(f"draw.{name}: got {value!r}, expected a finite number or a flat list of them")
            array.flags.writeable = False
            frozen[name] = float(array) if array.ndim == 0 else array
        super().__init__(frozen)
        self.binding = binding

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple((name, _bits(self[name])) for name in sorted(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping) or self.keys() != other.keys():
            return False
        return all(_bits(value) == _bits(other[name]) for name, value in self.items())

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __reduce__(self) -> tuple[Any, ...]:
        return (Draw, (dict(self), self.binding))

    def __copy__(self) -> Draw:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Draw:
        return Draw(self, self.binding)

    def _frozen(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("a Draw is immutable; make a new one with Draw({**draw, name: value})")

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = _frozen
    __ior__ = _frozen

    def digest(self) -> str:
        """Sixteen hex digits that name these values."""
        return hashlib.blake2b(self.to_json().encode(), digest_size=8).hexdigest()

    def to_json(self) -> str:
        """The Draw as one line of JSON; floats round-trip exactly."""
        values = {name: np.asarray(value).tolist() for name, value in self.items()}
        return json.dumps({"format": DRAW_FORMAT, "binding": self.binding, "values": values})

    @classmethod
    def from_json(cls, text: str, source: str = "draw") -> Draw:
        """Reads what `to_json` wrote. Raises DREnvError naming `source` when it is not a Draw."""
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise DREnvError(f"{source}:{error.lineno} not JSON: {error.msg}") from error
        if not isinstance(data, dict) or data.get("format") != DRAW_FORMAT:
            got = data.get("format") if isinstance(data, dict) else type(data).__name__
            raise DREnvError(f"{source} format: got {got!r}, expected {DRAW_FORMAT!r}")
        if not isinstance(data.get("values"), dict):
            raise DREnvError(f"{source} values: expected a mapping of entry names to numbers")
        try:
            return cls(data["values"], str(data.get("binding", "")))
        except DREnvError as error:
            raise DREnvError(f"{source} values: {error}") from None

    @classmethod
    def load(cls, path: str | Path) -> Draw:
        """Reads a Draw from a JSON file."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise DREnvError(f"{path}: cannot read the Draw: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise DREnvError(f"{path}: not a Draw, but no text: {error}") from error
        return cls.from_json(text, str(path))


def _bits(value: ArrayLike) -> bytes:
    return np.asarray(value, np.float64).tobytes()


def versions(*packages: str) -> dict[str, str]:
    """The versions of Python and of installed packages, by name, as a record's provenance."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in packages}}


def rows_of(columns: Mapping[str, NDArray[np.float64]], binding: str = "") -> Iterator[Draw]:
    """Yields the Draws that columns hold, row by row."""
    count = min((len(column) for column in columns.values()), default=0)
    for row in range(count):
        yield Draw({name: column[row] for name, column in columns.items()}, binding)


# frames

Box = tuple[int, int, int, int]
"""A box in pixels: x and y of the top left pixel, then width and height as counts of pixels."""


@dataclass(frozen=True, eq=False)
class Silhouette:
    """The outline an object would have with nothing in front of it, also where it leaves the image.

    Only the smallest rectangle that holds it is stored: most objects cover few pixels, and the whole reaches up to
    an image's size beyond each border (the BOP toolkit's canvas, three times as wide and high).

    Attributes:
        crop: (h, w) bool, without empty borders; (0, 0) where nothing is seen.
        x, y: the image's column and row that `crop[0, 0]` is at; negative left of and above the image.
    """

    crop: NDArray[np.bool_]
    x: int
    y: int

    @classmethod
    def of(cls, mask: NDArray[np.bool_], x: int = 0, y: int = 0) -> Silhouette:
        """The silhouette of a mask (h, w) whose first pixel is at column `x` and row `y` of the image."""
        rows, columns = np.asarray(mask.any(1)), np.asarray(mask.any(0))
        if not rows.any():
            return cls(np.zeros((0, 0), np.bool_), 0, 0)
        top, left = int(rows.argmax()), int(columns.argmax())
        bottom, right = len(rows) - int(rows[::-1].argmax()), len(columns) - int(columns[::-1].argmax())
        return cls(mask[top:bottom, left:right].copy(), x + left, y + top)

    @property
    def count(self) -> int:
        """How many pixels it has, outside the image as well; BOP's `px_count_all`."""
        return int(np.count_nonzero(self.crop))

    @property
    def box(self) -> Box | None:
        """The box around it, which may reach out of the image; None where nothing is seen."""
        height, width = self.crop.shape
        return (self.x, self.y, width, height) if self.crop.size else None

    def within(self, height: int, width: int) -> NDArray[np.bool_]:
        """The part of `crop` that lies in an image of this size, as a view."""
        rows = slice(max(-self.y, 0), max(height - self.y, 0))
        return self.crop[rows, max(-self.x, 0) : max(width - self.x, 0)]

    def mask(self, height: int, width: int) -> NDArray[np.bool_]:
        """The amodal mask (height, width) on an image of this size."""
        full = np.zeros((height, width), np.bool_)
        part = self.within(height, width)
        top, left = max(self.y, 0), max(self.x, 0)
        full[top : top + part.shape[0], left : left + part.shape[1]] = part
        return full


@dataclass(frozen=True, eq=False)
class ObjectView:
    """One labelled object as a camera sees it.

    Attributes:
        instance: its number in `Frame.instance`, from 1.
        name: its own name, such as its body's.
        class_id: its number in `Frame.semantic`, from 1; objects of a class share a mesh in BOP and COCO.
        class_name: the name of the class.
        camera_from_object: (4, 4) rigid transform to OpenCV's camera, in metres.
        low, high: (3,) the box around it in its own frame, in metres.
        silhouette: its amodal outline.
        keypoints: (k, 3) in its own frame, in metres.
        keypoint_names: one a keypoint.
    """

    instance: int
    name: str
    class_id: int
    class_name: str
    camera_from_object: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    silhouette: Silhouette
    keypoints: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3)))
    keypoint_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Distortion:
    """A lens: the name of its model, such as "brown_conrady", and its coefficients in OpenCV's order."""

    model: str
    coefficients: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Frame:
    """One rendered, labelled and perhaps sensed image, with the Draw that made it.

    Attributes:
        index: the frame's number in its dataset.
        rgb: (h, w, 3) uint8, as rendered.
        depth: (h, w) float32, metres along the camera's z; 0 where nothing is seen.
        instance: (h, w) int32, the visible object's `ObjectView.instance`; 0 is everything else.
        semantic: (h, w) int32, the visible object's `ObjectView.class_id`; 0 is everything else.
        intrinsics: the pinhole camera; where there is a lens, its camera matrix, which follows the distortion.
        camera_from_world: (4, 4) rigid transform to OpenCV's camera, in metres.
        objects: the labelled objects, seen or not, by instance.
        normals: (h, w, 3) float32 unit vectors in OpenCV's camera, 0 where nothing is seen; or None.
        distortion: the lens that images and labels went through; None is a pinhole.
        sensed_rgb: `rgb` as a camera's sensor gives it; or None.
        sensed_depth: `depth` as a depth sensor gives it; or None.
        draw: the values drawn for this frame.
        provenance: what rendered it: renderer, GL_RENDERER, versions.
    """

    index: int
    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    instance: NDArray[np.int32]
    semantic: NDArray[np.int32]
    intrinsics: Intrinsics
    camera_from_world: NDArray[np.float64]
    objects: tuple[ObjectView, ...]
    normals: NDArray[np.float32] | None = None
    distortion: Distortion | None = None
    sensed_rgb: NDArray[np.uint8] | None = None
    sensed_depth: NDArray[np.float32] | None = None
    draw: Draw = field(default_factory=lambda: Draw({}))
    provenance: Mapping[str, str] = field(default_factory=dict)
