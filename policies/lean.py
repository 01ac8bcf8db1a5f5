"""SB3's PPO with leaner rollouts and gradient steps: the same mathematics in a fraction of the time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import DictRolloutBuffer, RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.distributions import DiagGaussianDistribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.utils import explained_variance, obs_as_tensor
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from policies.mlp import MLP, flat_modules

_EPSILON = 1e-8  # SB3's, added to the advantages' standard deviation
_HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)
_BOTH = 2_000_000  # multiplications from which actor and critic are worth a thread each


class LeanPPO(PPO):
    """PPO whose actor and critic are perceptrons run by hand (`policies.mlp`), without autograd.

    For Gaussian policies of linear layers with tanh or ReLU whose feature extractors have no weights; for any
    other it is SB3's PPO. Rollouts compute values and log-probabilities once at their end, gradient steps run
    actor and critic in two threads. Results equal SB3's up to rounding and do not depend on threads.

    Schulman, Wolski, Dhariwal, Radford, Klimov, "Proximal policy optimization algorithms", 2017, equation 7.
    """

    def _networks(self) -> _Networks | None:
        """Actor and critic by hand, or None where only autograd will do."""
        policy = self.policy
        plain = all(
            getattr(type(policy), name) is getattr(ActorCriticPolicy, name)
            for name in ("forward", "evaluate_actions", "predict_values", "get_distribution", "extract_features")
        )
        if (
            not plain
            or self.clip_range_vf is not None
            or self.target_kl is not None
            or type(policy.action_dist) is not DiagGaussianDistribution
            or policy.squash_output
            or self.device.type != "cpu"
            or any(True for _ in policy.pi_features_extractor.parameters())
            or any(True for _ in policy.vf_features_extractor.parameters())
        ):
            return None
        actor = flat_modules(policy.mlp_extractor.policy_net, policy.action_net)
        critic = flat_modules(policy.mlp_extractor.value_net, policy.value_net)
        return None if actor is None or critic is None else _Networks(MLP(actor), MLP(critic))

    def _features(self, observations: Any) -> tuple[Tensor, Tensor]:
        """What actor and critic see of observations."""
        with torch.no_grad():
            features = self.policy.extract_features(obs_as_tensor(observations, self.device))
        return features if isinstance(features, tuple) else (features, features)

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """Fills the buffer; returns whether to go on, as SB3's does."""
        networks = self._networks()
        if networks is None:
            return super().collect_rollouts(env, callback, rollout_buffer, n_rollout_steps)
        assert isinstance(self.action_space, gym.spaces.Box)
        low, high = self.action_space.low, self.action_space.high
        buffer = rollout_buffer
        self.policy.set_training_mode(False)
        buffer.reset()
        callback.on_rollout_start()
        log_std = self.policy.log_std.detach()
        noise = torch.randn(n_rollout_steps, env.num_envs, len(log_std))
        steps_of_noise = (noise * log_std.exp()).numpy()
        endings: list[tuple[int, int, Any]] = []  # step, environment, last observation of an episode cut off
        dones = self._last_episode_starts
        for step in range(n_rollout_steps):
            mean = networks.actor.forward(self._features(self._last_obs)[0])
            actions = mean.numpy() + steps_of_noise[step]
            clipped_actions = np.clip(actions, low, high)
            new_obs, rewards, dones, infos = env.step(clipped_actions)
            self.num_timesteps += env.num_envs
            callback.update_locals(locals())
            if not callback.on_step():
                return False
            for i in np.flatnonzero(dones).tolist():
                self._update_info_buffer([infos[i]], dones[i : i + 1])
                if infos[i].get("TimeLimit.truncated", False) and infos[i].get("terminal_observation") is not None:
                    endings.append((step, i, infos[i]["terminal_observation"]))
            _store(buffer, step, self._last_obs)
            buffer.actions[step] = actions
            buffer.rewards[step] = rewards
            buffer.episode_starts[step] = self._last_episode_starts
            self._last_obs, self._last_episode_starts = new_obs, dones  # type: ignore[assignment]
        buffer.pos, buffer.full = n_rollout_steps, True
        flat = _flat(buffer.observations, 2)
        buffer.values[:] = networks.critic.forward(self._features(flat)[1]).numpy().reshape(buffer.values.shape)
        buffer.log_probs[:] = (-0.5 * noise.square() - log_std - _HALF_LOG_TAU).sum(2).numpy()
        if endings:
            steps, ids, observations = zip(*endings, strict=True)
            values = networks.critic.forward(self._features(_stacked(observations))[1])
            buffer.rewards[list(steps), list(ids)] += self.gamma * values.numpy()[:, 0]
        last = networks.critic.forward(self._features(self._last_obs)[1])
        assert dones is not None
        buffer.compute_returns_and_advantage(last_values=last, dones=dones)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def train(self) -> None:
        """Takes `n_epochs` passes of gradient steps over the buffer."""
        networks = self._networks()
        if networks is None:
            super().train()
            return
        policy = self.policy
        policy.set_training_mode(True)
        self._update_learning_rate(policy.optimizer)
        clip_range: float = self.clip_range(self._current_progress_remaining)  # type: ignore[operator]
        gradient = _attach_gradients(policy)
        data = self._data()
        update = _Update(self, networks, clip_range)
        together = networks.actor.work * self.batch_size < _BOTH
        statistics = []
        with ThreadPoolExecutor(1) as second:
            for _ in range(self.n_epochs):
                rows = np.random.permutation(len(data.actions))  # noqa: NPY002  (where SB3 takes it from)
                order = torch.from_numpy(rows)
                for batch in data.batches(order, self.batch_size):
                    if together:
                        value_loss = update.critic(batch)
                        row = update.actor(batch)
                    else:
                        critic = second.submit(update.critic, batch)
                        row = update.actor(batch)
                        value_loss = critic.result()
                    norm = gradient.norm()
                    gradient.mul_((self.max_grad_norm / (norm + 1e-6)).clamp(max=1.0))
                    policy.optimizer.step()
                    statistics.append((*row, value_loss))
                self._n_updates += 1
        self._record(statistics, clip_range)

    def _data(self) -> _Data:
        """The buffer, flattened as SB3 does."""
        buffer = self.rollout_buffer
        if isinstance(buffer, DictRolloutBuffer):
            observations: Any = {key: buffer.swap_and_flatten(part) for key, part in buffer.observations.items()}
        else:
            observations = buffer.swap_and_flatten(buffer.observations)
        names = ("actions", "log_probs", "advantages", "returns")
        arrays = [torch.from_numpy(buffer.swap_and_flatten(getattr(buffer, name))) for name in names]
        actor, critic = self._features(observations)
        # (rows, features), (rows, features), (rows, actions), then (rows,) each
        return _Data(actor, critic, arrays[0], *(array.flatten() for array in arrays[1:]))

    def _record(self, statistics: Sequence[tuple[Tensor, ...]], clip_range: float) -> None:
        """Logs what SB3 logs."""
        columns = [torch.stack(column).double() for column in zip(*statistics, strict=True)]
        policy_loss, clip_fraction, divergence, entropy, value_loss = columns
        last_epoch = len(divergence) // self.n_epochs
        loss = policy_loss[-1] - self.ent_coef * entropy[-1] + self.vf_coef * value_loss[-1]
        buffer = self.rollout_buffer
        explained = explained_variance(buffer.values.flatten(), buffer.returns.flatten())
        self.logger.record("train/entropy_loss", -entropy.mean().item())
        self.logger.record("train/policy_gradient_loss", policy_loss.mean().item())
        self.logger.record("train/value_loss", value_loss.mean().item())
        self.logger.record("train/approx_kl", divergence[-last_epoch:].mean().item())
        self.logger.record("train/clip_fraction", clip_fraction.mean().item())
        self.logger.record("train/loss", loss.item())
        self.logger.record("train/explained_variance", explained)
        self.logger.record("train/std", self.policy.log_std.exp().mean().item())
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/clip_range", clip_range)


