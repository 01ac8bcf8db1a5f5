"""`dr-env preview`: what a Spec looks like, on one sheet."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from dr_env.cli.bars import bars
from dr_env.cli.export import spec_text
from dr_env.errors import DREnvError
from dr_env.export import SourceRequest
from dr_env.export.preview import check_sheet, take_samples, write_sheet


def preview(
    *,
    task: str,
    spec: str = "default",
    out: Path = Path("preview.png"),
    samples: int = 16,
    seed: int = 0,
    width: int = 320,
    height: int = 240,
    renderer: str = "classic",
    camera: str | None = None,
    objects: tuple[str, ...] = (),
    labels: bool = True,
    quiet: bool = False,
) -> None:
    """Show sixteen samples of a Spec on one sheet, with their labels.

    Args:
        task: A task, such as tabletop, or an MJCF file.
        spec: A Spec file, `default` for the task's own, `looks` for everything that pictures show, or `none`.
        out: The sheet: .png, .jpg, or .html, which tells each picture's Draw as well.
        samples: How many pictures.
        seed: The seed; they are the first frames that `dr-env export` makes of it.
        width: A picture's width in pixels.
        height: A picture's height in pixels.
        renderer: classic (OpenGL), filament (physically based) or mitsuba (path traced; mitsuba:64 for 64 samples).
        camera: The camera; by default the task's own.
        objects: Names or patterns of the bodies to label; by default all that are seen.
        labels: Draw the labels.
        quiet: No progress bar.
    """
    started = time.perf_counter()
    if samples < 1:
        raise DREnvError(f"--samples: got {samples}, expected at least 1")
    check_sheet(out)
    text, name = spec_text(task, spec)
    source = SourceRequest(task, text, name, seed, width, height, renderer, camera, objects).open()
    try:
        with bars(quiet, transient=True) as bar:
            step = bar.add_task("rendering", total=samples)
            made = take_samples(source, samples, labels, lambda done: bar.update(step, completed=done))
        classes = [(each.class_id, each.name) for each in source.classes]
    finally:
        source.close()
    write_sheet(out, made, classes, f"{task}, {name}, seed {seed}")
    print(f"{samples} samples on {out}", file=sys.stdout)
    print(f"{time.perf_counter() - started:.1f} s", file=sys.stderr)
