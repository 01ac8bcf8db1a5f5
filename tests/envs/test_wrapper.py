from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import MaxAndSkipObservation

from dr_env import DomainRandomization, DREnvError, Spec, VectorEnv, make_env, make_task, task_names
from dr_env.distributions import Uniform
from tests.conftest import RICH_MODEL, entry, model_bytes, shipped_spec, spec_of

IDS = {name: reference for name in task_names() if (reference := make_task(name).reference)}


@pytest.mark.parametrize("task", IDS)
def test_agrees_bit_for_bit_with_our_environments(task: str) -> None:
    wrapped = DomainRandomization(gym.make(IDS[task]), shipped_spec(task))
    ours = make_env(task=task, randomization="default")
    data = wrapped.unwrapped.data  # type: ignore[attr-defined]
    for seed in range(3):
        observation, info = wrapped.reset(seed=seed)
        mine, my_info = ours.reset(options={"draw": dict(info["dr"]), "qpos": data.qpos, "qvel": data.qvel})
        assert my_info["dr"] == info["dr"]
        assert (mine == observation).all()
        wrapped.action_space.seed(seed)
        for _ in range(100):
            action = wrapped.action_space.sample()
            theirs, step = wrapped.step(action), ours.step(action)
            assert (theirs[0] == step[0]).all()
            assert theirs[2] == step[2]
            if theirs[2]:
                break


def test_its_draws_are_those_of_env() -> None:
    """The same seed draws the same world, wrapper or not."""
    wrapped = DomainRandomization(gym.make("Hopper-v5"), shipped_spec("hopper"))
    ours = make_env(task="hopper", randomization="default")
    for _ in range(2):
        assert wrapped.reset(seed=5)[1]["dr"] == ours.reset(seed=5)[1]["dr"]
        assert wrapped.reset()[1]["dr"] == ours.reset()[1]["dr"]


def test_what_is_drawn_again_within_an_episode_is_that_of_env() -> None:
    form = spec_of(
        gravity=entry("option", "gravity[2]", "add", type="uniform", low=-2, high=2),
        mass=entry({"body": "*"}, "mass", "scale", type="uniform", low=0.8, high=1.2),
        noise=entry({"observation": "*"}, "noise", "set", type="uniform", low=0.0, high=0.1),
        push=entry({"body": "torso"}, "push_impulse", "set", type="uniform", low=0.0, high=0.5),
        rate=entry({"body": "torso"}, "push_rate", "set", type="choice", values=[0, 20]),
    ).to_dict()
    for name, every in {"gravity": 0.05, "noise": 0.1, "push": 0.02, "rate": 0.1}.items():
        form["entries"][name] |= {"trigger": "interval", "every": every}
    spec = Spec.from_dict(form)
    wrapped, ours = DomainRandomization(gym.make("Hopper-v5"), spec), make_env(task="hopper", randomization=spec)
    data = wrapped.unwrapped.data  # type: ignore[attr-defined]
    changes = 0
    for seed in (0, None, 1):
        wrapped.reset(seed=seed)
        ours.reset(seed=seed, options={"qpos": data.qpos, "qvel": data.qvel})
        for _ in range(60):
            action = np.zeros(3, np.float32)
            theirs, step = wrapped.step(action), ours.step(action)
            assert (theirs[0] == step[0]).all()
            assert wrapped.draw == ours.draw
            assert theirs[4].get("dr") == step[4].get("dr")
            changes += "dr" in theirs[4]
            if theirs[2]:
                break
    assert changes > 10


