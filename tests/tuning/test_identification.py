"""What recordings do not tell is said, by every method."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dr_env.distributions import JointNormal
from dr_env.errors import DREnvError
from dr_env.spec import Spec
from dr_env.testing import target
from dr_env.tuning import make_tuner
from dr_env.tuning.coordinates import Coordinates
from tests.conftest import entry, spec_of

Array = NDArray[np.float64]


@dataclasses.dataclass
class _WithHat(target.CartSimulator):
    """A third value that nothing depends on."""

    names: tuple[str, ...] = ("mass", "damping", "hat")

    @property
    def bounds(self) -> tuple[Array, Array]:
        low, high = target.CartSimulator(self.evidence).bounds
        return np.append(low, 0.5), np.append(high, 1.5)

    def predictions(self, values: Array) -> Array:
        return super().predictions(values[:, :2])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("credible", {}),
        ("gauss_newton", {}),
        ("point", {}),
        ("simopt", {}),
        ("dropo", {"evaluations": 100, "samples": 10}),
    ],
)
def test_every_method_says_what_recordings_do_not_tell_and_which_bound_binds(
    name: str, options: dict[str, Any]
) -> None:
    form = target.PRIOR.to_dict()
    form["entries"]["hat"] = {**form["entries"]["mass"], "distribution": {"type": "uniform", "low": 0.5, "high": 1.5}}
    tuner = make_tuner(name, Spec.from_dict(form), 0, options, _WithHat)
    tuner.tell(target.recording(noise=0.0))
    (untold,) = (note for note in tuner.notes if "not identified" in note)
    assert "hat" in untold and "mass" not in untold
    assert make_tuner(name, Spec.from_dict(form), 0, options, _WithHat).notes == ()
    if name in ("credible", "gauss_newton", "point"):
        narrow = target.PRIOR.to_dict()
        narrow["entries"]["mass"] |= {
            "distribution": {"type": "uniform", "low": 0.5, "high": 1.1},
            "bounds": [0.5, 1.1],
        }
        tuner = make_tuner(name, Spec.from_dict(narrow), 0, options, _Narrow)
        tuner.tell(target.recording(noise=0.0))
        assert any("mass is at its bound 1.1: the data want it above" in note for note in tuner.notes), tuner.notes


class _Narrow(target.CartSimulator):
    @property
    def bounds(self) -> tuple[Array, Array]:
        low, high = super().bounds
        return np.array([0.5, low[1]]), np.array([1.1, high[1]])


@pytest.mark.parametrize("name", ["credible", "point"])
def test_where_everything_diverges_it_is_said(name: str) -> None:
    class Lost(target.CartSimulator):
        def predictions(self, values: Array) -> Array:
            return np.full_like(super().predictions(values), np.nan)

    tuner = make_tuner(name, target.PRIOR, 0, {}, Lost)
    tuner.tell(target.recording())
    assert tuner.notes and "every simulation diverged" in tuner.notes[0]


def test_no_value_is_lost_where_names_look_alike() -> None:
    """Of elements `left-hip` and `left_hip`, and beside an entry that is called as an element's would be."""
    uniform = {"type": "uniform", "low": 0.5, "high": 2.0}
    prior = Spec.from_dict(
        {
            "format": "dr_env/1",
            "entries": {
                "damping": {**entry({"joint": "*"}, "damping", "scale", **uniform), "per": "element"},
                "damping_right": entry({"joint": "knee"}, "stiffness", "scale", **uniform),
            },
        }
    )
    names = ("damping[left-hip]", "damping[left_hip]", "damping[right]", "damping_right")
    coordinates = Coordinates(prior, names, (np.full(4, 0.5), np.full(4, 2.0)))
    tuned = coordinates.tuned(np.linspace(0.2, 0.8, 4), 1e-4 * np.eye(4))
    assert {(e.select.patterns, e.field) for e in tuned.entries.values()} == {
        (("left-hip",), "damping"), (("left_hip",), "damping"), (("right",), "damping"), (("knee",), "stiffness"),
    }  # fmt: skip
    assert tuned.entries["damping_right"].field == "stiffness"


def test_a_log_uniform_value_has_no_bound_of_0() -> None:
    prior = Spec.from_dict({"format": "dr_env/1", "entries": {"mass": entry({"body": "cart"}, "mass", "scale", type="log_uniform", low=0.5, high=2.0)}})  # fmt: skip
    with pytest.raises(
        DREnvError, match="got 0 for the least value of a log_uniform distribution, expected a number above 0"
    ):
        Coordinates(prior, ("mass",), (np.zeros(1), np.full(1, 2.0)))


def test_the_box_of_a_joint_distribution_stays() -> None:
    box = {"type": "joint_normal", "names": ["a", "b"], "mean": [1, 1], "covariance": [[0.25, 0], [0, 0.25]],
           "low": [0.5, 0.5], "high": [2, 2]}  # fmt: skip
    form = spec_of(
        m=entry({"body": "x"}, "mass", "scale", type="expression", formula="post.a"),
        d=entry({"joint": "x"}, "damping", "scale", type="expression", formula="post.b"),
    ).to_dict()
    form["variables"] = {"post": {"distribution": box}}
    coordinates = Coordinates(Spec.from_dict(form), ("post.a", "post.b"), (np.full(2, 0.5), np.full(2, 2.0)))
    found = coordinates.tuned(np.array([0.1, 0.9]), 0.02 * np.eye(2)).variables["post"].distribution
    assert isinstance(found, JointNormal) and (found.low, found.high) == ((0.5, 0.5), (2.0, 2.0))


def test_bounds_narrower_than_a_distribution_are_where_it_is_believed() -> None:
    prior = spec_of(g=entry("option", "gravity[0]", "add", type="normal", mean=0, std=0.3))
    coordinates = Coordinates(prior, ("g",), (np.array([-0.1]), np.array([0.1])))
    assert coordinates.mean[0] == pytest.approx(0.5, abs=0.01)
    assert coordinates.covariance[0, 0] == pytest.approx(1 / 12, rel=0.02), "nearly flat there"


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"share": "group"}, "has one value for each match and shares them in 'group', which cannot be tuned"),
        ({}, "has one value for each match and 'follows' reads it; write an entry for each match"),
    ],
)
def test_what_no_result_could_be_written_for_is_refused_at_once(more: dict[str, str], match: str) -> None:
    form = spec_of(
        d=entry({"joint": "*"}, "damping", "scale", type="uniform", low=0.5, high=2, per="element"),
        follows=entry({"body": "x"}, "mass", "scale", type="expression", formula="1 + 0.1 * m" if more else "d"),
        m=entry({"body": "x"}, "mass", "scale", type="uniform", low=0.5, high=2),
    ).to_dict()
    form["entries"]["d"] |= more
    with pytest.raises(DREnvError, match=match):
        Coordinates(Spec.from_dict(form), ("d[a]", "d[b]"), (np.full(2, 0.5), np.full(2, 2.0)))
