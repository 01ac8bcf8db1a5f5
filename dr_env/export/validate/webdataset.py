"""Reads a plain WebDataset back: every member of every tar file, and its index."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dr_env.errors import DREnvError
from dr_env.export.encode import decode_image, decode_runs
from dr_env.export.validate.archive import members_of
from dr_env.export.validate.findings import Findings, Progress, mask_box, missing_keys, numbers, rotation
from dr_env.records import Draw

_PARTS = ("depth.png", "instance.png", "semantic.png", "json")
_COLOURS = ("rgb.png", "rgb.jpg")
_FRAME = ("frame", "K", "camera_from_world", "depth_scale", "draw", "objects")
_OBJECT = (
    "instance", "class_id", "class", "camera_from_object", "box_amodal", "box_visible", "pixels_all", "pixels_visible",
    "visible_fraction", "occluded_fraction", "truncated_fraction", "keypoints", "rle",
)  # fmt: skip

Rows = dict[tuple[str, int], int]
"""The visible pixels of each object, by key and instance."""


def is_webdataset(root: Path) -> bool:
    """Whether a folder holds tar files and their index."""
    return (root / "index.parquet").is_file()


def check_webdataset(root: Path, findings: Findings, progress: Progress) -> int:
    """Reads all of a dataset; returns how many images it has."""
    done = 0
    rows: Rows = {}
    tars = sorted(root.glob("*/shard-*.tar"))
    for tar in tars:
        with findings.reading(tar):
            for key, parts in members_of(tar):
                _frame(tar, key, parts, rows, findings)
                done += 1
                progress(done, done)
    _index(root / "index.parquet", rows, findings)
    return done


def _frame(tar: Path, key: str, parts: Mapping[str, bytes], rows: Rows, findings: Findings) -> None:
    colour = next((name for name in _COLOURS if name in parts), _COLOURS[0])
    lacking = missing_keys(parts, (*_PARTS, colour))
    for part in lacking:
        findings.add(f"{tar}:{key}.{part}", key, "missing")
    if lacking:
        return
    images: dict[str, Any] = {}
    for part in (colour, *_PARTS[:3]):
        with findings.reading(f"{tar}:{key}.{part}", key):
            images[part] = decode_image(parts[part], "member")
            if images[part].shape[:2] != images[colour].shape[:2] or (part != colour and images[part].ndim != 2):
                got = images.pop(part).shape
                raise DREnvError(f"got {got}, expected {images[colour].shape[:2]} as the colour image")
    where = f"{tar}:{key}.json"
    with findings.reading(where, key):
        form = json.loads(parts["json"])
        lacking = missing_keys(form, _FRAME)
        if lacking:
            raise DREnvError(f"no {', '.join(lacking)}")
        numbers(form["K"], 9, "K")
        _rigid(form["camera_from_world"], "camera_from_world")
        Draw.from_json(json.dumps(form["draw"]), "draw")
        findings.require(form["frame"] == int(key), where, key, f"frame: got {form['frame']}, expected {int(key)}")
        if len(images) == 1 + len(_PARTS[:3]):
            known = {0, *(view.get("instance") for view in form["objects"])}
            strange = set(np.unique(images["instance.png"]).tolist()) - known
            text = f"got ids {sorted(strange)} that no object has"
            findings.require(not strange, f"{tar}:{key}.instance.png", key, text)
            for view in form["objects"]:
                _object(tar, key, view, images, findings)
                rows[key, view["instance"]] = view["pixels_visible"]


def _rigid(form: Any, what: str) -> None:
    pose = numbers(form, 16, what).reshape(4, 4)
    rotation(pose[:3, :3].reshape(-1).tolist(), what)


def _object(tar: Path, key: str, view: Mapping[str, Any], images: Mapping[str, Any], findings: Findings) -> None:
    def wrong(field: str, expected: object, part: str = "json") -> None:
        text = f"object {view.get('instance')}: {field}: got {str(view.get(field))[:60]}, expected {expected}"
        findings.add(f"{tar}:{key}.{part}", key, text)

    lacking = missing_keys(view, _OBJECT)
    if lacking:
        raise DREnvError(f"object {view.get('instance')}: no {', '.join(lacking)}")
    _rigid(view["camera_from_object"], f"object {view['instance']}: camera_from_object")
    mask = decode_runs(view["rle"])
    drawn = images["instance.png"] == view["instance"]
    if mask.shape != drawn.shape or (mask != drawn).any():
        wrong("rle", "the pixels that have its id in instance.png")
        return
    seen = int(mask.sum())
    if view["pixels_visible"] != seen:
        wrong("pixels_visible", seen)
    if view["box_visible"] != mask_box(mask):
        wrong("box_visible", f"{mask_box(mask)}, around its mask")
    if seen and (images["semantic.png"][mask] != view["class_id"]).any():
        wrong("class_id", f"{int(images['semantic.png'][mask][0])} as semantic.png has", "semantic.png")
    if not isinstance(view["pixels_all"], int) or view["pixels_all"] < seen:
        wrong("pixels_all", f"at least the {seen} that are visible")
        return
    fractions = [view[f"{name}_fraction"] for name in ("visible", "occluded", "truncated")]
    total = 1.0 if view["pixels_all"] else 0.0
    if abs(sum(fractions) - total) > 1e-6 or min(fractions) < 0:
        wrong("visible_fraction", f"fractions that sum to {total:g}, but they are {fractions}")
    elif total and abs(fractions[0] - seen / view["pixels_all"]) > 1e-6:
        wrong("visible_fraction", f"{seen / view['pixels_all']:.6f} = {seen} / {view['pixels_all']}")


def _index(path: Path, rows: Rows, findings: Findings) -> None:
    """The index, against what the tar files hold."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise DREnvError("reading index.parquet needs pyarrow: pip install 'dr-env[webdataset]'") from error
    try:
        table = pq.read_table(path, columns=["key", "instance", "pixels_visible"]).to_pylist()
    except (OSError, pa.ArrowException) as error:
        findings.add(path, "", f"cannot be read: {str(error).splitlines()[0]}")
        return
    found = {(row["key"], row["instance"]): row["pixels_visible"] for row in table}
    for key, instance in sorted(rows.keys() | found.keys()):
        got, expected = found.get((key, instance)), rows.get((key, instance))
        text = f"object {instance}: pixels_visible: got {got}, expected {expected} as in its tar file"
        findings.require(got == expected, path, key, text)
