"""Objects whose fields cannot vary are refused, with the reason, before a simulation finds out."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from dr_env import DREnvError, Spec, VectorEnv, compile_model, make_task
from dr_env.binding import offers, propose
from tests.conftest import entry, spec_of

FREE = """
<mujoco><worldbody>
  <body name="box" pos="0 0 1"><freejoint/><geom type="box" size=".1 .1 .1"/><body name="lid" pos="0 0 .1">
  <joint name="hinge" axis="0 1 0"/><geom size=".05"/></body></body>
</worldbody></mujoco>
"""
WRAPPED = """
<mujoco><worldbody>
  <site name="top" pos="0 .1 1"/>
  <body pos="0 0 1"><joint name="turn" axis="1 0 0"/><geom name="drum" type="cylinder" size=".05 .1" euler="0 90 0"/>
    <geom size=".1" pos="0 0 -.4"/><site name="low" pos="0 .1 -.3"/><site name="end" pos="0 .1 -.4"/></body>
</worldbody>
<tendon>
  <spatial name="around"><site site="top"/><geom geom="drum"/><site site="low"/></spatial>
  <spatial name="straight"><site site="low"/><site site="end"/></spatial>
</tendon>
<actuator>
  <motor name="winch" tendon="around"/><motor name="puller" tendon="straight"/><motor name="hub" joint="turn"/>
</actuator></mujoco>
"""
ACTUATORS = """
<mujoco><worldbody>
  <body name="slider"><joint name="slide" type="slide"/><geom name="foot" size=".1" mass="1"/></body>
</worldbody>
<actuator>
  <motor name="m" joint="slide"/><adhesion name="a" body="slider" ctrlrange="0 1" gain="3"/>
  <damper name="d" joint="slide" kv="2" ctrlrange="0 1"/>
</actuator></mujoco>
"""


def varying(select: dict[str, str], field: str, **other: object) -> Spec:
    return spec_of(e={**entry(select, field, "add", type="uniform", low=0.1, high=0.2), **other})


@pytest.mark.parametrize("field", ["pos[0]", "rotation[2]"])
def test_a_free_body_is_placed_by_its_state(field: str) -> None:
    mjspec = mujoco.MjSpec.from_string(FREE)
    spec = varying({"body": "box"}, field)
    with pytest.raises(DREnvError, match=r"body 'box' has a free joint.*reset the option qpos.*trigger: compile"):
        spec.bind(compile_model(mjspec, spec))
    compiled = varying({"body": "box"}, field, trigger="compile")
    model = compile_model(mjspec, compiled)
    assert not np.array_equal(model.qpos0, compile_model(mjspec, Spec()).qpos0)
    assert varying({"body": "lid"}, field).bind(compile_model(mjspec, Spec()))


@pytest.mark.parametrize(("kind", "refused", "allowed"), [("tendon", "around", "straight"), ("actuator", "winch", "*")])
def test_no_armature_where_a_tendon_wraps(kind: str, refused: str, allowed: str) -> None:
    mjspec = mujoco.MjSpec.from_string(WRAPPED)
    model = compile_model(mjspec, Spec())
    with pytest.raises(DREnvError, match=f"'{refused}'.*wraps around a geom, where MuJoCo has no armature"):
        varying({kind: refused}, "armature").bind(model)
    names = ["puller", "hub"] if allowed == "*" else [allowed]
    plan = spec_of(
        e={**entry({kind: names[0]}, "armature", "add", type="uniform", low=0.1, high=0.2), "select": {kind: names}}
    ).bind(model)
    plan.apply(model, plan.sample(np.random.default_rng(0)))
    mujoco.mj_step(model, mujoco.MjData(model))
    offered = next(offer for offer in offers(model) if (offer.field.kind, offer.field.name) == (kind, "armature"))
    assert refused not in offered.names


def test_a_proposed_spec_names_what_not_all_actuators_have() -> None:
    model = compile_model(mujoco.MjSpec.from_string(ACTUATORS), Spec())
    spec = Spec.from_yaml(propose(model), "proposed.yaml")
    spec.bind(compile_model(mujoco.MjSpec.from_string(ACTUATORS), spec))
    assert "d" not in spec.entries["actuator_gain"].select.patterns


def test_looks_of_a_model_that_discards_what_is_only_seen() -> None:
    mjspec = mujoco.MjSpec.from_string(FREE)
    mjspec.compiler.discardvisual = True
    spec = spec_of(e=entry({"geom": "*"}, "specular", "set", type="uniform", low=0.0, high=1.0, per="element"))
    spec.bind(compile_model(mjspec, spec))


def test_models_that_sleep_are_simulated(tmp_path: object) -> None:
    path = f"{tmp_path}/sleep.xml"
    with open(path, "w") as file:  # noqa: PTH123
        file.write(ACTUATORS.replace("<worldbody>", '<option><flag sleep="enable"/></option><worldbody>'))
    task = make_task(path, reward=lambda before, action, after: after["qpos"][:, 0])
    env = VectorEnv(task, 3, spec_of(e=entry({"body": "slider"}, "mass", "scale", type="uniform", low=0.5, high=2.0)))
    env.reset(seed=0)
    for _ in range(20):
        observations, *_ = env.step(np.ones((3, 3), np.float32))
    assert np.isfinite(observations).all()
    assert len(np.unique(observations[:, 0])) == 3


MUSCLE = """
<mujoco><worldbody><body name="arm"><joint name="elbow" axis="0 1 0" range="-60 60" limited="true"/>
  <geom type="capsule" size=".03" fromto="0 0 0 .3 0 0" mass="1"/></body></worldbody>
