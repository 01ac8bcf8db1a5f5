"""The folder of a training run: everything needed to go on, or to use the policy; no pickles.

RUN/config.json          task, algorithm, PPO's numbers, seed, versions
RUN/randomization.yaml   the Spec
RUN/progress.jsonl       the learning curve, a line an update
RUN/tensorboard/         the same and more, for TensorBoard
RUN/failures/*.json      Draws that made a simulation diverge, if any did
RUN/tuned.yaml           the ranges that a tuner has reached, if one drove them
RUN/checkpoints/STEPS/   policy.safetensors, optimizer.pt, normalizer.npz, state.json
"""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from safetensors.torch import load_file
from safetensors.torch import save as save_tensors
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecNormalize

from dr_env import DREnvError, Spec
from dr_env.errors import StorageError
from dr_env.files import append_line, write_text
from dr_env.locks import alone
from dr_env.records import versions

FORMAT = "dr_env/run/1"
KEEP = 2
_CONFIG = "config.json"
_KEYS = ("algorithm", "task", "seed", "threads", "observations", "ppo")
_PACKAGES = ("dr-env", "mujoco", "gymnasium", "numpy", "stable-baselines3", "torch")


class Run:
    """A run folder."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @classmethod
    def create(cls, folder: str | Path, config: Mapping[str, Any], spec: Spec, overwrite: bool) -> Run:
        """Makes a run folder; refuses one that holds something else, or a run unless `overwrite`."""
        folder = Path(folder)
        if folder.exists() and any(folder.iterdir() if folder.is_dir() else [folder]):
            if not _is_run(folder):
                raise DREnvError(f"{folder}: exists and is not a run; choose another folder")
            if not overwrite:
                raise DREnvError(f"{folder}: holds a run already; use --resume {folder}, --overwrite or another --out")
            with alone(folder, "training"):
                _empty(folder)
        run = cls(folder)
        recorded = {"format": FORMAT, **config, "versions": versions(*_PACKAGES)}
        write_text(folder / _CONFIG, json.dumps(recorded, indent=2))  # first, so that what is killed here is a run
        spec.save(folder / "randomization.yaml")
        return run

    @property
    def config(self) -> dict[str, Any]:
        """What `create` wrote. Raises DREnvError when the folder is not a run."""
        path = self.folder / _CONFIG
        try:
            data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise DREnvError(f"{self.folder}: not a run, it has no config.json") from error
        except (OSError, ValueError) as error:
            raise DREnvError(f"{path}: cannot read: {error}") from error
        found = data.get("format") if isinstance(data, dict) else type(data).__name__
        if found != FORMAT:
            raise DREnvError(f"{path} format: got {found!r}, expected {FORMAT!r}")
        for key in _KEYS:
            if key not in data:
                raise DREnvError(f"{path} {key}: missing; keys: {', '.join(_KEYS)}")
        return data

    def record(self, changed: Mapping[str, Any]) -> None:
        """Changes what `config` says."""
        write_text(self.folder / _CONFIG, json.dumps({**self.config, **changed}, indent=2))

    @property
    def spec(self) -> Spec:
        """The Spec that the run trains under."""
        return Spec.load(self.folder / "randomization.yaml")

    # the learning curve

    def log(self, row: Mapping[str, float]) -> None:
        """Adds a line to the learning curve. Raises StorageError where it cannot be written."""
        append_line(self.folder / "progress.jsonl", json.dumps(row))

    def curve(self) -> list[dict[str, float]]:
        """The learning curve; a line cut off by a crash is left out."""
        path = self.folder / "progress.jsonl"
        rows = []
        for line in path.read_text(errors="replace", encoding="utf-8").splitlines() if path.exists() else []:
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(row, dict) and "steps" in row:
                rows.append(row)
        return rows

    def rewind(self, steps: int) -> None:
        """Drops the learning curve's lines after `steps`, which a resumed run writes again."""
        rows = [json.dumps(row) for row in self.curve() if row["steps"] <= steps]
        write_text(self.folder / "progress.jsonl", "".join(row + "\n" for row in rows))

    # checkpoints

    def checkpoints(self) -> list[Path]:
        """Whole checkpoints, oldest first."""
        found = (self.folder / "checkpoints").glob("[0-9]*")
        return sorted(path for path in found if (path / "state.json").exists())

    def clear_drafts(self) -> None:
        """Removes half-written checkpoints that a kill -9 left behind."""
        for draft in (self.folder / "checkpoints").glob(".*"):
            shutil.rmtree(draft)

    def latest(self) -> Path:
        """The last whole checkpoint. Raises DREnvError when there is none."""
        _ = self.config
        found = self.checkpoints()
        if not found:
            raise DREnvError(f"{self.folder}: no checkpoint yet; train it again with --overwrite")
        return found[-1]

    def save(
        self,
        policy: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        norm: VecNormalize,
        steps: int,
        tuner: Mapping[str, Any] | None = None,
    ) -> None:
        """Writes a checkpoint beside the last ones, whole or not at all, and drops the oldest.

        Raises:
            StorageError: it cannot be written; the last ones are intact.
        """
        target = self.folder / "checkpoints" / f"{steps:012d}"
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            draft.mkdir(parents=True, exist_ok=True)
            weights = {name: value.contiguous().clone() for name, value in policy.state_dict().items()}
            (draft / "policy.safetensors").write_bytes(save_tensors(weights))
            state = io.BytesIO()  # torch and safetensors have errors of their own for files
            torch.save(optimizer.state_dict(), state)
            (draft / "optimizer.pt").write_bytes(state.getvalue())
            np.savez(draft / "normalizer.npz", allow_pickle=False, **_normalizer_arrays(norm))
            kept = json.dumps({"steps": steps, **({"tuner": tuner} if tuner else {})})
            (draft / "state.json").write_text(kept, encoding="utf-8")
            if target.exists():
                shutil.rmtree(target)
            draft.replace(target)
        except OSError as error:
            text = f"{target}: cannot write the checkpoint: {error.strerror}; earlier ones are intact"
            raise StorageError(text) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        for old in self.checkpoints()[:-KEEP]:
            shutil.rmtree(old)


