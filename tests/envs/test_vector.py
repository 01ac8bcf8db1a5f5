from __future__ import annotations

import copy
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_returned_data_not_reused
from gymnasium.vector import AutoresetMode

from dr_env import (
    DomainRandomization,
    Draw,
    DREnvError,
    Spec,
    VectorEnv,
    compile_model,
    make_env,
    make_task,
    make_vector_env,
)
from tests.conftest import entry, model_bytes, shipped_spec, spec_of

IDENTITY = {
    "half_cheetah": [
        entry({"body": "*"}, "mass", "scale", type="uniform", low=1, high=1, per="element"),
        entry({"geom": "*"}, "friction", "scale", type="log_uniform", low=1, high=1),
        entry({"joint": "*"}, "damping", "add", type="constant", value=0),
        entry({"actuator": "*"}, "gain", "scale", type="constant", value=1),
        entry({"actuator": "*"}, "delay", "set", type="constant", value=0),
        entry("option", "gravity", "add", type="normal", mean=0, std=0),
        entry({"observation": "*"}, "noise", "set", type="constant", value=0),
    ]
}
IDENTITY["hopper"] = IDENTITY["inverted_pendulum"] = IDENTITY["half_cheetah"]


def _actions(env: VectorEnv, steps: int, seed: int = 0) -> list[np.ndarray]:
    env.action_space.seed(seed)
    return [env.action_space.sample() for _ in range(steps)]


def _run(env: VectorEnv, steps: int, columns: slice = slice(None), seed: int = 3) -> list[np.ndarray]:
    """Everything that `steps` random steps give in the environments `columns`."""
    observations, _ = env.reset(seed=seed)
    seen = [observations[columns]]
    rng = np.random.default_rng(0)
    shared = rng.uniform(-1, 1, (steps, *env.single_action_space.shape)).astype(np.float32)  # type: ignore[misc]
    for action in shared:
        step = env.step(np.broadcast_to(action, env.action_space.shape))  # type: ignore[arg-type]
        seen += [np.array(part[columns]) for part in step[:4]]
    return seen


def _same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("task", ["half_cheetah", "hopper", "inverted_pendulum"])
def test_the_identity_spec_is_bit_identical_to_none(task: str) -> None:
    identity = spec_of(**{f"e{i}": e for i, e in enumerate(IDENTITY[task])})
    plain, varied = (VectorEnv(make_task(task), 4, spec, threads=1) for spec in (None, identity))
    assert _same(_run(plain, 200), _run(varied, 200))


@pytest.mark.parametrize("task", ["half_cheetah", "hopper"])
def test_threads_and_neighbours_change_nothing(task: str) -> None:
    noisy = Spec.from_dict(
        {
            "format": "dr_env/1",
            "entries": {
                **shipped_spec(task).to_dict()["entries"],
                "noise": entry({"observation": "*"}, "noise", "set", type="uniform", low=0.0, high=0.1),
                "delay": entry({"actuator": "*"}, "delay", "set", type="uniform", low=0.0, high=0.02),
            },
        }
    )
    reference = _run(VectorEnv(make_task(task), 8, noisy, threads=1), 150)
    assert _same(reference, _run(VectorEnv(make_task(task), 8, noisy, threads=2), 150))
    assert _same([part[:3] for part in reference], _run(VectorEnv(make_task(task), 3, noisy, threads=2), 150))


def test_one_environment_is_the_batch_of_one() -> None:
    vector = make_vector_env(task="hopper", num_envs=3, randomization="default", autoreset_mode="Disabled")
    single = make_env(task="hopper", randomization="default")
    first, info = vector.reset(seed=[11, 12, 13])
    observation, single_info = single.reset(seed=12)
    assert (observation == first[1]).all()
    assert single_info["dr"]["friction"] == info["dr"]["friction"][1]
    action = np.full((3, 3), 0.3, np.float32)
    assert (single.step(action[1])[0] == vector.step(action)[0][1]).all()


