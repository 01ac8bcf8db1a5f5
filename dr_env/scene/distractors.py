"""Flying distractors: shapes that hang in the air, anywhere in view (Tobin et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dr_env.rng import generator
from dr_env.scene.framing import Lens
from dr_env.scene.objects import draw
from dr_env.scene.pool import Pool
from dr_env.spec.scene import SceneGrammar

Array = NDArray[np.float64]

_NEAREST = 1.5  # diameters, so that none fills the picture


def fly(
    grammar: SceneGrammar, pool: Pool, slots: Sequence[int], lens: Lens, distance: float, *key: object
) -> dict[int, Array]:
    """Poses (7,) of flying distractors by slot: evenly spread over the image, turned at random.

    Args:
        grammar: what scenes are made of.
        pool: the objects.
        slots: which of them fly in this scene.
        lens: the camera.
        distance: m from it to what it looks at.
        key: what they are drawn from.
    """
    given = grammar.distractors.flying
    poses: dict[int, Array] = {}
    if given is None:
        return poses
    for i in slots:
        slot = pool.slots[i]
        rng = generator("fly", *key, slot.name)
        depth = max(draw(given.depth, rng) * distance, _NEAREST * slot.model.mesh.diameter)
        across, up = rng.random(2)
        turn = Rotation.random(rng=rng).as_quat(scalar_first=True)
        poses[i] = np.concatenate((lens.point(float(across), float(up), depth), turn))
    return poses
