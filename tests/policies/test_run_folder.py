"""A run's folder: one training at a time, whole after any stop, and clear about a full disk."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from dr_env import DREnvError, Spec
from dr_env.cli.main import main
from dr_env.errors import StorageError
from dr_env.locks import alone
from policies import checkpoint
from policies.checkpoint import Run
from policies.ppo import PPOTrainer

SMALL = ["--set", "num_envs=8", "--set", "n_steps=16", "--set", "batch_size=64", "--set", "n_epochs=1"]
TRAIN = ["train", "inverted_pendulum", "--steps", "256", "--quiet", *SMALL]


def test_one_training_at_a_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    main([*TRAIN, "--out", str(run)])
    before = (run / "progress.jsonl").read_bytes()
    with alone(run, "training"):
        for arguments in (
            ["train", "--resume", str(run), "--steps", "512"],
            [*TRAIN, "--out", str(run), "--overwrite"],
        ):
            with pytest.raises(SystemExit):
                main(arguments)
            assert f"{run}: another process is training here" in capsys.readouterr().err
    assert (run / "progress.jsonl").read_bytes() == before
    main(["train", "--resume", str(run), "--steps", "512", "--quiet"])
    assert PPOTrainer().load(run).steps >= 512


def test_killed_before_its_first_files_it_can_be_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    for _ in range(2):  # a new run, and one that replaces it
        with monkeypatch.context() as patch:
            patch.setattr(Spec, "save", stopped)
            with pytest.raises(SystemExit):
                main([*TRAIN, "--out", str(run), "--overwrite"])
        assert json.loads((run / "config.json").read_text())["task"] == "inverted_pendulum"
        main([*TRAIN, "--out", str(run), "--overwrite"])
        assert len(Run(run).curve()) == 2


def test_a_disk_that_is_full_is_one_line_and_the_last_checkpoint_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    main([*TRAIN, "--out", str(run)])
    full = OSError(errno.ENOSPC, "No space left on device")

    def fails(*_: Any, **__: Any) -> None:
        raise full

    monkeypatch.setattr(checkpoint.np, "savez", fails)
    with pytest.raises(SystemExit) as stop:
        main(["train", "--resume", str(run), "--steps", "512", "--quiet"])
    assert stop.value.code == 2
    assert "cannot write the checkpoint: No space left on device; earlier ones are intact" in capsys.readouterr().err
    assert PPOTrainer().load(run).steps == 256
    assert not list((run / "checkpoints").glob(".*"))
    with pytest.raises(StorageError, match=r"progress\.jsonl: cannot write"):
        Run(tmp_path / "none").log({"steps": 1})
    assert issubclass(StorageError, DREnvError)