def read_steps(checkpoint: Path) -> int:
    """The environment steps that a checkpoint was trained for."""
    return int(_read_state(checkpoint)["steps"])


def read_tuner(checkpoint: Path) -> dict[str, Any] | None:
    """The state of the tuner that drove the ranges, or None where none did."""
    return _read_state(checkpoint).get("tuner")


def _read_state(checkpoint: Path) -> dict[str, Any]:
    path = checkpoint / "state.json"
    try:
        state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        int(state["steps"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DREnvError(f"{path}: damaged, it should hold the number of steps") from error
    return state


def load_weights(checkpoint: Path, policy: torch.nn.Module, optimizer: torch.optim.Optimizer | None = None) -> None:
    """Reads weights, and the optimizer's state, without running any code from the files."""
    try:
        policy.load_state_dict(load_file(checkpoint / "policy.safetensors"))
        if optimizer is not None:
            optimizer.load_state_dict(torch.load(checkpoint / "optimizer.pt", weights_only=True))
    except Exception as error:  # safetensors, torch and the file system each have their own
        raise DREnvError(f"{checkpoint}: damaged, or of another network: {error}") from error


def load_normalizer(checkpoint: Path, norm: VecNormalize) -> None:
    """Reads the normaliser's statistics."""
    statistics = _statistics(norm)
    arrays = read_normalizer(checkpoint, len(statistics["obs"].mean))
    for name, stats in statistics.items():
        stats.mean, stats.var = arrays[f"{name}_mean"], arrays[f"{name}_var"]
        stats.count = float(arrays[f"{name}_count"])


def _empty(folder: Path) -> None:
    """Removes a run's files but the one that says that it is one, which the next run replaces."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != _CONFIG:
            path.unlink()


def _is_run(folder: Path) -> bool:
    """Whether a folder's config.json is that of a run, of this version or another."""
    try:
        found = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and str(found.get("format", "")).startswith(FORMAT.rpartition("/")[0])


def read_normalizer(checkpoint: Path, size: int) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    """The normaliser's statistics by name, of observations with `size` numbers.

    These are obs_mean, obs_var (size,), obs_count, ret_mean, ret_var, ret_count.
    """
    path = checkpoint / "normalizer.npz"
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DREnvError(f"{path}: damaged: {error}") from error
    for name in (f"{kind}_{key}" for kind in ("obs", "ret") for key in ("mean", "var", "count")):
        shape = (size,) if name in ("obs_mean", "obs_var") else ()
        if name not in arrays or arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
            raise DREnvError(f"{path}: damaged: {name} is not there, or not finite numbers of shape {shape}")
    return arrays


def _normalizer_arrays(norm: VecNormalize) -> dict[str, Any]:
    arrays = {}
    for name, stats in _statistics(norm).items():
        for key in ("mean", "var", "count"):
            arrays[f"{name}_{key}"] = np.asarray(getattr(stats, key), np.float64)
    return arrays


def _statistics(norm: VecNormalize) -> dict[str, RunningMeanStd]:
    """Of observations, in a Dict of its key `observation`, and of returns; 0 and 1 where nothing is normalised."""
    observations = getattr(norm, "obs_rms", None)
    if observations is None:
        space = norm.observation_space
        shape = (space["observation"] if isinstance(space, gym.spaces.Dict) else space).shape
        observations = RunningMeanStd(shape=shape or ())
    return {"obs": observations["observation"] if isinstance(observations, dict) else observations, "ret": norm.ret_rms}
