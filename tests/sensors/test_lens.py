"""Lenses against OpenCV's projections, their own inverses, and labels that follow the picture."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_env import DREnvError
from dr_env.records import Distortion, Frame, ObjectView, Silhouette
from dr_env.sensors import CameraSettings, Lens, distortion_of, see
from dr_env.sensors.distortion import lens_model
from dr_env.spatial import Intrinsics

CAMERA = Intrinsics(160, 120, 130.0, 125.0, 82.3, 57.9)
LENSES = [
    Distortion("brown_conrady", (-0.28, 0.09, 0.001, -0.002, -0.01)),  # barrel
    Distortion("brown_conrady", (0.12, 0.03, -0.002, 0.001, 0.0)),  # pincushion
    Distortion("brown_conrady", (0.0, 0.0, 0.004, 0.006, 0.0)),  # decentred
    Distortion("kannala_brandt", (0.0, 0.0, 0.0, 0.0)),  # equidistant
    Distortion("kannala_brandt", (-0.02, 0.012, -0.008, 0.001)),
]


def _points(count: int = 500) -> np.ndarray:
    rng = np.random.default_rng(0)
    points = rng.uniform((-0.6, -0.45, 1), (0.6, 0.45, 1), (count, 3))
    return points * rng.uniform(0.3, 3, (count, 1))


def _opencv(points: np.ndarray, lens: Distortion) -> np.ndarray:
    given_, zero = np.array(lens.coefficients), np.zeros(3)
    if lens.model == "kannala_brandt":
        return cv2.fisheye.projectPoints(points[:, None], zero, zero, CAMERA.K, given_)[0][:, 0]
    return cv2.projectPoints(points, zero, zero, CAMERA.K, given_)[0][:, 0]


@pytest.mark.parametrize("distortion", LENSES, ids=lambda d: d.model)
def test_projection_is_opencvs(distortion: Distortion) -> None:
    points = _points()
    np.testing.assert_allclose(see(points, CAMERA, distortion), _opencv(points, distortion), atol=1e-9)
    np.testing.assert_allclose(Lens(distortion, CAMERA).project(points), _opencv(points, distortion), atol=1e-9)


@pytest.mark.parametrize("distortion", LENSES, ids=lambda d: d.model)
def test_the_inverse_undoes_it(distortion: Distortion) -> None:
    model = lens_model(distortion)
    plane = _points()[:, :2] / _points()[:, 2:]
    np.testing.assert_allclose(model.undistort(model.distort(plane)), plane, atol=1e-8)
    assert (model.undistort(np.zeros((1, 2))) == 0).all()


@given(
    st.lists(st.floats(-0.4, 0.4), min_size=3, max_size=3),
    st.lists(st.floats(-0.01, 0.01), min_size=2, max_size=2),
    st.floats(-0.7, 0.7),
    st.floats(-0.6, 0.6),
)
def test_the_inverse_is_right_or_nothing(radial: list[float], tangential: list[float], x: float, y: float) -> None:
    """Whatever the coefficients, a ray that is found comes out where it was looked for."""
    model = lens_model(Distortion("brown_conrady", (*radial[:2], *tangential, radial[2])))
    found = model.undistort(np.array([[x, y]]))
    if not np.isnan(found).any():
        np.testing.assert_allclose(model.distort(found), [[x, y]], atol=1e-9)


def test_nothing_is_seen_beyond_the_fold() -> None:
    """r (1 - 0.3 r^2) is greatest at r = sqrt(1 / 0.9)."""
    model = lens_model(Distortion("brown_conrady", (-0.3, 0, 0, 0, 0)))
    edge = np.sqrt(1 / 0.9)
    seen = model.distort(np.array([[edge * 0.999, 0], [edge * 1.001, 0]]))
    assert np.isfinite(seen[0]).all() and np.isnan(seen[1]).all()
    assert np.isnan(model.undistort(np.array([[0.8, 0.0]]))).all()  # nothing comes out there
    assert np.isnan(see(np.array([[0.0, 0, -1], [0, 0, 0]]), CAMERA, None)).all()


@pytest.mark.parametrize("distortion", LENSES, ids=lambda d: d.model)
def test_tables_are_the_exact_ones(distortion: Distortion) -> None:
    lens = Lens(distortion, CAMERA)
    pixels = np.stack(np.meshgrid(np.arange(160), np.arange(120)), -1)
    exact = lens.to_wide(pixels)
    np.testing.assert_allclose(np.stack(lens.maps, -1), exact, atol=1e-3)
    np.testing.assert_allclose(lens.from_wide(exact), pixels, atol=1e-6)
    columns, rows = lens.maps
    assert columns.min() >= -0.5 and columns.max() <= lens.wide.width - 0.5
    assert rows.min() >= -0.5 and rows.max() <= lens.wide.height - 0.5
    # and it is the smallest that will do
    border = lens.to_wide(np.array([[x, y] for x in (-0.5, 79.5, 159.5) for y in (-0.5, 59.5, 119.5)]))
    assert border.min() < 2 and (border.max(0) > np.array([lens.wide.width, lens.wide.height]) - 3).all()


def test_no_distortion_is_bit_identical() -> None:
    lens = Lens(Distortion("brown_conrady", (0.0,) * 5), CAMERA)
    assert lens.wide == CAMERA
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    assert (lens.blend(image) == image).all() and (lens.pick(image) == image).all()
    assert distortion_of(CameraSettings()) is None
    assert distortion_of(CameraSettings(brown_conrady=(0.1, 0, 0, 0, 0))).model == "brown_conrady"
    assert distortion_of(CameraSettings(kannala_brandt=(0.0,) * 4)).model == "kannala_brandt"


def _dots(camera: Intrinsics, points: np.ndarray, lens: Distortion | None) -> np.ndarray:
    picture = np.zeros((camera.height, camera.width), np.uint8)
    for x, y in see(points, camera, lens):
        cv2.circle(picture, (round(x * 16), round(y * 16)), 3 * 16, 255, -1, cv2.LINE_AA, 4)
    return picture


@pytest.mark.parametrize("distortion", LENSES, ids=lambda d: d.model)
def test_pictures_and_points_agree(distortion: Distortion) -> None:
    """A dot in the wider picture comes to lie where its point is projected."""
    lens = Lens(distortion, CAMERA)
    for x, y in ((0, 0), (-0.45, -0.3), (0.4, 0.35), (0.3, -0.33)):
        point = np.array([[x, y, 1.0]])
        wide = _dots(lens.wide, point, None)
        seen = lens.blend(np.repeat(wide[..., None], 3, -1))[..., 0].astype(float)
        rows, columns = np.indices(seen.shape)
        centre = [(seen * columns).sum() / seen.sum(), (seen * rows).sum() / seen.sum()]
        np.testing.assert_allclose(centre, lens.project(point)[0], atol=0.15)


def _frame(camera: Intrinsics) -> tuple[Frame, np.ndarray]:
    """A tilted square plate at z = 1, seen by rays; the visible outline is its silhouette."""
    rays = camera.rays()
    where = np.abs(rays[..., :2] - (0.12, 0.05)).max(-1) < 0.2
    instance = where.astype(np.int32)
    corners = np.array([[0.12 + i * 0.2, 0.05 + j * 0.2, 1.0] for i in (-1, 1) for j in (-1, 1)])
    view = ObjectView(1, "plate", 4, "plate", np.eye(4), corners.min(0), corners.max(0), Silhouette.of(where), corners)
    depth = np.where(where, 1.0, 2.0).astype(np.float32)
    rgb = np.repeat((where * 255).astype(np.uint8)[..., None], 3, -1)
    return Frame(
        0, rgb, depth, instance, instance * 4, camera, np.eye(4), (view,), normals=rays.astype(np.float32)
    ), corners


@pytest.mark.parametrize("distortion", LENSES, ids=lambda d: d.model)
def test_all_labels_of_a_frame_follow(distortion: Distortion) -> None:
    lens = Lens(distortion, CAMERA)
    wide, corners = _frame(lens.wide)
    seen = lens.frame(wide)
    assert seen.intrinsics == CAMERA and seen.distortion == distortion
    # independent: each pixel of the lens's picture asks the plate itself
    pixels = np.stack(np.meshgrid(np.arange(160), np.arange(120)), -1)
    truth = np.abs(lens.rays(pixels) - (0.12, 0.05)).max(-1) < 0.2
    agree = (seen.instance == 1) & truth
    assert agree.sum() / ((seen.instance == 1) | truth).sum() > 0.97  # half a pixel along the edge
    assert set(np.unique(seen.depth)) == {1.0, 2.0} and set(np.unique(seen.semantic)) == {0, 4}
    assert ((seen.depth == 1) == (seen.instance == 1)).all()
    np.testing.assert_allclose(seen.normals[..., :2], lens.rays(pixels), atol=0.6 / 125)
    (view,) = seen.objects
    assert (view.silhouette.mask(120, 160) == (seen.instance == 1)).all()
    # the box around the mask is the box around the projected outline
    along = np.linspace(0, 1, 50)[:, None]
    a, b, c, d = corners
    outline = np.concatenate([p + along * (q - p) for p, q in ((a, b), (b, d), (d, c), (c, a))])
    projected = see(outline, CAMERA, distortion)
    x, y, width, height = view.silhouette.box
    np.testing.assert_allclose([x, y], projected.min(0), atol=1.5)  # corners, from nearest pixels
    np.testing.assert_allclose(
        [x + width - 1, y + height - 1], projected.max(0), atol=1.5
    )  # corners, from nearest pixels


def test_silhouettes_reach_out_of_the_picture() -> None:
    lens = Lens(LENSES[0], CAMERA)
    outline = Silhouette.of(np.ones((30, 60), np.bool_), lens.wide.width - 30, 40)
    seen = lens.silhouette(outline)
    assert seen.box[0] < 160 < seen.box[0] + seen.box[2]
    assert lens.silhouette(Silhouette.of(np.zeros((3, 3), np.bool_))).box is None
    far = Silhouette.of(np.ones((5, 5), np.bool_), 5000, 5000)
    assert lens.silhouette(far).count == 0


@pytest.mark.parametrize(
    ("distortion", "message"),
    [
        (Distortion("brown_conradi", (0.0,) * 5), "did you mean 'brown_conrady'"),
        (Distortion("kannala_brandt", (0.0,) * 5), "expected 4 finite coefficients"),
        (Distortion("brown_conrady", (-1.5, 0, 0, 0, 0)), "folds its picture over"),
    ],
)
def test_bad_lenses(distortion: Distortion, message: str) -> None:
    with pytest.raises(DREnvError, match=message):
        Lens(distortion, CAMERA)


def test_bad_pictures() -> None:
    lens = Lens(LENSES[0], CAMERA)
    with pytest.raises(DREnvError, match="expected the wider"):
        lens.blend(np.zeros((120, 160, 3), np.uint8))
    with pytest.raises(DREnvError, match="does not show all"):
        Lens(LENSES[0], CAMERA, CAMERA)
    short = dataclasses.replace(CAMERA, fx=52.0, fy=52.0)
    with pytest.raises(DREnvError, match=r"a smaller field of view|looks behind itself"):
        Lens(Distortion("kannala_brandt", (0.0,) * 4), short)
    roomy = lens.wide.window(-20, -10, lens.wide.width + 40, lens.wide.height + 20)
    other = Lens(LENSES[0], CAMERA, roomy)
    np.testing.assert_allclose(other.maps[0] - 20, lens.maps[0], atol=1e-3)
