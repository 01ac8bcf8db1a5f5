from __future__ import annotations

import dataclasses
import math
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dr_env import DREnvError, Spec
from dr_env.testing import target
from dr_env.tuning import Ledger, make_tuner
from dr_env.tuning.study import Settings, Study

PLAIN = Settings("inverted_pendulum", "random", target.PRIOR.to_yaml(), target=Spec().to_yaml())


def _play(study: Study, budget: int, pause: float = 0.0) -> int:
    done = 0
    while True:
        with study.work(budget) as trial:
            if trial is None:
                return done
            time.sleep(pause)
            found = target.returns_of(trial.spec, trial.number)
            study.tell(trial.number, found.returns.tolist(), Ledger(target_episodes=5, policies=1))
            done += 1


def _worker(folder: Path, budget: int, pause: float) -> None:
    study = Study(folder)
    _play(study, budget, pause)
    study.close()


@pytest.mark.parametrize("method", ["random", "cma_es"])
def test_a_study_is_the_method_and_goes_on_after_any_stop(tmp_path: Path, method: str) -> None:
    tuner = make_tuner(method, target.PRIOR, 0)
    for trial in range(6):
        tuner.tell(target.returns_of(tuner.ask(), trial), Ledger(target_episodes=5, policies=1))
    settings = dataclasses.replace(PLAIN, method=method)
    for budget in (4, 4, 6):  # in two sittings, and one with nothing to do
        study = Study(tmp_path / "study", settings)
        _play(study, budget)
        assert study.count == budget
        study.close()
    study = Study(tmp_path / "study")
    assert study.tuner().result() == tuner.result()
    assert study.tuner().ledger == tuner.ledger
    read = Spec.load(tmp_path / "study" / "tuned.yaml")
    assert read == tuner.result()
    assert read.provenance is not None
    assert read.provenance["ledger"]["target_episodes"] == 30
    assert Spec.load(tmp_path / "study" / "trials" / "0003" / "spec.yaml") == study.trial(3).spec
    assert study.best() is not None
    study.close()


def test_processes_share_a_study(tmp_path: Path) -> None:
    Study(tmp_path / "study", PLAIN).close()
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_worker, args=(tmp_path / "study", 4, 0.0)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    study = Study(tmp_path / "study")
    assert study.count == study.begun == 4
    specs = [study.trial(number).spec.digest() for number in range(4)]
    assert len(set(specs)) == 4, "nobody tried the same"
    study.close()


def test_a_trial_of_a_killed_process_is_taken_up_again(tmp_path: Path) -> None:
    Study(tmp_path / "study", PLAIN).close()
    context = multiprocessing.get_context("spawn")
    worker = context.Process(target=_worker, args=(tmp_path / "study", 4, 60.0))
    worker.start()
    study = Study(tmp_path / "study")
    deadline = time.monotonic() + 60
    while not study.begun and time.monotonic() < deadline:
        time.sleep(0.05)
    with study.work(1) as trial:
        assert trial is None, "the trial is the other process's as long as it lives"
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    with study.work(1) as trial:
        assert trial is not None
        assert trial.number == 0
        study.tell(0, [1.0], Ledger())
    assert study.count == study.begun == 1
    study.close()


def test_zero_is_better_than_less(tmp_path: Path) -> None:
    study = Study(tmp_path / "study", dataclasses.replace(PLAIN, target=None))
    for value in (-5.0, 0.0, -1.0):
        with study.work(None, by_hand=True) as trial:
            assert trial is not None
            study.tell(trial.number, [value], Ledger())
            study.set_ready(trial.number)  # told before it was ready: nothing happens
    assert study.best() == 1
    study.close()


