"""What an agent is shown: goals as Gymnasium's goal-conditioned form, and the Draw as context."""

from __future__ import annotations

import dataclasses

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray

from dr_env import DREnvError, Fields, GoalEnv, Task, VectorEnv, make_env, make_task
from policies.vecenv import SB3VecEnv
from tests.conftest import entry, spec_of

WIDE = spec_of(
    gain=entry({"actuator": "*"}, "gain", "scale", type="log_uniform", low=0.5, high=2.0),
    mass=entry({"body": "*"}, "mass", "scale", type="uniform", low=0.8, high=1.4, per="element"),
    fixed=entry("option", "density", "set", type="constant", value=0.0),
)


@dataclasses.dataclass(frozen=True)
class Track(Task):
    """A slide that shall stand where its second slide is."""

    name = "track"
    frame_skip = 2
    goal = 1

    def mjspec(self) -> mujoco.MjSpec:
        return mujoco.MjSpec.from_string("""
        <mujoco><option gravity="0 0 0"/><worldbody>
          <body name="cart"><joint name="x" type="slide" damping="1"/><geom size=".1" mass="1"/></body>
          <body name="mark"><joint name="y" type="slide"/><geom size=".1" mass="1" contype="0" conaffinity="0"/></body>
        </worldbody><actuator><motor name="push" joint="x" ctrllimited="true" ctrlrange="-1 1"/></actuator></mujoco>""")

    def observation_names(self, model: mujoco.MjModel) -> tuple[str, ...]:
        return ("speed", "achieved_goal.x", "desired_goal.x")

    def observe(self, data: Fields) -> NDArray[np.float64]:
        return np.concatenate((data["qvel"][:, :1], data["qpos"]), axis=1)

    def goal_reward(self, achieved: NDArray[np.float64], desired: NDArray[np.float64]) -> NDArray[np.float64]:
        return -np.abs(achieved - desired)[:, 0]

    def reward(self, before: Fields, action: NDArray[np.float32], after: Fields):  # type: ignore[no-untyped-def]
        return self.goal_reward(after["qpos"][:, :1], after["qpos"][:, 1:]), {}

    def terminated(self, data: Fields) -> NDArray[np.bool_]:
        return np.zeros(len(data["qpos"]), bool)

    def reset_state(self, model: mujoco.MjModel, uniform: NDArray[np.float64]):  # type: ignore[no-untyped-def]
        return uniform[:, : model.nq], np.zeros((len(uniform), model.nv))


@pytest.mark.filterwarnings("ignore:.*Box observation space")
def test_goals_are_keys_and_their_reward_can_be_asked() -> None:
    env = GoalEnv(Track())
    assert isinstance(env.observation_space, gym.spaces.Dict)
    observation, _ = env.reset(seed=0)
    assert {name: part.shape for name, part in observation.items()} == {
        "observation": (1,), "achieved_goal": (1,), "desired_goal": (1,)
    }  # fmt: skip
    after, reward, *_, info = env.step(np.ones(1, np.float32))
    assert env.compute_reward(after["achieved_goal"], after["desired_goal"], info) == reward
    many = env.compute_reward(np.zeros((5, 1)), np.ones((5, 1)), [{}] * 5)
    assert many.tolist() == [-1.0] * 5
    assert observation["desired_goal"] == after["desired_goal"]
    check_env(GoalEnv(Track()), skip_render_check=True)


def test_a_flat_goal_is_the_same_numbers_in_one_array() -> None:
    keyed, flat = VectorEnv(Track(), 3), VectorEnv(Track(), 3, flat_goal=True)
    a, b = keyed.reset(seed=1)[0], flat.reset(seed=1)[0]
    assert np.array_equal(np.concatenate([a["observation"], a["achieved_goal"], a["desired_goal"]], axis=1), b)
    assert flat.single_observation_space.shape == (3,)


def test_final_observations_have_the_same_keys() -> None:
    env = VectorEnv(Track(), 2, max_episode_steps=1)
    env.reset(seed=0)
    *_, info = env.step(np.zeros((2, 1), np.float32))
    assert info["final_obs"][1].keys() == {"observation", "achieved_goal", "desired_goal"}


@pytest.mark.parametrize("context", ["observed", "critic_only"])
def test_the_context_is_the_draw_scaled_by_its_spec(context: str) -> None:
    task = make_task("inverted_pendulum")
    hidden = VectorEnv(task, 6, WIDE)
    env = VectorEnv(task, 6, WIDE, context=context)  # type: ignore[arg-type]
    plain, _ = hidden.reset(seed=2)
    shown, info = env.reset(seed=2)
    observation, told = (
        (shown["observation"], shown["context"]) if context == "critic_only" else (shown[:, :4], shown[:, 4:])
    )
    assert np.array_equal(observation, plain)
    drawn = info["dr"]
    assert told.shape == (6, 1 + drawn["mass"].shape[1])  # constants tell nothing
    assert np.allclose(told[:, 0], np.log2(drawn["gain"]))
    assert np.allclose(told[:, 1:], (drawn["mass"] - 1.1) / 0.3)
    assert np.abs(told).max() <= 1
    after = env.step(np.zeros((6, 1), np.float32))[0]
    assert np.array_equal(after["context"] if context == "critic_only" else after[:, 4:], told)
    assert env.observation_space.contains(shown)


def test_sb3_gets_float32_of_every_key() -> None:
    env = SB3VecEnv(VectorEnv(make_task("inverted_pendulum"), 2, WIDE, context="critic_only", max_episode_steps=1))
    first = env.reset()
    assert isinstance(first, dict)
    assert {part.dtype for part in first.values()} == {np.dtype(np.float32)}
    assert env.observation_space.contains({name: part[0] for name, part in first.items()})
    *_, infos = env.step(np.zeros((2, 1), np.float32))
    assert infos[0]["terminal_observation"].keys() == {"observation", "context"}


def test_an_unknown_context_is_named() -> None:
    with pytest.raises(DREnvError, match="no context 'critic'; did you mean 'critic_only'"):
        VectorEnv(make_task("inverted_pendulum"), 1, context="critic")  # type: ignore[arg-type]


@pytest.mark.parametrize("task", ["reach", "push"])
def test_goals_seen_with_errors_are_rewarded_in_truth(task: str) -> None:
    env = make_env(task=task, randomization="default")
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(5):
        after, reward, *_, info = env.step(env.action_space.sample())
        assert reward == env.compute_reward(after["achieved_goal"], after["desired_goal"], info)  # type: ignore[attr-defined]
        assert (info["achieved_goal"] != after["achieved_goal"]).any()
        other = info["achieved_goal"] + 0.5  # another goal, judged by the same truth
        assert env.compute_reward(after["achieved_goal"], other, info) == env.compute_reward(  # type: ignore[attr-defined]
            info["achieved_goal"], other, info
        )
