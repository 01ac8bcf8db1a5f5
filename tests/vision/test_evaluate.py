"""Estimators judged: an oracle with known noise must score what the noise says."""

from __future__ import annotations

import csv
import dataclasses
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dr_env import DREnvError
from dr_env.evaluation import recall
from dr_env.export import Layout
from dr_env.export.example import Example
from dr_env.export.store import Store
from dr_env.export.writers import make_writers
from dr_env.spatial import project, quat_to_matrix, transform
from dr_env.vision import figures, results
from dr_env.vision.estimator import Estimate
from dr_env.vision.evaluate import evaluate, examine
from dr_env.vision.images import open_images
from dr_env.vision.judge import Look, judge
from dr_env.vision.overlay import Wire, draw_lines, window, zoomed
from dr_env.vision.page import render_page
from dr_env.vision.samples import Annotation, Sample
from dr_env.vision.scores import QUANTITIES
from tests.export.boxes import box_classes, box_frame
from tests.vision.made_datasets import write
from tests.vision.oracle import Oracle
from tests.vision.world import BOXES, Boxes, box

FLIPS = np.stack([transform(np.diag(signs), np.zeros(3)) for signs in ((1.0, -1, -1), (-1, 1, -1), (-1, -1, 1))])
SYMMETRIC = {
    1: box(1, "brick", (0.16, 0.10, 0.06), FLIPS),
    2: dataclasses.replace(
        box(2, "ball", (0.1, 0.1, 0.1)), continuous=tuple((axis, np.full(3, 0.01)) for axis in np.eye(3))
    ),
}


