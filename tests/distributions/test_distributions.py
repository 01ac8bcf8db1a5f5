import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dr_env import Distribution, DREnvError
from dr_env.distributions import (
    Choice,
    Constant,
    Integer,
    LogUniform,
    Normal,
    ScaledBeta,
    TruncatedNormal,
    Uniform,
)

# each beside SciPy's own
CONTINUOUS = [
    (Uniform(0.7, 1.3), stats.uniform(0.7, 0.6)),
    (LogUniform(0.5, 2.0), stats.loguniform(0.5, 2.0)),
    (Normal(1.0, 0.3), stats.norm(1.0, 0.3)),
    (TruncatedNormal(1.0, 0.3, 0.8, 1.5), stats.truncnorm(-0.2 / 0.3, 0.5 / 0.3, 1.0, 0.3)),
    (TruncatedNormal(0.0, 1.0, 6.0, 8.0), stats.truncnorm(6, 8)),
    (TruncatedNormal(0.0, 1.0, -8.0, -6.0), stats.truncnorm(-8, -6)),
    (ScaledBeta(2.0, 5.0, -1.0, 3.0), stats.beta(2, 5, -1, 4)),
]
DISCRETE = [Constant(3.0), Integer(2, 6), Choice((1.0, 5.0, 2.0), (1.0, 0.0, 3.0)), Choice((0.0, 1.0))]
ALL = [ours for ours, _ in CONTINUOUS] + DISCRETE


@pytest.mark.parametrize(("ours", "reference"), CONTINUOUS, ids=lambda d: getattr(d, "type_name", ""))
def test_agrees_with_scipy(ours: Distribution, reference: Any) -> None:
    u = np.linspace(0.001, 0.999, 101)
    x = ours.quantile(u)
    np.testing.assert_allclose(x, reference.ppf(u), rtol=1e-9)
    np.testing.assert_allclose(ours.log_prob(x), reference.logpdf(x), rtol=1e-8)
    assert ours.entropy() == pytest.approx(float(reference.entropy()), rel=1e-6)
    assert ours.mean() == pytest.approx(float(reference.mean()), rel=1e-8)
    assert ours.support() == pytest.approx(tuple(map(float, reference.support())))
    low, high = ours.support()
    outside = [end + step for end, step in ((low, -0.1), (high, 0.1)) if math.isfinite(end)]
    assert np.isneginf(ours.log_prob(outside)).all()


@pytest.mark.parametrize("ours", DISCRETE, ids=lambda d: d.type_name)
def test_discrete_masses_agree_with_samples(ours: Distribution) -> None:
    sample = ours.sample(np.random.default_rng(0), 20_000)
    values, counts = np.unique(sample, return_counts=True)
    masses = np.exp(ours.log_prob(values))
    assert masses.sum() == pytest.approx(1)
    np.testing.assert_allclose(counts / len(sample), masses, atol=0.02)
    assert ours.entropy() == pytest.approx(-(masses * np.log(masses)).sum())
    assert ours.mean() == pytest.approx((values * masses).sum())
    assert ours.support() == (values.min(), values.max())
    assert np.isneginf(ours.log_prob(values.max() + 0.5))


@pytest.mark.parametrize("ours", ALL, ids=lambda d: d.type_name)
def test_form_round_trips_and_equality_is_structural(ours: Distribution) -> None:
    again = Distribution.from_dict(ours.to_dict())
    assert again == ours
    assert hash(again) == hash(ours)
    assert ours != Constant(77.0)
    assert ours.sample(np.random.default_rng(1), (2, 3)).shape == (2, 3)
    same = again.sample(np.random.default_rng(1), 5) == ours.sample(np.random.default_rng(1), 5)
    assert same.all()


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.floats(1e-9, 1 - 1e-9))
def test_samples_stay_within_the_support(low: float, width: float, u: float) -> None:
    high = low + width
    assert low <= Uniform(low, high).quantile(u) <= high
    if low > 0:
        assert low <= LogUniform(low, high).quantile(u) <= high
    assert np.floor(low) <= Integer(np.floor(low), np.floor(low) + 3).quantile(u) <= np.floor(low) + 3


@pytest.mark.parametrize("value", [0.7, 1.0, 1 / 3])
def test_zero_width_is_the_value_exactly(value: float) -> None:
    u = np.linspace(0.01, 0.99, 50)
    for distribution in (Uniform(value, value), LogUniform(value, value), Normal(value, 0.0)):
        assert (distribution.quantile(u) == value).all()


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"type": "unifrom"}, "no distribution 'unifrom'; did you mean 'uniform'?"),
        ({"low": 1}, "type: missing"),
        ({"type": "uniform", "low": 1}, "high: missing; a uniform distribution has low, high"),
        ({"type": "uniform", "low": 2, "high": 1}, "high: got 1, expected a number not below low = 2"),
        ({"type": "uniform", "low": 1, "hihg": 2}, "no key 'hihg'; did you mean 'high'?"),
        ({"type": "uniform", "low": float("nan"), "high": 1}, "low: got nan, expected a finite number"),
        ({"type": "uniform", "low": 0, "high": float("inf")}, "high: got inf, expected a finite number"),
        ({"type": "uniform", "low": True, "high": 1}, "low: got True, expected a number"),
        ({"type": "log_uniform", "low": 0, "high": 1}, "low: got 0, expected a number above 0"),
        ({"type": "normal", "mean": 0, "std": -1}, "std: got -1, expected a number not below 0"),
        ({"type": "truncated_normal", "mean": 0, "std": 1, "low": 90, "high": 91}, "mean: got 0, expected one within"),
        ({"type": "beta", "alpha": 0, "beta": 1, "low": 0, "high": 1}, "alpha: got 0, expected a number above 0"),
        ({"type": "integer", "low": 0.5, "high": 2}, "low: got 0.5, expected a whole number"),
        ({"type": "choice", "values": []}, "expected a list of at least one number"),
        ({"type": "choice", "values": [1, 1]}, "expected different numbers"),
        ({"type": "choice", "values": [1, 2], "weights": [1]}, "expected 2 numbers"),
        ({"type": "choice", "values": 3}, "expected a list of at least one number"),
        ({"type": "uniform", "low": None, "high": 1}, "low: got None, expected a number"),
        ({"type": "uniform", "low": [0.7], "high": 1}, "low: got [0.7], expected a number"),
        ({"type": "choice", "values": [1, None]}, "values[1]: got None, expected a number"),
        ({"type": "log_uniform", "low": 1e-200, "high": 1e200}, "high: got 1e+200, expected one less than 1e308 times"),
        ([1], "expected a mapping"),
    ],
)
def test_bad_forms(form: object, message: str) -> None:
    with pytest.raises(DREnvError) as error:
        Distribution.from_dict(form)
    assert message in str(error.value)


def test_the_mean_of_a_narrow_box_is_its_middle() -> None:
    assert TruncatedNormal(1.0, 1e8, 0.5, 2.0).mean() == pytest.approx(1.25, rel=1e-6)
    assert TruncatedNormal(0.0, 1.0, -1e9, -30.0).mean() == pytest.approx(-30.03326, rel=1e-6)
