"""COCO: instances with run-length masks, and keypoints, as pycocotools reads them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dr_env.export.catalogue import Catalogue
from dr_env.export.example import Example, Record
from dr_env.export.layout import Layout
from dr_env.export.writers.base import Files, compact
from dr_env.files import atomic_path


def categories(classes: Catalogue) -> list[dict[str, Any]]:
    """COCO's categories, whose ids begin at 1: pycocotools drops category 0."""
    made = []
    for class_id, kind in classes.items():
        category: dict[str, Any] = {"id": class_id, "name": kind.name, "supercategory": "object"}
        if kind.keypoints:
            category |= {"keypoints": list(kind.keypoints), "skeleton": []}
        made.append(category)
    return made


def coco_annotations(
    record: Record, image: int, first: int, boxes: Literal["visible", "amodal"] = "visible"
) -> list[dict[str, Any]]:
    """COCO's annotations of a frame's visible objects.

    Args:
        record: the frame's labels.
        image: the image's id.
        first: the first annotation's id; from 1, since pycocotools takes id 0 for no match.
        boxes: which boxes; COCO's are around what is visible, those of BOP's scene_gt_coco.json around all.
    """
    made: list[dict[str, Any]] = []
    for view in record["objects"]:
        if not view["pixels_visible"]:
            continue
        row: dict[str, Any] = {
            "id": first + len(made),
            "image_id": image,
            "category_id": view["class_id"],
            "iscrowd": 0,
            "ignore": False,
            "area": view["pixels_visible"],
            "bbox": view["box_visible"] if boxes == "visible" else view["box_amodal"],
            "segmentation": view["rle"],
        }
        if view["keypoints"]:
            # COCO wants zeros for what is not labelled
            points = [[x, y, v] if v else [0, 0, 0] for x, y, v in view["keypoints"]]
            row["keypoints"] = [value for point in points for value in point]
            row["num_keypoints"] = sum(v > 0 for _, _, v in points)
        made.append(row)
    return made


def oks_sigmas(count: int, spread: float = 0.05) -> NDArray[np.float64]:
    """What `COCOeval.params.kpt_oks_sigmas` must be for objects with `count` keypoints.

    pycocotools has those of 17 human joints built in and fails with any other number. A prediction that misses by
    2 `spread` times the root of the object's area has a similarity of exp(-1/2).
    """
    return np.full(count, spread)


class Coco:
    """COCO: `images/`, and `annotations/SPLIT.json`, which detectors and keypoint detectors both read."""

    name = "coco"

    def __init__(self, layout: Layout, classes: Catalogue) -> None:
        self._layout, self._classes = layout, classes

    def _file(self, frame: int) -> str:
        return f"{self._layout.split_of(frame)}/{frame:012d}{self._layout.suffix}"

    def files(self, example: Example) -> Files:
        """The image."""
        yield f"images/{self._file(example.frame.index)}", example.rgb

    def seal(self, shard: int, records: list[Record], root: Path) -> None:
        """Nothing: annotations of all shards share a file."""

    def finish(self, records: Iterable[Record], root: Path) -> None:
        """Writes each split's annotations, line by line, so that a large dataset needs no memory."""
        layout = self._layout
        for split in layout.splits:
            folder = root / "annotations"
            frames = [k for k in range(layout.frames) if layout.split_of(k) == split]
            with atomic_path(folder / f"{split}.json") as path, path.open("w", encoding="utf-8") as file:
                file.write(
                    f'{{"info":{{"description":"dr_env"}},"licenses":[],"categories":{compact(categories(self._classes))}'
                )
                file.write(',\n"images":[')
                for n, k in enumerate(frames):
                    name = self._file(k)
                    row = {"id": k + 1, "file_name": name, "width": layout.width, "height": layout.height}
                    file.write((",\n" if n else "\n") + compact(row))
                file.write('],\n"annotations":[')
                count = 0
                for record in records:
                    if layout.split_of(record["frame"]) == split:
                        for row in coco_annotations(record, record["frame"] + 1, count + 1):
                            file.write((",\n" if count else "\n") + compact(row))
                            count += 1
                file.write("]}\n")
