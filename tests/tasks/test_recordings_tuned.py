"""What a fit to some recordings of a real mechanism predicts of the others."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import dr_env
from dr_env.cli.recordings import load_bench
from dr_env.cli.tune_score import evaluate_spec
from dr_env.tuning import TargetTransitions, make_tuner

REAL = Path(__file__).parents[3] / "shared" / "real"
pytestmark = pytest.mark.skipif(not REAL.exists(), reason="the recordings (../shared/real) are absent")


def test_a_short_fit_to_two_slow_runs_of_the_double_pendulum_predicts_the_fast_one() -> None:
    """Far better than the nominal model, which the lab identified: the whole fit, on all runs but one, is for hand."""
    folder = dr_env.make_task("double_pendulum").file("logs.yaml").parent
    spec = dr_env.Spec.load(folder / "prior.yaml")
    bench = load_bench("double_pendulum", folder / "logs.yaml", REAL / "double_pendulum")
    chosen, held = (
        dataclasses.replace(bench, logs=tuple(log for log in bench.logs if any(part in log.name for part in parts)))
        for parts in (("143339", "143524"), ("154220",))
    )
    tuner = make_tuner(
        "gauss_newton",
        spec,
        options={"screen": 0, "iterations": 3, "spread": "parameters"},
        simulate=lambda evidence: chosen.replay(spec, evidence.logs, 0.5),
    )
    tuner.tell(TargetTransitions(chosen.logs, 0.5))
    tuned, _ = evaluate_spec(held, tuner.result(), 0.5, 8, 0)
    untuned, _ = evaluate_spec(held, dr_env.Spec(), 0.5, 8, 0)
    assert tuned.rmse["shoulder"] < 0.5 * untuned.rmse["shoulder"]
    assert tuned.rmse["elbow"] < 0.25 * untuned.rmse["elbow"]


def test_the_map_of_the_furuta_pendulum_reads_its_recordings() -> None:
    folder = dr_env.make_task("furuta").file("logs.yaml").parent
    bench = load_bench("furuta", folder / "logs.yaml", REAL / "furuta", only=("[0]",))
    (log,) = bench.logs
    assert log.ctrl.shape == (2502, 1)
    assert not log.ctrl[:7].any()  # before the recording, and while the motor does not obey yet
    assert log.ctrl[7:20].all()
    assert not log.qvel[1].any(), "it hung still"
    # estimated velocities are those of the positions; the recorded ones would lag
    fine = slice(100, 2400)
    slope = np.gradient(log.qpos[fine, 1], log.time[fine])
    assert np.corrcoef(slope, log.qvel[fine, 1])[0, 1] > 0.99


def test_the_cubes_middle_spec_lands_where_the_recorded_one_does() -> None:
    folder = dr_env.make_task("cube_toss").file("logs.yaml").parent
    bench = load_bench("cube_toss", folder / "logs.yaml", REAL / "cube_toss", only=("01]",))
    found, _ = evaluate_spec(bench, dr_env.Spec(), float("inf"), 8, 0)
    assert found.bodies["cube"]["position_widths"] < 0.235
    assert found.bodies["cube"]["rotation_deg"] < 21.9
