"""A tuner that rewrites the ranges of a running environment while a policy trains."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback

from dr_env import DREnvError, Spec
from dr_env.records import Columns
from dr_env.tuning import Ledger, SimEpisodes, Tuner, make_tuner, spread_of, tuner_class, tuner_names
from policies.config import PPOConfig
from policies.vecenv import SB3VecEnv


def tuner_of(spec: Spec, config: PPOConfig, seed: int) -> Tuner[Any] | None:
    """The tuner that drives the ranges, if the configuration names one."""
    if config.tuner is None:
        if config.tuner_options or config.success_return is not None:
            raise DREnvError("tuner: missing; tuner_options and success_return are for a tuner, such as doraemon")
        return None
    if spec.curriculum is not None:
        raise DREnvError(f"tuner: got {config.tuner}, but the Spec has a curriculum of its own; leave one of them out")
    tuner = make_tuner(config.tuner, spec, seed, config.tuner_options)
    check_learns_from_episodes(tuner)
    if config.context != "hidden" and environment_spec(spec, tuner) is not spec:
        raise DREnvError(
            f"context: got {config.context}, expected hidden; {config.tuner} draws another way than the Spec"
        )
    return tuner


def environment_spec(prior: Spec, tuner: Tuner[Any] | None) -> Spec:
    """What environments are made with: the prior, unless the tuner's Specs draw more than it does."""
    if tuner is None:
        return prior
    asked = tuner.ask()
    return prior if list(asked.drawn) == list(prior.drawn) else asked


def check_learns_from_episodes(tuner: Tuner[Any]) -> None:
    """Refuses a tuner that needs other evidence than the episodes of a training."""
    if tuner.needs != {"episodes"}:
        fit = [name for name in tuner_names() if tuner_class(name).needs == {"episodes"}]
        raise DREnvError(f"tuner: got '{tuner.name}', expected one that learns from episodes: {', '.join(fit)}")


class TunerCallback(BaseCallback):
    """Lets a curriculum, such as DORAEMON or ADR, drive the ranges of a running environment; for any SB3 algorithm.

    The tuner's first Spec is in force at once, so make this before the algorithm resets the environment. After
    each rollout, the last one too, the tuner is told of the episodes that ended in it, and of the Spec that each
    was drawn from; each simulation takes a new Spec at its next episode.

    Args:
        env: environments made with `environment_spec` of the tuner: for most the prior.
        tuner: a method that needs episodes.
        success_return: the return from which an episode is a success, for tasks that do not say so themselves.
    """

    def __init__(self, env: SB3VecEnv, tuner: Tuner[Any], success_return: float | None = None) -> None:
        super().__init__()
        check_learns_from_episodes(tuner)
        if env.env.randomization != environment_spec(tuner.prior, tuner):
            raise DREnvError("tuner: its prior is another Spec than the environments were made with")
        self.tuner = tuner
        self._venv, self._env, self._threshold = env, env.env, success_return
        self._spec = tuner.ask()
        self._env.set_randomization(self._spec)
        self._versions: list[Spec] = [self._spec]
        self._drawn = np.zeros(env.num_envs, np.int64)  # the version that each running episode was drawn from
        self._kept: dict[int, list[tuple[NDArray[np.float64], NDArray[np.bool_], Columns]]] = {}
        self.spread = spread_of(tuner.result(), tuner.prior)
        """The mean width of the ranges that are reached, as a share of the widest that the prior allows."""

    def _on_step(self) -> bool:
        ended, returns, info = self._venv.ended
        if "is_success" not in info and self._threshold is None:
            raise DREnvError(
                "success_return: missing; this task does not say which episodes succeed, so give the return from "
                "which one does, such as --set success_return=800"
            )
        if len(ended):
            self._keep(ended, returns, info)
            self._drawn[ended] = len(self._versions) - 1
        return True

    def _keep(self, ended: NDArray[np.intp], returns: NDArray[np.float64], info: dict[str, Any]) -> None:
        final = info["final_info"]
        if "is_success" in final:
            successes = np.asarray(final["is_success"][ended], bool)
        else:
            assert self._threshold is not None  # `_on_step`
            successes = returns >= self._threshold
        failed = np.asarray(info.get("dr_failure", np.zeros(self._env.num_envs, bool)))[ended]
        drawn = {name: values for name, values in final["dr"].items() if not name.startswith("_")}
        returns = np.where(failed, np.nan, returns)
        for version in np.unique(self._drawn[ended]).tolist():
            mine = self._drawn[ended] == version
            columns = {name: values[ended[mine]] for name, values in drawn.items()}
            self._kept.setdefault(version, []).append((returns[mine], (successes & ~failed)[mine], columns))

    def _on_rollout_end(self) -> None:
        if self._kept:
            self._tell()
        self.logger.record("dr/spread", self.spread)

    def _tell(self) -> None:
        steps = self.num_timesteps - self.tuner.ledger.sim_steps
        cost = Ledger(sim_steps=max(0, steps))
        for version, parts in sorted(self._kept.items()):
            returns, successes = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
            draws = {name: np.concatenate([part[2][name] for part in parts]) for name in parts[0][2]}
            self.tuner.tell(SimEpisodes(draws, returns, successes, self._versions[version]), cost)
            cost = Ledger()
        self._kept = {}
        spec = self.tuner.ask()
        if spec != self._spec:
            self._spec = spec
            self._versions.append(spec)
            self._env.set_randomization(spec)
            self.spread = spread_of(self.tuner.result(), self.tuner.prior)
