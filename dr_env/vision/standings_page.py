"""The comparison's files: a table, plain data, and one self-contained HTML page with curves and images."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dr_env.evaluation.figures import COLOURS, data_uri, figure_of, png
from dr_env.export.encode import encode_rgb
from dr_env.files import write_text
from dr_env.records import versions
from dr_env.vision.arms import Arm
from dr_env.vision.samples import Images
from dr_env.vision.standings import Row, markdown, rows, verdicts

_TEMPLATE = Path(__file__).parent / "standings.html.j2"
_SHOWN = 8  # images of each collection
_HEIGHT = 110  # pixels of each


def write_standings(
    results: Sequence[Mapping[str, Any]], arms: Mapping[str, Arm], folder: Path, shown: Mapping[str, Images]
) -> Path:
    """Writes `table.md`, `report.json` and `report.html` into `folder`; returns the page's path.

    Args:
        results: of cells.
        arms: all of them by name.
        folder: where.
        shown: collections whose first images stand side by side.
    """
    import jinja2

    found, said = rows(results, arms), verdicts(results, arms)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    page = environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        rows=found,
        verdicts=said,
        cell=results[0]["cell"],
        meanings={arm.title: arm.meaning for arm in arms.values()},
        chart=chart(found),
        curves=curves(found),
        strips={name: data_uri(encode_rgb(strip(images)), "image/png") for name, images in shown.items()},
        versions=versions("dr-env", "mujoco", "numpy", "torch"),
    )
    form = {"rows": [dataclasses.asdict(row) for row in found], "verdicts": [dataclasses.asdict(v) for v in said]}
    write_text(folder / "report.json", json.dumps(form, indent=1) + "\n")
    write_text(folder / "table.md", markdown(found, said))
    write_text(folder / "report.html", page)
    return folder / "report.html"


def chart(found: Sequence[Row]) -> str:
    """The errors of arms without labels, the least at the top, as a data URI."""
    own = sorted((row for row in found if not row.labels), key=lambda row: -row.error.value)
    figure, (axis,) = figure_of(7.2, 0.34 * max(3, len(own)) + 0.9)
    for i, row in enumerate(own):
        colour = COLOURS[0] if row.simple else COLOURS[1]
        bar = [[max(0.0, row.error.value - row.error.low)], [max(0.0, row.error.high - row.error.value)]]
        axis.errorbar([row.error.value], [i], xerr=bar, color=colour, marker="o", capsize=3)
    axis.set_yticks(range(len(own)), [row.title for row in own])
    axis.grid(axis="x", alpha=0.25)
    axis.set(xlabel="median error on the target, cm")
    axis.set_xlim(left=0)
    return png(figure)


def curves(found: Sequence[Row]) -> str | None:
    """Error against labelled images, as a data URI; None where no arm has labels."""
    with_labels = [row for row in found if row.labels]
    if not with_labels:
        return None
    figure, (axis,) = figure_of(7.2, 3.4)
    without = [row for row in found if not row.labels]
    best = min(without, key=lambda row: row.error.value, default=None)
    if best is not None:
        axis.axhline(best.error.value, color="#59636e", lw=1, ls="--", label=f"{best.title}, no labels")
        axis.axhspan(best.error.low, best.error.high, color="#8c959f", alpha=0.15, lw=0)
    for i, arm in enumerate(dict.fromkeys(row.arm for row in with_labels)):
        own = [row for row in with_labels if row.arm == arm]
        bar = [[r.error.value - r.error.low for r in own], [r.error.high - r.error.value for r in own]]
        axis.errorbar([r.labels for r in own], [r.error.value for r in own], bar, color=COLOURS[i % len(COLOURS)],
                      marker="o", capsize=3, label=own[0].title)  # fmt: skip
    axis.set(xscale="log", xlabel="labelled target images", ylabel="median error, cm")
    axis.set_ylim(bottom=0)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.xaxis.set_minor_formatter(lambda value, _: "")
    axis.set_xticks(sorted({row.labels for row in with_labels}))
    axis.legend(frameon=False)
    return png(figure)


def strip(images: Images) -> NDArray[np.uint8]:
    """The first images of a collection side by side, (h, w, 3)."""
    found = []
    for index in range(min(_SHOWN, len(images))):
        image = images[index].image
        width = round(image.shape[1] * _HEIGHT / image.shape[0])
        method = cv2.INTER_AREA if image.shape[0] > _HEIGHT else cv2.INTER_CUBIC
        found.append(cv2.resize(image, (width, _HEIGHT), interpolation=method))
    return np.asarray(np.concatenate(found, axis=1), np.uint8)
