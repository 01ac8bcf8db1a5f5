"""Keyed random numbers: each value is a function of its key, never of what was drawn before.

A value is addressed by (seed, stream, name, environment, episode, attempt, index). Adding an
environment, an episode or an entry therefore changes no other value, two Specs that share an
entry share its random numbers, and any number of values is computed in one vectorised pass.

What is drawn for an episode comes from Philox4x32-10: Salmon, Moraes, Dror, Shaw, "Parallel random
numbers: as easy as 1, 2, 3", SC 2011, section 4.3. What is drawn for every step, in far greater number, comes
from SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014, figure 15.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Words = NDArray[np.uint64]

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_ROUNDS = 10
_DEPTH = 16  # episodes computed ahead
_FEW = 2  # looking ahead pays for up to half of the environments


def philox(counter: Sequence[Words], key: Sequence[Words]) -> tuple[Words, Words, Words, Words]:
    """Philox4x32-10, elementwise.

    Args:
        counter: four arrays of words below 2**32.
        key: two arrays of words below 2**32; all six are broadcast against each other.

    Returns:
        Four arrays of random words below 2**32.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        product0 = _MULTIPLIERS[0] * c0
        product1 = _MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (
            (product1 >> _32) ^ c1 ^ k0,
            product1 & _LOW,
            (product0 >> _32) ^ c3 ^ k1,
            product0 & _LOW,
        )
        k0 = (k0 + _WEYL[0]) & _LOW
        k1 = (k1 + _WEYL[1]) & _LOW
    return c0, c1, c2, c3


def digest(*parts: object) -> int:
    """A 64-bit integer that depends on every part, the same on every machine and run."""
    text = "\x1f".join(str(part) for part in parts).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


class Stream:
    """A named stream of keyed uniforms, such as "physics" or "reset", or columns of several.

    Args:
        stream: the stream's name, or one for each column.
        names: one name a column; each column's values depend on its own name alone.
        widths: the number of values in each column.
    """

    def __init__(self, stream: str | tuple[str, ...], names: tuple[str, ...], widths: tuple[int, ...]) -> None:
        keys: list[int] = []
        index: list[int] = []
        streams = (stream,) * len(names) if isinstance(stream, str) else stream
        for owner, name, width in zip(streams, names, widths, strict=True):
            for element in range(width):
                keys.append(digest(owner, name))
                index.append(element)
        self.total = len(keys)
        key = np.array(keys, np.uint64).reshape(-1)
        self._key = np.stack([key & _LOW, key >> _32])  # (2, total)
        self._index = np.array(index, np.uint64)  # (total,)

    def uniform(
        self,
        seeds: NDArray[np.uint64],
        environments: ArrayLike,
        episodes: ArrayLike,
        attempt: int = 0,
        steps: ArrayLike = 0,
    ) -> NDArray[np.float64]:
        """Uniforms in the open interval (0, 1).

        Args:
            seeds: (n,) 64-bit seeds.
            environments: (n,) environment numbers, below 2**24.
            episodes: (n,) episode numbers, below 2**32.
            attempt: how often these values were refused before.
            steps: (n,) the step of the episode, below 2**32, at which values are drawn again; 0 at its start.

        Returns:
            (n, total) doubles with 53 random bits each.
        """
        seeds = np.asarray(seeds, np.uint64)[:, None]
        environment = np.asarray(environments, np.uint64)[:, None]
        episode = np.asarray(episodes, np.uint64)[:, None]
        step = np.atleast_1d(np.asarray(steps, np.uint64))[:, None]
        place = environment | np.uint64(attempt << 24)
        # the seed enters through the key, mixed with the column's own
        key = (self._key[0] ^ (seeds & _LOW), self._key[1] ^ (seeds >> _32))
        high, low, _, _ = philox((episode & _LOW, place, self._index, step), key)
        bits = ((high << _32) | low) >> np.uint64(11)
        return np.asarray((bits.astype(np.float64) + 0.5) * 2.0**-53)


