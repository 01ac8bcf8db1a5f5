"""Depth cameras: each effect against geometry and statistics, presets against the papers' formulas."""

from __future__ import annotations

import dataclasses
import math

import mujoco
import numpy as np
import pytest

from dr_env import DREnvError, Spec
from dr_env.sensors import PRESETS, DepthSensor, DepthSettings, depth_preset, draw_settings, preset_entries
from dr_env.sensors.depth import incidence, shadow, slopes
from dr_env.spatial import Intrinsics

CAMERA = Intrinsics(320, 240, 290.0, 285.0, 161.3, 118.2)
NOTICED: dict[str, object] = {
    "bias": 0.01,
    "scale": 1.02,
    "noise": (0.001, 0.0, 0.002),
    "grazing_noise": 0.001,
    "lateral_noise": (0.8, 0.03),
    "baseline": 0.08,
    "quantum": 0.02,
    "grazing": 0.6,
    "dark": 0.2,
    "dropout": 0.1,
    "flying": 0.9,
    "range": (0.5, 1.4),
}


def plane(normal: tuple[float, float, float], distance: float) -> np.ndarray:
    """Depths of the plane n . P = d."""
    return (distance / (CAMERA.rays() @ np.array(normal))).astype(np.float32)


def wall(z: float) -> np.ndarray:
    return np.full((240, 320), z, np.float32)


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    """A box before a slanted wall, and nothing in one corner."""
    depth = plane((0.3, 0.1, 1.0), 1.5)
    depth[80:160, 120:200] = 0.9
    depth[:20, :20] = 0
    return depth


def sense(depth: np.ndarray, key: tuple[object, ...] = (0, 0), **numbers: object) -> np.ndarray:
    return DepthSensor(DepthSettings(**numbers), CAMERA).sense(depth, key)  # type: ignore[arg-type]


def test_without_effects_depths_are_themselves(scene: np.ndarray) -> None:
    sensor = DepthSensor(DepthSettings(), CAMERA)
    assert not sensor.active and sensor.sense(scene, (0,)) is scene


@pytest.mark.parametrize("name", NOTICED)
def test_each_effect_is_felt_and_repeats(scene: np.ndarray, name: str) -> None:
    before = scene.copy()
    once, again = (sense(scene, (7, 3), **{name: NOTICED[name]}) for _ in range(2))
    assert once.dtype == np.float32 and (once == again).all() and (scene == before).all()
    assert (once != scene).sum() > 200
    assert (once[:20, :20] == 0).all(), "nothing was measured where nothing is"
    if name in ("noise", "lateral_noise", "dropout", "flying", "grazing_noise"):
        assert (sense(scene, (7, 4), **{name: NOTICED[name]}) != once).any()


def test_every_effect_is_tested() -> None:
    needs_baseline = {"disparity_noise", "disparity_step", "flying_width"}
    assert {f.name for f in dataclasses.fields(DepthSettings)} - needs_baseline == set(NOTICED)


@pytest.mark.parametrize("normal", [(0.0, 0.0, 1.0), (0.8, 0.0, 1.0), (-0.4, 0.7, 1.0)])
def test_angles_of_incidence(normal: tuple[float, float, float]) -> None:
    """On a plane they are those of its normal and the rays."""
    depth = plane(normal, 1.2)
    rays = CAMERA.rays()
    truth = rays @ np.array(normal) / np.linalg.norm(normal) / np.linalg.norm(rays, axis=-1)
    np.testing.assert_allclose(incidence(depth, slopes(depth), CAMERA), truth, atol=2e-3)


def test_axial_noise_grows_with_distance() -> None:
    a, b, c = 0.001, -0.001, 0.003
    for z in (0.6, 1.5, 3.0):
        error = sense(wall(z), noise=(a, b, c)) - np.float32(z)
        assert error.std() == pytest.approx(a + b * z + c * z * z, rel=0.02)
        assert abs(error.mean()) < 1e-4 * z


