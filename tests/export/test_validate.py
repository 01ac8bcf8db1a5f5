"""Datasets that are right pass; each of some forty corruptions is found, with the file and frame it is in."""

from __future__ import annotations

import io
import json
import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from dr_env import DREnvError
from dr_env.cli.main import main
from dr_env.export.example import Example
from dr_env.export.layout import Layout
from dr_env.export.validate import validate
from dr_env.export.validate.coco import _scores
from dr_env.export.validate.findings import Findings
from dr_env.export.writers import make_writers
from tests.export.boxes import CAMERA, box_classes, box_frame

FORMATS = ("bop", "bop-webdataset", "webdataset", "coco", "yolo", "yolo-segment", "yolo-pose")
LAYOUT = Layout(4, CAMERA.width, CAMERA.height, shard=2)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dataset")
    writers = make_writers(FORMATS, LAYOUT, box_classes())
    records = []
    for k in range(LAYOUT.frames):
        example = Example(box_frame(k), LAYOUT)
        records.append(example.record)
        for writer in writers:
            for name, data in writer.files(example):
                path = root / writer.name / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
    for writer in writers:
        for shard in range(LAYOUT.shards):
            mine = [record for record in records if record["frame"] in LAYOUT.frames_of(shard)]
            writer.seal(shard, mine, root / writer.name)
        writer.finish(records, root / writer.name)
    return root


@pytest.fixture
def copied(dataset: Path, tmp_path: Path) -> Callable[[str], Path]:
    def copy(name: str) -> Path:
        shutil.copytree(dataset / name, tmp_path / name)
        return tmp_path / name

    return copy


def test_right_datasets_pass(dataset: Path) -> None:
    verdicts = validate(dataset)
    assert sorted(verdict.folder.name for verdict in verdicts) == sorted(FORMATS)
    for verdict in verdicts:
        assert verdict.images == 4 and not verdict.findings, verdict.findings[:3]


def test_the_fixture_has_what_is_hard(dataset: Path) -> None:
    """Objects that are hidden, cut off by the image's border, and not to be seen."""
    info = json.loads((dataset / "bop/train/000000/scene_gt_info.json").read_text())
    info |= {f"b{k}": v for k, v in json.loads((dataset / "bop/train/000001/scene_gt_info.json").read_text()).items()}
    rows = [row for rows in info.values() for row in rows]
    assert any(0.1 < row["visib_fract"] < 0.9 for row in rows)
    assert any(row["bbox_obj"][0] < 0 or row["bbox_obj"][1] < 0 for row in rows if row["px_count_visib"])


# how a file is changed

Edit = Callable[[Path], None]


def edit_json(name: str, change: Callable[[Any], None]) -> Edit:
    def edit(root: Path) -> None:
        form = json.loads((root / name).read_text())
        change(form)
        (root / name).write_text(json.dumps(form))

    return edit


