"""What a task is: a model and pure functions over batched arrays."""

from __future__ import annotations

import copy
import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env.binding import JOINT_WIDTHS
from dr_env.errors import DREnvError
from dr_env.spec import Spec

Array = NDArray[np.float64]
Fields = Mapping[str, Array]
"""MjData fields by name, each with a leading axis of environments: `qpos` is (n, nq)."""


class Task(ABC):
    """A model, and what an agent sees, earns and starts from, for n environments at once.

    The functions see arrays with a leading axis of environments and keep no state, so the same
    code serves one environment and many. Numbers that a user may change are the constructor's.
    """

    name: ClassVar[str]
    """The task's name, in snake case: `half_cheetah` is registered as `dr_env/HalfCheetah-v0`."""
    frame_skip: ClassVar[int]
    """Simulator steps for each action."""
    max_episode_steps: ClassVar[int] = 1000
    """Actions after which an episode is truncated."""
    fields: ClassVar[tuple[str, ...]] = ("qpos", "qvel")
    """The MjData fields that the functions below read; `cfrc_ext`, the forces of contacts, among them."""
    stage: ClassVar[int] = int(mujoco.mjtStage.mjSTAGE_NONE)
    """Stages to compute after a step; `mjSTAGE_VEL` where derived fields must be current."""
    reference: ClassVar[str | None] = None
    """The Gymnasium environment that the task equals under an empty Spec, if there is one."""
    goal: ClassVar[int] = 0
    """How many numbers a goal has; then an observation ends with the achieved and the desired goal."""
    goal_offsets: ClassVar[int] = 0
    """How many numbers before the goals follow from them, such as the way from one to the other.

    The goal-conditioned form leaves them out: hindsight replaces goals, and would not replace them.
    """
    shaped: ClassVar[bool] = False
    """Whether rewards have a term `reward_shaping` beside what goals decide."""
    camera: ClassVar[str | None] = None
    """The model's camera that videos are taken with, or None for a free one."""

    @abstractmethod
    def mjspec(self) -> mujoco.MjSpec:
        """The model's description, before compilation."""

    @abstractmethod
    def observation_names(self, model: mujoco.MjModel) -> tuple[str, ...]:
        """One name for each number of an observation, for entries that select them."""

    @abstractmethod
    def observe(self, data: Fields) -> Array:
        """Observations, (n, observations); a new array."""

    @abstractmethod
    def reward(self, before: Fields, action: NDArray[np.float32], after: Fields) -> tuple[Array, dict[str, Array]]:
        """Rewards (n,) for a step, and their terms (n,) by name, which go into `info`."""

    @abstractmethod
    def terminated(self, data: Fields) -> NDArray[np.bool_]:
        """Which episodes end in this state, (n,)."""

    def goal_reward(self, achieved: Array, desired: Array) -> Array:
        """The reward (n,) that goals (n, goal) alone decide, for tasks with a goal."""
        raise NotImplementedError(f"{self.name} has no goal")

    @abstractmethod
    def reset_state(self, model: mujoco.MjModel, uniform: Array) -> tuple[Array, Array]:
        """Initial states from uniforms in (0, 1).

        Args:
            model: the nominal model.
            uniform: (n, reset_width(model)).

        Returns:
            qpos (n, nq) and qvel (n, nv).
        """

    def initial_state(self, model: mujoco.MjModel, uniform: Array) -> dict[str, Array]:
        """Initial states by MjData field, (n, ...): what `reset_state` gives, and in tasks that override this
        more, such as `mocap_pos`, or the `ctrl` that servos hold until the first action.
        """
        qpos, qvel = self.reset_state(model, uniform)
        return {"qpos": qpos, "qvel": qvel}

    def action_space(self, model: mujoco.MjModel) -> gym.spaces.Box:
        """The space of one environment's actions: by default the controls, within their ranges."""
        low, high = model.actuator_ctrlrange.astype(np.float32).T
        unlimited = model.actuator_ctrllimited == 0
        return gym.spaces.Box(np.where(unlimited, -np.inf, low), np.where(unlimited, np.inf, high), dtype=np.float32)

    def control(self, data: Fields, action: NDArray[np.float32]) -> NDArray[Any]:
        """Controls (n, nu) for actions (n, actions) in the states `data`: by default the actions themselves."""
        return action

    def reset_width(self, model: mujoco.MjModel) -> int:
        """How many random numbers an initial state takes."""
        return int(model.nq + model.nv)

    def under(self, spec: Spec) -> Task:
        """The task as a Spec's `scene` has it; by default, for tasks that compose none, the task itself."""
        return self

    @functools.cached_property
    def dt(self) -> float:
        """Seconds between two actions."""
        return float(self.mjspec().option.timestep) * self.frame_skip

    def at(self, timestep: float) -> Task:
        """The task with simulator steps of another length, for each action as many as come nearest to `dt`."""
        if timestep * self.frame_skip == self.dt:
            return self
        other = copy.copy(self)
        skip = max(1, round(self.dt / timestep))
        other.__dict__.update(frame_skip=skip, dt=skip * timestep)
        return other

    def file(self, name: str) -> Path:
        """A file of the task's folder, such as `randomization.yaml`."""
        return Path(inspect.getfile(type(self))).parent / name


def check_observations(task: Task, model: mujoco.MjModel, observations: Array) -> None:
    """Raises DREnvError where an observation, of (n, observations), is no finite number."""
    if np.isfinite(observations).all():
        return
    environment, number = np.argwhere(~np.isfinite(observations))[0].tolist()
    raise DREnvError(
        f"observe: environment {environment} got {observations[environment, number]} for "
        f"'{task.observation_names(model)[number]}', expected finite numbers"
    )


def state_names(model: mujoco.MjModel) -> tuple[list[str], list[str]]:
    """Names of the numbers of qpos and qvel, such as `qpos.hinge`, or `qpos.root[3]` where a joint has several."""
    named: tuple[list[str], list[str]] = ([], [])
    for joint in range(model.njnt):
        name = mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_JOINT, joint) or f"#{joint}"
        for names, prefix, width in zip(named, ("qpos", "qvel"), JOINT_WIDTHS[int(model.jnt_type[joint])], strict=True):
            names += [f"{prefix}.{name}[{i}]" if width > 1 else f"{prefix}.{name}" for i in range(width)]
    return named
