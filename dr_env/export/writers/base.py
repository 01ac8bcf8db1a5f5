"""What a writer is: a dataset format, as pure functions from labelled frames to files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from dr_env.export.example import Example, Record
from dr_env.files import write_text

Files = Iterator[tuple[str, bytes]]
"""Paths inside the format's folder, and what they hold."""


class Writer(Protocol):
    """One dataset format. Files of a frame depend on that frame alone, files of a shard on its records alone."""

    name: str
    """The format's name on the command line, and its folder's."""

    def files(self, example: Example) -> Files:
        """The files of one frame."""
        ...

    def seal(self, shard: int, records: list[Record], root: Path) -> None:
        """Writes what a shard has beside its frames' files, which are all under `root` by now."""
        ...

    def finish(self, records: Iterable[Record], root: Path) -> None:
        """Writes what the dataset has beside its shards, which are all under `root` by now."""
        ...


def compact(data: Any) -> str:
    """JSON without spaces; floats are written so that they read back equal."""
    return json.dumps(data, separators=(",", ":"))


def write_by_key(path: Path, entries: dict[int, Any]) -> None:
    """Writes a JSON object with a line for each number, as BOP's scene files are."""
    lines = ",\n".join(f'  "{key}": {json.dumps(value)}' for key, value in entries.items())
    write_text(path, f"{{\n{lines}\n}}\n")
