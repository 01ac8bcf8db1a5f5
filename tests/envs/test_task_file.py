"""Tasks of a Python file: found in it, trained, judged, and never run because a run or a study names them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import dr_env
from dr_env.cli.main import main
from dr_env.envs import registration
from policies.checkpoint import Run
from policies.ppo import PPOTrainer

MODEL = """
<mujoco><worldbody><body name="cart"><joint name="slide" type="slide" axis="1 0 0" damping="1"/>
<geom size="0.1" mass="1"/></body></worldbody>
<actuator><motor name="push" joint="slide" ctrlrange="-1 1"/></actuator></mujoco>
"""
FILE = """
from pathlib import Path
import numpy as np
import dr_env
from rewards_beside import near

task = dr_env.make_task(Path(__file__).with_name("cart.xml"), reward=lambda before, action, after: near(after),
                        reset_noise=0.5, max_episode_steps=20)
"""
BESIDE = "import numpy as np\n\ndef near(data):\n    return np.exp(-np.abs(data['qpos'][:, 0]))\n"
SPEC = """
format: dr_env/1
entries:
  mass: {select: {body: cart}, field: mass, operation: scale, distribution: {type: uniform, low: 0.5, high: 2.0}}
"""
CLASSES = """
import dr_env
from tasks.pendulum.task import Pendulum

class Short(Pendulum):
    name = "short"
    max_episode_steps = 7

class Long(Pendulum):
    name = "long"
"""
SMALL = ["--quiet", "--set", "num_envs=16", "--set", "n_steps=16", "--set", "batch_size=64", "--set", "n_epochs=1"]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A task of a file, in a process that has run none."""
    monkeypatch.setattr(registration, "_FROM_FILES", {})
    for name, text in (("cart.xml", MODEL), ("cart.py", FILE), ("rewards_beside.py", BESIDE),
                       ("randomization.yaml", SPEC), ("target.yaml", SPEC)):  # fmt: skip
        (tmp_path / name).write_text(text)
    return tmp_path / "cart.py"


def _fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as stop:
        main([str(one) for one in arguments])
    assert stop.value.code == 2
    return " ".join(capsys.readouterr().err.split())


def _forget() -> None:
    registration._FROM_FILES.clear()  # as in a new process


def test_it_is_a_task_and_from_then_on_has_a_name(file: Path) -> None:
    task = dr_env.make_task(file)
    assert task.name == "cart"
    assert task.file("randomization.yaml") == file.with_name("randomization.yaml")
    assert dr_env.make_task("cart") is dr_env.known_task("cart", "a run") is task
    assert dr_env.task_name(str(file)) == "cart" and "cart" not in dr_env.task_names()
    envs = dr_env.VectorEnv(task, 4, "default")
    envs.reset(seed=0)
    assert (envs.step(np.zeros((4, 1), np.float32))[1] > 0).all()
    with pytest.raises(dr_env.DREnvError, match="takes no arguments; got height"):
        dr_env.make_task(file, height=1.0)


