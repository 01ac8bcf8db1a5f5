from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dr_env import DREnvError
from dr_env.distributions import Distribution, Formula, Joint
from dr_env.rng import open_uniform

CASES = {"type": "categorical", "cases": {"dry": 3, "wet": 1}}
MIXTURE = {
    "type": "mixture",
    "components": [
        {"weight": 3, "type": "uniform", "low": 0, "high": 1},
        {"weight": 1, "type": "normal", "mean": 4, "std": 0.5},
    ],
}
SWITCH = {
    "type": "switch",
    "variable": "weather",
    "cases": {"dry": {"type": "uniform", "low": 0, "high": 1}, "wet": {"type": "choice", "values": [2, 3]}},
}
EXPRESSION = {"type": "expression", "formula": "1 + 0.1 * payload", "low": 0.5}
NORMAL = {
    "type": "joint_normal", "names": ["mass", "friction"], "mean": [1, 0.5], "covariance": [[0.04, 0.01], [0.01, 0.02]]
}  # fmt: skip
BOXED = {**NORMAL, "low": [0.8, 0.2], "high": [1.6, 0.8]}
EMPIRICAL = {
    "type": "empirical",
    "names": ["a", "b"],
    "samples": [[0, 1], [1, 3], [2, 2], [2, 2]],
    "weights": [1, 2, 1, 0],
}
SMOOTH = {**EMPIRICAL, "bandwidth": 0.4}
ALL = [CASES, MIXTURE, SWITCH, EXPRESSION, NORMAL, BOXED, EMPIRICAL, SMOOTH]


@pytest.mark.parametrize("form", ALL, ids=lambda f: f["type"])
def test_yaml_form_round_trips_and_equality_is_structural(form: dict) -> None:
    made = Distribution.from_dict(form)
    assert Distribution.from_dict(made.to_dict()) == made
    assert hash(Distribution.from_dict(made.to_dict())) == hash(made)
    assert made != Distribution.from_dict({"type": "constant", "value": 1})


def test_the_order_of_cases_counts() -> None:
    assert Distribution.from_dict(CASES) != Distribution.from_dict({**CASES, "cases": {"wet": 1, "dry": 3}})


def _draws(made: Distribution, count: int = 20_000) -> np.ndarray:
    uniform = open_uniform(np.random.default_rng(0), (count, made.uniforms))
    return made.draw(uniform, {})


def test_a_categorical_keeps_its_odds() -> None:
    made = Distribution.from_dict(CASES)
    values = _draws(made)
    assert set(np.unique(values)) == {0.0, 1.0}
    assert values.mean() == pytest.approx(made.mean(), abs=0.01)
    assert made.entropy() == pytest.approx(stats.entropy([3, 1]))
    assert np.exp(made.log_prob([0, 1, 2])).tolist() == pytest.approx([0.75, 0.25, 0])


def test_a_mixture_is_the_sum_of_its_parts() -> None:
    made = Distribution.from_dict(MIXTURE)
    values = np.sort(_draws(made)[:, 0])
    cdf = 0.75 * stats.uniform.cdf(values) + 0.25 * stats.norm.cdf(values, 4, 0.5)
    assert stats.kstest(cdf, "uniform").pvalue > 0.01
    grid = np.linspace(-1, 8, 20_001)
    density = np.exp(made.log_prob(grid))
    assert np.trapezoid(density, grid) == pytest.approx(1, abs=1e-3)
    assert np.trapezoid(grid * density, grid) == pytest.approx(made.mean(), abs=1e-3)
    exact = -np.trapezoid(density * np.log(np.where(density > 0, density, 1)), grid)
    assert made.entropy() == pytest.approx(exact, abs=5e-3)


def test_a_switch_is_its_case() -> None:
    made = Distribution.from_dict(SWITCH)
    uniform = open_uniform(np.random.default_rng(1), (1000, 1))
    weather = (np.arange(1000) % 2.0)[:, None]
    values = made.draw(uniform, {"weather": weather})
    assert ((values < 1) == (weather == 0)).all()
    assert set(np.unique(values[weather == 1])) == {2.0, 3.0}
    assert np.isfinite(made.log_prob_given(values, {"weather": weather})).all()
    assert made.support() == (0, 3)
    assert [t.name for t in made.tunables()] == ["dry.low", "dry.high"]
    assert made.replace(**{"dry.high": 0.5}).cases["dry"].support() == (0, 0.5)  # type: ignore[attr-defined]


