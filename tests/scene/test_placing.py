"""Where objects come to lie: dropped, stacked, and before the camera."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
import trimesh

from dr_env import DREnvError, Spec
from dr_env.scene import Scenes, shapes


def scenes(objects: dict[str, Any], area: dict[str, Any], **scene: Any) -> Scenes:
    given = {"low": [-0.3, -0.3], "high": [0.3, 0.3], **area}
    form = {
        "objects": objects,
        "areas": {"all": given},
        "framing": {"objects": 0, "visible": 0, "attempts": 3},
        **scene,
    }
    return Scenes(Spec.from_dict({"format": "dr_env/1", "scene": form}), seed=1)


def block(folder: Path, offset: float) -> dict[str, Any]:
    """A mesh whose origin is outside its body."""
    mesh = shapes.cube().scaled((0.08, 0.06, 0.05)).moved(offset)
    trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).export(folder / "block.ply")
    return {"mesh": str(folder / "block.ply"), "units": "m", "copies": 4}


def test_what_is_dropped_stays_wherever_its_meshs_origin_is(tmp_path: Path) -> None:
    made = scenes({"block": block(tmp_path, 0.1)}, {"count": 4, "mode": "drop"})
    for frame in range(4):
        scene = made.scene(frame)
        assert len(scene.objects) == 4
        assert (scene.data.xipos[[each.body for each in scene.objects], 2] > 0.02).all()


def test_a_camera_inside_is_found_wherever_the_meshs_origin_is(tmp_path: Path) -> None:
    area, framing = {"count": 1, "pose": "upright"}, {"objects": 0, "visible": 0, "attempts": 1}
    body = scenes({"block": block(tmp_path, 3.0)}, area, framing=framing).scene(0).objects[0]
    middle = (body.pose @ [*body.mesh.box.mean(axis=0), 1])[:3].tolist()
    camera = {"position": middle, "target": [middle[0] + 1, middle[1], middle[2]]}
    inside = scenes({"block": block(tmp_path, 3.0)}, area, framing=framing, camera=camera)
    with pytest.raises(DREnvError, match="the camera is inside block"):
        inside.scene(0)


def test_stacks_are_of_two_and_stand() -> None:
    objects = {
        "cube": {"shape": "cube", "size": 0.06, "copies": 4},
        "bar": {"shape": "rectangular_prism", "size": [0.15, 0.04, 0.03], "copies": 4},
        "bowl": {"shape": "bowl", "size": 0.12},
    }
    made = scenes(objects, {"count": 7, "relations": {"on": 0.7, "beside": 0.3}})
    stacked = 0
    for frame in range(6):
        scene = made.scene(frame)
        lowest = [(each.mesh.vertices @ each.pose[:3, :3].T + each.pose[:3, 3])[:, 2].min() for each in scene.objects]
        stacked += sum(low > 1e-3 for low in lowest)
        assert max(lowest) < 0.151  # the tallest thing stands on the table
        before = scene.data.xpos.copy()
        for _ in range(200):
            mujoco.mj_step(scene.model, scene.data)
        for each in scene.objects:
            assert np.linalg.norm(scene.data.xpos[each.body] - before[each.body]) < 0.01, each.name
    assert stacked >= 8
