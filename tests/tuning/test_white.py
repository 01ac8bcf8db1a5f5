"""White noise of states, from its echo in the next prediction."""

import numpy as np
import pytest
from numpy.typing import NDArray

from dr_env.tuning.white import echoed

Array = NDArray[np.float64]

STD = np.array([0.3, 0.05, 0.0])
K = 3000


def slopes_of(rng: np.random.Generator) -> Array:
    """Starts that are carried on as they are, but for what touches, which forgets some and multiplies others."""
    slopes = np.broadcast_to(np.eye(3), (K, 3, 3)) + 0.3 * rng.normal(size=(K, 3, 3))
    return slopes * np.where(rng.random(K) < 0.1, 4.0, 1.0)[:, None, None]


def test_the_noise_of_each_coordinate_is_found() -> None:
    rng = np.random.default_rng(0)
    slopes, states = slopes_of(rng), STD * rng.normal(size=(K + 1, 3))
    residuals = np.einsum("kji,ki->kj", slopes, states[:-1]) - states[1:] + 0.02 * rng.normal(size=(K, 3))
    chained = np.arange(K) > 0
    np.testing.assert_allclose(np.sqrt(echoed(residuals, slopes, chained)), STD, rtol=0.15, atol=0.02)
    residuals[rng.random((K, 3)) < 0.2] = np.nan  # some were not measured
    residuals[rng.random(K) < 0.02] *= 30  # and some are far out
    np.testing.assert_allclose(np.sqrt(echoed(residuals, slopes, chained)), STD, rtol=0.15, atol=0.02)


@pytest.mark.parametrize("kind", ["unrelated", "lasting", "unchained", "unmeasured", "short"])
def test_what_leaves_no_echo_is_no_noise_of_states(kind: str) -> None:
    rng = np.random.default_rng(1)
    slopes, states, chained = slopes_of(rng), 0.3 * rng.normal(size=(K + 1, 3)), np.arange(K) > 0
    residuals = np.einsum("kji,ki->kj", slopes, states[:-1]) - states[1:]
    if kind == "unrelated":
        residuals = residuals[rng.permutation(K)]
    elif kind == "lasting":  # what a model lacks: the same for a while
        residuals = np.repeat(states[: K // 20], 20, axis=0)
    elif kind == "unchained":
        chained[:] = False
    elif kind == "unmeasured":
        residuals[:] = np.nan
    else:
        residuals, slopes, chained = residuals[:1], slopes[:1], chained[:1]
    found = np.sqrt(echoed(residuals, slopes, chained))
    assert (found < 0.06).all()  # a fifth of what it would be with an echo
    if kind != "unrelated":
        assert not found.any()
