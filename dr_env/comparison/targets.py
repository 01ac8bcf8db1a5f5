"""Hidden targets and what is recorded of them."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env.binding import build_model, compile_model
from dr_env.distributions import Constant
from dr_env.envs import Task, make_task
from dr_env.rng import generator
from dr_env.spec import Spec
from dr_env.tuning import Log

Array = NDArray[np.float64]

_EPISODE = 50  # control steps after which a recording begins anew
_SMOOTH = 0.8  # how much of the last action the next keeps
_SWING = 0.45  # of the range, the standard deviation of what is added to it
_PLACE_NOISE = 0.002  # m, rad
_SPEED_NOISE = 0.05  # m/s, rad/s
_DELAYS = {"hopper": 0.01, "half_cheetah": 0.01}  # s


def hidden(task: str, prior: Spec, number: int, delay: bool) -> Spec:
    """A target: each value drawn from the middle 80 % of its range, and a delay if told so.

    Depends on task, number and names alone.
    """
    entries = {}
    for name, entry in prior.entries.items():
        uniform = generator("comparison", task, number, name).random(64)[:1] * 0.8 + 0.1
        value = float(entry.distribution.quantile(uniform)[0])
        entries[name] = entry.model_copy(update={"distribution": Constant(value), "per": "shared", "bounds": None})
    target = Spec(entries=entries).to_dict()
    if delay:
        late = {"type": "constant", "value": _DELAYS[task]}
        target["entries"]["hidden_delay"] = {
            "select": {"actuator": "*"}, "field": "delay", "operation": "set", "distribution": late,
        }  # fmt: skip
    return Spec.from_dict(target, f"target {number} of {task}")


def truth_of(target: Spec, names: tuple[str, ...]) -> Array:
    """The target's values, (d,)."""
    return np.array([target.entries[name].distribution.mean() for name in names])


def record(task_name: str, target: Spec, transitions: int, seed: int, noisy: bool) -> tuple[Log, ...]:
    """Recordings of a target under smooth random actions, in episodes of at most 50 control steps.

    Args:
        task_name: the environment.
        target: its Spec, of constants.
        transitions: control steps in all.
        seed: of actions, initial states and noise.
        noisy: whether measurements have noise of 2 mm or mrad, and 50 mm/s or mrad/s.
    """
    task = make_task(task_name)
    names = task.observation_names(compile_model(task.mjspec(), Spec()))
    build = build_model(task.mjspec(), target, names)
    model, plan = build.model, target.bind(build.model, names, build)
    plan.apply(model, plan.sample(np.random.default_rng(0)))
    data = mujoco.MjData(model)
    logs: list[Log] = []
    done = 0
    while done < transitions:
        rng = generator("recording", seed, task_name, len(logs))
        length = min(_EPISODE, transitions - done)
        logs.append(_episode(task, model, data, length, rng, noisy, f"{task_name} {len(logs)}"))
        done += length
    return tuple(logs)


def _episode(
    task: Task,
    model: mujoco.MjModel,
    data: mujoco.MjData,
    length: int,
    rng: np.random.Generator,
    noisy: bool,
    name: str,
) -> Log:
    mujoco.mj_resetData(model, data)
    state = task.initial_state(model, rng.random((1, task.reset_width(model))))
    data.qpos[:], data.qvel[:] = state["qpos"][0], state["qvel"][0]
    mujoco.mj_forward(model, data)
    low, high = model.actuator_ctrlrange.T
    qpos, qvel, ctrl = [data.qpos.copy()], [data.qvel.copy()], []
    action = np.zeros(model.nu)
    for _ in range(length):
        action = _SMOOTH * action + _SWING * rng.standard_normal(model.nu)
        data.ctrl[:] = 0.5 * (low + high) + 0.5 * (high - low) * np.clip(action, -1.0, 1.0)
        ctrl.append(data.ctrl.copy())
        mujoco.mj_step(model, data, task.frame_skip)
        qpos.append(data.qpos.copy())
        qvel.append(data.qvel.copy())
    ctrl.append(ctrl[-1])
    places, speeds = np.array(qpos, np.float64), np.array(qvel, np.float64)
    if noisy:
        places += _PLACE_NOISE * rng.standard_normal(places.shape)
        speeds += _SPEED_NOISE * rng.standard_normal(speeds.shape)
    return Log(
        name, np.asarray(task.dt * np.arange(length + 1), np.float64), places, speeds, np.array(ctrl)
    ).uncommanded_before()
