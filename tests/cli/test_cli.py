from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dr_env import make_task
from dr_env.cli import main as commands
from dr_env.cli.main import LISTS, joined, main

SMALL = ["--quiet", "--set", "num_envs=16", "--set", "n_steps=16", "--set", "batch_size=64"]


def _fails(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 2) -> str:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == status
    return capsys.readouterr().err


def test_tasks_with_a_goal_report_successes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, report = str(tmp_path / "reach"), tmp_path / "report"
    main(["train", "reach", "--steps", "1000", "--out", run, *SMALL])
    other = tmp_path / "frames" / "index.html"
    other.parent.mkdir()
    other.write_text("<html><title>64 frames &amp; labels</title></html>")
    main(["evaluate", run, "--episodes", "4", "--no-video", "--quiet", "--out", str(report), "--link", str(other)])
    assert re.search(r"\d+% \[\d+%, \d+%\]", capsys.readouterr().out)
    page = (report / "report.html").read_text()
    assert "% succeed" in page
    assert '<a href="../frames/index.html">64 frames &amp; labels</a>' in page
    (arm,) = json.loads((report / "report.json").read_text())["arms"]
    for world in arm["worlds"].values():
        assert 0 <= world["success"]["low"] <= world["success"]["value"] <= world["success"]["high"] <= 1


def test_train_evaluate_and_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, randomization in (("plain", "none"), ("varied", "default")):
        main(
            [
                "train",
                "inverted_pendulum",
                "--randomization",
                randomization,
                "--steps",
                "5000",
                "--out",
                str(tmp_path / name),
                *SMALL,
            ]
        )
    main(
        [
            "evaluate",
            str(tmp_path / "plain"),
            str(tmp_path / "varied"),
            "--episodes",
            "16",
            "--quiet",
            "--out",
            str(tmp_path / "report"),
        ]
    )
    printed = capsys.readouterr().out
    assert "randomized" in printed
    assert re.search(r"\d+ \[\d+, \d+\]", printed), "the table shows intervals"
    assert f"report: {tmp_path / 'report' / 'report.html'}" in printed.replace("\n", "")
    page = (tmp_path / "report" / "report.html").read_text()
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert [arm["name"] for arm in report["arms"]] == ["plain", "randomized"]
    for arm in report["arms"]:
        for world in ("nominal", "randomized", "target"):
            found = arm["worlds"][world]
            assert len(found["returns"][0]) == (32 if world == "randomized" else 16)
            assert found["return"]["low"] <= found["return"]["value"] <= found["return"]["high"]
    assert report["verdict"] in page.replace("&#39;", "'")
    assert "motor_delay" in page
    assert "not modelled" in page
    assert 3 <= page.count("data:image/png;base64,") <= 6  # learning, returns, coverage, and what there is of effects
    assert set(report["sensitivity"]) == {"plain", "randomized"}
    assert report["coverage"][0]["entry"] == "pole_mass"
    assert all(found["acceptance_rate"] == 1 for found in report["coverage"])
    for arm in ("plain", "randomized"):
        lines = report["sensitivity"][arm]["harms"] or ["no range surely hurts"]
        assert all(line.split(";")[0] in " ".join(printed.split()) for line in lines)
    assert not re.search(r'(src|href)="(?!data:)', page), "the report is one file"
    assert "data:video/mp4;base64," in page or "No video:" in page


def test_equal_episodes_for_equal_policies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["train", "inverted_pendulum", "--steps", "2000", "--out", str(tmp_path / "run"), *SMALL])
    reports = []
    for threads in ("1", "2"):
        out = tmp_path / threads
        main(
            [
                "evaluate",
                str(tmp_path / "run"),
                "--episodes",
                "8",
                "--quiet",
                "--no-video",
                "--threads",
                threads,
                "--out",
                str(out),
            ]
        )
        reports.append((out / "report.json").read_text())
    assert reports[0] == reports[1]
    assert "No video" not in capsys.readouterr().out


