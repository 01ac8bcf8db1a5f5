from __future__ import annotations

import mujoco
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_env import Draw, DREnvError, Plan, Spec, VectorEnv, compile_model, make_task, task_names
from dr_env.binding.offers import offers
from tests.conftest import RICH_MODEL, entry, model_bytes, shipped_spec, spec_of

MASS = entry({"body": "base"}, "mass", "scale", type="uniform", low=0.5, high=1.5)
FRICTION = entry({"geom": "*"}, "friction[0]", "scale", type="log_uniform", low=0.5, high=2, per="element")


def _seeds(count: int, seed: int = 0) -> np.ndarray:
    return np.full(count, seed, np.uint64)


def test_draws_do_not_depend_on_other_environments_or_entries(rich_model: mujoco.MjModel) -> None:
    alone = spec_of(mass=MASS).bind(rich_model)
    among = spec_of(friction=FRICTION, mass=MASS).bind(rich_model)
    one, _ = alone.sample_columns(_seeds(1), [3], [4])
    many, _ = among.sample_columns(_seeds(8), np.arange(8), np.full(8, 4))
    assert many["mass"][3] == one["mass"][0]
    assert many["friction"].shape == (8, 5)
    assert len(set(many["mass"].tolist())) == 8


def test_candidate_specs_share_random_numbers(rich_model: mujoco.MjModel) -> None:
    narrow = spec_of(x=entry({"body": "base"}, "mass", "scale", type="uniform", low=0.9, high=1.1)).bind(rich_model)
    wide = spec_of(x=entry({"body": "base"}, "mass", "scale", type="uniform", low=0.5, high=1.5)).bind(rich_model)
    a, _ = narrow.sample_columns(_seeds(20), np.arange(20), np.zeros(20))
    b, _ = wide.sample_columns(_seeds(20), np.arange(20), np.zeros(20))
    np.testing.assert_allclose((a["x"] - 0.9) / 0.2, (b["x"] - 0.5) / 1.0, atol=1e-12)


def test_sampling_is_a_function_of_the_generator(rich_model: mujoco.MjModel) -> None:
    plan = spec_of(mass=MASS, friction=FRICTION).bind(rich_model)
    assert plan.sample(np.random.default_rng(1)) == plan.sample(np.random.default_rng(1))
    assert plan.sample(np.random.default_rng(1)) != plan.sample(np.random.default_rng(2))


def test_log_prob(rich_model: mujoco.MjModel) -> None:
    plan = spec_of(mass=MASS, friction=FRICTION).bind(rich_model)
    draw = plan.sample(np.random.default_rng(0))
    expected = -5 * np.log(np.log(4)) - np.log(draw["friction"]).sum()
    assert plan.log_prob(draw) == pytest.approx(expected)


def test_entries_on_one_field_compose_in_order(rich_model: mujoco.MjModel) -> None:
    spec = spec_of(
        factor=entry({"body": "base"}, "mass", "scale", type="constant", value=2.0),
        load=entry({"body": "base"}, "mass", "add", type="constant", value=0.5),
    )
    spec.bind(rich_model).apply(rich_model, {"factor": 2.0, "load": 0.5})
    assert rich_model.body("base").mass[0] == 4.5


def test_two_entries_that_set_one_number_contradict_each_other(rich_model: mujoco.MjModel) -> None:
    spec = spec_of(
        all=entry({"geom": "*"}, "friction", "set", type="constant", value=0.5),
        hand=entry({"geom": "hand"}, "friction[1]", "set", type="constant", value=0.1),
    )
    with pytest.raises(
        DREnvError, match=r"entries\.hand\.operation: sets friction of geom 'hand', which entry 'all' sets"
    ):
        spec.bind(rich_model)


def test_refused_draws_are_drawn_again_and_counted(rich_model: mujoco.MjModel) -> None:
    # principal moments in the ratio 1 : 1 : x are those of a body only up to x = 2
    spec = spec_of(
        long=entry({"body": "hand"}, "inertia[2]", "scale", type="uniform", low=1.0, high=3.0),
        mass=entry({"body": "base"}, "mass", "scale", type="uniform", low=0.5, high=1.5),
    )
    plan = spec.bind(rich_model)
    columns, refused = plan.sample_columns(_seeds(1000), np.arange(1000), np.zeros(1000))
    assert (columns["long"] <= 2.0 + 1e-6).all()
    assert 800 < refused < 1250  # as many refused as accepted
    untouched, _ = spec_of(mass=MASS).bind(rich_model).sample_columns(_seeds(1000), np.arange(1000), np.zeros(1000))
    assert (columns["mass"] == untouched["mass"]).all()
    for seed in range(20):
        assert plan.sample(np.random.default_rng(seed))["long"] <= 2.0 + 1e-6


