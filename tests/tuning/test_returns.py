"""Every method that works from returns, held to the public suite."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from dr_env import DREnvError, Spec
from dr_env.testing import TunerConformance, target
from dr_env.tuning import make_tuner
from dr_env.tuning.bayrn import BayRn
from dr_env.tuning.cem import CEM
from dr_env.tuning.cma_es import CMAES
from dr_env.tuning.random_search import RandomSearch
from tests.conftest import entry, spec_of


class TestRandomSearch(TunerConformance):
    tuner = RandomSearch
    tolerance = 0.35


class TestCEM(TunerConformance):
    tuner = CEM
    options: ClassVar[dict[str, Any]] = {"population": 12, "elites": 4, "smoothing": 0.3}
    rounds = 120
    tolerance = 0.15


class TestCMAES(TunerConformance):
    tuner = CMAES
    rounds = 120
    tolerance = 0.15


class TestBayRn(TunerConformance):
    tuner = BayRn
    options: ClassVar[dict[str, Any]] = {"startup": 1}
    rounds = 6
    tolerance = 0.42


@pytest.mark.parametrize("method", ["random", "cem", "cma_es", "bayrn"])
def test_several_candidates_at_once_are_different(method: str) -> None:
    tuner = make_tuner(method, target.PRIOR)
    for trial in range(2):
        tuner.tell(target.returns_of(tuner.ask(), trial))
    pending: list[Spec] = []
    for _ in range(3):
        pending.append(tuner.ask(pending))
    assert len({spec.digest() for spec in pending}) == 3
    # told in any order, all of them count
    for trial in (2, 0, 1):
        tuner.tell(target.returns_of(pending[trial], trial))
    assert len(tuner.state_dict()["own"]["points"]) == 5


def test_a_generation_of_failures_is_survived() -> None:
    for method in ("cem", "cma_es"):
        tuner = make_tuner(
            method, target.PRIOR, options={"population": 4, **({"elites": 2} if method == "cem" else {})}
        )
        before = tuner.result()
        for trial in range(4):
            spec = tuner.ask()
            tuner.tell(type(target.returns_of(spec, 0))(trial, [], spec))  # type: ignore[arg-type]
        assert tuner.result() == before


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("cem", {"populaton": 3}, "did you mean 'population'"),
        ("cem", {"population": 3}, r"elites: got 10, expected 1 .. population = 3"),
        ("cem", {"population": 2.5}, "population: got 2.5, expected int"),
        ("cma_es", {"sigma": -1}, "sigma: got -1"),
        ("bayrn", {"startup": 0}, "startup: got 0"),
        ("oracle", {}, "oracle.target: missing"),
        ("bayrnn", {}, "did you mean 'bayrn'"),
    ],
)
def test_options_that_cannot_be(method: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DREnvError, match=message):
        make_tuner(method, target.PRIOR, options=options)


def test_a_spec_with_other_numbers_is_refused() -> None:
    tuner = make_tuner("random", target.PRIOR)
    other = Spec(entries={"mass": target.PRIOR.entries["mass"]})
    state = tuner.state_dict()
    with pytest.raises(DREnvError, match=r"told of a Spec with the tunable numbers mass\.low, mass\.high, expected"):
        tuner.tell(target.returns_of(other, 0))
    assert tuner.state_dict() == state


def test_baselines_are_what_they_say() -> None:
    assert make_tuner("none", target.PRIOR).ask() == Spec()
    narrow = make_tuner("uniform20", target.PRIOR).ask()
    assert narrow.entries["mass"].distribution.support() == (0.8, 1.2)
    assert narrow.entries["gravity"] == target.PRIOR.entries["gravity"]
    wide = make_tuner("wide", target.PRIOR).ask()
    assert wide.entries["damping"].distribution.support() == (0.2, 5.0)
    assert wide.entries["damping"].distribution.type_name == "log_uniform"
    oracle = make_tuner("oracle", target.PRIOR, options={"target": narrow.to_dict()})
    assert oracle.result() == narrow
    assert oracle.done
    assert oracle.result().provenance is not None


def test_baselines_of_entries_that_share_a_draw_can_be_bound() -> None:
    mass = entry({"body": "cart"}, "mass", "scale", type="uniform", low=0.9, high=1.1)
    form = {**mass, "share": "all", "bounds": [0.5, 2.0]}
    prior = spec_of(a=form, b={**form, "field": "inertia"})
    for name in ("uniform20", "wide"):
        spec = make_tuner(name, prior).ask()
        assert spec.entries["a"].distribution == spec.entries["b"].distribution
        assert set(target.drawn(spec, 8, 0)) == {"a", "b"}


def test_baselines_keep_within_bounds_and_to_whole_numbers() -> None:
    spec = spec_of(
        c=entry({"geom": "*"}, "friction[0]", "scale", type="uniform", low=0.95, high=1.1),
        i=entry({"geom": "*"}, "condim", "set", type="choice", values=[3, 4]),
        k=entry({"geom": "*"}, "priority", "set", type="integer", low=1, high=3),
    ).to_dict()
    spec["entries"]["c"]["bounds"] = [0.9, 1.15]
    spec["entries"]["k"]["bounds"] = [0, 5]
    prior = Spec.from_dict(spec)
    narrow, wide = (make_tuner(name, prior).ask().to_dict()["entries"] for name in ("uniform20", "wide"))
    assert narrow["c"]["distribution"] == {"type": "uniform", "low": 0.9, "high": 1.15}
    assert narrow["k"]["distribution"] == {"type": "integer", "low": 1, "high": 3}
    assert wide["c"]["distribution"] == {"type": "uniform", "low": 0.9, "high": 1.15}
    assert wide["k"]["distribution"] == {"type": "integer", "low": 0, "high": 5}


def test_wide_is_all_that_the_bounds_allow_whatever_the_prior() -> None:
    bounds = [0.6, 2.5]
    part = {"type": "uniform", "low": 0.9, "high": 1.1}
    forms: tuple[dict[str, Any], ...] = (
        {"type": "beta", "alpha": 2, "beta": 3, "low": 0.8, "high": 1.2},
        {"type": "constant", "value": 1.0},
        {"type": "mixture", "components": [part, {**part, "low": 1.0}]},
        {"type": "truncated_normal", "mean": 1.0, "std": 0.1, "low": 0.8, "high": 1.2},
        {"type": "integer", "low": 1, "high": 2},
    )
    for form in forms:
        mass = {**entry({"body": "cart"}, "mass", "scale", **form), "bounds": bounds}
        (found,) = make_tuner("wide", spec_of(mass=mass)).ask().entries.values()
        whole = form["type"] == "integer"
        assert found.distribution.support() == ((1, 2) if whole else (0.6, 2.5))
        assert found.distribution.type_name == ("integer" if whole else "uniform")
