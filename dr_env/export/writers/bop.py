"""BOP's datasets: a folder a scene ("scenewise"), or tar files ("webdataset"). Millimetres, OpenCV's camera.

The formats are those of https://github.com/thodan/bop_toolkit/blob/master/docs/bop_datasets_format.md. Poses are of the
models that `models/` holds, whose origin is the middle of their box.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from dr_env import spatial
from dr_env.export.catalogue import MM, Catalogue
from dr_env.export.encode import DEPTH_SCALE_MM, encode_depth, encode_rgb, runs
from dr_env.export.example import Example, Record
from dr_env.export.layout import Layout
from dr_env.export.writers.base import Files, compact, write_by_key
from dr_env.export.writers.coco import categories, coco_annotations
from dr_env.export.writers.tar import join_parts, part
from dr_env.files import atomic_path, write_text
from dr_env.records import Silhouette

NOTHING = [-1, -1, -1, -1]
TARGET_FRACTION = 0.1
"""Objects of which less is visible are no targets of BOP's evaluation."""


def camera(record: Record) -> dict[str, Any]:
    """A frame's entry of scene_camera.json."""
    world = np.reshape(record["camera_from_world"], (4, 4))
    return {
        "cam_K": record["K"],
        "depth_scale": DEPTH_SCALE_MM,
        "cam_R_w2c": world[:3, :3].reshape(-1).tolist(),
        "cam_t_w2c": (world[:3, 3] * MM).tolist(),
        # what BOP's tools do not know: poses project through this lens
        **({"distortion": record["distortion"]} if record["distortion"] else {}),
    }


def poses(record: Record, classes: Catalogue) -> list[dict[str, Any]]:
    """A frame's entry of scene_gt.json."""
    made = []
    for view in record["objects"]:
        pose = np.reshape(view["camera_from_object"], (4, 4))
        origin = spatial.apply(pose, classes[view["class_id"]].centre[None])[0]
        made.append(
            {
                "cam_R_m2c": pose[:3, :3].reshape(-1).tolist(),
                "cam_t_m2c": (origin * MM).tolist(),
                "obj_id": view["class_id"],
            }
        )
    return made


def infos(record: Record) -> list[dict[str, Any]]:
    """A frame's entry of scene_gt_info.json. BOP's widths are those between the outermost pixels' centres."""

    def box(counted: list[int] | None) -> list[int]:
        return NOTHING if counted is None else [counted[0], counted[1], counted[2] - 1, counted[3] - 1]

    return [
        {
            "bbox_obj": box(view["box_amodal"] if view["box_visible"] else None),
            "bbox_visib": box(view["box_visible"]),
            "px_count_all": view["pixels_all"],
            "px_count_valid": view["pixels_valid"],
            "px_count_visib": view["pixels_visible"],
            "visib_fract": view["visible_fraction"],
        }
        for view in record["objects"]
    ]


