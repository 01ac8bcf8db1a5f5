"""Batches depend on seed and number alone: not on workers, restarts, nor what else was read."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dr_env import DREnvError
from dr_env.vision import bank as module
from dr_env.vision.bank import Bank
from dr_env.vision.images import open_images
from dr_env.vision.samples import Images, Sample
from tests.vision.made_datasets import write
from tests.vision.plain_estimator import PlainEstimator

FRAMES = 40
Batch = dict[str, np.ndarray[Any, Any]]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    return open_images(write(tmp_path_factory.mktemp("dataset"), FRAMES) / "bop-webdataset")


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK", 6)


def _same(a: Batch, b: Batch) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) and a[k].dtype == b[k].dtype for k in a)


def _bank(images: Images, folder: Path, **settings: Any) -> Bank:
    return Bank(PlainEstimator(images.models), [images], folder, **{"held_out": 0.2, "workers": 0, **settings})


def test_every_example_once_an_epoch(images: Images, tmp_path: Path) -> None:
    bank = _bank(images, tmp_path)
    made = list(bank.batches(5, 0, 100))
    held = list(bank.held_out(7))
    counts = {"images": FRAMES, "examples": bank.size, "held_out": sum(len(b["class"]) for b in held)}
    assert bank.about == counts
    # three objects a frame but in the last, where nothing is visible
    assert bank.size + bank.about["held_out"] + FRAMES == FRAMES + 3 * (FRAMES - 1)
    row = [(*f, c) for b in made for f, c in zip(b["frame"].tolist(), b["chance"].tolist(), strict=True)]
    first, second = row[: bank.size], row[bank.size : 2 * bank.size]
    assert len(set(first)) == bank.size and sorted(first) == sorted(second) and first != second
    # no image is both learned from and judged by
    aside = {tuple(f) for b in held for f in b["frame"].tolist()}
    assert len(aside) in (7, 8) and not aside & {key[:2] for key in row}
    # what an example holds is what the image shows
    some = made[3]
    scene, number = some["frame"][2]
    sample = next(s for s in images if (s.scene_id, s.image_id) == (scene, number))
    assert np.array_equal(some["image"][2], sample.image[:48, :48]) and some["image"].dtype == np.uint8
    assert some["position"].flags.c_contiguous and some["position"].dtype == np.float32
    assert any(np.allclose(some["position"][2], a.camera_from_object[:3, 3]) for a in sample.annotations)
    assert _same(bank.labels(5), {k: v for k, v in made[0].items() if k != "image"})
    assert len(bank.labels(10**6)["class"]) == bank.size


def test_any_number_of_workers_makes_the_same_bytes(images: Images, tmp_path: Path) -> None:
    alone = _bank(images, tmp_path / "alone")
    told: list[tuple[int, int]] = []
    with _bank(images, tmp_path / "many", workers=2, progress=lambda *n: told.append(n)) as many:
        # batches are handed out while later ones are still prepared
        first = next(many.batches(8, 0, 1))
        batches = list(many.batches(8, 0, 30))
    assert _same(first, batches[0])
    assert all(_same(a, b) for a, b in zip(batches, alone.batches(8, 0, 30), strict=True))
    assert alone.folder.name == many.folder.name
    for path in alone.folder.iterdir():
        assert path.read_bytes() == (many.folder / path.name).read_bytes(), path.name
    assert told[0] == (0, FRAMES) and told[-1] == (FRAMES, FRAMES)


def test_any_step_can_be_gone_on_from(images: Images, tmp_path: Path) -> None:
    whole = list(_bank(images, tmp_path).batches(16, 0, 25))
    again = _bank(images, tmp_path)  # prepares nothing
    for start in (1, 6, 24):
        assert all(_same(a, b) for a, b in zip(whole[start:], again.batches(16, start, 25), strict=True))
    big = list(_bank(images, tmp_path).batches(4 * again.size, 0, 1))  # several epochs in one batch
    assert len(big[0]["class"]) == 4 * again.size
    other = next(_bank(images, tmp_path, seed=1).batches(16, 0, 1))
    assert not _same(whole[0], other)


def test_what_was_prepared_is_not_made_again(images: Images, tmp_path: Path) -> None:
    bank = _bank(images, tmp_path)
    files = sorted(bank.folder.glob("*.npy"))
    times = {path: path.stat().st_mtime_ns for path in files}
    whole = list(bank.batches(8, 0, 20))
    files[1].unlink()
    files[2].write_bytes(files[2].read_bytes()[:-100])  # cut off
    again = _bank(images, tmp_path)
    assert all(_same(a, b) for a, b in zip(whole, again.batches(8, 0, 20), strict=True))
    assert [path for path in files if path.stat().st_mtime_ns != times[path]] == files[1:3]
    about = json.loads((bank.folder / "bank.json").read_text())
    assert about["estimator"]["kind"] == "plain" and about["data"][0]["images"] == FRAMES
    bank.discard()
    assert not bank.folder.exists()


def test_other_images_settings_or_models_have_their_own(images: Images, tmp_path: Path) -> None:
    folders = {_bank(images, tmp_path).folder, _bank(images, tmp_path, seed=3).folder}
    folders.add(Bank(PlainEstimator(images.models, 32), [images], tmp_path, held_out=0.2, workers=0).folder)
    folders.add(
        Bank(PlainEstimator(dict([*images.models.items()][:1])), [images], tmp_path, held_out=0.2, workers=0).folder
    )
    write(tmp_path / "data", 8)
    for _ in range(2):  # the same path, written anew
        folders.add(_bank(open_images(tmp_path / "data/bop"), tmp_path).folder)
        scene = tmp_path / "data/bop/train/000000/scene_gt.json"
        scene.write_text(scene.read_text() + " ")
    assert len(folders) == 6


class _Unnamed:
    """Images that are known by no more than what they show."""

    name = "unnamed"

    def __init__(self, images: Images) -> None:
        self.models, self._images = images.models, images
        self.shift = 0

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> Sample:
        return self._images[index + self.shift]

    def masks(self, index: int) -> tuple[np.ndarray[Any, np.dtype[np.bool_]], ...]:
        return ()


def test_images_without_an_identity_are_known_by_what_they_show(images: Images, tmp_path: Path) -> None:
    data = _Unnamed(images)
    folder = _bank(data, tmp_path).folder
    assert _bank(data, tmp_path).folder == folder
    data.shift = 1
    assert _bank(data, tmp_path).folder != folder


def test_what_goes_wrong_is_told(images: Images, tmp_path: Path) -> None:
    for workers in (0, 1):
        bad = PlainEstimator(images.models, refused=20)
        with pytest.raises(ValueError, match="this one"):
            bank = Bank(bad, [images], tmp_path, workers=workers)
            try:
                list(bank.batches(8, 0, 30))
            finally:
                bank.close()
    with pytest.raises(DREnvError, match="got 0 images"):
        Bank(PlainEstimator({}), [], tmp_path)
    with pytest.raises(DREnvError, match="expected a share"):
        _bank(images, tmp_path, held_out=1.0)
    write(tmp_path / "nothing", 2, every=0)
    nothing = open_images(tmp_path / "nothing/bop")  # one image of two shows nothing: learn from it, or judge by it
    empty = set()
    for seed in range(6):
        bank = _bank(nothing, tmp_path / "bank", seed=seed)
        with pytest.raises(DREnvError, match=r"no example to learn from|no held-out image gives") as error:
            _ = bank.size, next(bank.held_out(4))
        empty.add(str(error.value).partition(":")[0] == "training data")
    assert empty == {True, False}


def _train_until_killed(images: Images, folder: Path, begun: Any) -> None:
    bank = Bank(PlainEstimator(images.models), [images], folder, held_out=0.2, workers=1)
    for _ in bank.batches(4, 0, 10**9):
        begun.set()
        time.sleep(0.01)


def test_a_killed_run_leaves_no_workers_and_nothing_half_written(images: Images, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    begun = context.Event()
    process = context.Process(target=_train_until_killed, args=(images, tmp_path, begun))
    process.start()
    assert begun.wait(300)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    until = time.monotonic() + 60
    while any(
        Path(f"/proc/{child}/cmdline").exists() and Path(f"/proc/{child}/cmdline").read_bytes() for child in children
    ):
        assert time.monotonic() < until, "workers outlive the run that was killed"
        time.sleep(0.05)
    bank = _bank(images, tmp_path)
    fresh = _bank(images, tmp_path / "fresh")
    assert all(_same(a, b) for a, b in zip(bank.batches(8, 0, 20), fresh.batches(8, 0, 20), strict=True))
