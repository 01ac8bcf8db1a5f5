"""Bodies of a model as objects to label: their geoms as meshes, their classes."""

from __future__ import annotations

import dataclasses
import fnmatch
import hashlib
import re
from collections.abc import Iterator, Sequence

import mujoco
import numpy as np
import trimesh
from numpy.typing import NDArray

from dr_env import spatial
from dr_env.binding import Plan, object_names
from dr_env.binding.needs import GREY
from dr_env.errors import DREnvError, unknown_name
from dr_env.export.catalogue import LabelClass
from dr_env.rendering import LabelledObject
from dr_env.scene import Mesh, SymmetryGroup, find_symmetries, shape_symmetries

_GEOM = mujoco.mjtGeom
_SHAPES = frozenset({"geom_size", "geom_pos", "derived.geom_rotation"})
_SHOWN_GROUPS = 3  # MuJoCo shows geoms of groups 0, 1 and 2 unless told otherwise


def check_shapes(plan: Plan, model: mujoco.MjModel, objects: Sequence[LabelledObject]) -> None:
    """Refuses entries that move or scale parts of labelled objects, whose meshes are those of the nominal model.

    Raises:
        DREnvError: the entry, the geom and the object.
    """
    shaping = [entry for entry in plan.entries if entry.field.array in _SHAPES]
    names = object_names(model, "geom") if shaping else []
    for entry in shaping:
        for thing in objects:
            if touched := {names[i] for i in thing.geoms} & set(entry.matches):
                raise DREnvError(
                    f"{plan.spec.where(entry.name, 'field')}: varies the {entry.field.name} of geom '{min(touched)}', "
                    f"a part of the labelled object '{thing.name}', whose labels are those of its nominal shape; "
                    "leave it out, or label other objects (--objects)"
                )


def labelled_bodies(
    model: mujoco.MjModel, patterns: Sequence[str] = ()
) -> tuple[tuple[LabelledObject, ...], tuple[LabelClass, ...]]:
    """The bodies to label, and their classes.

    Bodies with equal shapes whose names differ in a final number alone, such as cube_1 and cube_2, are of one class. An
    object's frame is its body's, its keypoints are the corners of its box. Turns that leave its shape as it is are its
    symmetries, where it is one geom without a texture.

    Args:
        model: the model.
        patterns: names or patterns such as `cube_*`; none for every body that can be seen.

    Raises:
        DREnvError: when a pattern matches no body that can be seen.
    """
    meshes = {name: (body, geoms, mesh) for name, body, geoms, mesh in _seen(model)}
    for pattern in patterns:
        if not fnmatch.filter(meshes, pattern):
            raise DREnvError(f"--objects: {unknown_name('visible body', pattern, meshes, 'visible bodies')}")
    if not meshes:
        raise DREnvError("the model has no named body that can be seen; name bodies, and give them visible geoms")
    objects: list[LabelledObject] = []
    classes: dict[str, LabelClass] = {}
    of_stem: dict[str, list[str]] = {}
    for name, (body, geoms, mesh) in meshes.items():
        if patterns and not any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
            continue
        low, high = mesh.bounds
        corners = spatial.box_corners(low, high)
        stem = re.sub(r"[_.-]?\d+$", "", name) or name
        alike = (known for known in of_stem.setdefault(stem, []) if _equal(classes[known].vertices, mesh.vertices))
        kind = next(alike, name if of_stem[stem] else stem)
        if kind not in classes:
            of_stem[stem].append(kind)
            names = tuple(f"corner_{i}" for i in range(len(corners)))
            group = _symmetries(model, geoms, mesh)
            classes[kind] = LabelClass(
                len(classes) + 1,
                kind,
                np.array(mesh.vertices),
                np.array(mesh.faces, np.int32),
                names,
                discrete=group.discrete,
                continuous=tuple(zip(group.axes, group.offsets, strict=True)),
            )
        elif not len(_symmetries(model, geoms, mesh)):  # one that is not plain is enough
            classes[kind] = dataclasses.replace(classes[kind], discrete=np.zeros((0, 4, 4)), continuous=())
        found = classes[kind]
        objects.append(
            LabelledObject(
                name, found.class_id, kind, body, geoms, low, high, keypoints=corners, keypoint_names=found.keypoints
            )
        )
    return tuple(objects), tuple(classes.values())


