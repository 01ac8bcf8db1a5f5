"""Delays and their jitter, measured where the control arrives; sensors of the model."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import mujoco
import numpy as np
import pytest

from dr_env import DomainRandomization, DREnvError, Env, Spec, VectorEnv, compile_model, make_task
from dr_env.sensors import DelayJitter
from tests.conftest import entry, spec_of

TIMESTEP, SKIP = 0.002, 10
DT = TIMESTEP * SKIP
MASS = 2.0
CART = f"""
<mujoco model="cart">
  <option timestep="{TIMESTEP}" gravity="0 0 0"/>
  <worldbody>
    <body name="cart"><joint name="slide" type="slide"/><geom size=".1" mass="{MASS}"/></body>
  </worldbody>
  <actuator><motor name="push" joint="slide"/></actuator>
  <sensor><jointpos name="encoder" joint="slide"/><jointvel name="tacho" joint="slide"/></sensor>
</mujoco>
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "cart.xml"
    path.write_text(CART)
    return path


def _env(path: Path, spec: Spec, num_envs: int = 1, threads: int = 0, **arguments: object) -> VectorEnv:
    task = make_task(
        path,
        reward=lambda before, action, after: after["sensordata"][:, 0],
        observe=lambda data: np.concatenate((data["qpos"], data["qvel"], data["sensordata"]), 1),
        fields=("qpos", "qvel", "sensordata"),
        frame_skip=SKIP,
        **arguments,  # type: ignore[arg-type]
    )
    return VectorEnv(task, num_envs, spec, threads=threads)


def _arrivals(env: VectorEnv, steps: int, at: int) -> np.ndarray:
    """Simulator steps between sending a force of 1 in control step `at` and the cart's first feeling it, (n,)."""
    env.reset(seed=0)
    force = np.zeros((steps, env.num_envs, 1), np.float32)
    force[at:] = 1.0
    speed = np.array([env.step(f)[0][:, 1] for f in force])  # (steps, n)
    # from the momentum missing: force 1 acts from the arrival to the end
    return np.round((steps - at) * SKIP - MASS * speed[-1] / TIMESTEP, 6)


@pytest.mark.parametrize(
    ("delay", "steps"),
    [(0.0, 0), (0.0009, 0), (0.0011, 1), (0.002, 1), (0.003, 2), (0.0145, 7), (0.02, 10), (0.05, 25), (0.0512, 26)],
)
def test_an_action_delay_is_exact_to_the_nearest_timestep(path: Path, delay: float, steps: int) -> None:
    spec = spec_of(x=entry({"actuator": "push"}, "delay", "set", type="constant", value=delay))
    assert (_arrivals(_env(path, spec, 2), 20, 4) == steps).all()


@pytest.mark.parametrize("delay", [0.004, 0.01, 0.014, 0.02, 0.024])
def test_a_delay_stays_what_it_is_however_long_an_episode(path: Path, delay: float) -> None:
    """MuJoCo adds up time, so that what was sent is looked up with a rounding error that grows."""
    spec = spec_of(x=entry({"actuator": "push"}, "delay", "set", type="uniform", low=0, high=0.024))
    env = _env(path, spec, max_episode_steps=3000)
    env.reset(seed=0, options={"draw": {"x": delay}})
    steps, late = 2000, round(delay / TIMESTEP)
    felt, before = np.empty(steps), 0.0
    for step in range(steps):  # a force that is the number of the control step
        speed = float(env.step(np.full((1, 1), step, np.float32))[0][0, 1])
        felt[step], before = (speed - before) * MASS / TIMESTEP, speed
    newest, older = np.arange(steps), np.maximum(np.arange(steps) - 1, 0)
    ages = np.arange(SKIP)[:, None] - late  # when within a control step, of a force sent so much earlier
    sent = np.where(ages >= 0, newest, np.where(ages >= -SKIP, older, np.maximum(older - 1, 0)))
    np.testing.assert_allclose(felt[3:], sent.sum(0)[3:], rtol=1e-6, atol=1e-2)


def test_jitter_is_a_delay_of_each_control_step(path: Path) -> None:
    """With delay and jitter within a control step, each control arrives that much later, to the timestep."""
    delay, jitter = 0.004, 0.014
    spec = spec_of(
        d=entry({"actuator": "push"}, "delay", "set", type="constant", value=delay),
        j=entry({"action": "push"}, "jitter", "set", type="constant", value=jitter),
    )
    env = _env(path, spec, 400)
    for at in (0, 5):
        arrived = _arrivals(env, 10, at)
        assert (arrived == np.round(arrived)).all()
        assert arrived.min() == 2  # 0.004 .. 0.018 s, the nearest whole timesteps
        assert arrived.max() == 9
        shares = np.bincount(arrived.astype(int), minlength=10)[2:10] / 400
        assert shares == pytest.approx([1 / 14, *[1 / 7] * 6, 1 / 14], abs=0.06)


