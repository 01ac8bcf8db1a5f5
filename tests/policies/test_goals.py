"""Goal-conditioned tasks as SB3 meets them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from stable_baselines3 import SAC, HerReplayBuffer
from stable_baselines3.common.vec_env import DummyVecEnv

from dr_env import TrainRequest, as_spec, make_env, make_task, make_vector_env
from policies.ppo import PPOTrainer
from policies.vecenv import SB3VecEnv


def test_success_reaches_sb3_at_an_episodes_end() -> None:
    ours = make_vector_env(task="reach", num_envs=6, max_episode_steps=8, flat_goal=True)
    adapter = SB3VecEnv(make_vector_env(task="reach", num_envs=6, max_episode_steps=8, flat_goal=True))
    adapter.seed(0)
    observations, _ = ours.reset(seed=0)
    adapter.reset()
    told = []
    names = ours.task.observation_names(ours.model)
    columns = [names.index(f"goal_from_tip.{axis}") for axis in "xyz"]
    for _ in range(36):
        action = np.clip(20 * observations[:, columns], -1, 1).astype(np.float32)
        observations, _, _, _, info = ours.step(action)
        _, _, dones, infos = adapter.step(action)
        for i in np.flatnonzero(dones):
            assert infos[i]["is_success"] is bool(info["is_success"][i])
            told.append(infos[i]["is_success"])
    assert set(told) == {True, False}


def test_a_run_keeps_its_success_rate(tmp_path: Path) -> None:
    settings = {"num_envs": 8, "n_steps": 50, "batch_size": 100, "n_epochs": 1}
    request = TrainRequest(
        "reach", as_spec("default", make_task("reach")), tmp_path / "run", steps=800, settings=settings, quiet=True
    )
    curve = PPOTrainer().load(PPOTrainer().train(request)).curve
    assert [row["steps"] for row in curve] == [400, 800]
    assert all(0 <= row["success_rate"] < 0.5 for row in curve)


def test_hindsight_experience_replay_works_on_them() -> None:
    """SAC with HER: `compute_reward` relabels goals, with the shaping that infos tell of."""
    env = DummyVecEnv([lambda: make_env(task="push", max_episode_steps=20)])
    model = SAC(
        "MultiInputPolicy",
        env,
        replay_buffer_class=HerReplayBuffer,
        replay_buffer_kwargs={"copy_info_dict": True},
        learning_starts=40,
        batch_size=32,
        seed=0,
        policy_kwargs={"net_arch": [16]},
        device="cpu",
    )
    model.learn(60)
    assert isinstance(model.replay_buffer, HerReplayBuffer)
    rewards = model.replay_buffer.sample(200).rewards.numpy()
    assert (rewards < 0).all() and (rewards > -1).any() and (rewards < -1).any()


@pytest.mark.parametrize("task", ["reach", "push"])
def test_the_observation_tells_nothing_of_the_desired_goal(task: str) -> None:
    """Hindsight replaces `desired_goal` alone; in one array the numbers that follow from it come before it."""
    env = make_vector_env(task=task, num_envs=3)
    idle = np.zeros(env.action_space.shape, np.float32)  # type: ignore[arg-type]
    goal, seen = env.task.goal, []
    for moved in (0.0, 0.1):
        env.reset(seed=4)
        env._batch.bind("mocap_pos")[:] += moved
        seen.append(env.step(idle)[0])
    assert (seen[0]["observation"] == seen[1]["observation"]).all()
    assert (seen[0]["desired_goal"] != seen[1]["desired_goal"]).all()
    ways = env._last[:, -3 * goal : -2 * goal]
    np.testing.assert_allclose(ways, seen[1]["desired_goal"] - seen[1]["achieved_goal"])
    assert seen[0]["observation"].shape[1] == len(env.task.observation_names(env.model)) - 3 * goal
