"""Structure between entries: what one draw may depend on, and that it is still one flat Draw."""

from __future__ import annotations

import itertools

import jsonschema
import mujoco
import numpy as np
import pytest

from dr_env import Draw, DREnvError, Spec
from dr_env.spec import json_schema
from tests.conftest import model_bytes

STRUCTURED = """
format: dr_env/1
variables:
  weather:
    distribution: {type: categorical, cases: {dry: 3, rain: 1}}
  payload:
    distribution: {type: uniform, low: 0, high: 2}
  posterior:
    distribution:
      type: joint_normal
      names: [damping, stiffness]
      mean: [1.0, 1.0]
      covariance: [[0.04, 0.03], [0.03, 0.04]]
      low: [0.2, 0.2]
      high: [3, 3]
entries:
  friction:
    select: {geom: "*"}
    field: friction[0]
    operation: scale
    distribution:
      type: switch
      variable: weather
      cases:
        dry: {type: uniform, low: 0.8, high: 1.2}
        rain: {type: uniform, low: 0.3, high: 0.5}
  blur:
    select: option
    field: viscosity
    operation: set
    distribution: {type: switch, variable: weather, cases: {dry: {type: constant, value: 0}, rain: {type: uniform, low: 0.1, high: 0.2}}}
  mass:
    select: {body: base}
    field: mass
    operation: scale
    distribution: {type: expression, formula: 1 + payload / 4}
  damping:
    select: {joint: hinge}
    field: damping
    operation: scale
    distribution: {type: expression, formula: posterior.damping}
  stiffness:
    select: {joint: hinge}
    field: stiffness
    operation: scale
    distribution: {type: expression, formula: posterior.stiffness * (1 + payload)}
"""
JOINT = "<joint name='hinge' type='hinge' axis='0 1 0' damping='2' stiffness='3'/>"
MODEL = f"""
<mujoco><worldbody>
  <geom name="floor" type="plane" size="1 1 .1" friction="1 .01 .001"/>
  <body name="base" pos="0 0 1">{JOINT}<geom name="base" size=".1" mass="2" friction=".5 .01 .001"/></body>
  <body name="left"><joint name="l" type="slide"/><geom size=".1" mass="1" friction="1 0 0"/></body>
  <body name="right"><joint name="r" type="slide"/><geom size=".1" mass="3" friction="1 0 0"/></body>
</worldbody></mujoco>
"""


@pytest.fixture
def model() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(MODEL)


def _columns(spec: Spec, model: mujoco.MjModel, count: int = 2000):  # type: ignore[no-untyped-def]
    plan = spec.bind(model)
    return plan, plan.sample_columns(np.full(count, 7, np.uint64), np.arange(count), np.zeros(count))


def test_one_flat_draw_with_all_that_it_depends_on(model: mujoco.MjModel) -> None:
    spec = Spec.from_yaml(STRUCTURED)
    plan, (columns, refused) = _columns(spec, model)
    assert list(columns) == ["weather", "payload", "posterior", "friction", "blur", "mass", "damping", "stiffness"]
    rain = columns["weather"] == 1
    assert rain.mean() == pytest.approx(0.25, abs=0.03)
    assert columns["friction"][rain].max() <= 0.5 < 0.8 <= columns["friction"][~rain].min()
    assert (columns["blur"][~rain] == 0).all()
    assert np.array_equal(columns["mass"], 1 + columns["payload"] / 4)
    assert np.array_equal(columns["damping"], columns["posterior"][:, 0])
    assert np.corrcoef(columns["posterior"].T)[0, 1] == pytest.approx(0.75, abs=0.05)
    assert columns["posterior"].min() >= 0.2
    assert refused == 0 or refused < 20
    draw = plan.sample(np.random.default_rng(3))
    assert Draw.from_json(draw.to_json()) == draw
    plan.apply(model, draw)
    assert model.body("base").mass[0] == 2 * (1 + draw["payload"] / 4)
    assert model.joint("hinge").stiffness[0] == pytest.approx(3 * draw["posterior"][1] * (1 + draw["payload"]))
    before = model_bytes(mujoco.MjModel.from_xml_string(MODEL))
    plan.restore(model)
    assert model_bytes(model) == before


