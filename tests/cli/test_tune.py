from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dr_env import Spec, VectorEnv, make_task, rollout, state_names
from dr_env.cli.main import main
from dr_env.envs import return_of_log
from dr_env.errors import StorageError
from dr_env.tuning.study import Study
from policies.checkpoint import Run
from policies.ppo import PPOTrainer

SMALL = ["--set", "num_envs=16", "--set", "n_steps=16", "--set", "batch_size=64", "--set", "n_epochs=1"]
TRAIN = ["--steps", "512", *SMALL, "--quiet"]


def _fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_search_goes_on_and_ends_with_a_spec_that_trains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "study"
    begin = ["tune", "search", "--out", str(out), "--task", "inverted_pendulum", "--method", "random"]
    main([*begin, "--budget", "2", "--episodes", "3", "--warm-start", *TRAIN])
    assert "tuned ranges" in capsys.readouterr().out
    # a process that died in its third trial, half trained
    study = Study(out)
    with study.work(3) as trial:
        assert trial is not None
        folder = trial.run
    study.close()
    main(["tune", "search", "--out", str(out), "--budget", "3", "--quiet"])
    study = Study(out)
    assert study.count == 3
    assert study.trial(2).warm_start is not None
    assert Run(folder).config["task"] == "inverted_pendulum"
    ledger = study.tuner().ledger
    assert (ledger.target_episodes, ledger.policies, ledger.sim_steps) == (9, 3, 3 * 512)
    assert ledger.target_steps >= 9
    assert study.tuner().result() == Spec.load(out / "tuned.yaml")
    study.close()
    message = _fails(capsys, *begin, "--budget", "3", "--episodes", "4", "--warm-start", *TRAIN)
    assert "another episodes: got 4, it was begun with 3" in message
    run = ["train", "inverted_pendulum", "--randomization", str(out / "tuned.yaml"), "--out", str(tmp_path / "run")]
    main([*run, *TRAIN])


def test_the_same_policies_from_the_same_seed(tmp_path: Path) -> None:
    values = []
    for name in ("a", "b"):
        main(["tune", "search", "--out", str(tmp_path / name), "--task", "inverted_pendulum", "--method", "cma_es",
              "--budget", "1", "--episodes", "2", *TRAIN])  # fmt: skip
        study = Study(tmp_path / name)
        values.append([row["value"] for row in study.summary()])
        study.close()
    assert values[0] == values[1]


