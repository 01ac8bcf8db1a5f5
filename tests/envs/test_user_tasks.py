"""Tasks of one's own: what their functions are given, and what they may give back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dr_env import DomainRandomization, DREnvError, Env, VectorEnv, make_task
from tests.conftest import entry, spec_of

MODEL = """
<mujoco>
  <option timestep="0.01" gravity="0 0 0"/>
  <worldbody>
    <body name="cart"><joint name="slide" type="slide" axis="1 0 0"/><geom size=".1" mass="1"/><site name="imu"/></body>
  </worldbody>
  <actuator><motor name="push" joint="slide" ctrlrange="-1 1"/></actuator>
  <sensor><jointpos name="place" joint="slide"/><framequat name="turn" objtype="site" objname="imu"/></sensor>
</mujoco>
"""


def task_of(folder: Path, **arguments: Any) -> Any:
    path = folder / "cart.xml"
    path.write_text(MODEL)
    given = {"reward": lambda before, action, after: np.zeros(len(action)), **arguments}
    return make_task(path, **given)


def test_a_delayed_sensor_begins_with_its_first_reading(tmp_path: Path) -> None:
    spec = spec_of(late=entry({"sensor": "*"}, "delay", "set", type="uniform", low=0.02, high=0.05))
    task = task_of(tmp_path, fields=("qpos", "qvel", "sensordata"), observe=lambda data: data["sensordata"])
    env = VectorEnv(task, 3, spec)
    observed, _ = env.reset(seed=0, options={"qpos": [0.5], "qvel": [1.0]})
    np.testing.assert_allclose(observed, np.tile([0.5, 1, 0, 0, 0], (3, 1)))
    delays = np.asarray(env.columns["late"]).reshape(3)
    for step in range(1, 9):
        observed = env.step(np.zeros((3, 1), np.float32))[0]
        passed = 0.01 * step - np.round(delays / 0.01) * 0.01
        np.testing.assert_allclose(observed[:, 0], 0.5 + np.maximum(passed, 0), atol=1e-9)


@pytest.mark.parametrize("function", ["observe", "reward", "terminated"])
def test_states_cannot_be_written_by_a_tasks_functions(tmp_path: Path, function: str) -> None:
    def spoil(*given: Any) -> Any:
        given[-1]["qpos"][:] -= 1
        return np.zeros((len(given[-1]["qpos"]), 1))

    env = VectorEnv(task_of(tmp_path, **{function: spoil}) if function != "observe" else spoiled(tmp_path), 2)
    with pytest.raises(ValueError, match="read-only"):
        env.reset(seed=0)
        env.step(np.zeros((2, 1), np.float32))


def spoiled(folder: Path) -> Any:
    def observe(data: Any) -> Any:
        if not data["qpos"].flags.owndata:
            data["qpos"][:] *= 100
        return data["qpos"]

    return task_of(folder, observe=observe)


def test_rewards_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    task = task_of(tmp_path, reward=lambda before, action, after: np.sqrt(-1 - after["qpos"][:, 0] ** 2))
    env = VectorEnv(task, 2)
    env.reset(seed=0)
    with pytest.raises(DREnvError, match="reward: environment 0 got nan"), np.errstate(invalid="ignore"):
        env.step(np.zeros((2, 1), np.float32))


def test_fields_need_no_positions_and_a_task_may_have_a_name(tmp_path: Path) -> None:
    task = task_of(tmp_path, name="mine", fields=("sensordata",), observe=lambda data: data["sensordata"])
    env = VectorEnv(task, 2)
    assert task.name == "mine"
    env.reset(seed=0)
    assert env.step(np.zeros((2, 1), np.float32))[0].shape == (2, 5)


def test_seeds_are_those_of_the_environments_that_are_reset() -> None:
    spec = spec_of(mass=entry({"body": "torso"}, "mass", "scale", type="uniform", low=0.8, high=1.2))
    form = spec.to_dict()
    form["entries"]["mass"] |= {"trigger": "step"}
    one, other = (VectorEnv(make_task("hopper"), 3, form) for _ in range(2))
    actions = np.zeros((3, 3), np.float32)
    for env in (one, other):
        env.reset(seed=0)
        env.step(actions)
    one.reset(seed=5, options={"reset_mask": np.array([True, False, False])})
    other.reset(seed=[7, 8, 9], options={"reset_mask": np.array([True, False, False])})
    for env in (one, other):
        env.step(actions)
    assert (one.columns["mass"][1:] == other.columns["mass"][1:]).all()
    assert one.columns["mass"][0] != other.columns["mass"][0]
    other.reset(seed=[None, 1, 2])
    before = VectorEnv(make_task("hopper"), 3, form)
    before.reset(seed=[7, 1, 2])
    before.reset(seed=[None, 1, 2])
    assert before.columns["mass"][0] == other.columns["mass"][0]  # its episodes have gone on


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "hopper"}, r"task: got 'hopper', expected a dr_env.Task, such as make_task\('hopper'\)"),
        ({"num_envs": "4"}, "num_envs: got '4', expected a whole number"),
        ({"autoreset_mode": "SameSteps"}, "autoreset_mode: .*SameStep"),
        ({"width": 0}, "width: got 0, expected a whole number, at least 1"),
        ({"height": 20_000}, "width, height: got 480 x 20000, expected 1 to 16384 pixels"),
        ({"threads": -1}, "threads: got -1, expected a whole number, at least 0"),
    ],
)
def test_arguments_that_no_environment_takes(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DREnvError, match=message):
        VectorEnv(**{"task": make_task("hopper"), "num_envs": 2, **arguments})


def test_states_of_a_wrong_shape_are_said_to_be_so() -> None:
    env = VectorEnv(make_task("hopper"), 3)
    with pytest.raises(DREnvError, match=r"qpos: got shape \(2, 6\)"):
        env.reset(seed=0, options={"qpos": np.zeros((2, 6))})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rewards": max}, r"cart\.xml'\): no argument 'rewards'; did you mean 'reward'"),
        ({"frame_skip": "4"}, "frame_skip: got '4', expected a whole number of at least 1"),
        ({"max_episode_steps": 2.5}, "max_episode_steps: got 2.5, expected a whole number"),
        ({"observe": "qpos"}, "observe: got 'qpos', expected a function"),
        ({"fields": "qpos"}, r"fields: got 'qpos', expected a tuple of names, such as \('qpos',\)"),
    ],
)
def test_arguments_that_no_task_takes(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DREnvError, match=message):
        task_of(tmp_path, **arguments)
    with pytest.raises(DREnvError, match=r"make_task\('hopper'\): no argument 'frameskip'"):
        make_task("hopper", frameskip=2)


@pytest.mark.parametrize("function", ["observe", "reward", "terminated"])
def test_fields_that_were_not_asked_for_are_named(tmp_path: Path, function: str) -> None:
    with pytest.raises(DREnvError, match=rf"{function}: reads 'sensordata'.* expected fields=\('qpos', 'qvel', 'sens"):
        env = VectorEnv(task_of(tmp_path, **{function: lambda *given: given[-1]["sensordata"][:, 0]}), 2)
        env.reset(seed=0)
        env.step(np.zeros((2, 1), np.float32))


def test_keys_that_are_no_fields_stay_the_functions_own_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="height"):
        VectorEnv(task_of(tmp_path, observe=lambda data: {}["height"]), 2)


def test_observations_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    """Where episodes begin, and later where a policy could make no numbers of them."""
    from dr_env.envs.stability import try_out
    from dr_env.testing import TaskConformance

    class Conformance(TaskConformance):
        pass

    def root(data: Any) -> Any:
        with np.errstate(invalid="ignore"):
            return np.concatenate((data["qvel"], np.sqrt(data["qpos"])), axis=1)

    task = task_of(tmp_path, observe=root, max_episode_steps=10)
    env, message = VectorEnv(task, 2), "observe: environment 1 got nan for '#1', expected finite numbers"
    with pytest.raises(DREnvError, match=message):
        env.reset(seed=0, options={"qpos": [[1.0], [-1.0]]})
    env.reset(seed=0, options={"qvel": [[1.0], [-1.0]]})
    observations = env.step(np.zeros((2, 1), np.float32))[0]
    with pytest.raises(DREnvError, match=message):
        env.step(observations[:, 1:].astype(np.float32))
    for run in (lambda: try_out(task, spec_of(), 4), lambda: Conformance()._played(task, 4, 0)):
        with pytest.raises(DREnvError, match="got nan for '#1'"):
            run()


KEYED = MODEL.replace('axis="1 0 0"', 'axis="1 0 0" range="-.2 .2" limited="true"').replace(
    "</mujoco>", '<keyframe><key name="home" qpos=".1" qvel=".3" ctrl=".7"/></keyframe></mujoco>'
)


def test_episodes_start_from_a_keyframe_and_within_the_joints_ranges(tmp_path: Path) -> None:
    path = tmp_path / "keyed.xml"
    path.write_text(KEYED)

    def states(**arguments: Any) -> Any:
        task = make_task(path, reward=lambda before, action, after: np.zeros(len(action)), **arguments)
        return VectorEnv(task, 64).reset(seed=0)[0], task.initial_state(task.mjspec().compile(), np.full((2, 2), 0.5))

    observed, state = states(start="home")
    assert (observed == [0.1, 0.3]).all()
    assert {name: values.tolist() for name, values in state.items()} == {
        "qpos": [[0.1]] * 2, "qvel": [[0.3]] * 2, "ctrl": [[0.7]] * 2}  # fmt: skip
    assert (states()[0] == 0).all() and "ctrl" not in states()[1]
    place, speed = states(start="home", reset_noise=0.5)[0].T
    assert place.min() == -0.2 and place.max() == 0.2 and len(np.unique(place)) > 10
    assert np.abs(speed - 0.3).max() > 0.4
    with pytest.raises(DREnvError, match=r"start: .*keyed\.xml has no keyframe 'hme'; did you mean 'home'"):
        states(start="hme")


def test_what_is_no_model_is_not_bound() -> None:
    spec = spec_of(mass=entry({"body": "torso"}, "mass", "scale", type="uniform", low=0.8, high=1.2))
    with pytest.raises(DREnvError, match="model: got MjSpec, expected a compiled"):
        spec.bind(make_task("hopper").mjspec())


def test_noise_of_sensors_that_nobody_reads_is_refused_by_the_wrapper_too(tmp_path: Path) -> None:
    spec = spec_of(noise=entry({"sensor": "place"}, "noise", "set", type="constant", value=5.0))
    with pytest.raises(DREnvError, match="whose noise nothing would feel"):
        DomainRandomization(Env(task_of(tmp_path)), spec)
