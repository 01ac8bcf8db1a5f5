"""Whether training waits for its images: the loader against the network, rendering against reading."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dr_env.export import ExportRequest, Layout, SourceRequest, cores, export
from dr_env.records import versions
from dr_env.vision.bank import Bank
from dr_env.vision.estimator import Estimator, to_images
from dr_env.vision.images import open_images
from dr_env.vision.position import PositionEstimator
from dr_env.vision.rendered import RenderedImages
from dr_env.vision.samples import Images

_FRAMES = 384
_BATCH = 64
_STEPS = 6  # a round
_ROUNDS = 5
_EPOCHS = 20  # of a training, as `dr-env vision train` does by default

Batch = Mapping[str, NDArray[Any]]


def measure(source: SourceRequest) -> dict[str, Any]:
    """Training examples per second of the position estimator, and what keeps them from being more.

    images_per_s are training steps fed by the Bank, compute_images_per_s the same steps on one batch held in memory;
    both in turn, several times, of which medians count. read_images_per_s and rendered_images_per_s are what all cores
    prepare once workers are at work, from scenes on disk and from the Spec. ratio_on_the_fly is the time a training of
    20 epochs takes an image with images rendered as they are needed, against images that are read.

    Args:
        source: what is rendered.
    """
    found: dict[str, Any] = {"batch": _BATCH, "epochs": _EPOCHS, "workers": cores(), **versions("torch", "dr-env")}
    found["threads"] = torch.get_num_threads()
    layout = Layout(_FRAMES, source.width, source.height, shard=_FRAMES)
    request = ExportRequest(source, layout, ("bop",))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export(request, folder / "data", workers=cores())
        images = open_images(folder / "data")
        estimator = PositionEstimator(images.models)
        with Bank(estimator, [images], folder / "bank", workers=0) as bank:
            estimator.prepare(bank.labels(_FRAMES))
            fed, held = _alternate(estimator, bank)
        read, rendered = (_prepared(estimator, each, folder) for each in (images, RenderedImages(request)))
    rate, limit = float(np.median(fed)), float(np.median(held))
    cost = {"read": 1 / read + _EPOCHS / rate, "rendered": 1 / rendered + _EPOCHS / rate}
    return {
        "images_per_s": rate,
        "compute_images_per_s": limit,
        "ratio_compute": float(np.median(np.divide(fed, held))),
        "read_images_per_s": read,
        "rendered_images_per_s": rendered,
        "ratio_on_the_fly": cost["rendered"] / cost["read"],
        **found,
    }


def _alternate(estimator: Estimator, bank: Bank) -> tuple[list[float], list[float]]:
    """Examples per second of rounds fed by the Bank, and of rounds on one batch, in turn."""
    step = _Step(estimator)
    batches = bank.batches(_BATCH, 0, (_ROUNDS + 1) * _STEPS)
    one = next(batches)
    step.run(itertools.repeat(one, _STEPS))  # what is made in the first steps
    fed, held = [], []
    for _ in range(_ROUNDS):
        fed.append(step.run(itertools.islice(batches, _STEPS)))
        held.append(step.run(itertools.repeat(one, _STEPS)))
    return fed, held


class _Step:
    """Training steps without a schedule, checkpoints or hooks."""

    def __init__(self, estimator: Estimator) -> None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._estimator = estimator.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._optimizer = torch.optim.AdamW(estimator.parameters(), 1e-3, fused=True)
        self._device = device

    def run(self, batches: Iterable[Batch]) -> float:
        """Examples per second."""
        begun, count = time.perf_counter(), 0
        self._estimator.train()
        for number, batch in enumerate(batches):
            tensors = {name: torch.from_numpy(value).to(self._device) for name, value in batch.items()}
            images, labels = self._estimator.view(
                to_images(tensors.pop("image")), tensors, torch.Generator().manual_seed(number)
            )
            output = self._estimator(images.contiguous(memory_format=torch.channels_last))
            loss = self._estimator.loss(output, labels).mean()
            self._optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self._estimator.parameters(), 5.0)
            self._optimizer.step()
            count += len(images)
            loss.item()  # waits for a GPU
        return count / (time.perf_counter() - begun)


def _prepared(estimator: Estimator, images: Images, folder: Path) -> float:
    """Images per second that workers make examples of, from the first that they finish."""
    seen: list[tuple[float, int]] = []
    with Bank(
        estimator.cpu(),
        [images],
        folder / "prepared",
        seed=1,
        workers=cores(),
        progress=lambda done, _: seen.append((time.perf_counter(), done)),
    ) as bank:
        _ = bank.size
    told = seen[1:]  # the first is told before there are workers
    return (told[-1][1] - told[0][1]) / (told[-1][0] - told[0][0])
