"""A dr_env VectorEnv as Stable-Baselines3 expects it: reset in the same step, infos in a list."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices, VecEnvObs, VecEnvStepReturn

from dr_env import Draw, DREnvError, VectorEnv

_TOLD = ("reward_shaping", "achieved_goal")  # what rewards of other goals need of a step's info


class SB3VecEnv(VecEnv):
    """Hands a `VectorEnv` to SB3: float32 observations, `terminal_observation`, `TimeLimit.truncated`, `episode`.

    The info of an episode whose simulation diverged has `dr_failure`, the Draw that did it.

    Args:
        env: environments in `SAME_STEP` autoreset mode, which is SB3's own contract.

    Raises:
        DREnvError: another mode, or actions without bounds.
    """

    def __init__(self, env: VectorEnv) -> None:
        if not isinstance(env, VectorEnv):
            raise DREnvError(f"env: got {type(env).__name__}, expected a dr_env.VectorEnv of states")
        if env.autoreset_mode is not AutoresetMode.SAME_STEP:
            raise DREnvError(f"autoreset_mode: got {env.autoreset_mode}, expected SAME_STEP, which SB3 needs")
        actions = env.single_action_space
        if isinstance(actions, gym.spaces.Box) and not (np.isfinite(actions.low) & np.isfinite(actions.high)).all():
            raise DREnvError(
                f"{env.task.name}: actions reach from {actions.low.tolist()} to {actions.high.tolist()}, and SB3 needs "
                "bounds; give each actuator a ctrlrange"
            )
        self.env = env
        self.metadata = env.metadata
        super().__init__(env.num_envs, _float32_space(env.single_observation_space), env.single_action_space)
        goals = isinstance(self.observation_space, gym.spaces.Dict) and "desired_goal" in self.observation_space.spaces
        self._told = frozenset(_TOLD if goals else ())
        self._returns = np.zeros(env.num_envs)
        self._lengths = np.zeros(env.num_envs, np.int64)
        self._earned = 0.0
        self._steps = 0
        self._start = time.perf_counter()
        self._actions: NDArray[np.float32] = np.zeros(env.action_space.shape or (), np.float32)
        self.ended: tuple[NDArray[np.intp], NDArray[np.float64], dict[str, Any]] = (np.arange(0), np.zeros(0), {})
        """Of the last step: the environments whose episodes ended, their returns, and `VectorEnv`'s info."""

    def reset(self) -> VecEnvObs:
        """Starts new episodes everywhere."""
        observations, _ = self.env.reset(seed=self._seeds[0], options=_together(self._options))
        self._reset_seeds()
        self._reset_options()
        self._returns[:] = 0
        self._lengths[:] = 0
        shown: VecEnvObs = _float32(observations)
        return shown

    def step_async(self, actions: NDArray[np.float32]) -> None:
        """Keeps the actions for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Steps every environment once."""
        observations, rewards, terminated, truncated, info = self.env.step(self._actions)
        self._returns += rewards
        self._earned += float(rewards.sum())
        self._steps += len(rewards)
        self._lengths += 1
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        done = terminated | truncated
        ended = np.flatnonzero(done)
        self.ended = ended, self._returns[ended], info
        if len(ended):
            elapsed = round(time.perf_counter() - self._start, 6)
            failures = info.get("dr_failure", np.zeros(self.num_envs, bool))
            for i in ended.tolist():
                infos[i] = {
                    "terminal_observation": _float32(info["final_obs"][i]),
                    "TimeLimit.truncated": bool(truncated[i] and not terminated[i]),
                    "episode": {"r": float(self._returns[i]), "l": int(self._lengths[i]), "t": elapsed},
                }
                if "is_success" in info:
                    infos[i]["is_success"] = bool(info["is_success"][i])
                if failures[i]:
                    drawn = info["final_info"].get("dr", {})
                    values = {name: column[i] for name, column in drawn.items() if not name.startswith("_")}
                    infos[i]["dr_failure"] = Draw(values, self.env.plan.binding)
        for name in self._told.intersection(info):  # what hindsight needs of each step
            for one, value in zip(infos, info[name], strict=True):
                one[name] = value
        self._returns[done] = 0
        self._lengths[done] = 0
        return _float32(observations), rewards.astype(np.float32), done, infos

    def pop_reward_mean(self) -> float:
        """The mean reward of a step since the last call."""
        mean = self._earned / max(1, self._steps)
        self._earned, self._steps = 0.0, 0
        return mean

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Takes one seed; each environment's streams are keyed by it and its number."""
        self._seeds = [seed] * self.num_envs
        return self._seeds

    def close(self) -> None:
        """Closes the environments."""
        self.env.close()

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """One RGB image an environment."""
        return self.env.render() or [None] * self.num_envs

    def _count(self, indices: VecEnvIndices) -> int:
        if indices is None:
            return self.num_envs
        return len(list(indices)) if isinstance(indices, Iterable) else 1

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The batch's attribute, once for each environment."""
        return [getattr(self.env, attr_name)] * self._count(indices)

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Sets the batch's attribute; single environments have none of their own."""
        if indices is not None:
            raise DREnvError(f"set_attr({attr_name!r}): environments of one batch share their attributes")
        setattr(self.env, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Calls the batch's method once; gives its result for each environment."""
        return [getattr(self.env, method_name)(*method_args, **method_kwargs)] * self._count(indices)

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """As if by SB3's Monitor, since infos have `episode`; by nothing else."""
        return [issubclass(wrapper_class, Monitor)] * self._count(indices)


def _together(options: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """SB3's options, one for each environment, as a batch takes them."""
    first = options[0]
    if all(each is first for each in options):  # given once for all
        return first or None
    if any(each.keys() != first.keys() for each in options):
        keys = sorted({"{" + ", ".join(each) + "}" for each in options})
        raise DREnvError(f"options: got {' and '.join(keys)}, expected the same keys for all environments of a batch")
    return {key: [each[key] for each in options] for key in first} or None


def _float32(observation: Any) -> Any:
    """One observation, or many, in the precision of networks."""
    if isinstance(observation, dict):
        return {name: part.astype(np.float32) for name, part in observation.items()}
    return np.asarray(observation, np.float32)


def _float32_space(space: gym.Space[Any]) -> gym.Space[Any]:
    if isinstance(space, gym.spaces.Dict):
        return gym.spaces.Dict({name: _float32_space(part) for name, part in space.items()})
    assert isinstance(space, gym.spaces.Box)
    return gym.spaces.Box(space.low.astype(np.float32), space.high.astype(np.float32), dtype=np.float32)
