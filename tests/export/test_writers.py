"""What formats hold is what frames said, read back by other means."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import trimesh
import yaml
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from dr_env import DREnvError
from dr_env.export import Layout, oks_sigmas
from dr_env.export.catalogue import LabelClass, catalogue
from dr_env.export.encode import (
    compressed_runs,
    decode_depth,
    decode_image,
    decode_runs,
    encode_depth,
    encode_rgb,
    runs,
)
from dr_env.export.example import Example
from dr_env.export.outlines import encode_outline
from dr_env.export.store import Store
from dr_env.export.writers import WRITERS, make_writers
from dr_env.export.writers.yolo import outline
from dr_env.records import Silhouette
from tests.export import made

FRAMES = 7
LAYOUT = Layout(FRAMES, made.WIDTH, made.HEIGHT, shard=3, every=5)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven frames in every format; in the last one nothing is visible."""
    root = tmp_path_factory.mktemp("dataset")
    store = Store(root, LAYOUT)
    writers = make_writers(tuple(WRITERS), LAYOUT, catalogue(made.CLASSES))
    for k in (5, 2, 0, 6, 3, 1, 4):  # in any order
        example = Example(_frame(k), LAYOUT)
        store.add(example, example.record, writers)
    for shard in (1, 0, 2):
        store.seal(shard, writers)
    for writer in writers:
        writer.finish(store, root / writer.name)
    return root


def _frame(k: int) -> made.Frame:
    return made.frame(k, hidden=k == FRAMES - 1)


def _image(path: Path) -> Any:
    return decode_image(path.read_bytes(), str(path))


def _scene(frame: int) -> str:
    return f"{'val' if frame == 4 else 'train'}/{frame // 3:06d}"


def test_images_read_back(dataset: Path) -> None:
    for k in range(FRAMES):
        frame, folder, im = _frame(k), dataset / "bop" / _scene(k), k % 3
        assert np.array_equal(_image(folder / f"rgb/{im:06d}.png"), frame.rgb)
        depth = decode_depth((folder / f"depth/{im:06d}.png").read_bytes(), 0.1)
        assert np.abs(depth - frame.depth).max() <= 0.5e-4
        assert np.array_equal(depth == 0, frame.depth == 0)
        for i, view in enumerate(frame.objects):
            visible = _image(folder / f"mask_visib/{im:06d}_{i:06d}.png")
            assert visible.dtype == np.uint8
            assert set(np.unique(visible)) <= {0, 255}
            assert np.array_equal(visible > 0, frame.instance == view.instance)
            whole = _image(folder / f"mask/{im:06d}_{i:06d}.png")
            assert np.array_equal(whole > 0, view.silhouette.mask(made.HEIGHT, made.WIDTH))


def test_bop_poses_are_of_centred_models_in_millimetres(dataset: Path) -> None:
    for k in range(FRAMES):
        frame, folder = _frame(k), dataset / "bop" / _scene(k)
        gt = json.loads((folder / "scene_gt.json").read_text())[str(k % 3)]
        camera = json.loads((folder / "scene_camera.json").read_text())[str(k % 3)]
        assert np.array_equal(np.reshape(camera["cam_K"], (3, 3)), frame.intrinsics.K)
        assert np.allclose(camera["cam_t_w2c"], 1000 * frame.camera_from_world[:3, 3])
        for i, pose in enumerate(gt):
            assert pose["obj_id"] == frame.objects[i].class_id
            model = trimesh.load(dataset / f"bop/models/obj_{pose['obj_id']:06d}.ply", process=False)
            assert np.allclose(model.bounds, [[-10, -15, -20], [10, 15, 20]])
            assert model.volume == pytest.approx(20 * 30 * 40)  # faces look outwards
            # the model's vertices are seen where the object's are
            seen = np.asarray(model.vertices) @ np.reshape(pose["cam_R_m2c"], (3, 3)).T + pose["cam_t_m2c"]
            pixels = seen @ np.reshape(camera["cam_K"], (3, 3)).T
            expected = made.project(made.CORNERS, frame.intrinsics, frame.objects[i].camera_from_object)
            assert np.allclose(pixels[:, :2] / pixels[:, 2:], expected, atol=1e-3)