def test_log_prob_is_the_sum_of_what_was_chosen(model: mujoco.MjModel) -> None:
    spec = Spec.from_yaml(STRUCTURED)
    plan = spec.bind(model)
    draw = plan.sample(np.random.default_rng(3))
    joint = spec.variables["posterior"].distribution
    rain = draw["weather"] == 1
    expected = np.log(0.25 if rain else 0.75) + np.log(0.5) + float(joint.log_prob(draw["posterior"]))
    expected += np.log(1 / (0.2 if rain else 0.4)) + (np.log(1 / 0.1) if rain else 0)
    assert plan.log_prob(draw) == pytest.approx(expected)
    assert plan.log_prob({**draw, "mass": 1.9}) == -np.inf  # does not follow from the payload
    assert plan.log_prob({**draw, "weather": 1 - draw["weather"]}) == -np.inf


def test_what_follows_from_others_may_be_left_out_of_a_draw(model: mujoco.MjModel) -> None:
    plan = Spec.from_yaml(STRUCTURED).bind(model)
    draw = plan.sample(np.random.default_rng(0))
    short = {name: value for name, value in draw.items() if name not in ("mass", "damping", "stiffness")}
    columns = plan.columns_from([short])
    assert all(np.array_equal(np.ravel(columns[name][0]), np.ravel(draw[name])) for name in draw)
    with pytest.raises(DREnvError, match="no value for friction"):
        plan.columns_from([{name: value for name, value in short.items() if name != "friction"}])
    with pytest.raises(DREnvError, match=r"draw\.weather: got 2.0, expected a case: 0 \(dry\), 1 \(rain\)"):
        plan.columns_from([{**short, "weather": 2.0}])


