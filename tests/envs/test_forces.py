"""`cfrc_ext` in a batch is what MuJoCo gives for one simulation after another."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

import dr_env
from tests.conftest import entry, spec_of

Array = NDArray[np.float64]

BOX = """
<mujoco>
  <option timestep="0.005" integrator="{integrator}"/>
  <worldbody>
    <geom name="floor" type="plane" size="5 5 .1"/>
    <body name="box" pos="0 0 .3">
      <freejoint name="root"/>
      <geom name="box" type="box" size=".1 .1 .1" mass="2"/>
      <body name="lid" pos="0 0 .1"><joint name="hinge" axis="0 1 0"/><geom size=".05" pos=".1 0 .1" mass=".2"/></body>
    </body>
  </worldbody>
  <actuator><motor name="motor" joint="hinge" ctrlrange="-1 1"/></actuator>
</mujoco>
"""


def make(
    tmp_path: Path, integrator: str, fields: tuple[str, ...], num_envs: int, **arguments: object
) -> dr_env.VectorEnv:
    path = tmp_path / "box.xml"
    path.write_text(BOX.format(integrator=integrator))
    width = {"qpos": 8, "qvel": 7, "cfrc_ext": 18, "xpos": 9}
    task = dr_env.make_task(
        path,
        observe=lambda data: np.concatenate([data[f].reshape(-1, width[f]) for f in fields], axis=1),
        reward=lambda before, action, after: after["cfrc_ext"][:, 1, 5],
        fields=fields,
        frame_skip=4,
        reset_noise=0.3,
        max_episode_steps=30,
    )
    return dr_env.VectorEnv(task, num_envs, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("integrator", ["Euler", "RK4"])
def test_forces_equal_those_of_single_simulations(tmp_path: Path, integrator: str) -> None:
    env = make(tmp_path, integrator, ("qpos", "qvel", "cfrc_ext"), 5, threads=2)
    observations, _ = env.reset(seed=0)
    assert (observations[:, 15:] == 0).all()
    datas = [mujoco.MjData(env.model) for _ in range(5)]
    for data, row in zip(datas, observations, strict=True):
        data.qpos, data.qvel = row[:8], row[8:15]
        mujoco.mj_forward(env.model, data)
    touched = 0.0
    for i in range(29):
        action = np.full((5, 1), np.sin(i), np.float32)
        observations, reward, *_ = env.step(action)
        for data, row, force in zip(datas, observations, reward, strict=True):
            data.ctrl[:] = action[0]
            mujoco.mj_step(env.model, data, 4)
            mujoco.mj_rnePostConstraint(env.model, data)
            np.testing.assert_array_equal(row[15:], data.cfrc_ext.reshape(-1))
            np.testing.assert_array_equal(row[:8], data.qpos)
            assert force == data.cfrc_ext[1, 5]
            touched = max(touched, force)
    assert touched > 10  # the box weighs 22 N
    # the next episode starts without forces
    observations, *_ = env.step(action)
    assert (observations[:, 15:] == 0).all()


def test_other_fields_beside_forces_are_those_of_the_new_state(tmp_path: Path) -> None:
    env = make(tmp_path, "Euler", ("qpos", "qvel", "cfrc_ext", "xpos"), 3)
    env.reset(seed=0)
    data = mujoco.MjData(env.model)
    for _ in range(20):
        observations, *_ = env.step(np.zeros((3, 1), np.float32))
    for row in observations:
        data.qpos = row[:8]
        mujoco.mj_kinematics(env.model, data)
        np.testing.assert_allclose(row[33:], data.xpos.reshape(-1), atol=1e-12)


def test_asking_for_forces_changes_no_motion(tmp_path: Path) -> None:
    spec = spec_of(mass=entry({"body": "*"}, "mass", "scale", type="uniform", low=0.5, high=2.0, per="element"))
    with_forces = make(tmp_path, "Euler", ("qpos", "qvel", "cfrc_ext"), 4, randomization=spec)
    with_both = make(tmp_path, "Euler", ("qpos", "qvel", "cfrc_ext", "xpos"), 4, randomization=spec)
    one, both = with_forces.reset(seed=7)[0], with_both.reset(seed=7)[0]
    for _ in range(25):
        one, *_ = with_forces.step(np.ones((4, 1), np.float32))
        both, *_ = with_both.step(np.ones((4, 1), np.float32))
    np.testing.assert_array_equal(one, both[:, :33])


@pytest.mark.parametrize("name", ["delay", "timestep", "looks"])
def test_forces_of_models_that_are_compiled_for_a_spec(tmp_path: Path, name: str) -> None:
    varying = {
        "delay": entry({"actuator": "motor"}, "delay", "set", type="uniform", low=0.0, high=0.02),
        "timestep": {**entry("option", "timestep", "scale", type="constant", value=1.0), "trigger": "compile"},
        "looks": entry({"geom": "box"}, "specular", "set", type="uniform", low=0.0, high=1.0),
    }
    spec = spec_of(e=varying[name])
    env = make(tmp_path, "Euler", ("qpos", "qvel", "cfrc_ext"), 3, randomization=spec)
    _, info = env.reset(seed=0)
    for _ in range(25):
        observations, *_ = env.step(np.zeros((3, 1), np.float32))
    assert (np.abs(observations[:, 20:]).max(axis=1) > 10).all()  # the box lies on the floor
    # what computes them is no part of the model that others see
    assert env.model.nplugin == 0
    env.reset(options={"draw": info["dr"]})
    np.testing.assert_array_equal(env.columns["e"], info["dr"]["e"])
