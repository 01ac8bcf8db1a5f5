from __future__ import annotations

import contextlib
import copy
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.logger import KVWriter, Logger
from stable_baselines3.common.utils import obs_as_tensor
from torch import nn

from dr_env import as_spec, make_task
from policies.config import PPOConfig
from policies.lean import LeanPPO
from policies.mlp import MLP, flat_modules
from policies.ppo import build_ppo, ppo_arguments

SMALL = {"num_envs": 16, "n_steps": 16, "batch_size": 64, "n_epochs": 3, "net": [32, 24], "ent_coef": 0.01}


class _Kept(KVWriter):
    """What was logged last."""

    def write(self, key_values: dict[str, Any], key_excluded: Any, step: int = 0) -> None:
        self.values = dict(key_values)

    def close(self) -> None:
        pass


def _pair(**settings: Any) -> tuple[LeanPPO, PPO]:
    """Ours with a filled buffer, and SB3's with the same weights and a copy of that buffer."""
    config = PPOConfig.for_task("hopper", settings={**SMALL, **settings})
    spec = as_spec("default", make_task("hopper"))
    ours, env = build_ppo("hopper", spec, config, seed=0)
    ours.learn(1)  # one rollout and its gradient steps
    theirs = PPO(env=ours.env, **ppo_arguments(config, seed=0))
    theirs.policy.load_state_dict(ours.policy.state_dict())
    theirs.policy.optimizer.load_state_dict(copy.deepcopy(ours.policy.optimizer.state_dict()))
    _, callback = ours._setup_learn(1000)
    ours.collect_rollouts(ours.env, callback, ours.rollout_buffer, config.n_steps)
    theirs._n_updates = ours._n_updates
    theirs.rollout_buffer = type(ours.rollout_buffer).__new__(type(ours.rollout_buffer))
    copied = {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in vars(ours.rollout_buffer).items()}
    vars(theirs.rollout_buffer).update(copied)
    for model in (ours, theirs):
        model._current_progress_remaining = 0.7
        model.set_logger(Logger(None, [_Kept()]))
    env.close()
    return ours, theirs


@pytest.mark.parametrize(
    "settings", [{}, {"activation": "relu", "net": [48]}, {"batch_size": 60, "max_grad_norm": 0.01}]
)
def test_gradient_steps_are_sb3s(settings: dict[str, Any]) -> None:
    with pytest.warns(UserWarning, match="mini-batch") if "batch_size" in settings else contextlib.nullcontext():
        ours, theirs = _pair(**settings)
    before = [parameter.detach().clone() for parameter in ours.policy.parameters()]
    logged = []
    for model in (ours, theirs):
        np.random.seed(5)  # noqa: NPY002, the order of the minibatches
        model.train()
        model.logger.dump()
        logged.append(model.logger.output_formats[0].values)
    assert type(ours.rollout_buffer) is type(theirs.rollout_buffer)
    for old, mine, other in zip(before, ours.policy.parameters(), theirs.policy.parameters(), strict=True):
        assert (mine - old).abs().max() > 1e-5
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=2e-6)
    assert logged[0].keys() == logged[1].keys()
    for key, value in logged[1].items():
        assert logged[0][key] == pytest.approx(value, rel=1e-3, abs=1e-6), key


