"""Frames of composed scenes."""

from __future__ import annotations

import numpy as np
import pytest

from dr_env import DREnvError
from dr_env.export import SourceRequest


def test_settings_of_models_are_refused_for_scenes() -> None:
    spec = "format: dr_env/1\nentries: {}\nscene: {objects: {cube: {shape: cube}}, areas: {top: {count: 1}}}\n"
    wanted = SourceRequest("tabletop", spec, "spec", 0, 64, 48, objects=("cube",))
    with pytest.raises(DREnvError, match="spec: --objects, --jitter and --steps are for models"):
        wanted.open()


def test_scenes_do_not_depend_on_those_before() -> None:
    """Nor on which build of the scene a worker drew before."""
    spec = (
        "format: dr_env/1\nentries: {}\nscene: {frames_per_build: 3, objects: {cube: {shape: cube}, cone: {shape: cone}},"
        " areas: {top: {count: 2}}}\n"
    )
    source = SourceRequest("tabletop", spec, "spec", 5, 64, 48).open()
    try:
        forth = [source.frame(k) for k in range(7)]
        back = [source.frame(k) for k in reversed(range(7))]
    finally:
        source.close()
    for one, other in zip(forth, reversed(back), strict=True):
        assert np.array_equal(one.rgb, other.rgb)
        assert np.array_equal(one.depth, other.depth)
        assert one.draw == other.draw


def test_parts_of_labelled_objects_stay_where_they_are() -> None:
    spec = (
        "format: dr_env/1\nscene: {objects: {cube: {shape: cube}}, areas: {top: {count: 1}}}\nentries:\n  moved:\n"
        "    {select: {geom: cube*}, field: 'pos[2]', operation: add, distribution: {type: uniform, low: 0, high: 1}}\n"
    )
    source = SourceRequest("tabletop", spec, "spec", 0, 64, 48).open()
    try:
        with pytest.raises(DREnvError, match="varies the pos of geom 'cube_0', a part of the labelled object 'cube_0'"):
            source.frame(0)
        assert source.frame(0, labels=False).objects == ()
    finally:
        source.close()
