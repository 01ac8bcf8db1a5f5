"""What an episode on a robot earned, by the task's own reward."""

from __future__ import annotations

import csv
import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dr_env.binding import compile_model
from dr_env.envs.task import Task, state_names
from dr_env.errors import DREnvError, near_match, unknown_name
from dr_env.spec import Spec

Array = NDArray[np.float64]


def return_of_log(task: Task, path: Path) -> tuple[float, int]:
    """The return of one episode in a CSV file, and its control steps.

    A column `reward` is added up. Without one the task's reward judges each pair of rows one after the other,
    which are a control step apart: from columns such as `qpos.hinge` and `qvel.hinge`, named as observations
    are, and `action[0]`, the action in force from its row on. So n steps are n + 1 rows, the last of the final state,
    whose action is not read. Tasks whose reward reads more than positions
    and velocities need `reward`.

    Raises:
        DREnvError: naming file, line and column.
    """
    columns = _read(path)
    if "reward" in columns:
        return float(columns["reward"].sum()), len(columns["reward"])
    extra = [field for field in task.fields if field not in ("qpos", "qvel")]
    if extra:
        raise DREnvError(f"{path}: no column 'reward', and {task.name}'s reward reads {', '.join(extra)} as well")
    model = compile_model(task.mjspec(), Spec())
    qpos, qvel = state_names(model)
    actions = [f"action[{i}]" for i in range(int(np.prod(task.action_space(model).shape)))]
    wanted = [*qpos, *qvel, *actions]
    for name in wanted:
        if name not in columns:
            lacking = unknown_name("column", name, columns)
            near = near_match("reward", columns)
            raise DREnvError(f"{path}: {lacking}" + (f"; or is '{near}' the 'reward'?" if near else ", nor 'reward'"))
    rows = np.stack([columns[name] for name in wanted], 1)  # (T, nq + nv + nu)
    if len(rows) < 2:
        raise DREnvError(f"{path}: got {len(rows)} rows, expected at least 2")
    states = {"qpos": rows[:, : len(qpos)], "qvel": rows[:, len(qpos) : len(qpos) + len(qvel)]}
    before, after = ({name: values[part] for name, values in states.items()} for part in (slice(-1), slice(1, None)))
    rewards, _ = task.reward(before, rows[:-1, -len(actions) :].astype(np.float32), after)
    return float(rewards.sum()), len(rewards)


def _read(path: Path) -> dict[str, Array]:
    try:
        # a spreadsheet's file may begin with a mark of its encoding
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", newline="", encoding="utf-8-sig") as file:
            read = csv.reader(file)
            table = [(read.line_num, row) for row in read if row]
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise DREnvError(f"{path}: cannot read: {error}") from error
    if len(table) < 2:
        raise DREnvError(f"{path}: empty, expected a line of column names and rows of numbers")
    names, rows = [name.strip() for name in table[0][1]], table[1:]
    values = np.empty((len(rows), len(names)))
    for place, (line, row) in enumerate(rows):
        if len(row) != len(names):
            raise DREnvError(f"{path}:{line} got {len(row)} values, expected {len(names)}")
        for i, text in enumerate(row):
            try:
                values[place, i] = float(text)
            except ValueError:
                raise DREnvError(f"{path}:{line} {names[i]}: got {text!r}, expected a number") from None
            if not math.isfinite(values[place, i]):
                raise DREnvError(f"{path}:{line} {names[i]}: got {text}, expected a finite number")
    return {name: values[:, i] for i, name in enumerate(names)}