def test_spec_check_composes_a_scene(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    form = {
        "format": "dr_env/1",
        "scene": {
            "objects": {"part": {"mesh": "part.ply", "units": "m"}, "cube": {"shape": "cube", "size": 0.05}},
            "areas": {"table": {"low": [-0.2, -0.2], "high": [0.2, 0.2], "count": 1, "classes": {"cube": 1}}},
        },
    }
    path = tmp_path / "scene.yaml"
    path.write_text(yaml.safe_dump(form))
    assert "part.ply: no such file" in _fails(capsys, "spec", "check", str(path), "--model", "tabletop")
    form["scene"]["objects"]["part"] = {"shape": "sphere", "size": 0.6}  # type: ignore[index]
    form["scene"]["areas"]["table"]["classes"] = {"part": 1}  # type: ignore[index]
    path.write_text(yaml.safe_dump(form))
    assert "no place for part" in _fails(capsys, "spec", "check", str(path), "--model", "tabletop")


def test_spec_check_and_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "spec.yaml"
    text = "format: dr_env/1\nentries:\n  m:\n    select: {body: torso}\n    field: mass\n    operation: scale\n"
    path.write_text(text + "    distribution: {type: uniform, low: 0.5, high: 2}\n")
    main(["spec", "check", str(path), "--model", "hopper"])
    assert "1 entries, fits hopper" in capsys.readouterr().out
    error = _fails(capsys, "spec", "check", str(path), "--model", "inverted_pendulum")
    assert "spec.yaml:4 entries.m.select: no body matches 'torso'" in error
    assert "bodies: cart, pole, world" in error
    model = tmp_path / "model.xml"
    model.write_text('<mujoco><worldbody><body name="torso"><geom size="1"/></body></worldbody></mujoco>')
    main(["spec", "check", str(path), "--model", str(model)])
    model.write_text("<mujoco><worldbody>")
    assert "MuJoCo cannot read it" in _fails(capsys, "spec", "check", str(path), "--model", str(model))
    main(["spec", "schema"])
    assert json.loads(capsys.readouterr().out)["title"] == "dr_env randomization"
    main(["spec", "schema", "--out", str(tmp_path / "schema.json")])
    assert json.loads((tmp_path / "schema.json").read_text())["properties"]["entries"]


def test_inspect_lists_centres_of_mass_that_an_environment_compiles_in(capsys: pytest.CaptureFixture[str]) -> None:
    assert make_task("cube_toss").mjspec().compile().body_simple[1]
    main(["inspect", "cube_toss"])
    assert "body com[0..2]" in capsys.readouterr().out


def test_inspect_of_a_model_without_bodies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "floor.xml").write_text("<mujoco><worldbody><geom size='1'/></worldbody></mujoco>")
    main(["inspect", str(tmp_path / "floor.xml")])
    assert "geom friction" in capsys.readouterr().out


