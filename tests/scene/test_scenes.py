"""Scenes: drawn by key, placed apart, settled, framed, replayed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import mujoco
import numpy as np
import pytest
import trimesh

from dr_env import Draw, DREnvError, Spec
from dr_env.scene import Scene, Scenes, build_scene, shapes
from dr_env.scene.framing import Lens
from dr_env.scene.placement import _apart
from dr_env.scene.rests import Rest, within
from dr_env.spec import TOBIN, json_schema

AREA: dict[str, Any] = {"low": [-0.3, -0.25], "high": [0.3, 0.25], "count": 6}


def scene_spec(area: dict[str, Any] | None = None, entries: dict[str, Any] | None = None, **scene: Any) -> Spec:
    form = {
        "objects": {name: {"shape": name, "size": 0.07} for name in TOBIN},
        "areas": {"all": {**AREA, **(area or {})}},
        "camera": {"position": [0.7, -0.5, 0.7], "fovy": 50},
        **scene,
    }
    return Spec.from_dict({"format": "dr_env/1", "entries": entries or {}, "scene": form})


def poses(scene: Scene) -> dict[str, np.ndarray]:
    return {each.name: each.pose for each in scene.objects}


def same(a: Scene, b: Scene) -> bool:
    return (
        a.draw == b.draw
        and np.array_equal(a.data.qpos, b.data.qpos)
        and np.array_equal(a.data.mocap_pos, b.data.mocap_pos)
    )


RICH = {
    "distractors": {
        "contextual": {
            "count": 2,
            "classes": {"mug": {"shape": "mug", "size": 0.1}, "can": {"shape": "can", "size": 0.11}},
        },
        "flying": {"count": {"type": "integer", "low": 1, "high": 3}, "pool": 4},
    },
    "frames_per_build": 3,
}
MASSES = {
    "mass": {
        "select": {"body": "cube_0"},
        "field": "mass",
        "operation": "scale",
        "distribution": {"type": "uniform", "low": 0.5, "high": 2},
    }
}


def test_a_frame_is_a_function_of_its_key_whatever_was_built_before() -> None:
    spec = scene_spec(entries=MASSES, **RICH)
    scenes = Scenes(spec, 7)
    kept = {}
    for frame in (4, 0, 3, 1):
        scene = scenes.scene(frame)
        kept[frame] = (scene.draw, scene.data.qpos.copy())
    for frame in (1, 4):
        alone = build_scene(spec, 7, frame)
        assert alone.draw == kept[frame][0]
        np.testing.assert_array_equal(alone.data.qpos, kept[frame][1])
    assert len({draw.digest() for draw, _ in kept.values()}) == 4
    assert build_scene(spec, 8, 0).draw != kept[0][0]
    assert scenes.scene(0, candidate=1).draw != kept[0][0]


def test_a_frame_replays_from_its_draw_as_json() -> None:
    spec = scene_spec(entries=MASSES, **RICH)
    scenes = Scenes(spec, 3)
    for frame in (5, 0):
        scene = scenes.scene(frame)
        found = poses(scene)
        state = scene.data.qpos.copy(), scene.data.mocap_pos.copy(), scene.model.body("cube_0").mass.copy()
        text = scene.draw.to_json()
        scenes.scene(frame + 1)
        again = Scenes(spec, 3).replay(Draw.from_json(text))
        assert again.draw == Draw.from_json(text)
        for mine, theirs in zip(
            state, (again.data.qpos, again.data.mocap_pos, again.model.body("cube_0").mass), strict=True
        ):
            np.testing.assert_array_equal(mine, theirs)
        for name, pose in poses(again).items():
            np.testing.assert_array_equal(pose, found[name])
    with pytest.raises(DREnvError, match=r"draw.scene.spoon_0: the scene has no such object"):
        Scenes(spec, 3).replay(Draw({"scene.build": 0.0, "scene.spoon_0": np.zeros(7), "mass": 1.0}))


def test_placed_objects_keep_apart_and_within_their_area_and_stay_where_they_are() -> None:
    scenes = Scenes(scene_spec({"gap": 0.004, "relations": {"beside": 0.3, "aligned": 0.3}}), 0)
    for frame in range(6):
        scene = scenes.scene(frame)
        assert len(scene.objects) == 6
        outlines = []
        for each in scene.objects:
            rest = Rest.of(each.mesh, each.model.mass_properties[1], each.pose[:3, :3])
            outline = rest.outline + each.pose[:2, 3]
            assert each.pose[2, 3] + rest.low == pytest.approx(0, abs=1e-6)
            assert (outline >= np.array(AREA["low"]) - 1e-6).all()
            assert (outline <= np.array(AREA["high"]) + 1e-6).all()
            assert all(_apart(outline, other, 0.0039) for other in outlines)
            outlines.append(outline)
        before = poses(scene)
        for _ in range(100):
            mujoco.mj_step(scene.model, scene.data)
        for each in scene.objects:
            moved = np.linalg.norm(scene.data.body(each.name).xpos - before[each.name][:3, 3])
            assert moved < 0.004, f"{each.name} moved by {moved}"


def test_what_stands_on_another_stays_there() -> None:
    scenes = Scenes(scene_spec({"relations": {"on": 0.9}, "count": 7}), 1)
    stacked = 0
    for frame in range(6):
        scene = scenes.scene(frame)
        bottoms = {}
        for each in scene.objects:
            rest = Rest.of(each.mesh, each.model.mass_properties[1], each.pose[:3, :3])
            bottoms[each.name] = each.pose[2, 3] + rest.low
            if bottoms[each.name] > 0.01:
                stacked += 1
                assert rest.base is not None
                assert within(rest.centre, rest.base)
        before = poses(scene)
        for _ in range(100):
            mujoco.mj_step(scene.model, scene.data)
        for name, pose in before.items():
            assert abs(scene.data.body(name).xpos[2] - pose[2, 3]) < 0.005, name
    assert stacked >= 6


def test_dropped_objects_come_to_rest_on_the_table() -> None:
    scenes = Scenes(scene_spec({"mode": "drop", "count": 5}), 0)
    for frame in range(3):
        scene = scenes.scene(frame)
        before = poses(scene)
        assert all(-0.001 < pose[2, 3] < 0.3 for pose in before.values())
        for _ in range(60):
            mujoco.mj_step(scene.model, scene.data)
        for each in scene.objects:
            # what is round may roll on slowly
            assert np.linalg.norm(scene.data.body(each.name).xpos - before[each.name][:3, 3]) < 0.02


def test_what_falls_off_is_left_out() -> None:
    edge = {"low": [0.5, -0.4], "high": [0.6, 0.4], "mode": "drop", "count": 8}
    spec = scene_spec(edge, framing={"objects": 0}, table={"size": [1.2, 0.8]})
    counts = [len(Scenes(spec, seed).scene(0).objects) for seed in range(4)]
    assert min(counts) < 8
    assert max(counts) > 0


def test_distractors_have_no_labels_unless_asked_for() -> None:
    scene = Scenes(scene_spec(**RICH), 0).scene(0)
    others = [each for each in scene.objects if not each.labelled]
    assert {each.class_name for each in others} >= {"mug", "can"}
    assert any(each.class_name.startswith("flying_") for each in others)
    assert {each.class_id for each in scene.labelled} <= set(range(1, 9))
    contextual = {**RICH["distractors"]["contextual"], "labelled": True}
    flying = {**RICH["distractors"]["flying"], "labelled": True}
    asked = Scenes(scene_spec(distractors={"contextual": contextual, "flying": flying}), 0)
    assert all(each.labelled for each in asked.scene(0).objects)
    assert [model.class_id for model in asked.classes] == list(range(1, len(asked.classes) + 1))


def test_flying_distractors_are_in_view_and_touch_nothing() -> None:
    scenes = Scenes(scene_spec(**RICH), 0)
    for frame in range(4):
        scene = scenes.scene(frame)
        lens = Lens.of(scene.model, scene.data, scene.model.camera("camera").id, 4 / 3)
        for each in scene.objects:
            if each.class_name.startswith("flying_"):
                assert lens.inside(each.pose[None, :3, 3])[0]
                assert not scene.model.geom_contype[list(each.geoms)].any()


def test_counts_and_weights_follow_the_grammar() -> None:
    objects = {
        "cube": {"shape": "cube", "size": 0.03, "copies": 6},
        "cone": {"shape": "cone", "size": 0.03, "copies": 6},
    }
    area = {"count": {"type": "integer", "low": 2, "high": 5}, "classes": {"cube": 3, "cone": 1}}
    scenes = Scenes(scene_spec(area, objects=objects, framing={"objects": 0}, frames_per_build=1000), 0)
    names = [[each.class_name for each in scenes.scene(frame).objects] for frame in range(120)]
    counts = np.bincount([len(each) for each in names], minlength=6)
    assert counts[:2].sum() == 0
    assert (counts[2:6] > 15).all()
    share = np.mean([name == "cube" for each in names for name in each])
    assert abs(share - 0.75) < 0.08


SENSOR = """<mujoco><worldbody><geom type="sphere" size=".1"/>
<camera name="eye" pos="0 0 1" resolution="64 48" sensorsize=".0064 .0048" focal=".006 .007" principal=".0004 -.0003"/>
<camera name="plain" pos="0 0 1" fovy="50" resolution="64 48"/></worldbody></mujoco>"""


@pytest.mark.parametrize("camera", [0, 1])
def test_a_lens_is_the_frustum_that_mujoco_draws(camera: int) -> None:
    model = mujoco.MjModel.from_xml_string(SENSOR)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    scene, view = mujoco.MjvScene(model, 10), mujoco.MjvCamera()
    view.type, view.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, camera
    mujoco.mjv_updateScene(model, data, mujoco.MjvOption(), None, view, mujoco.mjtCatBit.mjCAT_ALL, scene)
    drawn = scene.camera[0]
    half = drawn.frustum_width or (drawn.frustum_top - drawn.frustum_bottom) / 2 * 4 / 3
    edges = (drawn.frustum_center - half, drawn.frustum_center + half, drawn.frustum_bottom, drawn.frustum_top)
    lens = Lens.of(model, data, camera, 4 / 3)
    np.testing.assert_allclose(lens.edges, np.array(edges) / drawn.frustum_near, rtol=1e-5)
    # borders are where points come into sight
    corner = lens.point(0.01, 0.99, 2.0)
    assert lens.inside(corner[None])[0]
    assert not lens.inside(lens.point(-0.01, 0.5, 2.0)[None])[0]
    assert not lens.inside(lens.point(0.5, 1.01, 2.0)[None])[0]


def test_visible_shares_follow_what_is_in_front() -> None:
    objects = {"cube": {"shape": "cube", "size": 0.1, "copies": 2}}
    camera = {"position": [1.0, 0.0, 0.05], "target": [0, 0, 0.05], "fovy": 30}
    scenes = Scenes(scene_spec({"count": 2}, objects=objects, camera=camera, framing={"objects": 0}), 0)
    draw = dict(scenes.scene(0).draw)
    upright = [1.0, 0, 0, 0]

    def shares(first: list[float], second: list[float]) -> list[float]:
        draw["scene.cube_0"], draw["scene.cube_1"] = np.array(first + upright), np.array(second + upright)
        return [each.visible for each in scenes.replay(Draw(draw)).objects]

    assert shares([0, -0.2, 0.05], [0, 0.2, 0.05]) == pytest.approx([1, 1])
    assert shares([0, 0, 0.05], [0.3, 0, 0.05]) == pytest.approx([0, 1], abs=0.02)
    half = shares([0, 0, 0.05], [0.3, 0.05, 0.05])[0]
    assert 0.3 < half < 0.55
    assert shares([0, 5, 0.05], [0, 0, 0.05]) == pytest.approx([0, 1])


def test_what_cannot_be_is_one_clear_error() -> None:
    with pytest.raises(DREnvError, match=r"no place for .* in area 'all' of \[0.03, 0.03\] m \(\d+ times\)"):
        Scenes(scene_spec({"low": [0, 0], "high": [0.03, 0.03]}), 0).scene(0)
    away = {"position": [0.7, -0.5, 0.7], "target": [1.4, -1, 1.4]}
    with pytest.raises(DREnvError, match=r"frame 2: no scene among 5 .* fewer than 1 objects are seen"):
        Scenes(scene_spec(camera=away, framing={"attempts": 5}), 0).scene(2)
    with pytest.raises(DREnvError, match=r"the camera is inside the table"):
        Scenes(scene_spec(camera={"position": [0.1, 0.1, -0.02], "target": [0, 0, -0.02]}), 0).scene(0)
    objects = {"cube": {"shape": "cube", "size": 0.3}}
    inside = {"position": [0.0, 0.0, 0.1], "target": [1, 0, 0.1]}
    area = {"low": [-0.25, -0.25], "high": [0.25, 0.25], "count": 1}
    with pytest.raises(DREnvError, match=r"the camera is inside cube"):
        Scenes(scene_spec(area, objects=objects, camera=inside, framing={"objects": 0, "attempts": 3}), 0).scene(0)
    with pytest.raises(DREnvError, match=r"areas.all: from .* is beside the table"):
        Scenes(scene_spec({"low": [3, 3], "high": [4, 4]}), 0)._get(0)
    with pytest.raises(DREnvError, match=r"arm.file: .*nothing.xml: no such file"):
        Scenes(scene_spec(arm={"file": "nothing.xml"}), 0).scene(0)


def test_acceptance_is_counted() -> None:
    scenes = Scenes(scene_spec({"count": 7}, framing={"objects": "all", "visible": 0.995, "attempts": 200}), 0)
    drawn = [scenes.scene(frame) for frame in range(4)]
    attempts = sum(scene.attempts for scene in drawn)
    assert attempts > 4
    assert scenes.acceptance_rate == pytest.approx(4 / attempts)
    assert scenes.refusals.total() == attempts - 4


def test_the_users_own_mesh_is_an_object(tmp_path: Path) -> None:
    mesh = shapes.mug().scaled(100).moved([500, 0, 0])
    trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).export(tmp_path / "mug.ply")
    keypoints = [[0.5, 0, 0.1]]
    spec = tmp_path / "spec.yaml"
    form = {"mesh": "mug.ply", "units": "mm", "keypoints": keypoints, "symmetries": {"discrete": []}}
    scene = scene_spec({"count": 1}, objects={"mug": form}).to_dict()
    scene["scene"]["objects"]["mug"]["mesh"] = "mug.ply"
    spec.write_text(json.dumps(scene))
    built = Scenes(Spec.load(spec), 0).scene(0)
    (mug,) = built.objects
    np.testing.assert_allclose(mug.mesh.box[0], [0.5 - 0.042, -0.042, 0], atol=1e-3)
    np.testing.assert_array_equal(mug.keypoints, keypoints)
    assert len(mug.symmetries) == 0
    # the pose is of the object's own frame: its vertices, moved by it, are the geom's
    geom = mug.geoms[0]
    own = built.model.mesh_vert @ built.data.geom_xmat[geom].reshape(3, 3).T + built.data.geom_xpos[geom]
    theirs = mug.mesh.vertices @ mug.pose[:3, :3].T + mug.pose[:3, 3]
    assert np.abs(own[:, None] - theirs[None]).max(axis=2).min(axis=1).max() < 1e-6


def test_the_grammar_goes_in_and_out_of_yaml_and_follows_the_schema() -> None:
    spec = scene_spec({"relations": {"on": 0.2, "aligned": 0.1}, "on": "table"}, **RICH)
    text = spec.to_yaml()
    assert Spec.from_yaml(text) == spec
    assert Spec.from_yaml(text).digest() == spec.digest()
    jsonschema.validate(json.loads(json.dumps(spec.to_dict())), json_schema())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("shape: cne", r"f.yaml:3 scene.objects.a: .*no shape 'cne'; did you mean 'cone'"),
        ("shape: cone, size: -1", r"size: got values from -1, expected above 0"),
        ("shape: cone, size: {type: unifrm}", r"f.yaml:3 scene.objects.a.size.0: .*did you mean 'uniform'"),
        ("shape: cone, copies: 0", r"f.yaml:3 scene.objects.a.copies: got 0"),
        ("mesh: a.ply", r"units: missing; a mesh.s numbers are in m, cm or mm"),
        ("shape: cone, exponents: [1, 1]", r"exponents: belongs to shape: superquadric"),
        ("shape: cone, colour: red", r"f.yaml:3 scene.objects.a.colour: unknown key"),
    ],
)
def test_a_bad_grammar_is_told_by_line_and_key(change: str, message: str) -> None:
    text = f"format: dr_env/1\nscene:\n  objects: {{a: {{{change}}}}}\n  areas: {{all: {{count: 1}}}}\n"
    with pytest.raises(DREnvError, match=message):
        Spec.from_yaml(text, "f.yaml")


def test_areas_name_classes_that_there_are() -> None:
    with pytest.raises(DREnvError, match=r"areas.all.classes: no class 'cub'; did you mean 'cube'"):
        scene_spec({"classes": {"cub": 1}})


def test_classes_may_have_numbers_of_their_own() -> None:
    objects: dict[str, Any] = {"cube": {"shape": "cube", "number": 9}, "cone": {"shape": "cone"}}
    scenes = Scenes(scene_spec({"count": 2}, objects=objects), seed=0)
    assert {each.name: each.class_id for each in scenes.classes} == {"cube": 9, "cone": 2}
    assert {each.class_id for each in scenes.scene(0).labelled} <= {2, 9}
    objects["cube"]["number"] = 2
    again = Scenes(scene_spec({"count": 2}, objects=objects), seed=0)
    assert {each.name: each.class_id for each in again.classes} == {"cube": 2, "cone": 3}
    objects["cone"]["number"] = 2
    with pytest.raises(DREnvError, match="'cube' and 'cone' both have the number 2"):
        scene_spec({"count": 2}, objects=objects)
