"""What an export holds: pages, cameras and backgrounds, and its own checksums."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from dr_env import DREnvError, Spec
from dr_env.export import Layout, export, replay
from dr_env.export.validate import validate
from tests.export.blocks import SCENE, SPEC, request


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    path = tmp_path / "blocks.xml"
    path.write_text(SCENE)
    return path


def test_a_dataset_in_which_nothing_is_seen_has_a_page(tmp_path: Path) -> None:
    away = tmp_path / "away.xml"
    away.write_text(SCENE.replace('pos="0 -.6 .5"', 'pos="0 -9 .5"').replace("1 0 0 0 .64 .77", "1 0 0 0 .64 -.77"))
    export(request(away, 2), tmp_path / "data")
    assert "ball" in (tmp_path / "data" / "index.html").read_text()


def test_an_orthographic_camera_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "flat.xml"
    path.write_text(SCENE.replace('<camera name="eye"', '<camera name="eye" projection="orthographic"'))
    with pytest.raises(DREnvError, match="camera: 'eye' is orthographic"):
        export(request(path, 2), tmp_path / "data")


def test_other_backgrounds_are_another_dataset(tmp_path: Path, scene: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(2):
        cv2.imwrite(str(photos / f"{i}.png"), np.full((48, 64, 3), 60 * i, np.uint8))
    text = (
        SPEC.replace("entries:", f"backgrounds: {photos}\nentries:")
        + """
  behind: {select: {image: "*"}, field: background, operation: set, distribution: {type: constant, value: 1}}
"""
    )
    made = request(scene, 4)
    source = dataclasses.replace(made.source, spec=Spec.from_yaml(text).to_yaml())
    made = dataclasses.replace(made, source=source, layout=Layout(4, 64, 48, shard=2))
    export(made, tmp_path / "data")
    replay(tmp_path / "data", 0, tmp_path / "again")
    shutil.rmtree(tmp_path / "data" / "checksums")
    (tmp_path / "data" / "frames" / "000001.jsonl").unlink()
    cv2.imwrite(str(photos / "0.png"), np.full((48, 64, 3), 200, np.uint8))
    with pytest.raises(DREnvError, match=r"backgrounds: .* then, .* now"):
        export(made, tmp_path / "data")


def test_validate_compares_an_export_with_what_it_wrote(tmp_path: Path, scene: Path) -> None:
    root = tmp_path / "data"
    export(request(scene), root)
    assert {verdict.format: len(verdict.findings) for verdict in validate(root)} == {"bop": 0, "coco": 0, "files": 0}
    first, second = sorted((root / "bop").glob("*/000000/rgb/*.png"))[:2]
    shutil.copyfile(first, second)
    shutil.rmtree(root / "coco" / "annotations")
    found = {verdict.format: [str(each) for each in verdict.findings] for verdict in validate(root)}
    assert found.keys() == {"bop", "files"}
    assert any("coco: no dataset there, and the export made one as coco" in each for each in found["files"])
    assert any(second.name in each and "the export wrote" in each for each in found["files"])
    (root / "checksums" / "000000.txt").write_bytes(b"\xff\xfe\n")
    (root / "checksums" / "000001.txt").write_text("")
    (root / "checksums" / "000002.txt").unlink()
    found = {verdict.format: [str(each) for each in verdict.findings] for verdict in validate(root)}
    for name, what in (
        ("000000", "expected checksum, size and file"),
        ("000001", "empty"),
        ("000002", "cannot be read"),
    ):
        assert any(f"checksums/{name}.txt" in each and what in each for each in found["files"]), name
    (root / "manifest.json").write_text("{")
    (damaged,) = [verdict for verdict in validate(root) if verdict.format == "files"]
    assert "manifest.json: damaged" in str(damaged.findings[0])
