"""`dr-env tune compare`: every tuning method on hidden targets, at equal cost on the target."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from dr_env.cli.bars import bars
from dr_env.comparison.cells import Cell, Tier, cells, store
from dr_env.comparison.page import write_page
from dr_env.comparison.recovery import recover
from dr_env.comparison.transfer import transfer
from dr_env.errors import DREnvError
from dr_env.files import check_writable
from dr_env.records import versions


def compare(
    *,
    tier: Tier = 0,
    out: Path,
    full: bool = False,
    seeds: int | None = None,
    methods: tuple[str, ...] = (),
    tasks: tuple[str, ...] = (),
    sizes: tuple[int, ...] = (),
    steps: int | None = None,
    algorithm: str = "ppo",
    report_only: bool = False,
    quiet: bool = False,
) -> None:
    """Compare tuning methods on hidden targets; goes on where it was stopped.

    Each cell (a method in one situation under one seed) has its own JSON file in OUT/cells, written when it is
    done; cells that are there are not run again, and several such commands share the work of one OUT. Then
    OUT/table.md, OUT/report.json and OUT/report.html are made of all cells that are there, whatever the other
    arguments.

    Args:
        tier: 0 recovers parameters from recordings (minutes to hours); 1 trains policies on cart-pole and pendulum; 2
            on hopper with a delay that the Spec lacks.
        out: The folder of results; that of an earlier run goes on.
        full: The larger protocol, with the settings of the papers.
        seeds: How many; by default 20 in tier 0, 3 in the others.
        methods: Some methods only.
        tasks: Some tasks only.
        sizes: Transitions (tier 0), or target episodes that each method may spend.
        steps: Training steps for each policy (tiers 1 and 2).
        algorithm: What trains policies.
        report_only: Run nothing; make the tables and pages of what is there.
        quiet: No progress bar.
    """
    wanted = [] if report_only else cells(tier, full, seeds, methods, tasks, sizes, steps)
    if report_only and not out.is_dir():
        raise DREnvError(f"{out}: no folder of results; nothing to report")
    check_writable(out)
    results = store(out)
    missing = [cell for cell in wanted if not results.path(cell.name).exists()]
    failed = 0
    console = Console(stderr=True)
    with bars(quiet=quiet or report_only, console=console) as progress:
        bar = progress.add_task("cells", total=len(wanted), completed=len(wanted) - len(missing))
        for cell in missing:
            progress.update(bar, description=cell.name)
            with results.claimed(cell.name) as mine:
                error = _run(cell, out, algorithm) if mine else ""
            if error:
                failed += 1
                console.print(f"{cell.name}: {error}", style="red", markup=False, highlight=False)
            progress.advance(bar)
    elsewhere = sum(not results.path(cell.name).exists() for cell in missing) - failed
    if elsewhere:
        print(
            f"{elsewhere} of the cells are being run by another process; its results are not in these tables",
            file=sys.stderr,
        )
    found = results.read()
    if not found:
        raise DREnvError(f"{out}: no cell has run; nothing to report")
    page = write_page(found, out)
    print((out / "table.md").read_text(encoding="utf-8"))
    print(f"report: {page}")
    if failed:
        print(f"{failed} cells failed; run the command again to try them again", file=sys.stderr)
        sys.exit(1)


def _run(cell: Cell, out: Path, algorithm: str) -> str:
    """Runs a cell and writes its result; what was wrong where it cannot."""
    try:
        result = recover(cell) if cell.tier == 0 else transfer(cell, out, algorithm)
    except DREnvError as error:
        return str(error)
    store(out).write(cell.name, cell, {**result, "versions": versions("dr-env", "mujoco", "numpy")})
    return ""
