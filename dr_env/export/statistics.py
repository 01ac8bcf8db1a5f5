"""What a dataset holds, in numbers: its visible objects by class, pose, distance and visibility."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dr_env.export.example import Record, View
from dr_env.export.layout import Layout
from dr_env.export.quota import angle, distance, size

_BINS = 24


@dataclass
class Statistics:
    """Counts of visible objects.

    Attributes:
        frames: how many there are.
        classes: objects by class name.
        values: of each object, by quantity.
        per_frame: visible objects of each frame.
    """

    frames: int = 0
    classes: dict[str, int] = field(default_factory=dict)
    values: dict[str, list[float]] = field(default_factory=dict)
    per_frame: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, records: Iterable[Record], layout: Layout) -> Statistics:
        """Those of all frames."""
        found = cls()
        for record in records:
            views = [view for view in record["objects"] if view["pixels_visible"]]
            found.frames += 1
            found.per_frame.append(len(views))
            for view in views:
                found.classes[view["class"]] = found.classes.get(view["class"], 0) + 1
                for name, value in _measures(view, layout).items():
                    found.values.setdefault(name, []).append(value)
        return found

    @property
    def objects(self) -> int:
        """How many visible objects there are."""
        return sum(self.per_frame)

    def histogram(self, name: str) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Counts (n,) and edges (n + 1,) of a quantity's bins."""
        values = np.array(self.values.get(name, ()))
        low, high = QUANTITIES[name].range or (_floor(values), _ceil(values))
        counts, edges = np.histogram(np.clip(values, low, high), _BINS, (low, high))
        return counts, edges


@dataclass(frozen=True)
class Quantity:
    """What is measured of an object: its name and unit for people, and its range where it has one."""

    title: str
    unit: str
    range: tuple[float, float] | None = None


QUANTITIES: dict[str, Quantity] = {
    "distance": Quantity("distance from the camera", "m"),
    "visibility": Quantity("visible fraction", "", (0, 1)),
    "occluded": Quantity("occluded fraction", "", (0, 1)),
    "truncated": Quantity("truncated fraction", "", (0, 1)),
    "size": Quantity("size in the image", "of its longer side", (0, 1)),
    "angle": Quantity("viewing angle from the object's z axis", "degrees", (0, 180)),
    "azimuth": Quantity("side from which it is seen, about its z axis", "degrees", (-180, 180)),
    "roll": Quantity("turn in the image", "degrees", (-180, 180)),
    "across": Quantity("place across the image", "of its width", (0, 1)),
    "down": Quantity("place down the image", "of its height", (0, 1)),
}
"""What is measured, by name."""


def _measures(view: View, layout: Layout) -> dict[str, float]:
    """Each quantity of one visible object."""
    pose = np.reshape(view["camera_from_object"], (4, 4))
    towards = -(pose[:3, :3].T @ pose[:3, 3])  # the camera, in the object's frame
    x, y, width, height = view["box_visible"]
    return {
        "distance": distance(view),
        "visibility": float(view["visible_fraction"]),
        "occluded": float(view["occluded_fraction"]),
        "truncated": float(view["truncated_fraction"]),
        "size": size(view, layout),
        "angle": angle(view),
        "azimuth": float(np.rad2deg(np.arctan2(towards[1], towards[0]))),
        "roll": float(np.rad2deg(np.arctan2(pose[0, 2], -pose[1, 2]))),  # its z axis, from upwards
        "across": (x + width / 2) / layout.width,
        "down": (y + height / 2) / layout.height,
    }


def _floor(values: NDArray[np.float64]) -> float:
    return float(np.floor(10 * values.min()) / 10) if len(values) else 0.0


def _ceil(values: NDArray[np.float64]) -> float:
    return max(float(np.ceil(10 * values.max()) / 10), _floor(values) + 0.1) if len(values) else 1.0
