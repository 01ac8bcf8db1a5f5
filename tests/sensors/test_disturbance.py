"""Pushes: when they come, what they give, and whom they leave alone."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from dr_env import DomainRandomization, DREnvError, Env, Spec, Task, VectorEnv, make_task
from dr_env.sensors import Disturbance
from tests.conftest import entry, spec_of

DT = 0.02
MASS = 2.0
BALLS = f"""
<mujoco model="balls">
  <option timestep="0.004" gravity="0 0 0"/>
  <worldbody>
    <body name="a"><freejoint/><geom size=".1" mass="{MASS}" contype="0"/></body>
    <body name="b"><freejoint/><geom size=".1" mass="{MASS}" contype="0"/></body>
  </worldbody>
</mujoco>
"""


@pytest.fixture
def task(tmp_path: Path) -> Task:
    path = tmp_path / "balls.xml"
    path.write_text(BALLS)
    return make_task(path, reward=lambda before, action, after: np.zeros(len(action)), frame_skip=5)


def _spec(body: str = "a", **numbers: float) -> Spec:
    return spec_of(
        **{
            f"{body}_{name.replace('__', '_')}": entry(
                {"body": body}, name.replace("__", "[") + "]" * ("__" in name), "set", type="constant", value=value
            )
            for name, value in numbers.items()
        }
    )


def _join(*specs: Spec) -> Spec:
    return Spec(entries={name: form for spec in specs for name, form in spec.entries.items()})


def _momenta(env: VectorEnv, steps: int, seed: int = 0) -> np.ndarray:
    """Momenta of both balls, (steps + 1, n, 2, 3)."""
    observations, _ = env.reset(seed=seed)
    history = [observations]
    for _ in range(steps):
        history.append(env.step(np.zeros((env.num_envs, 0), np.float32))[0])
    velocities = np.array(history)[..., 14:].reshape(steps + 1, env.num_envs, 2, 6)[..., :3]
    return MASS * velocities


def test_an_impulse_is_the_momentum_gained(task: Task) -> None:
    momenta = _momenta(VectorEnv(task, 4, _spec(push_impulse=0.5, push_interval=0.1)), 100)
    gained = np.linalg.norm(np.diff(momenta[:, :, 0], axis=0), axis=-1)  # (steps, n)
    struck = gained > 1e-9
    assert np.flatnonzero(struck[:, 0]).tolist() == list(range(5, 100, 5))  # at 0.1 s, 0.2 s, ...
    np.testing.assert_allclose(gained[struck], 0.5, rtol=1e-9)
    assert (momenta[:, :, 1] == 0).all()
    assert (momenta[..., 2] == 0).all()  # horizontal


def test_a_push_is_force_times_duration_whatever_the_control_step(task: Task) -> None:
    momenta = _momenta(VectorEnv(task, 3, _spec(push_force=3.0, push_duration=0.07, push_interval=0.13)), 100)
    # the last push has ended at 15 * 0.13 + 0.07 = 2.02 s; one earlier ends at 1.89 s
    for k in range(1, 15):
        before, after = int(0.13 * k / DT + 1e-9), int(np.ceil((0.13 * k + 0.07) / DT - 1e-9))
        if after <= int(0.13 * (k + 1) / DT + 1e-9):
            gained = np.linalg.norm(momenta[after, :, 0] - momenta[before, :, 0], axis=-1)
            np.testing.assert_allclose(gained, 3.0 * 0.07, rtol=1e-9)


def test_a_new_push_ends_the_one_before(task: Task) -> None:
    spec = _spec(push_force=3.0, push_duration=10.0, push_interval=0.1, push_axes__1=0.0)
    momenta = _momenta(VectorEnv(task, 2, spec), 50)
    force = np.diff(momenta[:, :, 0, 0], axis=0) / DT
    np.testing.assert_allclose(np.abs(force[5:]), 3.0, rtol=1e-9)
    assert (force[:5] == 0).all()
    assert (np.diff(np.sign(force[5:]).reshape(-1, 5, 2), axis=1) == 0).all()


def test_random_times_have_the_rate_asked_for(task: Task) -> None:
    momenta = _momenta(VectorEnv(task, 256, _spec(push_impulse=0.1, push_rate=2.0)), 1000)
    changed = np.linalg.norm(np.diff(momenta[:, :, 0], axis=0), axis=-1) > 1e-9
    counts = changed.sum(0)  # two in one control step are one here: 2% of them
    assert counts.mean() == pytest.approx(40 * (1 - 0.02), rel=0.05)
    assert counts.var() == pytest.approx(40, rel=0.5)
    gaps = np.diff(np.flatnonzero(changed[:, 0])) * DT
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.5)  # as an exponential's


def test_several_pushes_in_one_control_step(task: Task) -> None:
    spec = _spec(push_impulse=0.01, push_interval=0.004, push_axes__1=0.0)
    given = np.diff(_momenta(VectorEnv(task, 2, spec), 50)[:, :, 0, 0], axis=0)
    counts = np.round(given / 0.01)
    np.testing.assert_allclose(given, counts * 0.01, atol=1e-12)
    assert np.abs(counts).max() == 5  # all one way
    assert (counts[1:] % 2 == 1).all()  # five of them, each forward or backward


def test_axes_choose_the_directions(task: Task) -> None:
    def directions(*axes: float) -> np.ndarray:
        numbers = {f"push_axes__{i}": weight for i, weight in enumerate(axes)}
        env = VectorEnv(task, 200, _spec(push_impulse=1.0, push_interval=0.02, **numbers))
        return np.diff(_momenta(env, 3)[:, :, 0], axis=0)[1:].reshape(-1, 3)

    flat = directions()
    assert (flat[:, 2] == 0).all()
    assert np.abs(flat.mean(0)).max() < 0.12
    assert (flat[:, :2] ** 2).mean(0) == pytest.approx([0.5, 0.5], abs=0.06)
    assert (directions(1, 1, 1) ** 2).mean(0) == pytest.approx([1 / 3] * 3, abs=0.06)
    assert np.abs(directions(1, 0, 0)) == pytest.approx(np.tile([1.0, 0, 0], (400, 1)))
    assert (directions(0, 0, 0) == 0).all()


def test_neighbours_threads_and_other_bodies_change_nothing(task: Task) -> None:
    one = _spec("a", push_force=1.0, push_duration=0.1, push_rate=3.0)
    two = _join(one, _spec("b", push_impulse=1.0, push_interval=0.05))
    wide = _momenta(VectorEnv(task, 8, one, threads=2), 100)
    assert (_momenta(VectorEnv(task, 3, one, threads=1), 100) == wide[:, :3]).all()
    assert (_momenta(VectorEnv(task, 8, two), 100)[:, :, 0] == wide[:, :, 0]).all()


def test_episodes_differ_and_can_be_repeated(task: Task) -> None:
    spec = _spec(push_impulse=1.0, push_rate=10.0)
    env = Env(task, spec)
    runs = []
    for seed in (0, None, 0):
        env.reset(seed=seed)
        runs.append(np.array([env.step(np.zeros(0, np.float32))[0] for _ in range(50)]))
    assert (runs[0] != runs[1]).any()
    assert (runs[0] == runs[2]).all()


def test_off_is_bit_identical(task: Task) -> None:
    off = spec_of(
        x=entry({"body": "a"}, "push_force", "add", type="constant", value=0.0),
        y=entry({"body": "a"}, "push_duration", "add", type="constant", value=1.0),
        z=entry({"body": "a"}, "push_rate", "add", type="constant", value=0.0),
    )
    hopper = make_task("hopper")
    renamed = Spec.from_yaml(off.to_yaml().replace("body: a", "body: torso"))
    for mine, spec in ((task, off), (hopper, renamed)):
        pushed, plain = VectorEnv(mine, 2, spec), VectorEnv(mine, 2)
        assert (pushed.reset(seed=0)[0] == plain.reset(seed=0)[0]).all()
        for _ in range(20):
            action = pushed.action_space.sample()
            assert (pushed.step(action)[0] == plain.step(action)[0]).all()


def test_the_wrapper_pushes_as_env_does() -> None:
    spec = spec_of(
        force=entry({"body": "torso"}, "push_force", "set", type="uniform", low=5, high=20),
        duration=entry({"body": "torso"}, "push_duration", "set", type="constant", value=0.05),
        rate=entry({"body": "torso"}, "push_rate", "set", type="constant", value=5),
        kick=entry({"body": "foot"}, "push_impulse", "set", type="constant", value=0.2),
        beat=entry({"body": "foot"}, "push_interval", "set", type="constant", value=0.1),
    )
    wrapped, ours = DomainRandomization(gym.make("Hopper-v5"), spec), Env(make_task("hopper"), spec)
    data = wrapped.unwrapped.data  # type: ignore[attr-defined]
    pushed = False
    for seed in (3, None, 4):
        _, info = wrapped.reset(seed=seed)
        _, mine = ours.reset(seed=seed, options={"qpos": data.qpos, "qvel": data.qvel})
        assert mine["dr"] == info["dr"]
        wrapped.action_space.seed(0)
        for _ in range(60):
            action = wrapped.action_space.sample()
            theirs, step = wrapped.step(action), ours.step(action)
            pushed |= bool(data.xfrc_applied.any())
            assert (theirs[0] == step[0]).all()
            if theirs[2]:
                break
    assert pushed
    wrapped.mode = "nominal"
    wrapped.reset(seed=0)
    wrapped.step(action)
    assert not data.xfrc_applied.any()
    wrapped.mode = "train"
    wrapped.reset(seed=3)
    acting = []
    for _ in range(13):
        wrapped.step(np.zeros(3, np.float32))
        acting.append(data.xfrc_applied.any())
    assert acting[-1]  # the beat at 0.1 s


def test_a_body_let_go_stays_so_when_a_neighbour_pushes_it() -> None:
    forces, both = np.zeros((2, 1, 6)), np.arange(2)
    pushes = Disturbance(DT, forces)
    keys = np.zeros(2, np.uint64), np.arange(2, dtype=np.uint64), np.zeros(2, np.uint64)
    pushes.arrays["push.impulse"][:] = 1.0
    for intervals in ([0.1, 0.1], [0.0, 0.0], [0.0, 0.1]):
        pushes.arrays["push.interval"][:, 0] = intervals
        for i in both:
            pushes.begin(both[i : i + 1], *keys)
        acting = []
        for _ in range(20):
            pushes.step(both)
            acting.append(forces[:, 0].any(1))
        assert np.any(acting, axis=0).tolist() == [interval > 0 for interval in intervals]


def test_pushes_can_change_within_an_episode(task: Task) -> None:
    """Their rate, their strength and their direction are entries like any other."""
    form = _spec(push_impulse=1.0, push_interval=0.1).to_dict()
    form["entries"]["a_push_impulse"] |= {
        "trigger": "interval", "every": 0.5, "distribution": {"type": "choice", "values": [0.0, 0.25, 0.5]}
    }  # fmt: skip
    gained = np.linalg.norm(np.diff(_momenta(VectorEnv(task, 8, Spec.from_dict(form)), 100)[:, :, 0], axis=0), axis=-1)
    strengths = gained[5::5][:15].reshape(-1, 8)  # at 0.1 s, 0.2 s, ...
    assert set(np.round(strengths, 9).ravel().tolist()) == {0.0, 0.25, 0.5}
    assert strengths[:4] == pytest.approx(strengths[:1].repeat(4, 0))
    form = _spec(push_impulse=1.0, push_rate=20.0).to_dict()
    form["entries"]["a_push_rate"] |= {
        "trigger": "interval", "every": 0.5, "distribution": {"type": "choice", "values": [0.0, 20.0]}
    }  # fmt: skip
    gained = np.linalg.norm(np.diff(_momenta(VectorEnv(task, 8, Spec.from_dict(form)), 100)[:, :, 0], axis=0), axis=-1)
    busy = (gained.reshape(4, 25, 8) > 0).sum(1)  # control steps with a push in each half second
    assert (busy == 0).any()
    assert busy.max() > 5


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"push_force": 1.0, "push_duration": 1.0}, "without push_rate or push_interval"),
        ({"push_force": 1.0, "push_rate": 1.0}, "without push_duration"),
        ({"push_rate": 1.0}, "without push_force or push_impulse"),
        ({"push_impulse": 1.0, "push_rate": 1.0, "push_interval": 1.0}, "expected one of the two"),
        ({"push_impulse": 1.0, "push_rate": -1.0}, "can reach -1 1/s"),
        ({"push_impulse": 1.0, "push_interval": 0.0}, "expected not below 0.001"),
    ],
)
def test_bad_input(task: Task, numbers: dict[str, float], message: str) -> None:
    with pytest.raises(DREnvError) as error:
        VectorEnv(task, 1, _spec(**numbers))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_world_cannot_be_pushed(task: Task) -> None:
    with pytest.raises(DREnvError, match="body 'world' is static, so no push moves it"):
        VectorEnv(task, 1, _spec("world", push_impulse=1.0, push_rate=1.0))
