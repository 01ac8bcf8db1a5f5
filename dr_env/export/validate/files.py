"""What an export says of itself: its formats are there, and every file is the one that it wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path

from dr_env.export.store import checksum
from dr_env.export.validate.findings import Findings, Progress

_LINE = re.compile(r"([0-9a-f]{32}) (\d+) (.+)")


def is_export(root: Path) -> bool:
    """Whether a folder is that of an export, rather than of what else has a manifest."""
    path = root / "manifest.json"
    try:
        return path.is_file() and "request" in json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return True  # what is wrong with it is told


def check_files(root: Path, formats: Collection[str], findings: Findings, progress: Progress) -> int:
    """Compares files with the export's checksums, and the formats that are there with those that it made.

    Args:
        root: the export's folder.
        formats: the folders in which there is a dataset.
        findings: where to note what is wrong.
        progress: told how many files are read, and of how many.

    Returns:
        How many files were read.
    """
    try:
        manifest = json.loads((root / "manifest.json").read_text(encoding="utf-8"))
        wanted = list(manifest["request"]["formats"]) if manifest["complete"] else []
        shards = [str(shard) for shard in manifest["shards"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        findings.add(root / "manifest.json", "", f"damaged: {type(error).__name__}: {error}")
        wanted = []
        shards = []
    for name in wanted:
        findings.require(name in formats, root / name, "", f"no dataset there, and the export made one as {name}")
    lines: list[tuple[Path, str]] = []
    for path in (root / "checksums" / f"{name}.txt" for name in [*shards, *(["rest"] if wanted else [])]):
        try:
            read = path.read_text(errors="replace", encoding="utf-8").splitlines()
        except OSError as error:
            findings.add(path, "", f"cannot be read: {error.strerror}")
            continue
        findings.require(read, path, "", "empty, expected the checksum, size and name of each file")
        lines += [(path, line) for line in read]
    for done, (path, line) in enumerate(lines):
        match = _LINE.fullmatch(line)
        if findings.require(match is not None, path, "", f"got {line[:60]!r}, expected checksum, size and file"):
            assert match is not None
            _check(root / match[3], match[1], int(match[2]), findings)
        progress(done + 1, len(lines))
    return len(lines)


def _check(path: Path, expected: str, size: int, findings: Findings) -> None:
    try:
        data = path.read_bytes()
    except OSError as error:
        findings.add(path, "", f"cannot be read: {error.strerror}")
        return
    if len(data) != size:
        findings.add(path, "", f"has {len(data)} bytes, the export wrote {size}")
    elif checksum(data) != expected:
        findings.add(path, "", "is not the file that the export wrote: another checksum")
