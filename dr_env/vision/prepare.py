"""Makes the examples that an estimator learns from a few images at a time, the same in whatever process."""

from __future__ import annotations

import inspect
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from dr_env.errors import DREnvError
from dr_env.files import atomic_path
from dr_env.parent import leave_with_parent
from dr_env.records import versions
from dr_env.rng import digest, generator
from dr_env.vision.estimator import Estimator, Example
from dr_env.vision.known import digest_models, identity
from dr_env.vision.samples import Images

FORMAT = "dr_env/bank/1"

_PACKAGES = ("dr-env", "numpy", "opencv-python-headless")

Rows = NDArray[np.void]
"""Examples as a structured array: a field for "image" and for each label."""


def opened(path: Path) -> Rows | None:
    """A chunk as it lies on disk, mapped; None where it is not there or not whole."""
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError, EOFError):
        return None


class Preparing:
    """Makes chunks; what each worker keeps."""

    def __init__(self, estimator: Estimator, data: Sequence[Images], seed: int) -> None:
        self._estimator, self._data, self._seed = estimator, data, seed
        self._ends = np.cumsum([len(images) for images in data])

    def chunk(self, path: Path, numbers: NDArray[np.intp]) -> None:
        """Writes the examples of the images with these numbers, shuffled, since those of one image are alike."""
        made: list[Example] = []
        for number in map(int, numbers):
            which = int(np.searchsorted(self._ends, number, side="right"))
            images = self._data[which]
            sample = images[number - int(self._ends[which]) + len(images)]
            found = self._estimator.examples(sample, generator("examples", self._seed, number))
            for example in found:
                if (made and _kind(example) != _kind(made[0])) or "image" not in example:
                    raise DREnvError(f"{sample.name}: got an example of {_kind(example)}, expected one like the others")
            made += found
        rows = np.zeros(len(made), _kind(made[0]) if made else np.uint8)
        for row, at in enumerate(generator("rows", self._seed, *map(int, numbers[:1])).permutation(len(made))):
            for name, value in made[at].items():
                rows[name][row] = value
        with atomic_path(path) as temporary:
            np.save(temporary, rows, allow_pickle=False)


def _kind(example: Example) -> np.dtype[np.void]:
    return np.dtype([(name, np.asarray(value).dtype, np.shape(value)) for name, value in example.items()])


_mine: Preparing  # of a worker process


def begin_worker(estimator: Estimator, data: Sequence[Images], seed: int) -> None:
    """Makes a worker ready."""
    global _mine
    leave_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who started this decides
    os.environ.setdefault("LP_NUM_THREADS", "1")  # Mesa takes all of the machine's cores otherwise, in each worker
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    _mine = Preparing(estimator, data, seed)


def make_chunk(path: Path, numbers: NDArray[np.intp]) -> None:
    _mine.chunk(path, numbers)


def describe(estimator: Estimator, data: Sequence[Images], seed: int, held_out: float) -> dict[str, Any]:
    """Everything that examples depend on, as plain data."""
    kind = type(estimator)
    try:
        code = inspect.getsource(inspect.getmodule(kind) or kind)
    except (OSError, TypeError):  # made where there is no file
        code = ""
    return {
        "format": FORMAT,
        "estimator": {"kind": estimator.kind, "class": f"{kind.__module__}.{kind.__qualname__}",
                      "code": f"{digest(code):016x}", **estimator.settings(),
                      "models": digest_models(estimator.models)},
        "data": [{"images": len(images), "identity": identity(images)} for images in data],
        "seed": seed,
        "held_out": held_out,
        "versions": versions(*_PACKAGES),
    }  # fmt: skip
