"""Frames through lenses and sensors: clean and sensed, labels that follow, the same again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from dr_env import DREnvError
from dr_env.export.annotate import annotate
from dr_env.export.layout import Layout
from dr_env.export.pipeline import export
from dr_env.export.request import ExportRequest
from dr_env.export.source import SourceRequest
from dr_env.export.validate import validate
from dr_env.sensors import draw_settings, picture_size, preset_entries, see
from dr_env.spatial import apply
from tests.conftest import entry, spec_of
from tests.rendering.test_classic import needs_gl

MODEL = """
<mujoco>
  <statistic extent="1" center="0 0 0"/>
  <visual><map znear="0.01" zfar="10"/></visual>
  <worldbody>
    <light pos="0 0 2"/>
    <geom name="floor" type="plane" size="1 1 .1" rgba=".6 .6 .5 1"/>
    <body name="brick" pos="-.16 .1 .05"><freejoint/><geom type="box" size=".06 .04 .05" rgba=".8 .2 .2 1"/></body>
    <body name="post" pos=".15 -.08 .08"><freejoint/><geom type="box" size=".03 .03 .08" rgba=".2 .3 .8 1"/></body>
    <camera name="eye" pos="0 -.75 .6" xyaxes="1 0 0 0 .62 .78" fovy="42"/>
  </worldbody>
