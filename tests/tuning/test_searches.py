"""DROPO and SimOpt: what they write, where they begin, what a trajectory is to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dr_env.spec import Spec
from dr_env.testing import target
from dr_env.tuning import dropo
from dr_env.tuning.coordinates import Coordinates
from dr_env.tuning.dropo import DROPO
from dr_env.tuning.likelihood import LikelihoodTuner
from dr_env.tuning.problem import Problem
from dr_env.tuning.simopt import SimOpt
from tests.tuning.test_likelihood import LINEAR, Linear, fitted, linear


def test_dropo_writes_the_variance_of_what_it_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    """A normal that is cut off at two standard deviations has 0.774 of its variance left."""
    stds = np.array([0.01, 0.02, 0.05])
    monkeypatch.setattr(dropo, "_distribution", lambda point: (np.full(3, 0.5), stds))
    _, covariance = fitted(DROPO, linear(2, k=10), {"evaluations": 10, "samples": 4, "floor": False})
    assert np.allclose(np.diag(covariance), 16 * 0.7737 * stds**2, rtol=1e-3)


@pytest.mark.parametrize(("tuner", "options"), [(DROPO, {"evaluations": 60, "samples": 10}), (SimOpt, {"samples": 30})])
def test_what_nothing_tells_keeps_its_prior(tuner: type[LikelihoodTuner[Any]], options: Mapping[str, Any]) -> None:
    form = LINEAR.to_dict()
    known = {"type": "truncated_normal", "mean": -0.6, "std": 0.08, "low": -1.0, "high": 3.0}
    form["entries"]["c"]["distribution"] = known
    simulator = linear(0)
    simulator.design[:, :, 2] = 0.0
    made = tuner(Spec.from_dict(form), 0, options, lambda evidence: simulator)
    made.tell(target.recording())
    assert made.belief is not None
    assert 0.07 < 4 * np.sqrt(made.belief.covariance[2, 2]) < 0.14  # and where the search strayed, by as much more
    assert abs(4 * made.belief.mean[2] - 1 + 0.6) < 2 * 0.08
    # 1/12 is a flat prior's variance about its middle, in units of the range; 1/3 about an end
    assert np.diag(made.belief.covariance).max() <= 1 / 3


def test_simopt_filters_within_trajectories() -> None:
    """What is off by 1 throughout, up in one recording and down in the next, is off by 1 after filtering."""
    gap = SimOpt(target.PRIOR, 0, {"l1": 0.0}, lambda evidence: target.CartSimulator(evidence))._gap
    trajectories = np.repeat(np.arange(20), 5)
    errors = np.where(trajectories % 2, 1.0, -1.0)[None, :, None]
    assert gap(errors, trajectories)[0] == pytest.approx(1.0)
    assert gap(errors, np.zeros(100, int))[0] < 0.5


def test_trajectories_are_windows_or_what_is_chained() -> None:
    simulator = linear(0, k=12)
    bounds = Coordinates(LINEAR, simulator.names, simulator.bounds)
    simulator.measured[5] = np.nan
    assert Problem(simulator, bounds).trajectories.tolist() == [0] * 5 + [1] * 6

    class Windows(Linear):
        @property
        def clusters(self) -> NDArray[np.intp]:
            return np.arange(12) // 4

    longer = Windows(simulator.design, simulator.measured)
    assert Problem(longer, bounds).trajectories.tolist() == [0] * 4 + [1] * 3 + [2] * 4
