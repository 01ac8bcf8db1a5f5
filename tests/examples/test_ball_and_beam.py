"""The example's ten seconds of recordings give the robot back, by the commands of its README."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dr_env
from dr_env.cli.main import main

EXAMPLE = Path(__file__).parents[2] / "examples" / "ball_and_beam"


def test_the_robot_is_found(tmp_path: Path) -> None:
    task, tuned = str(EXAMPLE / "ball_and_beam.py"), tmp_path / "tuned.yaml"
    main(["tune", "record", task, "--target", str(EXAMPLE / "robot.yaml"), "--episodes", "2", "--seconds", "5",
          "--out", str(tmp_path / "logs")])  # fmt: skip
    main(["tune", "fit", "--model", task, "--spec", str(EXAMPLE / "prior.yaml"), "--log",
          str(tmp_path / "logs" / "logs.yaml"), "--method", "credible", "--latency", "0.15", "--out", str(tuned),
          "--quiet"])  # fmt: skip
    robot = dr_env.Spec.load(EXAMPLE / "robot.yaml")
    truth = {name: entry.distribution.support()[0] for name, entry in robot.entries.items()}
    truth["latency"] = truth.pop("servo_delay")
    envs = dr_env.VectorEnv(dr_env.make_task(task), 512, dr_env.Spec.load(tuned))
    draws = envs.reset(seed=0)[1]["dr"]
    inside = 0
    for name, value in truth.items():
        low, high = np.quantile(draws[name], (0.05, 0.95))
        inside += bool(low <= value <= high)
        assert np.mean(draws[name]) == pytest.approx(value, rel=0.25), name
    assert inside >= 4, "of six, 5.4 are expected in their 90 % intervals"
