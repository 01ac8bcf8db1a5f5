"""The report's figures, as PNG in data URIs."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np

from dr_env.evaluation.statistics import binned
from dr_env.evaluation.transfer import Arm, Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")  # Okabe and Ito, safe for colour blindness


def data_uri(content: bytes, kind: str) -> str:
    """Content as a data URI, so that the report is one file."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure as MplFigure  # imported late: it takes half a second

    figure = MplFigure(figsize=(width, height), layout="constrained", dpi=110)
    grid = figure.subplots(rows, columns, squeeze=False)
    axes = [axis for row in grid for axis in row]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", alpha=0.25)
    return figure, axes


def _png(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return data_uri(buffer.getvalue(), "image/png")


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
    figure, (axis,) = _figure(5.2, 3.2)
    for colour, arm in zip(COLOURS, comparison.arms, strict=False):
        for i, curve in enumerate(arm.curves):
            rows = [row for row in curve if key in row]
            x, y = [row["steps"] for row in rows], [row[key] for row in rows]
            axis.plot(x, y, color=colour, alpha=0.9, lw=1.2, label=arm.name if i == 0 else None)
    axis.set(xlabel="environment steps", ylabel=label)
    axis.xaxis.set_major_formatter(lambda steps, _: f"{steps / 1e6:g} M" if steps >= 1e6 else f"{steps / 1e3:g} k")
    axis.locator_params(axis="x", nbins=6)
    axis.legend(frameon=False)
    return _png(figure)


def return_distributions(comparison: Comparison) -> str:
    """Every episode's return, by world and arm."""
    figure, axes = _figure(2.7 * len(comparison.worlds) + 0.6, 3.2, 1, len(comparison.worlds))
    top = max(outcome.returns.max() for arm in comparison.arms for group in arm.outcomes.values() for outcome in group)
    low = min(outcome.returns.min() for arm in comparison.arms for group in arm.outcomes.values() for outcome in group)
    margin = max(0.05 * (top - low), 0.02 * abs(top), 1e-3)
    jitter = np.random.default_rng(0)
    for axis, world in zip(axes, comparison.worlds, strict=True):
        for k, (colour, arm) in enumerate(zip(COLOURS, comparison.arms, strict=False)):
            returns = np.concatenate([outcome.returns for outcome in arm.outcomes[world]])
            axis.scatter(k + jitter.uniform(-0.22, 0.22, len(returns)), returns, s=6, color=colour, alpha=0.35, lw=0)
            score = arm.estimate(world)
            bar = [[score.value - score.low], [score.high - score.value]]
            axis.errorbar([k], [score.value], bar, color="black", marker="o", ms=5, capsize=5, lw=1.5, zorder=3)
        axis.set(title=world, ylim=(low - margin, top + margin), xlim=(-0.6, len(comparison.arms) - 0.4))
        axis.set_xticks(range(len(comparison.arms)), [arm.name for arm in comparison.arms])
    axes[0].set_ylabel("return of an episode")
    return _png(figure)


def sensitivity(comparison: Comparison, world: str = "randomized") -> str | None:
    """Return against each randomized parameter, binned means with two standard errors."""
    names = _parameters(comparison.arms[0], world)
    if not names:
        return None
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure, axes = _figure(2.7 * columns, 2.3 * rows + 0.3, rows, columns)
    for axis, (label, entry, element) in zip(axes, names, strict=False):
        for colour, arm in zip(COLOURS, comparison.arms, strict=False):
            outcomes = arm.outcomes[world]
            returns = np.concatenate([outcome.returns for outcome in outcomes])
            values = np.concatenate([_column(outcome.draws[entry], element) for outcome in outcomes])
            centres, means, errors = binned(values, returns)
            axis.scatter(values, returns, s=3, color=colour, alpha=0.15, lw=0)
            axis.plot(centres, means, color=colour, label=arm.name)
            axis.fill_between(centres, means - 2 * errors, means + 2 * errors, color=colour, alpha=0.2, lw=0)
        axis.set_xlabel(label)
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    axes[0].set_ylabel("return")
    axes[0].legend(frameon=False, fontsize="small")
    return _png(figure)


def _parameters(arm: Arm, world: str) -> list[tuple[str, str, int]]:
    """(label, entry, element) of each drawn number; element -1 is the mean over many elements."""
    found = []
    for entry, column in arm.outcomes[world][0].draws.items() if world in arm.outcomes else ():
        if column.ndim == 1:
            found.append((entry, entry, 0))
        else:
            found.append((f"{entry}, mean of {column.shape[1]}", entry, -1))
    return found


def _column(values: np.ndarray, element: int) -> np.ndarray:
    return values if values.ndim == 1 else values.mean(axis=1)
