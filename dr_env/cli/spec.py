"""`dr-env spec`: check a Spec file, or print its JSON schema."""

from __future__ import annotations

import json
from pathlib import Path

import mujoco
import tyro
from rich.console import Console
from rich.table import Table

from dr_env.binding import Plan, compile_model
from dr_env.envs import make_task
from dr_env.errors import DREnvError
from dr_env.files import write_text
from dr_env.spec import Spec, json_schema


def check(file: tyro.conf.Positional[Path], *, task: str | None = None, model: Path | None = None) -> None:
    """Check a Spec file; with a task or an MJCF file also that every name and range fits it.

    Args:
        file: The Spec, in YAML.
        task: An installed task to bind it to.
        model: An MJCF file to bind it to.
    """
    spec = Spec.load(file)
    if task is not None and model is not None:
        raise DREnvError("--task and --model: give one of them")
    plan = _bind(spec, task, model)
    table = Table("entry", "field", "operation", "distribution", "matches")
    bound = {entry.name: entry for entry in plan.entries} if plan else {}
    for name, entry in spec.entries.items():
        form = entry.distribution.to_dict()
        numbers = ", ".join(f"{key} {value}" for key, value in form.items() if key != "type")
        matches = ", ".join(bound[name].matches) if plan else "-"
        table.add_row(name, entry.field, entry.operation, f"{form['type']} ({numbers})", matches)
    console = Console()
    console.print(table)
    fit = f"fits {task or model}" if plan else "well formed; give --task or --model to check its names"
    console.print(f"{file}: {len(spec.entries)} entries, {fit}", markup=False, highlight=False, soft_wrap=True)


def _bind(spec: Spec, task: str | None, model: Path | None) -> Plan | None:
    if task is not None:
        made = make_task(task)
        mjspec = made.mjspec()
        names = made.observation_names(compile_model(mjspec, Spec()))
    elif model is not None:
        try:
            mjspec, names = mujoco.MjSpec.from_file(str(model)), ()
        except ValueError as error:
            raise DREnvError(f"{model}: MuJoCo cannot read it: {error}") from error
    else:
        return None
    return spec.bind(compile_model(mjspec, spec, names), names)


def schema(*, out: Path | None = None) -> None:
    """Print the JSON schema of a Spec file, with which editors complete and check it.

    Args:
        out: A file to write it to instead.
    """
    text = json.dumps(json_schema(), indent=2)
    if out is None:
        print(text)
    else:
        write_text(out, text + "\n")
