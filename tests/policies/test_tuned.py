from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3 import SAC

from dr_env import DREnvError, Spec, TrainRequest, VectorEnv, as_spec, make_task
from dr_env.cli.main import main
from dr_env.tuning import SimEpisodes, make_tuner, spread_of
from dr_env.tuning.adr import ADR
from policies.checkpoint import Run, read_tuner
from policies.ppo import PPOTrainer
from policies.tuned import TunerCallback
from policies.vecenv import SB3VecEnv
from tests.conftest import entry, spec_of
from tests.policies.slider import Slider

SMALL: dict[str, Any] = {"num_envs": 16, "n_steps": 32, "batch_size": 256, "n_epochs": 1}
PRIOR = spec_of(mass=entry({"body": "*"}, "mass", "scale", type="uniform", low=0.5, high=1.5))


class _Watched(ADR):
    """Checks that it is told which Spec episodes were drawn from."""

    told = late = 0

    def _tell(self, evidence: SimEpisodes) -> None:
        assert evidence.spec is not None
        low, high = evidence.spec.entries["mass"].distribution.support()
        self.late += evidence.spec != self.ask()
        assert ((evidence.draws["mass"] >= low) & (evidence.draws["mass"] <= high)).all()
        if low < high:
            assert len(np.unique(evidence.draws["mass"])) > 1
        self.told += len(evidence)
        super()._tell(evidence)


def test_a_tuner_is_told_of_every_episode_and_its_ranges_with_any_algorithm() -> None:
    env = VectorEnv(Slider(), 32, PRIOR, context="observed", threads=1)
    venv = SB3VecEnv(env)
    tuner = _Watched(PRIOR, 0, {"step": 0.25, "buffer": 4})
    callback = TunerCallback(venv, tuner, success_return=-1e9)
    assert callback.spread == pytest.approx(0)
    model = SAC("MlpPolicy", venv, learning_starts=10**9, seed=0, device="cpu", policy_kwargs={"net_arch": [4]})
    model.learn(8000, callback)
    assert tuner.told > 300, "every episode is told"
    assert tuner.late > 0, "also those of earlier Specs"
    assert callback.spread > 0.9, "what always succeeds widens to all of the prior"
    assert callback.spread == spread_of(tuner.result(), PRIOR), "of the ranges, without the weight on their ends"
    masses = np.array([draw["mass"] for draw in env.draws])
    assert masses.std() > 0.2
    assert tuner.ledger.sim_steps > 4000


def test_dr_env_train_follows_a_tuner_and_resumes_it(tmp_path: Path) -> None:
    run = tmp_path / "run"
    pairs = {**SMALL, "tuner": "doraemon", "success_return": 4, "tuner_options": "{episodes: 40, step: 0.5}"}
    settings = [text for key, value in pairs.items() for text in ("--set", f"{key}={value}")]
    main(["train", "inverted_pendulum", "--steps", "6144", "--out", str(run), "--quiet", *settings])
    spreads = [row["spread"] for row in Run(run).curve()]
    assert spreads[0] < 0.5
    assert spreads[-1] > 1.5 * spreads[0]
    assert Run(run).spec == as_spec("default", make_task("inverted_pendulum")), "the prior, for whoever goes on"
    tuned = Spec.load(run / "tuned.yaml")
    assert tuned.entries["pole_mass"].distribution.type_name == "beta"
    assert tuned.provenance is not None
    assert tuned.provenance["method"] == "doraemon"
    assert tuned.provenance["ledger"]["sim_steps"] == 6144, "the last rollout's episodes are told as well"
    state = read_tuner(Run(run).latest())
    PPOTrainer().resume(run, 10_240, quiet=True)
    resumed = [row["spread"] for row in Run(run).curve()][len(spreads) :]
    assert resumed[0] >= spreads[-1] - 1e-9, "it goes on where it was"
    after = read_tuner(Run(run).latest())
    assert state is not None and after is not None
    assert after["ledger"]["sim_steps"] > state["ledger"]["sim_steps"]
    VectorEnv(make_task("inverted_pendulum"), 2, tuned)  # an ordinary Spec


def test_runs_with_a_tuner_are_reproducible(tmp_path: Path) -> None:
    states = []
    for name in ("a", "b"):
        settings = {**SMALL, "tuner": "adr", "success_return": 4.0, "tuner_options": {"buffer": 4}}
        spec = as_spec("default", make_task("inverted_pendulum"))
        request = TrainRequest("inverted_pendulum", spec, tmp_path / name, 3, 3072, settings=settings, quiet=True)
        states.append(read_tuner(Run(PPOTrainer().train(request)).latest()))
    assert states[0] == states[1]
    assert states[0] is not None


def test_particles_that_draw_all_entries_together_drive_a_run(tmp_path: Path) -> None:
    spec = as_spec("default", make_task("inverted_pendulum"))
    settings = {**SMALL, "tuner": "active_dr", "success_return": 4.0, "tuner_options": {"episodes": 20}}
    request = TrainRequest("inverted_pendulum", spec, tmp_path / "run", 0, 3072, settings=settings, quiet=True)
    run = Run(PPOTrainer().train(request))
    state = read_tuner(run.latest())
    assert state is not None
    assert state["own"]["updates"] > 2
    assert run.spec == spec
    PPOTrainer().resume(run.folder, 4096, quiet=True)
    PPOTrainer().load(run.folder)
    VectorEnv(make_task("inverted_pendulum"), 2, Spec.load(run.folder / "tuned.yaml"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tuner": "active_dr", "context": "observed"}, "context: got observed, expected hidden"),
        ({"tuner": "doremon"}, "did you mean 'doraemon'"),
        ({"tuner": "cem"}, "expected one that learns from episodes: .*doraemon"),
        ({"tuner": "adr", "tuner_options": {"buffr": 1}}, "did you mean 'buffer'"),
        ({"success_return": 3.0}, "tuner: missing"),
        ({"tuner": "adr"}, "success_return: missing"),
    ],
)
def test_what_cannot_be_is_said(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    spec = as_spec("default", make_task("inverted_pendulum"))
    request = TrainRequest(
        "inverted_pendulum", spec, tmp_path / "run", 0, 2048, settings={**SMALL, **settings}, quiet=True
    )
    with pytest.raises(DREnvError, match=message):
        PPOTrainer().train(request)


def test_a_curriculum_of_the_spec_and_a_tuner_are_one_too_many(tmp_path: Path) -> None:
    spec = Spec.from_yaml(PRIOR.to_yaml() + "curriculum: {end: 0.5}\n")
    request = TrainRequest("inverted_pendulum", spec, tmp_path / "run", settings={"tuner": "adr"}, quiet=True)
    with pytest.raises(DREnvError, match="has a curriculum of its own"):
        PPOTrainer().train(request)
    env = SB3VecEnv(VectorEnv(Slider(), 2, PRIOR))
    with pytest.raises(DREnvError, match="its prior is another Spec"):
        TunerCallback(env, make_tuner("adr", PRIOR.narrowed(0.5)), 0.0)
