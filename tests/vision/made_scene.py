"""A small table whose look is quickly rendered, and a target that looks otherwise."""

from __future__ import annotations

from dr_env import Spec
from dr_env.export import SourceRequest

PRIOR = Spec.from_yaml("""
format: dr_env/1
scene:
  walls: null
  lights: 1
  objects:
    cube: {shape: cube, size: 0.1, rgba: [0.9, 0.1, 0.1, 1]}
    cone: {shape: cone, size: 0.08, copies: 4}
  areas:
    middle: {low: [-0.25, -0.2], high: [0.25, 0.2], count: 1, classes: {cube: 1}}
    around: {low: [-0.3, -0.25], high: [0.3, 0.25], count: {type: integer, low: 0, high: 3}, classes: {cone: 1}}
  framing: {objects: 1, visible: 0.05}
entries:
  light:
    select: {light: light_0}
    field: diffuse
    operation: scale
    distribution: {type: uniform, low: 0.2, high: 1.2}
    bounds: [0, 2]
  distance:
    select: {camera: camera}
    field: distance
    operation: scale
    distribution: {type: uniform, low: 0.8, high: 1.4}
    bounds: [0.6, 1.8]
  gloss:
    select: {material: table}
    field: specular
    operation: set
    distribution: {type: uniform, low: 0.5, high: 0.8}
  mass:
    select: {body: cube_0}
    field: mass
    operation: scale
    distribution: {type: uniform, low: 0.5, high: 1.5}
""")
HIDDEN = {"light.low": 1.3, "light.high": 1.5, "distance.low": 1.5, "distance.high": 1.6}
TARGET = PRIOR.with_parameters(PRIOR.parameters().replace(HIDDEN))


def request(spec: Spec = PRIOR, seed: int = 0, width: int = 48, height: int = 36) -> SourceRequest:
    """Its frames."""
    return SourceRequest("tabletop", spec.to_yaml(), "made", seed, width, height)
