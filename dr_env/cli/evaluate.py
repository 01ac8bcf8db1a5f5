"""`dr-env evaluate`: trained policies in the nominal, the randomized and the target world."""

from __future__ import annotations

import dataclasses
import html
import os
import re
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, TaskID
from rich.table import Table

from dr_env.binding import Plan
from dr_env.cli.bars import bars
from dr_env.cli.marginals import marginals_of, meet, writes
from dr_env.distributions import Expression
from dr_env.envs import Task, TrainedPolicy, VectorEnv, as_spec, known_task, make_trainer, rollout, task_name
from dr_env.envs.keys import check_seed
from dr_env.errors import DREnvError
from dr_env.evaluation import (
    WORLD,
    Arm,
    Comparison,
    Explanation,
    Outcome,
    encode_video,
    explain,
    read_scores,
    write_report,
)
from dr_env.files import check_writable
from dr_env.records import versions
from dr_env.rng import digest
from dr_env.spec import Entry, Spec

_VIDEO_SECONDS = 8


def evaluate(
    runs: tyro.conf.Positional[tuple[Path, ...]],
    *,
    task: str | None = None,
    target: Path | None = None,
    randomization: str = "default",
    out: Path | None = None,
    episodes: int = 128,
    randomized_episodes: int | None = None,
    seed: int = 0,
    algorithm: str = "ppo",
    threads: int = 0,
    video: bool = True,
    link: tuple[Path, ...] = (),
    scores: tuple[Path, ...] = (),
    quiet: bool = False,
) -> None:
    """Compare trained policies on worlds; writes report.html and report.json.

    Args:
        runs: Run folders of one task; those that differ by seed alone are pooled.
        task: The Python file of the runs' task, where it is of a file: runs hold no code and name none.
        target: The target world's Spec; by default the task's own target.yaml.
        randomization: The randomized world's Spec; by default the task's own, or else what the runs were trained under.
        out: The report's folder; by default `report` beside the first run.
        episodes: Fresh episodes for each run and world.
        randomized_episodes: The same in the randomized world, by default twice as many. They say what each range
            does: the more, the smaller the effects that can be told from chance.
        seed: The episodes' seed, the same for every run.
        algorithm: The algorithm that the runs were trained with.
        threads: Threads that step environments; 0 for all of the machine's.
        video: Put a video of each policy on the target into the report.
        link: HTML pages that the report links to, such as a dataset's or a fit's.
        scores: Folders that `dr-env vision evaluate --out` wrote, for a panel on pose estimators.
        quiet: No progress bar.
    """
    if not runs:
        raise DREnvError("expected at least one run folder")
    for run in runs:
        if [other.resolve() for other in runs].count(run.resolve()) > 1:
            raise DREnvError(f"{run}: given twice")
    for flag, count in (("--episodes", episodes), ("--randomized-episodes", randomized_episodes)):
        if count is not None and count < 2:
            raise DREnvError(f"{flag}: got {count}, expected at least 2")
    check_seed(seed, "--seed")
    counts = {"nominal": episodes, WORLD: randomized_episodes or 2 * episodes, "target": episodes}
    if task is not None:
        task_name(task)  # from now on known by the name that runs have of it
    policies = [make_trainer(algorithm).load(run) for run in runs]
    for run, policy in zip(runs, policies, strict=True):
        if policy.context == "observed":
            raise DREnvError(
                f"{run}: acts on its Draw (context: observed), and the worlds to compare have Specs of their own; "
                "train with context=critic_only, which acts without, or roll it out on its own Spec with "
                "VectorEnv(..., context='observed')"
            )
    made = _common_task(runs, policies)
    titles = {path: _title(path) for path in link}
    estimators = [read_scores(folder) for folder in scores]
    source = _target(target, made)
    worlds = {"nominal": Spec(), WORLD: _randomized(randomization, made, policies), "target": Spec.load(source)}
    plans = {world: VectorEnv(made, 1, spec).plan for world, spec in worlds.items()}
    folder = out or runs[0].resolve().parent / "report"
    check_writable(folder)
    notes: list[str] = []
    videos: dict[str, bytes] = {}
    arms = []
    groups = _group(runs, policies, worlds[WORLD])
    with bars(quiet) as bar:
        for name, members in groups.items():
            outcomes: dict[str, list[Outcome]] = {world: [] for world in worlds}
            for i in members:
                for world, spec in worlds.items():
                    step = bar.add_task(f"{runs[i].name} on {world}", total=counts[world])
                    env = VectorEnv(made, counts[world], spec, flat_goal=True, threads=threads)
                    env_seed = digest("evaluate", seed, world) >> 1
                    done = rollout(env, policies[i].act, env_seed, partial(_advance, bar, step))
                    env.close()
                    failed = tuple(np.flatnonzero(done.failures).tolist())
                    rate, binding = done.acceptance_rate, env.plan.binding
                    outcomes[world].append(
                        Outcome(done.returns, done.lengths, failed, done.draws, rate, binding, done.successes)
                    )
            if video:
                step = bar.add_task(f"{name}: video", total=None)
                try:
                    videos[name] = _video(made, worlds["target"], policies[members[0]], seed)
                except DREnvError as error:  # no OpenGL: the numbers stand without pictures
                    video = False
                    notes.append(f"No video: {error}")
                bar.update(step, total=1, completed=1)
            arms.append(
                Arm(
                    name=name,
                    runs=tuple(str(runs[i]) for i in members),
                    seeds=tuple(policies[i].seed for i in members),
                    steps=policies[members[0]].steps,
                    curves=tuple(policies[i].curve for i in members),
                    outcomes={world: tuple(found) for world, found in outcomes.items()},
                )
            )
    comparison = Comparison(
        task=made.name,
        worlds=tuple(worlds),
        arms=tuple(arms),
        episodes=counts,
        seed=seed,
        target=source.name,
        changes=_changes(plans["target"], plans[WORLD]),
    )
    drawn = arms[0].outcomes[WORLD][0].draws
    explanation = explain(comparison, marginals_of(plans[WORLD], plans["target"], drawn, seed))
    links = {os.path.relpath(path, folder): title for path, title in titles.items()}
    used = versions("dr-env", "mujoco", "gymnasium", "numpy")
    page = write_report(comparison, explanation, folder, videos, notes, used, links, estimators)
    _show(comparison, explanation, page)