def test_moments_varied_one_by_one_are_those_of_a_body(rich_model: mujoco.MjModel) -> None:
    spec = spec_of(x=entry({"body": "hand"}, "inertia", "scale", type="uniform", low=0.2, high=2, per="number"))
    plan = spec.bind(rich_model)
    columns, refused = plan.sample_columns(_seeds(500), np.arange(500), np.zeros(500))
    moments = plan.realise(columns)["body_inertia"].reshape(500, -1, 3)
    assert (2 * moments.max(-1) <= moments.sum(-1) * (1 + 1e-9)).all()
    assert refused > 100
    plan.columns_from([{"x": column} for column in columns["x"]])  # they can be replayed


def test_numbers_of_a_match_are_told_apart(rich_model: mujoco.MjModel) -> None:
    spec = spec_of(
        x=entry({"joint": ["wrist", "slide"]}, "damping", "scale", type="uniform", low=0.5, high=2, per="number"),
        y=entry({"body": "hand"}, "inertia", "scale", type="uniform", low=0.9, high=1.1, per="number"),
    )
    x, y = spec.bind(rich_model).entries
    assert x.labels == ("wrist[0]", "wrist[1]", "wrist[2]", "slide[0]")
    assert y.labels == ("hand[0]", "hand[1]", "hand[2]")


def test_hopeless_distributions_are_named(rich_model: mujoco.MjModel) -> None:
    spec = spec_of(long=entry({"body": "hand"}, "inertia[2]", "scale", type="uniform", low=5.0, high=6.0))
    with pytest.raises(DREnvError, match=r"entries\.long\.distribution: 100 Draws in a row"):
        spec.bind(rich_model).sample_columns(_seeds(1), [0], [0])


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (
            entry({"body": "bass"}, "mass", "scale", type="constant", value=1),
            "no body matches 'bass'; did you mean 'base'",
        ),
        (entry({"body": "*"}, "maas", "scale", type="constant", value=1), "no body field 'maas'; did you mean 'mass'?"),
        (entry({"geom": "*"}, "friction[3]", "scale", type="constant", value=1), "friction has 3 components"),
        (
            entry({"body": "base"}, "mass", "scale", type="uniform", low=-0.1, high=1),
            "can reach -0.2 kg (nominal 2, scale",
        ),
        (entry({"body": "base"}, "mass", "scale", type="uniform", low=0, high=1), "can reach 0 kg"),
        (entry({"body": "base"}, "mass", "set", type="constant", value=-1), "can reach -1 kg"),
        (entry({"body": "base"}, "mass", "scale", type="normal", mean=1, std=0.1), "use truncated_normal with low and"),
        (entry({"joint": "shoulder"}, "damping", "add", type="normal", mean=0, std=1), "normal is unbounded"),
        (entry({"geom": "floor"}, "friction", "add", type="uniform", low=-2, high=0), "expected not below 0"),
        (entry("option", "density", "add", type="uniform", low=-2, high=0), "density can reach -0.8 kg/m^3"),
        (entry({"body": "world"}, "mass", "scale", type="constant", value=2), "mass is 0 in every match (world)"),
        (entry({"body": "world"}, "mass", "set", type="constant", value=2), "body 'world' has no mass, so nothing can"),
        (
            entry({"joint": "root"}, "frictionloss", "scale", type="constant", value=2),
            "scale changes nothing; use add or",
        ),
        (
            entry({"actuator": "push"}, "delay", "set", type="constant", value=0.02),
            "needs a buffer of 5 samples, the model",
        ),
        (entry({"actuator": "push"}, "delay", "set", type="normal", mean=0.02, std=1e-3), "normal is unbounded"),
        (entry({"observation": "qpos"}, "noise", "set", type="constant", value=1), "no observation matches 'qpos'"),
    ],
)
def test_what_a_model_refuses(rich_model: mujoco.MjModel, made: dict[str, object], message: str) -> None:
    with pytest.raises(DREnvError) as error:
        spec_of(x=made).bind(rich_model)
    assert message in str(error.value)
    assert "entries.x" in str(error.value)


