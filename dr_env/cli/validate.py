"""`dr-env validate`: read a dataset back and say what is wrong with it."""

from __future__ import annotations

import sys
from pathlib import Path

import tyro
from rich.progress import TaskID

from dr_env.cli.bars import bars
from dr_env.errors import DREnvError
from dr_env.export.validate import FILES
from dr_env.export.validate import validate as read_back


def validate(folder: tyro.conf.Positional[Path], *, limit: int = 20) -> None:
    """Read every file of a dataset back; exit status 1 where something is wrong.

    Reads BOP (scenewise and webdataset), plain WebDataset, COCO and YOLO: whether files are whole, ids right, boxes and
    counts those of the masks, what is visible within what is whole, projected models where the masks are, and depths
    where the poses are; pycocotools must score the ground truth against itself at an average precision of 1. Of an
    export also whether all its formats are there, and all files those that it wrote.

    Args:
        folder: The dataset, or an export's folder with one for each format.
        limit: How many findings to print of each format.
    """
    if limit < 0:
        raise DREnvError(f"--limit: got {limit}, expected 0 or more")
    with bars(transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def show(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=total)
            bar.update(tasks[name], completed=done, total=total)

        verdicts = read_back(folder, show)
    wrong = 0
    for verdict in verdicts:
        count = len(verdict.findings)
        wrong += count
        judged = f"{count} wrong" if count else "good"
        read = f"{verdict.images} {'checksums' if verdict.format == FILES else 'images'}"
        print(f"{verdict.folder}: {verdict.format}, {read}, {judged}")
        for finding in verdict.findings[:limit]:
            print(f"  {finding}")
        if count > limit:
            print(f"  ... and {count - limit} more; --limit {count} shows them")
    if wrong:
        sys.exit(1)
