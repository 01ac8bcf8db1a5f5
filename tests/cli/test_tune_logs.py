"""`dr-env tune record | fit | score`: from a recording to a Spec that trains and predicts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import mujoco
import numpy as np
import pytest

import dr_env
from dr_env.cli.main import main

PRIOR = """
format: dr_env/1
entries:
  pole_mass:
    select: {body: pole}
    field: mass
    operation: scale
    distribution: {type: log_uniform, low: 0.4, high: 2.5}
  motor_strength:
    select: {actuator: slide}
    field: gain
    operation: scale
    distribution: {type: uniform, low: 0.5, high: 2.0}
  joint_damping:
    select: {joint: "*"}
    field: damping
    operation: scale
    distribution: {type: log_uniform, low: 0.2, high: 5.0}
    per: element
  noise:
    select: {observation: "qpos.*"}
    field: noise
    operation: set
    distribution: {type: uniform, low: 0.0, high: 0.01}
"""
TRUTH = {"pole_mass": 1.6, "motor_strength": 1.3, "joint_damping": 0.5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of a target within the prior."""
    path = tmp_path_factory.mktemp("logs")
    (path / "prior.yaml").write_text(PRIOR)
    entries = dr_env.Spec.from_yaml(PRIOR).entries
    target = {name: entries[name].model_copy(update={"distribution": dr_env.Distribution.from_dict({"type": "constant", "value": value})}) for name, value in TRUTH.items()}  # fmt: skip
    dr_env.Spec(entries=target).save(path / "target.yaml")
    run("record", "inverted_pendulum", "--out", path, "--target", path / "target.yaml", "--seconds", 3,
        "--noise", 0.001)  # fmt: skip
    return path


def run(*arguments: object) -> None:
    main(["tune", *map(str, arguments)])


def fitted(folder: Path, *more: object) -> None:
    run("fit", "--model", "inverted_pendulum", "--spec", folder / "prior.yaml", "--log", folder / "logs.yaml",
        "--window", "0.3", "--quiet", "--set", "screen=4", *more)  # fmt: skip


