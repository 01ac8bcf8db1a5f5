"""`dr-env bench`: speed against rivals measured in the same run."""

from __future__ import annotations

import json
from importlib import metadata
from typing import Annotated

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dr_env.errors import DREnvError, unknown_name

GROUP = "dr_env.benchmarks"


def bench(
    name: tyro.conf.Positional[str],
    *,
    task: str = "half_cheetah",
    as_json: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> None:
    """Measure speed against rivals in the same run, within a minute.

    Args:
        name: What to measure: vector (environment steps), reset (new episodes), memory, train (PPO end to end),
            tune (recordings replayed), render (labelled frames) or vision (a pose estimator and its images).
        task: The task.
        as_json: Print one JSON object as the last line.
    """
    points = {point.name: point for point in metadata.entry_points(group=GROUP)}
    if name not in points:
        raise DREnvError(unknown_name("benchmark", name, points))
    result = points[name].load()(task)
    if as_json:
        print(json.dumps(result))
        return
    table = Table("what", name)
    for key, value in result.items():
        table.add_row(key, f"{value:,.2f}" if isinstance(value, float) else escape(str(value)))
    Console().print(table)
