"""Shares against functions whose Sobol indices are known, and against noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from dr_env.evaluation import Sensitivity, analyse

Array = np.ndarray


def _ishigami(x: Array) -> Array:
    """Ishigami and Homma 1990: indices 0.3139, 0.4424 and 0, the rest an interaction."""
    return np.sin(x[:, 0]) + 7 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0])


def _shares(found: Sensitivity, count: int) -> list[float]:
    shares = {effect.parameter: effect.share.value for effect in found.effects}
    return [shares[i] for i in range(count)]


def _uniform(n: int, count: int, seed: int) -> Array:
    return np.random.default_rng(seed).uniform(size=(n, count))


def test_ishigami() -> None:
    x = np.pi * (2 * _uniform(4096, 3, 1) - 1)
    found = analyse(x, _ishigami(x), np.random.default_rng(0))
    assert _shares(found, 3) == pytest.approx([0.3139, 0.4424, 0.0], abs=0.03)
    assert [effect.parameter for effect in found.effects if effect.significant] == [1, 0]
    assert found.rest is not None
    assert found.rest.low <= 0.2437 <= found.rest.high


def test_intervals_cover_the_truth() -> None:
    slopes = np.array([3.0, 2.0, 1.5])
    truth = slopes**2 / (slopes @ slopes + 4)  # the noise has the variance of a slope of 2
    shares, drops = [], []
    for seed in range(40):
        x = _uniform(160, 3, seed)
        y = x @ slopes + np.random.default_rng(1000 + seed).normal(0, np.sqrt(4 / 12), 160)
        for effect in analyse(x, y, np.random.default_rng(seed)).effects:
            shares.append(effect.share.low <= truth[effect.parameter] <= effect.share.high)
            drops.append(effect.drop.low <= slopes[effect.parameter] / 2 <= effect.drop.high)
    assert np.mean(shares) >= 0.88
    assert np.mean(drops) >= 0.88


def test_linear_with_few_values_and_noise() -> None:
    rng = np.random.default_rng(2)
    x = np.stack([rng.integers(0, 2, 2048), rng.choice([1.0, 2.0, 5.0], 2048), rng.normal(size=2048)], axis=1)
    y = 2.0 * x[:, 0] - x[:, 1] + 0.0 * x[:, 2] + rng.normal(size=2048)
    variances = np.array([4 * 0.25, np.var([1, 2, 5]), 0.0])
    found = analyse(x, y, np.random.default_rng(0))
    assert _shares(found, 3) == pytest.approx(variances / (variances.sum() + 1), abs=0.04)
    worst = {effect.parameter: (effect.low, effect.high) for effect in found.harmful}
    assert worst == {0: (0, 0), 1: (5, 5)}


def test_noise_is_seldom_reported() -> None:
    """At most one report in twenty names anything, however many parameters there are."""
    alarms = [
        any(effect.significant for effect in analyse(_uniform(96, 12, s), _uniform(96, 1, s + 999)[:, 0] ** 8,
                                                      np.random.default_rng(s)).effects)
        for s in range(30)
    ]  # fmt: skip
    assert np.mean(alarms) <= 0.1


def test_a_pure_interaction_is_nobodys_own() -> None:
    x = 2 * _uniform(1024, 4, 3) - 1
    found = analyse(x, x[:, 0] * x[:, 1], np.random.default_rng(0))
    assert not any(effect.significant for effect in found.effects)
    assert found.rest is not None
    assert found.rest.value > 0.9


@pytest.mark.parametrize(
    ("function", "part", "low", "high"),
    [
        (lambda u: np.where(u < 0.2, -10.0, 0.0), 0, 0.0, 0.2),
        (lambda u: np.where(u > 0.8, -10.0, 0.0), 4, 0.8, 1.0),
        (lambda u: -10.0 * (np.abs(u - 0.5) < 0.1), 2, 0.4, 0.6),
    ],
)
def test_the_worst_part(function: Callable[[Array], Array], part: int, low: float, high: float) -> None:
    x = _uniform(600, 2, 4)
    x[:, 0] = np.random.default_rng(0).permutation((np.arange(600) + 0.5) / 600)
    y = function(x[:, 0]) + np.random.default_rng(1).normal(size=600)
    first = analyse(x, y, np.random.default_rng(0)).effects[0]
    assert (first.parameter, first.part, first.parts) == (0, part, 5)
    assert (first.low, first.high) == pytest.approx((low, high), abs=0.05)
    assert first.drop.value == pytest.approx(10, abs=0.9)
    assert first.harmful


def test_monotone_changes_of_a_parameter_change_nothing() -> None:
    x = _uniform(300, 2, 5)
    y = x[:, 0] + np.random.default_rng(0).normal(size=300)
    plain, bent = (analyse(v, 7 * y - 3, np.random.default_rng(0)) for v in (x, np.exp(9 * x)))
    assert _shares(plain, 2) == pytest.approx(_shares(bent, 2))
    assert plain.effects[0].drop.value == pytest.approx(bent.effects[0].drop.value)


def test_parameters_that_move_together() -> None:
    """The passenger explains what the driver does, but nothing of its own, and both say so."""
    rng = np.random.default_rng(6)
    driver = rng.normal(size=800)
    x = np.stack([driver, driver + 0.4 * rng.normal(size=800), rng.normal(size=800)], axis=1)
    found = analyse(x, x[:, 0] + 0.5 * rng.normal(size=800), np.random.default_rng(0))
    effects = {effect.parameter: effect for effect in found.effects}
    assert effects[1].share.value > 0.5
    assert effects[1].own.value < 0.02
    assert effects[0].own.low > effects[1].own.high
    assert (effects[0].partners, effects[1].partners, effects[2].partners) == ((1,), (0,), ())
    assert effects[2].own == effects[2].share
    assert found.rest is None


@pytest.mark.parametrize(
    ("values", "returns"),
    [
        (np.zeros((100, 2)), np.arange(100.0)),
        (np.zeros((100, 0)), np.arange(100.0)),
        (_uniform(100, 2, 0), np.full(100, 1000.0)),
        (_uniform(20, 2, 0), np.arange(20.0)),
    ],
)
def test_nothing_to_say(values: Array, returns: Array) -> None:
    found = analyse(values, returns, np.random.default_rng(0))
    assert (found.effects, found.rest, found.episodes) == ((), None, len(returns))


def test_constants_keep_their_place() -> None:
    x = _uniform(200, 3, 0)
    x[:, 0] = 1.0
    found = analyse(x, x[:, 2], np.random.default_rng(0))
    assert [effect.parameter for effect in found.effects] == [2, 1]
