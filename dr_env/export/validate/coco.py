"""Reads COCO annotations back, and has pycocotools score them against themselves."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from dr_env.errors import DREnvError
from dr_env.export.encode import decode_image, decode_runs
from dr_env.export.validate.findings import Findings, Progress, load_json, mask_box, missing_keys, same_numbers
from dr_env.export.writers.coco import oks_sigmas

_TOP = ("images", "annotations", "categories")
_ROW = ("id", "image_id", "category_id", "bbox", "area", "segmentation", "iscrowd")


def is_coco(root: Path) -> bool:
    """Whether a folder holds COCO annotations."""
    return next((root / "annotations").glob("*.json"), None) is not None


def check_coco(root: Path, findings: Findings, progress: Progress) -> int:
    """Reads all of a dataset; returns how many images it has."""
    done = 0
    paths = sorted((root / "annotations").glob("*.json"))
    for path in paths:
        with findings.reading(path):
            done += check_annotations(path, root / "images", findings)
        progress(done, done)
    return done


def check_annotations(
    path: Path, images: Path, findings: Findings, boxes: Literal["visible", "amodal"] = "visible"
) -> int:
    """Reads one file of annotations, and the images below `images`; returns how many there are."""
    form = load_json(path)
    lacking = missing_keys(form, _TOP)
    if lacking:
        raise DREnvError(f"no {', '.join(lacking)}")
    before = len(findings.found)
    shapes: dict[int, tuple[int, int]] = {}
    for row in form["images"]:
        number, name = row.get("id"), row.get("file_name", "")
        findings.require(number not in shapes, path, number, "this image id is there twice")
        shapes[number] = (row.get("height"), row.get("width"))
        with findings.reading(images / name, number):
            got = decode_image((images / name).read_bytes(), "file").shape[:2]
            if got != shapes[number]:
                height, width = shapes[number]
                findings.add(
                    path, number, f"{name}: got {width} x {height}, expected {got[1]} x {got[0]} as the file has"
                )
    kinds = {row.get("id"): row for row in form["categories"]}
    for number in kinds:
        text = f"category id: got {number}, expected 1 or more"
        findings.require(isinstance(number, int) and number >= 1, path, "", text)
    ids: set[Any] = set()
    for row in form["annotations"]:
        frame = row.get("image_id", "")
        lacking = missing_keys(row, _ROW)
        if findings.require(not lacking, path, frame, f"annotation {row.get('id')}: no {', '.join(lacking)}"):
            with findings.reading(path, frame):
                _row(row, path, shapes, kinds, ids, findings, boxes)
    if len(findings.found) == before and form["annotations"]:
        _scores(form, path, findings, boxes)
    return len(form["images"])


def _row(
    row: Mapping[str, Any],
    path: Path,
    shapes: Mapping[int, tuple[int, int]],
    kinds: Mapping[int, Mapping[str, Any]],
    ids: set[Any],
    findings: Findings,
    boxes: str,
) -> None:
    frame, name = row["image_id"], f"annotation {row['id']}"

    def wrong(key: str, expected: object) -> None:
        findings.add(path, frame, f"{name}: {key}: got {str(row.get(key))[:60]}, expected {expected}")

    if not isinstance(row["id"], int) or row["id"] < 1:
        wrong("id", "1 or more: pycocotools takes 0 for no match")
    if row["id"] in ids:
        wrong("id", "one that no other annotation has")
    ids.add(row["id"])
    if row["category_id"] not in kinds:
        wrong("category_id", f"one of {sorted(kinds)}")
    if frame not in shapes:
        wrong("image_id", "an image that is listed")
        return
    if not isinstance(row["segmentation"], dict):
        wrong("segmentation", "run lengths: polygons have no holes")
        return
    mask = decode_runs(row["segmentation"])
    if mask.shape != shapes[frame]:
        wrong("segmentation", f"a mask of {shapes[frame]}, but it has {mask.shape}")
        return
    area = int(mask.sum())
    if row["area"] != area or area == 0:
        wrong("area", f"{area}, as its mask has, above 0")
    around = mask_box(mask)
    if around is not None:
        box = row["bbox"]
        if boxes == "visible" and not same_numbers(box, around, 1e-6):
            wrong("bbox", f"{around}, around its mask")
        if boxes == "amodal":
            holds = isinstance(box, list) and len(box) == 4 and box[0] <= around[0] and box[1] <= around[1]
            if not holds or box[0] + box[2] < around[0] + around[2] or box[1] + box[3] < around[1] + around[3]:
                wrong("bbox", f"one that holds {around}, which is around its mask")
    if "keypoints" in row:
        _keypoints(row, kinds.get(row["category_id"], {}), shapes[frame], wrong)


def _keypoints(row: Mapping[str, Any], kind: Mapping[str, Any], shape: tuple[int, int], wrong: Any) -> None:
    points = row["keypoints"]
    count = len(kind.get("keypoints", ()))
    if len(points) != 3 * count:
        wrong("keypoints", f"{3 * count} numbers, three for each of {count}")
        return
    x, y, v = np.reshape(points, (-1, 3)).T
    if not np.isin(v, (0, 1, 2)).all():
        wrong("keypoints", "flags 0, 1 or 2")
    height, width = shape
    if ((v > 0) & ((x < -0.5) | (y < -0.5) | (x > width - 0.5) | (y > height - 0.5))).any():
        wrong("keypoints", "labelled keypoints inside the image")
    if row.get("num_keypoints") != int((v > 0).sum()):
        wrong("num_keypoints", int((v > 0).sum()))


def _scores(form: dict[str, Any], path: Path, findings: Findings, boxes: str) -> None:
    """Average precision of the ground truth as its own prediction, by pycocotools itself; it must be 1."""
    kinds = {row["id"]: len(row.get("keypoints", ())) for row in form["categories"]}
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(form)
        truth.createIndex()
        tasks = [("segm", sorted(kinds))] + ([("bbox", sorted(kinds))] if boxes == "visible" else [])
        # one number of keypoints at a time: pycocotools has one set of sigmas
        for count in sorted({n for n in kinds.values() if n}):
            tasks.append(("keypoints", [kind for kind, n in kinds.items() if n == count]))
        for task, categories in tasks:
            rows = [row for row in form["annotations"] if row["category_id"] in categories]
            rows = [{**row, "score": 1.0} for row in rows if task != "keypoints" or row.get("num_keypoints")]
            if not rows:
                continue
            scorer = COCOeval(truth, _predictions(form, rows), task)
            scorer.params.catIds = categories
            most = max(100, max(np.bincount([row["image_id"] for row in rows])))
            scorer.params.maxDets = [most] if task == "keypoints" else [1, 10, most]
            if task == "keypoints":
                scorer.params.kpt_oks_sigmas = oks_sigmas(kinds[categories[0]])
            scorer.evaluate()
            scorer.accumulate()
            precision = scorer.eval["precision"][:, :, :, 0, -1]
            known = precision[precision > -1]
            score = float(known.mean()) if known.size else float("nan")
            text = f"pycocotools scores the ground truth against itself at {task} AP {score:.4f}, expected 1.0"
            findings.require(score > 1 - 1e-6, path, "", text)


def _predictions(form: dict[str, Any], rows: list[dict[str, Any]]) -> COCO:
    made = COCO()
    made.dataset = {**form, "annotations": copy.deepcopy(rows)}
    made.createIndex()
    return made
