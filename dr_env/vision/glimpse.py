"""Glimpses: frames of one Spec after another, fast: pictures alone, by workers that keep their compiled models."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError
from dr_env.export import FrameSource, SourceRequest, cores
from dr_env.parent import leave_with_parent
from dr_env.spatial import Array
from dr_env.spec import Spec

Pixels = NDArray[np.uint8]


@dataclasses.dataclass(frozen=True, eq=False)
class Glimpses:
    """Frames of one Spec.

    Attributes:
        images: (n, h, w, 3) uint8 RGB, as the camera's sensor gives them.
        positions: by class name, (n, 3) m where the middle of the first object of it is to OpenCV's camera, NaN where
            it is not; empty unless asked for.
    """

    images: Pixels
    positions: Mapping[str, Array]


class Glimpser:
    """Renders frames 0, 1, ... of any Spec that differs from the first in numbers; all with the same random numbers.

    Args:
        request: what is rendered; its Spec is the first.
        workers: processes; 0 for this one alone. No pixel depends on it.
    """

    def __init__(self, request: SourceRequest, workers: int) -> None:
        if workers < 0:
            raise DREnvError(f"workers: got {workers}, expected 0 or more")
        self._request, self._workers = request, workers
        self._source = _Open(request) if not workers else None
        self._pool = None
        if workers:
            # a forked copy of a process that has drawn would share its OpenGL context
            context = multiprocessing.get_context("spawn")
            each = max(1, cores() // workers)
            self._pool = ProcessPoolExecutor(workers, context, _begin, (request, each))

    def __call__(self, spec: Spec, count: int, positions: bool = False, first: int = 0) -> Glimpses:
        """Frames of a Spec.

        Args:
            spec: what is rendered.
            count: how many.
            positions: whether to tell where objects are.
            first: the first frame's number.

        Raises:
            DREnvError: where the Spec cannot be rendered, or a worker has died.
        """
        if self._source is not None:
            return self._source.frames(spec, range(first, first + count), positions)
        if self._pool is None:
            raise RuntimeError("closed")
        shares = [range(first + k, first + count, self._workers) for k in range(min(self._workers, count))]
        try:
            parts = list(self._pool.map(_frames, [spec] * len(shares), shares, [positions] * len(shares)))
        except BrokenProcessPool as error:
            raise DREnvError("a worker that renders has died; with little memory try fewer --workers") from error
        places = np.argsort(np.concatenate([np.array(share) for share in shares]), kind="stable")
        known = {name for part in parts for name in part.positions}
        return Glimpses(
            np.concatenate([part.images for part in parts])[places],
            {
                name: np.concatenate(
                    [part.positions.get(name, np.full((len(part.images), 3), np.nan)) for part in parts]
                )[places]
                for name in sorted(known)
            },
        )

    def close(self) -> None:
        """Ends the workers."""
        if self._source is not None:
            self._source.close()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> Glimpser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Open:
    """A source that is retuned where it can be, and opened anew where it cannot."""

    def __init__(self, request: SourceRequest) -> None:
        self._request = request
        self._source: FrameSource | None = None

    def frames(self, spec: Spec, which: range, positions: bool) -> Glimpses:
        source = self._of(spec)
        middles = {kind.name: np.append(kind.middle, 1.0) for kind in source.classes}
        images, found = [], []
        for index in which:
            frame = source.frame(index, labels=positions)
            images.append(frame.rgb if frame.sensed_rgb is None else frame.sensed_rgb)
            places: dict[str, Array] = {}
            for view in frame.objects:
                places.setdefault(view.class_name, view.camera_from_object[:3] @ middles[view.class_name])
            found.append(places)
        missing = np.full(3, np.nan)
        names = sorted({name for places in found for name in places})
        return Glimpses(
            np.asarray(images, np.uint8),
            {name: np.array([places.get(name, missing) for places in found], np.float64) for name in names},
        )

    def _of(self, spec: Spec) -> FrameSource:
        if self._source is None or not self._source.retune(spec):
            self.close()
            self._source = dataclasses.replace(self._request, spec=spec.to_yaml()).open()
        return self._source

    def close(self) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None


_open: _Open | None = None  # a worker's own


def _begin(request: SourceRequest, each: int) -> None:
    """Makes a process a worker that draws with `each` cores; Mesa takes all of the machine's otherwise."""
    global _open
    leave_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who started this decides
    os.environ.setdefault("LP_NUM_THREADS", str(each))
    cv2.setNumThreads(1)
    _open = _Open(request)


def _frames(spec: Spec, which: range, positions: bool) -> Glimpses:
    if _open is None:
        raise RuntimeError("not a worker")
    return _open.frames(spec, which, positions)
