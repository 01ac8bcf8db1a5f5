"""Refined datasets: labels to the byte, refusals that show why, and runs that go on."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from dr_env.errors import DREnvError
from dr_env.export import Manifest
from dr_env.export.validate import validate
from dr_env.records import Frame
from dr_env.vision.images import open_images, open_target
from dr_env.vision.refine import RefineSettings, refine
from dr_env.vision.simgan import SimGanSettings
from tests.vision import made_datasets

Pixels = np.ndarray
CHECK = 50  # steps


def _painted(frame: Frame) -> Frame:
    rng = np.random.default_rng(frame.index)
    colours = np.array([[100, 110, 105], [205, 60, 50], [210, 180, 40], [205, 60, 50]]) + rng.integers(-15, 15, (4, 3))
    rgb = np.clip(colours[frame.instance] + rng.normal(0, 12, frame.rgb.shape), 0, 255).astype(np.uint8)
    return dataclasses.replace(frame, rgb=rgb)


def _dim(frame: Frame) -> Frame:
    rgb = np.clip(_painted(frame).rgb * np.array([0.5, 0.75, 1.0]) + np.array([0, 10, 60]), 0, 255)
    return dataclasses.replace(frame, rgb=rgb.astype(np.uint8))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("source")
    made_datasets.write(root, 24, every=0, look=_painted)
    return root / "bop"


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("target")
    made_datasets.write(root, 12, every=0, look=_dim)
    return root / "bop"


def _findings(root: Path) -> list[object]:
    return [found for verdict in validate(root) if verdict.format == "bop" for found in verdict.findings]


def _files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("method", ["histogram", "statistics", "paste"])
def test_images_change_and_labels_do_not(method: str, source: Path, target: Path, tmp_path: Path) -> None:
    # one that is checked, and one that is not
    settings = RefineSettings(method, "pool", bound=0.0 if method == "statistics" else 0.6, check_steps=2 * CHECK)
    note = refine(source, open_target(target), tmp_path / "out", settings, threads=1)
    was, now = _files(source), _files(tmp_path / "out" / "bop")
    assert was.keys() == now.keys()
    changed = {name for name in was if was[name] != now[name]}
    assert changed == {name for name in was if "/rgb/" in name}
    assert _findings(tmp_path / "out") == _findings(source.parent)  # frames made by hand are not without any
    images, before = open_images(tmp_path / "out"), open_images(source)
    colour = [np.stack([data[k].image for k in range(8)]).mean((0, 1, 2)) for data in (before, images)]
    wanted = np.stack([open_images(target)[k].image for k in range(8)]).mean((0, 1, 2))
    assert np.linalg.norm(colour[1] - wanted) < 0.5 * np.linalg.norm(colour[0] - wanted)
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["refinement"] == note
    assert ("check" in note) == (method == "histogram")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["bop", "manifest.json"]
    with pytest.raises(DREnvError, match="were refined"):
        Manifest.load(_with_spec(tmp_path / "out"))


def _with_spec(root: Path) -> Path:
    (root / "spec.yaml").write_text("format: dr_env/1\n")
    return root


def test_pasting_keeps_what_is_labelled(source: Path, target: Path, tmp_path: Path) -> None:
    refine(source, open_target(target), tmp_path / "out", RefineSettings("paste", blend=0.0))
    before, after = open_images(source), open_images(tmp_path / "out")
    for index in range(6):
        mask = np.any(before.masks(index), 0)
        np.testing.assert_array_equal(before[index].image[mask], after[index].image[mask])
        assert (before[index].image[~mask] != after[index].image[~mask]).any(-1).mean() > 0.9


def _moved(image: Pixels, mask: Pixels, name: str) -> Pixels:
    return np.roll(image, 9, 1)


def _erased(image: Pixels, mask: Pixels, name: str) -> Pixels:
    wide = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8))
    return np.asarray(cv2.inpaint(image, wide, 3, cv2.INPAINT_TELEA))


def test_a_refiner_that_moves_or_erases_the_object_is_refused(source: Path, target: Path, tmp_path: Path) -> None:
    settings, others, out = RefineSettings("simgan", check_steps=CHECK), open_target(target), tmp_path / "out"
    for change in (_moved, _erased):
        with pytest.raises(DREnvError, match=r"refused: objects are no longer where their labels say.*refused\.png"):
            refine(source, others, out, settings, change=change)
        assert [path.name for path in out.iterdir()] == ["refused.png"]
        shown = cv2.imread(str(out / "refused.png"))
        assert shown is not None and shown.shape[1] == 4 * 2 * 48
    # what is refused once does not stand in the way of what is better
    identity = refine(source, others, out, settings, change=lambda image, mask, name: image)
    assert identity["check"]["worst_tenth"] == 1.0
    assert _files(out / "bop") == _files(source)


def test_goes_on_after_an_interruption(source: Path, target: Path, tmp_path: Path) -> None:
    gan = SimGanSettings(steps=3, warm_up=2, batch=2, crop=24, width=6, blocks=1, history=4)
    settings = RefineSettings("simgan", bound=0.0, simgan=gan)
    refine(source, open_target(target), tmp_path / "whole", settings)

    class Stop(Exception):
        pass

    for at in ("training the refiner", "refining", "copying labels"):

        def stop(what: str, done: int, total: int, at: str = at) -> None:
            if what == at and done == total // 2 + 1:
                raise Stop

        with pytest.raises(Stop):
            refine(source, open_target(target), tmp_path / "cut", settings, progress=stop)
        assert not (tmp_path / "cut" / "manifest.json").exists()
    with pytest.raises(DREnvError, match="begun otherwise"):
        refine(source, open_target(target), tmp_path / "cut", RefineSettings("simgan", seed=1, bound=0.0, simgan=gan))
    done = refine(source, open_target(target), tmp_path / "cut", settings)
    assert _files(tmp_path / "cut") == _files(tmp_path / "whole")
    # once more changes nothing, and other settings want another folder
    assert refine(source, open_target(target), tmp_path / "cut", settings) == done
    with pytest.raises(DREnvError, match="refined otherwise"):
        refine(source, open_target(target), tmp_path / "cut", RefineSettings("paste"))
    assert refine(source, open_target(target), tmp_path / "cut", RefineSettings("paste"), overwrite=True)


def test_bad_input_is_told(source: Path, target: Path, tmp_path: Path) -> None:
    with pytest.raises(DREnvError, match="no method 'histgram'; did you mean 'histogram'"):
        RefineSettings("histgram")
    with pytest.raises(DREnvError, match="in the dataset that is read"):
        refine(source, open_target(target), source / "out", RefineSettings("paste"))
    (tmp_path / "notes.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(DREnvError, match=r"holds other files, such as notes\.txt"):
            refine(source, open_target(target), tmp_path, RefineSettings("paste"), overwrite=overwrite)
    with pytest.raises(DREnvError, match="no such folder"):
        refine(tmp_path / "nothing", open_target(target), tmp_path / "out", RefineSettings("paste"))
    assert not (tmp_path / "out").exists()
    cv2.imwrite(str(tmp_path / "picture.png"), np.zeros((20, 30, 3), np.uint8))
    assert len(open_target(tmp_path)) == 1
    with pytest.raises(DREnvError, match="expected a dataset"):
        open_target(tmp_path, "train")


def test_a_dataset_that_was_made_anew_is_not_gone_on_with(target: Path, tmp_path: Path) -> None:
    """Else old images would stand beside new labels."""

    class Stop(Exception):
        pass

    def stop(text: str, done: int, total: int) -> None:
        if text == "refining" and done == 7:
            raise Stop

    settings = RefineSettings("statistics", bound=0.0)
    data, out = tmp_path / "data", tmp_path / "out"
    made_datasets.write(data, 24, every=0, look=_painted)
    with pytest.raises(Stop):
        refine(data / "bop", open_target(target), out, settings, threads=1, progress=stop)
    shutil.rmtree(data)
    made_datasets.write(data, 24, every=0, look=_dim)
    with pytest.raises(DREnvError, match="holds a refinement begun otherwise"):
        refine(data / "bop", open_target(target), out, settings, threads=1)


@pytest.mark.parametrize("method", ["statistics", "paste"])
@pytest.mark.parametrize("what", ["rgb", "mask_visib"])
def test_an_image_of_another_size_is_named(method: str, what: str, target: Path, tmp_path: Path) -> None:
    made_datasets.write(tmp_path / "data", 9, every=0, look=_painted)
    path = sorted((tmp_path / "data" / "bop").glob(f"*/*/{what}/*.png"))[-1]
    cv2.imwrite(str(path), np.zeros((7, 9, 3) if what == "rgb" else (7, 9), np.uint8))
    with pytest.raises(DREnvError, match=f"{what}/{path.name}: got 9 x 7 pixels, expected"):
        refine(
            tmp_path / "data" / "bop",
            open_target(target),
            tmp_path / "out",
            RefineSettings(method, bound=0.0),
            threads=1,
        )
