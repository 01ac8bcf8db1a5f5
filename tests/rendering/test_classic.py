from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
import weakref

import mujoco
import numpy as np
import pytest

from dr_env import DREnvError, make_env, make_vector_env
from dr_env.rendering import ClassicRenderer, gl_backend, make_renderer

MODEL = """
<mujoco>
  <visual><headlight ambient="1 1 1" diffuse="0 0 0" specular="0 0 0"/></visual>
  <worldbody>
    <camera name="front" pos="0 -3 0" xyaxes="1 0 0 0 0 1"/>
    <body name="ball"><geom type="sphere" size=".5" rgba="1 0 0 1"/></body>
  </worldbody>
</mujoco>
"""


def _gl_works() -> str:
    try:
        make_renderer("classic", mujoco.MjModel.from_xml_string(MODEL), 8, 8).close()
    except DREnvError as error:
        return str(error)
    return ""


REASON = _gl_works()
needs_gl = pytest.mark.skipif(bool(REASON), reason=REASON or "OpenGL works")


@needs_gl
def test_a_red_ball_is_where_the_camera_model_puts_it() -> None:
    model = mujoco.MjModel.from_xml_string(MODEL)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with contextlib.closing(ClassicRenderer(model, 160, 120)) as classic:
        image = classic.images(model, data, "front").rgb
    assert image is not None
    assert image.shape == (120, 160, 3)
    red = (image[..., 0] > 200) & (image[..., 1] < 50)
    # fovy 45 degrees; the silhouette of a sphere at distance 3 m subtends asin(r / d)
    expected = 60 * np.tan(np.arcsin(0.5 / 3)) / np.tan(np.deg2rad(22.5))
    assert np.sqrt(red.sum() / np.pi) == pytest.approx(expected, rel=0.02)
    rows, columns = np.nonzero(red)
    assert (rows.mean(), columns.mean()) == pytest.approx((59.5, 79.5), abs=0.5)


@needs_gl
def test_a_renderer_that_nobody_closed_leaves_the_others_alone() -> None:
    model = mujoco.MjModel.from_xml_string(MODEL)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    wanted = ("rgb", "depth", "geom")
    forgotten, kept = (ClassicRenderer(model, 32, 24) for _ in range(2))
    forgotten.images(model, data, "front", wanted)
    first = kept.images(model, data, "front", ("rgb",))
    left = weakref.ref(forgotten)
    del forgotten  # while the other's context is current
    gc.collect()
    assert left() is None
    second = kept.images(model, data, "front", wanted)
    with contextlib.closing(ClassicRenderer(model, 32, 24)) as fresh:  # frees what was left
        third = fresh.images(model, data, "front", wanted)
    fourth = kept.images(model, data, "front", wanted)
    for seen in (second, third, fourth):
        np.testing.assert_array_equal(seen.rgb, first.rgb)
        np.testing.assert_array_equal(seen.depth, second.depth)
    kept.close()


@needs_gl
def test_an_unknown_camera_is_named() -> None:
    model = mujoco.MjModel.from_xml_string(MODEL)
    with (
        contextlib.closing(ClassicRenderer(model, 8, 8)) as classic,
        pytest.raises(DREnvError, match="no camera 'side'; cameras: front"),
    ):
        classic.images(model, mujoco.MjData(model), "side")


@needs_gl
def test_environments_render_their_own_state() -> None:
    vector = make_vector_env(task="inverted_pendulum", num_envs=2, render_mode="rgb_array", width=96, height=64)
    vector.reset(seed=0, options={"qpos": [[0.0, 0.15], [0.0, -0.15]], "qvel": [0.0, 0.0]})
    frames = vector.render()
    assert frames is not None
    assert [frame.shape for frame in frames] == [(64, 96, 3)] * 2
    assert (frames[0] != frames[1]).any()
    vector.close()
    single = make_env(task="inverted_pendulum", render_mode="rgb_array", width=96, height=64)
    single.reset(seed=0, options={"qpos": [0.0, 0.15], "qvel": [0.0, 0.0]})
    assert (single.render() == frames[0]).all()
    single.close()


def test_without_a_render_mode_there_is_no_picture() -> None:
    env = make_env(task="hopper")
    env.reset(seed=0)
    assert env.render() is None


def test_an_unknown_backend_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "vulcan")
    with pytest.raises(DREnvError, match="MUJOCO_GL: got 'vulcan', expected one of egl, osmesa, glfw"):
        gl_backend()


def test_no_gl_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    with pytest.raises(DREnvError, match="apt-get install -y libegl1"):
        gl_backend()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can be without a display")
def test_a_backend_that_cannot_start_is_one_clear_error() -> None:
    program = """
from dr_env import make_env
from dr_env.errors import DREnvError
env = make_env(task="inverted_pendulum", render_mode="rgb_array")
env.reset(seed=0)
try:
    env.render()
except DREnvError as error:
    print("refused:", error)
"""
    environment = {name: value for name, value in os.environ.items() if "DISPLAY" not in name}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**environment, "MUJOCO_GL": "glfw"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "refused: rendering with glfw failed" in done.stdout
