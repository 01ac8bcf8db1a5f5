from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import VecEnv

from dr_env import DREnvError, Policy, TrainRequest, VectorEnv, as_spec, make_task, rollout
from dr_env.cli.evaluate import evaluate
from policies.checkpoint import Run
from policies.config import PPOConfig
from policies.history import HistoryVecEnv, RememberingPolicy
from policies.lean import LeanPPO
from policies.networks import AsymmetricActorCriticPolicy, AsymmetricSACPolicy, HistoryEncoder, Inputs
from policies.ppo import PPOTrainer
from policies.vecenv import SB3VecEnv
from tests.policies.slider import Slider, either_way

SPACE = gym.spaces.Dict({"observation": gym.spaces.Box(-9, 9, (10,)), "context": gym.spaces.Box(-1, 1, (3,))})
ACTIONS = gym.spaces.Box(-1, 1, (2,))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # networks this small only wait for a second
    yield
    torch.set_num_threads(before)


def _observations(rows: int = 6) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        key: torch.randn(rows, *part.shape, generator=generator).requires_grad_() for key, part in SPACE.spaces.items()
    }


def _blind(output: torch.Tensor, seen: dict[str, torch.Tensor]) -> None:
    """The output changes with the observation, and not at all with the context."""
    by_observation, by_context = torch.autograd.grad(
        output.sum(), (seen["observation"], seen["context"]), allow_unused=True
    )
    assert by_observation.any()
    assert by_context is None or not by_context.any()


@pytest.mark.parametrize("frames", [0, 5])
def test_only_the_critic_sees_the_context(frames: int) -> None:
    torch.manual_seed(0)
    seen = _observations()
    policy = AsymmetricActorCriticPolicy(SPACE, ACTIONS, lambda _: 1e-3, frames=frames)
    distribution = policy.get_distribution(seen).distribution
    _blind(distribution.mean, seen)
    actions = torch.randn(6, 2, generator=torch.Generator().manual_seed(1))
    values, log_prob, _ = policy.evaluate_actions(seen, actions)
    _blind(log_prob, seen)
    assert torch.autograd.grad(values.sum(), seen["context"])[0].all()
    other = {**seen, "context": -seen["context"]}
    assert torch.equal(policy.get_distribution(other).distribution.mean, distribution.mean)
    assert not torch.equal(policy.predict_values(other), values)
    alone = policy._predict({"observation": seen["observation"]}, deterministic=True)
    assert torch.equal(alone, distribution.mean)

    sac = AsymmetricSACPolicy(SPACE, ACTIONS, lambda _: 1e-3, net_arch=[16, 16], frames=frames)
    _blind(sac.actor(seen, deterministic=True), seen)
    values = sac.critic(seen, actions)[0]
    assert torch.autograd.grad(values.sum(), seen["context"])[0].any()
    assert not {id(p) for p in sac.actor.parameters()} & {id(p) for p in sac.critic.parameters()}


def test_the_encoder_keeps_the_newest_frame_and_sees_all() -> None:
    torch.manual_seed(0)
    for frames in (1, 2, 9, 50, 64):
        encoder = HistoryEncoder(frames, 3)
        histories = torch.randn(4, frames * 3, requires_grad=True)
        encoded = encoder(histories)
        assert encoded.shape == (4, encoder.size)
        assert torch.equal(encoded[:, :3], histories[:, -3:])
        gradient = torch.autograd.grad(encoded[:, 3:].sum(), histories)[0].reshape(4, frames, 3)
        assert (gradient.abs().sum((0, 2)) > 0).all()
    # for 50 frames the convolutions are RMA's: 32 channels, kernels 8, 5, 5
    weights = [tuple(weight.shape) for weight in HistoryEncoder(50, 3).convolutions.parameters() if weight.ndim > 1]
    assert weights == [(32, 32, 8), (32, 32, 5), (32, 32, 5), (8, 32 * 4)]


def test_inputs_take_what_they_are_told() -> None:
    seen = _observations()
    assert torch.equal(Inputs(SPACE, context=False)(seen), seen["observation"])
    # gymnasium sorts the keys of a Dict
    assert torch.equal(Inputs(SPACE)(seen), torch.cat([seen[key] for key in SPACE.spaces], dim=1))
    box = SPACE["observation"]
    assert torch.equal(Inputs(box)(seen["observation"]), seen["observation"])
    assert Inputs(box, frames=5).features_dim == 2 + 8


def _venv(context: Any = "hidden", history: int = 0) -> VecEnv:
    venv = SB3VecEnv(VectorEnv(Slider(), 32, either_way(), context=context, threads=1))
    return HistoryVecEnv(venv, history) if history else venv


def _score(policy: Policy, context: Any = "hidden") -> float:
    """Mean speed; whoever knows the sign can reach 1.5, always pushing one way gives half of it."""
    env = VectorEnv(Slider(), 64, either_way(), context=context, threads=1)
    return float(rollout(env, policy, seed=7).returns.mean()) / 20


