"""A dataset's folder: frames arrive in any order, shards appear whole.

    manifest.json  spec.yaml               how it was made
    frames/000000.jsonl                    a record for each frame of a shard
    checksums/000000.txt                   BLAKE2b, size and path of each of its files
    checksums/rest.txt                     the same of the formats' files that belong to no shard, written at the end
    FORMAT/...                             as each format wants it
    .partial/000000/                       a shard in the making, laid out as above

A shard's files are made under `.partial` and then moved, its records last; until the file `ready` stands there, frames
without a record are made again, and after that the moves are. So whenever it stops, nothing is lost or there twice.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from dr_env.errors import DREnvError
from dr_env.export.example import Example, Record
from dr_env.export.layout import Layout
from dr_env.export.writers import Writer
from dr_env.files import write_text

PARTIAL = ".partial"
_READY = "ready"
_TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}(\.\w+)?")


def checksum(data: bytes) -> str:
    """Thirty-two hex digits that name these bytes."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def sweep(root: Path, folders: str) -> None:
    """Removes temporary files of `atomic_path` that a killed process left in some folders."""
    for path in root.glob(f"{folders}/.*"):
        if _TEMPORARY.fullmatch(path.name) and path.is_file():
            path.unlink()


def write_files(example: Example, writers: list[Writer], folder: Path) -> tuple[dict[str, int], dict[str, str]]:
    """Writes a frame's files into a folder a format; returns how many bytes each has, and a checksum a format."""
    sizes: dict[str, int] = {}
    sums: dict[str, str] = {}
    made: set[Path] = set()
    for writer in writers:
        everything = hashlib.blake2b(digest_size=16)
        for name, data in writer.files(example):
            path = folder / writer.name / name
            if path.parent not in made:
                path.parent.mkdir(parents=True, exist_ok=True)
                made.add(path.parent)
            path.write_bytes(data)
            everything.update(f"{name}\0{len(data)}\0".encode())
            everything.update(data)
            sizes[f"{writer.name}/{name}"] = len(data)
        sums[writer.name] = everything.hexdigest()
    return sizes, sums


