"""Scores of pose estimators in the transfer report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dr_env import DREnvError
from dr_env.evaluation import read_scores

NUMBERS = {"position_median_cm": {"value": 2.0, "low": 1.5, "high": 2.5},
           "position_p90_cm": {"value": 6.0, "low": 5.0, "high": 9.0}}  # fmt: skip
FORM = {
    "format": "dr_env/pose-scores/1",
    "kind": "position",
    "images": 3,
    "objects": {"all": 4},
    "scores": {"all": NUMBERS},
}


def write(folder: Path, form: object) -> Path:
    folder.mkdir()
    (folder / "scores.json").write_text(json.dumps(form))
    return folder


def test_scores_are_read(tmp_path: Path) -> None:
    found = read_scores(write(tmp_path / "shifted", FORM))
    assert (found.name, found.kind, found.images, found.objects) == ("shifted", "position", 3, 4)
    assert (found.median.value, found.far.high) == (2.0, 9.0)
    assert found.page == tmp_path / "shifted" / "index.html"


def test_bad_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(DREnvError, match=r"scores\.json: cannot be read"):
        read_scores(tmp_path)
    with pytest.raises(DREnvError, match="format: got 'x'"):
        read_scores(write(tmp_path / "a", {"format": "x"}))
    with pytest.raises(DREnvError, match="position_p90_cm"):
        numbers = {"all": {"position_median_cm": NUMBERS["position_median_cm"]}}
        read_scores(write(tmp_path / "b", {**FORM, "scores": numbers}))
    with pytest.raises(DREnvError, match="format: got 'list'"):
        read_scores(write(tmp_path / "c", []))
