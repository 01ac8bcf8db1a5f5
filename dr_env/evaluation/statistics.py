"""Estimates with intervals.

Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice", NeurIPS
2021: interquartile means with stratified bootstrap intervals.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Array = NDArray[np.float64]

_RESAMPLES = 2000


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

    def overlaps(self, other: Estimate) -> bool:
        """Whether the intervals have a point in common."""
        return self.low <= other.high and other.low <= self.high

    def __str__(self) -> str:
        return f"{self.value:.0f} [{self.low:.0f}, {self.high:.0f}]"


def interquartile_mean(values: ArrayLike, axis: int = -1) -> Array:
    """The mean of the middle half: the lowest and the highest quarter, rounded down, are left out."""
    ordered = np.sort(np.asarray(values, np.float64), axis=axis)
    cut = ordered.shape[axis] // 4
    middle = np.take(ordered, range(cut, ordered.shape[axis] - cut), axis=axis)
    return np.asarray(middle.mean(axis=axis))


def estimate(groups: Sequence[ArrayLike], rng: np.random.Generator) -> Estimate:
    """Interquartile mean of pooled values with a 95 % stratified bootstrap interval.

    Args:
        groups: values in strata, one array a policy; each is resampled within itself.
        rng: the bootstrap's generator.
    """
    strata = [np.asarray(group, np.float64) for group in groups]
    resampled = [values[rng.integers(0, len(values), (_RESAMPLES, len(values)))] for values in strata]
    spread = interquartile_mean(np.concatenate(resampled, axis=1))
    low, high = np.quantile(spread, [0.025, 0.975])
    return Estimate(float(interquartile_mean(np.concatenate(strata))), float(low), float(high))


def proportion(outcomes: ArrayLike) -> Estimate:
    """The share of true outcomes, (n,), with its 95 % interval (E. Wilson, J. Am. Stat. Assoc. 22, 1927)."""
    values = np.asarray(outcomes, bool)
    found = stats.binomtest(int(values.sum()), len(values))
    low, high = found.proportion_ci(method="wilson")
    return Estimate(float(values.mean()), float(low), float(high))


def binned(x: ArrayLike, y: ArrayLike, bins: int = 8) -> tuple[Array, Array, Array]:
    """Means of `y` in bins of `x` that hold equally many points.

    Returns:
        Bin centres, means, and standard errors, (bins,) each.
    """
    order = np.argsort(np.asarray(x, np.float64), kind="stable")
    xs, ys = np.asarray(x, np.float64)[order], np.asarray(y, np.float64)[order]
    parts = [part for part in np.array_split(np.arange(len(xs)), bins) if len(part)]
    centres = np.array([xs[part].mean() for part in parts])
    means = np.array([ys[part].mean() for part in parts])
    errors = np.array([ys[part].std() / np.sqrt(len(part)) for part in parts])
    return centres, means, errors
