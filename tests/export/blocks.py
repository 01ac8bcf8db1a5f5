"""A small model to export, and what is asked of it."""

from __future__ import annotations

from pathlib import Path

from dr_env import Spec
from dr_env.export import ExportRequest, Layout, SourceRequest

SCENE = """
<mujoco model="blocks">
  <statistic extent="1" center="0 0 .1"/>
  <visual><map znear=".01" zfar="20"/><quality shadowsize="256" offsamples="0"/></visual>
  <worldbody>
    <light pos="0 0 2" castshadow="false"/>
    <geom name="floor" type="plane" size="2 2 .1" rgba=".5 .6 .5 1"/>
    <camera name="eye" pos="0 -.6 .5" xyaxes="1 0 0 0 .64 .77"/>
    <body name="cube_1" pos="-.1 0 .04"><freejoint/><geom name="cube_1" type="box" size=".04 .04 .04" rgba="1 0 0 1"/></body>
    <body name="cube_2" pos=".1 .05 .04"><freejoint/><geom type="box" size=".04 .04 .04" rgba="1 .5 0 1"/></body>
    <body name="ball" pos="0 .1 .05"><freejoint/><geom type="sphere" size=".05" rgba="0 0 1 1"/></body>
  </worldbody>
</mujoco>
"""
SPEC = """
format: dr_env/1
entries:
  mass: {select: {body: "*"}, field: mass, operation: scale, distribution: {type: uniform, low: 0.8, high: 1.2}}
"""


def request(scene: Path, frames: int = 12, formats: tuple[str, ...] = ("bop", "coco"), **more: object) -> ExportRequest:
    source = SourceRequest(str(scene), Spec.from_yaml(SPEC).to_yaml(), "spec", 3, 64, 48, jitter=0.15, steps=3)
    layout = Layout(frames, 64, 48, shard=5)
    return ExportRequest(source, layout, formats, **more)  # type: ignore[arg-type]


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
