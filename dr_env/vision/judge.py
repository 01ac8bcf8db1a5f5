"""Estimates judged against what is true: errors of every target object, and which of BOP's thresholds it passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dr_env.evaluation import pose, recall
from dr_env.spatial import Array, Intrinsics, transform
from dr_env.vision.estimator import Estimate
from dr_env.vision.samples import Annotation, ObjectModel

DepthOf = Callable[[int, Array, Intrinsics], NDArray[np.float32]]
"""The depth (h, w) in metres of a class's model alone at a pose (4, 4) before a camera; 0 where it is not."""

_ALIKE = 1e-6


@dataclass(frozen=True, eq=False)
class Look:
    """What an estimator said of one image, and what is true of it.

    Attributes:
        index: of the image in its collection.
        scene_id, image_id: its numbers in BOP.
        intrinsics: its camera.
        targets: the annotated objects that it is to find.
        estimates: what it found.
        seconds: that it took.
    """

    index: int
    scene_id: int
    image_id: int
    intrinsics: Intrinsics
    targets: tuple[Annotation, ...]
    estimates: tuple[Estimate, ...]
    seconds: float


@dataclass(eq=False)
class Judged:
    """One row for each of N target objects.

    Attributes:
        look: (N,) its place in the Looks.
        target: (N,) its place in the Look's targets.
        class_id: (N,).
        visible: (N,) visible fraction.
        distance: (N,) metres from the camera.
        estimate: (N,) place in the Look's estimates of the one that was taken for it; -1 where it was missed.
        errors: name -> (N,) of that estimate, infinity where it was missed: position (m) and, of estimators that say
            rotations, rotation (rad), add, add_s, mssd (m), reprojection, mspd (pixels).
        passed: name -> (N,) share of BOP's thresholds of mssd, mspd and vsd at which it is found; nan where an image
            has no depth.
    """

    look: NDArray[np.intp]
    target: NDArray[np.intp]
    class_id: NDArray[np.intp]
    visible: Array
    distance: Array
    estimate: NDArray[np.intp]
    errors: dict[str, Array] = field(default_factory=dict)
    passed: dict[str, Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.look)

    @property
    def found(self) -> NDArray[np.bool_]:
        """(N,) which have an estimate."""
        return self.estimate >= 0


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Every estimate of a class beside every target of it in the same image, image after image.

    Attributes:
        estimated, true: (P, 4, 4).
        cameras: (P, 3, 3).
        groups: (rows of Judged, places of estimates in the Look, scores) of each image; its pairs are estimates times
            rows, estimates first.
    """

    estimated: Array
    true: Array
    cameras: Array
    groups: list[tuple[NDArray[np.intp], list[int], list[float]]]

    def tables(self, errors: Array) -> list[Array]:
        """Errors (P,) as a table (E, N) for each image."""
        made, start = [], 0
        for rows, places, _ in self.groups:
            size = len(rows) * len(places)
            made.append(errors[start : start + size].reshape(len(places), len(rows)))
            start += size
        return made


def judge(
    looks: Sequence[Look],
    models: Mapping[int, ObjectModel],
    rotates: bool,
    depth_of: DepthOf | None = None,
    measured: Callable[[int], NDArray[np.float32] | None] = lambda _: None,
) -> Judged:
    """Judges what was said of images.

    Args:
        looks: what was said, and what is true.
        models: by class id.
        rotates: whether estimates have rotations; if not, positions alone are judged.
        depth_of: renders models, for VSD; None leaves it out.
        measured: the depth (h, w) in metres of the scene of an image by its index; None where there is none.
    """
    made = [(i, j, target) for i, look in enumerate(looks) for j, target in enumerate(look.targets)]
    judged = Judged(
        look=np.array([i for i, _, _ in made], np.intp),
        target=np.array([j for _, j, _ in made], np.intp),
        class_id=np.array([target.class_id for *_, target in made], np.intp),
        visible=np.array([target.visible_fraction for *_, target in made], np.float64),
        distance=np.array([np.linalg.norm(target.camera_from_object[:3, 3]) for *_, target in made], np.float64),
        estimate=np.full(len(made), -1, np.intp),
    )
    for name in ("position", *(("rotation", "add", "add_s", "mssd", "reprojection", "mspd") if rotates else ())):
        judged.errors[name] = np.full(len(made), np.inf)
    for name in ("mssd", "mspd", *(("vsd",) if depth_of else ())) if rotates else ():
        judged.passed[name] = np.zeros(len(made))
    for class_id in np.unique(judged.class_id).tolist():
        model = models[class_id]
        rows = np.flatnonzero(judged.class_id == class_id)
        motions = model.motions(pose.SYMMETRY_STEPS) if rotates and not is_ball(model) else pose.IDENTITY
        pairs = _pairs(looks, judged, rows, model, rotates)
        _judge_class(judged, pairs, model, motions, rotates, looks)
        if depth_of is not None and rotates:
            _judge_depth(judged, rows, pairs, model, looks, depth_of, measured)
    return judged


def is_ball(model: ObjectModel) -> bool:
    """Whether every turn is a symmetry: two axes of turns span them all."""
    axes = [np.asarray(axis) / np.linalg.norm(axis) for axis, _ in model.continuous]
    return any(abs(axis @ axes[0]) < 1 - _ALIKE for axis in axes[1:])


def _pairs(looks: Sequence[Look], judged: Judged, rows: NDArray[np.intp], model: ObjectModel, rotates: bool) -> _Pairs:
    groups: list[tuple[NDArray[np.intp], list[int], list[float]]] = []
    estimated, true, cameras = [], [], []
    for place, mine in _by_image(judged.look, rows):
        look = looks[place]
        said = [i for i, estimate in enumerate(look.estimates) if estimate.class_id == model.class_id]
        if not said:
            continue
        groups.append((mine, said, [look.estimates[i].score for i in said]))
        for i in said:
            for row in mine:
                estimated.append(look.estimates[i].camera_from_object)
                true.append(look.targets[judged.target[row]].camera_from_object)
                cameras.append(look.intrinsics.K)
    here, there = (np.array(poses, np.float64).reshape(-1, 4, 4) for poses in (estimated, true))
    if is_ball(model) or not rotates:  # the rotation is whatever it is said to be
        middle = model.at(here) if rotates else here[:, :3, 3]
        here = transform(there[:, :3, :3], middle - there[:, :3, :3] @ model.middle)
    return _Pairs(here, there, np.array(cameras, np.float64).reshape(-1, 3, 3), groups)


def _by_image(look: NDArray[np.intp], rows: NDArray[np.intp]) -> list[tuple[int, NDArray[np.intp]]]:
    """Rows of the same image together, in order."""
    cuts = np.flatnonzero(np.diff(look[rows])) + 1
    return [(int(look[part[0]]), part) for part in np.split(rows, cuts) if len(part)]


def _judge_class(
    judged: Judged, pairs: _Pairs, model: ObjectModel, motions: Array, rotates: bool, looks: Sequence[Look]
) -> None:
    """Fills in the errors of a class, and what passes BOP's thresholds of MSSD and MSPD."""
    a, b, k = pairs.estimated, pairs.true, pairs.cameras
    surface = pose.mssd(a, b, model.vertices, motions) if rotates else pose.position_error(a, b, model.middle)
    image = pose.mspd(a, b, model.vertices, k, motions) if rotates else np.zeros(len(a))
    chosen: list[int] = []  # of all pairs, those that belong together
    chosen_rows: list[int] = []
    start = 0
    tables = zip(pairs.groups, pairs.tables(surface), pairs.tables(image), strict=True)
    for (rows, places, scores), by_surface, by_image in tables:
        taken = recall.assigned(by_surface, scores)
        for column, (row, estimate) in enumerate(zip(rows, taken, strict=True)):
            if estimate >= 0:
                judged.estimate[row] = places[estimate]
                chosen.append(start + int(estimate) * len(rows) + column)
                chosen_rows.append(int(row))
        if rotates:
            bounds = recall.MSPD_BOUNDS * looks[judged.look[rows[0]]].intrinsics.width / recall.MSPD_WIDTH
            passed = recall.matched(by_surface, scores, recall.MSSD_BOUNDS * model.diameter)
            judged.passed["mssd"][rows] = passed.mean(1)
            judged.passed["mspd"][rows] = recall.matched(by_image, scores, bounds).mean(1)
        start += len(rows) * len(places)
    a, b, k = a[chosen], b[chosen], k[chosen]
    judged.errors["position"][chosen_rows] = pose.position_error(a, b, model.middle)
    if rotates:
        points = model.vertices
        judged.errors["rotation"][chosen_rows] = pose.rotation_error(a, b, motions)
        judged.errors["add"][chosen_rows] = pose.add(a, b, points)
        judged.errors["add_s"][chosen_rows] = pose.add_s(a, b, points)
        judged.errors["reprojection"][chosen_rows] = pose.reprojection_error(a, b, points, k, motions)
        judged.errors["mssd"][chosen_rows] = surface[chosen]
        judged.errors["mspd"][chosen_rows] = image[chosen]


