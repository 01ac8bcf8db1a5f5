"""Reach and push: the arm against its published numbers, its controller, goals and success."""

from __future__ import annotations

import itertools

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray

from dr_env import GoalEnv, Spec, VectorEnv, compile_model, make_env, make_task, make_vector_env
from dr_env.rng import open_uniform
from tasks.manipulation.cartesian import jacobian, joint_step, turn_to
from tasks.manipulation.task import MAX_SPEED
from tests.conftest import entry, model_bytes, spec_of

Array = NDArray[np.float64]

TASKS = ["reach", "push"]

# Franka Control Interface documentation, "Denavit-Hartenberg parameters" (Craig): a, d, alpha of joints 1 to 7, the flange
DH = [
    (0, 0.333, 0),
    (0, 0, -np.pi / 2),
    (0, 0.316, np.pi / 2),
    (0.0825, 0, np.pi / 2),
    (-0.0825, 0.384, -np.pi / 2),
    (0, 0, np.pi / 2),
    (0.088, 0, np.pi / 2),
    (0, 0.107, 0),
]
HAND_TURN, TCP = -np.pi / 4, 0.1034  # the hand on the flange, and its tool centre point (franka_description)
# the same documentation, "Limits for Panda": lowest and highest position, rad, and torque, N m
LIMITS = [
    (-2.8973, 2.8973, 87),
    (-1.7628, 1.7628, 87),
    (-2.8973, 2.8973, 87),
    (-3.0718, -0.0698, 87),
    (-2.8973, 2.8973, 12),
    (-0.0175, 3.7525, 12),
    (-2.8973, 2.8973, 12),
]
# Gaz et al. 2019, as franka_description lists them: kg, and the inertia matrix xx yy zz xy xz yz, kg m^2
INERTIAS: dict[str, tuple[float, tuple[float, ...]]] = {
    "link0": (0.629769, (0.00315, 0.00388, 0.004285, 8.2904e-07, 0.00015, 8.2299e-06)),
    "link1": (4.970684, (0.70337, 0.70661, 0.009117, -0.000139, 0.006772, 0.019169)),
    "link2": (0.646926, (0.007962, 0.02811, 0.025995, -0.003925, 0.010254, 0.000704)),
    "link3": (3.228604, (0.037242, 0.036155, 0.01083, -0.004761, -0.011396, -0.012805)),
    "link4": (3.587895, (0.025853, 0.019552, 0.028323, 0.007796, -0.001332, 0.008641)),
    "link5": (1.225946, (0.035549, 0.029474, 0.008627, -0.002117, -0.004037, 0.000229)),
    "link6": (1.666555, (0.001964, 0.004354, 0.005433, 0.000109, -0.001158, 0.000341)),
    "link7": (0.735522, (0.012516, 0.010027, 0.004815, -0.000428, -0.001196, -0.000741)),
    "hand": (0.73, (0.001, 0.0025, 0.0017, 0, 0, 0)),
}


@pytest.fixture(params=TASKS)
def model(request: pytest.FixtureRequest) -> mujoco.MjModel:
    return make_task(request.param).mjspec().compile()


def _transform(a: float, d: float, alpha: float, theta: float) -> Array:
    """From one Denavit-Hartenberg frame to the last, in Craig's convention (J. Craig, eq. 3.6)."""
    ct, st, ca, sa = np.cos(theta), np.sin(theta), np.cos(alpha), np.sin(alpha)
    return np.array([[ct, -st, 0, a], [st * ca, ct * ca, -sa, -d * sa], [st * sa, ct * sa, ca, d * ca], [0, 0, 0, 1]])


def _poses(model: mujoco.MjModel, count: int) -> Array:
    low, high = model.jnt_range[:7].T
    return low + np.random.default_rng(0).random((count, 7)) * (high - low)


# the arm


