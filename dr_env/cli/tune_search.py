"""`dr-env tune search`: ranges by the returns that policies earn on a target."""

from __future__ import annotations

import inspect
import multiprocessing
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeGuard

import numpy as np
import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dr_env.cli.train import Settings as Pairs
from dr_env.cli.train import read_settings
from dr_env.envs import Objective, VectorEnv, as_spec, known_task, make_task, task_name
from dr_env.envs.keys import check_seed
from dr_env.errors import DREnvError, StorageError
from dr_env.files import check_writable
from dr_env.parent import leave_with_parent
from dr_env.spec import Spec
from dr_env.tuning import Ledger

if TYPE_CHECKING:
    from dr_env.tuning.study import Settings, Study

_PATIENCE = 3  # crashes one after the other before a search gives up
OF_THE_MACHINE = (StorageError, OSError, MemoryError)
"""Errors that say nothing of a Spec: a trial that meets one stays open."""

Options = Annotated[
    tuple[str, ...], tyro.conf.arg(name="option", metavar="KEY=VALUE"), tyro.conf.UseAppendAction
]  # each --option adds one


def search(
    *,
    out: Path,
    budget: int,
    task: str | None = None,
    target: Path | None = None,
    method: str = "bayrn",
    randomization: str = "default",
    episodes: int = 10,
    steps: int | None = None,
    seed: int = 0,
    algorithm: str = "ppo",
    settings: Pairs = (),
    options: Options = (),
    warm_start: bool = False,
    workers: int = 1,
    threads: int = 0,
    quiet: bool = False,
) -> None:
    """Search for ranges: train a policy under each candidate and try it on the target.

    The study goes on where it stopped, also after kill -9, and with a larger budget for longer; then --task and
    what follows may be left out. Several processes may work on one study.

    Args:
        out: The study's folder.
        budget: Candidates in all.
        task: The task, such as hopper, or a Python file that holds one.
        target: The target's Spec; by default the task's own target.yaml.
        method: The method; `dr-env tune methods` lists them.
        randomization: The prior: a Spec file, or `default` for the task's own.
        episodes: Episodes of each policy on the target.
        steps: Environment steps of each training; by default the configuration's.
        seed: The seed of method, training and target.
        algorithm: The algorithm that trains.
        settings: Numbers of the training's configuration to change, such as n_epochs=5.
        options: Numbers of the method to change, such as population=8.
        warm_start: Begin each policy with the best one so far.
        workers: Candidates at once, each in a process of its own.
        threads: Threads that step environments; 0 for all of the machine's.
        quiet: No progress bars.
    """
    if budget < 1:
        raise DREnvError(f"--budget: got {budget}, expected at least one candidate")
    if workers < 1:
        raise DREnvError(f"--workers: got {workers}, expected at least 1")
    wanted = None
    if begins(
        task, out, target=target, method=method, randomization=randomization, episodes=episodes, steps=steps, seed=seed,
        algorithm=algorithm, settings=settings, options=options, warm_start=warm_start,
    ):  # fmt: skip
        wanted = study_settings(
            task, method, randomization, target or make_task(task).file("target.yaml"), episodes, steps, seed,
            algorithm, settings, options, warm_start,
        )  # fmt: skip
    study = open_study(out, wanted)
    target_of(study)
    study.close()
    if workers == 1:
        work(out, budget, threads, quiet)
    else:
        _share(out, budget, workers, threads, task)
    show(out)
    if not (out / "tuned.yaml").exists():
        raise DREnvError(f"{out}: no policy had a return on the target, so there is no result")


def begins(task: str | None, folder: Path, **settings: object) -> TypeGuard[str]:
    """Whether a command begins a study, or is to be compared with the one that is there; else it goes on with that.

    The file of a task is run here. Given alone for a study that is there, it says no more than where the task is.

    Raises:
        DREnvError: settings of a study without --task.
    """
    defaults = {name: parameter.default for name, parameter in inspect.signature(search).parameters.items()}
    given = {name: value for name, value in settings.items() if value != defaults[name]}
    if task is not None and task_name(task) != task and not given and (folder / "study.db").exists():
        return False
    for name, value in given.items() if task is None else ():
        flag = {"settings": "set", "options": "option"}.get(name, name.replace("_", "-"))
        raise DREnvError(
            f"--{flag}: got {value}, which a study is begun with; give --task too, to compare it with the study's, "
            "or leave it out to go on with the study as it is"
        )
    return task is not None


def study_settings(
    task: str,
    method: str,
    randomization: str,
    target: Path | None,
    episodes: int,
    steps: int | None,
    seed: int,
    algorithm: str,
    settings: tuple[str, ...],
    options: tuple[str, ...],
    warm_start: bool,
) -> Settings:
    """What a study is begun with, from a command's arguments."""
    from dr_env.tuning.study import Settings  # brings a database with it, which other commands do without

    check_seed(seed, "--seed")
    if steps is not None and steps < 1:
        raise DREnvError(f"--steps: got {steps}, expected at least 1")
    chosen = read_settings(options)
    training = read_settings(settings)
    made = make_task(task)
    prior = as_spec(randomization, made)
    spec = None if target is None else Spec.load(target)
    for world in (prior, spec):
        VectorEnv(made, 1, world)  # refuses what does not fit the task, before anything is trained
    Objective(task, algorithm, steps, training, seed).check(prior)
    if method == "oracle" and spec is not None:
        chosen = {"target": spec.to_dict(), **chosen}
    return Settings(
        task=task_name(task),
        method=method,
        prior=prior.to_yaml(),
        options=chosen,
        target=None if spec is None else spec.to_yaml(),
        seed=seed,
        algorithm=algorithm,
        steps=steps,
        training=training,
        episodes=episodes,
        warm_start=warm_start,
    )