def _positions_only(oracle: Oracle) -> Oracle:
    class Positions(Oracle):
        rotates = False

    return Positions(oracle.models, oracle.shift, 0.0, oracle.blind)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames of boxes whose depth and labels are computed ray by ray."""
    root = tmp_path_factory.mktemp("boxes")
    layout = Layout(4, 96, 72, shard=2, every=0)
    store, writers = Store(root, layout), make_writers(("bop", "bop-webdataset"), layout, box_classes())
    for k in range(4):
        example = Example(box_frame(k), layout)
        store.add(example, example.record, writers)
    for shard in range(layout.shards):
        store.seal(shard, writers)
    for writer in writers:
        writer.finish(store, root / writer.name)
    return root


def test_an_oracle_scores_what_its_noise_says() -> None:
    data = Boxes(40, turned=True)
    shift, turn = 0.02, 0.3
    found = evaluate(Oracle(data.models, shift), data)
    assert found.images == 40 and found.objects == {"all": 80, "brick": 40, "slab": 40}
    for key in ("median", "mean", "p90"):
        assert found[f"position_{key}_cm"].value == pytest.approx(100 * shift)
    assert found["rotation_median_deg"].value == pytest.approx(0, abs=1e-4)
    # a shift moves every point alike: 2 cm is 0.1 of a diameter of 0.2 m or so, and more of the slab's
    assert found["add_auc"].value == pytest.approx(1 - shift / recall.AUC_LIMIT)
    for name, model in ((model.name, model) for model in BOXES.values()):
        assert found.groups[name]["add"].value == (shift < 0.1 * model.diameter)
        passed = np.mean(shift < recall.MSSD_BOUNDS * model.diameter)
        assert found.groups[name]["ar_mssd"].value == pytest.approx(passed)
    turned = evaluate(Oracle(data.models, 0.0, turn), data)
    assert turned["rotation_median_deg"].value == pytest.approx(np.degrees(turn))
    assert turned["position_mean_cm"].value == pytest.approx(0, abs=1e-9)
    assert turned["add_s_auc"].value >= turned["add_auc"].value
    truth = evaluate(Oracle(data.models), data)
    for quantity in truth.quantities():
        assert truth[quantity.key].value == pytest.approx(1.0 if quantity.unit == "%" else 0.0, abs=1e-4)


def test_what_is_not_found_counts_against_recalls_alone() -> None:
    data = Boxes(60)
    found = evaluate(Oracle(data.models, 0.005, blind=0.25), data)
    assert 0.6 < found["found"].value < 0.9
    for key in ("add", "adds", "reprojection"):
        assert found[key].value == pytest.approx(found["found"].value)
    assert found["position_mean_cm"].value == pytest.approx(0.5)
    assert found["found"].low < found["found"].value < found["found"].high
    nothing = evaluate(Oracle(data.models, blind=1.1), data)
    assert nothing["found"].value == 0 and nothing["ar"].value == 0 and 0 < nothing["found"].high < 0.1
    assert "position_median_cm" not in nothing.groups["all"]
    json.dumps(nothing.to_dict(), allow_nan=False)


def test_poses_that_are_not_finite_are_not_found() -> None:
    class Lost(Oracle):
        def estimate(self, sample: Sample, boxes: object = None) -> list[Estimate]:
            said = super().estimate(sample)
            pose = said[0].camera_from_object.copy()
            pose[0, 3] = np.nan
            return [dataclasses.replace(said[0], camera_from_object=pose), *said[1:]]

    found = examine(Lost(BOXES), Boxes(6))
    assert found.scores["found"].value == 0.5 == found.scores["ar"].value
    assert "nan" not in results.bop_csv(found.looks)


def test_scores_are_the_same_each_time() -> None:
    first, second = (evaluate(Oracle(BOXES, 0.02, 0.1), Boxes(10)).to_dict()["scores"] for _ in range(2))
    assert first == second


def test_symmetric_poses_are_right() -> None:
    data = Boxes(20, models=SYMMETRIC, turned=True)
    found = evaluate(Oracle(data.models, symmetric=True), data)
    for key in ("adds", "add_s", "ar_mssd", "ar_mspd", "reprojection"):
        assert found[key].value == 1 or key == "add_s"
    assert found["rotation_median_deg"].value == pytest.approx(0, abs=1e-4)
    assert found.groups["brick"]["adds"].value == 1
    assert found.groups["brick"]["add"].value < 0.6  # a quarter of the poses is the very one
    # a ball may be turned by anything, about its centre
    turned = evaluate(Oracle({2: SYMMETRIC[2]}, turn=1.0, symmetric=True), Boxes(5, models={2: SYMMETRIC[2]}))
    offset = 2 * np.sin(0.5) * np.linalg.norm(np.full(3, 0.01))  # the oracle turns about the origin, 1.7 cm away
    assert turned["position_p90_cm"].value < 100 * offset and turned["adds"].value == 1


def test_each_of_several_objects_of_a_class_is_found_once(dataset: Path) -> None:
    """Six boxes of three classes an image, said in any order, with any score."""
    data = open_images(dataset / "bop")
    oracle = Oracle(data.models, 0.002)
    found = examine(oracle, data, least_visible=0.3)
    targets = [sum(a.visible_fraction >= 0.3 for a in data[i].annotations) for i in range(len(data))]
    assert oracle.boxes == targets == [len(look.targets) for look in found.looks]
    assert len(found.judged) == sum(targets) > 12
    assert found.judged.found.all()
    kept = found.judged.errors["position"] < 0.0021
    # where an estimate of an object that is no target has the higher score, the target goes without
    assert kept.mean() > 0.6
    everything = examine(oracle, data, least_visible=0.0)
    np.testing.assert_allclose(everything.judged.errors["position"], 0.002, atol=1e-9)


def test_what_is_hidden_is_never_asked_for(tmp_path: Path) -> None:
    data = open_images(write(tmp_path) / "bop")
    found = examine(Oracle(data.models), data, least_visible=0.0, depth=False)  # which has no box to look into
    assert sorted(len(look.targets) for look in found.looks) == [0, 3, 3, 3, 3, 3, 3]


def test_visible_surface_discrepancy_is_computed_where_there_is_depth(dataset: Path) -> None:
    data = open_images(dataset / "bop")
    truth = evaluate(Oracle(data.models), data, least_visible=0.0)
    assert not truth.left_out
    assert truth["ar_vsd"].value > 0.97  # rasterised beside ray traced: their outlines differ by pixels
    off = evaluate(Oracle(data.models, 0.02), data, least_visible=0.0)
    assert off["ar_vsd"].value < 0.8 * truth["ar_vsd"].value
    without = evaluate(Oracle(data.models), data, depth=False)
    assert without.left_out == {"AR VSD": "was not asked for"} and "ar_vsd" not in without.groups["all"]
    assert without["ar"].value == pytest.approx((without["ar_mssd"].value + without["ar_mspd"].value) / 2)
    tars = open_images(dataset / "bop-webdataset")
    for i in range(len(data)):
        scenes, shards = data.depth(i), tars.depth(i)
        assert scenes is not None and shards is not None
        np.testing.assert_array_equal(scenes, shards)
        assert np.abs(scenes - box_frame(i).depth).max() < 2e-4
    rendered = evaluate(Oracle(BOXES), Boxes(2))
    assert rendered.left_out == {"AR VSD": "boxes has no depth"}


def test_positions_alone_are_judged_as_such() -> None:
    data = Boxes(12)
    oracle = _positions_only(Oracle(data.models, 0.03))
    found = evaluate(oracle, data)
    assert all(q.key == "found" or q.key.startswith("position") for q in found.quantities())
    assert found["position_median_cm"].value == pytest.approx(3.0)
    assert "ADD" in next(iter(found.left_out)) and oracle.boxes == [0] * 12


def test_the_truth_is_not_looked_for_behind_others() -> None:
    """Two objects of a class: the surer estimate takes the nearer one, and its threshold does not change that."""
    poses = [transform(np.eye(3), [x, 0.0, 1.0]) for x in (0.0, 0.3)]
    targets = tuple(Annotation(1, pose) for pose in poses)
    said = (Estimate(1, poses[1], 0.4), Estimate(1, transform(np.eye(3), [0.001, 0, 1.0]), 0.9), Estimate(2, poses[0]))
    look = Look(0, 0, 0, Boxes(1).intrinsics, targets, said, 0.0)
    judged = judge([look], BOXES, True)
    np.testing.assert_array_equal(judged.estimate, [1, 0])
    np.testing.assert_allclose(judged.errors["position"], [0.001, 0.0], atol=1e-12)
    np.testing.assert_allclose(judged.passed["mssd"], 1)


class _Bare(Boxes):
    """Boxes whose labels lack something."""

    def __init__(self, count: int, boxes: bool) -> None:
        super().__init__(count)
        self._boxes = boxes

    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        kept = tuple(dataclasses.replace(a, box_visible=None) for a in sample.annotations) if self._boxes else ()
        return dataclasses.replace(sample, annotations=kept)


def test_bad_input_gets_one_clear_error(tmp_path: Path) -> None:
    data = Boxes(2)
    with pytest.raises(DREnvError, match="no image has a labelled object"):
        evaluate(Oracle(BOXES), _Bare(2, boxes=False))
    with pytest.raises(DREnvError, match="an object of class 1 has no visible box"):
        evaluate(Oracle(BOXES), _Bare(2, boxes=True))
    with pytest.raises(DREnvError, match="boxes: no images"):
        evaluate(Oracle(BOXES), Boxes(0))
    with pytest.raises(DREnvError, match="1 brick, 2 slab; the estimator knows 1 brick, 3 ball"):
        evaluate(Oracle({1: BOXES[1], 3: dataclasses.replace(SYMMETRIC[2], class_id=3)}), data)
    other = {**BOXES, 2: box(2, "slab", (0.12, 0.12, 0.03))}
    with pytest.raises(DREnvError, match=r"mesh of class 2 \(slab: 8 vertices"):
        evaluate(Oracle(other), data)
    with pytest.raises(DREnvError, match="expected 0 to 1"):
        evaluate(Oracle(BOXES), data, least_visible=3)
    (tmp_path / "old").mkdir()
    results.check_new(tmp_path / "old")
    (tmp_path / "old" / "scores.json").write_text("{}")
    with pytest.raises(DREnvError, match="is there already"):
        results.check_new(tmp_path / "old")


def test_estimates_are_written_as_bop_reads_them(dataset: Path) -> None:
    data = open_images(dataset / "bop")
    found = examine(Oracle(data.models), data, depth=False)
    rows = list(csv.DictReader(results.bop_csv(found.looks).splitlines()))
    assert list(rows[0]) == ["scene_id", "im_id", "obj_id", "score", "R", "t", "time"]
    assert len(rows) == sum(len(data[i].annotations) for i in range(len(data)))
    for i in range(len(data)):
        sample = data[i]
        mine = [r for r in rows if (int(r["scene_id"]), int(r["im_id"])) == (sample.scene_id, sample.image_id)]
        assert len({row["time"] for row in mine}) == 1
        said = {(int(r["obj_id"]), *np.round([float(x) for x in r["t"].split()], 3)): r["R"] for r in mine}
        for annotation in sample.annotations:
            pose = annotation.camera_from_object
            rotation = said[(annotation.class_id, *np.round(1000 * pose[:3, 3], 3))]
            np.testing.assert_allclose([float(x) for x in rotation.split()], pose[:3, :3].reshape(-1), atol=1e-6)


class _Tags(HTMLParser):
    """Checks that what is opened is closed, and collects what a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        self.sources += [value or "" for key, value in attrs if key in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("rotates", [True, False])
def test_the_page_is_one_whole_file(rotates: bool, tmp_path: Path) -> None:
    data = Boxes(12, name="<boxes> & co")
    oracle = Oracle(data.models, 0.02, 0.2 if rotates else 0.0, blind=0.2)
    oracle = oracle if rotates else _positions_only(oracle)
    found = examine(oracle, data)
    page = render_page(found, oracle, data, {"estimator": "oracle"})
    tags = _Tags()
    tags.feed(page)
    assert not tags.open and "&lt;boxes&gt; &amp; co" in page and "not found" in page
    assert all(source.startswith("data:image/") for source in tags.sources)
    assert sum(source.startswith("data:image/jpeg") for source in tags.sources) >= 12
    for quantity in found.scores.quantities():
        assert quantity.title.replace("<", "&lt;") in page
    results.write_results(found, {"data": "boxes"}, page, tmp_path / "out")
    scores = json.loads((tmp_path / "out" / results.SCORES).read_text())
    assert scores["scores"]["all"].keys() <= {quantity.key for quantity in QUANTITIES}
    assert scores["objects"]["all"] == 24
    names = ["estimates.csv", "index.html", "objects.csv", "scores.json"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    rows = list(csv.DictReader((tmp_path / "out" / results.OBJECTS).read_text().splitlines()))
    assert [bool(int(row["found"])) for row in rows] == found.judged.found.tolist()
    assert {row["position"] for row in rows} == {"0.02", ""} and ("mspd" in rows[0]) == rotates


def test_outlines_are_drawn_where_the_object_is() -> None:
    sample = Boxes(1, turned=True)[0]
    for annotation in sample.annotations:
        wire, pose = Wire(BOXES[annotation.class_id]), annotation.camera_from_object
        lines = wire.segments(pose, sample.intrinsics)
        assert len(lines) == 9  # of a box's twelve edges, a corner before the others hides three
        corners = project(BOXES[annotation.class_id].vertices, sample.intrinsics, pose)
        np.testing.assert_allclose(lines.reshape(-1, 2).min(0), corners.min(0), atol=1e-6)
        np.testing.assert_allclose(lines.reshape(-1, 2).max(0), corners.max(0), atol=1e-6)
    front = transform(quat_to_matrix([1.0, 0, 0, 0]), [0.0, 0.0, 0.8])
    assert len(Wire(BOXES[1]).segments(front, sample.intrinsics)) == 4
    behind = transform(np.eye(3), [0.0, 0.0, 0.0])
    assert not len(Wire(BOXES[1]).segments(behind, sample.intrinsics))
    part = window(lines.reshape(-1, 2), sample.intrinsics, least=20)
    picture, camera = zoomed(sample.image, sample.intrinsics, part, 200)
    assert picture.shape == (200, 200, 3) and (camera.width, camera.height) == (200, 200)
    drawn = picture.copy()
    there = wire.segments(pose, camera)
    draw_lines(drawn, there, (255, 0, 0))
    changed = np.argwhere((drawn != picture).any(-1))[:, ::-1]
    low, high = there.reshape(-1, 2).min(0), there.reshape(-1, 2).max(0)
    assert (changed >= low - 5).all() and (changed <= high + 5).all()
    middle = np.round(there.mean(1)).astype(int)
    inside = ((middle > 2) & (middle < 197)).all(1)
    assert inside.any() and (drawn[middle[inside, 1], middle[inside, 0], 0] > 200).all()


def test_what_is_symmetric_is_what_the_dataset_says() -> None:
    """A model learned from a scan without symmetries is judged on photographs by theirs, and the other way round."""
    plain = {k: dataclasses.replace(m, discrete=np.zeros((0, 4, 4)), continuous=()) for k, m in SYMMETRIC.items()}

    class Unaware(Oracle):
        def estimate(self, sample: Any, boxes: Any = None) -> Any:
            self.models = SYMMETRIC
            said = super().estimate(sample, boxes)
            self.models = plain
            return said

    data = Boxes(20, models=SYMMETRIC, turned=True)
    unaware, aware = (
        evaluate(kind(models, symmetric=True), data) for kind, models in ((Unaware, plain), (Oracle, SYMMETRIC))
    )
    assert unaware["adds"].value == aware["adds"].value == 1
    assert unaware["add"].value == aware["add"].value < 1


def test_a_class_may_be_called_all_and_two_may_have_one_name() -> None:
    pairs = zip(BOXES.items(), ("all", "x"), strict=True)
    named = {k: dataclasses.replace(model, name=name) for (k, model), name in pairs}
    found = evaluate(Oracle(named), Boxes(6, models=named))
    assert found.objects == {"all": 12, "all 1": 6, "x": 6}
    same = {k: dataclasses.replace(model, name="x") for k, model in BOXES.items()}
    assert evaluate(Oracle(same), Boxes(6, models=same)).objects == {"all": 12, "x 1": 6, "x 2": 6}


def test_a_position_is_shown_where_it_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a part whose middle is not its model's origin: a perfect answer has both crosses at one place."""
    half = np.array([0.03, 0.0, 0.0])
    turned = transform(np.diag([-1.0, -1.0, 1.0]), 2 * half)
    models = {1: dataclasses.replace(BOXES[1], discrete=turned[None]), 2: BOXES[2]}

    class Perfect(Oracle):
        rotates = False

        def estimate(self, sample: Sample, boxes: object = None) -> list[Estimate]:
            places = ((a.class_id, models[a.class_id].at(a.camera_from_object)) for a in sample.annotations)
            return [Estimate(class_id, transform(np.eye(3), place), 1.0) for class_id, place in places]

    data = Boxes(3, models=models, turned=True)
    found = examine(Perfect(models), data)
    np.testing.assert_allclose(found.judged.errors["position"], 0.0, atol=1e-9)
    crosses: list[np.ndarray] = []
    monkeypatch.setattr(figures, "draw_cross", lambda picture, place, colour: crosses.append(place))
    wires = {class_id: Wire(model) for class_id, model in models.items()}
    for row in range(len(found.judged)):
        figures.picture(found, data, wires, row, rotates=False)
    np.testing.assert_allclose(crosses[::2], crosses[1::2], atol=1e-6)
    assert len(crosses) == 2 * len(found.judged)