def test_jitter_longer_than_a_control_step_keeps_the_order(path: Path) -> None:
    spec = spec_of(j=entry({"action": "push"}, "jitter", "set", type="constant", value=0.09))
    env = _env(path, spec, 50)
    env.reset(seed=0)
    sent = np.arange(1.0, 101.0)
    batch = env._batch
    force = batch.bind("actuator_force")
    felt = []
    for value in sent:  # substep by substep, as the environment's own step would
        env._ctrl[:] = env._effects.act(np.full((50, 1), value), np.arange(50))
        for _ in range(SKIP):
            batch.step()
            felt.append(force[:, 0].copy())
    heard = np.array(felt)  # (steps * SKIP, n)
    assert (np.diff(heard, axis=0) >= 0).all()  # no older control comes back
    age = np.repeat(sent, SKIP)[:, None] - heard
    assert age[50:].max() <= 5
    assert age[50:].min() == 0
    assert age[50:].std() > 0.5


def test_jitter_depends_on_seed_environment_and_episode_alone(path: Path) -> None:
    spec = spec_of(j=entry({"action": "push"}, "jitter", "set", type="uniform", low=0.0, high=0.03))

    def run(num_envs: int, threads: int) -> np.ndarray:
        env = _env(path, spec, num_envs, threads)
        env.reset(seed=1)
        wave = np.sin(np.arange(50))[:, None, None] * np.ones((50, num_envs, 1))
        return np.array([env.step(row.astype(np.float32))[0] for row in wave])

    assert (run(8, 2)[:, :3] == run(3, 1)).all()


def test_no_jitter_is_bit_identical(path: Path) -> None:
    zero = spec_of(j=entry({"action": "push"}, "jitter", "set", type="constant", value=0.0))
    a, b = _env(path, zero, 2), _env(path, Spec(), 2)
    a.reset(seed=0), b.reset(seed=0)
    for _ in range(20):
        action = a.action_space.sample()
        assert (a.step(action)[0] == b.step(action)[0]).all()


def test_the_wrapper_jitters_as_env_does(tmp_path: Path) -> None:
    spec = spec_of(
        d=entry({"actuator": "*"}, "delay", "set", type="uniform", low=0.0, high=0.004),
        j=entry({"action": "*"}, "jitter", "set", type="uniform", low=0.0, high=0.02),
    )
    path = tmp_path / "hopper.xml"
    original = Path(gym.__file__).parent / "envs" / "mujoco" / "assets" / "hopper.xml"
    path.write_text(original.read_text().replace("<motor ", '<motor nsample="12" '))
    wrapped = DomainRandomization(gym.make("Hopper-v5", xml_file=str(path)), spec)
    ours = Env(make_task("hopper"), spec)
    model, data = wrapped.unwrapped.model, wrapped.unwrapped.data  # type: ignore[attr-defined]
    for seed in (3, None, 4):
        _, info = wrapped.reset(seed=seed)
        ours.reset(seed=seed, options={"draw": dict(info["dr"]), "qpos": data.qpos, "qvel": data.qvel})
        wrapped.action_space.seed(0)
        for _ in range(40):
            action = wrapped.action_space.sample()
            theirs, step = wrapped.step(action), ours.step(action)
            assert (theirs[0] == step[0]).all()
            if theirs[2]:
                break
    assert model.actuator_delay.all()
    wrapped.close()
    assert not model.actuator_delay.any()


def test_delays_and_jitter_can_change_within_an_episode(path: Path) -> None:
    form = spec_of(
        d=entry({"actuator": "push"}, "delay", "set", type="choice", values=[0.0, 0.01]),
        j=entry({"action": "push"}, "jitter", "set", type="choice", values=[0.0, 0.01]),
    ).to_dict()
    for name in "dj":
        form["entries"][name] |= {"trigger": "interval", "every": 0.1}
    env = _env(path, Spec.from_dict(form), 4)
    _, info = env.reset(seed=0)
    delays, drawn = env._batch.expand("actuator_delay"), {name: info["dr"][name] for name in "dj"}
    seen = set()
    for _ in range(100):
        info = env.step(np.ones((4, 1), np.float32))[-1]
        for name in "dj" if "dr" in info else "":
            drawn[name] = np.where(info["dr"][f"_{name}"], info["dr"][name], drawn[name])
        assert (delays[:, 0] >= drawn["d"] - 1e-7).all()
        assert (delays[:, 0] <= drawn["d"] + drawn["j"]).all()
        seen |= {(float(d), float(j)) for d, j in zip(drawn["d"], drawn["j"], strict=True)}
    assert len(seen) == 4


def test_delays_and_jitter_share_a_buffer(path: Path) -> None:
    spec = spec_of(
        d=entry({"actuator": "push"}, "delay", "set", type="uniform", low=0.0, high=0.01),
        more=entry({"actuator": "push"}, "delay", "add", type="uniform", low=0.0, high=0.004),
        j=entry({"action": "push"}, "jitter", "set", type="uniform", low=0.0, high=0.006),
    )
    mjspec = mujoco.MjSpec.from_file(str(path))
    assert compile_model(mjspec, spec).actuator_history[0, 0] == 10
    with pytest.raises(DREnvError, match=r"needs a buffer of 10 samples, the model has 0.*nsample on the actuator"):
        spec.bind(mjspec.compile())


