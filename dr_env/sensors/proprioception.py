"""What a robot's sensors do to an observation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dr_env.rng import generator

Array = NDArray[np.float64]

_BLOCK = 64


class ObservationNoise:
    """Additive Gaussian noise whose values depend on seed, environment and episode alone.

    Each environment draws its standard normals in blocks of 64 steps from a generator of its own
    episode, so they do not depend on how many environments run beside it.

    Args:
        num_envs: how many environments.
        size: how many numbers an observation has.
    """

    def __init__(self, num_envs: int, size: int) -> None:
        self.std: Array = np.zeros((num_envs, size))
        """Standard deviations, (num_envs, size); zero adds nothing."""
        self._block: Array = np.zeros((0, 0, 0))
        self._next = np.full(num_envs, _BLOCK)
        self._generators: list[np.random.Generator | None] = [None] * num_envs

    def begin(
        self,
        ids: NDArray[np.intp],
        seeds: NDArray[np.uint64],
        environments: NDArray[np.uint64],
        episodes: NDArray[np.uint64],
    ) -> None:
        """Starts new episodes in the environments `ids`."""
        active = np.asarray(self.std[ids].any(1), bool)
        for i, on in zip(ids.tolist(), active.tolist(), strict=True):
            key = ("sensor", int(seeds[i]), int(environments[i]), int(episodes[i]))
            self._generators[i] = generator(*key) if on else None
        self._next[ids] = _BLOCK

    def add(self, observations: Array, ids: NDArray[np.intp]) -> None:
        """Adds the next step's noise to the observations of `ids`, (len(ids), size), in place."""
        if not self.std.any():
            return
        if not self._block.size:
            self._block = np.zeros((*self.std.shape[:1], _BLOCK, self.std.shape[1]))
        used_up = ids[self._next[ids] == _BLOCK]
        for i in used_up.tolist():
            source = self._generators[i]
            if source is not None:
                source.standard_normal(out=self._block[i])
        self._next[used_up] = 0
        observations += self.std[ids] * self._block[ids, self._next[ids]]
        self._next[ids] += 1
