"""What the protocol runs: cells, each of one method in one situation under one seed, in a file of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from dr_env.cells import CellStore, cell_name
from dr_env.errors import DREnvError, unknown_name

Tier = Literal[0, 1, 2]

FORMAT = "dr_env/comparison/1"

# how methods are run: the tuner's name and its options; `latency` is the protocol's
_QUICK: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "credible": ("credible", {}),
    "credible+latency": ("credible", {"latency": 2}),
    "gauss_newton": ("gauss_newton", {}),
    "gauss_newton+latency": ("gauss_newton", {"latency": 2}),
    "gauss_newton+parameters": ("gauss_newton", {"spread": "parameters"}),
    "point": ("point", {}),
    # as published without the floor, which is what these methods do by default here
    "simopt": ("simopt", {"floor": False}),
    "simopt+floor": ("simopt", {}),
    "dropo": ("dropo", {"evaluations": 300, "samples": 30, "floor": False}),
    "dropo+floor": ("dropo", {"evaluations": 300, "samples": 30}),
    "edropo": ("dropo", {"evaluations": 300, "samples": 30, "entropy": 0.1, "floor": False}),
    "edropo+floor": ("dropo", {"evaluations": 300, "samples": 30, "entropy": 0.1}),
    "npdr": ("npdr", {"rounds": 2, "simulations": 300, "epochs": 60, "floor": False}),
    "npdr+floor": ("npdr", {"rounds": 2, "simulations": 300, "epochs": 60}),
    "none": ("none", {}),
    "uniform20": ("uniform20", {}),
    "wide": ("wide", {}),
    "oracle": ("oracle", {}),
    "random": ("random", {}),
    # one generation of as many candidates as there are target episodes; of the paper's 30 none would end
    "cem": ("cem", {"population": 5, "elites": 2, "smoothing": 0.0}),
    "cma_es": ("cma_es", {}),
    "bayrn": ("bayrn", {}),
    "grown": ("grown", {}),
    # so that 500 episodes, which is what a short training has, are many times what a step takes
    "doraemon": ("doraemon", {"episodes": 40}),
    "adr": ("adr", {"buffer": 5, "step": 0.1}),
    "active_dr": ("active_dr", {"episodes": 25}),
}
# what the papers and their code use
_FULL: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    **_QUICK,
    "dropo": ("dropo", {"floor": False}),
    "dropo+floor": ("dropo", {}),
    "edropo": ("dropo", {"entropy": 0.1, "floor": False}),
    "edropo+floor": ("dropo", {"entropy": 0.1}),
    "npdr": ("npdr", {"floor": False}),
    "npdr+floor": ("npdr", {}),
    "doraemon": ("doraemon", {}),
    "adr": ("adr", {}),
    "active_dr": ("active_dr", {}),
}
LIKELIHOOD = (
    "credible", "credible+latency", "gauss_newton", "gauss_newton+latency", "gauss_newton+parameters", "point",
    "simopt", "simopt+floor", "dropo", "dropo+floor", "edropo", "edropo+floor", "npdr", "npdr+floor",
)  # fmt: skip
CURRICULA = ("doraemon", "adr", "active_dr")
"""Methods that rewrite the ranges while a policy trains, and are told nothing of the target."""
_TRANSFER = (
    "none", "uniform20", "wide", "oracle", "random", "cem", "cma_es", "bayrn",
    "point", "simopt", "dropo+floor", "edropo+floor", "npdr+floor", "gauss_newton", "credible", "credible+latency",
    "grown", *CURRICULA,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run of the protocol.

    Args:
        tier: 0 recovers parameters, 1 and 2 train policies.
        task: the environment.
        condition: of the recordings (tier 0) or of the target.
        size: transitions (tier 0), or episodes on the target.
        method: its label; with `_full` where the larger protocol has other settings.
        seed: of everything random; in tier 0 of the hidden target too.
        target: the hidden target's number, in tiers 1 and 2.
        steps: of training for each policy, in tiers 1 and 2.
        options: of the tuner, and `latency`.
        training: numbers of the training's configuration that are not the task's own, in tiers 1 and 2.
    """

    tier: Tier
    task: str
    condition: str
    size: int
    method: str
    seed: int
    target: int = 0
    steps: int = 0
    tuner: str = ""
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    training: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def latency(self) -> int:
        """Control steps by which the method is told that commands may act late; 0 for not at all."""
        return int(self.options.get("latency", 0))

    @property
    def numbers(self) -> dict[str, Any]:
        """The tuner's own options."""
        return {key: value for key, value in self.options.items() if key != "latency"}

    @property
    def name(self) -> str:
        """The file's name, without its ending; cells that differ in anything have different names."""
        parts = [f"tier{self.tier}", self.task, self.condition, str(self.size), self.method]
        if self.tier:
            parts.append(f"target{self.target}")
        form = {key: value for key, value in dataclasses.asdict(self).items() if key != "training" or value}
        return cell_name([*parts, str(self.seed)], form)


