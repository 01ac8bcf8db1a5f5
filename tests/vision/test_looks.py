"""Look tuning from rendered frames: a hidden look is found, and the search lasts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dr_env import DREnvError, Spec
from dr_env.spatial import Intrinsics
from dr_env.tuning.look import Look
from dr_env.vision.filters import FilterBank
from dr_env.vision.glimpse import Glimpser
from dr_env.vision.looks import Labelled, LookStudy, Target, read_labelled, read_target, tuned_spec
from dr_env.vision.looks_figure import draw_looks
from dr_env.vision.samples import Annotation, ObjectModel, Sample
from tests.vision.made_scene import PRIOR, TARGET, request

FRAMES = 10


@pytest.fixture(scope="module")
def glimpse() -> Iterator[Glimpser]:
    with Glimpser(request(), 0) as made:
        yield made


@pytest.fixture(scope="module")
def target(glimpse: Glimpser) -> Target:
    with Glimpser(request(TARGET, seed=5), 0) as hidden:
        return Target("hidden", hidden(TARGET, 24).images)


def study(path: Path, glimpse: Glimpser, target: Target, **options: Any) -> LookStudy:
    tuner = Look(PRIOR, 1, {"select": ["light", "distance"], "population": 6, **options})
    return LookStudy(path, tuner, target, glimpse, FilterBank(), FRAMES, {"prior": PRIOR.digest()})


def error(spec: Spec) -> dict[str, float]:
    """How far the middle of a range is from the target's, by entry."""
    found = {}
    for name in ("light", "distance"):
        mine, hidden = (sum(each.entries[name].distribution.support()) / 2 for each in (spec, TARGET))
        found[name] = abs(mine - hidden)
    return found


def test_a_hidden_look_is_found_and_the_search_goes_on_where_it_stopped(
    tmp_path: Path, glimpse: Glimpser, target: Target
) -> None:
    straight = study(tmp_path / "one.json", glimpse, target)
    told = []
    straight.run(36, lambda done, step: told.append((done, step["mmd"])))
    assert [done for done, _ in told] == list(range(1, 37))
    result = straight.tuner.result()
    before, after = error(PRIOR), error(result)
    assert all(after[name] < 0.7 * before[name] for name in before), (before, after)
    assert sum(after.values()) < 0.5 * sum(before.values()), (before, after)
    judged = straight.judge({"untuned": PRIOR, "tuned": result})
    assert judged["tuned"][1] < 0.5 * judged["untuned"][1], "on frames that the search never saw"

    # a run that was stopped half way gives the same
    study(tmp_path / "two.json", glimpse, target).run(9)
    resumed = study(tmp_path / "two.json", glimpse, target)
    assert len(resumed.steps) == 9
    resumed.run(14)
    assert [step["mmd"] for step in resumed.steps] == [mmd for _, mmd in told[:14]]

    spec = tuned_spec(straight, target, {name: gap for name, (_, gap) in judged.items()}, "bank")
    read = Spec.from_yaml(spec.to_yaml())
    assert read == result
    assert read.provenance is not None
    assert read.provenance["method"] == "look"
    assert read.provenance["looks"]["target"] == {"images": "hidden", "count": 24, "digest": target.digest()}

    draw_looks(tmp_path / "look.png", {"target": target.images, "tuned": judged["tuned"][0]}, straight.steps)
    assert (tmp_path / "look.png").read_bytes().startswith(b"\x89PNG")


def test_a_record_of_another_search_is_refused(tmp_path: Path, glimpse: Glimpser, target: Target) -> None:
    path = tmp_path / "record.json"
    study(path, glimpse, target).run(1)
    before = path.read_bytes()
    other = Target("hidden", target.images[:10])
    with pytest.raises(DREnvError, match=r"record.json: was begun with target .* choose another --out, or --overwrite"):
        study(path, glimpse, other)
    with pytest.raises(DREnvError, match="a state with options"):
        study(path, glimpse, target, population=8)
    assert path.read_bytes() == before
    path.write_text(json.dumps({"format": "other"}))
    with pytest.raises(DREnvError, match="damaged, or no record of look tuning"):
        study(path, glimpse, target)


