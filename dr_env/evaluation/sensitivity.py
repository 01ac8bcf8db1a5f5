"""Which range hurts: how much of the return's variance each randomized parameter explains.

The measure is the first-order Sobol index, S_i = Var(E[y | x_i]) / Var(y): the share of the variance that
would vanish if x_i were known. It is estimated from the episodes at hand, without a design of their own, by
regressing returns on cosines of a parameter's ranks (Plischke, "How to compute variance-based sensitivity
indicators with your spreadsheet software", Environmental Modelling & Software 35, 2012), less what as many
regressors explain of pure noise (Ezekiel's adjusted R^2, 1930). Intervals are bootstrapped over episodes
and corrected for bias (Efron and Tibshirani, "An introduction to the bootstrap", 1993, section 10). A
parameter counts as signal where its share exceeds what the best of all parameters reaches when returns are
permuted (Westfall and Young, "Resampling-based multiple testing", 1993), so that among many parameters noise
is seldom reported.

Where parameters move together, S_i holds what x_i explains by way of the others; the part that is its own is
what it adds to them (Xu and Gertner, "Uncertainty and sensitivity analysis for models with correlated
parameters", Reliability Engineering & System Safety 93, 2008).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dr_env.evaluation.statistics import Estimate

Array = NDArray[np.float64]

HARMONICS = (4, 6)
"""Cosines of a parameter's ranks, for few episodes and for many: they follow steps, cliffs and humps, and leave
noise little room."""
PARTS = 5
"""A range is judged in fifths that hold equally many episodes."""
LEAST = 32
"""Episodes below which nothing is said."""
_MANY = 512
_LEVELS = 8  # a parameter with so few distinct values is judged value by value
_RESAMPLES = 1000
_PERMUTATIONS = 2000
_SIGNIFICANT = 0.05
_DEPENDENT = 4.9  # rank correlation, in standard errors, at which two parameters move together: p = 1e-6


@dataclasses.dataclass(frozen=True)
class Effect:
    """What one parameter does to the return.

    Args:
        parameter: its index among the parameters.
        share: the share of the return's variance that it explains, with a 95 % interval.
        p_value: probability of such a share, in the best of all parameters, by chance.
        own: the share that parameters moving with it do not explain; equals `share` where there are none.
        partners: indices of the parameters that move with it.
        low, high: the worst part of its range, as drawn values.
        part: which part that is, counted from the lowest.
        parts: how many parts the range has.
        drop: how far the mean return there is below that of the rest, with a 95 % interval.
    """

    parameter: int
    share: Estimate
    p_value: float
    own: Estimate
    partners: tuple[int, ...]
    low: float
    high: float
    part: int
    parts: int
    drop: Estimate

    @property
    def significant(self) -> bool:
        """Whether the share can be told from chance, by the test and by its interval."""
        return self.p_value < _SIGNIFICANT and self.share.low > 0

    @property
    def harmful(self) -> bool:
        """Whether the return surely falls in the worst part of the range."""
        return self.significant and self.drop.low > 0


@dataclasses.dataclass(frozen=True)
class Sensitivity:
    """Every parameter's effect, the largest share first.

    Args:
        effects: one for each parameter that varied.
        rest: the share of the variance that no parameter explains on its own: their interplay, initial states,
            noise; None where parameters move together, so that shares overlap.
        episodes: how many there were.
    """

    effects: tuple[Effect, ...]
    rest: Estimate | None
    episodes: int

    @property
    def harmful(self) -> tuple[Effect, ...]:
        """The effects of ranges in which the return surely falls somewhere."""
        return tuple(effect for effect in self.effects if effect.harmful)


def analyse(values: Array, returns: Array, rng: np.random.Generator) -> Sensitivity:
    """Estimates every parameter's effect on the return.

    Args:
        values: (n, parameters) drawn values; parameters that never varied are left out.
        returns: (n,).
        rng: for resampling and permuting.
    """
    y = np.asarray(returns, np.float64) - np.mean(returns)
    n = len(y)
    varied = [i for i in range(values.shape[1]) if len(np.unique(values[:, i])) > 1]
    if n < LEAST or not varied or np.ptp(y) <= 1e-9 * max(1.0, float(np.abs(returns).max())):
        return Sensitivity((), None, n)
    columns = [values[:, i] for i in varied]
    blocks = [_features(column) for column in columns]
    weights: Array = np.ones((1 + _RESAMPLES, n))
    weights[1:] = rng.multinomial(n, np.full(n, 1 / n), _RESAMPLES)
    shares = np.stack([_explained(block, y, weights) for block in blocks], axis=1)  # (1 + resamples, parameters)
    p_values = _p_values(blocks, y, shares[0], rng)
    partners = _partners(np.stack(columns, axis=1))
    effects = []
    for k, (parameter, column) in enumerate(zip(varied, columns, strict=True)):
        own = shares[:, k]
        if partners[k]:
            others = np.concatenate([blocks[j] for j in partners[k]], axis=1)
            own = _explained(np.concatenate((blocks[k], others), axis=1), y, weights) - _explained(others, y, weights)
        part, count, low, high, drop = _worst_part(column, y, weights)
        effects.append(
            Effect(
                parameter=parameter,
                share=_share(shares[:, k]),
                p_value=float(p_values[k]),
                own=_share(own),
                partners=tuple(varied[j] for j in partners[k]),
                low=low,
                high=high,
                part=part,
                parts=count,
                drop=drop,
            )
        )
    order = np.argsort(-shares[0], kind="stable")
    rest = None if any(partners) else _share(1 - shares.sum(1))
    return Sensitivity(tuple(effects[k] for k in order), rest, n)


def _features(column: Array) -> Array:
    """Regressors of one parameter, (n, f): cosines of its ranks, or a mark for each of a few values."""
    levels = np.unique(column)
    if len(levels) <= _LEVELS:
        return np.asarray(column[:, None] == levels[1:], np.float64)
    unit = (_ranks(column) + 0.5) / len(column)
    harmonics = np.arange(1, HARMONICS[len(column) >= _MANY] + 1)
    return np.asarray(np.sqrt(2) * np.cos(np.pi * unit[:, None] * harmonics))


def _ranks(column: Array) -> Array:
    """Ranks from 0, equal values sharing their mean rank."""
    _, inverse, counts = np.unique(column, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - 0.5 * (counts + 1))[inverse])


def _explained(features: Array, y: Array, weights: Array) -> Array:
    """Adjusted R^2 of regressing y (n,) on features (n, f), for each row of weights (b, n): (b,)."""
    n, f = features.shape
    full = np.concatenate((np.ones((n, 1)), features), axis=1)
    gram = (weights @ (full[:, :, None] * full[:, None, :]).reshape(n, -1)).reshape(len(weights), f + 1, f + 1)
    gram += 1e-9 * n * np.eye(f + 1)  # a resample may lack a value
    moment = weights @ (full * y[:, None])  # (b, f + 1)
    beta = np.linalg.solve(gram, moment[..., None])[..., 0]
    mean = weights @ y / n
    total = weights @ y**2 - n * mean**2
    fitted = (beta * moment).sum(1) - n * mean**2
    unexplained = np.divide(total - fitted, total, out=np.ones_like(total), where=total > 0)
    return np.asarray(1 - unexplained * (n - 1) / (n - 1 - f))


def _p_values(blocks: Sequence[Array], y: Array, observed: Array, rng: np.random.Generator) -> Array:
    """How often the best of all parameters explains as much of permuted returns, (parameters,)."""
    n = len(y)
    permuted = rng.permuted(np.tile(y, (_PERMUTATIONS, 1)), axis=1)  # (permutations, n)
    best = np.full(_PERMUTATIONS, -np.inf)
    for block in blocks:
        basis, _ = np.linalg.qr(block - block.mean(0))
        explained = ((permuted @ basis) ** 2).sum(1) / (y @ y)
        best = np.maximum(best, 1 - (1 - explained) * (n - 1) / (n - 1 - block.shape[1]))
    exceeding = (best[:, None] >= observed - 1e-12).sum(0)
    return np.asarray((1 + exceeding) / (1 + _PERMUTATIONS))


def _partners(columns: Array) -> list[list[int]]:
    """For each parameter those whose ranks are correlated with its own beyond doubt."""
    n, count = columns.shape
    if count < 2:
        return [[]] * count
    ranks = np.stack([_ranks(column) for column in columns.T])
    correlation = np.corrcoef(ranks)
    together = np.abs(correlation) * np.sqrt(n - 1) > _DEPENDENT
    return [[j for j in range(count) if j != i and together[i, j]] for i in range(count)]


def _worst_part(column: Array, y: Array, weights: Array) -> tuple[int, int, float, float, Estimate]:
    """The part of a range with the lowest mean return: its number, how many, its ends, and the drop there."""
    levels = np.unique(column)
    if len(levels) <= _LEVELS:
        part = np.searchsorted(levels, column)
    else:
        part = np.minimum((_ranks(column) + 0.5) / len(column) * PARTS, PARTS - 1).astype(int)
    inside = np.asarray(part[:, None] == np.arange(part.max() + 1), np.float64)  # (n, parts)
    counts, sums = weights @ inside, weights @ (inside * y[:, None])  # (b, parts)
    rest, rest_sum = counts.sum(1, keepdims=True) - counts, sums.sum(1, keepdims=True) - sums
    means = np.divide(sums, counts, out=np.full_like(sums, np.inf), where=counts > 0)
    others = np.divide(rest_sum, rest, out=np.full_like(sums, -np.inf), where=rest > 0)
    drops = others - means
    worst = int(drops[0].argmax())
    held = column[part == worst]
    # each resample picks its own worst part, so that the correction for bias takes the picking into account
    return worst, inside.shape[1], float(held.min()), float(held.max()), _largest(drops.max(1))


def _share(resampled: Array) -> Estimate:
    """A share and its 95 % interval, from the value (first) and its resamples.

    Adjusted R^2 is unbiased, but resamples, in which episodes repeat, exceed it; they are moved back.
    """
    value, others = resampled[0], resampled[1:]
    low, high = np.quantile(others, [0.025, 0.975]) - (others.mean() - value)
    return Estimate(*(float(np.clip(end, 0.0, 1.0)) for end in (value, low, high)))


def _largest(resampled: Array) -> Estimate:
    """The same of a maximum, which is too large by about as much as its resamples exceed it again."""
    value, others = resampled[0], resampled[1:]
    bias = others.mean() - value
    low, high = np.quantile(others, [0.025, 0.975]) - 2 * bias
    return Estimate(float(value - bias), float(low), float(high))
