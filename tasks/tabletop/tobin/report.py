"""The files of Tobin's experiment: table, plain data, and one self-contained HTML page."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dr_env import DREnvError
from dr_env.evaluation import Estimate
from dr_env.evaluation.figures import COLOURS, data_uri, figure_of, png
from dr_env.files import write_text
from dr_env.records import versions
from tasks.tabletop.tobin.experiment import FORMAT
from tasks.tabletop.tobin.sets import TESTS
from tasks.tabletop.tobin.summary import (
    PUBLISHED,
    SHIFTED,
    Run,
    image_curve,
    main_table,
    predictions,
    runs,
    texture_curve,
)

_TEMPLATE = Path(__file__).parent / "report.html.j2"
_SHOWN = 8  # images of each set
_PICTURES = {
    "full": "full/0/bop/train",
    "without noise": "full/0/bop/train",
    "without camera randomization": "no-camera/0/bop/train",
    "without distractors": "no-distractors/0/bop/train",
    **{label: f"test/{name}/0/bop/test" for name, label in TESTS.items()},
}
_VERDICT = {True: "holds", False: "does not hold"}


def write_report(results: Sequence[Mapping[str, Any]], folder: Path) -> Path:
    """Writes `table.md`, `report.json` and `report.html` into `folder`; returns the page's path.

    Raises:
        DREnvError: there are no results of the full training set.
    """
    import jinja2

    found = runs(results)
    table = main_table(found)
    if not table:
        raise DREnvError(f"{folder}: no cell of the full training set has run; nothing to report")
    curves = {"textures": texture_curve(found), "images": image_curve(found)}
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    page = environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        table=table,
        first=next(iter(table.values())),
        tests=TESTS,
        published=PUBLISHED,
        shifted=SHIFTED,
        told=told,
        kinds=_kinds(table["full"]) if "full" in table else {},
        predictions=predictions(found),
        verdict=_VERDICT,
        curves={name: _curve(name, rows) for name, rows in curves.items() if rows},
        strips=_strips(folder / "data"),
        versions=versions("dr-env", "mujoco", "torch"),
    )
    form = {
        "format": FORMAT,
        "table": {arm: _plain(run) for arm, run in table.items()},
        **{name: [_plain(run) for run in rows] for name, rows in curves.items()},
        "predictions": [dataclasses.asdict(each) for each in predictions(found)],
    }
    write_text(folder / "report.json", json.dumps(form, indent=1) + "\n")
    write_text(folder / "table.md", markdown(found))
    write_text(folder / "report.html", page)
    return folder / "report.html"


def told(value: Estimate) -> str:
    """A mean in cm and its interval."""
    return f"{value.value:.1f} [{value.low:.1f}, {value.high:.1f}]"


def markdown(found: Sequence[Run]) -> str:
    """All tables."""
    table = main_table(found)
    first = next(iter(table.values()))
    cell = first.cell
    lines = [
        "Mean error in cm, [95 % interval over seeds and images], (published, on photographs). "
        f"{cell.images:,} images of {cell.size} x {cell.size}, {cell.steps:,} steps of {cell.batch}, "
        f"{cell.tests} images a test, {first.seeds} seed{'s' if first.seeds > 1 else ''}.",
        "",
        "| training set | " + " | ".join(TESTS.values()) + " |",
        "|---" * (len(TESTS) + 1) + "|",
    ]
    for arm, run in table.items():
        numbers = [told(run.mean("simulation"))]
        numbers += [f"{told(run.mean(test))} ({value})" for test, value in zip(SHIFTED, PUBLISHED[arm], strict=True)]
        lines.append(f"| {arm} | {' | '.join(numbers)} |")
    lines += ["", "| prediction | found | |", "|---|---|---|"]
    lines += [f"| {each.text} | {each.found} | {_VERDICT[each.held]} |" for each in predictions(found)]
    for name, rows in (("textures", texture_curve(found)), ("images", image_curve(found))):
        if rows:
            lines += ["", f"| {name} | seeds | {' | '.join(TESTS.values())} |", "|---" * (len(TESTS) + 2) + "|"]
            lines += [
                f"| {getattr(run.cell, name):,} | {run.seeds} | {' | '.join(told(run.mean(test)) for test in TESTS)} |"
                for run in rows
            ]
    kinds = _kinds(table["full"]) if "full" in table else {}
    lines += ["", f"| full, by class | {' | '.join(TESTS.values())} |", "|---" * (len(TESTS) + 1) + "|"]
    lines += [f"| {kind} | {' | '.join(numbers)} |" for kind, numbers in kinds.items()]
    return "\n".join(lines) + "\n"


def _kinds(run: Run) -> dict[str, list[str]]:
    """Mean errors by class, a text for each test."""
    names = sorted(set.intersection(*(set(run.classes[test]) for test in TESTS)))
    return {kind: [told(run.mean(test, kind)) for test in TESTS] for kind in names}


def _plain(run: Run) -> dict[str, Any]:
    means = {test: dataclasses.asdict(run.mean(test)) for test in TESTS}
    return {"cell": dataclasses.asdict(run.cell), "seeds": run.seeds, "seconds": run.seconds, "error_cm": means}


def _curve(name: str, rows: Sequence[Run]) -> str:
    """Errors against the number of textures or images."""
    figure, (axis,) = figure_of(6.0, 3.6)
    x = [getattr(run.cell, name) for run in rows]
    for (test, label), colour in zip(TESTS.items(), COLOURS, strict=False):
        means = [run.mean(test) for run in rows]
        axis.fill_between(x, [m.low for m in means], [m.high for m in means], color=colour, alpha=0.15, lw=0)
        axis.plot(x, [m.value for m in means], "o-", color=colour, label=label, ms=4)
    axis.set(xscale="log", xlabel=f"{name} in training", ylabel="mean error, cm", ylim=(0, None))
    axis.set_xticks(x, [f"{value:,}" for value in x])
    axis.minorticks_off()
    axis.legend(frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return png(figure)


def _strips(data: Path) -> dict[str, str]:
    """The first images of each set side by side, as data URIs; of sets that are there."""
    import imageio.v3 as iio

    found = {}
    for label, place in _PICTURES.items():
        folder = data / place / "000000" / ("rgb_clean" if label == "without noise" else "rgb")
        images = [iio.imread(path) for path in sorted(folder.glob("*.png"))[:_SHOWN]]
        if images:
            strip = np.concatenate(
                [np.pad(image, ((0, 0), (0, 2), (0, 0)), constant_values=255) for image in images], 1
            )
            found[label] = data_uri(iio.imwrite("<bytes>", strip, extension=".png"), "image/png")
    return found
