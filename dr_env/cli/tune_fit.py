"""`dr-env tune fit`: from recordings of the target to a tuned Spec."""

from __future__ import annotations

import html
import json
import re
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
import yaml
from numpy.typing import NDArray
from rich.console import Console

from dr_env.cli.bars import bars
from dr_env.cli.lateness import lateness
from dr_env.cli.recordings import Bench, load_bench, window_seconds
from dr_env.cli.tune_score import evaluate_spec, show
from dr_env.envs import Objective, grow, is_task_file, task_name, task_names
from dr_env.envs.keys import check_seed
from dr_env.envs.replay import Replay
from dr_env.errors import DREnvError, unknown_name
from dr_env.evaluation.figures import data_uri
from dr_env.evaluation.motion import MotionScore
from dr_env.evaluation.plots_motion import marginals
from dr_env.files import check_replaceable, check_writable, write_text
from dr_env.rng import digest
from dr_env.spec import Spec
from dr_env.tuning import LATENCY, Ledger, Log, TargetTransitions, Tuner, make_tuner, tuner_class, with_latency

Array = NDArray[np.float64]

_DRAWS = 64
_LATEST = 1.0  # s of latency that an actuator may have


def fit(
    *,
    model: str,
    spec: Path,
    log: Path,
    out: Path,
    data: Path | None = None,
    method: str = "gauss_newton",
    window: str = "0.5",
    latency: float = 0.0,
    folds: int = 0,
    seed: int = 0,
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = (),
    only: tuple[str, ...] = (),
    but: tuple[str, ...] = (),
    steps: int | None = None,
    report: Path | None = None,
    quiet: bool = False,
) -> None:
    """Fit a Spec to recordings; writes a tuned Spec, which trains policies as any other.

    `grown` trains policies too, to see how much width they bear; they are kept in a folder beside OUT, and after
    kill -9 the same command goes on with the one that was learning.

    Args:
        model: An MJCF file, an installed task, or a Python file that holds one.
        spec: The prior, a Spec whose ranges are wide enough to hold the truth.
        log: The recordings' column map.
        out: The tuned Spec's file.
        data: The folder of the recordings, by default the column map's.
        method: The tuner; see `dr-env tune methods`.
        window: Seconds from one reset to the recorded state to the next, or `whole`.
        latency: Fit too by how much, at most, actuators act later than the Spec says, in seconds; 0 leaves it out.
        folds: Cross-validate first: fit so many times, each without one part of the recordings, and score on that.
        seed: Of everything random.
        set: A number of the method's, such as spread=parameters; may be repeated.
        only: Use recordings alone whose name has one of these parts.
        but: Leave out recordings whose name has one of these parts.
        steps: Environment steps of each policy, where the method trains any; by default the configuration's.
        report: A folder for report.html, report.json and figures.
        quiet: No progress bar.
    """
    if not 0 <= latency <= _LATEST:
        raise DREnvError(f"--latency: got {latency:g}, expected seconds, 0 to {_LATEST:g}")
    given = Spec.load(spec)
    prior = with_latency(given, latency) if latency else given
    options = dict(_option(text) for text in set)
    if "transitions" not in tuner_class(method).needs:
        raise DREnvError(f"--method: {method} takes no recordings; see dr-env tune methods")
    trains = "episodes" in tuner_class(method).needs
    if trains and not is_task_file(model) and model not in task_names():
        raise DREnvError(f"--method: {method} trains policies; {unknown_name('task', model, task_names())}")
    if steps is not None and (not trains or steps < 1):
        why = "expected at least 1" if trains else f"but {method} trains no policies"
        raise DREnvError(f"--steps: got {steps}, {why}")
    check_seed(seed, "--seed")
    check_replaceable(out)
    if report is not None:
        check_writable(report)
    seconds = window_seconds(window)
    bench = load_bench(model, log, data, only, but, seconds)
    console = Console()
    scores: list[MotionScore] = []
    for i, (rest, held) in enumerate(_folds(bench.logs, folds)):
        tuner = _run(Bench(bench.mjspec, bench.observations, rest), prior, method, options, seconds, seed, quiet)
        left_out = Bench(bench.mjspec, bench.observations, held)
        found, _ = evaluate_spec(left_out, tuner.result(), seconds, _DRAWS, seed)
        names = ", ".join(log.name for log in held[:3]) + (" ..." if len(held) > 3 else "")
        console.print(f"fold {i + 1} of {folds}, scored on what it did not see: {names}", markup=False, soft_wrap=True)
        show(found)
        scores.append(found)
    tuner = _run(bench, prior, method, options, seconds, seed, quiet)
    if trains:
        begun = digest(prior.digest(), tuner.result().digest(), method, sorted(options.items()), seed, steps)
        policies = out.with_name(f"{out.stem}.policies") / f"{begun:016x}"[:8]
        _grow(tuner, Objective(task_name(model), steps=steps, seed=seed), policies, quiet)
    late = lateness(bench, tuner.result(), seconds)
    notes = tuner.notes = (*tuner.notes, *([late] if late else ()))
    tuned = tuner.result()
    tuned.save(out)
    for note in notes:
        console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)
    left = sorted(_left_out(bench, prior, seconds).items())
    for name, why in left:
        console.print(f"note: {name} stays as it is: {why}", markup=False, highlight=False, soft_wrap=True)
    if latency and not any(note.startswith(LATENCY) for note in notes):
        lag = 1000 * _values(bench.replay(tuned, bench.logs[:1], seconds, need_values=False), seed)[LATENCY]
        console.print(f"note: actuators act {lag.mean():.1f} ms later ({lag.std():.1f} either way)", highlight=False)
    if report is not None:
        _write_report(report, bench, given, tuned, seconds, seed, notes, scores)
        console.print(f"wrote {report / 'report.html'}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"wrote {out}", markup=False, highlight=False, soft_wrap=True)


def _option(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise DREnvError(f"--set: got {text!r}, expected key=value, such as spread=parameters")
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError:
        raise DREnvError(f"--set: got {text!r}, whose value is no YAML; expected a number or a word") from None


def _folds(logs: tuple[Log, ...], count: int) -> list[tuple[tuple[Log, ...], tuple[Log, ...]]]:
    """Recordings to fit and recordings to score on, for each fold; every recording is left out once."""
    if count == 0:
        return []
    sources = [re.sub(r" part \d+$", "", log.name) for log in logs]  # what a gap has cut apart is one recording
    order = {source: i for i, source in enumerate(dict.fromkeys(sources))}
    groups = [order[source] for source in sources] if len(order) > 1 else list(range(len(logs)))
    known = max(groups) + 1
    if not 2 <= count <= known:
        raise DREnvError(f"--folds: got {count}, expected 2 to {known}, the number of recordings, or 0")
    numbered = list(zip(groups, logs, strict=True))
    return [
        (tuple(log for i, log in numbered if i % count != k), tuple(log for i, log in numbered if i % count == k))
        for k in range(count)
    ]


def _run(
    bench: Bench, prior: Spec, method: str, options: dict[str, Any], window: float, seed: int, quiet: bool
) -> Tuner[Any]:
    """A tuner that has been told of the recordings."""
    finite = window if np.isfinite(window) else min(log.duration for log in bench.logs)
    tuner = make_tuner(method, prior, seed, options, lambda evidence: bench.replay(prior, evidence.logs, window))
    with bars(quiet, transient=True) as bar:
        task = bar.add_task(f"{method}: simulating", total=None)
        if hasattr(tuner, "report"):
            tuner.report = lambda i, cost: bar.update(task, description=f"{method}: iteration {i}, cost {cost:.4g}")
        steps = sum(len(log.time) - 1 - log.begin for log in bench.logs)
        began = time.perf_counter()
        tuner.tell(TargetTransitions(bench.logs, finite), Ledger(target_steps=steps, target_episodes=len(bench.logs)))
        tuner.ledger += Ledger(seconds=round(time.perf_counter() - began, 3))
    return tuner


def _grow(tuner: Tuner[Any], objective: Objective, folder: Path, quiet: bool) -> None:
    """Trains policies under wider and wider ranges, until they fail."""
    with bars(quiet, transient=True) as bar:
        task = bar.add_task("training policies", total=None)

        def told(number: int, share: float) -> None:
            bar.update(task, description=f"training policies: {share:.0%} of the episodes of number {number} succeeded")

        grow(tuner, objective, folder, told)


def _left_out(bench: Bench, prior: Spec, window: float) -> dict[str, str]:
    return bench.replay(prior, bench.logs[:1], window).values.left_out


def _write_report(
    folder: Path,
    bench: Bench,
    prior: Spec,
    tuned: Spec,
    window: float,
    seed: int,
    notes: tuple[str, ...],
    folds: list[MotionScore],
) -> None:
    """Writes figures, report.json and report.html: the prior and the tuned Spec on the recordings."""
    before, first = evaluate_spec(bench, prior, window, _DRAWS, seed)
    after, second = evaluate_spec(bench, tuned, window, _DRAWS, seed, folder)
    values = [_values(replay, seed) for replay in (first, second)]
    shared = {name: x for name, x in values[0].items() if name in values[1] and np.ptp(x) > 0}
    marginals(folder / "marginals.png", shared, values[1])
    form = {"prior": before.to_dict(), "tuned": after.to_dict(), "left_out": [fold.to_dict() for fold in folds]}
    write_text(folder / "report.json", json.dumps({**form, "notes": list(notes)}, indent=1))
    rows = [("prior", before), ("tuned", after), *((f"fold {i + 1}, left out", fold) for i, fold in enumerate(folds))]
    names = list(after.rmse)
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    body = "".join(
        f"<tr><td>{label}</td>{''.join(f'<td>{found.rmse[name]:.4f}</td>' for name in names)}"
        f"<td>{_mean_coverage(found, '50')}</td><td>{_mean_coverage(found, '90')}</td>"
        f"<td>{found.log_likelihood:.3f}</td></tr>"
        for label, found in rows
    )
    pictures = "".join(
        f"<h2>{title}</h2><img src='{data_uri((folder / name).read_bytes(), 'image/png')}'>"
        for title, name in (("Predicted and recorded motion", "motion.png"), ("Values drawn", "marginals.png"))
    )
    listed = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    write_text(
        folder / "report.html",
        "<!doctype html><meta charset='utf-8'><title>Tuned from recordings</title>"
        "<style>body{font:15px sans-serif;margin:2em auto;max-width:70em}td,th{padding:.2em .8em;text-align:right}"
        "td:first-child{text-align:left}img{max-width:100%}</style><h1>Tuned from recordings</h1>"
        f"<p>{len(bench.logs)} recordings, {after.windows} windows. RMSE of the middle Draw by coordinate; the share "
        "of measured numbers in the ensemble's middle 50 and 90 %; log-likelihood of a measured number.</p>"
        f"<table><tr><th></th>{head}<th>50 %</th><th>90 %</th><th>nats</th></tr>{body}</table>"
        f"<ul>{listed}</ul>{pictures}",
    )


def _mean_coverage(found: MotionScore, level: str) -> str:
    shares = [bands[level] for bands in found.coverage.values()]
    return f"{100 * float(np.mean(shares)):.0f} %" if shares else "-"


def _values(replay: Replay, seed: int) -> dict[str, Array]:
    """What a Spec's entries draw, by entry, or by entry and match."""
    ids = np.arange(2000, dtype=np.uint64)
    columns, _ = replay.plan.sample_columns(np.full(2000, seed, np.uint64), ids, np.zeros(2000, np.uint64))
    found: dict[str, Array] = {}
    for entry in replay.plan.entries:
        column = np.reshape(columns[entry.name], (2000, -1))
        if entry.shared:
            found[entry.name] = column[:, 0]
        else:
            labels = [re.sub(r"\W+", "_", f"{entry.name}[{match}]").strip("_") for match in entry.matches]
            found.update(zip(labels, column.T, strict=False))
    return found
