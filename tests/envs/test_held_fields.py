"""Every field that the environment acts on: written, read back, felt, gone again bit for bit, without drift."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dr_env import Draw, Spec, Task, VectorEnv, make_task
from dr_env.binding import FIELDS, IMAGED, Field
from dr_env.binding.derived import DERIVED
from dr_env.binding.held import HELD
from tests.conftest import FULL_MODEL, entry, spec_of

ACTED_ON = [f for f in FIELDS if f.array.startswith(HELD) and f.array not in DERIVED and not f.array.startswith(IMAGED)]
NAMES = {"body": "cart", "sensor": "encoder", "action": "*", "observation": "*"}
VALUES = {
    "push_force": 5.0, "push_duration": 0.1, "push_impulse": 1.0, "push_rate": 20.0, "push_interval": 0.05,
    "push_axes": 0.5, "delay": 0.05, "dropout": 0.5, "jitter": 0.01,
}  # fmt: skip
# what a push needs beside one of its numbers
BESIDE = {
    "push_force": {"push_duration": 0.1, "push_interval": 0.05},
    "push_duration": {"push_force": 5.0, "push_interval": 0.05},
    "push_impulse": {"push_interval": 0.05},
    "push_rate": {"push_impulse": 1.0},
    "push_interval": {"push_impulse": 1.0},
    "push_axes": {"push_impulse": 1.0, "push_interval": 0.05},
}


@pytest.fixture
def task(tmp_path: Path) -> Task:
    path = tmp_path / "full.xml"
    path.write_text(FULL_MODEL)
    return make_task(
        path,
        reward=lambda before, action, after: after["qpos"][:, 0],
        observe=lambda data: np.concatenate((data["qpos"], data["qvel"], data["sensordata"]), 1),
        fields=("qpos", "qvel", "sensordata"),
        frame_skip=5,
    )


def _ids(field: Field) -> str:
    return f"{field.kind}.{field.name}"


def _spec(field: Field, **distribution: object) -> Spec:
    select, name = {field.kind: NAMES[field.kind]}, f"{field.name}[0]" if field.components > 1 else field.name
    beside = {
        f"beside_{i}": entry(select, other, "set", type="constant", value=value)
        for i, (other, value) in enumerate(BESIDE.get(field.name, {}).items())
    }
    return spec_of(x=entry(select, name, "set", **distribution), **beside)


def _run(env: VectorEnv, **options: object) -> np.ndarray:
    observations = [env.reset(seed=0, options=options)[0]]
    for step in range(40):
        observations.append(env.step(np.full((env.num_envs, 2), np.sin(step), np.float32))[0])
    return np.array(observations)


@pytest.mark.parametrize("field", ACTED_ON, ids=_ids)
def test_written_read_back_felt_and_gone(task: Task, field: Field) -> None:
    value, nothing = VALUES.get(field.name, 0.1), 0.0
    if field.name in ("push_interval", "push_axes"):
        nothing = {"push_interval": 1000.0, "push_axes": 1.0}[field.name]
    env = VectorEnv(task, 2, _spec(field, type="constant", value=value))
    plain = _run(VectorEnv(task, 2, _spec(field, type="constant", value=nothing)))
    felt = _run(env)
    array = env._effects.arrays[field.array].reshape(2, -1)
    assert (array[:, env.plan.entries[0].flat] == value).all()
    rest = np.delete(env.plan.nominal[field.array], env.plan.entries[0].flat)
    assert (np.delete(array, env.plan.entries[0].flat, axis=1) == rest).all()
    assert np.abs(felt - plain).max() > 1e-6
    back = _run(env, draw=Draw({**env.draws[0], "x": nothing}))
    assert (back == plain).all()
    if field.name != "push_axes":  # whose nothing is a push
        assert (back == _run(VectorEnv(task, 2))).all()
    assert (_run(env) == felt).all()


@pytest.mark.parametrize("field", ACTED_ON, ids=_ids)
def test_no_drift_over_ten_thousand_draws(task: Task, field: Field) -> None:
    value = VALUES.get(field.name, 0.1)
    env = VectorEnv(task, 1, _spec(field, type="uniform", low=0.5 * value, high=value))
    first = _run(env)
    count = 10_000
    columns, _ = env.plan.sample_columns(np.ones(count, np.uint64), np.zeros(count), np.arange(count))
    for i in range(count):
        env.plan.write(env.rows, np.zeros(1, np.intp), {name: column[i : i + 1] for name, column in columns.items()})
    assert (_run(env) == first).all()
