"""Tiers 1 and 2: how well policies do on a hidden target that were trained under what a method found."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_env.comparison.cells import Cell
from dr_env.comparison.priors import prior_of, told_prior
from dr_env.comparison.recovery import replay
from dr_env.comparison.targets import hidden, record
from dr_env.envs import grow, make_task
from dr_env.envs.objective import Objective
from dr_env.errors import DREnvError
from dr_env.spec import Spec
from dr_env.tuning import Ledger, TargetReturns, TargetTransitions, Tuner, make_tuner, tuner_class

Array = NDArray[np.float64]

JUDGED = 64  # fresh target episodes that no tuner saw
_FRESH = 1_000_000  # number of the trial whose episodes judge; no search has as many


def transfer(cell: Cell, out: Path, algorithm: str) -> dict[str, Any]:
    """Runs a cell of tier 1 or 2.

    A method that needs returns trains a policy under what it asks for and spends one target episode on each, as
    many as the cell's size; one that needs recordings is given as many recordings, of at most 50 steps each, and one
    that needs episodes too trains policies in simulation (`grow`). The policy that is judged is trained under the
    method's result, from scratch, with the cell's seed; it is that of the last checkpoint, whatever its learning
    curve. A method that needs nothing but episodes rewrites the ranges of this training while it runs.

    Returns:
        Returns of fresh target episodes (one that diverged counts as the worst of the others), the result as YAML, the
        ledger.
    """
    prior = prior_of(cell.task, cell.tier)
    target = hidden(cell.task, prior, cell.target, cell.condition == "delay")
    objective, runs = Objective(cell.task, algorithm, cell.steps, cell.training, cell.seed), out / "runs" / cell.name
    begin, ledger = time.perf_counter(), Ledger()
    if tuner_class(cell.tuner).needs == {"episodes"}:
        driven = {**cell.training, "tuner": cell.tuner, "tuner_options": cell.numbers}
        dataclasses.replace(objective, settings=driven).train(prior, runs / "final")
        result = Spec.load(runs / "final" / "tuned.yaml")
    else:
        tuner = _tuned(cell, prior, target, objective, runs)
        result, ledger = tuner.result(), tuner.ledger
        objective.train(result, runs / "final")
    returns, _ = objective.evaluate(runs / "final", target, JUDGED, _FRESH + cell.target)
    worst = np.nanmin(returns) if np.isfinite(returns).any() else 0.0
    shutil.rmtree(runs, ignore_errors=True)
    spent = ledger + Ledger(sim_steps=cell.steps, policies=1, seconds=round(time.perf_counter() - begin, 1))
    return {
        "returns": np.where(np.isnan(returns), worst, returns).round(4).tolist(),
        "result": result.to_yaml(),
        "ledger": spent.to_dict(),
    }


def _tuned(cell: Cell, prior: Spec, target: Spec, objective: Objective, runs: Path) -> Tuner[Any]:
    """The cell's method, after it was told what the target shows it."""
    options: Mapping[str, Any] = {"target": target.to_dict()} if cell.tuner == "oracle" else cell.numbers
    needs = tuner_class(cell.tuner).needs
    told = told_prior(prior, cell.task, cell.latency)
    simulate = (lambda logs: replay(cell.task, told, logs)) if "transitions" in needs else None
    tuner = make_tuner(cell.tuner, told, cell.seed, options, simulate)
    if "transitions" in needs:
        logs = tuple(
            log for episode in range(cell.size)
            for log in record(cell.task, target, 50, 1000 * cell.target + episode, noisy=True)
        )  # fmt: skip
        steps = sum(int(log.measured_qpos.any(axis=1).sum()) - 1 for log in logs)
        tuner.tell(
            TargetTransitions(logs, make_task(cell.task).dt), Ledger(target_steps=steps, target_episodes=len(logs))
        )
        if "episodes" in needs:
            grow(tuner, objective, runs / "growth")
    elif not tuner.done:
        _search(tuner, cell, target, objective, runs)
    return tuner


def _search(tuner: Tuner[Any], cell: Cell, target: Spec, objective: Objective, runs: Path) -> None:
    """Spends the cell's target episodes, one on each candidate; a policy that cannot be trained counts as failed."""
    for trial in range(cell.size):
        spec, run = tuner.ask(), runs / f"trial{trial}"
        try:
            objective.train(spec, run)
            returns, steps = objective.evaluate(run, target, 1, 1000 * cell.target + trial)
        except DREnvError:
            returns, steps = np.full(1, np.nan), 0
        cost = Ledger(target_steps=steps, target_episodes=1, sim_steps=cell.steps, policies=1)
        tuner.tell(TargetReturns(trial, returns, spec), cost)
