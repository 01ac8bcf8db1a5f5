"""From a Plan's Draws to words, figures and files."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dr_env import Draw, Plan, Spec, VectorEnv, make_task
from dr_env.cli.evaluate import _changes, _show
from dr_env.cli.marginals import marginals_of
from dr_env.evaluation import WORLD, Arm, Comparison, Explanation, Marginal, Outcome, explain, write_report
from dr_env.evaluation.coverage import target_in_words
from tests.conftest import entry, spec_of

SPEC = spec_of(
    friction=entry({"geom": "*"}, "friction[0]", "scale", type="log_uniform", low=0.5, high=2.0),
    mass=entry({"body": "*"}, "mass", "scale", type="uniform", low=0.7, high=1.3, per="element"),
    condim=entry({"geom": "floor"}, "condim", "set", type="choice", values=[3, 4, 6]),
    still=entry({"joint": "thigh_joint"}, "armature", "scale", type="constant", value=1.1),
    knee=entry({"joint": "leg_joint"}, "range", "add", type="normal", mean=0.0, std=1.5),
)
TARGET = spec_of(
    torso=entry({"body": "torso"}, "mass", "scale", type="constant", value=1.5),
    friction=entry({"geom": "foot_geom"}, "friction[0]", "set", type="uniform", low=1.0, high=1.2),
)


def _plan(spec: Spec) -> Plan:
    return VectorEnv(make_task("hopper"), 1, spec).plan


def _marginals(n: int = 256) -> list[Marginal]:
    plan = _plan(SPEC)
    seeds = np.zeros(n, np.uint64)
    drawn, _ = plan.sample_columns(seeds, np.arange(n), np.zeros(n, np.uint64))
    return marginals_of(plan, _plan(TARGET), drawn, seed=0)


def _explained(marginals: list[Marginal], failed: tuple[int, ...] = ()) -> tuple[Comparison, Explanation]:
    columns = {m.entry: m.drawn[:, 0] if len(m.elements) == 1 else m.drawn for m in marginals}
    friction, mass = columns["friction"], columns["mass"]
    noise = np.random.default_rng(0).normal(0, 20, len(friction))
    returns = {"steady": 1000 + noise, "slippery": 1000 - 800 * (friction < 0.66) - 300 * (mass[:, 2] > 1.2) + noise}
    arms = tuple(
        Arm(
            name,
            (f"runs/{name}",),
            (0,),
            1,
            ([],),
            {
                w: (Outcome(r, np.ones(len(r), int), failed if w == WORLD else (), columns, 1.0, "b"),)
                for w in ("nominal", WORLD, "target")
            },
        )
        for name, r in returns.items()
    )
    comparison = Comparison("hopper", ("nominal", WORLD, "target"), arms, {WORLD: len(friction)}, 0, "t.yaml", ())
    return comparison, explain(comparison, marginals)


def test_words_claim_what_is_there() -> None:
    _, found = _explained(_marginals())
    first, second = found.harms("slippery")
    assert first.startswith("return falls by ")
    assert "over the lowest fifth of friction (0.5" in first
    assert "over the highest fifth of mass[leg]" in second
    assert found.harms("steady") == []
    assert "0 of 7 parameters can be told from chance in 256 episodes" in found.remark("steady")
    told = [found.parameters[i].label for i in found.told(9)]
    assert told == ["friction", "mass[leg]"]
    assert "still" not in {found.label(effect) for effect in found.arms["slippery"].effects}


def test_coverage_of_a_plan() -> None:
    _, explained = _explained(_marginals())
    found = {c.marginal.entry: c for c in explained.coverage}
    assert list(found) == ["friction", "mass", "condim", "knee"]
    assert found["friction"].acceptance == 1
    assert not any(c.doubtful for c in explained.coverage)
    knee = found["knee"].marginal  # the shift moves both limits, so none is refused
    assert (knee.target == 0).all()
    mass = found["mass"].marginal
    assert mass.elements[0] == "torso"
    assert mass.target[:, 0] == pytest.approx([1.5, 1, 1, 1])
    friction = found["friction"].marginal
    assert friction.target[0] == pytest.approx([0.5, 1.0], abs=0.02)


def _mass(field: str, operation: str, low: float, high: float, bodies: str = "torso") -> dict[str, object]:
    return entry({"body": bodies}, field, operation, type="uniform", low=low, high=high)


@pytest.mark.parametrize(
    ("target", "training", "words"),
    [
        (
            {"alpha": _mass("pseudo_inertia[0]", "add", 0.1, 0.1)},  # alpha makes mass exp(2 alpha) times itself
            {"mass": _mass("mass", "scale", 0.5, 1.5)},
            {"mass": f"{np.exp(0.2):.3g}: inside, with 72 % of training below it"},
        ),
        (
            {"mass": _mass("mass", "scale", 1.5, 1.5)},
            {"alpha": _mass("pseudo_inertia[0]", "add", -0.1, 0.1)},
            {"alpha": "changed by mass"},
        ),
        (
            {"mass": _mass("mass", "scale", 1.5, 1.5)},
            {"torso": _mass("mass", "scale", 0.6, 1.4), "all": _mass("mass", "scale", 0.8, 1.2, "*")},
            {
                "torso": "1.5: inside what it makes together with all",
                "all": "1 to 1.5: inside what it makes together with torso",
            },
        ),
        (
            {"mass": _mass("mass", "scale", 1.5, 1.5)},
            {"torso": _mass("mass", "scale", 0.9, 1.2), "all": _mass("mass", "scale", 0.8, 1.2, "*")},
            {
                "torso": "1.5: outside what it makes together with all",
                "all": "1 to 1.5: outside what it makes together with torso",
            },
        ),
    ],
)
def test_fields_that_change_the_same_numbers(target: Any, training: Any, words: dict[str, str]) -> None:
    plan, goal = _plan(spec_of(**training)), _plan(spec_of(**target))
    drawn, _ = plan.sample_columns(np.zeros(64, np.uint64), np.arange(64), np.zeros(64, np.uint64))
    assert {m.entry: target_in_words(m) for m in marginals_of(plan, goal, drawn, 0)} == words
    ((_, _, varied),) = _changes(goal, plan)
    assert len(varied.split("; ")) == len(training) and "not modelled" not in varied
    ((_, _, other),) = _changes(goal, _plan(spec_of(x=_mass("mass", "scale", 0.9, 1.2, "foot"))))
    assert other == "not modelled"


def test_brackets_in_a_policys_name_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    comparison, _ = _explained(_marginals())
    steady, slippery = comparison.arms
    named = dataclasses.replace(comparison, arms=(dataclasses.replace(steady, name="run[old]"), slippery))
    _show(named, explain(named, []), Path("report.html"))
    assert "run[old]" in capsys.readouterr().out.partition("On the target")[0]


def test_refusals_are_counted_by_entry() -> None:
    spec = spec_of(
        high=entry({"joint": "leg_joint"}, "range[1]", "add", type="uniform", low=-4.0, high=0.0),
        mass=entry({"body": "torso"}, "mass", "scale", type="uniform", low=0.7, high=1.3),
    )
    plan = _plan(spec)
    drawn, refused = plan.sample_columns(np.zeros(256, np.uint64), np.arange(256), np.zeros(256, np.uint64))
    assert refused > 0
    comparison = _explained(_marginals())[0]
    high, mass = explain(comparison, marginals_of(plan, _plan(Spec()), drawn, 0)).coverage
    assert high.acceptance < 0.9
    assert high.distorted
    assert (mass.acceptance, mass.distorted) == (1.0, False)


def test_the_report(tmp_path: Path) -> None:
    comparison, found = _explained(_marginals(), failed=(3, 5))
    page = write_report(comparison, found, tmp_path, {}, [], {"x": "1"}).read_text()
    assert page.count("data:image/png;base64,") == 4
    assert "outside for 1 of 4, training draws 0.7 to 1.3" in page
    assert "&lt; 0.001</td>" in page and "0.000</td>" not in page
    assert "4 episodes ended because the simulation diverged" in page
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["arms"][0]["worlds"][WORLD]["failed_episodes"] == [[3, 5]]
    assert report["sensitivity"]["slippery"]["effects"][0]["parameter"] == "friction"
    files = sorted((tmp_path / "failures").glob("randomized_*.json"))
    assert {Draw.load(file) for file in files} == set(comparison.arms[0].failures(WORLD)["runs/steady"])


def test_nothing_varies(tmp_path: Path) -> None:
    columns = {"friction": np.ones(64)}
    outcome = Outcome(np.arange(64.0), np.ones(64, int), (), columns, 1.0, "")
    worlds = ("nominal", WORLD, "target")
    arm = Arm("a", ("a",), (0,), 1, ([],), dict.fromkeys(worlds, (outcome,)))
    comparison = Comparison("hopper", worlds, (arm,), {WORLD: 64}, 0, "t.yaml", ())
    many = tuple(dataclasses.replace(arm, name=f"arm{i}") for i in range(8))  # more than there are colours
    several = dataclasses.replace(comparison, arms=many)
    page = write_report(several, explain(several, []), tmp_path / "many", {}, [], {}).read_text()
    assert all(f"</span>{each.name}</td>" in page for each in many)
    found = explain(comparison, [])
    assert found.remark("a") == "Nothing varies in the randomized world."
    assert "Nothing varies" in write_report(comparison, found, tmp_path, {}, [], {}).read_text()


def test_values_that_follow_from_others_are_compared_with_draws(tmp_path: Path) -> None:
    form = entry({"body": "leg"}, "mass", "scale", type="expression", formula="2 - torso")
    spec = spec_of(torso=entry({"body": "torso"}, "mass", "scale", type="uniform", low=0.8, high=1.2), leg=form)
    plan = _plan(spec)
    drawn, _ = plan.sample_columns(np.zeros(256, np.uint64), np.arange(256), np.zeros(256, np.uint64))
    marginals = marginals_of(plan, _plan(TARGET), drawn, 0)
    torso, leg = explain(_explained(_marginals())[0], marginals).coverage
    assert leg.marginal.law is None and leg.p_value is not None and not leg.doubtful
    assert (leg.widest_gap, leg.acceptance) == (None, 1.0)
    assert torso.p_value is not None
    found = explain(_explained(_marginals())[0], marginals)
    assert {effect.partners for effect in found.arms["slippery"].effects} == {(0,), (1,)}


def test_variables_are_parameters_too() -> None:
    """A scenario explains returns by its case's name; a variable that an entry repeats is not told twice."""
    cases = {"dry": 0.7, "rain": 0.3}
    spec = Spec.from_dict(
        {
            "format": "dr_env/1",
            "variables": {
                "weather": {"distribution": {"type": "categorical", "cases": cases}},
                "payload": {"distribution": {"type": "uniform", "low": 0.0, "high": 1.0}},
            },
            "entries": {
                "friction": entry(
                    {"geom": "*"}, "friction[0]", "scale", type="switch", variable="weather",
                    cases={name: {"type": "uniform", "low": 0.5, "high": 1.5} for name in cases},
                ),
                "mass": entry({"body": "torso"}, "mass", "scale", type="expression", formula="1 + 0.5 * payload"),
            },
        }
    )  # fmt: skip
    plan = _plan(spec)
    drawn, _ = plan.sample_columns(np.zeros(256, np.uint64), np.arange(256), np.zeros(256, np.uint64))
    marginals = marginals_of(plan, _plan(TARGET), drawn, 0)
    assert [m.entry for m in marginals] == ["weather", "friction", "mass"]
    returns = 1000 - 300 * drawn["weather"] + np.random.default_rng(0).normal(0, 20, 256)
    outcome = Outcome(returns, np.ones(256, int), (), drawn, 1.0, "b")
    arm = Arm("wet", ("runs/wet",), (0,), 1, ([],), dict.fromkeys(("nominal", WORLD, "target"), (outcome,)))
    found = explain(Comparison("hopper", ("nominal", WORLD, "target"), (arm,), {WORLD: 256}, 0, "t", ()), marginals)
    (told,) = found.harms("wet")
    assert "where weather is rain" in told
    weather = next(c for c in found.coverage if c.marginal.entry == "weather")
    assert weather.p_value is not None and not weather.doubtful
    assert weather.to_dict()["target"] == ""
