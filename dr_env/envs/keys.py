"""What keys an episode's random numbers: seed, environment and episode."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError

Keys = NDArray[np.uint64]


class EpisodeKeys:
    """The keys of n environments' present or coming episodes.

    With one seed for all, environments differ by their number; with a seed for each, every one is
    number 0, so that it runs as it would alone.

    Args:
        num_envs: how many environments.
    """

    def __init__(self, num_envs: int) -> None:
        self.seeds: Keys = np.zeros(num_envs, np.uint64)
        self.environments: Keys = np.arange(num_envs, dtype=np.uint64)
        self.episodes: Keys = np.zeros(num_envs, np.uint64)
        self.seeded = False

    def of(self, i: int) -> tuple[int, int, int]:
        """One environment's keys, as plain numbers."""
        return int(self.seeds[i]), int(self.environments[i]), int(self.episodes[i])

    def seed(self, seed: int | Sequence[int | None] | None, source: np.random.Generator) -> bool:
        """Takes a seed for all, or one for each; `source` gives those that are None.

        Returns:
            Whether the keys have changed: without a seed, only the first call makes one.
        """
        if seed is None:
            if self.seeded:
                return False
            seed = int(source.integers(2**63))
        count = len(self.seeds)
        if isinstance(seed, int | np.integer):
            self.seeds[:] = np.uint64(int(seed) % 2**64)
            self.environments = np.arange(count, dtype=np.uint64)
        else:
            if len(seed) != count:
                raise DREnvError(f"seed: got {len(seed)} seeds, expected one or {count}")
            self.seeds[:] = [int(source.integers(2**63)) if s is None else int(s) % 2**64 for s in seed]
            self.environments = np.zeros(count, np.uint64)
        self.episodes[:] = 0
        self.seeded = True
        return True
