"""Poses of objects in pictures that nobody labelled."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from dr_env.errors import DREnvError, unknown_name
from dr_env.files import atomic_path, write_text
from dr_env.spatial import Intrinsics, project
from dr_env.vision.estimator import Estimate, Estimator
from dr_env.vision.evaluate import look_at
from dr_env.vision.judge import Look
from dr_env.vision.overlay import ESTIMATED, Pixels, Wire, draw_axes, draw_cross, draw_lines, write_on, zoomed
from dr_env.vision.pictures import Pictures, open_pictures, read_intrinsics
from dr_env.vision.samples import FloatBox, Images, ObjectModel, Sample

ESTIMATES = "estimates.json"
Boxes = Mapping[int, Sequence[FloatBox]]

_LEAST_SIDE = 480  # pixels of a drawn picture's longer side
_SURE = 0.5  # positions that are less likely are not drawn


def open_with_camera(
    files: Sequence[Path], camera: Path | None, matrix: str | None, needed: bool
) -> tuple[Pictures, bool]:
    """Pictures and whether their camera is known.

    Args:
        files: the pictures.
        camera: a camera.json; None for the one beside the pictures.
        matrix: "fx,fy,cx,cy" in pixels of the first picture.
        needed: whether the camera must be known.

    Raises:
        DREnvError: where it must and is not; for a file that is no picture; or two cameras.
    """
    if camera is not None and matrix is not None:
        raise DREnvError("--camera and --K: got both, expected one of them")
    described = camera or files[0].parent / "camera.json"
    if camera is None and matrix is None:
        _check_alike(files)
    if matrix is not None:
        first = Pictures(str(files[0]), files[:1])[0].image
        intrinsics: Intrinsics | None = _intrinsics(matrix, first.shape[1], first.shape[0])
    else:
        intrinsics = read_intrinsics(described) if camera is not None or described.is_file() else None
    if intrinsics is None and needed:
        raise DREnvError(
            f"{files[0]}: its camera is not known, and this estimator's poses need it: "
            "expected --K fx,fy,cx,cy, --camera camera.json, or a camera.json beside the picture"
        )
    return open_pictures(files, intrinsics), intrinsics is not None


def _check_alike(files: Sequence[Path]) -> None:
    """Refuses pictures of several folders whose cameras differ."""
    folders = dict.fromkeys(path.parent for path in files)
    beside = {folder: folder / "camera.json" for folder in folders}
    cameras = {folder: read_intrinsics(path) if path.is_file() else None for folder, path in beside.items()}
    first = files[0].parent
    for folder, found in cameras.items():
        if found != cameras[first]:
            raise DREnvError(
                f"{folder}: its pictures have another camera.json than those of {first}; expected pictures of one "
                "camera, or --camera or --K for all"
            )


def _intrinsics(matrix: str, width: int, height: int) -> Intrinsics:
    numbers = _numbers(matrix, "--K", "fx,fy,cx,cy")
    return Intrinsics(width, height, *numbers)


def _numbers(text: str, flag: str, form: str) -> tuple[float, float, float, float]:
    try:
        a, b, c, d = (float(part) for part in text.split(","))
    except ValueError as error:
        raise DREnvError(f"{flag}: got '{text}', expected {form}") from error
    return a, b, c, d


def parse_boxes(texts: Sequence[str], models: Mapping[int, ObjectModel]) -> dict[int, list[FloatBox]] | None:
    """Boxes by class id of "x,y,w,h", or "CLASS:x,y,w,h" where there are several classes; None where there are none."""
    names = {model.name: k for k, model in models.items()} | {str(k): k for k in models}
    found: dict[int, list[FloatBox]] = {}
    for text in texts:
        name, colon, numbers = text.rpartition(":")
        if not colon and len(models) > 1:
            shown = ", ".join(model.name for model in models.values())
            raise DREnvError(f"--box: got '{text}', expected CLASS:x,y,w,h with CLASS one of {shown}")
        if colon and name not in names:
            raise DREnvError(
                f"--box {text}: {unknown_name('class', name, [m.name for m in models.values()], 'classes')}"
            )
        box = _numbers(numbers, "--box", "x,y,w,h")
        if not (np.isfinite(box).all() and box[2] > 0 and box[3] > 0):
            raise DREnvError(f"--box: got '{text}', expected a width and a height above 0")
        found.setdefault(names[name] if colon else next(iter(models)), []).append(box)
    return found or None


def predict(estimator: Estimator, pictures: Images, boxes: Boxes | None) -> list[Look]:
    """What an estimator says of each picture; without boxes, the whole picture is every class's."""
    looks = []
    for index in range(len(pictures)):
        sample = pictures[index]
        height, width = sample.image.shape[:2]
        given = boxes or {k: [(0.0, 0.0, float(width), float(height))] for k in estimator.models}
        for x, y, w, h in (box for each in given.values() for box in each):
            if x >= width or y >= height or x + w <= 0 or y + h <= 0:
                raise DREnvError(
                    f"--box {x:g},{y:g},{w:g},{h:g}: lies outside the {width} x {height} pixels of {sample.name}"
                )
        looks.append(look_at(estimator, index, sample, given))
    return looks


