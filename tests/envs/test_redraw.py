"""What is drawn again within an episode, and what changes in a running environment."""

from __future__ import annotations

import numpy as np
import pytest

from dr_env import Draw, DREnvError, Spec, VectorEnv, make_task
from dr_env.distributions import Uniform
from tests.conftest import entry, spec_of

TASK = "inverted_pendulum"  # a control step is 0.04 s


def _spec(**more: object) -> Spec:
    form = entry({"actuator": "*"}, "gain", "scale", type="uniform", low=0.5, high=2.0)
    still = entry({"body": "pole"}, "mass", "scale", type="uniform", low=0.5, high=2.0)
    return spec_of(gain={**form, **more}, mass=still)


def _run(spec: Spec, steps: int = 12, num_envs: int = 3, threads: int = 1) -> tuple[np.ndarray, list[dict]]:
    env = VectorEnv(make_task(TASK), num_envs, spec, threads=threads)
    env.reset(seed=4)
    gains, infos = [], []
    for _ in range(steps):
        *_, info = env.step(np.zeros((num_envs, 1), np.float32))
        gains.append([draw["gain"] for draw in env.draws])
        infos.append(info)
    return np.array(gains), infos


def test_every_step_has_a_draw_of_its_own() -> None:
    gains, infos = _run(_spec(trigger="step"), 5)
    assert len(np.unique(gains)) == gains.size
    assert not infos[0].get("_dr", np.zeros(3)).any() or infos[0]["_dr"].all()


def test_intervals_are_kept() -> None:
    gains, infos = _run(_spec(trigger="interval", every=0.12))  # three control steps
    changed = np.flatnonzero(np.diff(gains[:, 0]) != 0) + 1
    assert changed.tolist() == [3, 6, 9]
    assert [bool(info.get("_dr", [False])[0]) for info in infos] == [i in (3, 6, 9) for i in range(12)]
    assert infos[3]["dr"]["gain"].tolist() == gains[3].tolist()
    assert (infos[3]["dr"]["mass"] == infos[6]["dr"]["mass"]).all()  # drawn for the episode


def test_ranges_of_intervals_differ_from_gap_to_gap() -> None:
    gain = entry({"actuator": "*"}, "gain", "scale", type="uniform", low=0.5, high=2.0)
    env = VectorEnv(make_task("half_cheetah"), 4, spec_of(gain={**gain, "trigger": "interval", "every": [0.1, 0.3]}))
    env.reset(seed=0)  # a control step is 0.05 s, and episodes do not end early
    gains = []
    for _ in range(60):
        env.step(np.zeros((4, 6), np.float32))
        gains.append([draw["gain"] for draw in env.draws])
    for column in np.array(gains).T:
        gaps = np.diff(np.flatnonzero(np.diff(column) != 0))
        assert set(gaps) <= {2, 3, 4, 5, 6}
        assert len(set(gaps)) > 1


def test_the_model_holds_what_was_drawn_and_the_state_goes_on() -> None:
    env = VectorEnv(make_task(TASK), 2, _spec(trigger="step"), threads=1)
    env.reset(seed=0)
    for _ in range(3):
        env.step(np.zeros((2, 1), np.float32))
        gains = env._batch.expanded("actuator_gainprm")[:, 0, 0]
        assert gains == pytest.approx([draw["gain"] * env.model.actuator_gainprm[0, 0] for draw in env.draws])
    heavy = entry({"body": "pole"}, "mass", "scale", type="constant", value=1.0)
    plain, redrawn = (
        VectorEnv(make_task(TASK), 2, spec, threads=1) for spec in (None, spec_of(mass={**heavy, "trigger": "step"}))
    )
    plain.reset(seed=0)
    redrawn.reset(seed=0)
    for _ in range(20):
        a, b = (env.step(np.full((2, 1), 0.1, np.float32))[0] for env in (plain, redrawn))
        assert np.array_equal(a, b)  # writing what is there already changes nothing


@pytest.mark.parametrize("more", [{"trigger": "step"}, {"trigger": "interval", "every": [0.04, 0.2]}])
def test_neighbours_and_threads_change_nothing(more: dict) -> None:
    few, _ = _run(_spec(**more), num_envs=2)
    many, _ = _run(_spec(**more), num_envs=40, threads=2)
    assert np.array_equal(few, many[:, :2])


def test_what_depends_on_a_redraw_follows() -> None:
    spec = Spec.from_yaml("""
format: dr_env/1
variables:
  gust: {distribution: {type: categorical, cases: {calm: 1, storm: 1}}, trigger: step}
entries:
  wind: {select: option, field: "wind[0]", operation: set, distribution: {type: switch, variable: gust, cases: {calm: {type: constant, value: 0}, storm: {type: uniform, low: 5, high: 9}}}}
  drag: {select: option, field: density, operation: set, distribution: {type: expression, formula: 1 + gust}}
  mass: {select: {body: pole}, field: mass, operation: scale, distribution: {type: uniform, low: 0.5, high: 2}}
""")
    env = VectorEnv(make_task(TASK), 8, spec)
    env.reset(seed=0)
    seen = []
    for _ in range(6):
        env.step(np.zeros((8, 1), np.float32))
        seen.append([list(map(float, (d["gust"], d["wind"], d["drag"], d["mass"]))) for d in env.draws])
    gust, wind, drag, mass = np.moveaxis(np.array(seen), -1, 0)
    assert 0 < gust.mean() < 1
    assert ((wind >= 5) == (gust == 1)).all()
    assert ((wind == 0) == (gust == 0)).all()
    assert (drag == 1 + gust).all()
    assert (np.diff(mass, axis=0) == 0).all()


