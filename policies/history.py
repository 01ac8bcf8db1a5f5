"""What a policy remembers: the last k observations, and the actions that led to them."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from dr_env import Policy

Floats = NDArray[np.floating[Any]]


class History:
    """The last k frames of n environments, oldest first; a frame is an observation and the action before it.

    An episode begins as if its first observation had been there for k steps, without any action.

    Args:
        num_envs: how many environments.
        length: k, how many frames.
        observations: numbers of an observation.
        actions: numbers of an action.
    """

    def __init__(self, num_envs: int, length: int, observations: int, actions: int) -> None:
        self._split = observations
        self._frames = np.zeros((num_envs, length, observations + actions), np.float32)

    def begin(self, observations: Floats, mask: NDArray[np.bool_] | slice = slice(None)) -> None:
        """Starts new episodes with observations (n, observations), where the mask is True."""
        self._frames[mask, :, : self._split] = observations[mask][:, None]
        self._frames[mask, :, self._split :] = 0

    def push(self, actions: Floats, observations: Floats) -> None:
        """Takes actions (n, actions) and the observations (n, observations) after them."""
        self._frames[:, :-1] = self._frames[:, 1:]
        self._frames[:, -1, : self._split] = observations
        self._frames[:, -1, self._split :] = actions

    def flat(self) -> NDArray[np.float32]:
        """A copy of the frames, (n, k * (observations + actions))."""
        return self._frames.reshape(len(self._frames), -1).copy()


class HistoryVecEnv(VecEnvWrapper):
    """Shows the history in place of the observation; other keys of a Dict stay as they are.

    Args:
        venv: environments with flat observations, or a Dict of them with a key `observation`.
        length: how many frames.
    """

    def __init__(self, venv: VecEnv, length: int) -> None:
        space = venv.observation_space
        parts = dict(space.spaces) if isinstance(space, gym.spaces.Dict) else {"observation": space}
        observations, actions = _size(parts["observation"]), _size(venv.action_space)
        parts["observation"] = gym.spaces.Box(-np.inf, np.inf, (length * (observations + actions),), np.float32)
        self._dict = isinstance(space, gym.spaces.Dict)
        super().__init__(venv, gym.spaces.Dict(parts) if self._dict else parts["observation"])
        self._history = History(venv.num_envs, length, observations, actions)
        self._actions: NDArray[np.float32] = np.zeros((venv.num_envs, actions), np.float32)

    def reset(self) -> VecEnvObs:
        """Starts new episodes everywhere."""
        observations = self.venv.reset()
        self._history.begin(self._plain(observations))
        shown: VecEnvObs = self._shown(observations, self._history.flat())
        return shown

    def step_async(self, actions: NDArray[np.float32]) -> None:
        """Sends the actions on, and keeps them."""
        self._actions = actions
        self.venv.step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Steps every environment once; an episode's last observation has its own history."""
        observations, rewards, dones, infos = self.venv.step_wait()
        plain = self._plain(observations)
        over = np.flatnonzero(dones)
        last = plain
        if len(over):
            last = plain.copy()
            last[over] = [self._plain(infos[i]["terminal_observation"]) for i in over]
        self._history.push(self._actions, last)
        if len(over):
            ends = self._history.flat()
            for i in over.tolist():
                infos[i]["terminal_observation"] = self._shown(infos[i]["terminal_observation"], ends[i])
            self._history.begin(plain, dones)
        return self._shown(observations, self._history.flat()), rewards, dones, infos

    def _plain(self, observations: Any) -> NDArray[np.float32]:
        plain: NDArray[np.float32] = observations["observation"] if self._dict else observations
        return plain

    def _shown(self, observations: Any, flat: NDArray[np.float32]) -> Any:
        return {**observations, "observation": flat} if self._dict else flat


class RememberingPolicy:
    """A policy of histories as one of observations: it keeps the history itself.

    `begin` before an episode; then one call for each step, always with all environments.

    Args:
        act: flat histories (n, k * (observations + actions)) to actions (n, actions).
        length: how many frames.
        observations: numbers of an observation.
        actions: numbers of an action.
    """

    def __init__(self, act: Policy, length: int, observations: int, actions: int) -> None:
        self._act = act
        self._sizes = length, observations, actions
        self._history: History | None = None
        self._last: NDArray[np.float32] = np.zeros((0, actions), np.float32)

    def begin(self) -> None:
        """Forgets: the next observations are an episode's first."""
        self._history = None

    def __call__(self, observations: Floats) -> NDArray[np.float32]:
        """Actions (n, actions) for observations (n, observations)."""
        if self._history is None:
            self._history = History(len(observations), *self._sizes)
            self._history.begin(observations)
        else:
            self._history.push(self._last, observations)
        self._last = self._act(self._history.flat().astype(np.float64))
        return self._last


def _size(space: gym.Space[Any]) -> int:
    assert isinstance(space, gym.spaces.Box)
    return int(np.prod(space.shape))
