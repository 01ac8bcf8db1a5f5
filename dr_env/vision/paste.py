"""Cut and paste: rendered objects on target images, whose backgrounds need no rendering.

Dwibedi, Misra, Hebert, "Cut, paste and learn", ICCV 2017, section 5: objects are cut out by their masks and pasted with
edges blended, so that a detector does not learn the edges. There, scale and place are drawn; here both stay as they
were rendered, so that poses stay true. Only what is labelled is cut out: where something unlabelled hid it, the
background shows. Target images should not show the objects: those would be there unlabelled.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dr_env import rng
from dr_env.sensors.backdrop import composite, cropped

Pixels = NDArray[np.uint8]


class Pasting:
    """Puts target images behind what is labelled.

    Args:
        targets: images (h, w, 3).
        blend: px over which the object goes over into what is behind it.
        seed: of which image is taken, which part of it, and whether it is mirrored.
    """

    def __init__(self, targets: Sequence[Pixels], blend: float = 2.0, seed: int = 0) -> None:
        self._targets, self._blend, self._seed = targets, blend, seed

    def __call__(self, image: Pixels, mask: NDArray[np.bool_], name: str) -> Pixels:
        """The image's objects on a target image, which depends on the image's name.

        Args:
            image: (h, w, 3).
            mask: (h, w) of all its labelled objects together.
            name: the image's.
        """
        generator = rng.generator("paste", self._seed, name)
        target = self._targets[int(generator.integers(len(self._targets)))]
        x, y, zoom = generator.random(), generator.random(), 1 + 0.5 * generator.random()
        behind = cropped(target, image.shape[1], image.shape[0], x, y, zoom)
        if generator.random() < 0.5:
            behind = behind[:, ::-1]
        return composite(image, mask, np.ascontiguousarray(behind), self._blend)