@pytest.mark.parametrize("form", [NORMAL, BOXED])
def test_a_joint_normal_is_scipys(form: dict) -> None:
    made = Distribution.from_dict(form)
    assert isinstance(made, Joint)
    reference = stats.multivariate_normal(form["mean"], form["covariance"])
    values = _draws(made, 200_000)
    kept = values[made.accepts(values)]
    inside = np.array([[1.1, 0.6], [0.9, 0.3]])
    if "low" not in form:
        assert len(kept) == len(values)
        assert np.cov(kept.T) == pytest.approx(np.array(form["covariance"]), rel=0.03)
        assert made.log_prob(inside) == pytest.approx(reference.logpdf(inside))
        assert made.entropy() == pytest.approx(reference.entropy())
    else:
        assert np.exp(reference.logpdf(inside) - made.log_prob(inside)) == pytest.approx(
            len(kept) / len(values), abs=0.01
        )
        assert made.log_prob([[0.7, 0.5]]) == -np.inf
        assert made.entropy() == pytest.approx(-made.log_prob(kept).mean(), abs=0.02)
    assert made.means() == pytest.approx(kept.mean(0), abs=0.01)
    assert np.abs(made.standardize(kept)).mean() < 1


def test_an_empirical_gives_its_rows_with_their_odds() -> None:
    made = Distribution.from_dict(EMPIRICAL)
    rows, counts = np.unique(_draws(made), axis=0, return_counts=True)
    assert rows.tolist() == [[0, 1], [1, 3], [2, 2]]
    assert counts / counts.sum() == pytest.approx([0.25, 0.5, 0.25], abs=0.02)
    assert np.exp(made.log_prob([[0, 1], [1, 3], [2, 2], [9, 9]])) == pytest.approx([0.25, 0.5, 0.25, 0])
    assert made.entropy() == pytest.approx(stats.entropy([1, 2, 1]))


def test_a_smeared_empirical_is_a_density() -> None:
    made = Distribution.from_dict(SMOOTH)
    axis = np.linspace(-3, 7, 201)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1)
    density = np.exp(made.log_prob(grid))
    assert density.sum() * (axis[1] - axis[0]) ** 2 == pytest.approx(1, abs=1e-3)
    assert made.entropy() == pytest.approx(-made.log_prob(_draws(made, 4000)).mean(), abs=0.05)


@given(share=st.floats(0, 1))
def test_narrowing_shrinks_the_support_about_the_centre(share: float) -> None:
    for form in (
        {"type": "uniform", "low": 0.5, "high": 2},
        {"type": "log_uniform", "low": 0.5, "high": 4},
        {"type": "truncated_normal", "mean": 1.2, "std": 0.5, "low": 0.2, "high": 3},
        {"type": "beta", "alpha": 2, "beta": 3, "low": 0.5, "high": 1.5},
        {"type": "integer", "low": -3, "high": 5},
    ):
        made = Distribution.from_dict(form)
        low, high = made.support()
        inner = made.narrowed(share, 1.0).support()
        assert low - 1e-9 <= inner[0] <= 1 <= inner[1] <= high + 1e-9
        assert made.narrowed(1.0, 1.0) == made
        assert made.narrowed(0.0, 1.0).support() == pytest.approx((1, 1))


def test_all_of_what_was_found_is_what_was_found() -> None:
    form = {"type": "empirical", "names": ["a", "b"], "samples": [[0.1, 1.3], [0.27, 5.7], [2.31, 9.1], [0.7, 0.3]]}
    made = Distribution.from_dict(form)
    assert made.narrowed(1.0, 0.0) == made  # to the last digit, since a row is found by its numbers


