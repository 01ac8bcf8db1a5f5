"""The pool: one compiled room with every object that its frames may show; those that a frame does not are parked."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dr_env.errors import DREnvError, unknown_name
from dr_env.rng import generator
from dr_env.scene.mesh import Mesh
from dr_env.scene.objects import ObjectModel, draw, make_object
from dr_env.spec.scene import SceneGrammar
from dr_env.spec.scene_objects import ObjectClass

Array = NDArray[np.float64]

CAMERA = "camera"
SHOWN, PIECES, PARKED = 0, 3, 5
"""Groups of geoms: what is seen; convex pieces, which collide unseen; what a frame does not show."""
_EXTENT = 1.0  # m; near and far planes are multiples of it, so it stays
_NEAR, _FAR = 0.01, 30.0  # m
_SHADOWS = 1.8  # m around what the camera looks at within which shadows are drawn
_FLOOR = 8.0  # m, half the floor's side
_LEG = 0.03  # m, half a leg's side
_PALE = (0.35, 0.9)  # nominal colours of things


@dataclasses.dataclass(frozen=True, eq=False)
class Slot:
    """One body of a pool, and the object that it is.

    Args:
        name: the body's, its material's and its first geom's name.
        model: what kind of object it is.
        geoms: names of the geoms that are seen.
        flying: whether it hangs in the air, as a mocap body.
    """

    name: str
    model: ObjectModel
    geoms: tuple[str, ...]
    flying: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Rectangle:
    """An area's rectangle: (2, 2) lowest and highest x and y, m, and its height z, m."""

    bounds: Array
    z: float


@dataclasses.dataclass(frozen=True, eq=False)
class Pool:
    """A room and its objects, described for MuJoCo.

    Args:
        mjspec: the description.
        slots: every object; those that fall first.
        areas: where objects may be, by name.
    """

    mjspec: mujoco.MjSpec
    slots: tuple[Slot, ...]
    areas: dict[str, Rectangle]


def make_classes(grammar: SceneGrammar, seed: int) -> tuple[ObjectModel, ...]:
    """The labelled classes of a dataset, drawn once."""
    given = dict(grammar.objects)
    contextual, flying = grammar.distractors.contextual, grammar.distractors.flying
    if contextual is not None and contextual.labelled:
        given |= contextual.classes
    hung: dict[str, ObjectClass] = {}
    if flying is not None and flying.labelled:
        hung = {f"flying_{shape}": ObjectClass(shape=shape) for shape in flying.shapes}
    numbers = grammar.class_numbers
    return tuple(
        make_object(name, numbers[name], each, seed, flying=name in hung) for name, each in (given | hung).items()
    )


def build_pool(grammar: SceneGrammar, seed: int, build: int, classes: tuple[ObjectModel, ...] | None = None) -> Pool:
    """Describes the room and objects of one build; a function of (grammar, seed, build).

    Args:
        grammar: what scenes are made of.
        seed: the dataset's.
        build: its number.
        classes: what `make_classes` gives, to spare drawing it again.
    """
    labelled = make_classes(grammar, seed) if classes is None else classes
    mjspec = _base(grammar)
    rng = generator("room", seed, build)
    areas = _add_room(mjspec, grammar, rng)
    slots = [
        _add_slot(mjspec, f"{model.name}_{copy}", model, seed, build)
        for model in (*labelled, *_contextual(grammar, seed, build))
        if not model.flying
        for copy in range(model.given.copies)
    ]
    slots += _flying(mjspec, grammar, labelled, seed, build)
    return Pool(mjspec, tuple(slots), areas)


def same_room(one: SceneGrammar, other: SceneGrammar) -> bool:
    """Whether two grammars have the same pools: they differ in counts, relations and framing alone."""
    return _room(one) == _room(other)


def _room(grammar: SceneGrammar) -> list[object]:
    """What of a grammar its pools are made of."""
    areas = {name: (area.on, area.low, area.high) for name, area in grammar.areas.items()}
    contextual, flying = grammar.distractors.contextual, grammar.distractors.flying
    return [
        *(
            getattr(grammar, key)
            for key in ("frames_per_build", "table", "walls", "lights", "arm", "objects", "camera")
        ),
        areas,
        contextual and (contextual.classes, contextual.labelled),
        flying and (flying.pool, flying.shapes, flying.size, flying.labelled),
    ]


