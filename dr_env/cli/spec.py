"""`dr-env spec`: check a Spec file, or print its JSON schema."""

from __future__ import annotations

import json
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

from dr_env.cli.models import load_model
from dr_env.files import write_text
from dr_env.spec import Entry, Spec, json_schema


def check(file: tyro.conf.Positional[Path], *, model: str | None = None) -> None:
    """Check a Spec file; with a model also that every name and range fits it.

    Args:
        file: The Spec, in YAML.
        model: An MJCF file or an installed task to bind it to.
    """
    spec = Spec.load(file)
    plan = spec.bind(*load_model(model, spec)) if model is not None else None
    table = Table("name", "field", "operation", "distribution", "drawn", "matches")
    bound = {entry.name: entry for entry in plan.entries} if plan else {}
    for name, drawn in spec.drawn.items():
        form = drawn.distribution.to_dict()
        numbers = ", ".join(f"{key} {value}" for key, value in form.items() if key != "type")
        when = drawn.trigger if drawn.every is None else f"every {drawn.every} s"
        field, operation = (drawn.field, drawn.operation) if isinstance(drawn, Entry) else ("-", "-")
        matches = ", ".join(bound[name].matches) if name in bound else "-"
        table.add_row(name, field, operation, f"{form['type']} ({numbers})", when, matches)
    console = Console()
    console.print(table)
    fit = f"fits {model}" if plan else "well formed; give --model to check its names"
    console.print(f"{file}: {_count(spec)}, {fit}", markup=False, highlight=False, soft_wrap=True)


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
