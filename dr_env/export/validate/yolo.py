"""Reads a YOLO dataset back: data.yaml, and every row of every image's labels."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import yaml

from dr_env.errors import DREnvError
from dr_env.export.encode import decode_image
from dr_env.export.validate.findings import Findings, Progress

_SUFFIXES = (".png", ".jpg", ".jpeg")
_SLACK = 1e-5  # of rounding in the sixth decimal


def is_yolo(root: Path) -> bool:
    """Whether a folder holds a YOLO dataset."""
    return (root / "data.yaml").is_file()


def check_yolo(root: Path, findings: Findings, progress: Progress) -> int:
    """Reads all of a dataset; returns how many images it has."""
    path = root / "data.yaml"
    with findings.reading(path):
        try:
            data = yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise DREnvError(f"not YAML: {str(error).splitlines()[0]}") from None
        classes = _classes(data)
        shape = data.get("kpt_shape")
        if shape is not None and (not isinstance(shape, list) or len(shape) != 2 or shape[1] not in (2, 3)):
            raise DREnvError(f"kpt_shape: got {shape}, expected [count, 2 or 3]")
        flip = data.get("flip_idx")
        if flip is not None and (shape is None or sorted(flip) != list(range(shape[0]))):
            raise DREnvError(f"flip_idx: got {flip}, expected an order of the {shape and shape[0]} keypoints")
        base = root / data.get("path", ".")
        for split in ("train", "val"):
            findings.require((base / str(data.get(split))).is_dir(), path, "", f"{split}: no folder {data.get(split)}")
        return _images(root, classes, shape, findings, progress)
    return 0


def _classes(data: Any) -> int:
    names = data.get("names") if isinstance(data, dict) else None
    if isinstance(names, dict) and sorted(names) == list(range(len(names))) and names:
        return len(names)
    if isinstance(names, list) and names:
        return len(names)
    raise DREnvError(f"names: got {names}, expected names of classes 0, 1, ...")


def _images(root: Path, classes: int, shape: list[int] | None, findings: Findings, progress: Progress) -> int:
    images = {_key(root / "images", p): p for p in sorted((root / "images").rglob("*")) if p.suffix in _SUFFIXES}
    labels = {_key(root / "labels", p): p for p in sorted((root / "labels").rglob("*.txt"))}
    for key, path in labels.items():
        findings.require(key in images, path, Path(key).name, "its image is missing")
    for done, (key, path) in enumerate(images.items(), 1):
        frame = Path(key).name
        with findings.reading(path, frame):
            decode_image(path.read_bytes(), "file")
        if findings.require(key in labels, root / "labels" / f"{key}.txt", frame, "missing"):
            with findings.reading(labels[key], frame):
                for number, line in enumerate(labels[key].read_text(encoding="utf-8").splitlines(), 1):
                    text = _row(line, classes, shape)
                    findings.require(not text, labels[key], frame, f"line {number}: {text}")
        progress(done, len(images))
    return len(images)


def _key(folder: Path, path: Path) -> str:
    return str(path.relative_to(folder).with_suffix(""))


def _row(line: str, classes: int, shape: list[int] | None) -> str:
    """What is wrong with a row, or nothing."""
    try:
        kind, *values = (float(part) for part in line.split())
    except ValueError:
        return f"got {line[:60]!r}, expected a class and numbers"
    if kind not in range(classes):
        return f"class: got {kind:g}, expected 0 .. {classes - 1}"
    if not all(math.isfinite(value) for value in values):
        return "expected finite numbers"
    if shape is not None:
        count = 4 + shape[0] * shape[1]
        if len(values) != count:
            return f"got {len(values)} numbers, expected {count}: a box and {shape[0]} keypoints"
        points = [values[4 + i * shape[1] : 4 + (i + 1) * shape[1]] for i in range(shape[0])]
        for x, y, *flag in points:
            if flag and flag[0] not in (0, 1, 2):
                return f"keypoint's flag: got {flag[0]:g}, expected 0, 1 or 2"
            if (not flag or flag[0]) and not (-_SLACK <= x <= 1 + _SLACK and -_SLACK <= y <= 1 + _SLACK):
                return f"keypoint: got {x:g} {y:g}, expected 0 .. 1"
        return _box(values[:4])
    if len(values) == 4:
        return _box(values)
    if len(values) < 6 or len(values) % 2:
        return f"got {len(values)} numbers, expected a box of 4, or 3 or more points of a polygon"
    outside = [value for value in values if not -_SLACK <= value <= 1 + _SLACK]
    return f"polygon: got {outside[0]:g}, expected 0 .. 1" if outside else ""


def _box(values: list[float]) -> str:
    x, y, width, height = values
    if not (0 < width <= 1 + _SLACK and 0 < height <= 1 + _SLACK):
        return f"box: got a size of {width:g} x {height:g}, expected above 0 and at most 1"
    ends = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    if min(ends) < -_SLACK or max(ends) > 1 + _SLACK:
        return f"box: got {x:g} {y:g} {width:g} {height:g}, which reaches out of the image"
    return ""
