"""Tabletop: the gripper's tip goes to one object among many, which only a camera sees."""

from __future__ import annotations

import dataclasses
import functools

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env import DREnvError, Fields, Spec, Task
from dr_env.scene import Scenes
from dr_env.spec import SceneGrammar
from tasks.manipulation.task import JOINTS, Manipulation, tip

Array = NDArray[np.float64]

_HOME = np.array([0.0, -0.2594, 0.0, -2.4315, 0.0, 2.1721, 0.7854])
_WORKSPACE = np.array([[0.25, -0.35, 0.03], [0.7, 0.35, 0.55]])  # m
_ABOVE = 0.08  # m from the target's middle to where the tip should be
_SEED = 0  # of the arrangements that episodes start from
_AXES = "xyz"


@dataclasses.dataclass(frozen=True)
class Tabletop(Manipulation):
    """Bring the tip above the target; the reward is `goal_reward` of the two.

    Episodes start from arrangements that the scene's grammar draws, with target, without what flies. The
    observation tells of the target only if `target_known`; otherwise a camera must see it.
    """

    threshold: float = 0.04
    target: str = "cube"
    """The class of the object to go to; the grammar must put one of it in every scene."""
    target_known: bool = True
    """Whether the observation holds the target as seen from the tip."""
    arrangements: int = 32
    """How many arrangements of objects episodes start from."""
    scene: SceneGrammar | None = None
    """What the scene is made of; by default as `randomization.yaml` says."""

    name = "tabletop"
    camera = "camera"
    home = _HOME
    workspace = _WORKSPACE
    fields = (*Manipulation.fields, "xpos")

    def under(self, spec: Spec) -> Task:
        return self if spec.scene in (None, self.scene) else dataclasses.replace(self, scene=spec.scene)

    @functools.cached_property
    def _scenes(self) -> Scenes:
        grammar = self.scene if self.scene is not None else Spec.load(self.file("randomization.yaml")).scene
        if grammar is None or grammar.arm is None:
            raise DREnvError("scene.arm: missing; tabletop needs an arm with the joints, site and sensor of arm.xml")
        return Scenes(Spec(scene=grammar), _SEED)

    def mjspec(self) -> mujoco.MjSpec:
        mjspec = self._scenes.mjspec(0)
        mjspec.option.enableflags |= int(mujoco.mjtEnableBit.mjENBL_SLEEP)  # most objects lie still: twice as fast
        return mjspec

    @functools.cached_property
    def _starts(self) -> Array:
        """Arrangements, (n, nq)."""
        rows = []
        for frame in range(min(self.arrangements, self._scenes.grammar.frames_per_build)):
            scene = self._scenes.scene(frame)
            if all(each.name != self._target for each in scene.objects):
                raise DREnvError(f"scene: arrangement {frame} has no {self.target}; give it an area of its own")
            rows.append(scene.data.qpos.copy())
        return np.array(rows)

    @property
    def _target(self) -> str:
        """The target's name."""
        if self.target not in self._scenes.grammar.objects:
            raise DREnvError(f"target: got {self.target!r}, expected one of {', '.join(self._scenes.grammar.objects)}")
        return f"{self.target}_0"

    @functools.cached_property
    def _body(self) -> int:
        return int(self.mjspec().compile().body(self._target).id)

    # what the agent sees and earns

    def observation_names(self, model: mujoco.MjModel) -> tuple[str, ...]:
        kinds = ("tip", "target_from_tip") if self.target_known else ("tip",)
        return (*self.arm_names(model), *(f"{kind}.{axis}" for kind in kinds for axis in _AXES))

    def observe(self, data: Fields) -> Array:
        seen = (self._goal(data) - tip(data),) if self.target_known else ()
        return np.concatenate((self.arm_state(data), tip(data), *seen), axis=1)

    def reward(self, before: Fields, action: NDArray[np.float32], after: Fields) -> tuple[Array, dict[str, Array]]:
        terms = self.goal_terms(tip(after), self._goal(after))
        return terms["reward_goal"], terms

    def _goal(self, data: Fields) -> Array:
        return np.asarray(data["xpos"][:, self._body] + np.array([0.0, 0.0, _ABOVE]))

    # where episodes start

    def reset_width(self, model: mujoco.MjModel) -> int:
        return JOINTS + 1

    def reset_state(self, model: mujoco.MjModel, uniform: Array) -> tuple[Array, Array]:
        chosen = (uniform[:, JOINTS] * len(self._starts)).astype(np.intp)
        qpos = self._starts[chosen].copy()
        arm, _ = self.arm_start(uniform[:, :JOINTS])
        qpos[:, : arm.shape[1]] = arm
        return qpos, np.zeros((len(uniform), model.nv))

    def initial_state(self, model: mujoco.MjModel, uniform: Array) -> dict[str, Array]:
        return {**super().initial_state(model, uniform), "ctrl": self.arm_start(uniform[:, :JOINTS])[1]}
