import math
from pathlib import Path

import jsonschema
import pytest
import yaml

from dr_env import DREnvError, Spec, make_task, task_names
from dr_env.spec import json_schema
from dr_env.spec.io import parse_yaml

TEXT = """\
format: dr_env/1
entries:
  torso_mass:
    select: {body: torso}
    field: mass
    operation: scale
    distribution: {type: uniform, low: 0.7, high: 1.3}
  foot_friction:
    select: {geom: ["*foot"]}
    field: friction[0]
    operation: scale
    distribution: {type: log_uniform, low: 0.5, high: 2.0}
    per: element
  gravity:
    select: option
    field: gravity[2]
    operation: add
    distribution: {type: normal, mean: 0.0, std: 3e-1}
    tunable: false
"""


def shipped() -> list[Path]:
    return [make_task(task).file(name) for task in task_names() for name in ("randomization.yaml", "target.yaml")]


def test_round_trips(tmp_path: Path) -> None:
    spec = Spec.from_yaml(TEXT)
    assert Spec.from_yaml(spec.to_yaml()) == spec
    assert Spec.from_dict(spec.to_dict()) == spec
    spec.save(tmp_path / "spec.yaml")
    assert Spec.load(tmp_path / "spec.yaml") == spec
    assert spec.with_parameters(spec.parameters()) == spec
    assert spec.digest() == Spec.from_yaml(spec.to_yaml()).digest()


def test_defaults_and_forms() -> None:
    spec = Spec.from_yaml(TEXT)
    assert spec.entries["torso_mass"].per == "shared"
    assert spec.entries["foot_friction"].field_index == 0
    assert spec.entries["gravity"].distribution.to_dict()["std"] == 0.3
    assert spec.parameters().names == (
        "torso_mass.low", "torso_mass.high", "foot_friction.low", "foot_friction.high",
    )  # fmt: skip


def test_order_of_entries_counts() -> None:
    data = Spec.from_yaml(TEXT).to_dict()
    reordered = {**data, "entries": dict(reversed(data["entries"].items()))}
    assert Spec.from_dict(data) != Spec.from_dict(reordered)


