"""Commands that act late: an entry that a fit can ask for, and delays that slopes can follow."""

from __future__ import annotations

import numpy as np
import pytest

from dr_env import DREnvError
from dr_env.comparison.cells import cells
from dr_env.comparison.priors import prior_of
from dr_env.comparison.recovery import recover, replay
from dr_env.comparison.targets import hidden, record, truth_of
from dr_env.tuning import LATENCY, TargetTransitions, make_tuner, with_latency
from tests.conftest import entry, spec_of


@pytest.mark.parametrize("task", ["hopper", "half_cheetah"])
def test_a_delay_is_found_with_everything_else(task: str) -> None:
    """Where the motors of a hidden target act 10 ms late, masses, damping, friction and strength come out right too."""
    without, along = (
        recover(cell)
        for method in ("credible", "credible+latency")
        for cell in cells(0, seeds=1, methods=[method], tasks=[task], sizes=[10])
        if cell.condition == "delay"
    )
    assert without["names"] == along["names"]
    assert along["error"] < 0.02 < 0.05 < without["error"]
    truth = np.array(along["truth"])
    assert ((np.array(along["low90"]) <= truth) & (truth <= np.array(along["high90"]))).all()


def test_the_entry_of_a_result_is_the_delay() -> None:
    prior = with_latency(prior_of("half_cheetah", 0), 0.1)
    logs = record("half_cheetah", hidden("half_cheetah", prior_of("half_cheetah", 0), 2, True), 10, 2, noisy=False)
    tuner = make_tuner("credible", prior, simulate=lambda told: replay("half_cheetah", prior, told))
    tuner.tell(TargetTransitions(logs, 0.05))
    assert tuner.belief is not None
    place = tuner.belief.names.index(LATENCY)
    assert 0.1 * tuner.belief.mean[place] == pytest.approx(0.01, abs=1e-4)
    with pytest.raises(DREnvError, match=r"latency.*it varies how late actuators act; widen its range"):
        with_latency(tuner.result(), 0.1)


def test_delays_between_timesteps_change_motion_smoothly() -> None:
    """From one timestep to the next, predictions go from one to the other along a line, nearly."""
    prior = prior_of("half_cheetah", 0)
    told = with_latency(prior, 0.1)
    target = hidden("half_cheetah", prior, 0, True)
    played = replay("half_cheetah", told, TargetTransitions(record("half_cheetah", target, 20, 0, noisy=False), 0.05))
    truth = truth_of(target, tuple(name for name in played.names if name != LATENCY))
    place = played.names.index(LATENCY)
    delays = np.array([0.0, 0.0025, 0.005, 0.01, 0.015, 0.02])
    errors = played.predictions(np.stack([np.insert(truth, place, delay) for delay in delays]))
    assert np.abs(errors[3]).max() < 1e-9  # that of the target
    for share, low, high, between in ((0.25, 0, 3, 1), (0.5, 0, 3, 2), (0.5, 3, 5, 4)):
        line = errors[low] + share * (errors[high] - errors[low])
        moved = np.abs(errors[high] - errors[low]).mean()
        assert np.abs(errors[between] - line).mean() < 0.1 * moved
        assert np.abs(errors[between] - errors[low]).mean() > 0.1 * moved


@pytest.mark.parametrize("longest", [0.0, -1.0, np.nan, np.inf])
def test_a_latency_is_a_time(longest: float) -> None:
    with pytest.raises(DREnvError, match=r"latency: got .* expected a time above 0"):
        with_latency(prior_of("hopper", 0), longest)


def test_a_spec_that_varies_delays_has_its_own() -> None:
    late = entry({"actuator": "*"}, "delay", "set", type="uniform", low=0.0, high=0.02)
    fixed = entry({"actuator": "*"}, "delay", "set", type="constant", value=0.02)
    with pytest.raises(DREnvError, match=r"motor_delay.*widen its range instead of adding one"):
        with_latency(spec_of(motor_delay=late), 0.05)
    found = with_latency(spec_of(motor_delay=fixed), 0.05)
    assert list(found.entries) == ["motor_delay", LATENCY]
    assert found.entries[LATENCY].operation == "add"
    other = entry({"joint": "*"}, "damping", "scale", type="uniform", low=0.5, high=2.0)
    with pytest.raises(DREnvError, match="'latency' is what the entry that is added is called; rename this one"):
        with_latency(spec_of(latency=other), 0.05)