def test_policies_that_crash_leave_the_study_intact(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "study"
    train = PPOTrainer.train
    calls: list[int] = []

    def crashes(self: PPOTrainer, request: Any) -> Path:
        calls.append(0)
        if len(calls) == 1 or len(calls) > 2:
            raise ZeroDivisionError("a bug in the policy")
        return train(self, request)

    monkeypatch.setattr(PPOTrainer, "train", crashes)
    begin = ["tune", "search", "--out", str(out), "--task", "inverted_pendulum", "--method", "random"]
    message = _fails(capsys, *begin, "--budget", "9", "--episodes", "2", *TRAIN)
    assert "3 policies crashed one after the other, the last one with: a bug in the policy" in message
    study = Study(out)
    assert [row["state"] for row in study.summary()] == ["fail", "complete", "fail", "fail", "fail"]
    assert "ZeroDivisionError" in study.summary()[0]["note"]
    study.close()
    monkeypatch.setattr(PPOTrainer, "train", train)
    main(["tune", "search", "--out", str(out), "--budget", "6", "--quiet"])
    study = Study(out)
    assert study.summary()[-1]["state"] == "complete"
    study.close()


def test_a_full_disk_is_no_evidence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "study"

    def fails(*_: Any) -> None:
        raise StorageError("checkpoints: cannot write: No space left on device")

    begin = ["tune", "search", "--out", str(out), "--task", "inverted_pendulum", "--method", "random"]
    with monkeypatch.context() as patch:
        patch.setattr(Run, "save", fails)
        assert "No space left" in _fails(capsys, *begin, "--budget", "1", "--episodes", "2", *TRAIN)
    assert not (out / "tuned.yaml").exists()
    study = Study(out)
    assert [row["state"] for row in study.summary()] == ["running"]
    study.close()
    main(["tune", "search", "--out", str(out), "--budget", "1", "--quiet"])
    study = Study(out)
    assert [row["state"] for row in study.summary()] == ["complete"]
    study.close()


def test_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "study"
    main(["tune", "ask", str(out), "--task", "inverted_pendulum", "--method", "bayrn", *TRAIN])
    printed = capsys.readouterr().out
    assert f"policy: {out / 'trials' / '0000' / 'policy'}" in printed.replace("\n", " ")
    policy = PPOTrainer().load(out / "trials" / "0000" / "policy")
    assert policy.randomization == Spec.load(out / "trials" / "0000" / "spec.yaml")
    main(["tune", "tell", str(out), "--trial", "0", "--return", "345", "--return", "355"])
    assert "350" in capsys.readouterr().out
    main(["tune", "ask", str(out), "--no-train"])
    assert not (out / "trials" / "0001" / "policy").exists()
    log = tmp_path / "run.csv"
    log.write_text("time,reward\n0,1.5\n0.04,2.5\n")
    main(["tune", "tell", str(out), "--trial", "1", "--log", str(log)])
    study = Study(out)
    assert [row["value"] for row in study.summary()] == [350.0, 4.0]
    ledger = study.tuner().ledger
    assert (ledger.target_episodes, ledger.policies, ledger.sim_steps, ledger.target_steps) == (3, 1, 512, 2)
    study.close()
    assert "no trial 7" in _fails(capsys, "tune", "tell", str(out), "--trial", "7", "--return", "1")
    assert "told already" in _fails(capsys, "tune", "tell", str(out), "--trial", "0", "--return", "1")
    assert "one of --return, --log and --failed" in _fails(capsys, "tune", "tell", str(out), "--trial", "0")
    assert "whose target is a robot; go on: dr-env tune ask" in _fails(
        capsys, "tune", "search", "--out", str(out), "--budget", "3"
    )
    main(["tune", "ask", str(out), "--no-train"])
    main(["tune", "tell", str(out), "--trial", "2", "--failed"])
    assert "fail" in capsys.readouterr().out


def test_a_target_that_does_not_fit_the_task_is_refused_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = make_task("inverted_pendulum").file("target.yaml")
    arguments = ["--budget", "2", "--task", "hopper", "--target", str(target), "--out", str(tmp_path / "study")]
    assert "no actuator matches 'slide'" in _fails(capsys, "tune", "search", *arguments)
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "--budget", "0", "--task", "hopper"], "--budget: got 0"),
        (["search", "--budget", "3"], "no study there; begin one with --task"),
        (["search", "--budget", "3", "--task", "hoper"], "did you mean 'hopper'"),
        (["search", "--budget", "3", "--task", "hopper", "--method", "bayrnn"], "did you mean 'bayrn'"),
        (["search", "--budget", "3", "--task", "hopper", "--method", "adr"], "'adr' learns from episodes"),
        (["search", "--budget", "3", "--task", "hopper", "--episodes", "0"], "episodes: got 0"),
        (["search", "--budget", "3", "--task", "hopper", "--option", "startups=1"], "did you mean 'startup'"),
        (["search", "--budget", "3", "--task", "hopper", "--target", "no.yaml"], "no.yaml: no such file"),
        (["search", "--budget", "3", "--task", "hopper", "--workers", "0"], "--workers: got 0"),
        (["search", "--budget", "3", "--task", "hopper", "--steps", "0"], "--steps: got 0"),
        (["search", "--budget", "3", "--task", "hopper", "--seed", "-1"], "--seed: got -1"),
        (["search", "--budget", "3", "--task", "hopper", "--set", "n_epoch=5"], "n_epochs"),
        (["search", "--budget", "3", "--task", "hopper", "--algorithm", "pppo"], "did you mean 'ppo'"),
        (["search", "--budget", "3", "--method", "cma_es"], "--method: got cma_es, which a study is begun with"),
    ],
)
def test_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert message in _fails(capsys, "tune", *arguments, "--out", str(tmp_path / "study"))
    assert not (tmp_path / "study").exists()


