"""What the comparison's cells say: a row for each arm, and which arms cannot be told apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_env.evaluation import Estimate
from dr_env.rng import generator
from dr_env.vision.arms import Arm

Array = NDArray[np.float64]
Result = Mapping[str, Any]

_RESAMPLES = 1000


@dataclasses.dataclass(frozen=True)
class Row:
    """An arm with a number of labels.

    Attributes:
        arm: its name.
        title: what tables call it.
        labels: labelled target images.
        seeds: trainings.
        error: median distance, cm; its interval is a bootstrap over trainings and images.
        far: what nine of ten do not exceed, cm.
        right: share of objects with ADD(-S) below a tenth of the diameter; None of estimators without rotations.
        simple: whether the arm is a simple one.
        seconds: of a training, on average.
    """

    arm: str
    title: str
    labels: int
    seeds: int
    error: Estimate
    far: Estimate
    right: Estimate | None
    simple: bool
    seconds: float


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What can be said of the arms that were given as many labels.

    Attributes:
        labels: how many: 0 for none.
        best: the arm with the least error.
        level: arms that cannot be told apart from it.
        text: a sentence.
    """

    labels: int
    best: str
    level: tuple[str, ...]
    text: str


def rows(results: Iterable[Result], arms: Mapping[str, Arm]) -> list[Row]:
    """A row for each arm and number of labels, in the arms' order."""
    found = []
    for (arm, labels), group in _groups(results, arms).items():
        stacked = _errors(group)
        right = None
        if all("add_right" in result for result in group):
            shares = np.array([result["add_right"] for result in group], np.float64)
            right = _estimate(shares.mean(), _resampled(group, shares, np.mean))
        found.append(
            Row(
                arm,
                arms[arm].title,
                labels,
                len(group),
                _estimate(np.median(stacked), _resampled(group, stacked, np.median)),
                _estimate(_ninth(stacked), _resampled(group, stacked, _ninth)),
                right,
                arms[arm].simple,
                float(np.mean([result["seconds"] for result in group])),
            )
        )
    return found


def verdicts(results: Sequence[Result], arms: Mapping[str, Arm]) -> list[Verdict]:
    """For each number of labels: which arm is best, what it cannot be told from, and whether a simple one is.

    Two arms are told apart when the 95 % bootstrap interval of the difference of their medians does not hold 0. They
    are judged on the same images and on the seeds that all arms with as many labels have: a training's luck is shared.
    """
    groups = _groups(results, arms)
    said = []
    for labels in sorted({labels for _, labels in groups}):
        own = _of_common_seeds({arm: group for (arm, given), group in groups.items() if given == labels})
        if len(own) < 2:
            continue
        medians = {arm: float(np.median(_errors(group))) for arm, group in own.items()}
        best = min(medians, key=medians.__getitem__)
        level = [arm for arm in own if arm != best and _alike(own[best], own[arm])]
        titles = [arms[arm].title for arm in level]
        text = f"{arms[best].title} has the least error"
        text += f", and is not told apart from {', '.join(titles)}" if titles else ", and is told apart from all others"
        simple = [arm for arm in (best, *level) if arms[arm].simple]
        if arms[best].simple:
            text += ". A simple arm wins."
        elif simple:
            text += f". A simple arm, {arms[simple[0]].title}, does as well as far as this can tell."
        else:
            text += ". No simple arm does as well."
        if len(own[best]) == 1:
            text += " They have one training alone in common, whose luck no interval counts."
        said.append(Verdict(labels, best, tuple(level), text))
    return said


def markdown(found: Sequence[Row], said: Sequence[Verdict]) -> str:
    """The table and the verdicts as Markdown."""
    lines = ["| arm | labels | median error, cm | 90 % within, cm | ADD(-S) < 0.1 d, % | seconds | trainings |"]
    lines.append("|---|---|---|---|---|---|---|")
    for row in found:
        right = "" if row.right is None else _text(row.right, 0, 100.0)
        cells = row.title, row.labels, _text(row.error), _text(row.far), right, f"{row.seconds:.0f}", row.seeds
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += ["", *(f"- {verdict.labels or 'No'} labels: {verdict.text}" for verdict in said)]
    return "\n".join(lines) + "\n"


def _text(found: Estimate, digits: int = 2, times: float = 1.0) -> str:
    return f"{times * found.value:.{digits}f} [{times * found.low:.{digits}f}, {times * found.high:.{digits}f}]"


def _groups(results: Iterable[Result], arms: Mapping[str, Arm]) -> dict[tuple[str, int], list[Result]]:
    """Results by arm and labels, in the arms' order, each by seed."""
    found: dict[tuple[str, int], list[Result]] = {}
    for result in sorted(results, key=lambda r: (r["cell"]["labels"], r["cell"]["seed"])):
        found.setdefault((result["cell"]["arm"], result["cell"]["labels"]), []).append(result)
    order = list(arms)
    kept = {key: group for key, group in found.items() if key[0] in arms}
    return dict(sorted(kept.items(), key=lambda item: (order.index(item[0][0]), item[0][1])))


def _of_common_seeds(groups: Mapping[str, list[Result]]) -> dict[str, list[Result]]:
    """Each arm's results of the seeds that all arms have; no arms where there is no such seed."""
    shared = set.intersection(*({result["cell"]["seed"] for result in group} for group in groups.values()))
    kept = {arm: [r for r in group if r["cell"]["seed"] in shared] for arm, group in groups.items()}
    return kept if shared else {}


def _errors(group: Sequence[Result]) -> Array:
    """Errors (seeds, objects); infinite where an object was missed."""
    return np.array([[np.inf if e is None else e for e in result["errors_cm"]] for result in group])


def _resamples(images: Sequence[int], seeds: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Which trainings and which objects each resample is made of; the same for all arms with as many trainings."""
    rng = generator("vision comparison", "bootstrap")
    _, member = np.unique(np.asarray(images), return_inverse=True)
    of_image = [np.flatnonzero(member == i) for i in range(member.max() + 1)]
    for _ in range(_RESAMPLES):
        picked = rng.integers(0, len(of_image), len(of_image))
        yield rng.integers(0, seeds, seeds), np.concatenate([of_image[i] for i in picked])


def _resampled(group: Sequence[Result], values: Array, statistic: Callable[[Array], float]) -> Array:
    """A statistic of each resample of values (seeds, objects): (resamples,)."""
    drawn = _resamples(group[0]["images"], len(group))
    return np.array([statistic(values[np.ix_(seeds, objects)]) for seeds, objects in drawn])


def _ninth(values: Array) -> float:
    """What nine of ten do not exceed."""
    return float(np.quantile(values, 0.9, method="higher"))


def _estimate(value: float, drawn: Array) -> Estimate:
    low, high = np.quantile(drawn, [0.025, 0.975], method="nearest")  # infinities have nothing between them
    return Estimate(float(value), float(low), float(high))


def _alike(one: Sequence[Result], other: Sequence[Result]) -> bool:
    """Whether two arms cannot be told apart, by results of the same seeds."""
    medians = [_resampled(group, _errors(group), np.median) for group in (one, other)]
    with np.errstate(invalid="ignore"):
        difference = np.nan_to_num(medians[0] - medians[1])
    low, high = np.quantile(difference, [0.025, 0.975])
    return bool(low <= 0 <= high)
