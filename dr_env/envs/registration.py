"""Tasks by name: found through entry points or in a file, registered with Gymnasium, loaded when used."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
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
from dr_env.envs.task_file import Maker, is_task_file, load_task_file
from dr_env.envs.vector import VectorEnv
from dr_env.errors import DREnvError, unknown_name

GROUP = "dr_env.tasks"


_FROM_FILES: dict[str, tuple[str, Maker]] = {}  # tasks of files that this process has run: the file, what makes it


@functools.cache
def _entry_points() -> dict[str, metadata.EntryPoint]:
    return {point.name: point for point in metadata.entry_points(group=GROUP)}


def task_names() -> list[str]:
    """The installed tasks."""
    return sorted(_entry_points())


def task_name(given: str) -> str:
    """What runs and studies call a task: an installed one's name, or what a file's task calls itself.

    A file is run here, and from then on its task has a name in this process.

    Raises:
        DREnvError: nothing in the file, or another task is called so.
    """
    if not is_task_file(given):
        return given
    name, maker = load_task_file(given)
    file = str(Path(given).resolve())
    if name in _entry_points():
        raise DREnvError(f"{given}: its task is called '{name}', as an installed one is; call it something else")
    if name in _FROM_FILES and _FROM_FILES[name][0] != file:
        raise DREnvError(f"{given}: its task is called '{name}', as that of {_FROM_FILES[name][0]} is")
    _FROM_FILES[name] = (file, maker)
    return name


def known_task(name: str, source: str | Path) -> Task:
    """A task named in a file that was read, which may name none that would run code of the file's choice.

    Args:
        name: an installed task's, or that of a task whose file this process has run (`task_name`, `make_task`).
        source: where it was read, for the error.

    Raises:
        DREnvError: no such task.
    """
    if name not in _entry_points() and name not in _FROM_FILES:
        raise DREnvError(
            f"{source}: {unknown_name('task', name, task_names())}; if it is the task of a Python file, name the file "
            "in the command: --task FILE, or `dr-env train FILE --resume RUN`"
        )
    return make_task(name)


def is_model_file(name: str | Path) -> bool:
    """Whether a task is named by a model's file."""
    return str(name).endswith((".xml", ".urdf"))


def make_task(name: str | Path, /, **arguments: Any) -> Task:
    """Makes a task: an installed one by name, or one of your own from a Python or an MJCF file.

    Args:
        name: an installed task's name, the path of a `.py` file that holds a task (`crane.py`, or `crane.py:Crane`
            where it holds several), or of an `.xml` or `.urdf` file.
        arguments: the task's own; for an MJCF file those of `MjcfTask`: `reward`, `observe`, ...

    Raises:
        DREnvError: no such task, with the near match.
    """
    if is_model_file(name):
        if not Path(name).is_file():
            raise DREnvError(f"{name}: no such file")
        if "reward" not in arguments:
            raise DREnvError(
                f"{name}: a model's file says nothing of what is rewarded; name a Python file with "
                f"`task = dr_env.make_task({str(name)!r}, reward=...)` instead"
            )
        _check_arguments(f"make_task({str(name)!r})", MjcfTask, arguments)
        return MjcfTask(name, **arguments)
    name = task_name(str(name))
    if name in _FROM_FILES:
        return _FROM_FILES[name][1](**arguments)
    if name not in _entry_points():
        raise DREnvError(unknown_name("task", name, task_names()))
    try:
        cls = _entry_points()[name].load()
    except (ImportError, AttributeError) as error:
        raise DREnvError(f"task '{name}': cannot import it: {error}") from error
    if isinstance(cls, type):
        _check_arguments(f"make_task({name!r})", cls, arguments)
    task = cls(**arguments)
    if not isinstance(task, Task):
        raise DREnvError(f"task '{name}': its entry point gives {cls!r}, expected a subclass of dr_env.Task")
    return task


def _check_arguments(what: str, made: type, arguments: Mapping[str, Any]) -> None:
    """Raises DREnvError for an argument that the class does not take, with the near match."""
    known = inspect.signature(made).parameters.values()
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in known):
        for name in arguments.keys() - {parameter.name for parameter in known}:
            raise DREnvError(f"{what}: {unknown_name('argument', name, [parameter.name for parameter in known])}")


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
    mode = arguments.pop("autoreset_mode", AutoresetMode.SAME_STEP)
    if AutoresetMode(mode) is not AutoresetMode.SAME_STEP:
        raise DREnvError(f"autoreset_mode: got {mode}, expected SAME_STEP, which pictures have")
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
