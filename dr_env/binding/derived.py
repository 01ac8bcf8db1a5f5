"""Fields that are functions into several model arrays: small rotations, and whole inertias.

A derived field has an array of its own, nominally 0, which entries write like any other; a function then
changes the model's arrays accordingly, after all entries, so that it acts on what they gave. Where its numbers
are 0 it changes no bit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dr_env.binding.inertia import perturbed

Array = NDArray[np.float64]
Arrays = dict[str, Array]

Change = Callable[[Array, tuple[Array, ...]], tuple[Array, ...]]


@dataclasses.dataclass(frozen=True)
class Derived:
    """A function into model arrays.

    Args:
        objects: the model's count of the objects that it is a field of.
        size: how many numbers an object has.
        writes: the model arrays that it changes, and their numbers an object.
        change: (numbers (k, size), rows (k, ...) of each array) to new rows, for k objects.
    """

    objects: str
    size: int
    writes: tuple[tuple[str, int], ...]
    change: Change

    def apply(self, numbers: Array, arrays: Arrays) -> None:
        """Changes arrays (n, size) in place, where the numbers (n, objects * size) are not 0."""
        count = len(numbers)
        mine = numbers.reshape(count, -1, self.size)
        rows, objects = np.nonzero(mine.any(-1))
        if not len(rows):
            return
        views = [arrays[name].reshape(count, -1, width) for name, width in self.writes]
        changed = self.change(mine[rows, objects], tuple(view[rows, objects] for view in views))
        for view, values in zip(views, changed, strict=True):
            view[rows, objects] = values


def _turned(rotation: Array, rows: tuple[Array, ...]) -> tuple[Array, ...]:
    """Orientations turned by a rotation vector in the object's own frame: q * exp(v / 2)."""
    (quaternions,) = rows
    turned = Rotation.from_quat(quaternions, scalar_first=True) * Rotation.from_rotvec(rotation)
    return (turned.as_quat(scalar_first=True),)


DERIVED = {
    "derived.body_rotation": Derived("nbody", 3, (("body_quat", 4),), _turned),
    "derived.geom_rotation": Derived("ngeom", 3, (("geom_quat", 4),), _turned),
    "derived.site_rotation": Derived("nsite", 3, (("site_quat", 4),), _turned),
    "derived.pseudo_inertia": Derived(
        "nbody", 10, (("body_mass", 1), ("body_ipos", 3), ("body_iquat", 4), ("body_inertia", 3)), perturbed
    ),
}
