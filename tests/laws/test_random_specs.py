"""Laws that hold for whatever Spec is bound to whatever model."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import jsonschema
import mujoco
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dr_env import DomainRandomization, Env, Spec, VectorEnv
from dr_env.binding.held import HELD
from dr_env.binding.rows import attribute
from dr_env.spec import json_schema
from tests.conftest import entry, model_bytes, spec_of
from tests.laws.strategies import Case, cases

SCHEMA = jsonschema.Draft202012Validator(json_schema())
SLOW = settings(
    max_examples=20,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
QUICK = settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


def _keys(n: int) -> tuple[Any, Any, Any]:
    return np.full(n, 7, np.uint64), np.arange(n, dtype=np.uint64), np.zeros(n, np.uint64)


def _value(model: mujoco.MjModel, name: str) -> Any:
    return np.asarray(attribute(model, name), np.float64).reshape(-1)


@given(cases())
@QUICK
def test_files(case: Case) -> None:
    again = Spec.from_yaml(case.spec.to_yaml())
    assert again == case.spec
    assert (again.digest(), again.to_yaml()) == (case.spec.digest(), case.spec.to_yaml())
    assert Spec.from_dict(case.spec.to_dict()) == case.spec
    SCHEMA.validate(case.spec.to_dict())
    assert case.spec.with_parameters(case.spec.parameters()) == case.spec
    assert again.bind(case.model, case.names).binding == case.plan.binding


@given(cases(), st.integers(0, 2**32))
@QUICK
def test_writing(case: Case, seed: int) -> None:
    """What is drawn is read back, nothing drifts, and everything comes back."""
    plan, model, rng = case.plan, case.model, np.random.default_rng(seed)
    nominal = model_bytes(model)
    draw = plan.sample(rng)
    assert np.isfinite(plan.log_prob(draw))
    plan.apply(model, draw)
    once = model_bytes(model)
    for name, values in plan.realise(plan.columns_from([draw])).items():
        if not name.startswith(HELD):
            np.testing.assert_array_equal(_value(model, name), values[0], err_msg=name)
    for _ in range(5):
        plan.apply(model, plan.sample(rng))
    plan.apply(model, draw)
    assert model_bytes(model) == once
    plan.restore(model)
    assert model_bytes(model) == nominal


@given(cases())
@QUICK
def test_identity(case: Case) -> None:
    """Scaling by one and adding nothing change no bit."""
    neutral = {"scale": 1.0, "add": 0.0}
    entries = {
        name: {**form, "distribution": {"type": "constant", "value": neutral[form["operation"]]}}
        for name, form in case.spec.to_dict()["entries"].items()
        if form["operation"] in neutral
    }
    spec = spec_of(**entries)
    model = case.model
    nominal = model_bytes(model)
    plan = spec.bind(model, case.names)
    plan.apply(model, plan.sample(np.random.default_rng(0)))
    assert model_bytes(model) == nominal


@given(cases())
@QUICK
def test_draws_do_not_depend_on_each_other(case: Case) -> None:
    plan = case.plan
    columns, _ = plan.sample_columns(*_keys(6))
    few, _ = plan.sample_columns(*_keys(2))
    for name, values in columns.items():
        assert (values[:2] == few[name]).all()
    # another entry, first or last, changes nothing
    another = {"another": entry("option", "magnetic[0]", "add", type="uniform", low=0.0, high=1.0)}
    if any(form["field"].startswith("magnetic") for form in case.spec.to_dict()["entries"].values()):
        return
    for entries in ({**another, **case.spec.to_dict()["entries"]}, {**case.spec.to_dict()["entries"], **another}):
        more, _ = spec_of(**entries).bind(case.model, case.names).sample_columns(*_keys(6))
        for name, values in columns.items():
            assert (values == more[name]).all()


def _run(env: Any, seed: Any, actions: Any, **options: Any) -> list[bytes]:
    observation, _ = env.reset(seed=seed, **options)
    seen = [np.asarray(observation).tobytes()]
    for action in actions:
        observation, reward, terminated, truncated, _ = env.step(action)
        seen.append(np.asarray(observation).tobytes() + np.float64(reward).tobytes() + np.asarray(terminated).tobytes())
        if terminated or truncated:
            break
    return seen


def _actions(case: Case, steps: int = 6) -> Any:
    return (
        np.random.default_rng(1)
        .uniform(-1, 1, (steps, *(case.task.action_space(case.model).shape or ())))
        .astype(np.float32)
    )


@given(cases())
@SLOW
def test_one_and_many_agree(case: Case) -> None:
    """Each environment of a vector is, bit for bit, the one that runs alone with its seed."""
    actions = _actions(case)
    many = VectorEnv(case.task, 3, case.spec, flat_goal=True, threads=2)
    observations, _ = many.reset(seed=[3, 4, 5])
    seen = [[row.tobytes()] for row in observations]
    over = np.zeros(3, bool)
    for action in actions:
        observations, rewards, terminated, truncated, info = many.step(np.repeat(action[None], 3, axis=0))
        for i in np.flatnonzero(~over):
            ended = terminated[i] or truncated[i]
            last = info["final_obs"][i] if ended else observations[i]
            seen[i].append(last.tobytes() + rewards[i].tobytes() + terminated[i].tobytes())
        over |= terminated | truncated
    for i, seed in enumerate((3, 4, 5)):
        assert _run(Env(case.task, case.spec, flat_goal=True), seed, actions) == seen[i]


@given(cases(compiled=False))
@SLOW
def test_wrapper_and_env_agree(case: Case) -> None:
    """Around an environment of our own, and around Gymnasium's where the task equals one."""
    actions = _actions(case)
    ours = Env(case.task, case.spec, flat_goal=True)
    wrapped = DomainRandomization(Env(case.task, flat_goal=True), case.spec)
    assert _run(wrapped, 3, actions) == _run(ours, 3, actions)
    assert wrapped.draw == ours.draw
    if case.task.reference is None:
        return
    theirs = DomainRandomization(gym.make(case.task.reference), _numbered(case))
    theirs.reset(seed=3)
    data = theirs.unwrapped.data  # type: ignore[attr-defined]
    assert theirs.draw == ours.draw
    start = {"qpos": data.qpos.copy(), "qvel": data.qvel.copy(), "draw": dict(theirs.draw)}
    assert _states(theirs, actions, seed=3) == _states(ours, actions, seed=3, options=start)


def _numbered(case: Case) -> Spec:
    """The same Spec for an environment whose observation's numbers have no names of their own."""
    numbers = {name: f"#{i}" for i, name in enumerate(case.names)}
    entries = case.spec.to_dict()["entries"]
    for name, bound in ((b.name, b) for b in case.plan.entries if b.field.kind == "observation"):
        entries[name] = {**entries[name], "select": {"observation": [numbers[match] for match in bound.matches]}}
    return spec_of(**entries)


def _states(env: Any, actions: Any, **reset: Any) -> list[bytes]:
    """Readings, which are the environments' own, until an episode ends."""
    seen = [np.asarray(env.reset(**reset)[0]).tobytes()]
    for action in actions:
        observation, _, terminated, truncated, _ = env.step(action)
        seen.append(np.asarray(observation).tobytes())
        if terminated or truncated:
            break
    return seen