def edit_image(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Edit:
    def edit(root: Path) -> None:
        image = cv2.imread(str(root / name), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(root / name), change(image))

    return edit


def delete(name: str) -> Edit:
    return lambda root: (root / name).unlink()


def cut(name: str, keep: float = 0.5) -> Edit:
    def edit(root: Path) -> None:
        data = (root / name).read_bytes()
        (root / name).write_bytes(data[: int(len(data) * keep)])

    return edit


def edit_lines(name: str, change: Callable[[list[str]], list[str]]) -> Edit:
    def edit(root: Path) -> None:
        lines = (root / name).read_text().splitlines()
        (root / name).write_text("".join(f"{line}\n" for line in change(lines)))

    return edit


def edit_member(tar: str, member: str, change: Callable[[bytes], bytes | None]) -> Edit:
    def edit(root: Path) -> None:
        with tarfile.open(root / tar) as old:
            kept = [(m.name, old.extractfile(m).read()) for m in old]  # type: ignore[union-attr]
        with tarfile.open(root / tar, "w", format=tarfile.USTAR_FORMAT) as new:
            for name, data in kept:
                written = change(data) if name == member else data
                if written is not None:
                    info = tarfile.TarInfo(name)
                    info.size = len(written)
                    new.addfile(info, io.BytesIO(written))

    return edit


def at(*path: Any, value: Any) -> Callable[[Any], None]:
    """Sets one place of a JSON form, or changes what is there."""

    def change(form: Any) -> None:
        for key in path[:-1]:
            form = form[key]
        form[path[-1]] = value(form[path[-1]]) if callable(value) else value

    return change


def _turned(matrix: list[float]) -> list[float]:
    turn = cv2.Rodrigues(np.array([0.0, 0.0, 0.5]))[0]
    return (np.reshape(matrix, (3, 3)) @ turn).reshape(-1).tolist()


def edit_bytes(change: Callable[[Any], None]) -> Callable[[bytes], bytes]:
    """Changes a JSON form."""

    def edit(data: bytes) -> bytes:
        form = json.loads(data)
        change(form)
        return json.dumps(form).encode()

    return edit


def _fewer_rows(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)


def _png(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[bytes], bytes]:
    def edit(data: bytes) -> bytes:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        return cv2.imencode(".png", change(image))[1].tobytes()

    return edit


def _inverted_runs(data: bytes) -> bytes:
    """As a converter writes them that takes every first run for one of 0."""
    form = json.loads(data)
    form["0"]["counts"] = [0, *form["0"]["counts"]]
    return json.dumps(form).encode()


SCENE = "train/000000"
GT, INFO, CAM = (f"{SCENE}/{name}.json" for name in ("scene_gt", "scene_gt_info", "scene_camera"))
MASK, VISIBLE = f"{SCENE}/mask/000001_000002.png", f"{SCENE}/mask_visib/000001_000002.png"
RGB, DEPTH = f"{SCENE}/rgb/000001.png", f"{SCENE}/depth/000001.png"
IMAGE = "000000/000001"
PLAIN = "000000001"
COCO = "annotations/train.json"
TAR, KEY = "train/shard-000000.tar", "000000_000001"
LABELS = "labels/train/000000001.txt"
# format, what is done, and the file and frame that must be named
CORRUPTIONS: dict[str, tuple[str, Edit, str, str]] = {
    "image missing": ("bop", delete(RGB), RGB, IMAGE),
    "image cut off": ("bop", cut(RGB, 0.02), RGB, IMAGE),
    "image of another size": ("bop", edit_image(RGB, lambda i: i[:-10]), RGB, IMAGE),
    "image without labels": ("bop", lambda r: shutil.copy(r / RGB, r / SCENE / "rgb/000007.png"), "000007", "000000/000007"),
    "depth missing": ("bop", delete(DEPTH), DEPTH, IMAGE),
    "depth of 8 bits": ("bop", edit_image(DEPTH, lambda i: (i >> 8).astype(np.uint8)), DEPTH, IMAGE),
    "depth in other units": ("bop", edit_image(DEPTH, lambda i: i // 10), DEPTH, IMAGE),
    "depth a little off": ("bop", edit_image(DEPTH, lambda i: i + 500), DEPTH, IMAGE),
    "depth along the ray of a shifted camera": ("bop", edit_image(DEPTH, lambda i: np.roll(i, 12, 1)), DEPTH, IMAGE),
    "mask missing": ("bop", delete(MASK), MASK, IMAGE),
    "mask of 0 and 1": ("bop", edit_image(MASK, lambda i: i // 255), MASK, IMAGE),
    "mask inverted": ("bop", edit_image(VISIBLE, lambda i: 255 - i), VISIBLE, IMAGE),
    "masks exchanged": (
        "bop",
        lambda r: [(r / SCENE / k / "000001_000002.png").write_bytes((r / SCENE / k / "000001_000005.png").read_bytes())
                   for k in ("mask", "mask_visib")],  # type: ignore[func-returns-value]
        MASK, IMAGE,
    ),
    "a pixel visible of two": (
        "bop", edit_image(VISIBLE, lambda i: np.maximum(i, _visible_of_another(i))), f"{SCENE}/mask_visib", IMAGE
    ),
    "box swapped": ("bop", edit_json(INFO, at("1", 2, "bbox_visib", value=lambda b: [b[0], b[1], b[3], b[2]])), INFO, IMAGE),
    "box one too wide": ("bop", edit_json(INFO, at("1", 2, "bbox_obj", 2, value=lambda w: w + 1)), INFO, IMAGE),
    "count wrong": ("bop", edit_json(INFO, at("1", 2, "px_count_visib", value=lambda n: n + 1)), INFO, IMAGE),
    "whole smaller than its part": ("bop", edit_json(INFO, at("1", 2, "px_count_all", value=3)), INFO, IMAGE),
    "valid depth miscounted": ("bop", edit_json(INFO, at("1", 2, "px_count_valid", value=10**6)), INFO, IMAGE),
    "a count called a fraction": ("bop", edit_json(INFO, at("1", 2, "visib_fract", value=120.0)), INFO, IMAGE),
    "information missing": ("bop", edit_json(INFO, lambda f: f["1"][2].pop("bbox_obj")), INFO, IMAGE),
    "labels of an image missing": ("bop", edit_json(INFO, lambda f: f.pop("1")), INFO, IMAGE),
    "an object too few": ("bop", edit_json(INFO, lambda f: f["1"].pop()), INFO, IMAGE),
    "pose turned": ("bop", edit_json(GT, at("1", 1, "cam_R_m2c", value=_turned)), SCENE, IMAGE),
    "pose moved by 2 cm": ("bop", edit_json(GT, at("1", 2, "cam_t_m2c", 0, value=lambda x: x + 20)), SCENE, IMAGE),
    "pose nearer by 5 cm": ("bop", edit_json(GT, at("1", 2, "cam_t_m2c", 2, value=lambda z: z - 50)), DEPTH, IMAGE),
    "pose in metres": ("bop", edit_json(GT, at("1", 2, "cam_t_m2c", value=lambda t: [x / 1000 for x in t])), SCENE, IMAGE),
    "pose not a number": ("bop", edit_json(GT, at("1", 2, "cam_t_m2c", 0, value=float("nan"))), GT, IMAGE),
    "no rotation": ("bop", edit_json(GT, at("1", 2, "cam_R_m2c", 0, value=3.0)), GT, IMAGE),
    "unknown object": ("bop", edit_json(GT, at("1", 2, "obj_id", value=9)), GT, IMAGE),
    "principal point shifted": ("bop", edit_json(CAM, at("1", "cam_K", 2, value=lambda c: c + 8)), SCENE, IMAGE),
    "K transposed": ("bop", edit_json(CAM, at("1", "cam_K", value=lambda k: np.reshape(k, (3, 3)).T.reshape(-1).tolist())), CAM, IMAGE),
    "no depth scale": ("bop", edit_json(CAM, lambda f: f["1"].pop("depth_scale")), CAM, IMAGE),
    "JSON cut off": ("bop", cut(GT), GT, ""),
    "no camera.json": ("bop", delete("camera.json"), "camera.json", ""),
    "model missing": ("bop", delete("models/obj_000002.ply"), "models/obj_000002.ply", ""),
    "diameter wrong": ("bop", edit_json("models/models_info.json", at("2", "diameter", value=lambda d: d * 1.1)), "models_info.json", ""),
    "targets wrong": ("bop", edit_json("test_targets_bop19.json", at(0, "inst_count", value=9)), "test_targets_bop19.json", "000000/000000"),
    "BOP's COCO wrong": ("bop", edit_json(f"{SCENE}/scene_gt_coco.json", at("annotations", 0, "area", value=[3])), f"{SCENE}/scene_gt_coco.json", "0"),
    "tar cut off": ("bop-webdataset", cut(TAR, 0.9), TAR, ""),
    "tar without its end": ("bop-webdataset", cut(TAR, 0.9999), TAR, ""),
    "tar member missing": ("bop-webdataset", edit_member(TAR, f"{KEY}.depth.png", lambda _: None), f"{TAR}:{KEY}.depth.png", KEY),
    "runs inverted": ("bop-webdataset", edit_member(TAR, f"{KEY}.mask_visib.json", _inverted_runs), TAR, KEY),
    "shard listed wrong": ("bop-webdataset", edit_json("train/key_to_shard.json", at(KEY, value=5)), "train/key_to_shard.json", KEY),
    "ids of the wrong objects": ("webdataset", edit_member(TAR, f"{PLAIN}.instance.png", _png(lambda i: i + (i > 0))), f"{TAR}:{PLAIN}", PLAIN),
    "classes lost": ("webdataset", edit_member(TAR, f"{PLAIN}.semantic.png", _png(lambda i: i * 0)), f"{TAR}:{PLAIN}.semantic.png", PLAIN),
    "fractions that do not add up": ("webdataset", edit_member(TAR, f"{PLAIN}.json", edit_bytes(at("objects", 1, "occluded_fraction", value=0.9))), f"{TAR}:{PLAIN}.json", PLAIN),
    "no Draw": ("webdataset", edit_member(TAR, f"{PLAIN}.json", edit_bytes(lambda f: f.pop("draw"))), f"{TAR}:{PLAIN}.json", PLAIN),
    "index without an object": ("webdataset", lambda r: _fewer_rows(r / "index.parquet"), "index.parquet", "000000000"),
    "index cut off": ("webdataset", cut("index.parquet"), "index.parquet", ""),
    "annotation 0": ("coco", edit_json(COCO, at("annotations", 0, "id", value=0)), COCO, "1"),
    "annotation twice": ("coco", edit_json(COCO, at("annotations", 1, "id", value=1)), COCO, "1"),
    "category 0": ("coco", edit_json(COCO, at("categories", 0, "id", value=0)), COCO, ""),
    "area a list": ("coco", edit_json(COCO, at("annotations", 0, "area", value=lambda a: [a])), COCO, "1"),
    "COCO box off": ("coco", edit_json(COCO, at("annotations", 0, "bbox", 0, value=lambda x: x + 1)), COCO, "1"),
    "empty mask": ("coco", edit_json(COCO, at("annotations", 0, "segmentation", "counts", value=[72 * 96])), COCO, "1"),
    "width and height swapped": ("coco", edit_json(COCO, lambda f: f["images"][2].update(width=72, height=96)), COCO, "3"),
    "keypoints too few": ("coco", edit_json(COCO, at("annotations", 0, "keypoints", value=lambda p: p[:3])), COCO, "1"),
    "COCO image missing": ("coco", delete("images/train/000000000001.png"), "images/train/000000000001.png", "2"),
    "class unknown": ("yolo", edit_lines(LABELS, lambda rows: [f"7 {rows[0][2:]}", *rows[1:]]), LABELS, "000000001"),
    "box in pixels": ("yolo", edit_lines(LABELS, lambda rows: ["0 40 30 20 10", *rows[1:]]), LABELS, "000000001"),
    "box out of the image": ("yolo", edit_lines(LABELS, lambda rows: ["0 0.9 0.5 0.4 0.1", *rows[1:]]), LABELS, "000000001"),
    "rows missing": ("yolo", delete(LABELS), LABELS, "000000001"),
    "no names": ("yolo", lambda r: (r / "data.yaml").write_text(yaml.safe_dump({"train": "images/train"})), "data.yaml", ""),
    "keypoint numbers lost": ("yolo-pose", edit_lines(LABELS, lambda rows: [rows[0][:-2], *rows[1:]]), LABELS, "000000001"),
    "polygon of two points": ("yolo-segment", edit_lines(LABELS, lambda rows: ["0 0.1 0.1 0.2 0.2 0.3", *rows[1:]]), LABELS, "000000001"),
}  # fmt: skip


def _visible_of_another(mask: np.ndarray) -> np.ndarray:
    """A mask that has pixels of everything."""
    return np.full_like(mask, 255)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruptions_are_found(copied: Callable[[str], Path], name: str) -> None:
    form, edit, file, frame = CORRUPTIONS[name]
    root = copied(form)
    edit(root)
    (verdict,) = validate(root)
    named = [found for found in verdict.findings if file in found.file and found.frame == frame]
    assert named, [str(found) for found in verdict.findings[:5]]
    if frame:  # and no other image is blamed
        assert {int(re.findall(r"\d+", found.frame)[-1]) for found in verdict.findings if found.frame} == {
            int(re.findall(r"\d+", frame)[-1])
        }


def test_pycocotools_scores_what_is_wrong_below_1(dataset: Path) -> None:
    """The last check bites: an annotation that pycocotools ignores costs precision."""
    path = dataset / "coco" / COCO
    form = json.loads(path.read_text())
    findings = Findings(dataset)
    _scores(form, path, findings, "visible")
    assert not findings.found
    form["annotations"][0]["id"] = 0
    _scores(form, path, findings, "visible")
    assert "expected 1.0" in findings.found[0].text


def test_the_command(dataset: Path, copied: Callable[[str], Path], capsys: pytest.CaptureFixture[str]) -> None:
    main(["validate", str(dataset)])
    assert capsys.readouterr().out.count("good") == len(FORMATS)
    root = copied("bop")
    delete(RGB)(root)
    with pytest.raises(SystemExit) as stopped:
        main(["validate", str(root)])
    assert stopped.value.code == 1
    assert f"{RGB} frame {IMAGE}: missing" in capsys.readouterr().out


def test_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(DREnvError, match="no dataset there"):
        validate(tmp_path)
    with pytest.raises(DREnvError, match="no such folder"):
        validate(tmp_path / "none")
    (tmp_path / "labels.csv").touch()
    with pytest.raises(DREnvError, match=r"labels\.csv: is a file, expected a folder"):
        validate(tmp_path / "labels.csv")