class Store:
    """One dataset's folder.

    Args:
        root: the folder.
        layout: where frames stand.
    """

    def __init__(self, root: Path, layout: Layout) -> None:
        self.root, self.layout = root, layout

    def staging(self, shard: int) -> Path:
        """Where a shard is made."""
        return self.root / PARTIAL / f"{shard:06d}"

    def records_file(self, shard: int) -> Path:
        """The records of a shard that is done."""
        return self.root / "frames" / f"{shard:06d}.jsonl"

    def checksums_file(self, shard: int) -> Path:
        """The checksums of a shard that is done."""
        return self.root / "checksums" / f"{shard:06d}.txt"

    @property
    def rest_file(self) -> Path:
        """The checksums of files that belong to no shard."""
        return self.root / "checksums" / "rest.txt"

    def _record_file(self, frame: int) -> Path:
        return self.staging(self.layout.place(frame)[0]) / "records" / f"{frame:09d}.json"

    def _sizes_file(self, frame: int) -> Path:
        return self._record_file(frame).with_suffix(".sizes")

    # writing

    def add(self, example: Example, record: Record, writers: list[Writer]) -> int:
        """Writes one frame, its record last; returns how many bytes."""
        frame = example.frame.index
        folder = self.staging(self.layout.place(frame)[0])
        sizes, sums = write_files(example, writers, folder)
        write_text(self._sizes_file(frame), json.dumps(sizes))
        write_text(self._record_file(frame), json.dumps({**record, "checksums": sums}))
        return sum(sizes.values())

    def seal(self, shard: int, writers: list[Writer]) -> None:
        """Finishes a shard all of whose frames are there, and moves it to its place; may be called again."""
        folder = self.staging(shard)
        if self.records_file(shard).exists() and not (folder / _READY).exists():
            shutil.rmtree(folder, ignore_errors=True)  # its files have all gone to their places
            return
        if not (folder / _READY).exists():
            lines = [self._record_file(frame).read_text(encoding="utf-8") for frame in self.layout.frames_of(shard)]
            records = [json.loads(line) for line in lines]
            for writer in writers:
                writer.seal(shard, records, folder / writer.name)
            write_text(folder / "frames" / self.records_file(shard).name, "".join(f"{line}\n" for line in lines))
            shutil.rmtree(folder / "records")
            sweep(folder, "**")
            names = sorted(path for path in folder.rglob("*") if path.is_file())
            write_text(folder / "checksums" / self.checksums_file(shard).name, _sums(folder, names))
            write_text(folder / _READY, "")
        for part in sorted(path for path in folder.iterdir() if path.is_dir() and path.name != "frames"):
            _move(part, self.root / part.name)
        if (folder / "frames").exists():
            _move(folder / "frames", self.root / "frames")
        shutil.rmtree(folder)

    def finish(self, writers: list[Writer]) -> None:
        """Writes what the dataset has beside its shards, all of which are in their places."""
        of_shards: set[str] = set()
        for shard in range(self.layout.shards):
            lines = self.checksums_file(shard).read_text(encoding="utf-8").splitlines()
            of_shards |= {line.split(" ", 2)[2] for line in lines}
        names: list[Path] = []
        for writer in writers:
            writer.finish(self, self.root / writer.name)
            found = (path for path in (self.root / writer.name).rglob("*") if path.is_file())
            names += [path for path in found if path.relative_to(self.root).as_posix() not in of_shards]
        write_text(self.rest_file, _sums(self.root, sorted(names)))

    # reading

    def missing(self, shard: int) -> list[int]:
        """The frames of a shard that have yet to be made."""
        if self.records_file(shard).exists() or (self.staging(shard) / _READY).exists():
            return []
        return [frame for frame in self.layout.frames_of(shard) if not self._whole(shard, frame)]

    def _whole(self, shard: int, frame: int) -> bool:
        """Whether a frame of a shard in the making is there with all its files; a machine that fails may cut them."""
        if not self._record_file(frame).exists():
            return False
        try:
            sizes = json.loads(self._sizes_file(frame).read_text(encoding="utf-8"))
            folder = self.staging(shard)
            return all((folder / name).stat().st_size == size for name, size in sizes.items())
        except (OSError, ValueError):
            return False

    def sealed(self, shard: int) -> bool:
        """Whether a shard is in its place."""
        return self.records_file(shard).exists() and not self.staging(shard).exists()

    def drop(self, shard: int) -> None:
        """Forgets a shard, so that it is made again; files that it has already are replaced when it is."""
        self.records_file(shard).unlink(missing_ok=True)
        shutil.rmtree(self.staging(shard), ignore_errors=True)

    def damage(self, shard: int, digest: str | None = None) -> str | None:
        """What is wrong with a shard in its place, or None; looks at names, sizes and the records' checksum."""
        try:
            text = self.records_file(shard).read_bytes()
        except OSError as error:
            return f"{Path(error.filename).relative_to(self.root)}: {error.strerror}"
        if digest is not None and checksum(text) != digest:
            return f"{self.records_file(shard).relative_to(self.root)}: was changed or cut off"
        return self._damaged(self.checksums_file(shard))

    def rest_damage(self) -> str | None:
        """What is wrong with the files that belong to no shard, or None; looks at names and sizes."""
        return self._damaged(self.rest_file)

    def _damaged(self, sums: Path) -> str | None:
        try:
            lines = sums.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            return f"{sums.relative_to(self.root)}: {error.strerror}"
        for line in lines:
            parts = line.split(" ", 2)
            if len(parts) != 3:
                return f"{sums.relative_to(self.root)}: was cut off"
            path = self.root / parts[2]
            if not path.is_file():
                return f"{parts[2]}: is missing"
            if (size := path.stat().st_size) != int(parts[1]):
                return f"{parts[2]}: has {size} bytes, expected {parts[1]}"
        return None

    def record(self, frame: int) -> Record:
        """The record of one frame. Raises DREnvError where there is none."""
        shard, place = self.layout.place(frame)
        if not 0 <= frame < self.layout.frames:
            raise DREnvError(f"--frame: got {frame}, expected 0 to {self.layout.frames - 1}")
        for path, line in ((self._record_file(frame), 0), (self.records_file(shard), place)):
            if path.exists():
                return _parse(path, line)
        raise DREnvError(f"{self.root}: frame {frame} is not there yet; run the export again, it goes on")

    def __iter__(self) -> Iterator[Record]:
        """The records of all frames in order, once every shard is in its place."""
        for shard in range(self.layout.shards):
            with self.records_file(shard).open(encoding="utf-8") as file:
                for line in file:
                    yield json.loads(line)


def _sums(root: Path, paths: Iterable[Path]) -> str:
    """A line for each file: checksum, size and place."""
    return "".join(
        f"{checksum(data := path.read_bytes())} {len(data)} {path.relative_to(root).as_posix()}\n" for path in paths
    )


def _parse(path: Path, line: int) -> Record:
    try:
        record: Record = json.loads(path.read_text(encoding="utf-8").splitlines()[line])
    except (IndexError, ValueError) as error:
        raise DREnvError(f"{path}:{line + 1} is damaged; run the export again, it mends the shard") from error
    return record


def _move(source: Path, target: Path) -> None:
    """Moves a file or folder, into the folder that is there already if there is one."""
    if source.is_dir() and target.is_dir():
        for child in sorted(source.iterdir()):
            _move(child, target / child.name)
        source.rmdir()
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)
