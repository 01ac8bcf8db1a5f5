from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from dr_env import DREnvError
from dr_env.testing import TunerConformance, target
from dr_env.tuning import TargetTransitions, make_tuner
from dr_env.tuning.point import Point


class TestPoint(TunerConformance):
    tuner = Point
    rounds = 4
    tolerance = 0.01


def test_it_is_what_the_recording_says() -> None:
    tuner = make_tuner("point", target.PRIOR, simulate=target.CartSimulator)
    tuner.tell(target.recording(noise=0.0))
    for name, value in target.TRUTH.items():
        assert tuner.result().entries[name].distribution.mean() == pytest.approx(value, rel=1e-5)
    assert tuner.ledger.sim_steps > 0
    assert tuner.done


@dataclass
class _Elements(target.CartSimulator):
    """Mass has a value for each of two matches."""

    names: tuple[str, ...] = ("mass[0]", "mass[1]", "damping")

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        low, high = target.CartSimulator(self.evidence).bounds
        return low[[0, 0, 1]], high[[0, 0, 1]]

    def predictions(self, values: np.ndarray) -> np.ndarray:
        assert np.array_equal(values[:, 0], values[:, 1])
        return super().predictions(values[:, 1:])


def test_several_matches_get_one_value() -> None:
    def simulate(evidence: TargetTransitions) -> _Elements:
        return _Elements(evidence)

    tuner = make_tuner("point", target.PRIOR, simulate=simulate)
    tuner.tell(target.recording(noise=0.0))
    assert tuner.result().entries["mass"].distribution.mean() == pytest.approx(1.3, rel=1e-4)


def test_what_a_recording_hardly_tells_is_said_so() -> None:
    """By Laplace's approximation 1 / sqrt(1 + sum of squared slopes / 12 noise^2) of a flat prior's spread is left."""
    simulator = target.CartSimulator(target.recording())
    rng = np.random.default_rng(0)
    slopes, noise = rng.normal(size=(300, 2)) * [1.0, 0.02], rng.normal(size=300)
    low, high = simulator.bounds

    def residuals(values: np.ndarray) -> np.ndarray:
        return (np.asarray((values - low) / (high - low)) - 0.5) @ slopes.T - noise

    simulator.residuals = residuals  # type: ignore[method-assign]
    tuner = make_tuner("point", target.PRIOR, simulate=lambda _: simulator)
    tuner.tell(target.recording())
    (note,) = (note for note in tuner.notes if "not identified" in note)
    assert note.endswith(": damping (99 %)")


def test_it_needs_a_simulator() -> None:
    with pytest.raises(DREnvError, match="needs recordings and a simulator"):
        make_tuner("point", target.PRIOR)
