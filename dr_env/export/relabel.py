"""Masks, boxes and visibility of a BOP dataset that has poses, camera and models, by rendering its models."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError
from dr_env.export.bop_read import IMAGES, BopDataset, BopImage
from dr_env.export.example import Example
from dr_env.export.layout import Layout
from dr_env.export.pose_scene import PoseScene
from dr_env.export.store import checksum
from dr_env.export.validate.findings import load_json
from dr_env.export.writers.base import compact, write_by_key
from dr_env.export.writers.bop import infos
from dr_env.export.writers.coco import categories, coco_annotations
from dr_env.files import atomic_path, check_writable, is_unused, write_text
from dr_env.records import Frame
from dr_env.sensors import make_lens, room_size, roomy
from dr_env.spatial import Array, Intrinsics

DELTA = 0.015
"""Metres by which a measured surface may lie before a model's and still be the model's: BOP's 15 mm."""

_BEGUN = "relabel.json"  # written first: what the copy is of
_DONE = "scene_gt_coco.json"  # of each scene, written last
Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Relabelled:
    """What a relabelling did.

    Attributes:
        images, objects: how many were labelled.
        kept: scenes that were there from an earlier run.
        without_model: how many annotations were left out by object id, for want of a model.
    """

    images: int
    objects: int
    kept: int
    without_model: dict[int, int]


def relabel(root: Path, out: Path, renderer: str = "classic", progress: Progress = lambda *_: None) -> Relabelled:
    """Writes a copy of a BOP dataset whose masks, boxes and visibility are computed anew.

    Poses, cameras and lenses are taken as they are. An object is hidden where another annotated object, or a measured
    depth, is before it. Annotations whose model is missing are left out of the copy. Scenes that an interrupted run has
    finished are kept: `relabel.json` in the copy says what it was begun with.

    Args:
        root: the dataset.
        out: where the copy goes: a new or empty folder, or one that the same relabelling began.
        renderer: "classic", "filament" or "mitsuba".
        progress: is told of images done, and of all.

    Raises:
        DREnvError: naming the file that is missing or wrong, or a folder that may not be written: of other files, or of
            a relabelling of something else.
    """
    data = BopDataset(root)
    if out.resolve() == root.resolve() or root.resolve() in out.resolve().parents:
        raise DREnvError(f"{out}: is in the dataset that is read; choose another --out")
    scenes = {scene: list(data.images(scene)) for scene in data.scenes}
    images = [image for found in scenes.values() for image in found]
    missing = Counter(number for image in images for number, _ in image.poses if number not in data.models)
    counts: Counter[int] = Counter()
    for image in images:
        counts |= Counter(number for number, _ in image.poses if number in data.models)
    if not counts:
        raise DREnvError(f"{data.models_folder}: no model of any annotated object: {sorted(missing)}")
    far = max(np.linalg.norm(pose[:3, 3]) for image in images for _, pose in image.poses) + 10.0
    size = data.width, data.height
    if any(image.distortion is not None for image in images):
        size = room_size(*size)
    done = objects = kept = 0
    with closing(PoseScene(data.models, dict(counts), *size, renderer, float(far))) as scene:
        _begin(data, renderer, out)
        for folder, found in scenes.items():
            target = out / folder.relative_to(root)
            if (target / _DONE).is_file():
                kept += 1
            else:
                objects += _scene(data, scene, folder, found, target)
            done += len(found)
            progress(done, len(images))
    _rest(data, out)
    return Relabelled(len(images), objects, kept, dict(sorted(missing.items())))


def _begin(data: BopDataset, renderer: str, out: Path) -> None:
    """Takes a new folder for this relabelling, or one that it began; refuses any other."""
    wanted = _inputs(data, renderer)
    path = out / _BEGUN
    if not path.is_file():
        if not is_unused(out):
            raise DREnvError(f"{out}: is not empty, and no relabelling began it; choose another --out")
        check_writable(out)
        write_text(path, json.dumps(wanted, indent=1) + "\n")
        return
    begun = load_json(path)
    if not isinstance(begun, dict):
        raise DREnvError(f"{path}: got {type(begun).__name__}, expected what a relabelling was begun with")
    changed = [name for name in sorted({*begun, *wanted}) if begun.get(name) != wanted.get(name)]
    if changed:
        raise DREnvError(f"{out}: was begun with another {', '.join(changed[:5])}; choose another --out")


def _inputs(data: BopDataset, renderer: str) -> dict[str, str]:
    """What labels depend on: the renderer, the dataset's folder, and digests of its files by name."""
    files = [scene / name for scene in data.scenes for name in ("scene_gt.json", "scene_camera.json")]
    files += [path for path in [data.root / "camera.json", *sorted(data.models_folder.iterdir())] if path.is_file()]
    digests = {path.relative_to(data.root).as_posix(): checksum(path.read_bytes()) for path in files}
    return {"dataset": str(data.root.resolve()), "renderer": renderer, **digests}


