"""The shipped tasks: their files, their rewards, and what is special about some."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import linalg

import dr_env
from dr_env import Spec
from tasks.swing_up import SwingUp

Array = NDArray[np.float64]

SWING_UPS = ["pendulum", "cartpole", "double_pendulum", "furuta"]
OURS = [*SWING_UPS, "cube_toss", "ant"]


def swing_up(name: str) -> tuple[SwingUp, mujoco.MjModel]:
    task = dr_env.make_task(name)
    assert isinstance(task, SwingUp)
    return task, task.mjspec().compile()


@pytest.mark.parametrize("name", OURS)
def test_the_target_is_partly_inside_partly_outside_and_partly_beyond_the_model(name: str) -> None:
    task = dr_env.make_task(name)
    training, target = (Spec.load(task.file(file)) for file in ("randomization.yaml", "target.yaml"))
    inside = outside = unmodelled = 0
    for entry in target.entries.values():
        low, high = entry.distribution.support()
        assert low == high, "a target is one world"
        alike = [
            other.distribution.support()
            for other in training.entries.values()
            if (other.select.kind, other.field, other.operation) == (entry.select.kind, entry.field, entry.operation)
        ]
        inside += any(a <= low <= b for a, b in alike)
        outside += bool(alike) and not any(a <= low <= b for a, b in alike)
        unmodelled += not alike
    assert inside
    assert outside
    assert unmodelled


@pytest.mark.parametrize("name", OURS)
def test_worlds_differ_and_none_diverges(name: str) -> None:
    task = dr_env.make_task(name)
    for file in ("randomization.yaml", "target.yaml"):
        env = dr_env.VectorEnv(task, 8, Spec.load(task.file(file)))
        observations, _ = env.reset(seed=1)
        env.action_space.seed(1)
        for _ in range(40):
            observations, *_ = env.step(env.action_space.sample())
            assert np.isfinite(observations).all()
        assert env.failures == 0
        assert len(np.unique(observations, axis=0)) == 8


@pytest.mark.parametrize("name", SWING_UPS)
def test_rewards_are_between_hanging_and_upright(name: str) -> None:
    task, model = swing_up(name)
    still = np.zeros((1, model.nu), np.float32)

    def earned(qpos: Array, qvel: Array, action: NDArray[np.float32]) -> Array:
        data = {"qpos": qpos, "qvel": qvel}
        return task.reward(data, action, data)[0]

    upright = np.zeros((1, model.nq))
    upright[0, {"cartpole": 1, "furuta": 1}.get(name, 0)] = np.pi
    rest = np.zeros((1, model.nv))
    assert earned(np.zeros((1, model.nq)), rest, still) == pytest.approx(0)
    assert earned(upright, rest, still) == pytest.approx(1)
    assert earned(upright, rest, still + task.limits.astype(np.float32)) == pytest.approx(0.9)
    assert earned(upright, rest + task.swift, still) == pytest.approx(0.75)
    rng = np.random.default_rng(0)
    many = earned(
        rng.uniform(-10, 10, (1000, model.nq)),
        rng.normal(0, 20, (1000, model.nv)),
        rng.normal(0, 10, (1000, model.nu)).astype(np.float32),
    )
    assert ((many >= 0) & (many <= 1)).all()


@pytest.mark.parametrize("name", SWING_UPS)
def test_what_hangs_goes_on_hanging(name: str) -> None:
    env = dr_env.VectorEnv(dr_env.make_task(name), 4)
    env.reset(seed=0, options={"qpos": np.zeros(env.model.nq), "qvel": np.zeros(env.model.nv)})
    for _ in range(50):
        _, reward, *_ = env.step(np.zeros(env.action_space.shape, np.float32))
    assert (np.abs(reward) < 1e-9).all()


def test_torque_limits_are_the_action_space() -> None:
    env = dr_env.VectorEnv(dr_env.make_task("double_pendulum", torque_limits=(2.0, 0.5)), 1)
    np.testing.assert_array_equal(env.single_action_space.high, [2.0, 0.5])
    np.testing.assert_array_equal(env.single_action_space.low, [-2.0, -0.5])


def test_furutas_motor_obeys_its_law() -> None:
    """At its no-load speed a motor's torque, km (V - km thetadot) / Rm, is that of friction."""
    model = swing_up("furuta")[1]
    data = mujoco.MjData(model)
    data.ctrl[0] = volts = 2.0
    for _ in range(5000):
        mujoco.mj_step(model, data)
    resistance, constant, damping = 8.4, 0.042, model.dof_damping[0]
    expected = constant / resistance * volts / (constant**2 / resistance + damping)
    assert data.qvel[0] == pytest.approx(expected, rel=2e-3)