def write_pictures(
    out: Path, estimator: Estimator, pictures: Images, names: Sequence[str], looks: Sequence[Look], drawn: bool
) -> None:
    """Writes estimates as JSON, metres, and the pictures with the poses drawn.

    Args:
        out: the folder.
        estimator: which said it.
        pictures: what it saw.
        names: of the pictures; where one is there twice, all drawings are numbered.
        looks: what it said.
        drawn: whether to draw.
    """
    rows = [
        {"image": name, "K": look.intrinsics.K.reshape(-1).tolist() if drawn else None,
         "estimates": [_row(estimate, estimator) for estimate in look.estimates]}
        for name, look in zip(names, looks, strict=True)
    ]  # fmt: skip
    if drawn:
        wires = {k: Wire(model) for k, model in estimator.models.items()}
        stems = [Path(name).stem for name in names]
        if len(set(stems)) < len(stems):
            stems = [f"{i:04d}" for i in range(len(stems))]
        for i, (stem, look) in enumerate(zip(stems, looks, strict=True)):
            picture = draw_estimates(pictures[i], look.estimates, wires, estimator.rotates)
            _, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])
            with atomic_path(out / f"{stem}.jpg") as path:
                path.write_bytes(data.tobytes())
    write_text(out / ESTIMATES, json.dumps({"format": "dr_env/pose-estimates/1", "images": rows}, indent=1) + "\n")


def _row(estimate: Estimate, estimator: Estimator) -> dict[str, object]:
    pose = estimate.camera_from_object
    row: dict[str, object] = {
        "class_id": estimate.class_id,
        "class": estimator.models[estimate.class_id].name,
        "score": estimate.score,
        "position": pose[:3, 3].tolist(),
    }
    if estimator.rotates:
        row["camera_from_object"] = pose.reshape(-1).tolist()
    if estimate.box is not None:
        row["box"] = list(estimate.box)
    if estimate.keypoints is not None:
        row["keypoints"] = np.asarray(estimate.keypoints).tolist()
    return row


def draw_estimates(sample: Sample, estimates: Sequence[Estimate], wires: Mapping[int, Wire], rotates: bool) -> Pixels:
    """A picture with what was said of it: outlines, axes and names; of positions alone, crosses where one is likely."""
    height, width = sample.image.shape[:2]
    side = max(_LEAST_SIDE, width, height)
    picture, camera = zoomed(sample.image, sample.intrinsics, (0, 0, width, height), side)
    for estimate in estimates:
        wire, pose = wires[estimate.class_id], estimate.camera_from_object
        centre = project(pose[None, :3, 3], camera)[0]
        top = centre
        if rotates:
            lines = wire.segments(pose, camera)
            draw_lines(picture, lines, ESTIMATED, 1)
            draw_axes(picture, pose, 0.4 * wire.model.diameter, camera)
            if len(lines):
                top = np.array([lines[..., 0].min(), lines[..., 1].min() - 6])
        elif estimate.score >= _SURE:
            draw_cross(picture, centre, ESTIMATED)
            top = centre + np.array([8, -8])
        else:
            continue
        if np.isfinite(top).all():
            write_on(picture, f"{wire.model.name} {estimate.score:.2f}", top, ESTIMATED)
    return picture