def test_asked_and_told_by_hand_in_any_order(tmp_path: Path) -> None:
    study = Study(tmp_path / "study", dataclasses.replace(PLAIN, target=None))
    trials = []
    for _ in range(3):
        with study.work(None, by_hand=True) as trial:
            assert trial is not None
            study.set_ready(trial.number)
            trials.append(trial)
    assert [trial.number for trial in trials] == [0, 1, 2]
    assert len({trial.spec.digest() for trial in trials}) == 3
    study.tell(2, [5.0, 7.0], Ledger())
    study.tell(0, [math.nan], Ledger(), "fell over")
    with pytest.raises(DREnvError, match=r"trial 2 was told already: \[5.0, 7.0\]"):
        study.tell(2, [1.0], Ledger())
    with pytest.raises(DREnvError, match="no trial 7; trials: 0, 1, 2"):
        study.tell(7, [1.0], Ledger())
    with pytest.raises(DREnvError, match="expected numbers or NaN"):
        study.tell(1, [math.inf], Ledger())
    assert study.best() == 2
    assert [row["state"] for row in study.summary()] == ["fail", "running", "complete"]
    assert [row["value"] for row in study.summary()] == [None, None, 6.0]
    # one that was interrupted before it was ready is handed out again
    with study.work(None, by_hand=True) as trial:
        assert trial is not None
        first = trial.number
    with study.work(None, by_hand=True) as trial:
        assert trial is not None
        assert trial.number == first
    study.close()


def test_warm_starts_are_from_the_best_so_far(tmp_path: Path) -> None:
    study = Study(tmp_path / "study", dataclasses.replace(PLAIN, warm_start=True))
    first = study.ask()
    assert first.warm_start is None
    first.run.mkdir(parents=True)
    study.tell(0, [1.0], Ledger())
    (second := study.ask()).run.mkdir(parents=True)
    study.tell(1, [3.0], Ledger())
    assert study.ask().warm_start == second.run
    study.tell(2, [9.0], Ledger())  # told of a robot's own policy: there is none to begin with
    assert study.ask().warm_start == second.run
    study.close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "cem"}, "another method: got 'cem', it was begun with 'random'"),
        ({"prior": target.PRIOR.narrowed(0.5).to_yaml()}, "another Spec: got '[0-9a-f]{16}'"),
        ({"seed": 1}, "another seed: got 1"),
        ({"episodes": 3}, "another episodes: got 3"),
    ],
)
def test_a_study_of_something_else_is_refused_and_left_intact(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    study = Study(tmp_path / "study", PLAIN)
    _play(study, 2)
    study.close()
    with pytest.raises(DREnvError, match=message):
        Study(tmp_path / "study", dataclasses.replace(PLAIN, **change))
    study = Study(tmp_path / "study", PLAIN)
    assert study.count == 2
    study.close()


def test_when_a_prior_was_made_does_not_matter(tmp_path: Path) -> None:
    study = Study(tmp_path / "study", PLAIN)
    study.close()
    later = target.PRIOR.model_copy(update={"provenance": {"date": "2030-01-01"}})
    study = Study(tmp_path / "study", dataclasses.replace(PLAIN, prior=later.to_yaml()))
    study.close()


def test_what_cannot_be_a_study(tmp_path: Path) -> None:
    with pytest.raises(DREnvError, match="no study there"):
        Study(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
    with pytest.raises(DREnvError, match="nothing tunable"):
        Study(tmp_path / "study", dataclasses.replace(PLAIN, prior=Spec().to_yaml()))
    assert not (tmp_path / "study").exists()
    with pytest.raises(DREnvError, match="'doraemon' learns from episodes"):
        dataclasses.replace(PLAIN, method="doraemon")
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("dear")
    with pytest.raises(DREnvError, match="exists and is not a study"):
        Study(tmp_path / "letters", PLAIN)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "study.db").write_bytes(bytes(range(256)) * 20)
    with pytest.raises(DREnvError, match=r"study\.db: damaged, or not a study"):
        Study(tmp_path / "broken")


def test_a_method_that_is_done_asks_no_more(tmp_path: Path) -> None:
    study = Study(tmp_path / "study", dataclasses.replace(PLAIN, method="uniform20"))
    assert _play(study, 10) == 1
    assert np.isfinite(study.summary()[0]["value"])
    study.close()
