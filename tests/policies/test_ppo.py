from __future__ import annotations

import json
import os
import pickletools
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dr_env import Draw, DREnvError, Spec, TrainRequest, VectorEnv, as_spec, make_task, rollout
from policies.checkpoint import Run
from policies.config import CONFIGS, PPOConfig
from policies.ppo import PPOTrainer
from tests.conftest import entry, spec_of

SMALL = {"num_envs": 16, "n_steps": 16, "batch_size": 64, "n_epochs": 2, "torch_threads": 1}


def _train(folder: Path, steps: int = 2048, **changes: object) -> Path:
    settings = {**SMALL, **{k: v for k, v in changes.items() if k not in ("seed", "threads", "overwrite")}}
    request = TrainRequest(
        task="inverted_pendulum",
        randomization=as_spec("default", make_task("inverted_pendulum")),
        run=folder,
        seed=int(changes.get("seed", 0)),  # type: ignore[call-overload]
        threads=int(changes.get("threads", 1)),  # type: ignore[call-overload]
        steps=steps,
        settings=settings,
        overwrite=bool(changes.get("overwrite", False)),
        quiet=True,
    )
    return PPOTrainer().train(request)


def _weights(run: Path) -> bytes:
    return (Run(run).latest() / "policy.safetensors").read_bytes()


def test_it_learns_and_the_policy_works_after_loading(tmp_path: Path) -> None:
    task = make_task("inverted_pendulum")
    run = PPOTrainer().train(
        TrainRequest("inverted_pendulum", as_spec("default", task), tmp_path / "run", steps=60_000, quiet=True)
    )
    policy = PPOTrainer().load(run)
    trained = rollout(VectorEnv(task, 32, policy.randomization), policy.act, seed=9)
    untrained = rollout(VectorEnv(task, 32, policy.randomization), lambda o: np.zeros((len(o), 1), np.float32), seed=9)
    assert trained.returns.mean() > 5 * untrained.returns.mean()
    assert trained.lengths.max() <= 1000
    assert policy.curve[-1]["return_mean"] > policy.curve[0]["return_mean"]
    assert policy.steps >= 60_000
    again = rollout(VectorEnv(task, 32, policy.randomization), PPOTrainer().load(str(run)).act, seed=9)
    assert (again.returns == trained.returns).all()


def test_same_seed_same_run_at_any_thread_count(tmp_path: Path) -> None:
    one = _train(tmp_path / "one", threads=1)
    two = _train(tmp_path / "two", threads=2)
    other = _train(tmp_path / "other", seed=1)
    assert _weights(one) == _weights(two)
    assert _weights(one) != _weights(other)