def test_binding_errors_name_file_and_line(rich_model: mujoco.MjModel) -> None:
    text = "format: dr_env/1\nentries:\n  a:\n    select: {body: tors}\n    field: mass\n    operation: scale\n"
    text += "    distribution: {type: constant, value: 1}\n"
    with pytest.raises(DREnvError, match=r"^r\.yaml:4 entries\.a\.select: no body matches 'tors'"):
        Spec.from_yaml(text, "r.yaml").bind(rich_model)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        ({"mas": 1.0, "friction": [1] * 5}, "draw.mas: no entry 'mas'; did you mean 'mass'?"),
        ({"mass": 1.0}, "draw: no value for friction"),
        ({"mass": -1.0, "friction": [1] * 5}, "draw.mass: gives mass of body 'base' = -2 kg, expected above 0"),
        ({"mass": float("nan"), "friction": [1] * 5}, "draw.mass: got nan, expected a finite number"),
        (
            {"mass": 1.0, "friction": [1, 2]},
            "draw.friction: got [1, 2], expected 5 finite numbers, one for each of floor",
        ),
        ({"mass": [1.0], "friction": [1] * 5}, "draw.mass: got [1.0], expected a finite number"),
    ],
)
def test_bad_draws_leave_the_model_as_it_was(rich_model: mujoco.MjModel, draw: dict[str, object], message: str) -> None:
    plan, before = spec_of(mass=MASS, friction=FRICTION).bind(rich_model), model_bytes(rich_model)
    with pytest.raises(DREnvError) as error:
        plan.apply(rich_model, draw)  # type: ignore[arg-type]
    assert message in str(error.value)
    assert model_bytes(rich_model) == before


def test_a_draw_is_refused_on_another_model(rich_model: mujoco.MjModel) -> None:
    plan = spec_of(mass=MASS).bind(rich_model)
    draw = plan.sample(np.random.default_rng(0))
    heavier = mujoco.MjModel.from_xml_string(RICH_MODEL.replace('mass="2"', 'mass="3"'))
    with pytest.raises(DREnvError, match="made for another model or Spec"):
        spec_of(mass=MASS).bind(heavier).apply(heavier, draw)
    hopper = make_task("hopper").mjspec().compile()
    with pytest.raises(DREnvError, match="'hopper' with other objects than the model this Plan is bound to, 'rich'"):
        plan.apply(hopper, draw)
    assert Draw.from_json(draw.to_json()).binding == plan.binding


def test_delay_buffers_are_compiled_in(rich_spec: mujoco.MjSpec) -> None:
    spec = spec_of(x=entry({"actuator": "push"}, "delay", "set", type="uniform", low=0.0, high=0.02))
    model = compile_model(rich_spec, spec)
    assert model.actuator_history[:, 0].tolist() == [5, 0]
    assert rich_spec.compile().actuator_history[:, 0].tolist() == [0, 0]
    plan = spec.bind(model)
    plan.apply(model, {"x": 0.02})
    data, accelerations = mujoco.MjData(model), []
    data.ctrl[0] = 1.0
    slide = model.joint("slide").dofadr[0]
    for _ in range(8):
        mujoco.mj_step(model, data)
        accelerations.append(float(data.qfrc_actuator[slide]))
    assert accelerations == [0.0] * 5 + [5.0] * 3  # 0.02 s are five steps of 4 ms


KINDS = st.sampled_from(["scale", "add"])


@st.composite
def random_specs(draw: st.DrawFn) -> dict[str, object]:
    """Entries that any of the shipped models accepts."""
    choices = [
        ({"body": "*"}, "mass", "scale", 0.5, 2.0),
        ({"body": "*"}, "inertia", "scale", 0.5, 2.0),
        ({"geom": "*"}, "friction", "scale", 0.3, 3.0),
        ({"joint": "*"}, "damping", "add", 0.0, 2.0),
        ({"joint": "*"}, "armature", "add", 0.0, 0.5),
        ({"joint": "*"}, "frictionloss", "set", 0.0, 0.5),
        ({"actuator": "*"}, "gain", "scale", 0.5, 1.5),
        ("option", "gravity[2]", "add", -1.0, 1.0),
        ("option", "density", "set", 0.0, 2.0),
    ]
    entries = {}
    for i, choice in enumerate(draw(st.lists(st.sampled_from(choices), min_size=1, max_size=6, unique_by=str))):
        select, field, operation, low, high = choice
        ends = sorted([draw(st.floats(low, high)), draw(st.floats(low, high))])
        per = "shared" if select == "option" else draw(st.sampled_from(["shared", "element"]))
        entries[f"e{i}"] = entry(select, field, operation, type="uniform", low=ends[0], high=ends[1], per=per)
    return entries