def test_kinematics_are_the_published_ones(model: mujoco.MjModel) -> None:
    data = mujoco.MjData(model)
    for pose in _poses(model, 50):
        data.qpos[:7] = pose
        mujoco.mj_kinematics(model, data)
        frame = np.eye(4)
        for i, ((a, d, alpha), angle) in enumerate(zip(DH, [*pose, 0.0], strict=True)):
            frame = frame @ _transform(a, d, alpha, angle)
            if i < 7:
                found = data.body(f"link{i + 1}")
                np.testing.assert_allclose(found.xpos, frame[:3, 3], atol=1e-12)
                np.testing.assert_allclose(found.xmat.reshape(3, 3), frame[:3, :3], atol=1e-12)
        frame = frame @ _transform(0, TCP, 0, HAND_TURN)
        np.testing.assert_allclose(data.site("tip").xpos, frame[:3, 3], atol=1e-12)
        np.testing.assert_allclose(data.site("tip").xmat.reshape(3, 3), frame[:3, :3], atol=1e-9)


def test_limits_are_the_published_ones(model: mujoco.MjModel) -> None:
    for i, (low, high, torque) in enumerate(LIMITS):
        name = f"joint{i + 1}"
        assert model.joint(name).range.tolist() == [low, high]
        np.testing.assert_allclose(model.actuator(name).ctrlrange, [low, high], rtol=1e-12)
        assert model.actuator(name).forcerange.tolist() == [-torque, torque]
    assert model.joint("left_finger").range.tolist() == model.joint("right_finger").range.tolist() == [0, 0.04]


@pytest.mark.parametrize("link", INERTIAS)
def test_masses_and_inertias_are_the_published_ones(model: mujoco.MjModel, link: str) -> None:
    mass, (xx, yy, zz, xy, xz, yz) = INERTIAS[link]
    assert model.body(link).mass[0] == mass
    turn = np.zeros(9)
    mujoco.mju_quat2Mat(turn, model.body(link).iquat)
    axes = turn.reshape(3, 3)
    found = axes @ np.diag(model.body(link).inertia) @ axes.T
    np.testing.assert_allclose(found, [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]], atol=1e-9)


def test_the_arm_holds_itself_up(model: mujoco.MjModel) -> None:
    """Gravity compensation: the servos have nothing to do in any pose but for what they carry."""
    data = mujoco.MjData(model)
    for pose in make_task("reach").home + np.random.default_rng(0).uniform(-0.3, 0.3, (5, 7)):  # type: ignore[attr-defined]
        mujoco.mj_resetData(model, data)
        data.qpos[:7] = data.ctrl[:7] = pose
        data.ctrl[7:9] = data.qpos[7:9] = 0.0005
        mujoco.mj_forward(model, data)
        assert np.abs(data.actuator_force[:7]).max() < 1e-9
        for _ in range(100):
            mujoco.mj_step(model, data)
        assert np.abs(data.qpos[:7] - pose).max() < 1e-3


# the controller


def test_the_jacobian_is_mujocos(model: mujoco.MjModel) -> None:
    data = mujoco.MjData(model)
    poses = _poses(model, 20)
    axes, anchors, tips, expected = [], [], [], []
    for pose in poses:
        data.qpos[:7] = pose
        mujoco.mj_forward(model, data)
        linear, angular = np.zeros((3, model.nv)), np.zeros((3, model.nv))
        mujoco.mj_jacSite(model, data, linear, angular, 0)
        axes.append(data.xaxis[:7].copy())
        anchors.append(data.xanchor[:7].copy())
        tips.append(data.site_xpos[0].copy())
        expected.append(np.concatenate((linear[:, :7], angular[:, :7])))
    np.testing.assert_allclose(jacobian(np.array(axes), np.array(anchors), np.array(tips)), expected, atol=1e-12)


def test_damped_least_squares_minimise_what_they_should() -> None:
    """The step is the least of |J dq - dx|^2 + d^2 |dq|^2, found here as an ordinary least squares problem."""
    rng = np.random.default_rng(0)
    jacobians, motion = rng.normal(size=(10, 6, 7)), rng.normal(size=(10, 6))
    for j, dx, step in zip(jacobians, motion, joint_step(jacobians, motion), strict=True):
        stacked = np.concatenate((j, 0.05 * np.eye(7)))
        best = np.linalg.lstsq(stacked, np.concatenate((dx, np.zeros(7))), rcond=None)[0]
        np.testing.assert_allclose(step, best, atol=1e-10)