def _contextual(grammar: SceneGrammar, seed: int, build: int) -> list[ObjectModel]:
    given = grammar.distractors.contextual
    if given is None or given.labelled:
        return []
    return [make_object(name, 0, each, seed, build) for name, each in given.classes.items()]


def _flying(
    mjspec: mujoco.MjSpec, grammar: SceneGrammar, labelled: tuple[ObjectModel, ...], seed: int, build: int
) -> list[Slot]:
    given = grammar.distractors.flying
    if given is None:
        return []
    known = {model.name: model for model in labelled}
    slots = []
    for i in range(given.pool):
        rng = generator("flying", seed, build, i)
        shape = given.shapes[int(rng.integers(len(given.shapes)))]
        if given.labelled:
            model = known[f"flying_{shape}"]
        else:
            each = ObjectClass.model_validate({"shape": shape, "size": draw(given.size, rng)})
            model = make_object(f"flying_{shape}", 0, each, seed, build, i, flying=True)
        slots.append(_add_slot(mjspec, f"flying_{i}", model, seed, build, flying=True))
    return slots


# the description


def _base(grammar: SceneGrammar) -> mujoco.MjSpec:
    """An empty world, or the arm's without what stands around it."""
    if grammar.arm is None:
        mjspec = mujoco.MjSpec()
        mjspec.option.timestep = 0.004
        mjspec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
        mjspec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
        mjspec.compiler.degree = False
    else:
        path = Path(grammar.arm.file)
        if not path.exists():
            raise DREnvError(f"scene.arm.file: {path}: no such file")
        try:
            mjspec = mujoco.MjSpec.from_file(str(path))
        except ValueError as error:
            raise DREnvError(f"scene.arm.file: {path}: MuJoCo cannot read it: {error}") from error
        for around in (*mjspec.worldbody.geoms, *mjspec.worldbody.lights, *mjspec.worldbody.cameras):
            mjspec.delete(around)
        used = {geom.material for geom in mjspec.geoms}
        for material in list(mjspec.materials):
            if material.name not in used:
                mjspec.delete(material)
        kept = {name for material in mjspec.materials for name in material.textures if name}
        for texture in list(mjspec.textures):
            if texture.name not in kept:
                mjspec.delete(texture)
        known = [joint.name for joint in mjspec.joints]
        for name in grammar.arm.joints:
            if name not in known:
                raise DREnvError(f"scene.arm.joints: {unknown_name('joint', name, known)}")
    mjspec.modelname = "scene"
    mjspec.stat.extent = _EXTENT
    mjspec.stat.center = grammar.camera.target
    visual = mjspec.visual
    visual.map.znear, visual.map.zfar = _NEAR / _EXTENT, _FAR / _EXTENT
    visual.map.shadowclip = _SHADOWS / _EXTENT
    visual.quality.shadowsize, visual.quality.offsamples = 1024, 4
    visual.quality.numslices, visual.quality.numstacks, visual.quality.numquads = 20, 10, 2
    visual.headlight.ambient, visual.headlight.diffuse = [0.3] * 3, [0.25] * 3
    visual.headlight.specular = [0.0] * 3
    return mjspec


