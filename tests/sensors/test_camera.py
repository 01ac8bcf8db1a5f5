"""Cameras: each effect against what its physics says, none of them where its number is neutral."""

from __future__ import annotations

import dataclasses
import math

import cv2
import mujoco
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_env import DREnvError
from dr_env.sensors import CameraSensor, CameraSettings, draw_settings, senses
from dr_env.sensors.light import normals, to_light, to_pixels
from dr_env.sensors.optics import disc_kernel, motion_kernel
from tests.conftest import entry, spec_of

SCENE = """
<mujoco>
  <worldbody>
    <geom name="floor" type="plane" size="1 1 .1"/>
    <camera name="left" pos="0 0 1"/>
    <camera name="right" pos="1 0 1"/>
  </worldbody>
</mujoco>
"""
# a number for each effect that an eye would notice
NOTICED: dict[str, object] = {
    "rolling_shutter": (8.0, 0.0),
    "motion_blur": (6.0, 3.0),
    "occlusions": 4.0,
    "chromatic_aberration": 2.0,
    "defocus": 4.0,
    "vignetting": 0.8,
    "exposure": 0.5,
    "full_well": 500.0,
    "salt_pepper": 0.05,
    "white_balance": (1.3, 1.0, 0.8),
    "saturation": 1.6,
    "gamma": 1.5,
    "jpeg": 20.0,
}


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """Smooth colours with edges, away from black and white."""
    rng = np.random.default_rng(0)
    picture = cv2.GaussianBlur(rng.integers(0, 256, (96, 128, 3), np.uint8), (0, 0), 4).astype(np.float32)
    picture = 60 + 130 * (picture - picture.min()) / np.ptp(picture)
    picture[30:60, 40:80] = (180, 90, 60)
    return picture.astype(np.uint8)


def flat(value: int, height: int = 200, width: int = 300) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def sense(image: np.ndarray, key: tuple[object, ...] = (0, 0), **numbers: object) -> np.ndarray:
    return CameraSensor(CameraSettings(**numbers)).sense(image, key)  # type: ignore[arg-type]


def test_light_and_pixels_undo_each_other() -> None:
    every = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, 2)
    assert (to_pixels(to_light(every)) == every).all()


def test_without_effects_an_image_is_itself(image: np.ndarray) -> None:
    sensor = CameraSensor(CameraSettings())
    assert not sensor.active
    assert sensor.sense(image, (0,)) is image


@pytest.mark.parametrize("name", NOTICED)
def test_each_effect_is_seen_and_repeats(image: np.ndarray, name: str) -> None:
    before = image.copy()
    once, again = (sense(image, (7, 3), **{name: NOTICED[name]}) for _ in range(2))
    assert once.dtype == np.uint8 and once.shape == image.shape
    assert (once == again).all()
    assert (once != image).mean() > 0.02
    assert (image == before).all()


@pytest.mark.parametrize("name", ["full_well", "salt_pepper", "occlusions"])
def test_random_effects_follow_their_key_and_no_other_effect(image: np.ndarray, name: str) -> None:
    numbers = {name: NOTICED[name]}
    assert (sense(image, (7, 3), **numbers) != sense(image, (7, 4), **numbers)).any()
    beside = {"salt_pepper": 0.01} if name != "salt_pepper" else {"full_well": 1e9}
    both = sense(image, (7, 3), **numbers, **beside).astype(int)
    assert (both == sense(image, (7, 3), **numbers)).mean() > 0.97


def test_every_effect_is_tested() -> None:
    others = {"brown_conrady", "kannala_brandt", "occlusion_size", "read_noise", "dark_signal"}
    assert {f.name for f in dataclasses.fields(CameraSettings)} - others == set(NOTICED)


def test_exposure_is_linear_in_light(image: np.ndarray) -> None:
    light = to_light(sense(image, exposure=-1.0))
    np.testing.assert_allclose(light, to_light(image) / 2, atol=0.006)
    assert (sense(flat(250), exposure=1.0) == 255).all()