@pytest.mark.parametrize("path", shipped(), ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_shipped_specs_round_trip_and_follow_the_schema(path: Path) -> None:
    spec = Spec.load(path)
    assert Spec.from_yaml(spec.to_yaml()) == spec
    jsonschema.validate(yaml.safe_load(path.read_text()), json_schema())


@pytest.mark.parametrize(
    ("old", "new"), [("uniform, low: 0.7", "uniform, low: abc"), ("field: mass", "feild: mass"), ("scale", "scales")]
)
def test_the_schema_refuses_what_the_spec_refuses(old: str, new: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(TEXT.replace(old, new)), json_schema())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("low: 0.7", "low: 1.7", "r.yaml:7 entries.torso_mass.distribution.high: got 1.3, expected a number not below"),
        (
            "uniform, low: 0.7",
            "unifrom, low: 0.7",
            "r.yaml:7 entries.torso_mass.distribution.type: no distribution 'un",
        ),
        ("low: 0.7", "lwo: 0.7", "no key 'lwo'; did you mean 'low'?"),
        ("low: 0.7", "low: .nan", "r.yaml:7 entries.torso_mass.distribution.low: got nan, expected a finite number"),
        ("low: 0.7", "low: ", "r.yaml:7 entries.torso_mass.distribution.low: got None, expected a number"),
        ("low: 0.7", "low: [0.7]", "r.yaml:7 entries.torso_mass.distribution.low: got [0.7], expected a number"),
        ("low: 0.7", "low: 1:30", "r.yaml:7 entries.torso_mass.distribution.low: got '1:30', expected a number"),
        ("high: 1.3", "high: .inf", "entries.torso_mass.distribution.high: got inf, expected a finite number"),
        ("per: element", "pre: element", "r.yaml:13 entries.foot_friction.pre: unknown key 'pre'; did you mean 'per'?"),
        (
            "operation: add",
            "operation: ad",
            "r.yaml:17 entries.gravity.operation: got 'ad', expected 'scale', 'add' or",
        ),
        ("friction[0]", "friction[0", "r.yaml:10 entries.foot_friction.field: got 'friction[0', expected a field name"),
        (
            "{body: torso}",
            "{boddy: torso}",
            "r.yaml:4 entries.torso_mass.select: no kind 'boddy'; did you mean 'body'?",
        ),
        ("{body: torso}", "{body: [1]}", "r.yaml:4 entries.torso_mass.select.body: got 1, expected a name"),
        ("{body: torso}", "body", "got 'body', expected names as well"),
        ("select: option", "select: optin", "did you mean 'option'?"),
        ("tunable: false", "tunable: maybe", "r.yaml:19 entries.gravity.tunable: got 'maybe'"),
        ("tunable: false", "bounds: [3, 1]", "r.yaml:19 entries.gravity.bounds: got [3.0, 1.0], expected [low, high]"),
        ("std: 3e-1}", "std: 3e-1", "r.yaml:19 not valid YAML, or cut off"),
        ("  gravity:", "  torso_mass:", "r.yaml:14 entries.torso_mass: written twice, first on line 3"),
        ("    field: mass\n", "", "r.yaml:3 entries.torso_mass.field: missing"),
        ("dr_env/1", "dr_env/9", "r.yaml:1 format: got 'dr_env/9', expected 'dr_env/1'"),
        ("format: dr_env/1\n", "", "format: missing, expected `format: dr_env/1`"),
    ],
)
def test_bad_specs_name_file_line_and_key(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(DREnvError) as error:
        Spec.from_yaml(TEXT.replace(old, new), "r.yaml")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "r.yaml: empty"),
        ("   \n# nothing\n", "r.yaml: empty"),
        ("- 1\n", "r.yaml:1 got list, expected a mapping"),
        ("format: dr_env/1\nentries: 3\n", "r.yaml:2 entries: got 3, expected a mapping"),
        ("format: dr_env/1\nentries:\n  a: 3\n", "r.yaml:3 entries.a: got 3"),
        (TEXT[: TEXT.index("low: 0.7")], "r.yaml:"),
        ("format: [dr", "r.yaml:1 not valid YAML, or cut off"),
        ("entries: &x {a: *x}\n", "r.yaml: nested too deeply, or an alias that holds itself"),
        ("entries: " + "[" * 3000 + "]" * 3000, "r.yaml: nested too deeply, or an alias that holds itself"),
    ],
)
def test_empty_and_cut_off_files(text: str, message: str) -> None:
    with pytest.raises(DREnvError) as error:
        Spec.from_yaml(text, "r.yaml")
    assert message in str(error.value)


def test_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(DREnvError, match="no such file"):
        Spec.load(tmp_path / "none.yaml")
    with pytest.raises(DREnvError, match="got dict, expected the path of a YAML file"):
        Spec.load({})  # type: ignore[arg-type]
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DREnvError, match="cannot read"):
        Spec.load(tmp_path / "binary.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "entries: {x: {select: {body: b}, field: mass, bounds: [1], distribution: {type: constant, value: 1}}}",
            r"entries\.x\.bounds",
        ),
        (
            "entries: {x: {select: {body: b}, field: mass, distribution: {type: [uniform]}}}",
            r"entries\.x\.distribution",
        ),
        ("curriculum: {begin: 0.8, end: 0.2}", r"s:2 curriculum\.end: got 0\.2"),
        (
            "variables: {pi: {distribution: {type: uniform, low: 0, high: 1}}}",
            r"s:2 variables\.pi: formulas read 'pi' as 3\.14",
        ),
    ],
)
def test_odd_files_are_explained(text: str, message: str) -> None:
    with pytest.raises(DREnvError, match=message):
        Spec.from_yaml(f"format: dr_env/1\n{text}\n", "s")