def test_formulas() -> None:
    given_ = {"payload": np.array([[1.0], [4.0]]), "posterior.mass": np.array([[2.0], [3.0]])}
    formula = Formula("clip(sqrt(payload), 0, 1.5) if posterior.mass > 2 else -pi * payload ** 2 + max(1, abs(-3))")
    assert set(formula.names) == {"payload", "posterior.mass"}
    assert formula(given_)[:, 0] == pytest.approx([-np.pi + 3, 1.5])
    assert not np.isfinite(Formula("log(0 * payload)")(given_)).any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 +", "expected a formula such as"),
        ("__import__('os').system('ls')", "no function"),
        ("sqr(payload)", "no function 'sqr'; did you mean 'sqrt'"),
        ("max(payload)", "max takes 2 arguments"),
        ("[payload for payload in (1, 2)]", "a formula has no"),
        ("payload if True else 2", "a formula has no 'True'"),
        ("'text'", "a formula has no"),
        ("a.b.c", "a formula has no 'a.b.c'"),
        ("lambda: 1", "a formula has no"),
        ("1 + lambda", "no name can be 'lambda', a word of Python's"),
        ("in", "no name can be 'in', a word of Python's"),
    ],
)
def test_bad_formulas(text: str, message: str) -> None:
    with pytest.raises(DREnvError, match=message.replace("(", r"\(")):
        Formula(text)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"type": "categorical", "cases": {}}, "cases: got {}, expected a mapping of case names"),
        ({"type": "categorical", "cases": {"a": -1, "b": 1}}, "weights not below 0"),
        ({"type": "categorical", "cases": {"a": "x"}}, "cases.a: got 'x', expected a number"),
        ({**MIXTURE, "components": [{"type": "uniform", "low": 0, "high": 1}, {"type": "constant", "value": 0}]}, "components[1]: got constant beside uniform"),
        ({"type": "mixture", "components": [{"type": "unifrm"}]}, "components[0].type: no distribution 'unifrm'; did you mean 'uniform'"),
        ({"type": "mixture", "components": 3}, "components: got 3"),
        ({**SWITCH, "cases": {"dry": EXPRESSION}}, "cases.dry: got expression"),
        ({**SWITCH, "cases": {"dry": {"type": "uniform", "low": 1, "high": 0}}}, "cases.dry.high: got 0"),
        ({"type": "switch", "cases": {}}, "variable: missing"),
        ({"type": "expression", "formula": "1 +"}, "formula: got '1 +'"),
        ({"type": "expression", "formula": "a", "low": 2, "high": 1}, "high: got 1, expected a number not below low"),
        ({**NORMAL, "covariance": [[1, 2], [2, 1]]}, "positive definite"),
        ({**NORMAL, "covariance": [[1, 0.2], [0.1, 1]]}, "symmetric"),
        ({**NORMAL, "mean": [1]}, "mean: got [1], expected 2 numbers, for mass, friction"),
        ({**NORMAL, "low": [100, 100]}, "low: got"),
        ({**NORMAL, "names": ["a", "a"]}, "names: got ['a', 'a'], expected different names"),
        ({**NORMAL, "names": ["a b", "c"]}, "letters, digits"),
        ({**EMPIRICAL, "samples": [[1, 2], [3]]}, "samples: got"),
        ({**EMPIRICAL, "samples": []}, "samples: got []"),
        ({**EMPIRICAL, "weights": [1]}, "weights: got [1], expected 4 numbers"),
        ({**EMPIRICAL, "bandwidth": -1}, "bandwidth: got -1"),
        ({**EMPIRICAL, "samples": [[1, 2], [1, 3]], "weights": [1, 1], "bandwidth": 1}, "same number in every row"),
    ],
)  # fmt: skip
def test_bad_forms_name_the_key(form: dict, message: str) -> None:
    with pytest.raises(DREnvError) as error:
        Distribution.from_dict(form)
    assert message in str(error.value)


def test_comparisons_can_be_counted_with() -> None:
    given_ = {"w": np.array([[0.0], [1.0], [1.0]]), "v": np.array([[0.0], [0.0], [1.0]])}
    assert Formula("1 + ((w == 1) + (v == 1))")(given_)[:, 0].tolist() == [1, 2, 3]
    assert Formula("(w == 1) - (v == 1)")(given_)[:, 0].tolist() == [0, 1, 0]
    assert Formula("-(w > 0) if v < 1 else 5")(given_)[:, 0].tolist() == [0, -1, 5]


def test_a_mixture_of_very_many() -> None:
    parts = [{"weight": 1, "type": "uniform", "low": k, "high": k + 1} for k in range(100)]
    made = Distribution.from_dict({"type": "mixture", "components": parts})
    values = np.asarray(made.quantile(np.linspace(0.0005, 0.9995, 1000)))
    assert np.floor(values).astype(int).tolist() == np.repeat(np.arange(100), 10).tolist()


