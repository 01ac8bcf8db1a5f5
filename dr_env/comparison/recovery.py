"""Tier 0: how well a method recovers the parameters of a hidden target from recordings."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_env.binding import Plan, build_model, compile_model
from dr_env.comparison.cells import Cell
from dr_env.comparison.priors import prior_of, told_prior
from dr_env.comparison.targets import hidden, record, truth_of
from dr_env.envs import make_task
from dr_env.envs.replay import Replay
from dr_env.spec import Spec
from dr_env.tuning import Ledger, TargetTransitions, make_tuner

Array = NDArray[np.float64]

_DRAWS = 2000  # of the result, for its intervals
_ENSEMBLE = 16  # of them simulated on recordings that were left out
_HELD_OUT = 50  # transitions
_LEAST = 1e-8  # variance of a prediction, in units of its scale squared
_CURVE = 30  # predicted and recorded values that are kept for a picture


def recover(cell: Cell) -> dict[str, Any]:
    """Runs a cell of tier 0.

    Returns:
        Names, truth, medians and the ends of the 50 and 90 % intervals, in units of the prior's range from its
        lower end; the mean absolute error; the mean log density of a coordinate of transitions that were left out; the
        ledger; one coordinate's predicted and recorded changes.
    """
    prior = prior_of(cell.task, 0)
    target = hidden(cell.task, prior, cell.seed, cell.condition == "delay")
    noisy = cell.condition == "noisy"
    dt = make_task(cell.task).dt
    told = told_prior(prior, cell.task, cell.latency)
    evidence = TargetTransitions(record(cell.task, target, cell.size, cell.seed, noisy), dt)
    begin = time.perf_counter()
    tuner = make_tuner(cell.tuner, told, cell.seed, cell.numbers, lambda logs: replay(cell.task, told, logs))
    tuner.tell(evidence, Ledger(target_steps=cell.size, target_episodes=len(evidence.logs)))
    seconds = time.perf_counter() - begin
    result = tuner.result()
    fitted = replay(cell.task, told, evidence)
    drawn = _draws(cell.task, result, fitted.names)
    hid = [i for i, name in enumerate(fitted.names) if name in prior.entries]
    names = tuple(fitted.names[i] for i in hid)
    low, high = (end[hid] for end in fitted.bounds)
    unit = (drawn[:, hid] - low) / (high - low)
    truth = (truth_of(target, names) - low) / (high - low)
    ends = {share: np.quantile(unit, [0.5 - share / 2, 0.5 + share / 2], axis=0) for share in (0.5, 0.9)}
    held_out = TargetTransitions(record(cell.task, target, _HELD_OUT, cell.seed + 10_000, noisy), dt)
    density, curve = _judged(fitted, replay(cell.task, told, held_out), drawn)
    middle = np.median(unit, axis=0)
    return {
        "names": list(names),
        "truth": _rounded(truth),
        "median": _rounded(middle),
        "low50": _rounded(ends[0.5][0]),
        "high50": _rounded(ends[0.5][1]),
        "low90": _rounded(ends[0.9][0]),
        "high90": _rounded(ends[0.9][1]),
        "error": float(np.abs(middle - truth).mean()),
        "log_density": density,
        "curve": curve,
        "ledger": {**tuner.ledger.to_dict(), "seconds": round(seconds, 3)},
    }


def replay(task_name: str, spec: Spec, evidence: TargetTransitions) -> Replay:
    """The Simulator of recordings of a task: each transition from its own state, velocities compared too."""
    task = make_task(task_name)
    names = task.observation_names(compile_model(task.mjspec(), Spec()))
    build = build_model(task.mjspec(), spec, names)
    return Replay(build, spec, evidence.logs, evidence.window, velocities=True, observations=names)


def _draws(task_name: str, result: Spec, names: tuple[str, ...]) -> Array:
    """What environments would draw from a result, (n, d); an entry that it lacks is at its nominal scale, 1."""
    task = make_task(task_name)
    plan: Plan = result.bind(build_model(task.mjspec(), result).model)
    index = np.arange(_DRAWS, dtype=np.uint64)
    columns, _ = plan.sample_columns(np.zeros(_DRAWS, np.uint64), index, np.zeros(_DRAWS, np.uint64))
    return np.stack([columns.get(name, np.ones(_DRAWS)) for name in names], axis=1)


def _judged(fitted: Replay, left_out: Replay, drawn: Array) -> tuple[float, dict[str, list[float]]]:
    """The mean log density of left-out coordinates, and one coordinate's picture.

    The prediction of a coordinate is Gaussian: mean and variance of the ensemble, plus what the ensemble's mean
    misses in the recordings that were fitted.
    """
    ensemble = drawn[:: _DRAWS // _ENSEMBLE]
    errors = left_out.predictions(ensemble) * left_out.scales / fitted.scales  # (n, k, m)
    missed = np.nanmean(np.nanmean(fitted.predictions(ensemble), axis=0) ** 2, axis=0)  # (m,)
    mean, variance = np.nanmean(errors, axis=0), np.nanvar(errors, axis=0) + missed + _LEAST
    density = -0.5 * (mean**2 / variance + np.log(2 * np.pi * variance))
    last = errors.shape[2] - 1  # the last joint's velocity
    kept = slice(0, _CURVE)
    recorded = left_out.windows.measured_qvel[kept, -1]
    scale = float(fitted.scales[last])
    curve = {
        "recorded": _rounded(recorded),
        "predicted": _rounded(recorded + scale * mean[kept, last]),
        "std": _rounded(scale * np.sqrt(variance[kept, last])),
    }
    return float(np.nanmean(density)), curve


def _rounded(values: Array) -> list[float]:
    """Six digits are enough for tables and pictures."""
    return [float(f"{value:.6g}") for value in values]
