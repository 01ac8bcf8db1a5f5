"""Photographs behind and under what was rendered."""

from __future__ import annotations

from pathlib import Path

import cv2
import mujoco
import numpy as np
import pytest

from dr_env import DREnvError, Spec
from dr_env.export.bodies import labelled_bodies
from dr_env.export.sensing import FrameSensor
from dr_env.rendering import make_renderer
from dr_env.sensors import composite, cropped
from tests.conftest import LOOKS_MODEL, entry
from tests.rendering.test_classic import needs_gl

BLUE, RED = (0, 0, 255), (255, 0, 0)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, colour in (("a.png", BLUE), ("b.jpg", RED)):
        cv2.imwrite(str(folder / name), np.full((40, 60, 3), colour[::-1], np.uint8))
    (folder / "notes.txt").write_text("no image")
    return folder


def _spec(folder: Path, high: int = 2, **fields: object) -> Spec:
    entries = {
        "which": entry({"image": "eye"}, "background", "set", type="integer", low=0, high=high),
        **{name: entry({"image": "eye"}, name, "set", type="constant", value=value) for name, value in fields.items()},
    }
    return Spec.from_dict({"format": "dr_env/1", "backgrounds": str(folder), "entries": entries})


def _frame(spec: Spec, which: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """RGB, where anything is, where the labelled ball is."""
    model = mujoco.MjModel.from_xml_string(LOOKS_MODEL)
    plan, data = spec.bind(model), mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    renderer = make_renderer("classic", model, 96, 72)
    objects, _ = labelled_bodies(model, ("ball",))
    draw = {**plan.sample(np.random.default_rng(0)), "which": which}
    frame = FrameSensor(plan, "eye", 96, 72).capture(renderer, model, data, objects, index=0, draw=draw, key=(0,))
    renderer.close()
    return frame.rgb, frame.depth > 0, frame.instance > 0


@needs_gl
def test_behind_and_under(photos: Path) -> None:
    plain, seen, ball = _frame(_spec(photos), 0)
    assert seen.any() and not seen.all() and ball.sum() > 50
    behind, *_ = _frame(_spec(photos), 1)
    assert (behind[seen] == plain[seen]).all() and (behind[~seen] == BLUE).all()
    under, *_ = _frame(_spec(photos, background_under=1), 2)
    assert (under[ball] == plain[ball]).all() and (np.abs(under[~ball].astype(int) - RED) < 4).all()
    soft, *_ = _frame(_spec(photos, background_under=1, background_blend=6.0), 2)
    changed = np.abs(soft.astype(int) - under).max(-1) > 4
    assert changed.any()
    near = cv2.dilate(ball.astype(np.uint8), np.ones((13, 13))) - cv2.erode(ball.astype(np.uint8), np.ones((13, 13)))
    assert (near[changed] == 1).all(), "only the border is blended"


def test_a_sharp_edge_changes_no_pixel_that_is_kept() -> None:
    rng = np.random.default_rng(0)
    image, other = rng.integers(0, 256, (2, 20, 30, 3), dtype=np.uint8)
    kept = rng.uniform(size=(20, 30)) < 0.5
    made = composite(image, kept, other)
    assert (made[kept] == image[kept]).all() and (made[~kept] == other[~kept]).all()
    whole = np.ones((20, 30), bool)
    assert (composite(image, whole, other, 5.0) == image).all()
    assert (composite(image, ~whole, other, 5.0) == other).all()


def test_an_edge_goes_over_in_the_middle() -> None:
    kept = np.zeros((9, 80), bool)
    kept[:, 40:] = True
    black, white = np.zeros((9, 80, 3), np.uint8), np.full((9, 80, 3), 255, np.uint8)
    line = composite(white, kept, black, 16.0)[4, :, 0].astype(int)
    assert (np.diff(line) >= 0).all()
    assert line[28] < 3 and line[51] > 252
    assert line[39] + line[40] == pytest.approx(255, abs=2)


def test_crops_are_parts() -> None:
    image = np.zeros((40, 80, 3), np.uint8)
    image[:, 40:] = 255
    assert cropped(image, 20, 20, x=0.0).max() == 0 and cropped(image, 20, 20, x=1.0).min() == 255
    assert cropped(image, 20, 20).mean() == pytest.approx(127, abs=8)
    assert cropped(image, 33, 17, zoom=3.0, y=1.0).shape == (17, 33, 3)


def test_refusals(photos: Path, tmp_path: Path) -> None:
    model = mujoco.MjModel.from_xml_string(LOOKS_MODEL)
    with pytest.raises(DREnvError, match=r"entries.which.distribution: background can reach 7, but .* has 2 images"):
        FrameSensor(_spec(photos, 7).bind(model), "eye", 8, 8)
    with pytest.raises(DREnvError, match="has no images; expected"):
        FrameSensor(_spec(tmp_path).bind(model), "eye", 8, 8)
    alone = Spec.from_dict({"format": "dr_env/1", "entries": _spec(photos).to_dict()["entries"]})
    with pytest.raises(DREnvError, match="the Spec has no `backgrounds`"):
        FrameSensor(alone.bind(model), "eye", 8, 8)
    (photos / "a.png").write_bytes(b"cut off")
    with pytest.raises(DREnvError, match=r"a.png: cannot read it as an image"):
        _frame(_spec(photos), 1)


def test_folders_are_beside_the_spec(photos: Path) -> None:
    text = "format: dr_env/1\nbackgrounds: photos\ntextures: {count: 0, folder: photos, size: 8}\n"
    (photos.parent / "spec.yaml").write_text(text)
    spec = Spec.load(photos.parent / "spec.yaml")
    assert spec.backgrounds == str(photos.resolve()) and spec.textures is not None
    assert spec.textures.folder == str(photos.resolve())
    assert Spec.from_yaml(spec.to_yaml()) == spec


def test_what_was_behind_an_object_does_not_shine_around_it() -> None:
    """The border's pixels are half the old background, as renderers smooth edges."""
    y, x = np.indices((64, 64)) - 31.5
    share = np.clip(20.5 - np.hypot(y, x), 0, 1)[..., None]  # of the ball in each pixel
    image = np.rint(share * (200, 0, 0) + (1 - share) * 255).astype(np.uint8)
    kept = share[..., 0] >= 0.5
    for blend in (1.0, 2.0, 4.0):
        seen = composite(image, kept, np.zeros_like(image), blend)
        assert seen[..., 1:].max() == 0 and seen[..., 0].max() == 200
    line = np.zeros((16, 16), bool)
    line[8] = True  # too thin to have an inside
    assert (composite(image[:16, :16], line, np.zeros((16, 16, 3), np.uint8), 0.1)[8] == image[8, :16]).all()
