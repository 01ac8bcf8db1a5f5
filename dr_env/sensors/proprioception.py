"""What a robot's sensors do to an observation."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dr_env.sensors.blocks import Array, Ids, KeyedBlocks, Keys

EFFECTS = ("noise", "uniform_noise", "bias", "walk", "quantum", "delay", "dropout")


class ObservationSensor:
    """Delays, offsets, noise, quantisation and dropouts, each off where its number is 0.

    A reading is the observation `delay` seconds ago, plus `bias`, plus a random walk that grows by
    `walk` * sqrt(dt) a step, plus Gaussian noise of standard deviation `noise`, plus uniform noise within
    +- `uniform_noise`, rounded to multiples of `quantum`; with probability `dropout` the last reading is
    repeated instead. Delays are rounded up to whole control steps; before the first reading that old,
    the episode's first observation stands in.

    Args:
        num_envs: how many environments.
        size: how many numbers an observation has.
        dt: seconds between two observations.
        kind: what is read, "observation" or (numbers of sensordata) "sensor"; random numbers are its own.
        changing: whether the numbers may change within an episode.
    """

    def __init__(
        self,
        num_envs: int,
        size: int,
        dt: float,
        kind: Literal["observation", "sensor"] = "observation",
        changing: bool = False,
    ) -> None:
        self.arrays: dict[str, Array] = {f"{kind}.{name}": np.zeros((num_envs, size)) for name in EFFECTS}
        """The numbers of each effect, (num_envs, size), by the name that a Plan writes."""
        self._kind = kind
        own = "" if kind == "observation" else f"{kind} "
        self._dt = dt
        self._changing = changing
        self._blocks = {
            name: KeyedBlocks(
                own + name, "uniform" if name in ("uniform_noise", "dropout") else "normal", num_envs, size
            )
            for name in ("noise", "uniform_noise", "walk", "dropout")
        }
        self._walk: Array = np.zeros((num_envs, size))
        self._last: Array = np.zeros((num_envs, size))
        self._history: Array = np.zeros((num_envs, 0, size))  # a ring; grows to the longest delay
        self._time = np.zeros(num_envs, np.intp)
        self._fresh = np.ones(num_envs, bool)
        self._active: dict[str, bool] = {}

    def begin(self, ids: Ids, seeds: Keys, environments: Keys, episodes: Keys) -> None:
        """Starts new episodes in the environments `ids`, after their numbers are written."""
        # another environment's next episode may turn an effect on while these run
        self._walk[ids] = 0
        self._time[ids] = 0
        self._fresh[ids] = True
        self._note_active()
        if self.active:
            for blocks in self._blocks.values():
                blocks.begin(ids, seeds, environments, episodes)
            self._lengthen()

    def refresh(self) -> None:
        """Takes up numbers that have changed within an episode."""
        self._note_active()
        self._lengthen()

    def _note_active(self) -> None:
        self._active = {name: self._changing or bool(self._numbers(name).any()) for name in EFFECTS}

    def _lengthen(self) -> None:
        """Makes the history as long as the longest delay needs."""
        if self._active["delay"]:
            longest = self._steps(slice(None)).max()
            if longest + 1 > self._history.shape[1]:
                grown = np.zeros((len(self._fresh), longest + 1, self._walk.shape[1]))
                for i in np.flatnonzero(~self._fresh):  # those under way keep what they have seen, oldest first
                    old = self._history.shape[1]
                    if old:
                        grown[i] = self._history[i, self._time[i] % old]  # nothing older is known
                        order = (self._time[i] - 1 - np.arange(old)) % old
                        places = (self._time[i] - 1 - np.arange(old)) % (longest + 1)
                        grown[i, places] = self._history[i, order]
                self._history = grown

    @property
    def active(self) -> bool:
        """Whether any effect is on, in any environment."""
        return any(self._active.values())

    def _numbers(self, name: str) -> Array:
        return self.arrays[f"{self._kind}.{name}"]

    def _steps(self, ids: Ids | slice) -> NDArray[np.intp]:
        """Delays in control steps, rounded up."""
        return np.ceil(self._numbers("delay")[ids] / self._dt - 1e-9).astype(np.intp)

    def read(self, observations: Array, ids: Ids) -> Array:
        """Readings of the environments `ids` for their observations, (len(ids), size)."""
        if not self.active:
            return observations
        rows = slice(None) if len(ids) == len(self._fresh) else ids
        value = {name: self._numbers(name)[rows] for name, on in self._active.items() if on}
        reading = self._delayed(observations, ids) if self._active["delay"] else observations.copy()
        if self._active["bias"]:
            reading += value["bias"]
        if self._active["walk"]:
            step = value["walk"] * math.sqrt(self._dt) * self._blocks["walk"].next(ids)
            self._walk[ids] += np.where(self._fresh[ids, None], 0.0, step)
            reading += self._walk[ids]
        if self._active["noise"]:
            reading += value["noise"] * self._blocks["noise"].next(ids)
        if self._active["uniform_noise"]:
            reading += value["uniform_noise"] * (2 * self._blocks["uniform_noise"].next(ids) - 1)
        if self._active["quantum"]:
            quantum = value["quantum"]
            steps = np.divide(reading, quantum, out=np.zeros_like(reading), where=quantum > 0)
            reading = np.where(quantum > 0, np.round(steps) * quantum, reading)
        if self._active["dropout"]:
            lost = (self._blocks["dropout"].next(ids) < value["dropout"]) & ~self._fresh[ids, None]
            reading = np.where(lost, self._last[ids], reading)
        self._last[ids] = reading
        self._fresh[ids] = False
        return reading

    def _delayed(self, observations: Array, ids: Ids) -> Array:
        length = self._history.shape[1]
        fresh = ids[self._fresh[ids]]
        if len(fresh):
            self._history[fresh] = observations[self._fresh[ids], None]
        now = self._time[ids]
        self._history[ids, now % length] = observations
        self._time[ids] += 1
        past = (now[:, None] - self._steps(ids)) % length
        return np.asarray(self._history[ids[:, None], past, np.arange(past.shape[1])])
