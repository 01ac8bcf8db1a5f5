"""The colours of a mesh file: its texture, its materials', or those of its vertices or faces, as a texture."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from dr_env.errors import DREnvError
from dr_env.scene.mesh import Mesh

Array = NDArray[np.float64]

_PATCH = 4  # texels along a face's square in a texture of vertex colours
_FINE = 1 / 15  # of the diameter: faces whose edges are shorter have one colour


def with_colours(mesh: Mesh, found: trimesh.Trimesh, path: Path) -> Mesh:
    """A mesh with the colours that its file gives it, or with texture coordinates alone where it gives none.

    Args:
        mesh: the mesh.
        found: what was read.
        path: the file.

    Raises:
        DREnvError: a texture that the materials name and that cannot be read.
    """
    visual: Any = found.visual
    if visual.kind == "vertex":
        return bake(mesh, np.asarray(visual.vertex_colors)[mesh.faces][..., :3])
    if visual.kind == "face":
        return bake(mesh, np.repeat(np.asarray(visual.face_colors)[:, None, :3], 3, axis=1))
    uv, image = getattr(visual, "uv", None), _image(visual)
    if uv is not None and image is not None:
        return dataclasses.replace(mesh, corner_uv=np.asarray(uv, np.float64)[mesh.faces], texture=image)
    colours = found.vertex_attributes.get("color")
    if colours is not None:
        scale = 255 if np.issubdtype(np.asarray(colours).dtype, np.floating) else 1
        return bake(mesh, scale * np.asarray(colours, np.float64)[mesh.faces][..., :3])
    _check_materials(path)
    told = getattr(getattr(visual, "material", None), "kwargs", {}).get("kd")
    if told is None:
        return mesh.with_box_uv()
    texture = np.tile(np.rint(255 * np.clip(told, 0, 1)).astype(np.uint8)[:3], (2, 2, 1))
    return dataclasses.replace(mesh, corner_uv=np.full((len(mesh.faces), 3, 2), 0.5), texture=texture)


def one_mesh(found: Any, path: Path) -> trimesh.Trimesh:
    """What was read as one mesh; its materials' textures side by side in one.

    Raises:
        DREnvError: no faces, or textures that repeat and have no place side by side.
    """
    read = list(found.geometry.values()) if isinstance(found, trimesh.Scene) else [found]
    parts = [part for part in read if isinstance(part, trimesh.Trimesh) and len(part.faces)]
    if not parts:
        raise DREnvError(f"{path}: the mesh has no faces, expected triangles")
    if len(parts) == 1:
        return parts[0]
    for part in parts:
        uv = getattr(part.visual, "uv", None)
        if uv is not None and _image(part.visual) is not None and (uv.min() < -1e-3 or uv.max() > 1 + 1e-3):
            raise DREnvError(
                f"{path}: texture coordinates from {uv.min():.3g} to {uv.max():.3g} with several materials, expected "
                "0 to 1; bake them into one texture"
            )
    joined = trimesh.util.concatenate(parts)
    assert isinstance(joined, trimesh.Trimesh)
    return joined


def _image(visual: Any) -> NDArray[np.uint8] | None:
    material = getattr(visual, "material", None)
    picture = getattr(material, "image", None)
    if picture is None:
        picture = getattr(material, "baseColorTexture", None)
    # where a file names no material, trimesh puts a grey picture of its own
    if picture is None or (picture.size == (2, 2) and picture.format is None):
        return None
    if picture.mode.startswith("I"):  # 16 bits
        grey = np.rint(np.asarray(picture, np.float64) / 257).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    return np.ascontiguousarray(np.asarray(picture.convert("RGB")), np.uint8)


def _check_materials(path: Path) -> None:
    """Refuses textures that an OBJ's materials name and that were not read; warns of materials that are not there."""
    if path.suffix.lower() != ".obj":
        return
    lines = path.read_text(errors="replace", encoding="utf-8").splitlines()
    for name in [line.split(maxsplit=1)[1].strip() for line in lines if line.startswith("mtllib ")]:
        file = path.with_name(name)
        if not file.is_file():
            warnings.warn(f"{path}: mtllib {name}: no such file, so it has no colours", stacklevel=2)
            continue
        for number, line in enumerate(file.read_text(errors="replace", encoding="utf-8").splitlines(), 1):
            if line.strip().startswith("map_Kd"):
                raise DREnvError(
                    f"{file}:{number} got {line.strip()!r}, expected map_Kd and the name of an image beside it"
                )


def bake(mesh: Mesh, colours: Array) -> Mesh:
    """The mesh with a texture that holds its corners' colours, since MuJoCo has none of vertices.

    Each face has a square of texels of its own. In large faces colours run linearly. Small ones, which a scan has by
    the ten thousand, have their corners' mean: seen from afar renderers take the mean of many texels, those of faces
    that are neighbours in the texture alone among them, but not where all of a face reads one point.

    Args:
        mesh: the mesh.
        colours: (F, 3, 3) each face's corners' colours, 0 .. 255.
    """
    corners = mesh.vertices[mesh.faces]
    edges = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=-1)  # (F, 3)
    small = edges.max(axis=1) < _FINE * mesh.diameter
    colours = np.array(colours, np.float64)
    colours[small] = colours[small].mean(axis=1, keepdims=True)
    count = len(mesh.faces)
    across = int(np.ceil(np.sqrt(count)))
    down = -(-count // across)
    # the face's corners are the centres of the texels (0, 0), (last, 0) and (0, last) of its square
    s, t = np.meshgrid(np.linspace(0, 1, _PATCH), np.linspace(0, 1, _PATCH))
    weights = np.stack((1 - s - t, s, t), axis=-1)  # beyond the triangle they continue it
    squares = np.einsum("yxk,fkc->fyxc", weights, colours)
    grid = np.zeros((across * down, _PATCH, _PATCH, 3))
    grid[:count] = np.clip(np.rint(squares), 0, 255)
    image = grid.reshape(down, across, _PATCH, _PATCH, 3).transpose(0, 2, 1, 3, 4)
    texture = image.reshape(down * _PATCH, across * _PATCH, 3).astype(np.uint8)
    row, column = np.divmod(np.arange(count), across)
    corner = np.tile([[0.5, 0.5], [_PATCH - 0.5, 0.5], [0.5, _PATCH - 0.5]], (count, 1, 1))
    corner[small] = 0.5 * _PATCH
    texels = corner + _PATCH * np.column_stack((column, row))[:, None]  # (F, 3, 2) from the upper left
    uv = texels / np.array([across * _PATCH, down * _PATCH])
    uv[..., 1] = 1 - uv[..., 1]
    return dataclasses.replace(mesh, corner_uv=uv, texture=texture)
