"""Tar files that are made of parts, one a frame, so that any worker writes any frame."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path

from dr_env.errors import DREnvError
from dr_env.files import atomic_path

_PARTS = ".parts"
_END = bytes(2 * tarfile.BLOCKSIZE)


def part(tar: str, number: int, members: Mapping[str, bytes]) -> tuple[str, bytes]:
    """The file, path and content, that holds some members of the tar file at path `tar`."""
    buffer = io.BytesIO()
    for name, data in members.items():
        info = tarfile.TarInfo(name)
        info.size = len(data)
        info.mode = 0o644  # no time and no owner: the same members are the same bytes
        buffer.write(info.tobuf(tarfile.USTAR_FORMAT))
        buffer.write(data)
        buffer.write(bytes(-len(data) % tarfile.BLOCKSIZE))
    return f"{tar}{_PARTS}/{number:06d}", buffer.getvalue()


def join_parts(root: Path) -> None:
    """Makes a tar file of every folder of parts under `root`, in the order of their numbers."""
    for folder in sorted(root.rglob(f"*{_PARTS}")):
        with atomic_path(folder.with_suffix("")) as path, path.open("wb") as whole:
            for piece in sorted(folder.iterdir()):
                with piece.open("rb") as source:
                    shutil.copyfileobj(source, whole, 1 << 20)
            whole.write(_END)
        shutil.rmtree(folder)


def member(path: Path, name: str) -> bytes:
    """What one member of a tar file holds. Raises DREnvError where there is none, or the file is damaged."""
    try:
        with tarfile.open(path) as tar, tar.extractfile(name) or io.BytesIO() as file:
            return file.read()
    except (KeyError, OSError, tarfile.TarError) as error:
        raise DREnvError(f"{path}: {name} cannot be read: {error}") from error
