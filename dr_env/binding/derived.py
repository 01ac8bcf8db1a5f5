"""Fields that are functions into several model arrays: small rotations, whole inertias, views, textures.

A derived field has an array of its own, which entries write like any other; a function then changes the model's
arrays accordingly, after all entries, so that it acts on what they gave. Where its numbers are the nominal ones,
0 for most, it changes no bit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dr_env.binding.inertia import perturbed
from dr_env.binding.pool import skies, sky_numbers, surface_numbers, surfaces
from dr_env.binding.views import camera_views, light_views, shining, viewing

Array = NDArray[np.float64]
Arrays = dict[str, Array]

Change = Callable[[Array, Array, tuple[Array, ...]], tuple[Array, ...]]


@dataclasses.dataclass(frozen=True)
class Derived:
    """A function into model arrays.

    Args:
        objects: the model's count of the objects that it is a field of; empty where there is one.
        size: how many numbers an object has.
        writes: the model arrays that it changes, alike for each object.
        change: (numbers (k, size), nominal ones (k, size), rows (k, ...) of each array) to new rows, for k objects.
        start: the nominal numbers of a model, (objects, size); 0 by default.
    """

    objects: str
    size: int
    writes: tuple[str, ...]
    change: Change
    start: Callable[[mujoco.MjModel], Array] | None = None

    def nominal(self, model: mujoco.MjModel) -> Array:
        """The nominal numbers, (objects * size,)."""
        if self.start is not None:
            return self.start(model).reshape(-1)
        return np.zeros(self.size * (getattr(model, self.objects) if self.objects else 1))

    def apply(self, numbers: Array, nominal: Array, arrays: Arrays) -> None:
        """Changes arrays (n, ...) in place, where the numbers (n, objects * size) are not the nominal ones."""
        count = len(numbers)
        mine, base = numbers.reshape(count, -1, self.size), nominal.reshape(-1, self.size)
        rows, objects = np.nonzero((mine != base).any(-1))
        if not len(rows):
            return
        views = [arrays[name].reshape(count, mine.shape[1], -1) for name in self.writes]
        changed = self.change(mine[rows, objects], base[objects], tuple(view[rows, objects] for view in views))
        for view, values in zip(views, changed, strict=True):
            view[rows, objects] = values


def _turned(rotation: Array, _: Array, rows: tuple[Array, ...]) -> tuple[Array, ...]:
    """Orientations turned by a rotation vector in the object's own frame: q * exp(v / 2)."""
    (quaternions,) = rows
    turned = Rotation.from_quat(quaternions, scalar_first=True) * Rotation.from_rotvec(rotation)
    return (turned.as_quat(scalar_first=True),)


DERIVED = {
    "derived.body_rotation": Derived("nbody", 3, ("body_quat",), _turned),
    "derived.geom_rotation": Derived("ngeom", 3, ("geom_quat",), _turned),
    "derived.site_rotation": Derived("nsite", 3, ("site_quat",), _turned),
    "derived.pseudo_inertia": Derived(
        "nbody",
        10,
        ("body_mass", "body_ipos", "body_iquat", "body_inertia"),
        lambda numbers, _, rows: perturbed(numbers, rows),
    ),
    "derived.cam_view": Derived("ncam", 7, ("cam_pos", "cam_quat"), viewing, camera_views),
    "derived.cam_rotation": Derived("ncam", 3, ("cam_quat",), _turned),
    "derived.light_view": Derived("nlight", 6, ("light_pos", "light_dir"), shining, light_views),
    "derived.mat_texture": Derived("nmat", 2, ("mat_texid",), surfaces, surface_numbers),
    "derived.sky": Derived("", 2, ("tex_type",), skies, sky_numbers),
}
"""In the order in which they act."""