def test_white_balance_and_gamma() -> None:
    light = to_light(sense(flat(100), white_balance=(1.5, 1.0, 0.5)))[0, 0] / to_light(flat(100))[0, 0]
    np.testing.assert_allclose(light, (1.5, 1.0, 0.5), rtol=0.02)
    assert sense(flat(128), gamma=2.0)[0, 0, 0] == round(255 * (128 / 255) ** 2)


def test_saturation_moves_colours_from_grey_and_keeps_luminance(image: np.ndarray) -> None:
    weights = np.array((0.2126, 0.7152, 0.0722))

    def apart(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        light = to_light(pixels).astype(np.float64)
        return light @ weights, light - (light @ weights)[..., None]

    luminance, colour = apart(image)
    for gain in (0.0, 0.5, 1.3):
        seen, moved = apart(sense(image, saturation=gain))
        np.testing.assert_allclose(seen, luminance, atol=0.006)
        np.testing.assert_allclose(moved, gain * colour, atol=0.01)
    assert np.ptp(sense(image, saturation=0.0).astype(int), axis=-1).max() == 0
    assert (sense(flat(100), saturation=3.0) == 100).all()


@pytest.mark.parametrize(("well", "read", "dark"), [(1000.0, 0.0, 0.0), (1000.0, 20.0, 0.0), (2000.0, 5.0, 300.0)])
def test_noise_is_as_emva_1288_says(well: float, read: float, dark: float) -> None:
    """Variance of electrons = mean + dark mean + read noise^2; the mean stays."""
    value = 150
    light = to_light(sense(flat(value), full_well=well, read_noise=read, dark_signal=dark)).astype(np.float64)
    mean = float(to_light(flat(value))[0, 0, 0])
    assert light.mean() == pytest.approx(mean, rel=0.005)
    step = np.diff(to_light(np.arange(148, 154, dtype=np.uint8)[None, :, None].repeat(3, 2))[0, :, 0]).mean()
    expected = math.sqrt((mean * well + dark + read**2) / well**2 + step**2 / 12)  # and the rounding to 8 bits
    assert light.std() == pytest.approx(expected, rel=0.02)


def test_normals_are_normal() -> None:
    drawn = normals("test", (1,), (400, 400, 3)).astype(np.float64)
    assert abs(drawn.mean()) < 0.01 and drawn.std() == pytest.approx(1, abs=0.01)
    assert np.mean(np.abs(drawn) > 2) == pytest.approx(0.0455, abs=0.003)
    assert (normals("test", (1,), (10, 10)) == normals("test", (1,), (10, 10))).all()
    assert (normals("test", (2,), (10, 10)) != normals("test", (1,), (10, 10))).any()


def test_salt_and_pepper_sticks_a_fraction() -> None:
    seen = sense(flat(100), salt_pepper=0.1)
    white, black = (seen == 255).all(-1).mean(), (seen == 0).all(-1).mean()
    assert white == pytest.approx(0.05, abs=0.01) and black == pytest.approx(0.05, abs=0.01)
    assert ((seen == 100).all(-1) | (seen == 255).all(-1) | (seen == 0).all(-1)).all()
    assert np.isin(sense(flat(100), salt_pepper=1.0), (0, 255)).all()


@pytest.mark.parametrize("motion", [(6.0, 0.0), (0.0, 9.5), (5.0, -4.0), (0.3, 0.1)])
def test_a_motion_kernel_is_a_line(motion: tuple[float, float]) -> None:
    kernel = motion_kernel(motion).astype(np.float64)
    rows, columns = np.indices(kernel.shape) - np.array(kernel.shape)[:, None, None] // 2
    assert kernel.sum() == pytest.approx(1)
    np.testing.assert_allclose([(kernel * rows).sum(), (kernel * columns).sum()], 0, atol=1e-6)
    # a uniform line of length L has variance L^2 / 12 along it; interpolation adds up to 1/4
    assert (kernel * columns**2).sum() == pytest.approx(motion[0] ** 2 / 12, abs=0.26)
    assert (kernel * rows**2).sum() == pytest.approx(motion[1] ** 2 / 12, abs=0.26)
    assert (kernel * rows * columns).sum() == pytest.approx(motion[0] * motion[1] / 12, abs=0.2)


@pytest.mark.parametrize("diameter", [2.0, 5.0, 11.3])
def test_a_disc_kernel_is_a_disc(diameter: float) -> None:
    kernel = disc_kernel(diameter).astype(np.float64)
    rows, columns = np.indices(kernel.shape) - kernel.shape[0] // 2
    assert kernel.sum() == pytest.approx(1)
    # a uniform disc has variance r^2 / 4 on each axis; pixels add some 1/12
    assert (kernel * rows**2).sum() == pytest.approx(diameter**2 / 16 + 1 / 12, abs=0.1)
    assert (kernel * columns**2).sum() == pytest.approx((kernel * rows**2).sum())
    assert np.count_nonzero(kernel == kernel.max()) >= 0.6 * math.pi * (diameter / 2 - 1) ** 2


@given(st.floats(0, 30), st.tuples(st.floats(-20, 20), st.floats(-20, 20)))
def test_kernels_keep_the_light(diameter: float, motion: tuple[float, float]) -> None:
    for kernel in (disc_kernel(diameter), motion_kernel(motion)):
        assert kernel.sum() == pytest.approx(1, abs=1e-5) and (kernel >= 0).all()


def test_faint_effects_are_faint(image: np.ndarray) -> None:
    """Nothing breaks down on the way to its neutral number."""
    for name, value in NOTICED.items():
        if name not in ("full_well", "jpeg", "occlusions"):
            gains = name in ("white_balance", "saturation", "gamma")
            tiny = 1 + 1e-7 * np.asarray(value) if gains else np.asarray(value) * 1e-7
            seen = sense(image, **{name: tuple(tiny.tolist()) if tiny.ndim else float(tiny)})
            assert np.abs(seen.astype(int) - image).max() <= 1, name


def test_blur_keeps_the_light(image: np.ndarray) -> None:
    for numbers in ({"defocus": 5.0}, {"motion_blur": (5.0, 2.0)}):
        assert to_light(sense(image, **numbers)).mean() == pytest.approx(to_light(image).mean(), rel=0.02)


def test_vignetting_is_cos4() -> None:
    """A lens of 40 degrees of half field: the corner gets cos^4 of the light."""
    seen = to_light(sense(flat(200, 101, 101), vignetting=math.tan(math.radians(40)) ** 2))
    assert seen[0, 0, 0] / seen[50, 50, 0] == pytest.approx(math.cos(math.radians(40)) ** 4, rel=0.02)
    assert (seen[50, 50] == to_light(flat(200))[0, 0]).all()


def test_chromatic_aberration_moves_red_outwards() -> None:
    """A white dot near the corner comes apart along the radius; green stays."""
    dot = np.zeros((201, 201, 3), np.float32)
    cv2.circle(dot, (180, 180), 6, (1, 1, 1), -1)
    seen = to_light(sense((dot * 200).astype(np.uint8), chromatic_aberration=4.0)).astype(np.float64)
    rows = np.arange(201)[:, None]
    centre = [(seen[..., c] * rows).sum() / seen[..., c].sum() for c in range(3)]
    shift = 4.0 * 80 / 100 / math.sqrt(2)
    np.testing.assert_allclose(np.array(centre) - 180, [shift, 0, -shift], atol=0.1)


def test_rolling_shutter_shears_a_vertical_edge() -> None:
    edge = flat(20)
    edge[:, 150:] = 200
    seen = sense(edge, rolling_shutter=(20.0, 0.0))[..., 0]
    where = (seen < 110).sum(1)
    assert where[0] == pytest.approx(140, abs=1) and where[-1] == pytest.approx(160, abs=1)
    assert abs(where[100] - 150) <= 1


def test_rolling_shutter_of_several_renders() -> None:
    frames = np.stack([flat(value, 11, 5) for value in (0, 100, 200)])
    seen = sense(frames)[:, 0, 0]
    assert seen[0] == 0 and seen[5] == 100 and seen[10] == 200
    half = to_light(frames)[:2, 0, 0, 0].mean()
    assert to_light(sense(frames))[2, 0, 0] == pytest.approx(0.8 * half, rel=0.05)  # 0.4 of the way: 0.4 = 0.8 / 2
    still = np.stack([flat(77)] * 3)
    assert (sense(still) == flat(77)).all() and (sense(still[:1]) == flat(77)).all()


def test_jpeg_quality(image: np.ndarray) -> None:
    error = [np.abs(sense(image, jpeg=q).astype(int) - image).mean() for q in (95.0, 50.0, 5.0)]
    assert error[0] < error[1] < error[2]


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"read_noise": 3.0}, "expected a full_well"),
        ({"vignetting": -1.0}, "image.vignetting: got -1.0"),
        ({"gamma": 0.0}, "expected above 0"),
        ({"white_balance": (1.0, 1.0)}, "expected 3 finite numbers"),
        ({"exposure": math.nan}, "expected 1 finite numbers"),
        ({"brown_conrady": (0.1, 0, 0, 0, 0), "kannala_brandt": (0.0,) * 4}, "expected one lens"),
    ],
)
def test_bad_numbers(numbers: dict[str, object], message: str) -> None:
    with pytest.raises(DREnvError, match=message):
        CameraSettings(**numbers)  # type: ignore[arg-type]