def _judge_depth(
    judged: Judged,
    rows: NDArray[np.intp],
    pairs: _Pairs,
    model: ObjectModel,
    looks: Sequence[Look],
    depth_of: DepthOf,
    measured: Callable[[int], NDArray[np.float32] | None],
) -> None:
    """Fills in what passes BOP's thresholds of VSD."""
    said = {int(mine[0]): (places, scores) for mine, places, scores in pairs.groups}
    for place, mine in _by_image(judged.look, rows):
        look = looks[place]
        scene = measured(look.index)
        if scene is None:
            judged.passed["vsd"][mine] = np.nan
            continue
        if int(mine[0]) not in said:
            continue
        places, scores = said[int(mine[0])]
        camera = look.intrinsics
        true = [depth_of(model.class_id, look.targets[judged.target[row]].camera_from_object, camera) for row in mine]
        table = np.zeros((len(places), len(mine), len(pose.TAUS)))
        for i, estimate in enumerate(places):
            here = depth_of(model.class_id, look.estimates[estimate].camera_from_object, camera)
            for j, there in enumerate(true):
                table[i, j] = pose.vsd(here, there, scene, camera, model.diameter)
        by_tau = [recall.matched(table[..., t], scores, recall.VSD_BOUNDS) for t in range(len(pose.TAUS))]
        judged.passed["vsd"][mine] = np.mean(by_tau, axis=(0, 2))
