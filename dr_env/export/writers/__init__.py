"""Dataset formats, by name."""

from __future__ import annotations

from dr_env.errors import DREnvError, unknown_name
from dr_env.export.catalogue import Catalogue
from dr_env.export.layout import Layout
from dr_env.export.writers.base import Writer
from dr_env.export.writers.bop import BopScenewise, BopWebdataset
from dr_env.export.writers.coco import Coco, oks_sigmas
from dr_env.export.writers.webdataset import Webdataset
from dr_env.export.writers.yolo import Yolo, YoloPose, YoloSegment

WRITERS = {kind.name: kind for kind in (BopScenewise, BopWebdataset, Coco, Yolo, YoloSegment, YoloPose, Webdataset)}
"""Writer classes by format name."""


def check_formats(names: tuple[str, ...]) -> None:
    """Raises DREnvError for an unknown or repeated format, or none."""
    for name in names:
        if name not in WRITERS:
            raise DREnvError(f"format: {unknown_name('format', name, WRITERS)}")
    if not names or len(set(names)) != len(names):
        raise DREnvError(f"format: got {', '.join(names) or 'none'}, expected one or more formats, each once")


def make_writers(names: tuple[str, ...], layout: Layout, classes: Catalogue) -> list[Writer]:
    """Writers by name. Raises DREnvError for a format that there is not, or that these classes do not fit."""
    check_formats(names)
    return [WRITERS[name](layout, classes) for name in names]


__all__ = ["WRITERS", "Writer", "check_formats", "make_writers", "oks_sigmas"]
