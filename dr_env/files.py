"""Atomic writing: a file is either the old one or the whole new one, never half of it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dr_env.errors import DREnvError, StorageError


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path beside `path` that takes its place when the block ends well.

    Raises DREnvError when the folder cannot be written; on any error nothing is left behind.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.stem}.", suffix=target.suffix, dir=target.parent)
        os.close(handle)
    except OSError as error:
        raise StorageError(f"{target}: cannot write here: {error.strerror}") from error
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(target)
    except OSError as error:
        raise StorageError(f"{target}: cannot write: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(folder: str | Path) -> None:
    """Makes a folder and tries to write in it, before long work whose result goes there."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StorageError(f"{folder}: cannot write here: {error.strerror}") from error


def check_replaceable(path: str | Path) -> None:
    """Makes a file's folder and sees that the file can be written there, before long work that ends in it."""
    if Path(path).is_dir():
        raise DREnvError(f"{path}: is a folder, expected a file")
    check_writable(Path(path).parent)


def check_folder(path: Path) -> None:
    """Raises DREnvError where no folder is to be read."""
    if not path.is_dir():
        raise DREnvError(f"{path}: {'is a file, expected a folder' if path.exists() else 'no such folder'}")


def is_unused(folder: Path) -> bool:
    """Whether a folder is empty, or not there yet. Raises DREnvError for a file."""
    if not folder.exists():
        return True
    check_folder(folder)
    return not any(folder.iterdir())


def write_text(path: str | Path, text: str) -> None:
    """Writes `text` to `path` atomically, making the folder if need be."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def append_line(path: str | Path, text: str) -> None:
    """Adds a line to a file; a crash may cut it off. Raises StorageError where it cannot be written."""
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text + "\n")
    except OSError as error:
        raise StorageError(f"{path}: cannot write: {error.strerror}") from error
