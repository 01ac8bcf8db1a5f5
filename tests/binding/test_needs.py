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
