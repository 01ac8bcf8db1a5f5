"""A worker process: renders in its main thread, encodes and writes in others."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from dr_env.errors import DREnvError
from dr_env.export.maker import Candidate, Maker
from dr_env.export.request import ExportRequest
from dr_env.export.store import PARTIAL

LOCK = "workers.lock"


@dataclass(frozen=True)
class Render:
    """A job: these frames."""

    frames: tuple[int, ...]


@dataclass(frozen=True)
class Seal:
    """A job: finish a shard all of whose frames are there."""

    shard: int


@dataclass(frozen=True)
class Finish:
    """A job: write what belongs to the whole dataset."""


Job = Render | Seal | Finish


@dataclass(frozen=True)
class Report:
    """What a worker says.

    Attributes:
        kind: ready, frame, sealed, finished, error (bad input) or crash (a bug).
        number: the frame or shard.
        candidates: how many were drawn for the frame.
        size: bytes written.
        data: provenance, the dataset's summary, or an error's text.
    """

    kind: str
    number: int = 0
    candidates: int = 0
    size: int = 0
    data: Any = None


def work(pipe: Connection, request: ExportRequest, root: Path, threads: int, cores: int) -> None:
    """Runs jobs from the pipe until it gets None, or whoever sends them has gone.

    Args:
        pipe: jobs come in, reports go out.
        request: what the dataset is.
        root: its folder.
        threads: threads that encode and write.
        cores: cores for this worker's drawing; Mesa takes all of the machine's otherwise, in each worker.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who started this decides
    os.environ.setdefault("LP_NUM_THREADS", str(cores))
    import cv2

    cv2.setNumThreads(1)
    sending = threading.Lock()

    def send(report: Report) -> None:
        with sending:
            pipe.send(report)

    # held as long as this process lives, so that a later run can tell whether it still writes
    with (root / PARTIAL / LOCK).open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError), _reported(send):
            _work(pipe, request, root, threads, send)


@contextlib.contextmanager
def _reported(send: Callable[[Report], None]) -> Iterator[None]:
    """Sends what goes wrong in the block, other than that nobody listens."""
    try:
        yield
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise
    except DREnvError as error:
        send(Report("error", data=str(error)))
    except BaseException:
        send(Report("crash", data=traceback.format_exc()))


def _work(pipe: Connection, request: ExportRequest, root: Path, threads: int, send: Callable[[Report], None]) -> None:
    room = threading.Semaphore(2 * threads)  # frames that wait hold memory
    maker = Maker(request, root)

    def write(candidate: Candidate) -> None:
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError), _reported(send):
                size = maker.write(candidate)
                send(Report("frame", candidate.example.frame.index, candidate.attempt + 1, size))
        finally:
            room.release()

    try:
        send(Report("ready", data=maker.provenance()))
        with ThreadPoolExecutor(threads) as pool:
            while (job := pipe.recv()) is not None:
                if isinstance(job, Seal):
                    maker.seal(job.shard)
                    send(Report("sealed", job.shard))
                elif isinstance(job, Finish):
                    send(Report("finished", data=maker.finish()))
                else:
                    for frame in job.frames:
                        room.acquire()
                        pool.submit(write, maker.render(frame))
    finally:
        maker.close()
