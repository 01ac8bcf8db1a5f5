"""What a `randomization` argument may be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dr_env.envs.task import Task
from dr_env.errors import DREnvError
from dr_env.spec import Spec

Randomization = Spec | str | Path | Mapping[str, Any] | None
"""A Spec, a YAML file, its plain data, "default" for the task's own, or None or "none" for nothing."""


def as_spec(randomization: Randomization, task: Task | None = None) -> Spec:
    """The Spec that a `randomization` argument means.

    Args:
        randomization: what was given.
        task: whose own Spec is "default".
    """
    if randomization is None or randomization == "none":
        return Spec()
    if isinstance(randomization, Spec):
        return randomization
    if isinstance(randomization, Mapping):
        return Spec.from_dict(randomization)
    if randomization == "default" and task is not None:
        own = task.file("randomization.yaml")
        if not Path(own).is_file():
            raise DREnvError(
                f"{own}: no such file, and so the task has no Spec of its own; give a Spec (--randomization FILE; "
                "dr-env inspect MODEL --write-spec FILE proposes one), or none"
            )
        return Spec.load(own)
    if isinstance(randomization, str | Path):
        return Spec.load(randomization)
    raise DREnvError(f"randomization: got {randomization!r}, expected a Spec, a YAML file or its plain data")
