"""`dr-env train`: a policy trained under a Spec."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import tyro
import yaml

from dr_env.envs import TrainRequest, as_spec, is_task_file, make_task, make_trainer, task_name
from dr_env.errors import DREnvError

Settings = Annotated[
    tuple[str, ...], tyro.conf.arg(name="set", metavar="KEY=VALUE"), tyro.conf.UseAppendAction
]  # each --set adds one


def train(
    task: tyro.conf.Positional[str | None] = None,
    *,
    randomization: str = "default",
    out: Path | None = None,
    seed: int = 0,
    steps: int | None = None,
    algorithm: str = "ppo",
    config: Path | None = None,
    settings: Settings = (),
    threads: int = 0,
    resume: Path | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> None:
    """Train a policy, or go on with an interrupted run.

    Args:
        task: The task, such as half_cheetah, or a Python file that holds one, such as crane.py.
        randomization: A Spec file, `default` for the task's own, or `none`.
        out: The run folder; by default runs/TASK-RANDOMIZATION-SEED.
        seed: The seed of environments and learning.
        steps: Environment steps in all; by default the configuration's.
        algorithm: The algorithm.
        config: A configuration file; by default the task's own.
        settings: Numbers of the configuration to change, such as n_epochs=5.
        threads: Threads that step environments; 0 for all of the machine's.
        resume: A run folder to go on with; takes --steps to train longer, and the task where it is of a file.
        overwrite: Replace a run that is there already.
        quiet: No progress bar.
    """
    if steps is not None and steps < 1:
        raise DREnvError(f"--steps: got {steps}, expected at least 1")
    trainer = make_trainer(algorithm)
    if resume is not None:
        own = (randomization, out, seed, config, threads, overwrite) != ("default", None, 0, None, 0, False)
        if (task is not None and not is_task_file(task)) or settings or own:
            raise DREnvError("--resume: goes on as the run began; only --steps, --quiet and a task's file go with it")
        if task is not None:
            made = make_task(task)
        done = _told(lambda: trainer.resume(resume, steps, quiet), resume)
    else:
        if task is None:
            raise DREnvError("expected a task, such as `dr-env train half_cheetah`, or --resume RUN")
        made = make_task(task)
        name = task_name(task)
        spec = as_spec(randomization, made)
        world = randomization if randomization in ("default", "none") else Path(randomization).stem
        request = TrainRequest(
            task=name,
            randomization=spec,
            run=out or Path("runs") / f"{name}-{world}-{seed}",
            seed=seed,
            steps=steps,
            threads=threads,
            settings=read_settings(settings),
            config=config,
            overwrite=overwrite,
            quiet=quiet,
        )
        done = _told(lambda: trainer.train(request), request.run)
    hint = ""
    if task is not None:
        hint += f" --task {task}" if is_task_file(task) else ""
        hint += "" if made.file("target.yaml").exists() else " --target TARGET.yaml"
    print(f"trained: {done}\nevaluate it with: dr-env evaluate {done}{hint}")


def _told(train: Callable[[], Path], run: Path) -> Path:
    """Trains; who stops it hears how to go on."""
    try:
        return train()
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(f"{stop}; go on with --resume {run}" if str(stop) else "") from None


def read_settings(pairs: tuple[str, ...]) -> dict[str, Any]:
    """KEY=VALUE pairs, the values as YAML reads them."""
    settings = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise DREnvError(f"--set: got {pair!r}, expected KEY=VALUE, such as n_epochs=5")
        try:
            settings[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise DREnvError(f"--set {key}: got {value!r}, which YAML cannot read") from error
    return settings