def test_modes() -> None:
    env = DomainRandomization(gym.make("Hopper-v5"), shipped_spec("hopper"))
    model = env.unwrapped.model  # type: ignore[attr-defined]
    nominal = model_bytes(model)
    first = env.reset(seed=1)[1]["dr"]
    assert model_bytes(model) != nominal
    env.mode = "evaluate"
    evaluation = [env.reset(seed=seed)[1]["dr"] for seed in (1, None, 7)]
    assert len({*evaluation, first}) == 4
    env.mode = "nominal"
    assert env.reset(seed=1)[1]["dr"] == {}
    assert model_bytes(model) == nominal
    env.mode = "evaluate"
    assert [env.reset()[1]["dr"] for _ in range(3)] == evaluation
    env.mode = "train"
    assert env.reset(seed=1)[1]["dr"] == first
    assert env.reset(options={"draw": evaluation[0]})[1]["dr"] == evaluation[0]
    env.close()
    assert model_bytes(model) == nominal
    with pytest.raises(DREnvError, match="no mode 'eval'; did you mean 'evaluate'"):
        env.mode = "eval"  # type: ignore[assignment]


def test_a_thousand_resets_drift_nothing() -> None:
    env = DomainRandomization(gym.make("Hopper-v5"), shipped_spec("hopper"))
    model = env.unwrapped.model  # type: ignore[attr-defined]
    draw = env.reset(seed=0)[1]["dr"]
    once = model_bytes(model)
    for _ in range(1000):
        env.reset()
    env.reset(options={"draw": draw})
    assert model_bytes(model) == once


def test_observation_noise() -> None:
    spec = spec_of(x=entry({"observation": "#0"}, "noise", "set", type="constant", value=1.0))
    noisy, clean = DomainRandomization(gym.make("Hopper-v5"), spec), gym.make("Hopper-v5")
    a, b = noisy.reset(seed=0)[0], clean.reset(seed=0)[0]
    assert a[0] != b[0]
    assert (a[1:] == b[1:]).all()
    action = np.zeros(3, np.float32)
    assert noisy.step(action)[0].dtype == clean.step(action)[0].dtype


@pytest.mark.filterwarnings("ignore:.*infinity.*", "ignore:.*is different from the unwrapped.*")
def test_checker_and_gymnasiums_own_tools() -> None:
    check_env(DomainRandomization(gym.make("Hopper-v5").unwrapped, shipped_spec("hopper")), skip_render_check=True)
    spec = str(make_task("hopper").file("randomization.yaml"))
    env = gym.make(gym.make("Hopper-v5").spec or "", max_episode_steps=5)
    wrapped = DomainRandomization(env, spec)
    assert wrapped.spec is not None
    rebuilt = gym.make(wrapped.spec)
    assert rebuilt.reset(seed=3)[1]["dr"] == wrapped.reset(seed=3)[1]["dr"]
    vector = gym.make_vec("Hopper-v5", 2, "sync", wrappers=[lambda e: DomainRandomization(e, spec)])
    _, infos = vector.reset(seed=0)
    assert infos["dr"]["link_mass"].shape == (2, 4)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: DomainRandomization(gym.make("CartPole-v1"), Spec()), "holds no MjModel with its MjData"),
        (lambda: DomainRandomization(gym.make("Hopper-v5"), None), "randomization: got None"),
        (lambda: DomainRandomization(gym.make("Hopper-v5"), shipped_spec("half_cheetah")), "no joint matches 'bthigh'"),
        (
            lambda: DomainRandomization(
                gym.make("Hopper-v5"),
                spec_of(x=entry({"actuator": "*"}, "delay", "set", type="constant", value=0.01)),
            ),
            "the delay needs a buffer of 5 samples",
        ),
    ],
)
def test_bad_input(act: Any, message: str) -> None:
    with pytest.raises(DREnvError) as error:
        act()
    assert message in str(error.value)


