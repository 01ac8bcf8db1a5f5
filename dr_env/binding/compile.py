"""The compile stage: what a Spec needs built into the model before it can be bound."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from dr_env.binding import checks
from dr_env.binding.build import COMPILED, Build, compiled_names
from dr_env.binding.delays import Buffers, delay_samples
from dr_env.binding.dressing import dress, needs_dressing
from dr_env.binding.fields import find_field
from dr_env.binding.indexing import object_names, resolve
from dr_env.binding.needs import coupled_bodies
from dr_env.binding.plan import Plan
from dr_env.errors import DREnvError
from dr_env.spec import Entry, Spec

_MOVING_CENTRE = (("body", "com"), ("body", "pseudo_inertia"))
_COUPLING = (("tendon", "armature"), ("actuator", "armature"))
_DELAYS = (("actuator", "delay"), ("action", "jitter"), ("sensor", "delay"))


def compile_model(mjspec: mujoco.MjSpec, spec: Spec, observations: tuple[str, ...] = ()) -> mujoco.MjModel:
    """Compiles a model with what the Spec needs built in; `build_model` says what it drew for it as well."""
    return build_model(mjspec, spec, observations).model


def build_model(
    mjspec: mujoco.MjSpec,
    spec: Spec,
    observations: tuple[str, ...] = (),
    compile_from: int | Mapping[str, ArrayLike] = 0,
) -> Build:
    """Compiles a model with what the Spec needs built in, and draws what only compiling can vary.

    Built in are history buffers for the delays of actuators and sensors, bodies that are not simple where a
    centre of mass moves or the armature of a tendon couples joints, the Spec's `textures`, and materials of their
    own for geoms that take them. Drawn, and written into a copy of the MjSpec, are the timestep and poses of bodies
    in entries with `trigger: compile`. Without such entries the model is compiled unchanged; the MjSpec passed in
    never changes.

    Args:
        mjspec: the model's description.
        spec: what may vary.
        observations: names of the observation's numbers, for entries that select them.
        compile_from: the seed of everything with `trigger: compile`, or a Draw to take it from.

    Raises:
        DREnvError: what `bind` raises of these entries; a Draw without their values; a pose that comes out
            otherwise than it was drawn.
    """
    model = _compile(mjspec)
    given = isinstance(compile_from, Mapping)
    build = Build(
        model,
        0 if isinstance(compile_from, Mapping) else int(compile_from),
        _given(compile_from, compiled_names(spec)) if isinstance(compile_from, Mapping) else {},
    )
    only = _compiled_part(spec)
    if only.entries:
        plan = Plan(only, model, observations, build)
        fixed = plan.sampler.fixed
        values = plan.realise(fixed)
        if given:
            checks.check_columns(plan.entries, plan.nominal, values)
        mjspec = mjspec.copy()
        model = _described(mjspec, model, {name: value[0] for name, value in values.items()}, plan)
        build = Build(model, build.seed, {**fixed, **build.columns}, plan.nominal)
    mjspec, model = _prepared(mjspec, model, spec, observations)
    return Build(model, build.seed, build.columns, build.nominal, mjspec)


def _given(draw: Mapping[str, ArrayLike], names: frozenset[str]) -> dict[str, NDArray[np.float64]]:
    missing = sorted(names - draw.keys())
    if missing:
        raise DREnvError(f"compile_from: the Draw has no {', '.join(missing)}, whose trigger is compile")
    return {name: np.asarray(draw[name], np.float64)[None] for name in names}


def _compiled_part(spec: Spec) -> Spec:
    """The entries that are written into the model's description, and what they depend on."""
    names = compiled_names(spec)
    entries = {name for name in names & spec.entries.keys() if _written(spec.entries[name])}
    for _ in names:
        parents = {p.partition(".")[0] for name in entries for p in spec.entries[name].distribution.parents}
        entries |= parents & spec.entries.keys()
    return spec.model_copy(
        update={
            "variables": {name: v for name, v in spec.variables.items() if name in names},
            "entries": {name: e for name, e in spec.entries.items() if name in entries},
        }
    )


def _written(entry: Entry) -> bool:
    try:
        return find_field(entry.select.kind, entry.field_name).compile != "never"
    except DREnvError:
        return False  # refused with its place when the Spec is bound


