"""The wrapper from episode to episode: modes, copies, and where episodes start."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from dr_env import DomainRandomization, DREnvError, Spec, VectorEnv, make_task
from tests.conftest import entry, shipped_spec, spec_of


def test_training_goes_on_after_an_evaluation_where_it_was() -> None:
    spec = shipped_spec("hopper")
    straight, between = (DomainRandomization(gym.make("Hopper-v5"), spec) for _ in range(2))
    straight.reset(seed=0)
    between.reset(seed=0)
    between.mode = "evaluate"
    first = between.reset()[1]["dr"]
    between.mode = "train"
    assert straight.reset()[1]["dr"] == between.reset()[1]["dr"]
    between.mode = "evaluate"
    assert between.reset()[1]["dr"] == first


def test_copies_are_refused() -> None:
    env = DomainRandomization(gym.make("Hopper-v5"), shipped_spec("hopper"))
    for copied in (copy.deepcopy, pickle.dumps):
        with pytest.raises(DREnvError, match="cannot be copied or pickled"):
            copied(env)


def test_a_change_of_mode_leaves_the_episode_under_way_alone() -> None:
    form = spec_of(g=entry("option", "gravity[0]", "add", type="normal", mean=0, std=1)).to_dict()
    form["entries"]["g"] |= {"trigger": "interval", "every": 0.08}

    def drawn(mode: Any) -> list[float]:
        env = DomainRandomization(gym.make("Hopper-v5"), Spec.from_dict(form))
        env.reset(seed=3)
        found = []
        for k in range(40):
            if k == 25:
                env.mode = mode
            env.step(np.zeros(3))
            found.append(float(env.draw["g"]))
        return found

    assert drawn("train") == drawn("evaluate") == drawn("nominal")


def test_a_joint_assembled_elsewhere_starts_where_the_compiled_model_does() -> None:
    """In Gymnasium's environments, which keep where they start, in ours, and back in the nominal world."""
    spec = spec_of(ref=entry({"joint": "thigh_joint"}, "ref", "add", type="constant", value=0.3))
    wrapped = DomainRandomization(gym.make("Hopper-v5"), spec)
    data = wrapped.unwrapped.data  # type: ignore[attr-defined]
    wrapped.reset(seed=0)
    moved = data.qpos.copy(), data.body("foot").xpos.copy()
    wrapped.mode = "nominal"
    wrapped.reset(seed=0)
    plain = data.qpos.copy(), data.body("foot").xpos.copy()
    np.testing.assert_allclose(moved[0] - plain[0], 0.3 * (np.arange(6) == 3), atol=1e-12)
    np.testing.assert_allclose(moved[1], plain[1], atol=1e-12)
    ours, nominal = (VectorEnv(make_task("hopper"), 3, each, threads=1).reset(seed=4)[0] for each in (spec, None))
    np.testing.assert_allclose(ours[:, :5] - nominal[:, :5], np.tile(0.3 * (np.arange(5) == 2), (3, 1)), atol=1e-12)
