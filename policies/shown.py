"""What a policy is shown, looked over first: on a robot nobody else does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dr_env import DREnvError, Policy
from policies.history import RememberingPolicy


class CheckedPolicy:
    """A policy that acts on (n, observations) of finite numbers alone; of others it would make some action as well.

    Args:
        act: the policy.
        names: one name for each number of an observation.
    """

    def __init__(self, act: Policy, names: Sequence[str]) -> None:
        self._act, self._names = act, names

    def begin(self) -> None:
        """New episodes begin: a policy that remembers forgets."""
        if isinstance(self._act, RememberingPolicy):
            self._act.begin()

    def __call__(self, observations: NDArray[np.float64]) -> NDArray[np.float32]:
        """Actions (n, actions). Raises DREnvError naming the observation that is none."""
        names = self._names
        if isinstance(observations, Mapping):
            got = ", ".join(observations)
            raise DREnvError(f"observations: got {got}, expected one array: make the environment with flat_goal=True")
        shape = np.shape(observations)
        if shape[1:] != (len(names),):
            raise DREnvError(f"observations: got shape {shape}, expected (n, {len(names)}): {', '.join(names)}")
        if not np.isfinite(observations).all():
            row, number = np.argwhere(~np.isfinite(observations))[0].tolist()
            got = observations[row][number]
            raise DREnvError(f"observations: got {got} for '{names[number]}', expected finite numbers")
        return self._act(observations)