class Lookahead:
    """The uniforms of a few environments' coming episodes, computed many episodes at once.

    A call costs far more than its numbers, and episodes end a few at a time. The values are those of
    the stream, whatever is asked for and when.

    Args:
        stream: where the values come from.
        num_envs: how many environments.
    """

    def __init__(self, stream: Stream, num_envs: int) -> None:
        self._stream = stream
        self._values = np.zeros((num_envs, _DEPTH, stream.total))
        self._first = np.full(num_envs, -1, np.int64)  # the episode that a row of values starts with

    def forget(self) -> None:
        """Drops what was computed, since seeds have changed."""
        self._first[:] = -1

    def uniform(self, ids: NDArray[np.intp], seeds: Words, environments: Words, episodes: Words) -> NDArray[np.float64]:
        """Uniforms of the environments `ids`, (len(ids), total); the keys are those of all environments."""
        if _FEW * len(ids) >= len(self._first):
            return self._stream.uniform(seeds[ids], environments[ids], episodes[ids])
        ahead = episodes[ids].astype(np.int64) - self._first[ids]
        known = (self._first[ids] >= 0) & (ahead >= 0) & (ahead < _DEPTH)
        if not known.all():
            # with those that run out, all that soon will, so that calls are rare
            used = episodes.astype(np.int64) - self._first
            low = (self._first < 0) | (used < 0) | (used >= _DEPTH // 2)
            low[ids[~known]] = True
            fresh = np.flatnonzero(low)
            coming = episodes[fresh, None] + np.arange(_DEPTH, dtype=np.uint64)
            values = self._stream.uniform(
                np.repeat(seeds[fresh], _DEPTH), np.repeat(environments[fresh], _DEPTH), coming.reshape(-1)
            )
            self._values[fresh] = values.reshape(len(fresh), _DEPTH, -1)
            self._first[fresh] = episodes[fresh].astype(np.int64)
        return np.asarray(self._values[ids, episodes[ids].astype(np.int64) - self._first[ids]])


class Sequences:
    """An endless sequence of random words for each environment's episode, read at any place (SplitMix64).

    Args:
        name: the sequences' name, part of their key.
        num_envs: how many environments.
    """

    def __init__(self, name: str, num_envs: int) -> None:
        self._name = np.uint64(digest("sequence", name))
        self._keys = np.zeros((3, num_envs), np.uint64)
        self._fresh = np.ones(num_envs, bool)  # begun, and not read yet: most sequences never are
        self._start = np.zeros(num_envs, np.uint64)
        self._stride = np.ones(num_envs, np.uint64)

    def begin(self, ids: NDArray[np.intp], seeds: Words, environments: Words, episodes: Words) -> None:
        """Starts the sequences of new episodes of the environments `ids`; the keys are those of all environments."""
        for held, key in zip(self._keys, (seeds, environments, episodes), strict=True):
            held[ids] = key[ids]
        self._fresh[ids] = True

    def words(self, ids: NDArray[np.intp], places: Words) -> Words:
        """The words at `places`, (len(ids), k), of the environments' sequences."""
        fresh = ids[self._fresh[ids]]
        if len(fresh):
            self._key(fresh)
        return _mixed(self._start[ids, None] + (places + np.uint64(1)) * self._stride[ids, None])

    def _key(self, ids: NDArray[np.intp]) -> None:
        seeds, environments, episodes = self._keys[:, ids]
        key = _mixed(self._name ^ seeds)
        key = _mixed(key ^ environments)
        key = _mixed(key ^ episodes)
        self._start[ids] = key
        self._stride[ids] = _mixed(key ^ _GOLDEN) | np.uint64(1)
        self._fresh[ids] = False


def _mixed(x: Words) -> Words:
    """SplitMix64's finalizer, elementwise; `x` is overwritten."""
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return x


def uniforms(words: Words) -> NDArray[np.float64]:
    """Uniforms in the open interval (0, 1), one for each word, with 53 random bits."""
    return np.asarray(((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53)


def normals(words: Words) -> NDArray[np.float32]:
    """Standard normals, two for each word, (2, *words.shape): Box and Muller, Ann. Math. Statist. 29, 1958.

    In single precision, which noise needs no more of; no value lies beyond 6.8.
    """
    halves = np.ascontiguousarray(words).view(np.int32).reshape(*words.shape, 2)
    radius, angle = np.moveaxis(halves, -1, 0).astype(np.float32, order="C")
    radius *= np.float32(2.0**-32)
    radius += np.float32(0.5)
    np.maximum(radius, np.float32(2.0**-33), out=radius)  # 0 has no logarithm
    np.log(radius, out=radius)
    radius *= np.float32(-2)
    np.sqrt(radius, out=radius)
    angle *= np.float32(math.tau * 2.0**-32)
    return np.stack((radius * np.cos(angle), radius * np.sin(angle)))


def open_uniform(rng: np.random.Generator, shape: int | tuple[int, ...]) -> NDArray[np.float64]:
    """Uniforms in the open interval (0, 1) from a NumPy generator."""
    bits = rng.integers(0, 1 << 53, size=shape)
    return (np.asarray(bits, np.float64) + 0.5) * 2.0**-53


def standard_normal(uniform: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard normals from uniforms in (0, 1), by the inverse distribution function."""
    return np.asarray(special.ndtri(uniform))


def generator(*key: object) -> np.random.Generator:
    """A NumPy generator whose sequence is a function of `key` alone."""
    return np.random.Generator(np.random.SFC64(digest(*key)))
