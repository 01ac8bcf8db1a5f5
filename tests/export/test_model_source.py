"""Frames of a model whose labels could not be true are refused."""

from __future__ import annotations

from pathlib import Path

import mujoco
import pytest

from dr_env import DREnvError
from dr_env.export import SourceRequest
from dr_env.export.bodies import labelled_bodies
from dr_env.scene import Mesh
from dr_env.scene.symmetry import Surface
from dr_env.spatial import apply
from dr_env.vision.samples import ObjectModel
from tests.conftest import entry, spec_of
from tests.rendering.test_classic import needs_gl

MODEL = """
<mujoco>
  <statistic extent="1" center="0 0 0"/>
  <worldbody>
    <geom name="floor" type="plane" size="1 1 .1"/>
    <body name="brick" pos="-.16 .1 .05"><freejoint/><geom name="brick" type="box" size=".06 .04 .05"/></body>
    <body name="post" pos=".15 -.08 .08"><joint name="spring" type="slide" axis="0 0 1" stiffness="10"/>
      <geom name="post" type="box" size=".03 .03 .08"/></body>
    <camera name="eye" pos="0 -.75 .6" xyaxes="1 0 0 0 .62 .78" fovy="42"/>
  </worldbody>
</mujoco>
"""


def source_of(tmp_path: Path, form: dict[str, object], **others: object) -> SourceRequest:
    model = tmp_path / "scene.xml"
    model.write_text(MODEL)
    return SourceRequest(str(model), spec_of(e=form).to_yaml(), "spec.yaml", 3, 64, 48, camera="eye", **others)  # type: ignore[arg-type]


@needs_gl
@pytest.mark.parametrize("field", ["size[0]", "pos[2]", "rotation[0]"])
def test_shapes_of_labelled_objects_do_not_vary(tmp_path: Path, field: str) -> None:
    form = entry({"geom": "brick"}, field, "add", type="uniform", low=0.0, high=0.02)
    with pytest.raises(DREnvError, match=r"geom 'brick', a part of the labelled object 'brick'.*nominal shape"):
        source_of(tmp_path, form).open()
    source = source_of(tmp_path, form, objects=("post",)).open()
    assert [view.name for view in source.frame(0).objects] == ["post"]
    source.close()


@needs_gl
def test_a_simulation_that_diverges_gives_no_frame(tmp_path: Path) -> None:
    form = entry({"joint": "spring"}, "stiffness", "set", type="constant", value=1e12)
    source = source_of(tmp_path, form, steps=50).open()
    with pytest.raises(DREnvError, match="frame 0: the simulation diverged"):
        source.frame(0)
    source.close()


SHAPES = {
    "sphere": ('type="sphere" size=".03"', 0, 3),
    "can": ('type="cylinder" size=".03 .05"', 1, 1),
    "pill": ('type="capsule" size=".02 .05"', 1, 1),
    "bar": ('type="box" size=".02 .04 .06"', 3, 0),
    "prism": ('type="box" size=".04 .04 .06"', 7, 0),
    "cube": ('type="box" size=".04 .04 .04"', 23, 0),
    "egg": ('type="ellipsoid" size=".03 .05 .03"', 1, 1),
    "pebble": ('type="ellipsoid" size=".02 .05 .03"', 3, 0),
    "painted": ('type="box" size=".02 .04 .061" material="dots"', 0, 0),
}


def test_symmetries_of_bodies_are_those_of_plain_shapes() -> None:
    bodies = "".join(
        f'<body name="{name}"><geom {shape} pos=".01 -.02 .03" euler="20 30 40"/></body>'
        for name, (shape, *_) in SHAPES.items()
    )
    model = mujoco.MjModel.from_xml_string(f"""<mujoco><asset>
      <texture name="dots" type="2d" builtin="checker" width="8" height="8"/><material name="dots" texture="dots"/>
      <material name="air" rgba="1 1 1 0"/></asset>
      <worldbody>{bodies}
      <body name="pair"><geom type="box" size=".02 .04 .06"/><geom type="box" size=".02 .04 .06" pos=".04 0 0"/></body>
      <body name="twin_1"><geom type="box" size=".02 .04 .03"/></body>
      <body name="twin_2"><geom type="box" size=".02 .04 .03" material="dots"/></body>
      <body name="nothing"><geom type="box" size=".02 .04 .06" material="air"/></body>
      </worldbody></mujoco>""")
    found = {kind.name: kind for kind in labelled_bodies(model)[1]}
    assert found.keys() == {*SHAPES, "pair", "twin"}
    for name, (_, discrete, axes) in SHAPES.items():
        kind = found[name]
        assert (len(kind.discrete), len(kind.continuous)) == (discrete, axes), name
        surface = Surface(Mesh.of(kind.vertices, kind.faces))
        motions = ObjectModel(1, name, kind.vertices, kind.faces, 0.1, kind.discrete, kind.continuous).motions(5)
        for motion in motions[:60]:
            assert surface.distance(apply(motion, kind.vertices)).max() < 2e-3, name  # of facets
    for name in ("pair", "twin"):
        assert not len(found[name].discrete) and not found[name].continuous


def test_equal_bodies_are_of_one_class_whatever_comes_first() -> None:
    sizes = {"cube_0": ".1 .1 .1", "cube_1": ".2 .1 .1", "cube_2": ".2 .1 .1", "cube_3": ".1 .1 .1"}
    bodies = "".join(f'<body name="{name}"><geom type="box" size="{size}"/></body>' for name, size in sizes.items())
    objects, classes = labelled_bodies(
        mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{bodies}</worldbody></mujoco>")
    )
    assert [item.class_name for item in objects] == ["cube", "cube_1", "cube_1", "cube"]
    assert [(kind.class_id, kind.name) for kind in classes] == [(1, "cube"), (2, "cube_1")]
