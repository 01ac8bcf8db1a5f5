"""Which Draws make a simulation diverge, and which of their numbers is to blame."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from dr_env.binding import Plan
from dr_env.binding.build import compiled_names
from dr_env.binding.indexing import BoundEntry
from dr_env.envs.task import Task, check_observations
from dr_env.envs.vector import VectorEnv
from dr_env.errors import DREnvError
from dr_env.records import Draw
from dr_env.rng import digest
from dr_env.spec import Spec

Progress = Callable[[int, int], None]

_STEPS = 1000
_BLAMED = 8  # failures that are looked into
_TOGETHER = 2048  # Draws that are simulated at once
_BUILDS = 8  # models that are compiled where the Spec has a part in that


@dataclasses.dataclass(frozen=True)
class Failure:
    """A Draw under which the simulation diverged.

    Args:
        draw: the Draw.
        seconds: when, in simulated time.
        culprits: the entries of which each alone, put back to what changes nothing, prevents it; empty
            where it takes several.
    """

    draw: Draw
    seconds: float
    culprits: tuple[str, ...]


def try_out(
    task: Task, spec: Spec, draws: int, seed: int = 0, progress: Progress | None = None
) -> tuple[float, list[Failure], int]:
    """Runs an episode of random actions under each of many Draws, and of up to 8 compiled models.

    Args:
        task: what is simulated.
        spec: what varies.
        draws: how many Draws.
        seed: of Draws and actions.
        progress: told (steps done, steps in all) now and then.

    Returns:
        The acceptance rate, the first failures, and how many there were.
    """
    builds = min(draws, _BUILDS) if compiled_names(spec) else 1
    counts = [len(range(build, draws, builds)) for build in range(builds)]
    parts = [
        (build, range(first, min(first + _TOGETHER, count)))
        for build, count in enumerate(counts)
        for first in range(0, count, _TOGETHER)
    ]
    accepted = 0.0
    found: list[Failure] = []
    failed = 0
    for place, (build, numbers) in enumerate(parts):
        seeds = [digest("try", seed, build, i) >> 1 for i in numbers]
        env = VectorEnv(task, len(seeds), spec, flat_goal=True, compile_from=digest("try", seed, build) >> 1)
        env.reset(seed=seeds)
        drawn, actions = env.draws, _actions(env, digest("try", seed, numbers.start))
        ended = _run(env, actions, progress and _part(progress, place, len(parts)))
        accepted += env.acceptance_rate * len(seeds) / draws
        rows = np.flatnonzero(ended >= 0).tolist()
        failed += len(rows)
        for i in rows[: min(max(1, _BLAMED // len(parts)), _BLAMED - len(found))]:
            seconds = float(ended[i]) * env.task.dt
            found.append(Failure(drawn[i], seconds, _blame(task, spec, drawn[i], seeds[i], actions[:, i : i + 1])))
    return accepted, found, failed


def _part(progress: Progress, place: int, parts: int) -> Progress:
    """Told of one of many parts, tells of them all."""
    return lambda done, steps: progress(place * steps + done, parts * steps)


def _actions(env: VectorEnv, seed: int) -> NDArray[np.float32]:
    """Random actions of an episode, (steps, n, actions)."""
    space = env.single_action_space
    assert isinstance(space, gym.spaces.Box)
    low, high = (np.nan_to_num(end, posinf=1.0, neginf=-1.0) for end in (space.low, space.high))
    shape = (min(env.max_episode_steps, _STEPS), env.num_envs, *low.shape)
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def _run(env: VectorEnv, actions: NDArray[np.float32], progress: Progress | None = None) -> NDArray[np.int64]:
    """The step in which each environment's first episode diverged, or -1, (n,)."""
    ended = np.full(env.num_envs, -1)
    running = np.ones(env.num_envs, bool)
    for step, action in enumerate(actions, 1):
        observations, _, terminated, truncated, info = env.step(action)
        check_observations(env.task, env.model, observations)
        ended[running & info.get("dr_failure", False)] = step
        running &= ~(terminated | truncated)
        if progress is not None:
            progress(step, len(actions))
        if not running.any():
            break
    return ended


def _blame(task: Task, spec: Spec, draw: Draw, seed: int, actions: NDArray[np.float32]) -> tuple[str, ...]:
    """The entries that, alone put back to what changes nothing, prevent a divergence."""
    plan = VectorEnv(task, 1, spec, compile_from=draw).plan
    compiled = compiled_names(spec)
    groups: dict[str, list[BoundEntry]] = {}  # entries that share a draw are put back together
    for bound in plan.entries:
        groups.setdefault(spec.entries[bound.name].share or bound.name, []).append(bound)
    names, variants, culprits = [], [], []
    for members in groups.values():
        variant = Draw({**draw, **{bound.name: _harmless(plan, bound, draw) for bound in members}}, plan.binding)
        group = [bound.name for bound in members]
        if compiled.intersection(group):
            culprits += group if _holds(task, spec, variant, seed, actions) else []
            continue
        try:
            plan.columns_from([variant])
        except DREnvError:
            continue  # physics does not allow it beside the other values
        names.append(group)
        variants.append(variant)
    if names:
        env = VectorEnv(task, len(names), spec, flat_goal=True, compile_from=draw)
        env.reset(seed=[seed] * len(names), options={"draw": variants})
        ended = _run(env, np.repeat(actions, len(names), axis=1))
        culprits += [name for group, step in zip(names, ended.tolist(), strict=True) if step < 0 for name in group]
    return tuple(culprits)


def _harmless(plan: Plan, bound: BoundEntry, draw: Draw) -> NDArray[np.float64]:
    """The value of an entry that leaves the model as it is."""
    nominal = float(plan.nominal[bound.field.array][bound.flat].mean())
    value = nominal if bound.operation == "set" else plan.spec.entries[bound.name].neutral
    return np.full_like(np.asarray(draw[bound.name], np.float64), value)


def _holds(task: Task, spec: Spec, draw: Draw, seed: int, actions: NDArray[np.float32]) -> bool:
    """Whether the simulation of a Draw holds on the model that is compiled by it."""
    try:
        env = VectorEnv(task, 1, spec, flat_goal=True, compile_from=draw)
        env.reset(seed=[seed], options={"draw": Draw(dict(draw))})
    except DREnvError:
        return False  # physics does not allow it beside the other values
    return bool(_run(env, actions)[0] < 0)
