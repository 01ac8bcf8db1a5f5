from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dr_env import Draw, make_task
from dr_env.cli.main import main
from dr_env.envs import try_out
from tests.conftest import entry, spec_of

MODEL = """
<mujoco><option timestep="0.01"/><worldbody>
  <body name="cart"><joint name="x" type="slide" damping="1"/><geom size=".1" mass="1"/></body>
</worldbody><actuator><motor name="push" joint="x"/></actuator></mujoco>
"""


def _task(tmp_path: Path):  # type: ignore[no-untyped-def]
    (tmp_path / "cart.xml").write_text(MODEL)
    return make_task(tmp_path / "cart.xml", reward=lambda before, action, after: np.zeros(len(action)))


# a stiff spring that Euler's method cannot follow: unstable where stiffness / mass * timestep^2 is above 4
STIFF = spec_of(
    stiffness=entry({"joint": "x"}, "stiffness", "set", type="choice", values=[10.0, 2e5]),
    mass=entry({"body": "cart"}, "mass", "scale", type="uniform", low=0.9, high=1.1),
)


def test_what_diverges_is_found_and_blamed(tmp_path: Path) -> None:
    rate, failures, count = try_out(_task(tmp_path), STIFF, 40)
    assert rate == 1
    assert 8 < count < 32
    assert len(failures) == 8
    for failure in failures:
        assert failure.draw["stiffness"] == 2e5
        assert failure.culprits == ("stiffness",)
        assert failure.seconds < 1


def test_what_is_compiled_is_tried_and_blamed(tmp_path: Path) -> None:
    spec = spec_of(
        stiffness=entry({"joint": "x"}, "stiffness", "set", type="uniform", low=8e4, high=9e4),
        steps=entry("option", "timestep", "scale", trigger="compile", type="choice", values=[0.5, 1.0]),
        damping=entry({"joint": "x"}, "damping", "scale", type="uniform", low=0.9, high=1.1),
    )
    _, failures, count = try_out(_task(tmp_path), spec, 24)
    assert 0 < count < 24
    for failure in failures:
        assert failure.draw["steps"] == 1.0
        assert "stiffness" in failure.culprits and "damping" not in failure.culprits


def test_nothing_is_found_where_nothing_diverges() -> None:
    task = make_task("inverted_pendulum")
    assert try_out(task, spec_of(), 4) == (1.0, [], 0)


def test_the_command_writes_draws_that_replay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = _task(tmp_path)
    STIFF.save(tmp_path / "spec.yaml")
    arguments = ["spec", "check", str(tmp_path / "spec.yaml"), "--model", str(tmp_path / "cart.xml")]
    main([*arguments, "--run", "16", "--failures", str(tmp_path / "bad")])
    out = capsys.readouterr().out
    assert "'stiffness' to blame" in out
    draws = [Draw.load(path) for path in (tmp_path / "bad").glob("*.json")]
    assert draws
    from dr_env import Env

    env = Env(task, STIFF)
    env.reset(seed=0, options={"draw": draws[0], "qpos": [0.1], "qvel": [0.0]})
    assert any("dr_failure" in env.step(np.ones(1, np.float32))[4] for _ in range(1000))


def test_what_shares_a_draw_is_blamed_together(tmp_path: Path) -> None:
    hard = {"type": "uniform", "low": 1e5, "high": 2e5}
    spec = spec_of(
        stiffness={**entry({"joint": "x"}, "stiffness", "set", **hard), "share": "hard"},
        gear={**entry({"actuator": "push"}, "gear[0]", "set", **hard), "share": "hard"},
    )
    _, failures, count = try_out(_task(tmp_path), spec, 4)
    assert count == 4
    assert {failure.culprits for failure in failures} == {("stiffness", "gear")}


def test_what_others_read_can_be_put_back(tmp_path: Path) -> None:
    spec = spec_of(
        steps=entry("option", "timestep", "scale", trigger="compile", type="uniform", low=20, high=60),
        soft=entry({"joint": "x"}, "stiffness", "set", trigger="episode", type="expression", formula="9e3 * steps",
                   low=1, high=1e6),
    )  # fmt: skip
    _, failures, count = try_out(_task(tmp_path), spec, 4)
    assert count == 4
    assert all("soft" in failure.culprits for failure in failures)
