"""Recordings of simulated targets: what a mechanism's log would hold."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env.binding import HELD, BatchRows, build_model, compile_model, make_batch
from dr_env.envs.forces import FIELD
from dr_env.envs.initial import InitialState
from dr_env.envs.registration import make_task
from dr_env.envs.task import Task
from dr_env.errors import DREnvError
from dr_env.spec import Spec
from dr_env.tuning.evidence import Log

Array = NDArray[np.float64]


def record(
    task: Task | str,
    spec: Spec,
    episodes: int = 1,
    seconds: float = 10.0,
    seed: int = 0,
    noise: float = 0.0,
    smooth: float = 0.3,
) -> list[Log]:
    """Records a simulated target, one fixed world, under random and smooth actions.

    What is random from step to step in its Spec is left out; nothing ends an episode early.

    Args:
        task: what to record.
        spec: the target's Spec.
        episodes: how many recordings.
        seconds: of each, at most.
        seed: of the target's Draw, its initial states, the actions and the noise.
        noise: standard deviation of white noise on what is measured, as a share of each number's own.
        smooth: s over which actions change.

    Returns:
        One Log an episode, with a sample for each action, from rest; controls are those that were sent.
    """
    task = make_task(task) if isinstance(task, str) else task
    names = task.observation_names(compile_model(task.mjspec(), Spec()))
    build = build_model(task.mjspec(), spec, names)
    model, plan = build.model, spec.bind(build.model, names, build)
    task = task.at(float(model.opt.timestep))
    key = np.array([seed], np.uint64)
    columns, _ = plan.sample_columns(key, np.zeros(1), np.zeros(1))
    simulations = make_batch(model, episodes, name="episodes")
    rows, ids = BatchRows(simulations, {}), np.arange(episodes)
    for name, values in (plan.realise(columns) if columns else {}).items():
        if not name.startswith(HELD):
            rows.write(name, ids, np.tile(values, (episodes, 1)))
    if plan.recompute:
        rows.recompute(ids)
    rng = np.random.default_rng(seed)
    uniform = rng.uniform(1e-9, 1, (episodes, task.reset_width(model)))
    live = {field: simulations.bind(field) for field in {*task.fields, "qpos", "qvel"} if field != FIELD}
    start = InitialState(simulations, model, live.values(), plan.nominal.keys())
    start.begin(ids, start.made(task, ids, uniform))
    ctrl = simulations.bind("ctrl")
    steps = max(4, round(seconds / task.dt))
    space = task.action_space(model)
    low, high = np.maximum(space.low, -1e3), np.minimum(space.high, 1e3)
    wave = _smooth(rng, space.shape[0], episodes, steps, smooth / task.dt)
    actions = np.clip(0.5 * (low + high) + 0.5 * (high - low) * wave, low, high).astype(np.float32)
    found: dict[str, list[Array]] = {"qpos": [], "qvel": [], "ctrl": []}
    for action in actions:
        ctrl[:] = task.control(live, action)
        for name, parts in found.items():
            parts.append(np.array(simulations.bind(name)))
        simulations.step(nstep=task.frame_skip)
    table = {name: np.stack(parts, axis=1) for name, parts in found.items()}  # (episodes, steps, size)
    if not all(np.isfinite(values).all() for values in table.values()) or simulations.warning[:, :, 1].any():
        raise DREnvError(f"{task.name}: the target diverges under these actions; give another seed or smoother ones")
    for name in ("qpos", "qvel"):
        table[name] += noise * table[name].std(axis=(0, 1)) * rng.normal(size=table[name].shape)
    for state in table["qpos"].reshape(-1, model.nq):
        mujoco.mj_normalizeQuat(model, state)  # some tasks begin with quaternions that are nearly of length 1
    time = np.asarray(np.arange(steps) * task.dt, np.float64)
    logs = [Log(f"episode {i}", time, *(table[name][i] for name in table)) for i in range(episodes)]
    return [log.uncommanded_before() for log in logs]


def _smooth(rng: np.random.Generator, size: int, episodes: int, steps: int, width: float) -> Array:
    """Random signals within -1 .. 1, (steps, episodes, size), each a sum of a few sines."""
    t = np.arange(steps)[:, None, None, None]
    period = width * 2 * np.pi * rng.uniform(0.5, 4.0, (1, episodes, size, 5))
    phase = rng.uniform(0, 2 * np.pi, (1, episodes, size, 5))
    return np.asarray(np.sin(2 * np.pi * t / period + phase).sum(axis=-1) / 3).clip(-1, 1)
