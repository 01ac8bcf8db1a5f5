"""Fixtures that several test files share."""

from __future__ import annotations

import mujoco
import pytest
from hypothesis import settings

from dr_env import Spec, make_task

settings.register_profile("dr_env", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("dr_env")

# one of everything that the field table can select
RICH_MODEL = """
<mujoco model="rich">
  <option timestep="0.004" density="1.2" viscosity="1e-5" wind="0.1 0 0"/>
  <worldbody>
    <geom name="floor" type="plane" size="5 5 .1"/>
    <body name="base" pos="0 0 .5">
      <freejoint name="root"/>
      <geom name="base" type="box" size=".1 .2 .05" mass="2"/>
      <body name="arm" pos=".1 0 0">
        <joint name="shoulder" type="hinge" axis="0 1 0" damping=".5" stiffness="2" armature=".01" frictionloss=".1"/>
        <geom name="arm" type="capsule" fromto="0 0 0 .3 0 0" size=".03" mass=".5"/>
        <body name="hand" pos=".3 0 0">
          <joint name="wrist" type="ball" damping=".2" stiffness="1" armature=".02"/>
          <geom name="hand" type="sphere" size=".05" mass=".2"/>
        </body>
      </body>
    </body>
    <body name="cart" pos="1 0 .5">
      <joint name="slide" type="slide" axis="1 0 0" damping="1" stiffness="3" armature=".1" frictionloss=".2"/>
      <geom name="cart" type="box" size=".1 .1 .1" mass="1"/>
    </body>
  </worldbody>
  <actuator>
    <motor name="push" joint="slide" gear="5" ctrlrange="-1 1"/>
    <position name="servo" joint="shoulder" kp="20" kv="1" ctrlrange="-1 1"/>
  </actuator>
</mujoco>
"""


# and what is rarer: sites, pairs, equalities, tendons, limits
FULL_MODEL = """
<mujoco model="full">
  <option timestep="0.004" density="1.2" viscosity="1e-5" wind="0.1 0 0"/>
  <worldbody>
    <geom name="floor" type="plane" size="5 5 .1" friction="1 .01 .001" margin=".02" condim="6"/>
    <site name="anchor" pos="0 0 1"/>
    <body name="base" pos="0 0 .12">
      <freejoint name="root"/>
      <geom name="base" type="box" size=".1 .2 .05" mass="2" friction=".2 .01 .001" condim="6"/>
      <site name="hook" pos=".1 0 .05"/>
      <body name="arm" pos=".1 0 .05">
        <joint name="shoulder" type="hinge" axis="0 1 0" damping=".5" stiffness="2" armature=".01" frictionloss=".1"
               range="-.1 .1" limited="true"/>
        <geom name="arm" type="capsule" fromto="0 0 0 .3 0 0" size=".03" mass=".5"/>
        <body name="hand" pos=".3 0 0">
          <joint name="wrist" type="hinge" axis="0 1 0" damping=".2" stiffness="1" armature=".02" ref=".1"/>
          <geom name="hand" type="sphere" size=".05" mass=".2"/>
        </body>
      </body>
    </body>
    <body name="cart" pos="1 0 .5">
      <joint name="slide" type="slide" axis="1 0 0" damping="1" stiffness="3" armature=".1" frictionloss=".2"/>
      <geom name="cart" type="box" size=".1 .1 .1" mass="1"/>
    </body>
    <body name="ball" pos="2 0 .14">
      <freejoint name="ball"/>
      <geom name="ball" type="sphere" size=".1" mass="1" contype="0" conaffinity="0"/>
    </body>
  </worldbody>
  <contact>
    <pair name="ball_floor" geom1="ball" geom2="floor" margin=".02" gap=".005" condim="3"/>
  </contact>
  <equality>
    <joint name="coupling" joint1="shoulder" joint2="wrist" polycoef="0 .5 .1 0 0"/>
  </equality>
  <tendon>
    <spatial name="cord" stiffness="30" damping=".5" frictionloss=".3" armature=".01" range="0 .95" limited="true"
             springlength=".2 .5">
      <site site="anchor"/><site site="hook"/>
    </spatial>
  </tendon>
  <actuator>
    <motor name="push" joint="slide" gear="5" ctrlrange="-1 1"/>
    <position name="servo" joint="shoulder" kp="20" kv="1" ctrlrange="-1 1" forcerange="-3 3"/>
  </actuator>
  <sensor>
    <jointpos name="encoder" joint="shoulder"/>
    <gyro name="gyro" site="hook"/>
  </sensor>
</mujoco>
"""


@pytest.fixture
def full_spec() -> mujoco.MjSpec:
    return mujoco.MjSpec.from_string(FULL_MODEL)


@pytest.fixture
def rich_spec() -> mujoco.MjSpec:
    return mujoco.MjSpec.from_string(RICH_MODEL)


@pytest.fixture
def rich_model() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(RICH_MODEL)


def model_bytes(model: mujoco.MjModel) -> bytes:
    """The whole model, bit for bit."""
    import numpy as np

    buffer = np.zeros(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, buffer)
    return buffer.tobytes()


def shipped_spec(task: str) -> Spec:
    return Spec.load(make_task(task).file("randomization.yaml"))


def entry(select: object, field: str, operation: str, **distribution: object) -> dict[str, object]:
    """A Spec entry as plain data."""
    extra = {key: distribution.pop(key) for key in ("per", "coupled", "trigger") if key in distribution}
    return {"select": select, "field": field, "operation": operation, "distribution": distribution, **extra}


def spec_of(**entries: dict[str, object]) -> Spec:
    return Spec.from_dict({"format": "dr_env/1", "entries": entries})