def test_jitter_starts_each_episode_afresh() -> None:
    live = np.zeros((2, 1))
    jitter = DelayJitter(np.zeros(1), live, 0.002, 0.02)
    jitter.arrays["action.jitter"][:] = 0.1
    both = np.arange(2)
    keys = np.zeros(2, np.uint64), np.arange(2, dtype=np.uint64), np.zeros(2, np.uint64)
    jitter.begin(both, *keys)
    jitter.step(both)
    first = live.copy()
    for _ in range(5):
        jitter.step(both)
    jitter.begin(both[1:], *keys)
    assert live[1] == 0
    jitter.step(both[1:])
    assert live[1] == first[1]


# sensors of the model


@pytest.mark.parametrize(("delay", "steps"), [(0.0, 0), (0.001, 1), (0.002, 1), (0.005, 3), (0.02, 10), (0.031, 16)])
def test_a_sensor_delay_is_measured(path: Path, delay: float, steps: int) -> None:
    spec = spec_of(x=entry({"sensor": "encoder"}, "delay", "set", type="constant", value=delay))
    env = _env(path, spec, 2)
    env.reset(seed=0, options={"qpos": [0.0], "qvel": [1.0]})
    for _ in range(5):
        position, speed, encoder, tacho = env.step(np.zeros((2, 1), np.float32))[0].T
    np.testing.assert_allclose(position - encoder, steps * TIMESTEP * speed, atol=1e-12)
    assert (tacho == speed).all()


def test_sensor_noise_is_the_observers_alone(path: Path) -> None:
    spec = spec_of(x=entry({"sensor": "encoder"}, "noise", "set", type="constant", value=0.1))
    env = _env(path, spec, 64)
    noise = []
    env.reset(seed=0)
    for _ in range(50):
        observations, rewards, *_ = env.step(np.ones((64, 1), np.float32))
        assert (rewards == observations[:, 0]).all()  # the reward is of what is
        assert (observations[:, 3] == observations[:, 1]).all()  # the other sensor is untouched
        noise.append(observations[:, 2] - observations[:, 0])
    assert np.std(noise) == pytest.approx(0.1, rel=0.05)
    few = _env(path, spec, 3)
    first, _ = few.reset(seed=0)
    assert (first == env.reset(seed=0)[0][:3]).all()


def test_every_effect_reaches_sensordata(path: Path) -> None:
    for name, value in {"bias": 0.25, "quantum": 0.3, "dropout": 1.0, "walk": 1.0, "uniform_noise": 0.1}.items():
        spec = spec_of(x=entry({"sensor": "tacho"}, name, "set", type="constant", value=value))
        env = _env(path, spec, 4)
        env.reset(seed=0)
        for _ in range(10):
            observations = env.step(np.ones((4, 1), np.float32))[0]
        assert (observations[:, 3] != observations[:, 1]).all(), name
        assert (observations[:, 2] == observations[:, 0]).all()


def _pendulum(folder: Path) -> Path:
    original = Path(gym.__file__).parent / "envs" / "mujoco" / "assets" / "inverted_pendulum.xml"
    path = folder / "pendulum.xml"
    path.write_text(
        original.read_text().replace("</worldbody>", '</worldbody><sensor><jointpos joint="hinge"/></sensor>')
    )
    return path


def test_sensor_noise_needs_a_reader(path: Path) -> None:
    spec = spec_of(x=entry({"sensor": "encoder"}, "noise", "set", type="constant", value=0.1))
    task = make_task(path, reward=lambda before, action, after: after["qpos"][:, 0])
    with pytest.raises(DREnvError, match=r"entries.x.select: got sensor 'encoder', whose noise nothing would feel"):
        VectorEnv(task, 1, spec)
    with pytest.raises(DREnvError, match=r"entries.x.select: got sensor '#0', whose bias nothing would feel"):
        spec = spec_of(x=entry({"sensor": "#0"}, "bias", "set", type="constant", value=0.1))
        DomainRandomization(gym.make("InvertedPendulum-v5", xml_file=str(_pendulum(path.parent))), spec)
    with pytest.raises(DREnvError, match="no sensor matches 'encodr'; did you mean 'encoder'"):
        VectorEnv(task, 1, spec_of(x=entry({"sensor": "encodr"}, "bias", "set", type="constant", value=1)))


def test_a_sensor_delay_without_a_buffer(path: Path) -> None:
    spec = spec_of(x=entry({"sensor": "tacho"}, "delay", "set", type="constant", value=0.02))
    with pytest.raises(DREnvError, match=r"needs a buffer of 10 samples, the model has 0.*nsample on the sensor"):
        spec.bind(mujoco.MjModel.from_xml_path(str(path)))
