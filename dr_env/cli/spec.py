"""`dr-env spec`: check a Spec file, or print its JSON schema."""

from __future__ import annotations

import json
from pathlib import Path

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dr_env.cli.bars import bars
from dr_env.cli.consoles import uncut_console
from dr_env.cli.models import load_model, load_task
from dr_env.envs import try_out
from dr_env.envs.keys import check_seed
from dr_env.errors import DREnvError
from dr_env.files import write_text
from dr_env.scene import Scenes
from dr_env.spec import Entry, Spec, json_schema


def check(
    file: tyro.conf.Positional[Path],
    *,
    model: str | None = None,
    run: int = 0,
    failures: Path = Path("failures"),
    seed: int = 0,
) -> None:
    """Check a Spec file; with a model also that every name and range fits it, and that a scene can be composed.

    With --run it is also tried out: an episode of random actions under each of so many Draws. Those that
    make the simulation diverge are reported with the entry to blame, and written as files that replay them.

    Args:
        file: The Spec, in YAML.
        model: An MJCF file, an installed task or a Python file that holds one, to bind it to.
        run: How many Draws to try out.
        failures: The folder for Draws that diverge.
        seed: Of the Draws and actions tried.
    """
    if run < 0:
        raise DREnvError(f"--run: got {run}, expected a number of Draws, or 0 for none")
    if run and model is None:
        raise DREnvError("--run: needs --model, an MJCF file or an installed task to try the Spec on")
    check_seed(seed, "--seed")
    spec = Spec.load(file)
    plan = None
    if model is not None:
        build, names = load_model(model, spec)
        plan = spec.bind(build.model, names, build)
        if spec.scene is not None:
            Scenes(spec, seed).scene(0)  # whose meshes, sizes and places may not do
    console = uncut_console()
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("name", "field", "operation", "distribution", "drawn"):
        table.add_column(heading, overflow="fold", min_width=len(heading))
    table.add_column("matches", no_wrap=True, min_width=8, max_width=24 if console.is_terminal else None)
    bound = {entry.name: entry for entry in plan.entries} if plan else {}
    for name, drawn in spec.drawn.items():
        form = drawn.distribution.to_dict()
        numbers = ", ".join(f"{key} {value}" for key, value in form.items() if key != "type")
        when = drawn.trigger if drawn.every is None else f"every {drawn.every} s"
        field, operation = (drawn.field, drawn.operation) if isinstance(drawn, Entry) else ("-", "-")
        found = bound[name].matches if name in bound else ()
        matches = f"{len(found)}: {', '.join(found)}" if found else "-"
        cells = (name, field, operation, f"{form['type']} ({numbers})", when, matches)
        table.add_row(*(escape(cell) for cell in cells))
    console.print(table)
    fit = f"fits {model}" if plan else "well formed; give --model to check its names"
    console.print(f"{file}: {_count(spec)}, {fit}", markup=False, highlight=False, soft_wrap=True)

    if run and model is not None:
        _try_out(console, spec, model, run, failures, seed)


def _try_out(console: Console, spec: Spec, model: str, draws: int, folder: Path, seed: int) -> None:
    with bars(transient=True) as bar:
        task_id = bar.add_task("random actions", total=None)
        rate, found, count = try_out(
            load_task(model), spec, draws, seed, lambda done, total: bar.update(task_id, completed=done, total=total)
        )
    console.print(
        f"tried {draws} Draws with random actions: {100 * rate:.1f} % of those drawn were accepted, {count} diverged"
    )
    for failure in found:
        path = folder / f"{failure.draw.digest()}.json"
        write_text(path, failure.draw.to_json() + "\n")
        why = ", ".join(f"'{name}'" for name in failure.culprits) or "no single entry"
        console.print(f"  after {failure.seconds:.2f} s: {why} to blame; {path}", markup=False, soft_wrap=True)


def _count(spec: Spec) -> str:
    entries = f"{len(spec.entries)} entries"
    return f"{len(spec.variables)} variables, {entries}" if spec.variables else entries


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
