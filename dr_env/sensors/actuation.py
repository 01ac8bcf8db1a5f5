"""What happens to an action on its way to the motors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_env.sensors.blocks import Array, Ids, KeyedBlocks, Keys

EFFECTS = ("noise", "dropout")


class ActionChannel:
    """Noise and dropped controls, each off where its number is 0.

    What arrives is the control plus Gaussian noise of standard deviation `noise`; with probability
    `dropout` the last control that arrived is repeated instead. (Delays are the actuators' own.)

    Args:
        num_envs: how many environments.
        size: how many numbers a control has.
        changing: whether the numbers may change within an episode.
    """

    def __init__(self, num_envs: int, size: int, changing: bool = False) -> None:
        self.arrays: dict[str, Array] = {f"action.{name}": np.zeros((num_envs, size)) for name in EFFECTS}
        """The numbers of each effect, (num_envs, size), by the name that a Plan writes."""
        self._changing = changing
        self._noise = KeyedBlocks("action noise", "normal", num_envs, size)
        self._dropout = KeyedBlocks("action dropout", "uniform", num_envs, size)
        self._last: Array = np.zeros((num_envs, size))
        self._active = dict.fromkeys(EFFECTS, False)

    def begin(self, ids: Ids, seeds: Keys, environments: Keys, episodes: Keys, held: Array | float = 0.0) -> None:
        """Starts new episodes in the environments `ids`, after their numbers are written.

        Where the first control is lost, `held`, (len(ids), size), stays in force.
        """
        self.refresh()
        if any(self._active.values()):
            self._noise.begin(ids, seeds, environments, episodes)
            self._dropout.begin(ids, seeds, environments, episodes)
            self._last[ids] = held

    def refresh(self) -> None:
        """Takes up numbers that have changed within an episode."""
        self._active = {name: self._changing or bool(self.arrays[f"action.{name}"].any()) for name in EFFECTS}

    def send(self, actions: NDArray[np.floating[Any]], ids: Ids) -> NDArray[np.floating[Any]]:
        """What arrives of the actions of the environments `ids`, (len(ids), size)."""
        if not any(self._active.values()):
            return actions
        arrived = np.array(actions, np.float64)
        if self._active["noise"]:
            arrived += self.arrays["action.noise"][ids] * self._noise.next(ids)
        if self._active["dropout"]:
            lost = self._dropout.next(ids) < self.arrays["action.dropout"][ids]
            arrived = np.where(lost, self._last[ids], arrived)
        self._last[ids] = arrived
        return arrived
