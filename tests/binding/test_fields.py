"""Every row of the field table: written, read back, felt by the physics, restored, without drift."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from dr_env import Spec, compile_model
from dr_env.binding import FIELDS, Field
from tests.conftest import entry, model_bytes, spec_of

PHYSICAL = [field for field in FIELDS if field.kind != "observation"]
# what the rich model must be asked to do for a field to matter: override contacts, drive, fly
PATTERNS = {"body": "*", "geom": "*", "joint": "*", "actuator": "*"}
OVERRIDES = ("o_margin", "o_solref", "o_solimp", "o_friction")


def _ids(field: Field) -> str:
    return f"{field.kind}.{field.name}"


def _spec(field: Field, component: int | None = None) -> tuple[Spec, str, float]:
    """An entry that changes the field noticeably, and how."""
    name = field.name if component is None else f"{field.name}[{component}]"
    select = "option" if field.kind == "option" else {field.kind: PATTERNS[field.kind]}
    operation, value = {
        "delay": ("set", 0.02),
        "wind": ("add", 3.0),
        "magnetic": ("add", 0.5),
        "o_margin": ("set", 0.01),
        "o_solref": ("scale", 1.5),
        "o_solimp": ("scale", 0.9),
    }.get(field.name, ("scale", 1.25))
    return spec_of(x=entry(select, name, operation, type="constant", value=value)), operation, value


def _model(rich_spec: mujoco.MjSpec, field: Field, spec: Spec) -> mujoco.MjModel:
    if field.name in OVERRIDES:
        rich_spec.option.enableflags |= int(mujoco.mjtEnableBit.mjENBL_OVERRIDE)
    if field.name == "magnetic":  # felt by a magnetometer alone
        rich_spec.bodies[1].add_site(name="site")
        rich_spec.add_sensor(
            type=mujoco.mjtSensor.mjSENS_MAGNETOMETER, objtype=mujoco.mjtObj.mjOBJ_SITE, objname="site"
        )
    if field.name == "impratio":
        rich_spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    if field.name == "friction":
        for geom in rich_spec.geoms:
            geom.condim = 6
    return compile_model(rich_spec, spec)


def _array(model: mujoco.MjModel, field: Field) -> np.ndarray:
    holder, name = (model.opt, field.array[4:]) if field.array.startswith("opt.") else (model, field.array)
    return np.array(getattr(holder, name), np.float64)


def _trajectory(model: mujoco.MjModel) -> np.ndarray:
    data = mujoco.MjData(model)
    data.qpos[2] = 0.12  # the base touches the floor within the run
    data.qvel[:] = np.linspace(-1, 1, model.nv)
    states = []
    for step in range(150):
        data.ctrl[:] = np.sin(0.1 * step + np.arange(model.nu))
        mujoco.mj_step(model, data)
        states.append(np.concatenate((data.qpos, data.sensordata)))
    return np.array(states)


@pytest.mark.parametrize("field", PHYSICAL, ids=_ids)
def test_written_read_back_felt_and_restored(rich_spec: mujoco.MjSpec, field: Field) -> None:
    spec, operation, value = _spec(field)
    model = _model(rich_spec, field, spec)
    plan = spec.bind(model)
    nominal_bytes, nominal, before = model_bytes(model), _array(model, field), _trajectory(model)

    plan.apply(model, plan.sample(np.random.default_rng(0)))
    written = _array(model, field).reshape(-1)[plan.entries[0].flat]
    base = nominal.reshape(-1)[plan.entries[0].flat]
    expected = {"scale": base * value, "add": base + value, "set": np.full_like(base, value)}[operation]
    assert (written == expected).all()
    untouched = np.delete(_array(model, field).reshape(-1), plan.entries[0].flat)
    assert (untouched == np.delete(nominal.reshape(-1), plan.entries[0].flat)).all()
    assert np.abs(_trajectory(model) - before).max() > 1e-9, "the physics did not notice"

    plan.restore(model)
    assert model_bytes(model) == nominal_bytes
    assert (_trajectory(model) == before).all()


@pytest.mark.parametrize("field", PHYSICAL, ids=_ids)
def test_the_identity_is_bit_identical(rich_spec: mujoco.MjSpec, field: Field) -> None:
    name = "delay" if field.name == "delay" else field.name
    select = "option" if field.kind == "option" else {field.kind: PATTERNS[field.kind]}
    zero = field.name in ("delay", "wind", "o_margin")
    spec = spec_of(x=entry(select, name, "add" if zero else "scale", type="constant", value=0.0 if zero else 1.0))
    model = _model(rich_spec, field, spec)
    before = model_bytes(model)
    plan = spec.bind(model)
    plan.apply(model, plan.sample(np.random.default_rng(0)))
    assert model_bytes(model) == before


@pytest.mark.parametrize("field", PHYSICAL, ids=_ids)
def test_no_drift_over_ten_thousand_applications(rich_spec: mujoco.MjSpec, field: Field) -> None:
    spec, _, _ = _spec(field)
    select = spec.entries["x"].select.to_form()
    varied = {"scale": (0.9, 1.1), "add": (-0.1, 0.1), "set": (0.0, 0.02)}[spec.entries["x"].operation]
    wide = spec_of(
        x=entry(select, field.name, spec.entries["x"].operation, type="uniform", low=varied[0], high=varied[1])
    )
    model = _model(rich_spec, field, wide)
    plan, rng = wide.bind(model), np.random.default_rng(0)
    first = plan.sample(rng)
    plan.apply(model, first)
    after_one = model_bytes(model)
    for _ in range(10_000 if not plan.recompute else 1_000):  # set_const makes one slow; resets do 10,000 below
        plan.apply(model, plan.sample(rng))
    plan.apply(model, first)
    assert model_bytes(model) == after_one


@pytest.mark.parametrize("field", [f for f in PHYSICAL if f.components > 1], ids=_ids)
def test_an_index_names_one_component(rich_spec: mujoco.MjSpec, field: Field) -> None:
    last = field.components - 1
    spec, _, _ = _spec(field, last)
    model = _model(rich_spec, field, spec)
    bound = spec.bind(model).entries[0]
    width = _array(model, field).shape[-1]
    assert set((bound.flat % width).tolist()) == {field.columns[last]}


def test_mass_moves_inertia_unless_told_not_to(rich_model: mujoco.MjModel) -> None:
    for coupled, factor in ((True, 1.5), (False, 1.0)):
        spec = spec_of(x=entry({"body": "base"}, "mass", "scale", type="constant", value=1.5, coupled=coupled))
        plan, inertia = spec.bind(rich_model), rich_model.body("base").inertia.copy()
        plan.apply(rich_model, {"x": 1.5})
        np.testing.assert_allclose(rich_model.body("base").inertia, factor * inertia, rtol=1e-15)
        plan.restore(rich_model)
    for operation, value in (("set", 3.0), ("add", 1.0)):
        spec = spec_of(x=entry({"body": "base"}, "mass", operation, type="constant", value=value))
        plan = spec.bind(rich_model)
        plan.apply(rich_model, {"x": value})
        np.testing.assert_allclose(rich_model.body("base").inertia, 1.5 * inertia, rtol=1e-15)
        plan.restore(rich_model)


def test_derived_constants_follow(rich_model: mujoco.MjModel) -> None:
    spec = spec_of(x=entry({"body": "hand"}, "mass", "scale", type="constant", value=2.0))
    before = rich_model.body_subtreemass.copy()
    spec.bind(rich_model).apply(rich_model, {"x": 2.0})
    assert rich_model.body("base").subtreemass[0] == pytest.approx(before[1] + 0.2)
    fresh = mujoco.MjData(rich_model)
    mujoco.mj_setConst(rich_model, fresh)
    again = model_bytes(rich_model)
    mujoco.mj_setConst(rich_model, fresh)
    assert model_bytes(rich_model) == again


def test_a_servo_keeps_its_balance(rich_model: mujoco.MjModel) -> None:
    spec = spec_of(x=entry({"actuator": "servo"}, "gain", "scale", type="constant", value=0.5))
    spec.bind(rich_model).apply(rich_model, {"x": 0.5})
    servo = rich_model.actuator("servo")
    assert servo.gainprm[0] == 10
    assert servo.biasprm[:3].tolist() == [0, -10, -0.5]


def test_joints_with_several_degrees_of_freedom(rich_model: mujoco.MjModel) -> None:
    spec = spec_of(
        x=entry({"joint": ["wrist", "slide"]}, "damping", "set", type="uniform", low=1, high=2, per="element")
    )
    spec.bind(rich_model).apply(rich_model, {"x": [1.25, 1.75]})
    start = rich_model.joint("wrist").dofadr[0]
    assert rich_model.dof_damping[start : start + 3].tolist() == [1.25] * 3
    assert rich_model.dof_damping[rich_model.joint("slide").dofadr[0]] == 1.75
