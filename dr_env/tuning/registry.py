"""Tuners by name, found through the entry point group `dr_env.tuners`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import Any

from dr_env.errors import DREnvError, unknown_name
from dr_env.spec import Spec
from dr_env.tuning.tuner import Simulate, Tuner

GROUP = "dr_env.tuners"


def tuner_names() -> list[str]:
    """The installed tuners."""
    return sorted(point.name for point in metadata.entry_points(group=GROUP))


def tuner_class(name: str) -> type[Tuner[Any]]:
    """An installed tuner's class; raises DREnvError naming the near match."""
    points = {point.name: point for point in metadata.entry_points(group=GROUP)}
    if name not in points:
        raise DREnvError(unknown_name("method", name, points))
    try:
        cls: type[Tuner[Any]] = points[name].load()
    except (ImportError, AttributeError) as error:
        raise DREnvError(f"method '{name}': cannot import it: {error}") from error
    if not (isinstance(cls, type) and issubclass(cls, Tuner)):
        raise DREnvError(f"method '{name}': its entry point gives {cls!r}, expected a subclass of dr_env.tuning.Tuner")
    return cls


def make_tuner(
    name: str,
    prior: Spec,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    simulate: Simulate | None = None,
) -> Tuner[Any]:
    """Makes an installed tuner; see `Tuner` for the arguments."""
    return tuner_class(name)(prior, seed, options, simulate)
