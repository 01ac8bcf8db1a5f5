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
    <camera name="eye" pos="0 -3 1" xyaxes="1 0 0 0 .3 1"/>
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


# something of everything that has looks
LOOKS_MODEL = """
<mujoco model="looks">
  <visual><headlight ambient=".2 .2 .2" diffuse=".2 .2 .2" specular=".5 .5 .5"/></visual>
  <asset>
    <texture name="sky" type="skybox" builtin="gradient" rgb1=".3 .5 .7" rgb2="0 0 0" width="16" height="96"/>
    <texture name="grid" type="2d" builtin="checker" rgb1=".2 .3 .4" rgb2=".1 .2 .3" width="16" height="16"/>
    <material name="tiles" texture="grid" texrepeat="3 3"/>
    <material name="paint" rgba=".2 .6 .3 1" specular=".8" shininess=".6"/>
    <material name="gloss" rgba=".7 .2 .2 1" specular=".9"/>
  </asset>
  <worldbody>
    <light name="lamp" pos="0 -.5 2" dir="0 .2 -1" cutoff="40" diffuse=".8 .8 .8" specular=".5 .5 .5"/>
    <light name="sun" type="directional" dir=".3 .3 -1" diffuse=".3 .3 .3" castshadow="false"/>
    <camera name="eye" pos="0 -2 1" xyaxes="1 0 0 0 .5 1"/>
    <camera name="lens" pos="0 -2 1" xyaxes="1 0 0 0 .5 1" focal=".01 .01" sensorsize=".01333 .01" resolution="96 72"/>
    <camera name="follower" pos="2 -2 1" mode="targetbody" target="ball"/>
    <geom name="floor" type="plane" size="2 2 .1" material="tiles"/>
    <geom name="left" type="box" size=".2 .2 .2" pos="-.5 0 .2" material="paint"/>
    <geom name="right" type="box" size=".2 .2 .2" pos=".5 0 .2" material="paint"/>
    <geom name="drum" type="sphere" size=".25" pos=".1 .5 .3" material="gloss"/>
    <body name="ball" pos="0 -.2 .3">
      <freejoint/>
      <geom name="ball" type="sphere" size=".15" rgba=".8 .7 .2 1"/>
    </body>
  </worldbody>
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
