"""Locks between processes: held while a block runs, freed by the system when the process dies."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from dr_env.errors import DREnvError
from dr_env.files import check_writable


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Waits for a lock file and holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def taken(path: Path) -> Iterator[bool]:
    """Holds a lock file if nobody does; gives whether it does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


@contextlib.contextmanager
def alone(folder: Path, doing: str) -> Iterator[None]:
    """Sees to it that one process at a time works in a folder.

    Raises:
        DREnvError: another one is `doing` its work there, or the folder cannot be written.
    """
    check_writable(folder)
    with taken(folder / ".lock") as free:
        if not free:
            raise DREnvError(f"{folder}: another process is {doing} here; wait for it, or end it")
        yield
