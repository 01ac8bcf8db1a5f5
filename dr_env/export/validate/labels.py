"""Whether the labels of one BOP image agree with each other: poses, models, masks, boxes, counts and depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError
from dr_env.export.validate.findings import Findings, mask_box, missing_keys, numbers, rotation, same_numbers
from dr_env.records import Distortion
from dr_env.sensors import see
from dr_env.spatial import Intrinsics

Mask = NDArray[np.bool_]

_INFO = ("bbox_obj", "bbox_visib", "px_count_all", "px_count_valid", "px_count_visib", "visib_fract")
_NOTHING = [-1, -1, -1, -1]
_SLACK_PX = 2.0  # between a silhouette's outermost pixels and its outermost vertices
_SLACK_DEPTH = (2.0, 0.02)  # mm, and of the diameter, by which depths may leave the model's box
_OUTLIERS = 0.02  # of an object's pixels, at its edges
_HULL_SHARE = 0.97  # of an amodal mask that must lie in the hull of its vertices


@dataclass(frozen=True, eq=False)
class Model:
    """A model of an object: vertices (V, 3) in millimetres, and the box and diameter that models_info.json gives."""

    vertices: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    diameter: float


@dataclass(eq=False)
class LabelledImage:
    """What a BOP dataset holds of one image, and in which files.

    Args:
        frame: its name in messages.
        camera, gt, info: its entries of scene_camera, scene_gt and scene_gt_info.
        files: which file each kind is in: camera, gt, info, depth, mask, mask_visib.
        depth: (H, W) as stored; None where unreadable.
        masks, visible: (H, W) of each object; None where unreadable.
        shape: (H, W) of the colour image.
    """

    frame: str
    camera: Mapping[str, Any]
    gt: Sequence[Mapping[str, Any]]
    info: Sequence[Mapping[str, Any]]
    files: Mapping[str, Path | str]
    shape: tuple[int, int]
    depth: NDArray[np.uint16] | None = None
    masks: Sequence[Mask | None] = field(default_factory=list)
    visible: Sequence[Mask | None] = field(default_factory=list)

    def mask_file(self, kind: str, i: int) -> str:
        """The file of one object's mask."""
        return str(self.files[kind]).format(i=i)


def check_image(image: LabelledImage, models: Mapping[int, Model], findings: Findings) -> None:
    """Notes what does not agree."""
    camera = _camera(image, findings)
    if image.depth is not None and image.depth.shape != image.shape:
        findings.add(image.files["depth"], image.frame, f"got {image.depth.shape}, expected {image.shape} as the image")
        image.depth = None
    if len(image.gt) != len(image.info):
        text = f"got {len(image.info)} objects, expected {len(image.gt)} as in {Path(image.files['gt']).name}"
        findings.add(image.files["info"], image.frame, text)
        return
    covered = np.zeros(image.shape, np.int32)
    for i, (gt, info) in enumerate(zip(image.gt, image.info, strict=True)):
        lacking = missing_keys(info, _INFO)
        if lacking:
            findings.add(image.files["info"], image.frame, f"object {i}: no {', '.join(lacking)}")
            continue
        whole, visible = (_mask(image, kind, i, findings) for kind in ("mask", "mask_visib"))
        if visible is not None:
            twice = visible & (covered > 0)
            other = f"object {int(covered[twice][0]) - 1}" if twice.any() else ""
            findings.require(not other, image.mask_file("mask_visib", i), image.frame,
                             f"object {i}: {int(twice.sum())} visible pixels are visible of {other} too")  # fmt: skip
            covered[visible] = i + 1
        if whole is not None and visible is not None:
            outside = int((visible & ~whole).sum())
            findings.require(outside == 0, image.mask_file("mask_visib", i), image.frame,
                             f"object {i}: {outside} visible pixels outside of its amodal mask")  # fmt: skip
            _counts(image, i, info, whole, visible, findings)
            _boxes(image, i, info, whole, visible, findings)
        if camera is not None:
            with findings.reading(image.files["gt"], image.frame):
                _pose(image, i, gt, info, whole, visible, camera, models, findings)