def test_a_task_from_an_mjcf_file(tmp_path: Path) -> None:
    path = tmp_path / "robot.xml"
    path.write_text(RICH_MODEL)
    task = make_task(
        path,
        reward=lambda before, action, after: after["qpos"][:, 0] - before["qpos"][:, 0],
        observe=lambda data: np.concatenate((data["qpos"], data["site_xpos"].reshape(len(data["qpos"]), -1)), axis=1),
        terminated=lambda data: data["qpos"][:, 2] < 0.3,
        fields=("qpos", "qvel", "site_xpos"),
        reset_noise=0.01,
        frame_skip=5,
        max_episode_steps=50,
    )
    env = VectorEnv(task, 4, spec_of(x=entry({"body": "hand"}, "mass", "scale", type="uniform", low=0.5, high=2)))
    observations, info = env.reset(seed=0)
    assert observations.shape == env.observation_space.shape
    assert np.linalg.norm(observations[:, 3:7], axis=1) == pytest.approx(1)
    ended = np.zeros(4, bool)
    for _ in range(50):
        observations, rewards, terminated, truncated, _ = env.step(np.zeros((4, 2), np.float32))
        ended |= terminated | truncated
        assert np.isfinite(rewards).all()
    assert ended.all()
    assert info["dr"]["x"].std() > 0


def test_controls_without_limits_are_unbounded(tmp_path: Path) -> None:
    path = tmp_path / "robot.xml"
    path.write_text(RICH_MODEL.replace('gear="5" ctrlrange="-1 1"', 'gear="5"'))
    env = VectorEnv(make_task(path, reward=lambda before, action, after: np.zeros(len(action))))
    assert env.single_action_space.low.tolist() == [-np.inf, -1]  # type: ignore[attr-defined]
    assert env.single_action_space.high.tolist() == [np.inf, 1]  # type: ignore[attr-defined]


def test_bad_mjcf_tasks(tmp_path: Path) -> None:
    with pytest.raises(DREnvError, match="no such file"):
        VectorEnv(make_task("none.xml", reward=lambda b, a, c: np.zeros(len(a))))
    path = tmp_path / "robot.xml"
    path.write_text("<mujoco><worldbody>")
    with pytest.raises(DREnvError, match="MuJoCo cannot read it"):
        VectorEnv(make_task(path, reward=lambda b, a, c: np.zeros(len(a))))
    path.write_text(RICH_MODEL)
    with pytest.raises(DREnvError, match=r"observe: got shape \(3,\) for one environment"):
        VectorEnv(make_task(path, reward=lambda b, a, c: np.zeros(len(a)), observe=lambda data: data["qpos"][0, :3]))
    env = VectorEnv(make_task(path, reward=lambda b, a, c: 1.0), 2)  # type: ignore[arg-type, return-value]
    env.reset(seed=0)
    with pytest.raises(DREnvError, match=r"reward: got shape \(\), expected \(2,\)"):
        env.step(np.zeros((2, 2), np.float32))
    zeros = lambda b, a, c: np.zeros(len(a))  # noqa: E731
    env = VectorEnv(make_task(path, reward=zeros, terminated=lambda data: data["qpos"][:, :1] < 0), 2)
    env.reset(seed=0)
    with pytest.raises(DREnvError, match=r"terminated: got shape \(2, 1\), expected \(2,\)"):
        env.step(np.zeros((2, 2), np.float32))
    with pytest.raises(DREnvError, match="frame_skip: got 0"):
        make_task(path, reward=zeros, frame_skip=0)
    with pytest.raises(DREnvError, match="no field of MjData 'qposs'; did you mean 'qpos'"):
        make_task(path, reward=zeros, fields=("qposs",))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"draw": 5}, "draw: got 5, expected a Draw"),
        ({"draw": "draw.json"}, "Draw.load reads a file"),
        ({"qpos": np.zeros(3)}, r"qpos: got shape \(3,\), expected finite \(4,\) or \(2, 4\)"),
        ({"qvel": np.full(4, np.nan)}, "qvel: got numbers that are not finite"),
        ({"qpos": "up"}, "qpos: got 'up', expected"),
    ],
)
def test_odd_options_are_explained(options: dict[str, Any], message: str) -> None:
    env = VectorEnv(make_task("inverted_pendulum"), 2, "default")
    env.reset(seed=0)
    message = message.replace("4", str(env.model.nq))
    with pytest.raises(DREnvError, match=message):
        env.reset(options={k: np.full(env.model.nq, np.nan) if k == "qvel" else v for k, v in options.items()})
    assert np.isfinite(env.step(np.zeros((2, 1), np.float32))[0]).all()