def test_rollouts_are_sb3s() -> None:
    """Values, log-probabilities, bootstrapped rewards and advantages, each against SB3's own functions."""
    config = PPOConfig.for_task("hopper", settings=SMALL)
    model, env = build_ppo("hopper", as_spec("default", make_task("hopper")), config, seed=0)
    env.env.max_episode_steps = 7  # cuts episodes off, and hoppers fall besides
    seen: list[tuple[np.ndarray, ...]] = []
    step = model.env.step

    def watched(actions: np.ndarray) -> Any:
        result = step(actions)
        seen.append((actions, *result))
        return result

    model.env.step = watched  # type: ignore[method-assign]
    _, callback = model._setup_learn(1000)
    first = model._last_obs
    model.collect_rollouts(model.env, callback, model.rollout_buffer, config.n_steps)
    buffer = model.rollout_buffer
    assert buffer.full
    observations = [first, *(row[1] for row in seen)]
    starts = [np.ones(16, bool), *(row[3] for row in seen)]
    cut = 0
    for t, (sent, _, rewards, _, infos) in enumerate(seen):
        assert (buffer.observations[t] == observations[t]).all()
        assert (buffer.episode_starts[t] == starts[t]).all()
        assert (np.clip(buffer.actions[t], -1, 1) == sent).all()
        with torch.no_grad():
            values, log_prob, _ = model.policy.evaluate_actions(
                obs_as_tensor(observations[t], model.device), torch.from_numpy(buffer.actions[t])
            )
        np.testing.assert_allclose(buffer.values[t], values[:, 0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(buffer.log_probs[t], log_prob, rtol=1e-4, atol=1e-4)
        for i, info in enumerate(infos):
            expected = rewards[i]
            if info.get("TimeLimit.truncated"):
                cut += 1
                last = model.policy.obs_to_tensor(info["terminal_observation"])[0]
                expected += config.gamma * model.policy.predict_values(last).item()
            assert buffer.rewards[t, i] == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert cut > 16
    returns = buffer.returns.copy()
    last_values = model.policy.predict_values(obs_as_tensor(observations[-1], model.device)).detach()
    buffer.compute_returns_and_advantage(last_values, starts[-1])
    np.testing.assert_allclose(returns, buffer.returns, rtol=1e-4, atol=1e-5)
    spread = (buffer.actions - np.array([model.policy.get_distribution(torch.from_numpy(o)).mode().detach().numpy()
                                         for o in observations[:-1]])).std()  # fmt: skip
    assert spread == pytest.approx(np.exp(config.log_std_init), rel=0.1)


def test_two_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = []
    for threshold in (0, 10**12):
        monkeypatch.setattr("policies.lean._BOTH", threshold)
        ours, _ = _pair()
        np.random.seed(5)  # noqa: NPY002
        ours.train()
        weights.append([parameter.detach().clone() for parameter in ours.policy.parameters()])
    assert all(torch.equal(one, two) for one, two in zip(*weights, strict=True))


def test_other_policies_run_as_in_sb3() -> None:
    config = PPOConfig.for_task("inverted_pendulum", settings=SMALL)
    arguments = ppo_arguments(config, seed=0)
    arguments["policy_kwargs"]["activation_fn"] = nn.ELU
    ours, env = build_ppo("inverted_pendulum", as_spec("default", make_task("inverted_pendulum")), config, seed=0)
    theirs = []
    for kind in (LeanPPO, PPO):
        ours.env.seed(0)
        model = kind(env=ours.env, **arguments)
        model.learn(512)
        theirs.append(list(model.policy.parameters()))
        env.env.reset(seed=0)
        ours.env.obs_rms.__init__(shape=(4,))  # type: ignore[misc, union-attr]
        ours.env.ret_rms.__init__(shape=())  # type: ignore[misc]
    assert model._last_obs is not None
    assert all(torch.equal(one, two) for one, two in zip(*theirs, strict=True))


def test_perceptron_against_autograd() -> None:
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Sequential(nn.Linear(7, 6), nn.ReLU()), nn.Linear(6, 2))
    modules = flat_modules(network)
    assert modules is not None
    perceptron = MLP(modules)
    for rows in (3, 50, 3):
        inputs, weights = torch.randn(rows, 5, generator=generator), torch.randn(rows, 2, generator=generator)
        network.zero_grad()
        expected = network(inputs)
        (expected * weights).sum().backward()
        wanted = [parameter.grad.clone() for parameter in network.parameters()]  # type: ignore[union-attr]
        torch.testing.assert_close(perceptron.forward(inputs), expected.detach())
        perceptron.backward(weights.clone())
        for parameter, gradient in zip(network.parameters(), wanted, strict=True):
            torch.testing.assert_close(parameter.grad, gradient)
    for odd in (
        nn.Tanh(),
        nn.Sequential(nn.Linear(2, 2), nn.ELU()),
        nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Tanh()),
    ):
        assert flat_modules(odd) is None