def test_sensor_effects_may_change_within_an_episode() -> None:
    late = {
        **entry({"observation": "*"}, "delay", "set", type="choice", values=[0.0, 0.2]),
        "trigger": "interval",
        "every": 0.4,
    }
    noisy = {**entry({"observation": "*"}, "noise", "set", type="choice", values=[0.0, 0.1]), "trigger": "step"}

    def observations(num_envs: int) -> np.ndarray:
        env = VectorEnv(make_task(TASK), num_envs, spec_of(late=late, noisy=noisy), max_episode_steps=60)
        env.reset(seed=1, options={"qpos": [0.0, 0.0], "qvel": [0.0, 0.0]})
        actions = np.random.default_rng(0).uniform(-0.05, 0.05, (50, 1, 1)).astype(np.float32)
        return np.array([env.step(np.broadcast_to(a, (num_envs, 1)))[0][:2] for a in actions])

    assert np.array_equal(observations(2), observations(30))


def test_a_short_interval_is_refused() -> None:
    with pytest.raises(
        DREnvError, match=r"entries\.gain\.every: got 0\.01 s, expected at least the control step of 0\.04 s"
    ):
        VectorEnv(make_task(TASK), 1, _spec(trigger="interval", every=0.01))


def test_a_running_environment_takes_other_ranges_at_its_next_episode() -> None:
    spec = _spec()
    env = VectorEnv(make_task(TASK), 4, spec, max_episode_steps=3)
    env.reset(seed=0)
    before = env.draws
    env.set_randomization(spec.narrowed(0.0))
    env.step(np.zeros((4, 1), np.float32))
    assert env.draws == before
    for _ in range(2):
        env.step(np.zeros((4, 1), np.float32))
    assert [draw["gain"] for draw in env.draws] == [1.0] * 4
    again = VectorEnv(make_task(TASK), 4, spec)
    again.reset(seed=0)
    again.set_randomization(spec)  # the same Spec: the same Draws
    assert again.reset(seed=0)[1]["dr"]["gain"].tolist() == [d["gain"] for d in before]
    with pytest.raises(DREnvError, match="expected those of the Spec that is bound"):
        env.set_randomization(Spec())
    assert isinstance(env.draws[0], Draw)


def test_an_episode_goes_on_by_the_ranges_it_was_begun_with() -> None:
    spec = _spec(trigger="step")
    env = VectorEnv(make_task(TASK), 3, spec)
    env.reset(seed=0)
    env.set_randomization(spec.with_distributions({"gain": Uniform(3.0, 4.0)}))
    for _ in range(3):
        env.step(np.zeros((3, 1), np.float32))
        assert all(draw["gain"] <= 2 for draw in env.draws)
    env.reset(options={"reset_mask": np.array([False, True, False])})
    env.step(np.zeros((3, 1), np.float32))
    assert [bool(draw["gain"] >= 3) for draw in env.draws] == [False, True, False]


def test_gaps_do_not_depend_on_other_entries() -> None:
    def changes(**more: object) -> list[int]:
        gain = entry({"actuator": "*"}, "gain", "scale", type="uniform", low=0.5, high=2.0)
        env = VectorEnv(make_task("half_cheetah"), 1, spec_of(gain={**gain, **every}, **more))
        env.reset(seed=0)
        gains = []
        for _ in range(40):
            env.step(np.zeros((1, 6), np.float32))
            gains.append(float(np.mean(env.draws[0]["gain"])))
        return np.flatnonzero(np.diff(gains)).tolist()

    every = {"trigger": "interval", "every": [0.1, 0.3]}
    wind = {**entry("option", "wind[0]", "add", type="uniform", low=-1, high=1), **every}
    assert len(changes()) > 5
    assert changes() == changes(wind=wind)


def test_info_tells_of_redraws_and_resets_at_once() -> None:
    env = VectorEnv(make_task(TASK), 3, _spec(trigger="step"), max_episode_steps=4)
    env.reset(seed=0)
    env.reset(seed=1, options={"reset_mask": np.array([True, True, True])})
    for _ in range(2):
        env.step(np.zeros((3, 1), np.float32))
    env.reset(options={"reset_mask": np.array([False, True, False])})
    for _ in range(2):
        *_, info = env.step(np.zeros((3, 1), np.float32))
    assert info["_final_info"].tolist() == [True, False, True]
    assert info["_dr"].all()
    assert info["dr"]["gain"].tolist() == [draw["gain"] for draw in env.draws]


def test_the_widest_spec_comes_first() -> None:
    """Buffers and the context's scale are those of the Spec that an environment was made with."""
    wide = _spec()
    with pytest.raises(DREnvError, match=r"entries\.gain\.distribution: varies, and did not.*the widest Spec"):
        VectorEnv(make_task(TASK), 1, wide.narrowed(0.0), context="observed").set_randomization(wide)
    late = spec_of(late=entry({"actuator": "*"}, "delay", "set", type="uniform", low=0.0, high=0.2))
    with pytest.raises(DREnvError, match=r"the delay needs a buffer .* make the environment with the widest Spec"):
        VectorEnv(make_task(TASK), 1, late.narrowed(0.0)).set_randomization(late)
    env = VectorEnv(make_task(TASK), 2, late, context="observed")
    env.set_randomization(late.narrowed(0.0))
    narrow = env.reset(seed=0)[0]
    env.set_randomization(late)
    assert (env.reset(seed=0)[0][:, -1] != narrow[:, -1]).all()
