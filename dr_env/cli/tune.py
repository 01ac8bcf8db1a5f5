"""`dr-env tune`: from evidence of a target to the ranges of a Spec; one file for each command."""

from __future__ import annotations

import dataclasses

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dr_env.cli.tune_compare import compare
from dr_env.cli.tune_fit import fit
from dr_env.cli.tune_hand import ask, tell
from dr_env.cli.tune_record import record
from dr_env.cli.tune_score import score
from dr_env.cli.tune_search import search
from dr_env.tuning import tuner_class, tuner_names


def methods() -> None:
    """List the installed methods, the evidence that each needs and its numbers."""
    table = Table("method", "evidence", "options", "what it is")
    for name in tuner_names():
        cls = tuner_class(name)
        options = ", ".join(
            field.name if field.default is dataclasses.MISSING else f"{field.name}={field.default}"
            for field in dataclasses.fields(cls.Options)
        )
        about = next(iter((cls.__doc__ or "").strip().splitlines()), "")
        table.add_row(name, " or ".join(sorted(cls.needs)) or "none", escape(options), escape(about))
    Console().print(table)


app = tyro.extras.SubcommandApp()
app.command(methods)
app.command(search)
app.command(ask)
app.command(tell)
app.command(fit)
app.command(score)
app.command(record)
app.command(compare)
