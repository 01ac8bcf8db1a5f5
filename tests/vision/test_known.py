"""What images are known by: their content, not their path; and that what begins on them notices."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from dr_env.cli.main import main
from dr_env.errors import DREnvError
from dr_env.vision import card
from dr_env.vision.align import alignment
from dr_env.vision.images import open_images, open_target
from dr_env.vision.known import identity
from dr_env.vision.part import Part
from dr_env.vision.train import TrainSettings, train
from tests.vision.made_datasets import write

TINY = TrainSettings(steps=1, batch=3, held_out=0.3, threads=1, workers=0, device="cpu")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data") / "set", 9)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for k in range(20):
        cv2.imwrite(str(folder / f"{k:02d}.png"), np.full((32, 32, 3), 10 * k, np.uint8))
    return folder


@pytest.mark.parametrize("form", ["bop", "bop-webdataset"])
def test_a_dataset_is_the_same_wherever_it_lies(form: str, dataset: Path, tmp_path: Path) -> None:
    here = open_images(dataset / form)
    there = open_images(Path(os.path.relpath(shutil.copytree(dataset, tmp_path / "copy") / form)))
    assert here.identity == there.identity and here.pieces == there.pieces
    assert sum(count for _, count in here.pieces) == len(here) == 9
    # its parts are known in the whole of it
    train, val = (open_images(dataset / form, split) for split in ("train", "val"))
    assert sorted(here.pieces) == sorted((*train.pieces, *val.pieces))
    assert len({here.identity, train.identity, val.identity, identity(Part(here, range(3), "some"))}) == 4
    label = next((tmp_path / "copy" / form / "val").rglob("*gt.json" if form == "bop" else "*.tar"))
    os.utime(label, ns=(1, 1))
    assert there.identity != here.identity and len({*here.pieces} - {*there.pieces}) == 1


def test_a_model_s_own_images_are_known_again(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = open_images(dataset / "bop", "train")
    train(card.make("position", own.models, 0, size=32, width=8), [own], tmp_path / "run", TINY)
    some = Part(open_images(dataset / "bop", "val"), [0], "one of val")
    train(card.load(tmp_path / "run"), [own, some], tmp_path / "tuned", TINY, fresh=False)
    monkeypatch.chdir(dataset.parent)
    for images, count in (
        (own, len(own)),
        (open_images(Path("set/bop")), len(own)),
        (open_images(dataset / "bop", image="clean"), len(own)),
    ):
        card.warn_seen(tmp_path / "run", images)
        assert f"was trained on {count} of the {len(images)} images of {images.name}" in capsys.readouterr().err
    card.warn_seen(tmp_path / "tuned", open_images(dataset / "bop"))
    assert f"was trained on {len(own) + 1} of the 9 images" in capsys.readouterr().err
    card.warn_seen(tmp_path / "run", open_images(dataset / "bop", "val"))
    assert not capsys.readouterr().err


def test_a_run_goes_on_however_its_images_are_spelled(
    dataset: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--adapt", "adabn", "--steps", "1", "--batch", "3", "--threads", "1", "--device", "cpu", "--quiet"]
    command = ["vision", "train", "--out", str(tmp_path / "run"), "--size", "32", "--width", "8", *more]
    main([*command, "--data", str(dataset / "bop"), "--target", str(pictures)])
    monkeypatch.chdir(dataset)
    main([*command, "--data", "bop", "--target", os.path.relpath(pictures)])
    assert "held-out error" in capsys.readouterr().out
    cv2.imwrite(str(pictures / "11.png"), np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(SystemExit):  # a finished run of other target images is not theirs
        main([*command, "--data", "bop", "--target", str(pictures)])
    assert "holds another run; hooks is" in capsys.readouterr().err


def test_any_changed_picture_makes_them_others(pictures: Path) -> None:
    before = identity(open_target(pictures))
    assert before == identity(open_target(Path(os.path.relpath(pictures))))
    for change in (lambda path: path.write_bytes(path.read_bytes()), lambda path: path.rename(path.with_stem("x"))):
        was = identity(open_target(pictures))
        change(pictures / "11.png")
        assert identity(open_target(pictures)) != was
    hook = alignment("coral", Part(open_target(pictures), range(20), "unlabelled", labelled=False))
    assert hook.settings()["target"]["identity"] != before
    with pytest.raises(DREnvError, match="no pictures"):
        open_target(pictures.parent)
