"""What a scene grammar refuses, and what its names may be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dr_env import DREnvError, Spec
from dr_env.scene import Scenes


def spec(objects: dict[str, Any], count: Any = 1, **scene: Any) -> Spec:
    area = {"low": [-0.3, -0.25], "high": [0.3, 0.25], "count": count}
    framing = {"objects": 0, "visible": 0}
    return Spec.from_dict(
        {"format": "dr_env/1", "scene": {"objects": objects, "areas": {"all": area}, "framing": framing, **scene}}
    )


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"shape": "extrusion", "outline": [[0, 0], [1, 0], [0, 0]]}, r"outline: .*three different points"),
        ({"shape": "extrusion", "outline": []}, r"outline: .*three different points"),
        ({"shape": "extrusion", "outline": [[0, 0], [1, 1], [1, 0], [0, 1]]}, r"outline: .*its sides 0 and 2 meet"),
        ({"shape": "extrusion", "outline": [[0, 0], [2, 0], [2, 1], [1, 0], [0, 1]]}, r"its sides 0 and 2 meet"),
        ({"shape": "extrusion", "outline": [[0, 0], [1, 1], [2, 2]]}, r"outline: .*meet"),
        ({"shape": "superquadric", "exponents": [50, 50]}, r"exponents: got values up to 50, expected at most 4"),
        ({"shape": "cube", "size": 1e200}, r"size: got values up to 1e\+200, expected at most 1000"),
        ({"shape": "cube", "rgba": [2, 0, 0, 1]}, r"objects.a.rgba.0: got 2"),
        ({"shape": "cube", "keypoints": []}, r"objects.a.keypoints: got \[\]"),
        ({"shape": "cube", "symmetries": {"continuous": [{"axis": [0, 0, 0]}]}}, r"axis: .*expected a direction"),
        ({"shape": "cube", "symmetries": {"discrete": [[1] * 16]}}, r"discrete\[0\]: .*last row, expected 0, 0, 0, 1"),
        (
            {"shape": "cube", "symmetries": {"discrete": [np.diag([-1, 1, 1, 1]).ravel().tolist()]}},
            r"discrete\[0\]: .*expected a rotation",
        ),
    ],
)
def test_what_no_object_can_be_is_told_by_its_key(form: dict[str, Any], message: str) -> None:
    with pytest.raises(DREnvError, match=message):
        spec({"a": form})


def test_an_outline_may_end_where_it_began_and_run_straight_on() -> None:
    ell = [(0.0, 0.0), (1.0, 0.0), (2.0, 0.0), (2.0, 1.0), (1.0, 1.0), (1.0, 2.0), (0.0, 2.0)]
    made = spec({"ell": {"shape": "extrusion", "outline": [*ell, ell[0]], "size": 0.1}})
    assert made.scene is not None and made.scene.objects["ell"].outline == tuple(ell)
    mesh = Scenes(made, 0).classes[0].mesh
    assert mesh.closed and mesh.volume == pytest.approx(3 * 0.05**3)  # three squares of half the side, half as high


@pytest.mark.parametrize("name", ["wall", "leg", "flying", "flying_cube"])
def test_names_of_the_rooms_own_things_are_refused(name: str) -> None:
    flying = {"flying": {"count": 1, "shapes": ["cube"]}}
    with pytest.raises(DREnvError, match=rf"objects.{name}: a scene has things of its own"):
        spec({name: {"shape": "cube"}}, distractors=flying)
    with pytest.raises(DREnvError, match=rf"contextual.classes.{name}: a scene has things of its own"):
        spec(
            {"a": {"shape": "cube"}},
            distractors={**flying, "contextual": {"count": 1, "classes": {name: {"shape": "can"}}}},
        )


def test_a_class_may_be_called_like_what_flies_or_like_anothers_copy() -> None:
    objects = {"flying_disc": {"shape": "cylinder", "size": 0.05}, "can_0": {"shape": "cube", "size": 0.05}}
    others = {
        "contextual": {"count": 1, "classes": {"can": {"shape": "can", "size": 0.09}}},
        "flying": {"count": 2, "pool": 2, "labelled": True, "shapes": ["cone"]},
    }
    scene = Scenes(spec(objects, 2, distractors=others), 0).scene(0)
    names = sorted(each.name for each in scene.objects)
    assert names == ["can_0", "can_0_0", "flying_0", "flying_1", "flying_disc_0"]
    for each in scene.objects:  # each has its own mesh
        mesh = scene.model.geom(each.name).dataid[0]
        assert scene.model.mesh_facenum[mesh] == len(each.mesh.faces), each.name


def test_counts_are_within_the_copies_there_are() -> None:
    cubes = {"cube": {"shape": "cube", "size": 0.03, "copies": 3}}
    assert len(Scenes(spec(cubes, 3), 0).scene(0).objects) == 3
    spec(cubes, {"type": "uniform", "low": 0, "high": 3.4})  # rounds to 3
    with pytest.raises(DREnvError, match=r"areas.all.count: got values up to 4, expected at most 3, the copies"):
        spec(cubes, {"type": "integer", "low": 0, "high": 4})
    can = {"contextual": {"count": 2, "classes": {"can": {"shape": "can"}}}}
    with pytest.raises(DREnvError, match=r"contextual.count: got values up to 2, expected at most 1, the copies"):
        spec(cubes, distractors=can)
    with pytest.raises(DREnvError, match=r"distractors.flying.shapes: got \[\]"):
        spec(cubes, distractors={"flying": {"count": 1, "shapes": []}})


@pytest.mark.parametrize("form", [{"density": 1e-12}, {"size": 1e-4}])
def test_what_weighs_nothing_is_refused(form: dict[str, Any]) -> None:
    with pytest.raises(DREnvError, match=r"object 'cube': its mass or inertia is .*, expected 1e-15 at least"):
        Scenes(spec({"cube": {"shape": "cube", **form}}), 0).scene(0)