class _Bop:
    """What both forms have beside their images: models, camera and targets."""

    def __init__(self, layout: Layout, classes: Catalogue) -> None:
        self._layout, self._classes = layout, classes

    def finish(self, records: Iterable[Record], root: Path) -> None:
        """Writes models, camera.json and the targets of each split."""
        for class_id, made in self._classes.items():
            with atomic_path(root / "models" / f"obj_{class_id:06d}.ply") as path:
                path.write_bytes(made.ply())
        write_by_key(root / "models" / "models_info.json", {k: made.info() for k, made in self._classes.items()})
        targets: dict[str, list[dict[str, int]]] = {split: [] for split in self._layout.splits}
        for record in records:
            if record["frame"] == 0:
                k = np.reshape(record["K"], (3, 3))
                nominal = {"cx": k[0, 2], "cy": k[1, 2], "depth_scale": DEPTH_SCALE_MM, "fx": k[0, 0], "fy": k[1, 1],
                           "height": self._layout.height, "width": self._layout.width}  # fmt: skip
                write_text(root / "camera.json", json.dumps(nominal, indent=2) + "\n")
            scene, image = self._layout.place(record["frame"])
            counts: dict[int, int] = {}
            for view in record["objects"]:
                if view["visible_fraction"] >= TARGET_FRACTION:
                    counts[view["class_id"]] = counts.get(view["class_id"], 0) + 1
            targets[self._layout.split_of(record["frame"])] += [
                {"im_id": image, "inst_count": counts[obj], "obj_id": obj, "scene_id": scene} for obj in sorted(counts)
            ]
        # the official name belongs to the split that is tested on
        tested = self._layout.splits[-1]
        for split, rows in targets.items():
            name = "test_targets_bop19.json" if split == tested else f"{split}_targets_bop19.json"
            write_text(root / name, "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


class BopScenewise(_Bop):
    """BOP as most tools read it: a folder for each scene with images, masks and four JSON files."""

    name = "bop"

    def files(self, example: Example) -> Files:
        """rgb, depth, amodal and visible masks; what a sensor made of depth, and the clean image it began with."""
        frame = example.frame
        scene, image = self._layout.place(frame.index)
        folder = f"{self._layout.split_of(frame.index)}/{scene:06d}"
        suffix = self._layout.suffix
        yield f"{folder}/rgb/{image:06d}{suffix}", example.rgb
        yield f"{folder}/depth/{image:06d}.png", example.depth
        if frame.sensed_rgb is not None:
            yield f"{folder}/rgb_clean/{image:06d}{suffix}", encode_rgb(frame.rgb, suffix)
        if frame.sensed_depth is not None:
            # beside `depth`, since noise beyond 15 mm erodes the masks that official tools compute from it
            yield f"{folder}/depth_sensed/{image:06d}.png", encode_depth(frame.sensed_depth)
        for i, (whole, visible) in enumerate(example.mask_images):
            yield f"{folder}/mask/{image:06d}_{i:06d}.png", whole
            yield f"{folder}/mask_visib/{image:06d}_{i:06d}.png", visible

    def seal(self, shard: int, records: list[Record], root: Path) -> None:
        """Writes the scene's JSON files."""
        for split in self._layout.splits:
            mine = {
                self._layout.place(record["frame"])[1]: record
                for record in records
                if self._layout.split_of(record["frame"]) == split
            }
            if not mine:
                continue
            folder = root / split / f"{shard:06d}"
            write_by_key(folder / "scene_camera.json", {k: camera(record) for k, record in mine.items()})
            write_by_key(folder / "scene_gt.json", {k: poses(record, self._classes) for k, record in mine.items()})
            write_by_key(folder / "scene_gt_info.json", {k: infos(record) for k, record in mine.items()})
            suffix = self._layout.suffix
            images = [
                {
                    "id": k,
                    "file_name": f"rgb/{k:06d}{suffix}",
                    "width": self._layout.width,
                    "height": self._layout.height,
                }
                for k in mine
            ]
            rows: list[dict[str, Any]] = []
            for k, record in mine.items():
                rows += coco_annotations(record, k, 1 + len(rows), boxes="amodal")
            coco = {"categories": categories(self._classes), "images": images, "annotations": rows}
            write_text(folder / "scene_gt_coco.json", compact(coco))


class BopWebdataset(_Bop):
    """BOP for training at scale: tar files of at most a thousand images, and where each image is."""

    name = "bop-webdataset"

    def files(self, example: Example) -> Files:
        """A part of a tar file."""
        record, suffix = example.record, self._layout.suffix
        shard, image = self._layout.place(example.frame.index)
        key = f"{shard:06d}_{image:06d}"

        def masks(outlines: Iterable[Silhouette]) -> bytes:
            return compact(
                {i: runs(each, self._layout.height, self._layout.width) for i, each in enumerate(outlines)}
            ).encode()

        members = {
            f"{key}.rgb{suffix}": example.rgb,
            f"{key}.depth.png": example.depth,
            f"{key}.camera.json": compact(camera(record)).encode(),
            f"{key}.gt.json": compact(poses(record, self._classes)).encode(),
            f"{key}.gt_info.json": compact(infos(record)).encode(),
            # plain runs, which the official reader decodes
            f"{key}.mask.json": masks(label.view.silhouette for label in example.labels),
            f"{key}.mask_visib.json": masks(label.visible for label in example.labels),
        }
        split = self._layout.split_of(example.frame.index)
        yield part(f"{split}/shard-{shard:06d}.tar", image, members)

    def seal(self, shard: int, records: list[Record], root: Path) -> None:
        """Joins the parts."""
        join_parts(root)

    def finish(self, records: Iterable[Record], root: Path) -> None:
        """Writes models, camera, targets and in which tar file each image is."""
        shards: dict[str, dict[str, int]] = {split: {} for split in self._layout.splits}
        for frame in range(self._layout.frames):
            shard, image = self._layout.place(frame)
            shards[self._layout.split_of(frame)][f"{shard:06d}_{image:06d}"] = shard
        for split, keys in shards.items():
            write_text(root / split / "key_to_shard.json", json.dumps(keys))
        super().finish(records, root)