def test_yaml_round_trip_schema_and_parameters() -> None:
    spec = Spec.from_yaml(STRUCTURED)
    assert Spec.from_yaml(spec.to_yaml()) == spec
    jsonschema.validate(spec.to_dict(), json_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(
            {**spec.to_dict(), "variables": {"a": {"distribution": {"type": "categorical"}}}}, json_schema()
        )
    names = spec.parameters().names
    assert "friction.rain.low" in names
    assert "payload.high" in names
    moved = spec.with_parameters(spec.parameters().replace({"friction.rain.low": 0.25}))
    assert moved.entries["friction"].distribution.support()[0] == 0.25
    assert moved.with_parameters(spec.parameters()) == spec


def test_an_entry_more_changes_no_other_draw(model: mujoco.MjModel) -> None:
    spec = Spec.from_yaml(STRUCTURED)
    more = Spec.from_yaml(
        STRUCTURED
        + "  wind: {select: option, field: density, operation: set, distribution: {type: uniform, low: 0, high: 1}}\n"
    )
    _, (one, _) = _columns(spec, model, 50)
    _, (two, _) = _columns(more, model, 50)
    assert all(np.array_equal(one[name], two[name]) for name in one)


GROUP = """
format: dr_env/1
entries:
  left: {{select: {{body: left}}, field: mass, operation: scale, distribution: {{type: uniform, low: 0.5, high: 2}}, share: wheels}}
  right: {{select: {{body: right}}, field: mass, operation: scale, distribution: {other}, share: wheels{extra}}}
"""


def test_a_group_shares_its_draw(model: mujoco.MjModel) -> None:
    spec = Spec.from_yaml(GROUP.format(other="{type: uniform, low: 0.5, high: 2}", extra=""))
    plan, (columns, _) = _columns(spec, model)
    assert np.array_equal(columns["left"], columns["right"])
    assert columns["left"].std() > 0.3
    assert plan.log_prob({"left": 1.0, "right": 1.0}) == pytest.approx(np.log(1 / 1.5))
    assert plan.log_prob({"left": 1.0, "right": 1.1}) == -np.inf
    assert spec.parameters().names == ("left.low", "left.high")
    moved = spec.with_parameters(spec.parameters().replace({"left.low": 0.9}))
    assert moved.entries["right"].distribution == moved.entries["left"].distribution


def test_refusals_redraw_all_that_belongs_together(model: mujoco.MjModel) -> None:
    spec = Spec.from_yaml("""
format: dr_env/1
variables:
  u: {distribution: {type: uniform, low: -1, high: 1}}
entries:
  a: {select: {body: left}, field: mass, operation: scale, distribution: {type: expression, formula: u}}
  b: {select: {body: right}, field: mass, operation: scale, distribution: {type: expression, formula: 1 + u, low: 1.2}}
  c: {select: {joint: hinge}, field: damping, operation: scale, distribution: {type: uniform, low: 1, high: 2}}
""")
    _, (columns, refused) = _columns(spec, model)
    assert columns["u"].min() >= 0.2  # b refuses the rest, and so does the mass
    assert np.array_equal(columns["b"], 1 + columns["u"])
    assert np.array_equal(columns["a"], columns["u"])
    assert refused > 1000
    alone = Spec.from_yaml(
        "format: dr_env/1\nentries:\n  c: {select: {joint: hinge}, field: damping, operation: scale, distribution: {type: uniform, low: 1, high: 2}}\n"
    )
    assert np.array_equal(_columns(alone, model)[1][0]["c"], columns["c"])  # not drawn again


def test_elements_depend_on_elements(model: mujoco.MjModel) -> None:
    text = """
format: dr_env/1
entries:
  mass: {{select: {{body: [left, right]}}, field: mass, operation: scale, distribution: {{type: uniform, low: 1, high: 2}}, per: element}}
  damping: {{select: {{joint: {joints}}}, field: damping, operation: add, distribution: {{type: expression, formula: 2 * mass}}, per: {per}}}
"""
    _, (columns, _) = _columns(Spec.from_yaml(text.format(joints="[l, r]", per="element")), model, 10)
    assert np.array_equal(columns["damping"], 2 * columns["mass"])
    for joints, per in (("[l, r]", "shared"), ("'*'", "element")):
        with pytest.raises(DREnvError, match=r"entries\.damping\.distribution: gives 2 numbers, expected"):
            _columns(Spec.from_yaml(text.format(joints=joints, per=per)), model, 10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("formula: 1 + payload / 4", "formula: 1 + paylod / 4"), "entries.mass.distribution: no variable or entry 'paylod'; did you mean 'payload'?"),
        (("formula: 1 + payload / 4", "formula: 1 + stiffness + friction * mass"), "entries.mass.distribution: depends on itself: mass -> mass"),
        (("formula: posterior.damping}", "formula: stiffness}"), None),
        (("formula: posterior.damping", "formula: posterior.dampin"), "no variable or entry 'posterior.dampin'; did you mean 'posterior.damping'?"),
        (("        rain: {type: uniform, low: 0.3, high: 0.5}\n", ""), "entries.friction.distribution: cases: no case 'rain', which 'weather' has"),
        (("rain: {type: uniform, low: 0.3", "snow: {type: uniform, low: 0.3"), "cases: no case 'rain'"),
        (("variable: weather, cases", "variable: payload, cases"), "entries.blur.distribution: variable: no categorical variable 'payload'"),
        (("low: 0.3, high: 0.5}", "low: -0.3, high: 0.5}"), "entries.friction.distribution: friction of geom 'floor' can reach -0.3"),
        (("  payload:", "  mass:"), "entries.mass: a variable has this name too"),
        (("{type: expression, formula: posterior.damping}", "{type: empirical, names: [a], samples: [[1]]}"), "make it a variable, and the entry an expression"),
        (("    distribution: {type: uniform, low: 0, high: 2}", "    distribution: {type: uniform, low: 0, high: 2}\n    trigger: sometimes"), "variables.payload.trigger: got 'sometimes'"),
        (("    distribution: {type: uniform, low: 0, high: 2}", "    distribution: {type: uniform, low: 0, high: 2}\n    every: 2"), "variables.payload.every: got 2.0, but trigger is episode"),
        (("    distribution: {type: uniform, low: 0, high: 2}", "    distribution: {type: uniform, low: 0, high: 2}\n    trigger: interval"), "variables.payload.every: missing"),
        (("    distribution: {type: uniform, low: 0, high: 2}", "    distribution: {type: uniform, low: 0, high: 2}\n    trigger: interval\n    every: [2, 1]"), "variables.payload.every: got (2.0, 1.0)"),
        (("        rain: {type: uniform, low: 0.3", "        rain: {type: uniform, lo: 0.3"), ":2"),
    ],
)  # fmt: skip
def test_bad_structure_is_one_clear_error(model: mujoco.MjModel, change: tuple[str, str], message: str | None) -> None:
    assert change[0] in STRUCTURED
    text = STRUCTURED.replace(*change)
    if message is None:  # reading another entry, in any order, is fine
        plan = Spec.from_yaml(text).bind(model)
        draw = plan.sample(np.random.default_rng(0))
        assert draw["damping"] == draw["stiffness"]
        return
    with pytest.raises(DREnvError) as error:
        Spec.from_yaml(text, "spec.yaml").bind(model)
    assert message in str(error.value)
    assert str(error.value).startswith("spec.yaml:")