def _symmetries(model: mujoco.MjModel, geoms: tuple[int, ...], mesh: trimesh.Trimesh) -> SymmetryGroup:
    """The turns of a body that change nothing to see; none of several geoms, nor of one with a texture."""
    material = int(model.geom_matid[geoms[0]])
    if len(geoms) > 1 or (material >= 0 and (model.mat_texid[material] >= 0).any()):
        return SymmetryGroup.of()
    if model.geom_type[geoms[0]] == _GEOM.mjGEOM_MESH:
        return find_symmetries(Mesh.of(mesh.vertices, mesh.faces))
    frame = spatial.transform(spatial.quat_to_matrix(model.geom_quat[geoms[0]]), model.geom_pos[geoms[0]])
    own = shape_symmetries(int(model.geom_type[geoms[0]]), model.geom_size[geoms[0]])
    return SymmetryGroup.of(
        frame @ own.discrete @ spatial.inverse(frame),
        own.axes @ frame[:3, :3].T,
        np.repeat(frame[None, :3, 3], len(own.axes), axis=0),
    )


def _equal(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    return a.shape == b.shape and bool(np.allclose(a, b, atol=1e-9))


def _seen(model: mujoco.MjModel) -> Iterator[tuple[str, int, tuple[int, ...], trimesh.Trimesh]]:
    for body in range(1, model.nbody):
        name = mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_BODY, body)
        first = int(model.body_geomadr[body])
        geoms = [
            geom
            for geom in range(first, first + int(model.body_geomnum[body]))
            if model.geom_group[geom] < _SHOWN_GROUPS and _opacity(model, geom) > 0
        ]
        parts = [part for part in (geom_mesh(model, geom) for geom in geoms) if part is not None]
        if name and parts:
            yield name, body, tuple(geoms), _joined(parts)


def _opacity(model: mujoco.MjModel, geom: int) -> float:
    """Of a geom's own colour, or where it has none of its material."""
    material = int(model.geom_matid[geom])
    own = material < 0 or (model.geom_rgba[geom] != GREY).any()
    return float(model.geom_rgba[geom, 3] if own else model.mat_rgba[material, 3])


def model_digest(model: mujoco.MjModel) -> str:
    """Sixteen hex digits that name a compiled model as it is now."""
    buffer = np.zeros(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, buffer)
    return hashlib.blake2b(buffer.tobytes(), digest_size=8).hexdigest()


def _joined(parts: list[trimesh.Trimesh]) -> trimesh.Trimesh:
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    faces = [part.faces + start for part, start in zip(parts, starts, strict=False)]
    return trimesh.Trimesh(np.concatenate([part.vertices for part in parts]), np.concatenate(faces), process=False)


def geom_mesh(model: mujoco.MjModel, geom: int) -> trimesh.Trimesh | None:
    """A geom's surface in its body's frame, m; None for planes and height fields, which are no objects."""
    kind, size = int(model.geom_type[geom]), model.geom_size[geom]
    if kind == _GEOM.mjGEOM_MESH:
        data = int(model.geom_dataid[geom])
        first, count = int(model.mesh_vertadr[data]), int(model.mesh_vertnum[data])
        face, faces = int(model.mesh_faceadr[data]), int(model.mesh_facenum[data])
        vertices = model.mesh_vert[first : first + count].astype(np.float64)
        mesh = trimesh.Trimesh(vertices, model.mesh_face[face : face + faces], process=False)
    elif kind == _GEOM.mjGEOM_BOX:
        mesh = trimesh.creation.box(extents=2 * size)
    elif kind in (_GEOM.mjGEOM_SPHERE, _GEOM.mjGEOM_ELLIPSOID):
        mesh = trimesh.creation.uv_sphere(count=(32, 64))
        mesh.vertices *= size if kind == _GEOM.mjGEOM_ELLIPSOID else size[0]
    elif kind == _GEOM.mjGEOM_CYLINDER:
        mesh = trimesh.creation.cylinder(size[0], 2 * size[1], sections=64)
    elif kind == _GEOM.mjGEOM_CAPSULE:
        mesh = trimesh.creation.capsule(2 * size[1], size[0], count=(32, 64))
        mesh.vertices[:, 2] -= mesh.bounds.mean(axis=0)[2]
    else:
        return None
    mesh.apply_transform(spatial.transform(spatial.quat_to_matrix(model.geom_quat[geom]), model.geom_pos[geom]))
    return mesh
