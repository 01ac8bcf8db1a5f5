"""Numbers of trainings."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from stable_baselines3 import SAC, HerReplayBuffer

from dr_env import DREnvError, Spec, VectorEnv, make_task
from dr_env.cli.evaluate import _group
from policies.config import LinearRate, PPOConfig, settings_digest
from policies.vecenv import SB3VecEnv


def test_a_falling_rate_is_never_below_zero() -> None:
    rate = LinearRate(PPOConfig(learning_rate=1e-3, total_steps=1000, num_envs=4, n_steps=64, batch_size=64))
    assert [rate(r) for r in (1.0, 0.5, 0.0, -0.024)] == [1e-3, 5e-4, 0, 0]
    once = LinearRate(PPOConfig(learning_rate=1e-3, total_steps=100, num_envs=4, n_steps=64, batch_size=64))
    assert once(-1.56) == 1e-3


def test_runs_that_differ_by_more_than_their_seed_are_not_pooled() -> None:
    def run(seed: int, steps: int = 64, **settings: Any) -> Any:
        recorded = {"algorithm": "ppo", "ppo": PPOConfig(total_steps=steps, **settings).model_dump(mode="json")}
        return SimpleNamespace(randomization=Spec(), steps=steps, seed=seed, settings=settings_digest(recorded))

    def grouped(*policies: Any) -> dict[str, list[int]]:
        return _group(tuple(Path("runs") / f"run{i}" for i in range(len(policies))), list(policies), Spec())

    assert grouped(run(0), run(1), run(2)) == {"plain": [0, 1, 2]}
    assert grouped(run(0), run(1), run(0, context="critic_only"), run(0, history=3)) == {
        "run0": [0, 1],
        "run2": [2],
        "run3": [3],
    }
    assert grouped(run(0), run(0)) == {"run0": [0], "run1": [1]}
    assert grouped(run(0), run(0, steps=128)) == {"run0": [0], "run1": [1]}


def test_no_run_is_lost_where_names_are_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recorded = {"algorithm": "ppo", "ppo": PPOConfig().model_dump(mode="json")}
    spec = Spec.load(make_task("hopper").file("randomization.yaml"))

    def run(steps: int, under: Spec) -> Any:
        return SimpleNamespace(randomization=under, steps=steps, seed=0, settings=settings_digest(recorded))

    found = _group((Path("old/x"), Path("x"), Path("none")), [run(1, spec), run(2, spec), run(1, Spec())], Spec())
    assert sorted(found.values()) == [[0], [1], [2]]
    form = spec.to_dict()
    other = Spec.from_dict({**form, "entries": dict(list(form["entries"].items())[:2])})
    found = _group((Path("a"), Path("randomized")), [run(1, spec), run(1, other)], spec)
    assert found["randomized"] == [0] and len(found) == 2
    assert "" not in _group((Path(),), [run(1, spec)], Spec())


def test_hindsight_on_a_batch() -> None:
    made: dict[str, Any] = {"n_sampled_goal": 4, "copy_info_dict": True}
    for name in ("reach", "push"):
        env = SB3VecEnv(VectorEnv(make_task(name), 2, max_episode_steps=5))
        model = SAC("MultiInputPolicy", env, replay_buffer_class=HerReplayBuffer, replay_buffer_kwargs=made,
                    learning_starts=12, batch_size=16, policy_kwargs={"net_arch": [8]}, seed=0)  # fmt: skip
        model.learn(24)
        assert np.isfinite(model.replay_buffer.sample(16).rewards.numpy()).all()  # type: ignore[union-attr]
        env.close()


def test_what_is_no_batch_of_states_is_refused() -> None:
    with pytest.raises(DREnvError, match=r"env: got HalfCheetah, expected a dr_env.VectorEnv"):
        SB3VecEnv(make_task("half_cheetah"))  # type: ignore[arg-type]
