"""Where an observation's numbers stand, whatever the observation's form."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Layout:
    """The real numbers of observations of a space as one flat array, and back.

    An array's numbers are named `#0`, `#1`, ...; those of a dictionary after their keys, `position[0]`,
    or `height` where a key holds a single number, and `arm.position[0]` where dictionaries nest. Images,
    whole numbers and other forms have no names and pass as they are.

    Args:
        space: the observation space.
    """

    def __init__(self, space: gym.Space[Any]) -> None:
        self._leaves: list[tuple[tuple[str, ...], int]] = []  # keys from the outside in, count
        names: list[str] = []
        for keys, box in _leaves(space, ()):
            count = int(np.prod(box.shape, dtype=int))
            self._leaves.append((keys, count))
            stem = ".".join(keys)
            names += [stem] if keys and not box.shape else [f"{stem}[{i}]" if keys else f"#{i}" for i in range(count)]
        self.names = tuple(names)
        """One name for each number."""

    def flat(self, observation: Any) -> Array:
        """The numbers of an observation, (len(names),)."""
        parts = [np.asarray(_at(observation, keys), np.float64).reshape(-1) for keys, _ in self._leaves]
        return np.concatenate(parts) if parts else np.zeros(0)

    def rebuilt(self, observation: Any, numbers: Array) -> Any:
        """The observation with other numbers; the one given stays as it is."""
        start = 0
        for keys, count in self._leaves:
            old = np.asarray(_at(observation, keys))
            new = numbers[start : start + count].astype(old.dtype).reshape(old.shape)
            observation = _with(observation, keys, new)
            start += count
        return observation


def _leaves(space: gym.Space[Any], keys: tuple[str, ...]) -> list[tuple[tuple[str, ...], gym.spaces.Box]]:
    if isinstance(space, gym.spaces.Dict):
        return [leaf for key, part in space.spaces.items() for leaf in _leaves(part, (*keys, str(key)))]
    if isinstance(space, gym.spaces.Box) and np.issubdtype(space.dtype, np.floating):
        return [(keys, space)]
    return []


def _at(observation: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        observation = observation[key]
    return observation


def _with(observation: Any, keys: tuple[str, ...], value: Any) -> Any:
    if not keys:
        return value
    return {**observation, keys[0]: _with(observation[keys[0]], keys[1:], value)}