<actuator><muscle name="biceps" joint="elbow" force="20"/></actuator></mujoco>
"""


@pytest.mark.parametrize(
    ("select", "field", "why"),
    [
        ({"actuator": "*"}, "gear[0]", "'biceps' is a muscle, and MuJoCo fixes the lengths of muscles when it compiles; vary its force"),
        ({"joint": "elbow"}, "range", "'elbow' is moved by a muscle, and MuJoCo fixes the lengths of muscles"),
        ({"actuator": "*"}, "gain", "vary a muscle's force"),
    ],
)  # fmt: skip
def test_what_a_muscles_lengths_follow_from_is_refused(select: dict[str, str], field: str, why: str) -> None:
    model = mujoco.MjModel.from_xml_string(MUSCLE)
    with pytest.raises(DREnvError, match=why):
        spec_of(x=entry(select, field, "scale", type="uniform", low=0.5, high=2)).bind(model)


def test_a_muscles_force_is_that_of_the_compiled_model() -> None:
    model, expected = (mujoco.MjModel.from_xml_string(MUSCLE.replace('"20"', f'"{f}"')) for f in (20, 30))
    plan = spec_of(x=entry({"actuator": "biceps"}, "force", "scale", type="uniform", low=0.5, high=2)).bind(model)
    plan.apply(model, {"x": 1.5})
    assert np.array_equal(model.actuator_gainprm, expected.actuator_gainprm)
    assert np.array_equal(model.actuator_biasprm, expected.actuator_biasprm)


BELT = """
<mujoco><option gravity="0 0 0"/><worldbody>
  <body name="cart"><joint name="x" type="slide" axis="1 0 0"/><joint name="y" type="slide" axis="0 1 0"/><geom size=".1" mass="1"/></body>
  <body name="ball" pos="1 0 0"><freejoint/><geom size=".1" mass="1"/><site name="eye" pos=".1 .05 .02"/></body>
  <site name="post" pos="1 0 1"/>
</worldbody>
<tendon>
  <fixed name="belt" {belt}><joint joint="x" coef="1"/><joint joint="y" coef="1"/></fixed>
  <spatial name="cord" {cord}><site site="post"/><site site="eye"/></spatial>