class _Networks(NamedTuple):
    actor: MLP
    critic: MLP


class _Data(NamedTuple):
    """Rows of a rollout."""

    actor: Tensor  # (rows, features), what the actor sees
    critic: Tensor  # (rows, features)
    actions: Tensor  # (rows, actions)
    log_probs: Tensor  # (rows,)
    advantages: Tensor
    returns: Tensor

    def batches(self, order: Tensor, size: int) -> Iterator[_Data]:
        """Minibatches in an order, gathered at once."""
        actor = self.actor.index_select(0, order)
        rest = (part.index_select(0, order) for part in self[2:])
        whole = _Data(actor, actor if self.critic is self.actor else self.critic.index_select(0, order), *rest)
        for start in range(0, len(order), size):
            yield _Data(*(part[start : start + size] for part in whole))


class _Update:
    """Losses of one minibatch and their gradients, written into the parameters' `grad`."""

    def __init__(self, model: LeanPPO, networks: _Networks, clip_range: float) -> None:
        self._networks = networks
        self._clip = clip_range
        self._normalize = model.normalize_advantage
        self._ent_coef, self._vf_coef = model.ent_coef, model.vf_coef
        self._log_std = model.policy.log_std
        self._minus_half = torch.full_like(self._log_std, -0.5, requires_grad=False)

    def actor(self, batch: _Data) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Policy loss, share of clipped ratios, approximate divergence and entropy."""
        log_std = self._log_std.detach()
        advantages = batch.advantages
        count = len(advantages)
        if self._normalize and count > 1:
            advantages = (advantages - advantages.mean()) / (advantages.std() + _EPSILON)
        mean = self._networks.actor.forward(batch.actor)
        inverse = (-log_std).exp()
        scaled = (batch.actions - mean).mul_(inverse)  # (rows, actions)
        squares = scaled.square()
        log_prob = torch.mv(squares, self._minus_half).sub_(log_std.sum() + len(log_std) * _HALF_LOG_TAU)
        log_ratio = log_prob.sub_(batch.log_probs)
        ratio = log_ratio.exp()
        clipped = ratio.clamp(1 - self._clip, 1 + self._clip)
        plain_loss, clipped_loss = advantages * ratio, advantages * clipped
        policy_loss = -torch.minimum(plain_loss, clipped_loss).mean()
        # by the log-probability; a clipped ratio has none
        gradient = torch.where(plain_loss <= clipped_loss, plain_loss, 0.0).div_(-count)
        log_std_gradient = self._log_std.grad
        assert log_std_gradient is not None
        torch.mv(squares.sub_(1.0).t(), gradient, out=log_std_gradient)
        log_std_gradient.sub_(self._ent_coef)
        self._networks.actor.backward(scaled.mul_(inverse).mul_(gradient[:, None]))
        away = ratio - 1
        divergence = (away - log_ratio).mean()
        clip_fraction = torch.count_nonzero(away.abs_() > self._clip) / count
        entropy = log_std.sum() + len(log_std) * (0.5 + _HALF_LOG_TAU)
        return policy_loss, clip_fraction, divergence, entropy

    def critic(self, batch: _Data) -> Tensor:
        """The value loss."""
        error = self._networks.critic.forward(batch.critic)[:, 0] - batch.returns
        loss = error.square().mean()
        self._networks.critic.backward(error.mul_(2 * self._vf_coef / len(error))[:, None])
        return loss


def _attach_gradients(policy: ActorCriticPolicy) -> Tensor:
    """One flat gradient of which the parameters' `grad` are views."""
    parameters = list(policy.parameters())
    flat = torch.zeros(sum(parameter.numel() for parameter in parameters))
    for parameter, part in zip(
        parameters, torch.split(flat, [parameter.numel() for parameter in parameters]), strict=True
    ):
        parameter.grad = part.view_as(parameter)
    return flat


def _store(buffer: RolloutBuffer, step: int, observations: Any) -> None:
    if isinstance(buffer, DictRolloutBuffer):
        for key, part in observations.items():
            buffer.observations[key][step] = part
    else:
        buffer.observations[step] = observations


def _flat(observations: Any, axes: int) -> Any:
    """Observations with their first axes made one."""
    if isinstance(observations, dict):
        return {key: _flat(part, axes) for key, part in observations.items()}
    together = math.prod(observations.shape[:axes])  # which -1 does not tell of nothing
    return observations.reshape(together, *observations.shape[axes:])


def _stacked(observations: tuple[Any, ...]) -> Any:
    """Single observations as a batch."""
    if isinstance(observations[0], dict):
        return {key: np.stack([one[key] for one in observations]) for key in observations[0]}
    return np.stack(observations)
