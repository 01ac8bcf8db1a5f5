"""A contact sheet: sixteen frames of a Spec side by side, with their labels."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError
from dr_env.export.example import Example
from dr_env.export.layout import Layout
from dr_env.export.overlay import class_colour, draw_labels
from dr_env.export.source import FrameSource
from dr_env.files import atomic_path, check_replaceable, write_text
from dr_env.records import Draw

Pixels = NDArray[np.uint8]

_GAP = 4  # px between pictures


@dataclass(frozen=True, eq=False)
class Sample:
    """One picture of a sheet: with its labels, and the Draw that made it."""

    index: int
    picture: Pixels
    draw: Draw


def take_samples(
    source: FrameSource,
    count: int,
    labels: bool = True,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Sample]:
    """The first frames of a source.

    Args:
        source: where frames come from.
        count: how many.
        labels: whether outlines, boxes, poses and keypoints are drawn over them.
        progress: told how many are done.
    """
    samples = []
    for index in range(count):
        frame = source.frame(index)
        rgb = frame.rgb if frame.sensed_rgb is None else frame.sensed_rgb
        if labels:
            height, width = rgb.shape[:2]
            rgb = draw_labels(rgb, Example(frame, Layout(count, width, height)).record)
        samples.append(Sample(index, rgb, frame.draw))
        progress(index + 1)
    return samples


def contact_sheet(pictures: Sequence[Pixels], columns: int = 4) -> Pixels:
    """Pictures of one size, (h, w, 3) each, in rows from the top left."""
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP, 3), 255, np.uint8)
    for place, picture in enumerate(pictures):
        row, column = divmod(place, columns)
        top, left = _GAP + row * (height + _GAP), _GAP + column * (width + _GAP)
        sheet[top : top + height, left : left + width] = picture
    return sheet


def check_sheet(path: Path) -> None:
    """Refuses what `write_sheet` could not write, before anything is rendered."""
    if path.suffix.lower() not in (".png", ".jpg", ".html"):
        raise DREnvError(f"{path}: got {path.suffix or 'no suffix'}, expected .png, .jpg or .html")
    check_replaceable(path)


def write_sheet(path: Path, samples: Sequence[Sample], classes: Sequence[tuple[int, str]], title: str) -> None:
    """Writes a sheet, as an image or, by the suffix .html, as a page that also shows each picture's Draw."""
    check_sheet(path)
    if path.suffix.lower() == ".html":
        write_text(path, _page(samples, classes, title))
        return
    sheet = contact_sheet([sample.picture for sample in samples])
    with atomic_path(path) as temporary:
        temporary.write_bytes(_encoded(sheet, path.suffix.lower()))


def _encoded(picture: Pixels, suffix: str) -> bytes:
    done, data = cv2.imencode(suffix, picture[:, :, ::-1])
    if not done:
        raise DREnvError(f"cannot encode a picture as {suffix}")
    return bytes(data.tobytes())


def _page(samples: Sequence[Sample], classes: Sequence[tuple[int, str]], title: str) -> str:
    legend = " ".join(
        f'<span style="background:rgb{class_colour(number)}">{html.escape(name)}</span>' for number, name in classes
    )
    figures = "".join(
        f'<figure><img src="data:image/png;base64,{base64.b64encode(_encoded(sample.picture, ".png")).decode()}">'
        f"<figcaption>frame {sample.index}<details><summary>its Draw</summary>"
        f"<pre>{html.escape(_told(sample.draw))}</pre></details></figcaption></figure>"
        for sample in samples
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title><style>'
        "body{font:15px system-ui;margin:2em auto;max-width:1400px}main{display:grid;gap:8px;"
        "grid-template-columns:repeat(4,1fr)}figure{margin:0;min-width:0}img{width:100%}"
        "pre{font-size:11px;overflow:auto;max-height:20em}span{padding:2px 6px;color:#000}"
        f"</style><h1>{html.escape(title)}</h1><p>{legend}</p><main>{figures}</main></html>\n"
    )


def _told(draw: Draw) -> str:
    """A Draw's numbers, a name a line."""
    lines = []
    for name, value in draw.items():
        numbers = np.atleast_1d(np.asarray(value, np.float64))
        shown = ", ".join(f"{number:.4g}" for number in numbers[:12])
        lines.append(f"{name}: {shown}{', ...' if len(numbers) > 12 else ''}")
    return "\n".join(lines)
