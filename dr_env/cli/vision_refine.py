"""`dr-env vision refine`: images that look like target images, with labels as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.progress import TaskID

from dr_env.cli.bars import bars


def refine(
    *,
    data: Path,
    target: Path,
    out: Path,
    method: Literal["simgan", "histogram", "statistics", "paste"] = "simgan",
    against: Literal["image", "pool"] = "image",
    steps: int = 800,
    batch: int = 16,
    crop: int = 64,
    width: int = 32,
    blocks: int = 4,
    rate: float = 2e-4,
    keep_object: float = 6.0,
    keep_background: float = 3.0,
    blend: float = 2.0,
    bound: float = 0.6,
    check_steps: int = 400,
    target_split: Annotated[str | None, tyro.conf.arg(metavar="SPLIT")] = None,
    seed: int = 0,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    threads: int = 0,
    overwrite: bool = False,
    quiet: bool = False,
) -> None:
    """Write a copy of a dataset whose images look like target images; run it again to go on after an interruption.

    Args:
        data: The dataset, as dr-env export --format bop writes it.
        target: Images that it shall look like: a dataset, whose labels are not looked at, or a folder of pictures.
        out: The copy's folder.
        method: simgan (a trained refiner), histogram or statistics (colours alone), or paste (objects cut out and put
            on target images).
        against: Of histogram and statistics: a random target image for each image, or the pool of all.
        steps: Of training the refiner.
        batch: Crops a step.
        crop: Their side in pixels.
        width: Channels of the refiner.
        blocks: Its residual blocks.
        rate: Its learning rate.
        keep_object: What a change of an object's pixels costs the refiner.
        keep_background: What a change of other pixels costs it.
        blend: Of paste: pixels over which an object goes over into what is behind it.
        bound: Least overlap of what is found of the objects before and after, or the method is refused; 0 does not
            check.
        check_steps: Of training what finds them.
        target_split: The target dataset's part; by default all of it.
        seed: Of everything.
        device: Where networks are trained; auto takes a GPU where there is one.
        threads: Of the processor; 0 for all.
        overwrite: Replace a refined dataset that is there.
        quiet: No progress bars.
    """
    from dr_env.vision.images import open_target
    from dr_env.vision.refine import RefineSettings
    from dr_env.vision.refine import refine as run
    from dr_env.vision.simgan import SimGanSettings

    gan = SimGanSettings(
        steps=steps,
        batch=batch,
        crop=crop,
        width=width,
        blocks=blocks,
        rate=rate,
        keep_object=keep_object,
        keep_background=keep_background,
    )
    settings = RefineSettings(method, against, blend, bound, check_steps, seed, gan)
    with bars(quiet) as shown:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = shown.add_task(what, total=total)
            shown.update(tasks[what], completed=done, total=total)

        note = run(
            data,
            open_target(target, target_split),
            out,
            settings,
            overwrite=overwrite,
            device=device,
            threads=threads,
            progress=show,
        )
    Console().print(f"{note['images']} images in {out}", markup=False, highlight=False, soft_wrap=True)
    if "check" in note:
        check = note["check"]
        print(
            f"objects found before and after overlap by {check['mean']:.2f} on average, by {check['worst_tenth']:.2f} "
            f"or more in nine of ten images ({check['judged']} of {check['of']} images could be judged)"
        )
