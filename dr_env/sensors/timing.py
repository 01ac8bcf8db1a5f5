"""Delays that vary while an episode runs."""

from __future__ import annotations

import math

import numpy as np

from dr_env.binding import in_time, whole_steps
from dr_env.sensors.blocks import Array, Ids, KeyedBlocks, Keys


class DelayJitter:
    """Actuator delays that are redrawn for every control step.

    In each control step a motor obeys the control that was sent d seconds ago, where d is the actuator's
    delay plus a uniform number in 0 .. `jitter` of that step's own, to the nearest whole timestep. What has
    arrived is not taken back: where the delay grows so fast that an older control would return, the newer one is
    held. While delay and jitter together are no longer than a control step, the control of step k therefore takes
    effect exactly d_k after it is sent.

    Args:
        nominal: the model's actuator delays, (actuators,).
        delays: (num_envs, actuators) live delays, MuJoCo's `actuator_delay`.
        timestep: seconds between two simulator steps.
        dt: seconds between two actions.
    """

    def __init__(self, nominal: Array, delays: Array, timestep: float, dt: float) -> None:
        self._nominal, self._delays, self._timestep, self._dt = nominal.copy(), delays, timestep, dt
        base = np.repeat(nominal[None], len(delays), axis=0)
        self.arrays: dict[str, Array] = {"action.jitter": np.zeros(delays.shape), "actuator_delay": base}
        """Jitter, and the delays that it is added to, (num_envs, actuators), by the name that a Plan writes."""
        self._uniform = KeyedBlocks("action jitter", "uniform", *delays.shape)
        self._last: Array = np.full(delays.shape, math.inf)
        self._active = False

    def begin(self, ids: Ids, seeds: Keys, environments: Keys, episodes: Keys) -> None:
        """Starts new episodes in the environments `ids`, after their numbers are written."""
        self._uniform.begin(ids, seeds, environments, episodes)
        self._last[ids] = math.inf
        self._delays[ids] = self.arrays["actuator_delay"][ids]
        self.refresh()

    def refresh(self) -> None:
        """Takes up numbers that have changed within an episode."""
        self._active = bool(self.arrays["action.jitter"].any())
        if not self._active:
            self._delays[:] = self.arrays["actuator_delay"]

    def step(self, ids: Ids) -> None:
        """Writes the delays of the coming control step of the environments `ids`."""
        if not self._active:
            return
        jitter = self.arrays["action.jitter"][ids]
        drawn = whole_steps(self.arrays["actuator_delay"][ids] + jitter * self._uniform.next(ids), self._timestep)
        # the control in force is that of so many control steps ago
        age = np.ceil((self._last[ids] + self._timestep) / self._dt - 1e-9)
        longest = in_time(age * self._dt, self._timestep)
        self._last[ids] = self._delays[ids] = np.where(jitter > 0, np.minimum(drawn, longest), drawn)

    def close(self) -> None:
        """Writes the nominal delays."""
        self._delays[:] = self._nominal
