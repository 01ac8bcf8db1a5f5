"""Bayesian domain randomization: a Gaussian process over ranges."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import optuna

from dr_env.errors import DREnvError
from dr_env.rng import digest, generator
from dr_env.tuning.returns import Array, ReturnsTuner


@dataclasses.dataclass(frozen=True)
class BayRnOptions:
    """Numbers of BayRn."""

    startup: int = 2  # candidates drawn at random before the process says where to go

    def __post_init__(self) -> None:
        if self.startup < 1:
            raise DREnvError(f"bayrn.startup: got {self.startup}, expected at least 1")


class BayRn(ReturnsTuner[BayRnOptions]):
    """Bayesian optimization of ranges: a Gaussian process predicts the target's return.

    Muratore, Eilers, Gienger, Peters, "Data-efficient domain randomization with Bayesian optimization", RA-L
    2021, algorithm 1. The process is that of Optuna's GPSampler (Matern 5/2, fitted noise) and the acquisition is
    its log expected improvement; the authors' code takes an upper confidence bound or expected improvement by
    BoTorch. The result is the candidate with the highest mean return, where the paper takes the maximum of
    the process's mean.
    """

    name: ClassVar[str] = "bayrn"
    Options: ClassVar[type[Any]] = BayRnOptions

    def _candidate(self, pending: tuple[Array, ...]) -> Array:
        number = len(self.points) + len(pending)
        known = np.isfinite(self.scores)
        if known.sum() < self.options.startup:
            return np.asarray(generator(self.seed, self.name, number).random(len(self.vector)))
        space: dict[str, optuna.distributions.BaseDistribution] = {
            f"u{i:04d}": optuna.distributions.FloatDistribution(0.0, 1.0) for i in range(len(self.vector))
        }
        # a candidate that failed is one that earned the least; without it the process would go there again
        told = [_trial(space, point, float(score)) for point, score in zip(self.points, self.ranked(0), strict=True)]
        running = [_trial(space, point, None) for point in pending]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.GPSampler(seed=digest(self.seed, self.name, number) >> 32, n_startup_trials=1)
        with _quiet():
            study = optuna.create_study(sampler=sampler, direction="maximize")
            study.add_trials([*told, *running])
            chosen = study.ask(space)
        return np.array([chosen.params[name] for name in space])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Optuna from announcing each candidate."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _trial(
    space: dict[str, optuna.distributions.BaseDistribution], point: Array, score: float | None
) -> optuna.trial.FrozenTrial:
    state = optuna.trial.TrialState.RUNNING if score is None else optuna.trial.TrialState.COMPLETE
    params = dict(zip(space, point.tolist(), strict=True))
    return optuna.trial.create_trial(state=state, value=score, params=params, distributions=space)
