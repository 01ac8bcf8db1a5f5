"""What the report's figures have in common."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")  # Okabe and Ito, safe for colour blindness


def data_uri(content: bytes, kind: str) -> str:
    """Content as a data URI, so that the report is one file."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def figure_of(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure and its axes, row by row; sizes in inches."""
    from matplotlib.figure import Figure as MplFigure  # imported late: it takes half a second

    figure = MplFigure(figsize=(width, height), layout="constrained", dpi=110)
    grid = figure.subplots(rows, columns, squeeze=False)
    axes = [axis for row in grid for axis in row]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", alpha=0.25)
    return figure, axes


def panels(count: int, columns: int = 4) -> tuple[Figure, list[Axes]]:
    """A grid of small figures, no more than `columns` wide; what is left over is hidden."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure, axes = figure_of(2.7 * columns, 2.3 * rows + 0.3, rows, columns)
    for axis in axes[count:]:
        axis.set_visible(False)
    return figure, axes[:count]


def png(figure: Figure) -> str:
    """The figure as a PNG in a data URI."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return data_uri(buffer.getvalue(), "image/png")


def plain_numbers(axis: Axes, low: float, high: float) -> None:
    """A logarithmic x axis with ticks as numbers, where the range is too short for powers of ten."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_xscale("log")
    if high < 100 * low:
        axis.xaxis.set_major_locator(
            LogLocator(subs=(1.0, 2.0, 5.0) if high > 4 * low else (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))
        )
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.xaxis.set_minor_formatter(NullFormatter())
