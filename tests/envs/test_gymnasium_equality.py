"""With an empty Spec our environments are Gymnasium's, number for number."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3.common.env_checker as sb3
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import dr_env

PAIRS = [(name, reference) for name in dr_env.task_names() if (reference := dr_env.make_task(name).reference)]


@pytest.mark.parametrize(("task", "reference_id"), PAIRS)
def test_a_thousand_random_steps_are_equal(task: str, reference_id: str) -> None:
    reference, ours = gym.make(reference_id), dr_env.make_env(task=task)
    reference.action_space.seed(0)
    reference.reset(seed=0)
    data = reference.unwrapped.data  # type: ignore[attr-defined]
    ours.reset(seed=0, options={"qpos": data.qpos, "qvel": data.qvel})
    ended = 0
    for _ in range(1000):
        action = reference.action_space.sample()
        theirs, mine = reference.step(action), ours.step(action)
        np.testing.assert_allclose(mine[0], theirs[0], rtol=0, atol=1e-9)
        assert mine[1] == pytest.approx(theirs[1], abs=1e-9)
        assert mine[2:4] == theirs[2:4]
        assert mine[4].keys() == theirs[4].keys()
        for key, value in theirs[4].items():
            assert mine[4][key] == pytest.approx(value, abs=1e-9), key
        if theirs[2] or theirs[3]:
            ended += 1
            reference.reset()
            ours.reset(options={"qpos": data.qpos, "qvel": data.qvel})
    assert ended >= 1
    assert ours.action_space == reference.action_space
    assert ours.observation_space == reference.observation_space


@pytest.mark.parametrize(("task", "reference_id"), PAIRS)
def test_initial_states_have_gymnasiums_distribution(task: str, reference_id: str) -> None:
    reference, ours = gym.make(reference_id), dr_env.make_vector_env(task=task, num_envs=2000)
    theirs = np.array([reference.reset(seed=i)[0] for i in range(2000)])
    mine, _ = ours.reset(seed=0)
    np.testing.assert_allclose(mine.mean(0), theirs.mean(0), atol=5 * theirs.std(0).max() / np.sqrt(2000))
    np.testing.assert_allclose(mine.std(0), theirs.std(0), rtol=0.1)
    np.testing.assert_allclose(np.abs(mine - theirs.mean(0)).max(), np.abs(theirs - theirs.mean(0)).max(), rtol=0.35)


@pytest.mark.parametrize("task", dr_env.task_names())
@pytest.mark.filterwarnings("ignore:.*infinity.*", "ignore:.*symmetric and normalized.*", "ignore:.*render.*")
def test_the_checkers_pass(task: str) -> None:
    for randomization in (None, "default"):
        env = gym.make(f"dr_env/{''.join(map(str.capitalize, task.split('_')))}-v0", randomization=randomization)
        check_env(env.unwrapped, skip_render_check=True)
        # SB3 asks that the reward be that of the goals observed, which noise makes another
        if randomization is None or not isinstance(env.unwrapped, dr_env.GoalEnv):
            sb3.check_env(env.unwrapped, skip_render_check=True)


def test_make_and_make_vec() -> None:
    env = gym.make("dr_env/HalfCheetah-v0", randomization="default")
    _, info = env.reset(seed=0)
    assert info["dr"]["friction"] > 0
    vector = gym.make_vec("dr_env/HalfCheetah-v0", num_envs=3, randomization="default")
    assert isinstance(vector.unwrapped, dr_env.VectorEnv)
    assert vector.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    _, infos = vector.reset(seed=0)
    assert infos["dr"]["link_mass"].shape == (3, 7)
    assert infos["_dr"].all()
    limited = gym.make_vec("dr_env/Hopper-v0", num_envs=2, max_episode_steps=5)
    limited.reset(seed=0)
    for _ in range(5):
        truncated = limited.step(np.zeros((2, 3), np.float32))[3]
    assert truncated.all()


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_gymnasiums_own_vector_modes_take_our_env(mode: str) -> None:
    arguments = {"context": "spawn"} if mode == "async" else {}
    vector = gym.make_vec("dr_env/InvertedPendulum-v0", 2, mode, arguments, randomization="default")
    try:
        observations, infos = vector.reset(seed=[4, 5])
        ours = dr_env.make_vector_env(task="inverted_pendulum", num_envs=2, randomization="default")
        expected, expected_infos = ours.reset(seed=[4, 5])
        assert (observations == expected).all()
        for name, column in expected_infos["dr"].items():
            assert (infos["dr"][name] == column).all(), name
        for _ in range(20):
            action = vector.action_space.sample()
            theirs, mine = vector.step(action), ours.step(action)
            if (mine[2] | mine[3]).any():
                break
            assert (theirs[0] == mine[0]).all()
            assert (theirs[1] == mine[1]).all()
    finally:
        vector.close()


def test_spec_of_gym_make_survives_a_rebuild() -> None:
    env = gym.make("dr_env/Hopper-v0", randomization="default")
    assert env.spec is not None
    again = gym.make(env.spec)
    assert (again.reset(seed=1)[0] == env.reset(seed=1)[0]).all()


def test_gymnasium_names_an_unknown_task() -> None:
    with pytest.raises(dr_env.DREnvError, match="no task 'hoper'; did you mean 'hopper'"):
        dr_env.make_task("hoper")
