"""Tasks by name: found through entry points, registered with Gymnasium, loaded when used."""

from __future__ import annotations

import functools
from importlib import metadata
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.vector import AutoresetMode

from dr_env.envs.env import Env, GoalEnv
from dr_env.envs.mjcf import MjcfTask
from dr_env.envs.pixels import ObservationKind, PixelVectorEnv, check_kind, with_pixels
from dr_env.envs.randomization import Randomization, as_spec
from dr_env.envs.task import Task
from dr_env.envs.vector import VectorEnv
from dr_env.errors import DREnvError, unknown_name

GROUP = "dr_env.tasks"


@functools.cache
def _entry_points() -> dict[str, metadata.EntryPoint]:
    return {point.name: point for point in metadata.entry_points(group=GROUP)}


def task_names() -> list[str]:
    """The installed tasks."""
    return sorted(_entry_points())


def make_task(name: str | Path, **arguments: Any) -> Task:
    """Makes a task: an installed one by name, or one of your own from an MJCF file.

    Args:
        name: an installed task's name, or the path of an `.xml` file.
        arguments: the task's own; for a file those of `MjcfTask`: `reward`, `observe`, ...

    Raises:
        DREnvError: no such task, with the near match.
    """
    if str(name).endswith(".xml"):
        return MjcfTask(name, **arguments)
    name = str(name)
    if name not in _entry_points():
        raise DREnvError(unknown_name("task", name, task_names()))
    try:
        cls = _entry_points()[name].load()
    except ImportError as error:
        raise DREnvError(f"task '{name}': cannot import it: {error}") from error
    task = cls(**arguments)
    if not isinstance(task, Task):
        raise DREnvError(f"task '{name}': its entry point gives {cls!r}, expected a subclass of dr_env.Task")
    return task


def make_env(
    *, task: str, randomization: Randomization = None, observation: ObservationKind = "state", **arguments: Any
) -> gym.Env[Any, Any]:
    """Makes one environment of an installed task; what `gymnasium.make` calls.

    With `observation` "pixels" or "dict" it shows pictures (`with_pixels`).
    """
    made = make_task(task)
    check_kind(observation)
    cls = GoalEnv if made.goal else Env
    if observation != "state":
        arguments["render_mode"] = "rgb_array"
    return with_pixels(cls(made, as_spec(randomization, made), **arguments), observation)


def make_vector_env(
    *,
    task: str,
    num_envs: int = 1,
    randomization: Randomization = None,
    observation: ObservationKind = "state",
    stack: int = 1,
    **arguments: Any,
) -> VectorEnv | PixelVectorEnv:
    """Makes a vector environment of an installed task; what `gymnasium.make_vec` calls.

    With `observation` "pixels" or "dict" it shows the last `stack` pictures (`PixelVectorEnv`).
    """
    made = make_task(task)
    check_kind(observation)
    spec = as_spec(randomization, made)
    if observation == "state":
        return VectorEnv(made, num_envs, spec, **arguments)
    arguments |= {"render_mode": "rgb_array", "autoreset_mode": AutoresetMode.DISABLED}
    return PixelVectorEnv(VectorEnv(made, num_envs, spec, **arguments), observation, stack)


def gymnasium_id(name: str) -> str:
    """The Gymnasium id of a task: `half_cheetah` is `dr_env/HalfCheetah-v0`."""
    return f"dr_env/{''.join(part.capitalize() for part in name.split('_'))}-v0"


def register_tasks() -> None:
    """Registers every installed task with Gymnasium; no task is imported until it is made."""
    for name in task_names():
        if gymnasium_id(name) not in gym.registry:
            gym.register(
                gymnasium_id(name),
                entry_point="dr_env.envs.registration:make_env",
                vector_entry_point="dr_env.envs.registration:make_vector_env",
                kwargs={"task": name},
            )
