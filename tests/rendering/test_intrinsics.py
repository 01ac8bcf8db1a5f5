"""Cameras in pixels, against what the renderer says it drew."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from dr_env.rendering import camera_intrinsics, make_renderer, seen_through
from dr_env.spatial import Intrinsics
from tests.rendering.test_classic import needs_gl

MODEL = """
<mujoco>
  <worldbody>
    <geom type="box" size=".2 .1 .1" pos="0 0 0"/>
    <camera name="plain" pos="0 0 2" fovy="40"/>
    <camera name="sensor" pos="0 0 2" resolution="80 60" sensorsize=".008 .006" focal=".006 .0065" principal=".0005 -.0003"/>
  </worldbody>
</mujoco>
"""


def _numbers(camera: Intrinsics) -> list[float]:
    return [camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy]


@needs_gl
@pytest.mark.parametrize("camera", ["plain", "sensor"])
def test_intrinsics_are_what_is_drawn(camera: str) -> None:
    model = mujoco.MjModel.from_xml_string(MODEL)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    renderer = make_renderer("classic", model, 100, 60)
    before = model.cam_sensorsize.copy(), model.cam_intrinsic.copy()
    drawn = renderer.images(model, data, camera, ("rgb",))
    np.testing.assert_allclose(
        _numbers(camera_intrinsics(model, camera, 100, 60)), _numbers(drawn.intrinsics), atol=1e-4
    )
    other = Intrinsics(100, 60, 70.0, 75.0, 33.3, 41.2)
    with seen_through(model, camera, other):
        seen = renderer.images(model, data, camera, ("rgb",))
        np.testing.assert_allclose(_numbers(seen.intrinsics), _numbers(other), atol=1e-4)
        np.testing.assert_allclose(_numbers(camera_intrinsics(model, camera, 100, 60)), _numbers(other), atol=1e-4)
    assert (seen.rgb != drawn.rgb).any()
    assert (model.cam_sensorsize == before[0]).all() and (model.cam_intrinsic == before[1]).all()
    assert (renderer.images(model, data, camera, ("rgb",)).rgb == drawn.rgb).all()
    renderer.close()
