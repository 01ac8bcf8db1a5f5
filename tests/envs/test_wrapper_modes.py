"""The wrapper from episode to episode: modes, copies, and where episodes start."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import gymnasium as gym
import mujoco
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


@pytest.mark.filterwarnings("ignore:.*infinity.*")
def test_modes_and_ranges_are_set_through_the_wrappers_of_a_vector() -> None:
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.vec_env import DummyVecEnv

    spec = shipped_spec("hopper")
    envs = DummyVecEnv([lambda: Monitor(DomainRandomization(gym.make("Hopper-v5"), spec))] * 2)
    envs.seed(0)
    envs.reset()
    assert all(info["dr"] for info in envs.reset_infos)
    envs.env_method("set_mode", "nominal")
    envs.env_method("set_randomization", spec)
    envs.reset()
    assert not any(info["dr"] for info in envs.reset_infos)
    envs.close()


class Gliding(gym.Env):  # type: ignore[type-arg]
    """A cart at a constant speed and its sensor, ten timesteps to an action."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float64)
    action_space = gym.spaces.Box(-1, 1, (0,))
    XML = """<mujoco><option timestep="0.002" gravity="0 0 0"/><worldbody>
      <camera name="eye"/><body><joint name="x" type="slide" axis="1 0 0"/><geom size=".1" mass="1"/></body></worldbody>
      <sensor><jointpos name="place" joint="x" nsample="40" interp="linear"/></sensor></mujoco>"""

    def __init__(self) -> None:
        self.model = mujoco.MjModel.from_xml_string(self.XML)
        self.data = mujoco.MjData(self.model)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:], self.data.qvel[:] = 0.7, 1.0
        mujoco.mj_forward(self.model, self.data)
        return self.data.sensordata.copy(), {}

    def step(self, action: Any) -> Any:
        mujoco.mj_step(self.model, self.data, 10)
        return self.data.sensordata.copy(), 0.0, False, False, {}


def test_a_delayed_sensor_begins_with_its_first_reading() -> None:
    env = DomainRandomization(
        Gliding(), spec_of(late=entry({"sensor": "place"}, "delay", "set", type="uniform", low=0.02, high=0.05))
    )
    for seed in range(3):
        observation, info = env.reset(seed=seed)
        late = round(info["dr"]["late"] / 0.002) * 0.002
        assert observation == pytest.approx(0.7)
        for step in range(1, 6):
            read_at = 0.02 * step - 0.002  # sensors are of a substep ago
            assert env.step(np.zeros(0))[0][0] == pytest.approx(0.7 + max(read_at - late, 0.0))
    env.set_mode("nominal")
    env.reset()
    assert env.step(np.zeros(0))[0][0] == pytest.approx(0.718)


@pytest.mark.parametrize(("kind", "field"), [("image", "exposure"), ("depth", "bias")])
def test_what_changes_pictures_alone_is_refused_where_the_environment_takes_them(kind: str, field: str) -> None:
    spec = spec_of(seen=entry({kind: "eye"}, field, "set", type="constant", value=1.0))
    with pytest.raises(DREnvError, match=rf"entries\.seen\.select: got {kind} 'eye', whose {field} nothing would show"):
        DomainRandomization(Gliding(), spec)