def test_long_cycles_are_named(model: mujoco.MjModel) -> None:
    names = ["left", "right", "base"]
    entries = {
        name: {
            "select": {"body": name}, "field": "mass", "operation": "scale",
            "distribution": {"type": "expression", "formula": f"1 + {follower}"},
        }
        for name, follower in itertools.zip_longest(names, [*names[1:], names[0]])
    }  # fmt: skip
    with pytest.raises(DREnvError, match="depends on itself: left -> right -> base -> left"):
        Spec.from_dict({"format": "dr_env/1", "entries": entries}).bind(model)


@pytest.mark.parametrize(
    ("other", "extra", "message"),
    [
        (
            "{type: uniform, low: 0.5, high: 3}",
            "",
            "entries.right.distribution: entries that share 'wheels' take the same draw",
        ),
        ("{type: uniform, low: 0.5, high: 2}", ", per: element", "entries.right.per"),
    ],
)
def test_a_group_with_different_supports_is_refused(
    model: mujoco.MjModel, other: str, extra: str, message: str
) -> None:
    with pytest.raises(DREnvError) as error:
        Spec.from_yaml(GROUP.format(other=other, extra=extra)).bind(model)
    assert message in str(error.value)


def test_other_numbers_keep_the_plan(model: mujoco.MjModel) -> None:
    spec = Spec.from_yaml(STRUCTURED)
    plan = spec.bind(model)
    narrow = plan.with_spec(spec.narrowed(0.0))
    draw = narrow.sample(np.random.default_rng(0))
    assert draw.binding == plan.binding
    assert draw["payload"] == 1.0
    assert draw["friction"] == {0: 1.0, 1: 0.5}[int(draw["weather"])]  # the end of the range nearest to no change
    with pytest.raises(DREnvError, match=r"entries\.mass: differs from the Spec that is bound"):
        plan.with_spec(Spec.from_yaml(STRUCTURED.replace("select: {body: base}", "select: {body: left}")))
    with pytest.raises(DREnvError, match="variables: got none"):
        plan.with_spec(Spec())
    with pytest.raises(DREnvError, match=r"can reach -0\.3"):
        plan.with_spec(Spec.from_yaml(STRUCTURED.replace("low: 0.3, high: 0.5}", "low: -0.3, high: 0.5}")))


def test_a_curriculum_that_cannot_begin_is_refused(model: mujoco.MjModel) -> None:
    """Where both variables are at their middle, the sum of every Draw is above what the entry takes."""
    form = Spec.from_yaml(STRUCTURED).to_dict()
    total = {"type": "expression", "formula": "payload + load", "low": 0.2, "high": 0.9}
    form["variables"]["load"] = {"distribution": {"type": "uniform", "low": 0, "high": 1}}
    form["entries"]["mass"]["distribution"] = total
    assert Spec.from_dict(form).bind(model)
    assert Spec.from_dict({**form, "curriculum": {"start": 0.9}}).bind(model)
    with pytest.raises(
        DREnvError, match=r"^curriculum: begins with 0 of .* greater start.* entries\.mass\.distribution"
    ):
        Spec.from_dict({**form, "curriculum": {"end": 0.5}}).bind(model)


def test_curricula_widen() -> None:
    text = STRUCTURED + "curriculum: {start: 0.2, begin: 0.1, end: 0.6}\n"
    spec = Spec.from_yaml(text)
    assert Spec.from_yaml(spec.to_yaml()) == spec
    widths = [np.ptp(spec.at(p).variables["payload"].distribution.support()) for p in (0, 0.1, 0.35, 0.6, 1)]
    assert widths == pytest.approx([0.4, 0.4, 1.2, 2, 2])
    assert Spec.from_yaml(STRUCTURED).at(0.0) == Spec.from_yaml(STRUCTURED)
    with pytest.raises(DREnvError, match=r"curriculum\.start: got 2"):
        Spec.from_yaml(STRUCTURED + "curriculum: {start: 2}\n")
    with pytest.raises(DREnvError, match=r"end: got 0\.1, expected a progress not before begin"):
        Spec.from_yaml(STRUCTURED + "curriculum: {begin: 0.5, end: 0.1}\n")
