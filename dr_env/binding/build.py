"""What was drawn when a model was compiled, and is therefore the same in all its episodes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env.errors import DREnvError
from dr_env.records import Columns
from dr_env.spec import Spec

COMPILED = "compiled."
"""Beginning of the names of arrays that are written into the model's description, before it is compiled."""


@dataclasses.dataclass(frozen=True)
class Build:
    """A model compiled for a Spec.

    Args:
        model: the model, with what was drawn.
        seed: what was drawn from.
        columns: what was drawn, a Draw's columns of one row.
        nominal: the model's values as they would be without it, by `compiled.*` array.
        mjspec: the description that the model was compiled from, where there is one.
    """

    model: mujoco.MjModel
    seed: int
    columns: Columns = dataclasses.field(default_factory=dict)
    nominal: Mapping[str, NDArray[np.float64]] = dataclasses.field(default_factory=dict)
    mjspec: mujoco.MjSpec | None = None


def compiled_names(spec: Spec) -> frozenset[str]:
    """Variables and entries that are drawn when the model is compiled.

    Raises DREnvError for one that depends on what is drawn later.
    """
    drawn = spec.drawn
    names = frozenset(name for name, variable in drawn.items() if variable.trigger == "compile")
    for name in sorted(names):
        for parent in drawn[name].distribution.parents:
            known = parent if parent in drawn else parent.partition(".")[0]
            if known in drawn and known not in names:
                raise DREnvError(
                    f"{spec.where(name, 'trigger')}: got compile, but '{name}' depends on '{known}', which is drawn by "
                    f"{drawn[known].trigger}; give '{known}' trigger: compile as well"
                )
    return names


def check_replay(fixed: Columns, columns: Columns) -> None:
    """Refuses Draws that ask for other values than the model was compiled with."""
    for name, value in fixed.items():
        wrong = (columns[name] != value).reshape(len(columns[name]), -1).any(1)
        if wrong.any():
            asked = columns[name][np.flatnonzero(wrong)[0]].tolist()
            raise DREnvError(
                f"draw.{name}: got {asked}, but its trigger is compile and the model was compiled with "
                f"{value[0].tolist()}; make the environment with compile_from=draw"
            )
