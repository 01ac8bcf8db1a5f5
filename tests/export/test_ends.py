"""What an export leaves when it is stopped at its very start or end, and what belongs to no shard."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dr_env import DREnvError
from dr_env.export import Layout, export
from dr_env.export import pipeline as pipeline_module
from dr_env.export.manifest import Manifest
from dr_env.export.request import ExportRequest
from dr_env.export.validate import FILES, validate
from tests.export.blocks import SCENE, contents, request


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[ExportRequest, Path]:
    folder = tmp_path_factory.mktemp("made")
    (folder / "blocks.xml").write_text(SCENE)
    asked = dataclasses.replace(
        request(folder / "blocks.xml"), layout=Layout(4, 64, 48, shard=2), formats=("bop", "coco", "yolo")
    )
    export(asked, folder / "data")
    return asked, folder / "data"


@pytest.fixture
def copied(made: tuple[ExportRequest, Path], tmp_path: Path) -> Path:
    shutil.copytree(made[1], tmp_path / "data")
    return tmp_path / "data"


def _swap_classes(root: Path) -> None:
    path = root / "coco/annotations/train.json"
    data = json.loads(path.read_text())
    first, second = data["categories"][:2]
    first["name"], second["name"] = second["name"], first["name"]
    path.write_text(json.dumps(data))


def _double_focal_length(root: Path) -> None:
    path = root / "bop/camera.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "fx": 1.0}))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("coco/annotations/train.json", _swap_classes),
        ("bop/camera.json", _double_focal_length),
        ("yolo/data.yaml", lambda root: (root / "yolo/data.yaml").write_text("names: {0: a}\n")),
        ("checksums/rest.txt", lambda root: (root / "checksums/rest.txt").unlink()),
    ],
)
def test_files_of_no_shard_have_checksums(copied: Path, name: str, damage: Callable[[Path], None]) -> None:
    assert not any(verdict.findings for verdict in validate(copied))
    damage(copied)
    (files,) = (verdict for verdict in validate(copied) if verdict.format == FILES)
    assert any(name in str(finding) for finding in files.findings)


@pytest.mark.parametrize("name", ["coco/annotations/train.json", "bop/models/obj_000001.ply", "README.md"])
def test_files_of_no_shard_are_made_again(made: tuple[ExportRequest, Path], copied: Path, name: str) -> None:
    (copied / name).unlink()
    done = export(made[0], copied)
    assert done.made == 0
    assert bool(done.notes) == (name != "README.md")
    assert contents(copied) == contents(made[1])
    assert not export(made[0], copied).notes


def test_stopped_before_the_manifest(
    made: tuple[ExportRequest, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(self: Manifest, root: Path) -> None:
        (root / "spec.yaml").write_text(self.request.source.spec)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Manifest, "save", stopped)
        with pytest.raises(KeyboardInterrupt):
            export(made[0], tmp_path / "data")
    assert (tmp_path / "data/spec.yaml").exists() and not (tmp_path / "data/manifest.json").exists()
    export(made[0], tmp_path / "data")
    assert contents(tmp_path / "data") == contents(made[1])


@pytest.mark.parametrize("cleared", [1, 3, 5])
def test_stopped_while_an_older_dataset_is_removed(
    made: tuple[ExportRequest, Path], copied: Path, monkeypatch: pytest.MonkeyPatch, cleared: int
) -> None:
    count = 0
    plain = pipeline_module._clear

    def clear(path: Path) -> None:
        nonlocal count
        if path.parent == copied:
            count += 1
            if count > cleared:
                raise KeyboardInterrupt
        plain(path)

    with monkeypatch.context() as patch:
        patch.setattr(pipeline_module, "_clear", clear)
        with pytest.raises(KeyboardInterrupt):
            export(made[0], copied, overwrite=True)
    export(made[0], copied, overwrite=True)
    assert contents(copied) == contents(made[1])


def test_foreign_files_are_left_alone(made: tuple[ExportRequest, Path], tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(DREnvError, match=r"holds other files, such as spec.yaml"):
            export(made[0], tmp_path, overwrite=overwrite)
    assert (tmp_path / "spec.yaml").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["spec.yaml"]