def test_changes_within_an_episode_belong_into_our_own_environments() -> None:
    form = {**entry("option", "gravity[2]", "add", type="normal", mean=0.0, std=0.1), "trigger": "step"}
    with pytest.raises(
        DREnvError, match=r"entries\.pull: changes within an episode, which a dr_env\.Env does by itself"
    ):
        DomainRandomization(make_env(task="hopper"), spec_of(pull=form))


SLIDE = """
<mujoco><option timestep="0.002" gravity="0 0 0"/><worldbody>
  <body name="b"><joint name="x" type="slide" axis="1 0 0"/><geom size=".1" mass="1"/></body>
</worldbody><actuator><motor name="m" joint="x"/></actuator></mujoco>
"""


class Slide(gym.Env):  # type: ignore[type-arg]
    """Ten timesteps to an action."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (2,))
    action_space = gym.spaces.Box(-1, 1, (1,))

    def __init__(self, **told: Any) -> None:
        self.model = mujoco.MjModel.from_xml_string(SLIDE)
        self.data = mujoco.MjData(self.model)
        self.__dict__.update(told)

    def _seen(self) -> np.ndarray:
        return np.concatenate((self.data.qpos, self.data.qvel)).astype(np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        mujoco.mj_resetData(self.model, self.data)
        return self._seen(), {}

    def step(self, action: Any) -> Any:
        mujoco.mj_step(self.model, self.data, 10)
        return self._seen(), 0.0, False, False, {}


@pytest.mark.parametrize(
    "told", [{"dt": np.float32(0.02)}, {"dt": lambda: 0.02}, {"frame_skip": 10}, {"control_timestep": lambda: 0.02}]
)
def test_pushes_are_given_once_in_seconds(told: dict[str, Any]) -> None:
    spec = spec_of(
        impulse=entry({"body": "b"}, "push_impulse", "set", type="constant", value=1.0),
        every=entry({"body": "b"}, "push_interval", "set", type="constant", value=0.1),
        along=entry({"body": "b"}, "push_axes[1]", "set", type="constant", value=0.0),
    )
    env = DomainRandomization(Slide(**told), spec)
    env.reset(seed=0)
    speeds = np.array([env.step(np.zeros(1))[0][1] for _ in range(21)])
    jumps = np.abs(np.diff(speeds, prepend=0.0))
    assert np.count_nonzero(jumps > 0.5) == 4  # at 0.1, 0.2, 0.3 and 0.4 s
    assert jumps[jumps > 0.5] == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(
    ("env", "takes"),
    [(Slide(), 0.02), (Slide(dt=0.002), 0.02), (MaxAndSkipObservation(Slide(dt=0.02), 4), 0.08)],
)
def test_an_environment_that_does_not_say_how_long_a_step_is(env: Any, takes: float) -> None:
    late = spec_of(late=entry({"observation": "*"}, "delay", "set", type="constant", value=0.04))
    randomized = DomainRandomization(env, late)
    randomized.reset(seed=0)
    for _ in range(2):
        with pytest.raises(DREnvError, match=rf"late: depends on the seconds .* takes {takes} .* `dt` of {takes}, or"):
            randomized.step(np.zeros(1))
    outside = MaxAndSkipObservation(DomainRandomization(Slide(dt=0.02), late), 4)
    outside.reset(seed=0)
    outside.step(np.zeros(1))
    noisy = DomainRandomization(
        Slide(), spec_of(n=entry({"observation": "*"}, "noise", "set", type="constant", value=0.1))
    )
    noisy.reset(seed=0)
    noisy.step(np.zeros(1))  # needs no seconds


def test_other_ranges_at_the_next_episode() -> None:
    spec = spec_of(mass=entry({"body": "torso"}, "mass", "scale", type="uniform", low=0.5, high=0.9))
    env = DomainRandomization(gym.make("Hopper-v5"), spec)
    env.reset(seed=0)
    env.set_randomization(spec.with_distributions({"mass": Uniform(1.5, 2.0)}))
    assert env.draw["mass"] <= 0.9
    env.step(env.action_space.sample())
    assert env.draw["mass"] <= 0.9
    assert env.reset()[1]["dr"]["mass"] >= 1.5
    ours = make_env(task="hopper", randomization=spec)
    ours.reset(seed=0)
    ours.set_randomization(env.randomization)  # type: ignore[attr-defined]
    assert ours.reset()[1]["dr"]["mass"] >= 1.5


def test_restored_values_stay_until_the_next_reset() -> None:
    form = entry({"body": "torso"}, "mass", "scale", type="uniform", low=1.5, high=2.0)
    env = DomainRandomization(gym.make("Hopper-v5"), spec_of(mass={**form, "trigger": "step"}))
    nominal = env.unwrapped.model.body("torso").mass.copy()  # type: ignore[attr-defined]
    env.reset(seed=0)
    env.restore()
    env.step(env.action_space.sample())
    assert (env.unwrapped.model.body("torso").mass == nominal).all()  # type: ignore[attr-defined]
    env.reset()
    assert (env.unwrapped.model.body("torso").mass > nominal).all()  # type: ignore[attr-defined]


PUSHES = {
    "push": entry({"body": "torso"}, "push_impulse", "set", type="constant", value=1.0),
    "often": entry({"body": "torso"}, "push_rate", "set", type="constant", value=50.0),
    "noise": entry({"observation": "*"}, "noise", "set", type="constant", value=0.1),
}


class NewData(gym.Wrapper[Any, Any, Any, Any]):
    """An environment that makes its data anew when it is reset."""

    def reset(self, **arguments: Any) -> Any:
        env: Any = self.env.unwrapped
        env.data = mujoco.MjData(env.model)
        return self.env.reset(**arguments)


def test_data_made_anew_at_a_reset_is_pushed_as_the_old_was() -> None:
    kept, renewed = (
        DomainRandomization(make(gym.make("Hopper-v5")), spec_of(**PUSHES)) for make in (lambda e: e, NewData)
    )
    for env in (kept, renewed):
        env.reset(seed=3)
    for _ in range(10):
        one, other = (env.step(np.zeros(3, np.float32)) for env in (kept, renewed))
        assert (one[0] == other[0]).all()
    assert renewed.unwrapped.data.xfrc_applied.any() == kept.unwrapped.data.xfrc_applied.any()  # type: ignore[attr-defined]
    renewed.unwrapped.data.qpos[:] = np.nan  # type: ignore[attr-defined]
    assert renewed.step(np.zeros(3, np.float32))[4]["dr_failure"]


@pytest.mark.parametrize("make", [lambda: gym.make("Hopper-v5"), lambda: make_env(task="hopper")])
def test_what_is_restored_is_neither_pushed_nor_noisy(make: Any) -> None:
    env, plain = DomainRandomization(make(), spec_of(**PUSHES)), make()
    env.reset(seed=0)
    env.step(np.zeros(3, np.float32))
    env.restore()
    plain.reset(seed=0)
    inner, outer = (each.unwrapped for each in (plain, env))
    if isinstance(inner, gym.envs.mujoco.MujocoEnv):
        assert not outer.data.xfrc_applied.any()
        outer.reset_model()
        seen = env.step(np.zeros(3, np.float32))[0]
        assert (seen[:5] == outer.data.qpos[1:]).all()
    else:
        batch = outer._vector._batch  # the noise and the pushes are the environment's own
        assert not batch.bind("xfrc_applied").any()
        assert not outer._vector._effects.reads
