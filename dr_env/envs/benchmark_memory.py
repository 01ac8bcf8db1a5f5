"""What an environment more costs in memory, and whether stepping leaks any."""

from __future__ import annotations

import resource
import sys
from typing import Any

import numpy as np

from dr_env.envs.randomization import as_spec
from dr_env.envs.registration import make_task
from dr_env.envs.vector import VectorEnv

_FEW, _MANY = 128, 1024
_STEPS = 1_000_000


def memory(task_name: str) -> dict[str, Any]:
    """The process's peak memory with 128 and with 1024 environments, and its growth over a million steps.

    Each with the task's own Spec; the growth is that of the second half million steps, when every
    buffer has been touched.
    """
    task = make_task(task_name)
    spec = as_spec("default", task)
    few = VectorEnv(task, _FEW, spec)
    _run(few, 50)
    before = _peak_kib()
    many = VectorEnv(task, _MANY, spec)
    _run(many, 50)
    after = _peak_kib()
    _run(many, _STEPS // 2 // _MANY)
    half = _peak_kib()
    _run(many, _STEPS // 2 // _MANY)
    grown = _peak_kib() - half
    return {
        "task": task_name,
        "kib_per_env": (after - before) / _MANY,
        "steps": _STEPS,
        "growth_kib": grown,
        "peak_mib": _peak_kib() / 1024,
    }


def _run(env: VectorEnv, steps: int) -> None:
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (32, *(env.action_space.shape or ()))).astype(np.float32)
    for i in range(steps):
        env.step(actions[i % len(actions)])


def _peak_kib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 if sys.platform == "darwin" else float(peak)
