"""`dr-env export` and `dr-env replay` as a shell sees them."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from dr_env.cli.main import main
from tests.export.test_pipeline import SCENE


@pytest.fixture
def scene(tmp_path: Path) -> str:
    path = tmp_path / "blocks.xml"
    path.write_text(SCENE)
    return str(path)


def _export(scene: str, out: Path, *more: str) -> None:
    main(["export", "--task", scene, "--frames", "5", "--out", str(out), "--width", "64", "--height", "48",
          "--jitter", "0.1", "--workers", "0", "--quiet", *more])  # fmt: skip


def test_export_and_replay(scene: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "data"
    _export(
        scene, out, "--format", "bop,yolo", "--quota", "class=cube,ball", "angle=0..90,90..180*0.5", "--attempts", "3"
    )
    printed = capsys.readouterr().out
    assert "5 frames in" in printed
    assert "accepted: " in printed
    assert "90..180" in printed
    assert (out / "yolo/data.yaml").exists()
    assert (out / "index.html").exists()
    manifest = json.loads((out / "manifest.json").read_text())
    # the command that it tells makes the same dataset
    words = shlex.split(manifest["command"])[1:]
    assert words[0] == "export"
    words[words.index("spec.yaml")] = str(out / "spec.yaml")
    main([*words, "--out", str(tmp_path / "again" / "data"), "--workers", "0", "--quiet"])
    for name in ("frames/000000.jsonl", "checksums/000000.txt"):
        assert (tmp_path / "again/data" / name).read_bytes() == (out / name).read_bytes()
    capsys.readouterr()
    main(["replay", str(out), "--frame", "3", "--out", str(tmp_path / "three")])
    assert "the same, bit for bit: bop, yolo" in capsys.readouterr().out
    record = out / "frames/000000.jsonl"
    record.write_text(record.read_text().replace(manifest["provenance"]["model"], ""))
    lines = record.read_text().splitlines()
    lines[2] = json.dumps(
        {**json.loads(lines[2]), "checksums": {"bop": "0", "yolo": json.loads(lines[2])["checksums"]["yolo"]}}
    )
    record.write_text("\n".join(lines) + "\n")
    with pytest.raises(SystemExit) as stop:
        main(["replay", str(out), "--frame", "2", "--out", str(tmp_path / "two")])
    assert stop.value.code == 1
    assert "differs: bop, though versions and renderer are the same" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--format", "bob"], "format: no format 'bob'; did you mean 'bop'"),
        (["--every", "1"], "--every: got 1"),
        (["--shard", "0"], "shard: got 0"),
        (["--renderer", "clasic"], "did you mean 'classic'"),
        (["--spec", "nowhere.yaml"], "nowhere.yaml: no such file"),
        (["--camera", "ey"], "eye"),
        (["--attempts", "0"], "attempts: got 0"),
        (["--seed", "-1"], "seed: got -1"),
        (["--task", "tabeltop", "--spec", "x.yaml"], "did you mean 'tabletop'"),
    ],
)
def test_bad_input_is_one_line(
    scene: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        _export(scene, tmp_path / "data", *more)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "data").exists()


def test_replay_of_what_is_no_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["replay", str(tmp_path), "--frame", "0"])
    assert stop.value.code == 2
    assert "no dataset of dr-env export" in capsys.readouterr().err
