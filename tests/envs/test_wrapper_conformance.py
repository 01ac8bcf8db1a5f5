"""The wrapper's laws around every kind of environment: Gymnasium's, dm_control's, our own, vectors, SB3."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast
from unittest import mock

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from gymnasium.wrappers import (
    ClipAction,
    FlattenObservation,
    NormalizeObservation,
    RecordEpisodeStatistics,
    RescaleAction,
    TimeLimit,
)

from dr_env import DomainRandomization, Draw, DREnvError, Env, Spec, make_env, make_task, task_names
from dr_env.binding import propose
from tests.conftest import RICH_MODEL, entry, model_bytes, shipped_spec, spec_of

V5 = sorted(
    name
    for name, spec in gym.registry.items()
    if name.endswith("-v5") and str(spec.entry_point).startswith("gymnasium.envs.mujoco")
)
DM_CONTROL = ("cartpole-swingup", "reacher-easy", "walker-run", "point_mass-hard", "lqr-lqr_2_1", "quadruped-run")
Make = Callable[[], gym.Env[Any, Any]]


@pytest.fixture(scope="module")
def dm_control() -> Iterator[None]:
    """Shimmy's environments, where dm_control can be installed.

    dm_control lists the arrays of the MuJoCo that it was made for, and refuses one that lacks some: 1.0.50 names
    nine arrays of flexes that MuJoCo 4 has no longer. Without those names it works.
    """
    with warnings.catch_warnings(), mock.patch.dict(os.environ, MUJOCO_GL="disabled"):
        warnings.simplefilter("ignore")  # what these packages warn of themselves
        sizes = pytest.importorskip(
            "dm_control.mujoco.wrapper.mjbindings.sizes", reason="needs shimmy[dm-control], for Python below 3.13"
        )
        for name, holder in (("mjmodel", mujoco.MjModel), ("mjdata", mujoco.MjData)):
            held = sizes.array_sizes[name]
            sizes.array_sizes[name] = {array: size for array, size in held.items() if hasattr(holder, array)}
        gym.register_envs(pytest.importorskip("shimmy"))
        yield


def _model(env: gym.Env[Any, Any]) -> mujoco.MjModel:
    base = cast(Any, env.unwrapped)
    return base.physics.model.ptr if hasattr(base, "physics") else base.model


def _proposed(model: mujoco.MjModel) -> Spec:
    """The ranges that `dr-env inspect` proposes, and gravity."""
    spec = Spec.from_yaml(propose(model))
    entries = {name: form for name, form in spec.to_dict()["entries"].items() if name != "actuator_delay"}
    entries["gravity"] = entry("option", "gravity[2]", "add", type="normal", mean=0.0, std=0.5)
    return Spec.from_dict({"format": "dr_env/1", "entries": entries})


def _numbers(value: Any) -> bytes:
    """An observation bit for bit, whatever its form."""
    if isinstance(value, dict):
        return b"".join(_numbers(value[key]) for key in sorted(value))
    return np.asarray(value).tobytes()


def _episode(env: gym.Env[Any, Any], steps: int, seed: int, **reset: Any) -> list[tuple[bytes, float, bool]]:
    seen = [(_numbers(env.reset(seed=seed, **reset)[0]), 0.0, False)]
    env.action_space.seed(seed)
    for _ in range(steps):
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        seen.append((_numbers(observation), float(reward), bool(terminated)))
        if terminated or truncated:
            break
    return seen


def _check_laws(make: Make) -> None:
    """What holds around any environment."""
    bare, wrapped = make(), make()
    spec = _proposed(_model(wrapped))
    nominal = model_bytes(_model(wrapped))
    assert model_bytes(_model(make())) == nominal

    # nothing that varies, nothing that changes
    identity = DomainRandomization(make(), Spec())
    assert _episode(identity, 20, 3) == _episode(bare, 20, 3)

    # the Draw is in the model, and is the only thing that a used environment remembers
    env = DomainRandomization(wrapped, spec)
    first = _episode(env, 20, 3)
    draw = env.draw
    written, expected = model_bytes(_model(env)), _copy(make)
    # what the environment itself writes at a reset (targets, terrain) is not ours to compare
    env.plan.apply(expected, Draw(draw))
    for name in env.plan.nominal:
        if not name.startswith("opt."):
            np.testing.assert_array_equal(getattr(_model(env), name), getattr(expected, name), err_msg=name)
    assert written != nominal
    assert first != _episode(bare, 20, 3)
    for seed in range(4, 7):
        _episode(env, 30, seed)
    assert _episode(env, 20, 3) == first
    assert _episode(env, 20, 3, options={"draw": draw}) == first
    assert _episode(DomainRandomization(make(), spec), 20, 3, options={"draw": dict(draw)}) == first

    # modes
    env.mode = "nominal"
    assert _episode(env, 20, 3) == _episode(make(), 20, 3)
    env.mode = "evaluate"
    draws = [env.reset(seed=seed)[1]["dr"] for seed in (0, None, 9)]
    env.mode = "evaluate"
    assert [env.reset()[1]["dr"] for _ in range(3)] == draws
    assert len({*draws, draw}) == 4

    # the environment can be used on without the wrapper
    env.restore()
    assert _episode(wrapped, 20, 3) == _episode(make(), 20, 3)
    env.close()


def _copy(make: Make) -> mujoco.MjModel:
    env = make()
    env.reset(seed=3)
    return _model(env)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", V5)
def test_gymnasium(name: str) -> None:
    _check_laws(lambda: gym.make(name))


def test_gymnasium_has_its_eleven() -> None:
    assert len(V5) == 11


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", DM_CONTROL)
def test_dm_control(name: str, dm_control: None) -> None:
    _check_laws(lambda: gym.make(f"dm_control/{name}-v0", task_kwargs={"random": 0}))


@pytest.mark.filterwarnings("ignore")
def test_dm_control_that_compiles_at_every_reset(dm_control: None) -> None:
    env = DomainRandomization(
        gym.make("dm_control/reach_duplo_features-v0"),
        spec_of(gravity=entry("option", "gravity[2]", "add", type="uniform", low=1.0, high=2.0)),
    )
    seen = set()
    for seed in range(2):
        draw = env.reset(seed=seed)[1]["dr"]
        model = _model(env)
        assert model.opt.gravity[2] == -9.81 + draw["gravity"]
        seen.add(id(model))
        assert np.isfinite(env.step(env.action_space.sample())[1])
    env.mode = "nominal"
    env.reset(seed=0)
    assert _model(env).opt.gravity[2] == -9.81
    env.close()


@pytest.mark.filterwarnings("ignore")
def test_readings_of_a_dictionary(dm_control: None) -> None:
    make = lambda: gym.make("dm_control/walker-run-v0")  # noqa: E731
    spec = spec_of(
        height=entry({"observation": "height"}, "bias", "set", type="constant", value=1.0),
        speed=entry({"observation": "velocity[[]0]"}, "noise", "set", type="constant", value=1.0),
    )
    noisy, clean = DomainRandomization(make(), spec).reset(seed=0)[0], make().reset(seed=0)[0]
    assert noisy["height"] == clean["height"] + 1
    assert noisy["velocity"][0] != clean["velocity"][0]
    assert (noisy["velocity"][1:] == clean["velocity"][1:]).all()
    assert (noisy["orientations"] == clean["orientations"]).all()
    assert {key: value.shape for key, value in noisy.items()} == {key: value.shape for key, value in clean.items()}


@pytest.mark.parametrize("task", task_names())
def test_around_our_own_environments(task: str) -> None:
    """Bit for bit what the environment does under the same Spec, sensors and all."""
    form = shipped_spec(task).to_dict()
    own = shipped_spec(task).entries
    for name in own:  # readings are set below; what must be compiled in cannot be added from outside
        if own[name].select.kind in ("observation", "action") or own[name].field_name in (
            "delay",
            "com",
            "pseudo_inertia",
            "texture",
            "sky",
        ):
            del form["entries"][name]
    form["entries"]["reading"] = entry({"observation": "*"}, "noise", "set", type="constant", value=0.01)
    if make_env(task=task).model.nu:
        form["entries"]["wire"] = entry({"action": "*"}, "dropout", "set", type="constant", value=0.3)
    spec = Spec.from_dict(form)
    wrapped, ours = DomainRandomization(make_env(task=task), spec), make_env(task=task, randomization=spec)
    for seed in (5, 6):
        assert _episode(wrapped, 30, seed) == _episode(ours, 30, seed)
        assert wrapped.draw == ours.draw
    wrapped.mode = "nominal"
    assert _episode(wrapped, 30, 5) == _episode(make_env(task=task), 30, 5)
    wrapped.mode = "train"
    assert _episode(wrapped, 30, 5) == _episode(make_env(task=task, randomization=spec), 30, 5)
    wrapped.restore()
    assert _episode(wrapped.env, 30, 5) == _episode(make_env(task=task), 30, 5)
    with pytest.raises(DREnvError, match="randomizes itself already"):
        DomainRandomization(ours, spec)


def test_a_robot_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "robot.xml"
    path.write_text(RICH_MODEL)
    task = make_task(path, reward=lambda before, action, after: after["qpos"][:, 0], reset_noise=0.01, frame_skip=5)
    spec = _proposed(task.mjspec().compile())
    wrapped, ours = DomainRandomization(Env(task), spec), Env(task, spec)
    assert _episode(wrapped, 30, 1) == _episode(ours, 30, 1)
    assert _episode(wrapped, 30, 1) != _episode(Env(task), 30, 1)


class _Forgetful(gym.Env[Any, Any]):
    """An environment that resets qpos and qvel alone: warm starts, activations and time carry over."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    XML = """<mujoco><option timestep=".01"/><worldbody><geom type="plane" size="1 1 .1"/>
      <body name="ball" pos="0 0 .1"><joint name="lift" type="slide" axis="0 0 1"/><geom size=".1" mass="1"/></body>
      </worldbody><actuator><general joint="lift" dyntype="filter" dynprm=".2" gainprm="5"/></actuator></mujoco>"""

    def __init__(self, compiles: bool = False) -> None:
        self.model = mujoco.MjModel.from_xml_string(self.XML)
        self.data = mujoco.MjData(self.model)
        self._compiles = compiles

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if self._compiles:
            self.model = mujoco.MjModel.from_xml_string(self.XML)
            self.data = mujoco.MjData(self.model)
        self.data.qpos[:] = self.data.qvel[:] = 0
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.data.ctrl[:] = action
        mujoco.mj_step(self.model, self.data, 4)
        return self._observe(), 1.0, False, False, {}

    def _observe(self) -> Any:
        return np.concatenate((self.data.qpos, self.data.qvel))


MASS = spec_of(mass=entry({"body": "ball"}, "mass", "scale", type="uniform", low=0.5, high=2.0))


def test_state_is_reset_in_full() -> None:
    _episode(bare := _Forgetful(), 30, 1)
    assert _episode(bare, 30, 2) != _episode(_Forgetful(), 30, 2), "what the wrapper is to prevent"
    env = DomainRandomization(_Forgetful(), MASS)
    first = _episode(env, 30, 2)
    _episode(env, 30, 1)
    assert _episode(env, 30, 2) == first


def test_a_model_that_is_replaced_is_one_clear_error() -> None:
    with pytest.raises(DREnvError, match="made a new MjModel when it was reset"):
        DomainRandomization(_Forgetful(compiles=True), MASS).reset(seed=0)


def test_a_simulation_that_diverges_ends_its_episode() -> None:
    env = DomainRandomization(_Forgetful(), MASS)
    observation, _ = env.reset(seed=0)
    env.unwrapped.data.qvel[:] = 1e11  # type: ignore[attr-defined]
    last, reward, terminated, _, info = env.step(np.zeros(1, np.float32))
    assert (last == observation).all()
    assert (reward, terminated, info["dr_failure"]) == (0.0, True, True)
    env.reset(seed=1)
    _, reward, terminated, _, info = env.step(np.zeros(1, np.float32))
    assert (reward, terminated, "dr_failure" in info) == (1.0, False, False)


def test_no_draw_touches_the_environments_own_generator() -> None:
    """Even the first reset, which has no seed of its own."""
    bare, wrapped = gym.make("Hopper-v5"), DomainRandomization(gym.make("Hopper-v5"), Spec())
    bare.reset(seed=4)
    wrapped.env.reset(seed=4)
    assert (bare.reset()[0] == wrapped.reset()[0]).all()


def test_what_cannot_be() -> None:
    wrapped = DomainRandomization(gym.make("Hopper-v5"), shipped_spec("hopper"))
    with pytest.raises(DREnvError, match="randomized by a DomainRandomization already"):
        DomainRandomization(TimeLimit(wrapped, 5), shipped_spec("hopper"))

    class Coarse(gym.ActionWrapper[Any, Any, Any]):
        def __init__(self, env: gym.Env[Any, Any]) -> None:
            super().__init__(env)
            self.action_space = gym.spaces.Discrete(2)

        def action(self, action: int) -> Any:
            return np.full(3, 2.0 * action - 1.0, np.float32)

    spec = spec_of(wire=entry({"action": "*"}, "noise", "set", type="constant", value=0.1))
    with pytest.raises(DREnvError, match="expected 3 numbers, one for each actuator"):
        DomainRandomization(Coarse(gym.make("Hopper-v5")), spec)
    assert DomainRandomization(Coarse(gym.make("Hopper-v5")), shipped_spec("hopper")).reset(seed=0)[1]["dr"]


@pytest.mark.parametrize("inside", [True, False])
def test_gymnasiums_wrappers_inside_and_outside(inside: bool) -> None:
    spec = shipped_spec("hopper")

    def around(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
        env = TimeLimit(ClipAction(RescaleAction(env, -1, 1)), 7)
        return NormalizeObservation(RecordEpisodeStatistics(FlattenObservation(env)))

    base, plain = gym.make("Hopper-v5"), DomainRandomization(gym.make("Hopper-v5"), spec)
    env = DomainRandomization(around(base), spec) if inside else around(DomainRandomization(base, spec))
    for seed in (0, None):
        _, info = env.reset(seed=seed)
        assert info["dr"] == plain.reset(seed=seed)[1]["dr"]
        assert env.get_wrapper_attr("draw") == info["dr"]
    env.action_space.seed(0)  # under some actions a hopper falls before its time is up
    ended = []
    while not any(ended):
        observation, _, terminated, truncated, info = env.step(env.action_space.sample())
        assert np.isfinite(observation).all()
        ended.append(terminated or truncated)
    assert info["episode"]["l"] == len(ended) == 7


@pytest.mark.filterwarnings("ignore:.*Async.*", "ignore::DeprecationWarning")
@pytest.mark.parametrize(("mode", "kwargs"), [("sync", {}), ("async", {"context": "spawn"})])
def test_gymnasiums_vectors(mode: str, kwargs: dict[str, Any]) -> None:
    """Each environment of a vector is the one that has its seed alone."""
    spec = shipped_spec("hopper")
    envs = gym.make_vec(
        "Hopper-v5", 2, mode, vector_kwargs=kwargs, wrappers=[lambda env: DomainRandomization(env, spec)]
    )
    alone = [DomainRandomization(gym.make("Hopper-v5"), spec) for _ in range(2)]
    observations, info = envs.reset(seed=3)
    for i, env in enumerate(alone):
        observation, mine = env.reset(seed=3 + i)
        assert (observations[i] == observation).all()
        for name, value in mine["dr"].items():
            assert np.array_equal(info["dr"][name][i], value)
    actions = np.zeros((2, 3), np.float32)
    for _ in range(3):
        observations, rewards, *_ = envs.step(actions)
        for i, env in enumerate(alone):
            observation, reward, *_ = env.step(actions[i])
            assert (observations[i] == observation).all()
            assert rewards[i] == reward
    envs.close()


def test_recorded_arguments_are_plain_data() -> None:
    env = DomainRandomization(gym.make("Hopper-v5"), shipped_spec("hopper"))
    assert env.spec is not None
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert _episode(again, 5, 1) == _episode(env, 5, 1)


def _sb3_member(seed: int) -> Make:
    def make() -> gym.Env[Any, Any]:
        return DomainRandomization(gym.make("Hopper-v5"), shipped_spec("hopper"))

    return make


@pytest.mark.filterwarnings("ignore:.*infinity.*")
def test_stable_baselines3() -> None:
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_checker import check_env
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

    check_env(_sb3_member(0)())
    firsts = []
    for kind, kwargs in ((DummyVecEnv, {}), (SubprocVecEnv, {"start_method": "spawn"})):
        envs = kind([_sb3_member(i) for i in range(2)], **kwargs)  # type: ignore[operator]
        envs.seed(1)
        observations = envs.reset()
        draws = [info["dr"] for info in envs.reset_infos]
        assert draws[0] != draws[1]
        firsts.append((observations.tobytes(), *draws))
        envs.close()
    assert firsts[0] == firsts[1]
    envs = DummyVecEnv([_sb3_member(i) for i in range(2)])
    model = PPO("MlpPolicy", envs, n_steps=64, batch_size=64, n_epochs=1, seed=0, device="cpu").learn(256)
    assert model.num_timesteps == 256
    assert all(draw for draw in envs.get_attr("draw"))
    envs.close()
