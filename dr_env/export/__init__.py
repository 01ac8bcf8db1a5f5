"""Labelled images as datasets."""

from dr_env.export.layout import Layout
from dr_env.export.manifest import Manifest
from dr_env.export.pipeline import Summary, cores, export
from dr_env.export.replay import Replay, replay
from dr_env.export.request import ExportRequest
from dr_env.export.source import FrameSource, SourceRequest
from dr_env.export.writers import WRITERS, Writer, oks_sigmas

__all__ = [
    "WRITERS",
    "ExportRequest",
    "FrameSource",
    "Layout",
    "Manifest",
    "Replay",
    "SourceRequest",
    "Summary",
    "Writer",
    "cores",
    "export",
    "oks_sigmas",
    "replay",
]
