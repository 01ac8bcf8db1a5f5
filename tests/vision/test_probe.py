"""The task's own loss on labelled images."""

from __future__ import annotations

import numpy as np
import pytest

from dr_env.vision.probe import probe_loss


def world(n: int, seed: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    positions = rng.normal(size=(n, 3)) * [0.1, 0.2, 0.05] + [0.0, 0.0, 1.0]
    mixing = np.random.default_rng(9).normal(size=(3, 30))
    return positions @ mixing + shift + rng.normal(0, 0.01, (n, 30)), positions


def test_what_can_be_learned_is_learned() -> None:
    assert probe_loss(*world(40, 0), *world(10, 1)) < 0.05


def test_features_that_say_nothing_give_the_loss_of_the_mean() -> None:
    _, positions = world(60, 0)
    _, truth = world(20, 1)
    rng = np.random.default_rng(2)
    loss = probe_loss(rng.normal(size=(60, 30)), positions, rng.normal(size=(20, 30)), truth)
    assert 0.7 < loss < 1.5


def test_it_grows_with_the_gap() -> None:
    losses = [probe_loss(*world(40, 0, shift), *world(10, 1)) for shift in (0.0, 0.2, 0.5)]
    assert losses == sorted(losses)
    assert losses[2] > 2 * losses[0]


def test_frames_without_the_object_do_not_count() -> None:
    features, positions = world(40, 0)
    holes = np.vstack([features, np.full((5, 30), 7.0)]), np.vstack([positions, np.full((5, 3), np.nan)])
    assert probe_loss(*holes, *world(10, 1)) == pytest.approx(probe_loss(features, positions, *world(10, 1)), rel=1e-9)
    assert np.isnan(probe_loss(features[:5], positions[:5], *world(10, 1)))
    constant = features.copy()
    constant[:, 3] = 2.0
    assert np.isfinite(probe_loss(constant, positions, *world(10, 1)))
