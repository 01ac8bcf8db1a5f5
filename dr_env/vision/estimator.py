"""What a pose estimator is: a network, what it learns from a sample, and what it says of an image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from dr_env.spatial import Array
from dr_env.vision.samples import FloatBox, ObjectModel, Sample

Example = dict[str, NDArray[Any]]
"""One object or image to learn from: "image" (h, w, 3) uint8, and labels by name, all of the same shapes each time."""

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
        box: x, y, w, h in pixels that it looked into, where it was given any.
    """

    class_id: int
    camera_from_object: Array
    score: float = 1.0
    keypoints: Array | None = None
    box: FloatBox | None = None


class Estimator(nn.Module, ABC):
    """A pose estimator: `encode`, then `decode`; adaptation works on what lies between.

    Every subclass is made as `Kind(models, **settings)` of models by class id and plain data, so that its card can make
    it again.

    Attributes:
        kind: its name on the command line.
        unit: of `errors`.
        rotates: whether its estimates have rotations, for which it must know the camera; if not, they are positions.
        size: side S in pixels of the square images that it takes.
        models: the classes it knows, by id.
        trained_on: which images it was trained on or chosen by, in this training and those before; see `known.seen`.
    """

    kind: ClassVar[str]
    unit: ClassVar[str]
    rotates: ClassVar[bool] = True
    size: int
    models: Mapping[int, ObjectModel]
    trained_on: tuple[Mapping[str, Any], ...] = ()

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Plain data that, with the models, makes the same (untrained) network again."""

    @abstractmethod
    def examples(self, sample: Sample, rng: np.random.Generator) -> list[Example]:
        """What is to be learned from a sample: one Example an image or an object; none where nothing can be."""

    def unlabelled(self, sample: Sample, rng: np.random.Generator) -> list[NDArray[np.uint8]]:
        """What it may look at (S, S, 3) in an image without labels, for adaptation: the whole of it, squeezed.

        An estimator that works on crops overrides this with some of them.
        """
        return [squeezed(sample.image, self.size)]

    def view(self, images: Tensor, labels: Labels, generator: Generator | None) -> tuple[Tensor, Labels]:
        """What the network is shown of a batch of Examples, and the labels that are true of it.

        Here an estimator whose labels can follow turns, shifts and scales its training images; the same by default.

        Args:
            images: (n, 3, h, w), 0..1, of Examples.
            labels: theirs.
            generator: on the CPU; None outside training, when nothing may be random.

        Returns:
            Images (n, 3, S, S) and labels.
        """
        return images, labels

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
    def errors(self, output: Tensor, labels: Labels) -> Tensor:
        """How far off each example's output is (n,), in `unit`; nan where it has nothing to be judged by."""

    def prepare(self, labels: Mapping[str, NDArray[Any]]) -> None:
        """Takes from training examples' labels what outputs are scaled by; called once, before the first step.

        Args:
            labels: name -> (n, ...) of some of the training examples.
        """

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


def squeezed(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """An image (h, w, 3) as a square (side, side, 3)."""
    method = cv2.INTER_AREA if min(image.shape[:2]) >= side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (side, side), interpolation=method), np.uint8)


def pooled(features: Tensor) -> Tensor:
    """Feature vectors (n, c) of feature maps (n, c, h, w): their mean over the image."""
    return features.mean(dim=(2, 3))


def to_images(batch: Tensor) -> Tensor:
    """Images (n, 3, S, S) float 0..1 of a batch (n, S, S, 3) uint8."""
    return batch.permute(0, 3, 1, 2).float().div_(255)
