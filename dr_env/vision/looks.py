"""Learning how to look: a Spec is rendered, compared with images of the target, and changed, again and again."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError
from dr_env.files import write_text
from dr_env.spatial import Array
from dr_env.spec import Spec
from dr_env.tuning import Ledger, TargetImages
from dr_env.tuning.look import Look
from dr_env.tuning.mmd import MMD
from dr_env.vision.features import Features
from dr_env.vision.glimpse import Glimpser
from dr_env.vision.probe import probe_loss
from dr_env.vision.samples import Images

Pixels = NDArray[np.uint8]
Progress = Callable[[int, Mapping[str, Any]], None]
"""Told of how many evaluations are done, and what the last one gave."""

FORMAT = "dr_env/looks/1"
_FEWEST = 8  # images that tell anything of how a target looks


@dataclasses.dataclass(frozen=True, eq=False)
class Labelled:
    """Images of the target in which it is known where an object is.

    Attributes:
        images: (k, h, w, 3) uint8.
        name: the object's class.
        positions: (k, 3) m, where it is to OpenCV's camera.
    """

    images: Pixels
    name: str
    positions: Array


@dataclasses.dataclass(frozen=True, eq=False)
class Target:
    """What is to be looked like.

    Attributes:
        name: where the images are from.
        images: (n, h, w, 3) uint8, of the size that frames are rendered at.
        labelled: a few whose labels count as well, or None.
    """

    name: str
    images: Pixels
    labelled: Labelled | None = None

    def digest(self) -> str:
        """Sixteen hex digits that name these images and labels."""
        mixed = hashlib.blake2b(self.images.tobytes(), digest_size=8)
        if self.labelled is not None:
            mixed.update(self.labelled.images.tobytes() + self.labelled.positions.tobytes())
        return mixed.hexdigest()


def read_target(data: Images, width: int, fewest: int = _FEWEST) -> Pixels:
    """A target's images (n, h, width, 3), all of the first one's shape.

    Raises DREnvError where there are too few, or they differ in shape.
    """
    if len(data) < fewest:
        raise DREnvError(f"{data.name}: got {len(data)} images, expected at least {fewest} to say how a target looks")
    height = None
    images = []
    for i in range(len(data)):
        sample = data[i]
        rows, columns = sample.image.shape[:2]
        scaled = max(1, round(width * rows / columns))
        if height is not None and abs(scaled - height) > 1:
            raise DREnvError(f"{sample.name}: got {columns} x {rows} pixels, expected the shape of the first image")
        height = scaled if height is None else height
        method = cv2.INTER_AREA if columns >= width else cv2.INTER_LINEAR
        images.append(cv2.resize(sample.image, (width, height), interpolation=method))
    return np.asarray(images, np.uint8)


def read_labelled(data: Images, images: Pixels, name: str | None) -> Labelled:
    """Images with the positions of one class of objects.

    Args:
        data: labelled images.
        images: the same, as `read_target` gives them.
        name: the class; None for the one that most images show.
    """
    found: dict[str, dict[int, Array]] = {}
    for i in range(len(data)):
        for each in data[i].annotations:
            model = data.models[each.class_id]
            found.setdefault(model.name, {}).setdefault(i, model.at(each.camera_from_object))
    if not found:
        raise DREnvError(f"{data.name}: no image has labels")
    chosen = max(found, key=lambda known: len(found[known])) if name is None else name
    if chosen not in found:
        raise DREnvError(f"{data.name}: no image shows {chosen!r}; labelled are {', '.join(sorted(found))}")
    places = found[chosen]
    return Labelled(images[sorted(places)], chosen, np.array([places[i] for i in sorted(places)]))


class LookStudy:
    """A search that lasts: after each evaluation it is written down, and it goes on from there.

    Args:
        path: the record, a JSON file; made if it is not there.
        tuner: a fresh one; it takes up the record's state.
        target: what is to be looked like.
        glimpse: renders candidates.
        features: in which they are compared.
        frames: rendered for each candidate.
        about: what else must be the same to go on, as plain data.

    Raises:
        DREnvError: naming what differs from the record, or where that is damaged.
    """

    def __init__(
        self,
        path: Path,
        tuner: Look,
        target: Target,
        glimpse: Glimpser,
        features: Features,
        frames: int,
        about: Mapping[str, Any],
    ) -> None:
        if frames < 2:
            raise DREnvError(f"frames: got {frames}, expected at least 2 for each evaluation")
        self.path, self.tuner, self.frames = path, tuner, frames
        self._target, self._glimpse, self._features = target, glimpse, features
        self.steps: list[dict[str, Any]] = []
        self._about = {**about, "features": features.name, "frames": frames, "target": target.digest()}
        if path.exists():
            self._load()
        self._wanted = features(target.images)
        self._labels = None if target.labelled is None else features(target.labelled.images)

    def _load(self) -> None:
        try:
            form = json.loads(self.path.read_text(encoding="utf-8"))
            about, steps, state = form["about"], form["steps"], form["tuner"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DREnvError(f"{self.path}: damaged, or no record of look tuning: {error}") from None
        now = json.loads(json.dumps(self._about))
        for key in sorted(now.keys() | about.keys()):
            if now.get(key) != about.get(key):
                raise DREnvError(
                    f"{self.path}: was begun with {key} {about.get(key)!r}, now {now.get(key)!r}; choose another "
                    "--out, or --overwrite"
                )
        self.tuner.load_state_dict(state)
        self.steps = steps

    def run(self, evaluations: int, progress: Progress = lambda done, step: None) -> None:
        """Goes on until so many candidates were evaluated in all, the prior first."""
        while len(self.steps) < evaluations and not self.tuner.done:
            started = time.perf_counter()
            spec = self.tuner.ask()
            evidence, note = self._evidence(spec)
            self.tuner.tell(evidence, Ledger(seconds=round(time.perf_counter() - started, 3)))
            gap = self.tuner.discrepancy(evidence)
            self.steps.append(
                {
                    "evaluation": len(self.steps),
                    "mmd": None if math.isnan(gap) else gap,
                    "task_loss": None if math.isnan(evidence.loss) else evidence.loss,
                    **({"note": note} if note else {}),
                }
            )
            self._save()
            progress(len(self.steps), self.steps[-1])

    def _evidence(self, spec: Spec) -> tuple[TargetImages, str]:
        number, labelled = len(self.steps), self._target.labelled
        try:
            seen = self._glimpse(spec, self.frames, labelled is not None)
        except DREnvError as error:
            if not number:
                raise  # the prior itself
            return TargetImages(number, self._wanted, np.zeros(0), spec), str(error)
        found = self._features(seen.images)
        loss = math.nan
        if labelled is not None and self._labels is not None:
            if labelled.name not in seen.positions:
                raise DREnvError(
                    f"{labelled.name!r}: no frame shows it; they show {', '.join(seen.positions) or 'none'}"
                )
            loss = probe_loss(found, seen.positions[labelled.name], self._labels, labelled.positions)
        return TargetImages(number, self._wanted, found, spec, loss), ""

    def _save(self) -> None:
        form = {"format": FORMAT, "about": self._about, "steps": self.steps, "tuner": self.tuner.state_dict()}
        write_text(self.path, json.dumps(form, allow_nan=False))

    def judge(self, specs: Mapping[str, Spec]) -> dict[str, tuple[Pixels, float]]:
        """Frames that no evaluation saw, and their discrepancy from the target, in a scale that all of them share."""
        seen = {name: self._glimpse(spec, self.frames, first=self.frames).images for name, spec in specs.items()}
        rows = {name: self._features(images) for name, images in seen.items()}
        mmd = MMD.of(np.concatenate(list(rows.values())), self._wanted)
        return {name: (seen[name], mmd(rows[name], self._wanted)) for name in specs}


def tuned_spec(study: LookStudy, target: Target, gaps: Mapping[str, float], features: str) -> Spec:
    """The result as an ordinary Spec, whose provenance says what it was made to look like, and how nearly it does."""
    result = study.tuner.result()
    told = {
        "target": {"images": target.name, "count": len(target.images), "digest": target.digest()},
        "features": features,
        "frames": study.frames,
        "mmd": {name: round(gap, 6) for name, gap in gaps.items()},
    }
    return result.model_copy(update={"provenance": {**(result.provenance or {}), "looks": told}})


def best_so_far(steps: Sequence[Mapping[str, Any]]) -> float:
    """The least discrepancy of any evaluation; NaN before the first."""
    return min((step["mmd"] for step in steps if step["mmd"] is not None), default=math.nan)