def _scene(data: BopDataset, scene: PoseScene, folder: Path, images: list[BopImage], target: Path) -> int:
    """Labels one scene; returns how many objects."""
    poses = load_json(folder / "scene_gt.json")
    truth: dict[int, Any] = {}
    found: dict[int, Any] = {}
    rows: list[dict[str, Any]] = []
    pictures: list[dict[str, Any]] = []
    for image in images:
        number = int(image.key)
        example = Example(_labelled(data, scene, image), Layout(1, data.width, data.height), math.inf)
        for i, pair in enumerate(example.mask_images):
            for kind, mask in zip(("mask", "mask_visib"), pair, strict=True):
                with atomic_path(target / kind / f"{number:06d}_{i:06d}.png") as path:
                    path.write_bytes(mask)
        for kind in IMAGES:
            if source := image.file(kind):
                with atomic_path(target / kind / source.name) as path:
                    shutil.copyfile(source, path)
        truth[number] = [entry for entry in poses[image.key] if int(entry["obj_id"]) in data.models]
        found[number] = infos(example.record)
        rows += coco_annotations(example.record, number, 1 + len(rows), boxes="amodal")
        name = image.file("rgb") or image.file("gray")
        pictures.append(
            {
                "id": number,
                "file_name": f"{name.parent.name}/{name.name}" if name else "",
                "width": data.width,
                "height": data.height,
            }
        )
    with atomic_path(target / "scene_camera.json") as path:
        shutil.copyfile(folder / "scene_camera.json", path)
    write_by_key(target / "scene_gt.json", truth)
    write_by_key(target / "scene_gt_info.json", found)
    coco = {"categories": categories(data.models), "images": pictures, "annotations": rows}
    write_text(target / _DONE, compact(coco))
    return sum(len(entries) for entries in truth.values())


def _labelled(data: BopDataset, scene: PoseScene, image: BopImage) -> Frame:
    """The Frame of an image's annotated objects that have a model."""
    poses = [(number, pose) for number, pose in image.poses if number in data.models]
    intrinsics = Intrinsics.from_matrix(image.K, data.width, data.height)
    if (scene.width, scene.height) == (data.width, data.height):
        frame = scene.frame(int(image.key), poses, intrinsics)
    else:  # some images of the dataset went through a lens
        lens = roomy(image.distortion, intrinsics, (scene.width, scene.height))
        # single precision moves the principal point by a millionth of a pixel
        wide = dataclasses.replace(scene.frame(int(image.key), poses, lens.wide), intrinsics=lens.wide)
        frame = lens.frame(wide)
    measured = image.depth()
    for picture, kind in ((image.rgb(), "rgb"), (measured, "depth")):
        if picture is not None and picture.shape[:2] != frame.depth.shape:
            raise DREnvError(
                f"{image.file(kind)}: got {picture.shape[1]} x {picture.shape[0]} pixels, "
                f"expected {data.width} x {data.height} as {data.root / 'camera.json'} says"
            )
    return frame if measured is None else behind_measured(frame, measured)


def behind_measured(frame: Frame, measured: NDArray[np.float32], delta: float = DELTA) -> Frame:
    """The Frame without what lies behind a measured surface.

    BOP's rule ("bop19"): a pixel is visible where the distance to the camera, along the ray, that was measured there is
    not shorter than the model's by more than `delta`, or where none was measured.

    Args:
        frame: as rendered.
        measured: (h, w) metres along z; 0 where nothing was measured. It becomes the Frame's depth.
        delta: metres.
    """
    along = np.linalg.norm(_rays(frame), axis=-1)
    hidden = (measured > 0) & ((frame.depth - measured) * along > delta)
    return dataclasses.replace(
        frame,
        depth=measured,
        instance=np.where(hidden, 0, frame.instance).astype(np.int32),
        semantic=np.where(hidden, 0, frame.semantic).astype(np.int32),
    )


def _rays(frame: Frame) -> Array:
    """The direction (h, w, 3) that each pixel looks in, at z = 1."""
    if frame.distortion is None:
        return frame.intrinsics.rays()
    height, width = frame.depth.shape
    plane = make_lens(frame.distortion, frame.intrinsics).rays(np.stack(np.meshgrid(range(width), range(height)), -1))
    return np.concatenate([plane, np.ones((height, width, 1))], -1)


def _rest(data: BopDataset, out: Path) -> None:
    """Copies what does not change: models and the nominal camera."""
    for source in [data.root / "camera.json", *sorted(data.models_folder.iterdir())]:
        if source.is_file():
            with atomic_path(out / source.relative_to(data.root)) as path:
                shutil.copyfile(source, path)
