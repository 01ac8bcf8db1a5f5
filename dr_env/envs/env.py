"""One randomized environment: a batch of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from dr_env.binding import Plan, Rows
from dr_env.envs.goals import compute_reward
from dr_env.envs.randomization import Randomization
from dr_env.envs.task import Task
from dr_env.envs.vector import VectorEnv
from dr_env.envs.view import Context, Observation, rows
from dr_env.records import Columns, Draw
from dr_env.spec import Spec

Array = NDArray[np.float64]

_ONE = np.zeros(1, np.intp)


class Env(gym.Env[Observation, NDArray[np.float32]]):
    """A `gymnasium.Env` of a task, bit for bit the first environment of a `VectorEnv`.

    `info["dr"]` on reset is the episode's `Draw`; `reset(options={"draw": draw})` plays it again.
    The arguments are those of `VectorEnv`.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(
        self,
        task: Task,
        randomization: Randomization = None,
        *,
        context: Context = "hidden",
        flat_goal: bool = False,
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
        width: int = 480,
        height: int = 480,
        compile_from: int | Mapping[str, Any] = 0,
    ) -> None:
        self._vector = VectorEnv(
            task,
            1,
            randomization,
            autoreset_mode=AutoresetMode.DISABLED,
            max_episode_steps=max_episode_steps,
            context=context,
            flat_goal=flat_goal,
            threads=1,
            render_mode=render_mode,
            width=width,
            height=height,
            compile_from=compile_from,
        )
        self.render_mode = render_mode
        self.action_space = self._vector.single_action_space
        self.observation_space = self._vector.single_observation_space
        self.metadata = {**type(self).metadata, "render_fps": self._vector.metadata["render_fps"]}

    @property
    def task(self) -> Task:
        """What to do."""
        return self._vector.task

    @property
    def model(self) -> mujoco.MjModel:
        """The nominal model."""
        return self._vector.model

    @property
    def randomization(self) -> Spec:
        """What varies."""
        return self._vector.randomization

    def set_randomization(self, randomization: Randomization) -> None:
        """Changes what varies from the next episode on; see `VectorEnv.set_randomization`."""
        self._vector.set_randomization(randomization)

    def wear(self, plan: Plan, columns: Columns | None) -> None:
        """Shows the looks that another Plan of this model gives a Draw, columns of one row; None for none."""
        self._vector.wear(plan, columns)

    @property
    def rows(self) -> Rows:
        """Where a Plan that another object holds can write this environment's model and sensors."""
        return self._vector.rows

    def refresh(self) -> None:
        """Takes up numbers of sensors and pushes that were written within an episode."""
        self._vector.refresh()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Starts a new episode; `options` takes `draw`, `qpos` and `qvel`."""
        observations, _ = self._vector.reset(seed=None if seed is None else [seed], options=options)
        super().reset(seed=seed)
        return rows(observations, _ONE)[0], self._draw_info()

    def step(self, action: NDArray[np.float32]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Takes one action, (actions,)."""
        observations, rewards, terminated, truncated, infos = self._vector.step(np.asarray(action)[None])
        info = {
            name: _item(value[0])
            for name, value in infos.items()
            if not name.startswith("_") and not isinstance(value, Mapping)
        }
        if "dr" in infos:  # drawn again
            info["dr"] = self.draw
        return rows(observations, _ONE)[0], float(rewards[0]), bool(terminated[0]), bool(truncated[0]), info

    def _draw_info(self) -> dict[str, Any]:
        return {"dr": self.draw} if self.randomization.entries else {}

    @property
    def draw(self) -> Draw:
        """The Draw of this episode."""
        return self._vector.draws[0]

    def render(self) -> NDArray[np.uint8] | None:
        """An RGB image, (height, width, 3)."""
        frames = self._vector.render()
        return None if frames is None else frames[0]

    def close(self) -> None:
        """Frees the renderer."""
        self._vector.close()


class GoalEnv(Env):
    """An `Env` whose task has a goal, as Gymnasium's goal-conditioned environments are.

    `compute_reward` gives the reward of any achieved and desired goal.
    """

    def compute_reward(self, achieved_goal: Array, desired_goal: Array, info: Any) -> Any:
        """The reward of any goals; see `dr_env.envs.goals.compute_reward`."""
        return compute_reward(self.task, achieved_goal, desired_goal, info)

    def compute_terminated(self, achieved_goal: Array, desired_goal: Array, info: Any) -> Any:
        """Whether goals, (goal,) or many of them (n, goal), end an episode: none does, reached or not."""
        return np.zeros(len(achieved_goal), bool) if np.ndim(achieved_goal) == 2 else False

    def compute_truncated(self, achieved_goal: Array, desired_goal: Array, info: Any) -> Any:
        """Whether goals, (goal,) or many of them (n, goal), truncate an episode: none does, its length does."""
        return self.compute_terminated(achieved_goal, desired_goal, info)


def _item(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