def test_candidates_that_cannot_be_rendered_are_evidence(tmp_path: Path, target: Target) -> None:
    """They are noted and count as the worst; a prior that cannot be is an error."""

    class Failing(Glimpser):
        calls = 0

        def __call__(self, *arguments: Any, **named: Any) -> Any:
            Failing.calls += 1
            if Failing.calls in (3, 4):
                raise DREnvError("frame 0: no scene is as the Spec asks")
            return super().__call__(*arguments, **named)

    with Failing(request(), 0) as glimpse:
        made = study(tmp_path / "record.json", glimpse, target)
        made.run(7)
        assert [step["mmd"] is None for step in made.steps] == [False, False, True, True, False, False, False]
        assert made.steps[2]["note"] == "frame 0: no scene is as the Spec asks"
        Failing.calls = 2
        with pytest.raises(DREnvError, match="no scene is as the Spec asks"):
            study(tmp_path / "other.json", glimpse, target).run(1)


def test_labelled_images_count(tmp_path: Path, glimpse: Glimpser, target: Target) -> None:
    with Glimpser(request(TARGET, seed=6), 0) as hidden:
        few = hidden(TARGET, 8, positions=True)
    labelled = Labelled(few.images, "cube", few.positions["cube"])
    made = study(tmp_path / "record.json", glimpse, Target("hidden", target.images, labelled))
    made.run(2)
    assert all(step["task_loss"] > 0 for step in made.steps)
    assert made.tuner.scores[0] == pytest.approx(-made.steps[0]["mmd"] - made.steps[0]["task_loss"])
    with pytest.raises(DREnvError, match="'ball': no frame shows it; they show cone, cube"):
        study(
            tmp_path / "other.json",
            glimpse,
            Target("hidden", target.images, Labelled(few.images, "ball", few.positions["cube"])),
        ).run(1)


class Made:
    """Images in memory."""

    name = "made"

    def __init__(self, shapes: list[tuple[int, int]], labelled: int = 0) -> None:
        self.models = {1: ObjectModel(1, "cube", np.eye(3), np.array([[0, 1, 2]], np.int32), 1.4)}
        self._shapes, self._labelled = shapes, labelled

    def __len__(self) -> int:
        return len(self._shapes)

    def __getitem__(self, index: int) -> Sample:
        height, width = self._shapes[index]
        pose = np.eye(4)
        pose[:3, 3] = [0, index, 1]
        camera = Intrinsics(width, height, 50.0, 50.0, width / 2, height / 2)
        labels = (Annotation(1, pose),) if index < self._labelled else ()
        return Sample(f"image {index}", np.full((height, width, 3), index, np.uint8), camera, labels)

    def masks(self, index: int) -> tuple[()]:
        return ()


def test_a_target_is_read_at_the_size_that_is_rendered() -> None:
    images = read_target(Made([(60, 80)] * 8 + [(120, 160)]), 48)
    assert images.shape == (9, 36, 48, 3)
    assert (images == np.arange(9)[:, None, None, None]).all()
    with pytest.raises(DREnvError, match="made: got 3 images, expected at least 8 to say how a target looks"):
        read_target(Made([(60, 80)] * 3), 48)
    with pytest.raises(DREnvError, match="image 8: got 80 x 80 pixels, expected the shape of the first image"):
        read_target(Made([(60, 80)] * 8 + [(80, 80)]), 48)


def test_labels_of_a_target() -> None:
    data = Made([(60, 80)] * 8, labelled=3)
    images = read_target(data, 48)
    few = read_labelled(data, images, None)
    assert few.name == "cube"
    assert few.images.shape == (3, 36, 48, 3)
    assert few.positions.tolist() == [[0, 0, 1], [0, 1, 1], [0, 2, 1]]
    with pytest.raises(DREnvError, match="no image shows 'ball'; labelled are cube"):
        read_labelled(data, images, "ball")
    with pytest.raises(DREnvError, match="no image has labels"):
        read_labelled(Made([(60, 80)] * 8), images, None)
