"""What a collection of images is known by, wherever it lies and however its path is spelled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dr_env.rng import digest
from dr_env.vision.part import Part
from dr_env.vision.samples import Images, ObjectModel

_PROBES = 8  # images that a collection without an identity is known by


def known_by(images: Images) -> dict[str, Any]:
    """What names these images, as plain data; what they are called is for people and does not count."""
    return {"called": images.name, "images": len(images), "identity": identity(images)}


def identity(images: Images) -> str:
    """What names the content of a collection: its own `identity` where it has one, else a digest of a few images."""
    if isinstance(images, Part):
        return f"{digest(identity(images.images), images.rows):016x}"
    own = getattr(images, "identity", None)
    if own is not None:
        return str(own)
    parts: list[object] = [digest_models(images.models)]
    for index in np.unique(np.linspace(0, len(images) - 1, _PROBES).round().astype(int)).tolist():
        sample = images[index]
        parts += [sample.name, sample.image.tobytes(), sample.intrinsics]
        parts += [(label.class_id, label.camera_from_object.tobytes()) for label in sample.annotations]
    return f"{digest(*parts):016x}"


def seen(images: Images) -> dict[str, Any]:
    """Which images these are, as plain data, so that some of them are known in another split or a longer dataset.

    The collection's name, and of each of its pieces (a scene, a tar file, or all of it) the identity, how many images
    it has, and which of them these are, or None for all.
    """
    rows: list[int] | None = None
    while isinstance(images, Part):
        rows = list(images.rows) if rows is None else [images.rows[row] for row in rows]
        images = images.images
    pieces, start = [], 0
    for name, count in getattr(images, "pieces", None) or [(identity(images), len(images))]:
        own = None if rows is None else [row - start for row in rows if start <= row < start + count]
        if own != []:
            pieces.append({"identity": name, "images": count, "rows": own})
        start += count
    return {"name": images.name, "pieces": pieces}


def digest_models(models: Mapping[int, ObjectModel]) -> str:
    """Sixteen hex digits of meshes and their symmetries."""
    parts = (
        (k, m.name, m.vertices.tobytes(), m.faces.tobytes(), m.diameter, m.discrete.tobytes(),
         [(axis.tobytes(), offset.tobytes()) for axis, offset in m.continuous])
        for k, m in sorted(models.items())
    )  # fmt: skip
    return f"{digest(*parts):016x}"
