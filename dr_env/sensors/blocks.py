"""Random numbers for every step, keyed by seed, environment and episode alone."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dr_env.rng import Sequences, normals, uniforms

Array = NDArray[np.float64]
Ids = NDArray[np.intp]
Keys = NDArray[np.uint64]

_BLOCK = 64


class KeyedBlocks:
    """Random numbers for every step of each environment's episode, computed 64 steps at once.

    They do not depend on how many environments run beside, nor on what else is drawn: every effect has
    a sequence of its own name.

    Args:
        name: the effect's name, part of the key.
        kind: standard normals, or uniforms in 0 .. 1.
        num_envs: how many environments.
        size: how many numbers a step takes.
    """

    def __init__(self, name: str, kind: Literal["normal", "uniform"], num_envs: int, size: int) -> None:
        self._kind = kind
        self._shape = (num_envs, _BLOCK, size)
        self._sequences = Sequences(name, num_envs)
        self._block: NDArray[np.floating] = np.zeros(0)  # made when first used: most effects are off
        self._first = np.zeros(num_envs, np.uint64)  # the step that a block begins with, modulo 2**64
        self._next = np.full(num_envs, _BLOCK)

    def begin(self, ids: Ids, seeds: Keys, environments: Keys, episodes: Keys) -> None:
        """Starts new episodes in the environments `ids`; the keys are those of all environments."""
        self._sequences.begin(ids, seeds, environments, episodes)
        self._first[ids] = 2**64 - _BLOCK  # as if a block before the first step were used up
        self._next[ids] = _BLOCK

    def next(self, ids: Ids) -> NDArray[np.floating]:
        """The next step's numbers for the environments `ids`, (len(ids), size)."""
        if not self._block.size:
            self._block = np.zeros(self._shape, np.float32 if self._kind == "normal" else np.float64)
        if (self._next[ids] == _BLOCK).any():
            self._fill(np.flatnonzero(self._next >= _BLOCK // 2))  # with those that run out, all that soon will
        numbers: NDArray[np.floating] = self._block[ids, self._next[ids]]
        self._next[ids] += 1
        return numbers

    def _fill(self, ids: Ids) -> None:
        """Computes the coming 64 steps of the environments `ids`."""
        self._first[ids] += self._next[ids].astype(np.uint64)
        self._next[ids] = 0
        _, steps, size = self._shape
        normal = self._kind == "normal"
        width = (size + 1) // 2 if normal else size  # words a step
        within = np.arange(steps * width).astype(np.uint64)
        words = self._sequences.words(ids, np.uint64(width) * self._first[ids, None] + within)
        if normal:
            pairs = normals(words).reshape(2, len(ids), steps, width)
            self._block[ids, :, :width] = pairs[0]
            self._block[ids, :, width:] = pairs[1, ..., : size - width]
        else:
            self._block[ids] = uniforms(words).reshape(len(ids), steps, width)
