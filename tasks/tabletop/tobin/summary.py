"""What the cells of Tobin's experiment say: rows of the table, points of the curves, and the predictions judged."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_env.evaluation import Estimate
from dr_env.rng import generator
from tasks.tabletop.tobin.experiment import ARMS, TEXTURES, Cell
from tasks.tabletop.tobin.sets import TESTS

Array = NDArray[np.float64]
Result = Mapping[str, Any]

PUBLISHED = {
    "full": (1.3, 1.8, 2.4),
    "without noise": (1.4, 1.9, 2.4),
    "without camera randomization": (2.0, 2.4, 2.9),
    "without distractors": (1.5, 7.2, 7.4),
}
"""Tobin et al. 2017: cm on photographs of object only, with distractors, with occlusions."""
SHIFTED = tuple(name for name in TESTS if name != "simulation")

_RESAMPLES = 2000


@dataclasses.dataclass(frozen=True)
class Run:
    """Trainings that differ in their seed alone.

    Attributes:
        cell: the first of them.
        errors: (seeds, n) cm by test set.
        classes: (n,) class of each image's object, by test set.
        seconds: of a training, on average.
    """

    cell: Cell
    errors: Mapping[str, Array]
    classes: Mapping[str, Sequence[str]]
    seconds: float

    @property
    def seeds(self) -> int:
        """How many trainings."""
        return len(next(iter(self.errors.values())))

    @property
    def arm(self) -> str | None:
        """The row of the main table that it is, if any."""
        return next((arm for arm, found in ARMS.items() if found == (self.cell.set, self.cell.image)), None)

    def mean(self, test: str, kind: str | None = None) -> Estimate:
        """The mean error on a test set, cm, or of one class in it, with a 95 % interval over seeds and images."""
        errors = self.errors[test]
        if kind is not None:
            errors = errors[:, np.array(self.classes[test]) == kind]
        return _interval(_resampled(errors), float(errors.mean()))

    def ratio(self, other: Run, test: str) -> Estimate:
        """By what factor its mean error is that of another, with a 95 % interval; images are paired."""
        mine, theirs = self.errors[test], other.errors[test]
        # the same key draws the same images of both
        return _interval(_resampled(mine) / _resampled(theirs), float(mine.mean() / theirs.mean()))


def _resampled(errors: Array) -> Array:
    """Means (resamples,) of errors (seeds, n), with seeds and images drawn anew."""
    seeds, count = errors.shape
    rng = generator("tobin", "bootstrap", seeds, count)
    rows = rng.integers(0, seeds, (_RESAMPLES, seeds))
    columns = rng.integers(0, count, (_RESAMPLES, count))
    weights = np.stack([np.bincount(row, minlength=seeds) for row in rows]) / seeds  # (resamples, seeds)
    images = np.stack([np.bincount(column, minlength=count) for column in columns]) / count  # (resamples, n)
    return np.asarray(((weights @ errors) * images).sum(1))


def _interval(found: Array, value: float) -> Estimate:
    low, high = np.quantile(found, [0.025, 0.975])
    return Estimate(value, float(low), float(high))


def runs(results: Sequence[Result]) -> list[Run]:
    """All trainings, gathered over seeds."""
    groups: dict[Cell, list[Result]] = {}
    for result in results:
        groups.setdefault(dataclasses.replace(Cell(**result["cell"]), seed=0), []).append(result)
    return [
        Run(
            cell,
            {name: np.array([each["errors_cm"][name] for each in found]) for name in TESTS},
            found[0]["classes"],
            float(np.mean([each["seconds"] for each in found])),
        )
        for cell, found in groups.items()
    ]


def main_table(found: Sequence[Run]) -> dict[str, Run]:
    """The arms by name: of the trainings on most images and for most steps of which the full set is one."""
    full = [run for run in found if run.arm == "full"]
    if not full:
        return {}
    first = max(full, key=lambda run: (run.cell.images, run.cell.steps, run.cell.tests)).cell
    alike = {run.arm: run for run in found if _like(run.cell, first)}
    return {arm: alike[arm] for arm in ARMS if arm in alike}


def texture_curve(found: Sequence[Run]) -> list[Run]:
    """Trainings on as many images of few and many textures, by their number."""
    table = main_table(found)
    if "full" not in table:
        return []
    first = table["full"].cell
    own = [run for run in found if run.cell.set.startswith("textures-") and _like(run.cell, first)]
    return sorted([*own, table["full"]], key=lambda run: run.cell.textures) if own else []


def image_curve(found: Sequence[Run]) -> list[Run]:
    """Trainings on few and many images of the full set, by their number."""
    table = main_table(found)
    if "full" not in table:
        return []
    first = table["full"].cell
    own = [
        run for run in found
        if run.arm == "full" and _like(dataclasses.replace(run.cell, images=first.images), first)
    ]  # fmt: skip
    return sorted(own, key=lambda run: run.cell.images) if len(own) > 1 else []


def _like(cell: Cell, other: Cell) -> bool:
    """Whether two cells differ in their training sets alone."""
    return dataclasses.replace(cell, set=other.set, image=other.image, seed=0) == dataclasses.replace(other, seed=0)


@dataclasses.dataclass(frozen=True)
class Prediction:
    """One prediction, written down before anything was trained.

    Attributes:
        text: what it says.
        found: what came out.
        held: whether it holds.
    """

    text: str
    found: str
    held: bool


def predictions(found: Sequence[Run]) -> list[Prediction]:
    """The predictions of docs/tobin.md that the runs say something of."""
    table = main_table(found)
    if "full" not in table:
        return []
    full, made = table["full"], []

    def ratios(arm: str, tests: Sequence[str]) -> list[Estimate]:
        return [table[arm].ratio(full, test) for test in tests]

    if "without distractors" in table:
        values = ratios("without distractors", ("clutter", "occluded"))
        held = all(each.value >= 3 for each in values)
        made.append(Prediction("no distractors: at least three times worse in clutter", _told(values), held))
    if "without noise" in table:
        values = ratios("without noise", SHIFTED)
        held = all(each.low <= 1 <= each.high for each in values)
        made.append(Prediction("no noise: nearly no difference", _told(values), held))
    if "without camera randomization" in table:
        values = ratios("without camera randomization", SHIFTED)
        held = all(1.1 <= each.value <= 2 for each in values)
        made.append(Prediction("no camera randomization: 1.1 to 2 times worse", _told(values), held))
    curve = texture_curve(found)
    if len(curve) == len(TEXTURES) + 1:
        means = [run.mean("object").value for run in curve]
        *few, last = means
        held = all(a > b for a, b in itertools.pairwise(few)) and last > 0.8 * few[-1]
        steps = ", ".join(f"{run.cell.textures:,}: {value:.1f} cm" for run, value in zip(curve, means, strict=True))
        made.append(Prediction("error falls with textures, up to a knee near 1,000", steps, held))
    return made


def _told(ratios: Sequence[Estimate]) -> str:
    return ", ".join(f"{each.value:.2f} [{each.low:.2f}, {each.high:.2f}]" for each in ratios) + " times"