def test_methods_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["tune", "methods"])
    printed = capsys.readouterr().out
    for name in ("bayrn", "cem", "doraemon", "adr", "oracle", "uniform20"):
        assert name in printed


def test_the_return_of_a_log_is_the_tasks_own(tmp_path: Path) -> None:
    task = make_task("half_cheetah")
    env = VectorEnv(task, 1, max_episode_steps=20)
    rng = np.random.default_rng(0)
    rows: list[list[float]] = []

    def act(observations: np.ndarray) -> np.ndarray:
        action = rng.uniform(-1, 1, (1, 6)).astype(np.float32)
        rows.append([*env._live["qpos"][0], *env._live["qvel"][0], *action[0]])
        return action

    episodes = rollout(env, act, 0)
    # a policy does not see the last state, so one step is missing
    qpos, qvel = state_names(env.model)
    path = tmp_path / "run.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*qpos, *qvel, *(f"action[{i}]" for i in range(6))])
        writer.writerows(rows)
    value, steps = return_of_log(task, path)
    short = rollout(VectorEnv(task, 1, max_episode_steps=19), _replay(rows), 0)
    assert steps == 19
    assert value == pytest.approx(float(short.returns[0]), abs=1e-6)
    assert value != pytest.approx(float(episodes.returns[0]), abs=1e-6)


def _replay(rows: list[list[float]]) -> Any:
    actions = iter(np.array(rows)[:, -6:].astype(np.float32))
    return lambda observations: next(actions)[None]


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_the_files_of_spreadsheets_are_read(tmp_path: Path, suffix: str) -> None:
    text = "\ufeffreward\n1\n2.5\n\n".encode()
    path = tmp_path / f"run{suffix}"
    path.write_bytes(gzip.compress(text) if suffix.endswith("gz") else text)
    assert return_of_log(make_task("hopper"), path) == (3.5, 2)


def test_a_policy_that_crashes_by_hand_is_told_and_the_study_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = tmp_path / "broken.py"
    task.write_text(
        "import dr_env\n"
        f"task = dr_env.make_task({str(make_task('cartpole').file('scene.xml'))!r}, "
        "reward=lambda before, action, after: 1 / 0)\n"
    )
    (tmp_path / "randomization.yaml").write_text(
        "format: dr_env/1\nentries:\n  g: {select: option, field: 'gravity[2]', operation: scale, "
        "distribution: {type: uniform, low: 0.9, high: 1.1}}\n"
    )
    arguments = ["--task", str(task), "--randomization", str(tmp_path / "randomization.yaml"), "--steps", "256"]
    found = _fails(capsys, "tune", "ask", str(tmp_path / "study"), *arguments, "--quiet")
    assert "trial 0: crashed: ZeroDivisionError: division by zero; the study is intact" in found
    study = Study(tmp_path / "study")
    assert study.count == 1 and "ZeroDivisionError" in str(study.summary())
    study.close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("reward\nx\n", r"run.csv:2 reward: got 'x', expected a number"),
        ("reward\nnan\n", r"run.csv:2 reward: got nan, expected a finite number"),
        ("a,b\n1\n", r"run.csv:2 got 1 values, expected 2"),
        ("qpos.slid\n1\n", r"no column 'qpos.slider'; did you mean 'qpos.slid'"),
        ("rewrd\n1\n", "or is 'rewrd' the 'reward'?"),
    ],
)
def test_logs_that_have_no_return(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str) -> None:
    out = tmp_path / "study"
    main(["tune", "ask", str(out), "--task", "inverted_pendulum", "--no-train"])
    (tmp_path / "run.csv").write_text(text)
    found = _fails(capsys, "tune", "tell", str(out), "--trial", "0", "--log", str(tmp_path / "run.csv"))
    assert message in found
    study = Study(out)
    assert study.count == 0
    assert json.dumps(study.summary()[0]["value"]) == "null"
    study.close()