def _add_room(mjspec: mujoco.MjSpec, grammar: SceneGrammar, rng: np.random.Generator) -> dict[str, Rectangle]:
    table, walls = grammar.table, grammar.walls
    world = mjspec.worldbody
    half = np.array([draw(size, rng) / 2 for size in table.size])
    thick, height = draw(table.thickness, rng), draw(table.height, rng)
    middle = np.array(table.center)
    box = mujoco.mjtGeom.mjGEOM_BOX
    colours = {"table": (0.55, 0.45, 0.35), "floor": (0.45, 0.45, 0.48), "walls": (0.75, 0.74, 0.7)}
    for name, rgb in colours.items():
        mjspec.add_material(name=name, rgba=[*rgb, 1.0], specular=0.2, shininess=0.3)
    solid = {"contype": 1, "conaffinity": 2, "friction": [0.6, 0.005, 0.0001]}
    ghost = {"contype": 0, "conaffinity": 0}
    world.add_geom(
        name="table", type=box, size=[*half, thick / 2], pos=[*middle, -thick / 2], material="table", **solid
    )
    leg = max((height - thick) / 2, 0.001)
    for i, (x, y) in enumerate(((-1, -1), (1, -1), (1, 1), (-1, 1))):
        at = middle + np.array([x, y]) * np.maximum(half - 2 * _LEG, 0)
        world.add_geom(
            name=f"leg_{i}", type=box, size=[_LEG, _LEG, leg], pos=[*at, -thick - leg], material="table", **ghost
        )
    world.add_geom(
        name="floor", type=box, size=[_FLOOR, _FLOOR, 0.05], pos=[*middle, -height - 0.05], material="floor", **solid
    )
    if walls is not None:
        away, top = draw(walls.distance, rng), draw(walls.height, rng)
        for i, (x, y) in enumerate(((1, 0), (0, 1), (-1, 0), (0, -1))):
            at = middle + (away + 0.05) * np.array([x, y])
            size = [0.05 if x else away, 0.05 if y else away, top / 2]
            world.add_geom(
                name=f"wall_{i}", type=box, size=size, pos=[*at, top / 2 - height], material="walls", **ghost
            )
    mjspec.add_texture(
        name="sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX, builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.75, 0.82, 0.9], rgb2=[0.3, 0.36, 0.45], width=64, height=384,
    )  # fmt: skip
    _add_lights(mjspec, grammar)
    _add_camera(mjspec, grammar)
    return _areas(grammar, middle, half, height)


def _add_lights(mjspec: mujoco.MjSpec, grammar: SceneGrammar) -> None:
    """The first light casts shadows; the others fill in, around what the camera looks at."""
    target = np.array(grammar.camera.target)
    for i in range(grammar.lights):
        angle = 0.8 + 2 * np.pi * i / grammar.lights
        position = target + np.array([0.9 * np.cos(angle), 0.9 * np.sin(angle), 1.8])
        share = 0.7 if i == 0 else 0.4 / max(grammar.lights - 1, 1)
        # a directional light's shadow map covers a square of the extent's size, all of it finely
        kind = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL if i == 0 else mujoco.mjtLightType.mjLIGHT_SPOT
        mjspec.worldbody.add_light(
            name=f"light_{i}", type=kind, pos=position, dir=target - position, castshadow=i == 0,
            diffuse=[share] * 3, specular=[0.3 * share] * 3, ambient=[0.0] * 3, cutoff=70, exponent=2,
        )  # fmt: skip


def _add_camera(mjspec: mujoco.MjSpec, grammar: SceneGrammar) -> None:
    position, target = np.array(grammar.camera.position), np.array(grammar.camera.target)
    back = position - target
    if not back.any():
        raise DREnvError(f"scene.camera.target: got the camera's own position {position.tolist()}")
    back /= np.linalg.norm(back)
    across = np.cross([0.0, 0.0, 1.0], back)
    across = across / np.linalg.norm(across) if np.linalg.norm(across) > 1e-9 else np.array([1.0, 0.0, 0.0])
    axes = np.stack((across, np.cross(back, across), back), axis=1)
    quat = Rotation.from_matrix(axes).as_quat(scalar_first=True)
    mjspec.worldbody.add_camera(name=CAMERA, pos=position, quat=quat, fovy=grammar.camera.fovy)


def _areas(grammar: SceneGrammar, middle: Array, half: Array, height: float) -> dict[str, Rectangle]:
    areas = {}
    for name, area in grammar.areas.items():
        top = np.stack((middle - half, middle + half))
        given = top if area.low is None or area.high is None else np.array([area.low, area.high])
        if area.on == "table":
            given = np.stack((np.maximum(given[0], top[0]), np.minimum(given[1], top[1])))
            if (given[0] >= given[1]).any():
                raise DREnvError(
                    f"scene.areas.{name}: from {list(area.low or ())} to {list(area.high or ())} is beside the table, "
                    f"which reaches from {top[0].round(3).tolist()} to {top[1].round(3).tolist()}"
                )
        areas[name] = Rectangle(given, 0.0 if area.on == "table" else -height)
    return areas


