"""Scenes: rooms with objects, drawn from a Spec's grammar, one for each frame."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env.binding import Plan, build_model, same_form
from dr_env.errors import DREnvError
from dr_env.records import Draw
from dr_env.rng import digest
from dr_env.scene.arm import Arm
from dr_env.scene.distractors import fly
from dr_env.scene.framing import Lens, Samples, inside_hull, visible_share
from dr_env.scene.grammar import derive, flying
from dr_env.scene.mesh import Mesh
from dr_env.scene.objects import ObjectModel
from dr_env.scene.placement import Arrangement, arrange
from dr_env.scene.pool import (
    CAMERA,
    PARKED,
    SHOWN,
    Pool,
    Rectangle,
    Slot,
    build_pool,
    make_classes,
    parked,
    same_room,
)
from dr_env.scene.settle import settle
from dr_env.scene.symmetry import SymmetryGroup
from dr_env.spec import Spec

Array = NDArray[np.float64]
Poses = dict[int, Array]
"""Slots and their poses: position and quaternion (w, x, y, z), (7,)."""

PREFIX = "scene."
"""Beginning of the names in a Draw of what the grammar drew."""
_NEAR = 0.02  # m from the camera within which nothing may be


@dataclasses.dataclass(frozen=True, eq=False)
class SceneObject:
    """One object in a scene.

    Args:
        name: its own name: the class's and a number, which is also the body's.
        model: its class's name and id, mesh, keypoints, symmetries and mass, in the object's own frame.
        body: the body's number; its frame is the object's.
        geoms: numbers of the geoms that are seen.
        pose: (4, 4) its frame in the world, m.
        visible: the share of its outline that the camera sees, by rays; NaN without labels.
    """

    name: str
    model: ObjectModel
    body: int
    geoms: tuple[int, ...]
    pose: Array
    visible: float = float("nan")

    @property
    def class_name(self) -> str:
        """Its class."""
        return self.model.name

    @property
    def class_id(self) -> int:
        """Its class's number, from 1; 0 for what has no labels."""
        return self.model.class_id

    @property
    def labelled(self) -> bool:
        """Whether it has labels; distractors have none unless asked for."""
        return self.model.labelled

    @property
    def mesh(self) -> Mesh:
        """Its surface, in its own frame, m."""
        return self.model.mesh

    @property
    def keypoints(self) -> Array:
        """(K, 3) in its own frame, m."""
        return self.model.keypoints

    @property
    def symmetries(self) -> SymmetryGroup:
        """What leaves it as it was."""
        return self.model.symmetries


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
    """A scene as built: valid until its `Scenes` make another, since frames share one model.

    Args:
        model: the room with the frame's Draw applied; what the frame does not show is in a hidden group of geoms.
        data: its state, with current kinematics.
        objects: what is in it, labelled or not.
        areas: rectangles that objects were put on, by name.
        draw: the entries' values, and under `scene.` what the grammar drew; `Scenes.replay` takes it.
        build: the number of the compiled model.
        attempts: how many scenes were drawn until this one was accepted.
        camera: the camera's name.
    """

    model: mujoco.MjModel
    data: mujoco.MjData
    objects: tuple[SceneObject, ...]
    areas: Mapping[str, Rectangle]
    draw: Draw
    build: int
    attempts: int
    camera: str = CAMERA

    @property
    def labelled(self) -> tuple[SceneObject, ...]:
        """The objects that have labels."""
        return tuple(each for each in self.objects if each.labelled)


@dataclasses.dataclass(eq=False)
class _Built:
    """A compiled pool and what its frames need."""

    number: int
    pool: Pool
    model: mujoco.MjModel
    data: mujoco.MjData
    plan: Plan
    arm: Arm | None
    samples: dict[int, Samples]


