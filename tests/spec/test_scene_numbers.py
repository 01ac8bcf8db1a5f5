"""The numbers of a scene's grammar as parameters that a tuner may move."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_env import DREnvError, Spec
from dr_env.distributions import Integer

SPEC = Spec.from_yaml("""
format: dr_env/1
scene:
  table: {size: [{type: uniform, low: 1.0, high: 1.2}, 0.8]}
  objects:
    cube: {shape: cube, size: {type: uniform, low: 0.04, high: 0.06}}
    dotted.name: {shape: cone, size: 0.05, copies: 2}
  areas:
    first: {count: 1, classes: {cube: 1}}
    clutter: {low: [-0.3, -0.2], high: [0.3, 0.2], count: {type: integer, low: 1, high: 2}}
  distractors:
    contextual:
      count: {type: uniform, low: 0, high: 1}
      classes:
        mug: {shape: mug, size: {type: uniform, low: 0.08, high: 0.1}}
        own.box: {shape: book, size: [0.1, {type: uniform, low: 0.1, high: 0.2}, 0.03]}
    flying: {count: {type: integer, low: 0, high: 4}, pool: 5}
entries:
  gloss:
    select: {material: table}
    field: specular
    operation: set
    distribution: {type: uniform, low: 0.1, high: 0.8}
    bounds: [0, 1]
""")
VECTOR = SPEC.parameters(scene=True)


def test_names_and_bounds() -> None:
    found = {name: (t.value, t.low, t.high) for name, t in zip(VECTOR.names, VECTOR.tunables, strict=True)}
    assert found["scene.table.size.0.low"][0] == 1.0
    assert found["scene.distractors.contextual.classes.own.box.size.1.high"][0] == 0.2
    assert found["scene.areas.clutter.count.high"] == (2, 0, 3), "three objects are there to be had"
    assert found["scene.distractors.flying.count.high"] == (4, 0, 5), "no more than the pool holds"
    assert found["scene.areas.clutter.x.low"] == (-0.3, -0.5, 0.5), "on the smallest table there may be"
    assert not any("cube" in name for name in found), "labelled objects are what they are"
    assert found["gloss.low"] == (0.1, 0.0, 1.0)
    assert SPEC.parameters().names == ("gloss.low", "gloss.high"), "the grammar is asked for, never there by itself"


def test_whole_numbers_are_tuned_where_bounds_are_given_alone() -> None:
    assert Integer(1, 3).tunables() == ()
    low, high = Integer(1, 3).tunables((0, 5))
    assert (low.value, low.low, low.high, high.value) == (1, 0, 5, 3)
    assert Integer(1, 3).replace(low=3.6, high=1.4) == Integer(1, 4), "rounded, and in order"


def test_the_same_numbers_change_nothing() -> None:
    assert SPEC.with_parameters(VECTOR) == SPEC
    assert SPEC.with_parameters(SPEC.parameters()) == SPEC


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_point_of_the_cube_is_a_spec(seed: int) -> None:
    unit = np.random.default_rng(seed).random(len(VECTOR)).round(seed % 3)
    spec = SPEC.with_parameters(VECTOR.from_unit(unit))
    assert Spec.from_yaml(spec.to_yaml()) == spec
    again = spec.parameters(scene=True)
    assert again.names == VECTOR.names
    VECTOR.replace(again.to_dict())  # within the bounds of the Spec it came from
    for low, high in pairwise([(n, v) for n, v in again.to_dict().items()]):
        if low[0].endswith(".low") and low[0][:-4] == high[0][:-5]:
            assert low[1] <= high[1], "in order"


def test_some_numbers_by_their_names() -> None:
    chosen = VECTOR.matching(("gloss", "scene.areas.clutter.count", "scene.*flying.size.low"))
    assert chosen.names == (
        "gloss.low",
        "gloss.high",
        "scene.areas.clutter.count.low",
        "scene.areas.clutter.count.high",
        "scene.distractors.flying.size.low",
    )
    moved = SPEC.with_parameters(chosen.replace({"gloss.low": 0.3, "scene.areas.clutter.count.high": 3}))
    assert moved.scene is not None
    assert moved.scene.areas["clutter"].count.support() == (1, 3)
    assert moved.scene.table == SPEC.scene.table  # type: ignore[union-attr]
    assert moved.entries["gloss"].distribution.support() == (0.3, 0.8)
    with pytest.raises(DREnvError, match="did you mean"):
        VECTOR.matching(("glos",))
