"""The models of a dataset's objects, and whether those of several datasets are the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dr_env.errors import DREnvError
from dr_env.export.bop_read import naming, read_mapping
from dr_env.export.catalogue import MM, Catalogue, LabelClass, diameter
from dr_env.vision.samples import ObjectModel


def object_models(
    classes: Catalogue, names: Mapping[int, str] | None = None, info: Path | None = None
) -> dict[int, ObjectModel]:
    """Models of classes by id, each with its diameter.

    Args:
        classes: in the frame that poses are of.
        names: of classes, where they have better ones.
        info: the models_info.json that tells diameters; None, or without that file, they are computed.

    Raises:
        DREnvError: when a mesh is not the one that models_info.json describes.
    """
    infos = read_mapping(info) if info is not None and info.is_file() else {}
    made = {}
    for class_id, kind in classes.items():
        with naming(info or Path("models")):
            across = _diameter(kind, infos.get(str(class_id)))
        name = (names or {}).get(class_id, kind.name)
        made[class_id] = ObjectModel(class_id, name, kind.vertices, kind.faces, across, kind.discrete, kind.continuous)
    return made


def _diameter(kind: LabelClass, info: dict[str, float] | None) -> float:
    """In metres. Raises DREnvError when the mesh is not the one that models_info.json describes."""
    if info is None:
        return diameter(kind.vertices)
    across = float(info["diameter"]) / MM
    low = np.array([info[f"min_{axis}"] for axis in "xyz"]) / MM
    size = np.array([info[f"size_{axis}"] for axis in "xyz"]) / MM
    found = np.array([kind.vertices.min(axis=0), np.ptp(kind.vertices, axis=0)])
    if np.abs(found - [low, size]).max() > 0.01 * across + 1e-5:
        raise DREnvError(
            f"object {kind.class_id}: got a box of {(size * MM).round(2).tolist()} mm from "
            f"{(low * MM).round(2).tolist()}, but its mesh's is {(found[1] * MM).round(2).tolist()} mm from "
            f"{(found[0] * MM).round(2).tolist()}: a mesh that is not the dataset's"
        )
    return across


def check_models(named: Sequence[tuple[str, Mapping[int, ObjectModel]]]) -> None:
    """Raises DREnvError unless classes of one id have one mesh and the same symmetries wherever they are.

    Args:
        named: where models are from, and the models.
    """
    seen: dict[int, tuple[str, ObjectModel]] = {}
    for place, models in named:
        for class_id, model in models.items():
            origin, known = seen.setdefault(class_id, (place, model))
            for what in _differences(known, model):
                raise DREnvError(f"{place}: object {class_id} ({model.name}): its {what} is not that of {origin}")


def _differences(a: ObjectModel, b: ObjectModel) -> list[str]:
    if a is b:
        return []
    slack = 1e-4 * a.diameter
    same_mesh = a.vertices.shape == b.vertices.shape and np.allclose(a.vertices, b.vertices, rtol=0, atol=slack)
    same_mesh = same_mesh and np.array_equal(a.faces, b.faces)
    turns = a.discrete.shape == b.discrete.shape and np.allclose(a.discrete, b.discrete, atol=1e-4)
    axes = len(a.continuous) == len(b.continuous) and all(
        np.allclose(one, two, atol=1e-4)
        for ours, theirs in zip(a.continuous, b.continuous, strict=True)
        for one, two in zip(ours, theirs, strict=True)
    )
    return ([] if same_mesh else ["mesh"]) + ([] if turns and axes else ["set of symmetries"])
