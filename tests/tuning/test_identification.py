"""What recordings do not tell is said, by every method."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dr_env.errors import DREnvError
from dr_env.spec import Spec
from dr_env.testing import target
from dr_env.tuning import make_tuner
from dr_env.tuning.coordinates import Coordinates
from tests.conftest import entry

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
