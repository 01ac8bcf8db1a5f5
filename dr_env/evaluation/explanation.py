"""What a comparison's numbers mean: which range hurts whom, and whether the ranges were covered."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_env.evaluation.coverage import Coverage, Marginal, cover
from dr_env.evaluation.sensitivity import LEAST, Effect, Sensitivity, analyse
from dr_env.evaluation.transfer import Arm, Comparison

Array = NDArray[np.float64]

WORLD = "randomized"
"""The world whose episodes are explained."""
_FIFTHS = ("lowest fifth", "second fifth", "middle fifth", "fourth fifth", "highest fifth")


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One drawn number: of a shared entry or a variable, or one element of those that draw several."""

    label: str
    marginal: Marginal
    element: int

    @property
    def values(self) -> Array:
        """The episodes' values, (n,)."""
        return self.marginal.drawn[:, self.element]


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Every arm's sensitivity to every parameter, and each entry's coverage."""

    parameters: tuple[Parameter, ...]
    arms: Mapping[str, Sensitivity]
    returns: Mapping[str, Array]  # arm -> (n,) returns, the mean over its runs
    coverage: tuple[Coverage, ...]

    def label(self, effect: Effect) -> str:
        """The name of the parameter that has the effect."""
        return self.parameters[effect.parameter].label

    def harms(self, arm: str, most: int = 3) -> list[str]:
        """The most harmful ranges in words, each claim within its interval; the worst first."""
        harmful = sorted(self.arms[arm].harmful, key=lambda effect: effect.drop.value, reverse=True)
        return [self.in_words(effect) for effect in harmful[:most]]

    def in_words(self, effect: Effect) -> str:
        """What the worst part of a range costs."""
        parameter = self.parameters[effect.parameter]
        share = f"{_percent(effect.share.value)} [{_percent(effect.share.low)}, {_percent(effect.share.high)}]"
        words = (
            f"return falls by {effect.drop} {self.where(effect)}; {parameter.label} explains {share} % of the variance"
        )
        if effect.partners:
            names = ", ".join(self.parameters[i].label for i in effect.partners)
            own = f"{_percent(effect.own.value)} [{_percent(effect.own.low)}, {_percent(effect.own.high)}]"
            words += f", of which {own} % is not explained as well by what moves with it ({names})"
        return words

    def where(self, effect: Effect) -> str:
        """The worst part of a range, in words."""
        parameter = self.parameters[effect.parameter]
        high = parameter.marginal.worded(effect.high)
        if effect.low == effect.high:
            return f"where {parameter.label} is {high}"
        return f"over the {_FIFTHS[effect.part]} of {parameter.label} ({effect.low:.3g} to {high})"

    def remark(self, arm: str) -> str:
        """How much the parameters explain together, or why nothing can be said."""
        found = self.arms[arm]
        if not self.parameters:
            return "Nothing varies in the randomized world."
        if not found.effects and found.episodes < LEAST:
            return f"{found.episodes} episodes are too few to tell; at least {LEAST} are needed."
        if not found.effects:
            return "Every episode returned the same, so no range matters."
        told = sum(effect.significant for effect in found.effects)
        words = (
            f"{told} of {len(found.effects)} parameters can be told from chance in {found.episodes} episodes"
            + (" (more episodes tell more)" if told < len(found.effects) else "")
            + "."
        )
        if found.rest is None:
            return words + " Some parameters move together, so that their shares overlap."
        low, high = _percent(found.rest.low), _percent(found.rest.high)
        return words + (
            f" What no parameter explains by itself, {_percent(found.rest.value)} [{low}, {high}] % of the variance, "
            "is their interplay, initial states and noise."
        )

    def worst(self, most: int) -> list[int]:
        """The parameters with the largest shares in any arm, the largest first."""
        best: dict[int, float] = {}
        for found in self.arms.values():
            for effect in found.effects:
                best[effect.parameter] = max(best.get(effect.parameter, 0.0), effect.share.value)
        return sorted(best, key=lambda i: -best[i])[:most]

    def effect(self, arm: str, parameter: int) -> Effect | None:
        """An arm's effect of a parameter, if it has one."""
        return next((effect for effect in self.arms[arm].effects if effect.parameter == parameter), None)

    def told(self, most: int) -> list[int]:
        """The parameters that some arm's return surely depends on, the largest shares first."""
        found = (self.effect(arm, i) for i in self.worst(len(self.parameters)) for arm in self.arms)
        return list(dict.fromkeys(effect.parameter for effect in found if effect and effect.significant))[:most]

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain data for JSON."""
        return {
            "sensitivity": {
                arm: {
                    "remark": self.remark(arm),
                    "harms": self.harms(arm),
                    "unexplained": dataclasses.asdict(found.rest) if found.rest else None,
                    "effects": [
                        {
                            **dataclasses.asdict(effect),
                            "parameter": self.label(effect),
                            "partners": [self.parameters[i].label for i in effect.partners],
                            "significant": effect.significant,
                        }
                        for effect in found.effects
                    ],
                }
                for arm, found in self.arms.items()
            },
            "coverage": [found.to_dict() for found in self.coverage],
        }


def explain(comparison: Comparison, marginals: Sequence[Marginal]) -> Explanation:
    """Explains the randomized world's episodes; the same answer for the same numbers."""
    parameters = tuple(
        Parameter(m.entry if len(m.elements) == 1 else f"{m.entry}[{element}]", m, i)
        for m in marginals
        for i, element in enumerate(m.elements)
    )
    returns = {arm.name: _mean_returns(arm) for arm in comparison.arms}
    count = len(next(iter(returns.values())))
    values = np.stack([p.values for p in parameters], axis=1) if parameters else np.zeros((count, 0))
    return Explanation(
        parameters=parameters,
        arms={arm: analyse(values, found, np.random.default_rng(0)) for arm, found in returns.items()},
        returns=returns,
        coverage=tuple(cover(marginals)),
    )


def _mean_returns(arm: Arm) -> Array:
    """Runs meet the same Draws, so their mean return is that of the arm's method in each."""
    return np.asarray(np.mean([outcome.returns for outcome in arm.outcomes[WORLD]], axis=0))


def _percent(share: float) -> str:
    return f"{100 * share:.0f}"
