"""What a pose estimator is: a network, what it learns from a sample, and what it says of an image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from dr_env.spatial import Array
from dr_env.vision.samples import FloatBox, ObjectModel, Sample

Example = dict[str, NDArray[Any]]
"""One object or image of a training step: "image" (S, S, 3) uint8, and labels by name, all of fixed shape."""

Labels = Mapping[str, Tensor]
"""A batch of Examples' labels, without "image": name -> (n, ...)."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """What an estimator says of one object in one image.

    Attributes:
        class_id: of its model.
        camera_from_object: (4, 4) rigid transform to OpenCV's camera, m; a position alone has the identity's rotation.
        score: confidence, 0 to 1.
        keypoints: (k, 2) pixels, where the estimator has any.
    """

    class_id: int
    camera_from_object: Array
    score: float = 1.0
    keypoints: Array | None = None


class Estimator(nn.Module, ABC):
    """A pose estimator: `encode`, then `decode`; adaptation works on what lies between.

    Args of every subclass are plain data and a mapping of models, so that its card can make it again.

    Attributes:
        kind: its name on the command line.
        size: side S in pixels of the square images that it takes.
        models: the classes it knows, by id.
    """

    kind: ClassVar[str]
    size: int
    models: Mapping[int, ObjectModel]

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Plain data that, with the models, makes the same (untrained) network again."""

    @abstractmethod
    def examples(self, sample: Sample, rng: np.random.Generator) -> list[Example]:
        """What is to be learned from a sample: one Example an image or an object; none where nothing can be."""

    @abstractmethod
    def encode(self, images: Tensor) -> Tensor:
        """Feature maps (n, c, h, w) of images (n, 3, S, S), float in 0..1 RGB."""

    @abstractmethod
    def decode(self, features: Tensor) -> Tensor:
        """Raw output (n, ...) of feature maps."""

    @abstractmethod
    def loss(self, output: Tensor, labels: Labels) -> Tensor:
        """The loss (n,) of each example."""

    @abstractmethod
    def estimate(self, sample: Sample, boxes: Mapping[int, Sequence[FloatBox]] | None = None) -> list[Estimate]:
        """The poses of objects in an image, in the sample's pixels; annotations are not looked at.

        Args:
            sample: the image and its camera.
            boxes: by class id, the boxes in which an estimator that works on crops is to look.
        """

    def forward(self, images: Tensor) -> Tensor:
        """`decode(encode(images))`."""
        return self.decode(self.encode(images))


def pooled(features: Tensor) -> Tensor:
    """Feature vectors (n, c) of feature maps (n, c, h, w): their mean over the image."""
    return features.mean(dim=(2, 3))


def to_images(batch: Tensor) -> Tensor:
    """Images (n, 3, S, S) float 0..1 of a batch (n, S, S, 3) uint8."""
    return batch.permute(0, 3, 1, 2).float().div_(255)
