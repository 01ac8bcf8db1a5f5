from __future__ import annotations

import warnings
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecNormalize

from dr_env import DREnvError, VectorEnv, make_task, make_vector_env
from policies.vecenv import SB3VecEnv


def test_keeps_sb3s_same_step_contract() -> None:
    ours = make_vector_env(task="hopper", num_envs=8, randomization="default", max_episode_steps=15)
    adapter = SB3VecEnv(make_vector_env(task="hopper", num_envs=8, randomization="default", max_episode_steps=15))
    adapter.seed(3)
    observations, _ = ours.reset(seed=3)
    assert (adapter.reset() == observations.astype(np.float32)).all()
    returns, lengths = np.zeros(8), np.zeros(8, int)
    kinds = set()
    ours.action_space.seed(0)
    for _ in range(60):
        action = ours.action_space.sample()
        observations, rewards, terminated, truncated, info = ours.step(action)
        seen, earned, dones, infos = adapter.step(action)
        assert seen.dtype == earned.dtype == np.float32
        assert (seen == observations.astype(np.float32)).all()
        assert (dones == (terminated | truncated)).all()
        returns += rewards
        lengths += 1
        for i in np.flatnonzero(dones):
            assert (infos[i]["terminal_observation"] == info["final_obs"][i].astype(np.float32)).all()
            assert infos[i]["TimeLimit.truncated"] == (truncated[i] and not terminated[i])
            assert infos[i]["episode"]["r"] == pytest.approx(returns[i])
            assert infos[i]["episode"]["l"] == lengths[i]
            kinds.add(infos[i]["TimeLimit.truncated"])
            returns[i] = lengths[i] = 0
        assert all(not infos[i] for i in np.flatnonzero(~dones))
    assert kinds == {True, False}


def test_needs_same_step() -> None:
    with pytest.raises(DREnvError, match="expected SAME_STEP"):
        SB3VecEnv(make_vector_env(task="hopper", autoreset_mode="NextStep"))


def test_attributes_belong_to_the_batch() -> None:
    adapter = SB3VecEnv(make_vector_env(task="hopper", num_envs=3))
    assert adapter.get_attr("render_mode") == [None] * 3
    assert adapter.get_attr("num_envs", [0, 2]) == [3, 3]
    assert adapter.env_is_wrapped(gym.wrappers.TimeLimit) == [False] * 3
    assert adapter.env_is_wrapped(Monitor) == [True] * 3  # infos have `episode`
    with pytest.raises(DREnvError, match="share their attributes"):
        adapter.set_attr("max_episode_steps", 5, indices=[0])


def test_evaluation_reads_returns_before_they_are_normalised() -> None:
    env = VecNormalize(SB3VecEnv(make_vector_env(task="inverted_pendulum", num_envs=2, max_episode_steps=5)))
    model = PPO("MlpPolicy", env, n_steps=4, batch_size=4, device="cpu", policy_kwargs={"net_arch": [4]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mean, _ = evaluate_policy(model, env, n_eval_episodes=2)
    assert mean == 5.0  # a step earns 1


def test_options_for_each_environment() -> None:
    adapter = SB3VecEnv(make_vector_env(task="hopper", num_envs=3, randomization="default"))
    adapter.reset()
    draws = adapter.env.draws
    adapter.reset()
    assert adapter.env.draws != draws
    adapter.set_options([{"draw": draw} for draw in draws])
    adapter.reset()
    assert adapter.env.draws == draws
    adapter.set_options({"draw": draws[1]})
    adapter.reset()
    assert adapter.env.draws == [draws[1]] * 3
    adapter.set_options([{"draw": draws[0]}, {}, {}])
    with pytest.raises(DREnvError, match=r"got \{draw\} and \{\}, expected the same keys"):
        adapter.reset()


def test_actions_without_bounds_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "cart.xml"
    path.write_text(
        "<mujoco><worldbody><body><joint name='slide' type='slide'/><geom size='.1'/></body></worldbody>"
        "<actuator><motor joint='slide'/></actuator></mujoco>"
    )
    task = make_task(path, reward=lambda before, action, after: np.zeros(len(action)))
    with pytest.raises(DREnvError, match=r"cart: actions reach from \[-inf\] to \[inf\].*ctrlrange"):
        SB3VecEnv(VectorEnv(task, 2))
