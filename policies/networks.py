"""Networks that use what only a simulation knows, or what a policy has seen before.

An asymmetric actor-critic trains a critic that sees the Draw beside an actor that does not: Pinto,
Andrychowicz, Welinder, Zaremba, Abbeel, "Asymmetric actor critic for image-based robot learning", RSS 2018. A
history lets the actor infer the Draw: Peng, Andrychowicz, Zaremba, Abbeel, "Sim-to-real transfer of robotic
control with dynamics randomization", ICRA 2018; the convolutional encoder has the shape of the adaptation module in
Kumar, Fu, Pathak, Malik, "RMA: rapid motor adaptation for legged robots", RSS 2021, but is trained end to end.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import torch
from stable_baselines3.common.policies import ActorCriticPolicy, ContinuousCritic
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, MlpExtractor
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.sac.policies import Actor, SACPolicy
from torch import Tensor, nn

CONTEXT = "context"
"""The key of an observation that the actor does not see."""

_CHANNELS = 32
_LATENT = 8
_CONVOLUTIONS = ((8, 4), (5, 1), (5, 1))  # kernel, stride; for RMA's 50 frames, shortened for fewer


class HistoryEncoder(nn.Module):
    """Flat histories (n, frames * width) to the newest frame and a summary of all, (n, width + 8).

    Each frame is embedded, then three convolutions run over time, and a linear layer ends it.

    Args:
        frames: how many frames a history has.
        width: numbers of a frame.
    """

    def __init__(self, frames: int, width: int) -> None:
        super().__init__()
        self.size = width + _LATENT
        self._shape = frames, width
        self.embedding = nn.Sequential(
            nn.Linear(width, _CHANNELS), nn.ReLU(), nn.Linear(_CHANNELS, _CHANNELS), nn.ReLU()
        )
        layers: list[nn.Module] = []
        length = frames
        for kernel, stride in _CONVOLUTIONS:
            kernel = min(kernel, length)
            missing = (kernel - length) % stride  # else the newest frames would be left out
            if missing:
                layers.append(nn.ReplicationPad1d((missing, 0)))
                length += missing
            layers += [nn.Conv1d(_CHANNELS, _CHANNELS, kernel, stride), nn.ReLU()]
            length = (length - kernel) // stride + 1
        self.convolutions = nn.Sequential(*layers, nn.Flatten(), nn.Linear(_CHANNELS * length, _LATENT))

    def forward(self, histories: Tensor) -> Tensor:
        """Encodes histories, oldest frame first."""
        frames = histories.reshape(-1, *self._shape)  # (n, frames, width)
        latent = self.convolutions(self.embedding(frames).transpose(1, 2))
        return torch.cat((frames[:, -1], latent), dim=1)


class Inputs(BaseFeaturesExtractor):
    """What a network sees of an observation: its parts side by side, a history encoded if asked for.

    Args:
        observation_space: a Box, or a Dict of them.
        context: whether to see the key `context`, if there is one.
        frames: encode `observation` as a history of so many frames; 0: take it as it is.
    """

    def __init__(self, observation_space: gym.Space[Any], context: bool = True, frames: int = 0) -> None:
        whole = isinstance(observation_space, gym.spaces.Dict)
        parts = observation_space.spaces if whole else {"observation": observation_space}  # type: ignore[attr-defined]
        self._dict = whole
        self._keys = tuple(key for key in parts if context or key != CONTEXT)
        sizes = {key: int(gym.spaces.flatdim(parts[key])) for key in self._keys}
        encoder = HistoryEncoder(frames, sizes["observation"] // frames) if frames else None
        if encoder is not None:
            sizes["observation"] = encoder.size
        super().__init__(observation_space, features_dim=sum(sizes.values()))
        self.encoder = encoder

    def forward(self, observations: Any) -> Tensor:
        """Features (n, features_dim)."""
        parts = {key: observations[key] for key in self._keys} if self._dict else {"observation": observations}
        if self.encoder is not None:
            parts["observation"] = self.encoder(parts["observation"])
        return torch.cat(tuple(parts.values()), dim=1) if len(parts) > 1 else next(iter(parts.values()))


class AsymmetricActorCriticPolicy(ActorCriticPolicy):
    """PPO's policy whose actor does not see the key `context` of its Dict observations, and whose critic does.

    The arguments are SB3's; `frames` goes to both networks' `Inputs`.
    """

    def __init__(
        self,
        observation_space: gym.Space[Any],
        action_space: gym.Space[Any],
        lr_schedule: Schedule,
        *,
        frames: int = 0,
        **kwargs: Any,
    ) -> None:
        self._frames = frames
        kwargs |= {"features_extractor_class": Inputs, "features_extractor_kwargs": {"frames": frames}}
        super().__init__(observation_space, action_space, lr_schedule, share_features_extractor=False, **kwargs)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "frames": self._frames}

    def _build_mlp_extractor(self) -> None:
        actor = Inputs(self.observation_space, context=False, frames=self._frames).to(self.device)
        self.features_extractor = self.pi_features_extractor = actor
        arguments = (self.net_arch, self.activation_fn, self.device)
        self.mlp_extractor = MlpExtractor(actor.features_dim, *arguments)
        self.mlp_extractor.value_net = MlpExtractor(self.vf_features_extractor.features_dim, *arguments).value_net


class AsymmetricSACPolicy(SACPolicy):
    """SAC's policy whose actor does not see the key `context` of its Dict observations, and whose critics do.

    The arguments are SB3's; `frames` goes to all networks' `Inputs`.
    """

    def __init__(
        self,
        observation_space: gym.Space[Any],
        action_space: gym.spaces.Box,
        lr_schedule: Schedule,
        *,
        frames: int = 0,
        **kwargs: Any,
    ) -> None:
        self._frames = frames
        kwargs |= {"features_extractor_class": Inputs, "features_extractor_kwargs": {"frames": frames}}
        super().__init__(observation_space, action_space, lr_schedule, **kwargs)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "frames": self._frames}

    def make_actor(self, features_extractor: BaseFeaturesExtractor | None = None) -> Actor:
        """The actor, without context."""
        return super().make_actor(Inputs(self.observation_space, context=False, frames=self._frames))

    def make_critic(self, features_extractor: BaseFeaturesExtractor | None = None) -> ContinuousCritic:
        """A critic, with everything."""
        return super().make_critic(Inputs(self.observation_space, frames=self._frames))


class NoOptimizer:
    """What a network that learns no more has for an optimizer; for one, torch would import its compiler (3 s)."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass
