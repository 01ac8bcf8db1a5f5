"""How fast recordings are replayed, against raw `Batch` stepping of the same steps."""

from __future__ import annotations

import time
from typing import Any

import mujoco
import numpy as np
from mujoco import batch

from dr_env.binding import build_model, compile_model
from dr_env.envs.commands import Commands
from dr_env.envs.randomization import as_spec
from dr_env.envs.recorder import record
from dr_env.envs.registration import make_task
from dr_env.envs.replay import Replay
from dr_env.spec import Spec

_VALUES = 32
_ROUNDS = 5


def tune(task_name: str) -> dict[str, Any]:
    """(Window x value) simulations per second, each contender's best of five rounds taken in turn.

    Ours: values drawn from the task's own Spec written into a batch, 0.5 s windows of a recording of the nominal
    model reset, stepped, read and compared. The engine: `Batch.rollout` alone on the nominal model, as many simulations
    with the same controls from the same states.
    """
    task = make_task(task_name)
    spec = as_spec("default", task)
    names = task.observation_names(compile_model(task.mjspec(), Spec()))
    logs = record(task, Spec(), 4, 8.0)
    replay = Replay(build_model(task.mjspec(), spec, names), spec, logs, 0.5, observations=names)
    count = len(replay.windows)
    ids = np.arange(_VALUES, dtype=np.uint64)
    columns, _ = replay.plan.sample_columns(np.zeros(_VALUES, np.uint64), ids, np.zeros(_VALUES, np.uint64))
    steps = int(replay.windows.steps.max())
    engine = batch.Batch(replay.model, count * _VALUES)
    controls = Commands(replay.model, logs, replay.windows).during(slice(0, count), 0, steps, _VALUES)

    def ours() -> float:
        began = time.perf_counter()
        replay.differences(columns)
        return count * _VALUES / (time.perf_counter() - began)

    def engines() -> float:
        engine.reset(stage=mujoco.mjtStage.mjSTAGE_NONE)
        for name in ("qpos", "qvel"):
            engine.bind(name)[:] = np.repeat(getattr(replay.windows, name), _VALUES, axis=0)
        began = time.perf_counter()
        engine.rollout(steps, controls, record=["qpos"])
        return count * _VALUES / (time.perf_counter() - began)

    rounds = [(ours(), engines()) for _ in range(_ROUNDS)]
    best = [max(column) for column in zip(*rounds, strict=True)]
    return {
        "task": task_name,
        "windows": count,
        "values": _VALUES,
        "steps": steps,
        "threads": engine.nthread,
        "sims_per_s": best[0],
        "engine_sims_per_s": best[1],
        "ratio_engine": best[0] / best[1],
    }
