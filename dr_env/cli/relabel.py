"""`dr-env relabel`: masks, boxes and visibility of any BOP dataset, real photographs too."""

from __future__ import annotations

from pathlib import Path

import tyro
from rich.console import Console

from dr_env.cli.bars import bars
from dr_env.export.relabel import relabel as run


def relabel(dataset: tyro.conf.Positional[Path], *, out: Path, renderer: str = "classic") -> None:
    """Compute masks, boxes and visibility of a BOP dataset from its poses, camera and models.

    Args:
        dataset: The dataset's folder: models, scene_gt.json and scene_camera.json.
        out: Where the relabelled copy goes; run it again to go on after an interruption.
        renderer: classic (OpenGL), filament (Vulkan) or mitsuba (path traced).
    """
    console = Console(stderr=True)
    with bars(transient=True, console=console) as bar:
        task = bar.add_task("relabelling", total=None)
        done = run(dataset, out, renderer, lambda i, n: bar.update(task, completed=i, total=n))
    print(f"{done.objects} objects in {done.images} images labelled in {out}")
    if done.kept:
        print(f"{done.kept} scenes were there already")
    if done.without_model:
        left = ", ".join(f"{number} ({count})" for number, count in done.without_model.items())
        print(f"left out for want of a model, so that what they hide counts as visible: object {left}")
