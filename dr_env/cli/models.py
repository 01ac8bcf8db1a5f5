"""Models named on the command line: an MJCF file or an installed task."""

from __future__ import annotations

import mujoco

from dr_env.binding import compile_model
from dr_env.envs import make_task, task_names
from dr_env.errors import DREnvError
from dr_env.spec import Spec


def load_model(name: str, spec: Spec) -> tuple[mujoco.MjModel, tuple[str, ...]]:
    """The model, compiled with what the Spec needs, and the names of the task's observations."""
    if name in task_names() or not name.endswith((".xml", ".mjcf", ".urdf")):
        task = make_task(name)
        mjspec = task.mjspec()
        names = task.observation_names(compile_model(mjspec, Spec()))
    else:
        try:
            mjspec, names = mujoco.MjSpec.from_file(name), ()
        except ValueError as error:
            raise DREnvError(f"{name}: MuJoCo cannot read it: {error}") from error
    return compile_model(mjspec, spec, names), names