def test_a_turn_is_the_sine_about_the_axis() -> None:
    angle, axis = 0.3, np.array([0.0, 0.6, 0.8])
    quat, matrix = np.zeros(4), np.zeros(9)
    mujoco.mju_axisAngle2Quat(quat, axis, angle)
    mujoco.mju_quat2Mat(matrix, quat)
    np.testing.assert_allclose(turn_to(np.eye(3)[None], matrix.reshape(3, 3))[0], np.sin(angle) * axis, atol=1e-12)


@pytest.mark.parametrize("task", TASKS)
def test_limits_hold_whatever_is_asked_for(task: str) -> None:
    """Random and extreme actions: targets within the joints' ranges and speeds, the tip in its workspace."""
    env = make_vector_env(task=task, num_envs=16, randomization="default")
    low, high = env.model.jnt_range[:7].T
    box = env.task.workspace  # type: ignore[attr-defined]
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    size = env.single_action_space.shape[0]  # type: ignore[index]
    corners = np.array(list(itertools.product([-1, 1], repeat=size)), np.float32)
    noise = 0.02  # rad and m: command noise, overshoot, sagging under the payload
    before = env._live["ctrl"][:, :7].copy()
    for step in range(48):
        actions = np.resize(corners, (16, size)) if step < 30 else 2 * rng.uniform(-1, 1, (16, size))
        env.step(actions.astype(np.float32))
        ctrl, qpos, tip = env._live["ctrl"][:, :7], env._live["qpos"][:, :7], env._live["site_xpos"][:, 0]
        assert (ctrl >= low - noise).all() and (ctrl <= high + noise).all()
        assert (qpos >= low - noise).all() and (qpos <= high + noise).all()
        assert (np.abs(ctrl - before) <= MAX_SPEED * env.task.dt + noise).all()
        assert (tip >= box[0] - 3 * noise).all() and (tip <= box[1] + 3 * noise).all()
        before = ctrl.copy()


@pytest.mark.parametrize("task", TASKS)
def test_the_tip_goes_where_it_is_sent_and_stays_upright(task: str) -> None:
    env = make_vector_env(task=task, num_envs=4)
    env.reset(seed=0)
    before = env._live["site_xpos"][:, 0].copy()
    action = np.zeros(env.action_space.shape, np.float32)  # type: ignore[arg-type]
    action[:, 1] = -1
    for _ in range(6):
        env.step(action)
    for _ in range(6):
        env.step(0 * action)
    moved = env._live["site_xpos"][:, 0] - before
    assert np.abs(moved[:, 1] + 6 * env.task.max_step).max() < 0.01  # type: ignore[attr-defined]
    assert np.abs(moved[:, [0, 2]]).max() < 0.015
    frames = env._live["site_xmat"][:, 0].reshape(-1, 3, 3)
    assert np.abs(frames - np.diag([1, -1, -1])).max() < 0.03


@pytest.mark.parametrize("task", TASKS)
def test_a_delayed_arm_holds_its_pose(task: str) -> None:
    """Before the first command arrives, a delayed servo has its initial target, not 0."""
    late = spec_of(late=entry({"actuator": "joint*"}, "delay", "set", type="constant", value=0.1))
    env = make_vector_env(task=task, num_envs=2, randomization=late)
    env.reset(seed=0)
    before = env._live["qpos"][:, :7].copy()
    moving = np.ones(env.action_space.shape, np.float32)  # type: ignore[arg-type]
    for _ in range(2):
        env.step(moving)
        assert np.abs(env._live["qpos"][:, :7] - before).max() < 1e-3
    for _ in range(5):
        env.step(moving)
    assert np.abs(env._live["qpos"][:, :7] - before).max() > 0.05


