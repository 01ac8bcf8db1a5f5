"""How far long work is: bars on standard error."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


def bars(quiet: bool = False, transient: bool = False, console: Console | None = None) -> Progress:
    """Bars with what is done, how much of it, and the time gone and left; used as a context.

    Args:
        quiet: show none.
        transient: leave nothing behind at the end.
        console: where other lines are printed meanwhile; by default a new one on standard error.
    """
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console or Console(stderr=True),
        disable=quiet,
        transient=transient,
    )
