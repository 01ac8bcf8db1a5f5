"""Figures of what randomized parameters do to the return."""

from __future__ import annotations

from itertools import cycle

import numpy as np

from dr_env.evaluation.explanation import Explanation
from dr_env.evaluation.figures import COLOURS, figure_of, panels, plain_numbers, png
from dr_env.evaluation.statistics import binned

_BARS = 14
_CURVES = 8
_LEVELS = 8


def shares(explanation: Explanation) -> str | None:
    """The variance that each parameter explains, with intervals; pale where it may be chance."""
    worst = explanation.worst(_BARS)
    if not worst:
        return None
    arms = list(explanation.arms)
    height = 0.8 / len(arms)
    figure, (axis,) = figure_of(7.6, 0.9 + 0.34 * len(worst) * max(1.0, 0.55 * len(arms)))
    for k, (arm, colour) in enumerate(zip(arms, cycle(COLOURS), strict=False)):
        label: str | None = arm
        for row, parameter in enumerate(worst):
            effect = explanation.effect(arm, parameter)
            if effect is None:
                continue
            y = row + (k - (len(arms) - 1) / 2) * height
            share = effect.share
            alpha = 1.0 if effect.significant else 0.25
            axis.barh(y, 100 * share.value, height * 0.9, color=colour, alpha=alpha)
            axis.plot([100 * share.low, 100 * share.high], [y, y], color="black", lw=1.2, alpha=max(alpha, 0.4))
        axis.barh(0, 0, color=colour, label=label)
    axis.set_yticks(range(len(worst)), [explanation.parameters[i].label for i in worst])
    axis.invert_yaxis()
    axis.set(xlabel="share of the return's variance explained, % (line: 95 % interval)", xlim=(0, None))
    axis.grid(axis="y", visible=False)
    axis.grid(axis="x", alpha=0.25)
    if len(arms) > 1:
        axis.legend(frameon=False, loc="lower right")
    return png(figure)


def curves(explanation: Explanation) -> str | None:
    """Return against the parameters that surely matter, the worst part of each range marked."""
    chosen = explanation.told(_CURVES)
    if not chosen:
        return None
    figure, axes = panels(len(chosen))
    for axis, i in zip(axes, chosen, strict=True):
        parameter = explanation.parameters[i]
        for arm, colour in zip(explanation.arms, cycle(COLOURS), strict=False):
            returns, x = explanation.returns[arm], parameter.values
            axis.scatter(x, returns, s=4, color=colour, alpha=0.15, lw=0)
            levels = np.unique(x)
            if len(levels) <= _LEVELS:
                groups = [returns[x == level] for level in levels]
                means = np.array([group.mean() for group in groups])
                errors = np.array([group.std() / np.sqrt(len(group)) for group in groups])
                axis.errorbar(
                    levels, means, 2 * errors, color=colour, marker="o", ms=4, capsize=3, lw=0, elinewidth=1.3
                )
            else:
                centres, means, errors = binned(x, returns)
                axis.plot(centres, means, color=colour, label=arm)
                axis.fill_between(centres, means - 2 * errors, means + 2 * errors, color=colour, alpha=0.2, lw=0)
            effect = explanation.effect(arm, i)
            if effect is not None and effect.harmful:
                axis.axvspan(effect.low, effect.high, color=colour, alpha=0.12, lw=0)
        if parameter.marginal.law is not None and parameter.marginal.law.type_name == "log_uniform":
            plain_numbers(axis, float(parameter.values.min()), float(parameter.values.max()))
        axis.set_xlabel(f"{parameter.label}\n{parameter.marginal.unit}", fontsize="small")
        axis.tick_params(labelsize="small")
    axes[0].set_ylabel("return")
    if len(explanation.arms) > 1:
        axes[0].legend(frameon=False, fontsize="x-small")
    return png(figure)
