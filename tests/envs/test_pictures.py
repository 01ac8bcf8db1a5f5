"""Pictures of environments are those of the camera that the Spec describes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dr_env import Env, VectorEnv, make_task
from dr_env.rendering import camera_intrinsics
from tests.conftest import entry, spec_of
from tests.rendering.test_classic import needs_gl

SIZE = {"render_mode": "rgb_array", "width": 96, "height": 72}
DARK = {"dark": entry({"image": "*"}, "exposure", "add", type="uniform", low=-3, high=-1)}
NOISY = {"noise": entry({"image": "*"}, "full_well", "set", type="constant", value=200)}
LENS = {"lens": entry({"image": "*"}, "brown_conrady[0]", "set", type="constant", value=-0.3)}


def _task(name: str = "push"):  # type: ignore[no-untyped-def]
    task = make_task(name)
    if task.camera is None:
        pytest.skip(f"{name} has no camera of its own")
    return task


def _pictures(randomization: object, count: int = 2) -> np.ndarray:
    env = VectorEnv(_task(), count, randomization, **SIZE)  # type: ignore[arg-type]
    env.reset(seed=0)
    first = env.render()
    env.step(np.zeros((count, *env.single_action_space.shape), np.float32))  # type: ignore[misc]
    pictures = np.stack([*first, *env.render()])  # type: ignore[misc]
    env.close()
    return pictures


@needs_gl
def test_sensors_act_on_what_is_rendered() -> None:
    clean, dark, noisy = (_pictures(spec_of(**entries)) for entries in ({}, DARK, NOISY))
    assert (dark.mean((1, 2, 3)) < 0.8 * clean.mean((1, 2, 3))).all()
    assert np.std(noisy.astype(float) - clean) > 3
    assert (_pictures(spec_of(**NOISY)) == noisy).all()
    assert ((noisy[0].astype(int) - clean[0]) != (noisy[1].astype(int) - clean[1])).any(), (
        "two environments, two noises"
    )
    assert ((noisy[0].astype(int) - clean[0]) != (noisy[2].astype(int) - clean[2])).any(), "two steps, two noises"


@needs_gl
def test_noise_does_not_depend_on_how_many_run_beside() -> None:
    few, many = _pictures(spec_of(**NOISY), 1), _pictures(spec_of(**NOISY), 3)
    assert (few[0] == many[0]).all()


@needs_gl
def test_a_lens_bends_pictures() -> None:
    """By OpenCV: each pixel of the lens's picture shows what the pinhole has where its ray is undistorted to."""
    clean, bent = _pictures(spec_of())[0], _pictures(spec_of(**LENS))[0]
    model = _task().mjspec().compile()
    camera = camera_intrinsics(model, _task().camera, 96, 72)
    pixels = np.stack(np.meshgrid(np.arange(96), np.arange(72)), -1).reshape(-1, 1, 2).astype(np.float64)
    straight = cv2.undistortPoints(pixels, camera.K, np.array([-0.3, 0, 0, 0, 0]), P=camera.K)
    columns, rows = straight.reshape(72, 96, 2).astype(np.float32).transpose(2, 0, 1)
    expected = cv2.remap(clean, columns, rows, cv2.INTER_LINEAR)
    inside = (columns > 1) & (columns < 94) & (rows > 1) & (rows < 70)
    assert inside.mean() > 0.5
    difference = np.abs(bent.astype(int) - expected).mean(-1)[inside]
    assert (
        np.median(difference) <= 1
        and difference.mean() < 0.6 * np.abs(bent.astype(int) - clean).mean(-1)[inside].mean()
    )


@needs_gl
def test_one_environment_alone() -> None:
    env = Env(_task(), spec_of(**NOISY), **SIZE)  # type: ignore[arg-type]
    env.reset(seed=0)
    assert (env.render() == _pictures(spec_of(**NOISY), 1)[0]).all()
    env.close()