def test_the_folder_holds_what_it_says_and_no_pickle_that_runs_code(tmp_path: Path) -> None:
    run = _train(tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    assert config["seed"] == 0
    assert config["ppo"]["num_envs"] == 16
    assert config["versions"]["mujoco"]
    assert Spec.load(run / "randomization.yaml") == as_spec("default", make_task("inverted_pendulum"))
    latest = Run(run).latest()
    assert {path.name for path in latest.iterdir()} == {
        "policy.safetensors", "optimizer.pt", "normalizer.npz", "state.json",
    }  # fmt: skip
    with np.load(latest / "normalizer.npz", allow_pickle=False) as file:
        assert file["obs_mean"].shape == (4,)
    with zipfile.ZipFile(latest / "optimizer.pt") as archive:  # torch's own format, read with weights_only
        pickled = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        imported = {arg for op, arg, _ in pickletools.genops(archive.read(pickled)) if op.name == "GLOBAL"}
    assert imported <= {"torch._utils _rebuild_tensor_v2", "torch FloatStorage", "collections OrderedDict"}


def test_draws_that_blow_the_simulation_up_are_kept(tmp_path: Path) -> None:
    """Motors a billion times too strong now and then: training goes on, and says which Draws they were."""
    spec = spec_of(strength=entry({"actuator": "*"}, "gain", "scale", type="choice", values=[1.0, 1e9]))
    run = PPOTrainer().train(
        TrainRequest("half_cheetah", spec, tmp_path / "run", steps=2048, settings=SMALL, quiet=True)
    )
    kept = [Draw.load(path) for path in (run / "failures").glob("*.json")]
    assert kept
    env = VectorEnv(make_task("half_cheetah"), 1, spec)
    assert all(draw["strength"] == 1e9 for draw in kept)
    env.reset(seed=0, options={"draw": kept[0]})
    for _ in range(20):
        info = env.step(np.ones((1, 6), np.float32))[4]
        if "dr_failure" in info:
            return
    raise AssertionError("the kept Draw does not fail again")


def test_resume_goes_on(tmp_path: Path) -> None:
    run = _train(tmp_path / "run", steps=1024)
    before = _weights(run)
    PPOTrainer().resume(run, 3072, quiet=True)
    steps = [row["steps"] for row in Run(run).curve()]
    assert steps == sorted(set(steps))
    assert steps[-1] == 3072
    assert _weights(run) != before
    assert PPOTrainer().load(run).steps == 3072
    assert Run(run).config["ppo"]["total_steps"] == 3072  # to where the next resumption goes
    with pytest.raises(DREnvError, match="steps: got 512, expected at least the 3072"):
        PPOTrainer().resume(run, 512, quiet=True)


TRAIN = [
    "train",
    "inverted_pendulum",
    "--quiet",
    "--set",
    "num_envs=16",
    "--set",
    "n_steps=16",
    "--set",
    "batch_size=64",
]


def _start(run: Path, steps: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "dr_env.cli.main", *TRAIN, "--steps", str(steps), "--out", str(run)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def _wait_for_checkpoint(run: Path, process: subprocess.Popen[str]) -> None:
    for _ in range(3600):
        if (run / "config.json").exists() and Run(run).checkpoints():
            return
        assert process.poll() is None
        time.sleep(0.05)
    raise AssertionError("no checkpoint within three minutes")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_keeps_its_checkpoint_and_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    run = tmp_path / "run"
    process = _start(run, 30_000)
    _wait_for_checkpoint(run, process)
    os.kill(process.pid, number)
    _, stderr = process.communicate(timeout=60)
    if number is signal.SIGINT:
        assert process.returncode == 130
        assert f"--resume {run}" in stderr
    (run / "checkpoints" / ".000000999999.1").mkdir()  # as if killed while writing
    kept = PPOTrainer().load(run).steps
    assert 0 < kept < 30_000
    PPOTrainer().resume(run, kept + 512, quiet=True)
    assert PPOTrainer().load(run).steps >= kept + 512
    assert not list((run / "checkpoints").glob(".*"))


def test_damaged_and_foreign_folders_are_one_clear_error(tmp_path: Path) -> None:
    trainer = PPOTrainer()
    with pytest.raises(DREnvError, match=r"not a run, it has no config\.json"):
        trainer.load(tmp_path)
    run = _train(tmp_path / "run", steps=512)
    with pytest.raises(DREnvError, match="holds a run already; use --resume"):
        _train(run)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("precious")
    with pytest.raises(DREnvError, match="exists and is not a run"):
        _train(tmp_path / "other", overwrite=True)
    (tmp_path / "other" / "config.json").write_text('{"of": "something else"}')
    with pytest.raises(DREnvError, match="exists and is not a run"):
        _train(tmp_path / "other", overwrite=True)
    assert (tmp_path / "other" / "thesis.tex").exists()
    (tmp_path / "link").symlink_to(run)
    for changed in ({"tuner": "bayrn", "success_return": 5}, {"log_std_init": float("nan")}):
        with pytest.raises(DREnvError, match=r"expected one that learns from episodes|log_std_init: got nan"):
            _train(tmp_path / "link", overwrite=True, **changed)  # type: ignore[arg-type]
        assert trainer.load(run).steps == 512, "what cannot be trained replaces nothing"
    whole_config = (run / "config.json").read_text()
    (run / "config.json").write_text(whole_config.replace('"gamma": 0.99', '"gamma": 7'))
    with pytest.raises(DREnvError, match=r"config\.json ppo: gamma: got 7"):
        trainer.load(run)
    (run / "config.json").write_text(whole_config)
    latest = Run(run).latest()
    whole = (latest / "policy.safetensors").read_bytes()
    (latest / "policy.safetensors").write_bytes(whole[:100])
    with pytest.raises(DREnvError, match="damaged, or of another network"):
        trainer.load(run)
    (latest / "policy.safetensors").write_bytes(whole)
    normalizer = (latest / "normalizer.npz").read_bytes()
    (latest / "normalizer.npz").write_bytes(b"half")
    with pytest.raises(DREnvError, match=r"normalizer\.npz: damaged"):
        trainer.load(run)
    (latest / "normalizer.npz").write_bytes(normalizer[:300])
    with pytest.raises(DREnvError, match=r"normalizer\.npz: damaged"):
        trainer.load(run)
    np.savez(latest / "normalizer.npz", obs_mean=np.zeros(3))
    with pytest.raises(DREnvError, match=r"normalizer\.npz: damaged: obs_mean .* shape \(4,\)"):
        trainer.load(run)
    (latest / "normalizer.npz").write_bytes(normalizer)
    (latest / "state.json").write_text("{}")
    with pytest.raises(DREnvError, match=r"state\.json: damaged, it should hold the number of steps"):
        trainer.resume(run, None, quiet=True)
    for checkpoint in Run(run).checkpoints():
        (checkpoint / "state.json").unlink()  # a checkpoint without it is not whole
    with pytest.raises(DREnvError, match="no checkpoint yet"):
        trainer.load(run)
    for text, message in (("[1]", r"format: got 'list'"), ('{"format": "dr_env/run/1"}', "algorithm: missing; keys: ")):
        (run / "config.json").write_text(text)
        with pytest.raises(DREnvError, match=rf"config\.json {message}"):
            trainer.load(run)
    for damaged in (b"{", b"\xff\xfe"):
        (run / "config.json").write_bytes(damaged)
        with pytest.raises(DREnvError, match=r"config\.json: cannot read"):
            trainer.load(run)


def test_a_cut_off_curve_line_is_left_out(tmp_path: Path) -> None:
    run = Run(_train(tmp_path / "run", steps=512))
    with (run.folder / "progress.jsonl").open("a") as file:
        file.write('null\n{"other": 1}\n{"steps": 99')
    with (run.folder / "progress.jsonl").open("ab") as binary:
        binary.write(b"\xff\xfe")
    assert [row["steps"] for row in run.curve()] == [256, 512]


def test_shipped_configurations() -> None:
    for path in CONFIGS.glob("*.yaml"):
        config = PPOConfig.for_task(path.stem)
        assert (config.num_envs * config.n_steps) % config.batch_size == 0
    assert PPOConfig.for_task("a task without one") == PPOConfig.for_task("default")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_epoch": 3}, "unknown key 'n_epoch'; did you mean 'n_epochs'?"),
        ({"gamma": 1.5}, "settings gamma: got 1.5: input should be less than or equal to 1"),
        ({"schedule": "liner"}, "got 'liner', expected 'constant' or 'linear'; did you mean 'linear'?"),
        ({"batch_size": 10**9}, "batch_size: got 1000000000, expected at most n_steps * num_envs"),
    ],
)
def test_bad_settings(tmp_path: Path, settings: dict[str, object], message: str) -> None:
    with pytest.raises(DREnvError) as error:
        _train(tmp_path / "run", **settings)
    assert message in str(error.value)
    assert not (tmp_path / "run").exists()


def test_bad_configuration_file(tmp_path: Path) -> None:
    path = tmp_path / "ppo.yaml"
    path.write_text("gamma: 0.99\nlerning_rate: 1e-3\n")
    with pytest.raises(
        DREnvError, match=r"ppo\.yaml:2 lerning_rate: unknown key 'lerning_rate'; did you mean 'learning"
    ):
        PPOConfig.for_task("hopper", path)