def test_ten_thousand_resets_drift_nothing() -> None:
    task, spec = make_task("hopper"), shipped_spec("hopper")
    env = VectorEnv(task, 50, spec)
    env.reset(seed=0)
    first = [env.plan.binding, env._batch.get_model(7), env.draws[7]]
    for _ in range(200):
        env.reset()
    env.reset(seed=0)
    assert env.draws[7] == first[2]
    assert model_bytes(env._batch.get_model(7)) == model_bytes(first[1])
    assert model_bytes(env.model) == model_bytes(VectorEnv(task, 1, spec).model)


def test_a_draw_reaches_the_physics_and_reads_back() -> None:
    env = VectorEnv(make_task("half_cheetah"), 5, shipped_spec("half_cheetah"))
    env.reset(seed=1)
    for i, draw in enumerate(env.draws):
        model, alone = env._batch.get_model(i), compile_model(env.task.mjspec(), env.randomization)
        np.testing.assert_array_equal(model.body_mass[1:], env.model.body_mass[1:] * draw["link_mass"])
        assert model.opt.gravity[2] == env.model.opt.gravity[2] + draw["gravity"]
        env.plan.apply(alone, draw)
        assert (model.body_mass == alone.body_mass).all()
        assert (model.body_subtreemass == alone.body_subtreemass).all()
        assert (model.dof_invweight0 == alone.dof_invweight0).all()


def test_replaying_a_draw_gives_the_same_episode() -> None:
    env = make_vector_env(task="half_cheetah", num_envs=2, randomization="default")
    env.reset(seed=5)
    draws, model = env.draws, model_bytes(env._batch.get_model(1))
    env.reset(seed=99)
    assert env.draws != draws
    _, info = env.reset(options={"draw": draws})
    assert env.draws == draws
    assert model_bytes(env._batch.get_model(1)) == model
    env.reset(options={"draw": Draw.from_json(draws[0].to_json())})
    assert env.draws == [draws[0], draws[0]]
    assert (info["dr"]["friction"] == [draw["friction"] for draw in draws]).all()


def test_an_info_of_draws_is_replayed() -> None:
    env = make_vector_env(task="half_cheetah", num_envs=3, randomization="default")
    _, info = env.reset(seed=5)
    draws = env.draws
    env.reset(seed=99)
    env.reset(options={"draw": info["dr"]})
    assert env.draws == draws
    _, part = env.reset(seed=5, options={"reset_mask": np.array([False, True, False])})
    with pytest.raises(DREnvError, match=r"tells the Draws of environments \[1\], expected those of \[0, 1, 2\]"):
        env.reset(options={"draw": part["dr"]})
    env.reset(options={"draw": part["dr"], "reset_mask": np.array([False, True, False])})
    assert env.draws == draws
    with pytest.raises(DREnvError, match="no entry 'frction'; did you mean 'friction'"):
        env.reset(options={"draw": {**info["dr"], "frction": info["dr"]["friction"]}})


def test_an_info_of_many_environments_is_not_that_of_one() -> None:
    """A vector of Gymnasium's hands the same options to each environment, which cannot know its place in it."""
    envs = gym.make_vec("dr_env/Hopper-v0", 2, "sync", randomization="default")
    wrapped = DomainRandomization(gym.make("Hopper-v5"), shipped_spec("hopper"))
    _, info = envs.reset(seed=0)
    for env in (envs, wrapped, make_vector_env(task="hopper", num_envs=3, randomization="default")):
        with pytest.raises(DREnvError, match=r"draw: got an info of 2 environments, expected one of [13]"):
            env.reset(options={"draw": info["dr"]})


def test_episodes_have_a_step_at_least() -> None:
    with pytest.raises(DREnvError, match="max_episode_steps: got 0, expected a whole number, at least 1"):
        make_vector_env(task="hopper", max_episode_steps=0)