def test_bad_images() -> None:
    with pytest.raises(DREnvError, match=r"expected uint8 \(H, W, 3\)"):
        CameraSensor(CameraSettings()).sense(np.zeros((4, 4, 3), np.float32), (0,))  # type: ignore[arg-type]


def test_cameras_are_in_the_spec() -> None:
    model = mujoco.MjModel.from_xml_string(SCENE)
    spec = spec_of(
        exposure=entry({"image": "*"}, "exposure", "add", type="uniform", low=-1, high=1, per="element"),
        gains=entry({"image": "right"}, "white_balance[2]", "scale", type="constant", value=0.7),
        noise=entry({"image": "right"}, "full_well", "set", type="constant", value=5000),
        steps=entry({"depth": "left"}, "baseline", "set", type="constant", value=0.05),
        floor=entry({"geom": "floor"}, "friction[0]", "scale", type="uniform", low=0.5, high=1.5),
    )
    plan = spec.bind(model)
    assert senses(plan)
    draw = plan.sample(np.random.default_rng(0))
    left, left_depth = draw_settings(plan, model, draw, "left")
    right, right_depth = draw_settings(plan, model, draw, "right")
    assert left == CameraSettings(exposure=draw["exposure"][0])
    assert right == CameraSettings(exposure=draw["exposure"][1], white_balance=(1, 1, 0.7), full_well=5000)
    assert (left_depth.baseline, right_depth.baseline) == (0.05, 0)
    assert left.kannala_brandt is None
    plan.apply(model, draw)  # and the physics takes its own part alone
    plan.restore(model)
    with pytest.raises(DREnvError, match="did you mean 'left'"):
        draw_settings(plan, model, draw, "lefft")
    with pytest.raises(DREnvError, match="vignetting of image 'left' can reach -1"):
        spec_of(x=entry({"image": "*"}, "vignetting", "set", type="uniform", low=-1, high=1)).bind(model)


def test_a_spec_that_names_a_fisheye_has_one() -> None:
    model = mujoco.MjModel.from_xml_string(SCENE)
    spec = spec_of(x=entry({"image": "left"}, "kannala_brandt[0]", "set", type="constant", value=0.01))
    plan = spec.bind(model)
    settings, _ = draw_settings(plan, model, plan.sample(np.random.default_rng(0)), "left")
    assert settings.kannala_brandt == (0.01, 0, 0, 0)
