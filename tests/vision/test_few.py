"""A few labels of the target."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dr_env.errors import DREnvError
from dr_env.vision import card
from dr_env.vision.align import alignment
from dr_env.vision.few import Few, without_labels
from dr_env.vision.known import seen
from dr_env.vision.train import TrainSettings, train
from tests.vision.shifts import Shifted, cast
from tests.vision.test_align import SIZE, SOURCE, TARGET, TEST, _error, _trained


def test_smaller_sets_are_among_larger_ones() -> None:
    rows = {count: set(Few(TARGET, count, 3).rows) for count in (5, 20, 96)}
    assert rows[5] < rows[20] < rows[96] == set(range(96))
    assert rows[20] != set(Few(TARGET, 20, 4).rows)
    few = Few(TARGET, 5, 3)
    assert len(list(few)) == len(few) == 5  # type: ignore[call-overload]
    np.testing.assert_array_equal(few[2].image, TARGET[int(few.rows[2])].image)
    for count in (0, 1, 97):
        with pytest.raises(DREnvError, match=f"got {count} labelled images asked for, expected 2 to 96"):
            Few(TARGET, count, 0)


def test_labels_are_worth_something(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained = _trained(tmp_path / "simulation")
    shifted = Shifted(TEST, cast)
    errors = [_error(trained, shifted)]
    for count in (5, 60):
        tuned = card.load(tmp_path / "simulation")
        settings = TrainSettings(steps=40, batch=16, learning_rate=4e-4, threads=1, device="cpu")
        train(tuned, [Few(Shifted(TARGET, cast), count, 0)], tmp_path / f"{count}", settings, fresh=False)
        errors.append(_error(tuned, shifted))
    assert errors[2] < errors[1] < errors[0]
    assert errors[2] < 0.4 * errors[0]
    _no_labels(tmp_path, errors[0])
    card.warn_seen(tmp_path / "5", shifted)
    assert not capsys.readouterr().err
    learned = Shifted(TARGET, cast)
    assert card.read(tmp_path / "5")["training"]["data"] == [seen(SOURCE), seen(Few(learned, 5, 0))]
    for images, count in ((learned, 5), (SOURCE, len(SOURCE))):  # also what the run of init was trained on
        card.warn_seen(tmp_path / "5", images)
        assert f"was trained on {count} of the {len(images)} images of {images.name}" in capsys.readouterr().err


def _no_labels(folder: Path, error: float) -> None:
    """A run that no labels lead to is the run that it began from, or that with other statistics."""
    simulation, shifted = folder / "simulation", Shifted(TEST, cast)
    made = card.load(without_labels(simulation, folder / "none"))
    for a, b in zip(made.state_dict().values(), card.load(simulation).state_dict().values(), strict=True):
        assert torch.equal(a, b)
    unlabelled = Shifted(TARGET, cast, labelled=False)
    hooks = [alignment("adabn", unlabelled, 32)]
    assert _error(card.load(without_labels(simulation, folder / "adabn", hooks)), shifted) < 0.5 * error
    assert card.read(folder / "adabn")["training"]["labels"] == 0
    with pytest.raises(DREnvError, match="coral, which works in training"):
        without_labels(simulation, folder / "coral", [alignment("coral", unlabelled, 32)])
    with pytest.raises(DREnvError, match="holds another run"):
        without_labels(simulation, folder / "none", hooks)
    with torch.no_grad():
        made.get_parameter("place.bias").add_(1)
    card.save(made, simulation, card.read(simulation)["training"])  # trained anew
    with pytest.raises(DREnvError, match="holds another run; begins"):
        without_labels(simulation, folder / "none")
    assert SOURCE.intrinsics.width == SIZE
