"""Figures and pictures of an evaluation's page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dr_env.evaluation.figures import COLOURS, data_uri, figure_of, png
from dr_env.evaluation.statistics import binned
from dr_env.spatial import Array, project
from dr_env.vision.evaluate import Evaluation
from dr_env.vision.overlay import (
    ESTIMATED,
    TRUE,
    Pixels,
    Wire,
    draw_axes,
    draw_cross,
    draw_lines,
    window,
    zoomed,
)
from dr_env.vision.samples import Images

_SIDE = 340  # pixels of a picture
_QUALITY = 88
_BINS = 24
_COLOURS = (*COLOURS, "#8c564b", "#7f7f7f", "#bcbd22", "#5e3c99")
_ERRORS = {
    "position": ("position error", "cm", 100.0),
    "rotation": ("rotation error", "degrees", 180 / np.pi),
    "reprojection": ("reprojection error", "pixels", 1.0),
}


@dataclass(frozen=True)
class Picture:
    """A picture of one object in the page.

    Attributes:
        image: JPEG in a data URI.
        title: which object of which image.
        text: how far off it is.
    """

    image: str
    title: str
    text: str


def histograms(evaluation: Evaluation, classes: dict[int, str]) -> str:
    """Errors of found objects by class, as far as the 98th percentile; what is beyond is in the last column."""
    judged = evaluation.judged
    names = [name for name in _ERRORS if name in judged.errors]
    figure, axes = figure_of(max(4.0 * len(names), 6.0), 3.0, 1, len(names))
    for axis, name in zip(axes, names, strict=True):
        title, unit, scale = _ERRORS[name]
        errors = scale * judged.errors[name]
        found = np.isfinite(errors)
        top = float(np.percentile(errors[found], 98)) if found.any() else 1.0
        edges = np.linspace(0, max(top, 1e-6), _BINS + 1)
        groups = [errors[found & (judged.class_id == k)].clip(max=edges[-1]) for k in classes]
        colours = [_COLOURS[i % len(_COLOURS)] for i in range(len(classes))]
        axis.hist(groups, edges.tolist(), stacked=True, color=colours, label=list(classes.values()))
        axis.set(xlabel=f"{title}, {unit}", ylabel="objects", xlim=(0, edges[-1]))
    if len(classes) > 1:
        axes[-1].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return png(figure)


def against(evaluation: Evaluation, classes: dict[int, str]) -> str:
    """The error that matters against visibility, distance and the place in the image."""
    judged = evaluation.judged
    shown, label = ranking(evaluation)
    place = np.array([_off_centre(evaluation, row) for row in range(len(judged))])
    figure, axes = figure_of(12.3, 3.0, 1, 3)
    kept = np.isfinite(shown)
    top = 1.15 * float(np.percentile(shown[kept], 97)) if kept.any() else 1.0
    columns = (
        ("visible fraction", judged.visible),
        ("distance from the camera, m", judged.distance),
        ("distance from the image's middle, half diagonals", place),
    )
    for axis, (name, x) in zip(axes, columns, strict=True):
        for i, k in enumerate(classes):
            mine = kept & (judged.class_id == k)
            size, alpha = (22, 0.8) if kept.sum() < 100 else (7, 0.4)
            colour = _COLOURS[i % len(_COLOURS)]
            axis.scatter(x[mine], shown[mine].clip(max=top), s=size, alpha=alpha, lw=0, color=colour)
        spread = np.ptp(x[kept]) if kept.any() else 0.0
        if kept.sum() >= 40 and spread > 1e-6:
            centres, means, errors = binned(x[kept], shown[kept].clip(max=top))
            axis.errorbar(centres, means, 2 * errors, color="black", marker="o", ms=3.5, lw=1.3, capsize=2)
        axis.set(xlabel=name, ylim=(0, top))
    axes[0].set_ylabel(label)
    return png(figure)


def ranking(evaluation: Evaluation) -> tuple[Array, str]:
    """The error (N,) that objects are ordered by, and what it is called."""
    judged = evaluation.judged
    if "mssd" in judged.errors:
        return 100 * judged.errors["mssd"], "largest distance on the surface, cm"
    return 100 * judged.errors["position"], "position error, cm"


def extremes(evaluation: Evaluation, count: int) -> tuple[list[int], list[int]]:
    """The rows of the worst and of the best objects, one an image and none in both; missed ones are the worst."""
    error, _ = ranking(evaluation)
    order = np.argsort(error, kind="stable")
    best = _one_an_image(order[np.isfinite(error[order])], evaluation, count)
    worst = _one_an_image([row for row in order[::-1] if row not in best], evaluation, count)
    return worst, best


def _one_an_image(order: Sequence[int] | NDArray[np.intp], evaluation: Evaluation, count: int) -> list[int]:
    rows: list[int] = []
    seen: set[int] = set()
    for row in order:
        image = int(evaluation.judged.look[row])
        if image not in seen and len(rows) < count:
            seen.add(image)
            rows.append(int(row))
    return rows


def _off_centre(evaluation: Evaluation, row: int) -> float:
    """How far an object's origin is from the image's middle, in half diagonals."""
    look = evaluation.looks[evaluation.judged.look[row]]
    centre = look.targets[evaluation.judged.target[row]].camera_from_object[None, :3, 3]
    size = np.array([look.intrinsics.width, look.intrinsics.height])
    return float(np.linalg.norm(project(centre, look.intrinsics)[0] - (size - 1) / 2) / (np.linalg.norm(size) / 2))


def picture(evaluation: Evaluation, data: Images, wires: dict[int, Wire], row: int, rotates: bool) -> Picture:
    """The true and the estimated pose of one object over its image."""
    judged = evaluation.judged
    look = evaluation.looks[judged.look[row]]
    sample = data[look.index]
    target = look.targets[judged.target[row]]
    wire = wires[target.class_id]
    said = look.estimates[judged.estimate[row]] if judged.found[row] else None
    lines = wire.segments(target.camera_from_object, look.intrinsics)
    middle = wire.model.at(target.camera_from_object)[None]
    around = [lines.reshape(-1, 2), project(middle, look.intrinsics)]
    if said is not None:
        around.append(project(said.camera_from_object[None, :3, 3], look.intrinsics))
        if rotates:
            around.append(wire.segments(said.camera_from_object, look.intrinsics).reshape(-1, 2))
    part = window(np.concatenate(around), look.intrinsics)
    drawn, camera = zoomed(sample.image, look.intrinsics, part, _SIDE)
    draw_lines(drawn, wire.segments(target.camera_from_object, camera), TRUE, 1 if rotates else 2)
    if said is not None and rotates:
        draw_lines(drawn, wire.segments(said.camera_from_object, camera), ESTIMATED, 1)
        draw_axes(drawn, said.camera_from_object, 0.35 * wire.model.diameter, camera)
    elif said is not None:
        centre = project(middle, camera)[0]
        place = project(said.camera_from_object[None, :3, 3], camera)[0]
        draw_cross(drawn, centre, TRUE)
        draw_lines(drawn, np.stack([centre, place])[None], ESTIMATED, 1)
        draw_cross(drawn, place, ESTIMATED)
    visible = f"{100 * judged.visible[row]:.0f} % visible"
    return Picture(jpeg(drawn), f"{sample.name}: {wire.model.name}", f"{_off(evaluation, row)}, {visible}")


def _off(evaluation: Evaluation, row: int) -> str:
    if not evaluation.judged.found[row]:
        return "not found"
    errors = evaluation.judged.errors
    parts = [f"{100 * errors['position'][row]:.1f} cm"]
    if "rotation" in errors:
        parts += [f"{np.degrees(errors['rotation'][row]):.0f}°", f"{errors['reprojection'][row]:.1f} px"]
    return ", ".join(parts)


def jpeg(image: Pixels) -> str:
    """An image as a data URI."""
    _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return data_uri(data.tobytes(), "image/jpeg")