def _target(given: Path | None, task: Task) -> Path:
    own = task.file("target.yaml")
    if given is None and not own.exists():
        raise DREnvError(
            f"{own}: no such file; say with --target which world to judge in, such as the Spec that was fitted to the "
            "robot's recordings"
        )
    return given or own


def _randomized(given: str, task: Task, policies: list[TrainedPolicy]) -> Spec:
    """The randomized world; of a task without a Spec of its own, the one that its runs were trained under."""
    own = task.file("randomization.yaml")
    if given != "default" or own.exists():
        return as_spec(given, task)
    trained = {policy.randomization.digest(): policy.randomization for policy in policies}
    varied = [spec for spec in trained.values() if spec.entries] or [Spec()]
    if len(varied) > 1:
        raise DREnvError(
            f"{own}: no such file, and the runs were trained under {len(varied)} Specs; say with --randomization which "
            "of them is the randomized world"
        )
    return varied[0]


def _title(page: Path) -> str:
    """What an HTML page calls itself."""
    try:
        found = re.search(r"<title>(.*?)</title>", page.read_text(encoding="utf-8"), re.DOTALL)
    except (OSError, UnicodeDecodeError) as error:
        raise DREnvError(f"--link {page}: expected an HTML page: {error}") from error
    return html.unescape(found[1]).strip() if found else page.name


def _advance(bar: Progress, step: TaskID, done: int, _: int) -> None:
    bar.update(step, completed=done)


def _common_task(runs: tuple[Path, ...], policies: list[TrainedPolicy]) -> Task:
    names = {policy.task for policy in policies}
    if len(names) > 1:
        listed = ", ".join(f"{run} ({policy.task})" for run, policy in zip(runs, policies, strict=True))
        raise DREnvError(f"runs of different tasks cannot be compared: {listed}")
    return known_task(names.pop(), runs[0])