@pytest.mark.parametrize("task", TASKS)
def test_a_lost_first_command_moves_nothing(task: str) -> None:
    lost = spec_of(lost=entry({"action": "*"}, "dropout", "set", type="constant", value=1.0))
    env = make_vector_env(task=task, num_envs=2, randomization=lost)
    env.reset(seed=0)
    before = env._live["qpos"][:, :9].copy()
    for _ in range(5):
        env.step(np.ones(env.action_space.shape, np.float32))  # type: ignore[arg-type]
    assert np.abs(env._live["qpos"][:, :9] - before).max() < 1e-3


# goals


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.filterwarnings("ignore:.*Box observation space")
def test_gymnasium_accepts_them(task: str) -> None:
    env = make_env(task=task, randomization="default")
    assert isinstance(env, GoalEnv)
    check_env(env, skip_render_check=True)
    assert gym.make(f"dr_env/{task.capitalize()}-v0").action_space == env.action_space


@pytest.mark.parametrize("task", TASKS)
def test_the_reward_is_that_of_the_goals_and_the_step(task: str) -> None:
    """Gymnasium's law for goal-conditioned environments: what was earned is what `compute_reward` says."""
    env = make_env(task=task)
    assert isinstance(env, GoalEnv)
    weight, threshold = env.task.distance_weight, env.task.threshold  # type: ignore[attr-defined]
    env.reset(seed=0)
    env.action_space.seed(0)
    shaped = set()
    for _ in range(40):
        observation, reward, _, _, info = env.step(env.action_space.sample())
        achieved, desired = observation["achieved_goal"], observation["desired_goal"]
        assert reward == env.compute_reward(achieved, desired, info)
        assert info["reward_goal"] == env.compute_reward(achieved, desired, {})
        assert reward == info["reward_goal"] + info.get("reward_shaping", 0.0)
        shaped.add("reward_shaping" in info)
        distance = np.linalg.norm(achieved - desired)
        assert info["is_success"] is bool(distance <= threshold)
        assert info["reward_goal"] == pytest.approx(-weight * distance - (distance > threshold))
        # other goals, one or many
        assert env.compute_reward(achieved, achieved, {}) == 0
        goals = np.stack((achieved, achieved + 1))
        rewards = env.compute_reward(np.stack((achieved, achieved)), goals, [info, {}])
        expected = info.get("reward_shaping", 0.0), -1 - weight * np.sqrt(len(achieved))
        np.testing.assert_allclose(rewards, expected)
    assert shaped == {task == "push"}


def test_without_distance_the_reward_is_sparse() -> None:
    reach = make_task("reach", distance_weight=0.0)
    achieved = np.zeros((3, 3))
    desired = np.array([[0, 0, 0], [0.02, 0, 0], [0.03, 0, 0]])
    assert reach.goal_reward(achieved, desired).tolist() == [0, 0, -1]


# draws, seeds, batches


@pytest.mark.parametrize("task", TASKS)
def test_one_environment_is_a_row_of_many(task: str) -> None:
    """The same Draw, goal, observations and rewards, bit for bit, alone or beside others, on one thread or two."""
    spec = Spec.load(make_task(task).file("randomization.yaml"))
    many = VectorEnv(make_task(task), 5, spec, threads=2)
    single = make_env(task=task, randomization=spec)
    shown, info = many.reset(seed=[7, 8, 9, 10, 11])
    alone, single_info = single.reset(seed=9)
    assert all((alone[key] == shown[key][2]).all() for key in alone)
    assert all((np.asarray(single_info["dr"][name]) == info["dr"][name][2]).all() for name in spec.entries)
    rng = np.random.default_rng(0)
    for _ in range(40):
        actions = rng.uniform(-1, 1, many.action_space.shape).astype(np.float32)  # type: ignore[arg-type]
        shown, rewards, *_, infos = many.step(actions)
        alone, reward, _, _, single_info = single.step(actions[2])
        assert all((alone[key] == shown[key][2]).all() for key in alone)
        assert reward == rewards[2]
        assert single_info["is_success"] == infos["is_success"][2]


