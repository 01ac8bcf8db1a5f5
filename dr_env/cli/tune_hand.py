"""`dr-env tune ask` and `dr-env tune tell`: a search whose target is a robot, by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from dr_env.cli.train import Settings as Pairs
from dr_env.cli.tune_search import (
    OF_THE_MACHINE,
    Options,
    begins,
    note_of,
    objective_of,
    open_study,
    show,
    study_settings,
)
from dr_env.envs import is_task_file, known_task, return_of_log, task_name
from dr_env.errors import DREnvError
from dr_env.tuning import Ledger

Returns = Annotated[tuple[float, ...], tyro.conf.arg(name="return", metavar="R"), tyro.conf.UseAppendAction]


def ask(
    study: tyro.conf.Positional[Path],
    *,
    task: str | None = None,
    method: str = "bayrn",
    randomization: str = "default",
    steps: int | None = None,
    seed: int = 0,
    algorithm: str = "ppo",
    settings: Pairs = (),
    options: Options = (),
    warm_start: bool = False,
    train: bool = True,
    threads: int = 0,
    quiet: bool = False,
) -> None:
    """Write the next Spec to try, and a policy trained under it to carry to the robot.

    The first time begins the study and takes --task and what follows; later the folder is enough,
    with the file again where the task is of one.

    Args:
        study: The study's folder.
        task: The task, such as hopper, or a Python file that holds one.
        method: The method; `dr-env tune methods` lists them.
        randomization: The prior: a Spec file, or `default` for the task's own.
        steps: Environment steps of each training; by default the configuration's.
        seed: The seed of method and training.
        algorithm: The algorithm that trains.
        settings: Numbers of the training's configuration to change, such as n_epochs=5.
        options: Numbers of the method to change, such as population=8.
        warm_start: Begin each policy with the best one so far.
        train: Train the policy; without, only the Spec is written.
        threads: Threads that step environments; 0 for all of the machine's.
        quiet: No progress bars.
    """
    wanted = None
    if begins(task, study, method=method, randomization=randomization, steps=steps, seed=seed, algorithm=algorithm,
              settings=settings, options=options, warm_start=warm_start):  # fmt: skip
        wanted = study_settings(
            task, method, randomization, None, 1, steps, seed, algorithm, settings, options, warm_start
        )
    found = open_study(study, wanted)
    try:
        objective = objective_of(found, threads, quiet) if train else None
        with found.work(None, by_hand=True) as trial:
            assert trial is not None  # without a budget there is always one
            if objective is not None:
                try:
                    objective.train(trial.spec, trial.run, trial.warm_start)
                except OF_THE_MACHINE:
                    raise
                except Exception as error:
                    # a policy that crashes is evidence as well; the study goes on without it
                    found.tell(trial.number, [], Ledger(policies=1), note_of(error))
                    text = str(error) if isinstance(error, DREnvError) else f"crashed: {type(error).__name__}: {error}"
                    raise DREnvError(f"trial {trial.number}: {text}; the study is intact") from error
            found.set_ready(trial.number)
    finally:
        found.close()
    of_file = f" --task {task}" if task and is_task_file(task) else ""
    console = Console()
    console.print(f"trial {trial.number}\nspec: {trial.folder / 'spec.yaml'}", markup=False, soft_wrap=True)
    if train:
        console.print(f"policy: {trial.run}", markup=False, soft_wrap=True)
    console.print(
        f"then: dr-env tune tell {study} --trial {trial.number} --return R{of_file}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def tell(
    study: tyro.conf.Positional[Path],
    *,
    trial: int,
    returns: Returns = (),
    log: Path | None = None,
    failed: bool = False,
    task: str | None = None,
) -> None:
    """Say what a trial's policy earned on the robot.

    Args:
        study: The study's folder.
        trial: The trial's number.
        returns: The return of an episode; once for each episode.
        log: Instead, a CSV of the episode: a column `reward`, or the columns that the task's reward is made of.
        failed: Instead, that the policy could not be run.
        task: The Python file of the study's task, where it is of a file.
    """
    if (len(returns) > 0) + (log is not None) + failed != 1:
        raise DREnvError("expected one of --return, --log and --failed")
    if task is not None:
        task_name(task)
    found = open_study(study)
    try:
        steps = 0
        values = list(returns)
        if log is not None:
            value, steps = return_of_log(known_task(found.settings.task, study), log)
            values = [value]
        sim = objective_of(found, 0, True).steps_of(found.trial(trial).run)
        found.tell(trial, values, Ledger(steps, len(values), sim, int(sim > 0)))
    finally:
        found.close()
    show(study)
