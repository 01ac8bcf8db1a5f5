"""Makes the examples that an estimator learns from a few images at a time, the same in whatever process."""

from __future__ import annotations

import inspect
import multiprocessing
import os
import signal
import threading
from collections.abc import Mapping, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from dr_env.errors import DREnvError
from dr_env.files import atomic_path
from dr_env.records import versions
from dr_env.rng import digest, generator
from dr_env.vision.estimator import Estimator, Example
from dr_env.vision.part import Part
from dr_env.vision.samples import Images, ObjectModel

FORMAT = "dr_env/bank/1"

_PROBES = 8  # images that a collection without an identity is known by
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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who started this decides
    os.environ.setdefault("LP_NUM_THREADS", "1")  # Mesa takes all of the machine's cores otherwise, in each worker
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _mine = Preparing(estimator, data, seed)


def _end_with_parent() -> None:
    """Ends this process when the one that started it is gone, even killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


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
                      "models": _digest_models(estimator.models)},
        "data": [
            {"name": images.name, "images": len(images), "identity": identity(images)} for images in data
        ],
        "seed": seed,
        "held_out": held_out,
        "versions": versions(*_PACKAGES),
    }  # fmt: skip


def identity(images: Images) -> str:
    """What names the content of a collection: its own `identity` where it has one, else a digest of a few images."""
    own = getattr(images, "identity", None)
    if own is not None:
        return str(own)
    parts: list[object] = [_digest_models(images.models)]
    for index in np.unique(np.linspace(0, len(images) - 1, _PROBES).round().astype(int)).tolist():
        sample = images[index]
        parts += [sample.name, sample.image.tobytes(), sample.intrinsics]
        parts += [(label.class_id, label.camera_from_object.tobytes()) for label in sample.annotations]
    return f"{digest(*parts):016x}"


def seen(images: Images) -> dict[str, Any]:
    """Which images these are, as plain data: their collection's name and `identity`, and the rows, or None for all."""
    rows: list[int] | None = None
    while isinstance(images, Part):
        rows = list(images.rows) if rows is None else [images.rows[row] for row in rows]
        images = images.images
    return {"name": images.name, "identity": identity(images), "rows": rows}


def _digest_models(models: Mapping[int, ObjectModel]) -> str:
    parts = (
        (k, m.name, m.vertices.tobytes(), m.faces.tobytes(), m.diameter, m.discrete.tobytes(),
         [(axis.tobytes(), offset.tobytes()) for axis, offset in m.continuous])
        for k, m in sorted(models.items())
    )  # fmt: skip
    return f"{digest(*parts):016x}"