def test_of_several_one_is_said(file: Path) -> None:
    file.write_text(CLASSES)
    with pytest.raises(dr_env.DREnvError, match=rf"several tasks; say which: {file}:Short, {file}:Long"):
        dr_env.make_task(file)
    assert dr_env.make_task(f"{file}:Short").max_episode_steps == 7
    with pytest.raises(dr_env.DREnvError, match="no task 'Shrt'; did you mean 'Short'"):
        dr_env.make_task(f"{file}:Shrt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import numpy\n\nnumpy.nothing\n", r"cart.py:3: AttributeError: module 'numpy' has no attribute 'nothing'"),
        ("a = 1\nb = = 2\n", r"cart.py:2: SyntaxError"),
        ("import dr_env\n", "cart.py: no task; expected a subclass of dr_env.Task"),
        (CLASSES.split("class Long")[0].replace('"short"', '"hopper"'), "called 'hopper', as an installed one is"),
        ("import dr_env\nclass Part(dr_env.Task):\n    name = 'part'\n", "no task; expected a subclass"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(file: Path, text: str, message: str) -> None:
    file.write_text(text)
    with pytest.raises(dr_env.DREnvError, match=message):
        dr_env.make_task(file)


def test_files_that_are_not_there_and_names_that_are_taken(file: Path, tmp_path: Path) -> None:
    with pytest.raises(dr_env.DREnvError, match=r"nowhere\.py: no such file"):
        dr_env.make_task(tmp_path / "nowhere.py")
    dr_env.make_task(file)
    (tmp_path / "other.py").write_text(FILE)
    with pytest.raises(dr_env.DREnvError, match=r"called 'cart', as that of .*cart\.py is"):
        dr_env.make_task(tmp_path / "other.py")


def test_it_is_trained_gone_on_with_and_judged(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    main(["train", str(file), "--steps", "512", "--out", str(run), *SMALL])
    assert f"dr-env evaluate {run} --task {file}" in capsys.readouterr().out
    assert Run(run).config["task"] == "cart"
    _forget()
    # the run holds no code and names none, so who goes on with it says where it is
    for command, hint in (["evaluate", run], "--task FILE"), (["train", "--resume", run], "train FILE --resume RUN"):
        assert "no task 'cart'" in (said := _fails(capsys, *command)) and hint in said
    main(["train", str(file), "--resume", str(run), "--steps", "1024", "--quiet"])
    _forget()
    main(["evaluate", str(run), "--task", str(file), "--episodes", "4", "--no-video", "--quiet"])
    assert json.loads((tmp_path / "report" / "report.json").read_text())["task"] == "cart"
    file.with_name("target.yaml").unlink()
    assert "say with --target which world to judge in" in _fails(capsys, "evaluate", run, "--task", file)


def test_with_nothing_beside_it_it_is_judged_under_what_its_runs_share(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prior, plain, varied = tmp_path / "prior.yaml", tmp_path / "plain", tmp_path / "varied"
    file.with_name("randomization.yaml").rename(prior)
    file.with_name("target.yaml").unlink()
    for world, run in (("none", plain), (prior, varied)):
        main(["train", str(file), "--randomization", str(world), "--steps", "256", "--out", str(run), *SMALL])
        assert f"dr-env evaluate {run} --task {file} --target TARGET.yaml" in capsys.readouterr().out
    main(["evaluate", str(plain), str(varied), "--task", str(file), "--target", str(prior), "--episodes", "4",
          "--no-video", "--quiet"])  # fmt: skip
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert [arm["name"] for arm in report["arms"]] == ["plain", "randomized"]
    (varied / "randomization.yaml").write_text(SPEC.replace("2.0", "3.0"))
    shutil.copytree(varied, tmp_path / "other")
    (tmp_path / "other" / "randomization.yaml").write_text(SPEC)
    assert "under 2 Specs; say with --randomization" in _fails(
        capsys, "evaluate", varied, tmp_path / "other", "--task", file, "--target", prior
    )


def test_what_a_run_names_is_never_run(file: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    main(["train", str(file), "--steps", "256", "--out", str(run), *SMALL])
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n" + FILE)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "task": str(tmp_path / "evil.py")}))
    for attempt in (lambda: PPOTrainer().load(run), lambda: PPOTrainer().resume(run, 512, True)):
        with pytest.raises(dr_env.DREnvError, match=r"config\.json: no task"):
            attempt()
    assert not (tmp_path / "ran").exists()


def test_other_commands_take_it(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["inspect", str(file), "--write-spec", str(tmp_path / "proposed.yaml")])
    assert "body_mass" in dr_env.Spec.load(tmp_path / "proposed.yaml").entries
    main(["spec", "check", str(file.with_name("randomization.yaml")), "--model", str(file)])
    main(["tune", "record", str(file), "--out", str(tmp_path / "logs"), "--seconds", "2", "--episodes", "2"])
    main(["tune", "fit", "--model", str(file), "--spec", str(file.with_name("randomization.yaml")), "--log",
          str(tmp_path / "logs" / "logs.yaml"), "--out", str(tmp_path / "tuned.yaml"), "--quiet"])  # fmt: skip
    capsys.readouterr()
    file.with_name("randomization.yaml").unlink()
    for command in ("export", "--frames", 2, "--out", tmp_path / "data"), ("preview",):
        assert f"such as {file.with_suffix('.xml')}; pictures are of" in _fails(capsys, *command, "--task", file)
    assert not (tmp_path / "data").exists()


def test_a_study_by_hand_and_a_search_of_it(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study, search = tmp_path / "study", tmp_path / "search"
    train = ["--method", "random", "--steps", "256", *SMALL]
    main(["tune", "ask", str(study), "--task", str(file), *train])
    (tmp_path / "log.csv").write_text("reward\n1\n2\n")
    _forget()
    told = ["tune", "tell", study, "--trial", 0, "--log", tmp_path / "log.csv"]
    assert "--task FILE" in _fails(capsys, *told)
    main([str(one) for one in (*told, "--task", file)])
    _forget()
    assert "--task FILE" in _fails(capsys, "tune", "ask", study)
    _forget()
    main(["tune", "ask", str(study), "--task", str(file), "--quiet"])  # the file alone: it goes on as it was begun
    assert re.search(r"trial 1\b", capsys.readouterr().out)
    begun = ["tune", "search", "--out", str(search), "--task", str(file), "--episodes", "2"]
    main([*begun, "--budget", "1", *train])
    _forget()
    main(["tune", "search", "--out", str(search), "--task", str(file), "--budget", "3", "--workers", "2", "--quiet"])
    assert len(list((search / "trials").iterdir())) == 3
