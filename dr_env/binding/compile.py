"""The compile stage: what a Spec needs built into the model before it can be bound."""

from __future__ import annotations

import warnings

import mujoco

from dr_env.binding.checks import delay_samples
from dr_env.binding.indexing import resolve
from dr_env.errors import DREnvError
from dr_env.spec import Spec


def compile_model(mjspec: mujoco.MjSpec, spec: Spec, observations: tuple[str, ...] = ()) -> mujoco.MjModel:
    """Compiles a model with the history buffers that the Spec's actuator delays need.

    A Spec without delays compiles the model unchanged. The MjSpec passed in is not changed.
    """
    model = _compile(mjspec)
    needed: dict[int, int] = {}
    for name, entry in spec.entries.items():
        if (entry.select.kind, entry.field_name) == ("actuator", "delay"):
            bound = resolve(spec, name, entry, model, observations)
            for actuator, count in delay_samples(spec, bound, model).items():
                needed[actuator] = max(count, needed.get(actuator, 0))
    if not needed:
        return model
    buffered = mjspec.copy()
    for actuator, count in needed.items():
        buffered.actuators[actuator].nsample = max(count, buffered.actuators[actuator].nsample)
    return _compile(buffered)


def _compile(mjspec: mujoco.MjSpec) -> mujoco.MjModel:
    with warnings.catch_warnings():
        # a deprecation is for the author of the MJCF, and would be repeated at every compilation
        warnings.filterwarnings("ignore", "compiler attribute .* is deprecated")
        try:
            return mjspec.compile()
        except ValueError as error:
            raise DREnvError(f"{mjspec.modelname}: MuJoCo cannot compile the model: {error}") from error
