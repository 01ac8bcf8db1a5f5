import numpy as np
import pytest
from scipy import stats

from dr_env.evaluation import Estimate, estimate, interquartile_mean
from dr_env.evaluation.statistics import binned, proportion


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
