"""Every row of the field table: written, read back, felt by the physics, restored, without drift."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from dr_env import Spec, compile_model
from dr_env.binding import FIELDS, Field, whole_steps
from dr_env.binding.derived import DERIVED
from dr_env.binding.held import HELD, held_nominal
from dr_env.binding.rows import ModelRows
from tests.conftest import entry, model_bytes, spec_of

# what an environment holds is measured in tests/sensors, what must be compiled in test_compile
# and what physics does not feel in test_looks
PHYSICAL = [
    f for f in FIELDS if f.compile != "must" and not f.visual and (f.array in DERIVED or not f.array.startswith(HELD))
]
OVERRIDES = ("o_margin", "o_solref", "o_solimp", "o_friction")
# (names, operation, value, low, high) where scaling everything by 1.25 would not do
CHANGES: dict[str, tuple[str, str, float, float, float]] = {
    "body.com": ("base", "add", 0.02, -0.01, 0.01),
    "body.pos": ("arm", "add", 0.05, -0.02, 0.02),
    "body.gravcomp": ("base", "set", 0.5, 0.0, 1.0),
    "body.rotation": ("arm", "add", 0.2, -0.1, 0.1),
    "body.pseudo_inertia": ("base", "add", 0.1, -0.05, 0.05),
    "geom.rotation": ("base", "add", 0.1, -0.1, 0.1),
    "site.rotation": ("hook", "add", 0.5, -0.1, 0.1),
    "geom.size": ("base", "scale", 1.2, 0.9, 1.1),
    "geom.pos": ("base", "add", 0.01, -0.01, 0.01),
    "geom.solref": ("*", "scale", 1.5, 0.9, 1.1),
    "geom.solimp": ("*", "scale", 1.0, 1.0, 1.0),
    "geom.margin": ("base", "set", 0.05, 0.0, 0.05),
    "geom.gap": ("floor", "set", 0.05, 0.0, 0.05),
    "pair.gap": ("*", "set", 0.05, 0.0, 0.05),
    "geom.condim": ("*", "set", 1, 1, 1),
    "geom.priority": ("base", "set", 1, 1, 1),
    "site.pos": ("hook", "add", 0.05, -0.05, 0.05),
    "joint.range": ("shoulder", "scale", 0.3, 0.5, 1.0),
    "joint.ref": ("wrist", "scale", 3.0, 0.5, 1.5),
    "joint.springref": ("shoulder", "add", 0.5, -0.5, 0.5),
    "pair.condim": ("*", "set", 1, 1, 1),
    "pair.solimp": ("*", "scale", 1.0, 1.0, 1.0),
    "equality.solimp": ("*", "scale", 1.0, 1.0, 1.0),
    "equality.polycoef": ("*", "add", 0.1, -0.1, 0.1),
    "tendon.range": ("cord", "scale", 0.9, 0.9, 1.0),
    "actuator.bias": ("servo", "add", 0.5, -0.1, 0.1),
    "actuator.gear": ("thruster", "scale", 1.25, 0.9, 1.1),
    "actuator.force": ("biceps", "scale", 1.5, 0.9, 1.1),
    "actuator.kp": ("servo", "scale", 1.5, 0.9, 1.1),
    "actuator.kv": ("servo", "scale", 1.5, 0.9, 1.1),
    "actuator.ctrlrange": ("*", "scale", 0.3, 0.5, 1.0),
    "actuator.forcerange": ("servo", "scale", 0.2, 0.5, 1.0),
    "actuator.armature": ("*", "set", 0.5, 0.0, 0.5),
    "actuator.damping": ("*", "set", 0.5, 0.0, 0.5),
    "actuator.delay": ("*", "set", 0.02, 0.0, 0.02),
    "sensor.delay": ("*", "set", 0.02, 0.0, 0.02),
    "option.wind": ("", "add", 3.0, -1.0, 1.0),
    "option.magnetic": ("", "add", 0.5, -0.1, 0.1),
    "option.o_margin": ("", "set", 0.01, 0.0, 0.01),
    "option.o_solimp": ("", "scale", 1.0, 1.0, 1.0),
}
# solimp's components have limits of their own, so one of them is moved: how deep the impedance saturates
COMPONENT = {"geom.solimp": 2, "pair.solimp": 2, "equality.solimp": 2, "option.o_solimp": 2}


def _ids(field: Field) -> str:
    return f"{field.kind}.{field.name}"


def _spec(field: Field, varied: bool = False, component: int | None = None) -> tuple[Spec, str, float]:
    """An entry that changes the field noticeably or, if `varied`, within a range; and how."""
    names, operation, value, low, high = CHANGES.get(_ids(field), ("*", "scale", 1.25, 0.9, 1.1))
    if component is None:
        component = COMPONENT.get(_ids(field))
    if _ids(field) in COMPONENT and component == COMPONENT[_ids(field)]:
        value, low, high = 20.0, 0.5, 2.0
    name = field.name if component is None else f"{field.name}[{component}]"
    select = "option" if field.kind == "option" else {field.kind: names}
    constant = {"type": "constant", "value": value}
    uniform = {"type": "uniform", "low": low, "high": high}
    form = constant if not varied or field.whole else uniform
    return spec_of(x=entry(select, name, operation, **form)), operation, value


def _model(full_spec: mujoco.MjSpec, field: Field, spec: Spec) -> mujoco.MjModel:
    if field.name in OVERRIDES:
        full_spec.option.enableflags |= int(mujoco.mjtEnableBit.mjENBL_OVERRIDE)
    if field.name == "magnetic":  # felt by a magnetometer alone
        full_spec.add_sensor(
            type=mujoco.mjtSensor.mjSENS_MAGNETOMETER, objtype=mujoco.mjtObj.mjOBJ_SITE, objname="hook"
        )
    if field.name == "impratio":
        full_spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    if field.name == "ref":  # felt by a spring whose rest position stays
        full_spec.joint("wrist").springref = 0.0
    if field.name == "gear" and full_spec.actuator("thruster") is None:  # one that has all six components
        full_spec.add_actuator(name="thruster", target="hook", trntype=mujoco.mjtTrn.mjTRN_SITE)
    if field.name == "force" and full_spec.actuator("biceps") is None:
        muscle = full_spec.add_actuator(
            name="biceps", target="wrist", trntype=mujoco.mjtTrn.mjTRN_JOINT, lengthrange=[-1.0, 1.0]
        )
        muscle.set_to_muscle(timeconst=[0.01, 0.04], tausmooth=0.0, range=[0.75, 1.05], force=20.0)
    return compile_model(full_spec, spec)


def _array(model: mujoco.MjModel, field: Field) -> np.ndarray:
    if field.array in DERIVED:  # a function into several arrays of the model, nominally 0
        return held_nominal(model, field.array, 0).reshape(-1, DERIVED[field.array].size)
    holder, name = (model.opt, field.array[4:]) if field.array.startswith("opt.") else (model, field.array)
    return np.array(getattr(holder, name), np.float64)


def _trajectory(model: mujoco.MjModel) -> np.ndarray:
    data = mujoco.MjData(model)
    data.qpos[2] = 0.06  # the base touches the floor within the run
    data.qvel[:] = np.linspace(-1, 1, model.nv)
    states = []
    for step in range(150):
        data.ctrl[:] = np.sin(0.1 * step + np.arange(model.nu))
        mujoco.mj_step(model, data)
        states.append(np.concatenate((data.qpos, data.sensordata, [data.ncon])))
    return np.array(states)


@pytest.mark.parametrize("field", PHYSICAL, ids=_ids)
def test_written_read_back_felt_and_restored(full_spec: mujoco.MjSpec, field: Field) -> None:
    spec, operation, value = _spec(field)
    model = _model(full_spec, field, spec)
    plan = spec.bind(model)
    nominal_bytes, nominal, before = model_bytes(model), _array(model, field), _trajectory(model)

    plan.apply(model, plan.sample(np.random.default_rng(0)))
    if field.array in DERIVED:
        values = plan.realise({"x": np.array([value])})
        for name in DERIVED[field.array].writes:
            assert (getattr(model, name).reshape(-1) == values[name][0]).all()
            assert (values[name][0] != plan.nominal[name]).any()
        written = values[field.array][0][plan.entries[0].flat]
    else:
        written = _array(model, field).reshape(-1)[plan.entries[0].flat]
    base = nominal.reshape(-1)[plan.entries[0].flat]
    expected = {"scale": base * value, "add": base + value, "set": np.full_like(base, value)}[operation]
    if field.name == "delay":  # a hair shorter, lest it become a step longer
        expected = whole_steps(expected, model.opt.timestep)
        assert np.abs(expected - value).max() < 1e-5 * model.opt.timestep
    assert (written == expected).all()
    untouched = np.delete(_array(model, field).reshape(-1), plan.entries[0].flat)
    assert (untouched == np.delete(nominal.reshape(-1), plan.entries[0].flat)).all()
    assert np.abs(_trajectory(model) - before).max() > 1e-9, "the physics did not notice"

    plan.restore(model)
    assert model_bytes(model) == nominal_bytes
    assert (_trajectory(model) == before).all()


@pytest.mark.parametrize("field", PHYSICAL, ids=_ids)
def test_the_identity_is_bit_identical(full_spec: mujoco.MjSpec, field: Field) -> None:
    changing, _, _ = _spec(field)
    bound = changing.bind(_model(full_spec, field, changing)).entries[0]
    select = changing.entries["x"].select.to_form()
    nominal = full_spec.compile()
    base = _array(nominal, field).reshape(-1)[bound.flat]
    operation, value = ("scale", 1.0) if base.any() else ("add", 0.0)
    if field.allowed:
        operation, value = "set", base[0]
        assert (base == value).all() or field.kind == "geom"
        select = {field.kind: "floor"} if field.kind == "geom" else select
    spec = spec_of(x=entry(select, changing.entries["x"].field, operation, type="constant", value=float(value)))
    model = _model(full_spec, field, spec)
    before = model_bytes(model)
    plan = spec.bind(model)
    plan.apply(model, plan.sample(np.random.default_rng(0)))
    assert model_bytes(model) == before


@pytest.mark.parametrize("field", PHYSICAL, ids=_ids)
def test_no_drift_over_ten_thousand_applications(full_spec: mujoco.MjSpec, field: Field) -> None:
    spec, _, _ = _spec(field, varied=True)
    model = _model(full_spec, field, spec)
    plan, rng = spec.bind(model), np.random.default_rng(0)
    first = plan.sample(rng)
    plan.apply(model, first)
    after_one = model_bytes(model)
    columns, _ = plan.sample_columns(np.zeros(10_000, np.uint64), np.zeros(10_000), np.arange(10_000))
    rows = ModelRows(model, mujoco.MjData(model))
    for i in range(10_000):
        plan.write(rows, np.zeros(1, np.intp), {"x": columns["x"][i : i + 1]})
    plan.apply(model, first)
    assert model_bytes(model) == after_one


@pytest.mark.parametrize("field", [f for f in PHYSICAL if f.components > 1], ids=_ids)
def test_an_index_names_one_component(full_spec: mujoco.MjSpec, field: Field) -> None:
    last = field.components - 1
    names = CHANGES.get(_ids(field), ("*",))[0]
    select = "option" if field.kind == "option" else {field.kind: names}
    spec = spec_of(x=entry(select, f"{field.name}[{last}]", "add", type="constant", value=0.0))
    model = _model(full_spec, field, spec_of(y=entry({"body": "base"}, "com", "add", type="constant", value=0.0)))
    bound = spec.bind(model).entries[0]
    width = _array(model, field).shape[-1]
    assert set((bound.flat % width).tolist()) == {field.columns[last]}
    assert set(bound.component.tolist()) == {last}


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


CURVED = """
<mujoco><worldbody><body><joint name="slide" type="slide" axis="1 0 0" damping="{0}" stiffness="{1}"/>
  <geom size=".1" mass="1"/></body></worldbody>