def test_numbers_as_mjcf_writes_them() -> None:
    text = "format: dr_env/1\nentries:\n  m: {select: {body: a}, field: mass, operation: scale, distribution: {type: uniform, low: %s, high: 2}}\n"
    for written in (".5", "+.5", "5e-1", "+.5e0", ".05e+1"):
        assert Spec.from_yaml(text % written).entries["m"].distribution.support() == (0.5, 2.0)
    with pytest.raises(DREnvError, match=r":3 entries.m.*low"):
        Spec.from_yaml(text % ".")


def test_plain_words_and_numbers_are_those_of_yaml_1_2() -> None:
    text = "[010, -07.5, 1:30, yes, No, y, 2026-11-30, 0x1F, 1_000, true, False, .inf, ~, '010']"
    data, _ = parse_yaml(text, "s")
    assert data == [10, -7.5, "1:30", "yes", "No", "y", "2026-11-30", 31, 1000, True, False, math.inf, None, "010"]


def test_a_groups_name_is_no_entrys() -> None:
    """Draws of a group are keyed by its name, and an entry of that key would draw the very same numbers."""
    both = "format: dr_env/1\nentries:\n"
    for name, share in (("left", ", share: x"), ("share.x", "")):
        both += f"  {name}: {{select: {{body: b}}, field: mass, operation: scale, "
        both += f"distribution: {{type: uniform, low: 0.5, high: 1}}{share}}}\n"
    with pytest.raises(DREnvError, match=r"s:4 entries\.share\.x: a group that shares its draw is called so"):
        Spec.from_yaml(both, "s")


@pytest.mark.parametrize(("key", "shown"), [("tunable: false", "False"), ("bounds: [0.5, 2]", "(0.5, 2.0)")])
def test_a_group_is_tuned_as_one(key: str, shown: str) -> None:
    text = "format: dr_env/1\nentries:\n"
    for name, more in (("left", ""), ("right", f", {key}")):
        text += f"  {name}: {{select: {{body: b}}, field: mass, operation: scale, share: x, "
        text += f"distribution: {{type: uniform, low: 0.5, high: 1}}{more}}}\n"
    with pytest.raises(DREnvError) as error:
        Spec.from_yaml(text, "s")
    assert f"s:4 entries.right.{key.partition(':')[0]}: entries that share 'x' are tuned as one" in str(error.value)
    assert f"this one has {shown} and 'left' has" in str(error.value)
    Spec.from_yaml(text.replace("high: 1}}", f"high: 1}}, {key}}}"))


def test_a_switch_narrows_around_its_mean() -> None:
    form = {
        "format": "dr_env/1",
        "variables": {"weather": {"distribution": {"type": "categorical", "cases": {"dry": 1, "wet": 1}}}},
        "entries": {
            "gravity": {
                "select": "option",
                "field": "gravity[2]",
                "operation": "set",
                "distribution": {
                    "type": "switch",
                    "variable": "weather",
                    "cases": {
                        "dry": {"type": "uniform", "low": -10.0, "high": -9.6},
                        "wet": {"type": "normal", "mean": -9.8, "std": 0.1},
                    },
                },
            }
        },
    }
    entry = Spec.from_dict(form).entries["gravity"]
    assert entry.neutral == pytest.approx(-9.8)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("format: dr_env/1\n? [a, b]\n: 3\n", r":2 .*a key of several values"),
        (
            "format: dr_env/1\nentries:\n  _m: {select: option, field: wind, operation: set, "
            "distribution: {type: constant, value: 0}}\n",
            r":3 entries._m: begins with _",
        ),
        ("format: dr_env/1\ncurriculum: {begin: 0.8}\n", r":2 curriculum: "),
    ],
)
def test_errors_that_name_their_line(text: str, message: str) -> None:
    with pytest.raises(DREnvError, match=message):
        Spec.from_yaml(text)
