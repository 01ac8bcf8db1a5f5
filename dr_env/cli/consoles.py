"""Where commands print their tables."""

from __future__ import annotations

from rich.console import Console


def uncut_console() -> Console:
    """Standard output; where it is a file or a pipe, lines are as long as they need be."""
    console = Console()
    if not console.is_terminal:
        console.width = 100_000
    return console
