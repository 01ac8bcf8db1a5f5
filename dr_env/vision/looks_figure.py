"""The picture of look tuning: the target beside images of the untuned and the tuned Spec, and how they came nearer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_env.evaluation.figures import COLOURS
from dr_env.export.preview import contact_sheet
from dr_env.files import atomic_path

_COLUMNS = 8


def draw_looks(path: Path, rows: Mapping[str, NDArray[np.uint8]], steps: Sequence[Mapping[str, Any]]) -> None:
    """Writes the picture.

    Args:
        path: a .png file.
        rows: what each row of images is called, and its images (n, h, w, 3), of which the first eight are shown.
        steps: of a `LookStudy`.
    """
    from matplotlib.figure import Figure  # imported late: it takes half a second

    figure = Figure(figsize=(11, 1.25 * len(rows) + 3.2), layout="constrained", dpi=110)
    grid = figure.add_gridspec(len(rows) + 1, 1, height_ratios=[1.0] * len(rows) + [2.0])
    for place, (name, images) in enumerate(rows.items()):
        axis = figure.add_subplot(grid[place])
        axis.imshow(contact_sheet(list(images[:_COLUMNS]), _COLUMNS), interpolation="nearest")
        axis.set_title(name, loc="left", fontsize=9)
        axis.set_axis_off()
    axis = figure.add_subplot(grid[len(rows)])
    told = [step for step in steps if step["mmd"] is not None]
    x, y = ([step[key] for step in told] for key in ("evaluation", "mmd"))
    axis.plot(x, y, ".", color=COLOURS[4], ms=4, label="candidate")
    axis.plot(x, np.minimum.accumulate(y), color=COLOURS[0], lw=1.5, label="least so far")
    losses = [(step["evaluation"], step["task_loss"]) for step in steps if step.get("task_loss") is not None]
    if losses:
        other = axis.twinx()
        other.plot(*zip(*losses, strict=True), "x", color=COLOURS[1], ms=3, alpha=0.6)
        other.set_ylabel("loss on labelled images", color=COLOURS[1])
        other.spines["top"].set_visible(False)
    axis.spines[["top"] if losses else ["top", "right"]].set_visible(False)
    axis.set(xlabel="evaluation", ylabel="squared discrepancy (MMD)")
    axis.locator_params(axis="x", integer=True)
    axis.legend(frameon=False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