def cells(
    tier: Tier,
    full: bool = False,
    seeds: int | None = None,
    methods: Sequence[str] = (),
    tasks: Sequence[str] = (),
    sizes: Sequence[int] = (),
    steps: int | None = None,
) -> list[Cell]:
    """The protocol's cells, seed by seed, so that what has run at any time is balanced.

    Args:
        tier: 0, 1 or 2.
        full: the larger protocol, with the settings of the papers.
        seeds: how many; by default 20 in tier 0 and 3 in the others.
        methods, tasks, sizes: some only; by default the tier's.
        steps: of training for each policy.

    Raises:
        DREnvError: a method, task or size that the tier does not have.
    """
    for name, number in (("seeds", seeds), ("steps", steps)):
        if number is not None and number < 1:
            raise DREnvError(f"{name}: got {number}, expected at least 1")
    settings = _FULL if full else _QUICK
    known = LIKELIHOOD if tier == 0 else _TRANSFER
    chosen = _chosen("method", methods, settings if tier else LIKELIHOOD, known if full or tier else _default())
    places = _chosen("task", tasks, *(TASKS[tier],) * 2)
    if tier == 0:
        for size in sizes:
            if size < 3:
                raise DREnvError(f"sizes: got {size}, expected at least 3 transitions")
        numbers = tuple(sizes) or ((10, 100, 1000) if full else (10, 100))
        situations = [(task, condition, size, 0) for task in places for condition in CONDITIONS for size in numbers]
    else:
        targets = 3 if tier == 1 else 1
        if full and tier == 1:
            targets = 5
        budget = tuple(sizes) or (5,)
        condition = "delay" if tier == 2 else "hidden"
        situations = [(task, condition, size, i) for task in places for i in range(targets) for size in budget]
    count = seeds or (20 if tier == 0 else 10 if full and tier == 1 else 5 if full else 3)
    return [
        Cell(
            tier,
            task,
            condition,
            size,
            method if settings[method] == _QUICK[method] else f"{method}_full",
            seed,
            target,
            _length(tier, task, full, steps),
            *settings[method],
            _training(tier, task, method),
        )
        for seed in range(count)
        for task, condition, size, target in situations
        for method in chosen
    ]


TASKS: Mapping[int, tuple[str, ...]] = {
    0: ("hopper", "half_cheetah"),
    1: ("cartpole", "pendulum"),
    2: ("hopper",),
}
CONDITIONS = ("clean", "noisy", "delay")

_STEPS: Mapping[str, int] = {"cartpole": 150_000, "pendulum": 100_000, "hopper": 500_000}
# few environments learn more from so few steps than the many that are quickest
_TRAINING: Mapping[str, Mapping[str, Any]] = {
    "cartpole": {"num_envs": 8, "n_steps": 256, "batch_size": 128, "learning_rate": 1e-3},
    "pendulum": {"num_envs": 16, "n_steps": 128, "batch_size": 256},
}
# about three quarters of what the median of three policies of these lengths reaches in the nominal world
_SUCCESS: Mapping[str, float] = {"cartpole": 160.0, "pendulum": 130.0, "hopper": 400.0}


def _training(tier: Tier, task: str, method: str) -> dict[str, Any]:
    """Numbers of the training's configuration that are not the task's own."""
    own = dict(_TRAINING.get(task, {})) if tier == 1 else {}
    return own | {"success_return": _SUCCESS[task]} if method in CURRICULA else own


def _length(tier: Tier, task: str, full: bool, steps: int | None) -> int:
    """Steps of each training."""
    if tier == 0:
        return 0
    return steps or ((200_000 if tier == 1 else 1_000_000) if full else _STEPS[task])


def _default() -> tuple[str, ...]:
    """Without what takes longest for least news."""
    return tuple(
        method for method in LIKELIHOOD if method not in ("edropo", "edropo+floor", "simopt+floor", "npdr+floor")
    )


def _chosen(
    what: str, given: Sequence[str], known: Sequence[str] | Mapping[str, Any], default: Sequence[str]
) -> tuple[str, ...]:
    for name in given:
        if name not in known:
            raise DREnvError(unknown_name(what, name, list(known)))
    return tuple(given) or tuple(default)


def store(folder: Path) -> CellStore:
    """The results of a comparison in a folder."""
    return CellStore(folder, FORMAT)
