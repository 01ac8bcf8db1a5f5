"""Training: it learns, is the same each time, goes on after being killed, and refuses what does not fit."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from dr_env.errors import DREnvError
from dr_env.locks import alone
from dr_env.vision import card
from dr_env.vision.estimator import Estimator, Labels
from dr_env.vision.hooks import Hook
from dr_env.vision.train import Progress, TrainSettings, train
from tests.vision.world import BOXES, Boxes, box

TINY = TrainSettings(steps=12, batch=8, held_out=0.2, threads=1, device="cpu", checkpoint_every=4, evaluate_every=3)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small() -> Estimator:
    return card.make("position", BOXES, 3, size=32, width=8)


class Dimmed(Hook):
    """Darkens images at random, and learns a number along."""

    name = "dimmed"

    def __init__(self) -> None:
        self.number = torch.nn.Parameter(torch.ones(()))
        self.finished = 0

    def augment(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return images * (0.5 + 0.5 * torch.rand(len(images), 1, 1, 1, generator=generator))

    def loss(self, features: torch.Tensor, step: int, total: int) -> torch.Tensor:
        return (self.number - features.mean().detach()).square()

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        yield self.number

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"number": self.number.detach()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:  # type: ignore[override]
        self.number.data.copy_(state["number"])

    def finish(self, estimator: Estimator) -> None:
        self.finished += 1


def same(one: Estimator, other: Estimator) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def _train_until_killed(out: Path) -> None:
    torch.set_num_threads(1)

    def kill(done: Progress) -> None:
        if done.step == 10:
            os.kill(os.getpid(), signal.SIGKILL)

    train(small(), [Boxes(30, size=32)], out, TINY, hooks=[Dimmed()], progress=kill)


def test_going_on_after_kill_9_ends_at_the_same_weights(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_train_until_killed, args=(tmp_path / "cut",))
    process.start()
    whole, again, hooks = small(), small(), [Dimmed(), Dimmed()]
    train(whole, [Boxes(30, size=32)], tmp_path / "whole", TINY, hooks=hooks[:1])
    process.join()
    assert process.exitcode == -signal.SIGKILL
    seen: list[int] = []
    train(again, [Boxes(30, size=32)], tmp_path / "cut", TINY, hooks=hooks[1:], progress=lambda p: seen.append(p.step))
    assert seen == [9, 10, 11, 12]
    assert same(whole, again)
    assert same(card.load(tmp_path / "whole"), card.load(tmp_path / "cut"))
    assert [hook.finished for hook in hooks] == [1, 1]
    assert torch.equal(hooks[0].number, hooks[1].number) and hooks[0].number != 1
    for name in ("card.json", "progress.jsonl"):
        assert (tmp_path / "whole" / name).read_text() == (tmp_path / "cut" / name).read_text()
    curve = (tmp_path / "cut/progress.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in curve] == [3, 6, 9, 12]


def test_slow_steps_have_checkpoints_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[train.__module__], "_LONGEST", 0.0)
    whole, again = small(), small()
    train(whole, [Boxes(30, size=32)], tmp_path / "whole", TINY)

    def stop(done: Progress) -> None:
        if done.step == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(again, [Boxes(30, size=32)], tmp_path / "cut", TINY, progress=stop)
    seen: list[int] = []
    train(again, [Boxes(30, size=32)], tmp_path / "cut", TINY, progress=lambda done: seen.append(done.step))
    assert seen == [8, 9, 10, 11, 12] and same(whole, again)


def test_a_finished_run_is_given_back_as_it_is(tmp_path: Path) -> None:
    first, second = small(), small()
    train(first, [Boxes(30, size=32)], tmp_path, TINY)
    train(second, [Boxes(30, size=32)], tmp_path, TINY, progress=lambda _: pytest.fail("trained again"))
    assert same(first, second)


# few processors have bfloat16, and the others take several times as long for it
@pytest.mark.parametrize(("precision", "steps", "off_by"), [("float32", 200, 0.004), ("bfloat16", 80, 0.02)])
def test_it_learns_twenty_images_by_heart(tmp_path: Path, precision: str, steps: int, off_by: float) -> None:
    estimator = card.make("position", BOXES, 0, frame="world", size=32, width=16)
    images = Boxes(20, size=32)
    settings = TrainSettings(
        steps=steps, batch=19, held_out=0.05, threads=1, device="cpu", evaluate_every=steps, precision=precision
    )
    train(estimator, [images], tmp_path, settings)
    assert {parameter.dtype for parameter in estimator.parameters()} == {torch.float32}
    errors = []
    for index in range(20):
        sample = images[index]
        found = {estimate.class_id: estimate for estimate in estimator.estimate(sample)}
        for truth in sample.annotations:
            off = found[truth.class_id].camera_from_object[:3, 3] - truth.camera_from_object[:3, 3]
            errors.append(np.linalg.norm(off))
    assert np.median(errors) < off_by


def test_a_loss_that_is_no_number_stops_with_earlier_checkpoints_intact(tmp_path: Path) -> None:
    class Broken(Hook):
        name = "broken"

        def loss(self, features: torch.Tensor, step: int, total: int) -> torch.Tensor:
            return features.mean() * (torch.nan if step == 6 else 0.0)

    with pytest.raises(DREnvError, match=r"step 6: the loss is nan .* checkpoint 4 is intact"):
        train(small(), [Boxes(30, size=32)], tmp_path, TINY, hooks=[Broken()])
    assert np.isfinite([v for p in card.load(tmp_path).state_dict().values() for v in p.flatten().tolist()]).all()
    assert (tmp_path / "checkpoints/000000004/state.json").exists()


def test_other_runs_and_folders_are_left_alone(tmp_path: Path) -> None:
    train(small(), [Boxes(30, size=32)], tmp_path / "run", TINY)
    other = TrainSettings(**{**vars(TINY), "batch": 9})
    with pytest.raises(DREnvError, match=r"holds another run; settings.batch is 8 there and 9 here"):
        train(small(), [Boxes(30, size=32)], tmp_path / "run", other)
    changed = Boxes(30, size=32)
    changed.identity = "made again"  # type: ignore[attr-defined]
    with pytest.raises(DREnvError, match="holds another run; data"):
        train(small(), [changed], tmp_path / "run", TINY)
    with pytest.raises(DREnvError, match=r"holds another run; (fresh|begins)"):
        train(small(), [Boxes(30, size=32)], tmp_path / "run", TINY, fresh=False)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.txt").write_text("I.")
    with pytest.raises(DREnvError, match="is not empty and holds no training run"):
        train(small(), [Boxes(30, size=32)], tmp_path / "thesis", TINY)
    with alone(tmp_path / "taken", "training"), pytest.raises(DREnvError, match="another process is training here"):
        train(small(), [Boxes(30, size=32)], tmp_path / "taken", TINY)
    train(small(), [Boxes(30, size=32)], tmp_path / "taken", TINY)


def test_classes_and_meshes_that_differ_are_refused_naming_both(tmp_path: Path) -> None:
    other = {1: BOXES[1], 3: box(3, "post", (0.02, 0.02, 0.2))}
    with pytest.raises(
        DREnvError, match=r"others: has the classes 1 brick, 3 post; the estimator knows 1 brick, 2 slab"
    ):
        train(small(), [Boxes(30, size=32, models=other, name="others")], tmp_path, TINY)
    unnamed = {number: dataclasses.replace(model, name=f"obj_{number:06d}") for number, model in BOXES.items()}
    card.check_models(small(), Boxes(30, size=32, models=unnamed))  # numbers and meshes count
    longer = {1: BOXES[1], 2: box(2, "slab", (0.12, 0.12, 0.04))}
    with pytest.raises(
        DREnvError, match=r"the mesh of class 2 \(slab: 8 vertices, .* mm\) is not that of the estimator"
    ):
        train(small(), [Boxes(30, size=32, models=longer)], tmp_path, TINY)
    assert not list(tmp_path.iterdir())


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(DREnvError, match="batch: got 1, expected at least 2"):
        TrainSettings(batch=1)
    with pytest.raises(DREnvError, match="no precision 'float23'; did you mean 'float32'"):
        TrainSettings(precision="float23")
    with pytest.raises(DREnvError, match="seed: got -1, expected at least 0"):
        TrainSettings(seed=-1)
    with pytest.raises(DREnvError, match=r"seed: got 10000000000000000000, expected 0 to 2\^63 - 1"):
        card.make("position", {}, 10**19)
    with pytest.raises(DREnvError, match="held_out: got nan"):
        TrainSettings(held_out=float("nan"))


def test_the_generator_of_a_step_depends_on_seed_and_step_alone(tmp_path: Path) -> None:
    class Listening(Hook):
        name = "listening"

        def __init__(self) -> None:
            self.heard: list[float] = []

        def augment(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
            self.heard.append(torch.rand((), generator=generator).item())
            return images

    short, long = Listening(), Listening()
    train(small(), [Boxes(30, size=32)], tmp_path / "a", TrainSettings(**{**vars(TINY), "steps": 3}), hooks=[short])
    train(small(), [Boxes(40, size=32)], tmp_path / "b", TrainSettings(**{**vars(TINY), "steps": 5}), hooks=[long])
    assert long.heard[:3] == short.heard and len(set(long.heard)) == 5


def test_errors_of_nothing_known_are_no_numbers() -> None:
    estimator = small()
    output = torch.zeros(2, 2, 4 + 64)
    labels: Labels = {"known": torch.tensor([[1.0, 0.0], [0.0, 0.0]]), "position": torch.full((2, 2, 3), 0.03)}
    errors = estimator.errors(output, labels)
    assert errors[0].item() == pytest.approx(3 * 3**0.5) and torch.isnan(errors[1])
