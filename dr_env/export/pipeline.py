"""An export from start to end: what is there already, workers, progress, and the manifest."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dr_env.errors import DREnvError
from dr_env.export.maker import Maker
from dr_env.export.manifest import Manifest
from dr_env.export.page import CARD, PAGE, write_page
from dr_env.export.pool import Pool
from dr_env.export.request import ExportRequest
from dr_env.export.store import PARTIAL, Store, checksum, sweep
from dr_env.export.worker import LOCK, Finish, Render, Seal
from dr_env.files import check_writable
from dr_env.locks import taken

Progress = Callable[[int, int, int], None]
"""Told of frames done, of all, and candidates drawn by this run."""

_BLOCK = 16  # frames a job, at most
_PATIENCE_S = 30.0  # with workers of a run that was killed
_OURS = "ours"  # a mark: what is here while there is no manifest is an export's, which was killed at its start
_LEAST = {".png": 0.2, ".jpg": 0.03}  # bytes a pixel that even dull images take
_TRIAL = 32  # frames after which the size of all is known well enough


@dataclass
class Summary:
    """What an export did.

    Attributes:
        manifest: of the dataset.
        made: frames that this run made; others were there.
        notes: what was found damaged and made again, in words.
        seconds: that making frames took.
    """

    manifest: Manifest
    made: int = 0
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0


def export(
    request: ExportRequest,
    root: Path,
    *,
    workers: int = 0,
    threads: int = 2,
    recycle: int = 2000,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Summary:
    """Makes a dataset, or goes on with one that was interrupted; its bytes depend on the request alone.

    Args:
        request: what it is.
        root: its folder.
        workers: processes; 0 for none but this one.
        threads: threads that encode and write, in each worker.
        recycle: frames after which a worker makes room for a new one.
        overwrite: whether to replace a dataset that is there.
        progress: is told how far it is.

    Raises:
        DREnvError: when the folder holds something else or another dataset, when the disk is too small, when this
            machine renders otherwise than the one that began, or for anything that the source refuses.
    """
    if workers < 0 or threads < 1 or recycle < 1:
        raise DREnvError(f"workers, threads: got {workers} and {threads}, expected 0 or more and 1 or more")
    check_writable(root)
    with _alone(root):
        return _Run(request, root, overwrite, progress or (lambda *_: None)).run(workers, threads, recycle)


class _Run:
    """One run of an export."""

    def __init__(self, request: ExportRequest, root: Path, overwrite: bool, progress: Progress) -> None:
        self._request, self._root, self._progress = request, root, progress
        self._store = Store(root, request.layout)
        self._mark = root / PARTIAL / _OURS
        for folders in (".", "*", "*/*"):  # where files are written that are in no shard
            sweep(root, folders)
        self._known = self._begun(overwrite)
        self._summary = Summary(self._known) if self._known else None
        self._notes: list[str] = []
        self._candidates = self._bytes = self._made = 0

    def _begun(self, overwrite: bool) -> Manifest | None:
        """The manifest of a dataset that is there, which must be the one that is asked for."""
        others = [path for path in self._root.iterdir() if path.name != PARTIAL]
        whole = (self._root / "manifest.json").exists()
        if not whole and others and not self._mark.exists():
            raise DREnvError(f"{self._root}: holds other files, such as {others[0].name}; choose an empty --out")
        if not whole or overwrite:
            self._mark.touch()
            for path in [*others, self._root / PARTIAL]:
                _clear(path)
            return None
        manifest = Manifest.load(self._root)
        was, now = _flat(manifest.request.to_json()), _flat(self._request.to_json())
        del was["source.spec_name"], now["source.spec_name"]
        if manifest.request.source.spec != self._request.source.spec:
            was["spec"], now["spec"] = manifest.request.source.spec_name, f"another: {self._request.source.spec_name}"
        if different := [f"{key}: got {now.get(key)}, was {was.get(key)}" for key in now if now[key] != was.get(key)]:
            raise DREnvError(
                f"{self._root}: holds a dataset made otherwise ({'; '.join(different)}); choose another --out, "
                "or --overwrite"
            )
        return manifest

    def run(self, workers: int, threads: int, recycle: int) -> Summary:
        """Makes what is missing."""
        layout = self._request.layout
        if self._known:
            self._mend(self._known)
        else:
            self._check_space(layout.frames)
        missing = {shard: frames for shard in range(layout.shards) if (frames := self._store.missing(shard))}
        unsealed = [shard for shard in range(layout.shards) if not self._store.sealed(shard)]
        left = sum(map(len, missing.values()))
        if self._known and self._known.complete and not unsealed:
            self._progress(layout.frames, layout.frames, 0)
            if not ((self._root / PAGE).exists() and (self._root / CARD).exists()):
                write_page(self._root)
            return Summary(self._known, 0, self._notes)
        self._check_space(left)
        begun = time.perf_counter()
        self._progress(layout.frames - left, layout.frames, 0)
        if workers:
            manifest = self._with_workers(missing, unsealed, min(workers, max(1, left)), threads, recycle)
        else:
            manifest = self._alone_here(missing, unsealed)
        manifest.save(self._root)
        write_page(self._root)
        return Summary(manifest, self._made, self._notes, time.perf_counter() - begun)

    def _mend(self, manifest: Manifest) -> None:
        """Drops shards that are not as they were, so that they are made again."""
        for shard in range(self._request.layout.shards):
            if not self._store.sealed(shard):
                manifest.shards.pop(shard, None)
            elif trouble := self._store.damage(shard, manifest.shards.get(shard)):
                frames = self._request.layout.frames_of(shard)
                self._notes.append(f"{trouble}: made frames {frames[0]} to {frames[-1]} again")
                self._store.drop(shard)
                manifest.shards.pop(shard, None)
            else:
                self._sealed(manifest, shard)
        if manifest.complete and len(manifest.shards) < self._request.layout.shards:
            manifest.result = None
        elif manifest.complete and (trouble := self._store.rest_damage()):
            self._notes.append(f"{trouble}: wrote what belongs to no shard again")
            manifest.result = None

    def _opened(self, provenance: dict[str, str]) -> Manifest:
        """The manifest, once it is known what renders."""
        if self._known is None:
            self._known = Manifest(self._request, provenance)
            self._mark.touch()
        elif different := self._known.differences(provenance):
            raise DREnvError(
                f"{self._root}: was begun elsewhere or by other versions, so its frames would not match: "
                f"{'; '.join(different)}; choose another --out, or --overwrite"
            )
        self._known.result = None
        self._known.save(self._root)
        self._mark.unlink(missing_ok=True)
        return self._known

    def _sealed(self, manifest: Manifest, shard: int) -> None:
        manifest.shards[shard] = checksum(self._store.records_file(shard).read_bytes())

    def _count(self, candidates: int, size: int, left: int) -> None:
        """Counts a frame; when some are done, the size of all is known."""
        self._made += 1
        self._candidates += candidates
        self._bytes += size
        done = self._request.layout.frames - left + self._made
        self._progress(done, self._request.layout.frames, self._candidates)
        if self._made == _TRIAL and left > self._made:
            self._refuse_full((left - self._made) * self._bytes / self._made)

    def _alone_here(self, missing: dict[int, list[int]], unsealed: list[int]) -> Manifest:
        maker = Maker(self._request, self._root)
        left = sum(map(len, missing.values()))
        try:
            manifest = self._opened(maker.provenance())
            for shard in unsealed:
                for frame in missing.get(shard, ()):
                    candidate = maker.render(frame)
                    self._count(candidate.attempt + 1, maker.write(candidate), left)
                maker.seal(shard)
                self._sealed(manifest, shard)
                manifest.save(self._root)
            manifest.result = maker.finish()
        finally:
            maker.close()
        return manifest

    def _with_workers(
        self, missing: dict[int, list[int]], unsealed: list[int], workers: int, threads: int, recycle: int
    ) -> Manifest:
        left = sum(map(len, missing.values()))
        pool = Pool(self._request, self._root, workers, threads, max(1, cores() // workers), recycle)
        manifest: Manifest | None = None
        waiting = {shard: set(frames) for shard, frames in missing.items()}
        open_shards = set(unsealed)
        try:
            size = min(_BLOCK, max(1, left // (4 * workers)))
            for shard in unsealed:
                frames = missing.get(shard, [])
                for start in range(0, len(frames), size):
                    pool.add(Render(tuple(frames[start : start + size])))
                if not frames:
                    pool.add(Seal(shard))
            if not unsealed:
                pool.add(Finish())
            for report in pool.reports():
                if report.kind == "ready":
                    manifest = self._opened(report.data) if manifest is None else manifest
                    continue
                if manifest is None:
                    raise RuntimeError("a worker reported before it said what it renders with")
                if report.kind == "frame":
                    shard, _ = self._request.layout.place(report.number)
                    waiting[shard].discard(report.number)
                    if not waiting[shard]:
                        pool.add(Seal(shard), first=True)
                    self._count(report.candidates, report.size, left)
                elif report.kind == "sealed":
                    self._sealed(manifest, report.number)
                    manifest.save(self._root)
                    open_shards.discard(report.number)
                    if not open_shards:
                        pool.add(Finish())
                else:
                    manifest.result = report.data
            pool.dismiss()
        finally:
            pool.close()
        if manifest is None or manifest.result is None:
            raise RuntimeError("the export ended before its last job")
        return manifest

    def _check_space(self, left: int) -> None:
        """Refuses what cannot fit, before it starts: even dull images take some bytes a pixel."""
        layout = self._request.layout
        pixels = layout.width * layout.height
        self._refuse_full(left * pixels * _LEAST[layout.suffix] * len(self._request.formats))

    def _refuse_full(self, needed: float) -> None:
        free = shutil.disk_usage(self._root).free
        if needed > free:
            raise DREnvError(
                f"{self._root}: the frames still to make take about {needed / 1e9:.3g} GB, and {free / 1e9:.3g} GB are "
                "free; make room, choose another --out, or try --image jpg"
            )


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Sees to it that nothing else writes a dataset, workers of a run that was killed included."""
    folder = root / PARTIAL
    folder.mkdir(exist_ok=True)
    with taken(folder / "lock") as free, (folder / LOCK).open("w", encoding="utf-8") as orphans:
        if not free:
            raise DREnvError(f"{root}: another export is writing here")
        until = time.monotonic() + _PATIENCE_S
        while True:
            try:
                fcntl.flock(orphans, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fcntl.flock(orphans, fcntl.LOCK_UN)
                break
            except OSError as error:
                if time.monotonic() > until:
                    raise DREnvError(f"{root}: workers of an earlier export still write here; end them") from error
                time.sleep(0.1)
        try:
            yield
        finally:
            _tidy(root)


def _tidy(root: Path) -> None:
    """Removes `.partial` when it is of no use: the dataset is complete, or was not even begun."""
    begun = (root / "manifest.json").exists()
    if not begun and (root / PARTIAL / _OURS).exists():
        return
    if not begun or Manifest.load(root).complete:
        shutil.rmtree(root / PARTIAL)
    if not begun and not any(root.iterdir()):
        root.rmdir()


def _clear(path: Path) -> None:
    if path.name in ("lock", LOCK):
        return
    if path.is_dir():
        for child in path.iterdir():
            _clear(child)
        if not any(path.iterdir()):
            path.rmdir()
    else:
        path.unlink()


def _flat(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in data.items():
        flat |= _flat(value, f"{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