def _camera(image: LabelledImage, findings: Findings) -> tuple[Intrinsics, Distortion | None, float] | None:
    with findings.reading(image.files["camera"], image.frame):
        form = image.camera
        k = numbers(form.get("cam_K"), 9, "cam_K")
        camera = Intrinsics.from_matrix(k, image.shape[1], image.shape[0])
        scale = form.get("depth_scale")
        if not isinstance(scale, int | float) or not 0 < scale < 1e4:
            raise DREnvError(f"depth_scale: got {scale}, expected mm a step, above 0")
        if "cam_R_w2c" in form:
            rotation(form["cam_R_w2c"], "cam_R_w2c")
            numbers(form.get("cam_t_w2c"), 3, "cam_t_w2c")
        lens = form.get("distortion")
        return camera, Distortion(lens["model"], tuple(lens["coefficients"])) if lens else None, float(scale)
    return None


def _mask(image: LabelledImage, kind: str, i: int, findings: Findings) -> Mask | None:
    stored = (image.masks if kind == "mask" else image.visible)[i]
    if stored is None:
        return None
    fits = stored.shape == image.shape
    findings.require(fits, image.mask_file(kind, i), image.frame, f"got {stored.shape}, expected {image.shape}")
    return stored if fits else None


def _counts(
    image: LabelledImage, i: int, info: Mapping[str, Any], whole: Mask, visible: Mask, findings: Findings
) -> None:
    def wrong(key: str, expected: str) -> None:
        findings.add(image.files["info"], image.frame, f"object {i}: {key}: got {info[key]}, expected {expected}")

    inside, seen = int(whole.sum()), int(visible.sum())
    total = info["px_count_all"]
    if info["px_count_visib"] != seen:
        wrong("px_count_visib", f"{seen}, as its mask has")
    if not isinstance(total, int) or total < inside:
        wrong("px_count_all", f"at least the {inside} of its mask")
    elif total > inside and inside and not _at_border(whole):
        wrong("px_count_all", f"{inside}: its mask does not touch the image's border")
    if image.depth is not None:
        valid = int((whole & (image.depth > 0)).sum())
        if info["px_count_valid"] != valid:
            wrong("px_count_valid", f"{valid}, the pixels of its mask that have depth")
    fraction = seen / total if isinstance(total, int) and total else 0.0
    if not isinstance(info["visib_fract"], int | float) or abs(info["visib_fract"] - fraction) > 1e-4:
        wrong("visib_fract", f"{fraction:.6f} = {seen} / {total}")


def _at_border(mask: Mask) -> bool:
    return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())


def _boxes(
    image: LabelledImage, i: int, info: Mapping[str, Any], whole: Mask, visible: Mask, findings: Findings
) -> None:
    """BOP's boxes: between the outermost pixels' centres, all -1 where nothing is visible."""

    def wrong(key: str, expected: object) -> None:
        findings.add(image.files["info"], image.frame, f"object {i}: {key}: got {info[key]}, expected {expected}")

    seen = mask_box(visible)
    expected = _NOTHING if seen is None else [seen[0], seen[1], seen[2] - 1, seen[3] - 1]
    if not same_numbers(info["bbox_visib"], expected):
        wrong("bbox_visib", f"{expected}, around its mask")
    around = mask_box(whole)
    if seen is None:
        if not same_numbers(info["bbox_obj"], _NOTHING):
            wrong("bbox_obj", f"{_NOTHING}, as nothing is visible")
    elif around is not None:
        inner = [around[0], around[1], around[2] - 1, around[3] - 1]
        if not _at_border(whole):
            if not same_numbers(info["bbox_obj"], inner):
                wrong("bbox_obj", f"{inner}, around its mask")
        else:
            box = info["bbox_obj"]
            fits = isinstance(box, list) and len(box) == 4 and box[2] >= inner[2] and box[3] >= inner[3]
            if not fits or box[0] > inner[0] or box[1] > inner[1]:
                wrong("bbox_obj", f"one that holds {inner}, which is around its mask")


