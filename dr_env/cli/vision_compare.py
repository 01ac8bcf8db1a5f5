"""`dr-env vision compare`: how much realism a model for a target needs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import imageio.v3 as iio
from rich.console import Console

from dr_env.cli.bars import bars
from dr_env.cli.export import spec_text
from dr_env.errors import DREnvError
from dr_env.export import SourceRequest, cores
from dr_env.files import atomic_path, check_writable
from dr_env.spec import Spec

if TYPE_CHECKING:
    from dr_env.vision.samples import Images

_LOOKED_AT = 64  # target images that looks are tuned to


def compare(
    *,
    task: str,
    target: Path,
    out: Path,
    spec: str = "default",
    arms: tuple[str, ...] = (),
    labels: tuple[int, ...] = (5, 20, 100),
    seeds: int = 3,
    model: Literal["position", "keypoints"] = "position",
    base: Literal["plain", "randomized", "structured", "tuned"] = "structured",
    frames: int = 3000,
    steps: int = 1500,
    width: int = 96,
    height: int = 96,
    size: int | None = None,
    tested: int = 200,
    evaluations: int = 120,
    renderer: str = "classic",
    camera: str | None = None,
    workers: int | None = None,
    threads: int = 0,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    bound: float = 0.6,
    report_only: bool = False,
    quiet: bool = False,
) -> None:
    """Compare ways to a model for a target, at equal budget; goes on where it was stopped.

    Arms: plain, randomized and structured worlds; augmented; tuned (looks moved towards the target's); statistics,
    simgan and paste (images refined); coral, dann and adabn (features adapted); hybrid (fine-tuned with labels) and
    target (labels alone). Each training has its own JSON file in OUT/cells; OUT/table.md, report.json and
    report.html are made of all that are there.

    Args:
        task: What is rendered: a task with a scene, such as tabletop.
        target: A labelled BOP dataset of the world that models are for; labels judge, and help where an arm says so.
        out: The folder of results; that of an earlier run goes on.
        spec: The Spec of the structured world, which others are made of: a file, or `default` for the task's own.
        arms: Some arms only.
        labels: Numbers of labelled target images.
        seeds: Trainings of each arm.
        model: What is trained.
        base: The world that refined, adapted and hybrid arms begin from.
        frames: Rendered images of each world.
        steps: Of each training.
        width: Of rendered images, pixels.
        height: Of rendered images, pixels.
        size: Side of the images that the network takes; by default its own.
        tested: Target images to judge on; the others may be learned from.
        evaluations: Of look tuning.
        renderer: classic (OpenGL) or filament (physically based), of training images.
        camera: The camera; by default the task's own.
        workers: Processes that render; by default one a core.
        threads: Of training; 0 for all.
        device: Where to train; auto takes a GPU where there is one.
        bound: Least overlap of what is found of the objects before and after refinement, or the arm is refused.
        report_only: Run nothing; make table and page of what is there.
        quiet: No progress bars.
    """
    from dr_env.vision.arms import arms as known
    from dr_env.vision.compare import Comparison, Protocol
    from dr_env.vision.images import open_images
    from dr_env.vision.standings_page import write_standings

    text, name = spec_text(task, spec)
    source = SourceRequest(task, text, name, 0, width, height, renderer, camera)
    count = cores() if workers is None else workers
    protocol = Protocol(
        source=source,
        names=arms,
        labels=labels,
        seeds=seeds,
        model=model,
        base=base,
        frames=frames,
        steps=steps,
        size=size or 0,
        tested=tested,
        threads=threads,
        device=device,
        workers=count,
        bound=bound,
    )

    images = open_images(target)
    check_writable(out)

    def tune(path: Path, prior: Spec, images: Images) -> Spec:
        return _tuned(path, prior, images, task, width, evaluations, renderer, camera, count, quiet)

    comparison = Comparison(out, protocol, images, tune)
    cells, left = comparison.cells(), [] if report_only else comparison.left()
    comparison.check(report_only)
    failed = 0
    console = Console(stderr=True)
    with bars(quiet, console=console) as shown:
        whole = shown.add_task("trainings", total=len(cells), completed=len(cells) - len(left))
        for cell in left:
            step = shown.add_task(cell.name)

            def told(what: str, done: int, total: int, bar=step, title=cell.name) -> None:  # type: ignore[no-untyped-def]
                shown.update(bar, description=f"{title}: {what}", completed=done, total=total)

            try:
                comparison.run(cell, told)
            except DREnvError as error:
                failed += 1
                console.print(f"{cell.name}: {error}", style="red", highlight=False)
            shown.remove_task(step)
            shown.advance(whole)
    found = comparison.results.read()
    if not found:
        raise DREnvError(f"{out}: no training is done; nothing to report")
    page = write_standings(found, known(base), out, comparison.shown())
    print((out / "table.md").read_text(encoding="utf-8"))
    print(f"report: {page}")
    if failed:
        print(f"{failed} trainings failed; run the command again to try them again", file=sys.stderr)
        sys.exit(1)


def _tuned(
    path: Path,
    prior: Spec,
    images: Images,
    task: str,
    width: int,
    evaluations: int,
    renderer: str,
    camera: str | None,
    workers: int,
    quiet: bool,
) -> Spec:
    """Look tuning by its own command, on some of the target's images as a folder of pictures."""
    from dr_env.cli.vision_looks import looks

    folder = path.parent / "target-images"
    for index in range(min(_LOOKED_AT, len(images))):
        file = folder / f"{index:04d}.png"
        if not file.exists():
            with atomic_path(file) as temporary:
                iio.imwrite(temporary, images[index].image, extension=".png")
    before = path.with_name("untuned.yaml")
    prior.save(before)
    looks(
        task=task,
        target=(folder,),
        out=path,
        spec=str(before),
        evaluations=evaluations,
        width=width,
        renderer=renderer,
        camera=camera,
        workers=workers,
        quiet=quiet,
    )
    return Spec.load(path)
