"""`dr-env vision train` on small datasets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dr_env.cli.main import main
from dr_env.vision import card
from tests.vision.made_datasets import write


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data"), 9) / "bop"


def command(dataset: Path, out: Path, *more: str) -> list[str]:
    base = ["vision", "train", "--data", str(dataset), "--out", str(out), "--steps", "2", "--batch", "3"]
    return [*base, "--held-out", "0.3", "--threads", "1", "--device", "cpu", "--width", "8", "--quiet", *more]


@pytest.mark.parametrize("model", ["position", "keypoints"])
def test_it_trains_either_model_and_says_where_it_is(
    model: str, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    main(command(dataset, out, "--model", model, "--size", "32"))
    estimator = card.load(out)
    assert estimator.kind == model and estimator.size == 32
    said = capsys.readouterr().out
    assert f"{estimator.unit} at step" in said and f"wrote {out / 'card.json'}" in said
    found = card.read(out)["training"]
    assert found["steps"] == 2 and found["finished"] and found["examples"] > 0
    run = json.loads((out / "run.json").read_text())
    assert run["settings"]["batch"] == 3 and not (out / "bank").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--model", "keypoints", "--frame", "world"), "keypoints: no setting 'frame'"),
        (("--size", "50"), "size: got 50, expected a multiple of 16"),
        (("--batch", "1"), "batch: got 1, expected at least 2"),
        (("--init", "nowhere"), "--width: is what the run of --init has"),
        (("--split", "test"), "no split 'test'"),
        (("--epochs", "inf"), "epochs: got inf, expected at least 1e-09, and finite"),
    ],
)
def test_what_does_not_fit_is_one_error_and_nothing_is_left(
    more: tuple[str, ...], message: str, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(command(dataset, tmp_path / "run", *more))
    assert ended.value.code == 2 and message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
