from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dr_env import DREnvError
from policies.history import RememberingPolicy
from policies.shown import CheckedPolicy

NAMES = ("angle", "speed")


@pytest.mark.parametrize(
    ("shown", "message"),
    [
        (np.zeros(2), r"got shape \(2,\), expected \(n, 2\): angle, speed"),
        (np.zeros((2, 1)), r"got shape \(2, 1\), expected \(n, 2\)"),
        (np.zeros((1, 2, 1)), r"got shape \(1, 2, 1\)"),
        (np.array([[0, 0], [0, np.nan]]), "got nan for 'speed', expected finite numbers"),
        (np.array([[-np.inf, 0]]), "got -inf for 'angle'"),
        ({"observation": np.zeros((1, 2))}, "got observation, expected one array: .* flat_goal=True"),
    ],
)
def test_what_is_no_observation_is_answered_by_no_action(shown: Any, message: str) -> None:
    asked: list[Any] = []
    for policy in (asked.append, RememberingPolicy(asked.append, 3, 2, 1)):  # type: ignore[arg-type]
        with pytest.raises(DREnvError, match=f"observations: {message}"):
            CheckedPolicy(policy, NAMES)(shown)  # type: ignore[arg-type]
    assert not asked


def test_a_policy_that_remembers_is_told_of_beginnings() -> None:
    histories = []

    def act(seen: Any) -> Any:
        histories.append(seen)
        return np.full((len(seen), 1), 5, np.float32)

    policy = CheckedPolicy(RememberingPolicy(act, 2, 2, 1), NAMES)
    for angle in (1.0, 2.0):
        policy(np.array([[angle, 0]]))
    policy.begin()
    policy(np.array([[3.0, 0]]))
    assert [history[0, ::3].tolist() for history in histories] == [[1, 1], [1, 2], [3, 3]]
    CheckedPolicy(act, NAMES).begin()