def test_same_step_autoreset() -> None:
    env = make_vector_env(task="hopper", num_envs=6, randomization="default")
    observations, _ = env.reset(seed=0)
    ends = 0
    for action in _actions(env, 120):
        before = env.draws
        observations, _, terminated, truncated, info = env.step(action)
        over = terminated | truncated
        if not over.any():
            assert "final_obs" not in info
            continue
        ends += int(over.sum())
        assert (info["_final_obs"] == over).all()
        assert (info["_dr"] == over).all()
        for i in np.flatnonzero(over):
            assert not (info["final_obs"][i] == observations[i]).all()
            assert info["final_info"]["dr"]["friction"][i] == before[i]["friction"]
            assert info["dr"]["friction"][i] != before[i]["friction"]
            assert abs(observations[i][0] - 1.25) < 0.01
    assert ends > 6


def test_next_step_autoreset() -> None:
    env = make_vector_env(task="hopper", num_envs=4, autoreset_mode=AutoresetMode.NEXT_STEP)
    env.reset(seed=0)
    waiting = np.zeros(4, bool)
    seen = 0
    for action in _actions(env, 120):
        observations, rewards, terminated, truncated, _ = env.step(action)
        assert (rewards[waiting] == 0).all()
        assert not (terminated | truncated)[waiting].any()
        assert (np.abs(observations[waiting, 0] - 1.25) < 0.01).all()
        seen += int(waiting.sum())
        waiting = terminated | truncated
    assert seen > 4


def test_disabled_autoreset_and_reset_mask() -> None:
    env = make_vector_env(task="hopper", num_envs=3, autoreset_mode="Disabled", max_episode_steps=2)
    env.reset(seed=0)
    still = np.zeros((3, 3), np.float32)
    env.step(still)
    assert env.step(still)[3].all()
    with pytest.raises(DREnvError, match=r"environments \[0, 1, 2\] have ended; reset them first"):
        env.step(still)
    mask = np.array([True, False, True])
    env.reset(options={"reset_mask": mask})
    with pytest.raises(DREnvError, match=r"environments \[1\] have ended"):
        env.step(still)


def test_starting_states() -> None:
    env = make_vector_env(task="inverted_pendulum", num_envs=2)
    observations, _ = env.reset(seed=0, options={"qpos": [0.1, 0.05], "qvel": [[0, 0], [1, 2]]})
    assert observations.tolist() == [[0.1, 0.05, 0, 0], [0.1, 0.05, 1, 2]]


def test_a_diverging_simulation_ends_its_own_episode() -> None:
    env = make_vector_env(task="half_cheetah", num_envs=3)
    reference = make_vector_env(task="half_cheetah", num_envs=3)
    for each in (env, reference):
        each.reset(seed=0)
    env._batch.bind("qvel")[1] = 1e12
    action = np.zeros((3, 6), np.float32)
    observations, rewards, terminated, _, info = env.step(action)
    expected = reference.step(action)
    assert info["dr_failure"].tolist() == terminated.tolist() == [False, True, False]
    assert rewards[1] == 0
    assert np.isfinite(observations).all()
    assert np.isfinite(info["final_obs"][1]).all()
    for i in (0, 2):
        assert (observations[i] == expected[0][i]).all()
        assert rewards[i] == expected[1][i]
    for _ in range(5):
        assert "dr_failure" not in env.step(action)[4]


def test_unphysical_randomization_is_survived() -> None:
    """Motors a million times too strong blow simulations up; the batch goes on."""
    spec = spec_of(gain=entry({"actuator": "*"}, "gain", "scale", type="choice", values=[1.0, 1e9]))
    env = VectorEnv(make_task("half_cheetah"), 16, spec)
    env.reset(seed=0)
    failed = 0
    for action in _actions(env, 50):
        observations, rewards, terminated, _, info = env.step(action)
        assert np.isfinite(observations).all()
        assert np.isfinite(rewards).all()
        failures = info.get("dr_failure", np.zeros(16, bool))
        assert terminated[failures].all()
        failed += int(failures.sum())
        if failures.any():
            assert (info["final_info"]["dr"]["gain"][failures] == 1e9).all()
    assert failed > 0


