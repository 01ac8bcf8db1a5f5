"""Bounds that keep what a tuner of looks moves within what fields can take."""

from __future__ import annotations

import mujoco

from dr_env import Spec
from dr_env.binding import build_model, limited
from tests.conftest import entry, spec_of

MODEL = """<mujoco><asset><material name="dull" shininess=".2"/><material name="bright" shininess=".8"/></asset>
<worldbody><geom size=".1" material="dull"/><geom size=".1" material="bright"/></worldbody></mujoco>"""


def test_entries_that_share_a_draw_keep_to_the_limits_of_all() -> None:
    law = {"type": "uniform", "low": 0.9, "high": 1.1}
    spec = spec_of(
        first={**entry({"material": "dull"}, "shininess", "scale", **law), "share": "gloss"},
        second={**entry({"material": "bright"}, "shininess", "scale", **law), "share": "gloss"},
        alone=entry({"material": "dull"}, "specular", "scale", **law),
    )
    found = limited(spec.bind(build_model(mujoco.MjSpec.from_string(MODEL), spec).model))
    bounds = {name: each.bounds for name, each in found.entries.items()}
    assert bounds["first"] == bounds["second"] is not None
    assert 0.8 * bounds["second"][1] <= 1.0
    assert Spec.from_yaml(found.to_yaml()) == found