<tendon><fixed name="belt" damping="{2}" stiffness="{3}" springlength="0"><joint joint="slide" coef="2"/></fixed></tendon>
<actuator><motor name="motor" joint="slide" damping="{4}"/></actuator></mujoco>
"""
TERMS = ("1 .5 .25", "2 3 .5", "0 .5 .1", "1 2 .3", "1 .5 .2")


def _resistance(model: mujoco.MjModel) -> list[float]:
    """Passive forces at several positions and speeds."""
    data, forces = mujoco.MjData(model), []
    for data.qpos[0], data.qvel[0] in ((0.0, 1.0), (0.5, 2.0), (-1.0, -0.5)):
        mujoco.mj_forward(model, data)
        forces.append(data.qfrc_passive[0])
    return forces


@pytest.mark.parametrize(("i", "kind", "field"), [
    (0, "joint", "damping"), (1, "joint", "stiffness"), (2, "tendon", "damping"), (3, "tendon", "stiffness"),
    (4, "actuator", "damping"),
])  # fmt: skip
def test_a_scaled_polynomial_is_that_of_the_compiled_model(i: int, kind: str, field: str) -> None:
    model = mujoco.MjModel.from_xml_string(CURVED.format(*TERMS))
    spec = spec_of(x=entry({kind: "*"}, field, "scale", type="uniform", low=0.5, high=3))
    spec.bind(model).apply(model, {"x": 2.5})
    terms = list(TERMS)
    terms[i] = " ".join(str(2.5 * float(term)) for term in terms[i].split())
    assert _resistance(model) == _resistance(mujoco.MjModel.from_xml_string(CURVED.format(*terms)))


def test_what_is_linear_moves_nothing(rich_model: mujoco.MjModel) -> None:
    spec = spec_of(x=entry({"joint": "*"}, "damping", "scale", type="uniform", low=0.5, high=2))
    assert set(spec.bind(rich_model).nominal) == {"dof_damping"}