def test_observation_noise_has_its_size_and_is_keyed() -> None:
    spec = spec_of(noise=entry({"observation": "qvel.*"}, "noise", "set", type="constant", value=0.5))
    noisy, clean = (VectorEnv(make_task("half_cheetah"), 64, s) for s in (spec, None))
    a, b = _run(noisy, 150), _run(clean, 150)
    difference = np.array([x - y for x, y in zip(a[1::4], b[1::4], strict=True)])  # (150, 64, 17)
    assert (difference[:, :, :8] == 0).all()
    assert difference[:, :, 8:].std() == pytest.approx(0.5, rel=0.02)
    assert abs(np.corrcoef(difference[:-1, :, 8].ravel(), difference[1:, :, 8].ravel())[0, 1]) < 0.05
    assert _same(a, _run(VectorEnv(make_task("half_cheetah"), 64, spec), 150))


def test_episodes_differ_and_seeds_repeat() -> None:
    env = make_vector_env(task="hopper", num_envs=2, randomization="default")
    env.reset(seed=0)
    first = env.draws
    env.reset()
    assert env.draws != first
    env.reset(seed=0)
    assert env.draws == first
    env.reset(seed=1)
    assert env.draws != first
    unseeded = [make_env(task="hopper", randomization="default").reset()[1]["dr"] for _ in range(2)]
    assert unseeded[0] != unseeded[1]


def test_acceptance_is_reported() -> None:
    spec = spec_of(long=entry({"body": "foot"}, "inertia[0]", "scale", type="uniform", low=1.0, high=1.2))
    env = VectorEnv(make_task("hopper"), 100, spec)
    env.reset(seed=0)
    assert 0 < env.acceptance_rate < 1
    assert make_vector_env(task="hopper", randomization="default").acceptance_rate == 1.0


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda env: env.reset(options={"drow": {}}), "no option 'drow'; did you mean 'draw'?"),
        (lambda env: env.reset(options={"draw": {"x": 1.0}}), "draw.x: no entry 'x'"),
        (lambda env: env.reset(options={"draw": [{}]}), "draw: got 1 Draws, expected one or 2"),
        (lambda env: env.reset(options={"reset_mask": [1, 0]}), "reset_mask: got [1, 0], expected (2,) booleans"),
        (lambda env: env.reset(seed=[1]), "seed: got 1 seeds, expected one or 2"),
        (lambda env: env.reset(seed=1.5), "seed: got 1.5, expected a whole number, or one for each environment"),
        (lambda env: env.step(np.zeros((2, 4), np.float32)), "actions: got shape (2, 4), expected (2, 3)"),
        (lambda env: env.step(np.full((2, 3), np.nan)), "actions: environment 0 got [nan, nan, nan]"),
        (lambda env: env.reset(seed=2**64), "seed: got 18446744073709551616, expected a whole number, 0 to 2**64 - 1"),
        (lambda env: env.reset(seed=-1), "seed: got -1, expected a whole number, 0 to 2**64 - 1"),
        (lambda env: env.reset(seed=[5, -1]), "seed: got -1, expected a whole number, 0 to 2**64 - 1"),
        (lambda env: env.reset(options="foo"), "options: got 'foo', expected a mapping with draw"),
        (lambda env: env.step([[1.0, 2.0], [1.0]]), "actions: got rows of different lengths, expected shape (2, 3)"),
        (lambda env: env.step(np.zeros((2, 3), object)), "actions: got object, expected numbers"),
        (lambda env: env.step(np.zeros((2, 3), complex)), "actions: got complex128, expected numbers"),
        (lambda env: make_vector_env(task="hopper", num_envs=0), "num_envs: got 0"),
        (lambda env: make_vector_env(task="hopper", num_envs=True), "num_envs: got True, expected a whole number"),
        (lambda env: make_vector_env(task="hopper", num_envs=10**12), "num_envs: got 1000000000000, more simulations"),
        (lambda env: make_vector_env(task="hopper", threads=None), "threads: got None, expected a whole number"),
        (lambda env: make_vector_env(task="hopper", width=None), "width: got None, expected a whole number"),
        (lambda env: make_vector_env(task="hopper", max_episode_steps=np.nan), "max_episode_steps: got nan"),
        (
            lambda env: make_vector_env(task="hopper", compile_from="a"),
            "compile_from: got 'a', expected a whole number",
        ),
        (lambda env: make_vector_env(task="hopper", render_mode="human"), "render_mode: got 'human'"),
        (lambda env: make_vector_env(task="hopper", randomization="none.yaml"), "none.yaml: no such file"),
    ],
)
def test_bad_input(act: Any, message: str) -> None:
    env = make_vector_env(task="hopper", num_envs=2, randomization="default")
    env.reset(seed=0)
    with pytest.raises(DREnvError) as error:
        act(env)
    assert message in str(error.value)