def test_bop_symmetries_map_the_centred_model_onto_itself(dataset: Path) -> None:
    info = json.loads((dataset / "bop/models/models_info.json").read_text())
    assert info["2"]["diameter"] == pytest.approx(np.sqrt(20**2 + 30**2 + 40**2))
    assert (info["5"]["min_z"], info["5"]["size_z"]) == (pytest.approx(-20), pytest.approx(40))
    turn = np.reshape(info["2"]["symmetries_discrete"][0], (4, 4))
    corners = 1000 * (made.CORNERS - made.CLASSES[0].centre)
    moved = corners @ turn[:3, :3].T + turn[:3, 3]
    assert all(np.abs(corners - corner).sum(1).min() < 1e-9 for corner in moved)
    assert info["5"]["symmetries_continuous"] == [{"axis": [0, 0, 1], "offset": [0, 0, pytest.approx(-20)]}]


def test_bop_counts_and_boxes(dataset: Path) -> None:
    info = json.loads((dataset / "bop/train/000000/scene_gt_info.json").read_text())["0"]
    front, back, corner = info
    # widths are those between the outermost pixels' centres
    assert front["bbox_obj"] == front["bbox_visib"] == [20, 16, 9, 13]
    assert back["bbox_obj"] == [10, 20, 23, 19]
    assert back["px_count_all"] == 480
    assert back["px_count_visib"] == 480 - 100
    assert back["visib_fract"] == 380 / 480
    # what is outside the image counts as not visible, and the box reaches there
    assert corner["bbox_obj"] == [-4, -4, 11, 9]
    assert corner["bbox_visib"] == [0, 0, 7, 5]
    assert (corner["px_count_all"], corner["px_count_visib"]) == (120, 48)
    unseen = json.loads((dataset / "bop/train/000002/scene_gt_info.json").read_text())["0"]
    assert all(view["bbox_obj"] == view["bbox_visib"] == [-1] * 4 and view["visib_fract"] == 0 for view in unseen)


def test_bop_targets_are_what_can_be_seen(dataset: Path) -> None:
    train = json.loads((dataset / "bop/train_targets_bop19.json").read_text())
    assert {(row["scene_id"], row["im_id"]) for row in train} == {(0, 0), (0, 1), (0, 2), (1, 0), (1, 2)}
    assert [row for row in train if row["scene_id"] == 0 and row["im_id"] == 0] == [
        {"im_id": 0, "inst_count": 2, "obj_id": 2, "scene_id": 0},
        {"im_id": 0, "inst_count": 1, "obj_id": 5, "scene_id": 0},
    ]
    tested = json.loads((dataset / "bop/test_targets_bop19.json").read_text())
    assert {(row["scene_id"], row["im_id"]) for row in tested} == {(1, 1)}


def test_bop_webdataset_holds_what_scenewise_does(dataset: Path) -> None:
    keys = json.loads((dataset / "bop-webdataset/train/key_to_shard.json").read_text())
    assert len(keys) == 6
    for key, shard in keys.items():
        scene, im = (int(part) for part in key.split("_"))
        frame = _frame(3 * scene + im)
        with tarfile.open(dataset / f"bop-webdataset/train/shard-{shard:06d}.tar") as tar:
            names = [name for name in tar.getnames() if name.startswith(key)]
            members = {name.partition(".")[2]: tar.extractfile(name).read() for name in names}  # type: ignore[union-attr]
        kinds = ["rgb.png", "depth.png", "camera.json", "gt.json", "gt_info.json", "mask.json", "mask_visib.json"]
        assert list(members) == kinds
        assert np.array_equal(decode_image(members["rgb.png"]), frame.rgb)
        folder = dataset / "bop" / _scene(frame.index)
        for name in ("camera", "gt", "gt_info"):
            assert (
                json.loads(members[f"{name}.json"]) == json.loads((folder / f"scene_{name}.json").read_text())[str(im)]
            )
        for name, masks in (
            ("mask", [view.silhouette.mask(made.HEIGHT, made.WIDTH) for view in frame.objects]),
            ("mask_visib", [frame.instance == view.instance for view in frame.objects]),
        ):
            rles = json.loads(members[f"{name}.json"])
            for i, mask in enumerate(masks):
                rle = rles[str(i)]
                # the official decoder: runs of 0, 1, 0, ... down the columns
                values = np.repeat(np.arange(len(rle["counts"])) % 2, rle["counts"])
                assert np.array_equal(values.reshape(rle["size"], order="F"), mask)


