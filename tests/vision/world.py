"""A small world to learn from in seconds: plain boxes seen by a fixed camera, drawn face by face."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from dr_env.spatial import Array, Intrinsics, apply, axis_angle, project, quat_to_matrix, transform
from dr_env.vision.samples import Annotation, ObjectModel, Sample

CAMERA_FROM_WORLD = transform(np.diag([1.0, -1.0, -1.0]), [0.0, 0.0, 0.8])  # looks straight down
_FACES = np.array(  # of a box's eight corners (x + 2 y + 4 z), outward
    [[0, 2, 3, 1], [4, 5, 7, 6], [0, 1, 5, 4], [2, 6, 7, 3], [0, 4, 6, 2], [1, 3, 7, 5]]
)


def box(class_id: int, name: str, size: tuple[float, float, float], discrete: Array | None = None) -> ObjectModel:
    """A box of side lengths `size`, m."""
    half = np.array(size) / 2
    vertices = np.array([[x, y, z] for z in (-1, 1) for y in (-1, 1) for x in (-1, 1)]) * half
    faces = np.array([t for a, b, c, d in _FACES for t in ((a, b, c), (a, c, d))], np.int32)
    none = np.zeros((0, 4, 4))
    return ObjectModel(
        class_id, name, vertices, faces, float(2 * np.linalg.norm(half)), none if discrete is None else discrete
    )


BOXES = {1: box(1, "brick", (0.16, 0.10, 0.06)), 2: box(2, "slab", (0.12, 0.12, 0.02))}
_COLOURS = {1: (200, 60, 40), 2: (50, 90, 210)}


class Boxes:
    """Images of boxes, one of each class, everywhere and turned anyhow.

    Args:
        count: how many images.
        seed: of poses.
        size: side of the images.
        turned: whether they are turned in space, or stand upright.
    """

    def __init__(
        self,
        count: int,
        seed: int = 0,
        size: int = 64,
        turned: bool = False,
        models: Mapping[int, ObjectModel] = BOXES,
        name: str = "boxes",
    ) -> None:
        self._count, self._seed, self._turned = count, seed, turned
        self.models, self.name = models, name
        self.intrinsics = Intrinsics.from_fovy(size, size, 50)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self._count:
            raise IndexError(index)
        rng = np.random.default_rng((self._seed, index))
        size = self.intrinsics.width
        image = np.full((size, size, 3), 120, np.uint8)
        image += rng.integers(0, 20, image.shape, np.uint8)
        annotations = []
        for place, (number, model) in enumerate(sorted(self.models.items())):
            angle = rng.uniform(-np.pi, np.pi)
            rotation = quat_to_matrix(axis_angle([0, 0, 1], angle))
            if self._turned:
                rotation = rotation @ quat_to_matrix(axis_angle(rng.normal(size=3), rng.uniform(0, np.pi)))
            low = -0.25 + 0.5 * place / len(self.models)
            middle = [rng.uniform(low + 0.08, low + 0.5 / len(self.models) - 0.08), rng.uniform(-0.2, 0.2), 0.03]
            pose = CAMERA_FROM_WORLD @ transform(rotation, middle)
            self._draw(image, model, pose, _COLOURS.get(number, (90, 180, 90)))
            corners = project(model.vertices, self.intrinsics, pose)
            x, y = corners.min(0)
            w, h = np.ptp(corners, axis=0)
            frame = (float(x), float(y), float(w), float(h))
            annotations.append(Annotation(number, pose, frame, frame))
        return Sample(f"{self.name}/{index}", image, self.intrinsics, tuple(annotations), CAMERA_FROM_WORLD, 0, index)

    def masks(self, index: int) -> tuple[NDArray[np.bool_], ...]:
        """Not drawn here."""
        raise NotImplementedError

    def _draw(self, image: NDArray[np.uint8], model: ObjectModel, pose: Array, colour: tuple[int, ...]) -> None:
        corners = apply(pose, model.vertices)
        pixels = project(corners, self.intrinsics)
        for number, face in enumerate(_FACES):
            a, b, c = corners[face[:3]]
            normal = np.cross(b - a, c - a)
            if normal @ a >= 0:  # seen from behind
                continue
            # each face has a shade of its own, so that the orientation can be seen
            shade = (np.array(colour) * (0.5 + 0.1 * number)).clip(0, 255).tolist()
            points = np.round((pixels[face] + 0.5) * 16 - 8).astype(np.int32)
            cv2.fillConvexPoly(image, points, shade, cv2.LINE_AA, 4)
