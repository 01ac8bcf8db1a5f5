"""The least that an estimator can be, for what deals with any of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from dr_env.vision.estimator import Estimate, Estimator, Example, Labels
from dr_env.vision.samples import FloatBox, ObjectModel, Sample


class PlainEstimator(Estimator):
    """One Example for each object that can be seen: the image, a number of the generator, and where it is from."""

    kind: ClassVar[str] = "plain"
    unit: ClassVar[str] = "m"

    def __init__(self, models: Mapping[int, ObjectModel], size: int = 48, refused: int = -1) -> None:
        super().__init__()
        self.models, self.size, self.refused = models, size, refused
        self.layer = nn.Conv2d(3, 3, 3, stride=4)

    def settings(self) -> dict[str, Any]:
        return {"size": self.size, "refused": self.refused}

    def examples(self, sample: Sample, rng: np.random.Generator) -> list[Example]:
        if 3 * sample.scene_id + sample.image_id == self.refused:
            raise ValueError("this one")
        return [
            {
                "image": sample.image[: self.size, : self.size],
                "position": label.camera_from_object[:3, 3].astype(np.float32),
                "class": np.int64(label.class_id),
                "frame": np.array([sample.scene_id, sample.image_id]),
                "chance": np.float32(rng.random()),
            }
            for label in sample.annotations
            if label.visible_fraction > 0
        ]

    def encode(self, images: Tensor) -> Tensor:
        return torch.relu(self.layer(images))

    def decode(self, features: Tensor) -> Tensor:
        return features.mean((2, 3))

    def loss(self, output: Tensor, labels: Labels) -> Tensor:
        return (output - labels["position"]).square().sum(-1)

    def errors(self, output: Tensor, labels: Labels) -> Tensor:
        return (output - labels["position"]).norm(dim=-1)

    def estimate(self, sample: Sample, boxes: Mapping[int, Sequence[FloatBox]] | None = None) -> list[Estimate]:
        return []
