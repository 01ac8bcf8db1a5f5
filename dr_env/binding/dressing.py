"""The compile stage of looks: the pool of textures, and geoms' own materials."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import mujoco
import numpy as np

from dr_env.binding.fields import find_field
from dr_env.binding.fields_looks import POOL
from dr_env.binding.indexing import BoundEntry, object_names
from dr_env.binding.needs import GREY
from dr_env.binding.pool import CUBE, FLAT, SKY, first_texture, pool_size, surface_numbers, texture_name
from dr_env.binding.textures import make_textures
from dr_env.errors import DREnvError
from dr_env.spec import Entry, Spec, TexturePool

_UNSEEN = 1e-6
_MOST_TEXTURES = 1000  # MuJoCo's renderers hold no more
_TYPES = {
    FLAT: mujoco.mjtTexture.mjTEXTURE_2D,
    CUBE: mujoco.mjtTexture.mjTEXTURE_CUBE,
    SKY: mujoco.mjtTexture.mjTEXTURE_CUBE,  # the one that is shown becomes the skybox
}
_COPIED = ("emission", "specular", "shininess", "reflectance", "metallic", "roughness", "texrepeat", "texuniform",
           "textures", "rgba")  # fmt: skip


def needs_dressing(spec: Spec) -> bool:
    """Whether something must be compiled in for looks."""
    return any(_axis(entry) for entry in spec.entries.values())


def _axis(entry: Entry) -> str:
    """Whether an entry is of geoms' materials, their colours, textures, or nothing of the kind."""
    try:
        field = find_field(entry.select.kind, entry.field_name)
    except DREnvError:
        return ""  # refused with its place when the Spec is bound
    if field.axis == "material" or field.array == "geom_rgba":
        return "material" if field.axis == "material" else "colour"
    return "texture" if "pool of textures" in field.needs else ""


def dress(mjspec: mujoco.MjSpec, model: mujoco.MjModel, spec: Spec) -> None:
    """Adds to a description what the looks in a Spec need.

    Args:
        mjspec: a copy of the model's description, to be compiled again; its geoms in the order of `model`.
        model: the model compiled from it.
        spec: what may vary.

    Raises:
        DREnvError: a texture entry without a pool; a pool that is too large; a folder without images.
    """
    names = object_names(model, "geom")
    mjspec.compiler.discardvisual = False  # or MuJoCo throws the materials away again
    taken = np.bincount(model.geom_matid[model.geom_matid >= 0], minlength=model.nmat)
    own: set[int] = set()
    coloured: set[int] = set()
    forms: set[str] = set()
    for name, entry in spec.entries.items():
        axis = _axis(entry)
        if axis in ("material", "colour"):
            try:
                (own if axis == "material" else coloured).update(entry.select.match(names))
            except DREnvError as error:
                raise DREnvError(f"{spec.where(name, 'select')}: {error}") from None
        if entry.field_name in ("texture", "sky") and axis:
            if spec.textures is None:
                raise DREnvError(
                    f"{spec.where(name, 'field')}: the Spec has no `textures`; declare some, such as "
                    "`textures: {count: 60}`"
                )
            forms |= {SKY} if entry.field_name == "sky" else {FLAT, CUBE}
    materials = {material.name: material for material in mjspec.materials}
    geoms = sorted(mjspec.geoms, key=lambda geom: geom.id) if mjspec.geoms and mjspec.geoms[0].id >= 0 else mjspec.geoms
    for i in sorted(own):
        if model.geom_matid[i] >= 0 and taken[model.geom_matid[i]] == 1:
            continue
        geom = geoms[i]
        made = mjspec.add_material(name=f"{POOL}{names[i]}", rgba=geom.rgba)
        if geom.material:
            for attribute in _COPIED:
                setattr(made, attribute, getattr(materials[geom.material], attribute))
        geom.material = made.name
        materials[made.name] = made
    for i in coloured:
        # MuJoCo takes a material's colour for a geom of this very grey, so another is as good as none
        if geoms[i].material and tuple(geoms[i].rgba) == GREY:
            colour = np.array(materials[geoms[i].material].rgba)
            colour[0] += _UNSEEN if tuple(colour) == GREY else 0
            geoms[i].rgba = colour
    if spec.textures is not None and forms:
        _add_pool(mjspec, spec.textures, spec.where_textures(), sorted(forms))


def _add_pool(mjspec: mujoco.MjSpec, pool: TexturePool, where: str, forms: Sequence[str]) -> None:
    try:
        images = make_textures(pool)
    except DREnvError as error:
        raise DREnvError(f"{where}.folder: {error}") from None
    total = len(mjspec.textures) + len(images) * len(forms)
    if total > _MOST_TEXTURES:
        raise DREnvError(
            f"{where}: {len(images)} textures for {' and '.join(forms)} shapes make {total}, expected at most "
            f"{_MOST_TEXTURES} with the model's own"
        )
    for form in forms:
        for number, image in enumerate(images, 1):
            size = image.shape[0]
            texture = mjspec.add_texture(
                name=texture_name(form, number), type=_TYPES[form], width=size, height=size, nchannel=3
            )
            texture.data = image.tobytes()


def check_textures(spec: Spec, entries: Iterable[BoundEntry], model: mujoco.MjModel) -> None:
    """Refuses an entry that can ask for a texture that the pool does not have, or that its material cannot show."""
    entries = tuple(entries)
    physical = {i for e in entries if e.field.array in ("mat_metallic", "mat_roughness") for i in e.flat.tolist()}
    physical |= set(np.flatnonzero((model.mat_metallic >= 0) | (model.mat_roughness >= 0)).tolist())
    numbers = surface_numbers(model)
    shaped = set(np.flatnonzero(numbers[:, 1] == first_texture(model, CUBE)).tolist())
    for entry in entries:
        if entry.field.array not in ("derived.mat_texture", "derived.sky"):
            continue
        count, high = pool_size(model), entry.distribution.support()[1]
        if high > count:
            raise DREnvError(
                f"{spec.where(entry.name, 'distribution')}: {entry.field.name} can reach {high:g}, but `textures` has "
                f"{count}, numbered from 1; 0 is the model's own"
            )
        rows = (entry.flat // 2).tolist() if entry.field.name == "texture" else []
        for row, owner in zip(rows, entry.owner, strict=bool(rows)):
            if row in physical & shaped:
                raise DREnvError(
                    f"{spec.where(entry.name, 'select')}: {entry.field.kind} '{entry.matches[owner]}' is metallic or "
                    "rough, and such materials take textures on planes and meshes with coordinates alone"
                )
