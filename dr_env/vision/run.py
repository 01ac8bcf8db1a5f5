"""The folder of an estimator's training: what it is, how far it is, and the best estimator so far; no pickles.

RUN/run.json                      estimator, data and settings; a run goes on only if they are the same
RUN/progress.jsonl                the learning curve, a line an evaluation
RUN/checkpoints/STEP/             network, optimizer, hooks (safetensors) and state.json, the newest two
RUN/card.json, weights-*          the best estimator so far (card.py)
RUN/bank/                         training examples, made once
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from dr_env.errors import DREnvError, StorageError
from dr_env.files import append_line, check_writable, write_text
from dr_env.vision import card

FORMAT = "dr_env/vision-run/1"
_KEEP = 2
Tensors = dict[str, torch.Tensor]

_PARTS, _STATE = ("network", "optimizer", "hooks"), ("step", "error", "best", "loss")  # of a checkpoint


class Run:
    """A training run's folder.

    Args:
        folder: which may not be there yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def bank(self) -> Path:
        """Where training examples are kept."""
        return self.folder / "bank"

    def begin(self, what: Mapping[str, Any]) -> None:
        """Starts the run, or finds it begun with the same estimator, data and settings.

        Args:
            what: plain data that says what is trained on what and how.

        Raises:
            DREnvError: where the folder holds something else, naming the first thing that differs.
        """
        path = self.folder / "run.json"
        wanted = json.loads(json.dumps({"format": FORMAT, **what}))
        check_writable(self.folder)
        if not path.exists():
            if any(path.name != ".lock" for path in self.folder.iterdir()):
                raise DREnvError(f"{self.folder}: is not empty and holds no training run; choose another --out")
            write_text(path, json.dumps(wanted, indent=2))
            return
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DREnvError(f"{path}: cannot be read: {error}") from error
        if (difference := _difference(found, wanted)) is not None:
            raise DREnvError(f"{self.folder}: holds another run; {difference}; choose another --out")

    # checkpoints

    def checkpoint(self, step: int, tensors: Mapping[str, Tensors], state: Mapping[str, Any]) -> None:
        """Keeps everything that is needed to go on after `step` steps; it is there whole or not at all.

        Args:
            step: steps done.
            tensors: file -> name -> tensor.
            state: plain data.
        """
        root = self.folder / "checkpoints"
        draft = root / f".{step:09d}"
        shutil.rmtree(draft, ignore_errors=True)
        try:
            draft.mkdir(parents=True)
            for name, found in tensors.items():
                plain = {key: value.detach().cpu().contiguous() for key, value in found.items()}
                (draft / f"{name}.safetensors").write_bytes(save_tensors(plain))
            (draft / "state.json").write_text(json.dumps({**state, "step": step}), encoding="utf-8")
            target = root / f"{step:09d}"
            shutil.rmtree(target, ignore_errors=True)
            draft.replace(target)
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            raise StorageError(f"{draft}: cannot write: {error.strerror}; earlier checkpoints are intact") from error
        for old in self._checkpoints()[:-_KEEP]:
            shutil.rmtree(old, ignore_errors=True)

    def newest(self) -> tuple[dict[str, Tensors], dict[str, Any]] | None:
        """What the newest checkpoint holds: file -> name -> tensor, and plain data; None before the first."""
        found = self._checkpoints()
        if not found:
            return None
        folder = found[-1]
        try:
            tensors = {path.stem: load_tensors(path.read_bytes()) for path in sorted(folder.glob("*.safetensors"))}
            state = dict(json.loads((folder / "state.json").read_text(encoding="utf-8")))
            if missing := [name for name in _PARTS if name not in tensors] + [k for k in _STATE if k not in state]:
                raise ValueError(f"it lacks '{missing[0]}'")
            return tensors, state
        except (OSError, ValueError, SafetensorError) as error:
            raise DREnvError(f"{folder}: damaged: {error}; remove it to go on from the one before") from error

    def _checkpoints(self) -> list[Path]:
        return sorted(path for path in (self.folder / "checkpoints").glob("[0-9]*") if path.is_dir())

    # the learning curve

    def log(self, line: Mapping[str, Any]) -> None:
        """Adds a line to the learning curve. Raises StorageError where it cannot be written."""
        append_line(self.folder / "progress.jsonl", json.dumps(line))

    def rewind(self, step: int) -> None:
        """Forgets the learning curve's lines of later steps, which are to come again."""
        path = self.folder / "progress.jsonl"
        if not path.exists():
            return
        whole = [line for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
        kept = [line for line in whole if json.loads(line)["step"] <= step]
        write_text(path, "".join(f"{line}\n" for line in kept))

    @property
    def finished(self) -> bool:
        """Whether training is over and the last card written."""
        return (self.folder / card.CARD).exists() and bool(card.read(self.folder)["training"].get("finished"))


def _difference(found: Any, wanted: Any, key: str = "") -> str | None:
    """The first key by which two runs differ, and how; None where they do not."""
    if isinstance(found, dict) and isinstance(wanted, dict) and "called" not in wanted:
        for name in sorted(found.keys() | wanted.keys()):
            if text := _difference(found.get(name), wanted.get(name), f"{key}.{name}" if key else name):
                return text
        return None
    return None if _bare(found) == _bare(wanted) else f"{key} is {found!r} there and {wanted!r} here"


def _bare(form: Any) -> Any:
    """The same without what things are called: a path may be spelled otherwise."""
    return json.loads(json.dumps(form), object_hook=lambda each: {k: v for k, v in each.items() if k != "called"})
