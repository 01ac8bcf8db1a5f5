"""The textures that are compiled into a model, and what takes which of them.

A texture of the pool is there once for planes and meshes with texture coordinates (`2d`), once for other shapes
(`cube`), and once for the sky, as far as a Spec has use for it: swapping them changes numbers of the model, and
nothing is uploaded again.
"""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from dr_env.binding.fields_looks import POOL

Array = NDArray[np.float64]

FLAT, CUBE, SKY = "2d", "cube", "sky"
_RGB = int(mujoco.mjtTextureRole.mjTEXROLE_RGB)
_PLANAR = (int(mujoco.mjtGeom.mjGEOM_PLANE), int(mujoco.mjtGeom.mjGEOM_HFIELD))
_MESH = int(mujoco.mjtGeom.mjGEOM_MESH)


def texture_name(form: str, number: int) -> str:
    """What a texture of the pool is called in the model."""
    return f"{POOL}{form}/{number}"


def first_texture(model: mujoco.MjModel, form: str) -> int:
    """The model's number of the pool's first texture in a form, or -1."""
    return int(mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_TEXTURE, texture_name(form, 1)))


def pool_size(model: mujoco.MjModel) -> int:
    """How many textures the pool has that is compiled into a model."""
    names = [mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_TEXTURE, i) or "" for i in range(model.ntex)]
    return max((sum(name.startswith(f"{POOL}{form}/") for name in names) for form in (FLAT, CUBE, SKY)), default=0)


def unwraps(model: mujoco.MjModel) -> NDArray[np.bool_]:
    """Which geoms a flat texture lies on as it should, (ngeom,): planes, height fields, meshes with coordinates."""
    planar = np.isin(model.geom_type, _PLANAR)
    meshes = np.flatnonzero(model.geom_type == _MESH)
    planar[meshes] = model.mesh_texcoordadr[model.geom_dataid[meshes]] >= 0
    return np.asarray(planar, np.bool_)


def surface_numbers(model: mujoco.MjModel) -> Array:
    """For each material 0, its own texture, and the number of the first of the pool that it can take; (nmat, 2)."""
    flat, cube = first_texture(model, FLAT), first_texture(model, CUBE)
    used = np.bincount(model.geom_matid[model.geom_matid >= 0], minlength=model.nmat)
    planar = np.bincount(model.geom_matid[(model.geom_matid >= 0) & unwraps(model)], minlength=model.nmat)
    lies_flat = (planar > 0) | (used == 0)
    return np.column_stack((np.zeros(model.nmat), np.where(lies_flat, flat, cube)))


def surfaces(numbers: Array, _: Array, rows: tuple[Array, ...]) -> tuple[Array, ...]:
    """Textures of k materials by role (k, roles), with the pool's numbers (k, 2)."""
    (textures,) = rows
    textures[:, _RGB] = numbers[:, 1] + numbers[:, 0] - 1
    return (textures,)


def sky_numbers(model: mujoco.MjModel) -> Array:
    """0, the model's own sky, and the number of the first of the pool; (1, 2)."""
    return np.array([[0.0, first_texture(model, SKY)]])


def skies(numbers: Array, _: Array, rows: tuple[Array, ...]) -> tuple[Array, ...]:
    """Types of all textures, (k, ntex), of which one is the sky: renderers show the first that says so."""
    (types,) = rows
    sky, cube = int(mujoco.mjtTexture.mjTEXTURE_SKYBOX), int(mujoco.mjtTexture.mjTEXTURE_CUBE)
    types[types == sky] = cube
    types[np.arange(len(types)), (numbers[:, 1] + numbers[:, 0] - 1).astype(int)] = sky
    return (types,)