</mujoco>
"""
LENS = {
    "k1": entry({"image": "eye"}, "brown_conrady[0]", "set", type="uniform", low=-0.35, high=-0.15),
    "p1": entry({"image": "eye"}, "brown_conrady[2]", "set", type="uniform", low=-0.003, high=0.003),
}
NOISE = {
    "light": entry({"image": "*"}, "exposure", "add", type="uniform", low=-0.5, high=0.5),
    "well": entry({"image": "*"}, "full_well", "set", type="constant", value=3000),
}


def _request(tmp_path: Path, entries: dict[str, Any], **others: Any) -> SourceRequest:
    model = tmp_path / "scene.xml"
    model.write_text(MODEL)
    spec = spec_of(**entries)
    return SourceRequest(str(model), spec.to_yaml(), "spec.yaml", 3, 160, 120, camera="eye", jitter=0.03, **others)


@needs_gl
def test_frames_are_clean_and_sensed(tmp_path: Path) -> None:
    request = _request(tmp_path, {**NOISE, **preset_entries("realsense_d435", 156.0)})
    source = request.open()
    first, second = source.frame(0), source.frame(1)
    again = source.frame(0)
    source.close()
    assert first.sensed_rgb is not None and first.sensed_depth is not None
    assert (first.sensed_rgb != first.rgb).mean() > 0.5 and (first.sensed_depth != first.depth).mean() > 0.5
    assert (first.sensed_rgb == again.sensed_rgb).all() and (first.sensed_depth == again.sensed_depth).all()
    assert (first.sensed_rgb != second.sensed_rgb).any()
    plain = _request(tmp_path, {}).open()
    clean = plain.frame(0)
    plain.close()
    assert clean.sensed_rgb is None and clean.sensed_depth is None
    assert (clean.rgb == first.rgb).all() and (clean.depth == first.depth).all(), "sensors changed the clean picture"


@needs_gl
@pytest.mark.parametrize(
    "lens", [LENS, {"k": entry({"image": "eye"}, "kannala_brandt[0]", "set", type="constant", value=0.01)}]
)
def test_labels_follow_the_lens(tmp_path: Path, lens: dict[str, Any]) -> None:
    source = _request(tmp_path, lens).open()
    frame = source.frame(2)
    source.close()
    assert frame.rgb.shape == (120, 160, 3) and frame.intrinsics.width == 160
    assert frame.distortion is not None
    for label, kind in zip(annotate(frame), source.classes, strict=True):
        vertices = apply(label.view.camera_from_object, kind.vertices)
        pixels = see(vertices, frame.intrinsics, frame.distortion)
        x, y, width, height = label.box_amodal or (0, 0, 0, 0)
        np.testing.assert_allclose([x, y], pixels.min(0), atol=1.6)
        np.testing.assert_allclose([x + width - 1, y + height - 1], pixels.max(0), atol=1.6)
        np.testing.assert_allclose(label.corner_pixels, see(label.corners, frame.intrinsics, frame.distortion))
        assert label.px_visible > 50


@needs_gl
def test_a_lens_is_that_of_its_own_camera(tmp_path: Path) -> None:
    """A fisheye whose coefficients are all 0 is a lens too, but not that of another camera."""
    second = MODEL.replace("<camera", '<camera name="wrist" pos="0 -.5 .6"/><camera')
    fish = entry({"image": "wrist"}, "kannala_brandt[0]", "set", type="constant", value=0.0)
    model = mujoco.MjModel.from_xml_string(second)
    plan = spec_of(fish=fish, **LENS).bind(model)
    draw = plan.sample(np.random.default_rng(0))
    eye, wrist = (draw_settings(plan, model, draw, name)[0] for name in ("eye", "wrist"))
    assert eye.kannala_brandt is None and eye.brown_conrady[0] < -0.1
    assert wrist.kannala_brandt == (0.0,) * 4 and not any(wrist.brown_conrady)
    only = spec_of(fish=fish).bind(model)
    assert picture_size(only, "eye", 160, 120) == picture_size(only, None, 160, 120) == (160, 120)
    assert picture_size(only, "wrist", 160, 120) > (160, 120)


@needs_gl
def test_depth_through_a_lens_is_lost_where_surfaces_are_grazed(tmp_path: Path) -> None:
    """Angles of incidence are those of the lens's own rays: on a wall they are the angles from the axis."""
    wall = """<mujoco><visual><map znear="0.01" zfar="10"/></visual><worldbody>
      <body name="wall" pos="0 1 0"><geom type="box" size="9 .1 9"/></body>
      <camera name="eye" pos="0 0 0" xyaxes="1 0 0 0 0 1" fovy="70"/></worldbody></mujoco>"""
    (tmp_path / "wall.xml").write_text(wall)
    spec = spec_of(
        fish=entry({"image": "eye"}, "kannala_brandt[0]", "set", type="constant", value=0.0),
        grazing=entry({"depth": "eye"}, "grazing", "set", type="constant", value=0.9),
    )
    source = SourceRequest(str(tmp_path / "wall.xml"), spec.to_yaml(), "spec.yaml", 3, 160, 120, camera="eye").open()
    frame = source.frame(0)
    source.close()
    assert frame.sensed_depth is not None and (frame.depth > 0).all()
    camera = frame.intrinsics
    across, down = np.meshgrid(np.arange(160) - camera.cx, np.arange(120) - camera.cy)
    angle = np.hypot(across / camera.fx, down / camera.fy)  # an equidistant fisheye
    sure = np.abs(angle - 0.9) > 0.02
    assert 0.1 < (angle > 0.9).mean() < 0.9
    assert ((frame.sensed_depth == 0) == (angle > 0.9))[sure].all()


@needs_gl
def test_a_dataset_of_sensed_images_is_valid(tmp_path: Path) -> None:
    source = _request(tmp_path, {**LENS, **NOISE, **preset_entries("kinect_v1", 156.0)})
    request = ExportRequest(
        source, Layout(3, 160, 120), ("bop", "bop-webdataset", "coco", "yolo", "yolo-segment", "yolo-pose")
    )
    export(request, tmp_path / "out")
    verdicts = validate(tmp_path / "out")
    assert len(verdicts) == 7
    for verdict in verdicts:
        assert not verdict.findings, [str(found) for found in verdict.findings[:5]]
    assert len(list((tmp_path / "out").glob("bop/train/*/depth_sensed/*.png"))) == 3
    assert len(list((tmp_path / "out").glob("bop/train/*/rgb_clean/*.png"))) == 3


@needs_gl
def test_a_free_camera_has_no_sensor(tmp_path: Path) -> None:
    from dr_env.export.sensing import FrameSensor

    model = mujoco.MjModel.from_xml_string(MODEL)
    with pytest.raises(DREnvError, match="a free camera is used"):
        FrameSensor(spec_of(**NOISE).bind(model), None, 160, 120)