def test_stepping_before_reset_is_refused() -> None:
    with pytest.raises(DREnvError, match="call reset"):
        make_vector_env(task="hopper").step(np.zeros((1, 3), np.float32))


def test_seeds_that_are_refused_change_nothing() -> None:
    """The largest seed is one of its own; a list with a bad one is refused whole."""
    env = make_vector_env(task="hopper", num_envs=2, randomization="default")
    env.reset(seed=2**64 - 1)
    largest = env.draws
    env.reset(seed=0)
    assert env.draws != largest
    with pytest.raises(DREnvError, match="seed: got -1"):
        env.reset(seed=[5, -1])
    env.reset()
    after = env.draws
    env.reset(seed=0)
    env.reset()
    assert env.draws == after


def test_the_model_of_the_task_stays_nominal() -> None:
    env = make_vector_env(task="hopper", num_envs=4, randomization="default")
    before = model_bytes(env.model)
    env.reset(seed=0)
    for action in _actions(env, 10):
        env.step(action)
    assert model_bytes(env.model) == before
    assert isinstance(env.model, mujoco.MjModel)


@pytest.mark.parametrize("mode", list(AutoresetMode)[:2])
def test_what_a_call_returns_is_the_callers(mode: AutoresetMode) -> None:
    env = make_vector_env(task="hopper", num_envs=1, randomization="default", autoreset_mode=mode, max_episode_steps=1)
    check_returned_data_not_reused(env, seed=0)


def test_a_running_environment_refuses_other_cases_whose_numbers_would_mean_others() -> None:
    def weather(*cases: str) -> Spec:
        chosen = {"type": "switch", "variable": "weather", "cases": {
            case: {"type": "uniform", "low": 0.5, "high": 1} for case in cases}}  # fmt: skip
        form = spec_of(friction=entry({"geom": "floor"}, "friction[0]", "scale", **chosen)).to_dict()
        form["variables"] = {"weather": {"distribution": {"type": "categorical", "cases": dict.fromkeys(cases, 1)}}}
        return Spec.from_dict(form)

    env = VectorEnv(make_task("hopper"), 2, weather("dry", "rain"))
    for cases in (("rain", "dry"), ("dry", "rain", "snow")):
        with pytest.raises(DREnvError, match="weather: differs from the Spec that is bound in more than numbers"):
            env.set_randomization(weather(*cases))
    assert env.plan.binding != VectorEnv(make_task("hopper"), 2, weather("rain", "dry")).plan.binding


def test_simulations_cannot_be_copied() -> None:
    for env in (make_env(task="hopper"), VectorEnv(make_task("hopper"), 2)):
        with pytest.raises(DREnvError, match="cannot be copied or pickled; make another environment"):
            copy.deepcopy(env)
