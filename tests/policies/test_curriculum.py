from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from stable_baselines3 import SAC

from dr_env import Spec, TrainRequest, VectorEnv
from policies.checkpoint import Run
from policies.curriculum import CurriculumCallback
from policies.ppo import PPOTrainer
from policies.vecenv import SB3VecEnv
from tests.policies.slider import Slider

SPEC = Spec.from_yaml("""
format: dr_env/1
entries:
  mass:
    select: {body: "*"}
    field: mass
    operation: scale
    distribution: {type: uniform, low: 0.5, high: 1.5}
curriculum: {start: 0.1, begin: 0.25, end: 0.75}
""")


class _Watched(VectorEnv):
    """Keeps what was drawn, and after how many steps."""

    steps = 0

    def step(self, actions: np.ndarray) -> tuple:  # type: ignore[type-arg]
        result = super().step(actions)
        self.steps += self.num_envs
        if "dr" in result[4]:
            self.seen.append((self.steps, result[4]["dr"]["mass"].copy(), result[0].copy()))
        return result

    def reset(self, **arguments: object) -> tuple:  # type: ignore[type-arg]
        self.seen: list[tuple[int, np.ndarray, np.ndarray]] = []
        observations, info = super().reset(**arguments)  # type: ignore[arg-type]
        self.seen.append((0, info["dr"]["mass"].copy(), observations.copy()))
        return observations, info


def test_the_ranges_widen_while_any_algorithm_trains() -> None:
    env = _Watched(Slider(), 64, SPEC, context="observed", threads=1)
    venv = SB3VecEnv(env)
    callback = CurriculumCallback(env, 16_000)
    model = SAC("MlpPolicy", venv, learning_starts=10**9, seed=0, device="cpu", policy_kwargs={"net_arch": [4]})
    model.learn(16_000, callback)
    assert len(env.seen) > 10
    for steps, masses, observations in env.seen:
        half = 0.5 * SPEC.curriculum.share(max(0, steps - 64) / 16_000)  # type: ignore[union-attr]
        assert np.abs(masses - 1).max() <= half + 0.005
        assert np.abs(masses - 1).max() > 0.9 * half - 0.005
        # the policy sees the Draw on the scale of the whole Spec all the time
        np.testing.assert_allclose(observations[:, 1], env._view._plan.context({"mass": masses}, 64)[:, 0])
        assert np.abs(observations[:, 1]).max() <= (half + 0.005) * 4
    assert callback.share == 1.0


def test_without_a_curriculum_nothing_changes() -> None:
    env = VectorEnv(Slider(), 2, SPEC.model_copy(update={"curriculum": None}))
    plan = env.plan
    callback = CurriculumCallback(env, 100)
    assert callback.share == 1.0
    assert env.plan is plan


def test_runs_follow_the_curriculum_and_go_on_with_it(tmp_path: Path) -> None:
    settings = {"num_envs": 16, "n_steps": 16, "batch_size": 64, "n_epochs": 1}
    spec = Spec.from_yaml(SPEC.to_yaml().replace('"*"', "pole"))
    trainer = PPOTrainer()
    run = trainer.train(
        TrainRequest("inverted_pendulum", spec, tmp_path / "run", steps=2048, settings=settings, quiet=True)
    )
    shares = [row["curriculum_share"] for row in Run(run).curve()]
    assert shares[0] == pytest.approx(0.1)
    assert shares == sorted(shares)
    assert 0.1 < shares[4] < shares[5] < 1.0
    assert shares[-1] == 1.0
    assert Run(run).spec == spec  # the whole of it, for whoever goes on or evaluates
    trainer.resume(run, 4096, quiet=True)
    resumed = [row["curriculum_share"] for row in Run(run).curve()][len(shares) :]
    assert resumed[0] == pytest.approx(spec.curriculum.share(0.5), abs=0.011)  # type: ignore[union-attr]
    assert resumed[-1] == 1.0
