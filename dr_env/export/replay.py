"""One frame of a dataset, made again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from dr_env.errors import DREnvError
from dr_env.export.example import Record
from dr_env.export.maker import Maker
from dr_env.export.manifest import Manifest
from dr_env.export.store import Store, write_files
from dr_env.files import check_writable, is_unused, write_text


@dataclass(frozen=True)
class Replay:
    """A frame made again.

    Attributes:
        record: what the dataset says of it.
        differing: formats whose files are not, byte for byte, what was written.
        elsewhere: what is not as it was where the dataset was made, one line each.
        folder: where its files are now, a folder a format.
    """

    record: Record
    differing: tuple[str, ...]
    elsewhere: tuple[str, ...]
    folder: Path


def replay(root: Path, frame: int, out: Path) -> Replay:
    """Renders and writes a frame again, and compares what comes out with what the dataset was given.

    Args:
        root: the dataset's folder.
        frame: the frame's number.
        out: where its files go.

    Raises:
        DREnvError: for a folder that is no dataset, a frame that is not there, or an `out` that is in use.
    """
    manifest = Manifest.load(root)
    record = Store(root, manifest.request.layout).record(frame)
    if not is_unused(out):
        raise DREnvError(f"--out: {out} is not empty")
    maker = Maker(manifest.request, out)
    try:
        elsewhere = manifest.differences(maker.provenance())
        example = maker.again(frame, record["attempt"])
        check_writable(out)
        _, sums = write_files(example, maker.writers, out)
        write_text(out / "record.json", json.dumps(record, indent=1) + "\n")
    finally:
        maker.close()
    differing = tuple(name for name, digest in sums.items() if record["checksums"].get(name) != digest)
    return Replay(record, differing, tuple(elsewhere), out)
