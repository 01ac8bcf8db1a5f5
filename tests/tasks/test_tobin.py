"""Tobin's experiment: training sets lack what they should and nothing else, cells go on, tables are right."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dr_env import DREnvError, Spec
from dr_env.scene import Scenes
from tasks.tabletop.tobin import experiment, report, sets
from tasks.tabletop.tobin.experiment import ARMS, TEXTURES, Cell, Experiment, Plan
from tasks.tabletop.tobin.sets import TESTS, judging, training
from tasks.tabletop.tobin.summary import image_curve, main_table, predictions, runs, texture_curve

PLAN = Plan(images=1000, seeds=2, steps=10, batch=4, size=32, tests=100, curves=True)


def scenes(name: str, part: int = 0) -> Scenes:
    made = training(name, 1000)[part]
    return Scenes(Spec.from_yaml(made.spec), made.seed, 1.0)


def targets(found: Scenes, frame: int) -> list[tuple[str, list[float]]]:
    return [(each.name, each.pose.ravel().tolist()) for each in found.scene(frame).labelled]


def test_sets_share_their_objects_and_lack_what_they_should() -> None:
    full, still, alone = (scenes(name) for name in ("full", "no-camera", "no-distractors"))
    position = still.model(0).cam_pos[0].copy()
    for frame in range(3):
        (target,) = targets(full, frame)
        assert targets(alone, frame) == targets(still, frame) == [target]
        assert len(alone.scene(frame).objects) == 1
        assert (still.model(frame).cam_pos[0] == position).all()
    assert len({len(full.scene(frame).objects) for frame in range(6)}) > 1
    seen = [full.scene(frame).model.cam_pos[0].copy() for frame in (1, 2)]
    assert (seen[0] != seen[1]).any() and (seen[0] != position).any()
    assert targets(scenes("full", 1), 0) != targets(full, 0)


def test_sets_of_few_textures_have_no_more() -> None:
    for part in training("textures-10", 1000):
        spec = Spec.from_yaml(part.spec)
        assert spec.textures is not None and (spec.textures.count, spec.textures.seed) == (10, 0)
        assert spec.entries["texture"].distribution.support()[1] == 10
    pools = {Spec.from_yaml(part.spec).textures for part in training("full", 1000)}
    assert len(pools) == 2


@pytest.mark.parametrize("name", ["object", "clutter", "occluded"])
def test_tests_show_what_they_say(name: str) -> None:
    (part,) = judging(name, 100)
    found = Scenes(Spec.from_yaml(part.spec), part.seed, 1.0)
    for frame in range(2):
        scene = found.scene(frame)
        (target,) = scene.labelled
        others = len(scene.objects) - 1
        assert {"object": others == 0, "clutter": 3 <= others <= 8, "occluded": others >= 1}[name]
        assert name != "occluded" or 0.25 <= target.visible <= 0.75


def test_a_share_seen_at_most_is_not_below_that_at_least() -> None:
    form = Spec.load(sets.FOLDER / "full.yaml").to_dict()
    form["scene"]["framing"] = {"visible": 0.5, "visible_most": 0.4}
    with pytest.raises(DREnvError, match=r"visible_most: got 0\.4, expected at least"):
        Spec.from_dict(form)


def test_classes_are_those_of_training() -> None:
    trained = Spec.from_yaml(training("full", 500)[0].spec).scene
    for name in TESTS:
        tested = Spec.from_yaml(judging(name, 100)[0].spec).scene
        assert trained is not None and tested is not None and trained.objects == tested.objects


@pytest.mark.parametrize("changed", [{"images": 750}, {"images": 0}, {"tests": 30}, {"seeds": 0}, {"steps": 0}])
def test_bad_numbers_are_told_of(changed: dict[str, int]) -> None:
    with pytest.raises(DREnvError, match=f"{next(iter(changed))}: got {next(iter(changed.values()))}, expected"):
        dataclasses.replace(PLAN, **changed)


def test_cells_are_balanced_and_named_apart() -> None:
    cells = PLAN.cells()
    assert len({cell.name for cell in cells}) == len(cells) == 2 * (len(ARMS) + len(TEXTURES) + 1)
    assert [cell.seed for cell in cells[: 2 * len(ARMS)]] == [0] * len(ARMS) + [1] * len(ARMS)
    assert next(cell.textures for cell in cells if cell.set == "full") == 900
    names = [part.name for part in PLAN.parts()]
    assert len(set(names)) == len(names) and names[len(TESTS)] == "full/0"


def fake(cell: Cell, scale: float) -> dict[str, Any]:
    rng = np.random.default_rng(cell.seed)
    classes = ["cube", "cone"] * (cell.tests // 2)
    errors = {name: (scale * rng.uniform(0.5, 1.5, cell.tests)).tolist() for name in TESTS}
    if cell.set == "no-distractors":
        errors |= {name: (4 * np.array(errors[name])).tolist() for name in ("clutter", "occluded")}
    return {
        "cell": dataclasses.asdict(cell),
        "errors_cm": errors,
        "classes": dict.fromkeys(TESTS, classes),
        "seconds": 1.0,
    }


def results() -> list[dict[str, Any]]:
    def scale(cell: Cell) -> float:
        return {"no-camera": 1.5}.get(cell.set, 1.0) * (450 / min(cell.textures, 450)) ** 0.2

    return [fake(cell, scale(cell)) for cell in PLAN.cells()]


def test_tables_judge_predictions() -> None:
    found = runs(results())
    table = main_table(found)
    assert list(table) == list(ARMS) and all(run.seeds == 2 for run in table.values())
    mean = table["full"].mean("object")
    assert mean.low < mean.value < mean.high and mean.value == pytest.approx(1.0, abs=0.1)
    ratio = table["without distractors"].ratio(table["full"], "clutter")
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((4, 4, 4)), "images are paired"
    assert [run.cell.textures for run in texture_curve(found)] == [*TEXTURES, 900]
    assert [run.cell.images for run in image_curve(found)] == [500, 1000]
    assert [each.held for each in predictions(found)] == [True, True, True, True]
    worse = [fake(cell, 1.0) for cell in PLAN.cells() if cell.set in ("full", "no-camera")]
    assert [each.held for each in predictions(runs(worse))] == [True, False]


def test_the_report_is_one_page(tmp_path: Path) -> None:
    page = report.write_report(results(), tmp_path).read_text()
    assert page.count("data:image/png;base64") == 2
    assert "http" not in page
    text = (tmp_path / "table.md").read_text()
    assert "| without distractors | 1.0 [" in text and "(7.2)" in text and "| cube | " in text
    assert json.loads((tmp_path / "report.json").read_text())["table"]["full"]["seeds"] == 2
    with pytest.raises(DREnvError, match="nothing to report"):
        report.write_report([], tmp_path)


def test_a_cell_trains_is_judged_and_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "POOL", 3)
    monkeypatch.setattr(sets, "PART", 6)
    monkeypatch.setattr(sets, "TEST_PART", 2)
    monkeypatch.setattr(experiment, "PART", 6)
    plan = Plan(images=6, seeds=1, steps=2, batch=2, size=32, tests=2, curves=False)
    made = Experiment(tmp_path, plan)
    for part in made.left_to_export():
        if part.name.split("/")[0] in ("full", "test"):
            # Filament may be missing
            made.export(dataclasses.replace(part, renderer="classic"), 0, lambda done, total: None)
    cell = made.left_to_train()[0]
    told: list[tuple[int, int]] = []
    made.run(cell, 1, lambda done, total: told.append((done, total)))
    assert told[-1] == (2, 2)
    assert cell not in made.left_to_train() and len(made.left_to_train()) == len(ARMS) - 1
    (result,) = made.results.read()
    assert {name: len(values) for name, values in result["errors_cm"].items()} == dict.fromkeys(TESTS, 2)
    assert all(0 < value < 200 for values in result["errors_cm"].values() for value in values)
    assert "| full | " in report.markdown(runs([result]))
    clean = next(each for each in made.left_to_train() if each.image == "clean")
    made.run(clean, 1, lambda done, total: None)
    again = made.results.read()
    assert len(again) == 2 and again[0]["errors_cm"] != again[1]["errors_cm"]