def test_disparities_come_in_steps_and_noise() -> None:
    """z = f b / d: with steps q of d depths are f b / (k q); a deviation s of d is z^2 s / (f b) of z."""
    depth = plane((0.2, 0.0, 1.0), 2.0)
    seen = sense(depth, baseline=0.05, disparity_step=0.125)
    disparity = CAMERA.fx * 0.05 / seen[seen > 0].astype(np.float64)
    np.testing.assert_allclose(disparity / 0.125, np.round(disparity / 0.125), atol=2e-3)
    noisy = sense(wall(2.0), baseline=0.05, disparity_noise=0.08)
    assert noisy.std() == pytest.approx(4 * 0.08 / (CAMERA.fx * 0.05), rel=0.03)


def test_quantum_and_range() -> None:
    depth = plane((0.4, 0.0, 1.0), 1.0)
    seen = sense(depth, quantum=0.01, range=(0.8, 1.2))
    kept = seen[seen > 0]
    np.testing.assert_allclose(kept * 100, np.round(kept * 100), atol=1e-3)
    assert kept.min() >= 0.8 - 1e-6 and kept.max() <= 1.2 + 1e-6
    assert ((seen > 0) == ((np.round(depth * 100) >= 80) & (np.round(depth * 100) <= 120))).mean() > 0.999


@pytest.mark.parametrize("baseline", [0.1, -0.1])
def test_edge_shadows_are_where_the_projector_does_not_reach(baseline: float) -> None:
    """A box at 0.9 m before a wall at 1.8 m: the shadow is f b (1 / near - 1 / far) wide, on one side."""
    depth = wall(1.8)
    depth[80:160, 120:200] = 0.9
    hidden = shadow(depth, CAMERA.fx * baseline)
    width = CAMERA.fx * abs(baseline) * (1 / 0.9 - 1 / 1.8)
    columns = np.flatnonzero(hidden[120])
    assert len(columns) == pytest.approx(width, abs=1.5)
    side = (columns.max(), 119) if baseline > 0 else (columns.min(), 200)
    assert abs(side[0] - side[1]) <= 1
    assert not hidden[:78].any() and not hidden[162:].any() and not hidden[depth == np.float32(0.9)].any()
    assert (sense(depth, baseline=baseline) == np.where(hidden, 0, depth)).all()


def test_a_thin_pole_shadows_its_own_width_only() -> None:
    depth = wall(2.0)
    depth[:, 200:204] = 0.8
    hidden = np.flatnonzero(shadow(depth, CAMERA.fx * 0.1)[100])
    shift = CAMERA.fx * 0.1 * (1 / 0.8 - 1 / 2.0)
    assert len(hidden) == pytest.approx(4, abs=2)
    assert hidden.mean() == pytest.approx(201.5 - shift, abs=1.5)


def test_slanted_surfaces_do_not_shadow_themselves() -> None:
    for normal in ((0.5, 0.0, 1.0), (-0.9, 0.2, 1.0)):
        assert not shadow(plane(normal, 1.0), CAMERA.fx * 0.075).any()


def test_grazing_and_dark_surfaces_are_lost() -> None:
    tilted = plane((-1.2, 0.0, 1.0), 0.9)
    cosine = incidence(tilted, slopes(tilted), CAMERA)
    assert ((sense(tilted, grazing=1.0) == 0) == (cosine < math.cos(1.0))).all()
    rgb = np.full((240, 320, 3), 255, np.uint8)
    rgb[:, :160] = 30  # 1.3 % of the light
    seen = DepthSensor(DepthSettings(dark=0.05), CAMERA).sense(wall(1.0), (0,), rgb)
    assert (seen[:, :160] == 0).all() and (seen[:, 160:] > 0).all()
    assert (DepthSensor(DepthSettings(dark=0.05), CAMERA).sense(wall(5.0), (0,), rgb) == 0).all()
    assert (DepthSensor(DepthSettings(dark=0.05), CAMERA).sense(wall(1.0), (0,)) > 0).all()


