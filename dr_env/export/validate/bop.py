"""Reads a BOP-scenewise dataset back: every file of every scene."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError
from dr_env.export.encode import decode_image
from dr_env.export.validate.coco import check_annotations
from dr_env.export.validate.findings import Findings, Progress, load_json, missing_keys
from dr_env.export.validate.labels import LabelledImage, check_image
from dr_env.export.validate.models import read_models

_CAMERA = ("width", "height", "fx", "fy", "cx", "cy", "depth_scale")
_SCENE = ("scene_camera", "scene_gt", "scene_gt_info")
_TARGET = ("scene_id", "im_id", "obj_id", "inst_count")
_TARGET_FRACTION = 0.1
_SUFFIXES = (".png", ".jpg", ".jpeg")
_THREADS = 4  # decoding images lets go of the interpreter


def is_bop(root: Path) -> bool:
    """Whether a folder holds scenes."""
    return next(root.glob("*/*/scene_gt.json"), None) is not None


def check_bop(root: Path, findings: Findings, progress: Progress) -> int:
    """Reads all of a dataset; returns how many images it has."""
    size = check_camera(root, findings)
    models = read_models(root, findings)
    scenes = sorted(path for path in root.glob("*/*") if path.is_dir() and path.name.isdigit())
    counts: dict[tuple[int, int, int], int] = {}
    total = sum(1 for scene in scenes for path in (scene / "rgb").glob("*") if path.suffix in _SUFFIXES)
    done = 0
    with ThreadPoolExecutor(_THREADS) as pool:
        for scene in scenes:
            forms = _scene(scene, findings)
            if forms is None:
                continue
            keys = sorted(forms["scene_gt"], key=int)
            _extra_files(scene, forms["scene_gt"], findings)
            if (scene / "scene_gt_coco.json").is_file():
                with findings.reading(scene / "scene_gt_coco.json"):
                    check_annotations(scene / "scene_gt_coco.json", scene, findings, boxes="amodal")
            # images are read side by side, and judged in order
            for key, image in zip(keys, pool.map(lambda k, s=scene, f=forms: _read(s, k, f, size), keys), strict=True):
                for file, text in image.unread:
                    findings.add(file, image.name, text)
                if image.label is not None:
                    check_image(image.label, models, findings)
                    _count(scene, key, image.label, counts)
                done += 1
                progress(done, max(total, done))
    check_targets(root, counts, findings)
    return done


def check_camera(root: Path, findings: Findings) -> tuple[int, int] | None:
    """The image size (H, W) that camera.json gives."""
    path = root / "camera.json"
    with findings.reading(path):
        form = load_json(path)
        lacking = missing_keys(form, _CAMERA)
        if lacking:
            raise DREnvError(f"no {', '.join(lacking)}")
        return int(form["height"]), int(form["width"])
    return None


def _scene(scene: Path, findings: Findings) -> dict[str, dict[str, Any]] | None:
    """The scene's three files, by image; images that only some have are noted."""
    forms: dict[str, dict[str, Any]] = {}
    for name in _SCENE:
        path = scene / f"{name}.json"
        with findings.reading(path):
            forms[name] = load_json(path)
            if not isinstance(forms[name], dict) or not all(key.isdigit() for key in forms[name]):
                del forms[name]
                raise DREnvError("expected an object whose keys are image numbers")
    if len(forms) < len(_SCENE):
        return None
    every = set().union(*forms.values())
    for key in sorted(every, key=int):
        for name in _SCENE:
            findings.require(key in forms[name], scene / f"{name}.json", _frame(scene, key), "no entry for this image")
    common = {key for key in every if all(key in form for form in forms.values())}
    return {name: {key: form[key] for key in common} for name, form in forms.items()}


def _frame(scene: Path, key: str) -> str:
    return f"{scene.name}/{int(key):06d}"


