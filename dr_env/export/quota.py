"""Quotas: which share of a dataset's frames shows what, drawn by refusing frames that do not.

Each frame has a target, such as a mug of which less than half is visible, and candidates for it are drawn until one
shows it. Targets follow additive recurrences (Kronecker sequences), whose first n terms fill every bin to its share
within a few frames for any n: balance needs no counting, so frame k depends on k alone, whatever worker makes it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from dr_env import rng
from dr_env.errors import DREnvError, unknown_name
from dr_env.export.example import Record, View
from dr_env.export.layout import Layout

# rationally independent numbers, so that combinations of several quotas fill evenly as well
_STEPS = tuple(math.sqrt(prime) % 1 for prime in (2, 3, 5, 7, 11))
LEAST_VISIBLE = 0.1
"""An object counts for quotas, unless one asks for visibility, if this much of it is visible, as for BOP's targets."""


def angle(view: View) -> float:
    """Degrees between an object's z axis and the direction from it to the camera: 0 is seen from above."""
    pose = np.reshape(view["camera_from_object"], (4, 4))
    towards = -pose[:3, 3] / np.linalg.norm(pose[:3, 3])
    return float(np.rad2deg(np.arccos(np.clip(pose[:3, 2] @ towards, -1, 1))))


def distance(view: View) -> float:
    """Metres from the camera to an object's origin."""
    return float(np.linalg.norm(np.reshape(view["camera_from_object"], (4, 4))[:3, 3]))


def size(view: View, layout: Layout) -> float:
    """The longer side of an object's amodal box, 1 being the image's longer side."""
    return max(view["box_amodal"][2:], default=0) / max(layout.width, layout.height) if view["box_amodal"] else 0.0


def measured(view: View, attribute: str, layout: Layout) -> float | str:
    """What quotas go by."""
    if attribute == "class":
        return str(view["class"])
    if attribute == "visibility":
        return float(view["visible_fraction"])
    return {"size": lambda v: size(v, layout), "angle": angle, "distance": distance}[attribute](view)


ATTRIBUTES = ("class", "visibility", "size", "angle", "distance")


@dataclass(frozen=True)
class Bin:
    """Values that a quota asks a share of frames for: a class, or a range [low, high)."""

    text: str
    share: float
    low: float = 0.0
    high: float = 0.0

    def holds(self, value: float | str) -> bool:
        """Whether a value lies in it."""
        return value == self.text if isinstance(value, str) else self.low <= value < self.high


@dataclass(frozen=True)
class Quota:
    """Shares of one attribute's values: class, visibility, size, angle or distance."""

    attribute: str
    bins: tuple[Bin, ...]

    @classmethod
    def parse(cls, text: str) -> Quota:
        """Reads `ATTRIBUTE=BIN[*SHARE],...`; a BIN is a class or LOW..HIGH.

        `class=mug,cube*2` has twice as many cubes as mugs; `visibility=0.1..0.5,0.5..1` as many of either.
        """
        attribute, equals, rest = text.partition("=")
        if not equals or not rest:
            form = "ATTRIBUTE=BIN[*SHARE],... such as visibility=0.1..0.5,0.5..1"
            raise DREnvError(f"--quota: got {text!r}, expected {form}")
        if attribute not in ATTRIBUTES:
            raise DREnvError(f"--quota {text}: {unknown_name('attribute', attribute, ATTRIBUTES)}")
        bins = tuple(_bin(part.strip(), attribute, text) for part in rest.split(","))
        if len({made.text for made in bins}) != len(bins):
            raise DREnvError(f"--quota {text}: a bin stands there twice")
        return cls(attribute, bins)

    def check_classes(self, names: Sequence[str]) -> None:
        """Raises DREnvError when a class is asked for that is not labelled."""
        for made in self.bins if self.attribute == "class" else ():
            if made.text not in names:
                raise DREnvError(f"--quota class: {unknown_name('class', made.text, names, 'classes')}")

    def pick(self, at: float) -> Bin:
        """The bin at a point of [0, 1), each as wide as its share."""
        edges = np.cumsum([made.share for made in self.bins])
        return self.bins[min(int(np.searchsorted(edges, at * edges[-1], side="right")), len(self.bins) - 1)]


def _bin(part: str, attribute: str, text: str) -> Bin:
    name, star, share = part.partition("*")
    try:
        weight = float(share) if star else 1.0
        if attribute == "class":
            found = Bin(name, weight)
        else:
            low, high = (float(number) for number in name.split(".."))
            # a fraction of 1 belongs to the range that ends there
            found = Bin(name, weight, low, math.nextafter(high, math.inf) if high == 1 else high)
    except ValueError:
        form = "CLASS" if attribute == "class" else "LOW..HIGH"
        raise DREnvError(f"--quota {text}: got {part!r}, expected {form}[*SHARE]") from None
    if not 0 < weight < math.inf or (attribute != "class" and not found.low < found.high) or not name:
        raise DREnvError(f"--quota {text}: got {part!r}, expected a share above 0 and LOW below HIGH")
    return found


class Targets:
    """What each frame must show, and whether a frame does.

    Args:
        quotas: one an attribute.
        seed: of the dataset; turns the sequence of targets.
        layout: of the dataset.
    """

    def __init__(self, quotas: Sequence[Quota], seed: int, layout: Layout) -> None:
        names = [quota.attribute for quota in quotas]
        if len(set(names)) != len(names):
            raise DREnvError(f"--quota: got {', '.join(names)}, expected one quota an attribute")
        self.quotas = tuple(quotas)
        self._layout = layout
        self._start = [rng.generator(seed, "quota", name).random() for name in names]

    def of(self, frame: int) -> dict[str, Bin]:
        """The bin of each attribute that a frame must show, all in one object."""
        return {
            quota.attribute: quota.pick((self._start[i] + (frame + 1) * _STEPS[i]) % 1)
            for i, quota in enumerate(self.quotas)
        }

    def met(self, views: Sequence[View], target: dict[str, Bin]) -> bool:
        """Whether one object of a frame is in all the bins of a target."""
        least = 0.0 if "visibility" in target else LEAST_VISIBLE
        return not target or any(
            view["pixels_visible"] > 0
            and view["visible_fraction"] >= least
            and all(wanted.holds(measured(view, name, self._layout)) for name, wanted in target.items())
            for view in views
        )

    def coverage(self, records: Iterable[Record]) -> dict[str, dict[str, dict[str, int]]]:
        """Attribute -> bin -> frames asked for it, frames of these that show it, and visible objects in it."""
        rows = {
            quota.attribute: {made.text: {"asked": 0, "shown": 0, "objects": 0} for made in quota.bins}
            for quota in self.quotas
        }
        for record in records:
            for name, text in record["target"].items():
                rows[name][text]["asked"] += 1
                rows[name][text]["shown"] += record["met"]
            for quota in self.quotas:
                for view in record["objects"]:
                    if view["pixels_visible"]:
                        value = measured(view, quota.attribute, self._layout)
                        for made in quota.bins:
                            rows[quota.attribute][made.text]["objects"] += made.holds(value)
        return rows