def _add_slot(
    mjspec: mujoco.MjSpec, name: str, model: ObjectModel, seed: int, build: int, flying: bool = False
) -> Slot:
    given = model.given
    rng = generator("colour", seed, build, name)
    rgba = given.rgba if given.rgba is not None else (*rng.uniform(*_PALE, 3), 1.0)
    body = mjspec.worldbody.add_body(name=name, mocap=flying, pos=parked(0))
    textured = model.mesh.texture is not None
    material = mjspec.add_material(name=name, rgba=[1.0] * 4 if textured and given.rgba is None else list(rgba))
    material.specular, material.shininess = 0.3, 0.4
    if textured:
        _add_texture(mjspec, model, material)
    # copies of a labelled class share a mesh, called as the first of them is, so that no other is called so
    mesh = _add_mesh(mjspec, f"{model.name}_0" if model.labelled else name, model.mesh)
    pieces = () if flying else model.pieces
    touch = {"contype": 2, "conaffinity": 3, "friction": [given.friction, 0.005, 0.0001]}
    look = {"type": mujoco.mjtGeom.mjGEOM_MESH, "meshname": mesh, "material": name, "group": SHOWN}
    if flying or pieces:
        body.add_geom(name=name, contype=0, conaffinity=0, **look)
    else:
        body.add_geom(name=name, condim=4, **look, **touch)
    for i, piece in enumerate(pieces):
        part = _add_mesh(mjspec, f"{mesh}_piece_{i}", piece)
        body.add_geom(
            name=f"{name}_piece_{i}", type=mujoco.mjtGeom.mjGEOM_MESH, meshname=part, group=PIECES, condim=4, **touch
        )
    if not flying:
        body.add_freejoint(name=name)
        mass, centre, inertia = model.mass_properties
        least = min(mass, float(np.linalg.eigvalsh(inertia)[0]))
        if least < mujoco.mjMINVAL:
            raise DREnvError(
                f"object '{model.name}': its mass or inertia is {least:.3g} (kg, kg m^2), expected {mujoco.mjMINVAL:g} "
                "at least; see its size, units and density"
            )
        body.mass, body.ipos, body.explicitinertial = mass, centre, 1
        body.fullinertia = inertia[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]
        body.simple = 0  # a centre of mass that varies must not meet the short cut for simple bodies
    return Slot(name, model, (name,), flying)


def _add_mesh(mjspec: mujoco.MjSpec, name: str, mesh: Mesh) -> str:
    if any(known.name == name for known in mjspec.meshes):
        return name
    added = mjspec.add_mesh(name=name)
    vertices, faces, normals, uv = mesh.split()  # indices of their own for normals make MuJoCo mix them up
    added.uservert, added.userface = vertices.astype(np.float32).ravel(), faces.ravel()
    added.usernormal = normals.astype(np.float32).ravel()
    if mesh.corner_uv is not None:
        added.usertexcoord = uv.astype(np.float32).ravel()
    return name


def _add_texture(mjspec: mujoco.MjSpec, model: ObjectModel, material: mujoco.MjsMaterial) -> None:
    image = model.mesh.texture
    if image is None:
        return
    name = f"{model.name}_image"
    if all(known.name != name for known in mjspec.textures):
        texture = mjspec.add_texture(name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, nchannel=3)
        texture.height, texture.width = image.shape[:2]
        texture.data = image[::-1].tobytes()  # MuJoCo's first row is the lowest
    textures = material.textures
    textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
    material.textures = textures


def parked(slot: int) -> Array:
    """Where a body is that a frame does not show: beyond the floor's edge, where nothing is touched, m, (3,)."""
    return np.array([100.0 + 5.0 * slot, 0.0, 0.0])
