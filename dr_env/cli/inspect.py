"""`dr-env inspect`: what a model offers to randomization."""

from __future__ import annotations

from pathlib import Path

import tyro
from rich.markup import escape
from rich.table import Table

from dr_env.binding import build_model, describe_fields, offers, propose
from dr_env.cli.consoles import uncut_console
from dr_env.cli.models import load_mjspec
from dr_env.errors import DREnvError
from dr_env.files import write_text
from dr_env.spec import Spec

# compiles bodies that MuJoCo treats as simple as an environment does where their centre of mass may move
_EVERYTHING = """
format: dr_env/1
entries:
  centre_of_mass: {select: {body: "*"}, field: com, operation: add, distribution: {type: constant, value: 0}}
"""
_WIDE = 150  # columns of a terminal from which there is room for notes
_WIDTHS = {"nominal": 24, "unit": 10, "legal": 16, "objects": 24}


def inspect(
    model: tyro.conf.Positional[str | None] = None,
    *,
    write_spec: Path | None = None,
    looks: bool = False,
    overwrite: bool = False,
) -> None:
    """List what can vary in a model, with nominal values, units and limits; without a model, every field there is.

    Args:
        model: An MJCF file, or an installed task.
        write_spec: Write a Spec with ranges to start from to this file.
        looks: Put everything that pictures show into it as well.
        overwrite: Replace that file if it exists.
    """
    if looks and write_spec is None:
        raise DREnvError("--looks: needs --write-spec, the file to propose ranges in")
    if model is None:
        if write_spec is not None:
            raise DREnvError("--write-spec: needs a model, an MJCF file or an installed task")
        print(describe_fields())
        return
    mjspec, names = load_mjspec(model)
    build = build_model(mjspec, Spec.from_yaml(_EVERYTHING) if len(mjspec.bodies) > 1 else Spec(), names)
    console = uncut_console()
    noted = console.width >= _WIDE
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("field", "nominal", "unit", "legal", "objects", *(["note"] if noted else [])):
        widest = _WIDTHS.get(heading) if console.is_terminal else None
        least = widest if noted and widest else len(heading)
        table.add_column(heading, no_wrap=True, min_width=least, max_width=widest)
    for offer in offers(build.model, names):
        field = offer.field
        label = f"{field.kind} {field.name}" + (f"[0..{field.components - 1}]" if field.components > 1 else "")
        objects = "" if field.kind == "option" else f"{len(offer.names)}: {', '.join(offer.names)}"
        row = (label, offer.values, field.unit, offer.legal, objects, *([field.note] if noted else []))
        table.add_row(*(escape(cell) for cell in row))
    console.print(table)
    if not noted:
        console.print(
            f"more in a terminal of {_WIDE} columns, or in a file: dr-env inspect {model} > FILE", markup=False
        )
    if write_spec is not None:
        if write_spec.exists() and not overwrite:
            raise DREnvError(f"{write_spec}: exists; choose another file or --overwrite")
        write_text(write_spec, propose(build.model, looks))
        console.print(f"wrote {write_spec}", markup=False, highlight=False, soft_wrap=True)
