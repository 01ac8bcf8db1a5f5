"""Figures of what policies earned."""

from __future__ import annotations

from itertools import cycle

import numpy as np

from dr_env.evaluation.figures import COLOURS, figure_of, png
from dr_env.evaluation.transfer import Comparison


def learning_curves(comparison: Comparison) -> str | None:
    """What training earned against steps; None where no run has a curve.

    The mean return of the last 100 episodes; where episodes end too seldom to make a curve of that, the
    mean reward of a step.
    """
    curves = [curve for arm in comparison.arms for curve in arm.curves]
    ends = min((len({row["return_mean"] for row in curve if "return_mean" in row}) for curve in curves), default=0)
    key, label = ("return_mean", "return in training") if ends > 50 else ("reward_mean", "reward of a step in training")
    if not any(key in row for curve in curves for row in curve):
        return None
    figure, (axis,) = figure_of(5.2, 3.2)
    for colour, arm in zip(cycle(COLOURS), comparison.arms, strict=False):
        for i, curve in enumerate(arm.curves):
            rows = [row for row in curve if key in row]
            x, y = [row["steps"] for row in rows], [row[key] for row in rows]
            mark = "o" if len(x) < 3 else None  # a line of one point is not seen
            axis.plot(x, y, color=colour, alpha=0.9, lw=1.2, marker=mark, label=arm.name if i == 0 else None)
    axis.set(xlabel="environment steps", ylabel=label)
    axis.xaxis.set_major_formatter(lambda steps, _: _short(steps))
    axis.locator_params(axis="x", nbins=6)
    axis.legend(frameon=False)
    return png(figure)


def _short(steps: float) -> str:
    for size, unit in ((1e6, " M"), (1e3, " k")):
        if steps >= size:
            return f"{steps / size:g}{unit}"
    return f"{steps:g}"


def return_distributions(comparison: Comparison) -> str:
    """Every episode's return, by world and arm."""
    figure, axes = figure_of(2.7 * len(comparison.worlds) + 0.6, 3.2, 1, len(comparison.worlds))
    top = max(outcome.returns.max() for arm in comparison.arms for group in arm.outcomes.values() for outcome in group)
    low = min(outcome.returns.min() for arm in comparison.arms for group in arm.outcomes.values() for outcome in group)
    margin = max(0.05 * (top - low), 0.02 * abs(top), 1e-3)
    jitter = np.random.default_rng(0)
    for axis, world in zip(axes, comparison.worlds, strict=True):
        for k, (colour, arm) in enumerate(zip(cycle(COLOURS), comparison.arms, strict=False)):
            returns = np.concatenate([outcome.returns for outcome in arm.outcomes[world]])
            axis.scatter(k + jitter.uniform(-0.22, 0.22, len(returns)), returns, s=6, color=colour, alpha=0.35, lw=0)
            score = arm.estimate(world)
            bar = [[score.value - score.low], [score.high - score.value]]
            axis.errorbar([k], [score.value], bar, color="black", marker="o", ms=5, capsize=5, lw=1.5, zorder=3)
        axis.set(title=world, ylim=(low - margin, top + margin), xlim=(-0.6, len(comparison.arms) - 0.4))
        axis.set_xticks(range(len(comparison.arms)), [arm.name for arm in comparison.arms])
    axes[0].set_ylabel("return of an episode")
    return png(figure)
