"""What only compiling can vary: drawn once, in every Draw, the same in all episodes."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dr_env import DomainRandomization, Draw, DREnvError, Env, Spec, VectorEnv, build_model, compile_model, make_task
from dr_env.envs import try_out
from tests.conftest import entry, model_bytes, spec_of

SCENE = """
<mujoco model="scene">
  <option timestep="0.002"/>
  <worldbody>
    <body name="table" pos="0 0 .4" euler="0 0 30"><geom name="table" type="box" size=".3 .3 .05"/></body>
    <frame pos="1 0 0"><body name="shelf" pos="0 0 1"><geom type="box" size=".3 .3 .05"/></body></frame>
    <body name="ball" pos="0 0 1"><freejoint/><geom size=".05" mass="1"/></body>
    <body name="cart" pos="2 0 1"><joint name="slide" type="slide"/><geom size=".05" mass="1"/></body>
  </worldbody>
  <actuator><motor name="push" joint="slide"/></actuator>
</mujoco>
"""


def _compiled(select: object, field: str, operation: str, **distribution: object) -> dict[str, object]:
    return {**entry(select, field, operation, **distribution), "trigger": "compile"}


def _steps(**distribution: object) -> Spec:
    return spec_of(step=_compiled("option", "timestep", "scale", **distribution))


@pytest.fixture
def scene() -> mujoco.MjSpec:
    return mujoco.MjSpec.from_string(SCENE)


def _env(tmp_path: Path, spec: Spec, num_envs: int = 2, **arguments: object) -> VectorEnv:
    path = tmp_path / "scene.xml"
    path.write_text(SCENE)
    task = make_task(path, reward=lambda before, action, after: after["qpos"][:, 2], frame_skip=10, max_episode_steps=5)
    return VectorEnv(task, num_envs, spec, **arguments)  # type: ignore[arg-type]


def test_poses_of_static_bodies_are_what_the_compiler_makes_of_them(scene: mujoco.MjSpec) -> None:
    spec = spec_of(
        height=_compiled({"body": "table"}, "pos[2]", "add", type="constant", value=0.1),
        yaw=_compiled({"body": "table"}, "rotation[2]", "set", type="constant", value=0.2),
    )
    before = scene.to_xml() if scene.compile() else ""
    build = build_model(scene, spec)
    assert scene.to_xml() == before  # the description passed in stays
    table = build.model.body("table")
    assert table.pos.tolist() == [0, 0, 0.5]
    expected = Rotation.from_euler("z", np.pi / 6 + 0.2).as_quat(scalar_first=True)
    np.testing.assert_allclose(table.quat, expected, atol=1e-12)
    by_hand = mujoco.MjSpec.from_string(SCENE)
    by_hand.body("table").pos[2] = 0.5
    by_hand.body("table").alt.type = mujoco.mjtOrientation.mjORIENTATION_QUAT
    by_hand.body("table").quat = table.quat
    assert model_bytes(by_hand.compile()) == model_bytes(build.model)
    plan = spec.bind(build.model, build=build)
    draw = plan.sample(np.random.default_rng(0))
    assert draw == {"height": 0.1, "yaw": 0.2}
    before_apply = model_bytes(build.model)
    plan.apply(build.model, draw)
    assert model_bytes(build.model) == before_apply  # nothing is left to write
    plan.restore(build.model)
    assert model_bytes(build.model) == before_apply


def test_nothing_to_compile_is_bit_identical(scene: mujoco.MjSpec) -> None:
    spec = spec_of(
        a=_compiled({"body": "table"}, "pos", "add", type="constant", value=0.0),
        b=_compiled({"body": "table"}, "rotation", "add", type="constant", value=0.0),
        c=_compiled("option", "timestep", "scale", type="constant", value=1.0),
    )
    assert model_bytes(compile_model(scene, spec)) == model_bytes(scene.compile())


def test_drawn_once_and_told_every_time(tmp_path: Path) -> None:
    spec = spec_of(
        height=_compiled({"body": "table"}, "pos[2]", "add", type="uniform", low=-0.1, high=0.1),
        load=_compiled({"body": "ball"}, "mass", "scale", type="uniform", low=0.5, high=2.0),
        gravity=entry("option", "gravity[2]", "add", type="uniform", low=-1, high=1),
    )
    env = _env(tmp_path, spec, 3)
    seen = []
    for seed in (0, 1, None):
        _, info = env.reset(seed=seed)
        seen.append(info["dr"])
    heights = np.array([draw["height"] for draw in seen])
    assert (heights == heights[0, 0]).all()
    assert np.unique([draw["load"] for draw in seen]).size == 1
    assert np.unique([draw["gravity"] for draw in seen]).size == 9
    assert env.model.body("table").pos[2] == 0.4 + heights[0, 0]
    assert _env(tmp_path, spec, compile_from=0).model.body("table").pos[2] == env.model.body("table").pos[2]
    other = _env(tmp_path, spec, compile_from=7)
    assert other.model.body("table").pos[2] != env.model.body("table").pos[2]
    # another entry or its absence changes no number
    alone = Spec(entries={"height": spec.entries["height"]})
    assert _env(tmp_path, alone, compile_from=7).model.body("table").pos[2] == other.model.body("table").pos[2]


def test_a_draw_replays_where_it_was_made_and_elsewhere_by_compiling(tmp_path: Path) -> None:
    spec = spec_of(height=_compiled({"body": "table"}, "pos[2]", "add", type="uniform", low=-0.1, high=0.1))
    env = _env(tmp_path, spec, compile_from=3)
    env.reset(seed=0)
    draw = Draw.from_json(env.draws[0].to_json())
    env.reset(options={"draw": draw})
    other = _env(tmp_path, spec)
    with pytest.raises(DREnvError, match=r"draw.height: got .* was compiled with .* make the environment with compile"):
        other.reset(options={"draw": draw})
    again = _env(tmp_path, spec, compile_from=draw)
    again.reset(options={"draw": draw})
    assert model_bytes(again.model) == model_bytes(env.model)
    with pytest.raises(DREnvError, match="compile_from: the Draw has no height"):
        _env(tmp_path, spec, compile_from={})


@pytest.mark.parametrize(
    ("factor", "skip"), [(1.0, 10), (0.5, 20), (2.0, 5), (1.1, 9), (3.0, 3), (25.0, 1)]
)  # nominal: 10 steps of 2 ms
def test_another_timestep_keeps_the_time_of_an_action(tmp_path: Path, factor: float, skip: int) -> None:
    env = _env(tmp_path, _steps(type="constant", value=factor))
    timestep = 0.002 * factor
    assert env.model.opt.timestep == timestep
    assert env.task.frame_skip == skip
    assert env.task.dt == pytest.approx(skip * timestep)
    assert abs(env.task.dt - 0.02) <= max(timestep / 2, timestep - 0.02) + 1e-12
    env.reset(seed=0)
    env.step(np.zeros((2, 1), np.float32))
    assert env._batch.bind("time")[0] == pytest.approx(skip * timestep)


def test_rewards_and_delays_follow_the_timestep() -> None:
    spec = spec_of(
        step=_compiled("option", "timestep", "scale", type="constant", value=1.2),
        delay=entry({"actuator": "*"}, "delay", "set", type="constant", value=0.02),
        walk=entry({"observation": "*"}, "delay", "set", type="constant", value=0.1),
    )
    env = Env(make_task("half_cheetah"), spec)
    assert env.model.opt.timestep == pytest.approx(0.012)
    assert env.task.dt == pytest.approx(0.048)
    assert env.model.actuator_history[0, 0] == 2  # two samples of 12 ms
    env = Env(make_task("half_cheetah"), Spec(entries={"step": spec.entries["step"]}))
    env.reset(seed=0)
    start = env._vector._live["qpos"][0, 0]
    *_, info = env.step(np.ones(6, np.float32))
    assert info["x_velocity"] == pytest.approx((env._vector._live["qpos"][0, 0] - start) / 0.048)


def test_other_entries_may_depend_on_it(tmp_path: Path) -> None:
    form = spec_of(
        height=_compiled({"body": "table"}, "pos[2]", "set", type="expression", formula="level + 0.1"),
        g=entry("option", "gravity[2]", "set", type="expression", formula="-10 * height", low=-10.0, high=0.0),
    ).to_dict()
    form["variables"] = {"level": {"distribution": {"type": "uniform", "low": 0.2, "high": 0.4}, "trigger": "compile"}}
    env = _env(tmp_path, Spec.from_dict(form))
    _, info = env.reset(seed=0)
    assert env.model.body("table").pos[2] == info["dr"]["height"][0] == info["dr"]["level"][0] + 0.1
    assert info["dr"]["g"] == pytest.approx(-10 * info["dr"]["height"])
    form["variables"]["level"].pop("trigger")
    with pytest.raises(DREnvError, match="'height' depends on 'level', which is drawn by episode"):
        _env(tmp_path, Spec.from_dict(form))


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (entry("option", "timestep", "scale", type="constant", value=0.5), "got episode, but timestep is fixed when"),
        (_compiled("option", "timestep", "scale", type="constant", value=0.0), "can reach 0 s"),
        (entry({"body": "table"}, "pos", "add", type="constant", value=0.1), "write `trigger: compile`"),
        (_compiled({"body": "world"}, "pos", "add", type="constant", value=0.1), "body 'world' has no pose"),
        (_compiled({"body": "shelf"}, "pos", "add", type="constant", value=0.1), "take it out of its <frame>"),
        (_compiled({"body": "tabel"}, "pos", "add", type="constant", value=0.1), "did you mean 'table'"),
    ],
)
def test_bad_input(tmp_path: Path, form: dict[str, object], message: str) -> None:
    with pytest.raises(DREnvError) as error:
        _env(tmp_path, spec_of(x=form))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_compiled_model_cannot_be_compiled_again() -> None:
    with pytest.raises(DREnvError, match=r"entries.step.trigger: got compile, but this model is compiled already"):
        DomainRandomization(gym.make("Hopper-v5"), _steps(type="constant", value=0.5))


def test_a_running_environment_keeps_what_was_compiled(tmp_path: Path) -> None:
    spec = spec_of(
        height=_compiled({"body": "table"}, "pos[2]", "add", type="uniform", low=-0.1, high=0.1),
        gravity=entry("option", "gravity[2]", "add", type="uniform", low=-1, high=1),
    )
    env = _env(tmp_path, spec)
    first = env.reset(seed=0)[1]["dr"]
    wider = spec.with_parameters(spec.parameters().replace({"height.high": 0.2, "gravity.high": 3.0}))
    env.set_randomization(wider)
    second = env.reset(seed=0)[1]["dr"]
    assert (second["height"] == first["height"]).all()
    assert (second["gravity"] != first["gravity"]).any()
    assert np.isfinite(
        env.plan.log_prob({name: value[0] for name, value in second.items() if not name.startswith("_")})
    )


def test_it_can_be_tried_out(tmp_path: Path) -> None:
    path = tmp_path / "scene.xml"
    path.write_text(SCENE)
    task = make_task(path, reward=lambda before, action, after: after["qpos"][:, 2], max_episode_steps=20)
    rate, failures, count = try_out(task, _steps(type="uniform", low=0.5, high=1.5), 4)
    assert (rate, failures, count) == (1.0, [], 0)
