"""How fast a randomized VectorEnv steps and resets, against raw `Batch.step`, Gymnasium and recompilation."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
from mujoco import batch
from numpy.typing import NDArray

from dr_env.binding import compile_model, make_batch, offers
from dr_env.envs.randomization import as_spec
from dr_env.envs.registration import make_task
from dr_env.envs.task import Task
from dr_env.envs.vector import VectorEnv
from dr_env.errors import DREnvError
from dr_env.spec import Spec

_ENVS = 512
_RESET_ENVS = 128
_RIVAL_ENVS = 16
_ROUNDS = 7
_SECONDS = 0.9  # of one measurement of ours and of the engine
_RIVAL_SECONDS = 0.5

Actions = list[NDArray[Any]]


def vector(task_name: str) -> dict[str, Any]:
    """Environment steps per second: medians of rounds in which all contenders are measured, one after the other.

    Ratios are medians of the rounds' own, so that what else a machine does meanwhile hits both sides alike.

    Ours: 512 environments under the task's own Spec, with as many new episodes as its own length of episodes makes
    (or, where they end sooner, more), and the same with noise, delays and pushes added where the Spec has none. The
    engine: `Batch.step` alone with the same actions from the same states, on the nominal model and, since a randomized
    model may be slower to simulate (delays, friction, harder contacts), on each environment's own (`_same`).
    `engine_share` is how much of our time `Batch.step` took. The rivals: Gymnasium's vector modes, for tasks that
    Gymnasium has.
    """
    task = make_task(task_name)
    spec = as_spec("default", task)
    nominal = VectorEnv(task, _ENVS)
    nominal.reset(seed=0)
    nominal.action_space.seed(0)
    actions: Actions = [nominal.action_space.sample() for _ in range(64)]
    engine = _engine(nominal, actions)
    steps = _steps(engine, task)
    envs = {
        name: VectorEnv(task, _ENVS, randomization)
        for name, randomization in (("env", spec), ("disturbed", disturbed(spec, task)))
    }
    rivals = {
        mode: gym.make_vec(task.reference, _RIVAL_ENVS, mode, {"context": "spawn"} if mode == "async" else {})
        for mode in ("sync", "async")
        if task.reference is not None
    }
    contenders: dict[str, Callable[[], float]] = {"engine": lambda: engine(steps)}
    for name, env in envs.items():
        env.reset(seed=0)
        contenders[name] = functools.partial(_env_rate, env, actions, steps)
        contenders[f"{name}_engine"] = functools.partial(_engine(env, actions), steps)
    contenders |= {name: functools.partial(_rival_rate, rival) for name, rival in rivals.items()}
    rounds = {name: np.zeros(_ROUNDS) for name in contenders}
    for i in range(_ROUNDS):
        for name, measure in contenders.items():
            rounds[name][i] = measure()
    rates = {name: float(np.median(found)) for name, found in rounds.items()}

    def ratio(one: str, other: str) -> float:
        return float(np.median(rounds[one] / rounds[other]))

    shares = {name: _engine_share(env, actions, steps) for name, env in envs.items()}
    redraws = [_timed(lambda: envs["env"].reset(seed=0)) for _ in range(20)]
    threads = nominal._batch.nthread
    for made in (nominal, *envs.values(), *rivals.values()):
        made.close()
    rival = max(rivals, key=rates.__getitem__, default=None)
    return {
        "task": task_name,
        "num_envs": _ENVS,
        "threads": threads,
        "steps_per_s": rates["env"],
        "engine_steps_per_s": rates["engine"],
        "ratio_engine": ratio("env", "engine"),
        "ratio_engine_same": ratio("env", "env_engine"),
        "engine_share": shares["env"],
        "disturbed_steps_per_s": rates["disturbed"],
        "ratio_engine_disturbed": ratio("disturbed", "engine"),
        "ratio_engine_same_disturbed": ratio("disturbed", "disturbed_engine"),
        "engine_share_disturbed": shares["disturbed"],
        "gym_sync_steps_per_s": rates.get("sync"),
        "gym_async_steps_per_s": rates.get("async"),
        "ratio_gym": ratio("env", rival) if rival else None,
        "ratio_engine_gym": ratio("engine", rival) if rival else None,
        "redraw_us": 1e6 * float(np.median(redraws)) / _ENVS,
    }


def disturbed(spec: Spec, task: Task) -> Spec:
    """The Spec with noise, delays and pushes, each added where no entry has it."""
    model = compile_model(task.mjspec(), Spec())
    pushable = next(offer.names[0] for offer in offers(model) if offer.field.name == "push_impulse")
    extra = {
        ("observation", "noise"): {"select": {"observation": "*"}, "high": 0.01},
        ("actuator", "delay"): {"select": {"actuator": "*"}, "high": task.dt},
        ("body", "push_impulse"): {"select": {"body": pushable}, "high": 0.01},
        ("body", "push_rate"): {"select": {"body": pushable}, "high": 2.0},
    }
    present = {(entry.select.kind, entry.field) for entry in spec.entries.values()}
    form = spec.to_dict()
    for (kind, field), what in extra.items():
        if (kind, field) in present or (kind == "actuator" and not model.nu):
            continue
        distribution = {"type": "uniform", "low": 0.0, "high": what["high"]}
        entry = {"select": what["select"], "field": field, "operation": "set", "distribution": distribution}
        form["entries"][f"added_{field}"] = entry
    return Spec.from_dict(form)


def reset(task_name: str) -> dict[str, Any]:
    """The cost of a new episode under a Spec of 30 entries, against compiling the model anew.

    Ours: draw, write, derived constants, reset, initial state, forward and observation, of 128
    environments at once. The rival: compiling the same MJCF, which other toolkits do for each episode,
    less everything else that they do then.
    """
    task = make_task(task_name)
    mjspec = task.mjspec()
    spec = _thirty_entries(compile_model(mjspec, Spec()))
    env = VectorEnv(task, _RESET_ENVS, spec)
    env.reset(seed=0)
    redraws = [_timed(env.reset) for _ in range(30)]
    compiles = [_timed(lambda: compile_model(mjspec, Spec())) for _ in range(30)]
    redraw, recompile = (1e6 * float(np.median(times)) for times in (redraws, compiles))
    return {
        "task": task_name,
        "num_envs": _RESET_ENVS,
        "entries": len(spec.entries),
        "redraw_us": redraw / _RESET_ENVS,
        "recompile_us": recompile,
        "ratio_recompile": recompile / (redraw / _RESET_ENVS),
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


def _env_rate(env: VectorEnv, actions: Actions, steps: int) -> float:
    return env.num_envs * steps / _env_seconds(env, actions, steps)


def _env_seconds(env: VectorEnv, actions: Actions, steps: int) -> float:
    """How long so many steps take: without the end of whole episodes, and their share of one step that ends all."""
    env.reset(seed=0)

    def run() -> None:
        for i in range(steps):
            env.step(actions[i % len(actions)])

    plain = _timed(run)
    env._elapsed[:] = env.max_episode_steps - 1
    ending = _timed(lambda: env.step(actions[0])) - plain / steps
    return plain + ending * steps / env.max_episode_steps


def _engine_share(env: VectorEnv, actions: Actions, steps: int) -> float:
    """The share of an environment's time that is `Batch.step`'s own."""
    inside = 0.0
    plain = env._batch.step

    def step(*args: Any) -> None:
        nonlocal inside
        began = time.perf_counter()
        try:
            plain(*args)
        finally:
            inside += time.perf_counter() - began

    env._batch.step = step
    seconds = _env_seconds(env, actions, steps)
    env._batch.step = plain
    return inside * steps / (steps + 1) / seconds


def _engine(env: VectorEnv, actions: Actions) -> Callable[[int], float]:
    """Measures `Batch.step` alone over so many steps, with an environment's models, states and controls."""
    simulations = env._batch
    engine = make_batch(simulations.get_model(0), env.num_envs)
    for field in batch.MODEL_FIELDS:
        if (rows := simulations.expanded(field)) is not None:
            engine.expand(field)[:] = rows
    start, fields = env._batch.state.copy(), {name: live.copy() for name, live in env._live.items()}
    controls = [env.task.control(fields, action) for action in actions]
    ctrl = engine.bind("ctrl")

    def rate(steps: int) -> float:
        engine.state[:] = start

        def run() -> None:
            for i in range(steps):
                ctrl[:] = controls[i % len(controls)]
                engine.step(nstep=env.task.frame_skip)

        return float(engine.nsim * steps / _timed(run))

    return rate


def _steps(engine: Callable[[int], float], task: Task) -> int:
    """How many steps the engine takes in one measurement's time, less than an episode's."""
    engine(10)
    return int(np.clip(_SECONDS * engine(20) / _ENVS, 25, task.max_episode_steps - 1))


def _rival_rate(rival: gym.vector.VectorEnv[Any, Any, Any]) -> float:
    rival.reset(seed=0)
    rival.action_space.seed(0)
    actions = [rival.action_space.sample() for _ in range(64)]
    began, steps = time.perf_counter(), 0
    while time.perf_counter() < began + _RIVAL_SECONDS:
        for action in actions:
            rival.step(action)
        steps += len(actions)
    return rival.num_envs * steps / (time.perf_counter() - began)
