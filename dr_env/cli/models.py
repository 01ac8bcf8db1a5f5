"""Models named on the command line: an MJCF file or an installed task."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np

from dr_env.binding import Build, build_model, compile_model
from dr_env.envs import Task, is_model_file, make_task
from dr_env.errors import DREnvError
from dr_env.spec import Spec


def load_task(name: str) -> Task:
    """An installed task, or one around an MJCF file in which nothing is rewarded."""
    if is_model_file(name):
        return make_task(name, reward=lambda before, action, after: np.zeros(len(action)))
    return make_task(name)


def task_anywhere(name: str) -> str:
    """A task's name, or a model's file as it is called from any folder."""
    return str(Path(name).resolve()) if is_model_file(name) else name


def load_mjspec(name: str) -> tuple[mujoco.MjSpec, tuple[str, ...]]:
    """The model's description, and the names of the task's observations."""
    if not is_model_file(name):
        task = make_task(name)
        mjspec = task.mjspec()
        return mjspec, task.observation_names(compile_model(mjspec, Spec()))
    try:
        return mujoco.MjSpec.from_file(name), ()
    except ValueError as error:
        raise DREnvError(f"{name}: MuJoCo cannot read it: {error}") from error


def load_model(name: str, spec: Spec) -> tuple[Build, tuple[str, ...]]:
    """The model, compiled with what the Spec needs, and the names of the task's observations."""
    mjspec, names = load_mjspec(name)
    return build_model(mjspec, spec, names), names
