"""A scene for renderers: boxes, spheres, a mesh and a plane before an off-centre camera."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import mujoco
import numpy as np

from dr_env import DREnvError
from dr_env.rendering import LabelledObject, Renderer, make_renderer

WIDTH, HEIGHT = 160, 120

XML = """
<mujoco>
  <statistic extent="1" center="0 0 0"/>
  <visual><quality shadowsize="256" numslices="64" numstacks="48"/></visual>
  <asset>
    <texture name="red" type="2d" builtin="flat" rgb1="1 0 0" width="8" height="8"/>
    <texture name="blue" type="2d" builtin="flat" rgb1="0 0 1" width="8" height="8"/>
    <material name="painted" texture="red" texuniform="true"/>
    <mesh name="wedge" vertex="0 0 0  .2 0 0  0 .2 0  0 0 .25"/>
  </asset>
  <worldbody>
    <light name="lamp" pos=".3 -.4 2" dir="-.1 .2 -1"/>
    <camera name="eye" pos="0 -1.1 .8" xyaxes="1 0 0 0 .6 .8" resolution="160 120" sensorsize=".0064 .0048"
            focal=".0066 .006" principal=".0003 -.0002"/>
    <geom name="table" type="plane" size="2 2 .1" rgba=".5 .6 .5 1"/>
    <body name="cube" pos="-.2 0 .08"><freejoint/><geom name="cube" type="box" size=".08 .06 .08" material="painted"/></body>
    <body name="ball" pos=".15 .1 .1"><freejoint/><geom name="ball" type="sphere" size=".1" rgba=".2 .9 .3 1"/></body>
    <body name="front" pos=".16 -.14 .2"><freejoint/><geom name="front" type="box" size=".05 .05 .06" rgba=".9 .2 .9 1"/></body>
    <body name="edge" pos="-.62 .1 .1"><freejoint/><geom name="edge" type="sphere" size=".12" rgba=".1 .2 .9 1"/></body>
    <body name="pair" pos="-.05 .45 .1"><freejoint/>
      <geom type="box" size=".05 .05 .05"/><geom name="wedge" type="mesh" mesh="wedge" pos=".1 0 0"/></body>
    <body name="away" pos="0 -3 1"><freejoint/><geom name="away" type="box" size=".1 .1 .1"/></body>
  </worldbody>
</mujoco>
"""
NAMES = ("cube", "ball", "front", "edge", "pair", "away")


def scene() -> tuple[mujoco.MjModel, mujoco.MjData, tuple[LabelledObject, ...]]:
    model = mujoco.MjModel.from_xml_string(XML)
    data = mujoco.MjData(model)
    data.qpos[3:7] = [0.9, 0.1, 0.2, 0.3]  # the cube stands askew
    mujoco.mj_forward(model, data)
    objects = []
    for i, name in enumerate(NAMES):
        body = model.body(name).id
        geoms = tuple(np.flatnonzero(model.geom_bodyid == body).tolist())
        half = model.geom_size[geoms[0]] if name not in ("ball", "edge") else np.full(3, model.geom_size[geoms[0], 0])
        objects.append(LabelledObject(name, i % 2 + 1, f"class{i % 2}", body, geoms, -half, half))
    return model, data, tuple(objects)


@contextlib.contextmanager
def renderer(name: str, model: mujoco.MjModel, width: int = WIDTH, height: int = HEIGHT) -> Iterator[Renderer]:
    made = make_renderer(name, model, width, height)
    try:
        yield made
    finally:
        made.close()


def why_not(name: str) -> str:
    """Why this machine cannot run a renderer; empty when it can."""
    try:
        with renderer(name, mujoco.MjModel.from_xml_string("<mujoco/>"), 8, 8):
            return ""
    except DREnvError as error:
        return str(error)