def test_a_box_beside_the_mean_narrows_into_itself() -> None:
    made = Distribution.from_dict(
        {
            "type": "joint_normal",
            "names": ["a", "b"],
            "mean": [0.9, 1],
            "covariance": [[0.01, 0], [0, 0.01]],
            "low": [1, 0],
        }
    )
    assert isinstance(made, Joint)
    assert made.narrowed(1.0, 0.0) == made
    for share in (0.0, 0.1, 0.5):
        assert made.narrowed(share, 0.0).means()[0] >= 1


def test_mixtures_and_switches_span_what_their_parts_do() -> None:
    normals = [{"type": "normal", "mean": 2.0, "std": 0.1}, {"type": "normal", "mean": -2.0, "std": 3.0}]
    mixed = Distribution.from_dict({"type": "mixture", "components": normals})
    cases = {"dry": {"type": "uniform", "low": 1.0, "high": 2.0}, "wet": normals[1]}
    switched = Distribution.from_dict({"type": "switch", "variable": "weather", "cases": cases})
    low, high = Distribution.from_dict(normals[1]).span()
    assert mixed.span() == (low, max(high, 2.0 + 0.1 * 2.5758293035489004)) == (low, high)
    assert switched.span() == (low, high)
    for each in (mixed, switched):
        np.testing.assert_allclose(each.standardize([low, high]), [-1, 1])


def test_cases_may_have_dots_in_their_names() -> None:
    cases = {"v1": {"type": "uniform", "low": 0, "high": 1}, "v1.0": {"type": "uniform", "low": 0, "high": 2}}
    switch = Distribution.from_dict({"type": "switch", "variable": "w", "cases": cases})
    changed = switch.replace(**{"v1.0.low": 0.7, "v1.high": 3.0}).to_dict()["cases"]
    assert (changed["v1.0"]["low"], changed["v1"]["high"], changed["v1.0"]["high"]) == (0.7, 3.0, 2.0)
    with pytest.raises(DREnvError, match="no part 'v3'"):
        switch.replace(**{"v3.low": 1.0})


def test_what_a_mixture_never_chooses_has_no_part_in_its_density() -> None:
    parts = [{"weight": 0, "type": "constant", "value": 1.0}, {"weight": 1, "type": "choice", "values": [1, 2]}]
    mixture = Distribution.from_dict({"type": "mixture", "components": parts})
    narrow = {"type": "mixture", "components": [
        {"weight": 0, "type": "uniform", "low": 1, "high": 1}, {"weight": 1, "type": "uniform", "low": 1, "high": 2}]}  # fmt: skip
    assert mixture.log_prob(1.0) == pytest.approx(np.log(0.5))
    assert Distribution.from_dict(narrow).log_prob(1.0) == pytest.approx(0.0)


@pytest.mark.parametrize("side", [-1, 1])
def test_a_box_far_from_the_mean_standardizes_what_it_holds(side: int) -> None:
    ends = sorted((2.7 * side, 9.0 * side))
    form = {"type": "joint_normal", "names": ["a", "b"], "mean": [0, 5], "covariance": [[1, 0], [0, 1]]}
    made = Distribution.from_dict({**form, "low": [ends[0], -99], "high": [ends[1], 99]})
    drawn = stats.truncnorm(*ends).rvs(10_000, random_state=np.random.default_rng(0))
    shown = made.standardize(np.stack((drawn, np.full(10_000, 5.0)), axis=-1))
    np.testing.assert_allclose(np.quantile(shown[:, 0], [0.005, 0.995]), [-1, 1], atol=0.1)
    assert (shown[:, 1] == 0).all()


@pytest.mark.parametrize("name", ["\u00b5", "e\u0301", "\ufb01", "posterior.\u00b5"])
def test_formulas_read_names_as_they_are_written(name: str) -> None:
    """Python's parser replaces letters by their compatibility forms (NFKC)."""
    formula = Formula(f"1 + min({name}, 2) * {name}")
    assert formula.names == (name,)
    assert formula({name: np.array([3.0])}).tolist() == [7.0]


def test_an_endless_formula_is_refused_in_one_line() -> None:
    with pytest.raises(DREnvError, match=r"\.\.\. \(6001 characters\), expected a formula such as"):
        Formula("1+" * 3000 + "1")
