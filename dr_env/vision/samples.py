"""What vision models learn from and are judged on: images with the poses of what they show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dr_env.spatial import Array, Intrinsics, apply, axis_angle, quat_to_matrix, still, transform

FloatBox = tuple[float, float, float, float]
"""A box in pixels: x and y of the top left corner, then width and height."""


@dataclass(frozen=True, eq=False)
class ObjectModel:
    """The mesh of a class of objects, in the frame that poses are of (BOP: the middle of its box is the origin).

    Attributes:
        class_id: its number in labels, from 1.
        name: of the class.
        vertices: (V, 3) m.
        faces: (F, 3) int32, counter-clockwise seen from outside.
        diameter: m, the largest distance of two vertices.
        discrete: (D, 4, 4) rigid transforms, m, without the identity, that change nothing to see.
        continuous: (axis (3,), offset (3,) m) of each axis about which any turn changes nothing to see.
    """

    class_id: int
    name: str
    vertices: Array
    faces: NDArray[np.int32]
    diameter: float
    discrete: Array = field(default_factory=lambda: np.zeros((0, 4, 4)))
    continuous: tuple[tuple[Array, Array], ...] = ()

    @property
    def middle(self) -> Array:
        """The point (3,) that its symmetries leave where it is, m: of an object without any, the origin."""
        return still(np.zeros(3), self.discrete, self.continuous)

    def at(self, poses: Array) -> Array:
        """Where its middle is (..., 3) at poses (..., 4, 4), m."""
        return np.asarray(apply(poses, self.middle[None])[..., 0, :])

    def motions(self, steps: int = 36) -> Array:
        """All symmetries as rigid transforms (S, 4, 4), the identity first; each axis turned `steps` times.

        As BOP's toolkit combines them: every turn after every discrete one.
        """
        discrete = np.concatenate([np.eye(4)[None], self.discrete])
        turns = [np.eye(4)]
        for axis, offset in self.continuous:
            for angle in np.arange(1, steps) * (2 * np.pi / steps):
                rotation = quat_to_matrix(axis_angle(axis, angle))
                turns.append(transform(rotation, offset - rotation @ offset))
        return np.asarray(np.array(turns)[None] @ discrete[:, None]).reshape(-1, 4, 4)


@dataclass(frozen=True, eq=False)
class Annotation:
    """One labelled object in one image.

    Attributes:
        class_id: of its model.
        camera_from_object: (4, 4) rigid transform to OpenCV's camera, m.
        box_visible: around what is visible of it; None when nothing is, or where it was not labelled.
        box_amodal: around its whole outline, which may reach out of the image; likewise.
        visible_fraction: of its outline, 0 to 1; 1 where it was not labelled.
    """

    class_id: int
    camera_from_object: Array
    box_visible: FloatBox | None = None
    box_amodal: FloatBox | None = None
    visible_fraction: float = 1.0


@dataclass(frozen=True, eq=False)
class Sample:
    """One image, and what is known of it.

    Attributes:
        name: where it is from, such as "train/000000/000003", for messages.
        image: (h, w, 3) uint8 RGB.
        intrinsics: its pinhole camera.
        annotations: of its labelled objects; empty for unlabelled images.
        camera_from_world: (4, 4) rigid transform, m, where it is known.
        scene_id, image_id: its numbers in BOP, of results files.
    """

    name: str
    image: NDArray[np.uint8]
    intrinsics: Intrinsics
    annotations: tuple[Annotation, ...] = ()
    camera_from_world: Array | None = None
    scene_id: int = 0
    image_id: int = 0


class Images(Protocol):
    """A collection of images that share their objects' models; what `open_images` returns."""

    @property
    def name(self) -> str:
        """Where they are from, for messages and cards."""

    @property
    def models(self) -> Mapping[int, ObjectModel]:
        """By class id."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample:
        """Decodes one image; the same each time."""

    def masks(self, index: int) -> tuple[NDArray[np.bool_], ...]:
        """The visible mask (h, w) of each annotation of an image."""
