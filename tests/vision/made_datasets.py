"""Datasets written from frames made by hand, in the formats that vision reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dr_env.export import Layout
from dr_env.export.catalogue import LabelClass, catalogue
from dr_env.export.example import Example
from dr_env.export.store import Store
from dr_env.export.writers import make_writers
from dr_env.records import Distortion, Frame
from tests.export import made


def sensed(frame: Frame) -> Frame:
    """The frame as a sensor that inverts colours gives it."""
    return dataclasses.replace(frame, sensed_rgb=np.asarray(255 - frame.rgb, np.uint8))


def write(
    root: Path,
    frames: int = 7,
    *,
    suffix: str = ".png",
    lens: Distortion | None = None,
    classes: tuple[LabelClass, ...] = made.CLASSES,
    every: int = 5,
    look: Callable[[Frame], Frame] = sensed,
) -> Path:
    """Frames of tests.export.made as bop and bop-webdataset, three a scene; in the last one nothing is visible."""
    layout = Layout(frames, made.WIDTH, made.HEIGHT, shard=3, every=every, suffix=suffix)
    store = Store(root, layout)
    writers = make_writers(("bop", "bop-webdataset"), layout, catalogue(classes))
    for k in range(frames):
        frame = dataclasses.replace(look(made.frame(k, hidden=k == frames - 1)), distortion=lens)
        example = Example(frame, layout)
        store.add(example, example.record, writers)
    for shard in range(layout.shards):
        store.seal(shard, writers)
    for writer in writers:
        writer.finish(store, root / writer.name)
    return root
