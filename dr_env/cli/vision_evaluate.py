"""`dr-env vision evaluate`: an estimator judged on labelled images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console
from rich.table import Table

from dr_env.cli.bars import bars

if TYPE_CHECKING:
    from dr_env.vision.scores import Scores

_MAIN = ("position_median_cm", "adds", "reprojection", "ar")


def evaluate(
    run: tyro.conf.Positional[Path],
    *,
    data: Path,
    split: str | None = None,
    image: Literal["sensed", "clean"] = "sensed",
    out: Path | None = None,
    boxes: Literal["visible", "amodal"] = "visible",
    least_visible: float = 0.1,
    depth: bool = True,
    threads: int = 0,
    as_json: Annotated[bool, tyro.conf.arg(name="json")] = False,
    quiet: bool = False,
) -> None:
    """Judge an estimator on labelled images: errors in cm, ADD, reprojection, BOP's recalls.

    With --out, writes index.html (the table, what errors depend on, the worst and best images with poses drawn),
    scores.json, objects.csv, and estimates.csv, which BOP's tools read.

    Args:
        run: The trained estimator's folder.
        data: A BOP dataset, as dr-env export --format bop or bop-webdataset writes it, or of photographs.
        split: The dataset's part to judge on; by default all of it.
        image: The images as the camera's sensor gives them, or before it.
        out: A new folder for the results.
        boxes: Which labelled boxes an estimator that works on crops is given.
        least_visible: Objects of which less is visible are not asked for; BOP's is 0.1.
        depth: Compute visible surface discrepancy where the dataset has depth; it renders each estimate.
        threads: Of the processor; 0 for all.
        as_json: Print one JSON object.
        quiet: No progress bar.
    """
    from dr_env.vision import card, results
    from dr_env.vision.evaluate import examine
    from dr_env.vision.images import open_images
    from dr_env.vision.page import render_page
    from dr_env.vision.threads import use_threads

    use_threads(threads)
    if out is not None:
        results.check_new(out)
    estimator = card.load(run)
    card.warn_unfinished(run)
    images = open_images(data, split, image)
    card.warn_seen(run, images)
    if out is not None and len(images):
        results.check_numbers(map(images.number, range(len(images))), images.name)
    with bars(quiet, transient=True) as shown:
        bar = shown.add_task("images", total=len(images))
        found = examine(
            estimator,
            images,
            boxes=boxes,
            least_visible=least_visible,
            depth=depth,
            progress=lambda done, total: shown.update(bar, completed=done, total=total),
        )
    facts = {"estimator": str(run), "data": images.name}
    if out is not None:
        page = render_page(found, estimator, images, {"estimator": f"{run.name} ({estimator.kind})"})
        results.write_results(found, {**facts, "kind": estimator.kind, "boxes": boxes}, page, out)
    if as_json:
        print(json.dumps({**facts, "kind": estimator.kind, **found.scores.to_dict()}))
        return
    _show(found.scores)
    if out is not None:
        print(f"wrote {out / results.PAGE}")


def _show(scores: Scores) -> None:
    """Prints the scores over all objects with their intervals, and the main ones of each class."""
    console = Console()
    (name, overall), *classes = scores.groups.items()
    table = Table(f"{scores.objects[name]} objects in {scores.images} images", "", "95 % interval")
    for quantity in scores.quantities():
        e, unit = overall[quantity.key], quantity.unit
        interval = f"{_cell(e.low, unit)} to {_cell(e.high, unit)}"
        table.add_row(f"{quantity.title}, {unit}", _cell(e.value, unit), interval)
    console.print(table)
    if len(classes) > 1:
        shown = [quantity for quantity in scores.quantities() if quantity.key in _MAIN]
        table = Table("class", "objects", *(f"{quantity.title}, {quantity.unit}" for quantity in shown))
        for name, found in classes:
            cells = [
                _cell(found[quantity.key].value, quantity.unit) if quantity.key in found else "none"
                for quantity in shown
            ]
            table.add_row(name, str(scores.objects[name]), *cells)
        console.print(table)
    console.print(f"{1000 * scores.seconds:.1f} ms an image", highlight=False)
    for what, why in scores.left_out.items():
        console.print(f"left out: {what}, since {why}", markup=False, highlight=False, soft_wrap=True)


def _cell(value: float, unit: str) -> str:
    return f"{100 * value if unit == '%' else value:.2f}"
