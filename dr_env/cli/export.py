"""`dr-env export`: labelled images as datasets."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dr_env.binding import propose_looks
from dr_env.cli.bars import bars
from dr_env.cli.models import load_model, task_anywhere
from dr_env.envs import is_model_file, is_task_file, make_task
from dr_env.errors import DREnvError
from dr_env.export import ExportRequest, Layout, Manifest, SourceRequest, Summary, cores
from dr_env.export import export as run
from dr_env.spec import Spec


def export(
    *,
    task: str,
    frames: int,
    out: Path,
    spec: str = "default",
    formats: Annotated[str, tyro.conf.arg(name="format", metavar="FORMAT,...")] = "bop",
    seed: int = 0,
    width: int = 640,
    height: int = 480,
    renderer: str = "classic",
    workers: int | None = None,
    quota: Annotated[tuple[str, ...], tyro.conf.arg(metavar="ATTRIBUTE=BIN,...")] = (),
    attempts: int = 100,
    camera: str | None = None,
    objects: tuple[str, ...] = (),
    jitter: float = 0.0,
    steps: int = 0,
    image: Literal["png", "jpg"] = "png",
    shard: int = 1000,
    split: str = "train",
    every: int = 0,
    overwrite: bool = False,
    quiet: bool = False,
) -> None:
    """Render and label frames, and write them as datasets; run it again to go on after an interruption.

    Args:
        task: A task, such as tabletop, or an MJCF file.
        frames: How many frames.
        out: The dataset's folder; with a format's name for each format in it.
        spec: A Spec file, `default` for the task's own, `looks` for everything that pictures show, or `none`.
        formats: bop, bop-webdataset, coco, yolo, yolo-segment, yolo-pose, webdataset.
        seed: The seed; frame k depends on it and on k alone.
        width: Image width in pixels.
        height: Image height in pixels.
        renderer: classic (OpenGL), filament (physically based) or mitsuba (path traced; mitsuba:64 for 64 samples).
        workers: Processes; by default one a core, 0 for this one alone. No byte depends on it.
        quota: What frames show, such as class=cube,ball*2 or visibility=0.1..0.5,0.5..1 or size, angle, distance.
        attempts: Candidates for a frame that a quota may refuse before the last is taken.
        camera: The camera; by default the task's own.
        objects: Names or patterns of the bodies to label; by default all that are seen.
        jitter: Metres by which free bodies are moved at most along each horizontal axis, turning about the vertical.
        steps: Simulator steps before the picture is taken.
        image: How colour images are kept.
        shard: Frames a BOP scene or a tar file.
        split: The split's name.
        every: Put every so many-th frame into the split val.
        overwrite: Replace a dataset that is there.
        quiet: No progress bar.
    """
    if every < 0 or every == 1:
        raise DREnvError(f"--every: got {every}, expected 0 for no split val, or at least 2")
    text, name = spec_text(task, spec)
    task = task_anywhere(task)
    source = SourceRequest(task, text, name, seed, width, height, renderer, camera, objects, jitter, steps)
    layout = Layout(frames, width, height, shard, split, every, f".{image}")
    names = tuple(part.strip() for part in formats.split(",") if part.strip())
    request = ExportRequest(source, layout, names, quota, attempts)
    count = cores() if workers is None else workers
    with bars(quiet) as bar:
        step = bar.add_task("rendering", total=frames)

        def told(done: int, total: int, candidates: int) -> None:
            if not candidates:  # frames of earlier runs, which say nothing of this one's speed
                bar.reset(step, total=total, completed=done)
            speed = bar.tasks[step].speed
            bar.update(
                step,
                completed=done,
                total=total,
                description=f"rendering, {speed:.1f} frames/s" if speed else "rendering",
            )

        try:
            done = run(request, out, workers=count, overwrite=overwrite, progress=told)
        except KeyboardInterrupt:
            if not out.exists():
                raise KeyboardInterrupt("stopped before anything was made") from None
            how = "the same command without --overwrite" if overwrite else "the same command"
            raise KeyboardInterrupt(f"stopped; what is done is kept in {out}: {how} goes on") from None
    _tell(done, out)


def spec_text(task: str, spec: str) -> tuple[str, str]:
    """A Spec by name or file, as YAML, and what to call it: `default`, `looks`, `none` or a path."""
    if is_task_file(task):
        model = Path(task.rpartition(".py")[0]).with_suffix(".xml")
        raise DREnvError(
            f"--task: got {task}, expected an installed task or an MJCF file, such as {model}; pictures are of a "
            "model, and a dataset can be made again without running code that it names"
        )
    if spec == "looks":
        return propose_looks(load_model(task, Spec())[0].model).to_yaml(), "looks"
    if spec == "none" or (spec == "default" and is_model_file(task)):
        return Spec().to_yaml(), "none"
    if spec == "default":
        return Spec.load(make_task(task).file("randomization.yaml")).to_yaml(), f"{task}/randomization.yaml"
    if not is_model_file(task):
        make_task(task)  # a task that is not there is told of, whatever the Spec
    return Spec.load(spec).to_yaml(), spec


def _tell(done: Summary, out: Path) -> None:
    for note in done.notes:
        print(f"mended: {note}", file=sys.stderr)
    manifest: Manifest = done.manifest
    result = manifest.result or {}
    speed = f", {done.made / done.seconds:.1f} frames/s" if done.made and done.seconds else ""
    print(f"{manifest.request.layout.frames} frames in {out} ({done.made} made now{speed})")
    acceptance = result["acceptance"]
    if acceptance["refused"]:
        share = acceptance["candidates"] / (acceptance["candidates"] + acceptance["refused"])
        print(f"drawn as the Spec asks: {share:.1%} of Draws and scenes; the others were drawn again")
    if not manifest.request.quotas:
        return
    missed = acceptance["missed"]
    print(f"accepted: {acceptance['rate']:.1%} of {acceptance['candidates']} candidates; {len(missed)} targets missed")
    table = Table("quota", "bin", "asked", "shown", "visible objects")
    for attribute, bins in result["coverage"].items():
        for name, counts in bins.items():
            table.add_row(attribute, escape(name), *(str(counts[key]) for key in ("asked", "shown", "objects")))
    Console().print(table)
