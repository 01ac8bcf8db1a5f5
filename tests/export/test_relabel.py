"""Relabelling real photographs and our own exports."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from dr_env import DREnvError
from dr_env.cli.main import main
from dr_env.export.bop_read import BopDataset
from dr_env.export.relabel import behind_measured, relabel
from dr_env.records import Frame
from dr_env.spatial import Intrinsics
from tests.conftest import entry, spec_of
from tests.rendering.scenes import why_not

LMO = Path(__file__).parents[3] / "shared" / "real" / "lmo"
REASON = why_not("classic")
needs_gl = pytest.mark.skipif(bool(REASON), reason=REASON or "OpenGL works")
needs_lmo = pytest.mark.skipif(not LMO.is_dir(), reason="the photographs of ../shared/real/lmo are not here")


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


def _overlap(a: list[int], b: list[int]) -> float:
    sides = [min(a[i] + a[i + 2], b[i] + b[i + 2]) - max(a[i], b[i]) for i in (0, 1)]
    inner = max(sides[0], 0) * max(sides[1], 0)
    return inner / (a[2] * a[3] + b[2] * b[3] - inner)


@needs_gl
@needs_lmo
def test_boxes_on_real_photographs_are_the_annotated_ones(tmp_path: Path) -> None:
    out = tmp_path / "labelled"
    done = relabel(LMO, out)
    assert (done.images, done.objects) == (8, 16) and set(done.without_model) == {1, 5, 6, 10, 11, 12}
    scene = Path("test/000002")
    truth, info = _read(LMO / scene / "scene_gt.json"), _read(LMO / scene / "scene_gt_info.json")
    made = _read(out / scene / "scene_gt_info.json")
    overlaps, counts = [], []
    for key in truth:
        known = [a for entry, a in zip(truth[key], info[key], strict=True) if entry["obj_id"] in (8, 9)]
        for theirs, ours in zip(known, made[key], strict=True):
            overlaps.append(_overlap(theirs["bbox_obj"], ours["bbox_obj"]))
            counts.append(ours["px_count_all"] / theirs["px_count_all"])
            assert ours["visib_fract"] >= theirs["visib_fract"] - 0.03  # other objects have no model here
    assert np.median(overlaps) >= 0.95
    assert np.median(counts) == pytest.approx(1, abs=0.01)


def _dataset(root: Path) -> Path:
    """A cube of 100 mm before a plate, half a metre away, with a depth image in which something hides its left half."""
    scene = root / "test" / "000001"
    (scene / "depth").mkdir(parents=True)
    (root / "models").mkdir()
    import trimesh

    trimesh.creation.box((100, 100, 100)).export(root / "models" / "obj_000001.ply")
    (root / "camera.json").write_text(json.dumps({"width": 80, "height": 60}))
    camera = {"cam_K": [80, 0, 39.5, 0, 80, 29.5, 0, 0, 1], "depth_scale": 1.0}
    pose = {"obj_id": 1, "cam_R_m2c": np.eye(3).reshape(-1).tolist(), "cam_t_m2c": [0, 0, 450]}
    (scene / "scene_camera.json").write_text(json.dumps({"0": camera}))
    (scene / "scene_gt.json").write_text(json.dumps({"0": [pose]}))
    depth = np.full((60, 80), 400, np.uint16)
    depth[:, :40] = 300
    depth[30:, :40] = 0  # not measured
    cv2.imwrite(str(scene / "depth" / "000000.png"), depth)
    return root


@needs_gl
def test_measured_depth_hides_what_lies_behind_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert relabel(_dataset(tmp_path / "in"), out).objects == 1
    scene = out / "test" / "000001"
    (info,) = _read(scene / "scene_gt_info.json")["0"]
    # the front face at 0.4 m is 100 mm * 80 / 400 = 20 pixels wide
    assert info["bbox_obj"] == [30, 20, 19, 19] and info["px_count_all"] == 400
    assert info["visib_fract"] == 0.75  # of the left half, what was measured is hidden
    visible = cv2.imread(str(scene / "mask_visib" / "000000_000000.png"), cv2.IMREAD_GRAYSCALE)
    assert (visible[20:30, 30:40] == 0).all() and (visible[30:40, 30:50] == 255).all()
    assert info["px_count_valid"] == 300
    # a second run finds its work done, and one that was cut off makes the same again
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert relabel(tmp_path / "in", out).kept == 1
    (scene / "scene_gt_coco.json").unlink()
    (scene / "mask" / "000000_000000.png").unlink()
    assert relabel(tmp_path / "in", out).kept == 0
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


@needs_gl
def test_a_folder_of_something_else_is_left_as_it_is(tmp_path: Path) -> None:
    root, other, out = _dataset(tmp_path / "in"), _dataset(tmp_path / "other"), tmp_path / "out"
    (other / "test/000001/scene_gt_coco.json").write_text("{}", encoding="utf-8")  # as a finished scene has it
    before = {path: path.read_bytes() for path in other.rglob("*") if path.is_file()}
    with pytest.raises(DREnvError, match="other: is not empty, and no relabelling began it"):
        relabel(root, other)
    assert before == {path: path.read_bytes() for path in other.rglob("*") if path.is_file()}
    note, poses, models = out / "relabel.json", root / "test/000001/scene_gt.json", root / "models/models_info.json"
    models.write_bytes(b"{}")
    out.mkdir()
    relabel(root, out)
    note.write_bytes(note.read_bytes().replace(b"classic", b"mitsuba"))
    with pytest.raises(DREnvError, match="out: was begun with another renderer; choose another --out"):
        relabel(root, out)
    note.write_bytes(note.read_bytes().replace(b"mitsuba", b"classic"))
    for path, changed in ((poses, poses.read_bytes().replace(b"450", b"460")), (models, b"{ }")):
        kept = path.read_bytes()
        path.write_bytes(changed)
        with pytest.raises(DREnvError, match=f"out: was begun with another .*{path.name}"):
            relabel(root, out)
        path.write_bytes(kept)
    assert relabel(root, out).kept == 1


def test_behind_measured_is_along_the_ray() -> None:
    camera = Intrinsics(3, 1, 1.0, 1.0, 0.0, 0.0)  # rays of lengths 1, sqrt 2, sqrt 5
    ids = np.ones((1, 3), np.int32)
    frame = Frame(0, np.zeros((1, 3, 3), np.uint8), np.full((1, 3), 1.0, np.float32), ids, ids, camera, np.eye(4), ())
    hidden = behind_measured(frame, np.full((1, 3), 0.99, np.float32))
    assert hidden.instance.tolist() == [[1, 1, 0]]  # 10, 14 and 22 mm behind


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda r: shutil.rmtree(r / "models"), "no folder models or models_eval"),
        (lambda r: (r / "models" / "obj_000001.ply").unlink(), "no meshes; expected files such as obj_000001.ply"),
        (lambda r: (r / "test/000001/scene_gt.json").unlink(), "no scene_gt.json below it"),
        (lambda r: (r / "test/000001/scene_camera.json").write_text('{"0": {}}'), "image 0: no 'cam_K'"),
        (lambda r: (r / "test/000001/scene_camera.json").write_text("{"), "scene_camera.json: line 1: not JSON"),
        (lambda r: (r / "test/000001/scene_gt.json").write_text('{"0": [{"obj_id": 1}]}'), "image 0: no 'cam_t_m2c'"),
        (
            lambda r: (r / "test/000001/scene_gt.json").write_text(
                '{"0": [{"obj_id": 1, "cam_t_m2c": [0, 0, 9], "cam_R_m2c": [2, 0, 0, 0, 1, 0, 0, 0, 1]}]}'
            ),
            "expected a rotation matrix",
        ),
        (lambda r: (r / "camera.json").write_text('{"width": 80}'), "camera.json: no 'height'"),
    ],
)
def test_what_is_missing_or_wrong_is_named(tmp_path: Path, spoil: Any, match: str) -> None:
    root = _dataset(tmp_path / "in")
    spoil(root)
    with pytest.raises(DREnvError, match=match):
        relabel(root, tmp_path / "out")


@needs_gl
def test_annotations_without_a_model_are_told_and_folders_are_minded(tmp_path: Path) -> None:
    root = _dataset(tmp_path / "in")
    path = root / "test" / "000001" / "scene_gt.json"
    path.write_text(path.read_text().replace('"obj_id": 1', '"obj_id": 7'))
    with pytest.raises(DREnvError, match=r"no model of any annotated object: \[7\]"):
        relabel(root, tmp_path / "out")
    with pytest.raises(DREnvError, match="is in the dataset that is read"):
        relabel(root, root / "out")
    assert BopDataset(root).width == 80


@needs_gl
def test_labels_are_seen_through_a_datasets_lens(tmp_path: Path) -> None:
    model = tmp_path / "edge.xml"
    model.write_text(
        """<mujoco><statistic extent="1"/><worldbody><light pos="0 0 2"/>
        <camera name="eye" pos="0 -.6 .5" xyaxes="1 0 0 0 .64 .77" fovy="40"/>
        <body name="brick" pos="0 0 .05"><freejoint/><geom type="box" size=".05 .03 .05"/></body>
        <body name="pole" pos="-.32 -.3 .05"><freejoint/><geom type="box" size=".1 .1 .05"/></body>
        <body name="plate" pos=".25 .1 .05"><freejoint/><geom type="box" size=".1 .1 .05"/></body></worldbody></mujoco>"""
    )
    lens = entry({"image": "*"}, "brown_conrady[0]", "set", type="constant", value=-0.25)
    (tmp_path / "lens.yaml").write_text(spec_of(barrel=lens).to_yaml())
    size = ["--width", "96", "--height", "64", "--frames", "2", "--jitter", "0.1", "--workers", "0"]
    given = ["--task", str(model), "--spec", str(tmp_path / "lens.yaml"), "--out", str(tmp_path / "made")]
    main(["export", *given, *size])
    done = relabel(tmp_path / "made" / "bop", tmp_path / "again")
    assert (done.images, done.objects) == (2, 6)
    masks = sorted((tmp_path / "made/bop").rglob("mask*/*.png"))
    assert len(masks) == 12
    for path in masks:
        one = cv2.imread(str(path), 0) > 0
        other = cv2.imread(str(tmp_path / "again" / path.relative_to(tmp_path / "made/bop")), 0) > 0
        assert (one & other).sum() >= 0.98 * (one | other).sum()