class _Read:
    """One image as read: its labels, or why not."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.label: LabelledImage | None = None
        self.unread: list[tuple[Path, str]] = []

    def image(self, path: Path) -> NDArray[Any] | None:
        """An image file, or None and a finding."""
        try:
            return decode_image(path.read_bytes(), "file")
        except FileNotFoundError:
            self.unread.append((path, "missing"))
        except (DREnvError, OSError) as error:
            self.unread.append((path, f"cannot be read: {error}"))
        return None


def _read(scene: Path, key: str, forms: Mapping[str, Mapping[str, Any]], size: tuple[int, int] | None) -> _Read:
    read = _Read(_frame(scene, key))
    number = int(key)
    colour = next((p for s in _SUFFIXES if (p := scene / "rgb" / f"{number:06d}{s}").is_file()), None)
    rgb = read.image(colour or scene / "rgb" / f"{number:06d}.png")
    depth_file = scene / "depth" / f"{number:06d}.png"
    depth = read.image(depth_file)
    if depth is not None and (depth.dtype != np.uint16 or depth.ndim != 2):
        read.unread.append((depth_file, f"got {depth.dtype} {depth.shape}, expected 16 bits and one channel"))
        depth = None
    if rgb is None:
        return read
    if size is not None and rgb.shape[:2] != size and colour is not None:
        read.unread.append((colour, f"got {rgb.shape[1]} x {rgb.shape[0]} pixels, expected {size[1]} x {size[0]}"))
    objects = range(len(forms["scene_gt"][key]))
    masks = {
        kind: [_mask(read, scene / kind / f"{number:06d}_{i:06d}.png") for i in objects]
        for kind in ("mask", "mask_visib")
    }
    files: dict[str, Path | str] = {
        "camera": scene / "scene_camera.json",
        "gt": scene / "scene_gt.json",
        "info": scene / "scene_gt_info.json",
        "depth": depth_file,
        **{kind: str(scene / kind / f"{number:06d}_{{i:06d}}.png") for kind in masks},
    }
    gt, info = forms["scene_gt"][key], forms["scene_gt_info"][key]
    read.label = LabelledImage(
        read.name, forms["scene_camera"][key], gt, info, files, rgb.shape[:2], depth, masks["mask"], masks["mask_visib"]
    )
    return read


def _mask(read: _Read, path: Path) -> NDArray[np.bool_] | None:
    image = read.image(path)
    if image is None:
        return None
    if image.ndim != 2 or image.dtype != np.uint8 or not np.isin(np.unique(image), (0, 255)).all():
        read.unread.append((path, f"got {image.dtype} {image.shape}, expected one channel of 0 and 255"))
        return None
    return np.asarray(image > 0)


def _extra_files(scene: Path, gt: Mapping[str, Any], findings: Findings) -> None:
    """Images and masks that no label speaks of."""
    images = {f"{int(key):06d}" for key in gt}
    masks = {f"{int(key):06d}_{i:06d}" for key, objects in gt.items() for i in range(len(objects))}
    for folder, known in (("rgb", images), ("depth", images), ("mask", masks), ("mask_visib", masks)):
        for path in sorted((scene / folder).glob("*")):
            if path.suffix in _SUFFIXES and path.stem not in known:
                frame = _frame(scene, path.stem[:6]) if path.stem[:6].isdigit() else ""
                findings.add(path, frame, "no label in scene_gt.json speaks of it")


def _count(scene: Path, key: str, image: LabelledImage, counts: dict[tuple[int, int, int], int]) -> None:
    for gt, info in zip(image.gt, image.info, strict=False):
        if isinstance(info.get("visib_fract"), int | float) and info["visib_fract"] >= _TARGET_FRACTION:
            place = (int(scene.name), int(key), int(gt.get("obj_id", -1)))
            counts[place] = counts.get(place, 0) + 1


def check_targets(root: Path, counts: Mapping[tuple[int, int, int], int], findings: Findings) -> None:
    """The lists of what is to be found, against the objects that are visible enough."""
    listed = set()
    paths = sorted(root.glob("*targets_bop19.json"))
    for path in paths:
        with findings.reading(path):
            for row in load_json(path):
                place = (row["scene_id"], row["im_id"], row["obj_id"])
                listed.add(place)
                have = counts.get(place, 0)
                findings.require(
                    row["inst_count"] == have, path, f"{place[0]:06d}/{place[1]:06d}",
                    f"object {place[2]}: inst_count: got {row['inst_count']}, expected {have}",
                )  # fmt: skip
    for place in sorted(set(counts) - listed) if paths else ():
        findings.add(paths[0], f"{place[0]:06d}/{place[1]:06d}", f"object {place[2]} is visible, and not listed")
