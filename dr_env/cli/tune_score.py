"""`dr-env tune score`: how well a Spec predicts recordings that no fit has seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import mujoco
import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dr_env.cli.bars import bars
from dr_env.cli.recordings import Bench, load_bench, window_seconds
from dr_env.envs.keys import check_seed
from dr_env.envs.replay import Replay
from dr_env.errors import DREnvError
from dr_env.evaluation.motion import Body, MotionScore, score_motion
from dr_env.evaluation.plots_motion import motion
from dr_env.files import check_writable
from dr_env.rng import digest
from dr_env.spec import Spec

Array = NDArray[np.float64]

_SHOWN = 3  # recordings in a figure
_SECONDS = 4.0  # of each


def score(
    *,
    model: str,
    spec: Path,
    log: Path,
    data: Path | None = None,
    window: str = "0.5",
    draws: int = 64,
    seed: int = 0,
    only: tuple[str, ...] = (),
    but: tuple[str, ...] = (),
    report: Path | None = None,
    as_json: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> None:
    """Score a Spec on recordings: errors, coverage of its bands, likelihood.

    Args:
        model: An MJCF file, an installed task, or a Python file that holds one.
        spec: The Spec; its middle is the point prediction, its Draws are the ensemble.
        log: The recordings' column map.
        data: The folder of the recordings, by default the column map's.
        window: Seconds from one reset to the recorded state to the next, or `whole`.
        draws: Draws in the ensemble.
        seed: Of the Draws.
        only: Use recordings alone whose name has one of these parts.
        but: Leave out recordings whose name has one of these parts.
        report: A folder for a figure of predicted against recorded motion.
        as_json: Print one JSON object.
    """
    check_seed(seed, "--seed")
    if draws < 8:
        raise DREnvError(f"--draws: got {draws}, expected at least 8")
    if report is not None:
        check_writable(report)
    bench = load_bench(model, log, data, only, but, window_seconds(window))
    with bars(transient=True) as bar:
        task = bar.add_task("simulating", total=None)
        found, _ = evaluate_spec(bench, Spec.load(spec), window_seconds(window), draws, seed, report)
        bar.update(task, completed=1)
    if as_json:
        print(json.dumps(found.to_dict()))
    else:
        show(found)


def evaluate_spec(
    bench: Bench, spec: Spec, window: float, draws: int, seed: int, report: Path | None = None
) -> tuple[MotionScore, Replay]:
    """Scores a Spec on a bench's recordings; with a folder, draws the figure too."""
    replay = bench.replay(spec, bench.logs, window, velocities=True, need_values=False)
    middle = replay.differences(middle_of(replay))[0]
    noise = replay.noise(middle)
    ids = np.arange(draws, dtype=np.uint64)
    columns, _ = replay.plan.sample_columns(np.full(draws, seed, np.uint64), ids, np.zeros(draws, np.uint64))
    # each Draw from start states of its own, as uncertain as the measured ones
    starts = [
        replay.windows.blurred(replay.model, noise, np.random.default_rng(digest("start", seed, i)))
        for i in range(draws)
    ]
    ensemble = replay.differences(columns, starts)
    nv = replay.model.nv
    found = score_motion(
        replay.coordinates[:nv],
        middle[:, :nv],
        ensemble[:, :, :nv],
        replay.windows.window,
        noise[:nv],
        bodies_of(replay.model),
        ~np.isnan(replay.motion[:, :nv]),
    )
    if report is not None:
        draw_motion(replay, ensemble, report / "motion.png")
    return found, replay


def middle_of(replay: Replay) -> dict[str, Array]:
    """The Draw with every uniform at one half, as columns of one row."""
    sampler = replay.plan.sampler
    return sampler.draw(np.full((1, sampler.stream.total), 0.5))


def bodies_of(model: mujoco.MjModel) -> tuple[Body, ...]:
    """The free bodies, each as wide as the longest side of its geoms' boxes."""
    found = []
    for joint in np.flatnonzero(model.jnt_type == int(mujoco.mjtJoint.mjJNT_FREE)):
        body = int(model.jnt_bodyid[joint])
        geoms = np.flatnonzero(model.geom_bodyid == body)
        width = float(2 * model.geom_aabb[geoms, 3:].max()) if len(geoms) else 1.0
        at = int(model.jnt_dofadr[joint])
        found.append(Body(model.body(body).name, slice(at, at + 3), slice(at + 3, at + 6), width))
    return tuple(found)


def _units(model: mujoco.MjModel) -> tuple[str, ...]:
    """Of each degree of freedom's position."""
    kinds = mujoco.mjtJoint
    units = {kinds.mjJNT_FREE: "m " * 3 + "rad " * 3, kinds.mjJNT_BALL: "rad " * 3, kinds.mjJNT_SLIDE: "m"}
    return tuple(u for kind in model.jnt_type for u in units.get(kinds(int(kind)), "rad").split())


def draw_motion(replay: Replay, ensemble: Array, path: Path) -> None:
    """The figure of predicted against recorded motion, of a few recordings spread over all."""
    windows = replay.windows
    chosen = np.unique(np.linspace(0, len(replay.logs) - 1, _SHOWN).astype(int))
    time = windows.start[windows.window] + windows.offset
    shown = {}
    for i in chosen.tolist():
        mine = np.flatnonzero(windows.log[windows.window] == i)
        mine = mine[np.lexsort((time[mine], windows.start[windows.window[mine]]))]
        if len(mine):
            begin = time[mine].min()
            first_window = windows.window[mine] == windows.window[mine[0]]
            shown[replay.logs[i].name] = mine[(time[mine] < begin + _SECONDS) | first_window]
    nv = replay.model.nv
    names, moved = replay.coordinates[:nv], replay.motion[:, :nv]
    motion(path, names, shown, time, windows.window, moved, ensemble[:, :, :nv], _units(replay.model))


def show(found: MotionScore) -> None:
    """Prints the scores as tables."""
    console = Console()
    table = Table("coordinate", "RMSE", "in 50 % band", "in 90 % band", "ensemble's std")
    for name, error in found.rmse.items():
        bands = found.coverage.get(name, {})
        cells = [f"{100 * bands[level]:.0f} %" if level in bands else "-" for level in ("50", "90")]
        table.add_row(escape(name), f"{error:.4f}", *cells, f"{found.spread[name]:.4f}")
    console.print(table)
    for name, errors in found.bodies.items():
        console.print(
            f"{name}: {errors['position_widths']:.3f} widths and {errors['rotation_deg']:.1f} degrees off on average; "
            f"comes to rest in the ensemble's 90 % region in {100 * found.rest[name]:.0f} % of windows",
            markup=False,
        )
    console.print(f"{found.windows} windows, log-likelihood of a measured number {found.log_likelihood:.3f} nats")
    if found.diverged:
        lost = f", {100 * found.lost:.1f} % of measured ones under every Draw" if found.lost else ""
        console.print(f"{100 * found.diverged:.1f} % of simulated samples diverged{lost}")
