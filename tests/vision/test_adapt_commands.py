"""`dr-env vision refine`, and `train` with adaptation, augmentation and few labels."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dr_env.cli.main import main
from dr_env.vision import card
from dr_env.vision.images import open_images
from tests.vision.made_datasets import write


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data"), 9) / "bop"


def _train(dataset: Path, out: Path, *more: str) -> None:
    base = ["vision", "train", "--data", str(dataset), "--out", str(out), "--steps", "2", "--batch", "3"]
    main([*base, "--held-out", "0.3", "--threads", "1", "--device", "cpu", "--quiet", *more])


SMALL = ("--width", "8", "--size", "32")


@pytest.mark.parametrize("model", ["position", "keypoints"])
@pytest.mark.parametrize("adapt", ["coral", "dann", "adabn"])
def test_every_adaptation_takes_either_model(model: str, adapt: str, dataset: Path, tmp_path: Path) -> None:
    more = ("--model", model, "--adapt", adapt, "--target", str(dataset), "--augment", "light", *SMALL)
    _train(dataset, tmp_path / "run", *more)
    hooks = card.read(tmp_path / "run")["training"]["hooks"]
    assert hooks["augment"] == {"preset": "light"}
    assert hooks[adapt]["target"]["images"] == 9


def test_few_labels_begin_from_a_run(dataset: Path, tmp_path: Path) -> None:
    _train(dataset, tmp_path / "run", *SMALL)
    _train(dataset, tmp_path / "few", "--init", str(tmp_path / "run"), "--labels", "5")
    assert "5 labels of seed 0" in (tmp_path / "few" / "run.json").read_text()
    _train(dataset, tmp_path / "none", "--init", str(tmp_path / "run"), "--labels", "0")
    assert card.read(tmp_path / "none")["training"]["labels"] == 0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--adapt", "coral"), "--adapt, --target: got one of them"),
        (("--labels", "0"), "--labels: got 0, expected a trained run in --init"),
        (("--labels", "10"), "got 10 labelled images asked for, expected 2 to 9"),
    ],
)
def test_what_does_not_fit_is_told(
    more: tuple[str, ...], message: str, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        _train(dataset, tmp_path / "run", *more)
    assert ended.value.code == 2 and message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_refined_dataset_from_the_command_line(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["vision", "refine", "--data", str(dataset), "--target", str(dataset), "--out", str(tmp_path / "out")]
    main([*command, "--method", "histogram", "--against", "pool", "--bound", "0", "--threads", "1", "--quiet"])
    assert f"9 images in {tmp_path / 'out'}" in capsys.readouterr().out
    note = json.loads((tmp_path / "out" / "manifest.json").read_text())["refinement"]
    assert note["method"] == "histogram" and note["against"] == "pool"
    # the same world: what is matched to itself hardly changes
    was, now = open_images(dataset), open_images(tmp_path / "out")
    assert np.abs(was[3].image.astype(int) - now[3].image).mean() < 12
    with pytest.raises(SystemExit):
        main([*command, "--method", "statistics", "--quiet"])
    assert "refined otherwise; choose another --out, or --overwrite" in capsys.readouterr().err


def test_a_run_to_begin_from_keeps_its_kind_and_its_symmetries(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _train(dataset, tmp_path / "run", *SMALL)
    begins = ("--init", str(tmp_path / "run"))
    other = tmp_path / "other"
    shutil.copytree(dataset, other)
    for path in other.rglob("models_info.json"):
        infos = json.loads(path.read_text())
        axis = {"axis": [0, 0, 1], "offset": [0, 0, 0]}
        path.write_text(json.dumps({k: {**info, "symmetries_continuous": [axis]} for k, info in infos.items()}))
    for data, more, message in (
        (dataset, ("--model", "keypoints"), "--model: got keypoints, but the run of --init is one of position"),
        (other, (), "symmetric motions, expected the estimator's"),
        (tmp_path / "nowhere", ("--labels", "0"), "nowhere: no such folder"),
        (dataset, ("--labels", "0", "--size", "64"), "--size: is what the run of --init has"),
        (dataset, ("--labels", "0", "--model", "keypoints"), "but the run of --init is one of position"),
        (dataset, ("--labels", "0", "--render.frames", "5"), "got 1 folders and 5 frames"),
    ):
        with pytest.raises(SystemExit):
            _train(data, tmp_path / "second", *begins, *more)
        assert message in capsys.readouterr().err
        assert not (tmp_path / "second").exists()