def open_study(folder: Path, settings: Settings | None = None) -> Study:
    """A study, begun with `settings` where there is none yet."""
    from dr_env.tuning.study import Study

    if settings is not None:
        check_writable(folder.parent)
    return Study(folder, settings)


def target_of(study: Study) -> Spec:
    """A study's simulated target; raises DREnvError where it is a robot."""
    if study.target is None:
        raise DREnvError(f"{study.folder}: a study whose target is a robot; go on: dr-env tune ask {study.folder}")
    return study.target


def objective_of(study: Study, threads: int, quiet: bool) -> Objective:
    """What a study's candidates are judged by."""
    kept = study.settings
    known_task(kept.task, study.folder)
    return Objective(kept.task, kept.algorithm, kept.steps, kept.training, seed=kept.seed, threads=threads, quiet=quiet)


def work(folder: Path, budget: int, threads: int, quiet: bool) -> None:
    """Works on a study's trials until its budget is begun."""
    study = open_study(folder)
    objective = objective_of(study, threads, quiet)
    console = Console(stderr=True)
    target = target_of(study)
    crashes = 0
    try:
        while True:
            with study.work(budget) as trial:
                if trial is None:
                    return
                steps, seconds = 0, 0.0
                try:
                    steps, seconds = objective.train(trial.spec, trial.run, trial.warm_start)
                    returns, tried = objective.evaluate(trial.run, target, study.settings.episodes, trial.number)
                except OF_THE_MACHINE:
                    raise
                except Exception as error:
                    # a policy that crashes is evidence as well; the study goes on without it
                    crashes += 1
                    study.tell(trial.number, [], Ledger(policies=1), note_of(error))
                    if crashes >= _PATIENCE:
                        raise DREnvError(
                            f"{folder}: {crashes} policies crashed one after the other, the last one with: {error}; "
                            "the study is intact, go on with the same command"
                        ) from error
                    console.print(f"trial {trial.number}: crashed: {error}", markup=False, highlight=False)
                    continue
                crashes = 0
                cost = Ledger(tried, len(returns), steps, 1, round(seconds, 3))
                study.tell(trial.number, returns.tolist(), cost)
                if not quiet:
                    mean = float(np.nanmean(returns)) if np.isfinite(returns).any() else float("nan")
                    console.print(f"trial {trial.number}: return {mean:.4g}", markup=False, highlight=False)
    finally:
        study.close()


def note_of(error: Exception) -> str:
    """What a study keeps of a crash: our own message, or where in whose code it was."""
    return str(error) if isinstance(error, DREnvError) else "".join(traceback.format_exception(error, limit=-3))


def _worker(folder: Path, budget: int, threads: int, task: str | None) -> None:
    """`work` in a process of its own: an error is one line, and who started it decides when it stops."""
    leave_with_parent()
    try:
        if task is not None:
            task_name(task)
        work(folder, budget, threads, True)
    except DREnvError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def _share(folder: Path, budget: int, workers: int, threads: int, task: str | None) -> None:
    """Works on a study in several processes."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_worker, args=(folder, budget, threads, task)) for _ in range(workers)]
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)  # which they inherit
    for process in processes:
        process.start()
    signal.signal(signal.SIGINT, heard)
    try:
        for process in processes:
            process.join()
    except KeyboardInterrupt:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()
        raise KeyboardInterrupt("stopped; the same command goes on") from None
    failed = sum(process.exitcode != 0 for process in processes)
    if failed == workers:
        raise DREnvError(f"{folder}: all {workers} workers stopped with an error; the study is intact")


def show(folder: Path) -> None:
    """Prints a study's trials and where its result is."""
    study = open_study(folder)
    study.save_result()  # the process that was told last may have died before it did
    title = escape(f"{study.settings.task}: {study.settings.method}")
    table = Table("trial", "state", "mean return", "note", title=title)
    for row in study.summary():
        value = "-" if row["value"] is None else f"{row['value']:.4g}"
        lines = str(row["note"]).strip().splitlines()
        table.add_row(str(row["number"]), row["state"], value, escape(lines[-1]) if lines else "")
    best = study.best()
    console = Console()
    console.print(table)
    if best is not None:
        trial = study.trial(best)
        console.print(f"best trial: {best}, policy {trial.run}", markup=False, highlight=False, soft_wrap=True)
    if (folder / "tuned.yaml").exists():
        console.print(f"tuned ranges: {folder / 'tuned.yaml'}", markup=False, highlight=False, soft_wrap=True)
    study.close()