</tendon>
<actuator><motor name="winch" tendon="belt" {winch}/></actuator></mujoco>
"""


@pytest.mark.parametrize(("kind", "name"), [("tendon", "belt"), ("tendon", "cord"), ("actuator", "winch")])
def test_armature_of_tendons_is_that_of_the_compiled_model(kind: str, name: str) -> None:
    """MuJoCo treats bodies as simple, with a diagonal mass matrix, where no tendon has armature when it compiles."""
    plain = {"belt": "", "cord": "", "winch": ""}
    mjspec = mujoco.MjSpec.from_string(BELT.format(**plain))
    spec = spec_of(x=entry({kind: name}, "armature", "set", type="uniform", low=0, high=3))
    with pytest.raises(
        DREnvError, match=f"entries.x.select: {kind} '{name}' pulls a body that MuJoCo treats as simple"
    ):
        spec.bind(mjspec.compile())
    expected = mujoco.MjModel.from_xml_string(BELT.format(**{**plain, name: 'armature="2"'}))
    model = compile_model(mjspec, spec)
    spec.bind(model).apply(model, {"x": 2.0})
    accelerations = []
    for each in (model, expected):
        data = mujoco.MjData(each)
        data.qfrc_applied[:] = np.arange(each.nv)
        mujoco.mj_forward(each, data)
        accelerations.append(data.qacc.copy())
    np.testing.assert_array_equal(*accelerations)
    assert np.array_equal(model.dof_invweight0, expected.dof_invweight0)


def test_a_pattern_without_a_match_keeps_its_place() -> None:
    mjspec = mujoco.MjSpec.from_string(BELT.format(belt="", cord="", winch=""))
    for kind, field in (("tendon", "armature"), ("body", "com")):
        spec = spec_of(x=entry({kind: "bell"}, field, "set", type="constant", value=1))
        with pytest.raises(DREnvError, match=r"entries\.x\.select: no"):
            spec.bind(compile_model(mjspec, spec))


IDLE = """
<mujoco><worldbody>
  <body name="hand" mocap="true"><geom name="ball" size=".1"/><body name="tip"><geom name="pill" type="capsule" size=".1 .2"/></body></body>
  <body name="rod" pos="0 0 2"><joint name="hinge" axis="0 1 0"/><geom name="box" type="box" size=".1 .1 .1" mass="1"/><site name="jet"/></body>
  <body name="top" pos="2 0 2"><joint name="turn" type="ball"/><geom size=".1" mass="1"/></body>
</worldbody>
<actuator>
  <motor name="motor" joint="hinge"/><motor name="gyro" joint="turn"/><motor name="thruster" site="jet"/>
</actuator></mujoco>
"""


@pytest.mark.parametrize(
    ("select", "field", "why"),
    [
        ({"actuator": "motor"}, "bias[0]", "select: actuator 'motor' has no bias"),
        ({"actuator": "thruster"}, "armature", "select: actuator 'thruster' moves neither a joint nor a tendon"),
        ({"actuator": "thruster"}, "damping", "select: actuator 'thruster' moves neither a joint nor a tendon"),
        ({"actuator": "*"}, "gear[1]", r"field: got gear\[1\], but gear of actuator 'motor' has 1 component,"),
        ({"actuator": "gyro"}, "gear[3]", r"field: got gear\[3\], but gear of actuator 'gyro' has 3 components"),
        ({"geom": "ball"}, "size[1]", r"field: got size\[1\], but size of geom 'ball' has 1 component,"),
        ({"geom": "pill"}, "size[2]", r"field: got size\[2\], but size of geom 'pill' has 2 components"),
        ({"body": "hand"}, "push_impulse", "select: body 'hand' is placed by mocap"),
        ({"body": "tip"}, "push_impulse", "select: body 'tip' is placed by mocap"),
    ],
)
def test_what_would_do_nothing_is_refused(select: dict[str, str], field: str, why: str) -> None:
    with pytest.raises(DREnvError, match=f"entries.e.{why}"):
        varying(select, field).bind(mujoco.MjModel.from_xml_string(IDLE))


def test_what_would_do_nothing_is_not_offered() -> None:
    model = mujoco.MjModel.from_xml_string(IDLE)
    found = {(offer.field.kind, offer.field.name): offer for offer in offers(model)}
    assert ("actuator", "bias") not in found
    assert found["actuator", "damping"].names == ("motor", "gyro")
    assert found["body", "push_impulse"].names == ("rod", "top")
    assert found["actuator", "gear"].field.components == 6
    scalar = {
        (offer.field.kind, offer.field.name): offer for offer in offers(mujoco.MjModel.from_xml_string(ACTUATORS))
    }
    for offer in (scalar["actuator", "gear"], scalar["geom", "size"]):
        assert offer.field.components == 1
        assert len(offer.nominal) == len(offer.names)
