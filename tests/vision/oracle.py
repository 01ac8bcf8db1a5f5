"""An estimator that knows the truth and is off by as much as it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from dr_env.rng import generator
from dr_env.spatial import axis_angle, quat_to_matrix, transform
from dr_env.vision.estimator import Estimate, Estimator, Example, Labels
from dr_env.vision.samples import FloatBox, ObjectModel, Sample


class Oracle(Estimator):
    """Reads the labels, and adds noise.

    Args:
        models: the classes by id.
        shift: metres by which positions are off, in a random direction.
        turn: radians by which rotations are off, about a random axis.
        blind: share of objects that it does not find.
        symmetric: whether it says any of the poses that look alike.
    """

    kind: ClassVar[str] = "oracle"
    unit: ClassVar[str] = "cm"

    def __init__(
        self,
        models: Mapping[int, ObjectModel],
        shift: float = 0.0,
        turn: float = 0.0,
        blind: float = 0.0,
        symmetric: bool = False,
    ) -> None:
        super().__init__()
        self.models, self.size = models, 32
        self.shift, self.turn, self.blind, self.symmetric = shift, turn, blind, symmetric
        self.boxes: list[int] = []

    def settings(self) -> dict[str, Any]:
        return {}

    def examples(self, sample: Sample, rng: np.random.Generator) -> list[Example]:
        raise NotImplementedError

    def encode(self, images: Tensor) -> Tensor:
        raise NotImplementedError

    def decode(self, features: Tensor) -> Tensor:
        raise NotImplementedError

    def loss(self, output: Tensor, labels: Labels) -> Tensor:
        raise NotImplementedError

    def errors(self, output: Tensor, labels: Labels) -> Tensor:
        raise NotImplementedError

    def estimate(self, sample: Sample, boxes: Mapping[int, Sequence[FloatBox]] | None = None) -> list[Estimate]:
        self.boxes.append(sum(map(len, (boxes or {}).values())))
        rng = generator("oracle", sample.name)
        said = []
        for annotation in sample.annotations:
            aside, axis, motion = rng.standard_normal(3), rng.standard_normal(3), rng.random()
            aside *= self.shift / np.linalg.norm(aside)
            true = annotation.camera_from_object
            if self.symmetric:
                motions = self.models[annotation.class_id].motions()
                true = true @ motions[int(motion * len(motions))]
            turned = true[:3, :3] @ quat_to_matrix(axis_angle(axis, self.turn))
            if rng.random() >= self.blind:
                said.append(Estimate(annotation.class_id, transform(turned, true[:3, 3] + aside), rng.random()))
        rng.shuffle(said)  # type: ignore[arg-type]
        return said
