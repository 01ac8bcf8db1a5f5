"""Estimates with intervals.

Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice", NeurIPS
2021: interquartile means with stratified bootstrap intervals.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

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
        value, low, high = self.texts()
        return f"{value} [{low}, {high}]"

    def texts(self) -> tuple[str, str, str]:
        """The three numbers with as many decimals as the interval's width is worth: two digits of it, or none."""
        width = self.high - self.low
        digits = 0
        if 0 < width < 100 and np.isfinite(width):
            digits = min(max(0, 1 - math.floor(math.log10(width))), 6)
        elif not width:
            digits = 0 if abs(self.value) >= 100 or self.value == round(self.value) else 3
        shown = (f"{number:.{digits}f}" for number in (self.value, self.low, self.high))
        value, low, high = (text.removeprefix("-") if not float(text) else text for text in shown)
        return value, low, high


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
    found = scipy.stats.binomtest(int(values.sum()), len(values))
    low, high = found.proportion_ci(method="wilson")
    return Estimate(float(values.mean()), float(low), float(high))


def resampled_by_group(groups: ArrayLike, rng: np.random.Generator, resamples: int = _RESAMPLES) -> NDArray[np.float32]:
    """Weights (resamples + 1, n) of values that come in groups, such as the objects of images, for a bootstrap.

    The first row is all ones, of the values as they are; each other row counts how often the value's group was drawn.

    Args:
        groups: (n,) group of each value.
        rng: the bootstrap's generator.
        resamples: how many.
    """
    _, member = np.unique(np.asarray(groups), return_inverse=True)
    count = int(member.max(initial=-1)) + 1
    drawn = rng.multinomial(count, np.full(count, 1 / count), resamples) if count else np.zeros((resamples, 0))
    return np.concatenate([np.ones((1, len(member))), drawn[:, member]]).astype(np.float32)


def weighted_mean(values: ArrayLike, weights: NDArray[np.float32]) -> Estimate:
    """The mean of values (n,) with the 95 % interval that weights of `resampled_by_group` give it."""
    given, whole = np.asarray(values, np.float64), weights.sum(1)
    found = weights @ given.astype(np.float32) / np.maximum(whole, 1e-9)
    return _interval(found[whole > 0], float(given.mean()))


def weighted_quantile(values: ArrayLike, share: float, weights: NDArray[np.float32]) -> Estimate:
    """A quantile of values (n,), the least of those that a share of all does not exceed, with its 95 % interval."""
    given = np.asarray(values, np.float64)
    order = np.argsort(given, kind="stable")
    reached = np.cumsum(weights[:, order], axis=1)
    whole = reached[:, -1:]
    place = (reached < share * whole - 1e-4).sum(1).clip(0, len(given) - 1)
    found = given[order][place]
    return _interval(found[whole[:, 0] > 0], float(found[0]))


def _interval(found: NDArray[np.floating], value: float) -> Estimate:
    low, high = np.quantile(found[1:], [0.025, 0.975])
    return Estimate(value, float(low), float(high))


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