def test_webdataset_streams_and_its_index_reads(dataset: Path) -> None:
    wds = pytest.importorskip("webdataset.tariterators")
    import pyarrow.parquet as pq

    samples = []
    for path in sorted((dataset / "webdataset/train").glob("*.tar")):
        with path.open("rb") as stream:  # WebDataset itself leaves files to the garbage collector
            samples += list(wds.group_by_keys(wds.tar_file_expander([{"url": path.name, "stream": stream}])))
    assert [sample["__key__"] for sample in samples] == [f"{k:09d}" for k in range(FRAMES) if k != 4]
    for sample in samples:
        frame = _frame(int(sample["__key__"]))
        assert np.array_equal(decode_image(sample["rgb.png"]), frame.rgb)
        assert np.array_equal(decode_image(sample["instance.png"]), frame.instance)
        assert json.loads(sample["json"])["draw"] == json.loads(frame.draw.to_json())
    index = pq.read_table(dataset / "webdataset/index.parquet").to_pylist()
    assert len(index) == 3 * FRAMES
    assert index[4]["visible_fraction"] == 380 / 480
    assert np.array_equal(np.reshape(index[4]["camera_from_object"], (4, 4)), _frame(1).objects[1].camera_from_object)


def _evaluated(truth: COCO, kind: str, sigmas: Any = None) -> float:
    found = [{**row, "score": 1.0} for row in truth.dataset["annotations"]]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, truth.loadRes(found), kind)
        if sigmas is not None:
            evaluation.params.kpt_oks_sigmas = sigmas
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


@pytest.mark.parametrize("path", ["coco/annotations/train.json", "bop/train/000000/scene_gt_coco.json"])
def test_pycocotools_scores_the_truth_perfectly(dataset: Path, path: str) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(dataset / path)
    assert _evaluated(truth, "segm") == 1.0
    assert _evaluated(truth, "bbox") == 1.0
    assert _evaluated(truth, "keypoints", oks_sigmas(8)) == 1.0


def test_coco_annotations_are_the_masks(dataset: Path) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(dataset / "coco/annotations/train.json")
    assert min(truth.anns) == 1
    assert min(truth.cats) >= 1
    assert len(truth.imgs) == 6
    for number, row in truth.anns.items():
        frame = _frame(row["image_id"] - 1)
        image = truth.imgs[row["image_id"]]
        assert (image["width"], image["height"]) == (made.WIDTH, made.HEIGHT)
        assert np.array_equal(_image(dataset / "coco/images" / image["file_name"]), frame.rgb)
        mask = truth.annToMask(row) > 0
        view = next(view for view in frame.objects if np.array_equal(frame.instance == view.instance, mask))
        assert row["area"] == mask.sum()
        assert row["category_id"] == view.class_id, number
        assert list(coco_mask.toBbox(row["segmentation"])) == row["bbox"]  # widths count pixels
        assert isinstance(row["segmentation"]["counts"], str)
        assert row["num_keypoints"] == sum(v > 0 for v in row["keypoints"][2::3])


def test_yolo_rows(dataset: Path) -> None:
    def rows(name: str, k: int) -> list[list[float]]:
        text = (dataset / f"{name}/labels/train/{k:09d}.txt").read_text()
        return [[float(number) for number in line.split()] for line in text.splitlines()]

    size = np.array([made.WIDTH, made.HEIGHT])
    front, back, corner = rows("yolo", 0)
    assert (front[0], back[0], corner[0]) == (0, 1, 0)  # classes count from 0
    assert np.allclose(front[1:3], [25 / 64, 23 / 48], atol=1e-6)
    assert np.allclose(corner[1:], [4 / 64, 3 / 48, 8 / 64, 6 / 48], atol=1e-6)  # within the image
    assert rows("yolo", 6) == []  # an image without objects has an empty file
    for row, view in zip(rows("yolo-segment", 0), _frame(0).objects, strict=True):
        polygon = np.rint(np.reshape(row[1:], (-1, 2)) * size - 0.5).astype(np.int32)
        drawn = cv2.fillPoly(np.zeros((made.HEIGHT, made.WIDTH), np.uint8), [polygon], 1) > 0
        assert np.array_equal(drawn, _frame(0).instance == view.instance)
    pose = rows("yolo-pose", 0)[0]
    assert len(pose) == 5 + 3 * 8
    frame = _frame(0)
    pixels = made.project(made.CORNERS, frame.intrinsics, frame.objects[0].camera_from_object)
    for (x, y, v), pixel in zip(np.reshape(pose[5:], (-1, 3)), pixels, strict=True):
        assert v in (0, 1, 2)
        assert not v or np.allclose([x, y] * size - 0.5, pixel, atol=1e-3)
    data = yaml.safe_load((dataset / "yolo-pose/data.yaml").read_text())
    assert data["names"] == {0: "brick", 1: "block"}
    assert data["kpt_shape"] == [8, 3]
    assert data["train"] == "images/train"
    assert data["val"] == "images/val"
    assert "path" not in data  # which would be looked for where the training is started
    assert "flip_idx" not in data  # boxes of which nothing says how they are mirrored


