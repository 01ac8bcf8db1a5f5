"""Pictures as observations: their own looks, spaces, frame stacks and resets."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import FrameStackObservation

from dr_env import DREnvError, PixelVectorEnv, Spec, VectorEnv, make_env, make_task, make_vector_env
from dr_env.envs.pixels import ObservationKind
from tests.conftest import entry, spec_of
from tests.rendering.test_classic import needs_gl

SIZE = {"width": 48, "height": 32}
LOOKS = spec_of(colour=entry({"geom": "*"}, "rgb", "set", type="uniform", low=0, high=1, per="number"))


@needs_gl
@pytest.mark.filterwarnings("ignore:.*WARN")  # advice that the checker gives of every wrapper and box
@pytest.mark.parametrize("kind", ["pixels", "dict"])
@pytest.mark.parametrize("task", ["inverted_pendulum", "reach"])
def test_gymnasium_accepts_them(task: str, kind: ObservationKind) -> None:
    env = make_env(task=task, observation=kind, randomization=LOOKS, **SIZE)
    check_env(env, skip_render_check=True)
    observation, _ = env.reset(seed=0)
    pixels = observation if kind == "pixels" else observation["pixels"]
    assert pixels.shape == (32, 48, 3) and pixels.dtype == np.uint8
    rest = {"observation", "achieved_goal", "desired_goal"} if task == "reach" else {"state"}
    assert kind == "pixels" or observation.keys() == rest | {"pixels"}
    env.close()


@needs_gl
def test_they_are_made_by_gymnasium() -> None:
    one = gym.make("dr_env/Hopper-v0", observation="pixels", **SIZE)
    many = gym.make_vec("dr_env/Hopper-v0", num_envs=2, observation="pixels", stack=3, **SIZE)
    assert one.observation_space.shape == (32, 48, 3)
    assert many.observation_space.shape == (2, 3, 32, 48, 3)
    one.close()
    many.close()


@needs_gl
def test_gymnasium_stacks_frames() -> None:
    env = FrameStackObservation(make_env(task="inverted_pendulum", observation="pixels", **SIZE), 3)
    observation, _ = env.reset(seed=0)
    assert observation.shape == (3, 32, 48, 3)
    env.close()


@needs_gl
def test_vectors_see_what_single_environments_see() -> None:
    vector = make_vector_env(task="hopper", num_envs=2, randomization=LOOKS, observation="dict", **SIZE)
    single = make_env(task="hopper", randomization=LOOKS, observation="dict", **SIZE)
    many, _ = vector.reset(seed=[3, 4])
    action = np.full(3, 0.3, np.float32)
    for i, seed in enumerate((3, 4)):
        one, _ = single.reset(seed=seed)
        assert (many["pixels"][i] == one["pixels"]).all() and (many["state"][i] == one["state"]).all()
    assert (many["pixels"][0] != many["pixels"][1]).mean() > 0.2
    assert vector.observation_space.contains(many)
    one, *_ = single.step(action)
    many, *_ = vector.step(np.tile(action, (2, 1)))
    assert (many["pixels"][1] == one["pixels"]).all()
    single.close()
    vector.close()


@needs_gl
def test_stacks_and_resets() -> None:
    envs = make_vector_env(
        task="inverted_pendulum",
        num_envs=3,
        randomization=LOOKS,
        observation="pixels",
        stack=2,
        max_episode_steps=4,
        **SIZE,
    )
    assert isinstance(envs, PixelVectorEnv)
    first, info = envs.reset(seed=0)
    assert first.shape == (3, 2, 32, 48, 3) and (first[:, 0] == first[:, 1]).all()
    before = info["dr"]["colour"]
    last = first
    for step in range(4):
        observation, _, terminated, truncated, info = envs.step(np.full((3, 1), 0.1, np.float32))
        if step < 3:
            assert not (terminated | truncated).any()
            assert (observation[:, 0] == last[:, 1]).all()
            last = observation
    assert truncated.all()
    assert (info["final_obs"][1][0] == last[1, 1]).all()  # the last but one picture of the episode that is over
    assert info["final_obs"][1].shape == (2, 32, 48, 3)
    assert (observation[:, 0] == observation[:, 1]).all()  # a new episode, in other looks
    assert (info["dr"]["colour"] != before).all()
    assert (info["final_info"]["dr"]["colour"] == before).all()
    envs.close()


@needs_gl
def test_what_is_drawn_again_is_told_beside_what_ends() -> None:
    """`info["dr"]` marks environments that go on under another Draw also in steps in which others end."""
    often = entry({"geom": "*"}, "rgb", "set", type="uniform", low=0, high=1)
    spec = spec_of(colour={**often, "trigger": "step"})
    plain = make_vector_env(task="inverted_pendulum", num_envs=3, randomization=spec, max_episode_steps=4)
    seeing = make_vector_env(
        task="inverted_pendulum", num_envs=3, randomization=spec, max_episode_steps=4, observation="dict", **SIZE
    )
    for env in (plain, seeing):
        env.reset(seed=0)
        env.unwrapped.reset(options={"reset_mask": np.array([True, False, False])})
    plain._elapsed[0] = seeing.env._elapsed[0] = 2  # type: ignore[attr-defined]
    both = 0
    for _ in range(4):
        (*_, truncated, info), (*_, seen) = (env.step(np.zeros((3, 1), np.float32)) for env in (plain, seeing))
        changed = info.get("_dr", np.zeros(3, bool))
        assert (changed == seen.get("_dr", False)).all()
        assert not changed.any() or (info["dr"]["colour"] == seen["dr"]["colour"]).all()
        both += truncated.any() and (changed & ~truncated).any()
    assert both
    seeing.close()


@needs_gl
def test_the_camera_has_its_sensor() -> None:
    """Noise is keyed: the same for one environment and many, another in each step, and off without the entry."""
    camera = make_task("reach").camera
    assert camera is not None
    noise = spec_of(noise=entry({"image": camera}, "salt_pepper", "set", type="constant", value=0.2))
    single = make_env(task="reach", randomization=noise, observation="pixels", **SIZE)
    clean = make_env(task="reach", observation="pixels", **SIZE)
    many = make_vector_env(task="reach", num_envs=2, randomization=noise, observation="pixels", **SIZE)
    seen, plain = single.reset(seed=3)[0], clean.reset(seed=3)[0]
    assert 0.1 < (seen != plain).any(-1).mean() < 0.3
    both, _ = many.reset(seed=[4, 3])
    assert (both[1] == seen).all()
    assert ((both[0] != plain).any(-1) != (both[1] != plain).any(-1)).any()
    after = single.step(np.zeros(single.action_space.shape, np.float32))[0]
    assert ((after != seen).any(-1).mean()) > 0.1
    for env in (single, clean, many):
        env.close()


def test_refusals() -> None:
    with pytest.raises(DREnvError, match="observation: no observation 'pixel'; did you mean 'pixels'"):
        make_env(task="hopper", observation="pixel")
    with pytest.raises(DREnvError, match=r"got render_mode None and autoreset_mode 'SameStep'"):
        PixelVectorEnv(VectorEnv(make_task("hopper"), 1, Spec()))
    with pytest.raises(DREnvError, match="stack: got 0"):
        make_vector_env(task="hopper", observation="pixels", stack=0)
