import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_env import Distribution, DREnvError, ParameterVector
from dr_env.distributions import Choice, Constant, LogUniform, Normal, ScaledBeta, TruncatedNormal, Uniform

DISTRIBUTIONS = {
    "mass": Uniform(0.7, 1.3),
    "friction": LogUniform(0.5, 2.0),
    "gravity": Normal(-9.81, 0.3),
    "gain": TruncatedNormal(1.0, 0.2, 0.5, 1.5),
    "damping": ScaledBeta(2.0, 3.0, 0.0, 5.0),
    "delay": Constant(0.02),
    "mode": Choice((0.0, 1.0)),
}
VECTOR = ParameterVector.of(DISTRIBUTIONS)


def test_names_are_told_apart() -> None:
    mixture = Distribution.from_dict(
        {
            "type": "mixture",
            "components": [{"type": "uniform", "low": 0, "high": 1}, {"type": "uniform", "low": 2, "high": 3}],
        }
    )
    with pytest.raises(DREnvError, match=r"a\.0\.low: two numbers have this name, one of them of 'a\.0'"):
        ParameterVector.of({"a": mixture, "a.0": Uniform(0.0, 1.0)})


def test_names_and_bounds() -> None:
    assert VECTOR.names[:4] == ("mass.low", "mass.high", "friction.low", "friction.high")
    assert "delay.value" in VECTOR.names
    assert not any(name.startswith("mode") for name in VECTOR.names)
    assert (VECTOR.low <= VECTOR.values).all()
    assert (VECTOR.values <= VECTOR.high).all()
    given_bounds = ParameterVector.of({"mass": Uniform(0.7, 1.3)}, {"mass": (0.2, 3.0)})
    assert given_bounds.low.tolist() == [0.2, 0.2]
    assert given_bounds.high.tolist() == [3.0, 3.0]


def test_round_trips_are_exact() -> None:
    assert VECTOR.from_unit(VECTOR.to_unit()) == VECTOR
    assert VECTOR.update(DISTRIBUTIONS) == DISTRIBUTIONS
    assert VECTOR.replace(VECTOR.to_dict()) == VECTOR


@given(st.lists(st.floats(0, 1), min_size=len(VECTOR), max_size=len(VECTOR)))
def test_every_point_of_the_cube_is_legal_and_comes_back(unit: list[float]) -> None:
    vector = VECTOR.from_unit(unit)
    np.testing.assert_allclose(vector.to_unit(), unit, atol=1e-10)
    assert vector.from_unit(vector.to_unit()) == vector
    updated = vector.update(DISTRIBUTIONS)  # crossed lows and highs are put in order, not refused
    assert updated["mass"].low <= updated["mass"].high  # type: ignore[attr-defined]


@given(st.decimals(min_value="0.3", max_value="1.7", places=8), st.decimals(min_value="0.3", max_value="1.7", places=8))
def test_written_numbers_come_back_exactly(low: object, high: object) -> None:
    ordered = sorted([float(low), float(high)])  # type: ignore[arg-type]
    vector = ParameterVector.of({"x": Uniform(*ordered)}, {"x": (0.25, 1.75)})
    assert vector.from_unit(vector.to_unit()) == vector


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: VECTOR.from_unit(np.full(len(VECTOR), 1.5)), "mass.low: got 1.5, expected a number within 0 .. 1"),
        (lambda: VECTOR.from_unit([0.5]), "parameters: got shape (1,)"),
        (lambda: VECTOR.replace({"mass.lo": 1.0}), "no parameter 'mass.lo'; did you mean 'mass.low'?"),
        (lambda: VECTOR.replace({"mass.low": 99.0}), "mass.low: got 99, expected a number within 0.1 .. 1.9"),
        (lambda: ParameterVector.of({"x": Uniform(0, 1)}, {"x": (2, 3)}), "x.low: got 0, expected a number within"),
        (lambda: VECTOR.update({}), "no entry 'mass'"),
    ],
)
def test_bad_input(act: object, message: str) -> None:
    with pytest.raises(DREnvError) as error:
        act()  # type: ignore[operator]
    assert message in str(error.value)


@given(
    mean=st.floats(-5, 5), log_std=st.floats(-2, 1), low=st.floats(-2, 2), width=st.floats(0.1, 2),
    bounds=st.none() | st.just((-6.0, 6.0)), unit=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)  # fmt: skip
def test_a_truncated_normal_can_be_drawn_wherever_a_tuner_goes(
    mean: float, log_std: float, low: float, width: float, bounds: tuple[float, float] | None, unit: tuple[float, float]
) -> None:
    """However far its mean is from what it is cut to, and its bounds beyond that."""
    std = max(10**log_std, abs(mean - low) / 30)
    prior = TruncatedNormal(mean, std, low, low + width)
    moved = ParameterVector.of({"x": prior}, {"x": bounds}).from_unit(unit).update({"x": prior})["x"]
    assert moved.support() == prior.support()
    assert prior.low <= moved.mean() <= prior.high
