"""Random numbers for every step, keyed by seed, environment and episode alone."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dr_env.rng import generator

Array = NDArray[np.float64]
Ids = NDArray[np.intp]
Keys = NDArray[np.uint64]

_BLOCK = 64


class KeyedBlocks:
    """Random numbers drawn in blocks of 64 steps from a generator of each environment's own episode.

    They do not depend on how many environments run beside, nor on what else is drawn: every effect has
    blocks of its own name.

    Args:
        name: the effect's name, part of the key.
        kind: standard normals, or uniforms in 0 .. 1.
        num_envs: how many environments.
        size: how many numbers a step takes.
    """

    def __init__(self, name: str, kind: Literal["normal", "uniform"], num_envs: int, size: int) -> None:
        self._name, self._kind = name, kind
        self._shape = (num_envs, _BLOCK, size)
        self._block: Array | None = None  # made when first used: most effects are off
        self._next = np.full(num_envs, _BLOCK)
        self._keys: list[tuple[int, int, int]] = [(0, 0, 0)] * num_envs
        self._generators: list[np.random.Generator | None] = [None] * num_envs

    def begin(self, ids: Ids, seeds: Keys, environments: Keys, episodes: Keys) -> None:
        """Starts new episodes in the environments `ids`; the keys are those of all environments."""
        for i in ids.tolist():
            self._keys[i] = (int(seeds[i]), int(environments[i]), int(episodes[i]))
            self._generators[i] = None
        self._next[ids] = _BLOCK

    def next(self, ids: Ids) -> Array:
        """The next step's numbers for the environments `ids`, (len(ids), size)."""
        if self._block is None:
            self._block = np.zeros(self._shape)
        used_up = ids[self._next[ids] == _BLOCK]
        for i in used_up.tolist():
            source = self._generators[i]
            if source is None:
                source = self._generators[i] = generator("sensor", self._name, *self._keys[i])
            if self._kind == "normal":
                source.standard_normal(out=self._block[i])
            else:
                source.random(out=self._block[i])
        self._next[used_up] = 0
        numbers = self._block[ids, self._next[ids]]
        self._next[ids] += 1
        return np.asarray(numbers)