def _group(runs: tuple[Path, ...], policies: list[TrainedPolicy], default: Spec) -> dict[str, list[int]]:
    """Runs that differ by their seeds alone, by what they were trained under: plain, randomized, or a folder's name.

    Where several groups were trained under one Spec, with other settings or for other steps, all have their folders'
    names.
    """
    groups: dict[tuple[str, int, str, int], list[int]] = {}
    for i, policy in enumerate(policies):
        of = policy.randomization.digest(), policy.steps, policy.settings
        repeated = sum(policies[j].seed == policy.seed for k in groups if k[:3] == of for j in groups[k])
        groups.setdefault((*of, repeated), []).append(i)  # two runs of one seed are not two seeds
    kinds = Counter(drawn for drawn, *_ in groups)
    named: dict[str, list[int]] = {}
    for (drawn, *_), members in groups.items():
        spec, folder = policies[members[0]].randomization, runs[members[0]]
        own = folder.resolve().name
        common = "plain" if not spec.entries else "randomized" if spec == default else own
        tried = [common if kinds[drawn] == 1 else own, str(folder), str(folder.resolve())]
        named[next(name for name in tried if name not in named)] = members
    return named


def _video(task: Task, target: Spec, policy: TrainedPolicy, seed: int) -> bytes:
    env = VectorEnv(task, 1, target, flat_goal=True, threads=1, render_mode="rgb_array", width=480, height=320,
                    max_episode_steps=min(task.max_episode_steps, round(_VIDEO_SECONDS / task.dt)))  # fmt: skip
    stride = max(1, round(1 / (30 * task.dt)))  # about 30 images a second
    frames: list[np.ndarray] = []
    try:
        rollout(env, policy.act, digest("video", seed) >> 1, frames=frames, stride=stride)
    finally:
        env.close()
    return encode_video(frames, round(1 / (stride * task.dt)))


def _changes(target: Plan, training: Plan) -> tuple[tuple[str, str, str], ...]:
    """What each entry of the target does, and what training varied in the same numbers."""
    rows = []
    for mine in target.entries:
        same = [
            _describe(training.spec.entries[other.name])
            for other in training.entries
            if meet(writes(target, mine), writes(training, other))
        ]
        rows.append((mine.name, _describe(target.spec.entries[mine.name]), "; ".join(same) or "not modelled"))
    return tuple(rows)


def _describe(entry: Entry) -> str:
    low, high = entry.distribution.support()
    values = f"{low:g}" if low == high else f"{low:g} .. {high:g}"
    if isinstance(entry.distribution, Expression):
        values = entry.distribution.to_dict()["formula"]
    names = f" of {entry.select.kind} {', '.join(entry.select.patterns)}" if entry.select.patterns else ""
    verb = {"scale": "scaled by", "add": "plus", "set": "set to"}[entry.operation]
    return f"{entry.field}{names} {verb} {values}"


def _cell(arm: Arm, world: str) -> str:
    """A return, and below it the share of successes where there are any to speak of."""
    score, success = str(arm.estimate(world)), arm.success(world)
    if success is not None:
        score += "\n{:.0%} [{:.0%}, {:.0%}]".format(*dataclasses.astuple(success))
    return escape(score)


def _show(comparison: Comparison, explanation: Explanation, page: Path) -> None:
    succeed = any(arm.success(world) for arm in comparison.arms for world in comparison.worlds)
    measure = "interquartile mean return and success rate" if succeed else "interquartile mean return"
    table = Table(title=f"{escape(comparison.task)}: {measure} [95 % interval]")
    table.add_column("policy")
    for world in comparison.worlds:
        table.add_column(world, justify="right")
    for arm in comparison.arms:
        table.add_row(escape(arm.name), *(_cell(arm, world) for world in comparison.worlds))
    console = Console()
    console.print(table)
    console.print(comparison.verdict(), markup=False, highlight=False)
    for arm in comparison.arms:
        harms = explanation.harms(arm.name) or [f"no range surely hurts. {explanation.remark(arm.name)}"]
        for line in harms:
            console.print(f"{arm.name}: {line}", markup=False, highlight=False)
    console.print(f"report: {page}", markup=False, highlight=False, soft_wrap=True)