class Scenes:
    """The scenes of a Spec: one for each frame, a function of (Spec, seed, frame) alone.

    For a frame: the entries' Draw is applied, objects are drawn from the grammar, placed, and settled by physics
    where they are dropped or stacked; then the camera must see what `framing` asks for, or all is drawn again.

    Args:
        spec: a Spec with a `scene`.
        seed: the dataset's.
        aspect: width over height of its images.
    """

    def __init__(self, spec: Spec, seed: int, aspect: float = 4 / 3) -> None:
        if spec.scene is None:
            raise DREnvError("spec.scene: missing, expected a scene grammar")
        self.spec = spec
        self.grammar = spec.scene
        self.seed = seed
        self.classes = make_classes(self.grammar, seed)
        """The labelled classes; all frames share their meshes."""
        self._aspect = aspect
        self._built: _Built | None = None
        self._accepted = 0
        self.refusals: collections.Counter[str] = collections.Counter()
        """Why scenes were drawn again, so far."""

    @property
    def acceptance_rate(self) -> float:
        """The share of scenes drawn so far that were accepted."""
        total = self._accepted + self.refusals.total()
        return self._accepted / total if total else 1.0

    def build_of(self, frame: int) -> int:
        """The number of the compiled model that a frame is taken in."""
        return frame // self.grammar.frames_per_build

    def model(self, frame: int) -> mujoco.MjModel:
        """The compiled model of a frame, which a renderer is made for; the same for all frames of a build."""
        return self._get(self.build_of(frame)).model

    def mjspec(self, frame: int) -> mujoco.MjSpec:
        """The description of a frame's room and of all objects that its build may show; a copy."""
        return self._get(self.build_of(frame)).pool.mjspec.copy()

    def plan(self, frame: int) -> Plan:
        """The Spec bound to that model."""
        return self._get(self.build_of(frame)).plan

    def scene(self, frame: int, candidate: int = 0) -> Scene:
        """The scene of a frame.

        Args:
            frame: its number.
            candidate: how many scenes for it were refused by whoever asks; each candidate is another scene.

        Raises:
            DREnvError: nothing can be placed, or seen, in as many scenes as `framing.attempts` allows.
        """
        built = self._get(self.build_of(frame))
        reasons: list[str] = []
        for attempt in range(self.grammar.framing.attempts):
            found = self._compose(built, frame, candidate * self.grammar.framing.attempts + attempt, attempt + 1)
            if isinstance(found, Scene):
                self._accepted += 1
                return found
            reasons.append(found)
            self.refusals[found] += 1
        told = "; ".join(f"{reason} ({count} times)" for reason, count in collections.Counter(reasons).most_common(3))
        raise DREnvError(f"frame {frame}: no scene among {len(reasons)} is as the Spec asks: {told}")

    def replay(self, draw: Mapping[str, Any]) -> Scene:
        """The scene that a Draw tells of, without drawing, placing or settling anything anew."""
        if f"{PREFIX}build" not in draw:
            raise DREnvError(f"draw: got no '{PREFIX}build', expected the Draw of a scene")
        built = self._get(int(draw[f"{PREFIX}build"]))
        binding = getattr(draw, "binding", "")
        entries = Draw({name: value for name, value in draw.items() if not name.startswith(PREFIX)}, binding)
        built.plan.apply(built.model, entries)
        slots = {f"{PREFIX}{slot.name}": i for i, slot in enumerate(built.pool.slots)}
        poses = {slots[name]: np.asarray(value) for name, value in draw.items() if name in slots}
        known = {*slots, f"{PREFIX}build", f"{PREFIX}arm"}
        strange = [name for name in draw if name.startswith(PREFIX) and name not in known]
        if strange:
            raise DREnvError(f"draw.{strange[0]}: the scene has no such object; it was drawn for another Spec or seed")
        arm = np.asarray(draw[f"{PREFIX}arm"]) if f"{PREFIX}arm" in draw else None
        self._write(built, poses, arm)
        lens = Lens.of(built.model, built.data, built.model.camera(CAMERA).id, self._aspect)
        return self._scene(built, poses, entries, arm, 1, lens)

    def retune(self, spec: Spec) -> bool:
        """Draws by another Spec's numbers from now on, as `Scenes` of it would; the compiled model is kept.

        Returns False, and changes nothing, where that Spec needs another model: other sizes, textures or entries.
        Raises DREnvError for numbers that a field cannot take.
        """
        if spec.scene is None or not same_room(self.grammar, spec.scene) or not same_form(self.spec, spec):
            return False
        if self._built is not None:
            self._built.plan = self._built.plan.with_spec(spec)
        self.spec, self.grammar = spec, spec.scene
        return True

    # one scene

    def _compose(self, built: _Built, frame: int, attempt: int, count: int) -> Scene | str:
        """The scene of a frame and attempt, the count-th in a row, or why there is none."""
        key = (self.seed, frame, attempt)
        seed, environment, episode = (np.array([n], np.uint64) for n in (digest(self.seed), attempt, frame))
        columns, _ = built.plan.sample_columns(seed, environment, episode)
        entries = Draw({name: column[0] for name, column in columns.items()}, built.plan.binding)
        built.plan.apply(built.model, entries)
        wishes = derive(self.grammar, built.pool, *key)
        arrangement = arrange(wishes, built.pool, *key)
        if wishes and not arrangement.placed:
            return arrangement.left_out[0]
        arm = built.arm.draw(*key) if built.arm is not None else None
        poses: Poses = {each.wish.slot: each.pose for each in arrangement.placed}
        if arrangement.dropped:
            self._write(built, poses, arm)
            settled = self._settle(built, arrangement, poses)
            if isinstance(settled, str):
                return settled
            poses = settled
        self._write(built, poses, arm)
        if built.arm is not None:
            touched = built.arm.touches(built.data, [built.pool.slots[i].name for i in poses])
            if touched:
                return f"the arm is in the way of {_kind(touched)}"
        camera = built.model.camera(CAMERA).id
        lens = Lens.of(built.model, built.data, camera, self._aspect)
        away = float(np.linalg.norm(lens.position - built.model.stat.center))
        hung = fly(self.grammar, built.pool, flying(self.grammar, built.pool, *key), lens, away, *key)
        if hung:
            poses |= hung
            self._write(built, poses, arm)
        scene = self._scene(built, poses, entries, arm, count, lens)
        return self._refusal(scene, lens) or scene

    def _settle(self, built: _Built, arrangement: Arrangement, poses: Poses) -> Poses | str:
        """Poses after falling, without what fell off; or why they cannot be used."""
        slots = list(poses)
        bodies = np.array([built.model.body(built.pool.slots[i].name).id for i in slots])
        floors = np.array([[built.pool.areas[each.wish.area].z for each in arrangement.placed]])
        result = settle(built.model, built.data.qpos[None].copy(), bodies, floors)
        if not result.still[0]:
            return "objects do not come to rest"
        addresses = built.model.jnt_qposadr[built.model.body_jntadr[bodies]]
        kept: Poses = {}
        for i, (slot, address) in enumerate(zip(slots, addresses, strict=True)):
            if not result.fallen[0, i]:
                kept[slot] = result.qpos[0, address : address + 7]
        return kept if kept else "all objects fall off"

    def _write(self, built: _Built, poses: Poses, arm: Array | None) -> None:
        """Writes poses into the data, parks all else, and renews the kinematics."""
        model, data = built.model, built.data
        mujoco.mj_resetData(model, data)
        if arm is not None and built.arm is not None:
            built.arm.write(data, arm)
        for i, slot in enumerate(built.pool.slots):
            body = model.body(slot.name).id
            pose = poses.get(i)
            first = model.body_geomadr[body]
            model.geom_group[first] = PARKED if pose is None else SHOWN  # its pieces are never seen
            where = np.array([*parked(i), 1.0, 0.0, 0.0, 0.0]) if pose is None else pose
            if slot.flying:
                mocap = model.body_mocapid[body]
                data.mocap_pos[mocap], data.mocap_quat[mocap] = where[:3], where[3:]
            else:
                address = model.jnt_qposadr[model.body_jntadr[body]]
                data.qpos[address : address + 7] = where
        mujoco.mj_forward(model, data)

    def _scene(self, built: _Built, poses: Poses, entries: Draw, arm: Array | None, attempts: int, lens: Lens) -> Scene:
        objects = [self._object(built, built.pool.slots[i], i, lens) for i in sorted(poses)]
        record: dict[str, Any] = {**entries, f"{PREFIX}build": built.number}
        if arm is not None:
            record[f"{PREFIX}arm"] = arm
        record |= {f"{PREFIX}{built.pool.slots[i].name}": pose for i, pose in sorted(poses.items())}
        return Scene(
            built.model,
            built.data,
            tuple(objects),
            built.pool.areas,
            Draw(record, entries.binding),
            built.number,
            attempts,
        )

    def _object(self, built: _Built, slot: Slot, index: int, lens: Lens) -> SceneObject:
        model, data = built.model, built.data
        body = model.body(slot.name).id
        geoms = tuple(model.geom(name).id for name in slot.geoms)
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = data.xmat[body].reshape(3, 3), data.xpos[body]
        visible = float("nan")
        if slot.model.labelled:
            if index not in built.samples:
                built.samples[index] = Samples.of(slot.model.mesh)
            samples = built.samples[index]
            visible = visible_share(model, data, lens, samples, (pose[:3, 3], pose[:3, :3]), set(geoms))
        return SceneObject(slot.name, slot.model, body, geoms, pose, visible)

    def _refusal(self, scene: Scene, lens: Lens) -> str | None:
        """What framing lacks, or None."""
        for each in scene.objects:
            middle = each.pose[:3, 3] + each.pose[:3, :3] @ each.mesh.box.mean(axis=0)
            near = np.linalg.norm(lens.position - middle) < each.mesh.diameter + _NEAR
            if near and inside_hull(lens.position, each.mesh.hull, (each.pose[:3, 3], each.pose[:3, :3]), _NEAR):
                return f"the camera is inside {each.class_name}"
        table = scene.model.geom("table")
        if (np.abs(lens.position - table.pos) < table.size + _NEAR).all():
            return "the camera is inside the table"
        framing = self.grammar.framing
        labelled = scene.labelled
        wanted = len(labelled) if framing.objects == "all" else framing.objects
        seen = sum(each.visible > 0 and framing.visible <= each.visible <= framing.visible_most for each in labelled)
        if seen < wanted:
            most = f", {framing.visible_most:g} at most" if framing.visible_most < 1 else ""
            return f"fewer than {wanted} objects are seen, {framing.visible:g} of them at least{most}"
        return None

    # builds

    def _get(self, number: int) -> _Built:
        if self._built is None or self._built.number != number:
            pool = build_pool(self.grammar, self.seed, number, self.classes)
            build = build_model(pool.mjspec, self.spec, (), digest("compile", self.seed, number) >> 1)
            plan = self.spec.bind(build.model, (), build)
            arm = Arm(self.grammar.arm, build.model, pool) if self.grammar.arm is not None else None
            self._built = _Built(number, pool, build.model, mujoco.MjData(build.model), plan, arm, {})
        return self._built


def build_scene(spec: Spec, seed: int, frame: int) -> Scene:
    """The scene of one frame; `Scenes` spares compiling for those that follow."""
    return Scenes(spec, seed).scene(frame)


def _kind(name: str) -> str:
    return name.rpartition("_")[0]