def test_dropout_and_flying_pixels() -> None:
    assert (sense(wall(1.0), dropout=0.2) == 0).mean() == pytest.approx(0.2, abs=0.01)
    depth = plane((0.3, 0.1, 1.0), 1.8)
    depth[80:160, 120:200] = 0.9
    seen = sense(depth, flying=0.5)
    moved = np.abs(seen - depth) > 1e-6
    rows, columns = np.nonzero(moved)
    assert (
        (np.abs(rows - 80) < 2) | (np.abs(rows - 160) < 2) | (np.abs(columns - 120) < 2) | (np.abs(columns - 200) < 2)
    ).all()
    assert len(rows) == pytest.approx(0.5 * 2 * 4 * 80, rel=0.1)
    assert (seen[moved] > 0.89).all() and (seen[moved] < depth.max() + 1e-3).all()


def test_lateral_noise_moves_edges_only() -> None:
    depth = wall(2.0)
    depth[:, 160:] = 1.0
    seen = sense(depth, lateral_noise=(1.5, 0.0))
    assert set(np.unique(seen)) == {1.0, 2.0}
    wrong = np.nonzero(seen != depth)[1]
    # a pixel k + 1/2 from the edge is wrong with probability Q((k + 1/2) / 1.5); squares average to 1.5^2 / 2 a side
    assert len(wrong) / 240 == pytest.approx(2 * 1.5 / math.sqrt(2 * math.pi), rel=0.1)


def test_the_kinects_noise_is_the_papers() -> None:
    settings = depth_preset("kinect_v1", 580.0)
    a, b, c = settings.noise
    for z in (0.5, 1.0, 3.0):
        assert a + b * z + c * z * z == pytest.approx(0.0012 + 0.0019 * (z - 0.4) ** 2)
    assert settings.disparity_step == 1 / 8
    # the step of depth at 5 m, which Khoshelham and Elberink find to be 7 cm
    step = 5.0**2 * settings.disparity_step / (580 * settings.baseline)
    assert step == pytest.approx(0.07, abs=0.005)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_do_not_depend_on_the_image_size(name: str) -> None:
    """At half the resolution depths err alike."""
    half = CAMERA.scaled(160, 120)
    errors = []
    for camera in (CAMERA, half):
        sensor = DepthSensor(depth_preset(name, camera.fx), camera)
        truth = np.full((camera.height, camera.width), 2.0, np.float32)
        seen = sensor.sense(truth, (0,))
        assert (seen > 0).mean() > 0.95
        errors.append(float(np.std(seen[seen > 0] - 2)))
    assert 1e-4 < errors[0] < 0.03
    assert errors[0] == pytest.approx(errors[1], rel=0.15)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_entries_of_a_spec(name: str) -> None:
    model = mujoco.MjModel.from_xml_string('<mujoco><worldbody><camera name="eye"/></worldbody></mujoco>')
    spec = Spec.from_dict({"format": "dr_env/1", "entries": preset_entries(name, CAMERA.fx)})
    plan = spec.bind(model)
    _, settings = draw_settings(plan, model, plan.sample(np.random.default_rng(0)), "eye")
    assert settings == depth_preset(name, CAMERA.fx)


def test_bad_numbers() -> None:
    with pytest.raises(DREnvError, match="but no baseline"):
        DepthSettings(disparity_step=0.1)
    with pytest.raises(DREnvError, match=r"depth\.dropout: got 2"):
        DepthSettings(dropout=2)
    with pytest.raises(DREnvError, match="did you mean 'kinect_v1'"):
        depth_preset("kinect_v", 500)
    with pytest.raises(DREnvError, match=r"expected float32 \(240, 320\)"):
        sense(np.zeros((3, 4), np.float32))
