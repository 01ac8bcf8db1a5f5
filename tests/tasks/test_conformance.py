"""Every shipped task, and one of a file, keeps the laws that tasks of others are held to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dr_env
from dr_env.envs.mjcf import MjcfTask
from dr_env.testing import TaskConformance

OF_A_FILE = Path(__file__).parents[2] / "examples" / "ball_and_beam" / "ball_and_beam.py"


class TestShipped(TaskConformance):
    @pytest.fixture(params=[*dr_env.task_names(), str(OF_A_FILE)], ids=lambda name: Path(name).stem)
    def task(self, request: pytest.FixtureRequest) -> dr_env.Task:
        return dr_env.make_task(request.param)


class _Wrong(MjcfTask):
    """A pendulum that breaks the law of its name."""

    def __init__(self, path: Path, law: str) -> None:
        super().__init__(path, reward=lambda before, action, after: np.ones(len(action)), reset_noise=0.1)
        self.law = law

    def reward(self, before, action, after):
        reward, terms = super().reward(before, action, after)
        return reward + (after["qvel"].sum() if self.law == "alone" else 0), terms

    def observe(self, data):
        if self.law == "unchanged":
            data["qpos"] += 1e-9
        return data["qpos"] if self.law == "new" else super().observe(data)

    def observation_names(self, model):
        return super().observation_names(model)[: 1 if self.law == "new" else None]

    def terminated(self, data):
        return np.full(len(data["qpos"]), self.law == "alive")


@pytest.mark.parametrize(
    ("law", "test", "message"),
    [
        ("alone", "test_one_alone_and_one_of_many_are_equal", "rewards"),
        ("unchanged", "test_it_keeps_nothing_and_changes_nothing_that_it_is_shown", "qpos was written to"),
        ("new", "test_it_keeps_nothing_and_changes_nothing_that_it_is_shown", "observe gives what it was shown"),
        ("alive", "test_episodes_begin_alive", "episodes end in the state"),
    ],
)
def test_what_breaks_a_law_is_told(tmp_path: Path, law: str, test: str, message: str) -> None:
    path = tmp_path / "pendulum.xml"
    path.write_text("""<mujoco><worldbody><body><joint name="pin" axis="0 1 0"/>
        <geom size="0.02 0.2" type="capsule" pos="0 0 -0.2"/></body></worldbody></mujoco>""")
    suite = TaskConformance()
    getattr(suite, test)(_Wrong(path, ""))
    with pytest.raises(AssertionError, match=message):
        getattr(suite, test)(_Wrong(path, law))