def _described(
    mjspec: mujoco.MjSpec, nominal: mujoco.MjModel, values: Mapping[str, NDArray[np.float64]], plan: Plan
) -> mujoco.MjModel:
    """Writes values of `compiled.*` arrays into a description, where they differ, and compiles it."""
    timestep = values.get(f"{COMPILED}opt.timestep", [nominal.opt.timestep])[0]
    pos, quat = nominal.body_pos.copy(), nominal.body_quat.copy()
    if f"{COMPILED}body_pos" in values:
        pos = values[f"{COMPILED}body_pos"].reshape(-1, 3)
    if f"{COMPILED}derived.body_rotation" in values:
        turn = values[f"{COMPILED}derived.body_rotation"].reshape(-1, 3)
        turned = np.flatnonzero(turn.any(1))
        rotation = Rotation.from_quat(quat[turned], scalar_first=True) * Rotation.from_rotvec(turn[turned])
        quat[turned] = rotation.as_quat(scalar_first=True)
    if timestep != nominal.opt.timestep:
        mjspec.option.timestep = timestep
    for body in np.flatnonzero((pos != nominal.body_pos).any(1)):
        mjspec.bodies[body].pos = pos[body]
    for body in np.flatnonzero((quat != nominal.body_quat).any(1)):
        mjspec.bodies[body].alt.type = mujoco.mjtOrientation.mjORIENTATION_QUAT
        mjspec.bodies[body].quat = quat[body]
    model = _compile(mjspec)
    wrong = (np.abs(model.body_pos - pos) > 1e-9).any(1) | (np.abs(model.body_quat - quat) > 1e-9).any(1)
    if wrong.any():
        name = object_names(model, "body")[int(np.flatnonzero(wrong)[0])]
        entry = next(entry.name for entry in plan.entries if entry.field.kind == "body" and name in entry.matches)
        raise DREnvError(
            f"{plan.spec.where(entry, 'select')}: body '{name}' comes out otherwise than drawn; "
            "take it out of its <frame>"
        )
    return model


def _prepared(
    mjspec: mujoco.MjSpec, model: mujoco.MjModel, spec: Spec, observations: tuple[str, ...]
) -> tuple[mujoco.MjSpec, mujoco.MjModel]:
    """Both with buffers for delays, bodies that are not simple and looks where the Spec needs them."""
    simple: set[int] = set()
    delays = []
    for name, entry in spec.entries.items():
        simple |= _too_simple(model, entry)
        if (entry.select.kind, entry.field_name) in _DELAYS:
            delays.append(resolve(spec, name, entry, model, observations))
    needed = delay_samples(spec, delays, Buffers.of(model))
    looks = needs_dressing(spec)
    if not (needed or simple or looks):
        return mjspec, model
    prepared = mjspec.copy()
    if looks:
        dress(prepared, model, spec)
    for (kind, i), count in needed.items():
        delayed = getattr(prepared, f"{kind}s")[i]
        delayed.nsample = max(count, delayed.nsample)
    for body in simple:
        prepared.bodies[body].simple = 0
    return prepared, _compile(prepared)


def _too_simple(model: mujoco.MjModel, entry: Entry) -> set[int]:
    """Bodies that MuJoCo treats as simple, and which an entry makes otherwise."""
    kind, field = entry.select.kind, (entry.select.kind, entry.field_name)
    if field not in (*_MOVING_CENTRE, *_COUPLING):
        return set()
    try:
        matched = entry.select.match(object_names(model, kind))
    except DREnvError:
        return set()  # refused with its place when the Spec is bound
    if field in _MOVING_CENTRE:
        return {i for i in matched if model.body_simple[i]}
    return {body for i in matched for body in coupled_bodies(model, kind, i)}


def _compile(mjspec: mujoco.MjSpec) -> mujoco.MjModel:
    with warnings.catch_warnings():
        # a deprecation is for the author of the MJCF, and would be repeated at every compilation
        warnings.filterwarnings("ignore", "compiler attribute .* is deprecated")
        try:
            return mjspec.compile()
        except ValueError as error:
            raise DREnvError(f"{mjspec.modelname}: MuJoCo cannot compile the model: {error}") from error
