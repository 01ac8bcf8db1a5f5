"""A spread grown by policies: each is trained under what the tuner asks for, and its episodes are told."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dr_env.envs.objective import Objective
from dr_env.tuning import Ledger, SimEpisodes, Tuner

_EPISODES = 256  # that judge a policy in its own simulation
_SHORT = 0.2  # of the first policy's median return, by which an episode that succeeds may fall short of it
_MOST = 50  # policies, should a tuner never settle


def grow(
    tuner: Tuner[Any], objective: Objective, folder: Path, told: Callable[[int, float], None] = lambda _, __: None
) -> None:
    """Trains policies under what the tuner asks for, and tells it how they do, until it has settled.

    The first policy is trained from scratch, each later one goes on from the one before for half as many steps. An
    episode under the Spec that was asked for succeeds when its return is at most a fifth below the median of the
    first policy's. A policy that was trained before is not trained again.

    Args:
        tuner: one that needs episodes, told of all else.
        objective: how policies are trained.
        folder: of their runs, `0`, `1`, ...
        told: hears the number of each policy and its share of successes.
    """
    least, before, number = -np.inf, None, 0
    while not tuner.done and number < _MOST:
        spec, run = tuner.ask(), folder / str(number)
        steps, seconds = objective.train(spec, run, before)
        returns, _ = objective.evaluate(run, spec, _EPISODES, number)
        if before is None:
            middle = float(np.nanmedian(returns)) if np.isfinite(returns).any() else np.inf
            least = middle - _SHORT * abs(middle)
            if objective.steps is not None:
                objective = dataclasses.replace(objective, steps=max(1, objective.steps // 2))
        successes = returns >= least
        cost = Ledger(sim_steps=steps, policies=1, seconds=round(seconds, 3))
        tuner.tell(SimEpisodes({}, returns, successes, spec), cost)
        told(number, float(successes.mean()))
        before, number = run, number + 1
