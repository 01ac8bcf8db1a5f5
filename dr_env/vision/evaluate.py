"""Runs an estimator over labelled images and scores it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError
from dr_env.evaluation import recall
from dr_env.export.catalogue import LabelClass
from dr_env.export.pose_scene import PoseScene
from dr_env.vision.card import check_models
from dr_env.vision.estimator import Estimator
from dr_env.vision.judge import Judged, Look, judge
from dr_env.vision.samples import Annotation, FloatBox, Images, ObjectModel, Sample
from dr_env.vision.scores import Scores, score

Boxes = Literal["visible", "amodal"]
Progress = Callable[[int, int], None]

_BEYOND = 10.0  # metres behind the farthest pose that depth reaches


@runtime_checkable
class WithDepth(Protocol):
    """Images whose scenes' depth is known."""

    def depth(self, index: int) -> NDArray[np.float32] | None:
        """The depth (h, w) of an image's scene, metres along z; 0 where it is missing; None where there is none."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """An estimator's scores, and all that they are made of.

    Attributes:
        scores: the numbers.
        judged: every target object.
        looks: what was said of every image.
    """

    scores: Scores
    judged: Judged
    looks: tuple[Look, ...]


def evaluate(
    estimator: Estimator,
    data: Images,
    *,
    boxes: Boxes = "visible",
    least_visible: float = recall.LEAST_VISIBLE,
    depth: bool = True,
    progress: Progress = lambda *_: None,
) -> Scores:
    """How good an estimator is on labelled images; see `examine`."""
    return examine(estimator, data, boxes=boxes, least_visible=least_visible, depth=depth, progress=progress).scores


def examine(
    estimator: Estimator,
    data: Images,
    *,
    boxes: Boxes = "visible",
    least_visible: float = recall.LEAST_VISIBLE,
    depth: bool = True,
    progress: Progress = lambda *_: None,
) -> Evaluation:
    """Runs an estimator over labelled images, and judges what it says of each.

    Targets are the annotated objects of which enough is visible, and never those that are hidden. As many estimates of
    a class are looked at in an image as there are targets of it; estimates of classes that it does not show are not.

    Args:
        estimator: what is judged.
        data: images with the poses of what they show.
        boxes: which labelled boxes estimators that work on crops are given.
        least_visible: fraction of an object that must be visible; BOP's is 0.1.
        depth: whether to compute VSD, where the images have depth and models can be rendered.
        progress: is told of images done, and of all.

    Raises:
        DREnvError: when class lists or meshes differ, when nothing is labelled, or boxes are missing.
    """
    if not 0 <= least_visible <= 1:
        raise DREnvError(f"least visible fraction: got {least_visible}, expected 0 to 1")
    if not len(data):
        raise DREnvError(f"{data.name}: no images")
    check_models(estimator, data)
    looks = []
    for index in range(len(data)):
        sample = data[index]
        targets = tuple(a for a in sample.annotations if 0 < a.visible_fraction >= least_visible)
        given = _given(targets, boxes, sample.name) if estimator.rotates else None
        looks.append(look_at(estimator, index, sample, given, targets))
        progress(index + 1, len(data))
    if not any(look.targets for look in looks):
        raise DREnvError(f"{data.name}: no image has a labelled object of which {least_visible:.0%} or more is visible")
    judged, left_out = _judged(looks, estimator, data, depth)
    seconds = float(np.mean([look.seconds for look in looks]))
    # datasets of photographs have no names of classes, but their symmetries and diameters are what counts
    models = {k: dataclasses.replace(data.models[k], name=model.name) for k, model in estimator.models.items()}
    return Evaluation(score(judged, models, left_out, seconds), judged, tuple(looks))


def look_at(
    estimator: Estimator,
    index: int,
    sample: Sample,
    boxes: Mapping[int, Sequence[FloatBox]] | None,
    targets: tuple[Annotation, ...] = (),
) -> Look:
    """What an estimator says of one image; poses that are not finite are not said."""
    begin = time.perf_counter()
    said = estimator.estimate(sample, boxes)
    seconds = time.perf_counter() - begin
    finite = tuple(estimate for estimate in said if np.isfinite(estimate.camera_from_object).all())
    return Look(index, sample.scene_id, sample.image_id, sample.intrinsics, targets, finite, seconds)


def _given(targets: tuple[Annotation, ...], boxes: Boxes, name: str) -> dict[int, list[FloatBox]]:
    found: dict[int, list[FloatBox]] = {}
    for target in targets:
        box = target.box_visible if boxes == "visible" else target.box_amodal
        if box is None:
            raise DREnvError(
                f"{name}: an object of class {target.class_id} has no {boxes} box; dr-env relabel makes them"
            )
        found.setdefault(target.class_id, []).append(box)
    return found


def _judged(looks: list[Look], estimator: Estimator, data: Images, depth: bool) -> tuple[Judged, dict[str, str]]:
    """Judges with VSD where it can be had; else says why not."""
    models = data.models  # the same meshes, with the symmetries that the dataset says
    if not estimator.rotates:
        reason = f"a {estimator.kind} estimator says no rotations"
        return judge(looks, models, False), {"ADD, ADD-S, reprojection, rotation, AR": reason}
    measured = data.depth if isinstance(data, WithDepth) else (lambda _: None)
    if not depth:
        why = "was not asked for"
    elif lacking := sum(measured(look.index) is None for look in looks):
        why = f"{data.name} has no depth" + (f" for {lacking} of {len(looks)} images" if lacking < len(looks) else "")
    else:
        try:
            scene = _scene(models, looks)
        except DREnvError as error:
            why = f"models cannot be rendered here: {error}"
        else:
            with closing(scene):
                return judge(looks, models, True, scene.depth, measured), {}
    return judge(looks, models, True), {"AR VSD": why}


def _scene(models: Mapping[int, ObjectModel], looks: list[Look]) -> PoseScene:
    """Renders one model at a time; all images must be of one size."""
    sizes = {(look.intrinsics.width, look.intrinsics.height) for look in looks}
    if len(sizes) > 1:
        raise DREnvError(f"images of {len(sizes)} sizes")
    width, height = sizes.pop()
    meshes = {k: LabelClass(k, f"class_{k}", model.vertices, model.faces) for k, model in models.items()}
    far = max(np.linalg.norm(target.camera_from_object[:3, 3]) for look in looks for target in look.targets)
    return PoseScene(meshes, dict.fromkeys(meshes, 1), width, height, "classic", float(far) + _BEYOND)
