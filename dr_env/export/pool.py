"""Worker processes that take jobs, are renewed now and then, and are replaced when they die."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path

from dr_env.errors import DREnvError
from dr_env.export.request import ExportRequest
from dr_env.export.worker import Finish, Job, Render, Report, Seal, work

_AHEAD = 2  # jobs that a worker has at hand, so that it never waits for the next
_DEATHS = 3  # of workers over the same job


class _Worker:
    """A process, its pipe, and the jobs it has yet to finish."""

    def __init__(self, request: ExportRequest, root: Path, threads: int, cores: int) -> None:
        # a forked copy of a process that has drawn would share its OpenGL context
        context = multiprocessing.get_context("spawn")
        self.pipe: Connection
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, request, root, threads, cores), daemon=True)
        self.process.start()
        theirs.close()
        self.jobs: deque[Job] = deque()
        self.left: set[int] = set()  # frames that it has yet to write
        self.taken = 0  # frames that it was ever given
        self.leaving = False

    def give(self, job: Job) -> None:
        self.jobs.append(job)
        if isinstance(job, Render):
            self.left |= set(job.frames)
            self.taken += len(job.frames)
        with contextlib.suppress(BrokenPipeError):  # of a worker that has died, which is found out when it is heard
            self.pipe.send(job)

    def settle(self, report: Report) -> None:
        """Strikes off the job that a report ends."""
        if report.kind == "frame":
            self.left.discard(report.number)
        for job in list(self.jobs):
            if isinstance(job, Render):
                over = not self.left & set(job.frames)
            elif isinstance(job, Seal):
                over = report.kind == "sealed" and report.number == job.shard
            else:
                over = report.kind == "finished"
            if over:
                self.jobs.remove(job)


class Pool:
    """Workers for one export; close it when done.

    Args:
        request: what the dataset is.
        root: its folder.
        workers: how many processes.
        threads: threads that encode and write, in each.
        cores: cores for each worker's drawing.
        recycle: frames after which a worker makes room for a new one.
    """

    def __init__(
        self, request: ExportRequest, root: Path, workers: int, threads: int, cores: int, recycle: int
    ) -> None:
        self._arguments = (request, root, threads, cores)
        self._recycle = recycle
        self._jobs: deque[Job] = deque()
        self._deaths: dict[Job, int] = {}
        self._workers = [_Worker(*self._arguments) for _ in range(workers)]

    def add(self, job: Job, first: bool = False) -> None:
        """Adds a job, at the end or before all others."""
        if first:
            self._jobs.appendleft(job)
        else:
            self._jobs.append(job)

    def reports(self) -> Iterator[Report]:
        """What workers say, until no job is left; jobs may be added meanwhile.

        Raises DREnvError for what a worker refuses, or when workers die over a job again and again.
        """
        while True:
            self._hand_out()
            busy = {worker.pipe: worker for worker in self._workers}
            if not self._jobs and not any(worker.jobs for worker in self._workers):
                return
            for pipe in wait(list(busy)):
                worker = busy[pipe]  # type: ignore[index]
                try:
                    report = worker.pipe.recv()
                except (EOFError, ConnectionResetError):
                    self._replace(worker)
                    continue
                if report.kind == "error":
                    raise DREnvError(report.data)
                if report.kind == "crash":
                    raise RuntimeError(f"a worker failed:\n{report.data}")
                worker.settle(report)
                yield report

    def _hand_out(self) -> None:
        for number, worker in enumerate(self._workers):
            if worker.taken >= self._recycle and not worker.leaving:
                worker.leaving = True
                worker.pipe.send(None)
            if worker.leaving:
                continue
            while self._jobs and len(worker.jobs) < _AHEAD:
                # dealt out one at a time, so that a single job does not wait behind another
                if worker.jobs and any(
                    len(other.jobs) == 0 and not other.leaving for other in self._workers[number + 1 :]
                ):
                    break
                worker.give(self._jobs.popleft())

    def _replace(self, worker: _Worker) -> None:
        """Puts a new worker in the place of one that has gone, with the jobs that it left."""
        worker.process.join()
        worker.pipe.close()
        for job in reversed(worker.jobs):
            left = (
                Render(tuple(frame for frame in job.frames if frame in worker.left)) if isinstance(job, Render) else job
            )
            self._jobs.appendleft(left)
        if worker.jobs or not worker.leaving:
            over = self._jobs[0] if worker.jobs else Finish()
            self._deaths[over] = self._deaths.get(over, 0) + 1
            if self._deaths[over] >= _DEATHS:
                what = f"frame {over.frames[0]}" if isinstance(over, Render) else "the dataset's files"
                raise DREnvError(
                    f"{_DEATHS} workers died (exit code {worker.process.exitcode}) at {what}; with -9 the machine ran "
                    "out of memory: try fewer --workers; what is done is kept"
                )
        self._workers[self._workers.index(worker)] = _Worker(*self._arguments)

    def close(self) -> None:
        """Ends the workers, with what they have in hand."""
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()

    def dismiss(self) -> None:
        """Lets the workers, who have nothing left to do, end by themselves."""
        for worker in self._workers:
            if not worker.leaving and worker.process.is_alive():
                worker.pipe.send(None)
        for worker in self._workers:
            worker.process.join(10)
        self.close()
