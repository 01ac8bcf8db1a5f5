"""Tobin et al. 2017 again: which part of the randomization makes a position model transfer? See docs/tobin.md.

python scripts/reproduce_tobin.py --out results/tobin --quick         a first look
python scripts/reproduce_tobin.py --out results/tobin                 three seeds, table and curves
python scripts/reproduce_tobin.py --out results/tobin --report-only   table and page of what is there
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import tyro
from rich.console import Console

from dr_env import DREnvError
from dr_env.cli.bars import bars
from dr_env.files import check_writable
from tasks.tabletop.tobin.experiment import Experiment, Plan
from tasks.tabletop.tobin.report import write_report

WHOLE = {"images": 6000, "seeds": 3, "steps": 3000, "tests": 300, "curves": True}
QUICK = {"images": 2000, "seeds": 1, "steps": 1500, "tests": 100, "curves": False}


def main(
    *,
    out: Path,
    images: int | None = None,
    seeds: int | None = None,
    steps: int | None = None,
    batch: int = 64,
    size: int = 128,
    tests: int | None = None,
    curves: bool | None = None,
    quick: bool = False,
    export_only: bool = False,
    report_only: bool = False,
    workers: int = 1,
    threads: int = 0,
    precision: Literal["float32", "bfloat16"] = "float32",
) -> None:
    """Export what is missing, train and judge what is missing, and write the table; run it again to go on.

    Args:
        out: The folder of data, trainings, results and page; that of an earlier run goes on.
        images: Images of each training set, a multiple of 500; by default 6,000.
        seeds: Trainings of each kind; by default 3.
        steps: Steps of each training; by default 3,000.
        batch: Images a step.
        size: Width and height of images in pixels.
        tests: Images of each test set, a multiple of 100; by default 300.
        curves: Whether to run the curves of numbers of textures and of images too; by default they are.
        quick: Other defaults, for a first look: 2,000 images, one seed, 1,500 steps, 100 test images, no curves.
        export_only: Make the images and train nothing.
        report_only: Run nothing; write table and page of what is there.
        workers: Processes that render.
        threads: Of training; 0 for all cores.
        precision: Of training; bfloat16 takes half as long on processors that have it.
    """
    check_writable(out)
    given = {"images": images, "seeds": seeds, "steps": steps, "tests": tests, "curves": curves}
    numbers = (QUICK if quick else WHOLE) | {name: value for name, value in given.items() if value is not None}
    experiment = Experiment(out, Plan(batch=batch, size=size, precision=precision, **numbers))
    if not report_only:
        _run(experiment, export_only, workers, threads)
    if not export_only:
        page = write_report(experiment.results.read(), out)
        print((out / "table.md").read_text(encoding="utf-8"))
        print(f"page: {page}")


def _run(experiment: Experiment, export_only: bool, workers: int, threads: int) -> None:
    console = Console(stderr=True)
    parts, cells = experiment.left_to_export(), [] if export_only else experiment.left_to_train()
    exporting, training = experiment.expected_s()
    console.print(
        f"{len(parts)} exports (about {exporting / 60:.0f} minutes on two idle cores) and {len(cells)} trainings "
        f"(about {0 if export_only else training / 60:.0f} minutes) are left"
    )
    with bars(console=console) as progress:
        whole = progress.add_task("all", total=len(parts) + len(cells))
        bar = progress.add_task("")

        def told(done: int, total: int) -> None:
            progress.update(bar, completed=done, total=total)

        try:
            for part in parts:
                progress.reset(bar, description=f"rendering {part.name}")
                experiment.export(part, workers, told)
                progress.advance(whole)
            for cell in cells:
                progress.reset(bar, description=f"training {cell.name}")
                experiment.run(cell, threads, told)
                progress.advance(whole)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("stopped; what is done is kept: the same command goes on") from None


if __name__ == "__main__":
    try:
        tyro.cli(main)
    except DREnvError as error:
        raise SystemExit(f"error: {error}") from None