def test_inspect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "start.yaml"
    main(["inspect", "hopper", "--write-spec", str(out)])
    printed = capsys.readouterr().out
    assert "friction[0..2]" in printed
    assert "thigh_joint" in printed
    main(["spec", "check", str(out), "--model", "hopper"])
    assert "exists; choose another file or --overwrite" in _fails(capsys, "inspect", "hopper", "--write-spec", str(out))
    assert "cannot read it" in _fails(capsys, "inspect", "nowhere.xml")
    assert "did you mean 'hopper'" in _fails(capsys, "inspect", "hoper")


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor"])
    printed = capsys.readouterr().out
    for word in ("mujoco", "threads", "OpenGL", "half_cheetah"):
        assert word in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "hoper"], "no task 'hoper'; did you mean 'hopper'?"),
        (["train"], "expected a task"),
        (["train", "hopper", "--steps", "0"], "--steps: got 0, expected at least 1"),
        (["train", "hopper", "--set", "n_epochs"], "--set: got 'n_epochs', expected KEY=VALUE"),
        (["train", "hopper", "--algorithm", "pppo"], "no algorithm 'pppo'; did you mean 'ppo'?"),
        (["train", "hopper", "--randomization", "nowhere.yaml"], "nowhere.yaml: no such file"),
        (["train", "hopper", "--resume", "nowhere"], "--resume: goes on as the run began"),
        (["train", "--resume", "nowhere"], "nowhere: not a run"),
        (["evaluate", "nowhere"], "nowhere: not a run"),
        (["evaluate", "nowhere", "--seed", "-1"], "--seed: got -1, expected a whole number, 0 to 2**64 - 1"),
        (["spec", "check", "nowhere.yaml", "--seed", str(2**64)], "--seed: got 18446744073709551616"),
        (["tune", "record", "hopper", "--out", "x", "--noise", "inf"], "--noise: got inf, expected a number"),
        (["tune", "record", "hopper", "--out", "x", "--seed", str(2**64)], "--seed: got 18446744073709551616"),
        (
            ["tune", "score", "--model", "hopper", "--spec", "x", "--log", "x", "--seed", str(2**64)],
            "--seed: got 18446744073709551616",
        ),
        (
            ["tune", "score", "--model", "hopper", "--spec", "x", "--log", "x", "--report", "/dev/null"],
            "/dev/null: cannot write here",
        ),
        (["spec", "check", "nowhere.yaml"], "nowhere.yaml: no such file"),
        (["preview", "--task", "tabletop", "--samples", "0"], "--samples: got 0, expected at least 1"),
        (["preview", "--task", "tabletop", "--out", "sheet.bmp"], "sheet.bmp: got .bmp, expected .png, .jpg or .html"),
        (["validate", ".", "--limit", "-1"], "--limit: got -1, expected 0 or more"),
        (["bench", "vectr"], "no benchmark 'vectr'; did you mean 'vector'?"),
        (["bench", "vector", "--task", "walker"], "no task 'walker'; did you mean 'walker2d'?"),
    ],
)
def test_bad_arguments_are_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    error = _fails(capsys, *arguments)
    assert message in error
    assert error.startswith("error: ")
    assert "Traceback" not in error


def test_an_unwritable_run_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    error = _fails(capsys, "train", "inverted_pendulum", "--out", str(tmp_path / "file" / "run"), *SMALL)
    assert "cannot write here" in error
    main(["train", "inverted_pendulum", "--steps", "300", "--out", str(tmp_path / "run"), *SMALL])
    error = _fails(capsys, "evaluate", str(tmp_path / "run"), "--out", str(tmp_path / "file" / "report"))
    assert "report: cannot write here" in error


def test_output_that_cannot_be_written_is_one_line() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with Path("/dev/full").open("w") as full:
        code = "from dr_env.cli.main import main; main(['spec', 'schema'])"
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "error: standard output cannot be written: No space left on device\n"


def test_lists_that_are_given_in_parts_are_one() -> None:
    words = [
        "vision",
        "train",
        "--data",
        "a",
        "b",
        "--out",
        "x",
        "--data=c",
        "--box",
        "m:-1,2,3,4",
        "--box",
        "m:5,6,7,8",
    ]
    whole = ["vision", "train", "--data", "a", "b", "c", "--out", "x", "--box", "m:-1,2,3,4", "m:5,6,7,8"]
    assert joined(words) == joined(whole) == whole
    assert joined(["train", "--set", "a=1", "--set", "b=2", "--steps", "1", "--steps", "2"])[-8:] == [
        "--set", "a=1", "--set", "b=2", "--steps", "1", "--steps", "2",
    ]  # fmt: skip


def test_every_option_that_takes_several_values_is_known_as_one() -> None:
    found: set[str] = set()
    for path in Path(commands.__file__).parent.glob("*.py"):
        lines = re.findall(r"(?m)^    (\w+): ((?:Annotated\[)?tuple\[.*) = .*,$", path.read_text())
        found |= {f"--{name}" for name, form in lines if "UseAppendAction" not in form}
    assert found == LISTS


@pytest.mark.parametrize(
    "more", [["--randomization", "none"], ["--seed", "7"], ["--out", "there"], ["--threads", "1"], ["--overwrite"]]
)
def test_a_resumed_run_takes_nothing_that_it_would_not_heed(
    more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--resume: goes on as the run began" in _fails(capsys, "train", "--resume", "nowhere", *more)