def _pose(
    image: LabelledImage,
    i: int,
    gt: Mapping[str, Any],
    info: Mapping[str, Any],
    whole: Mask | None,
    visible: Mask | None,
    camera: tuple[Intrinsics, Distortion | None, float],
    models: Mapping[int, Model],
    findings: Findings,
) -> None:
    """The pose: the model's vertices against the masks and boxes, depth against the model's box."""
    where = image.files["gt"], image.frame
    model = models.get(gt.get("obj_id", -1))
    if model is None:
        findings.add(*where, f"object {i}: obj_id: got {gt.get('obj_id')}, expected one of {sorted(models)}")
        return
    turn = rotation(gt.get("cam_R_m2c"), f"object {i}: cam_R_m2c")
    shift = numbers(gt.get("cam_t_m2c"), 3, f"object {i}: cam_t_m2c")
    intrinsics, lens, scale = camera
    points = model.vertices @ turn.T + shift  # (V, 3) mm
    pixels = see(points, intrinsics, lens)
    if whole is not None and whole.any() and np.isfinite(pixels).all():
        _silhouette(image, i, info, whole, pixels, findings)
    if visible is None or image.depth is None:
        return
    rows, columns = np.nonzero(visible & (image.depth > 0))
    if len(rows) < 20 or lens is not None:
        return
    z = image.depth[rows, columns] * scale
    seen = intrinsics.unproject(np.stack([columns, rows], 1), z)  # (n, 3) mm
    local = (seen - shift) @ turn
    slack = max(_SLACK_DEPTH[0], _SLACK_DEPTH[1] * model.diameter) + scale
    outside = ((local < model.low - slack) | (local > model.high + slack)).any(1)
    if outside.mean() > _OUTLIERS:
        middle = float(np.median(z))
        findings.add(image.files["depth"], image.frame,
                     f"object {i}: {100 * outside.mean():.0f} % of its visible pixels lie off its model at its pose "
                     f"(depth {middle:.0f} mm, pose at {shift[2]:.0f} mm)")  # fmt: skip


def _core(pixels: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The least and greatest pixel that must be of what has these vertices (V, 2): tips may be thinner than one."""
    low = np.floor(pixels.min(0)) - 1
    width, height = (np.ceil(pixels.max(0)) + 2 - low).astype(int)
    drawn = np.zeros((height, width), np.uint8)
    hull = cv2.convexHull((pixels - low).astype(np.float32))
    cv2.fillConvexPoly(drawn, np.round(hull * 16).astype(np.int32), 1, cv2.LINE_8, 4)
    rows, columns = np.nonzero(cv2.erode(drawn, np.ones((3, 3), np.uint8)))
    if not len(rows):
        middle = pixels.mean(0)
        return middle, middle
    places = low + np.stack([columns, rows], 1)
    return places.min(0), places.max(0)


def _silhouette(
    image: LabelledImage, i: int, info: Mapping[str, Any], whole: Mask, pixels: NDArray[np.float64], findings: Findings
) -> None:
    """Projected vertices against the amodal box and mask."""
    low, high = pixels.min(0), pixels.max(0)
    height, width = image.shape
    if (low > (-width, -height)).all() and (high < (2 * width, 2 * height)).all() and info["bbox_obj"] != _NOTHING:
        x, y, w, h = info["bbox_obj"]
        slack = _SLACK_PX + 0.01 * (high - low).max()
        least = _core(pixels)
        outside = (low - (x, y) > slack).any() or ((x + w, y + h) - high > slack).any()
        if outside or ((x, y) - least[0] > slack).any() or (least[1] - (x + w, y + h) > slack).any():
            expected = [round(float(v)) for v in (*low, *(high - low))]
            findings.add(image.files["info"], image.frame,
                         f"object {i}: bbox_obj: got {info['bbox_obj']}, expected about {expected}, "
                         "where its vertices are projected")  # fmt: skip
    hull = cv2.convexHull(np.clip(pixels, -3 * max(width, height), 4 * max(width, height)).astype(np.float32))
    drawn = np.zeros(image.shape, np.uint8)
    cv2.fillConvexPoly(drawn, np.round(hull * 16).astype(np.int32), 1, cv2.LINE_8, 4)
    inside = np.asarray(cv2.dilate(drawn, np.ones((5, 5), np.uint8)))
    share = 100 * float(inside[whole].mean())
    if share < 100 * _HULL_SHARE:
        text = f"object {i}: only {share:.0f} % of its amodal mask lie where its vertices are projected"
        findings.add(image.mask_file("mask", i), image.frame, text)
