"""How PPO is configured: a YAML file for each task, overridden key by key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from dr_env import DREnvError
from dr_env.rng import digest
from dr_env.spec import read_settings
from dr_env.spec.explain import explain

CONFIGS = Path(__file__).parent / "configs"


class PPOConfig(BaseModel):
    """PPO's numbers, by SB3's names where it has them."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    total_steps: PositiveInt = Field(default=1_000_000, description="environment steps in all")
    num_envs: PositiveInt = Field(default=128, description="environments stepped together")
    n_steps: PositiveInt = Field(default=32, description="steps of each environment between updates")
    batch_size: int = Field(default=512, ge=2)
    n_epochs: PositiveInt = 10
    learning_rate: PositiveFloat = 1e-3
    schedule: Literal["constant", "linear"] = Field(default="linear", description="linear: the rate falls to 0")
    gamma: float = Field(default=0.99, gt=0, le=1)
    gae_lambda: float = Field(default=0.95, ge=0, le=1)
    clip_range: PositiveFloat = 0.2
    ent_coef: float = Field(default=0.0, ge=0)
    vf_coef: float = Field(default=0.5, ge=0)
    max_grad_norm: PositiveFloat = 0.5
    net: tuple[PositiveInt, ...] = Field(default=(64, 64), description="hidden layers, of actor and of critic")
    activation: Literal["tanh", "relu"] = "tanh"
    log_std_init: float = Field(default=0.0, description="log of the initial exploration noise")
    ortho_init: bool = True
    context: Literal["hidden", "observed", "critic_only"] = Field(
        default="hidden", description="who sees the Draw: nobody, actor and critic, or the critic alone"
    )
    history: NonNegativeInt = Field(
        default=0, description="how many past observations and actions the policy sees; 0: the present observation"
    )
    encoder: Literal["flat", "conv"] = Field(
        default="flat", description="how a history is seen: as one long observation, or through convolutions over time"
    )
    normalize_observations: bool = True
    normalize_rewards: bool = True
    tuner: str | None = Field(
        default=None, description="a curriculum that rewrites the ranges while the policy trains: doraemon, adr, ..."
    )
    tuner_options: dict[str, Any] = Field(default_factory=dict, description="the tuner's own numbers")
    success_return: float | None = Field(
        default=None, description="for a tuner: the return from which an episode is a success, where the task has none"
    )
    torch_threads: PositiveInt = Field(
        default=1, description="small networks are fastest with one, beside the threads that step environments"
    )

    @field_validator("encoder")
    @classmethod
    def _needs_history(cls, encoder: str, info: ValidationInfo) -> str:
        if encoder == "conv" and info.data.get("history") == 0:
            raise ValueError("encodes a history, so history must be at least 1; it is 0")
        return encoder

    @property
    def frames(self) -> int:
        """How many frames the networks encode; 0: none."""
        return self.history if self.encoder == "conv" else 0

    @classmethod
    def for_task(cls, task: str, path: Path | None = None, settings: Mapping[str, Any] | None = None) -> PPOConfig:
        """The task's configuration, or `default.yaml` for one without, with `settings` over it."""
        own = CONFIGS / f"{task}.yaml"
        config = read_settings(cls, path or (own if own.exists() else CONFIGS / "default.yaml"))
        return cls.checked({**config.model_dump(), **(settings or {})}, "settings")

    @classmethod
    def checked(cls, data: object, source: str) -> PPOConfig:
        """A configuration from plain data; raises DREnvError naming `source` and key."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise DREnvError(explain(error, source, {}, lambda _: cls)) from None


class LinearRate:
    """A learning rate that falls from `initial` to 0 with the progress that remains.

    SB3 asks for it after a rollout, the last of which may reach beyond the steps wanted: what remains is then negative.
    A training of one rollout learns at the full rate.
    """

    def __init__(self, config: PPOConfig) -> None:
        self.initial = config.learning_rate
        self._once = config.num_envs * config.n_steps >= config.total_steps

    def __call__(self, remaining: float) -> float:
        return self.initial if self._once else self.initial * max(remaining, 0.0)


def settings_digest(recorded: Mapping[str, Any]) -> str:
    """What a run was trained with, less its seed and how long: equal for runs that differ by these alone."""
    settings = {name: value for name, value in recorded["ppo"].items() if name != "total_steps"}
    return f"{digest(json.dumps([recorded['algorithm'], settings], sort_keys=True)):016x}"
