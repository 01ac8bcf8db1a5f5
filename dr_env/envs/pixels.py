"""Observations that are pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from gymnasium.wrappers import AddRenderObservation
from numpy.typing import NDArray

from dr_env.envs.env import Env
from dr_env.envs.infos import Info, draw_info, final_info
from dr_env.envs.vector import VectorEnv
from dr_env.envs.view import Observation
from dr_env.errors import DREnvError, unknown_name

Array = NDArray[np.float64]
ObservationKind = Literal["state", "pixels", "dict"]
KINDS = get_args(ObservationKind)


def check_kind(kind: str) -> None:
    """Raises DREnvError for a kind of observation that there is not."""
    if kind not in KINDS:
        raise DREnvError(f"observation: {unknown_name('observation', kind, KINDS)}")


def with_pixels(env: Env, kind: ObservationKind) -> gym.Env[Any, Any]:
    """An environment that shows pictures, (height, width, 3) uint8, by Gymnasium's own wrapper.

    Args:
        env: the environment, with `render_mode="rgb_array"`.
        kind: "pixels" alone, or "dict" with `pixels` beside `state`, or beside what the environment's dict has.
    """
    check_kind(kind)
    if kind == "state":
        return env
    return AddRenderObservation(env, render_only=kind == "pixels", render_key="pixels", obs_key="state")


class PixelVectorEnv(gym.vector.VectorWrapper):
    """Many environments whose observations are pictures, (n, height, width, 3) uint8, or dicts that hold them.

    An environment that ends is reset in the same step; its last picture is in `info["final_obs"]`.

    Args:
        env: the environments, with `render_mode="rgb_array"` and `autoreset_mode="Disabled"`.
        kind: "pixels" alone, or "dict" with `pixels` beside `state`, or beside what the environment's dict has.
        stack: how many of the latest pictures an observation holds, (n, stack, height, width, 3), the newest last; an
            episode starts with its first picture repeated. 1 is one picture without that axis.

    Raises:
        DREnvError: another kind; environments that take no pictures or reset themselves.
    """

    env: VectorEnv

    def __init__(self, env: VectorEnv, kind: ObservationKind = "pixels", stack: int = 1) -> None:
        super().__init__(env)
        check_kind(kind)
        if env.render_mode != "rgb_array" or env.autoreset_mode is not AutoresetMode.DISABLED:
            raise DREnvError(
                f"env: got render_mode {env.render_mode!r} and autoreset_mode {env.autoreset_mode.value!r}, expected "
                "'rgb_array' and 'Disabled'"
            )
        if stack < 1:
            raise DREnvError(f"stack: got {stack}, expected at least 1")
        self._kind, self._stack = kind, stack
        width, height = env.size
        picture = (height, width, 3) if stack == 1 else (stack, height, width, 3)
        self._pictures = np.zeros((env.num_envs, stack, height, width, 3), np.uint8)
        pixels = gym.spaces.Box(0, 255, picture, np.uint8)
        self.single_observation_space = pixels if kind == "pixels" else _beside(env.single_observation_space, pixels)
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)
        self.metadata = {**env.metadata, "autoreset_mode": AutoresetMode.SAME_STEP}

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, Info]:
        """Starts new episodes; arguments are those of `VectorEnv.reset`."""
        observations, info = self.env.reset(seed=seed, options=options)
        mask = (options or {}).get("reset_mask")
        self._look(np.arange(self.num_envs) if mask is None else np.flatnonzero(mask), first=True)
        return self._shown(observations), info

    def step(self, actions: Any) -> tuple[Observation, Array, NDArray[np.bool_], NDArray[np.bool_], Info]:
        """Steps every environment once, and resets those that end."""
        observations, rewards, terminated, truncated, info = self.env.step(actions)
        self._look(np.arange(self.num_envs), first=False)
        over = np.flatnonzero(terminated | truncated)
        if len(over):
            info.update(final_info(self._shown(observations), self.env.columns, over, info, self.num_envs))
            observations, _ = self.env.reset(options={"reset_mask": terminated | truncated})
            new = np.union1d(over, np.flatnonzero(info.get("_dr", False)))  # those that were drawn again go on
            info.update(draw_info(self.env.columns, new, self.num_envs))
            self._look(over, first=True)
        return self._shown(observations), rewards, terminated, truncated, info

    def _look(self, ids: NDArray[np.intp], first: bool) -> None:
        """Takes pictures of the environments `ids`."""
        if not first and self._stack > 1:
            self._pictures[ids, :-1] = self._pictures[ids, 1:]
        for i, picture in zip(ids.tolist(), self.env.render(ids.tolist()) or (), strict=True):
            self._pictures[i, slice(None) if first else -1] = picture

    def _shown(self, observations: Observation) -> Observation:
        pixels = self._pictures[:, 0].copy() if self._stack == 1 else self._pictures.copy()
        if self._kind == "pixels":
            return pixels
        rest = observations if isinstance(observations, dict) else {"state": observations}
        return {**rest, "pixels": pixels}


def _beside(space: gym.Space[Any], pixels: gym.spaces.Box) -> gym.spaces.Dict:
    rest = space.spaces if isinstance(space, gym.spaces.Dict) else {"state": space}
    return gym.spaces.Dict({**rest, "pixels": pixels})
