"""What keys an episode's random numbers: seed, environment and episode."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError

Keys = NDArray[np.uint64]
Ids = NDArray[np.intp]


def check_seed(seed: object, name: str = "seed") -> int:
    """A seed as a plain number. Raises DREnvError, with its `name`, for what is none: two seeds are never the same."""
    if not isinstance(seed, int | np.integer) or not 0 <= int(seed) < 2**64:
        raise DREnvError(f"{name}: got {seed!r}, expected a whole number, 0 to 2**64 - 1")
    return int(seed)


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
        self._seeded = np.zeros(num_envs, bool)

    @property
    def seeded(self) -> bool:
        """Whether every environment has a seed."""
        return bool(self._seeded.all())

    def of(self, i: int) -> tuple[int, int, int]:
        """One environment's keys, as plain numbers."""
        return int(self.seeds[i]), int(self.environments[i]), int(self.episodes[i])

    def seed(
        self,
        seed: int | Sequence[int | None] | None,
        source: np.random.Generator | None = None,
        ids: Ids | None = None,
    ) -> bool:
        """Takes a seed for all, or one for each; who gets none keeps what it has, or is given one.

        Args:
            seed: the seed, or one for each environment, None where its episodes go on.
            source: of seeds that nobody gave; by default the operating system.
            ids: the environments that are meant; the others keep theirs.

        Returns:
            Whether any keys have changed.

        Raises:
            DREnvError: what is no seed, or not as many as environments.
        """
        ids = np.arange(len(self.seeds)) if ids is None else ids
        if seed is None or isinstance(seed, int | np.integer):
            ids = ids if seed is not None else ids[~self._seeded[ids]]
            if not len(ids):
                return False
            self._take(ids, _given(seed, source), ids)
            return True
        if isinstance(seed, str) or not isinstance(seed, Sequence | np.ndarray):
            raise DREnvError(f"seed: got {seed!r}, expected a whole number, or one for each environment")
        if len(seed) != len(self.seeds):
            raise DREnvError(f"seed: got {len(seed)} seeds, expected one or {len(self.seeds)}")
        fresh = [i for i in ids.tolist() if seed[i] is not None or not self._seeded[i]]
        for i, given in zip(fresh, [_given(seed[i], source) for i in fresh], strict=True):
            self._take(np.array([i]), given, 0)
        return bool(fresh)

    def _take(self, ids: Ids, seed: int, environments: Ids | int) -> None:
        self.seeds[ids] = np.uint64(seed)
        self.environments[ids] = environments
        self.episodes[ids] = 0
        self._seeded[ids] = True


def _given(seed: object, source: np.random.Generator | None) -> int:
    if seed is None:
        return int((source or np.random.default_rng()).integers(2**63))
    return check_seed(seed)
