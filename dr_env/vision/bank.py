"""Training examples of many images, prepared once by worker processes and read back in any order."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import math
import multiprocessing
import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError
from dr_env.export import cores
from dr_env.files import check_writable, write_text
from dr_env.rng import digest, generator
from dr_env.vision.estimator import Estimator
from dr_env.vision.prepare import Preparing, Rows, begin_worker, describe, make_chunk, opened
from dr_env.vision.rendered import RenderedImages
from dr_env.vision.samples import Images

_CHUNK = 128  # images a file
_AHEAD = 4  # batches that wait for the trainer
_WORTH, _WORTH_RENDERED = 1000, 100  # images that a process more is worth starting for

Told = Callable[[int, int], None]
"""Told how many images are prepared, and of how many."""


class Bank:
    """The examples that an estimator learns from some images, on disk; what was prepared before is not made again.

    Images are taken in an order of their own: first those that are only judged on, then the others, shuffled unless
    they are rendered. The first epoch reads the others' examples as they stand, so that it needs but what is prepared
    so far; later ones shuffle all of them anew. Nothing depends on how many workers there are, nor on when they are
    done.

        FOLDER/DIGEST/bank.json            what it is of
        FOLDER/DIGEST/000000.npy           the examples of 128 images

    Args:
        estimator: whose examples.
        data: the images.
        folder: where it is kept, with those of other estimators, images or seeds.
        seed: of the split, of examples and of the order.
        held_out: share of the images that are only judged on: at least one.
        workers: processes that prepare; 0 for none but this one, which then prepares everything at once; None for as
            many as there are cores, or fewer where there is little to do.
        progress: is told how far preparing is, from another thread.

    Raises:
        DREnvError: when there are too few images, or for anything wrong with one of them.
    """

    def __init__(
        self,
        estimator: Estimator,
        data: Sequence[Images],
        folder: Path,
        *,
        seed: int = 0,
        held_out: float = 0.05,
        workers: int | None = None,
        progress: Told = lambda *_: None,
    ) -> None:
        total = sum(map(len, data))
        if total < 2:
            raise DREnvError(
                f"training data: got {total} images, expected at least 2: one to learn from, one to judge by"
            )
        if not 0 < held_out < 1 or (workers is not None and workers < 0):
            raise DREnvError(f"held_out, workers: got {held_out} and {workers}, expected a share, and 0 or more")
        aside = min(max(1, round(held_out * total)), total - 1)
        order = generator("bank", seed).permutation(total)  # the first `aside` are held out
        if any(isinstance(images, RenderedImages) for images in data):
            # consecutive frames share a compiled scene, which takes longer to make than a frame
            order = np.concatenate([np.sort(order[:aside]), np.sort(order[aside:])])
        starts = [*range(0, aside, _CHUNK), *range(aside, total, _CHUNK), total]
        self._chunks = [order[a : min(b, aside) if a < aside else b] for a, b in itertools.pairwise(starts)]
        self._first = -(-aside // _CHUNK)  # the first chunk that is learned from
        self._seed, self._images, self._told = seed, total, progress
        what = describe(estimator, data, seed, held_out)
        self.folder = folder / f"{digest(json.dumps(what, sort_keys=True)):016x}"
        check_writable(self.folder)
        write_text(self.folder / "bank.json", json.dumps(what, indent=2) + "\n")
        self._rows: list[Rows] = []  # of chunks in order, as far as they have been asked for
        self._bytes: list[NDArray[np.uint8]] = []  # (n, bytes) the same, of those learned from
        self._begins = [0]  # the first row of each of them among those learned from
        self._shuffled: tuple[int, NDArray[np.intp]] = (-1, np.zeros(0, np.intp))  # the latest epoch's order
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None
        self._waiting: dict[int, Future[None]] = {}
        self._prepare(estimator, data, workers)

    # preparing

    def _prepare(self, estimator: Estimator, data: Sequence[Images], workers: int | None) -> None:
        missing = [k for k in range(len(self._chunks)) if opened(self._path(k)) is None]
        self._done = self._images - sum(len(self._chunks[k]) for k in missing)
        self._told(self._done, self._images)
        if not missing:
            return
        worth = _WORTH_RENDERED if any(isinstance(images, RenderedImages) for images in data) else _WORTH
        count = min(cores(), (self._images - self._done) // worth) if workers is None else workers
        if not count:
            preparing = Preparing(estimator, data, self._seed)
            for k in missing:
                preparing.chunk(self._path(k), self._chunks[k])
                self._count(k)
            return
        context = multiprocessing.get_context("spawn")  # a forked copy of torch's threads, or of OpenGL, is no use
        self._pool = ProcessPoolExecutor(
            min(count, len(missing)), context, initializer=begin_worker, initargs=(estimator, data, self._seed)
        )
        self._left = len(missing)
        for k in missing:
            self._waiting[k] = self._pool.submit(make_chunk, self._path(k), self._chunks[k])
        for k, future in self._waiting.items():
            future.add_done_callback(functools.partial(self._ended, k))

    def _ended(self, chunk: int, future: Future[None]) -> None:
        self._left -= 1
        if not future.cancelled() and future.exception() is None:
            self._count(chunk)
        if not self._left and self._pool is not None:  # workers hold memory that training has a use for
            self._pool.shutdown(wait=False)

    def _count(self, chunk: int) -> None:
        self._done += len(self._chunks[chunk])
        self._told(self._done, self._images)

    def _path(self, chunk: int) -> Path:
        return self.folder / f"{chunk:06d}.npy"

    def _chunk(self, chunk: int) -> Rows:
        """The examples of a chunk, once it and those before it are there."""
        while len(self._rows) <= chunk:
            k = len(self._rows)
            self._await(k)
            with self._lock:
                if len(self._rows) == k:  # else another thread was quicker
                    self._add(k)
        return self._rows[chunk]

    def _await(self, chunk: int) -> None:
        try:
            if chunk in self._waiting:
                self._waiting[chunk].result()
        except BrokenProcessPool as error:
            raise DREnvError(
                f"{self.folder}: a worker that prepares examples has died: the machine may be out of memory: "
                "try fewer workers; what is done is kept"
            ) from error

    def _add(self, chunk: int) -> None:
        path = self._path(chunk)
        rows = opened(path)
        if rows is None:
            raise DREnvError(f"{path}: was there and is damaged or gone now; run it again")
        known = next((each for each in self._rows if len(each)), rows)
        if len(rows) and rows.dtype != known.dtype:
            raise DREnvError(f"{path}: got examples of {rows.dtype}, expected {known.dtype} as the first are")
        if chunk >= self._first:
            self._begins.append(self._begins[-1] + len(rows))
            self._bytes.append(rows.view(np.uint8).reshape(len(rows), rows.itemsize))
        self._rows.append(rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the workers; what is prepared stays."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def discard(self) -> None:
        """Ends the workers and removes what is prepared."""
        self.close()
        self._rows.clear()
        self._bytes.clear()
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # others are kept there
            self.folder.parent.rmdir()

    # reading

    @property
    def size(self) -> int:
        """How many examples are learned from; waits until all are prepared. Raises DREnvError where there are none."""
        if not self._ready(math.inf):
            raise DREnvError(
                f"training data: {self._images} images give no example to learn from: does any show what the "
                "estimator is of?"
            )
        return self._begins[-1]

    @property
    def about(self) -> dict[str, Any]:
        """How many images, examples to learn from (None while they are prepared) and held-out ones."""
        held_out = sum(len(self._chunk(k)) for k in range(self._first))
        whole = len(self._rows) == len(self._chunks)
        examples = self._begins[-1] if whole else None
        return {"images": self._images, "examples": examples, "held_out": held_out}

    def labels(self, count: int) -> dict[str, NDArray[Any]]:
        """The labels of the first `count` examples that are learned from, or of all; name -> (n, ...)."""
        if self._ready(count) < count:
            count = self.size
        return {name: value for name, value in self._take(np.arange(count)).items() if name != "image"}

    def batches(self, batch: int, step: int, steps: int) -> Iterator[dict[str, NDArray[Any]]]:
        """The batches of steps `step` to `steps`, each of which depends on its number alone; read ahead by a thread.

        Args:
            batch: examples a batch.
            step: the first step, from 0.
            steps: after the last one.
        """
        todo = iter(range(step, steps))
        pool = ThreadPoolExecutor(1, "bank")
        try:
            ahead = deque(pool.submit(self._batch, batch, number) for number in itertools.islice(todo, _AHEAD))
            while ahead:
                made = ahead.popleft().result()
                ahead.extend(pool.submit(self._batch, batch, number) for number in itertools.islice(todo, 1))
                yield made
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def held_out(self, batch: int) -> Iterator[dict[str, NDArray[Any]]]:
        """The examples that are only judged on, in order."""
        rows = [rows for k in range(self._first) if len(rows := self._chunk(k))]
        if not rows:
            raise DREnvError(f"{self.folder}: no held-out image gives an example to judge by; hold out more")
        found = np.concatenate(rows)
        for start in range(0, len(found), batch):
            yield _plain(found[start : start + batch])

    def _ready(self, wanted: float) -> int:
        """How many examples are there to learn from: at least those wanted, or all."""
        while self._begins[-1] < wanted and len(self._rows) < len(self._chunks):
            self._chunk(len(self._rows))
        return self._begins[-1]

    def _batch(self, batch: int, number: int) -> dict[str, NDArray[Any]]:
        places = np.arange(number * batch, (number + 1) * batch)
        if self._ready(len(places) + places[0]) > places[-1]:  # in the first epoch: as they are kept
            return self._take(places)
        epochs, within = np.divmod(places, self.size)
        return self._take(np.concatenate([self._order(int(e))[within[epochs == e]] for e in np.unique(epochs)]))

    def _order(self, epoch: int) -> NDArray[np.intp]:
        """The order of all examples in an epoch; made by one thread, and kept for the next batch."""
        if self._shuffled[0] != epoch:
            order = generator("order", self._seed, epoch).permutation(self.size) if epoch else np.arange(self.size)
            self._shuffled = epoch, order
        return self._shuffled[1]

    def _take(self, rows: NDArray[np.intp]) -> dict[str, NDArray[Any]]:
        """The examples with these numbers among those that are learned from."""
        chunks = np.searchsorted(self._begins, rows, side="right") - 1
        within = rows - np.array(self._begins)[chunks]
        kind = next(rows.dtype for rows in self._rows[self._first :] if len(rows))
        made = np.empty((len(rows), kind.itemsize), np.uint8)
        for i, (chunk, row) in enumerate(zip(chunks.tolist(), within.tolist(), strict=True)):
            made[i] = self._bytes[chunk][row]
        return _plain(made.view(kind)[:, 0])


def _plain(rows: Rows) -> dict[str, NDArray[Any]]:
    """An array for each field, as torch takes them."""
    return {name: np.ascontiguousarray(rows[name]) for name in rows.dtype.names or ()}
