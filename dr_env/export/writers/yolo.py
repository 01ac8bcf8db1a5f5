"""YOLO: rows of normalised numbers beside each image, for detection, segmentation or keypoints (Ultralytics)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from dr_env.errors import DREnvError
from dr_env.export.catalogue import Catalogue
from dr_env.export.example import Example, Record
from dr_env.export.layout import Layout
from dr_env.export.writers.base import Files
from dr_env.files import write_text


def outline(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """One polygon (n, 2) around a mask (h, w), in pixel centres; parts are joined where they are nearest.

    Holes are lost: a row has room for a single ring. Fewer than three pixels have none, and give (0, 2); a straight
    line of pixels is gone along twice, there and back.
    """
    found, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    parts = sorted((part[:, 0].astype(np.float64) for part in found), key=lambda part: -len(part))
    if np.count_nonzero(mask) < 3:
        return np.zeros((0, 2))
    if sum(map(len, parts)) < 3:
        return np.concatenate(parts)[[0, -1, -1, 0]]
    ring = parts[0]
    for part in parts[1:]:
        apart = np.square(ring[:, None] - part[None]).sum(-1)  # (ring, part)
        i, j = np.unravel_index(int(apart.argmin()), apart.shape)
        there_and_back = np.concatenate([np.roll(part, -int(j), axis=0), part[j : j + 1]])
        ring = np.concatenate([ring[: i + 1], there_and_back, ring[i:]])
    return ring


class Yolo:
    """`images/SPLIT`, `labels/SPLIT` and `data.yaml`: boxes of what is visible."""

    name = "yolo"
    keypoints: ClassVar[bool] = False

    def __init__(self, layout: Layout, classes: Catalogue) -> None:
        self._layout, self._classes = layout, classes
        self._numbers = {class_id: n for n, class_id in enumerate(classes)}  # classes count from 0
        self._most = max((len(kind.keypoints) for kind in classes.values()), default=0)
        self._size = np.array([layout.width, layout.height], np.float64)
        if self.keypoints and not self._most:
            raise DREnvError(f"format {self.name}: no object has keypoints; use yolo or yolo-segment")

    def files(self, example: Example) -> Files:
        """The image and its rows."""
        k = example.frame.index
        stem = f"{self._layout.split_of(k)}/{k:09d}"
        yield f"images/{stem}{self._layout.suffix}", example.rgb
        rows = []
        for i, view in enumerate(example.record["objects"]):
            numbers = self._row(example, i, view) if view["pixels_visible"] else ()
            if len(numbers):
                rows.append(" ".join([str(self._numbers[view["class_id"]]), *numbers]))
        yield f"labels/{stem}.txt", "".join(f"{row}\n" for row in rows).encode()

    def _box(self, view: dict[str, Any]) -> list[str]:
        x, y, w, h = view["box_visible"]
        return _numbers(np.array([x + w / 2, y + h / 2, w, h]) / np.tile(self._size, 2))

    def _row(self, example: Example, i: int, view: dict[str, Any]) -> list[str]:
        return self._box(view)

    def seal(self, shard: int, records: list[Record], root: Path) -> None:
        """Nothing: every file belongs to one frame."""

    def finish(self, records: Iterable[Record], root: Path) -> None:
        """Writes data.yaml."""
        train = f"images/{self._layout.split}"
        data: dict[str, Any] = {  # without a `path`, folders are beside this file, wherever it is read from
            "train": train,
            "val": "images/val" if "val" in self._layout.splits else train,
            "names": {self._numbers[class_id]: kind.name for class_id, kind in self._classes.items()},
        }
        if self.keypoints:
            data["kpt_shape"] = [self._most, 3]
            flips = {kind.flip for kind in self._classes.values()}
            # mirrored images have labels only where every class tells which keypoint becomes which
            if len(flips) == 1 and len(flip := next(iter(flips))) == self._most:
                data["flip_idx"] = list(flip)
        write_text(root / "data.yaml", yaml.safe_dump(data, sort_keys=False))


class YoloSegment(Yolo):
    """YOLO with a polygon around what is visible of each object."""

    name = "yolo-segment"

    def _row(self, example: Example, i: int, view: dict[str, Any]) -> list[str]:
        part = example.labels[i].visible
        return _numbers((outline(part.crop) + np.array([part.x + 0.5, part.y + 0.5])) / self._size)


class YoloPose(Yolo):
    """YOLO with keypoints; classes with fewer than others have unlabelled ones at the end."""

    name = "yolo-pose"
    keypoints = True

    def _row(self, example: Example, i: int, view: dict[str, Any]) -> list[str]:
        row = self._box(view)
        for x, y, v in view["keypoints"]:
            row += [*_numbers((np.array([x, y]) + 0.5) / self._size), str(v)] if v else ["0", "0", "0"]
        return row + ["0"] * (3 * (self._most - len(view["keypoints"])))


def _numbers(values: NDArray[np.float64]) -> list[str]:
    return [f"{value:.6f}" for value in np.reshape(values, -1).tolist()]
