"""Pictures that nobody labelled, and the commands as a shell sees them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from dr_env import DREnvError
from dr_env.cli.main import main
from dr_env.vision import card
from dr_env.vision.images import open_images
from dr_env.vision.overlay import Wire
from dr_env.vision.predict import draw_estimates, open_with_camera, parse_boxes, predict
from tests.vision.made_datasets import write
from tests.vision.oracle import Oracle
from tests.vision.world import BOXES, Boxes


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "pictures" / "one.png"
    path.parent.mkdir()
    cv2.imwrite(str(path), Boxes(1, size=96)[0].image[..., ::-1])
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    torch.set_num_threads(1)
    card.save(card.make("position", BOXES, 0, size=32, width=8), tmp_path / "run", {})
    return tmp_path / "run"


def test_boxes_are_read(tmp_path: Path) -> None:
    assert parse_boxes(("1,2,3.5,4",), {1: BOXES[1]}) == {1: [(1.0, 2.0, 3.5, 4.0)]}
    found = parse_boxes(("brick:1,2,3,4", "2:5,6,7,8", "brick:0,0,1,1"), BOXES)
    assert found == {1: [(1, 2, 3, 4), (0, 0, 1, 1)], 2: [(5, 6, 7, 8)]}
    assert parse_boxes((), BOXES) is None
    for text, message in {
        "1,2,3,4": "expected CLASS:x,y,w,h with CLASS one of brick, slab",
        "brik:1,2,3,4": "did you mean 'brick'",
        "brick:1,2,3": "got '1,2,3', expected x,y,w,h",
        "brick:1,2,3,0": "a height above 0",
    }.items():
        with pytest.raises(DREnvError, match=message):
            parse_boxes((text,), BOXES)


def test_the_camera_is_found(picture: Path) -> None:
    with pytest.raises(DREnvError, match="expected --K fx,fy,cx,cy"):
        open_with_camera((picture,), None, None, True)
    with pytest.raises(DREnvError, match=r"--K: got '1,2', expected fx,fy,cx,cy"):
        open_with_camera((picture,), None, "1,2", True)
    with pytest.raises(DREnvError, match="got both"):
        open_with_camera((picture,), picture, "1,2,3,4", True)
    assert not open_with_camera((picture,), None, None, False)[1]
    given, known = open_with_camera((picture,), None, "100,101,47,48", True)
    assert known and (given[0].intrinsics.fx, given[0].intrinsics.fy, given[0].intrinsics.cx) == (100, 101, 47)
    described = picture.parent / "camera.json"
    described.write_text(json.dumps({"width": 96, "height": 96, "fx": 90, "fy": 91, "cx": 47.5, "cy": 47.5}))
    beside, known = open_with_camera((picture,), None, None, True)
    assert known and beside[0].intrinsics.fy == 91
    assert open_with_camera((picture,), described, None, True)[0][0].intrinsics.fx == 90
    described.write_text("no camera")
    assert open_with_camera((picture,), None, "100,101,47,48", True)[0][0].intrinsics.fy == 101  # as it is told
    text = picture.parent / "text.png"
    text.write_text("no picture")
    with pytest.raises(DREnvError, match=r"text\.png"):
        open_with_camera((text,), None, "100,101,47,48", True)


def test_poses_are_drawn_where_they_are() -> None:
    data = Boxes(2, size=96, turned=True)
    oracle = Oracle(data.models)
    looks = predict(oracle, data, None)
    assert oracle.boxes == [2, 2]  # the whole picture, for each class
    wires = {k: Wire(model) for k, model in BOXES.items()}
    drawn = draw_estimates(data[0], looks[0].estimates, wires, True)
    plain = draw_estimates(data[0], (), wires, True)
    assert drawn.shape == plain.shape == (480, 480, 3)
    changed = np.argwhere((drawn != plain).any(-1))[:, ::-1] / 5
    boxes = np.array([a.box_amodal for a in data[0].annotations])
    assert (changed >= boxes[:, :2].min(0) - [3, 8]).all()
    assert (changed <= (boxes[:, :2] + boxes[:, 2:]).max(0) + np.array([40, 3])).all()


def test_predict_from_the_shell(run: Path, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    main(["vision", "predict", str(run), str(picture), "--out", str(out), "--K", "100,100,47.5,47.5", "--threads", "1"])
    printed = capsys.readouterr().out
    assert "one.png" in printed and "brick" in printed and "estimates.json" in printed
    found = json.loads((out / "estimates.json").read_text())["images"]
    assert [row["image"] for row in found] == ["one.png"]
    assert {row["class"] for row in found[0]["estimates"]} == {"brick", "slab"}
    assert all(len(row["position"]) == 3 and "camera_from_object" not in row for row in found[0]["estimates"])
    assert cv2.imread(str(out / "one.jpg")).shape == (480, 480, 3)
    main(["vision", "predict", str(run), str(picture), "--out", str(tmp_path / "blind")])
    assert "no pictures, for want of a camera" in capsys.readouterr().out
    assert not (tmp_path / "blind" / "one.jpg").exists()
    cv2.imwrite(str(picture.parent / "two.png"), cv2.imread(str(picture)))
    main(["vision", "predict", str(run), str(picture.parent), "--out", str(tmp_path / "all")])
    found = json.loads((tmp_path / "all" / "estimates.json").read_text())["images"]
    assert [row["image"] for row in found] == ["one.png", "two.png"]
    (picture.parent / "two.png").unlink()
    for arguments, message in {
        (str(picture), "--out", str(out)): "is there already",
        (str(picture.parent / "two.png"), "--out", str(tmp_path / "none")): "two.png",
        (str(picture), "--threads", "-1"): "threads: got -1",
    }.items():
        with pytest.raises(SystemExit):
            main(["vision", "predict", str(run), *arguments])
        assert message in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_evaluate_from_the_shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.set_num_threads(1)
    data = write(tmp_path / "data")
    images = open_images(data / "bop")
    card.save(card.make("position", images.models, 0, size=32, width=8), tmp_path / "run", {})
    command = ["vision", "evaluate", str(tmp_path / "run"), "--data", str(data / "bop"), "--quiet", "--threads", "1"]
    main([*command, "--out", str(tmp_path / "out"), "--json"])
    printed = json.loads(capsys.readouterr().out)
    written = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert printed["scores"] == written["scores"] and printed["objects"]["all"] == 18
    assert (tmp_path / "out" / "index.html").is_file()
    main([*command, "--split", "train"])
    assert "position, median, cm" in capsys.readouterr().out
    for more, message in {
        ("--out", str(tmp_path / "out")): "is there already",
        ("--split", "tests"): "no split 'tests'",
    }.items():
        with pytest.raises(SystemExit):
            main([*command, *more])
        assert message in capsys.readouterr().err
    card.save(card.make("position", BOXES, 0, size=32, width=8), tmp_path / "other", {})
    with pytest.raises(SystemExit):
        main(["vision", "evaluate", str(tmp_path / "other"), "--data", str(data / "bop"), "--quiet"])
    assert "the estimator knows 1 brick, 2 slab" in capsys.readouterr().err


def test_keypoints_from_the_shell(tmp_path: Path, picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.set_num_threads(1)
    data = write(tmp_path / "data") / "bop"
    images = open_images(data)
    card.save(card.make("keypoints", images.models, 0, size=64, width=8, keypoints=6), tmp_path / "run", {})
    names = [model.name for model in images.models.values()]
    predict_it = ["vision", "predict", str(tmp_path / "run"), str(picture), "--threads", "1"]
    out = tmp_path / "out"
    main([*predict_it, "--K", "100,100,47.5,47.5", "--box", f"{names[0]}:10,10,40,40", "--out", str(out)])
    assert "rotation w x y z" in " ".join(capsys.readouterr().out.split())
    for row in json.loads((out / "estimates.json").read_text())["images"][0]["estimates"]:
        assert row["box"] == [10, 10, 40, 40]
        assert row["class"] == names[0] and len(row["camera_from_object"]) == 16 and len(row["keypoints"]) == 7
    for more, message in {
        (): "its camera is not known",
        ("--K", "1,1,0,0", "--box", "1,2,3,4"): "CLASS:x,y,w,h",
        ("--K", "1,1,0,0", "--box", f"{names[0]}:500,500,9,9"): "lies outside the",
    }.items():
        with pytest.raises(SystemExit):
            main([*predict_it, *more])
        assert message in capsys.readouterr().err
    command = ["vision", "evaluate", str(tmp_path / "run"), "--data", str(data), "--quiet", "--threads", "1", "--json"]
    main(command)
    scores = json.loads(capsys.readouterr().out)["scores"]["all"]
    assert {"ar", "ar_vsd", "ar_mssd", "ar_mspd", "adds", "reprojection"} <= scores.keys()
    assert scores["ar"]["value"] < 0.5  # it was never trained


def test_pictures_of_several_cameras_are_refused_and_no_drawing_replaces_another(run: Path, tmp_path: Path) -> None:
    files = []
    for folder, focal in (("a", 90), ("b", 180), ("c", 90)):
        path = tmp_path / folder / ("0001.png" if folder == "c" else "x.png")
        path.parent.mkdir()
        cv2.imwrite(str(path), Boxes(1, size=96)[0].image[..., ::-1])
        form = {"width": 96, "height": 96, "fx": focal, "fy": focal, "cx": 47.5, "cy": 47.5}
        (path.parent / "camera.json").write_text(json.dumps(form))
        files.append(path)
    with pytest.raises(DREnvError, match=r"b: its pictures have another camera.json than those of .*a; expected"):
        open_with_camera(files, None, None, True)
    assert len(open_with_camera([files[0], files[2]], None, None, True)[0]) == 2
    main(["vision", "predict", str(run), *map(str, files), "--K", "90,90,47,47", "--out", str(tmp_path / "seen")])
    assert sorted(path.name for path in (tmp_path / "seen").glob("*.jpg")) == ["0000.jpg", "0001.jpg", "0002.jpg"]