MODELS = {  # those whose bodies all have a mass to scale, and with motors
    name: model
    for name in task_names()
    if name != "half_cheetah" and (model := make_task(name).mjspec().compile()).nu and model.body_mass[1:].all()
}


@given(random_specs(), st.sampled_from(sorted(MODELS)), st.integers(0, 2**32))
def test_laws_of_random_specs(entries: dict[str, dict[str, object]], name: str, seed: int) -> None:
    model = MODELS[name]
    spec, before = spec_of(**entries), model_bytes(model)
    plan: Plan = spec.bind(model)
    draw = plan.sample(np.random.default_rng(seed))
    assert np.isfinite(plan.log_prob(draw)) or any(e.distribution.entropy() == -np.inf for e in spec.entries.values())
    plan.apply(model, draw)
    once = model_bytes(model)
    plan.apply(model, Draw.from_json(draw.to_json()))  # again, from nominal: nothing accumulates
    assert model_bytes(model) == once
    plan.restore(model)
    assert model_bytes(model) == before


def test_shipped_specs_bind() -> None:
    for name in task_names():
        task, spec = make_task(name), shipped_spec(name)
        names = task.observation_names(compile_model(task.mjspec(), Spec()))
        assert spec.bind(compile_model(task.mjspec(), spec, names), names).entries


@pytest.mark.parametrize(("kind", "distribution"), [
    ("actuator", "{type: constant, value: 1.0e+9}"),
    ("observation", "{type: uniform, low: 0, high: 1.0e+9}"),
])  # fmt: skip
def test_endless_delays_are_refused(kind: str, distribution: str) -> None:
    spec = Spec.from_yaml(
        f"format: dr_env/1\nentries:\n  late: {{select: {{{kind}: '*'}}, field: delay, operation: set, distribution: {distribution}}}\n"
    )
    with pytest.raises(DREnvError, match=r"delay .*can reach 1e\+09 s.*not above 60"):
        VectorEnv(make_task("inverted_pendulum"), 1, spec)


ACTUATED = """
<mujoco><worldbody><body><joint name="j" type="slide"/><geom size=".1" mass="1"/><site name="s"/></body><site name="o" pos="1 0 0"/></worldbody>
<tendon><spatial name="t" limited="true" range="0 2"><site site="o"/><site site="s"/></spatial></tendon>
<actuator><velocity name="v" joint="j" kv="10"/><position name="p" joint="j" kp="5" kv="2"/><muscle name="mus" tendon="t" lengthrange="0.1 2"/></actuator>
</mujoco>
"""


def test_damping_of_servos_keeps_what_they_follow() -> None:
    """A velocity servo's gain moves with its kv, so that it still comes to the speed commanded; others' do not."""
    model = mujoco.MjModel.from_xml_string(ACTUATED)
    spec = spec_of(kv=entry({"actuator": ["v", "p"]}, "kv", "scale", type="constant", value=0.5))
    spec.bind(model).apply(model, {"kv": 0.5})
    assert model.actuator_gainprm[:2, 0].tolist() == [5, 5]
    assert model.actuator_biasprm[:2, :3].tolist() == [[0, 0, -5], [0, -5, -1]]


@pytest.mark.parametrize("field", ["gain", "kv", "bias"])
def test_a_muscle_has_no_gain_of_one_number(field: str) -> None:
    model = mujoco.MjModel.from_xml_string(ACTUATED)
    with pytest.raises(DREnvError, match=r"entries\.x\.select: actuator 'mus' has no"):
        spec_of(x=entry({"actuator": "mus"}, field, "scale", type="constant", value=2.0)).bind(model)
    offered = {offer.field.name: offer.names for offer in offers(model) if offer.field.kind == "actuator"}
    assert "mus" not in offered[field]


def test_what_is_set_cannot_have_been_scaled_before() -> None:
    model = mujoco.MjModel.from_xml_string(ACTUATED)
    scale = entry({"actuator": "v"}, "gear", "scale", type="uniform", low=0.5, high=2)
    fixed = entry({"actuator": "v"}, "gear", "set", type="uniform", low=1, high=2)
    with pytest.raises(
        DREnvError, match=r"entries\.b\.operation: sets .* 'a' scales already, to no effect; put 'b' before"
    ):
        spec_of(a=scale, b=fixed).bind(model)
    spec_of(b=fixed, a=scale).bind(model)
