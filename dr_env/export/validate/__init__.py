"""Reads datasets back and says what is wrong with them: schema, ids, and labels that contradict each other."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dr_env.errors import DREnvError
from dr_env.export.validate.archive import check_archive, is_archive
from dr_env.export.validate.bop import check_bop, is_bop
from dr_env.export.validate.coco import check_coco, is_coco
from dr_env.export.validate.files import check_files, is_export
from dr_env.export.validate.findings import Finding, Findings, Progress
from dr_env.export.validate.webdataset import check_webdataset, is_webdataset
from dr_env.export.validate.yolo import check_yolo, is_yolo
from dr_env.files import check_folder

_FORMATS: tuple[tuple[str, Callable[[Path], bool], Callable[[Path, Findings, Progress], int]], ...] = (
    ("bop", is_bop, check_bop),
    ("bop-webdataset", is_archive, check_archive),
    ("webdataset", is_webdataset, check_webdataset),
    ("coco", is_coco, check_coco),
    ("yolo", is_yolo, check_yolo),
)


FILES = "files"
"""What the verdict on an export's own checksums is called, in place of a format."""


@dataclass(frozen=True)
class Verdict:
    """What was read in one folder, and what is wrong with it.

    Args:
        folder: the dataset's.
        format: bop, bop-webdataset, webdataset, coco or yolo; or `FILES`.
        images: how many were read; of `FILES` how many files.
        findings: what is wrong.
    """

    folder: Path
    format: str
    images: int
    findings: tuple[Finding, ...]


def validate(root: str | Path, progress: Callable[[str, int, int], None] = lambda *_: None) -> list[Verdict]:
    """Reads every dataset in a folder, or in the folders right below it.

    Args:
        root: a dataset's folder, or an export's with a folder for each format.
        progress: told the format, how many images are read and of how many.

    Raises:
        DREnvError: no dataset is there.
    """
    root = Path(root)
    check_folder(root)
    verdicts = []
    for folder in (root, *sorted(path for path in root.iterdir() if path.is_dir())):
        for name, found, check in _FORMATS:
            if found(folder):
                findings = Findings(root)
                images = check(folder, findings, functools.partial(progress, name))
                findings.require(images > 0, folder, "", "no images")
                verdicts.append(Verdict(folder, name, images, tuple(findings.found)))
    if is_export(root):
        findings = Findings(root)
        count = check_files(
            root, {verdict.folder.name for verdict in verdicts}, findings, functools.partial(progress, FILES)
        )
        verdicts.append(Verdict(root, FILES, count, tuple(findings.found)))
    if not verdicts:
        names = ", ".join(name for name, _, _ in _FORMATS)
        raise DREnvError(f"{root}: no dataset there, nor in the folders right below; formats that are known: {names}")
    return verdicts


__all__ = ["FILES", "Finding", "Findings", "Verdict", "validate"]
