from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dr_env.distributions import Distribution
from dr_env.evaluation import Law, Marginal, cover
from dr_env.evaluation.coverage import holm, outside, target_in_words


def _law(**form: object) -> Law:
    d = Distribution.from_dict(form)
    return Law(d.quantile, d.log_prob, d.support(), d.discrete, d.type_name)


def _marginal(law: Law, n: int = 200, seed: int = 0, target: float = 1.0, **changes: object) -> Marginal:
    drawn = law.quantile(np.random.default_rng(seed).uniform(size=(n, 1)))
    many = law.quantile(np.random.default_rng(seed + 1).uniform(size=(4096, 1)))
    form = {"drawn": drawn, "first": many, "final": many, "target": np.full((1, 2), target), **changes}
    return Marginal("x", ("x",), law, unit="", **form)  # type: ignore[arg-type]


LAWS = [
    {"type": "uniform", "low": 0.5, "high": 2},
    {"type": "log_uniform", "low": 0.1, "high": 10},
    {"type": "normal", "mean": 1, "std": 0.5},
    {"type": "truncated_normal", "mean": 1, "std": 1, "low": 0, "high": 1.5},
    {"type": "beta", "alpha": 2, "beta": 5, "low": 0, "high": 3},
    {"type": "integer", "low": 0, "high": 9},
    {"type": "choice", "values": [1, 4, 2], "weights": [1, 5, 2]},
]

TWO_PARTS = {
    "type": "mixture",
    "components": [
        {"weight": 1, "type": "uniform", "low": 0.5, "high": 0.7},
        {"weight": 1, "type": "uniform", "low": 1.5, "high": 2},
    ],
}


@pytest.mark.parametrize("form", LAWS, ids=lambda form: form["type"])
def test_the_specs_own_draws_pass_and_others_do_not(form: dict[str, object]) -> None:
    law = _law(**form)
    p_values = [cover([_marginal(law, seed=seed)])[0].p_value or 0.0 for seed in range(40)]
    assert np.mean(np.array(p_values) < 0.05) <= 0.15
    narrow = law.quantile(np.random.default_rng(0).uniform(0.2, 0.6, size=(200, 1)))
    (found,) = cover([_marginal(law, drawn=narrow)])
    assert found.doubtful
    assert found.widest_gap > cover([_marginal(law)])[0].widest_gap


def test_inverting_quantiles() -> None:
    x = np.linspace(-1, 3, 101)
    assert _law(type="normal", mean=1, std=0.5).cdf(x) == pytest.approx(stats.norm(1, 0.5).cdf(x), abs=3e-4)
    values, masses = _law(type="choice", values=[1, 4, 2], weights=[1, 5, 2]).masses(np.array([4.0]))
    assert values.tolist() == [1, 2, 4]
    assert masses == pytest.approx([1 / 8, 2 / 8, 5 / 8])


def test_a_rare_value_is_no_surprise_but_an_impossible_one_is() -> None:
    law = _law(type="choice", values=[0, 1], weights=[1e-6, 1])
    once = np.ones((200, 1))
    once[0] = 0
    assert not cover([_marginal(law, drawn=once)])[0].doubtful
    once[0] = 2
    assert cover([_marginal(law, drawn=once)])[0].doubtful


def test_refused_draws_show() -> None:
    law = _law(type="uniform", low=0, high=1)
    (honest,) = cover([_marginal(law)])
    assert (honest.acceptance, honest.distortion, honest.distorted) == (1.0, None, False)
    first = law.quantile(np.random.default_rng(0).uniform(size=(4096, 1)))
    final = np.where(first > 0.8, first * 0.5, first)
    (refused,) = cover([_marginal(law, first=first, final=final)])
    assert refused.acceptance == pytest.approx(0.8, abs=0.02)
    assert refused.distorted
    assert refused.to_dict()["distorted_by_refusals"] is True


def test_constants_are_left_out() -> None:
    assert cover([_marginal(_law(type="constant", value=2)), _marginal(_law(type="uniform", low=1, high=1))]) == []


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


@pytest.mark.parametrize(
    ("form", "target", "words"),
    [
        (LAWS[0], 0.4, "0.4: outside, training draws 0.5 to 2"),
        (LAWS[0], 0.5, "0.5: inside, with 0 % of training below it"),
        (LAWS[0], 1.25, "1.25: inside, with 50 % of training below it"),
        (LAWS[5], 3.0, "3: among the values of training"),
        (LAWS[2], 4.0, "4: outside, training draws -1.45 to 3.45"),
        (LAWS[5], 12.0, "12: outside, training draws 0 to 9"),
        (LAWS[5], 2.5, "2.5: outside, training draws 0 to 9 with gaps"),
        (LAWS[6], 2 * (1 + 1e-7), "2: among the values of training"),  # as a model in single precision holds it
        (LAWS[6], 3.0, "3: outside, training draws 1 to 4 with gaps"),
        (TWO_PARTS, 1.0, "1: outside, training draws 0.5 to 2 with gaps"),
        (TWO_PARTS, 0.6, "0.6: inside, with 25 % of training below it"),
    ],
)
def test_where_the_target_lies(form: dict[str, object], target: float, words: str) -> None:
    m = _marginal(_law(**form), target=target)
    assert target_in_words(m) == words
    assert bool(outside(m)) == ("outside" in words)


def test_without_a_law_draws_are_compared_with_draws() -> None:
    """Switches and formulas have no closed form; what many Draws were stands for it."""
    many = np.random.default_rng(1).uniform(size=(4096, 2)).sum(1, keepdims=True)
    like = np.random.default_rng(2).uniform(size=(200, 2)).sum(1, keepdims=True)

    def found(drawn: np.ndarray, target: float = 1.0) -> Marginal:
        return Marginal("x", ("x",), None, drawn, many, many, np.full((1, 2), target), "")

    (honest,) = cover([found(like)])
    assert honest.p_value is not None and not honest.doubtful and honest.widest_gap is None
    assert cover([found(like * 0.5)])[0].doubtful
    assert outside(found(like, 3.0)) == ["x"] and outside(found(like)) == []
    assert target_in_words(found(like, 3.0)).startswith("3: outside, training draws 0.0")