def test_furuta_moves_as_its_mirror_image_does() -> None:
    task, model = swing_up("furuta")
    spec = dr_env.Spec.load(task.file("prior.yaml"))
    build = dr_env.build_model(task.mjspec(), spec)
    plan = spec.bind(build.model, (), build)
    plan.apply(build.model, plan.sample(np.random.default_rng(0)))
    time = np.arange(1000) * model.opt.timestep
    volts = 1.5 * np.cos(2 * np.pi * (5 * time - 0.5 * time**2))
    places = []
    for sign in (1, -1):
        data = mujoco.MjData(build.model)
        data.qpos[:] = sign * np.array([0.1, -0.2])
        path = []
        for volt in volts:
            data.ctrl[:] = sign * volt
            mujoco.mj_step(build.model, data)
            path.append(sign * data.qpos.copy())
        places.append(np.array(path))
    assert np.ptp(places[0], axis=0).min() > 0.1
    np.testing.assert_allclose(places[0], places[1], atol=1e-9)


def test_furuta_ends_where_its_cable_does() -> None:
    env = dr_env.VectorEnv(dr_env.make_task("furuta"), 2)
    env.reset(seed=0, options={"qpos": np.zeros(2), "qvel": np.zeros(2)})
    action = np.array([[5.0], [0.0]], np.float32)
    ended = np.zeros(2, bool)
    for _ in range(50):
        _, _, terminated, _, _ = env.step(action)
        ended |= terminated
    np.testing.assert_array_equal(ended, [True, False])


def test_the_cube_comes_to_rest_on_a_face() -> None:
    env = dr_env.VectorEnv(dr_env.make_task("cube_toss"), 16, max_episode_steps=500)
    nothing = np.zeros((16, 0), np.float32)
    assert env.action_space.shape == (16, 0)
    observations, _ = env.reset(seed=0)
    np.testing.assert_allclose(np.linalg.norm(observations[:, 3:7], axis=1), 1)
    assert (observations[:, 2] > 0.1048 * np.sqrt(3) / 2).all()  # nothing starts in the table
    for _ in range(499):
        observations, _, _, _, info = env.step(nothing)
    np.testing.assert_allclose(info["height"], 0.0524, atol=5e-4)
    assert (info["speed"] < 0.01).all()
    single = dr_env.Env(dr_env.make_task("cube_toss"))
    first, _ = single.reset(seed=3)
    assert first.shape == (13,)
    second, reward, *_ = single.step(np.zeros(0, np.float32))
    assert reward == 0
    assert (first != second).any()


def test_linear_feedback_balances_furuta_in_every_world() -> None:
    """The task can be done: a regulator for the nominal model holds the pendulum up in all the worlds."""
    task, model = swing_up("furuta")
    model.opt.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST  # RK4 has no derivatives
    data = mujoco.MjData(model)
    data.qpos[1] = np.pi
    once, push = np.zeros((4, 4)), np.zeros((4, 1))
    mujoco.mjd_transitionFD(model, data, 1e-6, True, once, push, None, None)
    powers = [np.linalg.matrix_power(once, i) for i in range(task.frame_skip + 1)]
    step, push = powers[-1], sum(power @ push for power in powers[:-1])
    cost = linalg.solve_discrete_are(step, push, np.diag([1, 5, 0.02, 0.05]), np.array([[0.1]]))
    gain = np.linalg.solve(0.1 + push.T @ cost @ push, push.T @ cost @ step)  # (1, 4)
    for file in ("randomization.yaml", "target.yaml"):
        env = dr_env.VectorEnv(task, 16, Spec.load(task.file(file)))
        seen, _ = env.reset(seed=0, options={"qpos": np.array([0, np.pi + 0.05]), "qvel": np.zeros(2)})
        earned = np.zeros(16)
        for _ in range(300):
            arm, pendulum = np.arctan2(seen[:, 2], seen[:, 0]), np.arctan2(-seen[:, 3], -seen[:, 1])
            state = np.stack((arm, pendulum, seen[:, 4], seen[:, 5]), axis=1)
            seen, reward, terminated, *_ = env.step(np.clip(-state @ gain.T, -5, 5).astype(np.float32))
            assert not terminated.any()
            earned += reward
        assert (earned > 0.85 * 300).all()
