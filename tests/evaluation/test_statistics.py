import numpy as np
import pytest
from scipy import stats

from dr_env.evaluation import Estimate, estimate, interquartile_mean
from dr_env.evaluation.statistics import (
    binned,
    proportion,
    resampled_by_group,
    weighted_mean,
    weighted_quantile,
)


def test_interquartile_mean_is_scipys_trimmed_mean() -> None:
    values = np.random.default_rng(0).standard_cauchy((5, 64))
    np.testing.assert_allclose(interquartile_mean(values), stats.trim_mean(values, 0.25, axis=1))


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    truth = 3.0  # of a symmetric distribution, its centre
    hits = [
        found.low <= truth <= found.high
        for found in (estimate([rng.normal(truth, 1, 100)], np.random.default_rng(i)) for i in range(300))
    ]
    assert 0.90 <= np.mean(hits) <= 0.99


def test_proportions_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    found = [proportion(rng.random(60) < 0.9) for _ in range(400)]
    assert 0.92 <= np.mean([each.low <= 0.9 <= each.high for each in found]) <= 0.98
    everything = proportion(np.ones(60, bool))
    assert everything.value == everything.high == 1 and 0.9 < everything.low < 1


def test_strata_are_resampled_within_themselves() -> None:
    apart = estimate([np.zeros(40), np.ones(40)], np.random.default_rng(0))
    assert apart == Estimate(0.5, 0.5, 0.5)


def test_overlap() -> None:
    assert Estimate(1, 0, 2).overlaps(Estimate(3, 2, 4))
    assert not Estimate(1, 0, 2).overlaps(Estimate(4, 3, 5))


def test_bins_hold_equally_many() -> None:
    x = np.random.default_rng(0).exponential(size=800)
    centres, means, errors = binned(x, 2 * x, 8)
    assert (np.diff(centres) > 0).all()
    np.testing.assert_allclose(means, 2 * centres)
    assert len(errors) == 8
    assert means.mean() == pytest.approx((2 * x).mean())


def test_a_bootstrap_over_groups_is_wider_where_groups_agree() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(50), 8)
    shared = np.repeat(rng.standard_normal(50), 8)  # all values of a group are one
    alone = rng.standard_normal(400)
    weights = resampled_by_group(group, np.random.default_rng(1))
    wide, narrow = weighted_mean(shared, weights), weighted_mean(alone, weights)
    assert 2 < (wide.high - wide.low) / (narrow.high - narrow.low) < 4  # sqrt(8)
    assert (wide.high - wide.low) / 3.92 == pytest.approx(shared.std() / np.sqrt(50), rel=0.1)
    assert wide.value == pytest.approx(shared.mean()) and wide.low < wide.value < wide.high


def test_quantiles_of_weighted_values() -> None:
    values = np.random.default_rng(0).permutation(np.arange(101.0))
    weights = resampled_by_group(np.arange(101), np.random.default_rng(1), 500)
    median, most = weighted_quantile(values, 0.5, weights), weighted_quantile(values, 0.9, weights)
    assert median.value == 50 and most.value == 90
    assert 30 < median.low < 50 < median.high < 70
    # each row's quantile is that of the values repeated as often as it says
    row = weights[7].astype(int)
    repeated = np.sort(np.repeat(values, row))
    single = weighted_quantile(values, 0.9, np.stack([weights[7], weights[7]]))
    assert single.value == single.low == repeated[int(np.ceil(0.9 * len(repeated))) - 1]


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((2793.2, 2785.1, 2801.4), "2793 [2785, 2801]"),
        ((0.42, 0.40, 0.45), "0.420 [0.400, 0.450]"),
        ((-0.026, -0.027, -0.025), "-0.0260 [-0.0270, -0.0250]"),
        ((12.34, 11.0, 14.0), "12.3 [11.0, 14.0]"),
        ((-0.0001, -0.6, 0.6), "0.0 [-0.6, 0.6]"),
        ((3.0, 3.0, 3.0), "3 [3, 3]"),
    ],
)
def test_numbers_have_the_digits_that_their_interval_is_worth(numbers: tuple[float, float, float], text: str) -> None:
    assert str(Estimate(*numbers)) == text
