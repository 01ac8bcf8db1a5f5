"""The tabletop task: an environment among arranged objects, with pictures, and labelled frames of its scenes."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import FrameStackObservation

import dr_env
from dr_env import Draw, DREnvError, Spec
from dr_env.export.source import SourceRequest
from dr_env.scene import Scenes
from tests.rendering.test_classic import needs_gl

TASK = dr_env.make_task("tabletop", arrangements=4)
FILE = TASK.file("randomization.yaml")
SPEC = Spec.load(FILE)
SIZE = {"width": 48, "height": 36, "render_mode": "rgb_array"}


def test_every_arrangement_has_the_target_and_rests() -> None:
    env = dr_env.VectorEnv(TASK, 6)
    env.reset(seed=0)
    names = TASK.observation_names(env.model)
    start = names.index("target_from_tip.x")
    still = np.zeros((6, 3), np.float32)
    first = env.step(still)[0][:, start : start + 3]
    for _ in range(20):
        observations, *_ = env.step(still)
    np.testing.assert_allclose(observations[:, start : start + 2], first[:, :2], atol=0.01)
    assert len(np.unique(first[:, 0].round(3))) > 1
    assert env.failures == 0


def test_going_straight_to_the_target_succeeds() -> None:
    env = dr_env.VectorEnv(TASK, 8, SPEC, autoreset_mode="Disabled")
    observations, _ = env.reset(seed=1)
    info = {}
    for _ in range(40):
        observations, _, _, _, info = env.step((0.4 * observations[:, -3:] / 0.025).clip(-1, 1).astype(np.float32))
    assert info["is_success"].mean() >= 0.75


def test_threads_and_company_change_nothing_though_objects_sleep() -> None:
    def run(count: int, threads: int, resets: int) -> np.ndarray:
        env = dr_env.VectorEnv(TASK, count, SPEC, threads=threads)
        for _ in range(resets):
            seen = [env.reset(seed=3)[0]]
            for step in range(12):
                action = np.sin(step + np.arange(3)).astype(np.float32)
                seen.append(env.step(np.tile(action, (count, 1)))[0])
        return np.array(seen)[:, :3]

    alone = run(3, 1, 1)
    np.testing.assert_array_equal(run(5, 2, 1), alone)
    np.testing.assert_array_equal(run(3, 2, 2), alone)


def test_the_target_may_be_for_a_camera_to_see() -> None:
    blind = dr_env.make_task("tabletop", target_known=False, arrangements=2)
    assert len(blind.observation_names(blind.mjspec().compile())) == 20
    with pytest.raises(DREnvError, match=r"target: got 'spoon', expected one of cone, cube"):
        dr_env.Env(dr_env.make_task("tabletop", target="spoon")).reset(seed=0)


def test_a_spec_brings_its_own_scene() -> None:
    form = SPEC.to_dict()
    form["entries"] = {}
    form["scene"]["objects"]["cube"]["size"] = 0.05
    form["scene"]["distractors"] = {}
    env = dr_env.Env(TASK, Spec.from_dict(form))
    assert env.model.nbody < dr_env.Env(TASK).model.nbody
    assert env.task.scene is not None
    with pytest.raises(DREnvError, match=r"tabletop needs an arm"):
        dr_env.Env(TASK, Spec.from_dict({**form, "scene": {**form["scene"], "arm": None}}))


@needs_gl
@pytest.mark.filterwarnings("ignore:.*WARN")  # advice that the checker gives of every wrapper and box
@pytest.mark.parametrize("observation", ["pixels", "dict"])
def test_pictures_are_observations(observation: str) -> None:
    env = gymnasium.make("dr_env/Tabletop-v0", randomization=SPEC, observation=observation, **SIZE)
    if observation == "dict":
        check_env(dr_env.make_env(task="tabletop", observation=observation, **SIZE), skip_render_check=True)
    stacked = FrameStackObservation(env, 3) if observation == "pixels" else env
    first, info = stacked.reset(seed=0)
    again, _ = stacked.reset(seed=0, options={"draw": info["dr"]})
    shown = first["pixels"] if observation == "dict" else first
    assert shown.shape == ((36, 48, 3) if observation == "dict" else (3, 36, 48, 3))
    assert shown.std() > 10
    np.testing.assert_array_equal(shown, again["pixels"] if observation == "dict" else again)
    stacked.close()


@needs_gl
def test_many_environments_give_pictures_each_of_its_own_world() -> None:
    envs = gymnasium.make_vec(
        "dr_env/Tabletop-v0", num_envs=3, randomization=SPEC, observation="pixels", stack=2, vectorization_mode="vector_entry_point", **SIZE
    )  # fmt: skip
    pictures, _ = envs.reset(seed=0)
    assert pictures.shape == (3, 2, 36, 48, 3)
    moved, *_ = envs.step(np.ones((3, 3), np.float32))
    np.testing.assert_array_equal(moved[:, 0], pictures[:, 1])
    assert (pictures[0] != pictures[1]).mean() > 0.3
    envs.close()


@needs_gl
def test_frames_of_the_shipped_scenes_are_labelled_and_replay() -> None:
    source = SourceRequest("tabletop", FILE.read_text(), str(FILE), 5, 96, 72).open()
    assert [each.name for each in source.classes][:8] == list(SPEC.scene.objects if SPEC.scene else ())
    frame = source.frame(1)
    names = {each.class_name for each in frame.objects}
    assert "cube" in names
    assert not names & {"mug", "bottle", "book", "can", "bowl"}
    assert set(np.unique(frame.instance)) <= set(range(len(frame.objects) + 1))
    source.frame(0)
    again = source.replay(Draw.from_json(frame.draw.to_json()), 1)
    np.testing.assert_array_equal(again.rgb, frame.rgb)
    np.testing.assert_array_equal(again.instance, frame.instance)
    source.close()


def test_the_arm_keeps_clear_of_objects() -> None:
    scenes = Scenes(SPEC, 2)
    for frame in range(3):
        scene = scenes.scene(frame)
        arm = scenes._get(0).arm
        assert arm is not None
        assert (
            arm.touches(scene.data, [each.name for each in scene.objects if not each.name.startswith("flying")]) is None
        )
        assert len(scene.draw["scene.arm"]) == 9
