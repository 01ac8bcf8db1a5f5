"""The comparison: cells that resume, hidden targets that stay hidden, tables that are right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dr_env.cli.main import main
from dr_env.comparison import transfer as transfer_module
from dr_env.comparison.cells import Cell, cells, store
from dr_env.comparison.priors import prior_of
from dr_env.comparison.recovery import recover
from dr_env.comparison.summary import markdown, mean_of, recovered, transferred
from dr_env.comparison.targets import hidden, record, truth_of
from dr_env.comparison.transfer import transfer
from dr_env.errors import DREnvError
from dr_env.spec import Spec


def test_cells_differ_in_name_and_come_seed_by_seed() -> None:
    for tier in (0, 1, 2):
        found = cells(tier)
        assert len({cell.name for cell in found}) == len(found)
        assert [cell.seed for cell in found] == sorted(cell.seed for cell in found)
    quick, full = (cells(0, full, 1, ["dropo"]) for full in (False, True))
    assert not {c.name for c in quick} & {c.name for c in full}, "other settings are other cells"
    assert {c.size for c in full} == {10, 100, 1000}


@pytest.mark.parametrize("runs", [5, 10, 40])
def test_intervals_of_means_hold_the_truth_as_often_as_they_say(runs: int) -> None:
    inside = []
    for values in np.random.default_rng(0).normal(size=(400, runs)):
        found = mean_of(values)
        inside.append(found.low <= 0 <= found.high)
    assert 0.91 <= np.mean(inside) <= 0.98


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"methods": ["dropp"]}, "no method 'dropp'; did you mean 'dropo'"),
        ({"tasks": ["hoper"]}, "no task 'hoper'; did you mean 'hopper'"),
        ({"sizes": [1]}, "sizes: got 1"),
    ],
)
def test_unknown_parts_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DREnvError, match=message):
        cells(0, **arguments)


def test_targets_are_keyed_and_inside_the_prior() -> None:
    prior = prior_of("hopper", 0)
    first, again, other = (hidden("hopper", prior, number, False) for number in (3, 3, 4))
    assert first == again
    assert first != other
    names = tuple(prior.entries)
    low, high = np.array([entry.distribution.support() for entry in prior.entries.values()]).T
    assert ((truth_of(first, names) - low) / (high - low) >= 0.1 - 1e-9).all()
    late = hidden("hopper", prior, 3, True)
    assert set(late.entries) - set(prior.entries) == {"hidden_delay"}
    assert (truth_of(late, names) == truth_of(first, names)).all()


def test_recordings_are_exact_where_the_model_is() -> None:
    """The recorded target, simulated with its own values, is recorded again to the last digit but for noise."""
    from dr_env.comparison.recovery import replay
    from dr_env.tuning import TargetTransitions

    prior = prior_of("hopper", 0)
    target = hidden("hopper", prior, 1, False)
    clean, noisy = (record("hopper", target, 60, 5, n) for n in (False, True))
    assert [len(log.time) - 2 for log in clean] == [50, 10]
    simulator = replay("hopper", prior, TargetTransitions(clean, 0.008))
    errors = simulator.predictions(truth_of(target, simulator.names)[None])
    assert errors.shape == (1, 60, 12)
    assert np.abs(errors).max() < 1e-9
    gap = np.concatenate([n.qpos - c.qpos for n, c in zip(noisy, clean, strict=True)])
    assert np.nanstd(gap) == pytest.approx(0.002, rel=0.2)


def test_a_cell_of_tier_0_recovers_a_target() -> None:
    (cell,) = (
        c for c in cells(0, seeds=1, methods=["credible"], tasks=["half_cheetah"], sizes=[12]) if c.condition == "clean"
    )
    result = recover(cell)
    assert result["error"] < 0.02
    assert result["ledger"]["target_steps"] == 12
    assert 12 * 20 < result["ledger"]["sim_steps"] < 12 * 400
    for low, high in (("low90", "low50"), ("low50", "median"), ("median", "high50"), ("high50", "high90")):
        assert (np.array(result[low]) <= np.array(result[high])).all()
    json.dumps(result, allow_nan=False)


def fake(cell: Any, value: float, **other: Any) -> dict[str, Any]:
    """A result as a file holds it."""
    ledger = {"target_episodes": 5, "sim_steps": 1000, "policies": 1, "target_steps": 10, "seconds": 1.0}
    return {"cell": cell.__dict__ | {"options": {}}, "returns": [value, value], "ledger": ledger, **other}


def test_methods_with_the_papers_settings_have_a_row_of_their_own() -> None:
    labels = {cell.method for cell in cells(0, full=True, seeds=1, methods=["dropo", "credible"])}
    assert labels == {"dropo_full", "credible"}


def test_scores_are_normalised_by_target() -> None:
    found = []
    for cell in cells(1, seeds=2, tasks=["pendulum"], methods=["none", "oracle", "wide"]):
        base = 100.0 * cell.target
        found.append(fake(cell, base + {"none": 0.0, "oracle": 50.0, "wide": 25.0}[cell.method]))
    rows = {row.method: row for row in transferred(found)}
    scores = {method: row.score.value for method, row in rows.items() if row.score is not None}
    assert scores == pytest.approx({"none": 0, "oracle": 1, "wide": 0.5})
    assert rows["wide"].runs == 6
    assert "| wide | 0.50 [0.50, 0.50] |" in markdown(found)


def test_longer_trainings_have_a_table_of_their_own() -> None:
    found = []
    for steps, worth in ((1000, 10.0), (2000, 80.0)):
        for cell in cells(1, seeds=1, tasks=["pendulum"], methods=["none", "oracle", "wide"], steps=steps):
            found.append(fake(cell, 100 + {"none": 0.0, "oracle": 100.0, "wide": worth}[cell.method]))
    scores = {row.steps: row.score.value for row in transferred(found) if row.method == "wide" and row.score}
    assert scores == pytest.approx({1000: 0.1, 2000: 0.8})
    table = markdown(found)
    assert (
        "### Tier 1: pendulum, 1,000 steps a policy" in table and "### Tier 1: pendulum, 2,000 steps a policy" in table
    )


def test_targets_without_a_gap_have_no_score() -> None:
    found = []
    for cell in cells(1, seeds=2, tasks=["pendulum"], methods=["none", "oracle", "wide"]):
        gain = (40.0, 5.0, -40.0)[cell.target]
        found.append(fake(cell, 100 + {"none": 0.0, "oracle": gain, "wide": 20.0}[cell.method]))
    rows = {row.method: row for row in transferred(found)}
    assert rows["wide"].counted == (0,)
    assert rows["wide"].score is not None and rows["wide"].score.value == pytest.approx(0.5)
    assert rows["wide"].runs == 6
    assert "whose oracle gains a tenth or more: 0." in markdown(found)
    flat = [result for result in found if result["cell"]["target"] == 1]
    assert [row.score for row in transferred(flat)] == [None] * 3
    assert "so there are no scores" in (table := markdown(flat)) and "| wide | - |" in table


def test_coverage_counts_parameters_inside() -> None:
    ends = {"low50": [0.4, 0.4], "high50": [0.6, 0.6], "low90": [0.1, 0.3], "high90": [0.9, 0.9], "median": [0.5, 0.5]}
    cell = cells(0, seeds=1, methods=["dropo"])[0]
    result = fake(cell, 0.0, truth=[0.5, 0.2], error=0.1, log_density=1.0, **ends)
    (row,) = recovered([result])
    assert (row.inside50.value, row.inside90.value) == (0.5, 0.5)


def test_the_command_resumes_and_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["tune", "compare", "--tier", "0", "--out", str(tmp_path), "--seeds", "1", "--sizes", "8", "--methods",
                 "credible", "--tasks", "hopper"]  # fmt: skip
    wanted = cells(0, seeds=1, sizes=[8], methods=["credible"], tasks=["hopper"])
    # one is there already, and must not run again
    ready = {**recover(wanted[0]), "error": 0.123456}
    store(tmp_path).write(wanted[0].name, wanted[0], ready)
    with store(tmp_path).claimed(wanted[1].name):  # and another process is at one
        main(arguments)
    assert "1 of the cells are being run by another process" in capsys.readouterr().err
    assert {form["cell"]["condition"] for form in store(tmp_path).read()} == {wanted[0].condition, wanted[2].condition}
    main(arguments)
    assert len(store(tmp_path).read()) == len(wanted) == 3
    assert json.loads(store(tmp_path).path(wanted[0].name).read_text())["error"] == 0.123456
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png;base64") == 3 + 2 * 3
    assert "http" not in page.replace("http://www.w3.org", "")
    table = (tmp_path / "table.md").read_text()
    assert "| clean | 8 | credible |" in table
    assert table in capsys.readouterr().out
    (tmp_path / "cells" / "broken.json").write_text("{")
    with pytest.raises(SystemExit):
        main([*arguments, "--report-only"])
    assert "broken.json: cannot read it as JSON" in capsys.readouterr().err


def test_a_cell_is_claimed_by_one_at_a_time(tmp_path: Path) -> None:
    results, cell = store(tmp_path), cells(0, seeds=1)[0]
    for _ in range(2):  # the second time after the first gave up
        with (
            results.claimed(cell.name) as first,
            results.claimed(cell.name) as second,
            results.claimed("other") as other,
        ):
            assert (first, second, other) == (True, False, True)
    results.write(cell.name, cell, {})
    with results.claimed(cell.name) as again:
        assert not again
    assert [path.name for path in (tmp_path / "cells").iterdir()] == [f"{cell.name}.json"]


@pytest.mark.parametrize("method", ["none", "credible", "random", "adr"])
def test_a_cell_of_tier_1_trains_and_judges(tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer_module, "JUDGED", 4)
    cell = cells(1, seeds=1, methods=[method], tasks=["pendulum"], sizes=[2], steps=4096)[0]
    result = transfer(cell, tmp_path, "ppo")
    assert len(result["returns"]) == 4
    assert Spec.from_yaml(result["result"]).provenance is not None
    assert result["ledger"]["target_episodes"] == (0 if method in ("none", "adr") else 2)
    assert result["ledger"]["policies"] == (3 if method == "random" else 1)
    assert not list((tmp_path / "runs").glob("*")), "runs are tidied away"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [(["--methods", "credibel"], "did you mean 'credible'"), (["--report-only"], "no folder of results")],
)
def test_a_refused_comparison_leaves_nothing(
    tmp_path: Path, wrong: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["tune", "compare", "--out", str(tmp_path / "results"), *wrong])
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("late", [True, False])
def test_a_target_whose_motors_act_late_is_told_from_one_that_is_only_noisy(late: bool) -> None:
    """10 ms are 1.25 transitions of the hopper; nothing but the motors' strength comes late."""
    from dr_env.comparison.recovery import replay
    from dr_env.tuning import TargetTransitions, make_tuner

    prior = prior_of("hopper", 0)
    logs = record("hopper", hidden("hopper", prior, 20, late), 60, 0, noisy=not late)
    tuner: Any = make_tuner("credible", prior, simulate=lambda told: replay("hopper", prior, told))
    tuner.tell(TargetTransitions(logs, 0.008))
    said = [note for note in tuner.notes if " late, " in note]
    assert [note.split(" acts ")[0] for note in said] == (["motor_strength"] if late else [])
    if late:
        lag = float(said[0].split(" acts ")[1].split()[0])
        assert lag == pytest.approx(1.25, abs=0.15)
        assert tuner.result().provenance["notes"] == list(tuner.notes)
        again: Any = make_tuner("credible", prior, simulate=lambda told: replay("hopper", prior, told))
        again.load_state_dict(json.loads(json.dumps(tuner.state_dict())))
        assert again.notes == tuner.notes


def test_intervals_hold_what_a_model_without_the_delay_cannot_tell() -> None:
    """A fifth of a control step, which lags by whole transitions describe only nearly."""
    found = [
        recover(Cell(0, "half_cheetah", "delay", 100, "credible", number, tuner="credible")) for number in range(20, 26)
    ]
    truth, low, high = (np.array([each[key] for each in found]) for key in ("truth", "low90", "high90"))
    assert 0.8 <= ((truth >= low) & (truth <= high)).mean() <= 0.99
    assert np.median(high - low) < 0.4  # of the prior's range; the prior's own are 0.9
