"""How fast a randomized VectorEnv steps and resets, against raw `Batch.step`, Gymnasium and recompilation."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
from mujoco import batch
from numpy.typing import NDArray

from dr_env.binding import compile_model, offers
from dr_env.envs.registration import as_spec, make_task
from dr_env.envs.task import Task
from dr_env.envs.vector import VectorEnv
from dr_env.errors import DREnvError
from dr_env.spec import Spec

_ENVS = 128
_RIVAL_ENVS = 16
_ROUNDS = 5


def vector(task_name: str) -> dict[str, Any]:
    """Environment steps per second, each contender's best of five rounds taken in turn.

    Ours: 128 environments under the task's own Spec, whole episodes, redrawn at their end. The
    engine: `Batch.step` alone on the nominal model with the same actions from the same states.
    """
    task = make_task(task_name)
    reference = reference_of(task)
    env = VectorEnv(task, _ENVS, as_spec("default", task))
    steps = 200 if task_name != "half_cheetah" else 1000
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(64)]
    engine = batch.Batch(VectorEnv(task, 1).model, _ENVS)
    rivals = {
        mode: gym.make_vec(reference, _RIVAL_ENVS, mode, {"context": "spawn"} if mode == "async" else {})
        for mode in ("sync", "async")
    }
    contenders: dict[str, Callable[[], float]] = {
        "env": lambda: _env_rate(env, actions, steps),
        "engine": lambda: _engine_rate(engine, task, actions, steps),
        "sync": lambda: _rival_rate(rivals["sync"], steps // 3),
        "async": lambda: _rival_rate(rivals["async"], steps // 3),
    }
    best = dict.fromkeys(contenders, 0.0)
    for _ in range(_ROUNDS):
        for name, measure in contenders.items():
            best[name] = max(best[name], measure())
    redraws = [_timed(lambda: env.reset(seed=0)) for _ in range(20)]
    for made in (env, *rivals.values()):
        made.close()
    return {
        "task": task_name,
        "num_envs": _ENVS,
        "threads": engine.nthread,
        "steps_per_s": best["env"],
        "engine_steps_per_s": best["engine"],
        "ratio_engine": best["env"] / best["engine"],
        "gym_sync_steps_per_s": best["sync"],
        "gym_async_steps_per_s": best["async"],
        "ratio_gym": best["env"] / max(best["sync"], best["async"]),
        "redraw_us": 1e6 * float(np.median(redraws)) / _ENVS,
    }


def reset(task_name: str) -> dict[str, Any]:
    """The cost of a new episode under a Spec of 30 entries, against compiling the model anew.

    Ours: draw, write, derived constants, reset, initial state, forward and observation, of 128
    environments at once. The rival: compiling the same MJCF, which other toolkits do for each episode,
    less everything else that they do then.
    """
    task = make_task(task_name)
    mjspec = task.mjspec()
    spec = _thirty_entries(compile_model(mjspec, Spec()))
    env = VectorEnv(task, _ENVS, spec)
    env.reset(seed=0)
    redraws = [_timed(env.reset) for _ in range(30)]
    compiles = [_timed(lambda: compile_model(mjspec, Spec())) for _ in range(30)]
    redraw, recompile = (1e6 * float(np.median(times)) for times in (redraws, compiles))
    return {
        "task": task_name,
        "num_envs": _ENVS,
        "entries": len(spec.entries),
        "redraw_us": redraw / _ENVS,
        "recompile_us": recompile,
        "ratio_recompile": recompile / (redraw / _ENVS),
    }


def _thirty_entries(model: mujoco.MjModel) -> Spec:
    """Thirty entries, one object each, over masses, joints, friction and motors."""
    wanted = {("body", "mass"): "mass", ("joint", "damping"): "damping", ("joint", "armature"): "armature"}
    wanted |= {("actuator", "gain"): "gain", ("geom", "friction"): "friction[0]", ("joint", "stiffness"): "stiffness"}
    entries: dict[str, Any] = {}
    for offer in offers(model):
        field = wanted.get((offer.field.kind, offer.field.name))
        for name in [n for n, value in zip(offer.names, offer.first, strict=True) if value > 0] if field else ():
            entries[f"{field}_{name}"] = {
                "select": {offer.field.kind: name},
                "field": field,
                "operation": "scale",
                "distribution": {"type": "uniform", "low": 0.8, "high": 1.2},
            }
    chosen = dict(list(entries.items())[:30])
    return Spec.from_dict({"format": "dr_env/1", "entries": chosen})


def reference_of(task: Task) -> str:
    """The Gymnasium environment to compare with. Raises DREnvError where there is none."""
    if task.reference is None:
        raise DREnvError(f"task: '{task.name}' has no counterpart in Gymnasium to compare with")
    return task.reference


def _timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _env_rate(env: VectorEnv, actions: list[NDArray[np.float32]], steps: int) -> float:
    env.reset(seed=0)

    def run() -> None:
        for i in range(steps):
            env.step(actions[i % len(actions)])

    return env.num_envs * steps / _timed(run)


def _engine_rate(engine: batch.Batch, task: Task, actions: list[NDArray[np.float32]], steps: int) -> float:
    start = VectorEnv(task, engine.nsim)
    start.reset(seed=0)
    engine.state[:] = start._batch.state
    ctrl = engine.bind("ctrl")

    def run() -> None:
        for i in range(steps):
            ctrl[:] = actions[i % len(actions)]
            engine.step(nstep=task.frame_skip)

    return float(engine.nsim * steps / _timed(run))


def _rival_rate(rival: gym.vector.VectorEnv[Any, Any, Any], steps: int) -> float:
    rival.reset(seed=0)
    rival.action_space.seed(0)
    actions = [rival.action_space.sample() for _ in range(64)]

    def run() -> None:
        for i in range(steps):
            rival.step(actions[i % len(actions)])

    return rival.num_envs * steps / _timed(run)
