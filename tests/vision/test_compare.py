"""The comparison, run: worlds rendered, arms trained and judged, nothing made twice."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from dr_env import DREnvError, Spec, make_task
from dr_env.export import ExportRequest, Layout, SourceRequest, export
from dr_env.vision.compare import Comparison, Protocol
from dr_env.vision.images import open_images
from dr_env.vision.samples import Images

SIZE = 48


def source() -> SourceRequest:
    spec = Spec.load(make_task("tabletop").file("randomization.yaml"))
    return SourceRequest("tabletop", spec.to_yaml(), "own", 0, SIZE, SIZE)


def untuned(path: Path, prior: Spec, images: Images) -> Spec:
    raise AssertionError("no arm asks for it")


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Images:
    root = tmp_path_factory.mktemp("target")
    export(ExportRequest(dataclasses.replace(source(), seed=7), Layout(24, SIZE, SIZE), ("bop",)), root)
    return open_images(root)


def protocol(**changed: object) -> Protocol:
    given = {"names": ("plain", "hybrid", "target"), "labels": (5,), "seeds": 1, "base": "plain", "frames": 12, "steps": 10,
             "size": 32, "tested": 10, "threads": 1} | changed  # fmt: skip
    return Protocol(source(), **given)  # type: ignore[arg-type]


def test_every_arm_is_trained_once_and_judged_on_the_same_images(target: Images, tmp_path: Path) -> None:
    comparison = Comparison(tmp_path, protocol(), target, untuned)
    assert [(cell.arm, cell.labels) for cell in comparison.left()] == [("plain", 0), ("hybrid", 5), ("target", 5)]
    for cell in comparison.left():
        comparison.run(cell)
    assert comparison.left() == []
    results = comparison.results.read()
    objects = {len(result["errors_cm"]) for result in results}
    assert len(objects) == 1 and objects.pop() > 10
    assert len({tuple(result["images"]) for result in results}) == 1
    assert all(max(result["images"]) < 10 for result in results)
    # the target is known by its images, wherever they lie
    moved = tmp_path / "moved"
    shutil.copytree(str(target.name).partition("/bop")[0], moved)
    assert Comparison(tmp_path, protocol(), open_images(moved), untuned).left() == []
    assert all(str(moved.parent) not in path.read_text() for path in (tmp_path / "cells").iterdir())
    # another comparison in the folder finds the rendered images, and trains what is new alone
    wider = Comparison(tmp_path, protocol(labels=(5, 8)), target, untuned)
    assert [(cell.arm, cell.labels) for cell in wider.left()] == [("hybrid", 8), ("target", 8)]
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["plain-12"]
    assert set(wider.shown()) == {"target", "plain"}


def test_what_judges_is_never_learned_from(target: Images, tmp_path: Path) -> None:
    comparison = Comparison(tmp_path, protocol(), target, untuned)
    judged = {sample.name for sample in (comparison.test[i] for i in range(len(comparison.test)))}
    seen = [comparison._seen[i] for i in range(len(comparison._seen))]
    assert len(judged) == 10 and len(seen) == 14
    assert not judged & {sample.name for sample in seen}
    assert not any(sample.annotations for sample in seen)


def test_bad_protocols_are_refused(target: Images, tmp_path: Path) -> None:
    with pytest.raises(DREnvError, match="expected 20 to judge on and 8 more"):
        Comparison(tmp_path, protocol(tested=20), target, untuned)
    with pytest.raises(DREnvError, match="did you mean 'dann'"):
        protocol(names=("dan",))
    with pytest.raises(DREnvError, match="labels: got 0"):
        protocol(labels=(0,))


def test_a_refinement_that_was_refused_is_not_trained_again(target: Images, tmp_path: Path) -> None:
    comparison = Comparison(tmp_path, protocol(names=("statistics",)), target, untuned)
    (refused := tmp_path / "data" / "plain-12-statistics" / "refused.png").parent.mkdir(parents=True)
    refused.write_bytes(b"what an earlier run saw")
    (cell,) = comparison.left()
    with pytest.raises(DREnvError, match=r"refused before; see .*refused\.png"):
        comparison.run(cell)
    refused.unlink()
    comparison.run(cell)
    assert comparison.left() == []


def test_a_folder_holds_one_protocol(target: Images, tmp_path: Path) -> None:
    comparison = Comparison(tmp_path, protocol(names=("plain",)), target, untuned)
    comparison.check()
    comparison.run(comparison.left()[0])
    comparison.check()
    more = Comparison(tmp_path, protocol(names=("plain", "target"), labels=(5, 8), seeds=2), target, untuned)
    more.check()  # more of the same
    for changed, what in (({"steps": 14}, "steps"), ({"tested": 9}, "tested"), ({"frames": 13}, "frames")):
        with pytest.raises(DREnvError, match=f"trainings with another {what}"):
            Comparison(tmp_path, protocol(**changed), target, untuned).check()
    other = dataclasses.replace(protocol(), source=dataclasses.replace(source(), width=2 * SIZE))
    with pytest.raises(DREnvError, match="another Spec, renderer, image size, camera or target images"):
        Comparison(tmp_path, other, target, untuned).check()
    Comparison(tmp_path, other, target, untuned).check(report_only=True)


def test_a_target_of_other_objects_is_refused_before_anything_is_rendered(target: Images, tmp_path: Path) -> None:
    spec = Spec.load(Path("examples/realism/training.yaml"))
    other = dataclasses.replace(protocol(), source=dataclasses.replace(source(), spec=spec.to_yaml()))
    with pytest.raises(DREnvError, match=r"has the classes .*; the world 'plain' knows "):
        Comparison(tmp_path, other, target, untuned).check()
    assert not (tmp_path / "data").exists()