def test_a_polygon_joins_parts() -> None:
    mask = np.zeros((40, 40), bool)
    mask[2:10, 3:12] = mask[20:30, 25:38] = mask[32:36, 2:9] = True
    ring = np.rint(outline(mask)).astype(np.int32)
    drawn = cv2.fillPoly(np.zeros((40, 40), np.uint8), [ring], 1) > 0
    assert (drawn & mask).sum() == mask.sum()
    assert (drawn & ~mask).sum() < 60  # bridges
    assert len(outline(np.zeros((5, 5), bool))) == 0


def test_encodings() -> None:
    rng = np.random.default_rng(0)
    for height, width in ((1, 1), (7, 5), (48, 64)):
        for density in (0.0, 0.3, 0.97, 1.0):
            for x, y in ((0, 0), (3, 2), (-2, -3), (width - 1, 0), (0, height - 1), (width, 0), (-width, 0)):
                outline = Silhouette.of(rng.random((height, width)) < density, x, y)
                mask = outline.mask(height, width)
                plain, text = runs(outline, height, width), compressed_runs(outline, height, width)
                assert sum(plain["counts"]) == height * width
                assert all(count > 0 for count in plain["counts"][1:])
                assert np.array_equal(decode_runs(plain), mask)
                assert np.array_equal(decode_runs(json.loads(json.dumps(text))), mask)
                reference = coco_mask.encode(np.asfortranarray(mask, np.uint8))
                assert text["counts"].encode() == reference["counts"]
                assert np.array_equal(decode_image(encode_outline(outline, height, width)), 255 * mask.astype(np.uint8))
    # beyond 16 bits, and what is no number, is missing
    depth = np.array([[0.0, 0.1, 6.5535, 7.0, np.inf, np.nan, -1.0]], np.float32)
    assert np.allclose(decode_depth(encode_depth(depth), 0.1), [[0, 0.1, 6.5535, 0, 0, 0, 0]], atol=5e-5)
    smooth = np.full((32, 32, 3), (200, 100, 50), np.uint8)
    assert np.abs(decode_image(encode_rgb(smooth, ".jpg")).astype(int) - smooth).max() <= 2  # red stays red
    with pytest.raises(DREnvError, match=r"here.png: not an image"):
        decode_image(b"abc", "here.png")


def test_bad_formats_and_layouts() -> None:
    classes = catalogue([LabelClass(1, "brick", made.CORNERS, made.FACES)])
    with pytest.raises(DREnvError, match="did you mean 'coco'"):
        make_writers(("coko",), LAYOUT, classes)
    with pytest.raises(DREnvError, match="each once"):
        make_writers(("coco", "coco"), LAYOUT, classes)
    with pytest.raises(DREnvError, match="no object has keypoints"):
        make_writers(("yolo-pose",), LAYOUT, classes)
    with pytest.raises(DREnvError, match="shard: got 1001"):
        Layout(10, 64, 48, shard=1001)
    with pytest.raises(DREnvError, match="frames: got 0"):
        Layout(0, 64, 48)


def test_a_line_of_pixels_has_a_polygon() -> None:
    mask = np.zeros((5, 20), bool)
    mask[2, 3:15] = True
    assert outline(mask).tolist() == [[3, 2], [14, 2], [14, 2], [3, 2]]
    for diagonal in (np.eye(20, dtype=bool), np.fliplr(np.eye(8, dtype=bool))):
        ring = np.rint(outline(diagonal)).astype(np.int32)
        assert np.array_equal(cv2.fillPoly(np.zeros(diagonal.shape, np.uint8), [ring], 1) > 0, diagonal)
    mask[2, 5:] = False
    assert len(outline(mask)) == 0  # two pixels