@pytest.mark.parametrize("task", TASKS)
def test_restoring_gives_the_nominal_arm_back(task: str) -> None:
    made = make_task(task)
    nominal = made.mjspec().compile()
    for name in ("randomization.yaml", "target.yaml"):
        spec = Spec.load(made.file(name))
        names = made.observation_names(nominal)
        model = compile_model(made.mjspec(), spec, names)
        before, plan = model_bytes(model), spec.bind(model, names)
        for seed in range(3):
            plan.apply(model, plan.sample(np.random.default_rng(seed)))
            assert model_bytes(model) != before
        plan.restore(model)
        assert model_bytes(model) == before


@pytest.mark.parametrize("task", TASKS)
def test_every_mode_resets_alike(task: str) -> None:
    """Goals and servo targets are set anew in each episode, whichever way it starts."""
    same, later = (
        make_vector_env(task=task, num_envs=3, max_episode_steps=4, autoreset_mode=mode, flat_goal=True)
        for mode in ("SameStep", "NextStep")
    )
    same.reset(seed=0)
    later.reset(seed=0)
    action = np.full(same.action_space.shape, 0.5, np.float32)  # type: ignore[arg-type]
    for _ in range(3):
        for _ in range(4):
            first = same.step(action)[0]
            later.step(action)
        second = later.step(action)[0]
        assert (first == second).all()
        assert (same._live["mocap_pos"] == later._live["mocap_pos"]).all()
        assert (same._live["ctrl"] == later._live["ctrl"]).all()


@pytest.mark.parametrize("task", TASKS)
def test_goals_are_drawn_where_the_readme_says(task: str) -> None:
    made = make_task(task)
    model = made.mjspec().compile()
    uniform = open_uniform(np.random.default_rng(0), (2000, made.reset_width(model)))
    state = made.initial_state(model, uniform)
    goals = state["mocap_pos"][:, 0]
    assert state["ctrl"].shape == (2000, model.nu)
    assert (state["ctrl"] == state["qpos"][:, : model.nu]).all()
    if task == "reach":
        np.testing.assert_allclose([goals.min(0), goals.max(0)], [[0.3, -0.3, 0.08], [0.6, 0.3, 0.5]], atol=0.005)
    else:
        blocks = state["qpos"][:, 9:12]
        np.testing.assert_allclose(
            [blocks[:, :2].min(0), blocks[:, :2].max(0)], [[0.46, -0.12], [0.56, 0.12]], atol=0.005
        )
        away = np.linalg.norm(goals[:, :2] - blocks[:, :2], axis=1)
        np.testing.assert_allclose([away.min(), away.max()], [0.08, 0.18], atol=0.002)
        assert goals[:, 0].min() > 0.27 and goals[:, 0].max() < 0.75


def test_the_block_rests_on_the_table_whatever_its_size() -> None:
    env = make_vector_env(task="push", num_envs=32, randomization="default")
    env.reset(seed=0)
    still = np.zeros(env.action_space.shape, np.float32)  # type: ignore[arg-type]
    for _ in range(20):
        env.step(still)
    sizes = env._batch.expand("geom_size")[:, env.model.geom("block").id, 2]
    assert np.ptp(sizes) > 0.005
    np.testing.assert_allclose(env._live["qpos"][:, 11], sizes, atol=1e-3)
    assert np.abs(env._live["qvel"][:, 9:]).max() < 0.01


@pytest.mark.parametrize("task", TASKS)
def test_the_shipped_worlds_stay_stable(task: str) -> None:
    for name in ("default", str(make_task(task).file("target.yaml"))):
        env = make_vector_env(task=task, num_envs=64, randomization=name)
        env.reset(seed=1)
        env.action_space.seed(1)
        for _ in range(60):
            env.step(env.action_space.sample())
        assert env.failures == 0
        assert env.acceptance_rate > 0.99
