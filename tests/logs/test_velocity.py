"""Velocities from positions: their ends, and the noise that they take over."""

from __future__ import annotations

import numpy as np
import pytest

from dr_env.logs.mapping import Velocity
from dr_env.logs.velocity import angular_velocity, derivative, gain

HOWS = [Velocity(method="savitzky_golay", window=0.05, order=3), Velocity(method="central")]
REGULAR = np.arange(40) * 0.005
UNEVEN = REGULAR + 0.001 * np.sin(np.arange(40.0))


@pytest.mark.parametrize("time", [REGULAR, UNEVEN], ids=["even", "uneven"])
@pytest.mark.parametrize("how", HOWS, ids=["savitzky_golay", "central"])
@pytest.mark.parametrize("led", [0, 10])
def test_the_gain_is_how_noise_comes_through(how: Velocity, time: np.ndarray, led: int) -> None:
    """At the ends and in the middle, of the deviation of many estimates from noise alone."""
    noise = np.random.default_rng(0).normal(size=(40 - led, 20000))
    there = np.concatenate([np.repeat(noise[:1], led, 0), noise])
    seen = derivative(there, time, how, "x")[led:].std(axis=1)
    np.testing.assert_allclose(gain(time, how, False, led, "x"), seen, rtol=0.03)


@pytest.mark.parametrize("how", HOWS, ids=["savitzky_golay", "central"])
def test_noisy_orientations_turn_as_noisily_as_the_gain_says(how: Velocity) -> None:
    rng, size = np.random.default_rng(0), 1e-3
    seen = []
    for _ in range(300):
        turns = size * rng.normal(size=(40, 3))
        quaternions = np.concatenate([np.ones((40, 1)), turns / 2], axis=1)
        quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
        seen.append(angular_velocity(quaternions, REGULAR, how, "x"))
    deviations = np.sqrt(np.mean(np.square(seen), axis=(0, 2))) / size
    np.testing.assert_allclose(gain(REGULAR, how, True, 0, "x"), deviations, rtol=0.15)


@pytest.mark.parametrize("how", HOWS, ids=["savitzky_golay", "central"])
def test_a_rate_that_grows_evenly_is_exact_at_both_ends(how: Velocity) -> None:
    angle = 2 * REGULAR + 5 * REGULAR**2
    quaternions = np.stack([np.cos(angle / 2), 0 * angle, np.sin(angle / 2), 0 * angle], axis=1)
    found = angular_velocity(quaternions, REGULAR, how, "x")
    np.testing.assert_allclose(found[:, 1], 2 + 10 * REGULAR, atol=1e-6)