def _act(model: Any, keyed: bool = False) -> Policy:
    return lambda observations: model.predict({"observation": observations} if keyed else observations,
                                              deterministic=True)[0]  # fmt: skip


def _ppo(venv: VecEnv, policy: type[ActorCriticPolicy] = ActorCriticPolicy, **arguments: Any) -> LeanPPO:
    venv.seed(0)
    model = LeanPPO(policy, venv, learning_rate=3e-3, n_steps=20, batch_size=160, n_epochs=10, gamma=0.9, seed=0,
                    device="cpu", policy_kwargs={"net_arch": [32, 32], **arguments})  # fmt: skip
    return model.learn(16_000)


def test_where_the_draw_must_be_known_those_who_know_it_win() -> None:
    hidden = _score(_act(_ppo(_venv())))
    observed = _score(_act(_ppo(_venv("observed"))), "observed")
    remembering = _ppo(_venv(history=3))
    remembered = _score(RememberingPolicy(_act(remembering), 3, 1, 1))
    encoded = _ppo(_venv(history=8), features_extractor_class=Inputs, features_extractor_kwargs={"frames": 8})
    summarized = _score(RememberingPolicy(_act(encoded), 8, 1, 1))
    blind = _ppo(_venv("critic_only"), AsymmetricActorCriticPolicy)
    assert hidden < 0.9
    assert observed > 1.2
    assert remembered > 1.2
    assert summarized > 1.2
    # an actor that cannot know it is no better for a critic that does, which does know the value of either way
    assert _score(_act(blind, keyed=True)) < 0.9
    ways = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    forward, backward = blind.policy.predict_values({"observation": torch.full((2, 1), 0.5), "context": ways})
    assert abs(forward.item() - backward.item()) > 0.2


def test_a_critic_that_knows_and_an_actor_that_remembers_learn_together() -> None:
    model = _ppo(_venv("critic_only", history=3), AsymmetricActorCriticPolicy)
    assert model._networks() is not None  # by hand, without autograd
    assert _score(RememberingPolicy(_act(model, keyed=True), 3, 1, 1)) > 1.2


@pytest.mark.parametrize("context", ["observed", "critic_only"])
def test_sac_learns_with_them(context: Any) -> None:
    history = 0 if context == "observed" else 3
    venv = _venv(context, history)
    venv.seed(0)
    model = SAC("MlpPolicy" if context == "observed" else AsymmetricSACPolicy, venv, learning_rate=3e-3, gamma=0.9,
                learning_starts=1000, train_freq=1, gradient_steps=4, batch_size=128, ent_coef=0.1, seed=0, device="cpu",
                policy_kwargs={"net_arch": [32, 32]})  # fmt: skip
    model.learn(8_000)
    policy: Policy = _act(model, keyed=context == "critic_only")
    if history:
        policy = RememberingPolicy(policy, history, 1, 1)
    assert _score(policy, "observed" if context == "observed" else "hidden") > 1.2


SMALL = {"num_envs": 16, "n_steps": 16, "batch_size": 64, "n_epochs": 2}


@pytest.mark.parametrize(
    "settings",
    [
        {"context": "observed"},
        {"context": "critic_only"},
        {"history": 3},
        {"history": 9, "encoder": "conv"},
        {"context": "critic_only", "history": 9, "encoder": "conv"},
        {"normalize_observations": False},
    ],
    ids=str,
)
def test_runs_keep_and_honour_it(tmp_path: Path, settings: dict[str, Any]) -> None:
    task, trainer = make_task("inverted_pendulum"), PPOTrainer()
    spec = as_spec("default", task)
    request = TrainRequest(
        "inverted_pendulum", spec, tmp_path / "run", steps=512, settings={**SMALL, **settings}, quiet=True
    )
    run = trainer.train(request)
    assert settings.items() <= Run(run).config["ppo"].items()
    trainer.resume(run, 1024, quiet=True)
    policy = trainer.load(run)
    assert policy.steps == 1024
    assert policy.context == ("observed" if settings.get("context") == "observed" else "hidden")
    with pytest.raises(DREnvError, match=r"observations: got shape \(4,\), expected \(n, "):
        policy.act(np.zeros(4))
    env = VectorEnv(task, 8, spec, context=policy.context)
    once = rollout(env, policy.act, seed=3).returns
    assert np.array_equal(once, rollout(env, policy.act, seed=3).returns)  # begins anew every time
    if policy.context == "observed":
        with pytest.raises(DREnvError, match=r"run: acts on its Draw \(context: observed\)"):
            evaluate((run,), out=tmp_path / "report", quiet=True)
        assert not (tmp_path / "report").exists()


def test_a_conv_encoder_needs_a_history() -> None:
    with pytest.raises(
        DREnvError, match="settings encoder: got 'conv': encodes a history, so history must be at least 1"
    ):
        PPOConfig.for_task("hopper", settings={"encoder": "conv"})
    with pytest.raises(DREnvError, match="got 'critic', expected 'hidden', 'observed' or 'critic_only'; did you mean"):
        PPOConfig.for_task("hopper", settings={"context": "critic"})
