"""`dr-env replay`: one frame of a dataset, made again."""

from __future__ import annotations

import sys
from pathlib import Path

import tyro

from dr_env.export import replay as run


def replay(dataset: tyro.conf.Positional[Path], *, frame: int, out: Path | None = None) -> None:
    """Render one frame of a dataset again, and say whether it is the same bit for bit.

    Exits with 1 where it is not.

    Args:
        dataset: The dataset's folder.
        frame: The frame's number.
        out: Where its files go; by default runs/replay-DATASET-FRAME.
    """
    made = run(dataset, frame, out or Path("runs") / f"replay-{dataset.resolve().name}-{frame}")
    print(f"frame {frame} in {made.folder}, Draw in {made.folder / 'record.json'}")
    for line in made.elsewhere:
        print(f"not as it was: {line}")
    if made.differing:
        why = "" if made.elsewhere else ", though versions and renderer are the same: is the dataset's record changed?"
        print(f"differs: {', '.join(made.differing)}{why}")
        sys.exit(1)
    print(f"the same, bit for bit: {', '.join(made.record['checksums'])}")