def test_a_fit_finds_the_target_and_its_spec_predicts_trains_and_says_where_it_is_from(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tuned.yaml"
    fitted(folder, "--out", out, "--report", tmp_path / "report", "--but", "[3]")
    said = capsys.readouterr().out
    assert "noise stays as it is: random from step to step" in said
    assert "commands seem to act" not in said, "they act at once"
    spec, steps = dr_env.Spec.load(out), round(3 / dr_env.make_task("inverted_pendulum").dt)
    assert spec.provenance is not None
    assert spec.provenance["method"] == "gauss_newton"
    assert spec.provenance["ledger"]["target_episodes"] == 3
    assert spec.provenance["ledger"]["target_steps"] == 3 * (steps - 1), "and what nobody recorded is none"
    assert spec.provenance["ledger"]["seconds"] > 0
    assert list(spec.entries) == ["pole_mass", "motor_strength", "joint_damping_slider", "joint_damping_hinge", "noise"]
    envs = dr_env.make_vector_env(task="inverted_pendulum", num_envs=256, randomization=spec)
    _, info = envs.reset(seed=0)
    for name in ("pole_mass", "motor_strength"):
        drawn = info["dr"][name]
        assert abs(np.mean(drawn) - TRUTH[name]) < max(3 * np.std(drawn), 0.05 * TRUTH[name])
        assert np.std(drawn) < 0.2
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count("data:image/png") == 2
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["tuned"]["rmse"]["hinge"] < 0.5 * report["prior"]["rmse"]["hinge"]
    assert report["tuned"]["log_likelihood"] > report["prior"]["log_likelihood"]

    # on the recording that the fit has not seen
    scores = {}
    for name, file in (("prior", folder / "prior.yaml"), ("tuned", out)):
        run("score", "--model", "inverted_pendulum", "--spec", file, "--log", folder / "logs.yaml", "--only", "[3]",
            "--window", "0.3", "--json", "--draws", "32")  # fmt: skip
        scores[name] = json.loads(capsys.readouterr().out)
    assert scores["tuned"]["rmse"]["slider"] < 0.5 * scores["prior"]["rmse"]["slider"]
    assert scores["tuned"]["spread"]["slider"] < scores["prior"]["spread"]["slider"]
    assert scores["tuned"]["coverage"]["hinge"]["90"] > 0.6


def test_fitting_again_goes_on_from_the_tuned_spec(folder: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    fitted(folder, "--out", first, "--only", "[0]", "--set", "spread=parameters")
    run("fit", "--model", "inverted_pendulum", "--spec", first, "--log", folder / "logs.yaml", "--window", "0.3",
        "--quiet", "--only", "[1]", "--out", second, "--set", "screen=0", "--set", "spread=parameters")  # fmt: skip
    before, after = (dr_env.Spec.load(path) for path in (first, second))
    assert list(before.entries) == list(after.entries)
    spread = [np.diag(np.array(s.variables["tuned"].distribution.to_dict()["covariance"])) for s in (before, after)]
    assert spread[1][1] < spread[0][1]


def test_a_single_value_is_fitted_again_and_a_latency_by_any_method(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prior = dr_env.Spec.load(folder / "target.yaml").to_dict()
    prior["entries"]["motor_strength"]["distribution"] = {"type": "log_uniform", "low": 0.5, "high": 2.0}
    dr_env.Spec.from_dict(prior).save(tmp_path / "one.yaml")
    fit = ("fit", "--model", "inverted_pendulum", "--log", folder / "logs.yaml", "--window", "0.3", "--quiet", "--only", "[0]")  # fmt: skip
    run(*fit, "--spec", tmp_path / "one.yaml", "--out", tmp_path / "first.yaml")
    run(*fit, "--spec", tmp_path / "first.yaml", "--out", tmp_path / "second.yaml")
    drawn = dr_env.make_vector_env(
        task="inverted_pendulum", num_envs=64, randomization=dr_env.Spec.load(tmp_path / "second.yaml")
    ).reset(seed=0)[1]["dr"]["motor_strength"]
    assert np.median(drawn) == pytest.approx(TRUTH["motor_strength"], rel=0.05)
    run(*fit, "--spec", tmp_path / "one.yaml", "--method", "point", "--latency", "0.05",
        "--out", tmp_path / "point.yaml", "--report", tmp_path / "report")  # fmt: skip
    assert re.search(r"note: actuators act \d\.\d ms later", capsys.readouterr().out)
    assert (tmp_path / "report" / "report.html").exists()


def test_a_delay_that_the_spec_lacks_is_fitted_where_it_is_asked_for(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    late = dr_env.Spec.load(folder / "target.yaml").to_dict()
    late["entries"]["delay"] = {"select": {"actuator": "*"}, "field": "delay", "operation": "set",
                                "distribution": {"type": "constant", "value": 0.04}}  # fmt: skip
    dr_env.Spec.from_dict(late).save(tmp_path / "late.yaml")
    (tmp_path / "prior.yaml").write_text(PRIOR)
    run("record", "inverted_pendulum", "--out", tmp_path, "--target", tmp_path / "late.yaml", "--seconds", 3,
        "--noise", 0.001)  # fmt: skip
    fit = ("fit", "--model", "inverted_pendulum", "--spec", tmp_path / "prior.yaml", "--log", tmp_path / "logs.yaml",
           "--window", "0.3", "--out", tmp_path / "tuned.yaml")  # fmt: skip
    run(*fit, "--set", "screen=0")
    advice = re.search(r"commands seem to act (\d+) ms late.*: --latency (\S+) fits", capsys.readouterr().out)
    assert advice is not None
    assert float(advice[1]) == pytest.approx(40, abs=5)
    run(*fit, "--method", "credible", "--latency", advice[2])
    said = re.search(r"note: actuators act (\d+\.\d) ms later", capsys.readouterr().out)
    assert said is not None
    assert float(said[1]) == pytest.approx(40, abs=2)
    drawn = dr_env.make_vector_env(
        task="inverted_pendulum", num_envs=64, randomization=dr_env.Spec.load(tmp_path / "tuned.yaml")
    ).reset(seed=0)[1]["dr"]["latency"]
    assert np.mean(drawn) == pytest.approx(0.04, abs=0.005)


def test_a_spread_grows_by_policies_that_are_trained_once(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    specs, times = [], []
    for name in ("first", "again"):
        out = tmp_path / f"{name}.yaml"
        run("fit", "--model", "inverted_pendulum", "--spec", folder / "prior.yaml", "--log", folder / "logs.yaml",
            "--window", "0.3", "--quiet", "--method", "grown", "--steps", 4096, "--out", tmp_path / "tuned.yaml")  # fmt: skip
        (tmp_path / "tuned.yaml").rename(out)
        specs.append(dr_env.Spec.load(out))
        times.append([path.stat().st_mtime_ns for path in sorted(tmp_path.glob("tuned.policies/*/*/checkpoints/*"))])
    assert specs[0] == specs[1]
    assert times[0] == times[1] and times[0], "what was trained before is not trained again"
    provenance = specs[0].provenance
    assert provenance is not None
    policies = len(list(tmp_path.glob("tuned.policies/*/*")))
    assert provenance["ledger"]["policies"] == policies
    assert provenance["method"] == "grown"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--window", "99"), "expected at least a window of 99 s"),
        (("--window", "soon"), "--window: got 'soon', expected seconds above 0, or whole"),
        (("--but", "[9]"), "no recording's name has '[9]' in it: recording.npz[0]"),
        (("--folds", "9"), "--folds: got 9, expected 2 to 4"),
        (("--set", "screens=3"), "gauss_newton: no option 'screens'; did you mean 'screen'?"),
        (("--set", "screen"), "--set: got 'screen', expected key=value"),
        (("--method", "gauss"), "no method 'gauss'; did you mean 'gauss_newton'?"),
        (("--latency", "-0.01"), "--latency: got -0.01, expected seconds, 0 to 1"),
        (("--latency", "50"), "--latency: got 50, expected seconds, 0 to 1"),
        (("--method", "cem"), "--method: cem takes no recordings"),
        (("--steps", "9"), "--steps: got 9, but gauss_newton trains no policies"),
        (("--method", "grown", "--model", "pole.xml"), "grown trains policies; no task 'pole.xml'"),
        (("--method", "grown", "--steps", "0"), "--steps: got 0, expected at least 1"),
        (("--model", "hopper"), "columns.qpos[slider]: no joint 'slider'"),
    ],
)
def test_bad_input_is_one_clear_error(
    folder: Path, tmp_path: Path, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        fitted(folder, "--out", tmp_path / "tuned.yaml", *arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "tuned.yaml").exists()


def test_windows_of_few_timesteps_are_told_so(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "none.yaml").write_text("format: dr_env/1\n")
    mjspec = dr_env.make_task("inverted_pendulum").mjspec()
    mjspec.option.integrator = mujoco.mjtIntegrator.mjINT_EULER
    (tmp_path / "euler.xml").write_text(mjspec.to_xml())
    text = "a window has 5 timesteps of the model, in which its integrator moves things 20 % farther under a force"
    for model, window, told in (
        (tmp_path / "euler.xml", "0.1", True),
        (tmp_path / "euler.xml", "0.5", False),
        ("inverted_pendulum", "0.1", False),  # by Runge and Kutta
    ):
        run("score", "--model", model, "--spec", tmp_path / "none.yaml", "--log", folder / "logs.yaml",
            "--window", window)  # fmt: skip
        assert (text in capsys.readouterr().err) == told
    falling = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><body><freejoint/><geom size='.1'/></body></worldbody></mujoco>"
    )
    data = mujoco.MjData(falling)
    mujoco.mj_step(falling, data, 5)
    assert data.qpos[2] == pytest.approx(-0.5 * 9.81 * data.time**2 * 1.2)


def test_a_folder_is_no_place_for_a_spec(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        fitted(folder, "--out", tmp_path)
    assert f"{tmp_path}: is a folder, expected a file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--seed", -1), "--seed: got -1, expected a whole number, 0 to 2**64 - 1"),
        (("--seconds", "inf"), "--seconds: got inf, expected a number, at least 0.1"),
    ],
)
def test_recordings_that_cannot_be(
    tmp_path: Path, arguments: tuple[object, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run("record", "inverted_pendulum", "--out", tmp_path / "out", *arguments)
    assert message in capsys.readouterr().err


def test_a_model_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (("tune", "record", "robbot.xml", "--out", str(tmp_path / "out")), ("train", "robbot.xml")):
        with pytest.raises(SystemExit):
            main(list(command))
        assert "robbot.xml: no such file" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_parts_of_a_recording_are_left_out_together() -> None:
    from dr_env.cli.tune_fit import _folds
    from dr_env.tuning import Log

    def log(name: str) -> Log:
        return Log(name, np.arange(3.0), np.zeros((3, 1)), np.zeros((3, 1)), np.zeros((3, 0)))

    logs = tuple(map(log, ("a.csv part 1", "a.csv part 2", "b.csv", "c.csv part 1", "c.csv part 2")))
    for fitted, scored in _folds(logs, 3):
        assert {one.name[0] for one in fitted} & {one.name[0] for one in scored} == set()
    with pytest.raises(dr_env.DREnvError, match="expected 2 to 3, the number of recordings"):
        _folds(logs, 4)
    assert [len(scored) for _, scored in _folds(logs[:2], 2)] == [1, 1]  # of a single one its parts
