"""The compile stage: what a Spec needs built into the model before it can be bound."""

from __future__ import annotations

import warnings

import mujoco

from dr_env.binding.checks import Buffers, delay_samples
from dr_env.binding.indexing import object_names, resolve
from dr_env.errors import DREnvError
from dr_env.spec import Spec


def compile_model(mjspec: mujoco.MjSpec, spec: Spec, observations: tuple[str, ...] = ()) -> mujoco.MjModel:
    """Compiles a model with what the Spec needs built in.

    These are history buffers for actuator delays, and bodies that are not simple where a centre of mass
    moves. A Spec without such entries compiles the model unchanged; the MjSpec passed in never changes.
    """
    model = _compile(mjspec)
    needed: dict[int, int] = {}
    simple: set[int] = set()
    for name, entry in spec.entries.items():
        if (entry.select.kind, entry.field_name) == ("body", "com"):
            simple |= {i for i in entry.select.match(object_names(model, "body")) if model.body_simple[i]}
        if (entry.select.kind, entry.field_name) == ("actuator", "delay"):
            bound = resolve(spec, name, entry, model, observations)
            for actuator, count in delay_samples(spec, bound, Buffers.of(model)).items():
                needed[actuator] = max(count, needed.get(actuator, 0))
    if not needed and not simple:
        return model
    buffered = mjspec.copy()
    for actuator, count in needed.items():
        buffered.actuators[actuator].nsample = max(count, buffered.actuators[actuator].nsample)
    for body in simple:
        buffered.bodies[body].simple = 0
    return _compile(buffered)


def _compile(mjspec: mujoco.MjSpec) -> mujoco.MjModel:
    with warnings.catch_warnings():
        # a deprecation is for the author of the MJCF, and would be repeated at every compilation
        warnings.filterwarnings("ignore", "compiler attribute .* is deprecated")
        try:
            return mjspec.compile()
        except ValueError as error:
            raise DREnvError(f"{mjspec.modelname}: MuJoCo cannot compile the model: {error}") from error
