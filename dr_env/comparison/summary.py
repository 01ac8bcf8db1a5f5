"""What the cells say, as rows of tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from dr_env.evaluation import Estimate, estimate

Array = NDArray[np.float64]
Result = Mapping[str, Any]

_RESAMPLES = 2000
FEW = 5
"""Runs below which their range is shown instead of an interval."""
_SMALL_GAP = 0.1  # of the larger return, which an oracle gains where a target counts


@dataclasses.dataclass(frozen=True)
class Recovered:
    """Tier 0: what a method did in one situation, over seeds (and tasks, where they are pooled)."""

    method: str
    condition: str
    size: int
    task: str
    runs: int
    error: Estimate
    inside50: Estimate
    inside90: Estimate
    log_density: Estimate
    sim_steps: float


@dataclasses.dataclass(frozen=True)
class Transferred:
    """Tiers 1 and 2: the normalised score of a method in one situation, over hidden targets and seeds."""

    tier: int
    task: str
    size: int  # target episodes that a method may spend
    steps: int  # of training, for each policy
    method: str
    runs: int
    score: Estimate | None
    returns: Estimate
    target_episodes: float
    policies: float
    sim_steps: float
    counted: tuple[int, ...]  # the targets that scores are of; where there are none, there is no score

    @property
    def situation(self) -> tuple[int, str, int, int]:
        """What methods are compared in: tier, task, target episodes, steps of training."""
        return self.tier, self.task, self.size, self.steps


def recovered(results: Iterable[Result], pooled: bool = True) -> list[Recovered]:
    """Rows of tier 0 by condition, size and method; tasks pooled, or each by itself."""
    groups: dict[tuple[str, str, int, str], list[Result]] = {}
    for result in results:
        cell = result["cell"]
        if cell["tier"] == 0:
            key = ("all" if pooled else cell["task"], cell["condition"], cell["size"], cell["method"])
            groups.setdefault(key, []).append(result)
    rows = []
    for (task, condition, size, method), group in sorted(groups.items()):
        inside = {share: [_inside(result, share) for result in group] for share in (50, 90)}
        rows.append(
            Recovered(
                method,
                condition,
                size,
                task,
                len(group),
                mean_of([result["error"] for result in group]),
                mean_of(inside[50]),
                mean_of(inside[90]),
                mean_of([result["log_density"] for result in group]),
                float(np.mean([result["ledger"]["sim_steps"] for result in group])),
            )
        )
    return rows


def transferred(results: Iterable[Result]) -> list[Transferred]:
    """Rows of tiers 1 and 2 by situation and method.

    The score of a run is (J - J_none) / (J_oracle - J_none), J the mean return of its fresh target episodes, J_none
    and J_oracle the means over the seeds of the same target. Targets that lack either are left out; those whose oracle
    gains less than a tenth have no score.
    """
    groups: dict[tuple[int, str, int, int], list[Result]] = {}
    for result in results:
        cell = result["cell"]
        if cell["tier"] > 0:
            groups.setdefault((cell["tier"], cell["task"], cell["size"], cell["steps"]), []).append(result)
    rows = []
    for situation, group in sorted(groups.items()):
        ends = _ends(group)
        counted = tuple(number for number, (none, oracle) in ends.items() if _gain(none, oracle) >= _SMALL_GAP)
        for method in sorted({result["cell"]["method"] for result in group}):
            own = [r for r in group if r["cell"]["method"] == method and r["cell"]["target"] in ends]
            if not own:
                continue
            scores: dict[int, list[float]] = {}
            for result in own:
                none, oracle = ends[number := result["cell"]["target"]]
                if number in counted:
                    scores.setdefault(number, []).append((_return(result) - none) / (oracle - none))
            rows.append(
                Transferred(
                    *situation,
                    method,
                    len(own),
                    _summed_up(list(scores.values())) if scores else None,
                    _summed_up([[_return(result) for result in own]]),
                    float(np.mean([result["ledger"]["target_episodes"] for result in own])),
                    float(np.mean([result["ledger"]["policies"] for result in own])),
                    float(np.mean([result["ledger"]["sim_steps"] for result in own])),
                    counted,
                )
            )
    return rows


def _ends(group: list[Result]) -> dict[int, tuple[float, float]]:
    """J_none and J_oracle of each target that has both."""
    ends = {}
    for number in sorted({result["cell"]["target"] for result in group}):
        none, oracle = (_mean(group, number, method) for method in ("none", "oracle"))
        if none is not None and oracle is not None:
            ends[number] = none, oracle
    return ends


def _gain(none: float, oracle: float) -> float:
    return (oracle - none) / max(abs(oracle), abs(none), 1e-9)


def _summed_up(strata: list[list[float]]) -> Estimate:
    """The interquartile mean of runs with its interval, or of few with their range."""
    found = estimate(strata, np.random.default_rng(0))
    runs = [value for stratum in strata for value in stratum]
    return found if len(runs) >= FEW else Estimate(found.value, min(runs), max(runs))


def mean_of(values: ArrayLike) -> Estimate:
    """The mean of runs with its 95 % bootstrap interval, or of few with their range.

    Percentiles of the bootstrap are as far out as makes up for what it takes few runs to vary less by (T. Hesterberg,
    "What teachers should know about the bootstrap", American Statistician 2015, the expanded percentile interval).
    """
    numbers = np.asarray(values, np.float64)
    if len(numbers) < FEW:
        return Estimate(float(numbers.mean()), float(numbers.min()), float(numbers.max()))
    picked = np.random.default_rng(0).integers(0, len(numbers), (_RESAMPLES, len(numbers)))
    count = len(numbers)
    tail = scipy.stats.norm.cdf(np.sqrt(count / (count - 1)) * scipy.stats.t.ppf(0.025, count - 1))
    low, high = np.quantile(numbers[picked].mean(axis=1), [tail, 1 - tail])
    return Estimate(float(numbers.mean()), float(low), float(high))


def _inside(result: Result, share: int) -> float:
    """The share of parameters that lie in their interval."""
    truth = np.array(result["truth"])
    return float(((np.array(result[f"low{share}"]) <= truth) & (truth <= np.array(result[f"high{share}"]))).mean())


def _return(result: Result) -> float:
    return float(np.mean(result["returns"]))


def _mean(group: Iterable[Result], target: int, method: str) -> float | None:
    found = [_return(r) for r in group if r["cell"]["target"] == target and r["cell"]["method"] == method]
    return float(np.mean(found)) if found else None


def markdown(results: Iterable[Result]) -> str:
    """The tables in Markdown."""
    results = list(results)
    parts = []
    pooled, single = recovered(results), recovered(results, pooled=False)
    if pooled:
        parts += ["### Tier 0: parameters recovered, tasks pooled\n", *_recovery_table(pooled)]
        for task in sorted({row.task for row in single}):
            parts += [f"\n### Tier 0: {task}\n", *_recovery_table([row for row in single if row.task == task])]
    scored = transferred(results)
    for situation in sorted({row.situation for row in scored}):
        rows = sorted((r for r in scored if r.situation == situation), key=_rank)
        tier, task, _, steps = situation
        parts += [
            f"\n### Tier {tier}: {task}, {steps:,} steps a policy\n",
            f"{_which(rows[0].counted)}\n",
            "| method | normalised score | return | runs | target episodes | policies | simulated steps |",
            "|---|---|---|---|---|---|---|",
            *(
                f"| {r.method} | {shown(r.score, 2, r.runs) if r.score else '-'} "
                f"| {shown(r.returns, 0, r.runs)} | {r.runs} "
                f"| {r.target_episodes:.0f} | {r.policies:.0f} | {r.sim_steps:,.0f} |"
                for r in rows
            ),
        ]
    return "\n".join(parts) + "\n"


def _rank(row: Transferred) -> float:
    return -(row.score or row.returns).value


def _which(counted: tuple[int, ...]) -> str:
    """What scores are of."""
    if not counted:
        return "No oracle gains a tenth over no randomization, so there are no scores."
    named = ", ".join(map(str, counted))
    return f"Scores are of the targets whose oracle gains a tenth or more: {named}. Returns are of all."


def _recovery_table(rows: list[Recovered]) -> list[str]:
    return [
        "| recordings | transitions | method | error, % of range | in 50 % | in 90 % | log density | simulated steps "
        "| runs |",
        "|---|---|---|---|---|---|---|---|---|",
        *(
            f"| {r.condition} | {r.size} | {r.method} | {shown(r.error, 2, r.runs, 100)} "
            f"| {shown(r.inside50, 0, r.runs, 100)} | {shown(r.inside90, 0, r.runs, 100)} "
            f"| {shown(r.log_density, 2, r.runs)} | {r.sim_steps:,.0f} | {r.runs} |"
            for r in rows
        ),
    ]


def shown(found: Estimate, digits: int, runs: int, times: float = 1.0) -> str:
    """A number with its interval, or with its range where runs are too few for a bootstrap to mean anything."""
    value, low, high = (f"{times * x:.{digits}f}" for x in (found.value, found.low, found.high))
    return f"{value} [{low}, {high}]" if runs >= FEW else f"{value} ({low} .. {high})"
